"""A 90 x 90 grid of azimuths and elevations, walked boustrophedon.

Rows of elevation -89, -87 ... +89 degrees, each of the azimuths 0, 4 ... 356 degrees, walked
forward in even rows and backward in odd ones: every step is one cell in azimuth (a turn of 4
degrees) or one in elevation (2 degrees), and nothing jumps at the end of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from satgen.trajectory.looking import looking_from
from satgen.trajectory.motion import INDEX_MAX, INDEX_MIN, Floats, Motion, Observations

if TYPE_CHECKING:
    from satgen.trajectory.config import TrajectoryConfig

CELLS = 90
AZIMUTH_STEP_DEG = 4.0
ELEVATION_STEP_DEG = 2.0


@dataclass(frozen=True)
class Grid(Motion):
    """The walk over all cells. It has no parameters."""

    kind: ClassVar[str] = "grid"

    def sweep(self, config: TrajectoryConfig) -> Observations:
        """All 8100 indices."""
        index = np.arange(INDEX_MIN, INDEX_MAX + 1, dtype=np.int64)
        return looking_from(*grid_angles(index), index, config)


def grid_angles(index: ArrayLike) -> tuple[Floats, Floats]:
    """Azimuth in 0..356 and elevation in -89..89 degrees, (...) each, of indices (...)."""
    row, column = np.divmod(np.asarray(index, dtype=np.int64) - 1, CELLS)
    column = np.where(row % 2 == 0, column, CELLS - 1 - column)
    return AZIMUTH_STEP_DEG * column, -89.0 + ELEVATION_STEP_DEG * row
