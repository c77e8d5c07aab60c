"""A dataset on disk: the names of its files, the columns of its tables, and reading it.

```
DATASET/
  dataset.json                what was rendered, with what
  frames.parquet, frames.csv  the same table, one row a frame, ordered by index
  keypoints.parquet           one row a frame and landmark
  rgb/000361.png              8-bit or 16-bit, RGB or grey
  depth/000361.png            16-bit, metres = value × depth_scale, 0 for background
  parts/000361.png            8-bit part label (16 of more than 255 parts), 0 for background
  shadow/000361.png           only where asked for: 8-bit, see `SHADOW_LABELS`
  normals/, flow_forward/, flow_backward/
                              only where asked for: 16-bit, see `satgen.truth_images`
  trajectory.csv              only of trajectory file: the poses that were given
  metadata.parquet, croissant.json, README.md
                              for other people's programs, see `satgen.publication`
```

`satgen.seal` says how dataset.json seals the other files. While a dataset is being rendered there
is also `.journal.jsonl`, a line a finished frame, and the tables are not there yet.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.errors import InputError, cut
from satgen.frame import Frame, SurfacePoints, TwoViews
from satgen.geometry import Flow, make_pose, quaternion_to_matrix
from satgen.keypoints import Landmarks
from satgen.model import PartLabels
from satgen.parquet import ParquetError, column_values, read_table
from satgen.png import decode_png
from satgen.reading import read_json, read_limited
from satgen.truth_images import decode_flow, decode_normals

if TYPE_CHECKING:
    import pandas as pd

    from satgen.config import RenderConfig
    from satgen.rig import Rig

FORMAT = "satgen-dataset"
VERSION = 3
"""Version of the format that is written; the earlier ones can still be read. Version 1 had no time,
rates and inertial attitude. Versions 1 and 2 were lit otherwise, so that their pixels differ from
those that are rendered now."""

DESCRIPTION = "dataset.json"
FRAMES_CSV = "frames.csv"
FRAMES_PARQUET = "frames.parquet"
KEYPOINTS = "keypoints.parquet"
TABLES = (FRAMES_PARQUET, FRAMES_CSV, KEYPOINTS)
METADATA = "metadata.parquet"
CROISSANT = "croissant.json"
CARD = "README.md"
PUBLICATION = (METADATA, CROISSANT, CARD)
"""Files that other people's programs open a dataset by: see `satgen.publication`."""

JOURNAL = ".journal.jsonl"

_NEW_COLUMNS = (
    *("time_s", "wx", "wy", "wz"),
    *("qi_w", "qi_x", "qi_y", "qi_z", "wi_x", "wi_y", "wi_z"),
)
"""Columns that version 1 does not have."""

