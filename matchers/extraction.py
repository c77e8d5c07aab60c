"""Features of many images, on one path: worker processes read and change the images, and batches of
them are extracted on the device.

An extractor that runs on the CPU beside itself (`parallel`, as SIFT) extracts in the workers. What
is to be done with the features of an image next to it (write a file) can be done in them, too.
Results come in the order of the tasks, and only so many images are in memory as keep all at work.

Worker processes import what a task needs: those that only read images start without torch.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from satgen.processes import default_workers
from satgen.tasks import answered, processes

if TYPE_CHECKING:
    import torch

    from matchers.types import Extractor, Features, Image

T = TypeVar("T")
R = TypeVar("R")

GPU_PIXELS, GPU_IMAGES = 1 << 23, 32
"""Pixels and images of a batch on a GPU, at most."""

READ_AHEAD = 2
"""Tasks of a worker that are out at a time. Images are large, and tasks take about as long."""

WORTH_WORKERS = 64
"""Images for which it pays to start processes."""

FEW_CORES = 4
"""Cores that threads of one process keep at work: on two, they are faster than processes."""

FIELDS = ("keypoints", "scores", "descriptors", "image_size", "scales", "orientations")

FeatureArrays = dict[str, NDArray[np.float32]]
"""Features of an image as NumPy arrays by name (`matchers.types.Features`), as far as they are
there."""


@dataclass(frozen=True)
class Look:
    """What an extractor is given of an image: the image, and where on it keypoints are wanted,
    (H, W) bool, None for everywhere."""

    image: Image
    mask: NDArray[np.bool_] | None = None


@dataclass
class _Slot:
    """A task, and the features of its images as far as they are there."""

    task: Any
    features: list[Any]
    left: int


def extracted(
    tasks: Iterable[T],
    read: Callable[[T], Sequence[Look]],
    extractor: Extractor,
    *,
    workers: int = 0,
    batch: int | None = None,
) -> Iterator[tuple[T, list[Features]]]:
    """Each task and the features of its images, in order.

    Args:
        tasks: plain values, taken as there is room for them.
        read: makes a task's images; a function of a module, so that other processes find it.
        extractor: of the features. One with an attribute `parallel` that is true goes to the
            workers; it must pickle.
        workers: processes that read; below 2 all is done in this one, image by image.
        batch: images that are extracted together, by an extractor that has `extract`; None: 1 on
            the CPU, elsewhere as many as `GPU_PIXELS` and `GPU_IMAGES` allow.

    Raises:
        InputError, RunError: what `read` and the extractor refuse; a worker died.
    """
    if workers < 2:
        yield from _batched(((task, read(task)) for task in tasks), extractor, batch)
        return
    first, coming = _begun(tasks)
    if coming is None:
        return
    with processes(workers, (read, extractor, first)) as pool:
        room = READ_AHEAD * workers
        if not getattr(extractor, "parallel", False):
            yield from _batched(
                answered(pool, partial(_read, read), coming, room), extractor, batch
            )
            return
        device = device_of(extractor)
        find = partial(_alone, partial(_read_and_extract, read, on_cpu(extractor)))
        for task, found in answered(pool, find, coming, room):
            yield task, [_from_arrays(arrays, device) for arrays in found]


def carried_on(
    tasks: Iterable[T],
    read: Callable[[T], Sequence[Look]],
    extractor: Extractor,
    finish: Callable[[T, list[FeatureArrays]], R],
    *,
    workers: int = 0,
    threads: int = 1,
    batch: int | None = None,
) -> Iterator[tuple[T, R]]:
    """Each task and what a function makes of it and the features of its images, in order.

    Args:
        tasks, read, extractor, workers, batch: as `extracted` has them.
        finish: like `read` a function of a module; called in the workers, if there are any.
        threads: where there are no workers, tasks that this process does at a time with an
            extractor that is `parallel`.

    Raises:
        InputError, RunError: as `extracted`, and what `finish` refuses.
    """
    parallel = bool(getattr(extractor, "parallel", False))
    if workers < 2 and (not parallel or threads < 2):
        for task, features in extracted(tasks, read, extractor, batch=batch):
            yield task, finish(task, to_arrays(features))
        return
    first, coming = _begun(tasks)
    if coming is None:
        return
    if workers < 2:
        with ThreadPoolExecutor(threads) as own:
            try:
                whole = partial(_whole, read, on_cpu(extractor), finish)
                yield from answered(own, whole, coming, READ_AHEAD * threads)
            finally:
                own.shutdown(cancel_futures=True)
        return
    with processes(workers, (read, extractor, finish, first)) as pool:
        room = READ_AHEAD * workers
        if parallel:
            alone = partial(_alone, partial(_whole, read, on_cpu(extractor), finish))
            yield from answered(pool, alone, coming, room)
            return
        looks = answered(pool, partial(_read, read), coming, room)
        found = _batched(looks, extractor, batch)
        arrays = ((task, to_arrays(features)) for task, features in found)
        for (task, _), answer in answered(pool, partial(_finish, finish), arrays, 2 * room):
            yield task, answer


def workers_for(extractor: Extractor, images: int, wanted: int | None = None) -> int:
    """Processes that read images for an extractor.

    Where nobody says how many: the cores, if the extractor itself leaves them alone: on a GPU, or
    where it extracts in the workers and the cores are more than a few, which threads of this
    process keep at work. A network on the CPU has all of them at work already.

    Args:
        extractor: of the features.
        images: how many there are.
        wanted: the number that was asked for.
    """
    if wanted is not None:
        return min(wanted, images)
    cores = default_workers()
    if getattr(extractor, "parallel", False):
        free = cores > FEW_CORES
    else:
        free = device_of(extractor).type != "cpu"
    return cores if free and images >= WORTH_WORKERS else 0


def device_of(extractor: Any) -> torch.device:
    """The device that an extractor's features are on."""
    import torch

    if isinstance(extractor, torch.nn.Module):
        return next((value.device for value in extractor.parameters()), torch.device("cpu"))
    return torch.device(getattr(extractor, "device", "cpu"))


