"""SuperPoint has no weights to be fetched: `--features-weights FILE` gives them everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from matchers.features.superpoint import SuperPoint
from tests.datasets import make, satgen


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SuperPoint that was never trained, as somebody's training script may keep it."""
    torch.manual_seed(0)
    state = {f"module.{name}": value for name, value in SuperPoint().state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "superpoint_v1.pth.tar"
    torch.save({"state_dict": state, "epoch": 1}, path)
    return path


@pytest.fixture(scope="module")
def frames(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(craft_path, tmp_path_factory.mktemp("frames") / "craft")


def one_line(done: Any, *words: str) -> None:
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_match_and_bench_run_superpoint(file: Path, frames: Path, tmp_path: Path) -> None:
    images = sorted((frames / "rgb").glob("*.png"))[:2]
    words = ["match", *images, "--features", "superpoint", "--matcher", "nearest", "--json"]
    one_line(satgen(*words), "superpoint", "--features-weights FILE")
    done = satgen(*words, "--features-weights", file)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["features"] == "superpoint"

    words = ["bench", frames, "--features", "superpoint", "--features", "sift", "--gap", 1]
    words += ["--matcher", "nearest", "--pairs", 1, "--repeats", 1, "--max-keypoints", 50, "--json"]
    out = tmp_path / "run"
    one_line(satgen(*words, "--out", out), "superpoint", "--features-weights FILE")
    assert not out.exists()
    for given in (str(file), f"superpoint={file}"):
        done = satgen(*words, "--out", out, "--features-weights", given)
        assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["combinations"]) == 4
    damaged = tmp_path / "other.pth"
    torch.save({"conv1a.weight": torch.zeros(1)}, damaged)
    wrong = satgen(*words, "--out", tmp_path / "no", "--features-weights", damaged)
    one_line(wrong, "other.pth", "SuperPoint")
    assert not (tmp_path / "no").exists()
    identity = json.loads((out / "run.json").read_text())["identity"]
    assert list(identity["weights"]) == ["superpoint"]
