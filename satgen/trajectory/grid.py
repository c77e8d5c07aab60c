"""A 90 x 90 grid of azimuths and elevations, walked boustrophedon.

Rows of elevation -89, -87 ... +89 degrees, each of the azimuths 0, 4 ... 356 degrees, walked
forward in even rows and backward in odd ones: every step is one cell in azimuth (a turn of 4
degrees) or one in elevation (2 degrees), and nothing jumps at the end of a row. Each step is an
even turn; the angular velocity of an index is that of the step that begins there (of the last one,
that ended there).
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

CELLS = 90
AZIMUTH_STEP_DEG = 4.0
ELEVATION_STEP_DEG = 2.0


@dataclass(frozen=True)
class Grid(Motion):
    """The boustrophedon walk over all cells of the grid.

    Attributes:
        dt_s: seconds from one index to the next.
    """

    dt_s: float = frame_period()

    kind: ClassVar[str] = "grid"
    smooth: ClassVar[bool] = False

    @property
    def frame_s(self) -> float:
        """The frame period."""
        return self.dt_s

    def sweep(self, config: TrajectoryConfig) -> Observations:
        """All 8100 indices."""
        index = np.arange(INDEX_MIN, INDEX_MAX + 1, dtype=np.int64)
        azimuth, elevation = grid_angles(index)
        return looking_from(azimuth, elevation, (_steps(azimuth), _steps(elevation)), index, config)


def grid_angles(index: ArrayLike) -> tuple[Floats, Floats]:
    """Azimuth in 0..356 and elevation in -89..89 degrees, (...) each, of indices (...)."""
    row, column = np.divmod(np.asarray(index, dtype=np.int64) - 1, CELLS)
    column = np.where(row % 2 == 0, column, CELLS - 1 - column)
    return AZIMUTH_STEP_DEG * column, -89.0 + ELEVATION_STEP_DEG * row


def _steps(angle: Floats) -> Floats:
    """Change (N,) to the next index; of the last one, from the index before."""
    return np.diff(angle, append=2.0 * angle[-1] - angle[-2])
