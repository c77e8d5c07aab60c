"""Natural-motion circumnavigation of a nadir-pointing target on a circular orbit.

The chaser drifts around the target on the bounded, thrust-free solution of the Clohessy-Wiltshire
equations, x'' = 3 n^2 x + 2 n y', y'' = -2 n x', z'' = -n^2 z:

    x = rho sin(a),  y = 2 rho cos(a),  z = c rho sin(a + b),  a = n t + a0

with x radially outward, y along the velocity, z along the orbit's normal (the Hill frame), a 2 x 1
ellipse in the orbit plane and an oscillation across it. Any such path lies in a plane through the
target; the camera looks at the target with that plane's normal as image-up, so that nothing is
singular wherever the path leads. The target keeps its local-vertical axes: +z to nadir, +x along
the velocity, +y against the orbit's normal.

The poses do not depend on the length of the period, only on the fraction of it that has passed.
The inertial axes are those of the orbit at index 1: X radially outward, Y along the velocity, Z the
orbit's normal. A sun given in them has the orbit's beta angle as its elevation. The Earth's shadow
is not modelled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.geometry import normalise
from satgen.trajectory.config import INDEX_MAX, INDEX_MIN, TrajectoryConfig, finite

Floats = NDArray[np.float64]

_DEFAULTS: dict[str, float] = {
    "revolutions": 23,
    "cross_track": 1.0,
    "cross_phase_deg": 30.0,
    "start_phase_deg": 0.0,
    "period_s": 5930.0,
}


def orbit_params(
    revolutions: int = 23,
    cross_track: float = 1.0,
    cross_phase_deg: float = 30.0,
    start_phase_deg: float = 0.0,
    period_s: float = 5930.0,
) -> dict[str, Any]:
    """Parameters of kind orbit.

    Args:
        revolutions: whole number of revolutions that the 8100 indices are spread over. 23 makes a
            step of about a degree, as the spiral's; having no factor in common with 8100, it also
            repeats no pose.
        cross_track: c above, amplitude across the orbit plane over the radial amplitude.
        cross_phase_deg: b above. At 90 the path leads through nadir and zenith.
        start_phase_deg: a0 above.
        period_s: orbital period, 5930 s at 705 km; sets the time scale only.
    """
    return {
        "revolutions": revolutions,
        "cross_track": cross_track,
        "cross_phase_deg": cross_phase_deg,
        "start_phase_deg": start_phase_deg,
        "period_s": period_s,
    }


def _checked(config: TrajectoryConfig) -> dict[str, float]:
    """Parameters with defaults filled in; InputError for values out of range."""
    config.check_params(tuple(_DEFAULTS))
    params = {**_DEFAULTS, **config.params}
    values = {name: finite(params[name], name) for name in _DEFAULTS}
    turns = values["revolutions"]
    if turns != int(turns) or not 1 <= turns <= 1000:
        raise InputError(f"revolutions {turns:g}: must be a whole number from 1 to 1000")
    if not 0.0 <= values["cross_track"] <= 100.0:
        raise InputError(f"cross_track {values['cross_track']:g}: must be from 0 to 100")
    if values["period_s"] <= 0.0:
        raise InputError(f"period_s {values['period_s']:g}: must be more than 0 seconds")
    return values


def relative_motion(
    config: TrajectoryConfig, index: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    """Time (N,) s since index 1, position (N, 3) m and velocity (N, 3) m/s in the Hill frame.

    The ellipse is scaled so that its point nearest to the target is at `distance_m`: the target's
    bounding sphere never grows beyond what that distance was chosen for.
    """
    p = _checked(config)
    c, b = p["cross_track"], math.radians(p["cross_phase_deg"])
    # |r|^2 = rho^2 (5/2 + c^2/2 + 3/2 cos 2a - c^2/2 cos(2a + 2b)): mean and amplitude.
    wave = math.hypot(1.5 - c * c / 2.0 * math.cos(2.0 * b), c * c / 2.0 * math.sin(2.0 * b))
    rho = config.distance_m / math.sqrt(2.5 + c * c / 2.0 - wave)
    mean_motion = 2.0 * math.pi / p["period_s"]
    turns = p["revolutions"] * (index - INDEX_MIN) / INDEX_MAX
    a = 2.0 * np.pi * np.mod(turns, 1.0) + math.radians(p["start_phase_deg"])
    position = rho * np.stack([np.sin(a), 2.0 * np.cos(a), c * np.sin(a + b)], axis=-1)
    velocity = rho * np.stack([np.cos(a), -2.0 * np.sin(a), c * np.cos(a + b)], axis=-1)
    return turns * p["period_s"], position, velocity * mean_motion


_TARGET_HILL = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
"""Hill axes (radial, velocity, normal) to target axes (velocity, -normal, nadir)."""


def orbit_views(
    config: TrajectoryConfig, index: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    """Rotation of T_cam_target (N, 3, 3), distance (N,) m, inertial-to-target (N, 3, 3)."""
    _, position, velocity = relative_motion(config, index)
    distance = np.linalg.norm(position, axis=-1)
    backward = normalise(position @ _TARGET_HILL.T)
    up = normalise(np.cross(position, velocity) @ _TARGET_HILL.T)
    right = np.cross(up, backward)
    roll = math.radians(config.roll_deg)
    rotation = np.stack(
        [
            math.cos(roll) * right - math.sin(roll) * up,
            -math.cos(roll) * up - math.sin(roll) * right,
            -backward,
        ],
        axis=-2,
    )
    turns = _checked(config)["revolutions"] * (index - INDEX_MIN) / INDEX_MAX
    angle = 2.0 * np.pi * np.mod(turns, 1.0)
    hill_inertial = np.zeros((len(index), 3, 3))
    hill_inertial[:, 0, 0] = hill_inertial[:, 1, 1] = np.cos(angle)
    hill_inertial[:, 0, 1] = np.sin(angle)
    hill_inertial[:, 1, 0] = -np.sin(angle)
    hill_inertial[:, 2, 2] = 1.0
    return rotation, distance, _TARGET_HILL @ hill_inertial
