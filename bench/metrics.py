"""Figures of one pair of images, each a plain function of what `matchers.truth` says of it.

Shares are in [0, 1]. Precision, recall and F1 are `matchers.truth.rules.scores`. What happens to
the others where there is nothing to divide by is the same everywhere:

- No predicted match: matching score, accuracy, inlier ratio and epipolar precision are 0, as in the
  papers' own evaluations; a matcher cannot better its mean by staying silent.
- Nothing to be judged (every predicted match is ignored): NaN. Means over pairs leave such pairs
  out.

Other toolboxes use the same names for other things: glue-factory's "epipolar precision" takes a
distance that is not squared, its precision and recall ask for the very row of the nearest keypoint,
and its figures that begin with m are medians over pairs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matchers.truth.exact import GroundTruth, PairTruth, check_pairs, found_matches, judge, score
from matchers.truth.rules import Verdict
from satgen.errors import InputError
from satgen.geometry import Floats

EPIPOLAR_THRESHOLD = 5e-4
"""Bound of the squared symmetric epipolar distance in normalised coordinates: SuperGlue §5.2."""

ACCURACY_PX = (1.0, 3.0, 5.0)
"""Bounds at which the matching accuracy is reported."""


def matching_score(verdict: ArrayLike, num_keypoints0: int) -> float:
    """Correct matches to keypoints in the first image (SuperGlue §5.2); 0 without keypoints."""
    correct = np.count_nonzero(np.asarray(verdict) == Verdict.CORRECT)
    return correct / num_keypoints0 if num_keypoints0 else 0.0


def matching_accuracy(pairs: PairTruth, bound_px: float) -> float:
    """Share of matches that reproject closer than a bound, both ways.

    Its mean over pairs is the mean matching accuracy (Mikolajczyk and Schmid 2005, §4; D2-Net
    §5.1). A match with a hidden end is a miss however near; one whose truth is unknown is left
    out. Between `match_px` and `no_match_px` it counts matches that `precision` ignores.

    Args:
        pairs: truth about the predicted pairs.
        bound_px: pixels.

    Returns:
        0 where there is no match at all, NaN where the truth of none is known.
    """
    if not pairs.verdict.size:
        return 0.0
    known = pairs.visible | (pairs.verdict == Verdict.WRONG)
    return _share(pairs.visible & (pairs.error < bound_px), known)


def reprojection_error(pairs: PairTruth) -> tuple[float, float]:
    """Mean and median reprojection error of the matches, pixels.

    Over all whose ends both show the target, right or wrong, seen or hidden in the other image;
    NaN where there are none. The mean is ruled by gross errors, the median is not.
    """
    errors = pairs.error[np.isfinite(pairs.error)]
    if not errors.size:
        return float("nan"), float("nan")
    return float(errors.mean()), float(np.median(errors))


def epipolar_errors(
    points0: ArrayLike, points1: ArrayLike, K0: ArrayLike, K1: ArrayLike, T_0to1: ArrayLike
) -> Floats:
    """Squared symmetric epipolar distances in normalised coordinates.

    The sum of the squared distances of either point to the other's epipolar line, both images at
    focal length 1 (Hartley and Zisserman, eq. 11.10; as SuperGlue §5.2 reports it).

    Args:
        points0, points1: (K, 2) pixels.
        K0, K1: (3, 3) intrinsics.
        T_0to1: (4, 4) takes camera-0 coordinates to camera-1 ones; its scale does not matter.

    Returns:
        (K,) float64 without a unit; NaN at an epipole, and everywhere without a translation.
    """
    x0, x1 = normalise_points(points0, K0), normalise_points(points1, K1)
    T = np.asarray(T_0to1, dtype=np.float64)
    x, y, z = T[:3, 3]
    E = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]) @ T[:3, :3]
    line1, line0 = x0 @ E.T, x1 @ E
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.einsum("ij,ij->i", x1, line1) ** 2
        errors = off / (line1[:, :2] ** 2).sum(axis=1) + off / (line0[:, :2] ** 2).sum(axis=1)
    return np.asarray(errors)


def normalise_points(points: ArrayLike, K: ArrayLike) -> Floats:
    """Pixels (K, 2) as homogeneous camera-frame directions (K, 3) with z = 1."""
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    return np.asarray(np.linalg.solve(np.asarray(K, dtype=np.float64), homogeneous.T).T)


def epipolar_precision(errors: ArrayLike, bound: float = EPIPOLAR_THRESHOLD) -> float:
    """Share of matches with an epipolar error below the bound; 0 without matches."""
    errors = np.asarray(errors, dtype=np.float64)
    return float((errors < bound).mean()) if errors.size else 0.0


def inlier_ratio(inliers: ArrayLike | None) -> float:
    """Share of matches that the estimated pose explains, from its (K,) bool inlier mask.

    0 without matches and where no pose was found (None).
    """
    mask = np.zeros(0, dtype=bool) if inliers is None else np.asarray(inliers, dtype=bool)
    return float(mask.mean()) if mask.size else 0.0


def pair_figures(
    truth: GroundTruth, pairs: ArrayLike, judged: PairTruth | None = None
) -> dict[str, float]:
    """The figures above that need ground truth, by the name of their column.

    Args:
        truth: about both images' keypoints.
        pairs: (K, 2) predicted rows.
        judged: `judge(truth, pairs)`, if it is at hand.

    Returns:
        num_keypoints0, num_keypoints1, num_matches, num_correct, num_wrong, num_ignored,
        num_true_matches, precision, recall, f1, matching_score, mma_1px, mma_3px, mma_5px,
        reprojection_mean_px, reprojection_median_px.

    Raises:
        InputError: rows that are not there, or one that occurs twice.
    """
    count0, count1 = len(truth.side0.keypoints), len(truth.side1.keypoints)
    pairs = check_pairs(pairs, count0, count1)
    for column in pairs.T:
        if len(np.unique(column)) != len(column):
            raise InputError("pairs use a keypoint twice: must be one to one")
    judged = judge(truth, pairs) if judged is None else judged
    of_pair = score(truth, pairs, judged)
    mean, median = reprojection_error(judged)
    figures: dict[str, float] = {
        "num_keypoints0": count0,
        "num_keypoints1": count1,
        "num_matches": len(pairs),
        "num_correct": of_pair.correct,
        "num_wrong": of_pair.wrong,
        "num_ignored": of_pair.ignored,
        "num_true_matches": of_pair.true,
        "precision": of_pair.precision,
        "recall": of_pair.recall,
        "f1": of_pair.f1,
        "matching_score": matching_score(judged.verdict, count0),
    }
    figures |= {f"mma_{bound:g}px": matching_accuracy(judged, bound) for bound in ACCURACY_PX}
    return figures | {"reprojection_mean_px": mean, "reprojection_median_px": median}


PART_COUNTS = ("keypoints", "with_match", "matches", "correct", "wrong", "found")
"""Columns of `part_counts`: the first image's keypoints on the part; their places with a match; the
predicted matches of the keypoints; the correct and the wrong ones; places with a match, found."""


def part_counts(
    truth: GroundTruth, pairs: ArrayLike, judged: PairTruth, classes: Mapping[int, str]
) -> dict[str, dict[str, int]]:
    """What became of the first image's keypoints, by the class of the part that they lie on.

    Counts add up over pairs; `matchers.truth.rules.scores` of the sums are a class's figures.

    Args:
        truth: about the keypoints.
        pairs: (K, 2) predicted rows.
        judged: their truth.
        classes: class by part label; labels that are not in it count as "background".

    Returns:
        Class -> `PART_COUNTS` -> number; classes without keypoints are left out.
    """
    side = truth.side0
    owner = np.array([classes.get(label, "background") for label in side.part.tolist()], object)
    first = check_pairs(pairs, len(side.part), len(truth.side1.part))[:, 0]
    correct, wrong = (judged.verdict == v for v in (Verdict.CORRECT, Verdict.WRONG))
    found = found_matches(truth, pairs, judged)
    counts = {}
    for name in sorted(set(owner.tolist())):
        here, there = owner == name, owner[first] == name
        values = (
            here,
            here & (side.partner >= 0),
            there,
            there & correct,
            there & wrong,
            here & found,
        )
        counts[name] = {
            key: int(np.count_nonzero(v)) for key, v in zip(PART_COUNTS, values, strict=True)
        }
    return counts


def confusions(
    truth: GroundTruth, pairs: ArrayLike, judged: PairTruth, classes: Mapping[int, str]
) -> dict[tuple[str, str], int]:
    """How many wrong matches lead from one class of part to another (or to the same).

    Arguments as `part_counts`.
    """
    array = check_pairs(pairs, len(truth.side0.part), len(truth.side1.part))
    wrong = array[judged.verdict == Verdict.WRONG]
    counts: dict[tuple[str, str], int] = {}
    labels = zip(truth.side0.part[wrong[:, 0]], truth.side1.part[wrong[:, 1]], strict=True)
    for a, b in labels:
        key = (classes.get(int(a), "background"), classes.get(int(b), "background"))
        counts[key] = counts.get(key, 0) + 1
    return counts


def agreement(pairs_a: ArrayLike, pairs_b: ArrayLike) -> float:
    """Matches in both of two sets, (K, 2) and (L, 2), to those in either (Jaccard's index).

    1 where both are empty. It tells how far early exit changes the matches of full depth.
    """
    sets = [set(map(tuple, np.asarray(p).reshape(-1, 2).tolist())) for p in (pairs_a, pairs_b)]
    union = len(sets[0] | sets[1])
    return len(sets[0] & sets[1]) / union if union else 1.0


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    """Members of `whole` that are in `part` too; NaN where there are none."""
    total = np.count_nonzero(whole)
    return np.count_nonzero(part & whole) / total if total else float("nan")
