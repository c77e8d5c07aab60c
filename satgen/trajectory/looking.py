"""Observations of a camera that looks at the aim point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satgen.geometry import Floats, continuous_quaternions, matrix_to_quaternion
from satgen.trajectory.angles import (
    angles_from_pose,
    angular_velocity,
    look_pose,
    pose_from_angles,
    quaternion_from_angles,
)
from satgen.trajectory.motion import Observations

if TYPE_CHECKING:
    from satgen.trajectory.config import TrajectoryConfig


def looking_from(
    azimuth: Floats,
    elevation: Floats,
    speed: tuple[Floats, Floats],
    index: NDArray[np.int64],
    config: TrajectoryConfig,
) -> Observations:
    """Observations of a camera at given angles in degrees, (N,) each.

    Args:
        azimuth, elevation: of the camera.
        speed: how fast the two change, degrees an index, (N,) each.
        index: observation indices.
        config: has distance, aim point, roll and the frame period.
    """
    roll = config.roll.angle_deg(index)
    distance = np.full(len(index), config.distance_m)
    turns = angular_velocity(azimuth, elevation, *speed, config.roll.speed_deg(index))
    return Observations(
        index,
        azimuth,
        elevation,
        roll,
        distance,
        pose_from_angles(azimuth, elevation, distance, roll, config.aim),
        continuous_quaternions(quaternion_from_angles(azimuth, elevation, roll)),
        np.asarray(index * config.motion.frame_s),
        np.deg2rad(turns) / config.motion.frame_s,
    )


def looking_along(
    rotation: Floats,
    distance: Floats,
    velocity: Floats,
    inertial: tuple[Floats, Floats],
    index: NDArray[np.int64],
    config: TrajectoryConfig,
) -> Observations:
    """Observations of a camera with given rotations of T_cam_target.

    Args:
        rotation: (N, 3, 3), without the roll.
        distance: (N,) to the aim point, metres.
        velocity: (N, 3) angular velocity of the target relative to the camera without its roll,
            target axes, rad/s.
        inertial: the rotation of inertial to target axes, (N, 3, 3), and the target's angular
            velocity in the inertial frame, (N, 3), target axes, rad/s.
        index: (N,) observation indices.
        config: has aim point, roll and the frame period.
    """
    rolled = _rolled(rotation, np.deg2rad(config.roll.angle_deg(index)))
    poses = look_pose(rolled, distance, config.aim)
    azimuth, elevation, roll, _ = angles_from_pose(poses, config.aim)
    # The camera rolls about its axis, so the target turns about the way back, the other way.
    speed = np.deg2rad(config.roll.speed_deg(index)) / config.motion.frame_s
    return Observations(
        index,
        azimuth,
        elevation,
        roll,
        distance,
        poses,
        continuous_quaternions(matrix_to_quaternion(rolled)),
        np.asarray(index * config.motion.frame_s),
        velocity - speed[:, None] * rolled[:, 2],
        inertial[0],
        continuous_quaternions(matrix_to_quaternion(np.swapaxes(inertial[0], -1, -2))),
        inertial[1],
    )


def _rolled(rotation: Floats, angle: Floats) -> Floats:
    """Rotations (N, 3, 3) of cameras that have rolled by radians (N,) about their axes."""
    x, y, z = np.moveaxis(rotation, -2, 0)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([cos * x + sin * y, cos * y - sin * x, z], axis=-2)
