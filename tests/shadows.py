"""Which points of a target Embree finds in the sun, and which our shader does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.model import Material, TargetModel
from satgen.rendering.lighting import Lighting
from satgen.rendering.renderer import Renderer
from satgen.surroundings.place import SUN_RADIUS_DEG
from tests.scenes import Witness

LIFT_M = 2e-4
"""How far above the surface a ray starts."""
REACH = 1.25
"""Texels about a point within which an edge of a shadow may change its light."""
MOST = 3000
"""Points that are looked at of a view."""


def plain(model: TargetModel) -> TargetModel:
    """The model all in matt white, so that the sun's light alone makes it bright."""
    white = [
        Material(m.name, (1.0, 1.0, 1.0), 0.0, 1.0, double_sided=m.double_sided)
        for m in model.materials
    ]
    return replace(model, materials=tuple(white), light=None)


@dataclass(frozen=True)
class Lit:
    """What a renderer says of the sun at N points of a model that it shaded.

    Attributes:
        points: (N, 3) about the model's centre, on the face's plane.
        face: (N,) int.
        normal: (N, 3) of the face, toward the eye.
        share: (N,) share of the sun; points that face away from it are left out.
        at: (N, 2) where the shadow map is read, texels.
        texel: size of the shadow map's texels, metres.
        axes: (3, 3) rows: the map's two axes and the direction to the sun.
    """

    points: NDArray[np.float64]
    face: NDArray[np.int64]
    normal: NDArray[np.float64]
    share: NDArray[np.float64]
    at: NDArray[np.float64]
    texel: float
    axes: NDArray[np.float64]


