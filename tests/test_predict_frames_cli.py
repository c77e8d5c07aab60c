"""`satgen predict --task frames` as a user runs it, and its run from Python."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.predict.api import predict
from bench.predict.learned import LearnedConfig, LearnedModel
from bench.predict.protocols import Lab
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.trajectory import Tumble
from tests.datasets import make, satgen, satgen_here, tree
from tests.limits import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]
FIRST = 3000

TRAIN = """
import sys
from pathlib import Path
from bench.predict.config import PredictConfig
from bench.predict.frame_protocols import FrameProtocol
from bench.predict.frame_run import frame_experiment
from bench.predict.frame_training_config import FrameTrainConfig
from bench.predict.run import run

if __name__ == "__main__":
    experiment = frame_experiment(
        PredictConfig(task="frames", models=("last", "simvp", "render-last")),
        [sys.argv[1]],
        FrameProtocol("small", 4, 6, 32, horizons=(1, 3, 6), stride=2),
        training=FrameTrainConfig(steps=6, batch=1, horizons=1, validation_windows=1,
                                  validate_every=2, save_every=2),
    )
    run(experiment, Path(sys.argv[2]), workers=int(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def tumbling(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The craft as it tumbles by 3 degrees a frame, 200 frames of 64 pixels."""
    motion = Tumble(moments=(0.5, 0.8, 1.0), rates_deg_s=(0.9, 2.7, 0.9))
    folder = tmp_path_factory.mktemp("frames") / "tumbling"
    return make(craft_path, folder, trajectory=motion, stop=FIRST + 199, width=64)


def test_the_task_answers_with_rows(tumbling: Path, tmp_path: Path) -> None:
    words = ["predict", tumbling, "--task", "frames", "--protocol", "10-20-64", "--windows", "all"]
    words += ["--stride", 60, "--noise", 0, "--noise", 0.5, "--horizon", 1, "--horizon", 20]
    done = satgen(*words, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    rows = pd.DataFrame(answer["rows"])
    wanted = {"model", "motion", "horizon", "psnr", "psnr_silhouette", "ssim", "iou", "frames_s"}
    assert wanted <= set(rows) and set(rows["motion"]) == {"tumble-3"}
    assert list(dict.fromkeys(rows["model"])) == ["black", "last", "flow", "render"]
    assert set(rows["horizon"]) == {1, 20} and set(rows["windows"]) == {3}
    assert answer["models"] == ["black", "last", "flow", "render"]
    far = rows[rows["horizon"] == 20]
    exact = far.query("model == 'render' and noise_deg == 0")["psnr_silhouette"].item()
    noisy = far.query("model == 'render' and noise_deg == 0.5")["psnr_silhouette"].item()
    last = far.query("model == 'last'")["psnr_silhouette"].item()
    assert exact > noisy > last
    table = pd.read_parquet(tmp_path / "run" / "windows.parquet")
    assert len(table) == 3 * 2 * (3 + 2)
    # A window by hand: the last frame seen against the one that came, over the whole frame.
    data = Dataset(tumbling)
    one = table.query("model == 'last' and horizon == 1 and start == 3060")
    seen, came = (_grey(data.rgb(index)) for index in (3069, 3070))
    assert one["index"].item() == 3070
    error = float(np.mean((seen - came) ** 2))
    assert one["psnr"].item() == pytest.approx(-10.0 * np.log10(error), abs=0.05)
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:image/png") == 1 + 4  # a window of all models, and each one's worst
    for word in ("SSIM in the silhouette", "frames a second", "render, noise 0.5 deg"):
        assert word in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]+"', page)
    shown = satgen(*words, "--out", tmp_path / "several", "--workers", 2)
    assert shown.returncode == 0, shown.stderr
    assert "tumble-3, noise 0.5 deg, 3 windows: PSNR in the silhouette" in shown.stdout
    assert "frames a second" in shown.stdout
    tables = [(tmp_path / n / "windows.parquet").read_bytes() for n in ("run", "several")]
    assert tables[0] == tables[1]
    a, b = f"{tmp_path / 'run'}:last", f"{tmp_path / 'run'}:flow"
    compared = satgen("predict", "--compare", a, b, "--json")
    assert compared.returncode == 0, compared.stderr
    found = {row["horizon"]: row for row in json.loads(compared.stdout)["rows"]}
    near = rows[rows["horizon"] == 1].drop_duplicates("model").set_index("model")
    gain = near.loc["flow", "psnr_silhouette"] - near.loc["last", "psnr_silhouette"]
    assert found[1]["psnr_silhouette"]["difference"] == pytest.approx(gain)
    # Each source of the poses that a model looks at is compared by itself.
    rendered = f"{tmp_path / 'run'}:render"
    compared = satgen("predict", "--compare", b, rendered, "--json")
    assert compared.returncode == 0, compared.stderr
    found = {(r["noise_deg_b"], r["horizon"]): r for r in json.loads(compared.stdout)["rows"]}
    assert len(found) == 2 * 2 and {row["windows"] for row in found.values()} == {3}
    assert {row["noise_deg_a"] for row in found.values()} == {None}
    assert found[0.0, 20]["psnr_silhouette"]["b"] == pytest.approx(exact)
    assert found[0.5, 20]["psnr_silhouette"]["b"] == pytest.approx(noisy)
    shown = satgen("predict", "--compare", b, rendered)
    assert "craft tumble-3  noise 0.5 deg" in shown.stdout, shown.stdout


def test_without_a_dataset_a_small_one_is_rendered(craft_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "datasets" / "predict" / "aura-tumble"
    make(craft_path, folder, stop=FIRST + 1)  # another one, as an earlier version left it
    words = ["predict", "--task", "frames", "--model", "black", "--model", "last", "--out", "run"]
    done = satgen(*words, "--json", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {row["motion"] for row in answer["rows"]} == {"tumble-3"}
    data = Dataset(folder)
    assert len(data) == 600 and data.camera.width == 128
    with pytest.raises(InputError, match="no dataset given"):
        predict(task="frames")


def _grey(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601, of values in 0…1."""
    return (rgb / 255.0) @ np.array([0.299, 0.587, 0.114])


def test_a_training_that_was_killed_ends_with_the_same_figures(
    tumbling: Path, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAIN)

    def words(name: str, workers: int = 1) -> list[str]:
        return [sys.executable, *map(str, (script, tumbling, tmp_path / name, workers))]

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(words("whole"), env=environment, check=True, timeout=PATIENCE_S)
    process = subprocess.Popen(words("killed"), env=environment)
    until = time.monotonic() + PATIENCE_S
    checkpoint = tmp_path / "killed" / "models" / "simvp" / "checkpoint.pt"
    while process.poll() is None and time.monotonic() < until:
        if checkpoint.is_file():
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    process.wait()
    subprocess.run(words("killed", 2), env=environment, check=True, timeout=PATIENCE_S)
    names = ("windows.parquet", "models/simvp/best.safetensors")
    for name in names:
        assert len({(tmp_path / run / name).read_bytes() for run in ("whole", "killed")}) == 1
    rows = json.loads((tmp_path / "whole" / "results.json").read_text())["rows"]
    learnt = [row for row in rows if row["model"] == "simvp"]
    assert {row["horizon"] for row in learnt} == {1, 3, 6}
    assert 0 < learnt[0]["parameters"] <= 4_000_000


def test_pose_models_of_ones_own_are_rendered(tumbling: Path, tmp_path: Path) -> None:
    """A function, and the weights of a network that a run of poses trained."""
    gru, mine = tmp_path / "gru.safetensors", tmp_path / "mine.py"
    model = LearnedModel(LearnedConfig(hidden=4, width=4, steps=1, batch=4))
    model.fit(Lab(frames=200).training(8))
    model.save(gru)
    mine.write_text(
        "def still(observed, future):\n"
        "    from bench.predict.kinematic import LastPose\n"
        "    return LastPose().forecast(observed, future)\n"
    )
    words = [tumbling, "--task", "frames", "--protocol", "10-20-64", "--windows", "all"]
    words += ["--stride", 150, "--noise", 0, "--horizon", 1, "--out", tmp_path / "run"]
    for name in (f"{mine}:still", gru, "last"):
        words += ["--model", f"render-{name}"]
    done = satgen("predict", *words, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    own, learnt, last = (row["psnr"] for row in answer["rows"])
    assert own == last < learnt
    mine.write_text(mine.read_text() + "\n")  # another model is another run
    again = satgen("predict", *words)
    assert again.returncode == 2 and "holds another prediction" in again.stderr, again.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nope"], "frame model 'nope': one of black, last"),
        (["--noise", -1], "--noise -1"),
        (["DATA", "--model", "nope"], "frame model 'nope': one of black, last"),
        (["DATA", "--model", "nowhere.py:forecast"], "cannot import"),
        (["DATA", "--protocol", "lab"], "frames protocol 'lab': one of 10-20-128"),
        (["DATA", "--windows", "all"], "would be larger: must be at most 64"),
        (["DATA", "--protocol", "10-20-64"], "but its longest block in this part has 24"),
        (["DATA", "--protocol", "10-20-64", "--horizon", 21], "horizon 21: 20 frames are forecast"),
        (["DATA", "--noise", "nan"], "--noise nan"),
        (["DATA", "--sequences", 3], "--sequences: protocol frames has no such parameter"),
        (["DATA", "--protocol", "10-20-64", "--windows", "all", "--model", "simvp"],
         "simvp is trained on some of them"),
        (["DATA", "--protocol", "10-20-64", "--windows", "all", "--poses", "hope"],
         "matcher 'hope'"),
        (["DATA", "--protocol", "10-20-64", "--windows", "all", "--model", "render-gru"],
         "'render-gru': gru must be trained first, by --task pose; give the weights"),
        (["DATA", "--protocol", "10-20-64", "--windows", "all", "--model", "render-hope"],
         "pose model 'hope'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_changes_nothing(
    words: list[object], said: str, tumbling: Path, tmp_path: Path
) -> None:
    given = [tumbling if word == "DATA" else word for word in words]
    before = tree(tumbling)
    done = satgen_here("predict", "--task", "frames", *given, "--out", tmp_path / "run")
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert tree(tumbling) == before and not list(tmp_path.iterdir())


def test_a_process_ends_as_its_refusal_says(tumbling: Path, tmp_path: Path) -> None:
    words = [tumbling, "--protocol", "10-20-64", "--windows", "all", "--model", "render-gru"]
    done = satgen("predict", "--task", "frames", *words, "--out", tmp_path / "run")
    assert done.returncode == 2 and "must be trained first" in done.stderr
    assert done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())
