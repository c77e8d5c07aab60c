"""Poses against OpenCV and the truth; the area under the curve worked by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from bench.pose import (
    EPIPOLAR_PX,
    Estimate,
    PoseError,
    RansacOptions,
    absolute_pose,
    absolute_pose_error,
    pose_auc,
    pose_error_deg,
    relative_pose,
    relative_pose_error,
    surface_points,
)
from satgen.errors import InputError

INF = float("inf")
K0 = np.array([[900.0, 0.0, 255.5], [0.0, 900.0, 255.5], [0.0, 0.0, 1.0]])
K1 = np.array([[950.0, 0.0, 250.0], [0.0, 940.0, 260.0], [0.0, 0.0, 1.0]])


def rigid(vector: list[float] | NDArray, t: list[float] | NDArray) -> NDArray:
    """A pose from a rotation vector, radians, and a translation."""
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(vector).as_matrix()
    T[:3, 3] = t
    return T


def project(X: NDArray, T: NDArray, K: NDArray) -> NDArray:
    """OpenCV's projection."""
    vector = Rotation.from_matrix(T[:3, :3]).as_rotvec()
    return cv2.projectPoints(X, vector, T[:3, 3], K, None)[0][:, 0]


def scene(seed: int, outliers: float = 0.3, noise: float = 0.2) -> tuple[NDArray, ...]:
    """Points in camera 0, the relative pose, and noisy matches of which some are wrong."""
    rng = np.random.default_rng(seed)
    X = rng.uniform([-3.0, -3.0, 12.0], [3.0, 3.0, 18.0], (300, 3))
    T = rigid(rng.normal(0.0, 0.1, 3), rng.normal(0.0, 2.0, 3))
    points0 = project(X, np.eye(4), K0) + rng.normal(0.0, noise, (300, 2))
    points1 = project(X, T, K1) + rng.normal(0.0, noise, (300, 2))
    wrong = rng.random(300) < outliers
    points1[wrong] = rng.uniform(0.0, 512.0, (np.count_nonzero(wrong), 2))
    return X, T, points0, points1, wrong


# --- relative pose --------------------------------------------------------------------------------


def sampson(T: NDArray, points0: NDArray, points1: NDArray) -> NDArray:
    """Signed Sampson distances in pixels (Hartley & Zisserman, eq. 11.9)."""
    x, y, z = T[:3, 3]
    E = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ T[:3, :3]
    F = np.linalg.inv(K1).T @ E @ np.linalg.inv(K0)
    a, b = (np.column_stack([p, np.ones(len(p))]) for p in (points0, points1))
    right, left = a @ F.T, b @ F
    scale = (right[:, :2] ** 2).sum(axis=1) + (left[:, :2] ** 2).sum(axis=1)
    return (b * right).sum(axis=1) / np.sqrt(scale)