def lit(
    renderer: Renderer, model: TargetModel, pose: NDArray, sun_cam: NDArray, most: int = MOST
) -> Lit:
    """Ask a renderer of a plain model in a dark surrounding, at some `most` points."""
    device: Any = renderer._device
    shade, draw = device.shade, device.draw_shadow_map
    seen: dict[str, Any] = {}

    def spy(
        samples: NDArray[np.float32], looks: NDArray[np.uint8], uniforms: Any
    ) -> NDArray[np.float32]:
        radiance = shade(samples, looks, uniforms)
        seen.update(samples=samples.copy(), uniforms=uniforms, radiance=radiance)
        return radiance

    def nothing(faces: NDArray, clip: NDArray, *size: Any) -> None:
        beyond = clip.copy()
        beyond[0, 3] += 10.0
        draw(faces, beyond, *size)

    try:
        device.shade = spy
        renderer._shadow = None
        renderer.render(pose, sun_cam)
        dark = seen["radiance"][:, 0]
        device.draw_shadow_map = nothing
        renderer._shadow = None
        renderer.render(pose, sun_cam)
    finally:
        device.shade, device.draw_shadow_map = shade, draw
        renderer._shadow = None
    some = slice(None, None, 1 + len(dark) // most)
    bright, samples, dark = seen["radiance"][some, 0], seen["samples"][some], dark[some]
    uniforms = seen["uniforms"]
    centre, _ = model.bounding_sphere
    corners = model.vertices[model.faces] - centre
    face = samples[:, 2].astype(int)
    v0, e1 = corners[face, 0], corners[face, 1] - corners[face, 0]
    e2 = corners[face, 2] - v0
    normal = np.cross(e1, e2)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    rays = np.c_[samples[:, :2], np.ones(len(samples))] @ uniforms.ray_from_pixel.T
    along = np.einsum("ij,ij->i", normal, rays)
    t = np.einsum("ij,ij->i", normal, v0 - uniforms.eye) / np.where(along == 0.0, 1.0, along)
    points = uniforms.eye + t[:, None] * rays
    inside = np.einsum("ij,ij->i", np.cross(e1, e2), normal)
    first = np.einsum("ij,ij->i", np.cross(points - v0, e2), normal) / np.maximum(inside, 1e-30)
    second = np.einsum("ij,ij->i", np.cross(e1, points - v0), normal) / np.maximum(inside, 1e-30)
    normal *= -np.sign(along)[:, None]
    keep = (bright > 1e-4) & (normal @ uniforms.sun > 1e-3)
    keep &= (first > 0.0) & (second > 0.0) & (first + second < 1.0)
    scale = uniforms.shadow_from_target[:2, :3]
    texel = 1.0 / float(np.linalg.norm(scale[0]))
    axes = np.stack([scale[0] * texel, scale[1] * texel, uniforms.sun])
    at = points @ scale.T + uniforms.shadow_from_target[:2, 3]
    kept = (array[keep] for array in (points, face, normal, dark / np.maximum(bright, 1e-9), at))
    return Lit(*kept, texel, axes)


def disc(sun: NDArray, rays: int) -> NDArray[np.float64]:
    """Directions (rays, 3) to places spread evenly over the sun's disc, the last near its rim."""
    aside = np.cross(sun, np.eye(3)[np.argmin(np.abs(sun))])
    aside /= np.linalg.norm(aside)
    radius = np.tan(np.radians(SUN_RADIUS_DEG)) * np.sqrt((np.arange(rays) + 0.5) / rays)
    turn = np.arange(rays) * np.pi * (3.0 - np.sqrt(5.0))
    off = np.cos(turn)[:, None] * aside + np.sin(turn)[:, None] * np.cross(sun, aside)
    toward = sun + radius[:, None] * off
    return np.asarray(toward / np.linalg.norm(toward, axis=1, keepdims=True))


def share_by_rays(found: Lit, model: TargetModel, rays: int = 48) -> NDArray[np.float64]:
    """Share of the sun's disc, (N,), that Embree finds open."""
    witness = Witness(model.vertices - model.bounding_sphere[0], model.faces)
    start = found.points + LIFT_M * found.normal
    share = np.zeros(len(start))
    for toward in disc(found.axes[2], rays):
        share += witness.first(start, np.broadcast_to(toward, start.shape)) < 0
    return share / rays


def judge(found: Lit, model: TargetModel, patch: NDArray) -> dict[str, NDArray]:
    """Where the renderer is wrong, away from the edges of shadows.

    Returns:
        "truth": share (N,) of the sun's disc. "occluded" and "open": masks (N,) of the points that
        Embree finds wholly in shadow, none of whose surface any of the sun sees within `REACH`
        texels, and of those wholly in the sun; "leak" and "acne": of these, the points with light,
        and those without of whose surface nothing is in shadow so near.
    """
    centre, _ = model.bounding_sphere
    corners = model.vertices[model.faces] - centre
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    witness = Witness(model.vertices - centre, model.faces)
    sun = found.axes[2]
    truth = share_by_rays(found, model)
    blocked = truth == 0.0

    def own(face: NDArray, of: NDArray) -> NDArray:
        """Whether faces go on smoothly in the points' patches or lie in their planes."""
        off = np.einsum("nki,ni->nk", corners[face] - found.points[of, None], found.normal[of])
        flat = np.abs(off).max(axis=1) < 1e-3
        alike = np.einsum("ij,ij->i", normals[face], normals[found.face[of]]) > 0.8
        return (face >= 0) & (flat | (alike & (patch[face] == patch[found.face[of]])))

    grid = np.linspace(-REACH, REACH, 7) * found.texel
    steps = [(a, b) for a in grid for b in grid]
    at = np.flatnonzero(blocked)
    unseen = np.ones(len(at), dtype=bool)
    rim = disc(sun, 48)[-8:]
    corners_of_reach = [(a, b) for a in grid[::3] for b in grid[::3]]
    for toward, places in [(sun, steps), *((r, corners_of_reach) for r in rim)]:
        for a, b in places:
            far = found.points[at] + a * found.axes[0] + b * found.axes[1] + 50.0 * toward
            unseen &= ~own(witness.first(far, np.broadcast_to(-toward, far.shape)), at)
    occluded = np.zeros_like(blocked)
    occluded[at[unseen]] = True

    suspect = np.flatnonzero((truth == 1.0) & (found.share < 0.95))
    near = np.zeros(len(suspect), dtype=bool)
    n = found.normal[suspect]
    for a, b in steps:
        aside = a * found.axes[0] + b * found.axes[1]
        # Along the surface, to where the map's texel looks.
        height = -(n @ aside) / (n @ sun)
        place = found.points[suspect] + aside + height[:, None] * sun + LIFT_M * n
        there = own(witness.first(place, -n), suspect)
        there &= np.linalg.norm(place - found.points[suspect], axis=1) < 40.0 * found.texel
        near |= there & (witness.first(place, np.broadcast_to(sun, place.shape)) >= 0)
    acne = np.zeros_like(blocked)
    acne[suspect[~near]] = True
    return {
        "truth": truth,
        "occluded": occluded,
        "open": truth == 1.0,
        "leak": occluded & (found.share > 1e-6),
        "acne": acne,
    }


def renderer_of(model: TargetModel, camera: Camera, texels_per_pixel: float) -> Renderer:
    """A renderer of sunlight alone, with shadow texels of so many pixels."""
    dark = Lighting(earthshine=(0.0, 0.0, 0.0), ambient=0.0, shadow_texel=texels_per_pixel)
    return Renderer(model, camera, dark, float32=True)
