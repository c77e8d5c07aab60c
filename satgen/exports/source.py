"""What an export is made of: datasets, the frames chosen of them, and the folder to fill."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.dataset import KEYPOINTS, Dataset, Table, image_path, read_keypoints
from satgen.errors import InputError
from satgen.exports.options import ExportOptions
from satgen.exports.pieces import ExportPiece, PieceFolder, Pieces
from satgen.geometry import Floats
from satgen.progress import Update
from satgen.reading import read_limited
from satgen.runfolder import file_sha256

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ExportSource:
    """The chosen frames of a dataset.

    Attributes:
        data: the dataset, of these frames alone.
        parts: observation indices by the part they fall to: train, val and test; or all of them
            under "".
    """

    data: Dataset
    parts: dict[str, Indices]

    @cached_property
    def camera(self) -> Camera:
        """The camera."""
        return self.data.camera

    @cached_property
    def table(self) -> Table:
        """The frame table's columns."""
        return {str(name): column.to_numpy() for name, column in self.data.frames.items()}

    @cached_property
    def row(self) -> dict[int, int]:
        """Observation index -> row of the table."""
        return {index: row for row, index in enumerate(self.data.indices.tolist())}

    def pose(self, index: int) -> Floats:
        """T_cam_target of a frame, (4, 4)."""
        return self.data.pose(index)

    def quaternion(self, index: int) -> list[float]:
        """Its rotation as w, x, y, z, as the table has it."""
        return [float(self.table[name][self.row[index]]) for name in ("qw", "qx", "qy", "qz")]

    def translation(self, index: int) -> list[float]:
        """Its translation, metres, as the table has it."""
        return [float(self.table[name][self.row[index]]) for name in ("tx", "ty", "tz")]

    def sha256(self, kind: str, index: int) -> str:
        """Of an image's file as it was rendered."""
        return str(self.table[f"{kind}_sha256"][self.row[index]])

    @cached_property
    def times_s(self) -> Floats:
        """Seconds of the frames; where the dataset knows none, the index."""
        known = self.table.get("time_s")
        if known is None or not np.isfinite(known).all():
            return self.data.indices.astype(np.float64)
        times = np.asarray(known, dtype=np.float64)
        if (np.diff(times) <= 0.0).any():
            raise InputError(
                f"{self.data.folder}: its time_s does not grow, as a trajectory's must"
            )
        return times

    @cached_property
    def keypoints(self) -> dict[int, Table]:
        """The keypoint table's rows by observation index: landmarks in order."""
        count = len(self.data.landmarks)
        table = read_keypoints(self.data.folder, count)
        if count == 0:
            return dict.fromkeys(self.row, table)
        starts = {int(table["index"][at]): at for at in range(0, len(table["index"]), count)}
        try:
            return {
                index: {name: column[starts[index] : starts[index] + count]
                        for name, column in table.items()}
                for index in self.row
            }  # fmt: skip
        except KeyError as error:
            raise InputError(f"{self.data.folder / KEYPOINTS}: has no frame {error}") from None

    def mask(self, index: int) -> NDArray[np.bool_]:
        """(H, W) which pixels show the target."""
        return np.asarray(self.data.parts(index) > 0)


