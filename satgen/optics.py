"""What a lens does to light on its way to the pixels, and how much of it there is.

Vignetting, point spread, bloom and veiling glare are linear in radiance. Glare and bloom take the
light that they spread from where it was; only what falls out of the image is lost.

How much light: the sun above the atmosphere, a black body of 5772 K (IAU 2015) whose disc covers
6.794e-5 sr, between 400 and 700 nm. A white Lambertian surface that faces it has a photon radiance
of 1/pi of that irradiance, and a lens of f-number N collects from it pi / (4 N² + 1) of the
radiance, on its axis (EMVA 1288, release 4, and any book on optics).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.errors import InputError

BAND_NM = (400.0, 700.0)


@dataclass(frozen=True)
class Optics:
    """What happens to light before it is detected; fields as `satgen.sensor.SensorConfig`."""

    psf_sigma_px: float
    vignetting: float
    mechanical_vignetting: float
    glare: float
    bloom: float
    bloom_sigma_px: float

    @property
    def clear(self) -> bool:
        """Whether nothing happens to it."""
        return not any(
            (self.psf_sigma_px, self.vignetting, self.mechanical_vignetting, self.glare, self.bloom)
        )

    def apply(self, radiance: NDArray[np.float32], camera: Camera | None) -> NDArray[np.float32]:
        """Radiance as it falls on the pixels.

        Args:
            radiance: (H, W, C) float32.
            camera: of that size, for vignetting.

        Raises:
            InputError: vignetting without a camera.
        """
        light = radiance
        if self.vignetting > 0.0 or self.mechanical_vignetting > 0.0:
            if camera is None:
                raise InputError("vignetting: needs the camera's intrinsics")
            light = light * _falloff(camera, self.vignetting, self.mechanical_vignetting)[..., None]
        if self.psf_sigma_px > 0.0:
            light = _spread(light, self.psf_sigma_px)
        if self.bloom > 0.0:
            kept, halo = np.float32(1.0 - self.bloom), np.float32(self.bloom)
            light = kept * light + halo * _spread(light, self.bloom_sigma_px)
        if self.glare > 0.0:
            veil = light.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
            light = np.float32(1.0 - self.glare) * light + np.float32(self.glare) * veil
        return light


def _spread(light: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    out = gaussian_filter(light, (sigma, sigma, 0.0), mode="constant", truncate=4.0)
    return np.asarray(out, dtype=np.float32)


@lru_cache(maxsize=2)
def _falloff(camera: Camera, exponent: float, mechanical: float) -> NDArray[np.float32]:
    """Share (H, W) of the light on the axis that each pixel gets."""
    rays = camera.rays()
    radius2 = rays[..., 0] ** 2 + rays[..., 1] ** 2
    share = (1.0 + radius2) ** (-0.5 * exponent)
    corner = float(radius2.max())
    if corner > 0.0:
        share *= 1.0 - mechanical * (radius2 / corner) ** 2
    return np.asarray(share, dtype=np.float32)


def photons_per_second(f_number: float, pixel_um: float) -> float:
    """Photons that a pixel on the axis gets each second of white paper in the sun."""
    area = (pixel_um * 1e-6) ** 2
    return sunlight() / (4.0 * f_number**2 + 1.0) * area


@lru_cache(maxsize=1)
def sunlight() -> float:
    """Photon irradiance of the sun at one astronomical unit in `BAND_NM`, per second and m²."""
    h, c, k, temperature = 6.62607015e-34, 299792458.0, 1.380649e-23, 5772.0
    solid_angle = math.pi * (695_700e3 / 149_597_870_700.0) ** 2
    wavelength = np.linspace(BAND_NM[0], BAND_NM[1], 3001) * 1e-9
    # Planck's law in photons: 2 c / lambda^4 / (exp(hc / lambda k T) - 1), per m of wavelength
    exponent = h * c / (wavelength * k * temperature)
    radiance = 2.0 * c / wavelength**4 / np.expm1(exponent)
    middle = (radiance[1:] + radiance[:-1]) / 2.0
    return float(middle.sum() * (wavelength[1] - wavelength[0]) * solid_angle)
