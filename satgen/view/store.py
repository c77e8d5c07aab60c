"""What was made for pages once, kept in the user's cache under names that only those bytes have."""

from __future__ import annotations

import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from satgen.atomic import write_atomic
from satgen.folders import cache_folder
from satgen.view.site import SiteFile

MOST_BYTES = 8_000_000_000
"""Bytes that are kept; of what has not been looked at for longest, no more."""


class ViewStore:
    """Files by their place, made when they are missing.

    Several threads may ask at a time; a file that two ask for is made once. What cannot be written
    is made each time.

    Args:
        folder: of the cache; by default the user's.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder("view")
        self._guard = threading.Lock()
        self._making: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._wanted: defaultdict[str, int] = defaultdict(int)

    def has(self, file: SiteFile) -> bool:
        """Whether a file need not be made."""
        return file.keep is None or (self.folder / file.keep).is_file()

    def get(self, file: SiteFile) -> bytes:
        """A file's bytes."""
        if file.keep is None:
            return file.make()
        path = self.folder / file.keep
        with suppress(OSError):
            return path.read_bytes()
        with self._alone(file.keep):
            with suppress(OSError):
                return path.read_bytes()
            data = file.make()
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, data)
            return data

    @contextmanager
    def _alone(self, place: str) -> Iterator[None]:
        """Hold a place against other threads."""
        with self._guard:
            lock = self._making[place]
            self._wanted[place] += 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                self._wanted[place] -= 1
                if not self._wanted[place]:
                    del self._wanted[place], self._making[place]

    def use(self, files: dict[str, SiteFile]) -> None:
        """Note that files are looked at now, and forget what has not been for longest."""
        mine = {file.keep.partition("/")[0] for file in files.values() if file.keep}
        for key in mine:
            with suppress(OSError):
                os.utime(self.folder / key)
        with suppress(OSError):
            known = [(path.stat().st_mtime, path) for path in self.folder.iterdir()]
            total = 0
            for _, path in sorted(known, reverse=True):
                total += sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
                if total > MOST_BYTES and path.name not in mine:
                    shutil.rmtree(path, ignore_errors=True)
