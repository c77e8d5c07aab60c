"""Which keypoints of two frames of a rigid target belong together, from exact depth and pose.

Each keypoint is carried into the other frame by its depth (`satgen.geometry.warp`: a sub-pixel
look-up that never mixes surfaces, and an occlusion test) and compared with the keypoints there. At
an outline that is the depth of the surface in front, whose corners and edges a detector finds; such
a keypoint may match, but where the surface behind would go elsewhere, nothing is held against it.
As SuperGlue (§5, appendix) and LightGlue (§4, training) do, a keypoint then has one of three
fates: it matches a certain keypoint of the other frame, it matches none, or it is in between and
left out of every figure. Their ground truth has no test for occlusion; this one does.

Pixels: OpenCV, (0, 0) is the centre of the top-left pixel. Lengths: metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.view import View, part_labels, positions, read_view
from satgen.errors import InputError
from satgen.geometry import (
    OCCLUSION_RTOL,
    Bools,
    Floats,
    backproject,
    front_depth,
    project,
    surface_near,
    warp,
)
from satgen.settings import setting

__all__ = [
    "IGNORED",
    "UNMATCHED",
    "Fate",
    "GroundTruth",
    "PairTruth",
    "Side",
    "Thresholds",
    "Verdict",
    "View",
    "check_pairs",
    "judge",
    "label",
    "read_view",
]

Integers = NDArray[np.int64]

UNMATCHED = -1
"""In place of a partner's row: the other frame has no keypoint of this point."""

IGNORED = -2
"""In place of a partner's row: not to be counted, whatever a matcher says of this keypoint."""


class Fate(IntEnum):
    """What becomes of a keypoint's surface point in the other frame."""

    VISIBLE = 0  # the other frame shows this very surface
    OCCLUDED = 1  # the other frame shows something nearer there
    OUTSIDE = 2  # beyond the other image's border, or behind its camera
    UNDECIDED = 3  # within a pixel of an outline, here or there: depth maps cannot tell
    EMPTY = 4  # the keypoint shows no surface, and none is near
    RIM = 5  # the keypoint shows no surface, but one is within `Thresholds.no_match_px`


class Verdict(IntEnum):
    """What the truth says of a predicted pair."""

    CORRECT = 0
    WRONG = 1
    IGNORED = 2


@dataclass(frozen=True)
class Thresholds:
    """When two keypoints belong together. The defaults are the outdoor ones of the papers.

    Attributes:
        match_px: a match reprojects closer than this, both ways (SuperGlue's appendix: 5 px
            indoors, 3 px outdoors; LightGlue: 3 px).
        no_match_px: farther than this from every keypoint there is no match (15 px indoors; 5 px).
        edge_px: a keypoint between pixels of different surfaces is in doubt where these would
            carry it to places farther apart than this; the papers have no such rule.

    Raises:
        InputError: not 0 < match_px <= no_match_px, or a negative edge_px.
    """

    match_px: float = setting(3.0, "A match reprojects closer than this", unit="pixels", above=0.0)
    no_match_px: float = setting(
        5.0, "Farther than this there is no match", unit="pixels", above=0.0
    )
    edge_px: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (0.0 < self.match_px <= self.no_match_px < math.inf):
            raise InputError(
                f"thresholds {self.match_px} and {self.no_match_px} px: the first must be positive "
                f"and not above the second"
            )
        if not self.edge_px >= 0.0:
            raise InputError(f"edge_px {self.edge_px}: must not be negative")


@dataclass(frozen=True)
class Side:
    """The truth about the N keypoints of one of two frames.

    Attributes:
        keypoints: (N, 2) float64 pixels.
        uv: (N, 2) float64 pixels in the other frame where their surface points fall, whether or
            not they are seen there; NaN where there is no surface, or it is behind the camera.
        fate: (N,) int8, a `Fate` each.
        doubtful: (N,) bool, beside the surface in front there is another, which moves otherwise:
            that the keypoint matches may be known, but not that it does not.
        partner: (N,) int64, the other frame's row, or `UNMATCHED`, or `IGNORED`.
        part: (N,) uint8, label of the part at the nearest pixel, 0 for none.
    """

    keypoints: Floats
    uv: Floats
    fate: NDArray[np.int8]
    doubtful: Bools
    partner: Integers
    part: NDArray[np.uint8]


@dataclass(frozen=True)
class GroundTruth:
    """The truth about the keypoints of two frames: `side0` and `side1`, under `thresholds`."""

    side0: Side
    side1: Side
    thresholds: Thresholds


