"""Motion blur: how the target moves while the shutter is open.

The exposure is centred on the moment of the frame's pose: depth, parts, keypoints and all other
truth are of that moment. While it lasts the target turns about the aim point with the frame's
angular velocity, which stays as it is; sun and Earth stay with the target. Where that moves no part
of it by more than `LEAST_PX`, nothing is done; else radiance is averaged over moments so close that
nothing moves by more than half a pixel from one to the next. These are shaded in the light of the
frame, with its shadow map: none of them is a frame of its own.
"""

from __future__ import annotations

import math

import numpy as np

from satgen.camera import Camera
from satgen.geometry import Floats, make_pose, transform

LEAST_PX = 0.5
"""Movement during the exposure, pixels, up to which a frame is sharp."""

MOST = 64
"""Moments at most: beyond 32 pixels of blur they lie more than half a pixel apart."""


def poses_during(
    pose: Floats,
    velocity: Floats,
    exposure_s: float,
    aim: Floats,
    corners: Floats,
    camera: Camera,
) -> Floats | None:
    """Poses (M, 4, 4) of M moments, evenly over the exposure; None where the frame is sharp.

    Args:
        pose: (4, 4) T_cam_target at the middle.
        velocity: (3,) angular velocity of the target relative to the camera, target axes, rad/s;
            NaN: not known, and the frame is sharp.
        exposure_s: seconds.
        aim: (3,) what the target turns about, target frame.
        corners: (8, 3) of a box around the target, target frame.
        camera: intrinsics.
    """
    if exposure_s <= 0.0 or not np.isfinite(velocity).all():
        return None
    ends = [
        camera.pinhole.project(transform(end, corners))
        for end in _turned(pose, velocity, aim, np.array([-0.5, 0.5]) * exposure_s)
    ]
    moved = np.linalg.norm(ends[1] - ends[0], axis=-1)
    # A corner behind the camera moves by who knows how much.
    most = float(np.nan_to_num(moved, nan=float(MOST)).max())
    if most <= LEAST_PX:
        return None
    count = min(max(math.ceil(2.0 * most), 2), MOST)
    return _turned(pose, velocity, aim, ((np.arange(count) + 0.5) / count - 0.5) * exposure_s)


def _turned(pose: Floats, velocity: Floats, aim: Floats, times: Floats) -> Floats:
    """Poses (M, 4, 4) at times (M,) seconds from the given one: dR/dt = R [w]x, the aim at rest."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(times[:, None] * velocity).as_matrix()
    rotation = pose[:3, :3] @ turn
    held = pose[:3, :3] @ aim + pose[:3, 3]
    return make_pose(rotation, held - rotation @ aim)
