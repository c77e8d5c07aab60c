"""The default sweep: 22.5 turns from one pole of the target to the other.

azimuth(k) = k degrees, elevation(k) = -90 + 180 (k - 1/2) / 8100 degrees. Each step turns the
camera by one degree of azimuth and 1/45 degree of elevation, about perpendicular axes, so that the
rotation between neighbours is 1.00025 degrees everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from satgen.geometry import Floats
from satgen.trajectory.looking import looking_from
from satgen.trajectory.motion import INDEX_MAX, INDEX_MIN, Motion, Observations, frame_period

if TYPE_CHECKING:
    from satgen.trajectory.config import TrajectoryConfig


@dataclass(frozen=True)
class Spiral(Motion):
    """The sweep from pole to pole.

    Attributes:
        dt_s: seconds from one index to the next.
    """

    dt_s: float = frame_period()

    kind: ClassVar[str] = "spiral"

    @property
    def frame_s(self) -> float:
        """The frame period."""
        return self.dt_s

    def sweep(self, config: TrajectoryConfig) -> Observations:
        """All 8100 indices."""
        index = np.arange(INDEX_MIN, INDEX_MAX + 1, dtype=np.int64)
        speed = np.full(len(index), 1.0), np.full(len(index), 180.0 / INDEX_MAX)
        return looking_from(*spiral_angles(index), speed, index, config)


def spiral_angles(index: ArrayLike) -> tuple[Floats, Floats]:
    """Azimuth (unwrapped) and elevation in degrees, (...) each, of indices (...)."""
    k = np.asarray(index, dtype=np.float64)
    return k.copy(), -90.0 + 180.0 * (k - 0.5) / INDEX_MAX
