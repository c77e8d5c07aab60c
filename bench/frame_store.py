"""Datasets and frames that were used last, so that each image is read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

from satgen.dataset import Dataset
from satgen.frame import Frame

T = TypeVar("T")

KEPT_FRAMES = 64
"""Frames whose images stay in memory: their depth takes ten times as much as features, and is read
again in no time."""

KEPT_DATASETS = 4


class Cache(OrderedDict[Hashable, Any]):
    """The values that were asked for last."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def get_or(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not there."""
        if key in self:
            self.move_to_end(key)
        else:
            self[key] = make()
            if len(self) > self._size:
                self.popitem(last=False)
        value: T = self[key]
        return value


class FrameStore:
    """Datasets by folder, and their frames, as far as they were used last."""

    def __init__(self) -> None:
        self._datasets = Cache(KEPT_DATASETS)
        self._frames = Cache(KEPT_FRAMES)

    def dataset(self, folder: Path) -> Dataset:
        """The dataset in a folder."""
        return self._datasets.get_or(folder, lambda: Dataset(folder))

    def frame(self, folder: Path, index: int) -> Frame:
        """A frame, which keeps those of its images that were asked for."""
        return self._frames.get_or((folder, index), lambda: self.dataset(folder)[index])
