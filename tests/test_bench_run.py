"""Runs of the matching benchmark: what they write, and that they resume, repeat and refuse."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import save_file

from bench.config import BenchConfig, Combination
from bench.report import write_report
from bench.run import RESULTS, RUN, PosedList, plan, run
from matchers.training.config import TrainConfig
from matchers.training.objectives import build
from matchers.truth.pairs import Pair, save_pairs
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.options import RenderOptions
from satgen.run import render

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
    assert near["pnp_rotation_error_deg"].max() < 2.0 and table["rotation_error_deg"].max() < 90.0
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


def test_workers_find_the_same(frames: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, pairs_per_gap=6)
    one = run(plan(config, [frames]), tmp_path / "one")
    two = run(plan(config, [frames]), tmp_path / "two", workers=2)
    same(one, two)


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


def test_another_run_is_refused_unless_it_is_to_be_replaced(frames: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(plan(CONFIG, [frames]), folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    other = plan(replace(CONFIG, seed=1), [frames])
    with pytest.raises(InputError, match="another run"):
        run(other, folder)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    run(other, folder, overwrite=True)
    assert json.loads((folder / RUN).read_text())["config"]["seed"] == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="no run"):
        run(other, tmp_path / "other", overwrite=True)


def test_a_list_is_run_as_it_is(frames: Path, tmp_path: Path) -> None:
    pairs = [Pair("aura", 4003, 4001), Pair("aura", 4000, 4009)]
    save_pairs(tmp_path / "list.csv", pairs)
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
    save_pairs(tmp_path / "list.csv", [Pair("aura", 4000, 4004), Pair("aura", 4002, 4009)])
    own = run(plan(config, [frames], pairs_file=tmp_path / "list.csv"), tmp_path / "own")
    assert list(posed["num_matches"]) == list(own["num_matches"])
    for name in ("rotation_error_deg", "translation_error_deg", "epipolar_precision"):
        assert posed[name].to_numpy() == pytest.approx(own[name].to_numpy(), abs=1e-6)
    assert "precision" not in posed or posed["precision"].isna().all()


def test_sweeps_run_lightglue_at_each_value() -> None:
    config = BenchConfig(sweeps=("depth-confidence",))
    found = config.combinations()
    assert found[0] == Combination("aliked", "lightglue") and not found[0].adaptive
    assert len({c.id for c in found}) == len(found) == len({c.label for c in found}) == 8
    assert {c.width_confidence for c in found[1:]} == {0.99}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gaps": (1, 50)}, "gap 50"),
        ({"gaps": (0,)}, "gap 0"),
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
