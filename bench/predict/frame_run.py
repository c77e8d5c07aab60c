"""The frames task of `satgen predict`: its plan, its parts and its tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import satgen
from bench.predict.config import TRUE, FrameRules, PredictConfig
from bench.predict.frame_forecasts import FrameRunner, rows_of_parts
from bench.predict.frame_learned import NETWORKS, LearnedFrames
from bench.predict.frame_models import load_frame_model, pose_model_of
from bench.predict.frame_protocols import (
    FrameProtocol,
    HeldOut,
    PoseSource,
    held_out,
    load_protocol,
    training_windows,
)
from bench.predict.frame_render import RenderedForecast, model_of
from bench.predict.frame_training_config import FrameTrainConfig
from bench.predict.frame_types import FrameModel
from bench.predict.pose_run import source_sha256
from bench.predict.posed_frames import (
    STAGE,
    Known,
    find_poses,
    pose_errors,
    tracker_config,
    tracker_identity,
    whole_poses,
)
from bench.predict.run import CACHE, MODELS, POSES, WINDOWS, Line, Row, Stages
from bench.predict.visual_poses import TrackerConfig, TrackTask, load_tracker
from bench.software import machine, software
from satgen.dataset import Dataset, check_frames
from satgen.errors import InputError
from satgen.runfolder import RunFolder, dataset_identity

if TYPE_CHECKING:
    import pandas as pd

DEFAULT = ("black", "last", "flow", "render")
"""Models where none is named: those that need no training."""

CHUNK = 8
"""Windows of a part. It decides which windows a model sees together, so it is no option."""


@dataclass(frozen=True)
class FrameSetup:
    """What a process needs to forecast any window of a run; it can be handed to another one.

    Attributes:
        folders: of the datasets, by name.
        protocol: the rules.
        part: "test", or None for all frames.
        dt_s: seconds from one index to the next, or None.
        models: name and file of weights, or None, of each.
        sources: of poses; of those that a matcher found, without the poses.
        poses: journal with these; None where there is none.
        threads, device: of networks.
    """

    folders: tuple[tuple[str, Path], ...]
    protocol: FrameProtocol
    part: str | None
    dt_s: float | None
    models: tuple[tuple[str, Path | None], ...]
    sources: tuple[PoseSource, ...]
    poses: Path | None
    threads: int
    device: str


@dataclass(frozen=True)
class FramePart:
    """Some windows of one dataset, for all models."""

    setup: FrameSetup
    dataset: str
    numbers: tuple[int, ...]


def runner_of(setup: FrameSetup) -> FrameRunner:
    """Windows and models of a run, in this process."""
    import torch

    torch.set_num_threads(setup.threads)
    models = {name: ready_model(name, weights, setup.device) for name, weights in setup.models}
    sources = list(setup.sources)
    if setup.poses is not None:
        found = whole_poses(setup.poses, setup.folders)
        sources = [replace(source, estimated=found) for source in sources]
    return FrameRunner(open_windows(setup), models, sources)


def open_windows(setup: FrameSetup) -> HeldOut:
    """The windows that are evaluated on."""
    folders = [folder for _, folder in setup.folders]
    return held_out(folders, setup.protocol, part=setup.part, dt_s=setup.dt_s)


@lru_cache(maxsize=1)
def _runner(setup: FrameSetup) -> FrameRunner:
    return runner_of(setup)


def forecast_part(part: FramePart) -> Line:
    """Figures of some windows, see `frame_forecasts.WindowFigures`."""
    return _runner(part.setup).figures(part.dataset, part.numbers)


def ready_model(name: str, weights: Path | None, device: str) -> FrameModel:
    """A model by its name, or with the weights of a file, on a device."""
    model = load_frame_model(name) if weights is None else LearnedFrames.load(weights)
    if isinstance(model, LearnedFrames):
        model.network.to(device)
    return model


@dataclass
class FrameExperiment:
    """Frame models against a protocol; see `run.Experiment`.

    Attributes:
        config: of the run.
        rules: what was chosen of the protocol.
        training: of the networks.
        setup: for the processes that forecast; without the weights that are yet to be trained.
        windows: what is evaluated on.
        tracker: how poses are found in images; None for true ones.
        device: of networks.
        command: that asked for it.
    """

    config: PredictConfig
    rules: FrameRules
    training: FrameTrainConfig
    setup: FrameSetup
    windows: HeldOut
    tracker: TrackerConfig | None
    command: str
    _known: Known = field(default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        """The models."""
        return [name for name, _ in self.setup.models]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the figures."""
        config = asdict(self.config)
        for name in ("device", "threads"):
            del config[name]
        trains = self._trained()
        return {
            "satgen": satgen.__version__,
            "config": config | {"models": self.names},
            "protocol": asdict(self.setup.protocol),
            "rules": asdict(self.rules),
            "training": asdict(self.training) if trains else None,
            "datasets": {name: dataset_identity(path) for name, path in self.setup.folders},
            "tracker": None if self.tracker is None else tracker_identity(self.tracker),
            "sources": {
                name: found
                for name in self.names
                if (found := source_sha256(pose_model_of(name) or name))
            },
        }

    @cached_property
    def description(self) -> dict[str, Any]:
        """What run.json and results.json say of the run."""
        import torch

        scenes = self.windows.scenes()
        return {
            "command": self.command,
            **software(),
            "machine": machine(self.config.threads, torch.device(self.setup.device)),
            "task": self.config.task,
            "protocol": asdict(self.setup.protocol),
            "poses": self.config.poses,
            "models": self.names,
            "datasets": [
                {
                    "name": name,
                    "path": str(path.resolve()),
                    "target": self.windows.data[name].name,
                    "motion": scenes[name].motion,
                    "frames": len(self.windows.data[name]),
                }
                for name, path in self.setup.folders
            ],
        }

    @property
    def work(self) -> Callable[[FramePart], Line]:
        """What a part comes to."""
        return forecast_part

    @property
    def alone(self) -> bool:
        """All models can be made anew in another process."""
        return False

    def stages(self) -> list[tuple[str, str, float]]:
        """Poses, training, forecasts."""
        found = [(STAGE, "frame", 60.0)] if self.tracker is not None else []
        found += [(f"train {name}", "step", 1200.0) for name in self._trained()]
        return [*found, (WINDOWS, "part", 120.0)]

    def _trained(self) -> list[str]:
        return [name for name in self.names if name in NETWORKS]

    # -- before the first write ----------------------------------------------------------------

    def check(self) -> None:
        """See that images are there, and try each model that needs no training on a window.

        Of those that render, the poses are tried, and that the target's model is there.
        """
        tracked = () if self.tracker is None else ("depth",)
        for name, data in self.windows.data.items():
            check_frames(data, self._used(name), ("rgb", "parts", *tracked))
        if self.tracker is not None:
            load_tracker(self.tracker)
        if self._trained():
            training_windows([path for _, path in self.setup.folders], self.setup.protocol)
        ready = tuple(entry for entry in self.setup.models if entry[0] not in NETWORKS)
        true = tuple(PoseSource(seed=self.config.seed) for _ in self.setup.sources[:1])
        runner = runner_of(replace(self.setup, models=ready, sources=true, poses=None))
        drawn = {n: m for n, m in runner.models.items() if isinstance(m, RenderedForecast)}
        for name, scene in runner.scenes.items():
            first = self.windows.numbers(name)[:1]
            others = [name for name in runner.models if name not in drawn]
            runner.forecasts(name, first, others)
            if drawn:
                model_of(scene)
                batch = runner.batch(name, first, true[0])
                for model in drawn.values():
                    model.poses(batch.observed)

    def _used(self, name: str) -> list[int]:
        """Indices of the frames that windows of a dataset have."""
        return sorted({index for view in self._views(name) for index in view})

    def _views(self, name: str) -> list[tuple[int, ...]]:
        """Runs of frames that are evaluated on."""
        data = self.windows.data[name]
        splits = self.windows.splits
        chosen = data.indices if splits is None else splits[name].test
        cuts = np.flatnonzero(np.diff(chosen) != np.diff(chosen).min()) + 1
        return [tuple(run.tolist()) for run in np.split(chosen, cuts)]

    # -- preparation ---------------------------------------------------------------------------

    def prepare(self, place: RunFolder, workers: int, stages: Stages) -> None:
        """Train the networks, and find the poses in the images."""
        if self.tracker is not None:
            tasks = {
                (name, view[0]): TrackTask(path, view, self.tracker)
                for name, path in self.setup.folders
                for view in self._views(name)
            }
            self._known = find_poses(place, tasks, workers, stages)
            self.setup = replace(self.setup, poses=place.path / POSES)
        if self._trained():
            self._train(place, stages)

    def _train(self, place: RunFolder, stages: Stages) -> None:
        from bench.predict.frame_training import BEST, train_frames

        windows = training_windows(
            [path for _, path in self.setup.folders],
            self.setup.protocol,
            cache=place.path / CACHE,
        )
        weights: dict[str, Path] = {}
        for name in self._trained():
            folder = place.path / MODELS / name
            with stages(f"train {name}") as update:
                train_frames(
                    windows.train,
                    windows.validation,
                    replace(self.training, network=NETWORKS[name]),
                    folder,
                    device=self.setup.device,
                    progress=update,
                )
            weights[name] = folder / BEST
        models = tuple((name, weights.get(name, path)) for name, path in self.setup.models)
        self.setup = replace(self.setup, models=models)

    # -- parts ---------------------------------------------------------------------------------

    def parts(self) -> list[tuple[str, FramePart]]:
        """Some windows of a dataset, for all models."""
        found = []
        for name in self.windows.data:
            numbers = self.windows.numbers(name)
            for start in range(0, len(numbers), CHUNK):
                some = tuple(numbers[start : start + CHUNK])
                found.append((f"{name}/{start}", FramePart(self.setup, name, some)))
        return found

    # -- results -------------------------------------------------------------------------------

    def tables(self, lines: Sequence[Line]) -> tuple[list[Row], dict[str, Any]]:
        """See `rows_of_parts`."""
        return rows_of_parts(lines, self.setup.protocol, _runner(self.setup).models)

    def more(self) -> dict[str, Any]:
        """How good the poses are that a matcher found."""
        if self.tracker is None:
            return {}
        return {"pose_errors": pose_errors(self._known, list(self.windows.data.items()))}

    def pictures(self, table: pd.DataFrame) -> str:
        """Strips of truth, forecast and difference."""
        from bench.predict.strips import strips

        return strips(table, _runner(self.setup))