@dataclass(frozen=True)
class PairTruth:
    """The truth about K predicted pairs.

    Attributes:
        verdict: (K,) int8, a `Verdict` each.
        error: (K,) float64 pixels, the larger of the two reprojection errors, to where the surface
            points fall even if hidden there; NaN where that is not known of an end, or one is in
            doubt and the pair is not correct.
        visible: (K,) bool, each end is seen in the other's frame.
    """

    verdict: NDArray[np.int8]
    error: Floats
    visible: Bools


def label(
    keypoints0: ArrayLike,
    keypoints1: ArrayLike,
    view0: View,
    view1: View,
    thresholds: Thresholds | None = None,
) -> GroundTruth:
    """Which of two frames' keypoints belong together.

    Matches are the mutually nearest under the larger of both reprojection errors, of keypoints
    that are each seen in the other frame, if that error is below `match_px`; of equals the lowest
    rows. A keypoint has no match if it falls farther than `no_match_px` from every keypoint of the
    other frame, or is hidden there, or falls outside with no keypoint within `no_match_px`, and is
    not in doubt; or if it shows empty space. The others are ignored. About O(N log N) in the
    keypoints.

    Args:
        keypoints0, keypoints1: (N0, 2) and (N1, 2) pixels.
        view0, view1: their frames.
        thresholds: the papers' unless given.

    Raises:
        InputError: keypoints of another shape.
    """
    thresholds = thresholds or Thresholds()
    points = [positions(keypoints0), positions(keypoints1)]
    views = [view0, view1]
    carried = [_carry(points[i], views[i], views[1 - i], thresholds) for i in (0, 1)]
    uv, fate = [side.uv for side in carried], [side.fate for side in carried]
    pairs = _mutual_nearest(points, uv, fate, thresholds.match_px)
    sides = []
    for i in (0, 1):
        partner = np.full(len(points[i]), IGNORED, dtype=np.int64)
        known = np.isfinite(uv[i][:, 0])
        alone = known & (_nearest(uv[i], points[1 - i]) > thresholds.no_match_px)
        alone |= (fate[i] == Fate.OCCLUDED) | (fate[i] == Fate.EMPTY)
        alone |= ~known & (fate[i] == Fate.OUTSIDE)
        alone &= ~carried[i].doubtful
        partner[alone] = UNMATCHED
        partner[pairs[:, i]] = pairs[:, 1 - i]
        part = part_labels(views[i].parts, points[i])
        sides.append(Side(points[i], uv[i], fate[i], carried[i].doubtful, partner, part))
    return GroundTruth(sides[0], sides[1], thresholds)


def judge(truth: GroundTruth, pairs: ArrayLike) -> PairTruth:
    """What the truth says of predicted pairs.

    Correct: each end is seen in the other's frame, and both reprojection errors are below
    `match_px`. Wrong: not correct, and the reprojection error of an end that is not in doubt is
    above `no_match_px`, or one of the ends has no match, or both are seen and one of them matches
    another. The others are ignored.

    The true matches of `label` are correct; so are other pairs that are as close, which happens
    where keypoints lie closer together than `match_px` (SIFT gives a point with two orientations
    twice).

    Args:
        truth: of the keypoints.
        pairs: (K, 2) rows of the first and of the second frame's keypoints.

    Raises:
        InputError: pairs of another shape, or rows that are not there.
    """
    pairs = check_pairs(pairs, len(truth.side0.keypoints), len(truth.side1.keypoints))
    i, j = pairs.T
    a, b = truth.side0, truth.side1
    errors = np.stack([_distance(a.uv[i], b.keypoints[j]), _distance(b.uv[j], a.keypoints[i])])
    error = errors.max(axis=0)  # NaN where either is
    visible = (a.fate[i] == Fate.VISIBLE) & (b.fate[j] == Fate.VISIBLE)
    correct = visible & (error < truth.thresholds.match_px)
    doubtful = np.stack([a.doubtful[i], b.doubtful[j]])
    wrong = ((errors > truth.thresholds.no_match_px) & ~doubtful).any(axis=0)
    wrong |= (a.partner[i] == UNMATCHED) | (b.partner[j] == UNMATCHED)
    wrong |= visible & ((a.partner[i] >= 0) | (b.partner[j] >= 0))
    verdict = np.where(correct, Verdict.CORRECT, np.where(wrong, Verdict.WRONG, Verdict.IGNORED))
    error = np.where(doubtful.any(axis=0) & ~correct, np.nan, error)
    return PairTruth(verdict.astype(np.int8), error, visible)


def check_pairs(pairs: ArrayLike, count0: int, count1: int) -> Integers:
    """Pairs as (K, 2) int64.

    Raises:
        InputError: another shape, or rows beyond `count0` and `count1` keypoints.
    """
    array = np.asarray(pairs)
    if array.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"pairs of shape {array.shape} and type {array.dtype}: must be (K, 2) int")
    if array.min() < 0 or (array.max(axis=0) >= (count0, count1)).any():
        raise InputError(f"pairs have rows beyond the {count0} and {count1} keypoints")
    return array.astype(np.int64)


