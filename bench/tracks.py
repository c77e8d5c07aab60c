"""Chains of matches from frame to frame: how long a keypoint is carried, and how far it drifts.

A track begins at a keypoint that the frame before did not hand over, and goes on as long as the
matcher matches it. Its truth is the surface point that its first keypoint shows: that point moves
with the target, and where it is seen, its distance from the track's keypoint is the drift.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.pose import surface_points
from matchers.truth.exact import check_pairs
from matchers.truth.frame import FrameGeometry
from satgen.errors import InputError
from satgen.geometry import Bools, Floats, shows

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Live:
    """The tracks that reach a certain frame: one a keypoint of that frame.

    Attributes:
        frame: number of the frame in the sequence, from 0.
        start: (N,) int64, frame in which the track began.
        origin: (N, 3) float64, its surface point, target frame, metres; NaN where there is none.
        keypoints: (N, 2) float64 pixels in this frame.
        drift: (N,) float64 pixels from the truth in this frame; NaN where the truth is not seen.
    """

    frame: int
    start: Integers
    origin: Floats
    keypoints: Floats
    drift: Floats


@dataclass(frozen=True)
class Tracks:
    """Finished tracks.

    Attributes:
        start: (M,) int64, frame in which each began.
        length: (M,) int64, frames in which it has a keypoint; 1 for one that was never matched.
        drift: (M,) float64 pixels from the truth in its last frame; NaN where the truth is hidden.
        cut: (M,) bool, it was still alive in the sequence's last frame.
    """

    start: Integers
    length: Integers
    drift: Floats
    cut: Bools


def begin(keypoints: ArrayLike, geometry: FrameGeometry, frame: int = 0) -> Live:
    """Tracks that begin at every keypoint (N, 2) of a frame, the sequence's `frame`-th."""
    points = np.asarray(keypoints, dtype=np.float64).reshape(-1, 2)
    origin = surface_points(
        points, geometry.depth, geometry.K, geometry.T_cam_target, geometry.distortion
    )
    drift = np.where(np.isfinite(origin[:, 0]), 0.0, np.nan)
    return Live(frame, np.full(len(points), frame, dtype=np.int64), origin, points, drift)


def extend(
    live: Live, pairs: ArrayLike, keypoints: ArrayLike, geometry: FrameGeometry
) -> tuple[Live, Tracks]:
    """Carry tracks into the next frame.

    Args:
        live: tracks of the frame before.
        pairs: (K, 2) matches from its keypoints to this frame's, one to one.
        keypoints: (N, 2) pixels of this frame.
        geometry: this frame.

    Returns:
        The tracks that reach this frame, and those that ended in the frame before.

    Raises:
        InputError: rows that are not there, or one that occurs twice.
    """
    fresh = begin(keypoints, geometry, live.frame + 1)
    i, j = check_pairs(pairs, len(live.start), len(fresh.start)).T
    if len(np.unique(i)) != len(i) or len(np.unique(j)) != len(j):
        raise InputError("pairs use a keypoint twice: must be one to one")
    ended = np.ones(len(live.start), dtype=bool)
    ended[i] = False
    fresh.start[j] = live.start[i]
    fresh.origin[j] = live.origin[i]
    fresh.drift[j] = _drift(live.origin[i], fresh.keypoints[j], geometry)
    return fresh, _finish(live, ended, cut=False)


def finish(live: Live) -> Tracks:
    """The tracks that are alive in the last frame."""
    return _finish(live, np.ones(len(live.start), dtype=bool), cut=True)


Step = tuple[ArrayLike, ArrayLike, FrameGeometry]
"""From a frame to the next: matches (K, 2), the next frame's keypoints (N, 2), and that frame."""


def chain(keypoints: ArrayLike, geometry: FrameGeometry, steps: Iterable[Step]) -> Tracks:
    """All tracks of a sequence of frames.

    Args:
        keypoints: (N, 2) pixels of the first frame.
        geometry: the first frame.
        steps: to each later frame; may be generated, as one is held at a time.

    Raises:
        InputError: matches whose rows are not there, or that use a keypoint twice.
    """
    live, done = begin(keypoints, geometry), []
    for pairs, following, frame in steps:
        live, ended = extend(live, pairs, following, frame)
        done.append(ended)
    done.append(finish(live))
    return Tracks(
        *(
            np.concatenate([getattr(part, name) for part in done])
            for name in ("start", "length", "drift", "cut")
        )
    )


def survival(tracks: Tracks, ages: ArrayLike) -> Floats:
    """Share of tracks that are carried for at least so many frames (Kaplan and Meier 1958).

    Tracks that the sequence's end cut count up to there, and not against what comes after.

    Args:
        tracks: of one sequence.
        ages: (A,) numbers of steps, 0 and more.

    Returns:
        (A,) in [0, 1]; 1 at age 0; NaN where no track could have come so far.
    """
    steps = tracks.length - 1
    longest = int(steps.max(initial=-1))
    size = longest + 2
    lost = np.bincount(steps[~tracks.cut], minlength=size)
    gone = np.bincount(steps, minlength=size)
    at_risk = len(steps) - np.concatenate([[0], np.cumsum(gone)])[:size]
    # A track cut at age a is known to have got to a, and says nothing about the step after.
    exposed = at_risk - np.bincount(steps[tracks.cut], minlength=size)
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(exposed > 0, 1.0 - lost / exposed, np.nan)
    curve = np.concatenate([[1.0 if len(steps) else np.nan], np.cumprod(kept)])
    curve[np.maximum.accumulate(curve == 0.0)] = 0.0  # all lost stays lost
    ages = np.asarray(ages, dtype=np.int64)
    return np.asarray(curve[np.minimum(ages, size)])


def _drift(origin: Floats, keypoints: Floats, geometry: FrameGeometry) -> Floats:
    """Distance (N,) from where surface points (N, 3) are seen; NaN where they are not."""
    uv, z = geometry.project(origin)
    seen = shows(geometry.depth, uv, z)
    off = np.hypot(uv[:, 0] - keypoints[:, 0], uv[:, 1] - keypoints[:, 1])
    return np.where(seen, off, np.nan)


def _finish(live: Live, which: Bools, cut: bool) -> Tracks:
    start = live.start[which]
    length = live.frame + 1 - start
    return Tracks(start, length, live.drift[which], np.full(len(start), cut))
