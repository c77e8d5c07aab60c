"""The pose task of `satgen predict`: its plan, its parts and its tables."""

from __future__ import annotations

import inspect
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import satgen
from bench.predict.columns import join_columns
from bench.predict.config import TRUE, PredictConfig
from bench.predict.experiment import TRAIN_SEQUENCES
from bench.predict.figures import Errors, errors_of, rows_of, window_columns
from bench.predict.known import forecast_known, known_frames
from bench.predict.learned import LearnedConfig, LearnedModel
from bench.predict.motions import Sequence as Motion
from bench.predict.pose_models import MODELS, load_pose_model
from bench.predict.posed_frames import (
    STAGE,
    Known,
    find_poses,
    pose_errors,
    tracker_config,
    tracker_identity,
)
from bench.predict.protocols import FreeRotation, Lab, join
from bench.predict.rendered import sequences_of
from bench.predict.run import MODELS as WEIGHTS
from bench.predict.run import WINDOWS, Line, Row, Stages
from bench.predict.types import Episodes, PoseModel, Trainable
from bench.predict.visual_poses import TrackerConfig, TrackTask, load_tracker
from bench.software import machine, software
from matchers.specs import file_name, source_file
from satgen.dataset import Dataset, check_frames, open_datasets
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.runfolder import RunFolder, dataset_identity, file_sha256
from satgen.splits import split_datasets

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 200
"""Windows of a part. It decides which windows a model sees together, so it is no option."""

MOST_POSES = 10_000_000
"""Poses that are held at a time, at most: some 3 GB with what is made of them."""

NEEDS_BODY = ("filter", "filter-ratios")
"""Models that are left out of the default where a dataset does not tell the inertia."""

ERRORS = ("rotation_deg", "translation_m", "nees", "translation_nees")


@dataclass(frozen=True)
class PosedBlocks:
    """The frames of a dataset that are evaluated on.

    Attributes:
        name: of the dataset's folder.
        data: the dataset.
        motion: by which rows are told apart.
        views: those frames, a run of evenly spaced indices each.
        sequences: their true poses, likewise.
    """

    name: str
    data: Dataset
    motion: str
    views: tuple[tuple[int, ...], ...]
    sequences: tuple[Motion, ...]


@dataclass(frozen=True)
class PosePart:
    """Windows for one model.

    Attributes:
        model: name.
        weights: file of its weights; None for a model without.
        threads: of PyTorch.
        episodes: the windows.
        fitted: the model itself, where it was fitted and has no file.
    """

    model: str
    weights: Path | None
    threads: int
    episodes: Episodes
    fitted: PoseModel | None = None


