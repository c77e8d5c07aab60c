"""Frame models on windows, in one process: their forecasts, and the figures of these.

runner = FrameRunner(windows, {"flow": load_frame_model("flow")}, [PoseSource()])
rows, columns = rows_of_parts([runner.figures("aura", range(8))], windows.protocol, runner.models)
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.predict.columns import join_columns
from bench.predict.frame_figures import Columns, Row, figures_of, rows_of, window_columns
from bench.predict.frame_protocols import FrameBatch, FrameProtocol, HeldOut, PoseSource
from bench.predict.frame_render import RenderedForecast
from bench.predict.frame_types import FrameForecast, FrameModel, checked_frames

WindowFigures = dict[str, Any]
"""Figures of some windows, as plain values: `columns` of the table of windows, and `seconds`, with
an entry a forecast: model, name and noise of its source of poses, frames and seconds."""

_WORDS = ("model", "target", "motion", "dataset", "poses")


@dataclass(frozen=True)
class Evaluated:
    """A model's forecast of some windows.

    Attributes:
        model: its name.
        source: of the poses that it looked at; None where it looks at none.
        batch: the windows.
        forecast: the model's.
        seconds: that it took.
    """

    model: str
    source: PoseSource | None
    batch: FrameBatch
    forecast: FrameForecast
    seconds: float


class FrameRunner:
    """Windows and models.

    Attributes:
        windows: from `frame_protocols.held_out`.
        models: by name, ready to forecast.
        sources: of poses; models that look at poses forecast with each.
        scenes: of the datasets, by name.
    """

    def __init__(
        self, windows: HeldOut, models: Mapping[str, FrameModel], sources: Sequence[PoseSource]
    ) -> None:
        self.windows = windows
        self.models = models
        self.sources = sources
        self.scenes = windows.scenes()

    def batch(self, dataset: str, numbers: Sequence[int], source: PoseSource) -> FrameBatch:
        """Some windows of a dataset."""
        return self._batch(dataset, self.windows.read(numbers), source)

    def forecasts(
        self, dataset: str, numbers: Sequence[int], names: Sequence[str] | None = None
    ) -> list[Evaluated]:
        """Of some windows, by each model or those named: with the first source of poses also those
        that look at none, then with the others.

        Args:
            dataset: its name.
            numbers: of the windows, of all datasets'.
            names: of models.

        Raises:
            InputError: a model that cannot forecast these windows, or forecasts what is no frame.
        """
        window = self.windows.read(numbers)
        chosen = {n: m for n, m in self.models.items() if names is None or n in names}
        found = []
        for place, source in enumerate(self.sources):
            batch = None
            for name, model in chosen.items():
                wants = bool(getattr(model, "wants_poses", False))
                if not wants and place:
                    continue
                batch = batch or self._batch(dataset, window, source)
                if isinstance(model, RenderedForecast):
                    model.start(batch.observed.scene)  # so that it isn't timed
                began = time.perf_counter()
                forecast = checked_frames(name, model, batch.observed)
                seconds = time.perf_counter() - began
                found.append(Evaluated(name, source if wants else None, batch, forecast, seconds))
        return found

    def figures(self, dataset: str, numbers: Sequence[int]) -> WindowFigures:
        """Figures of some windows by all models."""
        tables, seconds = [], []
        for one in self.forecasts(dataset, numbers):
            label, noise = source_key(one.source)
            figures = figures_of(one.forecast, one.batch)
            tables.append(window_columns(one.model, label or "", noise, one.batch, figures))
            made = len(one.batch.starts) * len(one.batch.observed.horizons)
            seconds.append([one.model, label, noise, made, one.seconds])
        columns = join_columns(tables)
        plain = {name: np.asarray(values).tolist() for name, values in columns.items()}
        return {"columns": plain, "seconds": seconds}

    def _batch(self, dataset: str, window: dict[str, Any], source: PoseSource) -> FrameBatch:
        poses = source.poses_of(dataset, self.windows.data[dataset])
        return self.windows.batch(window, poses, self.scenes[dataset], source)


def source_key(source: PoseSource | None) -> tuple[str | None, float | None]:
    """How a row names a source of poses, and its noise in degrees where it is known."""
    if source is None:
        return None, None
    return source.name, source.noise_deg if source.estimated is None else None


def rows_of_parts(
    parts: Iterable[WindowFigures], protocol: FrameProtocol, models: Mapping[str, FrameModel]
) -> tuple[list[Row], Columns]:
    """Rows by model, motion, source of poses and horizon, and the table of windows behind them.

    A row has, beside the figures, `protocol`, `observed`, `parameters` (numbers that were learnt)
    and `frames_s` (frames forecast a second, all parts together, without the start of a renderer).
    Models come in the order of `models`.
    """
    tables: list[Columns] = []
    clocks: dict[tuple[str, str | None, float | None], tuple[int, float]] = {}
    for part in parts:
        tables.append({name: _column(name, values) for name, values in part["columns"].items()})
        for model, label, noise, frames, seconds in part["seconds"]:
            before = clocks.get((model, label, noise), (0, 0.0))
            clocks[model, label, noise] = (before[0] + frames, before[1] + seconds)
    columns = join_columns(tables)
    rows = rows_of(columns, protocol=protocol.name, observed=protocol.observed)
    for row in rows:
        frames, seconds = clocks[row["model"], row["poses"], row["noise_deg"]]
        row["parameters"] = int(getattr(models[row["model"]], "parameters", 0))
        row["frames_s"] = frames / max(seconds, 1e-9)
    order = {name: place for place, name in enumerate(models)}
    return sorted(rows, key=lambda row: order[row["model"]]), columns


def _column(name: str, values: list[Any]) -> np.ndarray[Any, Any]:
    return np.asarray(values, dtype=object if name in _WORDS else None)
