"""How a command ends: what its errors print, and its exit status."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from satgen.errors import InputError, SatgenError, one_line

NAME_BYTES = 255
TOO_LONG = f"is too long a name for a file, must be at most {NAME_BYTES} bytes between slashes"


class Terminated(KeyboardInterrupt):
    """SIGTERM, where it is answered as Ctrl-C is."""


class _Interrupts:
    """Whether a Ctrl-C has come and not yet ended the command.

    An exception that is raised in a destructor or in a library's callback ends nothing, so the
    work's loops ask, too (`satgen.progress`).
    """

    pending = False

    def check(self) -> None:
        """KeyboardInterrupt, where one was lost."""
        if self.pending:
            raise KeyboardInterrupt


interrupts = _Interrupts()


def guarded(action: Callable[[], Any]) -> Any:
    """Do something; end with a line on stderr and a status.

    2 for InputError, words that are no command line and a name too long for a file; 1 for RunError,
    what the system refuses, such as to write, and memory that there is not; 130 for Ctrl-C, or
    SIGTERM where a command takes it for that, and 143 for SIGTERM elsewhere.
    """
    try:
        return action()
    except KeyboardInterrupt as stop:
        interrupts.pending = False
        term = isinstance(stop, Terminated)
        word = "Terminated" if term else "Interrupted"
        _say(f"{word}: {stop}" if stop.args else f"{word}.")
        raise SystemExit(128 + (signal.SIGTERM if term else signal.SIGINT)) from None
    except SatgenError as error:
        raise _ended(error, 2 if isinstance(error, InputError) else 1) from None
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        raise _ended(f"there is not enough memory{detail}", 1) from None
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # whoever read the answer has had enough
        raise _ended(_refusal(error), 2 if error.errno == errno.ENAMETOOLONG else 1) from None
    except ImportError as error:
        from satgen.installed import explain

        known = explain(error)
        if known is None:
            raise
        raise _ended(known, 2) from None
    except Exception as error:
        import click

        if type(error) is click.exceptions.NoArgsIsHelpError:
            raise
        if not isinstance(error, click.UsageError):
            raise
        message = error.format_message().rstrip(".")
        if error.ctx is not None:
            message = f"{one_line(message)}; see {error.ctx.command_path} --help"
        raise _ended(message, error.exit_code) from None


def _refusal(error: OSError) -> str:
    """What the system refused, in words."""
    if error.errno == errno.ENAMETOOLONG:
        return f"{error.filename}: {TOO_LONG}"
    reason = error.strerror or str(error)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        reason = f"{reason}; allow more, say by `ulimit -n 1024`"
    if error.filename is not None:
        return f"{error.filename}: {reason}"
    if error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG):
        return f"cannot write the answer: {reason}"
    return reason


def _ended(message: object, status: int) -> SystemExit:
    """Say what was wrong; the end to raise."""
    _say(f"Error: {one_line(message)}")
    return SystemExit(status)


def _say(line: str) -> None:
    """Write a line to stderr, where that can be."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