@dataclass
class PoseExperiment:
    """Pose models against a protocol; see `run.Experiment`.

    Attributes:
        config: of the run.
        protocol: the rules.
        learned: network and training of the learned model.
        blocks: of the datasets; empty for motions without one.
        dt_s: seconds from one index to the next; None takes the tables' times.
        command: that asked for it.
    """

    config: PredictConfig
    protocol: Lab | FreeRotation
    learned: LearnedConfig
    blocks: tuple[PosedBlocks, ...]
    dt_s: float | None
    command: str
    tracker: TrackerConfig | None
    _poses: Known = field(default_factory=dict, repr=False)
    _weights: dict[str, Path] = field(default_factory=dict, repr=False)
    _fitted: dict[str, PoseModel] = field(default_factory=dict, repr=False)

    # -- what it is ----------------------------------------------------------------------------

    @cached_property
    def models(self) -> dict[str, PoseModel]:
        """The models by name, those that learn without weights yet."""
        names = self.config.models
        if not names:
            known = all(s.body is not None for b in self.blocks for s in b.sequences)
            names = tuple(name for name in MODELS if known or name not in NEEDS_BODY)
        return {name: load_named(name, self.learned) for name in names}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the figures."""
        config = asdict(self.config)
        for name in ("device", "threads"):
            del config[name]
        learns = any(isinstance(model, LearnedModel) for model in self.models.values())
        return {
            "satgen": satgen.__version__,
            "config": config | {"models": list(self.models)},
            "protocol": {"name": self.protocol.name, **asdict(self.protocol)},
            "learned": asdict(self.learned) if learns else None,
            "dt": self.dt_s,
            "datasets": {b.name: dataset_identity(b.data.folder) for b in self.blocks},
            "tracker": None if self.tracker is None else tracker_identity(self.tracker),
            "sources": {name: digest for name in self.models if (digest := source_sha256(name))},
        }

    @cached_property
    def description(self) -> dict[str, Any]:
        """What run.json and results.json say of the run."""
        from matchers.registry import choose_device

        return {
            "command": self.command,
            **software(),
            "machine": machine(self.config.threads, choose_device(self.config.device)),
            "task": self.config.task,
            "protocol": {"name": self.protocol.name, **asdict(self.protocol)},
            "poses": self.config.poses,
            "models": list(self.models),
            "datasets": [
                {
                    "name": block.name,
                    "path": str(block.data.folder.resolve()),
                    "target": block.data.name,
                    "motion": block.motion,
                    "frames": len(block.data),
                }
                for block in self.blocks
            ],
        }

    @property
    def work(self) -> Callable[[PosePart], Line]:
        """The function that carries out a part."""
        return forecast_part

    @property
    def alone(self) -> bool:
        """Whether a model lives in this process only: one that was fitted and has no file."""
        return bool(self._fitted)

    def stages(self) -> list[tuple[str, str, float]]:
        """The stages of the run: finding poses, training, forecasts."""
        found = [(STAGE, "frame", 60.0)] if self.tracker is not None else []
        for name, model in self.models.items():
            if isinstance(model, Trainable) and not name.endswith(".safetensors"):
                found.append((f"train {name}", "step", 120.0))
        return [*found, (WINDOWS, "part", 60.0)]

    # -- before the first write ----------------------------------------------------------------

    def check(self) -> None:
        """See that every model forecasts a first window."""
        if self.tracker is not None:
            load_tracker(self.tracker)
            for block in self.blocks:
                check_frames(
                    block.data, [i for view in block.views for i in view], ("rgb", "depth")
                )
        first = next(iter(self._true_batches(first=True))).take([0])
        for name, model in self.models.items():
            if not isinstance(model, Trainable) or name.endswith(".safetensors"):
                forecast_known(name, model, first.observed, first.future)

    # -- preparation ---------------------------------------------------------------------------

    def prepare(self, place: RunFolder, workers: int, stages: Stages) -> None:
        """Train the models that learn, and find the poses in the images."""
        if self.tracker is not None:
            self._find_poses(place, workers, stages)
        train: dict[int, Episodes] = {}
        for name, model in self.models.items():
            if name.endswith(".safetensors"):
                self._weights[name] = Path(name)
            elif isinstance(model, Trainable):
                path = place.path / WEIGHTS / f"{file_name(name)}.safetensors"
                if isinstance(model, LearnedModel) and path.is_file():
                    self.models[name] = LearnedModel.load(path)
                else:
                    count = int(getattr(model, "train_sequences", TRAIN_SEQUENCES))
                    if count not in train:
                        train[count] = self.protocol.training(count)
                    with stages(f"train {name}") as update:
                        if isinstance(model, LearnedModel):
                            _train(model, train[count], path, update)
                        else:
                            _fit(model, train[count], update)
                if isinstance(model, LearnedModel):
                    self._weights[name] = path
                else:
                    self._fitted[name] = model

    def _find_poses(self, place: RunFolder, workers: int, stages: Stages) -> None:
        """The poses of all frames that are evaluated on, block by block."""
        assert self.tracker is not None
        tasks = {
            (block.name, view[0]): TrackTask(block.data.folder, view, self.tracker)
            for block in self.blocks
            for view in block.views
        }
        self._poses = find_poses(place, tasks, workers, stages)

    # -- parts ---------------------------------------------------------------------------------

    @cached_property
    def batches(self) -> list[Episodes]:
        """The windows, a batch for each motion and noise."""
        if self.tracker is None:
            return list(self._true_batches())
        return [self._estimated(block) for block in self.blocks]

    def _true_batches(self, first: bool = False) -> list[Episodes]:
        """Windows of true poses with noise; `first`: a batch or so, as quickly as can be."""
        protocol = self.protocol
        if first and isinstance(protocol, FreeRotation):
            few = replace(protocol, inertia=protocol.inertia[:1], noise_deg=protocol.noise_deg[:1])
            return list(replace(few, sequences=1).episodes())
        if isinstance(protocol, FreeRotation):
            return list(protocol.episodes())
        if not self.blocks:
            motions = protocol.motions[:1] if first else protocol.motions
            noise = protocol.noise_deg[:1] if first else protocol.noise_deg
            return list(replace(protocol, motions=motions, noise_deg=noise).episodes())
        found = []
        for block in self.blocks:
            for noise_deg in protocol.noise_deg:
                cut = [
                    replace(protocol, seed=_seed(protocol.seed, block.name, number)).cut(
                        sequence, noise_deg
                    )
                    for number, sequence in enumerate(block.sequences)
                ]
                found.append(join(cut))
        return found

    def _estimated(self, block: PosedBlocks) -> Episodes:
        """Windows of a dataset whose observed poses a matcher found."""
        assert isinstance(self.protocol, Lab)
        poses, parts = self._poses[block.name], []
        missing = np.full((4, 4), np.nan)
        for view, truth in zip(block.views, block.sequences, strict=True):
            T = np.stack([missing if poses[i] is None else poses[i] for i in view])  # type: ignore[misc]
            found = replace(truth, rotations=T[:, :3, :3], translations=T[:, :3, 3])
            true, seen = self.protocol.cut(truth, 0.0), self.protocol.cut(found, 0.0)
            observed = replace(seen.observed, noise_rad=None, noise_m=None)
            some = known_frames(observed).any(axis=1)
            parts.append(replace(true, observed=observed).take(np.flatnonzero(some)))
        if not sum(map(len, parts)):
            raise InputError(f"{block.name}: no pose was found by {self.config.poses}")
        whole = join(parts)
        return replace(whole, noise_deg=np.full(len(whole), self.pose_errors[block.name]["deg"]))

    @cached_property
    def pose_errors(self) -> dict[str, dict[str, Any]]:
        """How good the poses are that a matcher found, by dataset: see `posed_frames`."""
        return pose_errors(self._poses, [(block.name, block.data) for block in self.blocks])

    def parts(self) -> list[tuple[str, PosePart]]:
        """Some windows for one model each."""
        found = []
        for number, batch in enumerate(self.batches):
            for start in range(0, len(batch), CHUNK):
                some = batch.take(np.arange(start, min(start + CHUNK, len(batch))))
                for name in self.models:
                    weights = self._weights.get(name)
                    fitted = self._fitted.get(name)
                    part = PosePart(name, weights, self.config.threads, some, fitted)
                    found.append((f"{number}/{start}/{name}", part))
        return found

    # -- results -------------------------------------------------------------------------------

    def tables(self, lines: Sequence[Line]) -> tuple[list[Row], dict[str, Any]]:
        """Rows by motion, noise and horizon, and the table of windows."""
        found: dict[tuple[int, str], list[Line]] = {}
        for line in lines:
            number, _, name = line["key"].split("/", 2)
            found.setdefault((int(number), name), []).append(line)
        rows: list[Row] = []
        tables = []
        for (number, name), mine in found.items():
            batch = self.batches[number]
            rotation, translation, nees, of_translation = (_joined(mine, e) for e in ERRORS)
            assert rotation is not None and translation is not None
            errors = Errors(rotation, translation, nees, of_translation)
            for row in rows_of(name, self.protocol.name, batch, errors):
                rows.append(row | {"poses": self.config.poses})
            tables.append(window_columns(name, self.protocol.name, batch, errors))
        return rows, join_columns(tables)

    def more(self) -> dict[str, Any]:
        """How good the poses are that a matcher found."""
        return {"pose_errors": self.pose_errors} if self.tracker is not None else {}

    def pictures(self, table: pd.DataFrame) -> str:
        """The windows in which each model errs most, in words: poses have no pictures."""
        from bench.predict.report import worst_poses

        return worst_poses(table)


def forecast_part(part: PosePart) -> Line:
    """A model's errors on some windows."""
    episodes = part.episodes
    model = part.fitted or ready_model(part.model, part.weights, part.threads)
    forecast = forecast_known(part.model, model, episodes.observed, episodes.future)
    errors = errors_of(forecast, episodes)
    values = {name: getattr(errors, name) for name in ERRORS}
    return {name: None if found is None else found.tolist() for name, found in values.items()}


