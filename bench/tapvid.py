"""TAP-Vid's figures of tracks of points: AJ, delta, OA, and how they fare once points come back.

Points are asked for where they are seen first, and judged in the frames after that (query mode
"first"), in images of 256 x 256 pixels:

- OA: share of the frames in which a track says rightly whether its point is seen.
- delta: of the frames in which the point is seen, the share in which the track is less than
  1, 2, 4, 8, 16 px away, whatever it says of being seen; the mean of the five.
- AJ: true positives (said and seen, and near) by the frames in which the point is seen and the
  false positives (said, but hidden or not near); the mean of the same five distances.
- AJ_RD: the same ratio, from where a point comes back to the end, for each return of a point
  after a longer absence than any before; of the absences of at least 1, 4, 16, 64 and 256 frames,
  the mean over those returns, and the mean of the five (of those that occur).

Sources: Doersch et al., TAP-Vid (2022), section 3, and its evaluation; Jung et al., TAPNext++
(arXiv:2604.10582), and its code, whose AJ_RD also takes points that are just so far away.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.geometry import Bools, Floats

SIDE = 256
"""Pixels of either side of the images in which distances are measured."""

NEAR_PX = (1, 2, 4, 8, 16)
"""Distances within which a track is right."""

ABSENCES = (1, 4, 16, 64, 256)
"""Frames for which a point was hidden, at least, before it came back."""


@dataclass(frozen=True)
class PointTracks:
    """Where points are in each frame, and whether they are seen.

    Attributes:
        xy: (T, N, 2) pixels of images scaled to `SIDE` x `SIDE`.
        visible: (T, N) bool.
    """

    xy: Floats
    visible: Bools


def scaled(uv: ArrayLike, width: int, height: int) -> Floats:
    """Pixels (..., 2) of an image, counted from the first one's centre, in one of `SIDE` x `SIDE`,
    counted from the first one's corner as TAP-Vid does."""
    return np.asarray((np.asarray(uv, dtype=np.float64) + 0.5) * SIDE / (width, height))


def first_seen(visible: Bools) -> NDArray[np.int64]:
    """The frame (N,) in which each point is seen first; T for one that never is. visible: (T, N)"""
    return np.where(visible.any(axis=0), visible.argmax(axis=0), len(visible)).astype(np.int64)


def tapvid_figures(truth: PointTracks, answer: PointTracks) -> dict[str, float]:
    """TAP-Vid's figures of one clip.

    Args:
        truth: of its points.
        answer: the tracks that are judged; what they say up to where a point is first seen does
            not count.

    Returns:
        points (that are seen), occlusion_accuracy, delta_N and jaccard_N for each of `NEAR_PX`,
        delta_avg, average_jaccard, redetections (how many of each absence, `redetections_N`),
        aj_rd_N for each of `ABSENCES`, aj_rd; NaN where there is nothing to judge.
    """
    queries = first_seen(truth.visible)
    judged = np.arange(len(truth.visible))[:, None] > queries
    seen, said = truth.visible & judged, answer.visible & judged
    found: dict[str, float] = {"points": float(np.count_nonzero(queries < len(judged)))}
    right = np.count_nonzero((truth.visible == answer.visible) & judged)
    found["occlusion_accuracy"] = _ratio(right, np.count_nonzero(judged))
    off = np.linalg.norm(answer.xy - truth.xy, axis=-1)
    for bound in NEAR_PX:
        near = seen & (off < bound)
        found[f"delta_{bound}"] = _ratio(np.count_nonzero(near), np.count_nonzero(seen))
        hits = np.count_nonzero(near & said)
        found[f"jaccard_{bound}"] = _ratio(hits, np.count_nonzero(seen) + said.sum() - hits)
    found["delta_avg"] = _mean([found[f"delta_{bound}"] for bound in NEAR_PX])
    found["average_jaccard"] = _mean([found[f"jaccard_{bound}"] for bound in NEAR_PX])
    return found | _redetection(seen, said, off, queries)


def _redetection(
    seen: Bools, said: Bools, off: Floats, queries: NDArray[np.int64]
) -> dict[str, float]:
    """The figures of points that come back, of the frames (T, N) that are judged."""
    absences, scores = [], []
    for point, query in enumerate(queries.tolist()):
        for back, absence in returns(seen[query + 1 :, point]):
            after = slice(query + 1 + back, None)
            shown, claimed = seen[after, point], said[after, point]
            hits = [
                np.count_nonzero(shown & claimed & (off[after, point] <= bound))
                for bound in NEAR_PX
            ]
            count = np.count_nonzero(shown) + np.count_nonzero(claimed)
            absences.append(absence)
            scores.append(np.mean([hit / (count - hit) for hit in hits]))
    found = {}
    for least in ABSENCES:
        mine = [score for a, score in zip(absences, scores, strict=True) if a >= least]
        found[f"redetections_{least}"] = float(len(mine))
        found[f"aj_rd_{least}"] = _mean(mine)
    return found | {"aj_rd": _mean([found[f"aj_rd_{least}"] for least in ABSENCES])}


def returns(seen: Bools) -> list[tuple[int, int]]:
    """Where a point that was seen just before comes back, each after its longest absence yet.

    Args:
        seen: (T,) bool, of the frames after.

    Returns:
        The first frame in which it is seen again, and for how many it was not, of each return.
    """
    edges = np.diff(np.concatenate([[True], seen]).astype(np.int8))
    gone, back = np.flatnonzero(edges < 0), np.flatnonzero(edges > 0)
    found, longest = [], 0
    for start, end in zip(gone.tolist(), back.tolist(), strict=False):
        if end - start > longest:
            longest = end - start
            found.append((end, longest))
    return found


def _ratio(part: np.integer[Any] | int, whole: np.integer[Any] | int) -> float:
    return float(part / whole) if whole else np.nan


def _mean(values: list[float]) -> float:
    """The mean of what is not NaN; NaN of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nanmean(values)) if values else np.nan
