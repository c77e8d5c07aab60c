"""Runs of the matching benchmark: what they write, and that they resume, repeat and refuse."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from bench.api import bench_folders
from bench.compare import compare, comparison_table
from bench.config import BenchConfig
from bench.frame_looks import frame_look_of_worker
from bench.pair_judge import JudgeSettings, judged
from bench.pair_runner import PairRunner
from bench.plan import PosedList, plan
from bench.report import write_report
from bench.run import BENCH, RESULTS, RUN, BenchResult, _tasks, run, run_shard
from bench.run_tracks import carry_points
from bench.summary import summarise
from matchers.nearest import NearestNeighbour
from matchers.specs import MatcherSpec
from matchers.training.config import TrainConfig
from matchers.training.objectives import build
from matchers.truth.pairs import Pair, pairs_csv
from matchers.types import Features, Matches
from satgen import export
from satgen.cli import main
from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from satgen.exports import body
from satgen.options import RenderOptions
from satgen.run import render
from satgen.runfolder import first_free
from satgen.shards import Shard, shards_folder
from satgen.tasks import processes
from tests.datasets import command
from tests.limits import PATIENCE_S
from tests.loaded import assert_without_torch

CONFIG = BenchConfig(
    matchers=("nearest",),
    features=("sift",),
    gaps=(1, 4),
    pairs_per_gap=3,
    max_keypoints=200,
    repeats=1,
    threads=1,
)
TIMES = ["match_ms", "extract_ms"]


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of Aura."""
    folder = tmp_path_factory.mktemp("bench") / "aura"
    options = RenderOptions(target="aura", start=4000, stop=4009, width=320, height=320)
    render(options, folder, workers=1)
    return folder


def same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(a.drop(columns=TIMES), b.drop(columns=TIMES))


def test_a_row_for_every_pair(frames: Path, tmp_path: Path) -> None:
    table = run(plan(CONFIG, [frames]), tmp_path / "run")
    assert len(table) == 12 and set(table["gap"]) == {1, 4}
    assert set(table["combination"]) == {"sift-nearest", "sift-nearest-r0.8"}
    assert set(table["target"]) == {"aura"}
    assert table["view_angle_deg"].between(0.9, 4.2).all()
    assert table["phase_deg"].to_numpy() == pytest.approx(35.0, abs=1e-6)
    near = table[table["gap"] == 1]
    assert near["precision"].min() > 0.6 and near["num_matches"].min() > 20
    # of a few degrees at 320 pixels a relative pose may fail, but few do
    assert (
        near["pnp_rotation_error_deg"].max() < 2.0 and table["rotation_error_deg"].median() < 30.0
    )
    assert (table["flops"] == table["flops_full"]).all() and table["agreement"].isna().all()
    written = pd.read_parquet(tmp_path / "run" / "pairs.parquet")
    assert list(written["index0"]) == list(table["index0"])
    for parts, correct in zip(table["parts"], table["num_correct"], strict=True):
        assert sum(entry["correct"] for entry in json.loads(parts).values()) == correct
    assert len(list((tmp_path / "run" / "matches").rglob("*.npz"))) == 12


def test_precision_recall_and_f1_are_of_the_same_pairs(frames: Path, tmp_path: Path) -> None:
    planned = plan(replace(CONFIG, max_keypoints=1, pairs_per_gap=6), [frames])
    table = run(planned, tmp_path / "run")
    none = table["num_true_matches"] == 0
    assert 0 < none.sum() < len(table) and table.loc[none, "num_wrong"].sum() > 0
    for name in ("precision", "recall", "f1"):
        assert table[name].isna().equals(none)
    # one keypoint is found or it is not
    assert table["precision"].equals(table["f1"])


