"""satgen.rendering.reference: pyrender's look at the scene, and ours, and datasets of either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

import satgen as door
from satgen.camera import Camera
from satgen.errors import InputError, RunError
from satgen.model import Material, TargetModel
from satgen.rendering.reference import ReferenceRenderer
from satgen.rendering.renderer import RenderedView, Renderer
from satgen.targets.load import load_target
from tests.blocked import blocking
from tests.datasets import FRAMES, make, satgen, tree
from tests.limits import PATIENCE_S
from tests.scenes import look, model_of, toy

CAMERA = Camera(210, 160, 520.0, 505.0, 112.3, 71.7)
SUN = np.array([0.4, -0.5, -0.768])

DEPTH_TOLERANCE_M = 1e-4
"""pyrender's depth buffer has 24 bits between planes that embrace the target, and its vertices are
placed in single precision: for a craft of ten metres that is some micrometres."""
SHARE = 0.999
"""Of the pixels that must agree: at an edge either renderer's rounding may choose another face."""


def whole(view: RenderedView, name: str) -> NDArray:
    values = getattr(view, name)
    image = np.zeros((CAMERA.height, CAMERA.width, *values.shape[2:]), values.dtype)
    x, y, w, h = view.window
    image[y : y + h, x : x + w] = values
    return image


def assert_they_agree(ours: RenderedView, theirs: RenderedView) -> None:
    depths = whole(ours, "depth"), whole(theirs, "depth")
    parts = whole(ours, "parts"), whole(theirs, "parts")
    assert np.count_nonzero(depths[0]) > 1000
    assert np.mean((depths[0] > 0) == (depths[1] > 0)) >= SHARE
    assert np.mean(parts[0] == parts[1]) >= SHARE
    both = (depths[0] > 0) & (depths[1] > 0)
    assert np.mean(np.abs(depths[0] - depths[1])[both] < DEPTH_TOLERANCE_M) >= SHARE


@pytest.mark.parametrize(
    ("name", "views"),
    [
        ("toy", [(20, 15, 11), (130, -40, 9), (250, 80, 13), (180, 0, 1.2)]),
        ("aura", [(35, 20, 40), (215, -50, 55)]),
    ],
)
def test_depth_parts_and_light_agree_with_ours(name: str, views: list[tuple[float, ...]]) -> None:
    model = toy() if name == "toy" else load_target(name)
    with Renderer(model, CAMERA) as ours, ReferenceRenderer(model, CAMERA) as theirs:
        for azimuth, elevation, distance in views:
            pose = look(azimuth, elevation, distance)
            a, b = ours.render(pose, SUN), theirs.render(pose, SUN)
            assert_they_agree(a, b)
            lights = [np.minimum(whole(v, "linear"), 1.0).ravel() for v in (a, b)]
            assert np.corrcoef(lights)[0, 1] > 0.8
        behind = np.eye(4)
        behind[2, 3] = -60.0
        assert theirs.render(behind, SUN).depth.size == 0


def test_the_earths_light_of_a_view_replaces_that_of_the_lighting() -> None:
    pose, away = look(40, 20, 11.0), np.array([0.0, 0.0, 1.0])
    with ReferenceRenderer(toy(), CAMERA) as renderer:
        usual = renderer.render(pose, away).linear
        bright = renderer.render(pose, away, earthshine=np.array([0.5, 0.5, 0.5])).linear
        assert bright.mean() > 2.0 * usual.mean() > 0.0
        assert (renderer.render(pose, away).linear == usual).all()


def test_white_paper_in_the_sun_has_radiance_one() -> None:
    white = Material("white", (1.0, 1.0, 1.0), 0.0, 1.0)
    model = model_of([trimesh.creation.box([2.0, 2.0, 0.02])], [white])
    pose = look(0, 90, 6)
    with ReferenceRenderer(model, CAMERA) as renderer:
        lit = renderer.render(pose, np.array([0.0, 0.0, -1.0])).radiance
        dark = renderer.render(pose, np.array([0.0, 0.0, 1.0])).radiance
    assert np.median(lit) == pytest.approx(1.0, abs=0.06)
    assert np.median(dark) < 0.06


def side_by_side() -> list[TargetModel]:
    return [toy(), model_of([trimesh.creation.icosphere(2, 0.9)])]


