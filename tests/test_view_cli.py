"""`satgen view` as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.datasets import command, satgen_here
from tests.limits import PATIENCE_S


def test_it_serves_until_ctrl_c(pristine: Path, tmp_path: Path) -> None:
    shutil.copytree(pristine, tmp_path / "two" / "a")
    shutil.copytree(pristine, tmp_path / "two" / "b")
    process = subprocess.Popen(
        command("view", tmp_path / "two", "--no-open", "--port", 0),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SATGEN_CACHE": str(tmp_path / "cache")},
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    with urlopen(f"{url}view.json", timeout=PATIENCE_S) as answer:
        site = json.loads(answer.read())
    assert [data["name"] for data in site["datasets"]] == ["a", "b"]
    with urlopen(f"{url}data/b/depth/00001.pack", timeout=PATIENCE_S) as answer:
        assert answer.read(4) == b"SGPK"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.mkdir(), "is no dataset and no run, and has no datasets in it"),
        (lambda path: path.write_text("x"), "no such folder"),
    ],
)
def test_what_cannot_be_shown_is_one_line(make: object, said: str, tmp_path: Path) -> None:
    make(tmp_path / "there")  # type: ignore[operator]
    done = satgen_here("view", tmp_path / "there", "--no-open")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and said in done.stderr


def test_a_dataset_that_is_not_finished(dataset: Path) -> None:
    (dataset / "frames.parquet").unlink()
    done = satgen_here("view", dataset, "--no-open")
    assert done.returncode == 2 and "not finished" in done.stderr


def test_a_damaged_description(dataset: Path) -> None:
    description = json.loads((dataset / "dataset.json").read_text())
    del description["camera"]
    (dataset / "dataset.json").write_text(json.dumps(description))
    done = satgen_here("view", dataset, "--no-open")
    assert done.returncode == 2 and "camera" in done.stderr


def test_a_file_for_rerun(pristine: Path, tmp_path: Path) -> None:
    file = tmp_path / "craft.rrd"
    done = satgen_here("view", pristine, "--rerun", "--export", file, "--quiet")
    assert done.returncode == 0, done.stderr
    assert file.read_bytes()[:4] == b"RRF2" and list(tmp_path.iterdir()) == [file]
    for wrong in (tmp_path / "craft.txt", pristine / "craft.rrd"):
        assert satgen_here("view", pristine, "--rerun", "--export", wrong).returncode == 2
        assert not wrong.exists()
