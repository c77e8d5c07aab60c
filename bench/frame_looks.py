"""Frames of a run as extractors are shown them.

No torch: processes that read frames start without it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from bench.frame_store import FrameStore
from matchers.extraction import Look
from matchers.truth.roll import roll_image, roll_matrix, seen_mask

FrameKey = tuple[Path, int, float]
"""A frame: its dataset's folder, its index, and by how many degrees it is rolled."""


def frame_look(store: FrameStore, silhouette: bool, key: FrameKey) -> list[Look]:
    """A frame's image, rolled, and where keypoints are wanted on it."""
    folder, index, roll_deg = key
    data = store.dataset(folder)
    image = data.rgb(index)
    parts = store.frame(folder, index).parts if silhouette else None
    mask = None if parts is None else parts > 0
    if roll_deg:
        H = roll_matrix((data.camera.cx, data.camera.cy), roll_deg)
        size = image.shape[1], image.shape[0]
        mask = seen_mask(size, H) if parts is None else roll_image(parts, H, order=0) > 0
        image = roll_image(image, H)
    return [Look(image, mask)]


def frame_look_of_worker(silhouette: bool, key: FrameKey) -> list[Look]:
    """The same in a process that keeps its datasets for the next one."""
    return frame_look(_worker_store(), silhouette, key)


@lru_cache(maxsize=1)
def _worker_store() -> FrameStore:
    return FrameStore()
