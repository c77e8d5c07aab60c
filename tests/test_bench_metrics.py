"""Metrics on cases worked by hand, against OpenCV's epipolar lines, and by their laws."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bench import metrics
from matchers.truth.exact import GroundTruth, KeypointTruth, PairTruth, judge, label
from matchers.truth.frame import FrameGeometry
from matchers.truth.rules import IGNORED, UNMATCHED, Fate, Thresholds, Verdict
from satgen.errors import InputError

K = np.array([[800.0, 0.0, 255.5], [0.0, 700.0, 250.0], [0.0, 0.0, 1.0]])
C, W, I = (int(v) for v in (Verdict.CORRECT, Verdict.WRONG, Verdict.IGNORED))  # noqa: E741


def side(partner: list[int], part: list[int] | None = None) -> KeypointTruth:
    """Keypoints of which only the partners and parts matter."""
    n = len(partner)
    return KeypointTruth(
        np.zeros((n, 2)),
        np.zeros((n, 2)),
        np.zeros(n, np.int8),
        np.zeros(n, bool),
        np.arange(n),
        np.array(partner, dtype=np.int64),
        np.array(part or [0] * n, dtype=np.uint16),
    )


def of(verdict: list[int], error: list[float], visible: list[bool]) -> PairTruth:
    """Truth about pairs, as it is given."""
    return PairTruth(np.array(verdict, np.int8), np.array(error, float), np.array(visible, bool))


# --- by hand --------------------------------------------------------------------------------------


def test_precision_recall_and_f1_of_a_pair() -> None:
    # Keypoints 0, 1 and 4 have matches; 0 is found, 1 is not matched, 4 wrongly; 3 is ignored.
    truth = GroundTruth(side([2, 0, UNMATCHED, IGNORED, 1]), side([1, 4, 0]), Thresholds())
    figures = metrics.pair_figures(truth, [[0, 2], [4, 0]], of([C, W], [0.0, 9.0], [True, True]))
    assert figures["precision"] == 0.5 and figures["recall"] == pytest.approx(1 / 3)
    assert figures["f1"] == pytest.approx(0.4)
    # a correct match of a keypoint whose match is another counts for precision alone
    judged = of([C, C, W], [0.0, 0.0, 9.0], [True] * 3)
    figures = metrics.pair_figures(truth, [[0, 2], [3, 1], [4, 0]], judged)
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["recall"] == pytest.approx(1 / 3)


def test_matching_score_is_of_all_keypoints() -> None:
    assert metrics.matching_score([C, C, W, I], 8) == 0.25
    assert metrics.matching_score([], 8) == 0.0
    assert metrics.matching_score([], 0) == 0.0


def test_matching_accuracy_at_several_bounds() -> None:
    # 0.5 and 2 px right, 4 px between, 9 px wrong, 0.1 px but hidden, one unknown.
    pairs = of(
        [C, C, I, W, W, I],
        [0.5, 2.0, 4.0, 9.0, 0.1, np.nan],
        [True, True, True, True, False, False],
    )
    found = [metrics.matching_accuracy(pairs, bound) for bound in (1, 3, 5)]
    assert found == pytest.approx([1 / 5, 2 / 5, 3 / 5])
    assert metrics.matching_accuracy(of([], [], []), 3) == 0.0
    assert np.isnan(metrics.matching_accuracy(of([I], [np.nan], [False]), 3))


def test_reprojection_error_is_of_what_has_one() -> None:
    pairs = of([C, W, W], [1.0, 3.0, np.nan], [True, True, False])
    assert metrics.reprojection_error(pairs) == (2.0, 2.0)
    pairs = of([C, C, W], [1.0, 2.0, 300.0], [True] * 3)
    assert metrics.reprojection_error(pairs) == (101.0, 2.0)
    assert np.isnan(metrics.reprojection_error(of([W], [np.nan], [False]))).all()


def test_inlier_ratio() -> None:
    assert metrics.inlier_ratio([True, False, True, True]) == 0.75
    assert metrics.inlier_ratio([]) == 0.0
    assert metrics.inlier_ratio(None) == 0.0


def test_agreement_of_match_sets() -> None:
    assert metrics.agreement([[0, 1], [2, 3], [4, 5]], [[2, 3], [0, 1], [4, 6]]) == 0.5
    assert metrics.agreement([], []) == 1.0
    assert metrics.agreement([[0, 1]], np.zeros((0, 2), int)) == 0.0


# --- epipolar distances ---------------------------------------------------------------------------


def motion(rng: np.random.Generator) -> NDArray:
    """A relative pose."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rng.normal(0.0, 0.3, 3)).as_matrix()
    T[:3, 3] = rng.normal(0.0, 2.0, 3)
    return T


