"""Matches the frames of a sequence with one another, doing what depends on one frame only once."""

from __future__ import annotations

import operator
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch

from matchers.dataset_looks import dataset_look, look_in
from matchers.extraction import Look, extracted, workers_for
from matchers.own import MATCHER, as_many, blaming, checked_matches
from matchers.specs import GPU_BATCH
from matchers.types import Extractor, Features, Matcher, Matches
from satgen.dataset import Dataset
from satgen.errors import InputError

T = TypeVar("T")


FrameSource = Dataset | Mapping[int, Any] | Iterable[Any]
"""Frames: a dataset, or images, `Look`s (an image and its mask) or `Features` in order, or by
number."""


@dataclass(frozen=True)
class FramePair:
    """The matches of two frames.

    Attributes:
        index0, index1: the frames' observation indices (a dataset's), or numbers in the source.
        features0, features1: their features.
        matches: rows into these.
    """

    index0: int
    index1: int
    features0: Features
    features1: Features
    matches: Matches


@dataclass
class _Ready:
    """A frame with all that depends on it alone; `prepared` once it is matched."""

    index: int
    features: Features
    prepared: Any = None


class SequenceMatcher:
    """Matches many pairs of few frames.

    A frame's features are extracted once and prepared once (`Matcher.prepare`: LightGlue's
    encodings and first self block, SuperGlue's keypoint encoder and first self layer), and dropped
    when no pair needs them any more. One pair at a time, the matches are those of
    `matcher(features0, features1)` to the last bit. In batches they are the same pairs, with scores
    that differ by rounding.

    Args:
        extractor: finds features; None where the frames are features already.
        matcher: matches them.
        batch_size: pairs that are matched together, by a matcher that has `collate`; None: 1 on
            the CPU, `GPU_BATCH` elsewhere.
        keep: frames that `pairs` in any order may keep at a time; the one that was used longest
            ago is dropped and, if it comes again, extracted again.
        silhouette: of a dataset, look for keypoints only where the target is.
        workers: processes that read a dataset's frames ahead; below 2: none. None: the cores, where
            the frames are many and a GPU extracts them (`matchers.extraction.workers_for`).

    Raises:
        InputError: batch_size below 1, or keep below 2.
    """

    def __init__(
        self,
        extractor: Extractor | None,
        matcher: Matcher,
        *,
        batch_size: int | None = None,
        keep: int = 64,
        silhouette: bool = True,
        workers: int | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size {batch_size}: must be 1 or more")
        if keep < 2:
            raise InputError(f"keep {keep}: must be 2 or more, for the frames of a pair")
        self.extractor = extractor
        self.matcher = matcher
        self.batch_size = batch_size
        self.keep = keep
        self.silhouette = silhouette
        self.workers = workers

    def match_frames(
        self,
        frames: FrameSource,
        gap: int | Sequence[int] = 1,
        pairs: Iterable[tuple[int, int]] | None = None,
    ) -> Iterator[FramePair]:
        """Match frames a gap apart, or given pairs.

        Args:
            frames: the frames. With a gap they are read once, in order, and may be an iterator;
                with pairs they must be a dataset, a sequence or a mapping.
            gap: frames from the first to the second of a pair, counted in the sequence; several
                are matched in one pass.
            pairs: (index0, index1) in any order, instead of a gap: a dataset's observation indices,
                numbers in a sequence from 0, a mapping's keys.

        Yields:
            One `FramePair` a pair: in the order of `pairs`, or as the second frame comes (of
            several gaps the smallest first).

        Raises:
            InputError: at the call: a gap below 1. While iterating: a pair names no frame; a frame
                is an image and there is no extractor; what the extractor refuses.
        """
        if pairs is not None:
            return self._run(self._chosen(frames, list(pairs)))
        return self._run(self._stream(frames, _gaps(gap)))

    def _stream(self, frames: FrameSource, gaps: list[int]) -> Iterator[tuple[_Ready, _Ready]]:
        """Pairs of frames some gaps apart."""
        window: deque[_Ready] = deque(maxlen=min(gaps[-1] + 1, sys.maxsize))
        for index, features in self._features(frames, None):
            window.append(_Ready(index, features))
            for gap in gaps:
                if gap < len(window):
                    yield window[-1 - gap], window[-1]

    def _chosen(
        self, frames: FrameSource, pairs: list[tuple[int, int]]
    ) -> Iterator[tuple[_Ready, _Ready]]:
        """Given pairs, their frames kept while pairs to come need them and there is room."""
        wanted: list[int] = []
        for _ in self._walk(pairs, wanted.append):
            pass
        coming = self._features(frames, wanted)
        yield from self._walk(pairs, lambda _: _Ready(*next(coming)))

    def _walk(
        self, pairs: list[tuple[int, int]], made: Callable[[int], T]
    ) -> Iterator[tuple[T, T]]:
        """Pairs of what is made of their frames, which is kept while it is needed."""
        last = {index: place for place, pair in enumerate(pairs) for index in pair}
        kept: OrderedDict[int, T] = OrderedDict()
        for place, pair in enumerate(pairs):
            for index in pair:
                if index in kept:
                    kept.move_to_end(index)
                    continue
                if len(kept) == self.keep:
                    kept.popitem(last=False)
                kept[index] = made(index)
            yield kept[pair[0]], kept[pair[1]]
            for index in set(pair):
                if last[index] == place:
                    del kept[index]

    def _features(
        self, frames: FrameSource, wanted: Sequence[int] | None
    ) -> Iterator[tuple[int, Features]]:
        """Frames' indices and features, in order; None: of all."""
        if wanted is not None:
            _check_source(frames)
        extractor: Any = self.extractor
        if isinstance(frames, Dataset) and extractor is not None:
            indices = frames.indices.tolist()
            chosen = indices if wanted is None else _known(wanted, set(indices))
            count = len(indices if wanted is None else wanted)
            workers = workers_for(extractor, count, self.workers)
            read = partial(dataset_look, frames, self.silhouette)
            if workers > 1:  # a dataset's table is not sent along with each of its frames
                read = partial(look_in, frames.folder, self.silhouette)
            for index, (features,) in extracted(chosen, read, extractor, workers=workers):
                yield index, features
            return
        source: Any = frames
        items: Iterator[tuple[int, Any]]
        numbered = isinstance(frames, (Dataset, Mapping))
        if isinstance(frames, Dataset):
            source = dict.fromkeys(frames.indices.tolist())
        if wanted is not None:
            known = set(source) if numbered else range(len(source))
            items = ((index, source[index]) for index in _known(wanted, known))
        else:
            items = iter(source.items() if numbered else enumerate(source))
        if extractor is None:
            for index, frame in items:
                if not isinstance(frame, Features):
                    raise InputError(
                        f"frame {index} is an image: without an extractor, give features"
                    )
                yield index, frame
            return
        for (index, frame), found in extracted(items, _item_looks, extractor):
            yield index, found[0] if found else frame

    def _run(self, jobs: Iterator[tuple[_Ready, _Ready]]) -> Iterator[FramePair]:
        """Match pairs, several together if so wanted."""
        first = next(jobs, None)
        if first is None:
            return
        size = self._size(first[0].features)
        group = [first, *islice(jobs, size - 1)]
        del first
        while group:
            found = [
                FramePair(a.index, b.index, a.features, b.features, matches)
                for (a, b), matches in zip(group, self._match(group), strict=True)
            ]
            group.clear()  # lets go of what is prepared before more comes
            yield from found
            group.extend(islice(jobs, size))

    def _size(self, features: Features) -> int:
        """How many pairs are matched together."""
        if not hasattr(self.matcher, "collate"):
            return 1
        return self.batch_size or (1 if features.device.type == "cpu" else GPU_BATCH)

    @torch.no_grad()
    def _match(self, group: list[tuple[_Ready, _Ready]]) -> list[Matches]:
        """Matches of each of some pairs."""
        matcher: Any = self.matcher
        frames = {id(frame): frame for pair in group for frame in pair if frame.prepared is None}
        with blaming(MATCHER, matcher):
            together = prepare_images(matcher, [frame.features for frame in frames.values()])
            for frame, prepared in zip(frames.values(), together, strict=True):
                frame.prepared = prepared
            if len(group) == 1:
                found = [matcher.match(*(frame.prepared for frame in group[0]))]
            else:
                sides = [matcher.collate([pair[i].prepared for pair in group]) for i in (0, 1)]
                found = as_many(matcher.match(*sides), len(group))
        return [
            checked_matches(matcher, matches, len(a.features), len(b.features))
            for matches, (a, b) in zip(found, group, strict=True)
        ]


def prepare_images(matcher: Any, images: Sequence[Features]) -> list[Any]:
    """What a matcher needs of each of some images alone, made together by one that can."""
    if hasattr(matcher, "prepare_all"):
        together: list[Any] = matcher.prepare_all(images)
        return together
    return [matcher.prepare(image) for image in images]


def _gaps(given: Any) -> list[int]:
    """Gaps in ascending order, each once.

    Raises:
        InputError: there are none, or they are no whole numbers from 1.
    """
    try:
        several = [given] if hasattr(given, "__index__") and not np.ndim(given) else given
        gaps = sorted({operator.index(gap) for gap in several})
    except TypeError:
        gaps = []
    if not gaps or gaps[0] < 1:
        raise InputError(f"gap {given!r}: must be a whole number from 1, or several")
    return gaps


def _check_source(frames: FrameSource) -> None:
    """Refuse frames that cannot be asked for by number."""
    if not isinstance(frames, (Dataset, Mapping)) and not hasattr(frames, "__getitem__"):
        raise InputError(
            f"frames {type(frames).__name__}: pairs need a dataset, a sequence or a mapping"
        )


def _known(wanted: Sequence[int], known: Collection[int]) -> Iterator[int]:
    """Indices, the first that there is no frame of being refused when its turn comes."""
    for index in wanted:
        if index not in known:
            raise InputError(f"a pair names frame {index}, which is not among the {len(known)}")
        yield index


def _item_looks(item: tuple[int, Any]) -> list[Look]:
    """What is to be extracted of a frame that is no dataset's: nothing, if it is features."""
    frame = item[1]
    if isinstance(frame, Features):
        return []
    return [frame if isinstance(frame, Look) else Look(frame)]
