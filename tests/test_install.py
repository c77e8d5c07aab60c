"""What an installation needs, and what the commands do without the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.blocked import blocking
from tests.datasets import satgen

SMALL = ("--size", 32, "--start", 361, "--stop", 362)


def test_the_blocker_blocks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import satgen.modelling"],
        env=blocking(tmp_path / "hook", "satgen.modelling"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "No module named 'satgen.modelling'" in done.stderr


def test_a_render_needs_nothing_that_builds_targets(tmp_path: Path) -> None:
    env = blocking(tmp_path / "hook", "satgen.modelling")
    out = tmp_path / "aura"
    done = satgen("render", "--target", "aura", *SMALL, "--workers", 1, "--out", out, env=env)
    assert done.returncode == 0, done.stderr
    assert satgen("verify", out, env=env).returncode == 0
    listed = satgen("targets", env=env)
    assert listed.returncode == 0
    assert "cartography" in listed.stdout
