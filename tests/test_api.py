"""`import satgen`: what it offers, that it costs nothing until used, and rendering from Python."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import satgen
from tests.datasets import tree


def test_what_is_offered_is_there_and_type_checkers_see_the_same() -> None:
    assert sorted(satgen.__all__) == satgen.__all__ == sorted(satgen._PLACES)
    source = ast.parse(Path(satgen.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname: f"{node.module}:{alias.name}"
        for branch in source.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == satgen._PLACES
    for name, place in satgen._PLACES.items():
        module, _, attribute = place.partition(":")
        assert getattr(satgen, name) is getattr(importlib.import_module(module), attribute)
        assert getattr(satgen, name).__doc__, name
    assert {*satgen.__all__, "__version__"} <= set(dir(satgen))
    with pytest.raises(AttributeError, match="no attribute 'rendr'"):
        satgen.rendr  # noqa: B018


def test_importing_it_is_instant_and_a_module_does_not_hide_a_function() -> None:
    script = """
import sys
before = set(sys.modules)
import satgen
loaded = set(sys.modules) - before - {"satgen"}
print(sorted(m for m in loaded if m.partition(".")[0] not in sys.stdlib_module_names))
for name in satgen.__all__:
    getattr(satgen, name)
import satgen.cli, satgen.run, satgen.rendering.renderer, satgen.verify, satgen.preview
assert all(not hasattr(getattr(satgen, name), "__path__") for name in satgen.__all__)
assert callable(satgen.render) and callable(satgen.open)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_rendering_gives_the_dataset_that_the_command_gives(
    pristine: Path, craft_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "d")
    data = satgen.render(craft_path, out, start=3000, stop=3023, width=72, height=64, workers=1)
    assert repr(data) == f"<Dataset {out}: craft, 24 frames, 3000 to 3023, 72x64>"
    assert tree(tmp_path / "d") == tree(pristine)
    assert np.array_equal(satgen.open(out)[3001].rgb, satgen.open(pristine)[3001].rgb)
    assert satgen.open(data) is data
    again = satgen.render(
        craft_path, out, start=3000, stop=3023, width=72, height=64, workers=0, quiet=True
    )
    assert len(again) == 24
    monkeypatch.chdir(tmp_path)
    small = satgen.render(target=str(craft_path), start=5, stop=5, size=32, workers=1)
    assert small.folder == Path("datasets/craft")


def test_wrong_keywords_are_named_with_the_right_ones(craft_path: Path, tmp_path: Path) -> None:
    for words, message in (
        ({"stat": 3000}, r"render\(\): unknown keyword 'stat'; did you mean start"),
        ({"zzz": 1}, r"unknown keyword 'zzz'; known: scale, up, parts, trajectory, start"),
        ({"start": 9000}, "start 9000"),
    ):
        with pytest.raises(satgen.InputError, match=message):
            satgen.render(craft_path, tmp_path / "d", **words)
    with pytest.raises(satgen.InputError, match="target 'all'"):
        satgen.render("all")
    assert not (tmp_path / "d").exists()


def test_what_is_missing_is_named_and_the_rest_works() -> None:
    script = """
import sys
for name in ("torch", "cv2", "poselib", "matplotlib"):
    sys.modules[name] = None
import satgen
assert satgen.Camera.from_fov(64, 64, 20.0).width == 64
assert satgen.render_frame("aura", 361, size=32).rgb.shape == (32, 32, 3)
try:
    satgen.match
except satgen.InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "torch" in done.stdout
