"""What SECURITY.md promises of versions, of make and of CSV files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchers.truth.pairs import FORMULA, Pair, load_pairs, pairs_csv, plain_cell, quoted_cell
from tests.limits import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_no_version_with_a_known_hole_is_allowed() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    table = re.findall(r"^\| ([a-z-]+) \| ([0-9.]+) \| \[CVE", page, re.M)
    assert len(table) >= 6
    project = (ROOT / "pyproject.toml").read_text()
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.M))
    for name, least in table:
        found = re.search(rf'"{name}>=([0-9.]+)"', project)
        assert found is not None, name
        assert _number(found[1]) >= _number(least), name
        if name in pins:
            assert _number(pins[name]) >= _number(least), name


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_runs_nothing_inside_a_targets_name(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    satgen = tmp_path / ".venv" / "bin" / "satgen"
    satgen.parent.mkdir(parents=True)
    satgen.write_text('#!/bin/sh\nfor word; do printf "[%s]" "$word"; done\n')
    satgen.chmod(0o755)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "system.sh").write_text("")
    (tmp_path / ".venv" / ".setup").write_text("")
    before = sorted(os.listdir(tmp_path))
    name = 'my craft $(shell touch a) $(touch b) `touch c`; touch d "$HOME" $$x.glb'
    done = subprocess.run(
        ["make", "-s", "render", f"TARGET={name}", "ARGS=--size 64"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout == f"[render][--target][{name}][--size][64]"
    assert sorted(os.listdir(tmp_path)) == before


@given(st.text())
def test_no_cell_is_a_formula_and_each_is_read_back(text: str) -> None:
    cell = quoted_cell(text)
    assert not cell.startswith(FORMULA)
    assert plain_cell(cell) == text
    assert plain_cell(quoted_cell(f"'{text}")) == f"'{text}"


def test_a_dataset_of_an_unlucky_name_in_a_list_of_pairs(tmp_path: Path) -> None:
    pairs = [Pair("=cmd|' /C calc'!A0", 1, 2), Pair("-x", 3, 4), Pair("aura", 5, 6)]
    path = tmp_path / "pairs.csv"
    path.write_bytes(pairs_csv(pairs))
    assert not any(line.startswith(FORMULA) for line in path.read_text().splitlines())
    assert load_pairs(path) == pairs
