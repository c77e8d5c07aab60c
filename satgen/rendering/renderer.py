"""The renderer: a visibility buffer, shaded once a surface and pixel.

Two geometry passes write next to nothing: the number of the triangle that the sun sees at each
texel of the shadow map (`patches.py` says why the number and no depth), and that of the one that
each sample sees (after Burns and Hunt, "The Visibility Buffer", JCGT 2013). Samples lie half a
pixel apart, so that every pixel centre is one of them: depth and part follow from that sample
alone, in double precision, and radiance from it and the pixel's corners (`sampling.py`). A last
pass shades the list of what the pixels see, each surface in a pixel once: its cost follows the
pixels that the target covers, not its triangles.

The image is drawn with row 0 at the bottom of the framebuffer, so that what is read back is already
top row first; OpenGL's axes appear in this module and nowhere else.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.geometry import PixelBox, cross, moved
from satgen.grouping import distinct
from satgen.model import PartLabels, TargetModel
from satgen.rendering.backend import choose_backend, create_context
from satgen.rendering.bounce import Bounce
from satgen.rendering.context import Context
from satgen.rendering.lighting import Lighting
from satgen.rendering.outlines import LEAST_BLOCK, NARROW, depths_of_outlines
from satgen.rendering.packing import pack
from satgen.rendering.rods import ThinRods
from satgen.rendering.sampling import (
    PixelSamples,
    rows_and_columns,
    sample_layer,
    sample_pixels,
    surface_table,
)
from satgen.surroundings.place import SUN_RADIUS_DEG

if TYPE_CHECKING:
    from satgen.rendering.curved import CurvedTriangles, CurvedView
    from satgen.rendering.device import Device, Faces, ShadeUniforms


@dataclass(frozen=True)
class RenderedView:
    """One rendered view. Arrays cover the window; outside it is background (all zero).

    Attributes:
        window: (x, y, w, h) of the arrays in the image, pixels.
        pixels: (K,) int64 flat index in the window of the pixels that see anything, each once.
        radiance: (K, 3) float32 of those pixels, anti-aliased; 1 is white paper in the sun. The
            share of a pixel that shows the background counts as black.
        coverage: (K,) float32 share of the pixel that shows the target, more than 0 and at most 1:
            over a background B the pixel is radiance + (1 - coverage) B.
        centres: (C,) int64 flat index in the window of the pixels whose centre sees anything.
        z: (C,) float64 there, metres.
        parts: (h, w) part label at the pixel centre, 0 for none.
        shadow: (h, w) uint8 label at the pixel centre, by `satgen.dataset.SHADOW_LABELS`; None
            where it was not asked for.
        normals: (h, w, 3) unit normal at the pixel centre, camera axes, on the camera's side, 0 for
            none; None likewise.
    """

    window: PixelBox
    pixels: NDArray[np.int64]
    radiance: NDArray[np.float32]
    coverage: NDArray[np.float32]
    centres: NDArray[np.int64]
    z: NDArray[np.float64]
    parts: PartLabels
    shadow: NDArray[np.uint8] | None = None
    normals: NDArray[np.float64] | None = None

    @property
    def linear(self) -> NDArray[np.float32]:
        """(h, w, 3) float32 radiance of the window."""
        image = np.zeros((*self.parts.shape, 3), dtype=np.float32)
        image.reshape(-1, 3)[self.pixels] = self.radiance
        return image

    @property
    def depth(self) -> NDArray[np.float64]:
        """(h, w) float64, z at the pixel centre in metres, 0 where the ray meets nothing."""
        depth = np.zeros(self.parts.shape)
        depth.reshape(-1)[self.centres] = self.z
        return depth


@dataclass(frozen=True)
class _ThinLayer:
    """Rods thinner than a pixel, which are drawn a pixel wide over what is behind them.

    Attributes:
        seen: (2h + 1, 2w + 1) face of the widened rods where they are before all else.
        window: (x, y, w, h) of that, pixels.
        opacity: (F,) float32 of the model's faces.
    """

    seen: Faces
    window: PixelBox
    opacity: NDArray[np.float32]


@dataclass(frozen=True)
class _Visibility:
    """The visibility buffer of a view, and how it was drawn.

    Attributes:
        seen: (2h + 1, 2w + 1), number of the model's face from 1, or zero; without what is
            in `thin`.
        at_centres: (h, w) of these at the pixels' centres, but with all.
        height: (F,) of the eye above each of the model's faces' planes, metres.
        window: (x, y, w, h) of the pixels.
        rotation: (3, 3) of T_cam_target.
        eye: (3,) camera centre, target frame about the model's centre.
        ray_from_pixel: (3, 3), pixel (u, v, 1) of a pinhole to a target-frame direction.
        thin: what of it is thinner than the samples tell, or None.
    """

    seen: Faces
    at_centres: Faces
    height: NDArray[np.float64]
    window: PixelBox
    rotation: NDArray[np.float64]
    eye: NDArray[np.float64]
    ray_from_pixel: NDArray[np.float64]
    thin: _ThinLayer | None = None

    @cached_property
    def centres(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Flat index in the window of the pixels whose centre sees anything, and the face that it
        sees, (K,) each."""
        seen = self.at_centres.reshape(-1)
        at = np.flatnonzero(seen != 0)
        faces = np.take(seen, at).astype(np.intp)
        faces -= 1
        return at, faces