@lru_cache(maxsize=16)
def ready_model(name: str, weights: Path | None, threads: int) -> PoseModel:
    """A model that forecasts, kept in this process."""
    if weights is None:
        return load_pose_model(name)
    import torch

    torch.set_num_threads(threads)
    return LearnedModel.load(weights)


def load_named(name: str, learned: LearnedConfig) -> PoseModel:
    """The model of that name, or of a file of weights.

    Raises:
        InputError: there is none.
    """
    if name.endswith(".safetensors"):
        return LearnedModel.load(name)
    model = load_pose_model(name)
    return LearnedModel(learned) if isinstance(model, LearnedModel) and name in MODELS else model


def pose_experiment(
    config: PredictConfig,
    datasets: Sequence[str | Path] = (),
    protocol: Lab | FreeRotation | None = None,
    *,
    learned: LearnedConfig | None = None,
    dt_s: float | None = None,
    command: str = "",
) -> PoseExperiment:
    """An experiment that was found to make sense.

    Args:
        config: of the run.
        datasets: folders; without any, the motions are those of the protocol.
        protocol: the rules; the lab's unless given.
        learned: network and training of the learned model.
        dt_s: seconds from one index to the next, for tables without times.
        command: for the record.

    Raises:
        InputError: a model, protocol or matcher that there is not; a dataset without times, or with
            blocks shorter than a window.
    """
    protocol = replace(protocol or Lab(), seed=config.seed)
    learned = replace(learned or LearnedConfig(), seed=config.seed)
    if datasets and not isinstance(protocol, Lab):
        raise InputError(f"protocol {protocol.name}: takes no dataset, got {datasets[0]}")
    tracker = None
    if config.poses != TRUE:
        if not datasets:
            raise InputError(f"--poses {config.poses}: needs a dataset, whose images it looks at")
        tracker = tracker_config(config)
    blocks = _blocks(datasets, config.windows, dt_s)
    window = protocol.observed + protocol.horizons[-1]
    for block in blocks:
        longest = max((len(s) for s in block.sequences), default=0)
        if longest < window:
            held = "held-out block" if config.windows == "test" else "run of frames"
            raise InputError(
                f"{block.name}: its longest {held} has {longest} frames, a window takes {window} "
                f"({protocol.observed} observed and {protocol.horizons[-1]} ahead): fewer, or "
                "--windows all, or more frames are needed"
            )
    blocks = [_of_length(block, window) for block in blocks]
    experiment = PoseExperiment(config, protocol, learned, tuple(blocks), dt_s, command, tracker)
    learns = any(isinstance(model, LearnedModel) for model in experiment.models.values())
    _check_poses(protocol, learned if learns else None, bool(datasets))
    return experiment


