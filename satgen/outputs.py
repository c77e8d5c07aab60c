"""Where nothing may be written but by the command whose folder it is: datasets and runs."""

from __future__ import annotations

import json
from pathlib import Path

from satgen.errors import InputError

DESCRIPTIONS = ("dataset.json", "shard.json", "run.json", "train.json")
"""Names of the files that describe a dataset or a run."""


def check_outside(path: str | Path) -> None:
    """Refuse to write a file or folder inside a dataset or a run.

    Args:
        path: what is to be written; links are followed.

    Raises:
        InputError: a folder above it holds a dataset or a run.
    """
    try:
        place = Path(path).resolve()
        holder = next((folder for folder in place.parents if _is_held(folder)), None)
    except (OSError, RuntimeError):
        return  # it cannot be reached, and writing it will say why
    if holder is not None:
        raise InputError(f"{path}: is inside {holder}, a dataset or run; write it elsewhere")


def _is_held(folder: Path) -> bool:
    return any(_describes(folder / name) for name in DESCRIPTIONS if (folder / name).is_file())


def _describes(path: Path) -> bool:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return path.name == DESCRIPTIONS[0]  # a damaged dataset is one
    return isinstance(data, dict) and str(data.get("format", "")).startswith("satgen")
