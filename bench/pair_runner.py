"""Runs matchers on pairs of frames, with the time that takes: the part of a run that does the work.

A process holds one `PairRunner`; tasks come to it as plain values, so that they can go to workers.
"""

from __future__ import annotations

import io
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bench.columns import (
    MatchOutcome,
    absolute_figures,
    pair_columns,
    pixels_of,
    relative_figures,
    truth_figures,
    view_angle_deg,
    work_figures,
)
from bench.config import BenchConfig, Combination
from bench.lineup import Lineup
from bench.metrics import agreement
from bench.pose import FrameMatches
from bench.posed import PosedPair
from bench.shadow_matches import MovingEdges, shadow_figures
from matchers.images import read_file
from matchers.specs import GPU_BATCH
from matchers.truth.exact import label
from matchers.truth.frame import FrameGeometry
from matchers.truth.pairs import Pair
from matchers.truth.roll import carry, roll_image, roll_matrix, seen_mask
from satgen.atomic import write_atomic
from satgen.dataset import Dataset, described_images
from satgen.geometry import Floats

if TYPE_CHECKING:
    import torch

    from matchers.types import Features, Matcher
    from satgen.frame import Frame

Row = dict[str, Any]
Keys = Sequence[tuple[Hashable, Hashable]]
T = TypeVar("T")

KEPT_FEATURES = 256
"""Frames whose features stay in memory: of two extractors, as many as the largest gap reaches."""