def test_shards_come_to_the_run_that_one_machine_makes(frames: Path, tmp_path: Path) -> None:
    planned = plan(CONFIG, [frames])
    whole = run(planned, tmp_path / "one")
    out = tmp_path / "two"
    assert run_shard(planned, out, Shard(2, 3)) == 2
    with pytest.raises(InputError, match="shards 1,3 of 3 are not complete"):
        run(planned, out)
    for number in (1, 3):
        assert run_shard(planned, out, Shard(number, 3)) == 2
    results = Shard(3, 3).folder(out) / RESULTS
    lines = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(InputError, match="shards 3 of 3 are not complete"):
        run(planned, out)
    assert not out.exists()
    run_shard(planned, out, Shard(3, 3))
    other = plan(replace(CONFIG, seed=1), [frames])
    with pytest.raises(InputError, match="holds another shard of a benchmark"):
        run(other, out)
    with pytest.raises(InputError, match="there are only 6 pairs"):
        run_shard(planned, tmp_path / "three", Shard(1, 7))
    seen: list[tuple[int, int]] = []
    same(whole, run(planned, out, progress=lambda done, total: seen.append((done, total))))
    assert seen[0] == (6, 6)  # nothing was left to do
    assert not shards_folder(out).exists()
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    one = tmp_path / "one"
    assert names == sorted(p.relative_to(one).as_posix() for p in one.rglob("*") if p.is_file())


