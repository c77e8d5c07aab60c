"""Spherical angles of a view and the pose they stand for.

The camera stands in direction d = (cos el cos az, cos el sin az, sin el) of the aim point, in the
target frame, and looks back at it. At roll 0 the camera's x axis points east (growing azimuth) and
its y axis south (falling elevation), so that image-up is toward the target's +z. Everything is
built from the angles themselves, not from a look-at with a fixed up vector: there is no
singularity at the poles, where azimuth and roll turn about the same axis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from satgen.geometry import Floats, axis_quaternion, make_pose, quaternion_multiply

_FRONT = np.array([0.5, 0.5, 0.5, -0.5])
"""Quaternion (w, x, y, z) of the pose at azimuth, elevation and roll 0, where the camera's
x, y, z axes are the target's +y, -z, -x."""


def _radians(angle_deg: ArrayLike) -> Floats:
    """Radians of degrees reduced by whole double turns, which keep even a quaternion's sign."""
    return np.asarray(np.deg2rad(np.fmod(np.asarray(angle_deg, dtype=np.float64), 720.0)))


def camera_direction(azimuth_deg: ArrayLike, elevation_deg: ArrayLike) -> Floats:
    """Unit vectors (..., 3) from the aim point to the camera, target frame."""
    az, el = np.broadcast_arrays(_radians(azimuth_deg), _radians(elevation_deg))
    return np.stack([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)], axis=-1)


def rotation_from_angles(
    azimuth_deg: ArrayLike, elevation_deg: ArrayLike, roll_deg: ArrayLike = 0.0
) -> Floats:
    """Rotation part (..., 3, 3) of T_cam_target: its rows are the camera axes in target axes."""
    az, el, roll = np.broadcast_arrays(
        _radians(azimuth_deg), _radians(elevation_deg), _radians(roll_deg)
    )
    ca, sa, ce, se = np.cos(az), np.sin(az), np.cos(el), np.sin(el)
    cr, sr = np.cos(roll)[..., None], np.sin(roll)[..., None]
    east = np.stack([-sa, ca, np.zeros_like(sa)], axis=-1)
    south = np.stack([se * ca, se * sa, -ce], axis=-1)
    forward = np.stack([-ce * ca, -ce * sa, -se], axis=-1)
    return np.stack([cr * east + sr * south, cr * south - sr * east, forward], axis=-2)


def quaternion_from_angles(
    azimuth_deg: ArrayLike, elevation_deg: ArrayLike, roll_deg: ArrayLike = 0.0
) -> Floats:
    """Unit quaternion (..., 4), (w, x, y, z), of `rotation_from_angles`.

    Continuous in all three angles over any number of turns: its sign has period 720 degrees.
    """
    az, el, roll = np.broadcast_arrays(
        _radians(azimuth_deg), _radians(elevation_deg), _radians(roll_deg)
    )
    pitch = quaternion_multiply(_FRONT, axis_quaternion("y", el))
    view = quaternion_multiply(pitch, axis_quaternion("z", -az))
    return quaternion_multiply(axis_quaternion("z", -roll), view)


def angular_velocity(
    azimuth_deg: ArrayLike,
    elevation_deg: ArrayLike,
    azimuth_speed: ArrayLike,
    elevation_speed: ArrayLike,
    roll_speed: ArrayLike = 0.0,
) -> Floats:
    """Angular velocity (..., 3) of the target relative to the camera, target axes.

    With R = `rotation_from_angles`, dR/dt = R [w]x. In the unit of the three speeds.
    """
    az = _radians(azimuth_deg)
    turn, rise, roll = np.broadcast_arrays(
        *(np.asarray(s, dtype=np.float64) for s in (azimuth_speed, elevation_speed, roll_speed))
    )
    east = np.stack([-np.sin(az), np.cos(az), np.zeros_like(az)], axis=-1)
    up = np.array([0.0, 0.0, 1.0])
    # The camera turns about +z, rises about -east and rolls about the way forward; seen from it,
    # the target does the opposite.
    back = camera_direction(azimuth_deg, elevation_deg)
    return np.asarray(rise[..., None] * east - turn[..., None] * up + roll[..., None] * back)


def pose_from_angles(
    azimuth_deg: ArrayLike,
    elevation_deg: ArrayLike,
    distance_m: ArrayLike,
    roll_deg: ArrayLike = 0.0,
    aim: ArrayLike = (0.0, 0.0, 0.0),
) -> Floats:
    """T_cam_target (..., 4, 4) of a camera that looks at `aim` (3,), target frame, metres."""
    return look_pose(rotation_from_angles(azimuth_deg, elevation_deg, roll_deg), distance_m, aim)


def look_pose(rotation: ArrayLike, distance_m: ArrayLike, aim: ArrayLike) -> Floats:
    """T_cam_target (..., 4, 4) of a given rotation with `aim` on the optical axis at distance."""
    R = np.asarray(rotation, dtype=np.float64)
    t = -(R @ np.asarray(aim, dtype=np.float64)[:, None])[..., 0]
    t[..., 2] += np.asarray(distance_m, dtype=np.float64)
    return make_pose(R, t)


def angles_from_pose(
    T_cam_target: ArrayLike,
    aim: ArrayLike = (0.0, 0.0, 0.0),
) -> tuple[Floats, Floats, Floats, Floats]:
    """Angles and distance of poses (..., 4, 4) about `aim` (3,), target frame, metres.

    Returns:
        azimuth_deg in [0, 360), elevation_deg in [-90, 90], roll_deg in (-180, 180] and distance_m,
        each (...). Azimuth, elevation and distance are the camera's position seen from the aim
        point. The roll is the turn about the optical axis from `rotation_from_angles(az, el, 0)`;
        for a camera that does not look at the aim point exactly, it is the twist about z that is
        left of the difference (swing-twist decomposition). At a pole itself azimuth is taken as 0.
    """
    T = np.asarray(T_cam_target, dtype=np.float64)
    R, t = T[..., :3, :3], T[..., :3, 3]
    position = -(np.swapaxes(R, -1, -2) @ t[..., None])[..., 0] - np.asarray(aim, np.float64)
    x, y, z = np.moveaxis(position, -1, 0)
    azimuth = np.rad2deg(np.arctan2(y, x)) % 360.0
    azimuth = np.where(azimuth >= 360.0, 0.0, azimuth)
    elevation = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    residual = R @ np.swapaxes(rotation_from_angles(azimuth, elevation), -1, -2)
    # The twist about z of a rotation is twice atan2(qz, qw), which these sums are proportional to.
    roll = -np.rad2deg(
        np.arctan2(
            residual[..., 1, 0] - residual[..., 0, 1], residual[..., 0, 0] + residual[..., 1, 1]
        )
    )
    roll = np.where(roll <= -180.0, roll + 360.0, roll)
    return azimuth, elevation, roll, np.linalg.norm(position, axis=-1)