@dataclass(frozen=True)
class _ShadowMap:
    """The shadow map that is on the device: for which sun and texel (metres), how to look it up."""

    sun: NDArray[np.float64]
    texel: float
    from_target: NDArray[np.float64]
    size: tuple[int, int]
    block: int
    penumbra: float


class Renderer(AbstractContextManager["Renderer"]):
    """Renders a target from any pose. Holds an OpenGL context of its own, so that any number may
    be alive in a process; used as a context manager, or closed with `close`.

    Args:
        model: the target.
        camera: intrinsics; the image size is fixed for the renderer's life.
        lighting: fill light and shadow resolution.
        float32: keep radiance in 32 instead of 16 bits (16-bit images need it).
        nearest_m: the least distance from the camera to the target's surface in all views, metres,
            where it is known: textures finer than the pixels are then left out.
        platform: "egl" or "osmesa"; by default the first that answers.

    Raises:
        RunError: no OpenGL can be had here, or the driver lacks what is needed.
    """

    def __init__(
        self,
        model: TargetModel,
        camera: Camera,
        lighting: Lighting | None = None,
        *,
        float32: bool = False,
        nearest_m: float = 0.0,
        platform: str | None = None,
    ) -> None:
        self.camera = camera
        self.lighting = lighting or Lighting()
        self._packed = pack(model, max(nearest_m, 0.0) / max(camera.fx, camera.fy))
        self._places32 = np.ascontiguousarray(self._packed.vertices.T)
        self._normals32 = self._packed.face_normals.astype(np.float32)
        self._shadow: _ShadowMap | None = None
        self._lit: ShadeUniforms | None = None
        grid = (2 * camera.width + 1) * (2 * camera.height + 1)
        self._places = np.empty(grid, dtype=np.int32)
        self._surfaces = surface_table(self._packed.surface)
        exchange = self._packed.exchange
        self._bounce = None if exchange is None else Bounce(exchange)
        self._exchanged: tuple[float, ...] = ()
        self._context: Context = create_context(platform or choose_backend())
        try:
            # Imported here: PyOpenGL binds itself to the platform that was just chosen.
            from satgen.rendering.device import Device

            with self._context.current():
                self._device: Device = Device(self._packed, camera.width, camera.height, float32)
                self._curved: CurvedView | None = None
                if camera.distorted:
                    from satgen.rendering.curved import CurvedView

                    self._curved = CurvedView(self._device, camera, len(self._packed.faces))
        except Exception:
            self.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the OpenGL context and all that is in it; again does nothing."""
        self._context.close()

    def gl_strings(self) -> dict[str, str]:
        """What renders: OpenGL "platform", "renderer" and "version"."""
        return self._context.strings()

    def render(
        self,
        T_cam_target: NDArray[np.float64],
        sun_cam: NDArray[np.float64],
        earth_cam: NDArray[np.float64] | None = None,
        earthshine: NDArray[np.float64] | None = None,
        sunlight: float = 1.0,
        *,
        shadow: bool = False,
        normals: bool = False,
    ) -> RenderedView:
        """Render one view.

        Args:
            T_cam_target: (4, 4) pose, target frame to OpenCV camera frame, metres.
            sun_cam: (3,) unit vector from target to sun, camera frame.
            earth_cam: (3,) unit vector from target to Earth, camera frame; by default the target's
                +z axis, nadir of a target that points there.
            earthshine: (3,) mean radiance of the Earth's disc as the target sees it, linear RGB; by
                default that of the lighting.
            sunlight: share of the sun's light that reaches the target.
            shadow: say which pixels are in shadow, too.
            normals: say how the surface is turned at each pixel, too.

        Raises:
            RunError: the renderer is closed.
        """
        if earthshine is None:
            earthshine = np.asarray(self.lighting.fixed_earthshine)
        with self._context.current():
            self._lit = None
            seen = self._look(T_cam_target, picture=True)
            if seen is None:
                return self._empty(shadow, normals)
            light = (sun_cam, earth_cam, earthshine, sunlight)
            uniforms = self._uniforms(seen.ray_from_pixel, seen.eye, seen.rotation, *light)
            self._lit = uniforms
            pixels, radiance, coverage = self._shade(seen, uniforms)
            z, parts = self._per_pixel(seen)
            labels = self._shadow_labels(seen, z, uniforms.sun) if shadow else None
            turned = self._normals(seen) if normals else None
            picture = (pixels, radiance, coverage)
            return RenderedView(seen.window, *picture, seen.centres[0], z, parts, labels, turned)

    def averaged(
        self, poses: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean radiance (H, W, 3) and coverage (H, W), float32, of several poses (M, 4, 4).

        Light and shadows are those of the view that was rendered last, at rest on the target; black
        where that showed nothing.

        Raises:
            RunError: the renderer is closed.
        """
        radiance = np.zeros((self.camera.height, self.camera.width, 3), dtype=np.float32)
        coverage = np.zeros(radiance.shape[:2], dtype=np.float32)
        with self._context.current():
            for pose in poses if self._lit is not None else ():
                seen = self._look(pose, picture=True)
                if seen is None:
                    continue
                assert self._lit is not None
                light = replace(self._lit, ray_from_pixel=seen.ray_from_pixel, eye=seen.eye)
                pixels, shaded, covers = self._shade(seen, light)
                at = moved(pixels, seen.window, (0, 0, self.camera.width, self.camera.height))
                radiance.reshape(-1, 3)[at] += shaded
                coverage.reshape(-1)[at] += covers
        share = np.float32(1.0 / len(poses))
        return radiance * share, np.minimum(coverage * share, np.float32(1.0))

    def geometry(self, T_cam_target: NDArray[np.float64]) -> RenderedView:
        """What a view shows, without light: depth and parts; no pixel has radiance.

        Args:
            T_cam_target: as `render`.

        Raises:
            RunError: the renderer is closed.
        """
        with self._context.current():
            seen = self._look(T_cam_target)
            if seen is None:
                return self._empty()
            empty = self._empty()
            dark = (empty.pixels, empty.radiance, empty.coverage)
            return RenderedView(seen.window, *dark, seen.centres[0], *self._per_pixel(seen))

    def _look(
        self, T_cam_target: NDArray[np.float64], *, picture: bool = False
    ) -> _Visibility | None:
        """The visibility buffer of a view, with what a picture needs besides; None where the target
        is out of it."""
        packed = self._packed
        rotation = np.asarray(T_cam_target[:3, :3], dtype=np.float64)
        translation = T_cam_target[:3, 3] + rotation @ packed.centre
        eye = -rotation.T @ translation
        near, far, window = self._extent(rotation, translation)
        if window[2] <= 0 or window[3] <= 0:
            return None

        # Distance of the eye from each face's plane: only the faces turned to it can be seen.
        height = packed.face_normals @ eye - packed.face_offsets
        facing = (height > 0.0) | packed.double_sided
        rods = None
        if picture:
            focal = (self.camera.fx, self.camera.fy)
            rods = packed.rods.thin(rotation, translation, focal, near, len(facing))
        layer = None
        if self._curved is not None:
            vertices = packed.vertices.astype(np.float64) @ rotation.T + translation
            look = (near, rotation, eye)
            drawn = np.flatnonzero(facing)
            triangles = self._curved.triangles(vertices, packed.faces[drawn], near)
            without = None
            if rods is not None:
                without, layer, window = self._bent_layer(
                    facing, vertices, rods, triangles.window, look
                )
                triangles = replace(triangles, window=window)
            window = triangles.window
            if window[2] <= 0 or window[3] <= 0:
                return None
            seen = self._bent(triangles, drawn, look)
            at_centres = seen[1::2, 1::2]
            seen = seen if without is None else without
        else:
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = rotation, translation
            clip = self._projection(near, far) @ pose
            around = None if rods is None else self._around(rods.corners, window)
            if rods is None or around is None:
                seen = self._device.draw_visibility(np.flatnonzero(facing), clip, window)
                at_centres = seen[1::2, 1::2]
            else:
                mine = facing[rods.faces]
                thin, corners = rods.faces[mine], rods.corners[mine]
                facing[thin] = False
                corners = (corners - translation) @ rotation
                seen, at_centres, wide = self._device.draw_layers(
                    np.flatnonzero(facing), thin, corners, clip, window, around
                )
                layer = _ThinLayer(wide, around, rods.opacity)
        ray_from_pixel = rotation.T @ self._ray_from_pixel
        return _Visibility(seen, at_centres, height, window, rotation, eye, ray_from_pixel, layer)

    def _around(self, corners: NDArray[np.float64], window: PixelBox) -> PixelBox | None:
        """The pixels of a window that may see triangles (N, 3, 3), camera frame; None for none."""
        camera, points = self.camera, corners.reshape(-1, 3)
        u = camera.fx * (points[:, 0] / points[:, 2]) + camera.cx
        v = camera.fy * (points[:, 1] / points[:, 2]) + camera.cy
        x, y, w, h = window
        x0, x1 = max(int(np.floor(u.min())) - 1, x), min(int(np.ceil(u.max())) + 2, x + w)
        y0, y1 = max(int(np.floor(v.min())) - 1, y), min(int(np.ceil(v.max())) + 2, y + h)
        return (x0, y0, x1 - x0, y1 - y0) if x0 < x1 and y0 < y1 else None

    def _bent(
        self,
        triangles: CurvedTriangles,
        faces: NDArray[np.intp],
        look: tuple[float, NDArray[np.float64], NDArray[np.float64]],
    ) -> Faces:
        """The visibility buffer through a lens.

        Args:
            triangles: to draw.
            faces: (N,) of the model that they were made of.
            look: nearest depth, rotation, eye.
        """
        assert self._curved is not None
        drawn = faces[triangles.chosen]
        if self._packed.cut.any():
            self._device.set_casters(self._packed.casters[drawn])
        numbers = np.append(0, drawn + 1).astype(np.uint32)
        return np.asarray(np.take(numbers, self._curved.draw(triangles, *look)))

    def _bent_layer(
        self,
        facing: NDArray[np.bool_],
        vertices: NDArray[np.float64],
        rods: ThinRods,
        window: PixelBox,
        look: tuple[float, NDArray[np.float64], NDArray[np.float64]],
    ) -> tuple[Faces | None, _ThinLayer | None, PixelBox]:
        """The visibility buffer through a lens without thin rods, these, and the window of all.

        Args:
            facing: (F,) faces to be drawn.
            vertices: (V, 3) of the model, camera frame.
            rods: those that are thin.
            window: of the view without them widened.
            look: as of `_bent`.
        """
        assert self._curved is not None
        mine = facing[rods.faces]
        thin, corners = rods.faces[mine], rods.corners[mine]
        if len(thin) == 0:
            return None, None, window
        rest = facing.copy()
        rest[thin] = False
        others = np.flatnonzero(rest)
        faces = self._packed.faces[others]
        behind = self._curved.triangles(vertices, faces, look[0])
        own = np.arange(3 * len(thin), dtype=np.uint32).reshape(-1, 3) + np.uint32(len(vertices))
        points = np.concatenate([vertices, corners.reshape(-1, 3)])
        wide = self._curved.triangles(points, np.concatenate([faces, own]), look[0])
        window = _union(window, wide.window)
        if window[2] <= 0 or window[3] <= 0:
            return None, None, window
        without = self._bent(replace(behind, window=window), others, look)
        everything = np.concatenate([others, thin])
        seen = self._bent(replace(wide, window=window), everything, look)
        is_thin = np.zeros(len(facing) + 1, dtype=bool)
        is_thin[thin + 1] = True
        seen[~is_thin[seen]] = 0
        return without, _ThinLayer(seen, window, rods.opacity), window

    def _shade(
        self, view: _Visibility, uniforms: ShadeUniforms
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Pixels that see anything, their radiance and coverage: see `RenderedView`."""
        layer = view.thin
        samples = sample_pixels(view.seen, self._surfaces, self._places)
        if layer is None:
            points = self._points(samples, view.window)
            looks = self._looks(view.eye, samples.primitive)
            radiance = samples.resolve(self._device.shade(points, looks, uniforms))
            return samples.pixels, radiance, samples.coverage
        over = sample_layer(layer.seen)
        count = len(samples.primitive)
        points = self._points(samples, view.window, len(over.primitive))
        points[count:] = self._points(over, layer.window)
        self._onto_faces(points[count:], over.primitive, view)
        looks = self._looks(view.eye, np.concatenate([samples.primitive, over.primitive]))
        shaded = self._device.shade(points, looks, uniforms)
        opacity = np.take(layer.opacity, over.primitive)[:, None]
        return _composited(
            (samples.pixels, samples.resolve(shaded[:count]), samples.coverage),
            samples.whole,
            moved(over.pixels, layer.window, view.window),
            over.resolve(shaded[count:] * opacity),
            over.resolve(opacity)[:, 0],
        )

    def _points(
        self, samples: PixelSamples, window: PixelBox, more: int = 0
    ) -> NDArray[np.float32]:
        """What the device shades of samples of a window: (N + more, 4), see `Device.shade`; there
        is room for `more` at the end."""
        count = len(samples.primitive)
        points = np.empty((count + more, 4), dtype=np.float32)
        chosen = points[:count]
        np.add(samples.u, window[0], out=chosen[:, 0])
        np.add(samples.v, window[1], out=chosen[:, 1])
        if self._curved is not None:  # what is shaded is where a pinhole would see it
            chosen[:, :2] = self._curved.undistorted(chosen[:, :2])
        chosen[:, 2] = samples.primitive
        chosen[:, 3] = 0.0
        return points

    def _onto_faces(
        self, points: NDArray[np.float32], faces: NDArray[np.uint32], view: _Visibility
    ) -> None:
        """Bring points (N, 4) of widened triangles (N,) to where the triangles are: onto the line
        from the middle of each one's shortest edge to the corner opposite."""
        packed = self._packed
        numbers, of_point = distinct(faces, len(packed.faces))
        corners = (packed.vertices[packed.faces[numbers]] - view.eye) @ view.rotation.T
        place = corners[..., :2] / corners[..., 2:] * (self.camera.fx, self.camera.fy)
        place += (self.camera.cx, self.camera.cy)
        edges = np.roll(place, -1, axis=1) - place
        shortest = np.argmin(np.einsum("nij,nij->ni", edges, edges), axis=1)
        rows = np.arange(len(numbers))
        middle = place[rows, shortest] + edges[rows, shortest] / 2.0
        line = place[rows, (shortest + 2) % 3] - middle
        squared = np.maximum(np.einsum("ni,ni->n", line, line), 1e-12)
        middle, line = np.take(middle, of_point, axis=0), np.take(line, of_point, axis=0)
        along = np.einsum("ni,ni->n", points[:, :2] - middle, line)
        along /= np.take(squared, of_point)
        points[:, :2] = middle + np.clip(along, 0.05, 0.95)[:, None] * line

    def _normals(self, view: _Visibility) -> NDArray[np.float64]:
        """Normals of the triangles at the pixel centres, (h, w, 3), camera axes, to the camera."""
        _, _, w, h = view.window
        normals = np.zeros((h * w, 3))
        at, faces = view.centres
        side = np.where(view.height[faces] < 0.0, -1.0, 1.0)  # seen from behind
        normals[at] = (side[:, None] * self._packed.face_normals[faces]) @ view.rotation.T
        return normals.reshape(h, w, 3)

    def _shadow_labels(
        self, view: _Visibility, z: NDArray[np.float64], sun: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        """What is in shadow, (h, w), at the pixel centres, by z of those that see anything."""
        from satgen.rendering.shadow import shadow_labels

        x, y, w, h = view.window
        labels = np.zeros((h, w), dtype=np.uint8)
        at, faces = view.centres
        rows, columns = rows_and_columns(at, w)
        rays = self._rays[rows + y, columns + x] @ view.rotation
        points = view.eye + rays * z[:, None]
        labels.reshape(-1)[at] = shadow_labels(self._device, self._packed, points, faces, rays, sun)
        return labels

    @cached_property
    def _ray_from_pixel(self) -> NDArray[np.float64]:
        """Pixel (u, v, 1) of a pinhole to a direction of the camera's, z = 1: (3, 3)."""
        return np.asarray(np.linalg.inv(self.camera.K), dtype=np.float64)

    @cached_property
    def _rays(self) -> NDArray[np.float64]:
        """Rays through the pixel centres, (H, W, 3), camera frame, z = 1."""
        return self.camera.rays()

    def _looks(self, eye: NDArray[np.float64], faces: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Which of the device's LOOKS samples of faces (N,) need."""
        mirrors = self._packed.mirrors
        look = np.full(len(self._packed.faces), mirrors is not None, dtype=np.uint8)
        if mirrors is not None:
            look[mirrors.faces[mirrors.show(eye)]] = 2
        return np.take(look, faces)

    def _per_pixel(self, view: _Visibility) -> tuple[NDArray[np.float64], PartLabels]:
        """Depth (C,) at the pixel centres that see anything, the ray's meeting with its triangle's
        plane; and the part at each pixel's, (h, w)."""
        packed = self._packed
        x, y, w, h = view.window
        parts = np.zeros((h, w), dtype=packed.face_part.dtype)
        at, faces = view.centres
        rows, columns = rows_and_columns(at, w)
        u, v = columns + x, rows + y
        if self._curved is not None:
            u, v = self.camera.undistorted_centres()[v, u].T
        slope = view.ray_from_pixel.T @ packed.face_normals.T
        toward = np.take(slope[0], faces) * u
        toward += np.take(slope[1], faces) * v
        toward += np.take(slope[2], faces)
        toward[toward == 0.0] = -1e-300  # a ray along its plane: seen only through rounding
        # Both are negative for a face seen from the front, both positive from behind.
        z = -np.take(view.height, faces) / toward
        parts.reshape(-1)[at] = np.take(packed.face_part, faces)
        return z, parts

    def _uniforms(
        self,
        ray_from_pixel: NDArray[np.float64],
        eye: NDArray[np.float64],
        rotation: NDArray[np.float64],
        sun_cam: NDArray[np.float64],
        earth_cam: NDArray[np.float64] | None,
        earthshine: NDArray[np.float64],
        sunlight: float,
    ) -> ShadeUniforms:
        from satgen.rendering.device import ShadeUniforms

        sun = rotation.T @ sun_cam
        pixel = float(np.linalg.norm(eye)) / max(self.camera.fx, self.camera.fy)
        shadow = self._shadow_map(sun, self.lighting.shadow_texel * pixel)
        earth = rotation.T @ earth_cam if earth_cam is not None else np.array([0.0, 0.0, 1.0])
        uniforms = ShadeUniforms(
            ray_from_pixel=ray_from_pixel,
            eye=eye,
            sun=sun,
            earth=earth,
            shadow_from_target=shadow.from_target,
            shadow_size=shadow.size,
            shadow_block=shadow.block,
            penumbra=shadow.penumbra,
            earthshine=earthshine,
            sunlight=sunlight,
            ambient=self.lighting.ambient,
            cos_earth_limb=float(np.cos(np.radians(self.lighting.earth_limb_deg))),
        )
        self._exchange(uniforms)
        return uniforms

    def _exchange(self, light: ShadeUniforms) -> None:
        """Bring the light between the parts to the device, unless it is there."""
        directions = (*light.sun.tolist(), *light.earth.tolist())
        key = (*directions, *light.earthshine.tolist(), light.sunlight)
        if self._bounce is None or key == self._exchanged:
            return
        texels = self._bounce.solve(
            light.sun,
            light.sunlight,
            light.earth,
            light.earthshine,
            light.cos_earth_limb,
            light.ambient,
        )
        self._device.set_receivers(texels)
        self._exchanged = key

    def _shadow_map(self, sun: NDArray[np.float64], texel: float) -> _ShadowMap:
        """The shadow map for a sun direction in the target frame, drawn unless it is there."""
        last = self._shadow
        if last is not None and last.texel == texel and np.array_equal(last.sun, sun):
            return last
        packed = self._packed
        light = _light_axes(sun, packed.extents)
        in_light = light.astype(np.float32) @ self._places32
        low = in_light.min(axis=1).astype(np.float64)
        high = in_light.max(axis=1).astype(np.float64)
        # A border of three texels, so that the filter reads empty texels beyond the outline.
        side = self._device.shadow_side
        extent = high - low
        size = max(texel, float(extent[:2].max()) / (side - 8))
        counts = np.ceil(extent[:2] / size).astype(int) + 6
        middle = (low + high) / 2.0
        half = np.append(counts * size / 2.0, extent[2] / 2.0 + 1e-3 * packed.radius)
        clip = np.eye(4)
        clip[:3, :3] = light / half[:, None]
        clip[:3, 3] = -middle / half
        clip[2] *= -1.0  # depth grows away from the sun
        # The map takes a corner of its texture.
        scale = np.append(counts, 1.0) / 2.0
        from_target = np.eye(4)
        from_target[:3] = scale[:, None] * clip[:3]
        from_target[:3, 3] += scale
        turned = self._normals32 @ sun.astype(np.float32) > 0.0
        casts = turned | packed.double_sided
        # The half shadow of what is highest on what is lowest reaches no farther than a block.
        penumbra = float(np.tan(np.radians(SUN_RADIUS_DEG)) * 2.0 * half[2] / size)
        block = max(LEAST_BLOCK, int(np.ceil(penumbra)) + 1)
        shape = (int(counts[0]), int(counts[1]))
        # As `from_target`: texels by blocks, and depths.
        low_corner = middle - half
        at = in_light - low_corner.astype(np.float32)[:, None]
        at[:2] *= np.float32(1.0 / (size * block))
        at[2] = 1.0 - at[2] * np.float32(0.5 / half[2])
        outlines = depths_of_outlines(
            packed.edges,
            turned,
            casts,
            at,
            1.0 - NARROW / penumbra,
            (-(-shape[0] // block), -(-shape[1] // block)),
        )
        self._device.draw_shadow_map(np.flatnonzero(casts), clip, shape, outlines)
        self._shadow = _ShadowMap(sun.copy(), texel, from_target, shape, block, penumbra)
        return self._shadow

    def _extent(
        self, rotation: NDArray[np.float64], translation: NDArray[np.float64]
    ) -> tuple[float, float, PixelBox]:
        """Near and far planes and the pixel rectangle that holds the target."""
        camera = self.camera
        radius = self._packed.radius
        x, y, z = (
            rotation.astype(np.float32) @ self._places32 + translation.astype(np.float32)[:, None]
        )
        far = float(z.max()) + 1e-3 * radius
        nearest = float(z.min()) - 1e-3 * radius
        if far <= 0.0:
            return 0.0, 0.0, (0, 0, 0, 0)
        near = max(nearest, 1e-3 * radius)
        if nearest < near or self._curved is not None:  # no outline to fit, or not here
            return near, max(far, 2.0 * near), (0, 0, camera.width, camera.height)
        u = camera.fx * (x / z) + camera.cx
        v = camera.fy * (y / z) + camera.cy
        # A pixel more on each side: the samples around a pixel reach half of one beyond it, and
        # the rasteriser rounds.
        x0, x1 = max(int(np.floor(u.min())) - 1, 0), min(int(np.ceil(u.max())) + 2, camera.width)
        y0, y1 = max(int(np.floor(v.min())) - 1, 0), min(int(np.ceil(v.max())) + 2, camera.height)
        return near, far, (x0, y0, x1 - x0, y1 - y0)

    def _projection(self, near: float, far: float) -> NDArray[np.float64]:
        """OpenCV camera frame to clip space of the half-pixel grid.

        Sample i of the grid lies at u = (i - 1) / 2, at i + 1/2 in the viewport of 2W + 1.
        """
        camera = self.camera
        w, h = 2 * camera.width + 1, 2 * camera.height + 1
        depth = far - near
        return np.array(
            [
                [4.0 * camera.fx / w, 0.0, (4.0 * camera.cx + 3.0) / w - 1.0, 0.0],
                [0.0, 4.0 * camera.fy / h, (4.0 * camera.cy + 3.0) / h - 1.0, 0.0],
                [0.0, 0.0, (far + near) / depth, -2.0 * far * near / depth],
                [0.0, 0.0, 1.0, 0.0],
            ]
        )

    def _empty(self, shadow: bool = False, normals: bool = False) -> RenderedView:
        return RenderedView(
            (0, 0, 0, 0),
            np.zeros(0, np.int64),
            np.zeros((0, 3), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros(0),
            np.zeros((0, 0), self._packed.face_part.dtype),
            np.zeros((0, 0), np.uint8) if shadow else None,
            np.zeros((0, 0, 3)) if normals else None,
        )


def _union(one: PixelBox, other: PixelBox) -> PixelBox:
    """The box of two boxes of pixels; an empty one counts for nothing."""
    boxes = [box for box in (one, other) if box[2] > 0 and box[3] > 0]
    if not boxes:
        return (0, 0, 0, 0)
    x, y = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, below = max(b[0] + b[2] for b in boxes), max(b[1] + b[3] for b in boxes)
    return (x, y, right - x, below - y)


def _composited(
    behind: tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]],
    whole: int,
    pixels: NDArray[np.int64],
    radiance: NDArray[np.float32],
    coverage: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Pixels, radiance and coverage of a picture, `behind`, with a layer over it.

    Args:
        behind: (K,), (K, 3), (K,); the latter two are written to.
        whole: the pixels before this one ascend, and so do the others.
        pixels, radiance, coverage: (N,), (N, 3), (N,) of the layer; radiance as covered.
    """
    at = np.full(len(pixels), -1, dtype=np.intp)
    for begin, part in ((0, behind[0][:whole]), (whole, behind[0][whole:])):
        if len(part):
            place = np.minimum(np.searchsorted(part, pixels), len(part) - 1)
            found = np.take(part, place) == pixels
            at[found] = begin + place[found]
    both = at >= 0
    at, left = at[both], np.float32(1.0) - coverage[both]
    under, covered = behind[1:]
    under[at] = radiance[both] + left[:, None] * under[at]
    covered[at] = coverage[both] + left * covered[at]
    return (
        np.concatenate([behind[0], pixels[~both]]),
        np.concatenate([under, radiance[~both]]),
        np.concatenate([covered, coverage[~both]]),
    )


def _light_axes(sun: NDArray[np.float64], extents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal rows (3, 3): along the target's length as the sun sees it, across, to the sun."""
    # The longest axis that the sun does not look along.
    axis = int(np.argmax(extents * np.sqrt(np.maximum(1.0 - sun**2, 0.0))))
    x = np.eye(3)[axis] - sun[axis] * sun
    x /= np.linalg.norm(x)
    return np.stack([x, cross(sun, x), sun])
