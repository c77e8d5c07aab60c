"""What the camera sees behind the target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from satgen.config import RenderConfig
from satgen.surroundings.earth import CONSTANTS
from satgen.surroundings.stars import star_image

if TYPE_CHECKING:
    from satgen.frame_maker import Viewpoint
    from satgen.rendering.sky import EarthRenderer


class Background:
    """Draws the background of a dataset's frames; holds an OpenGL context where there is an Earth.

    Args:
        config: of the dataset.
        platform: the OpenGL platform; by default the first that answers.
    """

    def __init__(self, config: RenderConfig, platform: str | None = None) -> None:
        self._camera = config.camera
        self._radius = config.surroundings.radius
        self._kind = config.surroundings.background
        # A quarter of the darkest step of the image's values.
        sensor = config.sensor
        metering = config.metering
        exposure = sensor.exposure if metering is None else metering.brightest
        self._faintest = 0.25 / (12.92 * (2**sensor.bit_depth - 1) * exposure)
        self._earth: EarthRenderer | None = None
        if self._kind == "earth":
            from satgen.rendering.sky import EarthRenderer

            self._earth = EarthRenderer(
                config.camera,
                config.seed,
                float32=config.sensor.bit_depth > 8,
                platform=platform,
            )
            # Of the optical axis and the farthest corner of the image.
            rays = config.camera.rays()
            self._reach = float(np.arctan(np.hypot(rays[..., 0], rays[..., 1]).max()))
            air = (1.0 + CONSTANTS["ATMOSPHERE"]) / self._radius
            self._limb = math.asin(min(air, 1.0))

    def close(self) -> None:
        """Release the OpenGL context."""
        if self._earth is not None:
            self._earth.close()

    def draw(self, view: Viewpoint) -> NDArray[np.float32] | None:
        """Radiance (H, W, 3) float32 of the background, of no other's memory; None if black."""
        if self._kind == "black":
            return None
        drawn = self._draw_earth(view)
        if drawn is None:
            return star_image(self._camera, view.sky_from_cam, self._faintest)
        earth, share = drawn
        if share is None:
            return earth
        stars = star_image(self._camera, view.sky_from_cam, self._faintest)
        return earth if stars is None else earth + (1.0 - share)[..., None] * stars

    def _draw_earth(
        self, view: Viewpoint
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None] | None:
        """The Earth as `EarthRenderer.draw` has it; None if it is not in view."""
        if self._earth is None:
            return None
        angle = math.acos(min(max(float(view.earth[2]), -1.0), 1.0))
        if angle > self._limb + self._reach:
            return None
        return self._earth.draw(view.ground_from_cam, view.sun, view.earth, self._radius)
