"""`satgen bench` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from satgen.options import RenderOptions
from satgen.run import render
from tests.datasets import satgen


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of Aura."""
    folder = tmp_path_factory.mktemp("bench-cli") / "aura"
    options = RenderOptions(target="aura", start=4000, stop=4005, width=256, height=256)
    render(options, folder, workers=1)
    return folder


def test_the_command_line(frames: Path, tmp_path: Path) -> None:
    words = ["bench", frames, "--matcher", "nearest", "--features", "sift", "--gap", 1]
    words += ["--pairs", 2, "--repeats", 1, "--out", tmp_path / "a"]
    done = satgen(*words)
    assert done.returncode == 0, done.stderr
    assert "nearest on sift" in done.stdout and "report.html" in done.stdout
    for name in ("run.json", "pairs.csv", "pairs.parquet", "results.json", "report.html"):
        assert (tmp_path / "a" / name).stat().st_size > 0
    assert "satgen bench" in json.loads((tmp_path / "a" / "run.json").read_text())["command"]
    answer = satgen(*words, "--json")
    assert answer.returncode == 0 and json.loads(answer.stdout)
    assert "Poses: poselib, 0.5 px" in done.stdout
    other = satgen(*words[:-1], tmp_path / "b", "--max-keypoints", 50, "--estimator", "opencv")
    assert other.returncode == 0, other.stderr
    compared = satgen("bench", "--compare", tmp_path / "a", tmp_path / "b")
    assert compared.returncode == 0, compared.stderr
    assert "f1" in compared.stdout.lower()
    assert "poselib, 0.5 px" in compared.stdout and "opencv, 1 px" in compared.stdout
    page = (tmp_path / "b" / "report.html").read_text()
    assert "findEssentialMat" in page and "1 px" in page
    named = satgen("bench", "--compare", f"{tmp_path / 'a'}:sift-nearest", tmp_path / "b", "--json")
    assert named.returncode == 0 and len(json.loads(named.stdout)["combinations"]) == 1
    wrong = satgen("bench", "--compare", f"{tmp_path / 'a'}:sift-hope", tmp_path / "b")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "sift-hope" in wrong.stderr


def test_with_nothing_downloaded_the_bundled_weights_are_used(frames: Path, tmp_path: Path) -> None:
    words = ["bench", frames, "--matcher", "lightglue", "--matcher", "superglue", "--gap", 1]
    words += ["--pairs", 1, "--repeats", 1, "--threads", 1, "--out", tmp_path / "run", "--json"]
    env = {"SATGEN_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    done = satgen(*words, env=env)
    assert done.returncode == 0, done.stderr
    found = {c["features"] for c in json.loads(done.stdout)["combinations"]}
    assert found == {"sift"} and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--gap", "99"),
        ("--pairs", "most"),
        ("--features", "surf"),
        ("--matcher", "hope"),
        ("--sweep", "depth-confidence", "--matcher", "nearest"),
        ("--max-keypoints", "0"),
        ("--match-px", "-1"),
        ("--estimator", "pnp"),
        ("--matcher", "superglue", "--weights", "official"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    frames: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = satgen("bench", frames, *words, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) <= 4 and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
