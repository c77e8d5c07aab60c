"""Making a frame: from a pose to the bytes of its three images and what they show.

A pure function of configuration, model and view: whichever worker renders it, in whatever order,
the bytes are the same.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.background import Background
from satgen.blur import poses_during
from satgen.camera import Camera
from satgen.config import DEPTH_LEVELS, places_of, sun_vectors
from satgen.dataset import SHADOW_LABELS
from satgen.geometry import PixelBox, bounding_box, moved, warp
from satgen.light import block_of, middle_index
from satgen.png import encode_png
from satgen.records import FrameRecord
from satgen.rendering.reference import ReferenceRenderer
from satgen.rendering.renderer import RenderedView, Renderer
from satgen.scene import Scene, Views
from satgen.sensor import expose
from satgen.surroundings.earth import coarse_earth
from satgen.surroundings.place import Place
from satgen.trajectory import available_indices, observe
from satgen.truth_images import FLOWS, encode_flow, encode_normals


@dataclass(frozen=True)
class Viewpoint:
    """What a frame is rendered from.

    Attributes:
        index: observation index.
        pose: (4, 4) T_cam_target.
        sun, earth: (3,) unit vectors from the target, camera frame.
        ground_from_cam: (3, 3) rotation of camera axes to the Earth's.
        sky_from_cam: (3, 3) rotation of camera axes to equatorial ones.
        sunlight: share of the sun's light that reaches the target.
    """

    index: int
    pose: NDArray[np.float64]
    sun: NDArray[np.float64]
    earth: NDArray[np.float64]
    ground_from_cam: NDArray[np.float64]
    sky_from_cam: NDArray[np.float64]
    sunlight: float


def viewpoint(
    index: int, pose: NDArray[np.float64], sun: NDArray[np.float64], place: Place, row: int
) -> Viewpoint:
    """What a frame is rendered from, by a row of (N, 3) sun vectors and of N places."""
    return Viewpoint(
        index,
        pose,
        sun[row],
        place.nadir[row],
        place.ground_from_cam[row],
        place.sky_from_cam[row],
        float(place.sunlight[row]),
    )


def viewpoints(views: Views) -> list[Viewpoint]:
    """What the frames of some indices are rendered from."""
    seen = views.observations
    return [
        viewpoint(int(index), seen.T_cam_target[i], views.sun, views.place, i)
        for i, index in enumerate(seen.index)
    ]


def depth_counts(depth: NDArray[np.float64], depth_scale: float) -> NDArray[np.uint16]:
    """Depth in metres (0 for none) as counts of the depth image: surfaces are at least 1."""
    counts = depth / depth_scale
    np.rint(counts, out=counts)
    np.clip(counts, 1, DEPTH_LEVELS, out=counts)
    counts *= depth > 0.0
    return counts.astype(np.uint16)


def lit_share(shadow: NDArray[np.uint8]) -> float:
    """Share of the target's pixels that are in the sun, by a shadow image; 0 without any."""
    counts = np.bincount(shadow.ravel(), minlength=2)
    target = int(counts[1:].sum())
    return int(counts[SHADOW_LABELS["lit"]]) / target if target else 0.0


