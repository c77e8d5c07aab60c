"""`satgen predict` as a user runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.predict.api import predict
from satgen.dataset import frame_columns
from satgen.errors import InputError
from satgen.trajectory import Tumble
from tests.datasets import command, make, satgen, satgen_here, tree
from tests.limits import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]

QUICK = ("--model", "last", "--model", "velocity", "--model", "filter")
FREE = ("predict", "--protocol", "free-rotation", "--sequences", 30, "--inertia", "box",
        "--inertia", "any", "--noise", 0.1)  # fmt: skip
LEARNT = ("predict", "--motion", "tumble-3", "--motion", "spiral", "--frames", 300, "--noise", 0.1,
          "--noise", 0.5, "--model", "velocity", "--model", "gru", "--steps", 30,
          "--train-sequences", 100, "--stride", 1)  # fmt: skip


@pytest.fixture(scope="module")
def tumbling(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of the craft as it tumbles, 24 frames."""
    folder = tmp_path_factory.mktemp("tumbling") / "craft"
    return make(craft_path, folder, trajectory=Tumble(rates_deg_s=(1.0, 6.0, 2.0)))


def test_free_rotation_answers_with_rows(tmp_path: Path) -> None:
    words = [*FREE, *QUICK, "--out", tmp_path / "run", "--json"]
    done = satgen(*words)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    rows = pd.DataFrame(answer["rows"])
    assert {"model", "motion", "noise_deg", "horizon", "error_deg_median"} <= set(rows)
    assert set(rows["horizon"]) == {1, 4, 6, 8, 10, 12} and set(rows["noise_deg"]) == {0.1}
    assert set(rows["motion"]) == {"free-box", "free-any"}
    last = rows[rows["horizon"] == 12].groupby("model")["error_deg_median"].mean()
    assert last["filter"] < last["velocity"] < last["last"]
    table = pd.read_parquet(tmp_path / "run" / "windows.parquet")
    assert len(table) == 2 * 30 * 6 * 3
    # The rows are of the table: the median over its windows, by hand.
    mine = table.query("model == 'filter' and motion == 'free-any' and horizon == 8")
    said = rows.query("model == 'filter' and motion == 'free-any' and horizon == 8")
    assert float(said["error_deg_median"].iloc[0]) == mine["error_deg"].median()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "NEES" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]+"', page)  # nothing from elsewhere
    assert {p.suffix for p in (tmp_path / "run" / "plots").iterdir()} == {".png", ".svg"}
    before = tree(tmp_path)
    again = satgen(*words)
    assert again.returncode == 0 and again.stdout == done.stdout
    assert tree(tmp_path) == before
    other = satgen(*words, "--seed", 1)
    assert other.returncode == 2 and "config.seed is 0 there and 1 here" in other.stderr
    assert tree(tmp_path) == before


