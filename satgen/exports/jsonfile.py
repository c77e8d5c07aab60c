"""JSON files of one large object or list, written an entry at a time."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any


class JsonEntries:
    """An object whose entries, or a list whose items, are written one a line.

    Args:
        file: a text file, which is closed at the end.
        opening, closing: what stands around the entries.
    """

    def __init__(self, file: Any, opening: str = "{", closing: str = "}") -> None:
        self._file = file
        self._closing = closing
        self._between = "\n"
        file.write(opening)

    def add(self, value: Any, key: object = None) -> None:
        """Write an item, or an entry of an object under its key."""
        name = "" if key is None else f"{json.dumps(str(key))}: "
        text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
        self._file.write(f"{self._between}{name}{text}")
        self._between = ",\n"

    def __enter__(self) -> JsonEntries:
        """The same."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the object or list, and the file."""
        self._file.write(f"\n{self._closing}\n")
        self._file.close()
