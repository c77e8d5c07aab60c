"""Pose algebra, projection, and warping of one frame's pixels into another.

Conventions, everywhere in this module:

- Camera frame: OpenCV, x right, y down, z forward. Pixels: (u, v), column and row, origin at the
  centre of the top-left pixel.
- `T_cam_target`, (..., 4, 4): takes homogeneous target-frame coordinates to camera-frame ones.
- Quaternions are (w, x, y, z), unit, Hamilton's product, and `quaternion_to_matrix(q) @ X` turns X.
- Depth is the camera-frame z in metres; 0 (or anything not finite and positive) means no surface.
- The target is rigid: a surface point keeps its target-frame coordinates from frame to frame, so
  frames are tied together by their `T_cam_target` alone.

All functions work on float64 and broadcast over leading dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen import lens
from satgen.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
PixelBox = tuple[int, int, int, int]
"""A window (x, y, w, h) of an image, pixels."""


# --- rotations --------------------------------------------------------------------------------


def normalise(vectors: ArrayLike) -> Floats:
    """Vectors (..., n) scaled to unit length. A zero vector becomes NaN."""
    v = np.asarray(vectors, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(v / np.linalg.norm(v, axis=-1, keepdims=True))


def cross(a: Floats, b: Floats) -> Floats:
    """Cross product of two vectors (3,): as NumPy's, which takes ten times as long for them."""
    return np.asarray(a[_NEXT] * b[_LAST] - a[_LAST] * b[_NEXT])


_NEXT, _LAST = np.array([1, 2, 0]), np.array([2, 0, 1])


def quaternion_multiply(p: ArrayLike, q: ArrayLike) -> Floats:
    """Hamilton product p*q, (..., 4): the rotation that turns by q first, then by p."""
    pw, px, py, pz = np.moveaxis(np.asarray(p, dtype=np.float64), -1, 0)
    qw, qx, qy, qz = np.moveaxis(np.asarray(q, dtype=np.float64), -1, 0)
    return np.stack(
        [
            pw * qw - px * qx - py * qy - pz * qz,
            pw * qx + px * qw + py * qz - pz * qy,
            pw * qy - px * qz + py * qw + pz * qx,
            pw * qz + px * qy - py * qx + pz * qw,
        ],
        axis=-1,
    )


def quaternion_conjugate(q: ArrayLike) -> Floats:
    """Inverse of unit quaternions, (..., 4)."""
    return np.asarray(np.asarray(q, dtype=np.float64) * np.array([1.0, -1.0, -1.0, -1.0]))


def axis_quaternion(axis: str, angle: ArrayLike) -> Floats:
    """Rotation about a coordinate axis, 'x', 'y' or 'z', by `angle` radians (...) -> (..., 4).

    The half angle is not wrapped, so the quaternion is continuous in the angle (period 4 pi).
    """
    half = np.asarray(angle, dtype=np.float64) / 2.0
    q = np.zeros((*half.shape, 4))
    q[..., 0] = np.cos(half)
    q[..., 1 + "xyz".index(axis)] = np.sin(half)
    return q