@pytest.mark.parametrize("estimator", EPIPOLAR_PX)
@pytest.mark.parametrize("seed", range(4))
def test_relative_pose_is_found_among_outliers(seed: int, estimator: str) -> None:
    _, T, points0, points1, wrong = scene(seed)
    # normal noise of 0.2 px a coordinate in both images: 1 px is 3.5 standard deviations
    options = RansacOptions(estimator=estimator, epipolar_px=1.0)
    found = relative_pose(points0, points1, K0, K1, options)
    assert found is not None
    bound = {"poselib": 1.0, "opencv": 5.0}[estimator]  # OpenCV keeps the best sample of five
    assert pose_error_deg(relative_pose_error(found, T)) < bound
    assert np.linalg.norm(found.T[:3, 3]) == pytest.approx(1.0)
    assert found.inliers[~wrong].mean() > 0.9
    assert found.inliers[wrong].mean() < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_poselib_s_relative_pose_is_the_least_squares_one_of_its_inliers(seed: int) -> None:
    _, T, points0, points1, _ = scene(seed)
    found = relative_pose(points0, points1, K0, K1, RansacOptions(epipolar_px=1.0))
    assert found is not None
    inner = points0[found.inliers], points1[found.inliers]

    def moved(change: NDArray) -> NDArray:
        return rigid(change[:3], change[3:]) @ T

    best = least_squares(lambda change: sampson(moved(change), *inner), np.zeros(6))
    costs = [(sampson(pose, *inner) ** 2).sum() for pose in (found.T, moved(best.x), T)]
    assert costs[0] <= 1.02 * costs[1] and costs[0] < costs[2]
    assert pose_error_deg(relative_pose_error(found, moved(best.x))) < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_opencv_s_relative_pose_is_that_of_the_papers(seed: int) -> None:
    """SuperGlue's protocol in pixels: with one camera, nothing needs to be normalised."""
    _, T, points0, points1, _ = scene(seed)
    points1 = (points1 - K1[:2, 2]) / K1[[0, 1], [0, 1]] * 900.0 + 255.5  # as K0 would see it
    found = relative_pose(points0, points1, K0, K0, RansacOptions(estimator="opencv"))
    E, mask = cv2.findEssentialMat(points0, points1, K0, cv2.RANSAC, 0.99999, 1.0)
    assert found is not None
    np.testing.assert_array_equal(found.inliers, mask.ravel() > 0)
    R0, R1, t = cv2.decomposeEssentialMat(E)
    assert min(np.abs(found.T[:3, :3] - R).max() for R in (R0, R1)) < 1e-6
    assert np.abs(np.cross(found.T[:3, 3], t.ravel())).max() < 1e-6
    # what it sees is in front of both cameras: no other of the four poses is near the true one
    assert relative_pose_error(found, T).rotation_deg < 5.0
    assert found.T[:3, 3] @ T[:3, 3] > 0.0


def test_opencv_s_pose_of_what_is_far_away() -> None:
    """A degree's turn about a craft is a baseline of a 57th of its distance."""
    rng = np.random.default_rng(0)
    X = rng.uniform([-1.0, -1.0, 58.0], [1.0, 1.0, 62.0], (200, 3))
    T = rigid([0.0, np.radians(1.0), 0.0], [-1.0, 0.0, 0.0])
    far0, far1 = (np.diag([8.0, 8.0, 1.0]) @ K for K in (K0, K1))
    points0, points1 = project(X, np.eye(4), far0), project(X, T, far1)
    found = relative_pose(points0, points1, far0, far1, RansacOptions(estimator="opencv"))
    assert found is not None and found.inliers.all()
    assert relative_pose_error(found, T).rotation_deg < 0.1


def test_each_estimator_has_its_own_bound() -> None:
    assert RansacOptions().bound_px == 0.5
    assert RansacOptions(estimator="opencv").bound_px == 1.0
    assert RansacOptions(estimator="opencv", epipolar_px=2.0).bound_px == 2.0
    with pytest.raises(InputError, match="estimator pnp: must be one of poselib, opencv"):
        RansacOptions(estimator="pnp")


@pytest.mark.parametrize("estimator", EPIPOLAR_PX)
def test_estimates_are_reproducible(estimator: str) -> None:
    X, _, points0, points1, _ = scene(5, outliers=0.7)
    options = RansacOptions(estimator=estimator)
    poses = [absolute_pose(points1, X, K1, options) for _ in range(2)]
    assert poses[0] is not None and poses[1] is not None
    np.testing.assert_array_equal(poses[0].T, poses[1].T)
    first, second = (relative_pose(points0, points1, K0, K1, options) for _ in range(2))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.T, second.T)
    np.testing.assert_array_equal(first.inliers, second.inliers)


def test_the_threshold_is_in_pixels() -> None:
    _, _, points0, points1, _ = scene(1, outliers=0.0, noise=1.0)
    tight = relative_pose(points0, points1, K0, K1, RansacOptions(epipolar_px=0.3))
    wide = relative_pose(points0, points1, K0, K1, RansacOptions(epipolar_px=4.0))
    assert tight is not None and wide is not None
    assert tight.inliers.mean() < 0.6
    assert wide.inliers.mean() > 0.97