def _check_poses(
    protocol: Lab | FreeRotation, learned: LearnedConfig | None, datasets: bool
) -> None:
    """Refuse more poses at a time than memory is for.

    Args:
        protocol: the rules.
        learned: how a model learns; None where none does.
        datasets: whether there are any, whose frames are evaluated.

    Raises:
        InputError: there are.
    """
    counts = {}
    if learned is not None:
        counts["train-sequences"] = learned.sequences * protocol.training_poses
    if not datasets:
        counts["sequences" if isinstance(protocol, FreeRotation) else "frames"] = (
            protocol.episode_poses
        )
    for option, count in counts.items():
        if count > MOST_POSES:
            raise InputError(
                f"--{option}: comes to {count:,} poses at a time, must be at most {MOST_POSES:,}; "
                "fewer, or windows that are shorter or farther apart"
            )


def _blocks(datasets: Sequence[str | Path], windows: str, dt_s: float | None) -> list[PosedBlocks]:
    """The evenly spaced runs of frames of each dataset that are evaluated, if there are any."""
    if not datasets:
        return []
    opened = open_datasets([Path(folder) for folder in datasets])
    views: Mapping[str, Dataset] = opened
    for name, data in opened.items():
        if len(data) < 2:
            raise InputError(f"{name}: has {len(data)} frame: a forecast needs more")
    for data in opened.values():
        sequences_of(data, dt_s)  # without times it is refused before it is split
    if windows == "test":
        splits = split_datasets(opened)
        views = {name: data[splits[name].test] for name, data in opened.items()}
    found = []
    for name, view in views.items():
        motion = motion_name(opened[name])
        sequences = [replace(s, name=motion) for s in sequences_of(view, dt_s)]
        sizes = np.cumsum([0, *(len(s) for s in sequences)])
        runs = [tuple(view.indices[a:b].tolist()) for a, b in pairwise(sizes.tolist())]
        found.append(PosedBlocks(name, opened[name], motion, tuple(runs), tuple(sequences)))
    several = len({block.motion for block in found}) < len(found)
    return [_renamed(block) if several else block for block in found]


