"""Windows as NumPy arrays: which there are, and what each holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.sequences.cache import prepared
from satgen.sequences.config import WindowConfig
from satgen.sequences.images import Image, Square, cut, shrink
from satgen.sequences.layout import window_rows
from satgen.sequences.stores import PngStore, Preparation, Store, read_frame
from satgen.sequences.track import Track, read_track
from satgen.splits import Split

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class WindowReader:
    """Reads windows by their number.

    Attributes:
        config: of the windows.
        tracks: the datasets.
        stores: where the images of each dataset come from, by field.
        table: (W, 2) int64: each window's dataset, and the row of its first frame there.
        wide_labels: part labels are int32, whatever a dataset's own are.
    """

    config: WindowConfig
    tracks: tuple[Track, ...]
    stores: tuple[dict[str, Store], ...]
    table: NDArray[np.int64]
    wide_labels: bool = False

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.table)

    @property
    def spans(self) -> NDArray[np.int64]:
        """(W, 3): each window's dataset, and its first and last observation index."""
        ends = np.zeros((len(self.table), 3), dtype=np.int64)
        ends[:, 0] = self.table[:, 0]
        for place, track in enumerate(self.tracks):
            mine = self.table[:, 0] == place
            rows = self.table[mine, 1]
            ends[mine, 1] = track.indices[rows]
            ends[mine, 2] = track.indices[rows + self.config.span - 1]
        return ends

    def read(self, number: int) -> dict[str, NDArray[Any]]:
        """The window of a number: its fields, see `WindowConfig.fields`.

        Raises:
            IndexError: there is no such window.
            InputError: an image is missing or damaged.
        """
        if not -len(self) <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        place, first = (int(value) for value in self.table[number])
        track, config = self.tracks[place], self.config
        rows = slice(first, first + config.span, config.step)
        square = track.window_square(rows, config)
        shared = square if square is not None else track.square(config)
        window: dict[str, NDArray[Any]] = {
            "index": track.indices[rows].copy(),
            "dataset": np.array(place, dtype=np.int64),
            "K": track.intrinsics(shared, config.size).copy(),
        }
        window |= {name: values[rows].copy() for name, values in track.numbers.items()}
        for field, store in self.stores[place].items():
            window[field] = self._finish(field, store.read(rows), square, track.depth_scale)
        return window

    def keeping(self, size_bytes: int) -> WindowReader:
        """The same windows, where images read from PNG files are remembered, in at most so many
        bytes a field and dataset."""
        stores = [
            {
                field: replace(store, keep_bytes=size_bytes, _kept=type(store._kept)())
                if isinstance(store, PngStore)
                else store
                for field, store in mine.items()
            }
            for mine in self.stores
        ]
        return replace(self, stores=tuple(stores))

    def _finish(
        self, field: str, images: Image, square: Square | None, depth_scale: float
    ) -> NDArray[Any]:
        """Images as they are in the store -> (n, C, S, S) as they are in a window."""
        size = self.config.size
        if square is not None and size is not None:
            average = field == "frames"
            images = np.stack([shrink(cut(i, square), size, average=average) for i in images])
        images = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1).copy()
        if field == "depth":
            return (images * depth_scale).astype(np.float32)
        if field == "frames" and self.config.dtype == "float32":
            levels = np.float32(np.iinfo(images.dtype).max)
            return np.asarray(np.divide(images, levels, dtype=np.float32))
        # torch cannot index with 16 bits, nor put labels of unlike types into a batch
        if field == "parts" and (self.wide_labels or images.dtype == np.uint16):
            return images.astype(np.int32)
        return images


