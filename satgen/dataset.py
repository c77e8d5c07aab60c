"""A dataset on disk: the names of its files, the columns of its tables, and reading it.

```
DATASET/
  dataset.json                what was rendered, with what
  frames.parquet, frames.csv  the same table, one row a frame, ordered by index
  keypoints.parquet           one row a frame and landmark
  rgb/000361.png              8-bit or 16-bit, RGB or grey
  depth/000361.png            16-bit, metres = value × depth_scale, 0 for background
  parts/000361.png            8-bit part label, 0 for background
  trajectory.csv              only of trajectory file: the poses that were given
```

While it is being rendered there is also `.journal.jsonl`, a line a finished frame, and the tables
are not there yet.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from satgen.atomic import TEMPORARY
from satgen.camera import Camera
from satgen.config import TRAJECTORY_FILE, RenderConfig
from satgen.errors import InputError
from satgen.keypoints import Landmarks
from satgen.parquet import read_table

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "satgen-dataset"
VERSION = 1

DESCRIPTION = "dataset.json"
FRAMES_CSV = "frames.csv"
FRAMES_PARQUET = "frames.parquet"
KEYPOINTS = "keypoints.parquet"
TABLES = (FRAMES_PARQUET, FRAMES_CSV, KEYPOINTS)
JOURNAL = ".journal.jsonl"

FRAME_COLUMNS: dict[str, type] = {
    "index": int,
    "azimuth_deg": float,
    "elevation_deg": float,
    "roll_deg": float,
    "distance_m": float,
    "qw": float,
    "qx": float,
    "qy": float,
    "qz": float,
    "tx": float,
    "ty": float,
    "tz": float,
    "sun_x": float,
    "sun_y": float,
    "sun_z": float,
    "phase_deg": float,
    "bbox_x": int,
    "bbox_y": int,
    "bbox_w": int,
    "bbox_h": int,
    "coverage": float,
    "rgb_sha256": str,
    "depth_sha256": str,
    "parts_sha256": str,
}
"""The frame table. int is int64 in parquet, float is float64; in CSV floats read back exactly."""

KEYPOINT_COLUMNS: dict[str, type] = {
    "index": int,
    "name": str,
    "u": float,
    "v": float,
    "depth_m": float,
    "visible": bool,
}
"""The keypoint table. u and v are NaN for a landmark behind the camera; `satgen.keypoints` says
what visible means."""

IMAGES = ("rgb", "depth", "parts")
"""The images of a frame, each in the dataset's folder of that name."""

_IMAGE_NAME = re.compile(r"\d{6}\.png")

Table = dict[str, NDArray[Any]]


def image_name(index: int) -> str:
    """File name of a frame's images."""
    return f"{index:06d}.png"


def image_path(folder: Path, kind: str, index: int) -> Path:
    """File of one image of a frame; `kind` is one of `IMAGES`."""
    return folder / kind / image_name(index)


def places(folder: Path) -> tuple[Path, ...]:
    """The folders that a dataset's files lie in: its own and those of its images."""
    return (folder, *(folder / kind for kind in IMAGES))


def read_description(folder: Path) -> dict[str, Any]:
    """dataset.json of a dataset.

    Raises:
        InputError: the folder is none, or its dataset.json is not satgen's or cannot be read.
    """
    path = folder / DESCRIPTION
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder") from None
        raise InputError(f"{folder}: not a satgen dataset, it has no {DESCRIPTION}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path}: not the description of a satgen dataset")
    if data.get("version") != VERSION:
        raise InputError(f"{path}: version {data.get('version')}, this satgen reads {VERSION}")
    return data


def description_bytes(description: dict[str, Any]) -> bytes:
    """The text of dataset.json."""
    return (json.dumps(description, indent=1, ensure_ascii=False) + "\n").encode()


def is_dataset(folder: Path) -> bool:
    """Whether a folder has the description of a satgen dataset, of whatever version."""
    try:
        data = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and data.get("format") == FORMAT


def strangers(folder: Path) -> list[Path]:
    """What lies in a dataset's folders without being a file of any dataset."""
    known = {DESCRIPTION, JOURNAL, *TABLES, *IMAGES}
    found = []
    for entry in sorted(folder.iterdir()):
        mine = entry.name in known or entry.stem == TRAJECTORY_FILE
        if not mine and not entry.name.startswith(TEMPORARY):
            found.append(entry)
        elif entry.name in IMAGES and entry.is_dir() and not entry.is_symlink():
            for name in sorted(os.listdir(entry)):
                if not (_IMAGE_NAME.fullmatch(name) or name.startswith(TEMPORARY)):
                    found.append(entry / name)
        elif entry.name not in IMAGES and entry.is_dir():
            found.append(entry)
    return found


