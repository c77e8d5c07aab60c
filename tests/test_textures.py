"""satgen.modelling.textures and materials: seamless, repeatable, true to their height fields."""

from __future__ import annotations

import numpy as np
import pytest

from satgen.modelling import textures as t
from satgen.modelling.materials import MATERIALS

N = 128
STOPS = ((0.2, 0.1, 0.0), (0.9, 0.7, 0.3))
DRAW = {
    "mli": lambda: t.mli(N, 3, 2.0, STOPS, (0.8, 0.6, 0.3), 0.5, (0.3, 0.5)),
    "cloth": lambda: t.cloth(N, 3, 1.6, (0.9, 0.9, 0.88)),
    "solar_cells": lambda: t.solar_cells(N, 8, 3),
    "panel_back": lambda: t.panel_back(N, 3, 1.5),
    "cfrp": lambda: t.cfrp(N, 3),
    "paint": lambda: t.paint(N, 3, 1.5, (0.9, 0.9, 0.9), 0.6),
    "osr": lambda: t.osr(N, 16, 3),
    "metal": lambda: t.metal(N, 3, 1.0, (0.8, 0.8, 0.8), 0.4),
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
    assert len(MATERIALS) == 19
    for name, surface in MATERIALS.items():
        assert surface.name == name
        assert surface.tile_m > 0
    for name in ("glass_lens", "cfrp", "baffle_black", "anodised"):
        material = MATERIALS[name].material()
        assert material.name == name
        assert material is MATERIALS[name].material()
        assert 0 <= material.metallic <= 1
        assert 0 < material.roughness <= 1
