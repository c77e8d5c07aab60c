"""How a command ends: what its errors print, and its exit status."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import click

from satgen.errors import InputError, SatgenError, one_line

NAME_BYTES = 255
TOO_LONG = f"is too long a name for a file, must be at most {NAME_BYTES} bytes between slashes"


def guarded(action: Callable[[], Any]) -> Any:
    """Do something; end with a line on stderr and status 2 (InputError, words that are no command
    line, a name too long for a file), 1 (RunError) or 130 (Ctrl-C, or SIGTERM where a command takes
    it for that)."""
    try:
        return action()
    except KeyboardInterrupt as stop:
        click.echo(f"Interrupted: {stop}" if stop.args else "Interrupted.", err=True)
        raise SystemExit(130) from None
    except SatgenError as error:
        raise _ended(error, 2 if isinstance(error, InputError) else 1) from None
    except click.UsageError as error:
        if type(error) is click.exceptions.NoArgsIsHelpError:
            raise
        message = error.format_message().rstrip(".")
        if error.ctx is not None:
            message = f"{one_line(message)}; see {error.ctx.command_path} --help"
        raise _ended(message, error.exit_code) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise _ended(f"{error.filename}: {TOO_LONG}", 2) from None
    except ImportError as error:
        from satgen.installed import explain

        known = explain(error)
        if known is None:
            raise
        raise _ended(known, 2) from None


def _ended(message: object, status: int) -> SystemExit:
    """Say what was wrong; the end to raise."""
    click.echo(f"Error: {one_line(message)}", err=True)
    return SystemExit(status)
