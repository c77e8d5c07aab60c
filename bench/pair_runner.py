"""Runs matchers on pairs of frames, with the time that takes: the part of a run that has networks.

A process holds one `PairRunner`; tasks come to it as plain values, so that they can go to workers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.columns import MatchOutcome, pixels_of
from bench.config import BenchConfig, Combination
from bench.frame_looks import FrameKey, frame_look, frame_look_of_worker
from bench.frame_store import Cache, FrameStore
from bench.lineup import Lineup
from bench.pair_judge import (
    FeatureMatches,
    JudgeSettings,
    Matched,
    MatchedFrames,
    MatchedImages,
    PairJudge,
    Row,
)
from bench.posed import PosedPair
from matchers.clock import timed
from matchers.extraction import Look, TimedFeatures, measured, not_kept
from matchers.image_arrays import read_file
from matchers.image_matchers import MatchedImagePair, match_images
from matchers.own import MATCHER, as_many, blaming, checked_matches
from matchers.sequence import prepare_images
from matchers.specs import GPU_BATCH
from matchers.truth.pairs import Pair

if TYPE_CHECKING:
    from matchers.types import Features, Matcher

Keys = Sequence[tuple[Hashable, Hashable]]
KEPT_FEATURES = 256
"""Frames whose features stay in memory: of two extractors, as many as the largest gap reaches."""

WARM_UP = 2
"""Matches before the first that is timed."""


@dataclass(frozen=True)
class PairTask:
    """Pairs of one dataset to be run.

    Attributes:
        dataset: folder of the frames.
        pairs: of that dataset.
        keep: folder to write matches into, for those of `pairs` in `kept`.
        kept: which pairs.
    """

    dataset: Path
    pairs: tuple[Pair, ...]
    keep: Path
    kept: frozenset[Pair]


@dataclass(frozen=True)
class PosedTask:
    """Pairs of images of another benchmark, numbered by their place in its list.

    Attributes:
        name: of the list.
        images: their folder.
        pairs: cameras and poses are those of the images brought upright.
    """

    name: str
    images: Path
    pairs: tuple[tuple[int, PosedPair], ...]


Task = PairTask | PosedTask


def run_task(config: BenchConfig, threads: int, task: Task) -> list[Row]:
    """The rows of a task, in a process that keeps its models for the next one."""
    return _runner(config, threads).rows(task)


@lru_cache(maxsize=1)
def _runner(config: BenchConfig, threads: int) -> PairRunner:
    return PairRunner(config, Lineup.load(config), threads)


class PairRunner:
    """Runs a lineup on pairs, and keeps the frames that were used last.

    Args:
        config: how to run it.
        lineup: what is compared.
        threads: for PyTorch, in this process.
    """

    def __init__(self, config: BenchConfig, lineup: Lineup, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.config = config
        self.lineup = lineup
        self._store = FrameStore()
        self._judge = PairJudge(JudgeSettings.of(config, lineup), self._store)
        self._features = {name: Cache(KEPT_FEATURES) for name in lineup.extractors}
        self._coming: dict[str, Generator[tuple[FrameKey, list[TimedFeatures]]]] = {}
        self._size = config.batch or (1 if lineup.device.type == "cpu" else GPU_BATCH)
        largest = max(self._size, GPU_BATCH)
        self._prepared = Cache((2 + 2 * largest) * len(lineup.matchers))
        self._warm: set[str] = set()

    # -- pairs ---------------------------------------------------------------------------------

    def rows(self, task: Task) -> list[Row]:
        """A row for each pair and each combination, pair by pair."""
        return [row for matched in self.matched([task]) for row in self.judged(matched)]

    def judged(self, matched: Matched) -> list[Row]:
        """A row for each combination of a pair that was matched here."""
        return self._judge.rows(matched)

    def matched(self, tasks: Sequence[Task], readers: int = 0) -> Iterator[Matched]:
        """What is found in each pair of some tasks.

        Args:
            tasks: in their order.
            readers: processes that read frames ahead of their matching; below 2: none.
        """
        uses = [
            key
            for task in tasks
            if isinstance(task, PairTask)
            for pair in task.pairs
            for key in _keys_of(task, pair)
        ]
        each = max(2, readers // max(1, len(self.lineup.extractors))) if readers > 1 else 0
        self._coming = {name: self._stream(name, uses, each) for name in self.lineup.extractors}
        try:
            for task in tasks:
                yield from self._matched(task)
        finally:
            for stream in self._coming.values():
                stream.close()

    def _matched(self, task: Task) -> Iterator[Matched]:
        if isinstance(task, PosedTask):
            for number, posed in task.pairs:
                yield MatchedImages(task.name, number, posed, self._posed(task, posed))
            return
        for start in range(0, len(task.pairs), self._size):
            pairs = task.pairs[start : start + self._size]
            for pair, found in zip(pairs, self._batch(task, pairs), strict=True):
                keep = task.keep if pair in task.kept else None
                yield MatchedFrames(task.dataset, pair, found, keep)

    def _batch(self, task: PairTask, pairs: Sequence[Pair]) -> list[tuple[FeatureMatches, ...]]:
        """What is found in pairs that are matched together."""
        keys = [((p.dataset, p.index0), (p.dataset, p.index1)) for p in pairs]
        found = []
        for name in self.lineup.extractors:
            sides = [[self._of_frame(name, key) for key in _keys_of(task, p)] for p in pairs]
            found.append(self._found(name, sides, keys))
        by_features = list(zip(*found, strict=True)) if found else [()] * len(pairs)
        of_images = [self._of_images(*self._looks(task, pair)) for pair in pairs]
        return [(*a, *b) for a, b in zip(by_features, of_images, strict=True)]

    def _posed(self, task: PosedTask, pair: PosedPair) -> tuple[FeatureMatches, ...]:
        """What is found in two images of another benchmark."""
        images = [read_file(task.images / name) for name in (pair.name0, pair.name1)]
        turned = [
            np.ascontiguousarray(np.rot90(image, turns))
            for image, turns in zip(images, (pair.turns0, pair.turns1), strict=True)
        ]
        found = []
        for name in self.lineup.extractors:
            extractor = self.lineup.extractors[name]
            sides = [side for _, (side,) in measured(turned, _whole_image, extractor)]
            found += self._found(name, [sides], None)
        return (*found, *self._of_images(*map(Look, turned)))

    # -- frames --------------------------------------------------------------------------------

    def _stream(
        self, name: str, uses: Sequence[FrameKey], readers: int
    ) -> Generator[tuple[FrameKey, list[TimedFeatures]]]:
        """Frames and their features, as they are wanted, but for those that are kept."""
        kept: Any = list(self._features[name])
        wanted = not_kept(uses, KEPT_FEATURES, kept)
        silhouette = self.config.silhouette
        read = partial(frame_look, self._store, silhouette)
        if readers > 1:
            read = partial(frame_look_of_worker, silhouette)
        return measured(wanted, read, self.lineup.extractors[name], workers=readers)

    def _of_frame(self, name: str, key: FrameKey) -> TimedFeatures:
        """A frame's features."""

        def next_one() -> TimedFeatures:
            found, (features,) = next(self._coming[name])
            assert found == key, "frames come in the order in which they are wanted"
            return features

        return self._features[name].get_or(key, next_one)

    def _looks(self, task: PairTask, pair: Pair) -> list[Look]:
        """Both images of a pair, if there is a matcher that takes them."""
        if not self.lineup.image_matchers:
            return [Look(np.zeros((0, 0), np.uint8))] * 2
        silhouette = self.config.silhouette
        return [
            look
            for key in _keys_of(task, pair)
            for look in frame_look(self._store, silhouette, key)
        ]

    # -- matching ------------------------------------------------------------------------------

    def _found(
        self, name: str, sides: Sequence[Sequence[TimedFeatures]], keys: Keys | None
    ) -> list[FeatureMatches]:
        """What every matcher of the features `name` finds in some pairs."""
        features = [(first[0], second[0]) for first, second in sides]
        answers = self._match(name, features, keys)
        found = []
        for place, ((a, b), ((_, time0), (_, time1))) in enumerate(
            zip(features, sides, strict=True)
        ):
            outcomes = {}
            for combination, (answer, ms) in answers.items():
                matcher = self.lineup.matchers[combination]
                matches = checked_matches(matcher, answer[place], len(a), len(b))
                count = self._count(combination, a, b)
                outcomes[combination] = MatchOutcome.of(matches, ms, len(a) + len(b), count)
            pixels = pixels_of(a), pixels_of(b)
            found.append(FeatureMatches(name, *pixels, time0 + time1, outcomes))
        return found

    def _of_images(self, look0: Look, look1: Look) -> tuple[FeatureMatches, ...]:
        """What the matchers of images find in two, each with keypoints of its own."""
        answers: dict[Combination, MatchedImagePair] = {}
        times: dict[Combination, list[float]] = {}
        for combination, matcher in self.lineup.image_matchers.items():
            images, masks = (look0.image, look1.image), (look0.mask, look1.mask)
            run = partial(match_images, matcher, *images, *masks)
            if combination.id not in self._warm:
                run()
                self._warm.add(combination.id)
            for _ in range(self.config.repeats):
                answers[combination], seconds = timed(run, self.lineup.device)
                times.setdefault(combination, []).append(1e3 * seconds)
        found = []
        for combination, answer in answers.items():
            sides = (answer.features0, answer.features1)
            count = sum(map(len, sides))
            outcome = MatchOutcome.of(
                answer.matches, statistics.median(times[combination]), count, None
            )
            a, b = map(pixels_of, sides)
            outcomes = {combination: outcome}
            found.append(FeatureMatches("", a, b, math.nan, outcomes, answer.detected))
        return tuple(found)

    def _count(self, combination: Combination, a: Features, b: Features) -> Any:
        """How the operations of a pair are counted; None: nobody knows."""
        count = self.lineup.counts.get(combination.matcher)
        return None if count is None else partial(count, self.lineup.matchers[combination], a, b)

    def _match(
        self, name: str, sides: list[tuple[Features, Features]], keys: Keys | None
    ) -> dict[Combination, tuple[list[Any], float]]:
        """Each combination's answers on the same pairs, and its milliseconds a pair.

        They take turns, so that a slow spell hits them alike. With all consecutive pairs (and
        `keys` of the frames), what depends on one frame alone is computed once a frame, as
        `matchers.sequence` does, and the time is that of the rest.
        """
        mine = {c: m for c, m in self.lineup.matchers.items() if c.features == name}
        sequence = self.config.pairs_per_gap is None and keys is not None
        for combination, matcher in mine.items():
            if combination.id not in self._warm:
                with blaming(MATCHER, matcher):
                    for _ in range(WARM_UP):
                        match_all(matcher, sides)
                self._warm.add(combination.id)
        times: dict[Combination, list[float]] = {combination: [] for combination in mine}
        answers: dict[Combination, list[Any]] = {}
        for repeat in range(self.config.repeats):
            for combination, matcher in mine.items():
                if sequence and keys is not None:
                    named = [tuple((combination.id, key) for key in pair) for pair in keys]
                    if repeat:  # later frames must be prepared again, as they were the first time
                        for _, later in named:
                            self._prepared.pop(later, None)
                    run = partial(self._match_prepared, matcher, sides, named)
                else:
                    run = partial(match_all, matcher, sides)
                with blaming(MATCHER, matcher):
                    answers[combination], seconds = timed(run, self.lineup.device)
                times[combination].append(1e3 * seconds / len(sides))
        return {c: (answer, statistics.median(times[c])) for c, answer in answers.items()}

    def _match_prepared(
        self, matcher: Any, sides: list[tuple[Features, Features]], keys: list[Any]
    ) -> list[Any]:
        frames = {
            key: features
            for names, pair in zip(keys, sides, strict=True)
            for key, features in zip(names, pair, strict=True)
        }
        new = [key for key in frames if key not in self._prepared]
        made = dict(zip(new, prepare_images(matcher, [frames[key] for key in new]), strict=True))
        prepared = [
            [self._prepared.get_or(key, partial(made.__getitem__, key)) for key in names]
            for names in keys
        ]
        if len(prepared) == 1 or not hasattr(matcher, "collate"):
            return [matcher.match(*pair) for pair in prepared]
        first, second = (matcher.collate(list(side)) for side in zip(*prepared, strict=True))
        return as_many(matcher.match(first, second), len(sides))


# -- frames --------------------------------------------------------------------------------------


def _keys_of(task: PairTask, pair: Pair) -> tuple[FrameKey, FrameKey]:
    """Both frames of a pair."""
    return (task.dataset, pair.index0, 0.0), (task.dataset, pair.index1, pair.roll_deg)


def _whole_image(image: Any) -> list[Look]:
    return [Look(image)]


# -- matching ------------------------------------------------------------------------------------


def match_all(matcher: Matcher, sides: list[tuple[Features, Features]]) -> list[Any]:
    """Matches of each pair; several go as a batch, if the matcher takes batches."""
    if len(sides) == 1 or not hasattr(matcher, "collate"):
        return [matcher(*pair) for pair in sides]
    from matchers.types import batch

    first, second = zip(*sides, strict=True)
    return as_many(matcher(batch(list(first)), batch(list(second))), len(sides))