def checked_words(
    config: PredictConfig, protocol: FrameProtocol | str, rules: FrameRules
) -> tuple[FrameProtocol, TrackerConfig | None, tuple[PoseSource, ...]]:
    """What can be told without a dataset: the protocol, and where the poses come from.

    Raises:
        InputError: a protocol, model, device or matcher that there is not; a network that is to be
            evaluated on what it is trained on.
    """
    from matchers.registry import choose_device

    choose_device(config.device)
    known = load_protocol(protocol) if isinstance(protocol, str) else protocol
    changes: dict[str, Any] = {}
    if rules.horizons:
        changes["horizons"] = rules.horizons
    if rules.stride is not None:
        changes["stride"] = rules.stride
    known = replace(known, **changes)
    names = config.models or DEFAULT
    trains = [name for name in names if name in NETWORKS]
    if trains and config.windows != "test":
        raise InputError(f"--windows {config.windows}: {trains[0]} is trained on some of them")
    for name in names:
        if name not in NETWORKS:
            load_frame_model(name)
    if config.poses == TRUE:
        noisy = (PoseSource(n, rules.noise_m_per_deg, config.seed) for n in rules.noise_deg)
        return known, None, tuple(noisy)
    return known, tracker_config(config), (PoseSource(seed=config.seed, name=config.poses),)


