"""Kinds of glTF files that users have: each gives, through a render, what it says or a warning."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import satgen
from satgen.camera import Camera
from satgen.errors import InputError
from satgen.rendering.renderer import Renderer
from satgen.targets.load import load_target
from tests.gltf_files import Gltf, cube_arrays
from tests.scenes import look

HALVES = np.where(cube_arrays()["POSITION"][:, :1] > 0, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def red(pixels: NDArray[np.uint8]) -> bool:
    """Whether pixels (K, 3) are red in the mean."""
    r, g, b = pixels.astype(float).mean(axis=0)
    return bool(r > 60 and max(g, b) < 0.25 * r)


def seen(path: Path, index: int = 4000, **options: object) -> NDArray[np.uint8]:
    """Colours (K, 3) of the pixels that show the target, of one frame."""
    frame = satgen.render_frame(path, index, size=96, **options)  # type: ignore[arg-type]
    return np.asarray(frame.rgb)[frame.parts > 0]


# --- vertex colours -------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("kind", ["f4", "u1", "u2"])
def test_vertex_colours_are_drawn(kind: str, alpha: bool, tmp_path: Path) -> None:
    colours = np.tile((1.0, 0.0, 0.0, 1.0), (24, 1))[:, : 4 if alpha else 3]
    if kind != "f4":
        colours = np.round(colours * np.iinfo(kind).max).astype(kind)
    file = Gltf()
    file.cube["attributes"]["COLOR_0"] = file.accessor(colours, normalized=kind != "f4")
    path = file.write(tmp_path)
    assert red(seen(path))
    assert load_target(path).warnings == ()


def test_vertex_colours_are_linear_and_go_evenly_between_vertices(tmp_path: Path) -> None:
    """Between black and white vertices the light that is sent back grows evenly with the place."""
    camera = Camera.from_fov(96, 96, 20.0)
    pose = look(50.0, 30.0, 12.0)
    shown = []
    for level in (0.0, 1.0, None):
        x = cube_arrays()["POSITION"][:, :1]
        grey = (x + 1) / 2 if level is None else np.full_like(x, level)
        path = Gltf(COLOR_0=np.repeat(grey, 3, axis=1)).write(tmp_path)
        with Renderer(load_target(path, up="z"), camera, float32=True) as renderer:
            shown.append(renderer.render(pose, look(50.0, 60.0, 1.0)[:3, :3] @ (0.6, 0.0, 0.8)))
    black, white, ramp = (view.linear.mean(axis=2).astype(float) for view in shown)
    x0, y0, w, h = shown[0].window
    whole = np.zeros((h, w), dtype=bool).reshape(-1)
    whole[shown[0].pixels[shown[0].coverage == 1.0]] = True
    whole = whole.reshape(h, w) & (white > black + 0.05)
    rays = camera.rays()[y0 : y0 + h, x0 : x0 + w]
    points = (rays * shown[0].depth[..., None] - pose[:3, 3]) @ pose[:3, :3]
    share = (ramp - black) / np.maximum(white - black, 1e-9)
    # away from the cube's edges, where a pixel sees two sides
    inner = whole & (np.sort(np.abs(points), axis=2)[..., 1] < 0.9)
    assert inner.sum() > 200
    assert np.ptp(points[inner][:, 0]) > 1.5
    assert np.abs(share - (points[..., 0] + 1) / 2)[inner].max() < 2e-3


def test_white_vertex_colours_change_no_bit_and_cost_nothing(tmp_path: Path) -> None:
    plain = Gltf().write(tmp_path, "plain.gltf")
    white = Gltf(COLOR_0=np.ones((24, 4), dtype=np.float32)).write(tmp_path, "white.gltf")
    assert load_target(white).colours is None
    one, other = (satgen.render_frame(p, 4000, size=96) for p in (plain, white))
    for name in ("rgb", "depth", "parts"):
        digests = [hashlib.sha256(getattr(f, name).tobytes()).digest() for f in (one, other)]
        assert digests[0] == digests[1]


def test_a_coloured_part_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    file = Gltf()
    file.doc["meshes"].append({"primitives": [file.primitive(COLOR_0=HALVES)]})
    file.doc["nodes"].append({"mesh": 1, "name": "tinted", "translation": [0, 3, 0]})
    file.doc["scenes"][0]["nodes"] = [0, 1]
    frame = satgen.render_frame(file.write(tmp_path), 4000, size=96)
    white = np.asarray(frame.rgb)[frame.parts == 1].astype(float)
    assert np.quantile(np.ptp(white, axis=1), 0.95) == 0  # but where they meet in a pixel
    assert np.ptp(np.asarray(frame.rgb)[frame.parts == 2].astype(float), axis=1).mean() > 40


@pytest.mark.parametrize(
    "colours",
    [np.ones((23, 3)), np.ones((24, 2)), np.full((24, 3), np.nan)],
    ids=["too few", "two channels", "NaN"],
)
def test_broken_vertex_colours_are_refused(colours: NDArray[np.float64], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="COLOR_0"):
        load_target(Gltf(COLOR_0=colours).write(tmp_path))
