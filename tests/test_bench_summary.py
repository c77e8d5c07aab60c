"""Summaries, tables and comparisons of runs, from tables that can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.compare import compare, comparison_table
from bench.config import BenchConfig, Combination, combination_json
from bench.result import clean
from bench.run import RUN, TABLE
from bench.summary import difference, summarise
from bench.table import table as as_text
from satgen.errors import InputError

FULL, ADAPTIVE, PLAIN, _ = BenchConfig(
    matchers=("lightglue", "nearest"), features=("sift",)
).combinations()


def row(combination: Combination, index: int, gap: int, **changes: Any) -> dict[str, Any]:
    lightglue = combination.matcher == "lightglue"
    counts = {"keypoints": 10, "with_match": 8, "matches": 8, "correct": 6, "wrong": 2, "found": 6}
    return {
        "dataset": "aura",
        "target": "aura",
        "index0": index,
        "index1": index + gap,
        "gap": gap,
        "roll_gap_deg": 0.0,
        "view_angle_deg": float(gap),
        "phase_deg": 40.0,
        "elevation_deg": 10.0,
        "combination": combination.id,
        "features": combination.features,
        "matcher": combination.matcher,
        "adaptive": combination.adaptive,
        "precision": 0.75,
        "recall": 0.75,
        "f1": 0.75,
        "pose_error_deg": 5.0,
        "rotation_error_deg": 1.0,
        "match_ms": 10.0,
        "flops": 100,
        "flops_full": 100,
        "num_matches": 8,
        "stop_layer": 4.0 if lightglue else np.nan,
        "num_layers": 4.0 if lightglue else np.nan,
        "pruned_fraction": 0.0 if lightglue else np.nan,
        "points_per_layer": [20, 20, 20, 20] if lightglue else [],
        "agreement": np.nan,
        "parts": json.dumps({"bus": counts}),
        "confusions": json.dumps([["bus", "wing", 2]]),
    } | changes


def rows() -> pd.DataFrame:
    """Two pairs a gap, at gaps 1 and 10."""
    found = []
    for index in (1, 2):
        for gap in (1, 10):
            found.append(row(PLAIN, index, gap, f1=0.5))
            found.append(row(FULL, index, gap, f1=0.9 if gap == 1 else 0.6, match_ms=20.0))
            left = {
                "stop_layer": 2.0, "points_per_layer": [20, 10], "pruned_fraction": 0.5,
                "flops": 40, "match_ms": 5.0, "agreement": 0.8, "f1": 0.8 if gap == 1 else 0.5,
            }  # fmt: skip
            found.append(row(ADAPTIVE, index, gap, **(left if index == 1 else {"agreement": 1.0})))
    return pd.DataFrame(found)


def description(*combinations: Combination) -> dict[str, Any]:
    return {
        "format": "satgen-bench",
        "command": "satgen bench",
        "versions": {"satgen": "0"},
        "machine": {"cpu": "one", "cores": 2, "threads": None, "device": "cpu", "platform": "p"},
        "config": BenchConfig().to_json(),
        "datasets": [{"name": "aura", "target": "aura", "frames": 20, "path": "/nowhere"}],
        "combinations": [combination_json(c) for c in combinations],
    }


SUMMARY = summarise(rows(), description(PLAIN, FULL, ADAPTIVE))


def entry(combination: Combination, summary: dict[str, Any] = SUMMARY) -> dict[str, Any]:
    return next(e for e in summary["combinations"] if e["id"] == combination.id)


def test_means_by_gap_and_over_all() -> None:
    found = entry(FULL)
    assert found["by_gap"]["1"]["f1"] == 0.9 and found["by_gap"]["10"]["f1"] == 0.6
    assert found["overall"]["f1"] == 0.75 and found["overall"]["pairs"] == 4
    assert found["by_target"]["aura"]["overall"] == found["overall"]
    # four errors of 5 degrees: a line from (0, 0) to (5, 1/4), up to (5, 1), then level
    assert found["overall"]["auc_5deg"] == 0.0
    assert found["overall"]["auc_10deg"] == pytest.approx((5 / 8 + 5) / 10)
    assert "stop_layer" not in entry(PLAIN)["overall"]
    assert [r["from"] for r in found["by_phase"]] == [30.0]
    assert [r["from"] for r in found["by_view_angle"]] == [0.0, 7.5]


def test_conditions_are_compared_within_gaps() -> None:
    # F1 depends on the gap alone; of the pairs above the equator only the short gaps are there
    by_gap = {1: 0.95, 2: 0.94, 20: 0.5, 60: 0.2}
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        row(PLAIN, index, gap, elevation_deg=elevation, f1=f1 + rng.normal(0.0, 0.02))
        for gap, f1 in by_gap.items()
        for elevation in (-15.0, 15.0)
        for index in range(20)
        if elevation < 0.0 or gap < 20
    )
    means = table.groupby("elevation_deg")["f1"].mean()
    assert means[15.0] - means[-15.0] > 0.25
    below, above = entry(PLAIN, summarise(table, description(PLAIN)))["by_elevation"]
    assert (below["from"], above["from"], below["pairs"], above["pairs"]) == (-30.0, 0.0, 80, 40)
    for found in (below, above):
        difference = found["f1_difference"]
        assert difference["low"] < 0.0 < difference["high"] and difference["pairs"] == 40
        assert abs(difference["difference"]) < 0.01
    assert below["f1_difference"]["difference"] == -above["f1_difference"]["difference"]
    assert {gap: found["pairs"] for gap, found in below["by_gap"].items()} == {
        "1": 20, "2": 20, "20": 20, "60": 20,
    }  # fmt: skip
    assert above["by_gap"]["1"]["f1"] == pytest.approx(0.95, abs=0.02)
    assert "f1" not in below  # of all gaps together it would say what the gaps do


def test_counts_of_parts_add_up() -> None:
    bus = entry(FULL)["by_part"]["bus"]
    assert bus["keypoints"] == 40 and bus["correct"] == 24
    assert bus["precision"] == bus["recall"] == bus["f1"] == 0.75
    assert entry(FULL)["confusions"] == [["bus", "wing", 8]]


def test_savings_against_full_depth() -> None:
    saved = entry(ADAPTIVE)["saved"]
    # one of two pairs leaves after 2 of 4 layers, with half of the points
    assert saved["stop_layer"] == 3.0 and saved["layers_saved"] == 0.25
    assert saved["points_pruned"] == 0.25 and saved["agreement"] == 0.9
    assert saved["flops_saved"] == pytest.approx(1 - (40 + 100) / 200)
    assert saved["speed_up"] == pytest.approx(1 / ((5 / 20 + 10 / 20) / 2), rel=1e-5)
    assert saved["stop_layers"] == {"2": 2, "4": 2}
    assert [layer["pairs"] for layer in saved["alive_by_layer"]] == [1.0, 1.0, 0.5, 0.5]
    assert [layer["points"] for layer in saved["alive_by_layer"]] == [1.0, 0.75, 1.0, 1.0]
    change = saved["change"]["f1"]
    # per pair: -0.1 twice, -0.15 and +0.15
    assert change["difference"] == pytest.approx(-0.05) and change["low"] < -0.05 < change["high"]
    assert saved["change"]["auc_10deg"]["difference"] == 0.0


def test_what_is_not_finite_becomes_null() -> None:
    text = json.dumps(SUMMARY, allow_nan=False)
    assert json.loads(text) == SUMMARY
    assert clean({1: [np.float64(np.nan), np.int64(3), np.inf, 0.123456789]}, 6) == {
        "1": [None, 3, None, 0.123457]
    }


def test_a_run_without_depth_has_poses_only() -> None:
    depth = ["precision", "recall", "f1", "parts", "confusions", "phase_deg", "elevation_deg"]
    bare = rows().drop(columns=depth).assign(gap=0, target="")
    summary = summarise(bare, description(FULL))
    found = entry(FULL, summary)
    assert found["by_target"] == {} and "by_part" not in found and "by_phase" not in found
    assert found["overall"]["auc_20deg"] == pytest.approx((5 / 8 + 15) / 20, abs=1e-6)
    assert "listed" not in as_text(summary) and "-" in as_text(summary)


def test_tracks_are_summed_up() -> None:
    tracks = pd.DataFrame(
        {
            "dataset": "aura",
            "combination": PLAIN.id,
            "start_index": [1, 1, 1, 2],
            "length": [1, 2, 4, 3],
            "drift_px": [0.0, 1.0, 3.0, np.nan],
            "cut": [False, False, True, False],
        }
    )
    found = entry(PLAIN, summarise(rows(), description(PLAIN), tracks))["tracks"]
    assert found["tracks"] == 4 and found["longest"] == 4
    assert found["mean_length_matched"] == 3.0 and found["drift_median_px"] == 2.0
    # after one step three of four are carried on
    assert found["survival"]["1"] == 0.75


def test_tables_say_of_how_many_pairs_precision_recall_and_f1_are() -> None:
    assert "P, R and F1 are of" not in as_text(SUMMARY)
    nothing = dict.fromkeys(("precision", "recall", "f1"), np.nan)
    table = pd.DataFrame([row(PLAIN, 1, 1), row(PLAIN, 2, 1, **nothing), row(PLAIN, 3, 1)])
    summary = summarise(table, description(PLAIN))
    overall = entry(PLAIN, summary)["overall"]
    assert overall["pairs"] == 3 and overall["pairs_with_match"] == 2 and overall["f1"] == 0.75
    assert "of 2 of 3, or more" in as_text(summary)


def test_the_terminal_shows_every_combination() -> None:
    text = as_text(SUMMARY)
    for combination in (PLAIN, FULL, ADAPTIVE):
        assert combination.label in text
    line = next(x for x in text.splitlines() if x.split()[:2] == ["1", "2"])
    assert "50.0" in line
    assert "saved against full depth" in text


# --- comparison -----------------------------------------------------------------------------------


def run_folder(path: Path, table: pd.DataFrame, *combinations: Combination) -> Path:
    path.mkdir()
    (path / RUN).write_text(json.dumps(description(*combinations)))
    chosen = table["combination"].isin([c.id for c in combinations])
    table[chosen].to_parquet(path / TABLE)
    return path


def test_a_shift_is_found_and_nothing_is_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    many = pd.DataFrame([row(FULL, i, 1, f1=f) for i, f in enumerate(rng.uniform(0.2, 0.8, 60))])
    better = many.assign(f1=many["f1"] + 0.1 + rng.normal(0.0, 0.02, 60))
    a = run_folder(tmp_path / "a", many, FULL)
    b = run_folder(tmp_path / "b", better.sample(frac=1.0, random_state=1), FULL)
    same = compare(a, a)["combinations"][0]["overall"]["f1"]
    assert (same["difference"], same["low"], same["high"]) == (0.0, 0.0, 0.0)
    found = compare(a, b)
    shift = found["combinations"][0]["overall"]["f1"]
    assert shift["difference"] == pytest.approx(0.1, abs=0.01)
    assert 0.09 < shift["low"] < shift["high"] < 0.11 and shift["pairs"] == 60
    assert shift["b"] - shift["a"] == pytest.approx(shift["difference"], abs=1e-5)
    assert found["combinations"][0]["by_gap"]["1"]["f1"] == shift
    text = comparison_table(found)
    assert "*" in next(line for line in text.splitlines() if line.split()[:1] == ["f1"])


def test_runs_of_one_combination_each_are_compared_whatever_they_are(tmp_path: Path) -> None:
    a = run_folder(tmp_path / "a", rows(), PLAIN)
    b = run_folder(tmp_path / "b", rows(), FULL)
    found = compare(a, b)["combinations"][0]
    assert (found["a"], found["b"], found["pairs"]) == (PLAIN.label, FULL.label, 4)
    assert found["overall"]["f1"]["difference"] == pytest.approx(0.25)
    c = run_folder(tmp_path / "c", rows(), FULL, ADAPTIVE)
    with pytest.raises(InputError, match="must share one"):
        compare(a, c)
    d = run_folder(tmp_path / "d", rows().assign(dataset="other"), FULL)
    with pytest.raises(InputError, match="no pair in common"):
        compare(b, d)
    with pytest.raises(InputError, match="no finished run"):
        compare(a, tmp_path / "nowhere")


def test_runs_counted_by_other_rules_are_not_compared(tmp_path: Path) -> None:
    a, b = (run_folder(tmp_path / name, rows(), PLAIN) for name in "ab")
    written = json.loads((a / "run.json").read_text())
    (a / "run.json").write_text(json.dumps(written | {"counting": 2}))
    with pytest.raises(InputError, match=rf"{b}: was counted by older rules.*run it again"):
        compare(a, b)
    (b / "run.json").write_text(json.dumps(written | {"counting": 2}))
    assert compare(a, b)["combinations"]


def test_any_two_combinations_are_compared_by_name(tmp_path: Path) -> None:
    table = rows()
    table["pose_error_deg"] = np.where(table["combination"] == FULL.id, 0.0, 9.0)
    a = run_folder(tmp_path / "a:b", table, PLAIN, FULL, ADAPTIVE)
    found = compare(f"{a}:{PLAIN.id}", f"{a}:{FULL.id}")
    (entry,) = found["combinations"]
    assert (entry["a"], entry["b"], entry["pairs"]) == (PLAIN.label, FULL.label, 4)
    areas = entry["by_gap"]["1"]["auc_5deg"]  # no error at all, and all over 5 degrees
    assert (areas["a"], areas["b"], areas["difference"]) == (0.0, 1.0, 1.0)
    assert "AUC@5° A" in comparison_table(found)
    assert len(compare(a, f"{a}:{FULL.id}")["combinations"]) == 1
    with pytest.raises(InputError, match=f"combination 'x': must be one of {PLAIN.id}, {FULL.id}"):
        compare(f"{a}:x", a)


def test_a_median_is_compared_as_a_median() -> None:
    from bench.summary import statistic_of

    first, second = np.array([1.0, 2.0, 3.0, 100.0]), np.array([2.0, 3.0, 4.0, 1000.0])
    found = difference(first, second, statistic_of("match_ms"))
    assert found["difference"] == 1.0
    assert difference(first, second, statistic_of("f1"))["difference"] == pytest.approx(225.75)
