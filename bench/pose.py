"""Camera pose from matches, and how far off it is.

Two estimators: PoseLib's LO-RANSAC (Larsson et al.), and OpenCV's RANSAC as the evaluations of
SuperGlue and most later papers call it, whose figures can be set beside theirs. Both give the same
answer again. SuperGlue and LightGlue define the errors; their area under the curve is `pose_auc`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.errors import InputError
from satgen.geometry import Bools, Floats, backproject, front_depth, geodesic, make_pose
from satgen.settings import check, setting

if TYPE_CHECKING:
    from matchers.truth.frame import FrameGeometry

AUC_DEG = (5.0, 10.0, 20.0)
"""Bounds of the area under the pose error's curve (SuperGlue §5.2, LightGlue §5.2)."""

EPIPOLAR_PX = {"poselib": 0.5, "opencv": 1.0}
"""The estimators, and the largest epipolar error of an inlier, pixels. SuperGlue calls OpenCV with
1 px at 640 × 480; with PoseLib and 0.5 px all true matches of rendered frames have a higher AUC@5°
(validation frames, mean over 1 to 20 degrees)."""

OPENCV_ITERATIONS = 1000
"""OpenCV's own bound for essential matrices, which the papers leave as it is."""


@dataclass(frozen=True)
class RansacOptions:
    """How poses are estimated; the same for every matcher and every pair.

    Attributes:
        estimator: "poselib", or "opencv": `findEssentialMat` on normalised points with the bound
            divided by the mean focal length, `recoverPose`, and `solvePnPRansac`.
        epipolar_px: largest epipolar (Sampson) error of an inlier of the relative pose; None takes
            the estimator's in `EPIPOLAR_PX`.
        reprojection_px: largest reprojection error of an inlier of the absolute pose.
        confidence: probability of a sample without outliers at which it stops (SuperGlue's).
        max_iterations: bound where there are few inliers; OpenCV's is `OPENCV_ITERATIONS`.
        seed: of PoseLib's samples; OpenCV's have one of their own.

    Raises:
        InputError: an unknown estimator, or an error that is not positive.
    """

    estimator: str = setting(
        "poselib",
        "Who computes poses: poselib, or opencv, whose RANSAC most papers use",
        choices=tuple(EPIPOLAR_PX),
    )
    epipolar_px: float | None = setting(
        None,
        "Largest epipolar error of an inlier",
        unit="pixels",
        above=0.0,
        high=4096.0,
        name="ransac-px",
        shown=", ".join(f"{px:g} with {name}" for name, px in EPIPOLAR_PX.items()),
    )
    reprojection_px: float = 3.0
    confidence: float = 0.99999
    max_iterations: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        check(self)

    @property
    def bound_px(self) -> float:
        """The largest epipolar error of an inlier, pixels."""
        return EPIPOLAR_PX[self.estimator] if self.epipolar_px is None else self.epipolar_px


@dataclass(frozen=True)
class Estimate:
    """A pose and the matches that support it.

    Attributes:
        T: (4, 4). Relative: camera 0 to camera 1, its translation of unit length. Absolute:
            T_cam_target of the second frame, metres.
        inliers: (K,) bool, of the matches that were given.
    """

    T: Floats
    inliers: Bools


def relative_pose(
    points0: ArrayLike,
    points1: ArrayLike,
    K0: ArrayLike,
    K1: ArrayLike,
    options: RansacOptions | None = None,
) -> Estimate | None:
    """Relative pose of two calibrated cameras by the essential matrix.

    Args:
        points0, points1: (K, 2) matched pixels.
        K0, K1: (3, 3) intrinsics without skew.
        options: thresholds, iterations, seed.

    Returns:
        None where fewer than five matches are given or support a pose.
    """
    options = options or RansacOptions()
    x0, x1 = _points(points0, 2), _points(points1, 2)
    K0, K1 = _intrinsics(K0), _intrinsics(K1)
    _same_length(x0, x1)
    if len(x0) < 5:
        return None
    find = _relative_opencv if options.estimator == "opencv" else _relative_poselib
    found = _supported(find(x0, x1, K0, K1, options), 5)
    if found is None:
        return None
    found.T[:3, 3] /= np.linalg.norm(found.T[:3, 3])  # PoseLib's refinement lets it off the sphere
    return found


