"""The default sweep: 22.5 turns from one pole of the target to the other.

azimuth(k) = k degrees, elevation(k) = -90 + 180 (k - 1/2) / 8100 degrees. Each step turns the
camera by one degree of azimuth and 1/45 degree of elevation, about perpendicular axes, so that the
rotation between neighbours is 1.00025 degrees everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.trajectory.config import INDEX_MAX

Floats = NDArray[np.float64]


def spiral_angles(index: ArrayLike) -> tuple[Floats, Floats]:
    """Azimuth (unwrapped) and elevation in degrees, (...) each, of indices (...)."""
    k = np.asarray(index, dtype=np.float64)
    return k.copy(), -90.0 + 180.0 * (k - 0.5) / INDEX_MAX