def quaternion_to_matrix(q: ArrayLike) -> Floats:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4).

    Quaternions are renormalised first, so an error in the length does not become a scale.
    """
    w, x, y, z = np.moveaxis(normalise(q), -1, 0)
    rows = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_quaternion(R: ArrayLike) -> Floats:
    """Unit quaternions (..., 4) with w >= 0 of rotation matrices (..., 3, 3).

    Takes the largest of the four components from the diagonal and the others from sums and
    differences divided by it, so that no component loses digits at any angle.
    """
    m = np.asarray(R, dtype=np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    xy, xz, yz = (
        m[..., 0, 1] + m[..., 1, 0],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 1, 2] + m[..., 2, 1],
    )
    # Row i of the stack is 4 q_i q; the row of the largest q_i is the accurate one.
    outer = np.stack(
        [
            np.stack([1.0 + xx + yy + zz, wx, wy, wz], axis=-1),
            np.stack([wx, 1.0 + xx - yy - zz, xy, xz], axis=-1),
            np.stack([wy, xy, 1.0 - xx + yy - zz, yz], axis=-1),
            np.stack([wz, xz, yz, 1.0 - xx - yy + zz], axis=-1),
        ],
        axis=-2,
    )
    best = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    q = normalise(np.take_along_axis(outer, best[..., None, None], axis=-2)[..., 0, :])
    return np.where(q[..., :1] < 0.0, -q, q)


def continuous_quaternions(q: ArrayLike) -> Floats:
    """The same rotations (N, 4) with signs chosen so that neighbours' dot products are >= 0.

    The first quaternion keeps its sign.
    """
    q = np.asarray(q, dtype=np.float64)
    dots = np.sum(q[1:] * q[:-1], axis=-1)
    flips = np.where(dots < 0.0, -1.0, 1.0)
    signs = np.concatenate([np.ones(min(1, len(q))), np.cumprod(flips)])
    return np.asarray(q * signs[:, None])


def axis_rotation(axis: int, angle: Floats) -> Floats:
    """Matrices (N, 3, 3) that turn vectors by `angle` (N,) radians about coordinate `axis`."""
    matrices = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrices[:, axis, axis] = 1.0
    matrices[:, i, i] = matrices[:, j, j] = np.cos(angle)
    matrices[:, j, i] = np.sin(angle)
    matrices[:, i, j] = -np.sin(angle)
    return matrices


def rotation_angle(R: ArrayLike) -> Floats:
    """Angle of rotation matrices (..., 3, 3), radians in [0, pi], (...).

    Uses sine and cosine both (atan2), so it is accurate near 0 and near pi alike.
    """
    q = matrix_to_quaternion(R)
    return np.asarray(2.0 * np.arctan2(np.linalg.norm(q[..., 1:], axis=-1), q[..., 0]))


def geodesic(R_a: ArrayLike, R_b: ArrayLike) -> Floats:
    """Angle between rotations (..., 3, 3), radians in [0, pi], (...)."""
    return rotation_angle(np.asarray(R_a) @ np.swapaxes(np.asarray(R_b), -1, -2))


# --- poses ------------------------------------------------------------------------------------


def make_pose(R: ArrayLike, t: ArrayLike) -> Floats:
    """Homogeneous poses (..., 4, 4) from rotations (..., 3, 3) and translations (..., 3)."""
    R, t = np.asarray(R, dtype=np.float64), np.asarray(t, dtype=np.float64)
    T = np.zeros((*np.broadcast_shapes(R.shape[:-2], t.shape[:-1]), 4, 4))
    T[..., :3, :3] = R
    T[..., :3, 3] = t
    T[..., 3, 3] = 1.0
    return T


def compose(*poses: ArrayLike) -> Floats:
    """Product of poses (..., 4, 4): compose(T_a_b, T_b_c) is T_a_c."""
    out = np.asarray(poses[0], dtype=np.float64)
    for pose in poses[1:]:
        out = out @ np.asarray(pose, dtype=np.float64)
    return out


def invert_pose(T: ArrayLike) -> Floats:
    """Inverse of rigid poses (..., 4, 4), by transposing the rotation."""
    T = np.asarray(T, dtype=np.float64)
    R_t = np.swapaxes(T[..., :3, :3], -1, -2)
    return make_pose(R_t, -(R_t @ T[..., :3, 3:])[..., 0])


def relative_pose(T_i: ArrayLike, T_j: ArrayLike) -> Floats:
    """Pose (..., 4, 4) that takes camera-i coordinates to camera-j ones, from two T_cam_target."""
    return compose(T_j, invert_pose(T_i))


def transform(T: ArrayLike, X: ArrayLike) -> Floats:
    """Points X (..., N, 3) moved by poses T (..., 4, 4)."""
    T = np.asarray(T, dtype=np.float64)
    X = np.asarray(X, dtype=np.float64)
    return np.asarray(X @ np.swapaxes(T[..., :3, :3], -1, -2) + T[..., None, :3, 3])


# --- projection -------------------------------------------------------------------------------


def project(
    K: ArrayLike, T: ArrayLike, X: ArrayLike, distortion: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Pixels of target-frame points.

    Args:
        K: (..., 3, 3) intrinsics, pixels.
        T: (..., 4, 4) T_cam_target.
        X: (..., N, 3) points, target frame, metres.
        distortion: (5,) OpenCV's k1, k2, p1, p2, k3 of the lens; None for a pinhole.

    Returns:
        uv (..., N, 2) pixels, NaN for points at or behind the camera (z <= 0) or beyond what the
        lens's polynomial covers (`satgen.lens.domain`), and z (..., N) depth in metres, whatever
        its sign.
    """
    K = np.asarray(K, dtype=np.float64)
    x_cam = transform(T, X)
    z = x_cam[..., 2]
    safe = np.where(z > 0.0, z, np.nan)
    coefficients = _coefficients(distortion)
    if coefficients != lens.NONE:
        xy = lens.distort(coefficients, x_cam[..., :2] / safe[..., None])
        x_cam = np.concatenate([xy, np.ones((*z.shape, 1))], axis=-1)
        safe = np.ones(z.shape)
    homogeneous = x_cam @ np.swapaxes(K, -1, -2)
    return homogeneous[..., :2] / safe[..., None], z


