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
from satgen.model import PartLabels, TargetModel
from satgen.rendering.backend import choose_backend, create_context
from satgen.rendering.bounce import Bounce
from satgen.rendering.context import Context
from satgen.rendering.lighting import Lighting
from satgen.rendering.packing import pack
from satgen.rendering.sampling import sample_pixels

if TYPE_CHECKING:
    from satgen.rendering.curved import CurvedView
    from satgen.rendering.device import Device, ShadeUniforms

PixelBox = tuple[int, int, int, int]


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
        depth: (h, w) float64, z at the pixel centre in metres, 0 where the ray meets nothing.
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
    depth: NDArray[np.float64]
    parts: PartLabels
    shadow: NDArray[np.uint8] | None = None
    normals: NDArray[np.float64] | None = None

    @property
    def linear(self) -> NDArray[np.float32]:
        """(h, w, 3) float32 radiance of the window."""
        image = np.zeros((*self.depth.shape, 3), dtype=np.float32)
        image.reshape(-1, 3)[self.pixels] = self.radiance
        return image


@dataclass(frozen=True)
class _Visibility:
    """The visibility buffer of a view, and how it was drawn.

    Attributes:
        seen: (2h + 1, 2w + 1) uint32, number of the model's face from 1, or zero.
        height: (F,) of the eye above each of the model's faces' planes, metres.
        window: (x, y, w, h) of the pixels.
        rotation: (3, 3) of T_cam_target.
        eye: (3,) camera centre, target frame about the model's centre.
        ray_from_pixel: (3, 3), pixel (u, v, 1) of a pinhole to a target-frame direction.
    """

    seen: NDArray[np.uint32]
    height: NDArray[np.float64]
    window: PixelBox
    rotation: NDArray[np.float64]
    eye: NDArray[np.float64]
    ray_from_pixel: NDArray[np.float64]

    @cached_property
    def centres(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Flat index in the window of the pixels whose centre sees anything, and the face that it
        sees, (K,) each."""
        seen = self.seen[1::2, 1::2].reshape(-1)
        at = np.flatnonzero(seen != 0)
        return at, np.take(seen, at).astype(np.intp) - 1


@dataclass(frozen=True)
class _ShadowMap:
    """The shadow map that is on the device: for which sun and texel (metres), how to look it up."""

    sun: NDArray[np.float64]
    texel: float
    from_target: NDArray[np.float64]


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
        self._normals32 = self._packed.face_normals.astype(np.float32)
        self._shadow: _ShadowMap | None = None
        self._lit: ShadeUniforms | None = None
        grid = (2 * camera.width + 1) * (2 * camera.height + 1)
        self._places = np.empty(grid, dtype=np.int32)
        self._bounce = None if model.light is None else Bounce(model.light)
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
            seen = self._look(T_cam_target)
            if seen is None:
                return self._empty(shadow, normals)
            light = (sun_cam, earth_cam, earthshine, sunlight)
            uniforms = self._uniforms(seen.ray_from_pixel, seen.eye, seen.rotation, *light)
            self._lit = uniforms
            pixels, radiance, coverage = self._shade(seen, uniforms)
            depth, parts = self._per_pixel(seen)
            labels = self._shadow_labels(seen, depth, uniforms.sun) if shadow else None
            turned = self._normals(seen) if normals else None
            return RenderedView(
                seen.window, pixels, radiance, coverage, depth, parts, labels, turned
            )

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
                seen = self._look(pose)
                if seen is None:
                    continue
                assert self._lit is not None
                light = replace(self._lit, ray_from_pixel=seen.ray_from_pixel, eye=seen.eye)
                pixels, shaded, covers = self._shade(seen, light)
                x, y, w, _ = seen.window
                row, column = np.divmod(pixels, w)
                radiance[row + y, column + x] += shaded
                coverage[row + y, column + x] += covers
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
            return RenderedView(seen.window, *dark, *self._per_pixel(seen))

    def _look(self, T_cam_target: NDArray[np.float64]) -> _Visibility | None:
        """The visibility buffer of a view; None where the target is out of it."""
        packed = self._packed
        rotation = np.asarray(T_cam_target[:3, :3], dtype=np.float64)
        translation = T_cam_target[:3, 3] + rotation @ packed.centre
        eye = -rotation.T @ translation
        near, far, window = self._extent(rotation, translation)
        if window[2] <= 0 or window[3] <= 0:
            return None

        # Distance of the eye from each face's plane: only the faces turned to it can be seen.
        height = packed.face_normals @ eye - packed.face_offsets
        drawn = np.flatnonzero((height > 0.0) | packed.double_sided)
        if self._curved is None:
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = rotation, translation
            clip = self._projection(near, far) @ pose
            seen = self._device.draw_visibility(drawn, clip, window)
        else:
            vertices = packed.vertices.astype(np.float64) @ rotation.T + translation
            triangles = self._curved.triangles(vertices, packed.faces[drawn], near)
            window = triangles.window
            if window[2] <= 0 or window[3] <= 0:
                return None
            drawn = drawn[triangles.chosen]
            if packed.cut.any():
                self._device.set_casters(packed.casters[drawn])
            faces = np.append(0, drawn + 1).astype(np.uint32)
            seen = np.take(faces, self._curved.draw(triangles, near, rotation, eye))
        ray_from_pixel = rotation.T @ np.linalg.inv(self.camera.K)
        return _Visibility(seen, height, window, rotation, eye, ray_from_pixel)

    def _shade(
        self, view: _Visibility, uniforms: ShadeUniforms
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Pixels that see anything, their radiance and coverage: see `RenderedView`."""
        window = view.window
        samples = sample_pixels(view.seen, self._packed.surface, self._places)
        chosen = np.zeros((len(samples.primitive), 4), dtype=np.float32)
        chosen[:, 0] = samples.u + window[0]
        chosen[:, 1] = samples.v + window[1]
        if self._curved is not None:  # what is shaded is where a pinhole would see it
            chosen[:, :2] = self._curved.undistorted(chosen[:, :2])
        faces = samples.primitive.astype(np.intp)
        chosen[:, 2] = faces
        looks = self._looks(view.eye, faces)
        radiance = samples.resolve(self._device.shade(chosen, looks, uniforms))
        return samples.pixels, radiance, samples.coverage

    def _normals(self, view: _Visibility) -> NDArray[np.float64]:
        """Normals of the triangles at the pixel centres, (h, w, 3), camera axes, to the camera."""
        _, _, w, h = view.window
        normals = np.zeros((h * w, 3))
        at, faces = view.centres
        side = np.where(view.height[faces] < 0.0, -1.0, 1.0)  # seen from behind
        normals[at] = (side[:, None] * self._packed.face_normals[faces]) @ view.rotation.T
        return normals.reshape(h, w, 3)

    def _shadow_labels(
        self, view: _Visibility, depth: NDArray[np.float64], sun: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        """What is in shadow, (h, w), at the pixel centres."""
        from satgen.rendering.shadow import shadow_labels

        x, y, w, _ = view.window
        labels = np.zeros(depth.shape, dtype=np.uint8)
        at, faces = view.centres
        rows, columns = np.divmod(at, w)
        rays = self._rays[rows + y, columns + x] @ view.rotation
        points = view.eye + rays * depth.reshape(-1)[at][:, None]
        labels.reshape(-1)[at] = shadow_labels(self._device, self._packed, points, faces, rays, sun)
        return labels

    @cached_property
    def _rays(self) -> NDArray[np.float64]:
        """Rays through the pixel centres, (H, W, 3), camera frame, z = 1."""
        return self.camera.rays()

    def _looks(self, eye: NDArray[np.float64], faces: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Which of the device's LOOKS samples of faces (N,) need."""
        mirrors = self._packed.mirrors
        look = np.full(len(self._packed.faces), mirrors is not None, dtype=np.uint8)
        if mirrors is not None:
            look[mirrors.faces[mirrors.show(eye)]] = 2
        return np.take(look, faces)

    def _per_pixel(self, view: _Visibility) -> tuple[NDArray[np.float64], PartLabels]:
        """Depth and part at the pixel centres: the ray's meeting with its triangle's plane."""
        packed = self._packed
        x, y, w, h = view.window
        depth = np.zeros((h, w))
        parts = np.zeros((h, w), dtype=packed.face_part.dtype)
        at, faces = view.centres
        rows, columns = np.divmod(at.astype(np.int32), np.int32(w))
        u, v = columns + x, rows + y
        if self._curved is not None:
            u, v = self.camera.undistorted_centres()[v, u].T
        slope = view.ray_from_pixel.T @ packed.face_normals.T
        toward = np.take(slope[0], faces) * u
        toward += np.take(slope[1], faces) * v
        toward += np.take(slope[2], faces)
        toward[toward == 0.0] = -1e-300  # a ray along its plane: seen only through rounding
        # Both are negative for a face seen from the front, both positive from behind.
        depth.reshape(-1)[at] = -np.take(view.height, faces) / toward
        parts.reshape(-1)[at] = np.take(packed.face_part, faces)
        return depth, parts

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
        in_light = light.astype(np.float32) @ packed.vertices.T
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
        casting = np.flatnonzero(
            (self._normals32 @ sun.astype(np.float32) > 0.0) | packed.double_sided
        )
        self._device.draw_shadow_map(
            casting,
            clip,
            (int(counts[0]), int(counts[1])),
        )
        self._shadow = _ShadowMap(sun.copy(), texel, from_target)
        return self._shadow

    def _extent(
        self, rotation: NDArray[np.float64], translation: NDArray[np.float64]
    ) -> tuple[float, float, PixelBox]:
        """Near and far planes and the pixel rectangle that holds the target."""
        camera = self.camera
        radius = self._packed.radius
        x, y, z = (
            rotation.astype(np.float32) @ self._packed.vertices.T
            + translation.astype(np.float32)[:, None]
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
            np.zeros((0, 0)),
            np.zeros((0, 0), self._packed.face_part.dtype),
            np.zeros((0, 0), np.uint8) if shadow else None,
            np.zeros((0, 0, 3)) if normals else None,
        )


def _light_axes(sun: NDArray[np.float64], extents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal rows (3, 3): along the target's length as the sun sees it, across, to the sun."""
    # The longest axis that the sun does not look along.
    axis = int(np.argmax(extents * np.sqrt(np.maximum(1.0 - sun**2, 0.0))))
    x = np.eye(3)[axis] - sun[axis] * sun
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(sun, x), sun])
