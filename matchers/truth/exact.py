"""Exact ground truth of one pair of frames of a rigid target, from depth and pose, in NumPy.

Each keypoint is carried into the other frame by its depth (`satgen.geometry.warp`: a sub-pixel
look-up that never mixes surfaces, and an occlusion test) and compared with the keypoints there, by
the rules of `matchers.truth.rules`. At an outline its depth is that of the surface in front, whose
corners and edges a detector finds; such a keypoint may match, but where the surface behind would go
elsewhere, nothing is held against it.

All of this is worked out of places, in an order of their own, so that neither several keypoints in
one place nor the order of the keypoints change what is said of any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matchers.truth import rules
from matchers.truth.frame import FrameGeometry, part_labels, places, positions
from matchers.truth.rules import IGNORED, UNMATCHED, Fate, Thresholds, Verdict
from satgen.errors import InputError
from satgen.geometry import (
    OCCLUSION_RTOL,
    Bools,
    Floats,
    front_depth,
    surface_near,
    warp,
)

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class KeypointTruth:
    """The truth about the N keypoints of one of two frames.

    Attributes:
        keypoints: (N, 2) float64 pixels.
        uv: (N, 2) float64 pixels in the other frame where their surface points fall, whether or
            not they are seen there; NaN where there is no surface, or it is behind the camera.
        fate: (N,) int8, a `Fate` each.
        doubtful: (N,) bool, beside the surface in front there is another, which moves otherwise:
            that the keypoint matches may be known, but not that it does not.
        place: (N,) int64, number of the place, equal for keypoints at the same position.
        partner: (N,) int64, the other frame's row, or `UNMATCHED`, or `IGNORED`; of several
            keypoints in one place at most the first has one, and stands for all of them.
        part: (N,) uint16, label of the part at the nearest pixel, 0 for none.
    """

    keypoints: Floats
    uv: Floats
    fate: NDArray[np.int8]
    doubtful: Bools
    place: Integers
    partner: Integers
    part: NDArray[np.uint16]

    @property
    def place_partner(self) -> Integers:
        """(N,) int64, `partner`, but of all keypoints in a place that of the one that has one."""
        best = np.full(len(self.place), IGNORED, dtype=np.int64)
        np.maximum.at(best, self.place, self.partner)
        return best[self.place]


@dataclass(frozen=True)
class GroundTruth:
    """The truth about the keypoints of two frames: `side0` and `side1`, under `thresholds`."""

    side0: KeypointTruth
    side1: KeypointTruth
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
    frame0: FrameGeometry,
    frame1: FrameGeometry,
    thresholds: Thresholds | None = None,
) -> GroundTruth:
    """Which of two frames' keypoints belong together.

    Matches are the mutually nearest under the larger of both reprojection errors, of keypoints
    that are each seen in the other frame, if that error is below `match_px`. Of places that are
    equally near it is the leftmost, then the uppermost; of keypoints in one place, which nothing
    here can tell apart, the lowest row. A keypoint has no match if it falls farther than
    `no_match_px` from every keypoint of the other frame, or is hidden there, or falls outside with
    no keypoint within `no_match_px`, and is not in doubt; or if it shows empty space. The others
    are ignored. About O(N log N) in the keypoints.

    Args:
        keypoints0, keypoints1: (N0, 2) and (N1, 2) pixels.
        frame0, frame1: their frames.
        thresholds: the papers' unless given.

    Raises:
        InputError: keypoints of another shape.
    """
    thresholds = thresholds or Thresholds()
    rows = [positions(keypoints0), positions(keypoints1)]
    place = [places(r) for r in rows]
    first = [np.unique(number, return_index=True)[1] for number in place]
    points = [rows[i][first[i]] for i in (0, 1)]  # of the places; so are all of the following
    frames = [frame0, frame1]
    carried = [_carry(points[i], frames[i], frames[1 - i], thresholds) for i in (0, 1)]
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
        partner = partner[place[i]]
        partner[first[i][pairs[:, i]]] = first[1 - i][pairs[:, 1 - i]]
        sides.append(
            KeypointTruth(
                rows[i],
                uv[i][place[i]],
                fate[i][place[i]],
                carried[i].doubtful[place[i]],
                place[i],
                partner,
                part_labels(frames[i].parts, rows[i]),
            )
        )
    return GroundTruth(sides[0], sides[1], thresholds)


def judge(truth: GroundTruth, pairs: ArrayLike) -> PairTruth:
    """What the truth says of predicted pairs, by `matchers.truth.rules.judge`.

    Args:
        truth: of the keypoints.
        pairs: (K, 2) rows of the first and of the second frame's keypoints.

    Raises:
        InputError: pairs of another shape, or rows that are not there.
    """
    pairs = check_pairs(pairs, len(truth.side0.keypoints), len(truth.side1.keypoints))
    i, j = pairs.T
    a, b = truth.side0, truth.side1
    errors = _distance(a.uv[i], b.keypoints[j]), _distance(b.uv[j], a.keypoints[i])
    visible = (a.fate[i] == Fate.VISIBLE) & (b.fate[j] == Fate.VISIBLE)
    doubtful = a.doubtful[i], b.doubtful[j]
    correct, wrong = rules.judge(
        errors, visible, doubtful, (a.place_partner[i], b.place_partner[j]), truth.thresholds
    )
    verdict = np.where(correct, Verdict.CORRECT, np.where(wrong, Verdict.WRONG, Verdict.IGNORED))
    error = np.maximum(*errors)  # NaN where either is
    error = np.where((doubtful[0] | doubtful[1]) & ~correct, np.nan, error)
    return PairTruth(verdict.astype(np.int8), error, visible)


class PairScores(NamedTuple):
    """What a pair of frames comes to.

    Attributes:
        correct, wrong, ignored: predicted matches that are so.
        true: places of the first frame that have a match.
        precision, recall, f1: see `matchers.truth.rules.scores`; NaN where `true` is 0.
    """

    correct: int
    wrong: int
    ignored: int
    true: int
    precision: float
    recall: float
    f1: float


def score(truth: GroundTruth, pairs: ArrayLike, judged: PairTruth) -> PairScores:
    """The scores of predicted pairs (K, 2), of which `judge` found `judged`."""
    counts = (int(np.count_nonzero(judged.verdict == value)) for value in Verdict)
    correct, wrong, ignored = counts
    true = int(np.count_nonzero(truth.side0.partner >= 0))
    found = np.count_nonzero(found_matches(truth, pairs, judged))
    shares = rules.scores(correct, wrong, found, true)
    return PairScores(correct, wrong, ignored, true, *(float(value) for value in shares))


def found_matches(truth: GroundTruth, pairs: ArrayLike, judged: PairTruth) -> Bools:
    """Which of the first frame's keypoints have a partner, and are found, (N0,) bool.

    Found is a place: any keypoint in it has a predicted match that is correct.

    Args:
        truth: of the keypoints.
        pairs: (K, 2) predicted rows.
        judged: what `judge` found of them.
    """
    side = truth.side0
    first = check_pairs(pairs, len(side.keypoints), len(truth.side1.keypoints))[:, 0]
    right = side.place[first[judged.verdict == Verdict.CORRECT]]
    return np.asarray((side.partner >= 0) & np.isin(side.place, right))


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


class _CarriedPoints(NamedTuple):
    """What becomes of keypoints in the other frame: the first fields of `KeypointTruth`."""

    uv: Floats
    fate: NDArray[np.int8]
    doubtful: Bools


def _carry(
    points: Floats, here: FrameGeometry, there: FrameGeometry, thresholds: Thresholds
) -> _CarriedPoints:
    """What becomes of keypoints (N, 2) in the other frame."""
    front, farthest = front_depth(here.depth, points)
    moved = warp(
        here.K,
        here.depth,
        here.T_cam_target,
        there.depth,
        there.T_cam_target,
        points,
        z=front,
        K_j=there.K,
        distortion=here.distortion,
        distortion_j=there.distortion,
    )
    fate = np.full(len(points), Fate.UNDECIDED, dtype=np.int8)
    fate[~moved.in_frame] = Fate.OUTSIDE
    fate[moved.visible | moved.bordering] = Fate.VISIBLE
    fate[moved.occluded] = Fate.OCCLUDED

    behind = here.backproject(points, farthest)
    apart = _distance(moved.uv, there.project(behind)[0])  # NaN for none
    doubtful = apart > thresholds.edge_px
    # The surface behind may be seen where the one in front is hidden.
    uncertain = (fate == Fate.OCCLUDED) & (farthest > (1.0 + OCCLUSION_RTOL) * front)
    fate[uncertain] = Fate.UNDECIDED

    bare = np.flatnonzero(front == 0.0)
    near = surface_near(here.depth, points[bare], thresholds.no_match_px)
    fate[bare] = np.where(near, Fate.RIM, Fate.EMPTY)
    return _CarriedPoints(moved.uv.copy(), fate, doubtful)


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