def frame_experiment(
    config: PredictConfig,
    datasets: Sequence[str | Path],
    protocol: FrameProtocol | str,
    *,
    rules: FrameRules | None = None,
    training: FrameTrainConfig | None = None,
    command: str = "",
) -> FrameExperiment:
    """An experiment that was found to make sense.

    Args:
        config: of the run.
        datasets: folders.
        protocol: the rules, or their name.
        rules: what was chosen of them.
        training: of networks.
        command: for the record.

    Raises:
        InputError: no dataset; a model, protocol, device or matcher that there is not; a dataset
            without times, or with blocks shorter than a window.
    """
    from matchers.registry import choose_device

    rules = rules or FrameRules()
    known, tracker, sources = checked_words(config, protocol, rules)
    names = config.models or DEFAULT
    if not datasets:
        raise InputError("no dataset given: frames are forecast of at least one")
    folders = [Path(folder) for folder in datasets]
    for folder in folders:
        if len(Dataset(folder)) < 2:
            raise InputError(f"{folder}: has {len(Dataset(folder))} frame: a forecast needs more")
    setup = FrameSetup(
        tuple((folder.resolve().name, folder) for folder in folders),
        known,
        "test" if config.windows == "test" else None,
        rules.dt_s,
        tuple((name, None) for name in names),
        sources,
        None,
        config.threads,
        str(choose_device(config.device)),
    )
    windows = open_windows(setup)
    training = replace(training or FrameTrainConfig(), seed=config.seed)
    return FrameExperiment(config, rules, training, setup, windows, tracker, command)
