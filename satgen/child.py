"""Python in a process of its own, for what must not be loaded or bound in this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

PATIENCE_S = 120.0


def run_python(
    code: str, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run code with this process's import path, whatever lies in the current folder.

    Args:
        code: the program.
        arguments: its `sys.argv[1:]`.
        env: its environment; by default this one's.

    Raises:
        OSError, subprocess.SubprocessError: it could not be started, or took minutes.
    """
    path = f"import sys\nsys.path[:] = {sys.path!r}\n"
    return subprocess.run(
        [sys.executable, "-c", path + code, *arguments],
        capture_output=True,
        text=True,
        env=env,
        timeout=PATIENCE_S,
        check=False,
    )
