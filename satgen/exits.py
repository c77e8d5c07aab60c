"""How a command ends: what its errors print, and its exit status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from satgen.errors import InputError, SatgenError


def guarded(action: Callable[[], Any]) -> Any:
    """Do something; end with a line on stderr and status 2 (InputError), 1 (RunError) or 130
    (Ctrl-C, or SIGTERM where a command takes it for that)."""
    try:
        return action()
    except KeyboardInterrupt as stop:
        click.echo(f"Interrupted: {stop}" if stop.args else "Interrupted.", err=True)
        raise SystemExit(130) from None
    except SatgenError as error:
        click.echo(f"Error: {' '.join(str(error).split())}", err=True)
        raise SystemExit(2 if isinstance(error, InputError) else 1) from None
    except ImportError as error:
        from satgen.installed import explain

        known = explain(error)
        if known is None:
            raise
        click.echo(f"Error: {known}", err=True)
        raise SystemExit(2) from None