FRAME_COLUMNS: dict[str, type] = {
    "index": int,
    "time_s": float,
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
    "wx": float,
    "wy": float,
    "wz": float,
    "qi_w": float,
    "qi_x": float,
    "qi_y": float,
    "qi_z": float,
    "wi_x": float,
    "wi_y": float,
    "wi_z": float,
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
"""The frame table. int is int64 in parquet, float is float64; in CSV floats read back exactly.

wx, wy, wz is the angular velocity of the target relative to the camera frame, rad/s, target axes:
with R the rotation of T_cam_target, dR/dt = R [w]x; NaN where a user's pose table does not say.
qi_w ... qi_z is the rotation of target to inertial axes and wi_x, wi_y, wi_z the angular velocity
in the inertial frame, rad/s, target axes; NaN under trajectories without an inertial frame."""

OPTIONAL_COLUMNS: dict[str, type] = {
    "sunlight": float,
    "exposure": float,
    "lit": float,
    "shadow_sha256": str,
    "normals_sha256": str,
    "flow_forward_sha256": str,
    "flow_backward_sha256": str,
}
"""Further columns at the frame table's end, of datasets whose dataset.json names them as `columns`.

sunlight is the share of the sun's light that the Earth lets by; exposure the sensor's in that
frame, where it is metered; lit the share of the target's pixels that the sun shines on, by the
shadow image."""

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
"""The images of every frame, each in the dataset's folder of that name."""

OPTIONAL_IMAGES = ("shadow", "normals", "flow_forward", "flow_backward")
"""Further images, of datasets whose dataset.json has them among its `images`."""

SHADOW_LABELS = {"background": 0, "lit": 1, "attached": 2, "cast": 3}
"""Values of a shadow image, by what the surface at the pixel's centre is: in the sun, turned away
from it, or turned to it but behind something."""

MOST_FRAMES = 8100
"""Most rows of a frame table: one for each index (`satgen.trajectory.INDEX_MAX`)."""

Table = dict[str, NDArray[Any]]


def image_name(index: int) -> str:
    """File name of a frame's images."""
    return f"{index:06d}.png"


def image_path(folder: str | Path, kind: str, index: int) -> Path:
    """File of one image of a frame; `kind` is one of `IMAGES` or `OPTIONAL_IMAGES`."""
    return Path(folder) / kind / image_name(index)


def places(folder: Path) -> tuple[Path, ...]:
    """The folders that a dataset's files may lie in: its own and those of its images."""
    return (folder, *(folder / kind for kind in (*IMAGES, *OPTIONAL_IMAGES)))


def read_description(folder: str | Path) -> dict[str, Any]:
    """dataset.json of a dataset.

    Raises:
        InputError: the folder is none, or its dataset.json is not satgen's or cannot be read.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION
    if not os.path.lexists(path):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        raise InputError(f"{folder}: not a satgen dataset, it has no {DESCRIPTION}")
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path}: not the description of a satgen dataset")
    version = data.get("version")
    if type(version) is not int or version not in range(1, VERSION + 1):
        raise InputError(f"{path}: version {version}, this satgen reads 1 to {VERSION}")
    return data


def frame_columns(version: int = VERSION, more: Iterable[str] = ()) -> dict[str, type]:
    """The frame table's columns in a version of the format, with some of `OPTIONAL_COLUMNS`."""
    columns = FRAME_COLUMNS
    if version < 2:
        columns = {name: kind for name, kind in columns.items() if name not in _NEW_COLUMNS}
    return {**columns, **{name: OPTIONAL_COLUMNS[name] for name in more}}


def described_columns(description: Mapping[str, Any]) -> dict[str, type]:
    """The frame table's columns by dataset.json.

    Raises:
        InputError: it names a column that is not known.
    """
    more = description.get("columns", [])
    if not isinstance(more, list) or not all(name in list(OPTIONAL_COLUMNS) for name in more):
        raise InputError(f"{DESCRIPTION}: columns {more}: some are not known to this satgen")
    return frame_columns(description["version"], more)


def described_images(description: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of image that a dataset has, by dataset.json."""
    images = description.get("images", {})
    return (*IMAGES, *(kind for kind in OPTIONAL_IMAGES if kind in images))


def is_dataset(folder: str | Path) -> bool:
    """Whether a folder has the description of a satgen dataset, of whatever version."""
    try:
        data = read_json(Path(folder) / DESCRIPTION)
    except InputError:
        return False
    return isinstance(data, dict) and data.get("format") == FORMAT


def read_csv(path: Path, schema: dict[str, type] = FRAME_COLUMNS) -> Table:
    """frames.csv as columns, exactly.

    Raises:
        InputError: the file cannot be read or is not that table.
    """
    try:
        lines = read_limited(path).decode("ascii").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a table, it has bytes that are not ASCII") from None
    if lines[0] != ",".join(schema):
        raise InputError(f"{path}: its columns are not {', '.join(schema)}")
    rows = [line.split(",") for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(schema):
            raise InputError(f"{path}: line {number}: {len(row)} columns")
    table: Table = {}
    for i, (name, kind) in enumerate(schema.items()):
        dtype: Any = {int: np.int64, float: np.float64}.get(kind, object)
        try:
            table[name] = np.array([kind(row[i]) for row in rows], dtype=dtype)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{path}: column {name}: {cut(str(error))}") from None
    return table


def read_parquet(path: Path, schema: dict[str, type], most_rows: int = MOST_FRAMES) -> Table:
    """A parquet table as columns.

    Raises:
        InputError: the file cannot be read, has other columns, or more than `most_rows` rows.
    """
    try:
        table = read_table(read_limited(path), list(schema), most_rows, exactly=True)
    except ParquetError as error:
        raise InputError(f"{path}: {error}") from None
    out: Table = {}
    for name, kind in schema.items():
        dtype: Any = {int: np.int64, float: np.float64, bool: np.bool_}.get(kind, object)
        try:
            out[name] = column_values(table[name], dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{path}: column {name}: {cut(str(error))}") from None
    return out


def read_keypoints(folder: str | Path, landmarks: int) -> Table:
    """keypoints.parquet of a dataset whose target has so many landmarks, as columns.

    Raises:
        InputError: as `read_parquet`.
    """
    return read_parquet(Path(folder) / KEYPOINTS, KEYPOINT_COLUMNS, MOST_FRAMES * landmarks)


class Dataset:
    """A dataset for reading. Tables and images are read when they are asked for.

    Frames go by their observation index, as the files do: `data[361]` is a `Frame`, whose images
    are read when they are looked at. `data[400:500:5]` (indices 400, 405 … up to 495, of those
    that are there) and `data[[361, 400]]` are datasets of these frames alone, on the same files.
    Iterating gives the frames, `data.indices` their indices, and `361 in data` says whether one
    is there.

    Args:
        folder: where it lies.

    Attributes:
        folder: the same.
        description: its dataset.json.
        whole: it has all the frames of the folder, not some of them, as `data[400:500]` has.

    Raises:
        InputError: the folder is no dataset.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.whole = True
        self.description = read_description(self.folder)

    def __repr__(self) -> str:
        """Folder, target, frames and size; never raises."""
        try:
            n = len(self)
            frames = f"{n} frame{'' if n == 1 else 's'}"
            if n:
                frames += f", {self.indices[0]} to {self.indices[-1]}"
        except InputError:
            frames = "not finished"
        try:
            size = f"{self.camera.width}x{self.camera.height}"
        except InputError:
            size = "camera unknown"
        return f"<Dataset {self.folder}: {self._target('name')}, {frames}, {size}>"

    # --- what it is of

    def _target(self, key: str) -> str:
        """A value of the description's target; empty where there is none."""
        return str(self.description.get("target", {}).get(key, ""))

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
        from satgen.config import RenderConfig

        with self._described():
            return RenderConfig.from_json(self.description, self.folder)

    @cached_property
    def camera(self) -> Camera:
        """The camera's intrinsics."""
        with self._described():
            return Camera.from_json(self.description["camera"])

    @cached_property
    def rig(self) -> Rig | None:
        """The rig that the camera is one of; None if it flies alone."""
        from satgen.rig import Rig

        with self._described():
            return Rig.from_json(self.description["rig"]) if "rig" in self.description else None

    @cached_property
    def part_names(self) -> dict[int, str]:
        """Part label -> name, of all parts of the target."""
        with self._described():
            return {int(k): str(v["name"]) for k, v in self.description["parts"].items()}

    @cached_property
    def landmarks(self) -> Landmarks:
        """The target's landmarks."""
        try:
            return Landmarks.from_json(self.description["landmarks"])
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
            raise InputError(f"{self.folder / DESCRIPTION}: its landmarks cannot be read") from None

    @contextmanager
    def _described(self) -> Iterator[None]:
        """Say in one line what dataset.json lacks."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            path = self.folder / DESCRIPTION
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path}: {reason}") from None

    # --- tables

    @cached_property
    def _table(self) -> Table:
        """The frame table's columns."""
        path = self.folder / FRAMES_PARQUET
        if not path.exists():
            raise InputError(
                f"{self.folder}: not finished, it has no {FRAMES_PARQUET}; give the command that "
                "renders it again"
            )
        return read_parquet(path, described_columns(self.description))

    @cached_property
    def frames(self) -> pd.DataFrame:
        """The frame table, ordered by index. InputError where it is missing or damaged."""
        import pandas as pd

        return pd.DataFrame(self._table)

    @cached_property
    def keypoints(self) -> pd.DataFrame:
        """The keypoint table."""
        import pandas as pd

        table = pd.DataFrame(read_keypoints(self.folder, len(self.landmarks)))
        return table[table["index"].isin(self.indices)].reset_index(drop=True)

    @cached_property
    def indices(self) -> NDArray[np.int64]:
        """Observation indices, (N,) ascending."""
        return np.asarray(self._table["index"], dtype=np.int64)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.indices)

    def __contains__(self, index: object) -> bool:
        """Whether there is a frame of this observation index."""
        return index in self._rows

    @cached_property
    def _rows(self) -> dict[int, int]:
        """Observation index -> row of the table."""
        return {index: row for row, index in enumerate(self.indices.tolist())}

    def _row(self, index: int) -> int:
        """Row of a frame, or InputError that names the nearest."""
        row = self._rows.get(index)
        if row is not None:
            return row
        if not len(self):
            raise InputError(f"{self.folder}: has no frame {index}, nor any other here")
        nearest = self.indices[np.argmin(np.abs(self.indices - index))]
        raise InputError(
            f"{self.folder}: has no frame {index}, the nearest is {nearest} (it has {len(self)}, "
            f"{self.indices[0]} to {self.indices[-1]})"
        )

    @cached_property
    def poses(self) -> NDArray[np.float64]:
        """T_cam_target of every frame, (N, 4, 4), from the table's quaternions."""
        rotation = quaternion_to_matrix(self._columns("qw", "qx", "qy", "qz"))
        return make_pose(rotation, self._columns("tx", "ty", "tz"))

    def _columns(self, *names: str) -> NDArray[np.float64]:
        """Columns of the frame table side by side, (N, len(names))."""
        return np.stack([self._table[name] for name in names], axis=-1)

    def pose(self, index: int) -> NDArray[np.float64]:
        """T_cam_target of a frame, (4, 4); InputError for an index that is not in the dataset."""
        return np.asarray(self.poses[self._row(index)])

    # --- images

    def rgb(self, index: int) -> NDArray[Any]:
        """Image (H, W, 3), or (H, W) of a mono sensor, uint8 or uint16; see `satgen.sensor`."""
        return self._image("rgb", index)

    def depth(self, index: int) -> NDArray[np.float64]:
        """Depth (H, W) float64 in metres, 0 where there is none."""
        return np.asarray(self._image("depth", index) * float(self.description["depth_scale"]))

    def parts(self, index: int) -> PartLabels:
        """Part labels (H, W), 0 for background; uint8, or uint16 of a target with more than 255."""
        return self._image("parts", index)

    def shadow(self, index: int) -> NDArray[np.uint8]:
        """Shadow labels (H, W) uint8, by `SHADOW_LABELS`.

        Raises:
            InputError: the dataset has none; it was rendered without --shadow.
        """
        self._check_kind("shadow", "--shadow")
        return np.asarray(self._image("shadow", index), dtype=np.uint8)

    def normals(self, index: int) -> NDArray[np.float64]:
        """Surface normals (H, W, 3) float64, camera axes, on the camera's side; 0 for background.

        Raises:
            InputError: the dataset has none; it was rendered without --normals.
        """
        self._check_kind("normals", "--normals")
        return decode_normals(self._image("normals", index))

    def flow_forward(self, index: int) -> Flow:
        """Flow of a frame's pixels to the index a step later, to 1/64 pixel, as it was kept.

        Raises:
            InputError: the dataset has none; it was rendered without --flow.
        """
        self._check_kind("flow_forward", "--flow")
        return decode_flow(self._image("flow_forward", index))

    def flow_backward(self, index: int) -> Flow:
        """The same to the index a step earlier."""
        self._check_kind("flow_backward", "--flow")
        return decode_flow(self._image("flow_backward", index))

    def _check_kind(self, kind: str, option: str) -> None:
        if kind not in described_images(self.description):
            raise InputError(f"{self.folder}: has no {kind} images; render it with {option}")

    def _image(self, kind: str, index: int) -> NDArray[Any]:
        """One image of a frame; of a dataset that is not finished, too, where it is there."""
        path = image_path(self.folder, kind, index)
        if not path.exists() and (self.folder / FRAMES_PARQUET).exists():
            self._row(index)  # rather than of a file, speak of an index that is not there
        image = read_image(path)
        three = image.ndim == 3
        coloured = kind not in ("rgb", "depth", "parts", "shadow")
        shape = (self.camera.height, self.camera.width)
        if image.shape[:2] != shape or (kind != "rgb" and three != coloured):
            found = " x ".join(map(str, image.shape))
            raise InputError(f"{path}: is an image of {found}, no {kind} image of this dataset")
        return image

    # --- frames

    @overload
    def __getitem__(self, index: int) -> Frame: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[np.integer[Any]]) -> Dataset: ...

    def __getitem__(
        self, index: int | slice | Sequence[int] | NDArray[np.integer[Any]]
    ) -> Frame | Dataset:
        """The frame of an observation index, or the dataset of several; see the class.

        Raises:
            InputError: an index that is not there, with the nearest that is; no index.
        """
        if isinstance(index, slice):
            return self._view(self._sliced(index))
        if np.ndim(index) == 0:
            return self._frame(self._row(_whole_number(index)))
        numbers = [_whole_number(number) for number in np.asarray(index, dtype=object)]
        return self._view(sorted({self._row(number) for number in numbers}))

    def _frame(self, row: int) -> Frame:
        index = int(self.indices[row])
        return Frame(
            index=index,
            pose=np.asarray(self.poses[row]),
            camera=self.camera,
            sun=self._columns("sun_x", "sun_y", "sun_z")[row],
            target=self.name,
            model_sha256=self._target("sha256"),
            part_names=self.part_names,
            images=partial(self._read, index),
            source=str(self.folder),
        )

    def _read(self, index: int, kind: str) -> Any:
        """An image of a frame as `Frame` has it."""
        readers: dict[str, Callable[[int], Any]] = {
            "rgb": self.rgb,
            "depth": self.depth,
            "parts": self.parts,
            "shadow": self.shadow,
            "normals": self.normals,
            "flow_forward": self.flow_forward,
            "flow_backward": self.flow_backward,
        }
        return readers[kind](index)

    def __iter__(self) -> Iterator[Frame]:
        """The frames, by index."""
        return (self._frame(row) for row in range(len(self)))

    def _sliced(self, wanted: slice) -> list[int]:
        """Rows of the indices in a range, which counts from its start, or from the first frame."""
        step = 1 if wanted.step is None else _whole_number(wanted.step)
        if step < 1:
            raise InputError(f"step {step}: must be 1 or more")
        start = int(self.indices[0]) if len(self) else 0
        if wanted.start is not None:
            start = _whole_number(wanted.start)
        stop = int(self.indices[-1]) + 1 if len(self) else 0
        if wanted.stop is not None:
            stop = _whole_number(wanted.stop)
        if min(start, stop) < 0:
            raise InputError(
                f"frames [{start}:{stop}]: {_INDEXING}; they do not count from the end"
            )
        chosen = range(start, stop, step)
        return [row for index, row in self._rows.items() if index in chosen]

    def _view(self, rows: Sequence[int]) -> Dataset:
        """A dataset of some of the frames, on the same files."""
        view = Dataset.__new__(Dataset)
        view.folder, view.description, view.whole = self.folder, self.description, False
        at = np.asarray(rows, dtype=np.intp)
        view._table = {name: column[at] for name, column in self._table.items()}
        return view

    def pair(self, i: int, j: int) -> TwoViews:
        """Frames i and j with the exact truth about them: relative pose, warp, optical flow."""
        return TwoViews(self[i], self[j])

    def flow(self, i: int, j: int) -> Flow:
        """Exact optical flow of frame i's pixels into frame j, with masks: see `TwoViews.flow`."""
        return self.pair(i, j).flow

    def points(self, i: int) -> SurfacePoints:
        """The surface that frame i shows: a target-frame point and a part label for each pixel."""
        return self[i].points