def test_workers_and_a_kill_change_nothing(tmp_path: Path) -> None:
    whole, several, killed = (tmp_path / name for name in ("whole", "several", "killed"))
    done = satgen(*LEARNT, "--out", whole)
    assert done.returncode == 0, done.stderr
    assert "tumble-3, noise 0.1 deg" in done.stdout
    assert satgen(*LEARNT, "--out", several, "--workers", 2).returncode == 0
    process = subprocess.Popen(
        command(*LEARNT, "--out", killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + PATIENCE_S
    results = killed / "results.jsonl"
    while process.poll() is None and time.monotonic() < until:
        if results.is_file() and results.read_bytes().count(b"\n"):
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    process.wait()
    if process.returncode:  # it may have been quicker
        assert not (killed / "results.json").exists()
    resumed = satgen(*LEARNT, "--out", killed)
    assert resumed.returncode == 0, resumed.stderr
    tables = {(f / "windows.parquet").read_bytes() for f in (whole, several, killed)}
    weights = {(f / "models" / "gru.safetensors").read_bytes() for f in (whole, several, killed)}
    assert len(tables) == len(weights) == 1
    rows = [json.loads((f / "results.json").read_text())["rows"] for f in (whole, several, killed)]
    assert rows[0] == rows[1] == rows[2]
    own = whole / "models" / "gru.safetensors"
    words = ["predict", "--motion", "spiral", "--frames", 300, "--noise", 0.1, "--stride", 1]
    used = satgen(*words, "--model", own, "--out", tmp_path / "used", "--json")
    assert used.returncode == 0, used.stderr
    mine = [row["error_deg_median"] for row in json.loads(used.stdout)["rows"]]
    said = [
        row["error_deg_median"]
        for row in rows[0]
        if (row["model"], row["motion"], row["noise_deg"]) == ("gru", "spiral", 0.1)
    ]
    assert mine == said

    compared = satgen("predict", "--compare", f"{whole}:velocity", f"{whole}:gru", "--json")
    assert compared.returncode == 0, compared.stderr
    found = json.loads(compared.stdout)["rows"]
    assert len(found) == 2 * 2 * 7
    table = pd.read_parquet(whole / "windows.parquet")
    chosen = table.query("motion == 'tumble-3' and noise_deg == 0.5 and horizon == 20")
    means = chosen.groupby("model")["error_deg"].mean()
    (entry,) = (
        e for e in found if (e["motion"], e["noise_deg"], e["horizon"]) == ("tumble-3", 0.5, 20)
    )
    error = entry["error_deg"]
    assert error["difference"] == pytest.approx(means["gru"] - means["velocity"])
    assert error["low"] <= error["difference"] <= error["high"]
    shown = satgen("predict", "--compare", whole, several)
    assert shown.returncode == 0 and "0.000 … 0.000" in shown.stdout


def test_rendered_sequences(tumbling: Path, tmp_path: Path) -> None:
    words = ["predict", tumbling, "--windows", "all", "--horizon", 1, "--horizon", 4, "--stride", 2]
    words += ["--noise", 0.1, *QUICK, "--out", tmp_path / "run", "--json"]
    done = satgen(*words)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert {row["motion"] for row in rows} == {"craft tumble-6.4"}
    assert {row["sequences"] for row in rows} == {5}  # starts 0, 2, 4, 6 and 8 of 24 frames
    error = {row["model"]: row["error_deg_median"] for row in rows if row["horizon"] == 4}
    assert error["filter"] < error["velocity"] < error["last"]


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "class Learns:\n"
        "    train_sequences = 40\n"
        "    def fit(self, train):\n"
        "        self.seen = len(train)\n"
        "    def forecast(self, observed, future):\n"
        "        assert self.seen == 40\n"
        "        return (np.repeat(observed.rotations[:, -1:], future.shape[1], axis=1),\n"
        "                np.repeat(observed.translations[:, -1:], future.shape[1], axis=1))\n"
    )
    words = ["predict", "--protocol", "free-rotation", "--sequences", 5, "--noise", 0.5]
    words += ["--model", "last", "--model", "mine.py:Learns", "--workers", 2, "--out", "run"]
    done = satgen(*words, "--json", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    mine, last = (
        [row["error_deg_median"] for row in rows if row["model"] == name]
        for name in ("mine.py:Learns", "last")
    )
    assert mine == last and len(mine) == 4 * 6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"observed": 2.5}, "observed 2.5: must be a whole number, between 1 and 1000"),
        ({"horizons": ["1", "2"]}, "horizons ('1', '2'): must be a whole number"),
        ({"noise": "much"}, "noise_deg ('much',): must be a number, between 0 and 180"),
        ({"dt": "1 s"}, "dt_s '1 s': must be a number"),
        ({"training": {"step": 5}}, "unknown keyword 'step'; did you mean steps"),
    ],
)
def test_python_refuses_in_one_line(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        predict(model="last", out=tmp_path / "run", **given)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nope"], "pose model 'nope': one of last, two-pose"),
        (["--protocol", "nope"], "pose protocol 'nope': one of lab, free-rotation"),
        (["--noise", "nan"], "--noise nan"),
        (["--noise", -1], "--noise -1"),
        (["--dt", 0], "--dt 0"),
        (["--horizon", 5, "--horizon", 2], "horizons [5, 2]"),
        (["--frames", 40], "longer than the 40 frames of a sequence"),
        (["--observed", 1], "1 observed frame"),
        (["--poses", "lightglue"], "needs a dataset"),
        (["--poses", "hope", "DATA"], "matcher 'hope': one of lightglue"),
        (["--sequences", 9], "--sequences: protocol lab has no such parameter"),
        (["--protocol", "free-rotation", "DATA"], "free-rotation: takes no dataset"),
        (["DATA", "--windows", "all"], "its longest run of frames has 24 frames, a window takes"),
        (["DATA", "--motion", "spiral"], "--motion: is for motions without a dataset"),
        (["DATA", "--frames", 200], "--frames: is for motions without a dataset"),
        (["DATA"], "craft"),
        (["EARLY", "--windows", "all"], "its table has no times; give the frame period (--dt)"),
        (["ONE"], "has 1 frame"),
        (["nowhere"], "nowhere"),
        (["--device", "tpu"], "device 'tpu'"),
        (["--seed", -1], "--seed -1"),
        (["--model", "last", "--model", "last"], "once each"),
        (["--model", "nowhere.py:forecast"], "cannot import"),
        (["--compare", "a", "b"], "no finished run of satgen predict"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_changes_nothing(
    words: list[object], said: str, tumbling: Path, tmp_path: Path
) -> None:
    folders = {"DATA": tumbling}
    if "EARLY" in words:
        folders["EARLY"] = _without_times(tumbling, tmp_path / "early")
    if "ONE" in words:
        folders["ONE"] = _one_frame(tumbling, tmp_path / "one")
    before = tree(tmp_path)
    given = [folders.get(str(word), word) for word in words]
    out = [] if "--compare" in words else ["--out", "run"]
    done = satgen_here("predict", *given, *out, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert tree(tmp_path) == before and not (tmp_path / "run").exists()


def test_a_process_ends_as_its_refusal_says(tumbling: Path, tmp_path: Path) -> None:
    """The same from a shell: by click's own check, by ours, and of a file that is not there."""
    for words, said in (
        (["--noise", "nan"], "--noise nan"),
        ([tumbling, "--windows", "all"], "its longest run of frames has 24 frames"),
        (["--model", "nowhere.py:forecast"], "cannot import"),
    ):
        done = satgen(
            "predict", *words, "--out", "run", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}
        )
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
        assert not done.stdout and not list(tmp_path.iterdir())


def _copied(source: Path, folder: Path) -> Path:
    return Path(shutil.copytree(source, folder))


def _without_times(source: Path, folder: Path) -> Path:
    """As a dataset was before its tables had times."""
    _copied(source, folder)
    described = json.loads((folder / "dataset.json").read_text())
    described["version"] = 1
    (folder / "dataset.json").write_text(json.dumps(described))
    frames = pd.read_parquet(folder / "frames.parquet")[list(frame_columns(1))]
    frames.to_parquet(folder / "frames.parquet", index=False)
    return folder


def _one_frame(source: Path, folder: Path) -> Path:
    _copied(source, folder)
    frames = pd.read_parquet(folder / "frames.parquet")
    frames.head(1).to_parquet(folder / "frames.parquet", index=False)
    return folder
