"""Textures of islands: a panel has the same mean colour from near and from far."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import satgen
from satgen.rendering.islands import fill_between_islands
from satgen.rendering.packing import pack
from satgen.targets.load import load_target


def panel(folder: Path, cells: int) -> Path:
    """A panel of cells that all show the dark island in the middle of a white picture."""
    pixels = np.full((256, 256, 3), 255, dtype=np.uint8)
    pixels[120:136, 120:136] = 60
    Image.fromarray(pixels).save(folder / "atlas.png")
    (folder / "m.mtl").write_text("newmtl m\nmap_Kd atlas.png\n")
    side = np.linspace(-1.0, 1.0, cells + 1)
    text = "mtllib m.mtl\nusemtl m\nvt .475 .475\nvt .525 .475\nvt .525 .525\nvt .475 .525\n"
    for a, b in itertools.pairwise(side):
        for c, d in itertools.pairwise(side):
            text += f"v {a} {c} 0\nv {b} {c} 0\nv {b} {d} 0\nv {a} {d} 0\nf -4/1 -3/2 -2/3 -1/4\n"
    (folder / "panel.obj").write_text(text)
    return folder / "panel.obj"


def test_an_island_has_one_colour_from_near_and_far(tmp_path: Path) -> None:
    path = panel(tmp_path, 12)
    means = []
    for size in (32, 128, 512):
        frame = satgen.render_frame(path, 7900, size=size)
        whole = frame.mask.copy()
        for axis in (0, 1):  # without the outline
            whole &= np.roll(frame.mask, 2, axis) & np.roll(frame.mask, -2, axis)
        means.append(frame.rgb[whole].mean())
    assert max(means) - min(means) < 3.0
    assert means[0] < 80


def test_what_is_shown_stays_as_it_is(tmp_path: Path) -> None:
    model = load_target(panel(tmp_path, 2))
    (material,) = fill_between_islands(model.materials, model.face_material, model.uv[model.faces])
    before, after = model.materials[0].base_color_image, material.base_color_image
    assert before is not None
    assert after is not None
    assert (before[120:136, 120:136] == after[120:136, 120:136]).all()
    assert (after == 60).all()


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_textures_that_are_used_whole_stay_as_they_are(scale: float, tmp_path: Path) -> None:
    """A square that shows all of a picture, and one over which it repeats."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (17, 33, 3), np.uint8)).save(
        tmp_path / "a.png"
    )
    (tmp_path / "m.mtl").write_text("newmtl m\nmap_Kd a.png\n")
    s = scale
    (tmp_path / "a.obj").write_text(
        "mtllib m.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
        f"vt 0 0\nvt {s} 0\nvt {s} {s}\nvt 0 {s}\nf 1/1 2/2 3/3 4/4\n"
    )
    model = load_target(tmp_path / "a.obj")
    (material,) = fill_between_islands(model.materials, model.face_material, model.uv[model.faces])
    assert material.base_color_image is model.materials[0].base_color_image


def touching(folder: Path, cells: int) -> Path:
    """A panel of cells that show a dark square, each touching light ones that a back shows."""
    pixels = np.full((256, 256, 3), 255, dtype=np.uint8)
    pixels[::2, 1::2] = 190
    pixels[64:192, 64:128] = 60
    pixels[64:192:2, 64:128:2] = 40
    Image.fromarray(pixels).save(folder / "atlas.png")
    (folder / "m.mtl").write_text("newmtl m\nmap_Kd atlas.png\n")
    side = np.linspace(-1.0, 1.0, cells + 1)
    text = "mtllib m.mtl\nusemtl m\n"
    for u, v in itertools.product((0, 0.25, 0.5, 1), (0, 0.25, 0.75, 1)):
        text += f"vt {u} {v}\n"
    for (a, b), (c, d) in itertools.product(itertools.pairwise(side), repeat=2):
        text += f"v {a} {c} 0\nv {b} {c} 0\nv {b} {d} 0\nv {a} {d} 0\nf -4/6 -3/10 -2/11 -1/7\n"
    text += "v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\n"
    for u, v in itertools.product(range(3), repeat=2):
        if (u, v) != (1, 1):
            at = 4 * u + v + 1
            text += f"f -1/{at} -2/{at + 4} -3/{at + 5} -4/{at + 1}\n"
    (folder / "panel.obj").write_text(text)
    return folder / "panel.obj"


def test_islands_that_touch_keep_their_colours_from_afar(tmp_path: Path) -> None:
    path, means = touching(tmp_path, 12), []
    for size in (32, 64, 256, 1024):
        frame = satgen.render_frame(path, 7900, size=size)
        whole = frame.mask.copy()
        for axis in (0, 1):
            whole &= np.roll(frame.mask, 2, axis) & np.roll(frame.mask, -2, axis)
        means.append(frame.rgb[whole].mean())
    assert max(means) - min(means) < 4.0, means


def test_levels_are_limited_where_colours_would_mix_and_only_there(tmp_path: Path) -> None:
    model = load_target(touching(tmp_path, 3))
    packed = pack(model)
    limits = packed.face_texels.reshape(-1, packed.face_stride, 4)[:, 6, 3]
    dark = np.arange(len(limits)) < 18
    assert packed.levels
    assert (limits[dark] < 2).all()
    assert (limits >= 0).all()
    plain = tmp_path / "plain"
    plain.mkdir()
    assert not pack(load_target(panel(plain, 2))).levels
