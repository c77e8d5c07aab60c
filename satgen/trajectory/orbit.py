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
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.geometry import Floats, normalise
from satgen.settings import setting
from satgen.trajectory.looking import looking_along
from satgen.trajectory.motion import INDEX_MAX, INDEX_MIN, Motion, Observations, finite

if TYPE_CHECKING:
    from satgen.trajectory.config import TrajectoryConfig


@dataclass(frozen=True)
class Orbit(Motion):
    """The circumnavigation of a nadir-pointing target.

    Attributes:
        revolutions: whole number of revolutions that the 8100 indices are spread over. 23 makes a
            step of about a degree, as the spiral's; having no factor in common with 8100, it also
            repeats no pose.
        cross_track: c above, amplitude across the orbit plane over the radial amplitude.
        cross_phase_deg: b above. At 90 the path leads through nadir and zenith.
        start_phase_deg: a0 above.
        period_s: orbital period, 5930 s at 705 km; sets the time scale only.
    """

    revolutions: int = setting(
        23, "Revolutions that the 8100 indices are spread over, a whole number", low=1, high=1000
    )
    cross_track: float = setting(
        1.0,
        "Amplitude across the orbit's plane over the radial one",
        low=0.0,
        high=100.0,
    )
    cross_phase_deg: float = setting(
        30.0,
        "Phase of the motion across the plane",
        unit="degrees",
        name="cross-phase",
        low=-3600.0,
        high=3600.0,
    )
    start_phase_deg: float = setting(
        0.0,
        "Where on the ellipse index 1 is",
        unit="degrees",
        name="start-phase",
        low=-3600.0,
        high=3600.0,
    )
    period_s: float = setting(
        5930.0, "Orbital period", unit="seconds", low=1.0, high=1e7, name="period"
    )

    kind: ClassVar[str] = "orbit"
    inertial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for item in fields(self):
            finite(getattr(self, item.name), item.name)
        super().__post_init__()
        if self.revolutions != int(self.revolutions):
            raise InputError(f"revolutions {self.revolutions:g}: must be a whole number")

    @property
    def frame_s(self) -> float:
        """The frame period: the revolutions take 8100 of it."""
        return self.revolutions * self.period_s / INDEX_MAX

    def sweep(self, config: TrajectoryConfig) -> Observations:
        """All 8100 indices."""
        index = np.arange(INDEX_MIN, INDEX_MAX + 1, dtype=np.int64)
        _, position, velocity = self.relative_motion(config.distance_m, index)
        distance = np.linalg.norm(position, axis=-1)
        backward = normalise(position @ _TARGET_HILL.T)
        momentum = np.cross(position, velocity) @ _TARGET_HILL.T
        up = normalise(momentum)
        rotation = np.stack([np.cross(up, backward), -up, -backward], axis=-2)
        # The camera keeps the plane's normal and turns about it as the line of sight does.
        turning = -momentum / distance[:, None] ** 2
        nadir_turns = np.array([0.0, 0.0, 2.0 * math.pi / self.period_s]) @ _TARGET_HILL.T
        inertial = self._inertial(index), np.tile(nadir_turns, (len(index), 1))
        return looking_along(rotation, distance, turning, inertial, index, config)

    def relative_motion(
        self, distance_m: float, index: NDArray[np.int64]
    ) -> tuple[Floats, Floats, Floats]:
        """Time (N,) s since index 1, position (N, 3) m and velocity (N, 3) m/s in the Hill frame.

        The ellipse is scaled so that its point nearest to the target is at `distance_m`: the
        target's bounding sphere never grows beyond what that distance was chosen for.
        """
        c, b = self.cross_track, math.radians(self.cross_phase_deg)
        # |r|^2 = rho^2 (5/2 + c^2/2 + 3/2 cos 2a - c^2/2 cos(2a + 2b)): mean and amplitude.
        wave = math.hypot(1.5 - c * c / 2.0 * math.cos(2.0 * b), c * c / 2.0 * math.sin(2.0 * b))
        rho = distance_m / math.sqrt(2.5 + c * c / 2.0 - wave)
        mean_motion = 2.0 * math.pi / self.period_s
        turns = self._turns(index)
        a = 2.0 * np.pi * np.mod(turns, 1.0) + math.radians(self.start_phase_deg)
        position = rho * np.stack([np.sin(a), 2.0 * np.cos(a), c * np.sin(a + b)], axis=-1)
        velocity = rho * np.stack([np.cos(a), -2.0 * np.sin(a), c * np.cos(a + b)], axis=-1)
        return turns * self.period_s, position, velocity * mean_motion

    def _turns(self, index: NDArray[np.int64]) -> Floats:
        """Revolutions (N,) since index 1."""
        return np.asarray(self.revolutions * (index - INDEX_MIN) / INDEX_MAX)

    def _inertial(self, index: NDArray[np.int64]) -> Floats:
        """Rotation (N, 3, 3) of inertial to target axes."""
        angle = 2.0 * np.pi * np.mod(self._turns(index), 1.0)
        hill_inertial = np.zeros((len(index), 3, 3))
        hill_inertial[:, 0, 0] = hill_inertial[:, 1, 1] = np.cos(angle)
        hill_inertial[:, 0, 1] = np.sin(angle)
        hill_inertial[:, 1, 0] = -np.sin(angle)
        hill_inertial[:, 2, 2] = 1.0
        return _TARGET_HILL @ hill_inertial


_TARGET_HILL = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
"""Hill axes (radial, velocity, normal) to target axes (velocity, -normal, nadir)."""
