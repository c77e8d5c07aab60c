"""satgen.processes: scripts that start workers, with and without a guard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.datasets import tree
from tests.limits import PATIENCE_S

HEAD = "import sys, satgen\nprint('began')\ntarget, out = sys.argv[1:]\n"
CALL = "satgen.render(target, out, start=3000, stop=3023, width=72, height=64, workers=2{more})\n"

OWN = """
from satgen.trajectory.spiral import Spiral

class Mine(Spiral):
    pass

"""


def script(text: str, folder: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Run a script that renders a target into the folder `out` beside it."""
    path = folder / "script.py"
    path.write_text(text)
    root = str(Path(__file__).resolve().parents[1])
    return subprocess.run(
        [sys.executable, str(path), str(target), str(folder / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_script_without_a_guard_works(craft_path: Path, pristine: Path, tmp_path: Path) -> None:
    done = script(HEAD + CALL.format(more=""), tmp_path, craft_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "began\n"  # once: no worker began it again
    assert tree(tmp_path / "out") == tree(pristine)


def test_what_a_script_defines_reaches_the_workers_or_it_is_told_how(
    craft_path: Path, tmp_path: Path
) -> None:
    call = CALL.format(more=", trajectory=Mine()")
    done = script(HEAD + OWN + call, tmp_path, craft_path)
    assert done.returncode == 1
    assert 'put its calls under `if __name__ == "__main__":`' in done.stderr
    assert "bootstrapping" not in done.stderr
    done = script(HEAD + OWN + f"if __name__ == '__main__':\n    {call}", tmp_path, craft_path)
    assert done.returncode == 0, done.stderr
