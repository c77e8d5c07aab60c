"""satgen.rendering.context: contexts that live side by side, and what they say when they cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from itertools import permutations

import numpy as np
import pytest
import trimesh

from satgen.camera import Camera
from satgen.errors import RunError
from satgen.model import TargetModel
from satgen.rendering import context
from satgen.rendering.backend import choose_backend
from satgen.rendering.renderer import RenderedView, Renderer
from tests.datasets import satgen
from tests.limits import PATIENCE_S
from tests.scenes import look, model_of, toy

CAMERA = Camera.from_fov(96, 96, 25.0)
POSE = look(20, 15, 11)
SUN = np.array([0.0, 0.0, -1.0])


def models() -> list[TargetModel]:
    return [toy(), *(model_of([trimesh.creation.icosphere(2, r)]) for r in (0.6, 1.1))]


def alone(model: TargetModel) -> RenderedView:
    with Renderer(model, CAMERA) as renderer:
        return renderer.render(POSE, SUN)


def same(a: RenderedView, b: RenderedView) -> bool:
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in ("radiance", "depth", "parts"))


def python(script: str, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYOPENGL_PLATFORM"} | variables
    environment["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *flags, "-c", script],
        env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_renderers_side_by_side_each_draw_their_own_model() -> None:
    truth = [alone(model) for model in models()]
    renderers = [Renderer(model, CAMERA) for model in models()]
    for _ in range(2):
        for renderer, expected in zip(renderers, truth, strict=True):
            assert same(renderer.render(POSE, SUN), expected)
    for renderer in renderers:
        renderer.close()


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:5])
def test_they_close_in_any_order_and_more_than_once(order: tuple[int, ...]) -> None:
    truth = [alone(model) for model in models()]
    renderers = dict(enumerate(Renderer(model, CAMERA) for model in models()))
    for i in order:
        closed = renderers.pop(i)
        closed.close()
        closed.close()
        with pytest.raises(RunError, match="closed"):
            closed.render(POSE, SUN)
        for k, renderer in renderers.items():
            assert same(renderer.render(POSE, SUN), truth[k])


def test_threads_may_share_and_pass_renderers_on() -> None:
    truth = [alone(model) for model in models()]
    renderers = [Renderer(model, CAMERA) for model in models()]
    wrong: list[int] = []

    def draw(first: int) -> None:
        for k in range(first, first + 2 * len(renderers)):
            i = k % len(renderers)
            if not same(renderers[i].render(POSE, SUN), truth[i]):
                wrong.append(i)

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert wrong == []
    closer = threading.Thread(target=lambda: [renderer.close() for renderer in renderers])
    closer.start()
    closer.join(PATIENCE_S)
    assert same(alone(models()[0]), truth[0])


SIDE_BY_SIDE = """
import numpy as np
from tests.test_context import CAMERA, POSE, SUN, Renderer, alone, models, same
truth = [alone(model) for model in models()]
renderers = [Renderer(model, CAMERA) for model in models()]
print([same(r.render(POSE, SUN), t) for r, t in zip(renderers, truth)])
renderers[1].close()
print(same(renderers[0].render(POSE, SUN), truth[0]), renderers[2].gl_strings()["platform"])
"""


@pytest.mark.parametrize("platform", ["egl", "osmesa"])
def test_either_platform_works_without_assertions_and_ends_in_peace(platform: str) -> None:
    # Two renderers are still open at the end.
    done = python(SIDE_BY_SIDE, "-O", PYOPENGL_PLATFORM=platform)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[True, True, True]", f"True {platform}"]
    assert done.stderr == ""


@pytest.mark.skipif(choose_backend() != "egl", reason="EGL is not what renders here")
def test_a_driver_that_lacks_what_is_needed_gives_way_to_the_next(monkeypatch) -> None:
    truth, first = alone(models()[1]), []
    displays, make = context._egl_displays, context._EglHandle._make

    def refuse_once(self: context._EglHandle) -> None:
        if not first:
            first.append(self._display)
            raise RunError("too old")
        make(self)

    monkeypatch.setattr(context, "_egl_displays", lambda: [None, 0xDEAD, *displays(), *displays()])
    monkeypatch.setattr(context._EglHandle, "_make", refuse_once)
    assert same(alone(models()[1]), truth)
    assert len(first) == 1
    monkeypatch.setattr(context, "_egl_displays", lambda: [next(iter(displays()))])
    first.clear()
    with pytest.raises(RunError, match="too old"):
        alone(models()[1])


def test_a_renderer_that_is_dropped_frees_its_context() -> None:
    renderer = Renderer(models()[1], CAMERA)
    end = renderer._context._end
    del renderer
    assert not end.alive


def test_the_environment_is_left_alone() -> None:
    script = (
        "import os; from tests.test_context import *; alone(models()[1]); "
        "print(os.environ.get('PYOPENGL_PLATFORM'))"
    )
    done = python(script)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr


def test_a_process_bound_to_another_platform_is_told_what_to_do() -> None:
    script = (
        "import OpenGL.GL; from satgen.errors import InputError\n"
        "from tests.test_context import alone, models\n"
        "try:\n    alone(models()[1])\nexcept InputError as error:\n    print(error)"
    )
    line = python(script).stdout.strip()
    assert "PyOpenGL was imported for" in line
    assert "PYOPENGL_PLATFORM=egl before" in line
    bound = python(script, PYOPENGL_PLATFORM="osmesa")
    assert (bound.returncode, bound.stdout) == (0, ""), bound.stderr


def test_a_display_that_another_library_ends_is_one_line() -> None:
    script = (
        "import os; os.environ['PYOPENGL_PLATFORM'] = 'egl'\n"
        "from tests.test_context import *\n"
        "renderer = Renderer(models()[1], CAMERA); renderer.render(POSE, SUN)\n"
        "import pyrender; pyrender.OffscreenRenderer(8, 8).delete()\n"
        "try:\n    renderer.render(POSE, SUN)\nexcept RunError as error:\n    print(error)\n"
        "renderer.close(); alone(models()[1]); print('next')"
    )
    done = python(script)
    assert done.returncode == 0, done.stderr
    line, after = done.stdout.splitlines()
    assert "another library" in line
    assert after == "next"


@pytest.mark.parametrize(
    ("device", "said"), [("x", "must be the number"), ("63", "numbered from 0 to")]
)
def test_an_egl_device_that_is_not_there_is_refused(device: str, said: str, tmp_path) -> None:
    env = {"EGL_DEVICE_ID": device, "PYOPENGL_PLATFORM": "egl"}
    done = satgen("render", "--target", "aura", "--out", tmp_path / "a", env=env)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"EGL_DEVICE_ID={device}: " in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "a").exists()
    doctor = satgen("doctor", env=env)
    assert doctor.returncode == 1
    assert f"EGL_DEVICE_ID={device}: " in doctor.stdout


def test_pictures_do_not_depend_on_how_the_driver_clears() -> None:
    script = (
        "import hashlib\n"
        "from satgen.rendering.renderer import Renderer\n"
        "from tests.test_context import CAMERA, POSE, SUN, toy\n"
        "from tests.scenes import look\n"
        "with Renderer(toy(), CAMERA) as renderer:\n"
        # Twice, that the second view has the first to clear away.
        "    views = [renderer.render(pose, SUN) for pose in (look(200, -40, 8), POSE)]\n"
        "    fills = renderer._device._clears_textures\n"
        "names = ('radiance', 'depth', 'parts')\n"
        "held = b''.join(getattr(v, n).tobytes() for v in views for n in names)\n"
        "print(fills, hashlib.sha256(held).hexdigest())\n"
    )
    filled, drawn = (
        python(script, MESA_EXTENSION_OVERRIDE=names) for names in ("", "-GL_ARB_clear_texture")
    )
    assert filled.returncode == 0, filled.stderr
    assert drawn.returncode == 0, drawn.stderr
    (fills, image), (other, same_image) = filled.stdout.split(), drawn.stdout.split()
    if (fills, other) != ("True", "False"):
        pytest.skip("this OpenGL driver clears one way alone")
    assert image == same_image
