"""The comparison with Blender: what agrees is told from what does not, without Blender."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from bench import blender
from satgen.errors import InputError
from tests.scenes import model_of

SIZE = 48


def answer(size: float = 1.0, grey: float = 1.0) -> dict[str, Any]:
    """What a renderer like ours would say of a box of this size."""
    model = model_of([trimesh.creation.box([size, 0.6 * size, 0.4 * size])])
    box = model.vertices[model.faces].reshape(-1, 3)
    views = blender.pictures_of(model, SIZE)
    for view in views:
        view[..., :3] *= grey
    area = {"area": np.float64(1.0 * size**2 * (0.6 + 0.4 + 0.24) * 2.0)}
    shown = {f"view{k}": view for k, view in enumerate(views)}
    return {**area, "low": box.min(axis=0), "high": box.max(axis=0), **shown}


def test_the_same_agrees_and_other_sizes_and_colours_do_not() -> None:
    model = model_of([trimesh.creation.box([1.0, 0.6, 0.4])])
    whats = list(blender.WITHIN)
    same = blender.compare("a", model, SIZE, answer())
    assert all(same.same(what) for what in whats)
    assert (same.area, same.overlap, same.colour) == (pytest.approx(0.0, abs=1e-9), 1.0, 0.0)
    larger = blender.compare("b", model, SIZE, answer(1.1))
    assert [larger.same(what) for what in whats[:2]] == [False, False]
    darker = blender.compare("c", model, SIZE, answer(grey=0.5))
    assert [darker.same(what) for what in whats] == [True, True, True, False]
    failed = blender.compare("d", model, SIZE, {"error": np.array("KeyError: no mesh")})
    text = blender.report([same, larger, darker, failed])
    assert "3 of 4 files by both" in text
    assert "area: 2 of 3 at most 0.01" in text
    assert "KeyError: no mesh" in text


def test_a_python_without_blender_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    trimesh.creation.box().export(path)
    with pytest.raises(InputError, match="bpy"):
        blender.run([path], sys.executable, tmp_path, SIZE)