def absolute_pose(
    points: ArrayLike, target_points: ArrayLike, K: ArrayLike, options: RansacOptions | None = None
) -> Estimate | None:
    """T_cam_target from pixels of known target-frame points (perspective n-point).

    Args:
        points: (K, 2) pixels.
        target_points: (K, 3) metres, target frame; rows with NaN are no inliers.
        K: (3, 3) intrinsics without skew.
        options: thresholds, iterations, seed.

    Returns:
        None where fewer than four matches have a point or support a pose.
    """
    options = options or RansacOptions()
    x, X, K = _points(points, 2), _points(target_points, 3), _intrinsics(K)
    _same_length(x, X)
    known = np.isfinite(X).all(axis=1)
    if np.count_nonzero(known) < 4:
        return None
    find = _absolute_opencv if options.estimator == "opencv" else _absolute_poselib
    found = _supported(find(x[known], X[known], K, options), 4)
    if found is None:
        return None
    inliers = np.zeros(len(x), dtype=bool)
    inliers[known] = found.inliers
    return Estimate(found.T, inliers)


def surface_points(
    keypoints: ArrayLike,
    depth: Floats,
    K: ArrayLike,
    T: ArrayLike,
    distortion: ArrayLike | None = None,
) -> Floats:
    """Target-frame points (N, 3), metres, that a frame shows at keypoints (N, 2); NaN for none.

    Args:
        keypoints: pixels.
        depth: (H, W) metres.
        K, T: the frame's intrinsics and T_cam_target.
        distortion: (5,) of its lens, k1, k2, p1, p2, k3; None for none.
    """
    keypoints = _points(keypoints, 2)
    return backproject(K, T, keypoints, front_depth(depth, keypoints)[0], distortion)


@dataclass(frozen=True)
class FrameMatches:
    """Matches of two frames, as poses are estimated from them.

    Attributes:
        x0, x1: (K, 2) matched pixels, undistorted.
        known: (K, 3) what the first frame shows there, metres, target frame; NaN for nothing.
        frame0, frame1: the geometry of both frames.
    """

    x0: Floats
    x1: Floats
    known: Floats
    frame0: FrameGeometry
    frame1: FrameGeometry

    @classmethod
    def of(
        cls, points0: Floats, points1: Floats, frame0: FrameGeometry, frame1: FrameGeometry
    ) -> FrameMatches:
        """The matches of pixels (K, 2) of either frame."""
        K, T = frame0.K, frame0.T_cam_target
        known = surface_points(points0, frame0.depth, K, T, frame0.distortion)
        x0, x1 = frame0.undistorted(points0), frame1.undistorted(points1)
        return cls(x0, x1, known, frame0, frame1)

    def those(self, keep: Bools) -> FrameMatches:
        """Some of the matches, (K,) bool."""
        return replace(self, x0=self.x0[keep], x1=self.x1[keep], known=self.known[keep])

    @property
    def truth(self) -> Floats:
        """The true relative pose (4, 4)."""
        return self.frame1.T_cam_target @ np.linalg.inv(self.frame0.T_cam_target)

    def relative(self, options: RansacOptions) -> Estimate | None:
        """See `relative_pose`."""
        return relative_pose(self.x0, self.x1, self.frame0.K, self.frame1.K, options)

    def absolute(self, options: RansacOptions) -> Estimate | None:
        """The second frame's pose from the first frame's depth: see `absolute_pose`."""
        return absolute_pose(self.x1, self.known, self.frame1.K, options)


@dataclass(frozen=True)
class PoseError:
    """Errors of a pose; infinite where there is none.

    Attributes:
        rotation_deg: angle of the rotation that is left, degrees.
        translation: relative pose: angle between the directions, degrees, at most 90; NaN where
            the true translation is none. Absolute pose: millimetres by which the target's origin
            is misplaced.
    """

    rotation_deg: float
    translation: float