def read_csv(path: Path) -> Table:
    """frames.csv as columns, exactly.

    Raises:
        InputError: the file cannot be read or is not that table.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a table, it has bytes that are not ASCII") from None
    if not lines or lines[0] != ",".join(FRAME_COLUMNS):
        raise InputError(f"{path}: its columns are not {', '.join(FRAME_COLUMNS)}")
    rows = [line.split(",") for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(FRAME_COLUMNS):
            raise InputError(f"{path}: line {number}: {len(row)} columns")
    table: Table = {}
    for i, (name, kind) in enumerate(FRAME_COLUMNS.items()):
        dtype: Any = {int: np.int64, float: np.float64}.get(kind, object)
        try:
            table[name] = np.array([kind(row[i]) for row in rows], dtype=dtype)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{path}: column {name}: {error}") from None
    return table


def read_parquet(path: Path, schema: dict[str, type]) -> Table:
    """A parquet table as columns.

    Raises:
        InputError: the file cannot be read or has other columns.
    """
    import pyarrow

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    try:
        table = read_table(data)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable parquet file ({reason})") from None
    if table.column_names != list(schema):
        raise InputError(f"{path}: its columns are not {', '.join(schema)}")
    out: Table = {}
    for name, kind in schema.items():
        dtype: Any = {int: np.int64, float: np.float64, bool: np.bool_}.get(kind, object)
        try:
            out[name] = np.array(table[name].to_numpy(), dtype=dtype)
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: column {name}: {error}") from None
    return out


class Dataset:
    """A dataset for reading. Tables and images are read when they are asked for.

    Args:
        folder: where it lies.

    Attributes:
        folder: the same.
        description: its dataset.json.

    Raises:
        InputError: the folder is no dataset.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.description = read_description(self.folder)

    @property
    def name(self) -> str:
        """The target's name."""
        return str(self.description["target"]["name"])

    @cached_property
    def config(self) -> RenderConfig:
        """The configuration it was rendered with.

        Raises:
            InputError: dataset.json lacks something.
        """
        try:
            return RenderConfig.from_json(self.description, self.folder)
        except (KeyError, TypeError, ValueError) as error:
            path = self.folder / DESCRIPTION
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path}: {reason}") from None

    @property
    def camera(self) -> Camera:
        """Its intrinsics."""
        return self.config.camera

    @cached_property
    def landmarks(self) -> Landmarks:
        """The target's landmarks."""
        try:
            return Landmarks.from_json(self.description["landmarks"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(f"{self.folder / DESCRIPTION}: its landmarks cannot be read") from None

    @cached_property
    def frames(self) -> pd.DataFrame:
        """The frame table, ordered by index. InputError where it is missing or damaged."""
        import pandas as pd

        return pd.DataFrame(read_parquet(self.folder / FRAMES_PARQUET, FRAME_COLUMNS))

    @cached_property
    def keypoints(self) -> pd.DataFrame:
        """The keypoint table."""
        import pandas as pd

        return pd.DataFrame(read_parquet(self.folder / KEYPOINTS, KEYPOINT_COLUMNS))

    @cached_property
    def indices(self) -> NDArray[np.int64]:
        """Observation indices, (N,) ascending."""
        return np.asarray(self.frames["index"].to_numpy(), dtype=np.int64)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        """The observation indices."""
        return iter(self.indices.tolist())

    @cached_property
    def poses(self) -> NDArray[np.float64]:
        """T_cam_target of every frame, (N, 4, 4), from the table's quaternions."""
        from satgen.geometry import make_pose, quaternion_to_matrix

        rotation = quaternion_to_matrix(self.frames[["qw", "qx", "qy", "qz"]].to_numpy())
        return make_pose(rotation, self.frames[["tx", "ty", "tz"]].to_numpy())

    def pose(self, index: int) -> NDArray[np.float64]:
        """T_cam_target of a frame, (4, 4); InputError for an index that is not in the dataset."""
        row = int(np.searchsorted(self.indices, index))
        if row == len(self) or self.indices[row] != index:
            raise InputError(f"{self.folder}: has no frame {index}")
        return np.asarray(self.poses[row])

    def rgb(self, index: int) -> NDArray[Any]:
        """Image (H, W, 3), or (H, W) of a mono sensor, uint8 or uint16, sRGB-encoded."""
        return read_image(image_path(self.folder, "rgb", index))

    def depth(self, index: int) -> NDArray[np.float64]:
        """Depth (H, W) float64 in metres, 0 where there is none."""
        counts = read_image(image_path(self.folder, "depth", index))
        return np.asarray(counts * float(self.description["depth_scale"]))

    def parts(self, index: int) -> NDArray[np.uint8]:
        """Part labels (H, W) uint8, 0 for background."""
        return np.asarray(read_image(image_path(self.folder, "parts", index)), dtype=np.uint8)


def open_datasets(folders: Sequence[Path]) -> dict[str, Dataset]:
    """Datasets by the name of their folder, in the order given; each one's table has been read.

    Raises:
        InputError: one that cannot be read, or two of a name.
    """
    opened: dict[str, Dataset] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in opened:
            raise InputError(f"{folder}: another dataset is called {name} too; rename one")
        opened[name] = Dataset(folder)
        _ = opened[name].indices  # a dataset that is not whole says so here
    return opened


def read_image(path: Path) -> NDArray[Any]:
    """An image of a dataset, RGB order, with its own bit depth.

    Raises:
        InputError: the file is missing or no image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    image = decode_image(data)
    if image is None:
        raise InputError(f"{path}: not a readable PNG image")
    return np.ascontiguousarray(image)


def decode_image(data: bytes) -> NDArray[Any] | None:
    """Pixels of a PNG file, RGB order (a view, not contiguous), or None where it is damaged."""
    import cv2

    if len(data) < 8:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if image is None:
        return None
    return image[..., ::-1] if image.ndim == 3 else image
