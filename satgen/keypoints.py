"""Landmarks in the image, and whether the camera sees them.

A landmark is visible when

- it projects into the image, in front of the camera;
- one of the surfaces that it lies on is turned to the camera; and
- of the four pixels around it, one shows such a surface at its centre, or none shows anything
  nearer than the landmark (a sharp corner may fall between the pixels).

A pixel shows the surface if its depth is that of the surface's plane on the pixel's ray, within
`tolerance`: half a pixel's footprint, for surfaces that bend, plus the landmark's own distance from
the surface, plus one count of the depth image. Each pixel is compared by itself; depths are never
averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.geometry import Floats, project, within_image
from satgen.model import TargetModel

FOOTPRINTS = 0.5
"""How many pixel footprints a visible landmark's surface may be off its plane."""

MAX_GAP = 0.03
"""Farthest that surfaces are looked for around a landmark, as a share of the bounding radius."""

SAME_SURFACE = 0.005
"""Surfaces that are this much farther than the nearest still count as the landmark's own, metres;
a panel's rear side, 15 mm behind, does not."""


@dataclass(frozen=True)
class Landmarks:
    """Named points of a target and the surfaces that they lie on.

    Attributes:
        names: L names, in the target's order.
        xyz: (L, 3) target frame, metres.
        gap: (L,) distance from the nearest surface, metres.
        normals: for each landmark (n, 3) unit normals of the surfaces that it lies on; empty where
            none was found, and the landmark is then taken to be turned to every side.
    """

    names: tuple[str, ...]
    xyz: Floats
    gap: Floats
    normals: tuple[Floats, ...]

    def __len__(self) -> int:
        """Number of landmarks."""
        return len(self.names)

    @cached_property
    def padded(self) -> Floats:
        """`normals` as one array (L, n, 3); a landmark's last is repeated, (0, 0, 0) if none."""
        out = np.zeros((len(self), max((len(n) for n in self.normals), default=0), 3))
        for row, normals in zip(out, self.normals, strict=True):
            if len(normals):
                row[: len(normals)] = normals
                row[len(normals) :] = normals[-1]
        return out

    @cached_property
    def _bare(self) -> NDArray[np.bool_]:
        """Which (L,) lie on no surface that was found."""
        return np.array([len(n) == 0 for n in self.normals], dtype=bool)

    def visible(
        self, camera: Camera, pose: Floats, depth: NDArray[np.uint16], depth_scale: float
    ) -> NDArray[np.bool_]:
        """Which landmarks (L,) a frame shows; see the module.

        Args:
            camera: of the dataset.
            pose: (4, 4) T_cam_target.
            depth: (H, W) uint16 counts, 0 for background.
            depth_scale: metres per count.
        """
        if len(self) == 0:
            return np.zeros(0, dtype=bool)
        uv, z = project(camera.K, pose, self.xyz, camera.distortion)
        inside = in_image(uv, z, camera)
        corner = np.floor(np.where(inside[:, None], uv, 0.0)).astype(np.intp)
        x = corner[:, :1] + np.array([0, 1, 0, 1])
        y = corner[:, 1:] + np.array([0, 0, 1, 1])
        there = (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
        counts = np.where(there, depth[np.where(there, y, 0), np.where(there, x, 0)], 0)
        shown = counts * depth_scale
        tolerance = FOOTPRINTS * z / min(camera.fx, camera.fy) + self.gap + depth_scale

        # Depth of each of the landmark's planes on the rays of the four pixels: (L, n, 4).
        point = self.xyz @ pose[:3, :3].T + pose[:3, 3]
        normals = self.padded @ pose[:3, :3].T
        along = np.einsum("lnk,lk->ln", normals, point)
        x_ray, y_ray, _ = np.moveaxis(camera.rays_at(np.stack([x, y], axis=-1)), -1, 0)
        slope = normals[:, :, :1] * x_ray[:, None] + normals[:, :, 1:2] * y_ray[:, None]
        slope = slope + normals[:, :, 2:]
        turned = along < 0.0  # the plane's outer side is the camera's
        with np.errstate(divide="ignore", invalid="ignore"):
            plane = along[..., None] / slope
            off = np.abs(shown[:, None, :] - plane) <= tolerance[:, None, None]
        met = (off & turned[..., None] & (counts > 0)[:, None, :]).any(axis=(1, 2))
        clear = ((counts == 0) | (shown > (z - tolerance)[:, None])).all(axis=1)
        return np.asarray(inside & (turned.any(axis=1) | self._bare) & (met | clear))

    def to_json(self) -> dict[str, Any]:
        """The `landmarks` object of dataset.json."""
        return {
            name: {
                "xyz": self.xyz[i].tolist(),
                "gap_m": float(self.gap[i]),
                "normals": self.normals[i].tolist(),
            }
            for i, name in enumerate(self.names)
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Landmarks:
        """Inverse of `to_json`."""
        values = list(data.values())
        return cls(
            tuple(data),
            np.array([v["xyz"] for v in values], dtype=np.float64).reshape(-1, 3),
            np.array([v["gap_m"] for v in values], dtype=np.float64),
            tuple(np.array(v["normals"], dtype=np.float64).reshape(-1, 3) for v in values),
        )


def find_landmarks(model: TargetModel) -> Landmarks:
    """The landmarks of a target, with the surfaces around them."""
    names = tuple(model.landmarks)
    xyz = np.array([model.landmarks[n] for n in names], dtype=np.float64).reshape(-1, 3)
    gaps, normals = [], []
    if len(names):
        corners = model.vertices[model.faces]
        low, high = corners.min(axis=1).T.copy(), corners.max(axis=1).T.copy()
        reach = MAX_GAP * model.bounding_sphere[1]
        for point in xyz:
            near = np.arange(len(corners))
            for axis in range(3):
                inside = low[axis][near] <= point[axis] + reach
                inside &= high[axis][near] >= point[axis] - reach
                near = near[inside]
            gap, found = _surfaces(point, corners[near], reach)
            gaps.append(gap)
            normals.append(found)
    return Landmarks(names, xyz, np.array(gaps, dtype=np.float64), tuple(normals))


def _surfaces(point: Floats, corners: Floats, reach: float) -> tuple[float, Floats]:
    """Distance to the nearest of triangles (F, 3, 3) and the normals of all about as near."""
    if len(corners) == 0:
        return reach, np.zeros((0, 3))
    distance = triangle_distance(point, corners)
    nearest = float(distance.min())
    if nearest > reach:
        return reach, np.zeros((0, 3))
    own = corners[distance <= nearest + SAME_SURFACE]
    normal = np.cross(own[:, 1] - own[:, 0], own[:, 2] - own[:, 0])
    length = np.linalg.norm(normal, axis=1)
    normal = normal[length > 0.0] / length[length > 0.0, None]
    return round(nearest, 6), np.unique(np.round(normal, 4) + 0.0, axis=0)


def triangle_distance(point: Floats, corners: Floats) -> Floats:
    """Distance (F,) from a point (3,) to triangles (F, 3, 3)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    best = np.full(len(corners), np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        edge = end - start
        length2 = np.maximum(np.einsum("ij,ij->i", edge, edge), 1e-300)
        t = np.clip(np.einsum("ij,ij->i", point - start, edge) / length2, 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(point - start - t[:, None] * edge, axis=1))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    plane = np.einsum("ij,ij->i", point - a, normal) / np.maximum(length, 1e-300)
    foot = point - plane[:, None] * normal / np.maximum(length, 1e-300)[:, None]
    inside = length > 0.0
    for start, end in ((a, b), (b, c), (c, a)):
        inside &= np.einsum("ij,ij->i", np.cross(end - start, foot - start), normal) >= 0.0
    return np.where(inside, np.abs(plane), best)


def in_image(uv: Floats, z: Floats, camera: Camera) -> NDArray[np.bool_]:
    """Whether points (..., 2) at depth (...) lie in front of the camera and inside the image."""
    with np.errstate(invalid="ignore"):
        return np.asarray((z > 0.0) & within_image(uv, camera.height, camera.width))
