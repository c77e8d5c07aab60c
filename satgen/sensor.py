"""From radiance to pixel values: optics, exposure, photons, electrons, counts (after EMVA 1288).

Light first: vignetting, point spread, bloom and veiling glare change what falls on each pixel.
Radiance 1 is a white Lambertian surface that faces the sun, and `exposure` maps it to the
share of the sensor's full scale, the same for every frame, so that brightness can be compared along
a sequence. The detector follows EMVA 1288's linear model: photons and dark current are drawn
(Poisson), what overflows the full well is lost, reading adds its noise and the fixed patterns, the
gain and the black level bring electrons to the converter, which clips and rounds. A last step
encodes with sRGB's curve, as pictures have it, or leaves the counts linear.

Noise follows from seed, index and the camera's serial number alone, fixed patterns from the serial
number: they are the same in every frame.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.colour import LUMA, srgb_encode
from satgen.errors import InputError
from satgen.geometry import moved
from satgen.optics import Optics, photons_per_second
from satgen.reading import read_json

BIT_DEPTHS = (8, 10, 12, 16)
CURVES = ("srgb", "linear")


@dataclass(frozen=True)
class SensorConfig:
    """A camera's sensor, and its optics as far as they concern light.

    Attributes:
        preset: the name it started from.
        exposure: factor from radiance to the share of full scale; values beyond 1 saturate.
        psf_sigma_px: standard deviation of the Gaussian point spread function, pixels; 0 is none.
        full_well: electrons that a pixel holds, which sets photon noise; 0 is none.
        read_noise: standard deviation of the read noise, electrons.
        black_level: share of full scale added before quantisation, so that noise is not cut off.
        mono: one channel of luminance instead of RGB.
        bit_depth: 8, 10, 12 or 16 bits a channel; 10 and 12 are kept in 16-bit images, stretched
            to their full range: count n of b bits as round(65535 n / (2**b - 1)).
        curve: "srgb" or "linear".
        exposure_time_s: seconds that the shutter is open: dark current and motion blur; 0 is an
            instant.
        f_number: focal length over aperture; with it, pixel_um and an exposure time the exposure
            can follow from the light (`physical_exposure`). 0: not known.
        pixel_um: side of a pixel, micrometres; 0: not known.
        quantum_efficiency: electrons a photon.
        gain: analogue gain: full scale is full_well / gain electrons.
        dark_current: electrons a second and pixel.
        dsnu: standard deviation of the pixels' dark offsets, electrons (EMVA's DSNU).
        prnu: relative standard deviation of their response (EMVA's PRNU).
        hot_pixels: share of pixels whose dark current is `HOT` times the mean, on average.
        vignetting: exponent n of the cosine by which light falls off from the axis; 4 is the
            natural law, 0 none.
        mechanical_vignetting: share of the light at the image's corner that the lens's rims take
            besides, growing with the fourth power of the radius.
        glare: share of the light that is scattered evenly over the image.
        bloom: share of the light that goes to a wide halo.
        bloom_sigma_px: its standard deviation, pixels.
        serial: number of this specimen of the camera, from which fixed patterns follow.
    """

    preset: str = "ideal"
    exposure: float = 0.9
    psf_sigma_px: float = 0.0
    full_well: float = 0.0
    read_noise: float = 0.0
    black_level: float = 0.0
    mono: bool = False
    bit_depth: int = 8
    curve: str = "srgb"
    exposure_time_s: float = 0.0
    f_number: float = 0.0
    pixel_um: float = 0.0
    quantum_efficiency: float = 1.0
    gain: float = 1.0
    dark_current: float = 0.0
    dsnu: float = 0.0
    prnu: float = 0.0
    hot_pixels: float = 0.0
    vignetting: float = 0.0
    mechanical_vignetting: float = 0.0
    glare: float = 0.0
    bloom: float = 0.0
    bloom_sigma_px: float = 8.0
    serial: int = 0

    def __post_init__(self) -> None:
        """Raise InputError where a value describes no sensor."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, int) and abs(value) > _MOST:
                raise InputError(f"{item.name} {value:d}: must be at most {_MOST:g}")
        if not (math.isfinite(self.exposure) and self.exposure > 0.0):
            raise InputError(f"exposure {self.exposure}: must be a positive number")
        if self.bit_depth not in BIT_DEPTHS:
            depths = ", ".join(map(str, BIT_DEPTHS[:-1]))
            raise InputError(f"bit depth {self.bit_depth}: must be {depths} or {BIT_DEPTHS[-1]}")
        if self.curve not in CURVES:
            raise InputError(f"curve {self.curve}: must be {' or '.join(CURVES)}")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise InputError(f"{name} {value}: must be zero or a positive number")
        for name in _SHARES:
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise InputError(f"{name} {value}: must be at least 0 and below 1")
        if not 0.0 < self.quantum_efficiency <= 1.0:
            raise InputError(
                f"quantum_efficiency {self.quantum_efficiency}: must be above 0 and at most 1"
            )
        if not (math.isfinite(self.gain) and self.gain > 0.0):
            raise InputError(f"gain {self.gain}: must be a positive number")
        if self.full_well == 0.0:
            for name, what in _IN_ELECTRONS.items():
                if getattr(self, name) > 0.0:
                    raise InputError(f"{what} is given in electrons: it needs a full well above 0")

    @property
    def noisy(self) -> bool:
        """Whether pixel values depend on the random seed."""
        return self.full_well > 0.0

    @property
    def quiet(self) -> SensorConfig:
        """The same sensor without noise and fixed patterns."""
        return replace(
            self,
            full_well=0.0,
            read_noise=0.0,
            dark_current=0.0,
            dsnu=0.0,
            prnu=0.0,
            hot_pixels=0.0,
        )

    @property
    def stored_bits(self) -> int:
        """Bits a channel of the image files: 8 or 16."""
        return 8 if self.bit_depth == 8 else 16

    @property
    def optics(self) -> Optics:
        """What happens to the light before it is detected."""
        return Optics(
            self.psf_sigma_px,
            self.vignetting,
            self.mechanical_vignetting,
            self.glare,
            self.bloom,
            self.bloom_sigma_px,
        )

    @property
    def physical_exposure(self) -> float | None:
        """The exposure that white paper in the sun gives this aperture, time and pixel.

        None where one of them is not known, or no full well. See `satgen.optics`.
        """
        known = (self.f_number, self.pixel_um, self.exposure_time_s, self.full_well)
        if not all(value > 0.0 for value in known):
            return None
        photons = photons_per_second(self.f_number, self.pixel_um) * self.exposure_time_s
        return photons * self.quantum_efficiency * self.gain / self.full_well

    def lit(self) -> SensorConfig:
        """The same sensor with its physical exposure, where that is known."""
        exposure = self.physical_exposure
        return self if exposure is None else replace(self, exposure=exposure)

    def to_json(self) -> dict[str, Any]:
        """The `sensor` object of dataset.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SensorConfig:
        """Inverse of `to_json`; before version 3 of the format the later fields were not there."""
        return cls(**data)


_MOST = 1e9
"""The largest whole number that a field may be; beyond floats there are more."""

_NOT_NEGATIVE = (
    *("psf_sigma_px", "full_well", "read_noise", "black_level", "exposure_time_s", "f_number"),
    *("pixel_um", "dark_current", "dsnu", "prnu", "vignetting", "bloom_sigma_px", "serial"),
)
_SHARES = ("hot_pixels", "mechanical_vignetting", "glare", "bloom")
_IN_ELECTRONS = {"read_noise": "read noise", "dark_current": "dark current", "dsnu": "DSNU"}

_PHYSICAL = {
    *("f_number", "pixel_um", "exposure_time_s", "full_well", "quantum_efficiency", "gain"),
}
"""Fields that an exposure can follow from."""

HOT = 100.0
"""Mean dark current of a hot pixel, as a multiple of the others'."""

PRESETS = {
    "ideal": SensorConfig(),
    "navcam": SensorConfig(
        preset="navcam",
        psf_sigma_px=0.68,
        full_well=12_000.0,
        read_noise=12.0,
        black_level=0.004,
        mono=True,
    ),
    "imx174": SensorConfig(
        preset="imx174",
        psf_sigma_px=0.5,
        full_well=32_500.0,
        read_noise=7.0,
        black_level=0.01,
        mono=True,
        bit_depth=12,
        curve="linear",
        exposure_time_s=2e-4,
        f_number=8.0,
        pixel_um=5.86,
        quantum_efficiency=0.76,
        dark_current=5.0,
        dsnu=1.5,
        prnu=0.006,
        hot_pixels=1e-5,
        vignetting=4.0,
        glare=0.01,
        bloom=0.01,
        bloom_sigma_px=6.0,
    ).lit(),
    "cmv4000": SensorConfig(
        preset="cmv4000",
        psf_sigma_px=0.6,
        full_well=13_500.0,
        read_noise=13.0,
        black_level=0.01,
        mono=True,
        bit_depth=10,
        curve="linear",
        exposure_time_s=1.2e-4,
        f_number=8.0,
        pixel_um=5.5,
        quantum_efficiency=0.6,
        dark_current=125.0,
        dsnu=10.0,
        prnu=0.01,
        hot_pixels=1e-4,
        vignetting=4.0,
        glare=0.02,
        bloom=0.02,
        bloom_sigma_px=8.0,
    ).lit(),
}
"""Cameras by name; white paper in the sun comes to about 0.9 of full scale with each.

- ideal: no noise, no optics.
- navcam: a small monochrome navigation camera of no particular make: 12,000 e- full well, 12 e-
  read noise, and a point spread with a full width at half maximum of 1.6 pixels.
- imx174: Sony IMX174 in Point Grey's Grasshopper 3 GS3-U3-23S6M, 5.86 um, 12 bits. EMVA 1288
  figures of the maker's "Mono Camera Sensor Performance Review": quantum efficiency 76 % at 525 nm,
  saturation capacity 32.5 ke-, temporal dark noise 7 e-.
- cmv4000: ams (CMOSIS) CMV4000, 2048 x 2048 of 5.5 um, global shutter, flown on small satellites.
  Data sheet: full well 13.5 ke-, dark noise 13 e-, dark current 125 e-/s at 25 C, quantum
  efficiency 60 % at 550 nm, PRNU below 1 %, fixed pattern noise below 0.1 % of full swing, 10 or
  12 bits.

The figures are rounded. imx174's agree with a published measurement (32,691 e-, 6.83 e-, 77 % at
525 nm: fhotolab.fherb.de, 2016); cmv4000's are those of the maker's data sheet (version 2.13) as
remembered, and were not checked against it. What no sheet states (imx174's non-uniformities and
dark current, hot pixels, point spread, vignetting, halo and glare, aperture and time of both) is
assumed, and of usual size.
"""


def sensor_preset(name: str, **changes: Any) -> SensorConfig:
    """A preset by name, with fields replaced.

    Raises:
        InputError: no such preset, or values that describe no sensor.
    """
    if name not in PRESETS:
        raise InputError(f"sensor {name}: must be one of {', '.join(PRESETS)}")
    return with_changes(PRESETS[name], changes)


def read_sensor(path: Path) -> SensorConfig:
    """A sensor from a JSON file of `SensorConfig`'s fields; "preset" names what it starts from.

    Raises:
        InputError: the file cannot be read, or describes no sensor.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: must be an object of a sensor's fields")
    changes = dict(data)
    name = changes.pop("preset", "ideal")
    try:
        if name not in PRESETS:
            raise InputError(f"preset {name}: must be one of {', '.join(PRESETS)}")
        unknown = sorted(set(changes) - {item.name for item in fields(SensorConfig)})
        if unknown:
            raise InputError(f"a sensor has no {', '.join(unknown)}")
        return with_changes(PRESETS[name], changes)
    except (InputError, TypeError) as error:
        raise InputError(f"{path}: {error}") from None


def with_changes(sensor: SensorConfig, changes: dict[str, Any]) -> SensorConfig:
    """A sensor with fields replaced. Its exposure follows anew from aperture, time and pixel where
    one of these is replaced and all are known, unless an exposure is given."""
    new = replace(sensor, **changes)
    return new.lit() if _PHYSICAL & set(changes) and "exposure" not in changes else new


def expose(
    radiance: NDArray[np.float32],
    window: tuple[int, int, int, int],
    size: tuple[int, int],
    sensor: SensorConfig,
    seed: int = 0,
    index: int = 0,
    pixels: NDArray[np.int64] | None = None,
    camera: Camera | None = None,
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
        camera: of that size, for vignetting.

    Returns:
        (H, W, 3), or (H, W) with `mono`; uint8 or uint16, sRGB-encoded (IEC 61966-2-1) or linear by
        the sensor's curve.
    """
    x, y, w, h = window
    if sensor.mono:
        radiance = (radiance @ np.array(LUMA, dtype=np.float32))[..., None]

    def place(values: NDArray[Any]) -> NDArray[Any]:
        image = np.zeros((size[1], size[0], values.shape[-1]), dtype=values.dtype)
        if pixels is None:
            image[y : y + h, x : x + w] = values
        else:
            pixel = np.dtype((np.void, values.itemsize * values.shape[-1]))  # moved as one
            flat = image.reshape(-1).view(pixel)
            flat[moved(pixels, window, (0, 0, *size))] = values.reshape(-1).view(pixel)
        return image

    black = sensor.black_level == 0.0 and sensor.prnu == 0.0 and not sensor.noisy
    if black and sensor.optics.clear:
        image = place(_quantise(radiance, sensor, sensor.exposure))
    else:
        light = sensor.optics.apply(place(radiance), camera)
        image = _quantise(_signal(light, sensor, seed, index), sensor)
    return image[..., 0] if sensor.mono else image


def _signal(
    light: NDArray[np.float32], sensor: SensorConfig, seed: int, index: int
) -> NDArray[np.float32]:
    """Share of full scale, noisy, before quantisation."""
    signal = np.maximum(light * np.float32(sensor.exposure), np.float32(0.0))
    pattern = None
    if sensor.prnu > 0.0 or sensor.dsnu > 0.0 or sensor.hot_pixels > 0.0:
        pattern = _pattern(sensor.serial, light.shape, sensor.hot_pixels)
        signal *= np.maximum(1.0 + np.float32(sensor.prnu) * pattern.response, 0.0)
    if sensor.noisy:
        draws = [seed, index, sensor.serial] if sensor.serial else [seed, index]
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(draws)))
        scale = sensor.full_well / sensor.gain  # electrons at full scale
        mean = signal * scale
        dark = sensor.dark_current * sensor.exposure_time_s
        if dark > 0.0:
            mean += np.float32(dark) if pattern is None else np.float32(dark) * pattern.heat
        electrons = rng.poisson(mean).astype(np.float32)
        # Photons arrive before the well is full: one that overflows is as full as the next, and
        # the noise that is left is that of reading it.
        np.minimum(electrons, np.float32(sensor.full_well), out=electrons)
        if sensor.read_noise > 0.0:
            noise = rng.standard_normal(electrons.shape, dtype=np.float32)
            electrons += np.float32(sensor.read_noise) * noise
        if pattern is not None and sensor.dsnu > 0.0:
            electrons += np.float32(sensor.dsnu) * pattern.offset
        signal = electrons / np.float32(scale)
    return np.asarray(signal + np.float32(sensor.black_level), dtype=np.float32)


