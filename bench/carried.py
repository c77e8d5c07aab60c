"""Points carried from frame to frame by a matcher's matches, as TAP-Vid asks for tracks.

A matcher matches keypoints, and the points that are asked for are none of them. So in each step a
point moves as the matched keypoints about it do: by the median, in u and in v, of the nearest ones.
Where none is near, the point is said to be hidden in that step and stays where it is, until there
is one again: matches from frame to frame have nothing else that could find it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bench.tapvid import NEAR_PX, PointTracks
from satgen.geometry import Floats

REACH_PX = float(max(NEAR_PX))
"""How far a keypoint may be that carries a point, in the scaled images."""

CARRIERS = 5
"""How many keypoints carry a point, at most."""

Moves: TypeAlias = tuple[Floats, Floats]
"""Matched keypoints (K, 2) in a frame and in the next one."""


def carried(points: Floats, queries: NDArray[np.int64], moves: Iterable[Moves]) -> PointTracks:
    """The tracks of points by matches from each frame to the next.

    Args:
        points: (N, 2) where each point is in the frame in which it is asked for, pixels of images
            scaled to `bench.tapvid.SIDE`.
        queries: (N,) that frame; one at or beyond the last is never carried.
        moves: from each frame to the next, in the same pixels: one less than frames.

    Returns:
        Tracks of as many frames as there are; before its query, a point is where it is asked for
        and hidden.
    """
    at = np.array(points, dtype=np.float64).reshape(-1, 2)
    places, shown = [at.copy()], [queries == 0]
    for frame, (start, end) in enumerate(moves):
        said = np.zeros(len(at), dtype=bool)
        live = np.flatnonzero(queries <= frame)
        if len(start) and len(live):
            step = _steps(at[live], start, end - start)
            held = np.isfinite(step[:, 0])
            at[live[held]] += step[held]
            said[live[held]] = True
        said[queries == frame + 1] = True
        places.append(at.copy())
        shown.append(said)
    return PointTracks(np.stack(places), np.stack(shown))


def _steps(points: Floats, start: Floats, steps: Floats) -> Floats:
    """How points (N, 2) move, by steps (K, 2) of keypoints `start`; NaN far from all."""
    _, nearest = KDTree(start).query(points, k=CARRIERS, distance_upper_bound=REACH_PX)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a point without any
        return np.asarray(np.nanmedian(np.vstack([steps, [[np.nan] * 2]])[nearest], axis=1))
