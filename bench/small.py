"""A small dataset of every bundled target, for a benchmark on a machine that has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from satgen.options import RenderOptions
from satgen.run import render
from satgen.targets.registry import TARGETS

START, STOP = 3980, 4070
"""A quarter of a turn about the target's equator: room for gaps of up to 90."""


def small_indices() -> dict[str, NDArray[np.int64]]:
    """Their observation indices, by name."""
    return {name: np.arange(START, STOP + 1) for name in TARGETS}


def small_datasets(
    folder: Path, progress: Callable[[str], Callable[[int, int], None]] | None = None
) -> list[Path]:
    """Render them into `folder`, or what is missing of them; their folders.

    Args:
        folder: made if need be.
        progress: gives, for a target's name, a function of frames done and in all.

    Raises:
        InputError: a folder of that name holds something else.
        RunError: nothing can be rendered here.
    """
    folders = []
    for name in TARGETS:
        options = RenderOptions(target=name, start=START, stop=STOP)
        render(options, folder / name, progress=progress(name) if progress else None)
        folders.append(folder / name)
    return folders
