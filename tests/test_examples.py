"""examples/: each runs as a user runs it, on small data, and stays short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.limits import PATIENCE_S

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name: str, *words: object, folder: Path) -> str:
    """What an example prints, run in a folder of its own."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, words)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_each_is_short_and_says_how_it_is_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert f"examples/{path.name}" in text


def test_render_and_look(craft_path: Path, tmp_path: Path) -> None:
    said = example(
        "render_and_look.py", "--target", craft_path, "--size", 64, "--out", "d", folder=tmp_path
    )
    assert "<Dataset d: craft, 5 frames, 3000 to 3040, 64x64>" in said
    assert "pixels of bus" in said
    assert Image.open(tmp_path / "look.png").size == (192, 64)


def test_truth_in_numpy(pristine: Path, tmp_path: Path) -> None:
    said = example("truth_in_numpy.py", pristine, 3000, 3010, folder=tmp_path)
    assert "px apart at most" in said
    share = float(said.split("finds visible, ")[1].split("%")[0])
    assert share > 97.0


def test_match_and_draw(pristine: Path, tmp_path: Path) -> None:
    said = example("match_and_draw.py", pristine, 3000, 3002, folder=tmp_path)
    assert "lightglue:" in said and "possible" in said
    assert Image.open(tmp_path / "matches.png").width > 100
