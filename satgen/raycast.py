"""An independent look at a dataset: Embree's rays against the target's own file.

The file is read by `satgen.witness`, not by satgen's loader; the rays start from the pose in the
table and the intrinsics in dataset.json and go through the pixels' centres. Neither renderer nor
OpenGL has a part in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.config import TargetRef, model_path
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.installed import require
from satgen.runfolder import file_sha256
from satgen.witness import read_witness

SILHOUETTE_SHARE = 0.999
"""Share of all pixels that must agree on whether they show the target."""

DEPTH_SHARE = 0.995
"""Share of the pixels where both see it, away from edges, that must agree on the depth."""

DEPTH_TOLERANCE = 1e-4
"""Agreement in depth, of the target's radius; half a count of the depth image where that is more.
A surface that steps by more from a pixel to its neighbour has an edge there."""

EDGE_M = 5e-3
"""Step in depth from a pixel's plane to its neighbour's surface that makes an edge, where nothing
else is said."""

FEW = 3
"""Pixels that may disagree however few are compared: the rasteriser rounds to parts of a pixel."""


@dataclass(frozen=True)
class Agreement:
    """How far cast rays agree with one frame of a dataset.

    Attributes:
        index: the frame.
        silhouette: share of pixels that agree on whether they show the target.
        depth: share of the compared pixels that agree on the depth; 1 where there are none.
        compared: number of these pixels.
        median_m: median difference of their depths, metres.
        off: how many of them disagree.
    """

    index: int
    silhouette: float
    depth: float
    compared: int
    median_m: float
    off: int = 0

    @property
    def ok(self) -> bool:
        """Whether enough of the silhouette and of the depths agree."""
        near = self.depth >= DEPTH_SHARE or self.off <= min(FEW, self.compared // 4)
        return self.silhouette >= SILHOUETTE_SHARE and near

    @property
    def cause(self) -> str:
        """What is wrong, in words."""
        return (
            f"a ray cast of the target agrees on {self.silhouette:.2%} of the silhouette and "
            f"{self.depth:.2%} of {self.compared} depths, must be {SILHOUETTE_SHARE:.1%} and "
            f"{DEPTH_SHARE:.1%}"
        )


_TO_Z_UP = {
    "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-z": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "-y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
}
"""Rows: the target's axes in the file's, by the file's upward axis."""


def require_embree() -> None:
    """InputError where Embree is not installed."""
    require("comparing with cast rays (--deep)", "embreex")


class Caster:
    """A target that rays can be cast at.

    Args:
        triangles: (F, 3, 3) float64, target frame, metres.
        owner: (F,) int, which surface a triangle belongs to.
        step: metres off a pixel's plane that make an edge of its neighbour.

    Raises:
        InputError: Embree is not installed.
    """

    def __init__(self, triangles: Floats, owner: NDArray[np.int64], step: float = EDGE_M) -> None:
        require_embree()
        from embreex import rtcore_scene
        from embreex.mesh_construction import TriangleMesh

        # About the middle, where single precision resolves most.
        self._origin = (triangles.reshape(-1, 3).min(0) + triangles.reshape(-1, 3).max(0)) / 2.0
        self._corner = triangles[:, 0] - self._origin
        self._radius = float(np.linalg.norm(triangles - self._origin, axis=2).max())
        self._normal = np.cross(
            triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
        )
        self._owner = owner
        self._step = step
        self._scene = rtcore_scene.EmbreeScene(robust=True)
        self._mesh = TriangleMesh(self._scene, (triangles - self._origin).astype(np.float32))

    def cast(self, pose: Floats, camera: Camera) -> tuple[Floats, NDArray[np.bool_]]:
        """Depth (H, W) in metres, 0 for none, and which pixels have an edge within one pixel.

        Args:
            pose: (4, 4) T_cam_target.
            camera: intrinsics.
        """
        shape = (camera.height, camera.width)
        rays = camera.rays().reshape(-1, 3) @ pose[:3, :3]
        eye = -pose[:3, :3].T @ pose[:3, 3] - self._origin
        # From near the target, where single precision still tells millimetres from far away.
        start = max(float(np.linalg.norm(eye)) - 1.01 * self._radius, 0.0)
        unit = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        origins = (eye + start * unit).astype(np.float32)
        face = self._scene.run(np.ascontiguousarray(origins), rays.astype(np.float32))
        face = np.asarray(face, dtype=np.int64)
        normal, corner = self._normal[face], self._corner[face]
        height = np.einsum("ij,ij->i", normal, corner - eye)
        along = np.einsum("ij,ij->i", normal, rays)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = np.where(face >= 0, height / along, 0.0).reshape(shape)
            owner = np.where(face >= 0, self._owner[face], -1).reshape(shape)
            edge = _edges(
                depth,
                owner,
                height.reshape(shape),
                normal.reshape(*shape, 3),
                rays.reshape(*shape, 3),
                self._step,
            )
        return depth, edge

    def meets(self, pose: Floats, rays: Floats) -> NDArray[np.bool_]:
        """Which rays (..., 3) of a camera, in its frame, meet the target."""
        turned = (rays.reshape(-1, 3) @ pose[:3, :3]).astype(np.float32)
        eye = (-pose[:3, :3].T @ pose[:3, 3] - self._origin).astype(np.float32)
        origins = np.ascontiguousarray(np.broadcast_to(eye, turned.shape))
        face = np.asarray(self._scene.run(origins, turned))
        return np.asarray(face >= 0).reshape(rays.shape[:-1])