def backproject(
    K: ArrayLike,
    T: ArrayLike,
    uv: ArrayLike,
    depth: ArrayLike,
    distortion: ArrayLike | None = None,
) -> Floats:
    """Target-frame points (..., N, 3) seen at pixels uv (..., N, 2) at depth (..., N) metres.

    The inverse of `project`; points without depth (0, negative, NaN) come back as NaN.
    K is (..., 3, 3) with a zero or non-zero skew, T is T_cam_target (..., 4, 4), `distortion` as
    there.
    """
    K = np.asarray(K, dtype=np.float64)
    uv = np.asarray(uv, dtype=np.float64)
    depth = np.asarray(depth, dtype=np.float64)
    z = np.where(depth > 0.0, depth, np.nan)
    cx, cy = K[..., None, 0, 2], K[..., None, 1, 2]
    y = (uv[..., 1] - cy) / K[..., None, 1, 1]
    x = (uv[..., 0] - cx - K[..., None, 0, 1] * y) / K[..., None, 0, 0]
    coefficients = _coefficients(distortion)
    if coefficients != lens.NONE:
        x, y = np.moveaxis(lens.undistort(coefficients, np.stack([x, y], axis=-1)), -1, 0)
    x_cam = np.stack([x * z, y * z, z], axis=-1)
    return transform(invert_pose(T), x_cam)


def _coefficients(distortion: ArrayLike | None) -> lens.Coefficients:
    """Five coefficients of a lens, or InputError."""
    if distortion is None:
        return lens.NONE
    values = np.asarray(distortion, dtype=np.float64)
    if values.shape != (5,):
        raise InputError(f"distortion of shape {values.shape}: must be (5,): k1, k2, p1, p2, k3")
    k1, k2, p1, p2, k3 = values.tolist()
    return k1, k2, p1, p2, k3


def pixel_grid(height: int, width: int) -> Floats:
    """Pixel centres (H, W, 2): [v, u] holds (u, v)."""
    v, u = np.mgrid[0:height, 0:width].astype(np.float64)
    return np.stack([u, v], axis=-1)


# --- depth look-up and warping ----------------------------------------------------------------

SMOOTH_RTOL = 2e-4
"""Change of slope from pixel to pixel that still counts as one surface, relative to inverse depth:
8 mm at 40 m. It covers rounding of 16-bit depth and the curvature of ordinary tanks and dishes."""