@pytest.mark.parametrize("estimator", EPIPOLAR_PX)
@pytest.mark.parametrize("count", [0, 4])
def test_too_few_matches_are_a_failure(count: int, estimator: str) -> None:
    options = RansacOptions(estimator=estimator)
    found = relative_pose(np.zeros((count, 2)), np.zeros((count, 2)), K0, K1, options)
    assert found is None
    assert relative_pose_error(found, np.eye(4)) == PoseError(INF, INF)
    assert pose_error_deg(relative_pose_error(found, np.eye(4))) == INF


def test_errors_of_a_relative_pose_by_hand() -> None:
    T = rigid([0.0, 0.0, 0.0], [2.0, 0.0, 0.0])
    turned = rigid(np.radians([0.0, 30.0, 0.0]), [np.cos(0.1), np.sin(0.1), 0.0])
    error = relative_pose_error(Estimate(turned, np.ones(5, bool)), T)
    assert error.rotation_deg == pytest.approx(30.0)
    assert error.translation == pytest.approx(np.degrees(0.1))
    assert pose_error_deg(error) == pytest.approx(30.0)
    # The opposite direction counts as the same: 170 degrees are 10.
    angle = np.radians(170.0)
    back = rigid([0.0, 0.0, 0.0], [np.cos(angle), 0.0, np.sin(angle)])
    error = relative_pose_error(Estimate(back, np.ones(5, bool)), T)
    assert error.translation == pytest.approx(10.0)


def test_without_a_true_translation_the_rotation_alone_counts() -> None:
    found = Estimate(rigid([0.0, 0.0, 0.1], [1.0, 0.0, 0.0]), np.ones(5, bool))
    error = relative_pose_error(found, np.eye(4))
    assert np.isnan(error.translation)
    assert pose_error_deg(error) == pytest.approx(np.degrees(0.1))


@given(st.integers(0, 2**20))
def test_rotation_error_is_scipy_s_magnitude(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rigid(Rotation.random(random_state=rng).as_rotvec(), [1, 2, 3]) for _ in range(2))
    expected = Rotation.from_matrix(a[:3, :3] @ b[:3, :3].T).magnitude()
    error = relative_pose_error(Estimate(a, np.ones(5, bool)), b)
    assert error.rotation_deg == pytest.approx(np.degrees(expected), abs=1e-6)


# --- absolute pose --------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", EPIPOLAR_PX)
@pytest.mark.parametrize("seed", range(3))
def test_absolute_pose_is_found_among_outliers(seed: int, estimator: str) -> None:
    X, T, _, points1, wrong = scene(seed)
    X = X.copy()
    X[:10] = np.nan
    found = absolute_pose(points1, X, K1, RansacOptions(estimator=estimator))
    assert found is not None
    error = absolute_pose_error(found, T)
    assert error.rotation_deg < 0.1
    assert error.translation < 30.0
    assert not found.inliers[:10].any()
    assert found.inliers[10:][~wrong[10:]].all()

    good = found.inliers
    _, vector, t = cv2.solvePnP(X[good], points1[good], K1, None)
    assert np.linalg.norm(found.T[:3, 3] - t.ravel()) < 0.01
    turn = Rotation.from_matrix(found.T[:3, :3]) * Rotation.from_rotvec(vector.ravel()).inv()
    assert np.degrees(turn.magnitude()) < 0.05


@pytest.mark.parametrize("estimator", EPIPOLAR_PX)
@pytest.mark.parametrize("count", [4, 5, 40])
def test_points_that_are_all_one_have_no_absolute_pose(count: int, estimator: str) -> None:
    options = RansacOptions(estimator=estimator)
    assert absolute_pose(np.zeros((count, 2)), np.zeros((count, 3)), K1, options) is None


def test_absolute_error_is_in_millimetres() -> None:
    T = rigid([0.1, 0.2, 0.3], [1.0, 2.0, 40.0])
    off = T.copy()
    off[:3, 3] += [0.003, 0.0, -0.004]
    error = absolute_pose_error(Estimate(off, np.ones(4, bool)), T)
    assert error.translation == pytest.approx(5.0)
    assert error.rotation_deg == pytest.approx(0.0, abs=1e-6)


