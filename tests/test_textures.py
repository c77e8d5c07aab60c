"""satgen.modelling.textures and materials: seamless, repeatable, true to their height fields."""

from __future__ import annotations

import numpy as np
import pytest

from satgen.modelling import textures as t
from satgen.modelling.materials import CELLS, MATERIALS

N = 128

DRAW = {
    "mli": lambda: t.mli(N, 3, 2.0, (0.9, 0.7, 0.3), (0.8, 0.6, 0.3), 0.95, (0.13, 0.2)),
    "cloth": lambda: t.cloth(N, 3, 1.6, (0.9, 0.9, 0.88)),
    "solar_cells": lambda: t.solar_cells(N, 8, 3),
    "panel_back": lambda: t.panel_back(N, 3, 1.5),
    "cfrp": lambda: t.cfrp(N, 3),
    "paint": lambda: t.paint(N, 3, 1.5, (0.9, 0.9, 0.9), 0.6),
    "osr": lambda: t.osr(N, 16, 3),
    "metal": lambda: t.metal(N, 3, 1.0, (0.8, 0.8, 0.8), 0.4),
    "labels": lambda: t.labels(N, 3),
    "harness": lambda: t.harness(N, 3, 0.32),
    "rough_black": lambda: t.rough_black(N, 3, 0.1),
}


@pytest.mark.parametrize("name", DRAW)
def test_textures_repeat_exactly_and_have_structure(name: str) -> None:
    first, second = DRAW[name](), DRAW[name]()
    for a, b in zip(first, second, strict=True):
        assert a.dtype == np.uint8
        assert a.ndim == 3
        assert a.shape[0] == a.shape[1]
        assert a.shape[2] == 3
        assert np.array_equal(a, b)
    assert first[0].std() > 0.3
    normal = first[-1].astype(float) / 255.0 * 2.0 - 1.0
    assert np.allclose(np.linalg.norm(normal, axis=2), 1.0, atol=0.02)
    assert normal[..., 2].min() > 0.3
    assert abs(normal[..., :2].mean()) < 0.03  # the surface as a whole is level


@pytest.mark.parametrize("name", ["mli", "paint", "metal", "rough_black", "cfrp"])
def test_textures_wrap_without_a_seam(name: str) -> None:
    for image in DRAW[name]():
        a = image.astype(float)
        for axis in (0, 1):
            step = np.abs(np.diff(a, axis=axis))
            inside = step.mean(axis=tuple(k for k in range(3) if k != axis))
            last = np.take(a, -1, axis=axis)
            first = np.take(a, 0, axis=axis)
            assert np.abs(last - first).mean() <= inside.max() + 1.0


FILMS = ("mli_gold", "mli_amber", "mli_silver")


@pytest.mark.parametrize("name", FILMS)
def test_no_light_is_painted_into_a_films_colour(name: str) -> None:
    """One tint but for tape, patches and buttons; what varies is the slope of the surface."""
    material = MATERIALS[name].material()
    base, packed, normal = (
        np.asarray(image, dtype=float)
        for image in (
            material.base_color_image,
            material.metallic_roughness_image,
            material.normal_image,
        )
    )
    tint = np.median(base.reshape(-1, 3), axis=0)
    away = np.abs(base - tint).max(axis=2) > 1.0
    assert away.mean() < 0.06
    assert 0.9 < np.median(packed[..., 2]) / 255.0 <= 1.0
    rough = np.percentile(packed[..., 1] / 255.0, (5, 95))
    assert 0.1 <= rough[0] < rough[1] <= 0.25
    slope = np.hypot(normal[..., 0] - 128.0, normal[..., 1] - 128.0) / 127.0
    assert 0.15 < np.sqrt(np.mean(slope**2)) < 0.45
    for size in (2, 8, 32):  # crinkled at several scales: averages over blocks still differ
        blocks = normal.reshape(1024 // size, size, 1024 // size, size, 3).mean(axis=(1, 3))
        assert blocks[..., :2].std() > 6.0


@pytest.mark.parametrize("name", ["osr", "solar_cells"])
def test_mirrors_and_cover_glass_are_smooth(name: str) -> None:
    packed = np.asarray(MATERIALS[name].material().metallic_roughness_image) / 255.0
    assert np.median(packed[..., 1]) <= 0.11
    assert (np.median(packed[..., 2]) > 0.95) == (name == "osr")


def test_no_two_solar_cells_of_a_texture_look_alike() -> None:
    images = [np.asarray(MATERIALS[n].material().base_color_image, dtype=float) for n in CELLS]
    cells = [
        image[y : y + 64, x : x + 64].mean(axis=(0, 1))
        for image in images
        for y in range(0, 1024, 64)
        for x in range(0, 1024, 64)
    ]
    assert len(cells) == 768
    assert len(np.unique(np.round(cells, 2), axis=0)) > 750
    assert np.std(cells, axis=0).min() > 1.5


def test_facets_cover_the_tile_and_are_flat_between_creases() -> None:
    for seed in range(6):
        h = t.facets(256, 7, seed)
        assert np.abs(h).max() <= 1.0
        assert np.count_nonzero(h) == h.size  # no pixel was left undrawn
        bend = h[:, 2:] - 2 * h[:, 1:-1] + h[:, :-2]
        assert np.mean(np.abs(bend) < 1e-9) > 0.7


def test_normal_map_leans_away_from_the_rise() -> None:
    x, y = t.pixel_grid(64)
    height = 0.01 * np.sin(2 * np.pi * x)  # rises to the right at the left border
    right, up = t.slopes(height, 1.0)
    assert right[10, 1] == pytest.approx(0.02 * np.pi, rel=0.05)
    assert np.allclose(up, 0.0)
    assert t.normal_map(right, up)[10, 1, 0] < 127  # the normal points left there
    right, up = t.slopes(0.01 * np.sin(2 * np.pi * y), 1.0)  # rises downward at the top
    assert up[1, 10] == pytest.approx(-0.02 * np.pi, rel=0.05)
    assert t.normal_map(right, up)[1, 10, 1] > 128  # the normal points up the image


def test_sampling_at_pixel_centres_returns_the_pixels() -> None:
    image = t.generator(1).random((16, 16))
    x, y = t.pixel_grid(16)
    assert np.allclose(t.sample(image, x, y), image)
    assert np.allclose(t.sample(image, x + 3.0, y - 2.0), image)


def test_every_material_is_named_as_its_key_and_sensible() -> None:
    assert len(MATERIALS) == 23
    for name, surface in MATERIALS.items():
        assert surface.name == name
        assert surface.tile_m > 0
    for name in ("glass_lens", "cfrp", "baffle_black", "anodised"):
        material = MATERIALS[name].material()
        assert material.name == name
        assert material is MATERIALS[name].material()
        assert 0 <= material.metallic <= 1
        assert 0 < material.roughness <= 1
