"""Commands disturbed at some of their changes of the disk: each goes on to the same result.

`make torture` disturbs them at all.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import FAULTS
from tests.limits import PATIENCE_S

OTHERS = [fault for fault in FAULTS if fault != "kill"]


@pytest.mark.parametrize(
    ("names", "faults", "every"),
    [(["render", "bench", "train"], ["kill"], 23), (["render"], OTHERS, 37)],
    ids=["kills", "others"],
)
def test_a_fault_at_any_change_of_the_disk(
    names: list[str], faults: list[str], every: int, tmp_path: Path
) -> None:
    """At one of `every` changes."""
    words = [str(tmp_path), ",".join(names), ",".join(faults), str(every), "fresh"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    tried = [f"{name} fresh {fault}: " for name in names for fault in faults]
    for head, line in zip(tried, done.stdout.splitlines(), strict=True):
        changes, disturbed = map(int, line.removeprefix(head).split(" changes, disturbed at "))
        assert changes > 10 and disturbed == -(-changes // every), line
