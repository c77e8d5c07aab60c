"""What an export is made of: datasets, the frames chosen of them, and the folder to fill."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
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
from satgen.geometry import Floats
from satgen.reading import read_limited

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


@dataclass(frozen=True, eq=False)
class Export:
    """An export that is being written.

    Attributes:
        sources: the datasets; several are the cameras of a rig, of the same indices and parts.
        folder: to write to.
        options: what was asked for.
        tick: to be called for every frame that is done.
    """

    sources: tuple[ExportSource, ...]
    folder: Path
    options: ExportOptions
    tick: Callable[[], None]
    _made: set[Path] = field(default_factory=set)

    @property
    def source(self) -> ExportSource:
        """The only dataset, or a rig's first."""
        return self.sources[0]

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

    def place(self, source: ExportSource, kind: str, index: int, to: Path) -> None:
        """Put an image of the dataset into the export, byte for byte.

        Raises:
            InputError: it is not the file that was rendered, or cannot be linked.
            RunError: it cannot be written.
        """
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
        if hashlib.sha256(data).hexdigest() != source.table[f"{kind}_sha256"][source.row[index]]:
            raise InputError(
                f"{path}: is not the file that was rendered, its SHA-256 is another; `satgen "
                "render` mends a dataset"
            )
        return data


def mono(source: ExportSource) -> bool:
    """Whether the images have one channel."""
    return bool(source.data.config.sensor.mono)