@dataclass(eq=False)
class Export:
    """An export that is being written.

    Attributes:
        sources: the datasets; several are the cameras of a rig, of the same indices and parts.
        options: what was asked for.
        frames_in_all: how many frames are to be done, of all cameras.
        progress: told about every frame.
    """

    sources: tuple[ExportSource, ...]
    options: ExportOptions
    frames_in_all: int
    progress: Update | None = None
    _done: int = 0
    _own: PieceFolder | None = None
    _pieces: Pieces | None = None
    _made: set[Path] = field(default_factory=set)
    _files: dict[str, str] = field(default_factory=dict)

    def begin(self, own: PieceFolder, others: Sequence[PieceFolder] = ()) -> None:
        """Write to a folder from now on.

        Args:
            own: the folder, its journal open; pieces that are there already are kept.
            others: those of shards, whose pieces are taken.
        """
        self._own, self._pieces = own, Pieces(own, others)

    @property
    def folder(self) -> Path:
        """The folder that is written to."""
        assert self._own is not None
        return self._own.files

    def tick(self) -> None:
        """To be called for every frame that is done."""
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, self.frames_in_all)

    @property
    def source(self) -> ExportSource:
        """The only dataset, or a rig's first."""
        return self.sources[0]

    def frames(self) -> list[ExportPiece]:
        """A piece of every frame: of each dataset, part by part."""
        return [
            ExportPiece(number, part, (index,))
            for number, source in enumerate(self.sources)
            for part, indices in source.parts.items()
            for index in indices.tolist()
        ]

    def made(self, piece: ExportPiece, make: Callable[[ExportPiece], Any]) -> Any:
        """The row of a piece, which is made unless it is there.

        Args:
            piece: which.
            make: writes its files by `put`, `place` or `fresh`, ticks for its frames, and returns
                its row: what tables need of its pixels, as JSON has it.
        """
        assert self._pieces is not None
        there, row = self._pieces.take(piece)
        if there:
            for _ in piece.indices:
                self.tick()
            return row
        self._files = {}
        row = make(piece)
        files = {n: known or file_sha256(self.folder / n) for n, known in self._files.items()}
        self._pieces.add(piece, files, row)
        return row

    def make(self, *parts: str) -> Path:
        """A folder below the export's, made if need be."""
        path = self.folder.joinpath(*parts)
        if path not in self._made:
            path.mkdir(parents=True, exist_ok=True)
            self._made.add(path)
        return path

    def open(self, *parts: str) -> Any:
        """A text file to write, below the export's folder."""
        return open(self.make(*parts[:-1]) / parts[-1], "w", encoding="utf-8", newline="\n")

    def fresh(self, *parts: str, sha256: str = "") -> Path:
        """A file of the piece that is being made, which is not there yet: below the folder.

        Args:
            parts: of its name.
            sha256: of what it is going to hold; it is computed at the end otherwise.
        """
        path = self.make(*parts[:-1]) / parts[-1]
        path.unlink(missing_ok=True)  # half of it, or a link to the dataset's own
        self._files["/".join(parts)] = sha256
        return path

    def put(self, data: bytes, *parts: str) -> None:
        """Write a file of the piece that is being made."""
        self.fresh(*parts, sha256=hashlib.sha256(data).hexdigest()).write_bytes(data)

    def place(self, source: ExportSource, kind: str, index: int, *parts: str) -> None:
        """Put an image of the dataset into the export, byte for byte.

        Raises:
            InputError: it is not the file that was rendered, or cannot be linked.
            RunError: it cannot be written.
        """
        to = self.fresh(*parts, sha256=source.sha256(kind, index))
        origin = image_path(source.data.folder, kind, index)
        if self.options.images == "link":
            try:
                os.link(origin, to)
            except OSError as error:
                raise InputError(
                    f"{origin}: cannot be linked to {to.parent} ({error.strerror or error}); use "
                    "--images copy"
                ) from None
            return
        to.write_bytes(self.image_bytes(source, kind, index))

    def image_bytes(self, source: ExportSource, kind: str, index: int) -> bytes:
        """An image's file as it was rendered.

        Raises:
            InputError: it is not the file that was rendered.
        """
        path = image_path(source.data.folder, kind, index)
        data = read_limited(path)
        if hashlib.sha256(data).hexdigest() != source.sha256(kind, index):
            raise InputError(
                f"{path}: is not the file that was rendered, its SHA-256 is another; `satgen "
                "render` mends a dataset"
            )
        return data


def mono(source: ExportSource) -> bool:
    """Whether the images have one channel."""
    return bool(source.data.config.sensor.mono)


class ExportWriter:
    """Writes an export of one format.

    Args:
        export: what is written.

    Raises:
        InputError: the format cannot hold it; nothing was written.
    """

    def __init__(self, export: Export) -> None:
        self.export = export

    def pieces(self) -> list[ExportPiece]:
        """What can be made by itself, in the order of the tables; nothing by default."""
        return []

    def make(self, piece: ExportPiece) -> Any:
        """Write the files of a piece; what the tables need of its pixels, as JSON has it."""
        raise NotImplementedError

    def made(self, piece: ExportPiece) -> Any:
        """The row of a piece, which is made unless it is there."""
        return self.export.made(piece, self.make)

    def write(self) -> None:
        """Write all."""
        raise NotImplementedError