_INDEXING = "must be an observation index, such as data[361], or several, such as data[400:500:5]"


def _whole_number(value: Any) -> int:
    """An integer of Python or NumPy; InputError for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"frame {value!r}: {_INDEXING}") from None


def folder_of(data: str | os.PathLike[str] | Dataset) -> Path:
    """The folder of a dataset, for what reads all of it.

    Raises:
        InputError: it is a part of a dataset.
    """
    if not isinstance(data, Dataset):
        return Path(data)
    if not data.whole:
        raise InputError(f"{data!r}: some frames of a dataset; this takes whole datasets")
    return data.folder


Datasets = str | Path | Dataset | Sequence[str | Path | Dataset]
"""Folders or datasets, one or several."""


def open_datasets(datasets: Datasets) -> dict[str, Dataset]:
    """Datasets by the name of their folder, in the order given; each one's table has been read.

    Raises:
        InputError: none, one that cannot be read, or two of a name.
    """
    opened: dict[str, Dataset] = {}
    for item in [datasets] if isinstance(datasets, str | Path | Dataset) else datasets:
        data = item if isinstance(item, Dataset) else Dataset(Path(item))
        name = data.folder.resolve().name
        if name in opened:
            raise InputError(f"{data.folder}: another dataset is called {name} too; rename one")
        opened[name] = data
        _ = data.indices  # a dataset that is not whole says so here
    if not opened:
        raise InputError("no datasets: at least one is needed")
    return opened


def check_frames(data: Dataset, indices: Iterable[int], kinds: Sequence[str]) -> None:
    """Check that the images of frames are there.

    Args:
        data: the dataset.
        indices: of the frames.
        kinds: of images, some of `IMAGES`.

    Raises:
        InputError: one is missing.
    """
    for index in indices:
        for kind in kinds:
            path = image_path(data.folder, kind, index)
            if not path.is_file():
                raise InputError(f"{path}: missing; `satgen render` completes a dataset")


def read_image(path: str | Path) -> NDArray[Any]:
    """An image of a dataset, RGB order, with its own bit depth.

    Raises:
        InputError: the file is missing or no image.
    """
    image = decode_png(read_limited(path))
    if image is None:
        raise InputError(f"{path}: not a readable PNG image")
    return np.ascontiguousarray(image)
