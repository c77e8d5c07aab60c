"""Cutting polygons, convex or not, into triangles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satgen.targets.files import ModelFileError

MAX_CORNERS = 100_000
"""Most corners of one polygon."""


def triangulate(
    points: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles of polygons: fans of convex ones, clipped ears of the others.

    Args:
        points: (C, 3) the corners of all polygons, one after the other.
        sizes: (P,) how many corners each has, 3 at least.

    Returns:
        triangles: (T, 3) places in `points`, wound as their polygons; polygon: (T,) whose each is,
        ascending.

    Raises:
        ModelFileError: a polygon has more than 100,000 corners.
    """
    if len(sizes) and sizes.max() > MAX_CORNERS:
        raise ModelFileError(f"a polygon has {sizes.max()} corners; {MAX_CORNERS} is the most")
    starts = np.cumsum(sizes) - sizes
    points = np.nan_to_num(points)  # whoever asked tells of what is not finite
    triangles, owners = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    for size in np.unique(sizes):
        which = np.flatnonzero(sizes == size)
        index = starts[which, None] + np.arange(size)
        bent = np.zeros(len(which), dtype=bool)
        if size > 3:
            corners = points[index]
            with np.errstate(over="ignore", invalid="ignore"):
                normal = _newell(corners)
                ahead = np.roll(corners, -1, axis=1) - corners
                turn = np.cross(np.roll(ahead, 1, axis=1), ahead)
                scale = np.linalg.norm(normal, axis=1, keepdims=True) ** 2
                bent = (np.einsum("pcx,px->pc", turn, normal) < -1e-9 * scale).any(axis=1)
            for k in np.flatnonzero(bent):
                cut = _ears(corners[k], normal[k])
                triangles.append(index[k][cut])
                owners.append(np.full(len(cut), which[k]))
        flat = index[~bent]
        fan = np.stack(
            [np.repeat(flat[:, :1], size - 2, axis=1), flat[:, 1:-1], flat[:, 2:]], axis=-1
        )
        triangles.append(fan.reshape(-1, 3))
        owners.append(np.repeat(which[~bent], size - 2))
    polygon = np.concatenate(owners)
    order = np.argsort(polygon, kind="stable")
    return np.concatenate(triangles)[order], polygon[order]


def _newell(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normals (P, 3) of polygons (P, C, 3), as long as twice their areas."""
    about = corners - corners[:, :1]
    return np.asarray(np.cross(about, np.roll(about, -1, axis=1)).sum(axis=1))


def _ears(corners: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.int64]:
    """Triangles (T, 3) of a polygon (C, 3), seen along the axis that its normal is nearest to."""
    import mapbox_earcut

    axis = int(np.argmax(np.abs(normal)))
    flat = np.ascontiguousarray(np.delete(corners - corners[0], axis, axis=1))
    ends = np.array([len(flat)], dtype=np.uint32)
    cut = mapbox_earcut.triangulate_float64(flat, ends).astype(np.int64).reshape(-1, 3)
    tri = corners[cut]
    area = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]) @ normal
    cut[area < 0] = cut[area < 0][:, ::-1]
    return cut
