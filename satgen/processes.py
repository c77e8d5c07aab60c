"""What worker processes share: how many, who answers Ctrl-C, and that none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import ModuleType
from typing import Any


def default_workers() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def starting(payload: Any) -> Iterator[None]:
    """Processes are started (spawned) in the `with` block, with `payload` or what is like it.

    Ctrl-C is held back: they inherit this, so that it is the parent alone that answers, and ends
    them in an orderly way. And they do not import the main module, as spawned processes do by
    themselves: a script without `if __name__ == "__main__"` would start over in each of them. They
    need it only where the payload has something of it, such as a class; the script then needs that
    line, and is told so.

    Raises:
        SystemExit: in a process that is being started, by such a script.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(
            "Error: this script starts worker processes, and they import it, as it hands them "
            'objects of its own: put its calls under `if __name__ == "__main__":`, or render with '
            "workers=0"
        )
    main = sys.modules["__main__"]
    if not _has_of_main(payload):
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        with _interrupts_held():
            yield
    finally:
        sys.modules["__main__"] = main


def _has_of_main(payload: Any) -> bool:
    """Whether a value is, or holds, something that the main module defines."""
    try:
        return b"__main__" in pickle.dumps(payload)
    except (pickle.PicklingError, AttributeError, TypeError):
        return True  # starting the process will say why


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back in this process and those that it starts."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start lets interrupts through, so it comes first
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(parent: int) -> None:
    """Make this process a worker: Ctrl-C is the parent's to answer, and its end is this one's.

    Args:
        parent: its process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent(parent)


def die_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent dies, however it dies (Linux).

    Elsewhere the worker notices between two frames.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before the request
        os._exit(1)
