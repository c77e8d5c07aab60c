"""The folder of a run: which datasets and configuration it belongs to, and what is held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matchers.training.config import TrainConfig, differences
from matchers.truth.pairs import Pair, draw_pairs, save_pairs
from satgen.atomic import write_atomic
from satgen.dataset import DESCRIPTION, Dataset
from satgen.errors import InputError, RunError
from satgen.splits import Split

FORMAT = 1
RUN, SPLIT, TEST_PAIRS = "train.json", "split.json", "test_pairs.csv"


def claim(
    out: Path,
    config: TrainConfig,
    datasets: Mapping[str, Dataset],
    splits: Mapping[str, Split],
    initial: str | None,
    resume: bool,
) -> None:
    """Make the folder this run's, or see that it is.

    Args:
        out: the folder.
        config: of the run.
        datasets, splits: by name.
        initial: SHA-256 of the weights to begin with.
        resume: whether the run may be there already.

    Raises:
        InputError: it holds another run, or something else.
        RunError: it cannot be written.
    """
    identity: dict[str, Any] = json.loads(
        json.dumps(
            {
                "config": config.to_json(),
                "datasets": {
                    name: hashlib.sha256((data.folder / DESCRIPTION).read_bytes()).hexdigest()
                    for name, data in datasets.items()
                },
                "initial": initial,
            }
        )
    )
    path = out / RUN
    if path.is_file():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))["identity"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{path}: cannot be read; name another --out") from None
        changed = differences(old, identity)
        if changed:
            raise InputError(
                f"{out}: holds a run with another {changed[0].removeprefix('config.')}; "
                f"name another --out"
            )
        if not resume:
            raise InputError(f"{out}: holds this run already; without --no-resume it goes on")
        return
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty and no run of satgen train; name another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        parts = {name: split.to_json() for name, split in splits.items()}
        write_atomic(out / SPLIT, (json.dumps(parts, indent=1) + "\n").encode())
        held_out = [
            Pair(name, i, j)
            for name, split in splits.items()
            for i, j in draw_pairs(split.test, config.gaps, config.test_pairs, config.seed)
        ]
        save_pairs(out / TEST_PAIRS, held_out)
        run = {"format": FORMAT, "identity": identity}
        write_atomic(path, (json.dumps(run, indent=1) + "\n").encode())
    except OSError as error:
        raise RunError(f"cannot write {error.filename or out}: {error.strerror}") from error
