"""Exact tracks of points on the target's surface: where each is in every frame, and whether it is
seen.

A point is where the ray of a pixel's centre meets the target in one of the frames: on a triangle of
the model, exactly, not at the depth image's rounded depth. In every other frame it is where pose
and camera put it. It is seen there if it lies in the image, its side of the surface is turned to
the camera, and the ray to it meets no triangle before. So a point that was hidden or turned away
comes back as itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.geometry import Floats, project
from satgen.keypoints import in_image
from satgen.model import TargetModel

_SAME = 1e-6
"""Share of its depth by which what a ray meets must be nearer than a point to hide it."""

_DRAWS = 4
"""How many times as many pixels as points are looked at, at most: some show none's inside."""


@dataclass(frozen=True)
class SurfaceTracks:
    """Points of a surface through a clip.

    Attributes:
        indices: (T,) observation indices of the frames.
        points: (N, 3) target frame, metres.
        normals: (N, 3) unit normals of the side that was seen.
        query: (N,) frame of the clip, counted from 0, and
        query_uv: (N, 2) pixel that each was drawn at.
        uv: (T, N, 2) pixels, origin at the first pixel's centre; NaN behind the camera.
        xyz: (T, N, 3) camera frame, metres.
        visible: (T, N).
    """

    indices: NDArray[np.int64]
    points: Floats
    normals: Floats
    query: NDArray[np.int64]
    query_uv: NDArray[np.int64]
    uv: Floats
    xyz: Floats
    visible: NDArray[np.bool_]


def surface_tracks(
    data: Dataset, model: TargetModel, indices: NDArray[np.int64], count: int, seed: int
) -> SurfaceTracks:
    """Tracks of points that are drawn evenly over the pixels of a clip that show the target.

    Args:
        data: the dataset.
        model: its body.
        indices: (T,) of the clip's frames.
        count: points.
        seed: of the draw; the same clip and seed give the same points.

    Raises:
        InputError: no frame of the clip shows the target.
    """
    points, normals, query, pixels = _draw(data, model, indices, count, seed)
    corners, camera = model.vertices[model.faces], data.camera
    shape = (len(indices), len(points))
    uv, xyz, visible = np.empty((*shape, 2)), np.empty((*shape, 3)), np.zeros(shape, dtype=bool)
    for at, index in enumerate(indices.tolist()):
        pose = data.pose(index)
        turn = pose[:3, :3]
        uv[at], z = project(camera.K, pose, points, camera.distortion)
        xyz[at] = points @ turn.T + pose[:3, 3]
        turned = np.einsum("ij,ij->i", normals @ turn.T, xyz[at]) < 0.0
        chosen = np.flatnonzero(in_image(uv[at], z, camera) & turned)
        rays = xyz[at, chosen] / z[chosen, None]
        depths, _ = nearest(corners @ turn.T + pose[:3, 3], rays)
        # Rays along an edge may miss the point's own triangle: then there is nothing before it.
        visible[at, chosen] = ~(depths < z[chosen] * (1.0 - _SAME))
    return SurfaceTracks(indices, points, normals, query, pixels, uv, xyz, visible)