@pytest.mark.parametrize("first_closed", ["reference", "ours"])
def test_any_number_side_by_side_and_beside_ours(first_closed: str) -> None:
    pose, models = look(20, 15, 11), side_by_side()
    references = [ReferenceRenderer(model, CAMERA) for model in models]
    ours = [Renderer(model, CAMERA) for model in models]
    for _ in range(2):
        for a, b in zip(ours, references, strict=True):
            assert_they_agree(a.render(pose, SUN), b.render(pose, SUN))
    first, second = (references, ours) if first_closed == "reference" else (ours, references)
    for renderer in first:
        renderer.close()
        renderer.close()
        with pytest.raises(RunError, match="closed"):
            renderer.render(pose, SUN)
    for renderer, model in zip(second, models, strict=True):
        with Renderer(model, CAMERA) as again:
            assert_they_agree(again.render(pose, SUN), renderer.render(pose, SUN))
        renderer.close()
    with ReferenceRenderer(models[0], CAMERA) as reference, Renderer(models[0], CAMERA) as own:
        assert_they_agree(own.render(pose, SUN), reference.render(pose, SUN))


def test_it_draws_with_osmesa_too() -> None:
    script = (
        "from tests.test_reference import *\n"
        "with Renderer(toy(), CAMERA) as a, ReferenceRenderer(toy(), CAMERA) as b:\n"
        "    pose = look(20, 15, 11)\n"
        "    assert_they_agree(a.render(pose, SUN), b.render(pose, SUN))\n"
        "    print(b.gl_strings()['platform'])"
    )
    env = {**os.environ, "PYOPENGL_PLATFORM": "osmesa", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "osmesa", "")


@pytest.fixture(scope="module")
def reference_dataset(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference") / "craft"
    return make(craft_path, folder, renderer="pyrender", step=4)


def test_a_dataset_of_pyrenders_says_so_and_is_whole(
    reference_dataset: Path, pristine: Path, craft_path: Path
) -> None:
    description = json.loads((reference_dataset / "dataset.json").read_text())
    assert description["renderer"] == "pyrender"
    assert "--renderer pyrender" in description["command"]
    assert "renderer" not in json.loads((pristine / "dataset.json").read_text())
    checked = satgen("verify", reference_dataset, "--deep", 3)
    assert checked.returncode == 0, checked.stdout
    theirs, ours = door.open(reference_dataset), door.open(pristine)
    scale = ours.config.depth_scale
    for index in theirs.indices:
        a, b = ours[int(index)], theirs[int(index)]
        assert np.mean(a.parts == b.parts) >= SHARE
        both = (a.depth > 0) & (b.depth > 0)
        near = np.abs(a.depth - b.depth)[both] <= scale + DEPTH_TOLERANCE_M
        assert np.mean(near) >= SHARE
    assert len(theirs.indices) == FRAMES // 4


@pytest.mark.parametrize("there", ["pyrender", "satgen"])
def test_the_other_renderer_is_another_dataset(
    there: str, reference_dataset: Path, pristine: Path, craft_path: Path
) -> None:
    folder, step = (reference_dataset, 4) if there == "pyrender" else (pristine, 1)
    other = "satgen" if there == "pyrender" else "pyrender"
    before = tree(folder)
    with pytest.raises(InputError, match=rf'renderer is "{there}" there and "{other}" here'):
        make(craft_path, folder, renderer=other, step=step)
    make(craft_path, folder, renderer=there, step=step)  # nothing to do
    assert tree(folder) == before


def test_a_renderer_that_there_is_not(reference_dataset: Path, tmp_path: Path) -> None:
    done = satgen("render", "--target", "aura", "--renderer", "blender", "--out", tmp_path / "a")
    assert done.returncode == 2
    assert "blender: must be one of satgen, pyrender" in done.stderr
    assert not (tmp_path / "a").exists()


def test_one_frame_of_pyrenders(craft_path: Path) -> None:
    frames = [
        door.render_frame(craft_path, 4000, size=64, renderer=name)
        for name in ("satgen", "pyrender")
    ]
    assert np.mean(frames[0].parts == frames[1].parts) >= SHARE
    assert not np.array_equal(frames[0].rgb, frames[1].rgb)
    door.close_renderers()


@pytest.mark.parametrize(
    ("without", "status", "said"),
    [("pyrender", 2, "pip install pyrender2"), ("assertions", 1, "run without -O")],
)
def test_what_stands_in_its_way_is_one_line(
    without: str, status: int, said: str, tmp_path: Path
) -> None:
    env = {"PYTHONOPTIMIZE": "1"} if without == "assertions" else {}
    if without == "pyrender":
        env = blocking(tmp_path / "hook", "pyrender")
    words = ("render", "--target", "aura", "--size", 32, "--stop", 361, "--out", tmp_path / "a")
    done = satgen(*words, "--renderer", "pyrender", env=env)
    assert done.returncode == status
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert not (tmp_path / "a").exists()
    assert satgen(*words, env=env).returncode == 0
