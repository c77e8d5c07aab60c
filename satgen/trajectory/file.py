"""Poses from the user's own table, CSV or parquet.

Columns: `index` (1..8100), and either the pose, `qw, qx, qy, qz, tx, ty, tz` of T_cam_target as in
a dataset's frame table (so that table itself may be given), or the angles, `azimuth_deg` and
`elevation_deg`, with `distance_m` and `roll_deg` if they differ from the configuration's. Where
both are there the pose counts. Of time and rates only what the table itself says is taken:
`time_s`, else index times the frame period; `wx, wy, wz`, the angular velocity in rad/s as
`Observations` has it, else NaN, for poses at given moments do not say how the target turned between
them. Other columns are ignored. Rows may come in any order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError, cut
from satgen.geometry import (
    Floats,
    continuous_quaternions,
    make_pose,
    matrix_to_quaternion,
    normalise,
    quaternion_to_matrix,
)
from satgen.parquet import column_list, read_table
from satgen.reading import read_limited
from satgen.trajectory.angles import angles_from_pose, pose_from_angles
from satgen.trajectory.motion import INDEX_MAX, INDEX_MIN, Motion, Observations, frame_period
from satgen.trajectory.roll import Roll

if TYPE_CHECKING:
    from satgen.trajectory.config import TrajectoryConfig

POSE_COLUMNS = ("qw", "qx", "qy", "qz", "tx", "ty", "tz")
ANGLE_COLUMNS = ("azimuth_deg", "elevation_deg")
OPTIONAL_COLUMNS = ("distance_m", "roll_deg")
RATE_COLUMNS = ("wx", "wy", "wz")
TIME_COLUMN = "time_s"

UNIT_TOLERANCE = 1e-4
"""How far a quaternion's length may be from 1: room for tables written with five digits. The
quaternion is scaled to unit length afterwards."""

MOST_M = 1e9
"""Farthest place of the target, metres: beyond it a picture cannot be computed."""

TABLE = "trajectory"
"""Stem of the copy of a user's pose table inside a dataset."""


@dataclass(frozen=True)
class PoseFile(Motion):
    """Poses from a table.

    Attributes:
        path: of the CSV or parquet file.
        sha256: of its bytes; taken of the file where it is not given.
        dt_s: seconds from one index to the next, of a table without times.

    Raises:
        InputError: no path, or a file that cannot be read.
    """

    path: str | Path
    sha256: str = ""
    dt_s: float = frame_period()

    kind: ClassVar[str] = "file"
    aimed: ClassVar[bool] = False
    smooth: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "path", str(self.path))
        if not self.sha256:
            digest = hashlib.sha256(read_limited(self.path)).hexdigest()
            object.__setattr__(self, "sha256", digest)

    @classmethod
    def named(cls, argument: str) -> PoseFile:
        """The trajectory of the table at a path."""
        if not argument:
            raise InputError("trajectory 'file': must be file:PATH")
        return cls(argument)

    @property
    def spec(self) -> str:
        """The text "file:PATH", which asks for this table."""
        return f"file:{self.path}"

    def words(self) -> list[str]:
        """The options that ask for this table."""
        return ["--trajectory", self.spec, *([] if self.dt_s == 1.0 else ["--dt", repr(self.dt_s)])]

    @property
    def frame_s(self) -> float:
        """The frame period: seconds from one index to the next."""
        return self.dt_s

    @property
    def table(self) -> Path:
        """The path of the table."""
        return Path(self.path)

    def in_folder(self, folder: Path) -> PoseFile:
        """The trajectory of the table's copy in a dataset's folder."""
        return replace(self, path=str(folder / self.copy))

    @property
    def copy(self) -> str:
        """Name, inside a dataset, of the copy of the table."""
        return TABLE + self.table.suffix.lower()

    def to_json(self) -> dict[str, Any]:
        """The name of the table's copy, and the hash of its content."""
        return {"path": self.copy, "sha256": self.sha256, "dt_s": self.dt_s}

    @classmethod
    def from_json(cls, params: Mapping[str, Any]) -> PoseFile:
        """Inverse of `to_json`; `in_folder` finds the copy."""
        if "path" not in params:
            raise InputError("trajectory file: needs the path of a CSV or parquet file")
        return super().from_json(params)

    def sweep(self, config: TrajectoryConfig) -> Observations:
        """The indices that the table has."""
        return read_poses(self, config)