@pytest.mark.parametrize("seed", range(5))
def test_epipolar_errors_are_the_distances_to_opencv_s_lines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    T = motion(rng)
    K1 = K + np.array([[50.0, 0.0, 3.0], [0.0, 90.0, -7.0], [0.0, 0.0, 0.0]])
    points0, points1 = rng.uniform(0, 512, (2, 40, 2))
    x, y, z = T[:3, 3]
    E = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ T[:3, :3]
    bearing0 = cv2.undistortPoints(points0[:, None], K, None)
    bearing1 = cv2.undistortPoints(points1[:, None], K1, None)
    lines1 = cv2.computeCorrespondEpilines(bearing0, 1, E)[:, 0]
    lines0 = cv2.computeCorrespondEpilines(bearing1, 2, E)[:, 0]
    expected = np.zeros(len(points0))
    for lines, points in ((lines1, bearing1[:, 0]), (lines0, bearing0[:, 0])):
        expected += (lines[:, 0] * points[:, 0] + lines[:, 1] * points[:, 1] + lines[:, 2]) ** 2
    found = metrics.epipolar_errors(points0, points1, K, K1, T)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    scaled = T.copy()
    scaled[:3, 3] *= -1000.0
    np.testing.assert_allclose(metrics.epipolar_errors(points0, points1, K, K1, scaled), found)


def test_epipolar_error_of_a_sideways_step_by_hand() -> None:
    # Lines are rows: 7 px off at focal length 700 is 0.01, squared and both ways 2e-4.
    T = np.eye(4)
    T[0, 3] = 1.0
    points0 = np.array([[100.0, 200.0], [300.0, 100.0]])
    points1 = points0 + np.array([[25.0, 7.0], [-60.0, 14.0]])
    found = metrics.epipolar_errors(points0, points1, K, K, T)
    assert found == pytest.approx([2e-4, 8e-4])
    assert metrics.epipolar_precision(found) == 0.5
    assert metrics.epipolar_precision([]) == 0.0


def test_true_correspondences_have_no_epipolar_error() -> None:
    rng = np.random.default_rng(3)
    T, X = motion(rng), rng.normal([0.0, 0.0, 20.0], 1.0, (30, 3))
    zero = np.zeros(3)
    points0 = cv2.projectPoints(X, zero, zero, K, None)[0][:, 0]
    vector = Rotation.from_matrix(T[:3, :3]).as_rotvec()
    points1 = cv2.projectPoints(X, vector, T[:3, 3], K, None)[0][:, 0]
    assert metrics.epipolar_errors(points0, points1, K, K, T).max() < 1e-20
    T[:3, 3] = 0.0
    assert np.isnan(metrics.epipolar_errors(points0, points1, K, K, T)).all()


# --- whole pairs ----------------------------------------------------------------------------------


