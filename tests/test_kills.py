"""Render, bench and train, killed at some of their changes of the disk: each goes on to the same.

`python -m tests.kills FOLDER render,bench,train 1 fresh,replace` tries all of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.limits import PATIENCE_S

EVERY = 23


def test_a_kill_at_any_change_of_the_disk(tmp_path: Path) -> None:
    names = ("render", "bench", "train")
    done = subprocess.run(
        [sys.executable, "-m", "tests.kills", str(tmp_path), ",".join(names), str(EVERY), "fresh"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    for name, line in zip(names, done.stdout.splitlines(), strict=True):
        words = line.removeprefix(f"{name} fresh: ").split(" changes, killed at ")
        changes, killed = map(int, words)
        assert changes > 30 and killed == -(-changes // EVERY), line
