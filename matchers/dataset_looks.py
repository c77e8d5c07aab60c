"""A dataset's frames as extractors are shown them.

No torch: processes that read frames start without it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from matchers.extraction import Look
from satgen.dataset import Dataset


def dataset_look(data: Dataset, silhouette: bool, index: int) -> list[Look]:
    """A frame's image; with `silhouette`, keypoints are wanted on the target alone."""
    return [Look(data.rgb(index), data.parts(index) > 0 if silhouette else None)]


def look_in(folder: Path, silhouette: bool, index: int) -> list[Look]:
    """The same in a process that keeps the dataset open for the next one."""
    return dataset_look(_opened(folder), silhouette, index)


@lru_cache(maxsize=1)
def _opened(folder: Path) -> Dataset:
    return Dataset(folder)
