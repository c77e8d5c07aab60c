"""Commands disturbed at some of their changes of the disk: each goes on to the same result.

`make torture` disturbs them at all.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import FAULTS
from tests.journal import Journal
from tests.limits import PATIENCE_S

OTHERS = [fault for fault in FAULTS if fault != "kill"]


@pytest.mark.parametrize(
    ("names", "faults", "way", "most"),
    [
        ("render,bench,train", ["kill"], "fresh", 2),
        ("render", OTHERS, "fresh", 1),
        ("predict", ["kill", "EROFS"], "fresh", 1),
        ("merge", FAULTS, "fresh", 3),
        ("export", FAULTS, "replace", 3),
    ],
)
def test_a_fault_at_some_changes_of_the_disk(
    names: str, faults: list[str], way: str, most: int, tmp_path: Path
) -> None:
    words = [names, ",".join(faults), way, "--most", str(most), "--folder", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.faults", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    tried = [f"{name} {way} {fault}" for name in names.split(",") for fault in faults]
    for head, line in zip(tried, done.stdout.splitlines(), strict=True):
        found = re.fullmatch(rf"{head}: (\d+) changes, {most} tried, 0 failed", line)
        assert found is not None and int(found[1]) > 10, line


def test_a_journal_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "tried.jsonl"
    first = Journal(path)
    first.add("render kill 1", None)
    first.add("render kill 2", "status 1")
    again = Journal(path, until=0.0)
    assert again.knows("render kill 2") and not again.knows("render kill 3")
    assert again.counts("render kill ") == (2, 1)
    assert again.failed and not again.time_left
