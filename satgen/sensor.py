"""From radiance to pixel values: point spread, exposure, photon and read noise, quantisation.

Everything up to quantisation happens in linear light. Radiance 1 is a white Lambertian surface that
faces the sun; `exposure` maps it to the sensor's full scale, the same for every frame, so that
brightness can be compared along a sequence.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError

LUMA = (0.2126, 0.7152, 0.0722)
"""Rec. 709 weights of linear R, G, B in luminance."""


@dataclass(frozen=True)
class SensorConfig:
    """A camera's sensor.

    Attributes:
        preset: the name it started from.
        exposure: factor from radiance to the share of full scale; values beyond 1 saturate.
        psf_sigma_px: standard deviation of the Gaussian point spread function, pixels; 0 is none.
        full_well: electrons at full scale, which sets photon noise; 0 is none.
        read_noise: standard deviation of the read noise, electrons (of `full_well`).
        black_level: share of full scale added before quantisation, so that noise is not cut off.
        mono: one channel of luminance instead of RGB.
        bit_depth: 8 or 16 bits a channel.
    """

    preset: str = "ideal"
    exposure: float = 0.9
    psf_sigma_px: float = 0.0
    full_well: float = 0.0
    read_noise: float = 0.0
    black_level: float = 0.0
    mono: bool = False
    bit_depth: int = 8

    def __post_init__(self) -> None:
        """Raise InputError where a value describes no sensor."""
        if not (math.isfinite(self.exposure) and self.exposure > 0.0):
            raise InputError(f"exposure {self.exposure}: must be a positive number")
        if self.bit_depth not in (8, 16):
            raise InputError(f"bit depth {self.bit_depth}: must be 8 or 16")
        for name in ("psf_sigma_px", "full_well", "read_noise", "black_level"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise InputError(f"{name} {value}: must be zero or a positive number")
        if self.read_noise > 0.0 and self.full_well == 0.0:
            raise InputError("read noise is given in electrons: it needs a full well above 0")

    @property
    def noisy(self) -> bool:
        """Whether pixel values depend on the random seed."""
        return self.full_well > 0.0

    def to_json(self) -> dict[str, Any]:
        """The `sensor` object of dataset.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SensorConfig:
        """Inverse of `to_json`."""
        return cls(**data)


PRESETS = {
    "ideal": SensorConfig(),
    # A small monochrome navigation camera: 12,000 e- full well, 12 e- read noise, and optics whose
    # point spread has a full width at half maximum of 1.6 pixels.
    "navcam": SensorConfig(
        preset="navcam",
        psf_sigma_px=0.68,
        full_well=12_000.0,
        read_noise=12.0,
        black_level=0.004,
        mono=True,
    ),
}


def sensor_preset(name: str, **changes: Any) -> SensorConfig:
    """A preset by name, with fields replaced.

    Raises:
        InputError: no such preset, or values that describe no sensor.
    """
    if name not in PRESETS:
        raise InputError(f"sensor {name}: must be one of {', '.join(PRESETS)}")
    return replace(PRESETS[name], **changes)


def expose(
    radiance: NDArray[np.float32],
    window: tuple[int, int, int, int],
    size: tuple[int, int],
    sensor: SensorConfig,
    seed: int = 0,
    index: int = 0,
    pixels: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """Pixel values of a rendered window, placed in the whole image.

    Args:
        radiance: (h, w, 3) float32 linear RGB; (K, 3) with `pixels`.
        window: (x, y, w, h) of it in the image.
        size: (W, H) of the image.
        sensor: what turns radiance into values.
        seed, index: the noise of a frame follows from these two alone.
        pixels: (K,) flat indices in the window of the pixels that `radiance` is of; the others are
            black.

    Returns:
        (H, W, 3), or (H, W) with `mono`; uint8 or uint16. Values are sRGB-encoded (IEC 61966-2-1).
    """
    x, y, w, h = window
    if sensor.mono:
        radiance = (radiance @ np.array(LUMA, dtype=np.float32))[..., None]

    def place(values: NDArray[Any]) -> NDArray[Any]:
        image = np.zeros((size[1], size[0], values.shape[-1]), dtype=values.dtype)
        if pixels is None:
            image[y : y + h, x : x + w] = values
        else:
            row, column = np.divmod(pixels, w)
            pixel = np.dtype((np.void, values.itemsize * values.shape[-1]))  # moved as one
            flat = image.reshape(-1).view(pixel)
            flat[(row + y) * size[0] + (column + x)] = values.reshape(-1).view(pixel)
        return image

    if sensor.psf_sigma_px == 0.0 and not sensor.noisy and sensor.black_level == 0.0:
        image = place(_quantise(radiance * np.float32(sensor.exposure), sensor))
    else:
        image = _quantise(_signal(place(radiance), sensor, seed, index), sensor)
    return image[..., 0] if sensor.mono else image


def _signal(
    radiance: NDArray[np.float32], sensor: SensorConfig, seed: int, index: int
) -> NDArray[np.float32]:
    """Share of full scale, blurred and noisy, before quantisation."""
    signal = radiance
    if sensor.psf_sigma_px > 0.0:
        from scipy.ndimage import gaussian_filter

        sigma = (sensor.psf_sigma_px, sensor.psf_sigma_px, 0.0)
        signal = gaussian_filter(signal, sigma, mode="constant", truncate=4.0)
    signal = np.maximum(signal * np.float32(sensor.exposure), np.float32(0.0))
    if sensor.noisy:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
        electrons = rng.poisson(signal * sensor.full_well).astype(np.float32)
        # Photons arrive before the well is full: one that overflows is as full as the next, and
        # the noise that is left is that of reading it.
        np.minimum(electrons, np.float32(sensor.full_well), out=electrons)
        if sensor.read_noise > 0.0:
            noise = rng.standard_normal(electrons.shape, dtype=np.float32)
            electrons += np.float32(sensor.read_noise) * noise
        signal = electrons / np.float32(sensor.full_well)
    return np.asarray(signal + np.float32(sensor.black_level), dtype=np.float32)


def _quantise(signal: NDArray[np.float32], sensor: SensorConfig) -> NDArray[Any]:
    if sensor.bit_depth == 16:
        encoded = srgb_encode(np.clip(signal, 0.0, 1.0).astype(np.float64))
        return np.rint(encoded * 65535.0).astype(np.uint16)
    # Through 65,536 linear levels: 20 of them to the darkest step of an 8-bit sRGB value.
    level = np.clip(signal * np.float32(65535.0) + np.float32(0.5), 0.0, 65535.0)
    return np.asarray(np.take(_srgb_table(), level.astype(np.uint16)))


@lru_cache(maxsize=1)
def _srgb_table() -> NDArray[np.uint8]:
    return np.rint(srgb_encode(np.arange(65536) / 65535.0) * 255.0).astype(np.uint8)


def srgb_encode(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB transfer function (IEC 61966-2-1), 0..1 to 0..1."""
    return np.where(
        linear <= 0.0031308,
        12.92 * linear,
        1.055 * np.maximum(linear, 0.0031308) ** (1.0 / 2.4) - 0.055,
    )