SMOOTH_RATIO = 0.25
"""The same as a share of the slope itself, since a gently curved surface seen at a grazing angle
bends by more; slopes count up to ten times the absolute allowance. With both, interpolation is off
by no more than about 2e-4 of the depth, well inside the tolerance of the occlusion test."""

FRONT_RTOL = 2e-3
"""Depth, relative, by which pixels beside each other may differ and still be one surface in front
of what is behind: 2 cm at 10 m, more than a crease or a slant makes of a pixel's step."""

SNAP = 1e-6
"""Distance in pixels within which a position is on a pixel's row or column: above rounding."""

OCCLUSION_RTOL = 1e-3
"""Depth disagreement, relative to depth, above which a warped point is not what the other frame
shows there: 40 mm at 40 m."""


def sample_depth(
    depth: ArrayLike,
    uv: ArrayLike,
    smooth_rtol: float = SMOOTH_RTOL,
    smooth_ratio: float = SMOOTH_RATIO,
) -> tuple[Floats, Bools]:
    """Depth at sub-pixel positions that is never an average over two surfaces.

    The answer is the nearest pixel's depth, except where the four pixels around the position lie
    on one smooth surface; there the inverse depth is interpolated bilinearly, which is exact for a
    plane, because a plane's inverse depth is affine in the pixel coordinates.

    Four pixels count as one smooth surface when all have depth and each of the four steps in
    inverse depth between neighbours is continued by the next step along the same row or column
    on at least one side (a step across an edge is continued on neither), and opposite steps agree.
    Two steps agree when they differ by at most `smooth_rtol` times the inverse depth plus
    `smooth_ratio` times the larger step (or ten times the former, if that is less). A surface two
    pixels wide or less is thus never interpolated.

    Args:
        depth: (..., H, W) depth maps in metres, 0 = nothing there.
        uv: (..., N, 2) pixel positions; the leading dimensions broadcast with depth's.

    Returns:
        z (..., N) metres, 0 where the nearest pixel shows nothing or uv is outside the image
        (beyond [-0.5, W-0.5) x [-0.5, H-0.5)) or NaN; and interpolated (..., N) bool.
    """
    depth = np.asarray(depth, dtype=np.float64)
    uv = _positions(uv)
    lead = np.broadcast_shapes(depth.shape[:-2], uv.shape[:-2])
    maps = np.broadcast_to(depth, (*lead, *depth.shape[-2:])).reshape(-1, *depth.shape[-2:])
    points = np.broadcast_to(uv, (*lead, *uv.shape[-2:])).reshape(-1, 2)
    image = np.repeat(np.arange(len(maps)), uv.shape[-2])
    inside = np.flatnonzero(within_image(points, *depth.shape[-2:]))
    z, interpolated = np.zeros(len(points)), np.zeros(len(points), dtype=bool)
    found = _look_up(maps, image[inside], points[inside], smooth_rtol, smooth_ratio)
    z[inside], interpolated[inside] = found.z, found.smooth
    return z.reshape(*lead, -1), interpolated.reshape(*lead, -1)