@dataclass(frozen=True)
class _Pattern:
    """What differs from pixel to pixel of a specimen: standard normal response and offset, and the
    dark current as a multiple of the mean."""

    response: NDArray[np.float32]
    offset: NDArray[np.float32]
    heat: NDArray[np.float32]


@lru_cache(maxsize=2)
def _pattern(serial: int, shape: tuple[int, ...], hot: float) -> _Pattern:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_PATTERNS, serial])))
    response = rng.standard_normal(shape, dtype=np.float32)
    offset = rng.standard_normal(shape, dtype=np.float32)
    chosen, multiple = rng.random(shape), rng.exponential(HOT, shape)
    heat = np.where(chosen < hot, multiple, 1.0).astype(np.float32)
    return _Pattern(response, offset, heat)


_PATTERNS = 1288
"""Sets the draws of fixed patterns apart from those of noise."""


def _quantise(signal: NDArray[np.float32], sensor: SensorConfig, gain: float = 1.0) -> NDArray[Any]:
    """Pixel values of a share of full scale, which is multiplied with `gain` first."""
    if sensor.bit_depth == 8:
        # Through 65,536 linear levels: 20 of them to the darkest step of an 8-bit sRGB value.
        table = _table(sensor.curve)
        values = np.empty(signal.shape, dtype=np.uint8)
        flat, coded = np.ascontiguousarray(signal).reshape(-1), values.reshape(-1)
        # A few at a time: large temporary arrays cost more than the sums.
        for start in range(0, flat.size, _BAND):
            band = slice(start, start + _BAND)
            level = flat[band] * np.float32(gain)
            level *= np.float32(65535.0)
            level += np.float32(0.5)
            np.clip(level, 0.0, 65535.0, out=level)
            np.take(table, level.astype(np.uint16), out=coded[band], mode="clip")
        return values
    share = np.clip(signal * np.float32(gain), 0.0, 1.0).astype(np.float64)
    if sensor.curve == "srgb":
        share = srgb_encode(share)
    most = float(2**sensor.bit_depth - 1)
    return np.asarray(np.rint(np.rint(share * most) * (65535.0 / most)), dtype=np.uint16)


_BAND = 1 << 14
"""Values that are quantised at a time."""


@lru_cache(maxsize=2)
def _table(curve: str) -> NDArray[np.uint8]:
    """Eight-bit values of 65,536 linear levels."""
    linear = np.arange(65536) / 65535.0
    return np.rint((srgb_encode(linear) if curve == "srgb" else linear) * 255.0).astype(np.uint8)
