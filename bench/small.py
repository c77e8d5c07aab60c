"""A small dataset of every bundled target, for a benchmark on a machine that has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from satgen.options import RenderOptions
from satgen.progress import Progress, Stage
from satgen.run import render
from satgen.targets.registry import TARGETS

START, STOP = 3980, 4070
"""A quarter of a turn about the target's equator: room for gaps of up to 90."""


def small_indices() -> dict[str, NDArray[np.int64]]:
    """The small datasets' observation indices, by name."""
    return {name: np.arange(START, STOP + 1) for name in TARGETS}


def small_datasets(folder: Path, progress: Progress | None = None) -> list[Path]:
    """Render them into `folder`, or what is missing of them; their folders.

    Datasets of their names that are others, as of an earlier version, are replaced.

    Args:
        folder: made if need be.
        progress: with a stage of each target's name.

    Raises:
        InputError: a folder of that name holds what is no dataset.
        RunError: nothing can be rendered here.
    """
    shown = progress or Progress([Stage(name) for name in TARGETS], quiet=True)
    folders = []
    for name in TARGETS:
        options = RenderOptions(target=name, start=START, stop=STOP)
        with shown.stage(name) as update:
            render(options, folder / name, overwrite=True, progress=update)
        folders.append(folder / name)
    return folders