def front_depth(depth: ArrayLike, uv: ArrayLike) -> tuple[Floats, Floats]:
    """Depth of the surface in front at sub-pixel positions, and of what is farthest beside it.

    Where the pixels around the position are one smooth surface: `sample_depth`, twice. Elsewhere
    the position is at an outline, a crease or a step. What a detector finds there belongs to the
    surface in front, since that one's outline moves with it: the first depth is that of the pixel
    of the nearest surface (`FRONT_RTOL`) that is closest to the position, the second is the
    greatest that the pixels around show. The pixels around are four, but two on a row or column of
    pixels, and one on a pixel's centre.

    Args:
        depth: (H, W) metres, 0 = nothing there.
        uv: (N, 2) pixel positions.

    Returns:
        (N,) and (N,) metres; both 0 where no pixel around shows anything, or uv is outside the
        image or NaN.
    """
    depth = np.asarray(depth, dtype=np.float64)
    uv = _positions(uv)
    front, farthest = np.zeros((2, len(uv)))
    inside = np.flatnonzero(within_image(uv, *depth.shape))
    found = _look_up(depth[None], np.zeros(len(inside), dtype=np.intp), uv[inside])
    around = found.around.reshape(4, -1)
    shown = np.isfinite(around)
    same = shown & (around <= (1.0 + FRONT_RTOL) * found.nearest)
    part = uv[inside] - np.floor(uv[inside] + SNAP)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # (u, v), as `around`
    away = np.where(same, np.linalg.norm(part - corners[:, None], axis=-1), np.inf)
    closest = np.take_along_axis(around, away.argmin(axis=0)[None], axis=0)[0]
    empty = ~shown.any(axis=0)
    front[inside] = np.where(found.smooth, found.z, np.where(empty, 0.0, closest))
    farthest[inside] = np.where(
        found.smooth, found.z, np.where(shown, around, 0.0).max(axis=0, initial=0.0)
    )
    return front, farthest


def surface_near(depth: ArrayLike, uv: ArrayLike, radius: float) -> Bools:
    """Whether a pixel that shows something has its centre within a radius of positions.

    Args:
        depth: (H, W) metres, 0 = nothing there.
        uv: (N, 2) pixel positions.
        radius: pixels.

    Returns:
        (N,) bool; False for NaN.
    """
    depth, uv = np.asarray(depth, dtype=np.float64), _positions(uv)
    reach = math.ceil(radius)
    step = np.arange(-reach, reach + 1)
    corner = np.floor(np.nan_to_num(uv, nan=-1e6)).astype(np.intp)
    u = corner[:, 0, None, None] + step[None, None, :]
    v = corner[:, 1, None, None] + step[None, :, None]
    height, width = depth.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    shown = depth[np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)] > 0.0
    close = np.hypot(u - uv[:, 0, None, None], v - uv[:, 1, None, None]) <= radius
    return np.asarray((inside & shown & close).any(axis=(1, 2)))


def _positions(uv: ArrayLike) -> Floats:
    """Pixel positions as (..., N, 2) float64, or InputError."""
    uv = np.asarray(uv, dtype=np.float64)
    if uv.ndim < 2 or uv.shape[-1] != 2:
        raise InputError(f"pixel positions of shape {uv.shape}: must be (..., N, 2)")
    return uv


def within_image(uv: Floats, height: int, width: int) -> Bools:
    """Which positions (..., 2) have a nearest pixel in the image; False for NaN."""
    with np.errstate(invalid="ignore"):
        u, v = uv[..., 0], uv[..., 1]
        return np.asarray((u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5))


def bounding_box(shown: NDArray[Any]) -> tuple[int, int, int, int]:
    """(x, y, w, h) of the pixels (H, W) that are not 0 or False, all 0 where there is none."""
    columns, rows = np.flatnonzero(shown.any(axis=0)), np.flatnonzero(shown.any(axis=1))
    if len(rows) == 0:
        return 0, 0, 0, 0
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


def moved(pixels: NDArray[np.int64], window: PixelBox, to: PixelBox) -> NDArray[np.int64]:
    """Flat indices (K,) in one window of pixels of another one, which lies within it."""
    x, y, w, _ = window
    at = pixels.astype(np.int32)  # halves are quicker, and `np.divmod` is slow
    # Each row begins so much farther on.
    at += at // np.int32(max(w, 1)) * np.int32(to[2] - w)
    at += np.int32((y - to[1]) * to[2] + x - to[0])
    return at.astype(np.int64)


