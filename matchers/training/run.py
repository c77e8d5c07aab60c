"""A training from datasets to weights: splits, caches, stages, figures, files.

OUT/
  train.json            what identifies the run: another one is refused
  split.json            indices of each dataset's parts, as runs
  test_pairs.csv        held-out pairs, as `satgen bench --pairs` reads them
  STAGE/                log.csv, validation.csv, checkpoint.pt, best.safetensors
  curves.png            learning curves
  MATCHER-FEATURES.safetensors, .json   the weights and their card
"""

from __future__ import annotations

import math
import platform
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from matchers.registry import find_weights, load_features
from matchers.specs import features_spec, source_file
from matchers.training import export
from matchers.training.augment import AugmentConfig
from matchers.training.bank import Bank, PairSide, Source, likeness
from matchers.training.cache import CacheConfig, fill, fill_all
from matchers.training.config import STAGES, TrainConfig
from matchers.training.figures import Tally
from matchers.training.folder import TRAIN, begin, identity, weights_file
from matchers.training.objectives import build, keep_full_precision, measure
from matchers.training.pairs import Drawn, HomographyPairs, PosePairs
from matchers.training.photographs import TRAINED, Photographs, in_folder
from matchers.training.photographs import found as found_photographs
from matchers.training.plots import CURVES, draw_curves
from matchers.training.profiling import StepProfiler
from matchers.training.schedule import Pace, scheduled, share
from matchers.training.trainer import (
    CHECKPOINT,
    Batch,
    Batches,
    Draft,
    Hardware,
    StageResult,
    run_stage,
    step_seconds,
)
from matchers.training.trial import WORTH_S, compile_if_faster
from matchers.training.validation import Named, PairSet, Validation
from matchers.truth.batched import Labels, homography_labels, pose_labels
from matchers.truth.pairs import draw_pairs
from satgen.dataset import IMAGES, Dataset, check_frames, open_datasets
from satgen.errors import InputError, RunError
from satgen.outputs import check_outside
from satgen.progress import Progress, Stage
from satgen.reading import read_json
from satgen.runfolder import RunFolder, file_sha256
from satgen.splits import Split, split_datasets

FRAME_S, STEP_S = 0.1, 0.5
"""About how long a frame's features take, and a step: seconds, for the time that is left."""

TEST_FRAMES = "test frames"
TEST_PAIRS = "test pairs"

MOST_NAMED = 6
"""Targets that a card's line names one by one."""

ROLLED = ", rolled"
"""Behind a matcher's name in a card: of the same pairs, the second frames rolled at random."""


@dataclass(frozen=True)
class TrainSummary:
    """What a run of `satgen train` has reached.

    Attributes:
        weights: the file, or None where the last stage has not run yet.
        card: of the weights.
        stages: how each stage that has run ended.
    """

    weights: Path | None
    card: dict[str, Any]
    stages: dict[str, StageResult]