def _draw(
    data: Dataset, model: TargetModel, indices: NDArray[np.int64], count: int, seed: int
) -> tuple[Floats, Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Points, normals, frame and pixel of `count` points, or of fewer where there are no more."""
    rng = np.random.default_rng((seed, int(indices[0]), len(indices)))
    share = data.frames.set_index("index")["coverage"].loc[indices].to_numpy()
    if not share.any():
        raise InputError(
            f"{data.folder}: frames {indices[0]} to {indices[-1]} do not show the target, so there "
            "is nothing to track"
        )
    corners = model.vertices[model.faces]
    found: list[tuple[Floats, Floats, NDArray[np.int64], NDArray[np.int64]]] = []
    missing, drawn = count, 0
    while missing > 0 and drawn < _DRAWS * count:
        frames = rng.choice(len(indices), size=missing, p=share / share.sum())
        drawn += missing
        for frame in np.unique(frames).tolist():
            index = int(indices[frame])
            depth = data.depth(index)
            v, u = np.nonzero(depth > 0.0)
            if not len(u):
                continue
            chosen = rng.choice(
                len(u), size=min(int((frames == frame).sum()), len(u)), replace=False
            )
            pixels = np.stack([u[chosen], v[chosen]], axis=-1).astype(np.int64)
            pose = data.pose(index)
            points, normals, z = surface_at(corners, data.camera, pose, pixels)
            scale = float(data.description["depth_scale"])
            good = np.abs(z - depth[v[chosen], u[chosen]]) <= scale  # not NaN
            found.append((points[good], normals[good], np.full(good.sum(), frame), pixels[good]))
        missing = count - sum(len(points) for points, *_ in found)
    points, normals, query, pixels = (np.concatenate(part) for part in zip(*found, strict=True))
    if not len(points):
        raise InputError(f"{data.folder}: its depth images do not show the model that it names")
    return points, normals, query, pixels


def surface_at(
    corners: Floats, camera: Camera, pose: Floats, pixels: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    """Where the rays of pixels first meet triangles.

    Args:
        corners: (F, 3, 3) triangles, target frame.
        camera: that looks.
        pose: (4, 4) T_cam_target.
        pixels: (N, 2) column and row.

    Returns:
        points: (N, 3) target frame; normals: (N, 3) unit, to the camera's side, target frame;
        depths: (N,) z in the camera frame. NaN for a ray that meets none.
    """
    turn = pose[:3, :3]
    seen = corners @ turn.T + pose[:3, 3]
    rays = camera.rays_at(pixels.astype(np.float64))
    depths, faces = nearest(seen, rays)
    a, b, c = np.moveaxis(seen[faces], 1, 0)
    normals = np.cross(b - a, c - a)
    normals *= -np.sign(np.einsum("ij,ij->i", normals, rays))[:, None]
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    points = (depths[:, None] * rays - pose[:3, 3]) @ turn
    return points, (normals / np.where(length > 0.0, length, 1.0)) @ turn, depths


def nearest(triangles: Floats, rays: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The triangles that rays from the origin meet first.

    Args:
        triangles: (F, 3, 3), camera frame.
        rays: (N, 3) directions, z = 1.

    Returns:
        depths: (N,) z of where they meet, NaN where they meet none; faces: (N,) which.
    """
    z = triangles[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b, c = np.moveaxis(triangles[..., :2] / z[..., None], 1, 0)
    low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    beside = (z <= 0.0).any(axis=1)  # of those partly behind, the corners say nothing
    low[beside], high[beside] = -np.inf, np.inf
    low[(z <= 0.0).all(axis=1)] = np.inf
    depths, faces = np.full(len(rays), np.nan), np.zeros(len(rays), dtype=np.int64)
    # Rays in order of x: those that a triangle's range of x can hold are a run of them.
    sorted_x = np.argsort(rays[:, 0], kind="stable")
    x = rays[sorted_x, 0]
    begin = np.searchsorted(x, low[:, 0], side="left")
    count = np.maximum(np.searchsorted(x, high[:, 0], side="right") - begin, 0)
    face = np.repeat(np.arange(len(triangles)), count)
    places = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    which = sorted_x[np.repeat(begin, count) + places]
    y = rays[which, 1]
    near = (low[face, 1] <= y) & (y <= high[face, 1])
    face, which = face[near], which[near]
    where = _meet(triangles[face], rays[which])
    order = np.lexsort((face, where, which))
    order = order[np.isfinite(where[order])]
    first, at = np.unique(which[order], return_index=True)
    depths[first] = where[order][at]
    faces[first] = face[order][at]
    return depths, faces


def _meet(triangles: Floats, rays: Floats) -> Floats:
    """z at which each of N rays meets its triangle (N, 3, 3); NaN where it misses it."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    normal = np.cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        where = np.einsum("ij,ij->i", normal, a) / np.einsum("ij,ij->i", normal, rays)
    hit = where[:, None] * rays
    inside = np.isfinite(where) & (where > 0.0)
    with np.errstate(invalid="ignore"):
        for start, end in ((a, b), (b, c), (c, a)):
            side = np.cross(end - start, hit - start)
            inside &= np.einsum("ij,ij->i", side, normal) >= 0.0
    return np.where(inside, where, np.nan)