def test_a_torn_run_goes_on_where_it_stopped(frames: Path, tmp_path: Path) -> None:
    planned = plan(CONFIG, [frames])
    whole = run(planned, tmp_path / "run")
    results = tmp_path / "run" / RESULTS
    lines = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(b"".join(lines[:5]) + lines[5][:40])
    seen: list[tuple[int, int]] = []
    again = run(planned, tmp_path / "run", progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (2, 6) and seen[-1] == (6, 6)
    same(whole, again)
    names = ["index0", "index1", "combination"]
    kept = [json.loads(line) for line in lines[:4]]
    for row in kept:
        found = again[(again[names] == [row[name] for name in names]).all(axis=1)]
        assert found["match_ms"].item() == row["match_ms"]


def test_a_rolled_image_is_judged_in_its_frame(frames: Path, tmp_path: Path) -> None:
    """The truth about all keypoints is what it is upright: quarter turns resample nothing."""
    config = replace(CONFIG, matchers=("nearest", "truth"), roll_gaps=(0.0, 90.0, 45.0))
    planned = plan(config, [frames])
    table = run(planned, tmp_path / "run", report=True)
    assert len(table) == 3 * 18 and set(table["roll_gap_deg"]) == {0.0, 45.0, 90.0}
    ratio = table[table["combination"] == "sift-nearest-r0.8"].groupby("roll_gap_deg")
    assert ratio["precision"].mean().min() > 0.6
    assert ratio["num_correct"].mean()[90.0] > 0.9 * ratio["num_correct"].mean()[0.0]
    assert ratio["num_correct"].mean()[45.0] > 0.6 * ratio["num_correct"].mean()[0.0]
    truth = table[table["combination"] == "sift-truth"]
    assert truth["f1"].min() == 1.0 and truth["pnp_rotation_error_deg"].median() < 1.0
    summary = json.loads((tmp_path / "run" / "results.json").read_text())
    assert set(summary["combinations"][0]["by_roll"]) == {"0", "45", "90"}
    assert (tmp_path / "run" / "plots" / "roll.png").is_file()
    same(table, run(planned, tmp_path / "run"))


def test_rolls_that_make_no_sense(frames: Path) -> None:
    for change in ({"roll_gaps": ()}, {"roll_gaps": (1.0, 1.0)}, {"roll_gaps": (float("nan"),)}):
        with pytest.raises(InputError, match="roll_gaps"):
            replace(CONFIG, **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="upright frames only"):
        replace(CONFIG, roll_gaps=(0.0, 10.0), pairs_per_gap=None)


def test_matches_on_the_background_are_wrong(frames: Path, tmp_path: Path) -> None:
    """Without the silhouette keypoints lie behind the target, and to match them is an error."""
    data = Dataset(frames)
    folder = tmp_path / "lit"
    shutil.copytree(frames, folder)
    texture = np.random.default_rng(0).integers(0, 255, (320, 320, 3), dtype=np.uint8)
    background = cv2.normalize(
        cv2.GaussianBlur(texture, (0, 0), 2.0), np.zeros(0), 0, 255, cv2.NORM_MINMAX
    )
    for index in data.indices:
        seen = data.parts(index)[..., None] > 0
        shown = np.where(seen, data.rgb(index), background)
        cv2.imwrite(str(folder / "rgb" / f"{index:06d}.png"), shown[..., ::-1])
    found = {}
    for silhouette in (True, False):
        config = replace(CONFIG, silhouette=silhouette, gaps=(4,))
        table = run(plan(config, [folder]), tmp_path / f"run-{silhouette}")
        found[silhouette] = table[table["combination"] == "sift-nearest-r0.8"]
    # the same background in both frames: it is matched where it stands, against the target
    assert found[True]["precision"].min() > 0.5
    assert found[False]["num_wrong"].min() > 30
    assert found[False]["precision"].max() < 0.5 * found[True]["precision"].min()


def test_workers_find_the_same(frames: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, pairs_per_gap=6)
    one = run(plan(config, [frames]), tmp_path / "one")
    two = run(plan(config, [frames]), tmp_path / "two", workers=2)
    same(one, two)


@pytest.mark.parametrize("changes", [{}, {"batch": 4, "roll_gaps": (0.0, 45.0)}])
def test_pairs_judged_in_workers_are_the_same(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """As where a GPU matches: this process does, others judge, and rows come in order."""
    config = replace(CONFIG, matchers=("nearest", "truth"), pairs_per_gap=6, **changes)
    planned = plan(config, [frames])
    one = run(planned, tmp_path / "one", workers=0)
    monkeypatch.setattr("bench.run.shares_tasks", lambda device: False)
    seen: list[int] = []
    two = run(planned, tmp_path / "two", workers=2, progress=lambda done, _: seen.append(done))
    same(one, two)
    assert seen == list(range(len(planned.pairs) + 1))  # each pair is told of

    def lines(folder: str) -> list[dict[str, Any]]:
        text = (tmp_path / folder / RESULTS).read_text().splitlines()
        return [
            {k: v for k, v in json.loads(x).items() if k not in (*TIMES, "crc32")} for x in text
        ]

    assert json.dumps(lines("one")) == json.dumps(lines("two"))  # in order, column by column
    kept = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one" / "matches").rglob("*.npz")]
    assert kept and all(
        (tmp_path / "one" / p).read_bytes() == (tmp_path / "two" / p).read_bytes() for p in kept
    )
    results = tmp_path / "two" / RESULTS
    results.write_bytes(b"".join(results.read_bytes().splitlines(keepends=True)[:7]))
    same(one, run(planned, tmp_path / "two", workers=1))
    # some of more workers read frames; of SIFT they extract them as well
    monkeypatch.setattr("bench.run.readers_of", lambda workers, detect: workers - 1)
    same(one, run(planned, tmp_path / "three", workers=3))


def test_frames_are_read_and_pairs_judged_without_torch(frames: Path) -> None:
    config = replace(CONFIG, matchers=("nearest",), pairs_per_gap=2)
    planned = plan(config, [frames])
    runner = PairRunner(config, planned.lineup, 1)
    tasks = _tasks(planned, frames, set())
    key = (frames, planned.pairs[0].index0, 30.0)
    with processes(1, None) as pool:
        (seen,) = pool.submit(frame_look_of_worker, True, key).result()
        assert seen.mask is not None and seen.mask.any()
        settings = JudgeSettings.of(config, planned.lineup)
        rows = [
            row
            for matched in runner.matched(tasks)
            for row in pool.submit(judged, settings, replace(matched, keep=None)).result()
        ]
        assert_without_torch(pool, "cv2")
    assert len(rows) >= len(planned.pairs) and any(row["num_matches"] > 10 for row in rows)


def test_an_error_in_a_judge_is_its_own(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.run.shares_tasks", lambda device: False)
    copy = Path(shutil.copytree(frames, tmp_path / "aura"))
    planned = plan(CONFIG, [copy])
    depth = copy / "depth" / f"{planned.pairs[0].index0:06d}.png"
    depth.write_bytes(depth.read_bytes()[:100])
    with pytest.raises(InputError, match=rf"{depth.name}"):
        run(planned, tmp_path / "run", workers=1)


@pytest.mark.parametrize("pairs_per_gap", [4, None])
def test_batches_find_the_same(frames: Path, tmp_path: Path, pairs_per_gap: int | None) -> None:
    weights = tmp_path / "lightglue.safetensors"
    save_file(build(TrainConfig(layers=3)).state_dict(), weights)
    config = replace(
        CONFIG, matchers=("lightglue", "nearest"), weights=str(weights), pairs_per_gap=pairs_per_gap
    )
    one = run(plan(config, [frames]), tmp_path / "one")
    three = run(plan(replace(config, batch=3), [frames]), tmp_path / "three")
    names = [name for name in one if one[name].dtype.kind in "iub" or name == "combination"]
    pd.testing.assert_frame_equal(one[names], three[names])
    for name in ("f1", "precision", "stop_layer", "pruned_fraction", "agreement"):
        np.testing.assert_allclose(one[name], three[name])
    assert one["num_matches"].min() > 10 and one["stop_layer"].max() == 3.0


def test_of_gaps_that_nobody_named_those_are_taken_that_there_are(frames: Path) -> None:
    planned = plan(BenchConfig(matchers=("nearest",), features=("sift",)), [frames])
    assert {pair.gap for pair in planned.pairs} == {1, 2, 5}
    (note,) = planned.notes
    assert note.startswith("aura has no frames 10, 20, 30, 45, 60 indices apart: gaps are 1, 2, 5")
    assert plan(CONFIG, [frames]).notes == ()
    with pytest.raises(InputError, match="gap 10: beyond the range of aura"):
        plan(replace(CONFIG, gaps=(1, 10)), [frames])


def test_another_run_is_refused_unless_it_is_to_be_replaced(frames: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(plan(CONFIG, [frames]), folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    other = plan(replace(CONFIG, seed=1), [frames])
    with pytest.raises(InputError, match=r"another benchmark \(config\.seed is 0 there and 1 here"):
        run(other, folder)
    with pytest.raises(InputError, match="--no-resume forbids"):
        run(plan(CONFIG, [frames]), folder, resume=False)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    run(other, folder, overwrite=True)
    assert json.loads((folder / RUN).read_text())["config"]["seed"] == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        run(other, tmp_path / "other", overwrite=True)


def test_a_list_is_run_as_it_is(frames: Path, tmp_path: Path) -> None:
    pairs = [Pair("aura", 4003, 4001), Pair("aura", 4000, 4009)]
    (tmp_path / "list.csv").write_bytes(pairs_csv(pairs))
    table = run(plan(CONFIG, [frames], pairs_file=tmp_path / "list.csv"), tmp_path / "run")
    assert set(zip(table["index0"], table["index1"], strict=True)) == {(4000, 4009), (4003, 4001)}


def test_consecutive_frames_are_followed(frames: Path, tmp_path: Path) -> None:
    table = run(plan(replace(CONFIG, pairs_per_gap=None), [frames]), tmp_path / "run")
    assert list(table["gap"]) == [1] * 18
    tracks = pd.read_parquet(tmp_path / "run" / "tracks.parquet")
    tracks = tracks[tracks["combination"] == "sift-nearest"]
    table = table[table["combination"] == "sift-nearest"]
    # Every keypoint of every frame is on one track.
    keypoints = table["num_keypoints0"].sum() + table["num_keypoints1"].iloc[-1]
    assert tracks["length"].sum() == keypoints
    assert (tracks["length"] - 1).sum() == table["num_matches"].sum()
    assert tracks["length"].max() >= 5 and set(tracks["start_index"]) <= set(range(4000, 4010))


def test_points_of_tapvids_export_are_carried_and_compared(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, pairs_per_gap=None, clip=6, matchers=("nearest", "truth"))
    table = run(plan(config, [frames]), tmp_path / "run", report=True)
    ids = list(dict.fromkeys(table["combination"]))
    points = pd.read_parquet(tmp_path / "run" / "points.parquet")
    assert list(points["combination"]) == [*ids, *ids]
    assert list(points["start_index"]) == 3 * [4000] + 3 * [4006]
    assert list(points["frames"]) == 3 * [6] + 3 * [4]
    out = export(frames, "tapvid", tmp_path / "tapvid", clip=6, quiet=True)
    for first, rows in points.groupby("start_index"):
        ((_, clip),) = pickle.loads((out / f"aura_{first:06d}.pkl").read_bytes()).items()
        assert set(rows["points"]) == {(~clip["occluded"]).any(axis=1).sum()}
        assert rows["delta_16"].between(0.8, 1.0).all()  # a degree a frame takes none far
    summary = json.loads((tmp_path / "run" / "results.json").read_text())
    found = summary["combinations"][2]["points"]
    assert found["clips"] == 2 and found["points"] == points["points"][[2, 5]].sum()
    assert found["delta_4"] == pytest.approx(points["delta_4"][[2, 5]].mean(), rel=1e-5)
    assert "AJ_RD" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "as TAP-Vid" in str(BenchResult(tmp_path / "run"))
    answer = compare(f"{tmp_path / 'run'}:{ids[0]}", f"{tmp_path / 'run'}:{ids[2]}")
    between = answer["combinations"][0]["points"]["delta_avg"]
    assert between["a"] > 0.5 and between["pairs"] == 2 and between["low"] is None
    assert "points carried" in comparison_table(answer)

    def gone(data: Dataset) -> Any:
        raise InputError("no model")

    monkeypatch.setattr(body, "body_of", gone)
    none = carry_points(tmp_path / "run", tmp_path / "run" / "matches")
    description = BenchResult(tmp_path / "run").description
    summary = summarise(table, description, None, none)
    assert none.empty and "points" not in summary["combinations"][0]


def test_the_truth_is_what_no_matcher_exceeds(frames: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, matchers=("nearest", "truth"))
    table = run(plan(config, [frames]), tmp_path / "run")
    truth = table[table["combination"] == "sift-truth"]
    assert len(truth) == 6 and (truth["num_matches"] == truth["num_true_matches"]).all()
    assert (truth[["precision", "recall", "f1"]] == 1.0).all(axis=None)
    assert truth[["match_ms", "flops", "stop_layer", "agreement"]].isna().all(axis=None)
    data = Dataset(frames)
    K = data.camera.K
    for i, j in zip(truth["index0"], truth["index1"], strict=True):
        with np.load(tmp_path / "run/matches/sift-truth" / f"aura_{i:06d}_{j:06d}.npz") as kept:
            ends = [kept[f"keypoints{side}"][kept["matches"][:, side]] for side in (0, 1)]
        columns, rows = np.rint(ends[0]).astype(int).T
        z = data.depth(i)[rows, columns]
        rays = np.c_[ends[0], np.ones(len(z))] @ np.linalg.inv(K).T
        T = data.pose(j) @ np.linalg.inv(data.pose(i))
        vector, _ = cv2.Rodrigues(T[:3, :3])
        moved = cv2.projectPoints(rays * z[:, None], vector, T[:3, 3], K, None)[0][:, 0]
        away = np.linalg.norm(moved - ends[1], axis=1)[z > 0.0]
        assert len(away) > 10 and np.quantile(away, 0.9) < 3.0
    write_report(tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "results.json").read_text())
    entry = next(c for c in summary["combinations"] if c["id"] == "sift-truth")
    assert entry["overall"]["f1"] == 1.0 and "match_ms" not in entry["overall"]


def test_posed_pairs_give_the_pose_errors_of_the_dataset(frames: Path, tmp_path: Path) -> None:
    data = Dataset(frames)
    K = data.camera.K
    lines = []
    for i, j in ((4000, 4004), (4002, 4009)):
        T = data.pose(j) @ np.linalg.inv(data.pose(i))
        numbers = " ".join(map(repr, map(float, np.concatenate([K.ravel(), K.ravel(), T.ravel()]))))
        lines.append(f"rgb/{i:06d}.png rgb/{j:06d}.png 0 0 {numbers}\n")
    listed = tmp_path / "pairs_with_gt.txt"
    listed.write_text("".join(lines))
    config = replace(CONFIG, silhouette=False)
    posed = run(plan(config, [], posed=[PosedList(listed, frames)]), tmp_path / "posed")
    (tmp_path / "list.csv").write_bytes(
        pairs_csv([Pair("aura", 4000, 4004), Pair("aura", 4002, 4009)])
    )
    own = run(plan(config, [frames], pairs_file=tmp_path / "list.csv"), tmp_path / "own")
    assert list(posed["num_matches"]) == list(own["num_matches"])
    for name in ("rotation_error_deg", "translation_error_deg", "epipolar_precision"):
        assert posed[name].to_numpy() == pytest.approx(own[name].to_numpy(), abs=1e-6)
    assert "precision" not in posed or posed["precision"].isna().all()


def test_sweeps_run_lightglue_at_each_value() -> None:
    config = BenchConfig(sweeps=("depth-confidence",))
    found = config.combinations()
    assert (found[0].features, found[0].matcher) == ("aliked", "lightglue")
    assert not found[0].adaptive
    assert len({c.id for c in found}) == len(found) == len({c.label for c in found}) == 8
    assert {c.options["width_confidence"] for c in found[1:]} == {0.99}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gaps": (1, 50)}, "gap 50"),
        ({"gaps": (0,)}, "gaps 0"),
        ({"matchers": ("superpoint",)}, "superpoint"),
        ({"features": ("surf",)}, "surf"),
        ({"weights": "nowhere.safetensors", "matchers": ("lightglue",)}, "nowhere"),
    ],
)
def test_what_cannot_be_run_is_refused(
    frames: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        plan(replace(CONFIG, **changes), [frames])  # type: ignore[arg-type]


def test_what_is_missing_is_named(frames: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(frames, tmp_path / "aura"))
    with pytest.raises(InputError, match="called aura too"):
        plan(CONFIG, [frames, copy])
    (copy / "depth" / "004005.png").unlink()
    with pytest.raises(InputError, match=r"depth.004005\.png.*missing"):
        plan(replace(CONFIG, pairs_per_gap=50), [copy])
    with pytest.raises(InputError, match="no dataset"):
        plan(CONFIG, [])
    with pytest.raises(InputError):
        plan(CONFIG, [tmp_path])
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(InputError, match=r"list\.txt: matcher truth: .* no depth"):
        plan(
            replace(CONFIG, matchers=("truth",)), [], posed=[PosedList(tmp_path / "list.txt", copy)]
        )


# --- one folder, one run --------------------------------------------------------------------------


def lightglue(path: Path, seed: int) -> Path:
    """Weights of a small network that has learnt nothing."""
    save_file(build(TrainConfig(layers=2, dim=32, heads=2, seed=seed)).state_dict(), path)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_two_at_once_into_one_folder(frames: Path, tmp_path: Path) -> None:
    """At every moment of the first one, the second is refused in a line; the folder stays whole."""
    config = replace(CONFIG, pairs_per_gap=6)
    planned, out = plan(config, [frames]), tmp_path / "run"
    words = (
        "bench", frames, "--matcher", "nearest", "--features", "sift", "--gap", 1, "--gap", 4,
        "--pairs", 6, "--max-keypoints", 200, "--repeats", 1, "--threads", 1, "--quiet",
        "--out", out,
    )  # fmt: skip
    first = subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not out.exists() and first.poll() is None:
        time.sleep(0.001)
    messages = []
    while first.poll() is None:
        try:
            run(planned, out)
        except InputError as error:
            messages.append(str(error))
        time.sleep(0.01)
    _, errors = first.communicate()
    refused = f"{out}: another satgen bench is writing into it"
    assert (first.returncode, errors) in ((0, ""), (2, f"Error: {refused}\n"))
    assert set(messages) <= {refused} and (messages or first.returncode == 2)
    assert len(run(planned, out)) == len(pd.read_parquet(out / "pairs.parquet")) == 2 * 12
    assert len((out / RESULTS).read_text().splitlines()) == 2 * 12


def test_other_weights_behind_the_same_words_are_another_run(frames: Path, tmp_path: Path) -> None:
    weights, out = tmp_path / "w.safetensors", tmp_path / "run"
    config = replace(CONFIG, matchers=("lightglue",), weights=str(weights))
    lightglue(weights, 0)
    run(plan(config, [frames]), out)
    before, elsewhere = files(out), tmp_path / "v.safetensors"
    shutil.copyfile(weights, elsewhere)
    lightglue(weights, 1)
    with pytest.raises(InputError, match=r"weights\.lightglue on sift is \w+… there and \w+… here"):
        run(plan(config, [frames]), out)
    assert files(out) == before
    # the same content goes on, wherever it lies
    run(plan(replace(config, weights=str(elsewhere)), [frames]), out)
    # and after a kill no row of the one network stays beside the other's
    lines = (out / RESULTS).read_bytes().splitlines(keepends=True)
    (out / RESULTS).write_bytes(b"".join(lines[:6]))
    (out / "pairs.parquet").unlink()
    other = plan(config, [frames])
    with pytest.raises(InputError, match=r"weights\.lightglue on sift"):
        run(other, out)
    table = run(other, out, overwrite=True)
    same(table, run(other, tmp_path / "fresh"))


def test_another_list_or_images_behind_the_same_names_are_another_run(
    frames: Path, tmp_path: Path
) -> None:
    data = Dataset(frames)
    K = data.camera.K.ravel()

    def write(*pairs: tuple[int, int]) -> None:
        lines = []
        for i, j in pairs:
            T = (data.pose(j) @ np.linalg.inv(data.pose(i))).ravel()
            numbers = " ".join(map(repr, map(float, [*K, *K, *T])))
            lines.append(f"{i:06d}.png {j:06d}.png 0 0 {numbers}\n")
        listed.write_text("".join(lines))

    listed, images = tmp_path / "list.txt", tmp_path / "images"
    shutil.copytree(frames / "rgb", images)
    config, out = replace(CONFIG, silhouette=False), tmp_path / "run"
    posed = [PosedList(listed, images)]
    write((4000, 4004))
    run(plan(config, [], posed=posed), out)
    write((4000, 4004), (4001, 4005))
    with pytest.raises(InputError, match=r"posed\.list\.list is"):
        run(plan(config, [], posed=posed), out)
    write((4000, 4004))
    run(plan(config, [], posed=posed), out)
    shutil.copyfile(images / "004005.png", images / "004004.png")
    with pytest.raises(InputError, match=r"posed\.list\.images is"):
        run(plan(config, [], posed=posed), out)
    (images / "004004.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"list\.txt: line 1: .*004004\.png is not a readable"):
        plan(config, [], posed=posed)
    copy = tmp_path / "copy" / "list.txt"
    copy.parent.mkdir()
    with pytest.raises(InputError, match="another list or dataset is called list too"):
        plan(config, [], posed=[PosedList(listed, frames / "rgb"), PosedList(copy, images)])


def test_other_frames_behind_the_same_name_are_another_run(frames: Path, tmp_path: Path) -> None:
    copy, out = Path(shutil.copytree(frames, tmp_path / "aura")), tmp_path / "run"
    run(plan(CONFIG, [frames]), out)
    run(plan(CONFIG, [copy]), out)  # the same frames elsewhere
    assert json.loads((out / RUN).read_text())["datasets"][0]["path"] == str(copy)
    options = RenderOptions(target="aura", start=4000, stop=4009, width=320, height=320, seed=1)
    render(options, copy, workers=1, overwrite=True)
    with pytest.raises(InputError, match=r"datasets\.aura\.dataset\.json is"):
        run(plan(CONFIG, [copy]), out)


def test_matches_that_were_deleted_are_made_again(frames: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, pairs_per_gap=None)
    table = run(plan(config, [frames]), tmp_path / "run")
    kept = sorted((tmp_path / "run" / "matches").rglob("*.npz"))
    before = kept[3].read_bytes()
    kept[3].unlink()
    same(run(plan(config, [frames]), tmp_path / "run"), table)
    assert kept[3].read_bytes() == before


def test_what_is_refused_leaves_the_disk_as_it_was(frames: Path, tmp_path: Path) -> None:
    odd = lightglue(tmp_path / "odd.safetensors", 0)
    odd.write_bytes(odd.read_bytes()[:-100])
    absent = "mps" if torch.cuda.is_available() else "cuda"
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "a" / "run"
    for more in (
        ("--device", absent),
        ("--features", "superpoint"),
        ("--weights", odd),
        ("--gap", 99),
        ("--pairs", tmp_path / "none.csv"),
        ("--posed", tmp_path / "none.txt", frames),
    ):
        matcher = ("--matcher", "lightglue" if "--weights" in more else "nearest")
        words = ("bench", frames, "--features", "sift", *matcher, "--out", out, *more)
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 2, (more, done.output)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert sorted(tmp_path.rglob("*")) == before, more


def test_without_a_name_a_run_finds_a_free_folder(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = lightglue(tmp_path / "w.safetensors", 0)

    config = replace(CONFIG, matchers=("lightglue",), weights=str(weights), pairs_per_gap=1)

    def bench() -> Path:
        planned = plan(config, [frames])
        folder = first_free(bench_folders(), BENCH, planned.identity)
        run(planned, folder)
        return folder

    (tmp_path / "runs" / "bench" / "matches").mkdir(parents=True)  # what a kill may leave
    assert bench() == bench() == Path("runs/bench")
    first = weights.read_bytes()
    lightglue(weights, 1)
    assert bench() == bench() == Path("runs/bench-2")
    weights.write_bytes(first)
    assert bench() == Path("runs/bench")


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_is_answered_at_once(frames: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "run"
    words = (
        "bench", frames, "--matcher", "nearest", "--features", "sift", "--pairs", "all", "--quiet",
        "--repeats", 1000, "--threads", 1, "--workers", workers, "--out", out,
    )  # fmt: skip
    process = subprocess.Popen(
        command(*words),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not (out / RESULTS).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers get it, too
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert errors.startswith("Interrupted: ") and len(errors.splitlines()) == 1
    assert json.loads((out / RUN).read_text())["config"]["repeats"] == 1000


class Third:
    """A matcher of somebody's own: it takes no batches, and says nothing of its operations."""

    def __init__(self, features: str) -> None:
        assert features == "sift"

    def __call__(self, first: Features, second: Features) -> Matches:
        assert not first.batched
        matches: Matches = NearestNeighbour()(first, second)
        return matches


@pytest.mark.parametrize("changes", [{}, {"batch": 3}, {"pairs_per_gap": None}])
def test_a_third_matcher_is_itself(frames: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    config = replace(CONFIG, matchers=(Third, "nearest"), **changes)
    table = run(plan(config, [frames]), tmp_path / "run", report=True)
    name = f"{Third.__module__}:Third"
    third, nearest = (table[table["matcher"] == m].reset_index() for m in (name, "nearest"))
    nearest = nearest[nearest["combination"] == "sift-nearest"].reset_index()
    assert len(third) and list(third["num_matches"]) == list(nearest["num_matches"])
    assert third["flops"].isna().all() and third["flops_full"].isna().all()
    assert nearest["flops"].gt(0).all()
    summary = json.loads((tmp_path / "run" / "results.json").read_text())
    entry = summary["combinations"][0]
    assert entry["matcher"] == name and entry["overall"].get("flops") is None
    assert summary["config"]["matchers"] == [name, "nearest"]
    sources = json.loads((tmp_path / "run" / RUN).read_text())["identity"]["sources"]
    assert list(sources) == [name]


def test_a_third_matcher_runs_in_workers(frames: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, matchers=("tests.test_bench_run:Third",), pairs_per_gap=6)
    one = run(plan(config, [frames]), tmp_path / "one")
    same(one, run(plan(config, [frames]), tmp_path / "two", workers=2))


def test_what_is_no_answer_is_named(frames: Path, tmp_path: Path) -> None:
    spec = MatcherSpec("odd", build=lambda: lambda first, second: {"matches": []})
    with pytest.raises(RunError, match=r"dict: must be matchers\.types\.Matches"):
        run(plan(replace(CONFIG, matchers=(spec,)), [frames]), tmp_path / "run")
