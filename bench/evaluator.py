"""Runs matchers on pairs of frames, with the time that takes: the part of a run that does the work.

A process holds one `Evaluator`; tasks come to it as plain values, so that they can go to workers.
"""

from __future__ import annotations

import io
import statistics
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bench.config import GPU_BATCH, TRUTH, BenchConfig, Combination
from bench.evaluate import (
    Outcome,
    absolute_figures,
    pair_columns,
    positions,
    relative_figures,
    truth_figures,
    view_angle_deg,
    work_figures,
)
from bench.metrics import agreement
from bench.posed import PosedPair, upright
from bench.timing import match_all, timed
from matchers.truth.exact import label
from matchers.truth.frame import FrameGeometry, read_geometry
from matchers.truth.pairs import Pair
from satgen.atomic import write_atomic
from satgen.dataset import Dataset, read_image
from satgen.geometry import Floats

if TYPE_CHECKING:
    import torch

    from matchers.types import Extractor, Features, Matcher

Row = dict[str, Any]
Keys = Sequence[tuple[Hashable, Hashable]]
T = TypeVar("T")

KEPT_FEATURES = 256
"""Frames whose features stay in memory: of two extractors, as many as the largest gap reaches."""

KEPT_GEOMETRIES = 64
"""Frames whose depth does: it takes ten times as much, and is read again in no time."""

WARM_UP = 2
"""Matches before the first that is timed."""


@dataclass(frozen=True)
class Task:
    """Pairs to be evaluated.

    Attributes:
        config: of the run.
        threads: of the process.
        dataset: folder of the frames.
        pairs: of that dataset.
        keep: folder to write matches into, for those of `pairs` in `kept`.
        kept: which pairs.
    """

    config: BenchConfig
    threads: int
    dataset: Path
    pairs: tuple[Pair, ...]
    keep: Path
    kept: frozenset[Pair]


@dataclass(frozen=True)
class PosedTask:
    """Pairs of images of another benchmark, numbered by their place in its list."""

    config: BenchConfig
    threads: int
    name: str
    images: Path
    pairs: tuple[tuple[int, PosedPair], ...]


def run_task(task: Task | PosedTask) -> list[Row]:
    """The rows of a task, pair by pair, in a process that keeps its models for the next one."""
    evaluator = _evaluator(task.config, task.threads)
    if isinstance(task, PosedTask):
        return [
            row for number, pair in task.pairs for row in evaluator.posed_pair(task, number, pair)
        ]
    return [row for pairs in evaluator.batches(task.pairs) for row in evaluator.rows(task, pairs)]


def load_evaluator(task: Task | PosedTask) -> None:
    """Load what a task needs into this process.

    Raises:
        InputError: an extractor or a matcher cannot be had, or the weights are not its own.
    """
    _evaluator(task.config, task.threads)


@lru_cache(maxsize=1)
def _evaluator(config: BenchConfig, threads: int) -> Evaluator:
    return Evaluator(config, threads)


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