def _edges(
    depth: Floats,
    owner: NDArray[np.int64],
    height: Floats,
    normal: Floats,
    rays: Floats,
    step: float,
) -> NDArray[np.bool_]:
    """Pixels with a neighbour (of eight) of another part, or off the plane that they see."""
    rows, columns = depth.shape
    edge = np.zeros(depth.shape, dtype=bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            here = (
                slice(max(0, -dy), rows - max(0, dy)),
                slice(max(0, -dx), columns - max(0, dx)),
            )
            there = (
                slice(max(0, dy), rows - max(0, -dy)),
                slice(max(0, dx), columns - max(0, -dx)),
            )
            plane = height[here] / np.einsum("ijk,ijk->ij", normal[here], rays[there])
            edge[here] |= (owner[here] != owner[there]) | ~(np.abs(plane - depth[there]) <= step)
    return edge


def load_triangles(target: TargetRef) -> tuple[Floats, NDArray[np.int64]]:
    """Triangles (F, 3, 3) of a target's file in the target frame, metres, and their surfaces (F,).

    Raises:
        InputError: the file is not there, not the one that was rendered, or cannot be read.
    """
    triangles, owner, _ = _load(target)
    return triangles, owner


def _load(target: TargetRef) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """As `load_triangles`, and which of the triangles may be seen through in places.

    Raises:
        InputError: the file is not there, or not the one that was rendered.
    """
    path = Path(model_path(target))
    if not path.is_file():
        raise InputError(f"{path}: not there; --deep casts rays at the file that was rendered")
    if file_sha256(path) != target.sha256:
        raise InputError(
            f"{target.source}: its model {path} is not the one that was rendered, its SHA-256 is "
            "another"
        )
    found = read_witness(path)
    sizes = [len(surface) for surface in found.triangles]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    unsure = np.repeat(found.unsure, sizes)
    turn = np.array(_TO_Z_UP[target.up], dtype=np.float64)
    return np.concatenate(found.triangles) @ turn.T * target.scale, owner, unsure


def compare(data: Dataset, indices: list[int]) -> Iterator[Agreement]:
    """Cast rays at the target of each of a dataset's frames and compare.

    Raises:
        InputError: Embree or the target's file is missing, or an image cannot be read.
    """
    triangles, owner, unsure = _load(data.config.target)
    points = triangles.reshape(-1, 3)
    radius = float(np.linalg.norm(np.ptp(points, axis=0))) / 2.0
    tolerance = max(DEPTH_TOLERANCE * radius, 0.5 * data.config.depth_scale * (1.0 + 1e-6))
    caster = Caster(triangles, owner, tolerance)
    solid = None
    if unsure.any() and not unsure.all():
        solid = Caster(triangles[~unsure], owner[~unsure], tolerance)
    poses = dict(zip(data.indices.tolist(), data.poses, strict=True))
    for index in indices:
        truth, edge = caster.cast(poses[index], data.camera)
        depth = data.depth(index)
        if depth.shape != truth.shape:
            raise InputError(f"{data.folder}: frame {index} has a depth image of another size")
        if unsure.any():
            truth = _through(truth, depth, solid, poses[index], data.camera, tolerance)
        inside = (truth > 0.0) & (depth > 0.0) & ~edge
        off = np.abs(depth - truth)[inside]
        yield Agreement(
            index,
            float(np.mean((truth > 0.0) == (depth > 0.0))),
            float(np.mean(off <= tolerance)) if off.size else 1.0,
            int(off.size),
            float(np.median(off)) if off.size else 0.0,
            int(np.count_nonzero(off > tolerance)),
        )


def _through(
    truth: Floats,
    depth: Floats,
    solid: Caster | None,
    pose: Floats,
    camera: Camera,
    tolerance: float,
) -> Floats:
    """Depths that rays meet where some surfaces may be seen through: where the depth image shows
    something between the first surface and the first solid one, it is taken at its word."""
    behind = np.zeros_like(truth) if solid is None else solid.cast(pose, camera)[0]
    last = np.where(behind > 0.0, behind, np.inf)
    first = np.where(truth > 0.0, truth, np.inf)
    seen = np.where(depth > 0.0, depth, np.inf)
    between = (seen >= first - tolerance) & (seen <= last + tolerance)
    return np.where(between, depth, truth)


def sample(indices: NDArray[np.int64], count: int) -> list[int]:
    """`count` of the indices, one at random out of each of as many equal stretches."""
    count = min(count, len(indices))
    bounds = np.linspace(0, len(indices), count + 1).astype(int)
    rng = np.random.default_rng(0)
    return [int(indices[rng.integers(a, b)]) for a, b in pairwise(bounds)]