def wall(count: int, seed: int) -> tuple[NDArray, NDArray, GroundTruth]:
    """Keypoints 10 px apart on a wall, and where they are after a step of 10 px, shuffled."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[20:500:10, 20:480:10]
    points = np.stack([u.ravel(), v.ravel()], axis=1).astype(float)
    points = points[rng.permutation(len(points))[:count]]
    order = rng.permutation(count)
    camera = np.array([[100.0, 0.0, 255.5], [0.0, 100.0, 255.5], [0.0, 0.0, 1.0]])
    moved = np.eye(4)
    moved[0, 3] = 1.0
    views = [FrameGeometry(np.full((512, 512), 10.0), camera, T) for T in (np.eye(4), moved)]
    truth = label(points, points[order] + [10.0, 0.0], *views)
    return np.argsort(order), points, truth


def test_perfect_matches_score_everything() -> None:
    partner, points, truth = wall(300, 0)
    pairs = np.stack([np.arange(len(points)), partner], axis=1)
    figures = metrics.pair_figures(truth, pairs)
    for name in ("precision", "recall", "f1", "matching_score", "mma_1px", "mma_3px", "mma_5px"):
        assert figures[name] == 1.0, name
    assert figures["reprojection_mean_px"] < 1e-9
    assert figures["num_correct"] == figures["num_true_matches"] == 300


def test_random_matches_score_chance() -> None:
    # A random permutation has one fixed point on average, whatever its length.
    _, points, truth = wall(40, 1)
    rng = np.random.default_rng(2)
    rows = np.arange(len(points))
    correct, neighbours = [], []
    for _ in range(600):
        figures = metrics.pair_figures(truth, np.stack([rows, rng.permutation(40)], axis=1))
        correct.append(figures["num_correct"])
        neighbours.append(figures["precision"])
        assert figures["num_ignored"] == 0
    assert np.mean(correct) == pytest.approx(1.0, abs=0.15)
    assert np.mean(neighbours) == pytest.approx(1 / 40, abs=0.004)


def test_no_matches_and_no_keypoints() -> None:
    _, _, truth = wall(40, 1)
    figures = metrics.pair_figures(truth, [])
    assert figures["precision"] == figures["recall"] == figures["f1"] == 0.0
    assert figures["mma_3px"] == figures["matching_score"] == 0.0
    assert np.isnan(figures["reprojection_median_px"])


def test_a_keypoint_matched_twice_is_refused() -> None:
    _, _, truth = wall(40, 1)
    for pairs in ([[0, 1], [0, 2]], [[0, 1], [2, 1]]):
        with pytest.raises(InputError, match="twice"):
            metrics.pair_figures(truth, pairs)


@given(st.integers(0, 2**16), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_laws(seed: int, noise: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    partner, points, truth = wall(60, seed % 7)
    pairs = np.stack([np.arange(len(points)), partner], axis=1)
    shuffled = rng.random(60) < noise
    pairs[shuffled, 1] = rng.permutation(pairs[shuffled, 1])
    pairs = pairs[rng.random(60) < share]
    figures = metrics.pair_figures(truth, pairs)
    shares = [figures[name] for name in ("mma_1px", "mma_3px", "mma_5px")]
    assert shares == sorted(shares)
    assert figures["matching_score"] <= min(1.0, figures["recall"] + 1e-12)
    total = figures["num_correct"] + figures["num_wrong"] + figures["num_ignored"]
    assert total == figures["num_matches"] == len(pairs)
    low, high = sorted((figures["precision"], figures["recall"]))
    assert low - 1e-12 <= figures["f1"] <= high + 1e-12
    order = rng.permutation(len(pairs))
    shuffled_figures = metrics.pair_figures(truth, pairs[order])
    assert shuffled_figures == pytest.approx(figures, nan_ok=True)


# --- parts ----------------------------------------------------------------------------------------


def test_counts_by_class_of_part_add_up() -> None:
    truth = GroundTruth(
        side([0, 1, UNMATCHED, 3, IGNORED], [1, 1, 2, 3, 0]),
        side([0, 1, UNMATCHED, 3], [1, 3, 2, 2]),
        Thresholds(),
    )
    pairs = [[0, 0], [1, 3], [2, 1], [3, 2], [4, 1]]
    judged = of([C, W, W, I, W], [0.0] * 5, [True] * 5)
    classes = {1: "bus", 2: "bus", 3: "antenna"}
    counts = metrics.part_counts(truth, pairs, judged, classes)
    assert counts["bus"] == {
        "keypoints": 3,
        "with_match": 2,
        "matches": 3,
        "correct": 1,
        "wrong": 2,
        "found": 1,
    }
    assert counts["antenna"]["matches"] == 1 and counts["antenna"]["wrong"] == 0
    assert counts["background"]["wrong"] == 1
    assert metrics.confusions(truth, pairs, judged, classes) == {
        ("bus", "bus"): 1,
        ("bus", "antenna"): 1,
        ("background", "antenna"): 1,
    }


def test_parts_beyond_255_count_for_their_own_class() -> None:
    truth = GroundTruth(side([0, 1], [1, 300]), side([0, 1], [300, 257]), Thresholds())
    judged = of([C, W], [0.0] * 2, [True] * 2)
    classes = {1: "bus", 257: "boom", 300: "antenna"}
    counts = metrics.part_counts(truth, [[0, 1], [1, 0]], judged, classes)
    judgements = {name: (found["correct"], found["wrong"]) for name, found in counts.items()}
    assert judgements == {"antenna": (0, 1), "bus": (1, 0)}
    assert metrics.confusions(truth, [[0, 1], [1, 0]], judged, classes) == {
        ("antenna", "antenna"): 1
    }


def test_a_pair_whose_end_is_of_unknown_fate_is_ignored_not_wrong() -> None:
    _, points, truth = wall(40, 1)
    row = int(truth.side0.partner[0])
    truth.side1.fate[row] = Fate.UNDECIDED
    truth.side1.uv[row] = np.nan
    truth.side0.partner[0] = truth.side1.partner[row] = IGNORED
    assert judge(truth, [[0, row]]).verdict[0] == Verdict.IGNORED
    assert len(points) == 40
