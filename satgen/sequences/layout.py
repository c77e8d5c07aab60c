"""Where windows lie in a dataset: inside blocks of consecutive frames of one part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.sequences.config import WindowConfig

Indices = NDArray[np.int64]


def window_rows(
    name: str, indices: Indices, config: WindowConfig, chosen: Indices | None = None
) -> Indices:
    """The row of the first frame of every window, (W,) ascending.

    Every frame between a window's first and last one is of the part, too, so that no window
    reaches over frames that were dropped.

    Args:
        name: of the dataset, for messages.
        indices: its observation indices, (N,) ascending.
        config: of the windows.
        chosen: the indices of the part; None: all.

    Returns:
        No row where none of `indices` is chosen.

    Raises:
        InputError: no frames, a gap in `indices`, or no block that is as long as a window.
    """
    if not len(indices):
        raise InputError(f"{name}: has no frames")
    _check_gaps(name, indices)
    inside = np.ones(len(indices), bool) if chosen is None else np.isin(indices, chosen)
    if not inside.any():
        return np.zeros(0, dtype=np.int64)
    edges = np.diff(inside.astype(np.int8), prepend=0, append=0)
    firsts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    rows = [
        np.arange(a, b - config.span + 1, config.stride) for a, b in zip(firsts, ends, strict=True)
    ]
    found = np.concatenate(rows).astype(np.int64)
    if not len(found):
        every = "" if config.step == 1 else f", every {config.step} frames"
        where = "it has" if chosen is None else "its longest block in this part has"
        raise InputError(
            f"{name}: windows of {config.observed} + {config.future} frames{every} span "
            f"{config.span} frames, but {where} {int((ends - firsts).max())}"
        )
    return found


def _check_gaps(name: str, indices: Indices) -> None:
    differences = np.diff(indices)
    if len(differences) and (differences != differences.min()).any():
        place = int(np.argmax(differences != differences.min()))
        raise InputError(
            f"{name}: a gap between frames {indices[place]} and {indices[place + 1]}, where others "
            f"are {differences.min()} apart: windows need every frame"
        )
