"""Windows as torch datasets: any by its number, or one after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, get_worker_info

from satgen.dataset import Datasets, open_datasets
from satgen.errors import InputError
from satgen.sequences.config import WindowConfig, check_count
from satgen.sequences.reader import PARTS, WindowReader, read_windows
from satgen.splits import Split, SplitConfig, split_datasets, split_sequences

Window = dict[str, Tensor]

WAYS = ("blocks", "sequences")

_SEGMENT, _SEGMENTS = 64, 16
"""A stream shuffles segments of so many neighbouring windows, and the windows of so many segments
among each other."""


class WindowDataset(TorchDataset[Window]):
    """Windows of frames by their number, 0 first; ordered by dataset, then by time.

    A window is a dictionary of tensors, see `WindowConfig.fields`, that the default collate
    function of `DataLoader` puts into batches. Shuffle with `DataLoader(..., shuffle=True,
    generator=torch.Generator().manual_seed(seed))`: the windows and their order do not depend on
    the number of workers.

    Args:
        datasets: folders of rendered datasets, or `satgen.Dataset` objects; one, or several.
        config: of the windows; the defaults unless given.
        part: "train", "validation" or "test"; None: all frames.
        splits: of the datasets, by the names of their folders, from `satgen.splits`; with a part
            and no splits, `split_datasets` with its defaults.
        cache: folder in which prepared images are kept, and are put if they are not there: reading
            them is many times faster than reading the PNG files. None: the PNG files are read.

    Attributes:
        config: of the windows.
        names: of the datasets, in order; "dataset" in a window is a place in this list.
        spans: (W, 3) int64: dataset, first and last observation index of every window.

    Raises:
        InputError: a dataset that cannot be read or lacks what is asked for, has no frames or a gap
            in its indices, no block as long as a window; an unknown part.
        RunError: the cache cannot be written.
    """

    def __init__(
        self,
        datasets: Datasets,
        config: WindowConfig | None = None,
        *,
        part: str | None = None,
        splits: Mapping[str, Split] | None = None,
        cache: str | Path | None = None,
    ) -> None:
        opened = open_datasets(datasets)
        if part is None and splits is not None:
            raise InputError(f"splits without a part: must be one of {', '.join(PARTS)}")
        if part in PARTS and splits is None:
            splits = split_datasets(opened)
        parts = None if part is None else (part,)
        where = None if cache is None else Path(cache).expanduser()
        readers = read_windows(opened, config or WindowConfig(), splits, parts, where)
        (self._reader,) = readers.values()

    @classmethod
    def _of(cls, reader: WindowReader) -> WindowDataset:
        windows = cls.__new__(cls)
        windows._reader = reader
        return windows

    @property
    def config(self) -> WindowConfig:
        return self._reader.config

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(track.name for track in self._reader.tracks)

    @property
    def spans(self) -> NDArray[np.int64]:
        return self._reader.spans

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, number: int) -> Window:
        _one_thread_in_workers()
        return {name: torch.from_numpy(v) for name, v in self._reader.read(int(number)).items()}


class WindowStream(IterableDataset[Window]):
    """The same windows one after another, each once.

    Neighbouring windows share most of their frames. A stream gives windows that lie near each other
    soon after each other and remembers the images in between, so that it reads each PNG file about
    once a worker instead of T + H times: for data that is read once, or too large for a cache.

    Worker w of n gives the batches w, w + n, w + 2 n, …, and `DataLoader` takes from them in turn.
    So any number of workers gives the same batches in the same order.

    Args:
        windows: the windows.
        batch_size: the same as the `DataLoader`'s.
        shuffle: in an order that the seed and the epoch decide: neighbourhoods of windows in any
            order, and the windows of several neighbourhoods among each other.
        seed: of the order.
        keep_mb: megabytes of images, a field, dataset and worker, that are remembered at most.

    Raises:
        InputError: a number out of range.
    """

    def __init__(
        self,
        windows: WindowDataset,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        keep_mb: int = 256,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("seed", seed, 0),
            ("keep_mb", keep_mb, 0),
        ):
            check_count(name, value, least)
        self.windows = windows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self._keep = keep_mb * 2**20
        # In shared memory, so that workers that live on from epoch to epoch see it change.
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; without it every pass has that of epoch 0."""
        check_count("epoch", epoch, 0)
        self._epoch.fill_(epoch)

    def order(self) -> NDArray[np.int64]:
        """The numbers of the windows in the order of the next pass, (W,)."""
        numbers = np.arange(len(self.windows))
        if not self.shuffle:
            return numbers
        rng = np.random.default_rng([self.seed, int(self._epoch)])
        segments = [numbers[i : i + _SEGMENT] for i in range(0, len(numbers), _SEGMENT)]
        segments = [segments[i] for i in rng.permutation(len(segments))]
        pools = [segments[i : i + _SEGMENTS] for i in range(0, len(segments), _SEGMENTS)]
        return np.concatenate([rng.permutation(np.concatenate(pool)) for pool in pools])

    def __len__(self) -> int:
        return len(self.windows)

    def __iter__(self) -> Iterator[Window]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        numbers = self.order()
        mine = WindowDataset._of(self.windows._reader.keeping(self._keep))
        for batch in range(worker, -(-len(numbers) // self.batch_size), workers):
            for number in numbers[batch * self.batch_size : (batch + 1) * self.batch_size]:
                yield mine[int(number)]


class SplitWindows(NamedTuple):
    """Windows to train on, to validate with and to test on, and the splits they come from."""

    train: WindowDataset
    validation: WindowDataset
    test: WindowDataset
    splits: dict[str, Split]


def split_windows(
    datasets: Datasets,
    config: WindowConfig | None = None,
    split: SplitConfig | None = None,
    *,
    by: str = "blocks",
    seed: int = 0,
    cache: str | Path | None = None,
) -> SplitWindows:
    """Windows of datasets in three parts that are kept apart.

    No frame of a test window is within `split.guard_deg` of a frame of a training or validation
    window of the same target, by the angle between viewing directions.

    Args:
        datasets, config, cache: as for `WindowDataset`.
        split: shares, guard angle, and a target to leave out, all of whose frames are tested on.
        by: "blocks": of consecutive frames of every dataset (`split_datasets`); "sequences": whole
            datasets, drawn at random (`split_sequences`).
        seed: of that draw.

    Raises:
        InputError: as `WindowDataset` and the two.
        RunError: the cache cannot be written.
    """
    if by not in WAYS:
        raise InputError(f"split by {by!r}: must be one of {', '.join(WAYS)}")
    opened = open_datasets(datasets)
    if by == "blocks":
        splits = split_datasets(opened, split)
    else:
        splits = split_sequences(opened, split, seed)
    where = None if cache is None else Path(cache).expanduser()
    readers = read_windows(opened, config or WindowConfig(), splits, PARTS, where)
    train, validation, test = (WindowDataset._of(readers[part]) for part in PARTS)
    return SplitWindows(train, validation, test, splits)


_SET = False


def _one_thread_in_workers() -> None:
    """Let OpenCV use one thread in a worker process: its threads do not survive a fork."""
    global _SET
    if not _SET and get_worker_info() is not None:
        import cv2

        cv2.setNumThreads(0)
        _SET = True
