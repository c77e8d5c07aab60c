"""What the Earth looks like: a sphere with land, sea, ice, clouds and air, in the sun.

Radiance is in satgen's unit: 1 is white paper that faces the sun, so that a Lambertian ground of
albedo A under the sun's cosine m has A m. The model, here in NumPy without its finest detail and in
`rendering/shaders/earth.frag` with it:

- land and sea from Natural Earth's outlines, the land's colours from NASA's Blue Marble, brought to
  albedo; sea ice by latitude; open water with Cox and Munk's glint at a wind of 7 m/s;
- clouds by a threshold, which follows the climate's zones, of a fractal noise with a seed;
- air: Rayleigh's and a thin haze's first-order scattering with the air masses of a sphere; beyond
  the limb the air along a grazing ray, with a scale height of 8 km.

Axes are the Earth's: z to the north pole, x to the meridian of Greenwich. Lengths are Earth radii.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from satgen import stored
from satgen.colour import srgb_decode
from satgen.geometry import Floats, cross, normalise
from satgen.surroundings.config import EARTH_RADIUS_KM

if TYPE_CHECKING:
    from PIL import Image

DATA = Path(__file__).parent / "data"

NOISE_SIDE = 64
"""Texels along the cube of noise, which repeats."""

CONSTANTS: dict[str, float] = {
    "NOISE_SIDE": float(NOISE_SIDE),
    "ATMOSPHERE": 100.0 / EARTH_RADIUS_KM,  # where the air is taken to end
    "SCALE_HEIGHT": 8.0 / EARTH_RADIUS_KM,
    "GRAZING": math.sqrt(2.0 * math.pi * EARTH_RADIUS_KM / 8.0),  # air masses of a grazing ray
    # Optical depth at 610, 550 and 465 nm: Rayleigh's, and a haze of 0.01.
    "TAU_R": 0.063 + 0.01,
    "TAU_G": 0.097 + 0.01,
    "TAU_B": 0.194 + 0.01,
    "SCATTER_GAIN": 1.2,  # for light scattered more than once
    # Noise: cycles over the Earth's radius, and weights.
    "FLATTEN": 1.6,  # clouds are longer along the parallels
    "F_WARP": 0.8,
    "F_BASE": 0.9,
    "F_MID": 5.3,
    "F_FINE": 37.0,
    "F_FINEST": 260.0,
    "W_MID": 0.6,
    "W_FINE": 0.36,
    "W_FINEST": 0.22,
    "CLEAR": -0.02,
    "CLOUD_WIDTH": 0.30,
    "CLOUD_ALBEDO": 0.72,
    "SEA_R": 0.006,
    "SEA_G": 0.018,
    "SEA_B": 0.045,
    "SLOPE2": 0.003 + 0.00512 * 7.0,
    # Blue Marble is stretched for the eye.
    "SOIL_GAIN": 0.62,
    "SOIL_OFFSET": 0.015,
}
"""The model's numbers, for both its versions."""


@lru_cache(maxsize=1)
def land_map() -> NDArray[np.uint8]:
    """(2048, 4096) uint8, 255 for land; row 0 at the north pole, column 0 at 180° west."""
    return np.asarray(_image("land.png").convert("L"))


@lru_cache(maxsize=1)
def ground_map() -> NDArray[np.uint8]:
    """(512, 1024, 3) uint8, the land's colours, sRGB; placed as `land_map`."""
    return np.asarray(_image("ground.png").convert("RGB"))


def _image(name: str) -> Image.Image:
    from PIL import Image

    return Image.open(DATA / name)