@dataclass(frozen=True)
class _LookUp:
    """What depth maps show around P positions: each array is (P,)."""

    z: Floats  # as sample_depth
    smooth: Bools  # interpolated, as sample_depth
    around: Floats  # (2, 2, P) depths of the pixels around, by row and column, inf for none
    # Those are four, but two (twice) on a row or column of pixels, and one on a pixel's centre.

    @property
    def nearest(self) -> Floats:
        """The smallest of the pixels around."""
        return np.asarray(self.around.min(axis=(0, 1)))


def _look_up(
    maps: Floats,
    image: NDArray[np.intp],
    uv: Floats,
    smooth_rtol: float = SMOOTH_RTOL,
    smooth_ratio: float = SMOOTH_RATIO,
) -> _LookUp:
    """Look positions uv (P, 2), all inside the image, up in maps (B, H, W)[image (P,)]."""
    height, width = maps.shape[-2:]
    whole = np.round(uv)
    uv = np.where(np.abs(uv - whole) <= SNAP, whole, uv)
    corner = np.floor(uv).astype(np.intp)
    du, dv = np.moveaxis(uv - corner, -1, 0)
    offsets = np.arange(-1, 3)[:, None]
    cols, rows = corner[:, 0] + offsets, corner[:, 1] + offsets
    # The 4 x 4 block of inverse depths around each position, (4, 4, P), NaN off the image or the
    # target. Points are the last axis throughout, so that every operation runs along memory.
    block = maps[
        image,
        np.clip(rows, 0, height - 1)[:, None],
        np.clip(cols, 0, width - 1)[None, :],
    ]
    present = ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))[None, :]
    present &= np.isfinite(block) & (block > 0.0)
    w = np.divide(1.0, block, out=np.full(block.shape, np.nan), where=present)
    (w00, w01), (w10, w11) = w[1:3, 1:3]
    with np.errstate(invalid="ignore"):
        slack = smooth_rtol * (w00 + w01 + w10 + w11) / 4.0

        def agree(a: Floats, b: Floats) -> Bools:
            steeper = np.maximum(np.abs(a), np.abs(b))
            bound = slack + smooth_ratio * np.minimum(steeper, 10.0 * slack)
            return np.asarray(np.abs(a - b) <= bound)  # False where either is NaN

        # right[row, step] in the two middle rows, down[step, column] in the two middle columns
        right, down = np.diff(w[1:3], axis=1), np.diff(w[:, 1:3], axis=0)
        smooth = agree(right[0, 1], right[1, 1]) & agree(down[1, 0], down[1, 1])
        for line in (0, 1):
            smooth &= agree(right[line, 1], right[line, 0]) | agree(right[line, 1], right[line, 2])
            smooth &= agree(down[1, line], down[0, line]) | agree(down[1, line], down[2, line])
        top = (1.0 - du) * w00 + du * w01
        bottom = (1.0 - du) * w10 + du * w11
        interpolated = 1.0 / ((1.0 - dv) * top + dv * bottom)

    z_core = np.where(present[1:3, 1:3], block[1:3, 1:3], 0.0)
    points = np.arange(len(uv))
    z = z_core[(dv >= 0.5).astype(np.intp), (du >= 0.5).astype(np.intp), points]
    smooth &= (du > 0.0) | (dv > 0.0)  # on a pixel's centre that pixel is the exact answer
    filled = np.where(z_core > 0.0, z_core, np.inf)
    filled[:, 1] = np.where(du > 0.0, filled[:, 1], filled[:, 0])
    filled[1] = np.where(dv > 0.0, filled[1], filled[0])
    return _LookUp(
        np.where(smooth, interpolated, z),
        smooth,
        filled,
    )


