"""Matches the frames of a sequence with one another, doing what depends on one frame only once."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from matchers.specs import GPU_BATCH
from matchers.types import Extractor, Features, Image, Matcher, Matches
from satgen.dataset import Dataset
from satgen.errors import InputError


@dataclass(frozen=True)
class SequenceFrame:
    """An image and where on it keypoints are wanted: `mask` (H, W) bool, None for everywhere."""

    image: Image
    mask: npt.NDArray[np.bool_] | None = None


FrameSource = Dataset | Mapping[int, Any] | Iterable[Any]
"""Frames: a dataset, or images, `SequenceFrame`s or `Features` in order, or by number."""


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


@dataclass(frozen=True)
class _Ready:
    """A frame with all that depends on it alone."""

    index: int
    features: Features
    prepared: Any


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
        gaps = sorted({gap} if isinstance(gap, int) else set(gap))
        if not gaps or gaps[0] < 1:
            raise InputError(f"gap {gap}: must be 1 or more")
        return self._run(self._stream(frames, gaps))

    def _stream(self, frames: FrameSource, gaps: list[int]) -> Iterator[tuple[_Ready, _Ready]]:
        """Pairs of frames some gaps apart."""
        window: deque[_Ready] = deque(maxlen=gaps[-1] + 1)
        for index, frame in _numbered(frames, self.silhouette):
            window.append(self._ready(index, frame))
            for gap in gaps:
                if gap < len(window):
                    yield window[-1 - gap], window[-1]

    def _chosen(
        self, frames: FrameSource, pairs: list[tuple[int, int]]
    ) -> Iterator[tuple[_Ready, _Ready]]:
        """Given pairs, their frames kept while pairs to come need them and there is room."""
        read = _reader(frames, self.silhouette)
        last = {index: place for place, pair in enumerate(pairs) for index in pair}
        kept: OrderedDict[int, _Ready] = OrderedDict()
        for place, pair in enumerate(pairs):
            for index in pair:
                if index in kept:
                    kept.move_to_end(index)
                    continue
                if len(kept) == self.keep:
                    kept.popitem(last=False)
                kept[index] = self._ready(index, read(index))
            yield kept[pair[0]], kept[pair[1]]
            for index in set(pair):
                if last[index] == place:
                    del kept[index]

    @torch.no_grad()
    def _ready(self, index: int, frame: Any) -> _Ready:
        """Extract and prepare a frame."""
        if not isinstance(frame, Features):
            if self.extractor is None:
                raise InputError(f"frame {index} is an image: without an extractor, give features")
            frame = frame if isinstance(frame, SequenceFrame) else SequenceFrame(frame)
            frame = self.extractor(frame.image, mask=frame.mask)
        return _Ready(index, frame, self.matcher.prepare(frame))

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
        if len(group) == 1:
            a, b = group[0]
            return [self.matcher.match(a.prepared, b.prepared)]
        matcher: Any = self.matcher
        sides = [matcher.collate([pair[i].prepared for pair in group]) for i in (0, 1)]
        matches: list[Matches] = matcher.match(*sides)
        return matches


def _frame(data: Dataset, index: int, silhouette: bool) -> SequenceFrame:
    return SequenceFrame(data.rgb(index), data.parts(index) > 0 if silhouette else None)


def _numbered(frames: FrameSource, silhouette: bool) -> Iterator[tuple[int, Any]]:
    """Frames in order, each with its index."""
    if isinstance(frames, Dataset):
        return ((index, _frame(frames, index, silhouette)) for index in frames.indices.tolist())
    if isinstance(frames, Mapping):
        return iter(frames.items())
    return enumerate(frames)


def _reader(frames: FrameSource, silhouette: bool) -> Callable[[int], Any]:
    """A function from an index to the frame."""
    source: Any = frames
    if isinstance(frames, Dataset):
        known = set(frames.indices.tolist())
    elif isinstance(frames, Mapping):
        known = set(frames)
    elif hasattr(frames, "__getitem__"):
        known = set(range(len(source)))
    else:
        raise InputError(
            f"frames {type(frames).__name__}: pairs need a dataset, a sequence or a mapping"
        )

    def read(index: int) -> Any:
        if index not in known:
            raise InputError(f"a pair names frame {index}, which is not among the {len(known)}")
        if isinstance(frames, Dataset):
            return _frame(frames, index, silhouette)
        return source[index]

    return read
