"""Commands in whose processes, workers included, chosen modules cannot be imported."""

from __future__ import annotations

import os
from pathlib import Path

_SITE = """
import os
import sys


class Blocked:
    names = tuple(os.environ["BLOCKED_MODULES"].split(","))

    def find_spec(self, name, path=None, target=None):
        if any(name == b or name.startswith(b + ".") for b in self.names):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocked())
"""


def blocking(folder: Path, *names: str) -> dict[str, str]:
    """Environment variables with which every Python process refuses to import these modules.

    Args:
        folder: where the hook is written, an empty folder of the test's own.
        names: modules and packages; as in an environment where they were never installed.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITE)
    search = [str(folder), os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {"PYTHONPATH": os.pathsep.join(filter(None, search)), "BLOCKED_MODULES": ",".join(names)}
