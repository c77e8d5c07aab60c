"""examples/: each runs as a user runs it, on small data, and stays short."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from satgen.trajectory import Tumble
from tests.datasets import make, satgen
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


def test_my_matcher(pristine: Path, tmp_path: Path) -> None:
    said = example("my_matcher.py", pristine, folder=tmp_path)
    for name in ("sift-nearest", "sift-turning-30", "sift-turning-10"):
        assert name in said
    for place in ("examples.my_matcher:MyMatcher", "examples/my_matcher.py:SPEC"):
        words = ["bench", pristine, "--features", "sift", "--matcher", place, "--gap", 5]
        words += ["--pairs", 2, "--repeats", 1, "--out", tmp_path / place.rpartition(":")[2]]
        done = satgen(*words, "--json", cwd=EXAMPLES.parent)
        assert done.returncode == 0, done.stderr
        entries = json.loads(done.stdout)["combinations"]
        assert {entry["matcher"] for entry in entries} == {place}
        assert all(entry["overall"].get("flops") is None for entry in entries)


def test_onnx_adaptive(pristine: Path, tmp_path: Path) -> None:
    done = satgen("weights", "--export", "onnx", "lightglue-sift", "--adaptive", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    images = [pristine / "rgb" / f"{index:06d}.png" for index in (3000, 3002)]
    said = example("onnx_adaptive.py", "lightglue-sift-adaptive", *images, folder=tmp_path)
    assert re.fullmatch(r"[1-9]\d* matches after layer [1-5]\n", said)


def test_train_your_craft(craft_path: Path, tmp_path: Path) -> None:
    said = example("train_your_craft.py", craft_path, "--out", "run", "--quick", folder=tmp_path)
    weights = tmp_path / "run" / "training" / "lightglue-sift.safetensors"
    assert weights.is_file()
    assert said.count("<MatchedPair ") == 2


def table_of(said: str) -> dict[str, list[float]]:
    """Figures of each model in the first table of `satgen predict`, by the end of its name."""
    all_lines = [line.split() if line.startswith("  ") else None for line in said.splitlines()]
    start = next(row for row, words in enumerate(all_lines) if words)
    lines = list(itertools.takewhile(bool, all_lines[start:]))
    return {words[0].rpartition("/")[2]: [float(w) for w in words[1:]] for words in lines[1:]}


def test_my_frame_model(craft_path: Path, tmp_path: Path) -> None:
    motion = Tumble(rates_deg_s=(1.0, 2.0, 1.0))
    make(craft_path, tmp_path / "tumble", trajectory=motion, stop=3039, width=64)
    said = example("my_frame_model.py", "tumble", folder=tmp_path)
    assert "PSNR in the silhouette" in said and "report.html" in said
    figures = table_of(said)
    mine = "my_frame_model.py:forecast"
    assert list(figures) == ["black", "last", "flow", mine]
    assert all(len(values) == 6 for values in figures.values())
    assert figures[mine] != figures["last"]


def test_my_pose_model(tmp_path: Path) -> None:
    said = example("my_pose_model.py", "tumble-3", 0.1, folder=tmp_path)
    assert (
        "tumble-3, noise 0.1 deg, 207 sequences: median rotation error" in said
        and "report.html" in said
    )
    figures = table_of(said)
    mine = "my_pose_model.py:forecast"
    assert list(figures) == [mine, "last", "velocity", "acceleration", "filter"]
    assert all(len(values) == 7 for values in figures.values())
    assert figures["filter"][4] < figures[mine][4] < figures["last"][4]
