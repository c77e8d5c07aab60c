"""What a long trial has tried already, so that it can be ended at a time and gone on with."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Journal:
    """Points that were tried, and what was wrong at each; failures are printed to stderr.

    Args:
        path: a file that keeps them, a line each; None for none.
        until: when to end, seconds since 1970.
    """

    def __init__(self, path: Path | None = None, until: float = math.inf) -> None:
        self._path, self._until = path, until
        self._found: dict[str, str | None] = {}
        if path is not None and path.exists():
            lines = path.read_text().splitlines()
            self._found = dict(json.loads(line) for line in lines)

    @staticmethod
    def add_options(parser: ArgumentParser) -> None:
        """The options that `asked` and `place` read."""
        parser.add_argument("--folder", type=Path, help="to work in, in place of one that is made")
        parser.add_argument("--journal", type=Path, help="file of what has been tried, to go on")
        parser.add_argument("--until", type=float, default=math.inf, help="seconds since 1970")

    @classmethod
    def asked(cls, options: Namespace) -> Journal:
        """The journal that a command line asks for."""
        return cls(options.journal, options.until)

    @staticmethod
    @contextmanager
    def place(options: Namespace) -> Iterator[Path]:
        """The folder to work in that a command line asks for; by default one that is deleted."""
        if options.folder is None:
            with tempfile.TemporaryDirectory() as made:
                yield Path(made).resolve()
        else:
            options.folder.mkdir(parents=True, exist_ok=True)
            yield options.folder.resolve()

    @property
    def time_left(self) -> bool:
        """Whether to try more."""
        return time.time() < self._until

    @property
    def failed(self) -> bool:
        """Whether anything was wrong."""
        return any(self._found.values())

    def knows(self, point: str) -> bool:
        """Whether a point has been tried."""
        return point in self._found

    def add(self, point: str, wrong: str | None) -> None:
        """Note what was wrong at a point; None for nothing."""
        self._found[point] = wrong
        if wrong:
            print(f"FAILED {point}: {wrong}", file=sys.stderr, flush=True)
        if self._path is not None:
            with self._path.open("a") as file:
                print(json.dumps([point, wrong]), file=file)

    def counts(self, beginning: str) -> tuple[int, int]:
        """How many points of a beginning were tried, and how many of them failed."""
        found = [wrong for point, wrong in self._found.items() if point.startswith(beginning)]
        return len(found), sum(map(bool, found))
