"""A 90 x 90 grid of azimuths and elevations, walked boustrophedon.

Rows of elevation -89, -87 ... +89 degrees, each of the azimuths 0, 4 ... 356 degrees, walked
forward in even rows and backward in odd ones: every step is one cell in azimuth (a turn of 4
degrees) or one in elevation (2 degrees), and nothing jumps at the end of a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CELLS = 90
AZIMUTH_STEP_DEG = 4.0
ELEVATION_STEP_DEG = 2.0


def grid_angles(index: ArrayLike) -> tuple[Floats, Floats]:
    """Azimuth in 0..356 and elevation in -89..89 degrees, (...) each, of indices (...)."""
    row, column = np.divmod(np.asarray(index, dtype=np.int64) - 1, CELLS)
    column = np.where(row % 2 == 0, column, CELLS - 1 - column)
    return AZIMUTH_STEP_DEG * column, -89.0 + ELEVATION_STEP_DEG * row
