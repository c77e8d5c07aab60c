"""Where the Earth is and how it is turned at each observation, and how much sun it leaves.

The target flies on a circular orbit. Its local-vertical axes are x along the velocity, y against
the orbit's normal, z to nadir; a trajectory says how the target is turned to them
(`Motion.local_vertical`). The angle flown since index 1 is the orbital rate times the row's time:
the ground moves below every trajectory as it does below a satellite, and the same index sees the
same ground.

Equatorial axes (J2000) have x to the vernal equinox and z to the north pole; the Earth's own turn
with it, x toward the meridian of Greenwich.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from satgen.geometry import Floats, axis_rotation
from satgen.surroundings.config import EARTH_TURN, Surroundings
from satgen.trajectory import Observations, Orbit, TrajectoryConfig
from satgen.trajectory.motion import INDEX_MIN

SUN_RADIUS_DEG = 0.26656
"""Angular radius of the sun from a distance of one astronomical unit."""


@dataclass(frozen=True)
class Place:
    """Where N observations are made from.

    Attributes:
        nadir: (N, 3) unit vectors from the target to the Earth, camera frame.
        ground_from_cam: (N, 3, 3) rotation of camera axes to the Earth's.
        sky_from_cam: (N, 3, 3) rotation of camera axes to equatorial ones.
        sunlight: (N,) share of the sun's light that the Earth lets by, 0 to 1.
    """

    nadir: Floats
    ground_from_cam: Floats
    sky_from_cam: Floats
    sunlight: Floats

    def take(self, rows: NDArray[np.intp]) -> Place:
        """The given rows, copied."""
        return Place(*(array[rows] for array in vars(self).values()))

    def turned(self, turn: Floats) -> Place:
        """The same for cameras that are turned: (N, 3, 3), from axes before to axes after."""
        back = np.swapaxes(turn, -1, -2)
        nadir = np.einsum("nij,nj->ni", turn, self.nadir)
        return Place(nadir, self.ground_from_cam @ back, self.sky_from_cam @ back, self.sunlight)


def flown_angle(
    surroundings: Surroundings, trajectory: TrajectoryConfig, observations: Observations
) -> Floats:
    """Angle (N,) flown along the orbit since index 1, radians.

    A trajectory `orbit` has a period of its own, whatever the altitude.
    """
    motion = trajectory.motion
    period = motion.period_s if isinstance(motion, Orbit) else surroundings.period_s
    since = observations.time_s - INDEX_MIN * motion.frame_s
    return np.asarray(2.0 * math.pi / period * since)


def places(
    surroundings: Surroundings,
    trajectory: TrajectoryConfig,
    observations: Observations,
    sun: Floats,
) -> Place:
    """Where observations are made from.

    Args:
        surroundings: the orbit.
        trajectory: has the period, and how the target is turned.
        observations: N of them.
        sun: (N, 3) unit vectors from the target to the sun, camera frame.
    """
    angle = flown_angle(surroundings, trajectory, observations)
    local = trajectory.motion.local_vertical(observations, angle)
    cam_from_local = observations.T_cam_target[:, :3, :3] @ local
    nadir = np.ascontiguousarray(cam_from_local[:, :, 2])
    sky_from_local = _orbit_plane(surroundings) @ local_vertical_axes(angle)
    sky = sky_from_local @ np.swapaxes(cam_from_local, -1, -2)
    turned = math.radians(surroundings.longitude_deg - surroundings.node_deg) - EARTH_TURN * (
        observations.time_s - INDEX_MIN * trajectory.motion.frame_s
    )
    light = np.ones(len(observations))
    if surroundings.eclipse:
        light = sunlight(nadir, sun, surroundings.radius)
    return Place(nadir, axis_rotation(2, turned) @ sky, sky, light)


def local_vertical_axes(angle: Floats) -> Floats:
    """Rotations (N, 3, 3) of local-vertical axes to the orbit's own: x to the ascending node, z its
    normal."""
    cosine, sine, zero = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    velocity = np.stack([-sine, cosine, zero], axis=-1)
    anti_normal = np.stack([zero, zero, zero - 1.0], axis=-1)
    nadir = np.stack([-cosine, -sine, zero], axis=-1)
    return np.stack([velocity, anti_normal, nadir], axis=-1)


def _orbit_plane(surroundings: Surroundings) -> Floats:
    """Rotation (3, 3) of the orbit's axes to equatorial ones."""
    i, node = math.radians(surroundings.inclination_deg), math.radians(surroundings.node_deg)
    ci, si, cn, sn = math.cos(i), math.sin(i), math.cos(node), math.sin(node)
    return np.array([[cn, -sn * ci, sn * si], [sn, cn * ci, -cn * si], [0.0, si, ci]])


def sunlight(nadir: Floats, sun: Floats, radius: float) -> Floats:
    """Share (N,) of the sun's disc that the Earth does not hide: 1 in the sun, 0 in the umbra.

    The overlap of two discs (Montenbruck and Gill, "Satellite Orbits", section 3.4.2), both small;
    the Earth's is so large that its edge before the sun is all but straight.

    Args:
        nadir, sun: (N, 3) unit vectors from the satellite.
        radius: distance from the Earth's centre, Earth radii.
    """
    a, b = math.radians(SUN_RADIUS_DEG), math.asin(1.0 / radius)
    between = np.linalg.norm(np.cross(nadir, sun), axis=-1)
    c = np.arctan2(between, np.sum(nadir * sun, axis=-1))
    x = (c**2 + a**2 - b**2) / (2.0 * np.maximum(c, 1e-12))
    y = np.sqrt(np.maximum(a**2 - x**2, 0.0))
    hidden = (
        a**2 * np.arccos(np.clip(x / a, -1.0, 1.0))
        + b**2 * np.arccos(np.clip((c - x) / b, -1.0, 1.0))
        - c * y
    ) / (math.pi * a**2)
    return np.where(c >= a + b, 1.0, np.where(c <= b - a, 0.0, np.clip(1.0 - hidden, 0.0, 1.0)))
