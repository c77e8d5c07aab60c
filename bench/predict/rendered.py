"""Sequences of rendered datasets: true poses, times and what is known of the inertia."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.predict.motions import Sequence
from bench.predict.rigid_body import Bodies, make_bodies
from satgen.errors import InputError
from satgen.trajectory import Tumble

if TYPE_CHECKING:
    from satgen.dataset import Dataset


def sequences_of(
    data: Dataset, dt_s: float | None = None, body: Bodies | None = None
) -> list[Sequence]:
    """The poses of a dataset, one sequence for each run of evenly spaced indices.

    Args:
        data: from satgen's reader. Frames that are missing part the runs.
        dt_s: seconds from one index to the next; None takes the table's times.
        body: inertia of the target, of one body. A tumble's own, with the aim point as its centre
            of mass, is taken where it is None; other motions do not tell it.

    Raises:
        InputError: no times in the table and none given, or a period that is no time.
    """
    if dt_s is not None and not (np.isfinite(dt_s) and dt_s > 0.0):
        raise InputError(f"frame period {dt_s}: must be a finite number of seconds above 0")
    times = _times(data, dt_s)
    config = data.config.trajectory
    motion = config.motion
    if body is None and isinstance(motion, Tumble) and motion.moments is not None:
        body = make_bodies(motion.moments, motion.axes, config.aim)
    steps = np.diff(data.indices)
    even = int(steps.min()) if len(steps) else 1
    rows = np.split(np.arange(len(data)), np.flatnonzero(steps != even) + 1)
    name = f"{data.name}-{motion.kind}"
    return [
        Sequence(name, times[run], data.poses[run, :3, :3], data.poses[run, :3, 3], body)
        for run in rows
        if len(run)
    ]


def _times(data: Dataset, dt_s: float | None) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Seconds (N,) of each frame."""
    if dt_s is not None:
        return np.asarray(data.indices * dt_s, dtype=np.float64)
    frames = data.frames
    if "time_s" not in frames or not np.isfinite(frames["time_s"]).all():
        raise InputError(f"{data.folder}: its table has no times; give the frame period (--dt)")
    return np.asarray(frames["time_s"], dtype=np.float64)
