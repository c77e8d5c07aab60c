"""The pieces that an export is made of, each kept once it is whole.

A piece is a frame, a clip or an archive of frames: its files, and the row that the export's tables
need of its pixels. When it is whole, a line of the journal beside the files says so, with each
file's SHA-256. A killed export that is gone on with keeps such pieces, and so does one whose pieces
were made in shards: a file whose bytes are not those is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from satgen.atomic import link_or_copy
from satgen.errors import InputError
from satgen.runfolder import Journal, file_sha256

JOURNAL = "pieces.jsonl"
"""The journal of the pieces that are whole."""


@dataclass(frozen=True)
class ExportPiece:
    """What of an export is made by itself.

    Attributes:
        source: number of the dataset, from 0.
        part: the part that its frames fall to, or "".
        indices: observation indices of its frames.
    """

    source: int
    part: str
    indices: tuple[int, ...]

    @property
    def index(self) -> int:
        """Observation index of its only frame, or the first."""
        return self.indices[0]

    @property
    def key(self) -> str:
        """Its name in the journal."""
        return f"{self.source}/{self.part}/{self.index}"


@dataclass(frozen=True)
class PieceFolder:
    """A folder with pieces, and their journal.

    Attributes:
        files: what the files' names begin from.
        journal: of the pieces that are whole there.
    """

    files: Path
    journal: Journal


class Pieces:
    """The pieces of an export that there are, and where new ones are noted.

    Args:
        own: the folder that is being filled; its journal is open.
        others: folders of shards, whose pieces are taken.
    """

    def __init__(self, own: PieceFolder, others: Sequence[PieceFolder] = ()) -> None:
        self._own = own
        self._at: dict[str, tuple[PieceFolder, int]] = {}
        for folder in (*others, own):
            for offset, line in folder.journal.lines():
                self._at[line["piece"]] = folder, offset

    def take(self, piece: ExportPiece) -> tuple[bool, Any]:
        """Whether a piece is there with all of its bytes, and its row.

        What a shard has of it is put into the folder.

        Raises:
            OSError: it cannot be written.
        """
        if piece.key not in self._at:
            return False, None
        folder, offset = self._at[piece.key]
        line = folder.journal.at(offset)
        for name, sha256 in line["files"].items():
            try:
                if file_sha256(folder.files / name) != sha256:
                    return False, None
            except InputError:
                return False, None
        if folder is not self._own:
            for name in line["files"]:
                to = self._own.files / name
                to.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(folder.files / name, to)
            self._own.journal.append([line])
        return True, line["row"]

    def add(self, piece: ExportPiece, files: dict[str, str], row: Any) -> None:
        """Note that a piece is whole: its files, by name, with their SHA-256, and its row."""
        self._own.journal.append([{"piece": piece.key, "files": files, "row": row}])
