"""What windows need of a dataset's description and tables, read once; no file stays open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.dataset import FRAMES_PARQUET, Dataset
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.sequences.config import WindowConfig
from satgen.sequences.images import Square, cut_intrinsics, target_square, whole_square

RATES = ("wx", "wy", "wz")
TIME = "time_s"


@dataclass(frozen=True)
class Track:
    """A dataset as windows see it: N frames in order.

    Attributes:
        name: of its folder.
        folder: where it lies.
        indices: (N,) observation indices, ascending.
        boxes: (N, 4) x, y, w, h of the visible pixels.
        K: (3, 3) intrinsics of the frames.
        width, height: of the frames.
        depth_scale: metres a count of the depth images.
        sha256: of the images, (N,) text for each kind that is asked for.
        numbers: (N, ...) float64 by the name in a window, of what is asked for.
    """

    name: str
    folder: Path
    indices: NDArray[np.int64]
    boxes: NDArray[np.int64]
    K: Floats
    width: int
    height: int
    depth_scale: float
    sha256: dict[str, NDArray[Any]]
    numbers: dict[str, Floats]

    def square(self, config: WindowConfig) -> Square | None:
        """The square that all its windows share; None for the frames as they are, and where every
        window has its own or no images are asked for.

        Raises:
            InputError: the frames are smaller than `config.size`.
        """
        if not config.images:
            return None
        if config.size is not None and config.size > max(self.width, self.height):
            raise InputError(
                f"{self.name}: its frames are {self.width} × {self.height} pixels, images of size "
                f"{config.size} would be larger: must be at most {max(self.width, self.height)}"
            )
        if config.crop == "dataset":
            return target_square(
                self.boxes, config.margin, config.size or 1, self.width, self.height
            )
        if config.crop == "none" and config.size is not None:
            return whole_square(self.width, self.height)
        return None

    def window_square(self, rows: slice, config: WindowConfig) -> Square | None:
        """The square of the window with these rows alone; None where it has the shared one."""
        if config.crop != "window" or not config.images:
            return None
        return target_square(
            self.boxes[rows], config.margin, config.size or 1, self.width, self.height
        )

    def intrinsics(self, square: Square | None, size: int | None) -> Floats:
        """K of images cut to a square and brought to a size."""
        return self.K if square is None else cut_intrinsics(self.K, square, size or square.side)


def read_track(name: str, data: Dataset, config: WindowConfig) -> Track:
    """What windows of a dataset need.

    Raises:
        InputError: a table or column that is asked for is missing.
    """
    table, camera = data.frames, data.camera
    path = data.folder / FRAMES_PARQUET
    numbers: dict[str, Floats] = {}
    if "poses" in config.fields:
        numbers["R"], numbers["t"] = data.poses[:, :3, :3], data.poses[:, :3, 3]
    if "rates" in config.fields:
        if any(column not in table for column in RATES):
            raise InputError(
                f"{path}: has no columns {', '.join(RATES)}: render it with this version of "
                "satgen, or do without the field 'rates'"
            )
        numbers["rates"] = table[list(RATES)].to_numpy()
        if not np.isfinite(numbers["rates"]).all():
            raise InputError(
                f"{path}: columns {', '.join(RATES)} are not known for every frame: do without the "
                "field 'rates'"
            )
    if "sun" in config.fields:
        numbers["sun"] = table[["sun_x", "sun_y", "sun_z"]].to_numpy()
    if "time" in config.fields:
        if TIME in table:
            numbers["time"] = table[TIME].to_numpy()
        elif config.dt is not None:
            numbers["time"] = np.asarray(data.indices * config.dt, dtype=np.float64)
        else:
            raise InputError(
                f"{path}: has no column {TIME}: give dt, the seconds from an index to the next one"
            )
    return Track(
        name=name,
        folder=data.folder,
        indices=data.indices,
        boxes=table[[f"bbox_{key}" for key in "xywh"]].to_numpy(dtype=np.int64),
        K=camera.K,
        width=camera.width,
        height=camera.height,
        depth_scale=float(data.description["depth_scale"]),
        sha256={
            kind: table[f"{kind}_sha256"].to_numpy(dtype=object) for kind in config.images.values()
        },
        numbers={
            key: np.ascontiguousarray(value, dtype=np.float64) for key, value in numbers.items()
        },
    )
