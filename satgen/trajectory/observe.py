"""From a configuration and indices to observations.

The whole sweep of a configuration is computed once and kept, and rows are taken out of it: so an
index has the same bits whatever subset it is asked for in, and the quaternion's sign, which is
made continuous from index 1 on, is the same too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.trajectory.config import TrajectoryConfig
from satgen.trajectory.motion import INDEX_MAX, INDEX_MIN, Observations
from satgen.trajectory.mount import mounted


def observe(config: TrajectoryConfig, indices: Iterable[int]) -> Observations:
    """Observations of the given indices, in the given order.

    Raises:
        InputError: an index outside 1..8100 or, for kind file, not in the file; parameters that
            do not fit the kind.
    """
    wanted = _as_indices(indices)
    sweep = _sweep_of(config)
    rows = np.minimum(np.searchsorted(sweep.index, wanted), max(len(sweep) - 1, 0))
    missing = wanted[sweep.index[rows] != wanted]
    if len(missing):
        raise InputError(
            f"index {missing[0]}: not in {config.motion.table}, which holds {len(sweep)} "
            f"indices from {sweep.index[0]} to {sweep.index[-1]}"
        )
    return sweep.take(rows)


def available_indices(config: TrajectoryConfig) -> NDArray[np.int64]:
    """The indices that have a pose, ascending: 1..8100, or those in the file of kind file."""
    return np.array(_sweep_of(config).index, dtype=np.int64)


def _as_indices(indices: Iterable[int]) -> NDArray[np.int64]:
    """Indices as (N,) int64; InputError for anything that is not a whole number in range."""
    values = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
    values = values.reshape(-1)
    if values.size == 0:
        return np.zeros(0, dtype=np.int64)
    if values.dtype.kind not in "iu":
        raise InputError(f"index {values[0]}: must be a whole number")
    outside = values[(values < INDEX_MIN) | (values > INDEX_MAX)]
    if len(outside):
        raise InputError(f"index {outside[0]}: must be between {INDEX_MIN} and {INDEX_MAX}")
    return values.astype(np.int64)


@lru_cache(maxsize=4)
def _sweep_of(config: TrajectoryConfig) -> Observations:
    """The whole sweep of a configuration, read-only arrays."""
    sweep = config.motion.sweep(config)
    if config.mount is not None:
        sweep = mounted(sweep, config.mount)
    for array in vars(sweep).values():
        if array is not None:
            array.setflags(write=False)
    return sweep
