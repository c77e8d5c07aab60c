"""Features of many images, on one path: worker processes read and change the images, and batches of
them are extracted on the device.

An extractor that needs no device (it has a `detector`, as SIFT) extracts in the workers. What is to
be done with the features of an image next to it (write a file) can be done in them, too.
Results come in the order of the tasks, and only so many images are in memory as keep all at work.

Worker processes import what a task needs: those that only read images start without torch.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from matchers.clock import timed as measure
from matchers.own import FEATURES, as_many, blaming, checked_arrays, checked_features
from satgen.processes import default_workers
from satgen.tasks import answered, processes

if TYPE_CHECKING:
    import torch

    from matchers.types import Extractor, Features, Image

T = TypeVar("T")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)

GPU_PIXELS, GPU_IMAGES = 1 << 24, 64
"""Pixels and images that are handed to an extractor on a GPU at a time, at most: so many that those
whose silhouettes are of one size are several."""

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

Detector = Callable[["Image", Any], FeatureArrays]
"""Finds the features of an image where a mask, (H, W) bool or None, wants them; pickles. What it
imports of torch every worker has to start with."""


@dataclass(frozen=True)
class Look:
    """What an extractor is given of an image: the image, and where on it keypoints are wanted,
    (H, W) bool, None for everywhere."""

    image: Image
    mask: NDArray[np.bool_] | None = None


class TimedFeatures(NamedTuple):
    """An image's features, and the milliseconds that they took."""

    features: Features
    ms: float


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
) -> Generator[tuple[T, list[Features]]]:
    """Each task and the features of its images, in order.

    Args:
        tasks: plain values, taken as there is room for them.
        read: makes a task's images; a function of a module, so that other processes find it.
        extractor: of the features. One with an attribute `detector`, a `Detector`, has that at
            work in the workers.
        workers: processes that read; below 2 all is done in this one, image by image.
        batch: images that are extracted together, by an extractor that has `extract`; None: 1 on
            the CPU, elsewhere as many as `GPU_PIXELS` and `GPU_IMAGES` allow.

    Raises:
        InputError, RunError: what `read` and the extractor refuse; a worker died.
    """
    coming = _extracted(tasks, read, extractor, workers, batch, timed=False)
    with closing(coming):
        for task, found in coming:
            yield task, [features for features, _ in found]


def measured(
    tasks: Iterable[T],
    read: Callable[[T], Sequence[Look]],
    extractor: Extractor,
    *,
    workers: int = 0,
    batch: int | None = None,
) -> Generator[tuple[T, list[TimedFeatures]]]:
    """As `extracted`, with the milliseconds that an image's features took: of a batch, its share.

    The first images of an extractor are extracted once more before, so that nothing is timed that
    has to be made ready only once.
    """
    return _extracted(tasks, read, extractor, workers, batch, timed=True)


def _extracted(
    tasks: Iterable[T],
    read: Callable[[T], Sequence[Look]],
    extractor: Extractor,
    workers: int,
    batch: int | None,
    timed: bool,
) -> Generator[tuple[T, list[TimedFeatures]]]:
    """As `measured`; what is not `timed` takes NaN."""
    run = partial(_run, extractor, timed)
    if workers < 2:
        looks = ((task, read(task)) for task in tasks)
        yield from _batched(looks, run, _together(extractor, batch))
        return
    first, coming = _begun(tasks)
    if coming is None:
        return
    detector = detector_of(extractor)
    with processes(workers, (read, detector, first)) as pool:
        room = READ_AHEAD * workers
        if detector is None:
            ready = answered(pool, partial(_read, read), coming, room)
            yield from _batched(ready, run, _together(extractor, batch))
            return
        device = device_of(extractor)
        find = partial(_alone, partial(_read_and_detect, read, detector, timed))
        for task, found in answered(pool, find, coming, room):
            yield (
                task,
                [TimedFeatures(_from_arrays(arrays, device), took) for arrays, took in found],
            )


def carried_on(
    tasks: Iterable[T],
    read: Callable[[T], Sequence[Look]],
    extractor: Extractor,
    finish: Callable[[T, list[FeatureArrays]], R],
    *,
    workers: int = 0,
    threads: int = 1,
    batch: int | None = None,
) -> Generator[tuple[T, R]]:
    """Each task and what a function makes of it and the features of its images, in order.

    Args:
        tasks, read, extractor, workers, batch: as `extracted` has them.
        finish: like `read` a function of a module; called in the workers, if there are any.
        threads: where there are no workers, tasks that this process does at a time with an
            extractor that has a `detector`.

    Raises:
        InputError, RunError: as `extracted`, and what `finish` refuses.
    """
    detector = detector_of(extractor)
    if workers < 2 and (detector is None or threads < 2):
        for task, features in extracted(tasks, read, extractor, batch=batch):
            yield task, finish(task, to_arrays(features))
        return
    first, coming = _begun(tasks)
    if coming is None:
        return
    whole = None if detector is None else partial(_whole, read, detector, finish)
    if workers < 2:
        assert whole is not None
        with ThreadPoolExecutor(threads) as own:
            try:
                yield from answered(own, whole, coming, READ_AHEAD * threads)
            finally:
                own.shutdown(cancel_futures=True)
        return
    with processes(workers, (read, detector, finish, first)) as pool:
        room = READ_AHEAD * workers
        if whole is not None:
            yield from answered(pool, partial(_alone, whole), coming, room)
            return
        looks = answered(pool, partial(_read, read), coming, room)
        run = partial(_run, extractor, False)
        found = _batched(looks, run, _together(extractor, batch))
        arrays = ((task, to_arrays([one.features for one in some])) for task, some in found)
        for (task, _), answer in answered(pool, partial(_finish, finish), arrays, 2 * room):
            yield task, answer