def on_cpu(extractor: Any) -> Any:
    """An extractor that is no network, with features on the CPU."""
    import torch

    if not hasattr(extractor, "device"):
        return extractor
    other = copy.copy(extractor)
    other.device = torch.device("cpu")
    return other


def to_arrays(images: Sequence[Features]) -> list[FeatureArrays]:
    """Features as NumPy arrays; from a GPU those of several images are brought together."""
    if len(images) > 1 and images[0].device.type != "cpu":
        return _brought(images)
    return [_arrays(features) for features in images]


def _brought(images: Sequence[Features]) -> list[FeatureArrays]:
    import torch

    counts = [len(features) for features in images]
    found: list[FeatureArrays] = [{} for _ in images]
    for name in FIELDS:
        values = [getattr(features, name) for features in images]
        if any(value is None for value in values):
            continue
        sizes = [2] * len(images) if name == "image_size" else counts
        together = torch.cat(values).float().cpu().numpy()
        for arrays, part in zip(found, np.split(together, np.cumsum(sizes)[:-1]), strict=True):
            arrays[name] = part
    return found


def _arrays(features: Features) -> FeatureArrays:
    values = {name: getattr(features, name) for name in FIELDS}
    return {n: value.float().cpu().numpy() for n, value in values.items() if value is not None}


def _from_arrays(arrays: FeatureArrays, device: torch.device) -> Features:
    import torch

    from matchers.types import Features

    return Features(**{name: torch.from_numpy(value) for name, value in arrays.items()}).to(device)


# -- batches -----------------------------------------------------------------------------------


def _batched(
    tasks: Iterable[tuple[T, Sequence[Look]]], extractor: Extractor, batch: int | None
) -> Iterator[tuple[T, list[Features]]]:
    """Each task and the features of its images, in order, extracted in batches of one size."""
    device = device_of(extractor)
    waiting: deque[_Slot] = deque()
    group: list[tuple[_Slot, int, Look]] = []
    size: Any = None
    for task, looks in tasks:
        slot = _Slot(task, [None] * len(looks), len(looks))
        waiting.append(slot)
        for place, look in enumerate(looks):
            if group and _size(look) != size:
                _extract(extractor, group)
            size = _size(look)
            group.append((slot, place, look))
            if len(group) >= (batch or _together(size, extractor, device)):
                _extract(extractor, group)
        while waiting and not waiting[0].left:
            done = waiting.popleft()
            yield done.task, done.features
    if group:
        _extract(extractor, group)
    for done in waiting:
        yield done.task, done.features


def _extract(extractor: Any, group: list[tuple[_Slot, int, Look]]) -> None:
    """Extract a group of images, and empty it."""
    looks = [look for _, _, look in group]
    if len(looks) == 1 or not hasattr(extractor, "extract"):
        features = [extractor(look.image, mask=look.mask) for look in looks]
    else:
        masks = [look.mask for look in looks]
        features = extractor.extract([look.image for look in looks], masks)
    for (slot, place, _), found in zip(group, features, strict=True):
        slot.features[place] = found
        slot.left -= 1
    group.clear()


def _size(look: Look) -> Any:
    """What tells images of different size apart; files are each one's own."""
    return getattr(look.image, "shape", look.image)


def _together(size: Any, extractor: Any, device: torch.device) -> int:
    """How many images of a size are extracted together."""
    if device.type == "cpu" or not hasattr(extractor, "extract") or not isinstance(size, tuple):
        return 1
    pixels = int(np.prod([side for side in size if side > 4]))  # without the channels
    return max(1, min(GPU_IMAGES, GPU_PIXELS // max(pixels, 1)))


def _begun(tasks: Iterable[T]) -> tuple[Any, Iterator[T] | None]:
    """The first of the tasks, and all of them; None where there are none."""
    coming = iter(tasks)
    for first in coming:
        return first, chain([first], coming)
    return None, None


# -- in the workers ----------------------------------------------------------------------------


def _read(read: Callable[[T], Sequence[Look]], task: T) -> Sequence[Look]:
    _one_thread()
    return read(task)


def _alone(function: Callable[[T], R], task: T) -> R:
    """What a function that extracts says of a task, in a process among others."""
    _one_thread()
    _torch_in_one_thread()
    return function(task)


def _read_and_extract(
    read: Callable[[T], Sequence[Look]], extractor: Extractor, task: T
) -> list[FeatureArrays]:
    return to_arrays([extractor(look.image, mask=look.mask) for look in read(task)])


def _whole(
    read: Callable[[T], Sequence[Look]],
    extractor: Extractor,
    finish: Callable[[T, list[FeatureArrays]], R],
    task: T,
) -> R:
    return finish(task, _read_and_extract(read, extractor, task))


def _finish(
    finish: Callable[[T, list[FeatureArrays]], R], found: tuple[T, list[FeatureArrays]]
) -> R:
    return finish(*found)


@lru_cache(maxsize=1)
def _one_thread() -> None:
    """There is a process for every core: more threads would be in each other's way."""
    import cv2

    cv2.setNumThreads(1)


@lru_cache(maxsize=1)
def _torch_in_one_thread() -> None:
    import torch

    torch.set_num_threads(1)