def read_windows(
    datasets: Mapping[str, Dataset],
    config: WindowConfig,
    splits: Mapping[str, Split] | None,
    parts: Sequence[str] | None,
    cache: Path | None,
) -> dict[str, WindowReader]:
    """Readers of the windows of parts; all is checked before anything is prepared.

    Args:
        datasets: by name, in order.
        config: of the windows.
        splits: of the datasets, by name; None: no parts.
        parts: of `PARTS`; None: one reader of all frames, called "all".
        cache: folder of prepared images; None: the PNG files are read.

    Raises:
        InputError: see `layout.window_rows` and `Track`; an unknown part; no frame in a part.
        RunError: the cache cannot be written.
    """
    for part in parts or ():
        if part not in PARTS:
            raise InputError(f"part {part!r}: must be one of {', '.join(PARTS)}")
    for name in datasets:
        if splits is not None and name not in splits:
            raise InputError(f"{name}: is not among the splits, {', '.join(splits)}")
    tracks = tuple(read_track(name, data, config) for name, data in datasets.items())
    tables = {
        part: _table(tracks, config, splits, None if parts is None else part)
        for part in (parts if parts is not None else ("all",))
    }
    plans = [_preparations(track, config) for track in tracks]
    _check_alike(tracks, plans, config)
    wide_labels = _check_depths(tracks, config)
    stores: list[dict[str, Store]] = [
        {
            field: PngStore(track.folder, track.indices, preparation)
            if cache is None
            else prepared(cache, track, preparation)
            for field, preparation in plan.items()
        }
        for track, plan in zip(tracks, plans, strict=True)
    ]
    return {
        part: WindowReader(config, tracks, tuple(stores), table, wide_labels)
        for part, table in tables.items()
    }


def _table(
    tracks: Sequence[Track],
    config: WindowConfig,
    splits: Mapping[str, Split] | None,
    part: str | None,
) -> NDArray[np.int64]:
    """Every window of a part, dataset after dataset, in the order of time."""
    found = []
    for place, track in enumerate(tracks):
        chosen = None if part is None or splits is None else getattr(splits[track.name], part)
        rows = window_rows(track.name, track.indices, config, chosen)
        found.append(np.stack([np.full(len(rows), place, dtype=np.int64), rows], axis=-1))
    table = np.concatenate(found)
    if not len(table):
        raise InputError(f"part {part!r}: has no frames of any dataset")
    return table


def _preparations(track: Track, config: WindowConfig) -> dict[str, Preparation]:
    """What is done to all frames of a dataset alike, by field."""
    square = track.square(config)
    size = config.size if square is not None else None
    return {
        field: Preparation(kind, config.colour and field == "frames", square, size)
        for field, kind in config.images.items()
    }


def _check_alike(
    tracks: Sequence[Track], plans: Sequence[dict[str, Preparation]], config: WindowConfig
) -> None:
    """InputError if the images of the datasets would differ in size."""
    if config.size is not None:
        return
    sizes = {}
    for track, plan in zip(tracks, plans, strict=True):
        for preparation in plan.values():
            square = preparation.square
            shape = (track.width, track.height) if square is None else (square.side, square.side)
            sizes[shape] = track.name
    if len(sizes) > 1:
        listed = ", ".join(f"{w} × {h} of {name}" for (w, h), name in sizes.items())
        raise InputError(f"images of different sizes, {listed}: give the size to bring them to")


def _check_depths(tracks: Sequence[Track], config: WindowConfig) -> bool:
    """Whether part labels of some dataset have 16 bits, by the first image of each.

    Raises:
        InputError: frames are asked for as they are stored, and differ in bit depth.
    """
    kinds = [config.images[field] for field in ("parts",) if field in config.images]
    if "frames" in config.images and config.dtype == "stored":
        kinds.append(config.images["frames"])
    wide = False
    for kind in kinds if len(tracks) > 1 else ():
        bits = {
            8 * read_frame(t.folder, kind, int(t.indices[0])).dtype.itemsize: t.name for t in tracks
        }
        if kind == "rgb" and len(bits) > 1:
            listed = " and ".join(f"{number} bits of {name}" for number, name in bits.items())
            raise InputError(f"frames of {listed}: dtype must be 'float32'")
        wide |= kind == "parts" and 16 in bits
    return wide