def not_kept(uses: Iterable[K], most: int, kept: Iterable[K] = ()) -> Iterator[K]:
    """Of keys in the order of their uses those that are not kept when their turn comes.

    Args:
        uses: the keys.
        most: so many are kept, those that were used last.
        kept: those that are kept at first, in the order of their last use.
    """
    order: OrderedDict[K, None] = OrderedDict.fromkeys(kept)
    for key in uses:
        if key in order:
            order.move_to_end(key)
            continue
        order[key] = None
        if len(order) > most:
            order.popitem(last=False)
        yield key


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
    if detector_of(extractor) is not None:
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


def detector_of(extractor: Any) -> Detector | None:
    """What finds an extractor's features in other processes, if anything does."""
    detector: Detector | None = getattr(extractor, "detector", None)
    return detector


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
    tasks: Iterable[tuple[T, Sequence[Look]]],
    run: Callable[[list[Look]], list[TimedFeatures]],
    most: Callable[[Any], int],
) -> Iterator[tuple[T, list[TimedFeatures]]]:
    """Each task and the features of its images, in order.

    Args:
        tasks: with their images.
        run: extracts images of one size.
        most: how many of a size at a time.
    """
    waiting: deque[_Slot] = deque()
    group: list[tuple[_Slot, int, Look]] = []

    def extract() -> None:
        found = run([look for _, _, look in group])
        for (slot, place, _), features in zip(group, found, strict=True):
            slot.features[place] = features
            slot.left -= 1
        group.clear()

    size: Any = None
    for task, looks in tasks:
        slot = _Slot(task, [None] * len(looks), len(looks))
        waiting.append(slot)
        for place, look in enumerate(looks):
            if group and _size(look) != size:
                extract()
            size = _size(look)
            group.append((slot, place, look))
            if len(group) >= most(size):
                extract()
        while waiting and not waiting[0].left:
            done = waiting.popleft()
            yield done.task, done.features
    if group:
        extract()
    for done in waiting:
        yield done.task, done.features


def _run(extractor: Extractor, timed: bool, looks: Sequence[Look]) -> list[TimedFeatures]:
    """Features of images of one size."""
    if not timed:
        return [TimedFeatures(features, math.nan) for features in _features(extractor, looks)]
    known: Any = extractor if device_of(extractor).type != "cpu" else type(extractor)
    if known not in _READY:
        _features(extractor, looks[:1])
        _features(extractor, looks)
        _READY.add(known)
    found, seconds = measure(partial(_features, extractor, looks), device_of(extractor))
    return [TimedFeatures(features, 1e3 * seconds / len(looks)) for features in found]


_READY: weakref.WeakSet[Any] = weakref.WeakSet()
"""Extractors that have been made ready in this process; on a CPU, kinds of them."""


def _features(extractor: Any, looks: Sequence[Look]) -> list[Features]:
    import torch

    with torch.no_grad(), blaming(FEATURES, extractor):
        if len(looks) == 1 or not hasattr(extractor, "extract"):
            found = [extractor(look.image, mask=look.mask) for look in looks]
        else:
            masks = [look.mask for look in looks]
            found = as_many(extractor.extract([look.image for look in looks], masks), len(looks))
    return [checked_features(extractor, features) for features in found]


def _size(look: Look) -> Any:
    """What tells images of different size apart; files are each one's own."""
    return getattr(look.image, "shape", look.image)


def _together(extractor: Extractor, batch: int | None) -> Callable[[Any], int]:
    """How many images of a size are extracted together."""
    if batch is not None:
        return lambda _: batch
    if device_of(extractor).type == "cpu" or not hasattr(extractor, "extract"):
        return lambda _: 1
    return _on_gpu


def _on_gpu(size: Any) -> int:
    if not isinstance(size, tuple):
        return 1
    pixels: int = math.prod(side for side in size if side > 4)  # without the channels
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
    if "torch" in sys.modules:
        _torch_in_one_thread()
    return function(task)


def _read_and_detect(
    read: Callable[[T], Sequence[Look]], detect: Detector, timed: bool, task: T
) -> list[tuple[FeatureArrays, float]]:
    """The features of a task's images, and the milliseconds that each took."""
    looks = read(task)
    known = getattr(detect, "func", detect)  # a `partial` comes anew with every task
    with blaming(FEATURES, detect):
        if timed and looks and known not in _READY:
            detect(looks[0].image, looks[0].mask)
            _READY.add(known)
        found = [measure(partial(detect, look.image, look.mask), None) for look in looks]
    return [(checked_arrays(detect, arrays), 1e3 * seconds) for arrays, seconds in found]


def _whole(
    read: Callable[[T], Sequence[Look]],
    detect: Detector,
    finish: Callable[[T, list[FeatureArrays]], R],
    task: T,
) -> R:
    return finish(task, [arrays for arrays, _ in _read_and_detect(read, detect, False, task)])


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