class _Table:
    """Numeric columns of a file, with the place of each row for messages."""

    def __init__(self, path: str, columns: dict[str, list[Any]], places: list[str]) -> None:
        self.path, self.columns, self.places = path, columns, places

    def fail(self, column: str, row: int, problem: str) -> InputError:
        return InputError(f"{self.path}: column {column}, {self.places[row]}: {problem}")

    def numbers(self, column: str, unknown: bool = False) -> Floats:
        """A column as finite floats, NaN among them if it may say that it does not know."""
        values = np.empty(len(self.places))
        for row, cell in enumerate(self.columns[column]):
            try:
                values[row] = float(cell)
            except (TypeError, ValueError, OverflowError):
                raise self.fail(column, row, f"{cut(repr(cell))} is not a number") from None
            if not (math.isfinite(values[row]) or (unknown and math.isnan(values[row]))):
                raise self.fail(column, row, f"{cell} must be a finite number")
        return values


_COLUMNS = (
    "index",
    *POSE_COLUMNS,
    *ANGLE_COLUMNS,
    *OPTIONAL_COLUMNS,
    *RATE_COLUMNS,
    TIME_COLUMN,
)


def _read_table(path: str, data: bytes) -> _Table:
    """Rows of a CSV or parquet file. The suffix decides which, `.parquet` or anything else."""
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        try:
            table = read_table(data, _COLUMNS, INDEX_MAX)
            columns = {name: column_list(table[name]) for name in table.column_names}
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error
        return _Table(path, columns, [f"row {row + 1}" for row in range(table.num_rows)])
    import csv

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 (byte {error.start})") from error
    reader = csv.reader(text.splitlines(), skipinitialspace=True)
    header = [name.strip() for name in next(reader, [])]
    if "index" not in header:
        raise InputError(
            f"{path}: column index is missing; the first line must name the columns, with commas "
            f"between, and is {cut(','.join(header))!r}"
        )
    for name in _COLUMNS:
        if header.count(name) > 1:
            raise InputError(f"{path}: column {name} is there twice")
    rows: list[list[str]] = []
    places: list[str] = []
    try:
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(
                    f"{path}: line {reader.line_num}: {len(row)} columns, the header has "
                    f"{len(header)}"
                )
            if len(rows) == INDEX_MAX:
                raise InputError(f"{path}: more than {INDEX_MAX} rows, one for each index")
            rows.append(row)
            places.append(f"line {reader.line_num}")
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: {error}") from error
    return _Table(path, {name: [row[i] for row in rows] for i, name in enumerate(header)}, places)


def _index_column(table: _Table) -> NDArray[np.int64]:
    """The index column: whole numbers in range, none twice."""
    values = table.numbers("index")
    seen: dict[float, int] = {}
    for row, value in enumerate(values):
        if value != int(value) or not INDEX_MIN <= value <= INDEX_MAX:
            problem = f"{value:g} must be a whole number from {INDEX_MIN} to {INDEX_MAX}"
            raise table.fail("index", row, problem)
        if value in seen:
            first = table.places[seen[value]]
            raise table.fail("index", row, f"{value:g} was already given in {first}")
        seen[value] = row
    return values.astype(np.int64)


def read_poses(file: PoseFile, config: TrajectoryConfig) -> Observations:
    """Observations of every row of a file, ordered by index.

    Raises:
        InputError: the file is missing, has changed since its SHA-256 was taken, lacks columns, or
            holds a value that is no pose: the message names file, column and row.
    """
    path = str(file.path)
    data = read_limited(path)
    digest = hashlib.sha256(data).hexdigest()
    if file.sha256 != digest:
        raise InputError(
            f"{path}: has changed, its SHA-256 is {digest[:12]}... and not "
            f"{file.sha256[:12]}... as recorded"
        )
    table = _read_table(path, data)
    if "index" not in table.columns:
        raise InputError(f"{path}: column index is missing")
    if not table.places:
        raise InputError(f"{path}: has no rows")
    index = _index_column(table)
    order = np.argsort(index)
    if any(name in table.columns for name in POSE_COLUMNS):
        poses, angles = _poses_of_quaternions(config, table)
    else:
        poses, angles = _poses_of_angles(config, table, index)
    azimuth, elevation, roll, distance = angles
    sweep = Observations(
        index,
        azimuth,
        elevation,
        roll,
        distance,
        poses,
        matrix_to_quaternion(poses[:, :3, :3]),
        _times(table, np.asarray(index * file.frame_s), order),
        _rates(table),
    ).take(order)
    return replace(sweep, quaternion=continuous_quaternions(sweep.quaternion))