def _renamed(block: PosedBlocks) -> PosedBlocks:
    """The block with its dataset's name in the motion's, where others have that motion, too."""
    motion = f"{block.motion} ({block.name})"
    sequences = tuple(replace(s, name=motion) for s in block.sequences)
    return replace(block, motion=motion, sequences=sequences)


def _of_length(block: PosedBlocks, window: int) -> PosedBlocks:
    """The block without runs that are shorter than a window."""
    chosen = [n for n, sequence in enumerate(block.sequences) if len(sequence) >= window]
    return replace(
        block,
        views=tuple(block.views[n] for n in chosen),
        sequences=tuple(block.sequences[n] for n in chosen),
    )


def motion_name(data: Dataset) -> str:
    """A dataset's target and movement; of a tumble with its degrees a frame."""
    from satgen.trajectory import Tumble

    motion = data.config.trajectory.motion
    if not isinstance(motion, Tumble):
        return f"{data.name} {motion.kind}"
    rate = float(np.linalg.norm(motion.rates_deg_s)) * motion.dt_s
    step = int(np.diff(data.indices).min()) if len(data) > 1 else 1
    return f"{data.name} tumble-{round(rate * step, 1):g}"


def _train(
    model: LearnedModel, train: Episodes, path: Path, update: Callable[[int, int], None]
) -> None:
    """Train a network, or go on training it, and write its weights to a file."""
    path.parent.mkdir(exist_ok=True)
    saved = path.with_suffix(".checkpoint.pt")
    model.fit(train, update, saved)
    model.save(path)
    saved.unlink(missing_ok=True)


def _fit(model: Trainable, train: Episodes, update: Callable[[int, int], None]) -> None:
    """Train, with progress where the model tells it."""
    if "progress" in inspect.signature(model.fit).parameters:
        model.fit(train, progress=update)  # type: ignore[call-arg]
    else:
        model.fit(train)


def _joined(lines: Sequence[Line], what: str) -> Floats | None:
    """An array (B, H) of the parts' ones; None where a part has none."""
    found = [line[what] for line in lines]
    if any(value is None for value in found):
        return None
    return np.concatenate([np.asarray(value, dtype=np.float64) for value in found])


def _seed(seed: int, *keys: object) -> int:
    """A seed for a block, so that blocks have noise of their own."""
    return zlib.crc32(json.dumps([seed, *keys]).encode())


def source_sha256(name: str) -> str | None:
    """SHA-256 of the file that a model of somebody's own comes from."""
    if name.endswith(".safetensors"):
        return file_sha256(Path(name))
    if ":" not in name:
        return None
    file = source_file(name)
    return None if file is None else file_sha256(file)