@lru_cache(maxsize=2)
def noise_volume(seed: int) -> NDArray[np.uint8]:
    """(64, 64, 64, 4) uint8: four fields of fractal noise that tile; mean 0.5, deviation 0.16.

    The first two have waves of all lengths, the last two of at most 12 texels.
    """
    n = NOISE_SIDE
    k = np.fft.fftfreq(n, 1.0 / n)
    size = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + np.arange(n // 2 + 1) ** 2)
    size[0, 0, 0] = np.inf
    # Power falls as of a field whose differences grow with the cube root of the distance.
    full = size ** -(1.5 + 1.0 / 3.0)
    # What is repeated many times over the Earth must not show by its longest waves.
    short = np.where(size < 5.0, 0.0, full)
    rng = np.random.default_rng([seed, n])
    fields = []
    for weight in (full, full, short, short):
        field = np.fft.irfftn(np.fft.rfftn(rng.standard_normal((n, n, n))) * weight)
        fields.append(0.5 + 0.16 * field / field.std())
    codes = np.rint(np.clip(np.stack(fields, axis=-1), 0.0, 1.0) * 255.0)
    return np.asarray(codes, dtype=np.uint8)


# --- the coarse Earth -----------------------------------------------------------------------------

MAP_SIZE = (256, 128)
"""Columns and rows of the coarse maps: 156 km at the equator."""

DISC_SAMPLES = 512
"""Rays that the mean over the disc is taken of."""


def _field(
    volume: NDArray[np.uint8], at: Floats, frequency: float, offset: tuple[float, ...]
) -> Floats:
    """Noise (N, C) about zero at points (N, 3), linear between the texels' centres."""
    n = NOISE_SIDE
    place = (at * frequency + np.array(offset)) * n - 0.5
    low = np.floor(place).astype(np.int64)
    share = (place - low).astype(np.float32)
    total = np.zeros((len(at), volume.shape[3]), dtype=np.float32)
    for corner in np.ndindex(2, 2, 2):
        x, y, z = ((low + corner) % n).T
        weight = np.prod(np.where(corner, share, 1.0 - share), axis=1, dtype=np.float32)
        total += weight[:, None] * volume[z, y, x]
    return np.asarray(total / 255.0 - 0.5, dtype=np.float64)


def _texel(
    volume: NDArray[np.uint8], at: Floats, frequency: float, offset: tuple[float, ...]
) -> Floats:
    """Noise (N, C) about zero of the texels that points (N, 3) are in."""
    x, y, z = (np.floor((at * frequency + np.array(offset)) * NOISE_SIDE).astype(int) % 64).T
    return np.asarray(volume[z, y, x] / 255.0 - 0.5)


def _grid(w: int, h: int) -> Floats:
    """Unit vectors (h w, 3) to the middles of a map's cells, row by row."""
    lat = np.pi * (0.5 - (np.arange(h) + 0.5) / h)[:, None]
    lon = 2.0 * np.pi * ((np.arange(w) + 0.5) / w - 0.5)[None, :]
    vectors = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0.0 * lon
    return np.stack(vectors, axis=-1).reshape(-1, 3)


def _smoothstep(low: Floats | float, high: Floats | float, value: Floats) -> Floats:
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


@dataclass(frozen=True)
class CoarseEarth:
    """The Earth without its finest detail: what lights the target.

    Attributes:
        albedo: (128, 256, 3) of the ground and of ice.
        water: (128, 256) share of open water.
        cloud: (128, 256) measure of cloud, 0 to 1: `rendering/shaders/earth.frag` says of what.
    """

    albedo: Floats
    water: Floats
    cloud: Floats

    def radiance(self, n: Floats, direction: Floats, sun: Floats) -> Floats:
        """Radiance (N, 3) of the ground, clouds and air that rays meet.

        Args:
            n: (N, 3) unit vectors from the Earth's centre to where the rays meet it.
            direction: (N, 3) unit vectors of the rays.
            sun: (3,) unit vector to the sun.
        """
        c, (w, h) = CONSTANTS, MAP_SIZE
        column = (np.arctan2(n[:, 1], n[:, 0]) / (2.0 * np.pi) + 0.5) * w
        row = np.arccos(np.clip(n[:, 2], -1.0, 1.0)) / np.pi * h
        at = np.minimum(row.astype(int), h - 1), column.astype(int) % w
        albedo, water, cloud = self.albedo[at], self.water[at], self.cloud[at]
        mu = np.maximum(-np.sum(n * direction, axis=1), 0.0)
        mu_sun = n @ sun
        sunny = np.maximum(mu_sun, 0.0)
        cosine = direction @ sun
        half = normalise(sun - direction)
        nh = np.sum(n * half, axis=1)
        nh2 = np.maximum(nh * nh, 1e-2)
        fresnel = 0.02 + 0.98 * (1.0 - np.maximum(-np.sum(direction * half, axis=1), 0.0)) ** 5
        slope2 = c["SLOPE2"]
        glint = fresnel * np.exp(-(1.0 - nh * nh) / nh2 / slope2)
        glint = glint / (4.0 * slope2 * nh2 * nh2 * np.maximum(mu, 0.05))
        glint = glint * water * _smoothstep(0.0, 0.05, mu_sun)
        below = albedo * sunny[:, None] + glint[:, None]
        thick = c["CLOUD_ALBEDO"] * (0.45 + 0.55 * cloud)
        cover = cloud * (2.0 - cloud)
        m, m_sun = _air_mass(mu)[:, None], _air_mass(mu_sun)[:, None]
        air = np.array([c["TAU_R"], c["TAU_G"], c["TAU_B"]]) * (1.0 - 0.6 * cover[:, None])
        phase = 0.75 * (1.0 + cosine * cosine)[:, None]
        scattered = c["SCATTER_GAIN"] * 0.25 * phase * m / (m + m_sun)
        scattered = scattered * (1.0 - np.exp(-air * (m + m_sun)))
        ground = below + cover[:, None] * ((thick * sunny)[:, None] - below)
        twilight = _smoothstep(-0.10, 0.05, mu_sun)[:, None]
        return np.asarray(ground * np.exp(-0.5 * air * (m + m_sun)) + scattered * twilight)

    def shine(self, up: Floats, sun: Floats, radius: float) -> Floats:
        """Mean radiance (3,) of the Earth's disc as a satellite sees it.

        Args:
            up: (3,) unit vector from the Earth's centre to the satellite.
            sun: (3,) unit vector to the sun.
            radius: distance of the satellite, Earth radii.
        """
        return mean_over_disc(lambda n, d: self.radiance(n, d, sun), up, radius)


@lru_cache(maxsize=2)
def coarse_earth(seed: int) -> CoarseEarth:
    """The coarse Earth of a seed, kept, in the cache folder too."""
    name = stored.name_of("earth", seed)
    found = stored.read(name)
    if found is not None:
        with suppress(TypeError):
            return CoarseEarth(**found[0])
    maps = _maps(seed)
    stored.write(name, maps, None)
    return CoarseEarth(**maps)


def _maps(seed: int) -> dict[str, Floats]:
    """The arrays of a `CoarseEarth`, whose clouds follow from a seed."""
    c, (w, h) = CONSTANTS, MAP_SIZE
    volume, flat = noise_volume(seed), np.array([1.0, 1.0, c["FLATTEN"]])
    n = _grid(w, h)
    warp = _field(volume[..., 1:], n * flat, c["F_WARP"], (0.11, 0.57, 0.31))
    base = _field(volume[..., :1], n * flat + 0.22 * warp, c["F_BASE"], (0.43, 0.19, 0.71))
    mid = _field(volume[..., 1:2], n * flat + 0.05 * warp, c["F_MID"], (0.27, 0.83, 0.05))

    def fourfold(values: Floats) -> Floats:
        """Of each cell, for its four points."""
        return np.asarray(values.reshape(h, w).repeat(2, axis=0).repeat(2, axis=1).reshape(-1))

    # Four points a cell for what is finer than cells.
    n = _grid(2 * w, 2 * h)
    base, mid = fourfold(base), fourfold(mid)
    small = _texel(volume[..., 2], n * flat, c["F_FINE"], (0.61, 0.37, 0.91))
    finest = _texel(volume[..., 3], n, c["F_FINEST"], (0.17, 0.73, 0.53))
    density = base + c["W_MID"] * mid + c["W_FINE"] * small + c["W_FINEST"] * finest
    s = np.abs(n[:, 2])
    threshold = (
        c["CLEAR"]
        + 0.13 * np.exp(-40.0 * (s - 0.36) ** 2)
        - 0.13 * np.exp(-14.0 * (s - 0.84) ** 2)
        - 0.05 * np.exp(-200.0 * s * s)
    )
    cloud = _smoothstep(threshold, threshold + c["CLOUD_WIDTH"], density)
    ice = _smoothstep(0.0, 0.05, np.where(n[:, 2] > 0.0, s - 0.955, s - 0.92) + 0.08 * mid)

    def cells(values: NDArray[Any], rows: int = 2, columns: int = 2) -> Floats:
        """Means over the points of a cell."""
        shape = (h, rows, w, columns, *values.shape[2:])
        return np.asarray(values.reshape(shape).mean(axis=(1, 3)))

    factors = land_map().shape[0] // h, land_map().shape[1] // w
    dry = cells(land_map(), *factors) / 255.0
    factors = ground_map().shape[0] // h, ground_map().shape[1] // w
    soil = cells(srgb_decode(np.arange(256) / 255.0)[ground_map()], *factors)
    soil = soil * c["SOIL_GAIN"] + c["SOIL_OFFSET"]
    frozen = cells(ice.reshape(2 * h, 2 * w))[..., None]
    sea = np.array([c["SEA_R"], c["SEA_G"], c["SEA_B"]])
    sea = sea + frozen * (np.array([0.62, 0.65, 0.67]) - sea)
    albedo = sea + dry[..., None] * (soil - sea)
    water = (1.0 - dry) * (1.0 - frozen[..., 0])
    cloud = cells(cloud.reshape(2 * h, 2 * w))
    return {"albedo": albedo, "water": water, "cloud": cloud}


def mean_over_disc(
    radiance: Callable[[Floats, Floats], Floats],
    up: Floats,
    radius: float,
    samples: int = DISC_SAMPLES,
) -> Floats:
    """Mean over the solid angle of the Earth's disc of what rays from a satellite see.

    Args:
        radiance: of where (N, 3) rays meet the unit sphere, and their directions (N, 3).
        up: (3,) unit vector from the Earth's centre to the satellite.
        radius: its distance, Earth radii.
        samples: rays, spread evenly on a spiral over the disc.
    """
    n, direction = disc_rays(np.asarray(up, dtype=np.float64), radius, samples)
    return np.asarray(np.mean(radiance(n, direction), axis=0))


def disc_rays(up: Floats, radius: float, samples: int = DISC_SAMPLES) -> tuple[Floats, Floats]:
    """Rays from a satellite, each for the same solid angle of the Earth's disc: where they meet
    it, (N, 3), and their directions, (N, 3)."""
    down, right, back, distance = _spiral(radius, samples)
    aside = np.eye(3)[np.argmin(np.abs(up))]
    x = normalise(cross(up, aside))
    y = cross(up, x)
    direction = down * up + right * x + back * y
    return radius * up + distance * direction, direction


@lru_cache(maxsize=8)
def _spiral(radius: float, samples: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Rays to the Earth's disc, kept: their directions' parts along up, across and along the third
    axis, and their lengths, (samples, 1) each."""
    k = np.arange(samples)[:, None] + 0.5
    limb = math.sqrt(1.0 - 1.0 / radius**2)
    cosine = 1.0 - (1.0 - limb) * k / samples  # with nadir
    sine = np.sqrt(1.0 - cosine**2)
    turn = k * (math.pi * (3.0 - math.sqrt(5.0)))
    distance = radius * cosine - np.sqrt(np.maximum(1.0 - (radius * sine) ** 2, 0.0))
    return -cosine, sine * np.cos(turn), sine * np.sin(turn), distance


def _air_mass(cosine: Floats) -> Floats:
    c = np.maximum(cosine, 0.0)
    return np.asarray(1.0 / (c + 0.0286 * np.exp(-8.5 * c)))