KEPT_GEOMETRIES = 64
"""Frames whose depth stays in memory: it takes ten times as much, and is read again in no time."""

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
        self._frames = Cache(KEPT_FEATURES)
        self._geometries = Cache(KEPT_GEOMETRIES)
        self._datasets = Cache(4)
        self._prepared = Cache((2 + 2 * GPU_BATCH) * len(lineup.matchers))
        self._warm: set[str] = set()

    # -- pairs ---------------------------------------------------------------------------------

    def rows(self, task: Task) -> list[Row]:
        """A row for each pair and each combination, pair by pair."""
        if isinstance(task, PosedTask):
            return [row for number, pair in task.pairs for row in self._posed(task, number, pair)]
        size = self.config.batch or (1 if self.lineup.device.type == "cpu" else GPU_BATCH)
        starts = range(0, len(task.pairs), size)
        batches = [task.pairs[start : start + size] for start in starts]
        return [row for pairs in batches for row in self._batch(task, pairs)]

    def _batch(self, task: PairTask, pairs: Sequence[Pair]) -> Iterator[Row]:
        """The rows of pairs that are matched together."""
        data: Dataset = self._datasets.get_or(task.dataset, lambda: Dataset(task.dataset))
        found: dict[str, list[dict[Combination, MatchOutcome]]] = {}
        for name in self.lineup.extractors:
            sides = [self._sides(data, name, pair) for pair in pairs]
            keys = [((p.dataset, p.index0), (p.dataset, p.index1)) for p in pairs]
            features = [(side0[0], side1[0]) for side0, side1 in sides]
            found[name] = self._match(name, features, keys)
        for place, pair in enumerate(pairs):
            for name in self.lineup.extractors:
                yield from self._dataset_rows(task, data, pair, name, found[name][place])

    def _sides(self, data: Dataset, name: str, pair: Pair) -> list[tuple[Features, float]]:
        """Features of either frame, and milliseconds."""
        return [
            self._dataset_features(data, name, pair.index0),
            self._dataset_features(data, name, pair.index1, pair.roll_deg),
        ]

    def _dataset_rows(
        self,
        task: PairTask,
        data: Dataset,
        pair: Pair,
        name: str,
        outcomes: dict[Combination, MatchOutcome],
    ) -> Iterator[Row]:
        """A row for each combination of the features `name`."""
        frame0, frame1 = self._geometry(data, pair.index0), self._geometry(data, pair.index1)
        classes = part_classes(data)
        shadowed = "shadow" in described_images(data.description)
        edges = MovingEdges(data[pair.index0], data[pair.index1]) if shadowed else None
        frame = data.frames.loc[data.frames["index"] == pair.index0].iloc[0]
        T0, T1 = frame0.T_cam_target, frame1.T_cam_target
        common = {
            "dataset": pair.dataset,
            "target": data.name,
            "index0": pair.index0,
            "index1": pair.index1,
            "gap": pair.gap,
            "roll_gap_deg": pair.roll_deg,
            "view_angle_deg": view_angle_deg(T0, T1),
            "phase_deg": float(frame["phase_deg"]),
            "elevation_deg": float(frame["elevation_deg"]),
        }
        sides = self._sides(data, name, pair)
        (features0, _), (features1, _) = sides
        keypoints0, keypoints1 = pixels_of(features0), pixels_of(features1)
        if pair.roll_deg:  # back into the frame, whose truth is known
            H = roll_matrix(frame1.K[:2, 2], pair.roll_deg)
            keypoints1 = carry(np.linalg.inv(H), keypoints1)
        truth = label(keypoints0, keypoints1, frame0, frame1, self.config.thresholds)
        for combination in self.lineup.combinations:
            if combination.is_truth and combination.features == name:
                outcomes = outcomes | {combination: MatchOutcome.of_truth(truth)}
        for combination, outcome in outcomes.items():
            points0, points1 = keypoints0[outcome.pairs[:, 0]], keypoints1[outcome.pairs[:, 1]]
            row, judged = truth_figures(truth, outcome, classes)
            if pair in task.kept:
                file = match_file(task.keep, combination.id, pair)
                save_matches(file, features0, features1, outcome, judged.verdict)
            ransac = self.config.ransac
            matches = FrameMatches.of(points0, points1, frame0, frame1)
            absolute = matches.absolute(ransac)
            if edges is not None:
                on_edge = edges.have(points0, points1)
                row |= shadow_figures(matches, on_edge, absolute, ransac)
            yield (
                common
                | pair_columns(combination, outcome)
                | row
                | relative_figures(
                    matches.x0, matches.x1, frame0.K, frame1.K, matches.truth, ransac
                )
                | absolute_figures(absolute, T1)
                | self._last_columns(combination, outcomes, sides)
            )

    def _posed(self, task: PosedTask, number: int, pair: PosedPair) -> Iterator[Row]:
        """A row for each combination: pose and epipolar figures only."""
        images = [read_file(task.images / name) for name in (pair.name0, pair.name1)]
        K0, K1, T_0to1 = pair.K0, pair.K1, pair.T_0to1
        turned = [
            np.ascontiguousarray(np.rot90(image, turns))
            for image, turns in zip(images, (pair.turns0, pair.turns1), strict=True)
        ]
        angle = view_angle_deg(np.eye(4), T_0to1)
        for name in self.lineup.extractors:
            sides = [self._extract(name, image) for image in turned]
            (features0, _), (features1, _) = sides
            outcomes = self._match(name, [(features0, features1)], None)[0]
            for combination, outcome in outcomes.items():
                points0 = pixels_of(features0)[outcome.pairs[:, 0]]
                points1 = pixels_of(features1)[outcome.pairs[:, 1]]
                yield (
                    {
                        "dataset": task.name,
                        "target": "",
                        "index0": number,
                        "index1": number,
                        "gap": 0,
                        "roll_gap_deg": 0.0,
                        "view_angle_deg": angle,
                    }
                    | pair_columns(combination, outcome)
                    | {
                        "num_keypoints0": len(features0),
                        "num_keypoints1": len(features1),
                        "num_matches": len(outcome.pairs),
                    }
                    | relative_figures(points0, points1, K0, K1, T_0to1, self.config.ransac)
                    | self._last_columns(combination, outcomes, sides)
                )

    def _last_columns(
        self,
        combination: Combination,
        outcomes: dict[Combination, MatchOutcome],
        sides: Sequence[tuple[Features, float]],
    ) -> Row:
        """Work, time of extraction, and agreement with the matcher that does not adapt."""
        (features0, time0), (features1, time1) = sides
        outcome, full = outcomes[combination], self.lineup.unadapted.get(combination)
        matcher = self.lineup.matchers.get(combination)
        count = self.lineup.counts.get(combination.matcher)
        operations = None
        if matcher is not None and count is not None:
            operations = count(matcher, features0, features1, outcome.adaptation)
        alike = float("nan")
        if full is not None:
            alike = agreement(outcome.pairs, outcomes[full].pairs)
        return {
            **work_figures(len(features0) + len(features1), outcome.adaptation, operations),
            "extract_ms": time0 + time1,
            "agreement": alike,
        }

    # -- frames --------------------------------------------------------------------------------

    def _geometry(self, data: Dataset, index: int) -> FrameGeometry:
        return self._geometries.get_or((data.folder, index), lambda: _geometry_of(data[index]))

    def _dataset_features(
        self, data: Dataset, name: str, index: int, roll_deg: float = 0.0
    ) -> tuple[Features, float]:
        def extract() -> tuple[Features, float]:
            geometry = self._geometry(data, index)
            parts = geometry.parts if self.config.silhouette else None
            image = data.rgb(index)
            mask = None if parts is None else parts > 0
            if roll_deg:
                H = roll_matrix(geometry.K[:2, 2], roll_deg)
                size = image.shape[1], image.shape[0]
                mask = seen_mask(size, H) if parts is None else roll_image(parts, H, order=0) > 0
                image = roll_image(image, H)
            return self._extract(name, image, mask)

        return self._frames.get_or((name, data.folder, index, roll_deg), extract)

    def _extract(self, name: str, image: Any, mask: Any = None) -> tuple[Features, float]:
        """Features of an image, and milliseconds; the first one of an extractor is done twice."""
        extractor = self.lineup.extractors[name]
        if name not in self._warm:
            extractor(image, mask=mask)
            self._warm.add(name)
        features, seconds = timed(lambda: extractor(image, mask=mask), self.lineup.device)
        return features, 1e3 * seconds

    # -- matching ------------------------------------------------------------------------------

    def _match(
        self, name: str, sides: list[tuple[Features, Features]], keys: Keys | None
    ) -> list[dict[Combination, MatchOutcome]]:
        """Each combination on the same pairs, taking turns, so that a slow spell hits them alike.

        With all consecutive pairs (and `keys` of the frames), what depends on one frame alone is
        computed once a frame, as `matchers.sequence` does, and the time is that of the rest.
        """
        mine = {c: m for c, m in self.lineup.matchers.items() if c.features == name}
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
                answers[combination], seconds = timed(run, self.lineup.device)
                times[combination].append(1e3 * seconds / len(sides))
        return [
            {
                combination: MatchOutcome.of(answer[place], statistics.median(times[combination]))
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
        if len(prepared) == 1 or not hasattr(matcher, "collate"):
            return [matcher.match(*pair) for pair in prepared]
        first, second = (matcher.collate(list(side)) for side in zip(*prepared, strict=True))
        return list(matcher.match(first, second))


# -- datasets and files ------------------------------------------------------------------------


def _geometry_of(frame: Frame) -> FrameGeometry:
    distortion = frame.camera.distortion
    return FrameGeometry(frame.depth, frame.K, frame.pose, frame.parts, distortion)


def part_classes(data: Dataset) -> dict[int, str]:
    """Class by part label."""
    return {int(k): str(part["class"]) for k, part in data.description["parts"].items()}


def match_file(folder: Path, combination: str, pair: Pair) -> Path:
    """Where the matches of a pair are kept."""
    roll = f"_roll{pair.roll_deg:g}" if pair.roll_deg else ""
    return folder / combination / f"{pair.dataset}_{pair.index0:06d}_{pair.index1:06d}{roll}.npz"


def save_matches(
    path: Path,
    features0: Features,
    features1: Features,
    outcome: MatchOutcome,
    verdict: Floats | Any,
) -> None:
    """Keypoints, matches, scores and verdicts of a pair, as .npz, atomically."""
    data = io.BytesIO()
    np.savez_compressed(
        data,
        keypoints0=pixels_of(features0).astype(np.float32),
        keypoints1=pixels_of(features1).astype(np.float32),
        matches=outcome.pairs.astype(np.int32),
        scores=outcome.scores,
        verdict=np.asarray(verdict, dtype=np.int8),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())


# -- time ----------------------------------------------------------------------------------------


def match_all(matcher: Matcher, sides: list[tuple[Features, Features]]) -> list[Any]:
    """Matches of each pair; several go as a batch, if the matcher takes batches."""
    if len(sides) == 1 or not hasattr(matcher, "collate"):
        return [matcher(*pair) for pair in sides]
    from matchers.types import batch

    first, second = zip(*sides, strict=True)
    return list(matcher(batch(list(first)), batch(list(second))))


def timed(run: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """What a function answers, and the seconds that it took, the device's work included."""
    synchronise(device)
    start = time.perf_counter()
    answer = run()
    synchronise(device)
    return answer, time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for what was put in a GPU's queue."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