def test_an_absolute_pose_needs_four_known_points() -> None:
    X = np.full((9, 3), np.nan)
    X[:3] = np.eye(3)
    found = absolute_pose(np.zeros((9, 2)), X, K1)
    assert found is None
    assert absolute_pose_error(found, np.eye(4)) == PoseError(INF, INF)


def test_surface_points_come_from_the_depth_at_the_keypoint() -> None:
    T = rigid([0.2, -0.1, 0.4], [0.3, 0.1, 10.0])
    # A plane n·x = 8 in the camera frame: its depth is exact between pixels too.
    n = np.array([0.1, -0.2, 0.97])
    v, u = np.mgrid[0:64, 0:64].astype(float)
    rays = np.stack([(u - 255.5) / 900.0, (v - 255.5) / 900.0, np.ones_like(u)], axis=-1)
    depth = 8.0 / (rays @ n)
    depth[40:] = 0.0
    keypoints = np.array([[10.3, 20.7], [33.0, 12.5], [5.0, 60.0]])
    found = surface_points(keypoints, depth, K0, T)
    assert np.isnan(found[2]).all()
    np.testing.assert_allclose(project(found[:2], T, K0), keypoints[:2], atol=1e-6)
    np.testing.assert_allclose((found[:2] @ T[:3, :3].T + T[:3, 3]) @ n, 8.0, rtol=1e-6)


# --- area under the curve -------------------------------------------------------------------------


def test_auc_by_hand() -> None:
    # Corners (0, 0), (1, ¼), (3, ½), (12, ¾), and one pair without a pose. To 5: ⅛ + ¾ + 2 · ½.
    # To 10: 5 · ½ more. To 20: ⅛ + ¾ + 9 · ⅝ + 8 · ¾.
    found = pose_auc([12.0, INF, 1.0, 3.0], (5.0, 10.0, 20.0))
    assert found == pytest.approx((1.875 / 5.0, 4.375 / 10.0, 12.5 / 20.0))


def test_auc_is_what_the_published_code_computes() -> None:
    # Recorded from SuperGlue's own function.
    errors = [0.4, INF, 3.2, 7.7, 5.0, 1.1, 19.9, 26.0, 10.0, 0.0]
    assert pose_auc(errors) == pytest.approx((0.338, 0.4645, 0.61325))


def test_auc_at_its_ends() -> None:
    assert pose_auc([0.0, 0.0, 0.0]) == (1.0, 1.0, 1.0)
    assert pose_auc([INF, float("nan")]) == (0.0, 0.0, 0.0)
    assert pose_auc([5.0], [5.0]) == (0.0,)
    assert np.isnan(pose_auc([])).all()


@given(
    st.lists(st.one_of(st.floats(0.01, 60.0), st.just(INF)), min_size=1, max_size=30),
    st.sampled_from([5.0, 10.0, 20.0]),
)
def test_auc_is_the_integral_of_the_curve(errors: list[float], bound: float) -> None:
    finite = np.sort([e for e in errors if e < bound])
    curve_x = np.concatenate([[0.0], finite, [bound]])
    share = np.arange(len(finite) + 1) / len(errors)
    curve_y = np.concatenate([share, share[-1:]])
    x = (np.arange(40_000) + 0.5) * bound / 40_000
    expected = np.interp(x, curve_x, curve_y).mean()
    found = pose_auc(errors, [bound])[0]
    assert found == pytest.approx(expected, abs=1e-3)
    assert 0.0 <= found <= 1.0
    assert pose_auc([*errors, INF], [bound])[0] <= found + 1e-12


# --- input ----------------------------------------------------------------------------------------


def test_bad_input_is_refused() -> None:
    skewed = K0.copy()
    skewed[0, 1] = 1.0
    points = np.zeros((6, 2))
    with pytest.raises(InputError, match="skew"):
        relative_pose(points, points, skewed, K1)
    with pytest.raises(InputError, match="6 points and 5"):
        relative_pose(points, points[:5], K0, K1)
    with pytest.raises(InputError, match=r"points of shape \(6, 3\)"):
        relative_pose(np.zeros((6, 3)), points, K0, K1)
