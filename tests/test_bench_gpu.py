"""bench.gpu: on a CPU it runs to its end, and every figure is one.

What is compiled takes minutes and a compiler, and is left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.gpu import SECTIONS
from tests.limits import PATIENCE_S


def numbers(value: Any) -> list[float]:
    """All numbers in an answer."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    return [float(value)] if isinstance(value, (int, float)) else []


def test_every_section_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--device", "cpu", "--quick",
         *(word for section in SECTIONS[:-1] for word in ("--only", section)),
         "--seconds", str(PATIENCE_S), "--json", str(out)],
        check=True, timeout=PATIENCE_S, capture_output=True,
    )  # fmt: skip
    said = json.loads(out.read_text())
    assert said["device"].startswith("cpu: ") and not said["left_out"]
    figures = said["figures"]
    assert not [task for task, found in figures.items() if "failed" in found]
    begun = {task.split()[0].rstrip(",") for task in figures}
    assert begun == {"match", "aliked", "sift", "bench", "train", "render"}
    assert all(number >= 0.0 for found in figures.values() for number in numbers(found))
    rates = [v for found in figures.values() for k, v in found.items() if k.endswith("a_second")]
    assert len(rates) >= 5 and min(rates) > 0.0
