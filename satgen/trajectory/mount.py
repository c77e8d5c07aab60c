"""How a camera sits on what the trajectory moves.

A trajectory moves a frame that looks at the aim point along its z axis. A camera is that frame but
for a mounting: turned, so that the aim point falls elsewhere in the image, or turned and moved, as
one of several cameras of a rig. Angles, distance and roll of an observation are the frame's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from satgen.errors import InputError
from satgen.geometry import (
    Floats,
    continuous_quaternions,
    invert_pose,
    make_pose,
    matrix_to_quaternion,
    quaternion_multiply,
)
from satgen.trajectory.motion import Observations, finite_vector

Mount = tuple[tuple[float, float, float, float], ...]
"""T_cam_rig, 4 × 4: takes coordinates of the trajectory's frame to the camera's, metres."""

TOLERANCE = 1e-6
"""How far the rotation may be from orthonormal."""


def mount_of(matrix: Any, what: str = "mount") -> Mount:
    """A mounting from a 4 × 4 matrix; InputError, naming `what`, where it is no rigid motion."""
    try:
        rows = tuple(finite_vector(row, 4, what) for row in matrix)
    except TypeError:
        rows = ()
    values = np.array(rows, dtype=np.float64)
    if values.shape != (4, 4) or values[3].tolist() != [0.0, 0.0, 0.0, 1.0]:
        raise InputError(f"{what}: must be a 4 x 4 matrix with the last row 0, 0, 0, 1")
    turn = values[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > TOLERANCE or np.linalg.det(turn) < 0.0:
        raise InputError(f"{what}: its upper left 3 x 3 must be a rotation")
    return tuple((row[0], row[1], row[2], row[3]) for row in rows)


def turned_to(ray: Floats) -> Mount:
    """The mounting that turns the camera, the short way, until the aim point lies along a ray.

    Args:
        ray: (3,) camera frame.
    """
    x, y, z = ray / np.linalg.norm(ray)
    # Rodrigues' formula about z x ray, (-y, x, 0).
    shared = 1.0 / (1.0 + z)
    rotation = np.array(
        [
            [1.0 - x * x * shared, -x * y * shared, x],
            [-x * y * shared, 1.0 - y * y * shared, y],
            [-x, -y, z],
        ]
    )
    return mount_of(make_pose(rotation, np.zeros(3)).tolist())


def mounted(observations: Observations, mount: Mount) -> Observations:
    """Observations of a camera that is mounted so."""
    T = np.array(mount)
    quaternion = quaternion_multiply(matrix_to_quaternion(T[:3, :3]), observations.quaternion)
    return replace(
        observations,
        T_cam_target=T @ observations.T_cam_target,
        quaternion=continuous_quaternions(quaternion),
    )


def unmounted(poses: Floats, mount: Mount | None) -> Floats:
    """Poses (N, 4, 4) of the trajectory's frame, from those of a camera that is mounted so."""
    return poses if mount is None else np.asarray(invert_pose(np.array(mount)) @ poses)