@dataclass(frozen=True)
class Warp:
    """Where points of frame i fall in frame j. Arrays share the leading shape (..., N).

    Attributes:
        uv: (..., N, 2) pixels in frame j; NaN where frame i shows nothing or z <= 0.
        z: (..., N) depth in frame j of the same surface point, metres; NaN likewise.
        in_frame: the point falls inside frame j's image, in front of the camera.
        visible: in frame, and frame j shows this very surface there.
        occluded: in frame, but frame j shows a nearer surface there.
        bordering: not visible by that test, but within a pixel frame j shows this very surface,
            beside one behind it or a low step.

    A point in frame that is none of them is undecided: of the pixels around it some show something
    nearer and some do not, or all show something farther or nothing. Leave such points out of
    ground truth. A sliver of surface that passes between frame j's pixels unseen is
    beyond any test on its depth map, and counts as occluded.
    """

    uv: Floats
    z: Floats
    in_frame: Bools
    visible: Bools
    occluded: Bools
    bordering: Bools


def warp(
    K: ArrayLike,
    depth_i: ArrayLike,
    T_i: ArrayLike,
    depth_j: ArrayLike,
    T_j: ArrayLike,
    uv: ArrayLike | None = None,
    *,
    K_j: ArrayLike | None = None,
    distortion: ArrayLike | None = None,
    distortion_j: ArrayLike | None = None,
    z: ArrayLike | None = None,
    rtol: float = OCCLUSION_RTOL,
    atol: float = 1e-6,
) -> Warp:
    """Carry pixels of frame i into frame j over the rigid target, with an occlusion test.

    The point's depth in frame i (`sample_depth`) gives its target-frame position; that is projected
    into frame j, and its depth there is compared with what frame j shows, within atol + rtol *
    depth. Where the four pixels around are one smooth surface, with its depth (`sample_depth`):
    visible where the two agree, occluded where the surface is nearer. Elsewhere, with the pixels':
    visible where the nearest pixel agrees and none is nearer to the camera, occluded where all
    are, bordering where one agrees and none is nearer by more than `FRONT_RTOL`.

    Args:
        K: (..., 3, 3) intrinsics of frame i, and of frame j unless K_j is given.
        distortion: (5,) of frame i's lens, None for none, and of frame j's unless K_j is given.
        distortion_j: of frame j's where K_j is.
        depth_i, depth_j: (..., H, W) depth maps in metres; the two sizes may differ.
        T_i, T_j: (..., 4, 4) T_cam_target of the frames.
        uv: (..., N, 2) pixel positions in frame i; None means every pixel, row by row (N = H*W).
        z: (..., N) metres, the depths there, 0 for none; None: those that `sample_depth` finds.
        rtol, atol: depth tolerance of the occlusion test, relative and in metres.

    Returns:
        A `Warp` with the broadcast leading shape.
    """
    depth_i = np.asarray(depth_i, dtype=np.float64)
    depth_j = np.asarray(depth_j, dtype=np.float64)
    if uv is None:
        uv = pixel_grid(*depth_i.shape[-2:]).reshape(-1, 2)
        z_i = depth_i.reshape(*depth_i.shape[:-2], -1)
    else:
        uv = _positions(uv)
        z_i = sample_depth(depth_i, uv)[0] if z is None else np.asarray(z, dtype=np.float64)
    points = backproject(K, T_i, uv, z_i, distortion)
    if K_j is None:
        K_j, distortion_j = K, distortion
    uv_j, z_j = project(K_j, T_j, points, distortion_j)
    lead = np.broadcast_shapes(uv_j.shape[:-2], depth_j.shape[:-2])
    size = depth_j.shape[-2:]
    maps = np.broadcast_to(depth_j, (*lead, *size)).reshape(-1, *size)
    uv_j = np.broadcast_to(uv_j, (*lead, *uv_j.shape[-2:]))
    z_j = np.broadcast_to(np.where(z_j > 0.0, z_j, np.nan), uv_j.shape[:-1])
    in_frame = within_image(uv_j, *size)

    flat = np.flatnonzero(in_frame)
    found = _look_up(maps, flat // uv_j.shape[-2], uv_j.reshape(-1, 2)[flat])
    masks = np.zeros((3, in_frame.size), dtype=bool)
    masks[:, flat] = _compare(found, z_j.reshape(-1)[flat], rtol, atol)
    return Warp(uv_j, z_j, in_frame, *masks.reshape(3, *in_frame.shape))


def _compare(found: _LookUp, z: Floats, rtol: float, atol: float) -> tuple[Bools, Bools, Bools]:
    """Whether surface points at depths z (P,) are visible, occluded, bordering: see `warp`."""
    # how far in front of the point are the pixels around, or the smooth surface through them
    ahead = np.where(found.smooth, z - found.z, z - found.around)
    tolerance = atol + rtol * z
    agrees, nearer = np.abs(ahead) <= tolerance, ahead > tolerance
    here = (found.z > 0.0) & (np.abs(z - found.z) <= tolerance)
    visible = here & ~nearer.any(axis=(0, 1))
    hidden = (ahead > np.maximum(tolerance, FRONT_RTOL * z)).any(axis=(0, 1))
    bordering = agrees.any(axis=(0, 1)) & ~hidden & ~visible
    return visible, np.asarray(nearer.all(axis=(0, 1))), bordering


def shows(
    depth: ArrayLike,
    uv: ArrayLike,
    z: ArrayLike,
    *,
    rtol: float = OCCLUSION_RTOL,
    atol: float = 1e-6,
) -> Bools:
    """Whether a frame shows surface points: visible or bordering as in `warp`.

    Args:
        depth: (H, W) metres, 0 = nothing there.
        uv, z: (N, 2) pixels and (N,) depths, metres, that the points project to.
        rtol, atol: as `warp`.

    Returns:
        (N,) bool; False outside the image, behind the camera and for NaN.
    """
    depth, z = np.asarray(depth, dtype=np.float64), np.asarray(z, dtype=np.float64)
    uv = _positions(uv)
    shown = np.zeros(len(uv), dtype=bool)
    inside = np.flatnonzero(within_image(uv, *depth.shape) & (z > 0.0))
    found = _look_up(depth[None], np.zeros(len(inside), dtype=np.intp), uv[inside])
    visible, _, bordering = _compare(found, z[inside], rtol, atol)
    shown[inside] = visible | bordering
    return shown


@dataclass(frozen=True)
class Flow:
    """Dense optical flow from frame i to frame j.

    Attributes:
        flow: (..., H, W, 2) pixels; pixel (u, v) of frame i moves to (u, v) + flow. NaN where
            frame i shows nothing, or the point comes behind camera j.
        valid: (..., H, W) the flow is defined and ends inside frame j.
        visible: (..., H, W) valid, and the same surface is seen in frame j.
        occluded: (..., H, W) valid, and hidden in frame j by a nearer surface.
    """

    flow: Floats
    valid: Bools
    visible: Bools
    occluded: Bools


def optical_flow(
    K: ArrayLike,
    depth_i: ArrayLike,
    T_i: ArrayLike,
    depth_j: ArrayLike,
    T_j: ArrayLike,
    *,
    K_j: ArrayLike | None = None,
    distortion: ArrayLike | None = None,
    distortion_j: ArrayLike | None = None,
    rtol: float = OCCLUSION_RTOL,
    atol: float = 1e-6,
) -> Flow:
    """Dense flow of every pixel of frame i into frame j; arguments as `warp`."""
    height, width = np.asarray(depth_i).shape[-2:]
    warped = warp(
        K,
        depth_i,
        T_i,
        depth_j,
        T_j,
        K_j=K_j,
        distortion=distortion,
        distortion_j=distortion_j,
        rtol=rtol,
        atol=atol,
    )
    lead = warped.z.shape[:-1]

    def image(values: Bools) -> Bools:
        return values.reshape(*lead, height, width)

    flow = warped.uv.reshape(*lead, height, width, 2) - pixel_grid(height, width)
    return Flow(flow, image(warped.in_frame), image(warped.visible), image(warped.occluded))