def relative_pose_error(estimate: Estimate | None, T_0to1: ArrayLike) -> PoseError:
    """Errors of a relative pose against the true one (4, 4).

    The sign of the translation is not asked for, as in the papers: of the angle and its
    supplement the smaller counts.
    """
    if estimate is None:
        return PoseError(float("inf"), float("inf"))
    T = np.asarray(T_0to1, dtype=np.float64)
    a, b = estimate.T[:3, 3], T[:3, 3]
    sine, cosine = np.linalg.norm(np.cross(a, b)), abs(float(a @ b))
    angle = np.degrees(np.arctan2(sine, cosine)) if np.linalg.norm(b) > 0.0 else np.nan
    return PoseError(_rotation_deg(estimate.T, T), float(angle))


def absolute_pose_error(estimate: Estimate | None, T_cam_target: ArrayLike) -> PoseError:
    """Errors of an absolute pose against the true one (4, 4)."""
    if estimate is None:
        return PoseError(float("inf"), float("inf"))
    T = np.asarray(T_cam_target, dtype=np.float64)
    off = np.linalg.norm(estimate.T[:3, 3] - T[:3, 3])
    return PoseError(_rotation_deg(estimate.T, T), 1000.0 * float(off))


def pose_error_deg(error: PoseError) -> float:
    """The larger of a relative pose's two errors, of which the area under the curve is taken.

    Where there is no true translation the rotation alone counts.
    """
    return float(np.fmax(error.rotation_deg, error.translation))


def pose_auc(errors_deg: ArrayLike, bounds_deg: Sequence[float] = AUC_DEG) -> tuple[float, ...]:
    """Area under the cumulative curve of pose errors up to each bound, divided by the bound.

    The curve runs from (0, 0) through (error, share of pairs up to it) in straight lines, and level
    from the last error below the bound to the bound, as the papers compute it.

    Args:
        errors_deg: (N,) degrees; infinite or NaN means that there is no pose.
        bounds_deg: degrees.

    Returns:
        A share in [0, 1] a bound; NaN where there are no errors.
    """
    errors = np.asarray(errors_deg, dtype=np.float64).ravel()
    if not errors.size:
        return tuple(float("nan") for _ in bounds_deg)
    errors = np.sort(np.where(np.isnan(errors), np.inf, errors))
    x = np.concatenate([[0.0], errors])
    y = np.arange(len(x)) / len(errors)
    areas = []
    for bound in bounds_deg:
        # An error of exactly 0 is below every bound; the origin stays in the curve.
        inside = max(1, int(np.searchsorted(x, bound, side="left")))
        width = np.diff(np.concatenate([x[:inside], [bound]]))
        height = np.concatenate([y[:inside], [y[inside - 1]]])
        areas.append(float(width @ (height[1:] + height[:-1]) / 2.0 / bound))
    return tuple(areas)


def _points(points: ArrayLike, columns: int) -> Floats:
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, columns))
    if array.ndim != 2 or array.shape[1] != columns:
        raise InputError(f"points of shape {array.shape}: must be (K, {columns})")
    return np.ascontiguousarray(array)


def _same_length(a: Floats, b: Floats) -> None:
    if len(a) != len(b):
        raise InputError(f"{len(a)} points and {len(b)}: must be as many")


def _intrinsics(K: ArrayLike) -> Floats:
    K = np.asarray(K, dtype=np.float64)
    if K.shape != (3, 3) or K[0, 1] != 0.0:
        raise InputError("intrinsics must be a 3 × 3 matrix without skew")
    return K


def _supported(found: Estimate | None, minimum: int) -> Estimate | None:
    """An estimate, or None where too few matches support it or it is not finite."""
    if found is None or np.count_nonzero(found.inliers) < minimum or not np.isfinite(found.T).all():
        return None
    return found