class Evaluator:
    """Extractors and matchers of a run, and the frames that were used last.

    Args:
        config: of the run.
        threads: for PyTorch, in this process.

    Raises:
        InputError: an extractor or a matcher cannot be had.
    """

    def __init__(self, config: BenchConfig, threads: int) -> None:
        import torch

        from matchers.registry import load_features, load_matcher

        torch.set_num_threads(threads)
        self.config = config
        features = config.features_specs()
        self._extractors: dict[str, Extractor] = {
            name: load_features(
                spec,
                weights=config.weights_of(name),
                max_keypoints=config.max_keypoints,
                device=config.device,
            )
            for name, spec in features.items()
        }
        specs = config.matcher_specs()
        self._matchers: dict[Combination, Matcher] = {
            combination: load_matcher(
                specs[combination.matcher],
                features=features[combination.features],
                weights=combination.weights,
                device=config.device,
                **combination.options,
            )
            for combination in config.combinations()
            if not combination.is_truth
        }
        self._operations = {name: spec.operations for name, spec in specs.items()}
        self._frames = Cache(KEPT_FEATURES)
        self._geometries = Cache(KEPT_GEOMETRIES)
        self._datasets = Cache(4)
        self._prepared = Cache((2 + 2 * GPU_BATCH) * len(self._matchers))
        self._warm: set[str] = set()

    # -- pairs ---------------------------------------------------------------------------------

    def batches(self, pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
        """Pairs in batches."""
        size = self.config.batch or (1 if self._device.type == "cpu" else GPU_BATCH)
        for start in range(0, len(pairs), size):
            yield pairs[start : start + size]

    def rows(self, task: Task, pairs: Sequence[Pair]) -> Iterator[Row]:
        """A row for each pair of a batch and each combination, pair by pair."""
        data: Dataset = self._datasets.get_or(task.dataset, lambda: Dataset(task.dataset))
        found: dict[str, list[dict[Combination, Outcome]]] = {}
        for name in self._extractors:
            sides = [self._sides(data, name, pair) for pair in pairs]
            keys = [((p.dataset, p.index0), (p.dataset, p.index1)) for p in pairs]
            features = [(side0[0], side1[0]) for side0, side1 in sides]
            found[name] = self._match(name, features, keys)
        for place, pair in enumerate(pairs):
            for name in self._extractors:
                yield from self._dataset_rows(task, data, pair, name, found[name][place])

    def _sides(self, data: Dataset, name: str, pair: Pair) -> list[tuple[Features, float]]:
        """Features of either frame, and milliseconds."""
        return [self._dataset_features(data, name, i) for i in (pair.index0, pair.index1)]

    def _dataset_rows(
        self,
        task: Task,
        data: Dataset,
        pair: Pair,
        name: str,
        outcomes: dict[Combination, Outcome],
    ) -> Iterator[Row]:
        """A row for each combination of the features `name`."""
        frame0, frame1 = self._geometry(data, pair.index0), self._geometry(data, pair.index1)
        classes = part_classes(data)
        frame = data.frames.loc[data.frames["index"] == pair.index0].iloc[0]
        T0, T1 = frame0.T_cam_target, frame1.T_cam_target
        common = {
            "dataset": pair.dataset,
            "target": data.name,
            "index0": pair.index0,
            "index1": pair.index1,
            "gap": pair.gap,
            "view_angle_deg": view_angle_deg(T0, T1),
            "phase_deg": float(frame["phase_deg"]),
            "elevation_deg": float(frame["elevation_deg"]),
        }
        (features0, time0), (features1, time1) = self._sides(data, name, pair)
        keypoints0, keypoints1 = positions(features0), positions(features1)
        truth = label(keypoints0, keypoints1, frame0, frame1, self.config.thresholds)
        if (known := Combination(name, TRUTH)) in self.config.combinations():
            outcomes = outcomes | {known: Outcome.of_truth(truth)}
        for combination, outcome in outcomes.items():
            points0, points1 = keypoints0[outcome.pairs[:, 0]], keypoints1[outcome.pairs[:, 1]]
            row, judged = truth_figures(truth, outcome, classes)
            if pair in task.kept:
                file = match_file(task.keep, combination.id, pair)
                save_matches(file, features0, features1, outcome, judged.verdict)
            ransac = self.config.ransac
            T_0to1 = T1 @ np.linalg.inv(T0)
            yield (
                common
                | pair_columns(combination, outcome)
                | row
                | relative_figures(points0, points1, frame0.K, frame1.K, T_0to1, ransac)
                | absolute_figures(points0, points1, frame0, frame1, ransac)
                | self._work(combination, features0, features1, outcome)
                | {
                    "extract_ms": time0 + time1,
                    "agreement": _agreement(combination, outcomes),
                }
            )

    def posed_pair(self, task: PosedTask, number: int, pair: PosedPair) -> Iterator[Row]:
        """A row for each combination: pose and epipolar figures only."""
        images = [np.asarray(read_image(task.images / name)) for name in (pair.name0, pair.name1)]
        sizes = [(image.shape[1], image.shape[0]) for image in images]
        K0, K1, T_0to1 = upright(pair, *sizes)
        turned = [
            np.ascontiguousarray(np.rot90(image, turns))
            for image, turns in zip(images, (pair.turns0, pair.turns1), strict=True)
        ]
        angle = view_angle_deg(np.eye(4), T_0to1)
        for name in self._extractors:
            (features0, time0), (features1, time1) = (self._extract(name, i) for i in turned)
            outcomes = self._match(name, [(features0, features1)], None)[0]
            for combination, outcome in outcomes.items():
                points0 = positions(features0)[outcome.pairs[:, 0]]
                points1 = positions(features1)[outcome.pairs[:, 1]]
                yield (
                    {
                        "dataset": task.name,
                        "target": "",
                        "index0": number,
                        "index1": number,
                        "gap": 0,
                        "view_angle_deg": angle,
                    }
                    | pair_columns(combination, outcome)
                    | {
                        "num_keypoints0": len(features0),
                        "num_keypoints1": len(features1),
                        "num_matches": len(outcome.pairs),
                    }
                    | relative_figures(points0, points1, K0, K1, T_0to1, self.config.ransac)
                    | self._work(combination, features0, features1, outcome)
                    | {
                        "extract_ms": time0 + time1,
                        "agreement": _agreement(combination, outcomes),
                    }
                )

    def _work(
        self, combination: Combination, features0: Features, features1: Features, outcome: Outcome
    ) -> Row:
        matcher = self._matchers.get(combination)
        count = self._operations.get(combination.matcher)
        operations = None
        if matcher is not None and count is not None:
            operations = count(matcher, features0, features1, outcome.adaptation)
        return work_figures(len(features0) + len(features1), outcome.adaptation, operations)

    # -- frames --------------------------------------------------------------------------------

    def _geometry(self, data: Dataset, index: int) -> FrameGeometry:
        return self._geometries.get_or((data.folder, index), lambda: read_geometry(data, index))

    def _dataset_features(self, data: Dataset, name: str, index: int) -> tuple[Features, float]:
        def extract() -> tuple[Features, float]:
            parts = self._geometry(data, index).parts
            mask = None if parts is None or not self.config.silhouette else parts > 0
            return self._extract(name, data.rgb(index), mask)

        return self._frames.get_or((name, data.folder, index), extract)

    def _extract(self, name: str, image: Any, mask: Any = None) -> tuple[Features, float]:
        """Features of an image, and milliseconds; the first one of an extractor is done twice."""
        extractor = self._extractors[name]
        if name not in self._warm:
            extractor(image, mask=mask)
            self._warm.add(name)
        features, seconds = timed(lambda: extractor(image, mask=mask), self._device)
        return features, 1e3 * seconds

    # -- matching ------------------------------------------------------------------------------

    @property
    def _device(self) -> torch.device:
        from matchers.registry import choose_device

        return choose_device(self.config.device)

    def _match(
        self, name: str, sides: list[tuple[Features, Features]], keys: Keys | None
    ) -> list[dict[Combination, Outcome]]:
        """Each combination on the same pairs, taking turns, so that a slow spell hits them alike.

        With all consecutive pairs (and `keys` of the frames), what depends on one frame alone is
        computed once a frame, as `matchers.sequence` does, and the time is that of the rest.
        """
        mine = {c: m for c, m in self._matchers.items() if c.features == name}
        sequence = self.config.pairs_per_gap is None and keys is not None
        for combination, matcher in mine.items():
            if combination.id not in self._warm:
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
                answers[combination], seconds = timed(run, self._device)
                times[combination].append(1e3 * seconds / len(sides))
        return [
            {
                combination: Outcome.of(answer[place], statistics.median(times[combination]))
                for combination, answer in answers.items()
            }
            for place in range(len(sides))
        ]

    def _match_prepared(
        self, matcher: Any, sides: list[tuple[Features, Features]], keys: list[Any]
    ) -> list[Any]:
        prepared = [
            [
                self._prepared.get_or(key, partial(matcher.prepare, features))
                for key, features in zip(names, pair, strict=True)
            ]
            for names, pair in zip(keys, sides, strict=True)
        ]
        if len(prepared) == 1:
            return [matcher.match(*prepared[0])]
        first, second = (matcher.collate(list(side)) for side in zip(*prepared, strict=True))
        return list(matcher.match(first, second))


def _agreement(combination: Combination, outcomes: dict[Combination, Outcome]) -> float:
    """Of an adaptive combination with full depth, on this pair."""
    full = [other for other in outcomes if combination.without_adapting(other)]
    if not combination.adaptive or not full:
        return float("nan")
    return agreement(outcomes[combination].pairs, outcomes[full[0]].pairs)


# -- datasets and files ------------------------------------------------------------------------


def part_classes(data: Dataset) -> dict[int, str]:
    """Class by part label."""
    return {int(k): str(part["class"]) for k, part in data.description["parts"].items()}


def match_file(folder: Path, combination: str, pair: Pair) -> Path:
    """Where the matches of a pair are kept."""
    return folder / combination / f"{pair.dataset}_{pair.index0:06d}_{pair.index1:06d}.npz"


def save_matches(
    path: Path, features0: Features, features1: Features, outcome: Outcome, verdict: Floats | Any
) -> None:
    """Keypoints, matches, scores and verdicts of a pair, as .npz, atomically."""
    data = io.BytesIO()
    np.savez_compressed(
        data,
        keypoints0=positions(features0).astype(np.float32),
        keypoints1=positions(features1).astype(np.float32),
        matches=outcome.pairs.astype(np.int32),
        scores=outcome.scores,
        verdict=np.asarray(verdict, dtype=np.int8),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())
