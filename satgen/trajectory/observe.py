"""From a configuration and indices to observations.

The whole sweep of a configuration is computed once and kept, and rows are taken out of it: so an
index has the same bits whatever subset it is asked for in, and the quaternion's sign, which is
made continuous from index 1 on, is the same too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.geometry import continuous_quaternions, matrix_to_quaternion
from satgen.trajectory.angles import (
    angles_from_pose,
    look_pose,
    pose_from_angles,
    quaternion_from_angles,
)
from satgen.trajectory.config import INDEX_MAX, INDEX_MIN, Observations, TrajectoryConfig
from satgen.trajectory.file import file_params, read_poses
from satgen.trajectory.grid import grid_angles
from satgen.trajectory.orbit import orbit_views
from satgen.trajectory.spiral import spiral_angles
from satgen.trajectory.tumble import tumble_views

Floats = NDArray[np.float64]


def observe(config: TrajectoryConfig, indices: Iterable[int]) -> Observations:
    """Observations of the given indices, in the given order.

    Raises:
        InputError: an index outside 1..8100 or, for kind file, not in the file; parameters that
            do not fit the kind.
    """
    wanted = _as_indices(indices)
    sweep = _sweep_of(config)
    rows = np.minimum(np.searchsorted(sweep.index, wanted), max(len(sweep) - 1, 0))
    missing = wanted[sweep.index[rows] != wanted]
    if len(missing):
        raise InputError(
            f"index {missing[0]}: not in {config.params.get('path')}, which holds {len(sweep)} "
            f"indices from {sweep.index[0]} to {sweep.index[-1]}"
        )
    return sweep.take(rows)


def available_indices(config: TrajectoryConfig) -> NDArray[np.int64]:
    """The indices that have a pose, ascending: 1..8100, or those in the file of kind file."""
    return np.array(_sweep_of(config).index, dtype=np.int64)


def _as_indices(indices: Iterable[int]) -> NDArray[np.int64]:
    """Indices as (N,) int64; InputError for anything that is not a whole number in range."""
    values = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
    values = values.reshape(-1)
    if values.size == 0:
        return np.zeros(0, dtype=np.int64)
    if values.dtype.kind not in "iu":
        raise InputError(f"index {values[0]}: must be a whole number")
    outside = values[(values < INDEX_MIN) | (values > INDEX_MAX)]
    if len(outside):
        raise InputError(f"index {outside[0]}: must be between {INDEX_MIN} and {INDEX_MAX}")
    return values.astype(np.int64)


def _sweep_of(config: TrajectoryConfig) -> Observations:
    """The whole sweep of a configuration, read-only arrays."""
    data = config.to_json()
    if config.kind == "file":
        config.check_params(("path", "sha256"))
        if "path" not in config.params:
            raise InputError("trajectory file: needs the path of a CSV or parquet file")
        if "sha256" not in config.params:
            data["params"] = file_params(config.params["path"])
    return _sweep(json.dumps(data, sort_keys=True))


@lru_cache(maxsize=4)
def _sweep(key: str) -> Observations:
    """Compute a sweep; the key is the configuration's JSON text."""
    config = TrajectoryConfig.from_json(json.loads(key))
    index = np.arange(INDEX_MIN, INDEX_MAX + 1, dtype=np.int64)
    if config.kind in ("spiral", "grid"):
        config.check_params(())
        azimuth, elevation = (spiral_angles if config.kind == "spiral" else grid_angles)(index)
        sweep = _from_angles(config, index, azimuth, elevation)
    elif config.kind == "file":
        sweep = read_poses(config)
    else:
        views = orbit_views if config.kind == "orbit" else tumble_views
        rotation, distance, inertial = views(config, index)
        sweep = _from_rotations(config, index, rotation, distance, inertial)
    for array in vars(sweep).values():
        if array is not None:
            array.setflags(write=False)
    return sweep


def _from_angles(
    config: TrajectoryConfig, index: NDArray[np.int64], azimuth: Floats, elevation: Floats
) -> Observations:
    """Observations of a camera at given angles in degrees, (N,) each."""
    roll = np.full(len(index), config.roll_deg)
    distance = np.full(len(index), config.distance_m)
    return Observations(
        index,
        azimuth,
        elevation,
        roll,
        distance,
        pose_from_angles(azimuth, elevation, distance, roll, config.aim),
        continuous_quaternions(quaternion_from_angles(azimuth, elevation, roll)),
    )


def _from_rotations(
    config: TrajectoryConfig,
    index: NDArray[np.int64],
    rotation: Floats,
    distance: Floats,
    inertial: Floats,
) -> Observations:
    """Observations of a camera that looks at the aim point with rotations (N, 3, 3)."""
    poses = look_pose(rotation, distance, config.aim)
    azimuth, elevation, roll, _ = angles_from_pose(poses, config.aim)
    quaternion = continuous_quaternions(matrix_to_quaternion(rotation))
    return Observations(index, azimuth, elevation, roll, distance, poses, quaternion, inertial)
