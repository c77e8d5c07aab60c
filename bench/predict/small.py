"""A small dataset of a tumble, for forecasts of frames on a machine that has none."""

from __future__ import annotations

from pathlib import Path

from satgen.options import RenderOptions
from satgen.progress import Update
from satgen.run import render
from satgen.trajectory import Tumble

NAME = "aura-tumble"
START, STOP = 361, 960
"""Indices: long enough for held-out blocks to hold windows of 30 frames."""

SECONDS = 30.0
"""About how long that takes on two cores."""


def small_options() -> RenderOptions:
    """Aura at 128 × 128, by 3 degrees a frame, with the inertia of a box with different sides."""
    motion = Tumble(moments=(0.5, 0.8, 1.0), rates_deg_s=(0.9, 2.7, 0.9))
    return RenderOptions(
        target="aura", trajectory=motion, start=START, stop=STOP, width=128, height=128
    )


def small_dataset(folder: Path, progress: Update | None = None) -> Path:
    """Render it into `folder`, or what is missing of it; its folder.

    A dataset of that name that is another one, as of an earlier version, is replaced.

    Args:
        folder: made if need be.
        progress: called with frames done and in all.

    Raises:
        InputError: a folder of that name holds what is no dataset.
        RunError: nothing can be rendered here.
    """
    render(small_options(), folder / NAME, overwrite=True, progress=progress)
    return folder / NAME