def _times(table: _Table, regular: Floats, order: NDArray[np.intp]) -> Floats:
    """Times (N,) s in the order of the rows; they must ascend with the index."""
    if TIME_COLUMN not in table.columns:
        return regular
    times = table.numbers(TIME_COLUMN)
    back = np.flatnonzero(np.diff(times[order]) <= 0.0)
    if len(back):
        row = int(order[back[0] + 1])
        raise table.fail(TIME_COLUMN, row, f"{times[row]:g} must be more than the index before has")
    return times


def _rates(table: _Table) -> Floats:
    """Angular velocities (N, 3) rad/s in the order of the rows; NaN where there are none."""
    given = [name for name in RATE_COLUMNS if name in table.columns]
    if not given:
        return np.full((len(table.places), 3), np.nan)
    for name in RATE_COLUMNS:
        if name not in given:
            raise InputError(f"{table.path}: column {name} is missing (there is {given[0]})")
    return np.stack([table.numbers(name, unknown=True) for name in RATE_COLUMNS], axis=-1)


def _require(table: _Table, names: tuple[str, ...]) -> None:
    """InputError if a column is missing."""
    for name in names:
        if name not in table.columns:
            raise InputError(
                f"{table.path}: column {name} is missing (needs {', '.join(POSE_COLUMNS)} or "
                f"{', '.join(ANGLE_COLUMNS)})"
            )


def _poses_of_quaternions(
    config: TrajectoryConfig, table: _Table
) -> tuple[Floats, tuple[Floats, Floats, Floats, Floats]]:
    """Poses (N, 4, 4) in the order of the rows, and their angles."""
    _require(table, POSE_COLUMNS)
    if config.roll != Roll():
        raise InputError(f"roll {config.roll.spec}: {table.path} gives whole poses, use 0")
    values = np.stack([table.numbers(name) for name in POSE_COLUMNS], axis=-1)
    lengths = np.linalg.norm(values[:, :4], axis=-1)
    bad = np.flatnonzero(np.abs(lengths - 1.0) > UNIT_TOLERANCE)
    if len(bad):
        problem = f"the quaternion qw, qx, qy, qz has length {lengths[bad[0]]:.6g}, must be 1"
        raise table.fail("qw", int(bad[0]), problem)
    away = np.max(np.abs(values[:, 4:]), axis=-1)
    far = np.flatnonzero(away > MOST_M)
    if len(far):
        row = int(far[0])
        name = POSE_COLUMNS[4 + int(np.argmax(np.abs(values[row, 4:])))]
        raise table.fail(name, row, f"{away[row]:g} metres away, must be at most {MOST_M:g}")
    poses = make_pose(quaternion_to_matrix(normalise(values[:, :4])), values[:, 4:])
    aim_z = (poses[:, :3, :3] @ np.array(config.aim))[:, 2] + poses[:, 2, 3]
    behind = np.flatnonzero(aim_z <= 0.0)
    if len(behind):
        problem = f"the target is behind the camera (z = {aim_z[behind[0]]:.6g} m)"
        raise table.fail("tz", int(behind[0]), problem)
    return poses, angles_from_pose(poses, config.aim)


def _poses_of_angles(
    config: TrajectoryConfig, table: _Table, index: NDArray[np.int64]
) -> tuple[Floats, tuple[Floats, Floats, Floats, Floats]]:
    """Poses (N, 4, 4) in the order of the rows, and their angles, of a table of angles."""
    _require(table, ANGLE_COLUMNS)
    azimuth, elevation = (table.numbers(name) for name in ANGLE_COLUMNS)
    high = np.flatnonzero(np.abs(elevation) > 90.0)
    if len(high):
        problem = f"{elevation[high[0]]:g} must be between -90 and 90 degrees"
        raise table.fail("elevation_deg", int(high[0]), problem)
    defaults = {
        "distance_m": np.full(len(azimuth), config.distance_m),
        "roll_deg": config.roll.angle_deg(index),
    }
    distance, roll = (
        table.numbers(name) if name in table.columns else defaults[name]
        for name in OPTIONAL_COLUMNS
    )
    near = np.flatnonzero(distance <= 0.0)
    if len(near):
        problem = f"{distance[near[0]]:g} must be more than 0 metres"
        raise table.fail("distance_m", int(near[0]), problem)
    far = np.flatnonzero(distance > MOST_M)
    if len(far):
        problem = f"{distance[far[0]]:g} must be at most {MOST_M:g} metres"
        raise table.fail("distance_m", int(far[0]), problem)
    poses = pose_from_angles(azimuth, elevation, distance, roll, config.aim)
    return poses, (azimuth, elevation, roll, distance)
