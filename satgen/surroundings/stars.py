"""The stars that eyes can see, as points of light: where they are, how bright and of what colour.

From ESA's Hipparcos catalogue (van Leeuwen's reduction), 9,096 stars brighter than V = 6.5, at the
epoch 2000.0; `tools/build_surroundings.py` makes the table. Directions are equatorial (J2000).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.colour import LUMA
from satgen.geometry import Floats
from satgen.surroundings.earth import DATA

SUN_MAGNITUDE = -26.74
"""The sun's V: a star of it would give the irradiance pi of white paper's radiance 1."""

SPREAD_PX = 0.5
"""Standard deviation of the Gaussian that a star is drawn as, over pixels that are squares: the
sharpest that a lens makes. The sensor's own point spread comes on top."""

_REACH = 3
_SUN_KELVIN = 5772.0
_BANDS_NM = (610.0, 550.0, 465.0)


@dataclass(frozen=True)
class Stars:
    """N stars, brightest first.

    Attributes:
        direction: (N, 3) unit vectors, equatorial axes.
        magnitude: (N,) V.
        irradiance: (N, 3) linear RGB, where the sun's is pi.
    """

    direction: Floats
    magnitude: Floats
    irradiance: Floats


@lru_cache(maxsize=1)
def load_stars() -> Stars:
    """All of them."""
    with np.load(DATA / "stars.npz") as table:
        ra, dec = table["ra"].astype(float), table["dec"].astype(float)
        magnitude, colour = table["v_centi"] / 100.0, table["bv_centi"] / 100.0
    level = np.cos(dec)
    direction = np.stack([level * np.cos(ra), level * np.sin(ra), np.sin(dec)], axis=-1)
    # Ballesteros (EPL 97, 2012): temperature of the black body with that B - V.
    kelvin = 4600.0 * (1.0 / (0.92 * colour + 1.7) + 1.0 / (0.92 * colour + 0.62))
    wave = 1.438777e7 / np.array(_BANDS_NM)  # hc / lambda k, kelvin
    tint = np.expm1(wave / _SUN_KELVIN) / np.expm1(wave / kelvin[:, None])
    tint /= (tint @ np.array(LUMA))[:, None]
    irradiance = math.pi * 10.0 ** (-0.4 * (magnitude - SUN_MAGNITUDE))
    return Stars(direction, magnitude, irradiance[:, None] * tint)


def star_image(
    camera: Camera, sky_from_cam: Floats, least: float = 0.0
) -> NDArray[np.float32] | None:
    """Radiance (H, W, 3) float32 of the stars before a camera; None if there are none.

    Args:
        camera: looks.
        sky_from_cam: (3, 3) rotation of camera axes to equatorial ones.
        least: radiance of a star's brightest pixel below which it is left out.
    """
    stars = load_stars()
    seen = stars.direction @ sky_from_cam  # in camera axes
    # A pixel's solid angle, smaller away from the axis.
    slant = np.maximum(seen[:, 2], 0.0)
    radiance = stars.irradiance * (camera.fx * camera.fy / np.maximum(slant, 1e-3) ** 3)[:, None]
    peak = math.erf(0.5 / (SPREAD_PX * math.sqrt(2.0))) ** 2
    right, low = camera.width - 1, camera.height - 1
    corner = camera.rays_at([[0, 0], [right, 0], [0, low], [right, low]])
    reach = np.min(1.0 / np.linalg.norm(corner, axis=1)) - 0.02
    chosen = np.flatnonzero((slant > max(reach, 1e-3)) & (radiance.max(axis=1) * peak > least))
    uv = camera.project(seen[chosen])
    inside = (uv > -1.0 - _REACH).all(axis=1)
    inside &= (uv < np.array([camera.width, camera.height]) + _REACH).all(axis=1)
    if not inside.any():
        return None
    uv, radiance = uv[inside], radiance[chosen[inside]]
    image = np.zeros((camera.height, camera.width, 3), dtype=np.float32)
    whole = np.rint(uv).astype(np.int64)
    steps = np.arange(-_REACH, _REACH + 1)
    share_x, share_y = (_shares(steps[None, :] + (whole - uv)[:, [k]]) for k in (0, 1))
    light = share_y[:, :, None, None] * share_x[:, None, :, None] * radiance[:, None, None, :]
    rows = whole[:, 1, None, None] + steps[None, :, None] + 0 * steps[None, None, :]
    columns = whole[:, 0, None, None] + steps[None, None, :] + 0 * steps[None, :, None]
    within = (rows >= 0) & (rows < camera.height) & (columns >= 0) & (columns < camera.width)
    np.add.at(image, (rows[within], columns[within]), light[within].astype(np.float32))
    return image


def _shares(offset: Floats) -> Floats:
    """Share of a star's light, in one direction, of pixels whose centres are `offset` from it."""
    from scipy.special import erf

    scale = 1.0 / (SPREAD_PX * math.sqrt(2.0))
    return np.asarray(0.5 * (erf((offset + 0.5) * scale) - erf((offset - 0.5) * scale)))
