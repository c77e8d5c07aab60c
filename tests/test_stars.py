"""satgen.surroundings.stars: against what is known of the sky."""

from __future__ import annotations

import math

import numpy as np
import pytest

from satgen.camera import Camera
from satgen.colour import LUMA
from satgen.surroundings.stars import load_stars, star_image


def at(hours: float, minutes: float, degrees: float, arc: float) -> np.ndarray:
    """Unit vector of textbook coordinates."""
    ra, dec = (
        math.radians(15.0 * (hours + minutes / 60.0)),
        math.radians(math.copysign(abs(degrees) + arc / 60.0, degrees)),
    )
    return np.array([math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)])


KNOWN = {  # J2000 position and V, from any almanac
    "Sirius": (at(6, 45.15, -16, 42.97), -1.46),
    "Canopus": (at(6, 23.95, -52, 41.7), -0.72),
    "Arcturus": (at(14, 15.66, 19, 10.9), -0.05),
    "Vega": (at(18, 36.94, 38, 47.0), 0.03),
    "Betelgeuse": (at(5, 55.17, 7, 24.4), 0.45),
    "Rigel": (at(5, 14.54, -8, 12.1), 0.18),
    "Polaris": (at(2, 31.8, 89, 15.8), 1.98),
    "Dubhe": (at(11, 3.73, 61, 45.0), 1.81),
    "Merak": (at(11, 1.84, 56, 22.9), 2.34),
}


def nearest(direction: np.ndarray) -> int:
    return int(np.argmax(load_stars().direction @ direction))


def test_the_bright_stars_are_where_almanacs_have_them() -> None:
    stars = load_stars()
    assert 8500 < len(stars.magnitude) < 9500 and (np.diff(stars.magnitude) >= 0.0).all()
    for name, (direction, magnitude) in KNOWN.items():
        found = nearest(direction)
        apart = math.degrees(math.acos(min(stars.direction[found] @ direction, 1.0)))
        assert apart < 0.02, name
        assert stars.magnitude[found] == pytest.approx(magnitude, abs=0.15), name
    pointers = [stars.direction[nearest(KNOWN[n][0])] for n in ("Dubhe", "Merak")]
    assert math.degrees(math.acos(pointers[0] @ pointers[1])) == pytest.approx(5.374, abs=0.01)
    red, blue = (stars.irradiance[nearest(KNOWN[n][0])] for n in ("Betelgeuse", "Rigel"))
    assert red[0] / red[2] > 1.7 and blue[0] / blue[2] < 0.9


def facing(direction: np.ndarray) -> np.ndarray:
    """A rotation of camera axes to equatorial ones with the optical axis that way."""
    x = np.cross([0.0, 0.0, 1.0], direction)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(direction, x), direction], axis=1)


def test_a_star_of_magnitude_0_is_a_ten_thousandth_of_white_paper_in_a_pixel() -> None:
    camera = Camera.from_fov(512, 512, 20.0)
    turn = facing(KNOWN["Vega"][0])
    image = star_image(camera, turn)
    assert image is not None and image.shape == (512, 512, 3)
    around = image[248:264, 248:264] @ np.array(LUMA)
    total = around.sum()
    # All of its light, over pixels: 2e-11 of the sun's, pi, over a pixel's solid angle.
    pixel = 1.0 / camera.fx**2
    assert total == pytest.approx(math.pi * 10 ** (-0.4 * (0.04 + 26.74)) / pixel, rel=0.05)
    assert 0.2 * total < around.max() < 0.7 * total
    rows, columns = np.mgrid[248:264, 248:264]
    centre = np.array([(around * columns).sum(), (around * rows).sum()]) / total
    star = load_stars().direction[nearest(KNOWN["Vega"][0])]
    assert centre == pytest.approx(camera.project((star @ turn)[None])[0], abs=0.02)
    assert star_image(camera, turn, least=1.0) is None


def test_the_sky_is_whole_at_the_images_edge_and_turns_with_the_camera() -> None:
    camera = Camera.from_fov(300, 200, 40.0)
    turn = facing(KNOWN["Betelgeuse"][0])
    image = star_image(camera, turn)
    half = star_image(camera, turn @ np.diag([-1.0, -1.0, 1.0]))  # rolled by half a turn
    assert image is not None and half is not None
    assert np.abs(half[::-1, ::-1] - image).max() < 1e-6 * image.max()
    lit = (image.sum(axis=-1) > 0).reshape(2, 100, 3, 100).any(axis=(1, 3))
    assert lit.all()