def train(
    datasets: Sequence[Path],
    config: TrainConfig,
    out: Path,
    *,
    cache: Path,
    hardware: Hardware,
    stages: Sequence[str] | None = None,
    initial: Path | None = None,
    resume: bool = True,
    overwrite: bool = False,
    quiet: bool = True,
    profiler: StepProfiler | None = None,
) -> TrainSummary:
    """Train a matcher, or go on training it.

    Args:
        datasets: folders; their last names must differ.
        config: of the training.
        out: folder of the run.
        cache: folder of the features, which runs may share.
        hardware: how to compute.
        stages: those to run; None: all. Each begins with the weights of the one before it, if that
            has run.
        initial: weights that the first stage begins with (`objectives.build`), instead of nearest
            neighbours.
        resume: go on with this run where it is there; see `RunFolder.open`.
        overwrite: replace another run.
        quiet: show no progress.
        profiler: watches some of the steps of the first stage that has any left.

    Raises:
        InputError: a dataset that cannot be used, features or weights that are not to be had, a
            stage that the matcher does not have, another run in the folder, or at work in it, a
            cache that is no folder or lies in a dataset or run.
            Nothing was changed.
        RunError: a file cannot be written, or the loss is not finite.
        KeyboardInterrupt: stopped; the same call goes on.
    """
    began = time.monotonic()
    chosen = tuple(config.stages if stages is None else stages)
    for stage in chosen:
        if stage not in config.stages:
            raise InputError(
                f"stage {stage!r} of {config.matcher}: must be one of {', '.join(config.stages)}"
            )
    if hardware.mixed and config.training.widened is None:
        raise InputError(f"precision bfloat16: {config.matcher} trains in float32")
    check_outside(cache / "features")
    if cache.exists() and not cache.is_dir():
        raise InputError(f"cache {cache}: is no folder")
    if not datasets:
        raise InputError("no dataset to train on: render one with `satgen render`")
    opened = dict(sorted(open_datasets(datasets).items()))
    for data in opened.values():
        if data.camera.distorted:
            raise InputError(
                f"{data.folder}: its lens distorts, training wants pinhole cameras; render it "
                "without --distortion"
            )
    splits = split_datasets(opened, config.split)
    model = build(config, initial)
    begun_with = None if initial is None else export.origin(initial)
    sha256 = None if begun_with is None else begun_with["sha256"]
    photographs = _photographs(config)
    hashes = None if photographs is None else photographs.description["photographs"]
    known = identity(config, opened, sha256, _extractor(config), hashes)
    with RunFolder.open(out, TRAIN, known, resume=resume, overwrite=overwrite) as folder:
        left = [stage for stage in chosen if not (folder.going_on and _done(out / stage))]
        shown = Progress(_work(config, left, splits), quiet=quiet)
        ends = math.inf
        if config.minutes is not None:
            ends = began + 60.0 * config.minutes - _spent(out, config)
        job = _Job(
            config, opened, splits, out, cache, hardware, shown, begun_with, photographs, ends,
            profiler,
        )  # fmt: skip
        if left:
            job.check(chosen)
        begin(folder, splits, job.held_out("test"))
        return job.carry_out(model, chosen)


def _photographs(config: TrainConfig) -> Photographs | None:
    """The photographs to train on, if any are.

    Raises:
        InputError: there are none to be had, or a folder of them and no share of the pairs.
    """
    folder = config.photographs_from
    if not config.photographs:
        if folder is not None:
            raise InputError(
                f"photographs from {folder}: their share of the pairs is 0; say how many, as with "
                "--photographs 0.2"
            )
        return None
    files = found_photographs(TRAINED) if folder is None else in_folder(Path(folder))
    return Photographs(files, config.photograph_crops, config.seed)


def _work(config: TrainConfig, stages: Sequence[str], splits: Mapping[str, Split]) -> list[Stage]:
    """What a training that runs these stages shows of itself, with about how long each takes."""
    frames = sum(min(config.frames, len(split.train)) for split in splits.values())
    pairs = len(splits) * len(config.gaps) * FRAME_S
    found: list[Stage] = []
    for stage in stages:
        if config.photographs:
            found.append(Stage(f"{stage}: photographs", "crop", 300 * config.versions * FRAME_S))
        found += [
            Stage(f"{stage}: frames", "frame", frames * config.versions * FRAME_S),
            Stage(f"{stage}: validation frames", "frame", pairs * config.validation_pairs),
            Stage(stage, "step", _expected(config, stage)),
        ]
    tested = pairs * config.test_pairs
    return [*found, Stage(TEST_FRAMES, "frame", tested), Stage(TEST_PAIRS, "pair", 2.0 * tested)]


def _expected(config: TrainConfig, stage: str) -> float:
    """Seconds that a stage may take."""
    if config.minutes is None:
        return config.stage_steps(stage) * STEP_S
    return 60.0 * config.minutes * share(config, stage, set())


def _extractor(config: TrainConfig) -> str | None:
    """SHA-256 of the weights of the features, if they have any, and of somebody's own code."""
    spec = features_spec(config.features)
    file = find_weights(None, spec, config.features_weights) if spec.weighted else None
    if file is not None and not file.is_file():
        raise InputError(f"weights {file}: no such file")
    source = source_file(config.features)
    hashes = [file_sha256(path) for path in (file, source) if path is not None]
    return " ".join(hashes) or None