class FrameMaker(AbstractContextManager["FrameMaker"]):
    """Renders frames of one dataset. Holds an OpenGL context; a context manager.

    Args:
        scene: what is rendered.
        platform: the OpenGL platform; by default the first that answers.
        anywhere: views may come nearer to the target than the trajectory does.
    """

    def __init__(
        self, scene: Scene, platform: str | None = None, *, anywhere: bool = False
    ) -> None:
        config, model = scene.config, scene.model  # the model is not kept: textures are large
        self.config, self.landmarks, self.views = config, scene.landmarks, scene.views
        nearest = 0.0
        if config.trajectory.motion.aimed and not anywhere:
            centre, radius = model.bounding_sphere
            aside = np.linalg.norm(centre - np.asarray(config.trajectory.aim))
            nearest = config.trajectory.distance_m - float(aside) - radius
            if config.trajectory.mount is not None:
                nearest -= float(np.linalg.norm(np.array(config.trajectory.mount)[:3, 3]))
        low, high = model.vertices.min(axis=0), model.vertices.max(axis=0)
        self._corners = np.array(list(product(*zip(low, high, strict=True))), dtype=np.float64)
        self._depths: dict[int, NDArray[np.float64]] = {}
        self._renderer: Renderer | ReferenceRenderer
        if config.renderer == "pyrender":
            self._renderer = ReferenceRenderer(
                model, config.camera, config.lighting, platform=platform
            )
        else:
            self._renderer = Renderer(
                model,
                config.camera,
                config.lighting,
                float32=config.sensor.bit_depth > 8,
                nearest_m=nearest,
                platform=platform,
            )
        self._exposures: dict[int, float] = {}
        self._earth = None
        if config.lighting.earthshine is None:
            self._earth = coarse_earth(config.seed)
        try:
            self._background = Background(config, platform)
        except Exception:
            self._renderer.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the OpenGL contexts."""
        self._renderer.close()
        self._background.close()

    def gl_strings(self) -> dict[str, str]:
        """What renders: OpenGL "platform", "renderer" and "version"."""
        return self._renderer.gl_strings()

    def make(self, view: Viewpoint) -> tuple[FrameRecord, tuple[bytes, ...]]:
        """Render a view: its record and its PNG files, in the order of `config.images`."""
        config = self.config
        frame, rgb, exposure = self._shoot(view)
        size = (0, 0, config.camera.width, config.camera.height)
        depth = np.zeros((config.camera.height, config.camera.width), dtype=np.uint16)
        at = moved(frame.centres, frame.window, size)
        depth.reshape(-1)[at] = depth_counts(frame.z, config.depth_scale)
        parts = _whole(frame.parts, frame, config.camera)
        files = [encode_png(rgb), encode_png(depth), encode_png(parts, labels=True)]
        lit = None
        if frame.shadow is not None:
            lit = lit_share(frame.shadow)
            files.append(encode_png(_whole(frame.shadow, frame, config.camera), labels=True))
        if frame.normals is not None:
            files.append(encode_png(encode_normals(_whole(frame.normals, frame, config.camera))))
        if config.flow:
            files += [encode_png(flow) for flow in self._flows(view, frame)]
        x, y, w, h = bounding_box(frame.parts)
        if w:
            x, y = x + frame.window[0], y + frame.window[1]
        seen = self.landmarks.visible(config.camera, view.pose, depth, config.depth_scale)
        hashes = tuple(map(_sha256, files))
        coverage = np.count_nonzero(frame.parts) / parts.size
        visible = tuple(seen.tolist())
        record = FrameRecord(
            view.index, (x, y, w, h), coverage, hashes, visible, exposure=exposure, lit=lit
        )
        return record, tuple(files)

    def draw(self, view: Viewpoint) -> dict[str, NDArray[Any]]:
        """Render a view: its images by kind, as a dataset has them, but the depth in metres and not
        rounded.

        Nothing shares memory with what the maker holds.
        """
        frame, rgb, _ = self._shoot(view)
        images: dict[str, NDArray[Any]] = {"depth": frame.depth, "parts": frame.parts}
        if frame.shadow is not None:
            images["shadow"] = frame.shadow
        if frame.normals is not None:
            images["normals"] = frame.normals
        camera = self.config.camera
        return {"rgb": rgb, **{k: _whole(v, frame, camera) for k, v in images.items()}}

    def _flows(self, view: Viewpoint, frame: RenderedView) -> list[NDArray[np.uint16]]:
        """Images of the flow to the indices beside a view's, in the order of `FLOWS`."""
        camera = self.config.camera
        depth = _whole(frame.depth, frame, camera)
        self._depths[view.index] = depth
        v, u = np.nonzero(depth > 0.0)
        pixels = np.stack([u, v], axis=-1)
        images = []
        for steps in FLOWS.values():
            pose = self.config.beside(view.index, steps)
            if pose is None:
                images.append(np.zeros((*depth.shape, 3), dtype=np.uint16))
                continue
            moved = warp(
                camera.K,
                depth,
                view.pose,
                self._depth_at(view.index + steps * self.config.step, pose),
                pose,
                pixels,
                z=depth[v, u],
                distortion=camera.distortion,
            )
            images.append(encode_flow(moved, pixels, (camera.height, camera.width)))
        return images

    def _depth_at(self, index: int, pose: NDArray[np.float64]) -> NDArray[np.float64]:
        """Depth (H, W) of an index: one of the last few, or drawn, without any light."""
        if index not in self._depths:
            assert isinstance(self._renderer, Renderer)
            frame = self._renderer.geometry(pose)
            self._depths[index] = _whole(frame.depth, frame, self.config.camera)
        while len(self._depths) > 4:
            self._depths.pop(next(iter(self._depths)))
        return self._depths[index]

    def _shoot(self, view: Viewpoint) -> tuple[RenderedView, NDArray[Any], float | None]:
        """What the renderer sees, the sensor's image, and the exposure where it is metered."""
        config = self.config
        frame, light, window, pixels = self._look(view, full=True)
        sensor, exposure = config.sensor, None
        if config.metering is not None:
            exposure = self._exposure(block_of(view.index))
            sensor = replace(sensor, exposure=exposure)
        size = (config.camera.width, config.camera.height)
        rgb = expose(light, window, size, sensor, config.seed, view.index, pixels, config.camera)
        return frame, rgb, exposure

    def _look(
        self, view: Viewpoint, *, full: bool
    ) -> tuple[RenderedView, NDArray[np.float32], PixelBox, NDArray[np.int64] | None]:
        """What the renderer sees, and the light that comes, as `satgen.sensor.expose` takes it: in
        a window of the image, of some of its pixels where the others are black.

        Args:
            view: what is seen.
            full: with motion blur, shadow labels and normals, where these were asked for.
        """
        config = self.config
        shine = None
        if self._earth is not None:
            turn = view.ground_from_cam
            radius = config.surroundings.radius
            shine = self._earth.shine(turn @ -view.earth, turn @ view.sun, radius)
        frame = self._renderer.render(
            *(view.pose, view.sun, view.earth, shine, view.sunlight),
            shadow=config.shadow and full,
            normals=config.normals and full,
        )
        moving = self._moving(view, frame) if full else frame
        behind = self._background.draw(view)
        if behind is None:
            return frame, moving.radiance, moving.window, moving.pixels
        whole = (0, 0, config.camera.width, config.camera.height)
        return frame, _before(moving, behind), whole, None

    def _exposure(self, block: int) -> float:
        """The exposure of a block of indices, metered when it is first asked for."""
        metering, config = self.config.metering, self.config
        assert metering is not None
        if block not in self._exposures:
            index = middle_index(block, available_indices(config.trajectory))
            observation = observe(config.trajectory, [index])
            sun = sun_vectors(config, observation)
            place = places_of(config, observation, sun)
            view = viewpoint(index, observation.T_cam_target[0], sun, place, 0)
            _, light, _, _ = self._look(view, full=False)
            exposure = metering.exposure(light.reshape(-1, 3), config.seed, block)
            self._exposures[block] = exposure
        return self._exposures[block]

    def _moving(self, view: Viewpoint, frame: RenderedView) -> RenderedView:
        """A frame's light as the open shutter gathers it; all else as it is."""
        config, camera = self.config, self.config.camera
        if config.sensor.exposure_time_s == 0.0 or view.index == 0:
            return frame
        aim = np.array(config.trajectory.aim)
        velocity = observe(config.trajectory, [view.index]).angular_velocity[0]
        exposure = config.sensor.exposure_time_s
        poses = poses_during(view.pose, velocity, exposure, aim, self._corners, camera)
        if poses is None:
            return frame
        assert isinstance(self._renderer, Renderer)
        radiance, coverage = self._renderer.averaged(poses)
        pixels = np.flatnonzero(coverage)
        return replace(
            frame,
            window=(0, 0, camera.width, camera.height),
            pixels=pixels,
            radiance=radiance.reshape(-1, 3)[pixels],
            coverage=coverage.reshape(-1)[pixels],
        )


def _before(frame: RenderedView, background: NDArray[np.float32]) -> NDArray[np.float32]:
    """The target before a background (H, W, 3), which is overwritten, by its coverage."""
    height, width = background.shape[:2]
    at = moved(frame.pixels, frame.window, (0, 0, width, height))
    shown = frame.radiance.copy()
    edges = np.flatnonzero(frame.coverage < 1.0)
    behind = np.take(background.reshape(-1, 3), np.take(at, edges), axis=0)
    shown[edges] += behind * (1.0 - np.take(frame.coverage, edges))[:, None]
    pixel = np.dtype((np.void, 3 * shown.itemsize))  # moved as one
    background.reshape(-1).view(pixel)[at] = shown.reshape(-1).view(pixel)
    return background


def _whole(values: NDArray[Any], frame: RenderedView, camera: Camera) -> NDArray[Any]:
    """A window's values in the whole image."""
    image = np.zeros((camera.height, camera.width, *values.shape[2:]), dtype=values.dtype)
    x, y, w, h = frame.window
    image[y : y + h, x : x + w] = values
    return image


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
