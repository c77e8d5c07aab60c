"""What `satgen` and `python -m satgen` run: the command line, with streams that are there and with
signals that end in a line.

Only a few modules of the standard library are imported before the first Ctrl-C is answered for.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from satgen.exits import Terminated, guarded, interrupts


def run() -> None:
    """Run the command line and end the process."""
    _open_streams()
    _answer_signals()
    try:
        status = guarded(_command)
        if interrupts.pending:  # something took the exception, as destructors do
            guarded(_interrupted)
        sys.stdout.flush()
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:
        status = 130  # while the line about the first one was written
    except OSError as error:
        status = _unwritten(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Else the interpreter tries again, fails, and takes another status.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)


def _command() -> int:
    """The status of the command that the command line asks for."""
    try:
        os.getcwd()
    except FileNotFoundError:
        from satgen.errors import RunError

        raise RunError("the current folder is gone; change to one that is there") from None
    import click

    from satgen.cli import main

    try:
        answer = main.main(prog_name="satgen", standalone_mode=False)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return answer if isinstance(answer, int) else 0


def _interrupted() -> None:
    raise KeyboardInterrupt


def _unwritten(error: OSError) -> int:
    """Say that the answer could not be written; the status."""
    with suppress(OSError):
        os.write(2, f"Error: cannot write the answer: {error.strerror}\n".encode())
    return 1


def _open_streams() -> None:
    """Open what is closed of stdin, stdout and stderr on nothing, lest the next file that is opened
    gets its number, and with it what libraries have to say."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _answer_signals() -> None:
    """Make an exception of Ctrl-C, and of SIGTERM too, unless they are ignored here."""
    process = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupts.pending = True
        raise KeyboardInterrupt

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends at once
        if os.getpid() != process:  # a process that was forked from this one
            os.kill(os.getpid(), number)
            return
        raise Terminated

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminate)
