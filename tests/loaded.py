"""What a process has loaded, asked from outside: imports nothing that counts."""

from __future__ import annotations

import sys
from concurrent.futures import Executor


def loaded(module: str) -> bool:
    """Whether this process has a module."""
    return module in sys.modules


def assert_without_torch(pool: Executor, at_least: str = "numpy") -> None:
    """The one process of a pool has not loaded torch; it has loaded something else, so it is one
    that has been at work."""
    assert pool.submit(loaded, at_least).result()
    assert not pool.submit(loaded, "torch").result()