@dataclass(frozen=True)
class _Job:
    """A run at work; `ends` is when a schedule is over, by the monotonic clock; `compiled` has an
    answer once it was tried whether compiled code is faster."""

    config: TrainConfig
    datasets: dict[str, Dataset]
    splits: dict[str, Split]
    out: Path
    cache: Path
    hardware: Hardware
    progress: Progress
    initial: dict[str, Any] | None
    photographs: Photographs | None
    ends: float
    profiler: StepProfiler | None
    compiled: list[bool] = field(default_factory=list)

    def check(self, stages: Sequence[str]) -> None:
        """Refuse what stages cannot do, before the first write.

        Raises:
            InputError: features that are not to be had, too few frames, or images that are missing.
        """
        load_features(
            self.config.features,
            weights=self.config.features_weights,
            max_keypoints=self.config.max_keypoints,
            device=self.hardware.device,
        )
        pairs = self._pairs("validation")
        if self.config.stages[-1] in stages:
            pairs += self._pairs("test")
        for name, data in self.datasets.items():
            held_out = {i for pair in pairs if pair[0] == name for i in pair[1:]}
            check_frames(data, sorted({*self.train_frames(name), *held_out}), IMAGES)

    def carry_out(self, model: nn.Module, stages: Sequence[str]) -> TrainSummary:
        """Run stages, and write the weights after the last one."""
        config, hardware, out = self.config, self.hardware, self.out
        model.to(hardware.device)
        if hardware.mixed:
            keep_full_precision(model, config.training.widened or (), hardware.device.type)
        finished = all(_done(out / stage) for stage in config.stages)
        results: dict[str, StageResult] = {}
        for stage in config.stages:
            left = not _done(out / stage)
            if left and stage not in stages:
                continue
            try:
                results[stage] = self.run(model, stage)
            except RunError:
                draw_curves(out, config.stages)
                raise
            if left:
                draw_curves(out, config.stages)
        if config.stages[-1] not in results:
            return TrainSummary(None, {}, results)
        card_file = self.weights.with_suffix(".json")
        files = (self.weights, card_file, out / CURVES)
        if finished and all(file.is_file() for file in files):
            card = read_json(card_file)
            return TrainSummary(self.weights, card, results)
        draw_curves(out, config.stages)
        return TrainSummary(self.weights, self.export(model, results), results)

    def run(self, model: nn.Module, stage: str) -> StageResult:
        """A stage; its frames are looked at only if there is something left to do."""
        config, folder = self.config, self.out / stage
        folder.mkdir(parents=True, exist_ok=True)

        def none(*_: Any) -> Any:
            raise RunError(f"{folder}: its checkpoint is damaged, delete it to begin anew")

        if _done(folder):
            return run_stage(model, stage, config, none, none, folder, self.hardware)
        batches = self._batches(stage)
        pairs = self._pairs("validation")
        # every second pair: weights are kept that do well both upright and rolled
        rolled = [self.config.roll.rolls and place % 2 == 1 for place in range(len(pairs))]
        checked = self._pair_set(pairs, f"{stage}: validation frames", rolled)

        def validate(network: nn.Module, stage: str) -> Validation:
            network.eval()
            return checked.evaluate(self._judge(network, stage))

        step_s = partial(step_seconds, model, stage, config, batches, self.hardware)
        done = {name for name in config.stages if _done(self.out / name)}
        part = share(config, stage, done)
        if self.hardware.compile and not self.compiled:
            if config.minutes is None:
                left = config.stage_steps(stage) * step_s()
            else:
                left = part * (self.ends - time.monotonic())
            if left > WORTH_S:
                self.compiled.append(compile_if_faster(model, step_s))
        if config.minutes is not None:

            def pace() -> Pace:
                began = time.perf_counter()
                validate(model, stage)
                checking = time.perf_counter() - began
                return Pace(step_s(), checking)

            left = self.ends - time.monotonic()
            config = scheduled(config, stage, folder, part * left, pace)
        with self.progress.stage(stage) as progress:
            return run_stage(
                model, stage, config, batches, validate, folder, self.hardware, progress,
                self.profiler,
            )  # fmt: skip

    @property
    def weights(self) -> Path:
        """The file that the run ends with."""
        return self.out / weights_file(self.config.matcher, self.config.features)

    def export(self, model: nn.Module, results: dict[str, StageResult]) -> dict[str, Any]:
        """Write the weights; their card, with figures found with them as they are stored."""
        config = self.config
        state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
        model.load_state_dict(export.half(state))
        model.eval()
        figures = self._figures(model)
        trained = {d.name for name, d in self.datasets.items() if len(self.splits[name].train)}
        card = {
            "matcher": config.purpose.matcher,
            "features": config.purpose.features,
            "source": f"satgen train on {_some(trained)}",
            "network": {"dim": config.dim, "layers": config.layers, "heads": config.heads},
            "data": {
                name: {
                    "command": data.description.get("command"),
                    "frames": {
                        part: len(getattr(self.splits[name], part))
                        for part in ("train", "validation", "test")
                    },
                    "trained_on": len(self.train_frames(name)),
                }
                for name, data in self.datasets.items()
            },
            "steps": {
                stage: {"run": r.steps, "best": r.best_step, "hours": round(r.seconds / 3600, 2)}
                for stage, r in results.items()
            },
            "pairs_a_step": config.batch * config.accumulate,
            "rolled": {"share": config.roll.share, "max_deg": config.roll.max_deg},
            "photographs": {
                "share": config.photographs,
                "names": []
                if self.photographs is None
                else [f.name for f in self.photographs.files],
            },
            "initial": self.initial,
            "seed": config.seed,
            "precision": "bfloat16" if self.hardware.mixed else "float32",
            "hardware": _hardware(self.hardware),
            "torch": torch.__version__,
            "held_out": figures,
        }
        return export.export(self.weights, state, card)

    def _figures(self, model: nn.Module) -> dict[str, dict[str, Any]]:
        """A card's figures of held-out pairs, by dataset: upright, and rolled if so trained."""
        config = self.config
        judges = {
            config.matcher: self._judge(model, config.stages[-1]),
            "nearest, ratio 0.8": _nearest_judge,
        }
        suffixes = ("", ROLLED) if config.roll.rolls else ("",)
        pairs = self._pairs("test")
        # in one go: a bank has those of one dataset
        self._extracted(self._frames_of(pairs), self._held_out_config(), TEST_FRAMES)
        done, total = 0, len(judges) * len(suffixes) * len(pairs)
        figures: dict[str, dict[str, Any]] = {}
        for name, suffix in product(self.datasets, suffixes):
            mine = [pair for pair in pairs if pair[0] == name]
            if not mine:
                continue
            found = self._pair_set(mine, TEST_FRAMES, [bool(suffix)] * len(mine))
            for what, judge in judges.items():
                with self.progress.stage(TEST_PAIRS) as progress:

                    def judged(count: int, before: int = done, show: Any = progress) -> None:
                        show(before + count, total)

                    validation = found.evaluate(judge, judged)
                figures.setdefault(name, {})[f"{what}{suffix}"] = validation.to_json()
                done += len(found)
        return figures

    def train_frames(self, name: str) -> list[int]:
        """The frames of a dataset that are trained on: a random part of those that may be."""
        config = self.config
        train, count = self.splits[name].train, config.frames
        if count < len(train):
            rng = np.random.default_rng([config.seed, list(self.datasets).index(name)])
            train = np.sort(rng.choice(train, size=count, replace=False))
        return [int(i) for i in train]

    def _cache_config(self, kind: str) -> CacheConfig:
        config = self.config
        least = 2 if kind == "homography" else 1
        return CacheConfig(
            features=config.features,
            weights=config.features_weights,
            max_keypoints=config.max_keypoints,
            silhouette=config.silhouette,
            kind=kind,
            versions=max(least, config.versions),
            seed=config.seed,
            rim_px=config.thresholds.no_match_px,
            augment=config.augment,
            homography=config.homography,
            roll=config.roll,
        )

    def _held_out_config(self) -> CacheConfig:
        """What is extracted of held-out frames: each as it is and, if need be, rolled."""
        roll = self.config.roll
        return replace(
            self._cache_config("pose"),
            versions=2 if roll.rolls else 1,
            augment=AugmentConfig(share=0.0),
            roll=replace(roll, share=1.0 if roll.rolls else 0.0),
        )

    def _bank(self, frames: Mapping[str, Sequence[int]], settings: CacheConfig, what: str) -> Bank:
        """The bank of those frames, extracted if need be."""
        frames = {name: indices for name, indices in frames.items() if len(indices)}
        folders = self._extracted(frames, settings, what)
        sources = [
            Source(name, self.datasets[name], frames[name], folders[name]) for name in frames
        ]
        return Bank(sources, self.hardware.device, memory=1e9 * self.config.cache_gb)

    def _extracted(
        self, frames: Mapping[str, Sequence[int]], settings: CacheConfig, what: str
    ) -> dict[str, Path]:
        """The folders of datasets' frames in the cache, extracted if need be."""
        total = sum(map(len, frames.values()))
        with self.progress.stage(what) as progress:

            def extracted(done: int, missing: int) -> None:
                progress(total - missing + done, total)

            folders = fill_all(
                [(self.datasets[name], indices) for name, indices in frames.items()],
                settings, self.cache,
                device=self.hardware.device, workers=self.hardware.workers, progress=extracted,
            )  # fmt: skip
        return dict(zip(frames, folders, strict=True))

    def _batches(self, stage: str) -> Batches:
        config = self.config
        number = STAGES.index(stage)
        warped = stage == "homography"
        settings = self._cache_config("homography" if warped else "pose")
        frames = {name: self.train_frames(name) for name in self.datasets}
        bank = self._bank(frames, settings, f"{stage}: frames")
        multiple = self._multiple
        crops = self._photograph_bank(stage)
        sampler: Any
        label: Callable[..., Labels]
        if warped:
            sampler, label = HomographyPairs(bank, config.seed), homography_labels
        else:
            curriculum = config.curriculum
            if stage == "confidence":  # it is to know all pairs from the first step
                curriculum = replace(curriculum, full=0.0)
            sampler = PosePairs(bank, config.seed, curriculum)
            label = partial(pose_labels, thresholds=config.thresholds)

        def batches(step: int, progress: float) -> list[Draft]:
            drawn = sampler.draw(number, step, config.batch * config.accumulate, progress)
            # pairs of like size together: less padding
            sizes = np.maximum(
                bank.count[drawn.rows0, drawn.versions0], bank.count[drawn.rows1, drawn.versions1]
            )
            order = np.argsort(sizes, kind="stable")
            parts = np.split(order, config.accumulate)
            found = []
            if crops is not None:
                # so many of the step's batches that their share holds over the steps
                share = config.photographs * config.accumulate
                count = int((step + 1) * share) - int(step * share)
                parts = parts[: len(parts) - count]
                found = [crops(number, step * config.accumulate + i) for i in range(count)]
            return [*(_draft(bank, drawn.select(some), multiple, label) for some in parts), *found]

        return batches

    def _photograph_bank(self, stage: str) -> Callable[[int, int], Draft] | None:
        """Makes batches of photographs' homographies from a stage's and a batch's numbers."""
        photographs, config = self.photographs, self.config
        if photographs is None:
            return None
        settings = replace(self._cache_config("homography"), silhouette=True)
        with self.progress.stage(f"{stage}: photographs") as progress:
            folder = fill(
                photographs, photographs.indices, settings, self.cache,
                device=self.hardware.device, workers=self.hardware.workers, progress=progress,
            )  # fmt: skip
        bank = Bank(
            [Source(photographs.name, photographs, photographs.indices, folder)],
            self.hardware.device,
            memory=1e9 * config.cache_gb,
        )
        sampler = HomographyPairs(bank, config.seed)

        def batch(stage_number: int, number: int) -> Draft:
            drawn = sampler.draw(len(STAGES) + stage_number, number, config.batch, 0.0)
            return _draft(bank, drawn, self._multiple, homography_labels)

        return batch

    def _pairs(self, part: str) -> list[Named]:
        """Held-out pairs of all datasets; at least one."""
        pairs = self.held_out(part)
        if not pairs:
            gaps = ", ".join(map(str, self.config.gaps))
            raise InputError(
                f"no two {part} frames are {gaps} indices apart: more frames are needed"
            )
        return pairs

    def held_out(self, part: str) -> list[Named]:
        """Pairs of the frames of a part, validation or test, of all datasets; maybe none."""
        config = self.config
        count = {"validation": config.validation_pairs, "test": config.test_pairs}[part]
        return [
            (name, i, j)
            for name, split in self.splits.items()
            for i, j in draw_pairs(getattr(split, part), config.gaps, count, config.seed)
        ]

    def _frames_of(self, pairs: Sequence[Named]) -> dict[str, list[int]]:
        """The frames of pairs, by dataset."""
        return {
            name: sorted({i for pair in pairs if pair[0] == name for i in pair[1:]})
            for name in self.datasets
        }

    def _pair_set(self, pairs: Sequence[Named], what: str, rolled: Sequence[bool]) -> PairSet:
        bank = self._bank(self._frames_of(pairs), self._held_out_config(), what)
        config = self.config
        return PairSet(bank, pairs, config.batch, config.thresholds, self._multiple, rolled)

    @property
    def _multiple(self) -> int:
        """What numbers of keypoints are rounded up to: on a GPU to few lengths, which its kernels
        are fast for; not on a CPU, where padding costs."""
        return 1 if self.hardware.device.type == "cpu" else 64

    def _judge(self, model: nn.Module, stage: str) -> Callable[..., tuple[float, Tally]]:
        training = self.config.training

        def judge(side0: PairSide, side1: PairSide, labels: Labels) -> tuple[float, Tally]:
            with self.hardware.autocast():
                outcome = training.objective(model, side0, side1, labels, stage)
            return float(outcome.loss), measure(model, training, outcome, side0, side1, labels)

        return judge


