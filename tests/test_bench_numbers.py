"""The page of numbers says what the results hold, and results come from runs as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from bench import numbers
from satgen.errors import InputError
from tests.limits import PATIENCE_S

ROOT = Path(__file__).parent.parent


def _entry(label: str, f1: float, **more: Any) -> dict[str, Any]:
    figures = {"pairs": 7, "f1": f1, "auc_5deg": 0.25, "pnp_rotation_error_deg": 1.24}
    return {
        "label": label,
        "weights": None,
        "by_gap": {"1": figures, "10": {**figures, "f1": None, "pnp_rotation_error_deg": 33.4}},
        **more,
    }


def _summary(*entries: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": "satgen bench d",
        "machine": {"cpu": "a processor"},
        "versions": {"torch": "2", "satgen": "1"},
        "config": {"max_keypoints": 512},
        "datasets": [{"name": "d"}],
        "combinations": list(entries),
    }


def _tables(text: str) -> list[list[list[str]]]:
    """Rows of cells of each table, by an independent Markdown parser."""
    found: list[list[list[str]]] = []
    inside = False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type in ("table_open", "table_close"):
            inside = token.type == "table_open"
            found += [[]] if inside else []
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and inside:
            found[-1][-1].append(token.content)
    return found


def test_the_page_in_the_repository_is_what_its_results_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.numbers", "write", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_repeats_figures_of_the_page() -> None:
    page = numbers.page(ROOT / "docs" / "results").splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in readme if line.startswith(("| SIFT,", "| ALIKED,"))]
    assert rows
    assert [row for row in rows if row not in page] == []


def test_runs_become_tables_by_gap() -> None:
    saved = {
        "num_layers": 5,
        "by_gap": {"1": {"stop_layer": 2.5, "layers_saved": 0.5}, "10": {"stop_layer": 4.0}},
        "stop_layer": 3.25,
    }
    adaptive = _entry("lightglue on sift, adaptive", 0.9412, saved=saved, weights="w/mine.pth")
    summary = _summary(_entry("nearest on sift, ratio 0.8", 0.5), adaptive)
    result = numbers.matching([summary])
    tables = _tables(numbers.section(result))
    assert tables[0] == [
        ["", "1", "10"],
        ["nearest on sift, ratio 0.8", "50.0", "–"],
        ["lightglue on sift, adaptive (mine.pth)", "94.1", "–"],
    ]
    assert tables[1][1][1:] == ["25.0 (1.2)", "25.0 (33)"]
    assert tables[2][1] == ["mean layer it leaves after", "2.50", "4.00", "3.25"]
    assert tables[2][2] == ["layers saved", "50", "–", "–"]


def test_runs_of_other_gaps_are_refused() -> None:
    other = _entry("superglue", 0.5)
    other["by_gap"] = {"2": other["by_gap"]["1"]}
    with pytest.raises(InputError, match=r"superglue: has gaps 2; must be .* 1, 10"):
        numbers.matching([_summary(_entry("nearest", 0.5)), _summary(other)])


def test_collect_reads_run_folders(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "results.json").write_text(json.dumps(_summary(_entry("nearest", 0.5))))
    (tmp_path / "docs" / "results").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "bench.numbers", "collect", "run"],
        cwd=tmp_path,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0
    kept = json.loads((tmp_path / "docs" / "results" / "matching.json").read_text())
    assert kept["commands"] == ["satgen bench d"]


def test_a_run_that_is_none_is_refused_in_a_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.numbers", "collect", "nothing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["Error: nothing: No such file or directory"]


def test_elsewhere_than_in_a_checkout_it_says_where_to_run(tmp_path: Path) -> None:
    for words in (["write"], ["write", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "bench.numbers", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("Error: docs/results: no such folder here")
        assert not any(tmp_path.iterdir())
