"""Frame models against a protocol, in this process: the rows that a command or a report shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.predict.columns import join_columns
from bench.predict.frame_figures import (
    Columns,
    Row,
    figures_of,
    rows_of,
    window_columns,
)
from bench.predict.frame_learned import NETWORKS
from bench.predict.frame_models import load_frame_model
from bench.predict.frame_protocols import FrameBatch, HeldOut, PoseSource
from bench.predict.frame_types import FrameForecast, FrameModel, checked_frames
from satgen.errors import InputError

if TYPE_CHECKING:
    from bench.predict.frame_training_config import FrameTrainConfig
    from satgen.sequences import SplitWindows

BATCH = 16
"""Windows forecast at a time."""


@dataclass(frozen=True)
class FrameEvaluation:
    """One model on one batch of windows.

    Attributes:
        model: its name.
        source: of the poses that it looked at; None where it looks at none.
        batch: the windows.
        forecast: the model's, for pictures.
        columns: a table with a row a window and horizon, see `frame_figures`.
        seconds: that the forecast took.
    """

    model: str
    source: PoseSource | None
    batch: FrameBatch
    forecast: FrameForecast
    columns: Columns
    seconds: float


def load_frame_models(names: Iterable[str]) -> dict[str, FrameModel]:
    """Models by name, in order.

    Raises:
        InputError: a name that is none, or one given twice; a model that must be trained first.
    """
    models: dict[str, FrameModel] = {}
    for name in names:
        if name in models:
            raise InputError(f"frame model {name!r}: given twice")
        models[name] = load_frame_model(name)
    if not models:
        raise InputError("frame models: at least one must be given")
    return models


def ready_frame_models(
    names: Sequence[str],
    windows: SplitWindows | None,
    folder: Path,
    config: FrameTrainConfig | None = None,
    *,
    workers: int = 0,
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, FrameModel]:
    """Models by name, those of `frame_learned.NETWORKS` trained first, or on from where they were.

    Args:
        names: of `frame_models.load_frame_model`.
        windows: to train on and to validate with, from `frame_protocols.training_windows`; None
            where nothing is to be trained.
        folder: a network's training lies in the folder of its name in it.
        config: of the training, whose network is replaced; the defaults unless given.
        workers, device: as for `frame_training.train_frames`.
        progress: called with the network's name, the steps done and all of them.

    Raises:
        InputError: as `load_frame_models`, before anything is trained; a network and no windows.
        RunError: as `frame_training.train_frames`.
    """
    models: dict[str, FrameModel | None] = {}
    for name in names:
        if name in models:
            raise InputError(f"frame model {name!r}: given twice")
        learns = name in NETWORKS and windows is not None
        models[name] = None if learns else load_frame_model(name)
    if not models:
        raise InputError("frame models: at least one must be given")
    ready: dict[str, FrameModel] = {}
    for name, model in models.items():
        if model is None and windows is not None:
            from bench.predict.frame_training import train_frames
            from bench.predict.frame_training_config import FrameTrainConfig

            settings = replace(config or FrameTrainConfig(), network=NETWORKS[name])
            model = train_frames(
                windows.train,
                windows.validation,
                settings,
                folder / name,
                workers=workers,
                device=device,
                progress=None if progress is None else partial(progress, name),
            ).model
        assert model is not None
        ready[name] = model
    return ready


def evaluate_frames(
    models: Mapping[str, FrameModel],
    windows: HeldOut,
    sources: Sequence[PoseSource] = (PoseSource(),),
    *,
    batch: int = BATCH,
    progress: Callable[[str], None] | None = None,
) -> Iterator[FrameEvaluation]:
    """Each model on each batch of windows: first the models that look at frames alone, then for
    each source of poses those that look at poses, too.

    Args:
        models: by name, ready to forecast.
        windows: from `frame_protocols.held_out`.
        sources: of poses.
        batch: windows forecast at a time.
        progress: called with a line before each forecast.

    Raises:
        InputError: a model that cannot forecast these windows, or forecasts what is no frame.
        RunError: nothing here renders.
    """
    scenes = windows.scenes()
    wanting = {n: m for n, m in models.items() if getattr(m, "wants_poses", False)}
    others = {n: m for n, m in models.items() if n not in wanting}
    passes: list[tuple[PoseSource | None, Mapping[str, FrameModel]]] = [(None, others)]
    passes += [(source, wanting) for source in sources]
    for source, chosen in passes:
        if not chosen:
            continue
        for windowed in windows.batches(source, batch, scenes):
            for name, model in chosen.items():
                if progress is not None:
                    progress(f"{name}: {windowed.observed.scene.name} {windowed.starts[0]}")
                yield _evaluate(name, model, windowed, source)


def _evaluate(
    name: str, model: FrameModel, batch: FrameBatch, source: PoseSource | None
) -> FrameEvaluation:
    began = time.perf_counter()
    forecast = checked_frames(name, model, batch.observed)
    seconds = time.perf_counter() - began
    label, noise = source_key(source)
    columns = window_columns(name, label or "", noise, batch, figures_of(forecast, batch))
    return FrameEvaluation(name, source, batch, forecast, columns, seconds)


def source_key(source: PoseSource | None) -> tuple[str | None, float | None]:
    """How a row names a source of poses, and its noise in degrees where it is known."""
    if source is None:
        return None, None
    return source.name, source.noise_deg if source.estimated is None else None


def rows_of_evaluations(
    found: Iterable[FrameEvaluation], models: Mapping[str, FrameModel], windows: HeldOut
) -> tuple[list[Row], Columns]:
    """Rows by horizon, and the table of windows that they are the means of.

    A row has, beside the figures, `protocol`, `observed`, `parameters` (numbers that were learnt)
    and `frames_s` (frames forecast a second here, all batches together; the first one may hold the
    start of a renderer).
    """
    tables: list[Columns] = []
    clocks: dict[tuple[str, str | None, float | None], tuple[int, float]] = {}
    for one in found:
        tables.append(one.columns)
        key = (one.model, *source_key(one.source))
        frames, seconds = clocks.get(key, (0, 0.0))
        made = len(one.batch.starts) * len(one.batch.observed.horizons)
        clocks[key] = (frames + made, seconds + one.seconds)
    columns = join_columns(tables)
    protocol = windows.protocol
    rows = rows_of(columns, protocol=protocol.name, observed=protocol.observed)
    for row in rows:
        frames, seconds = clocks[row["model"], row["poses"], row["noise_deg"]]
        row["parameters"] = int(getattr(models[row["model"]], "parameters", 0))
        row["frames_s"] = frames / max(seconds, 1e-9)
    return rows, columns


def frame_rows(
    models: Mapping[str, FrameModel],
    windows: HeldOut,
    sources: Sequence[PoseSource] = (PoseSource(),),
) -> list[Row]:
    """Models against a protocol: all rows."""
    found = evaluate_frames(models, windows, sources)
    return rows_of_evaluations(found, models, windows)[0]