def _draft(bank: Bank, drawn: Drawn, multiple: int, label: Callable[..., Labels]) -> Draft:
    """A batch of the pairs drawn, read from the bank now and put on the device when it is called.

    Args:
        bank, drawn: whose pairs.
        multiple: see `Bank.pair`.
        label: `homography_labels` or `pose_labels`.
    """
    sides, angle = bank.pair(drawn, multiple), float(drawn.angle_deg.mean())

    def put() -> Batch:
        side0, side1 = sides()
        labels = label(side0.geometry, side1.geometry, likeness=likeness(side0, side1))
        return Batch(side0, side1, labels, angle)

    return put


def _nearest_judge(side0: PairSide, side1: PairSide, labels: Labels) -> tuple[float, Tally]:
    """Judge of the baseline: mutual nearest neighbours that pass the ratio test."""
    from matchers.nearest import RATIO, NearestConfig, NearestNeighbour
    from matchers.training.figures import tally_matches

    matcher = NearestNeighbour(NearestConfig(ratio=RATIO))
    found = matcher(side0.features, side1.features)
    partner = torch.full_like(labels.partner0, -1)
    for row, matches in zip(partner, found, strict=True):
        row[matches.indices[:, 0]] = matches.indices[:, 1]
    return 0.0, tally_matches(partner, labels)


def _some(names: Collection[str]) -> str:
    """Names of targets in a line: all, or how many and of which kinds where they are many."""
    if len(names) <= MOST_NAMED:
        return ", ".join(sorted(names))
    kinds = sorted({re.sub(r"[-_:]?\d+$", "", name) for name in names})
    return f"{len(names)} targets ({', '.join(kinds[:MOST_NAMED])})"


def _done(folder: Path) -> bool:
    from matchers.training import checkpoint

    state = checkpoint.load(folder / CHECKPOINT)
    return state is not None and bool(state["counters"]["done"])


def _spent(out: Path, config: TrainConfig) -> float:
    """Seconds that a run's finished stages took."""
    from matchers.training import checkpoint

    states = (checkpoint.load(out / stage / CHECKPOINT) for stage in config.stages)
    counters = [state["counters"] for state in states if state is not None]
    return float(sum(c["seconds"] for c in counters if c["done"]))


def _hardware(hardware: Hardware) -> str:
    """The device in words: the GPU's name, or the kind of CPU and its threads."""
    if hardware.device.type == "cuda":
        return str(torch.cuda.get_device_name(hardware.device))
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' if threads > 1 else ''}"