# --- PoseLib --------------------------------------------------------------------------------------


def _relative_poselib(
    x0: Floats, x1: Floats, K0: Floats, K1: Floats, options: RansacOptions
) -> Estimate:
    import poselib

    ransac = _ransac(options) | {"max_epipolar_error": options.bound_px}
    pose, info = poselib.estimate_relative_pose(x0, x1, _camera(K0), _camera(K1), ransac, {})
    return _poselib_estimate(pose, info, len(x0))


def _absolute_poselib(x: Floats, X: Floats, K: Floats, options: RansacOptions) -> Estimate:
    import poselib

    ransac = _ransac(options) | {"max_reproj_error": options.reprojection_px}
    pose, info = poselib.estimate_absolute_pose(x, X, _camera(K), ransac, {})
    return _poselib_estimate(pose, info, len(x))


def _camera(K: Floats) -> dict[str, Any]:
    """A pinhole camera as PoseLib takes it. Its size is not used."""
    params = [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]
    return {"model": "PINHOLE", "width": 0, "height": 0, "params": [float(p) for p in params]}


def _ransac(options: RansacOptions) -> dict[str, Any]:
    return {
        "max_iterations": options.max_iterations,
        "success_prob": options.confidence,
        "seed": options.seed,
    }


def _poselib_estimate(pose: Any, info: dict[str, Any], count: int) -> Estimate:
    inliers = np.zeros(count, dtype=bool)
    found: NDArray[np.bool_] = np.asarray(info["inliers"], dtype=bool)
    inliers[: len(found)] = found
    return Estimate(make_pose(np.asarray(pose.R), np.asarray(pose.t).ravel()), inliers)


# --- OpenCV ---------------------------------------------------------------------------------------


def _relative_opencv(
    x0: Floats, x1: Floats, K0: Floats, K1: Floats, options: RansacOptions
) -> Estimate | None:
    """The essential matrix and its pose as SuperGlue's evaluation computes them."""
    import cv2

    y0, y1 = ((x - K[:2, 2]) / K[[0, 1], [0, 1]] for x, K in ((x0, K0), (x1, K1)))
    focal = np.mean([K0[0, 0], K0[1, 1], K1[0, 0], K1[1, 1]])
    E, chosen = cv2.findEssentialMat(
        y0,
        y1,
        np.eye(3),
        method=cv2.RANSAC,
        prob=options.confidence,
        threshold=options.bound_px / focal,
        maxIters=OPENCV_ITERATIONS,
    )
    best, found = 0, None
    for candidate in [] if E is None else np.split(E, len(E) // 3):  # five points have several
        # no bound on the distance: at one degree, a craft is 57 baselines away
        count, R, t, inliers, _ = cv2.recoverPose(
            candidate, y0, y1, np.eye(3), distanceThresh=1e9, mask=chosen.copy()
        )
        if count > best:
            best, found = count, Estimate(make_pose(R, t.ravel()), inliers.ravel() > 0)
    return found


def _absolute_opencv(x: Floats, X: Floats, K: Floats, options: RansacOptions) -> Estimate | None:
    import cv2

    try:
        ok, rotation, t, rows = cv2.solvePnPRansac(
            X,
            x,
            K,
            None,
            iterationsCount=OPENCV_ITERATIONS,
            reprojectionError=options.reprojection_px,
            confidence=options.confidence,
            flags=cv2.SOLVEPNP_AP3P,
        )
        if not ok or rows is None:
            return None
        rows = rows.ravel()
        rotation, t = cv2.solvePnPRefineLM(X[rows], x[rows], K, None, rotation, t)
    except cv2.error:  # points that determine no pose
        return None
    inliers = np.zeros(len(x), dtype=bool)
    inliers[rows] = True
    return Estimate(make_pose(cv2.Rodrigues(rotation)[0], t.ravel()), inliers)


def _rotation_deg(T_a: Floats, T_b: Floats) -> float:
    return float(np.degrees(geodesic(T_a[:3, :3], T_b[:3, :3])))
