"""Observations of a camera that looks at the aim point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satgen.geometry import continuous_quaternions, matrix_to_quaternion
from satgen.trajectory.angles import (
    angles_from_pose,
    look_pose,
    pose_from_angles,
    quaternion_from_angles,
)
from satgen.trajectory.motion import Floats, Observations

if TYPE_CHECKING:
    from satgen.trajectory.config import TrajectoryConfig


def looking_from(
    azimuth: Floats, elevation: Floats, index: NDArray[np.int64], config: TrajectoryConfig
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


def looking_along(
    rotation: Floats,
    distance: Floats,
    inertial: Floats,
    index: NDArray[np.int64],
    config: TrajectoryConfig,
) -> Observations:
    """Observations of a camera with given rotations of T_cam_target.

    Args:
        rotation: (N, 3, 3).
        distance: (N,) to the aim point, metres.
        inertial: (N, 3, 3) inertial to target axes.
        index: (N,) observation indices.
        config: has the aim point.
    """
    poses = look_pose(rotation, distance, config.aim)
    azimuth, elevation, roll, _ = angles_from_pose(poses, config.aim)
    quaternion = continuous_quaternions(matrix_to_quaternion(rotation))
    return Observations(index, azimuth, elevation, roll, distance, poses, quaternion, inertial)