def _distance(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.hypot(a[:, 0] - b[:, 0], a[:, 1] - b[:, 1]))


class _Carried(NamedTuple):
    """As `Side` has them."""

    uv: Floats
    fate: NDArray[np.int8]
    doubtful: Bools


def _carry(points: Floats, here: View, there: View, thresholds: Thresholds) -> _Carried:
    """What becomes of keypoints (N, 2) in the other frame."""
    front, farthest = front_depth(here.depth, points)
    poses = here.T_cam_target, there.T_cam_target
    moved = warp(here.K, here.depth, poses[0], there.depth, poses[1], points, z=front, K_j=there.K)
    fate = np.full(len(points), Fate.UNDECIDED, dtype=np.int8)
    fate[~moved.in_frame] = Fate.OUTSIDE
    fate[moved.visible | moved.bordering] = Fate.VISIBLE
    fate[moved.occluded] = Fate.OCCLUDED

    behind = backproject(here.K, here.T_cam_target, points, farthest)
    apart = _distance(moved.uv, project(there.K, there.T_cam_target, behind)[0])  # NaN for none
    doubtful = apart > thresholds.edge_px
    # The surface behind may be seen where the one in front is hidden.
    uncertain = (fate == Fate.OCCLUDED) & (farthest > (1.0 + OCCLUSION_RTOL) * front)
    fate[uncertain] = Fate.UNDECIDED

    bare = np.flatnonzero(front == 0.0)
    near = surface_near(here.depth, points[bare], thresholds.no_match_px)
    fate[bare] = np.where(near, Fate.RIM, Fate.EMPTY)
    return _Carried(moved.uv.copy(), fate, doubtful)


def _nearest(uv: Floats, keypoints: Floats) -> Floats:
    """Distance (N,) from uv (N, 2) to the nearest keypoint; inf without one or where uv is NaN."""
    from scipy.spatial import cKDTree

    distance = np.full(len(uv), np.inf)
    known = np.flatnonzero(np.isfinite(uv).all(axis=1))
    finite = keypoints[np.isfinite(keypoints).all(axis=1)]
    if len(known) and len(finite):
        distance[known] = cKDTree(finite).query(uv[known])[0]
    return distance


def _mutual_nearest(
    points: list[Floats], uv: list[Floats], fate: list[NDArray[np.int8]], radius: float
) -> Integers:
    """Mutually nearest pairs (K, 2) of keypoints seen in both frames, closer than `radius`.

    Only pairs below the radius can win, so the sparse list of those is enough.
    """
    from scipy.spatial import cKDTree

    seen = [np.flatnonzero(f == Fate.VISIBLE) for f in fate]
    if not len(seen[0]) or not len(seen[1]):
        return np.zeros((0, 2), dtype=np.int64)
    tree = cKDTree(uv[0][seen[0]])
    near = tree.sparse_distance_matrix(cKDTree(points[1][seen[1]]), radius, output_type="ndarray")
    i, j = seen[0][near["i"]], seen[1][near["j"]]
    error = np.maximum(_distance(uv[0][i], points[1][j]), _distance(uv[1][j], points[0][i]))
    close = error < radius
    i, j, error = i[close], j[close], error[close]
    first = _best(i, error, j, len(points[0]))
    second = _best(j, error, i, len(points[1]))
    mutual = (first[i] == j) & (second[j] == i)
    i, j, error = i[mutual], j[mutual], error[mutual]
    # A keypoint that is nearer still, but of unknown fate, might be the partner.
    sure = (_nearest(uv[0][i], points[1][_unknown(fate[1])]) >= error) & (
        _nearest(uv[1][j], points[0][_unknown(fate[0])]) >= error
    )
    pairs = np.stack([i[sure], j[sure]], axis=1).astype(np.int64)
    return np.asarray(pairs[np.argsort(pairs[:, 0], kind="stable")])


def _unknown(fate: NDArray[np.int8]) -> Bools:
    return np.asarray((fate == Fate.UNDECIDED) | (fate == Fate.RIM))


def _best(rows: NDArray[np.intp], error: Floats, others: NDArray[np.intp], count: int) -> Integers:
    """For each of `count` rows, the other with the least error (the lowest of equals), or -1."""
    best = np.full(count, -1, dtype=np.int64)
    order = np.lexsort((others, error, rows))
    rows, others = rows[order], others[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = rows[1:] != rows[:-1]
    best[rows[first]] = others[first]
    return best
