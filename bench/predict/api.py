"""Prediction experiments in Python, as `import satgen` offers them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.predict.choose import (
    PROTOCOL_KINDS,
    TRAINING_KINDS,
    experiment_of,
    protocol_of,
)
from bench.predict.config import PredictConfig
from bench.predict.run import PREDICT, PredictResult, run
from satgen.dataset import Dataset, folder_of
from satgen.keywords import check_keywords, field_names
from satgen.runfolder import first_free

if TYPE_CHECKING:
    pass

RUNS = Path("runs")


def predict(
    *datasets: str | os.PathLike[str] | Dataset,
    task: str = PredictConfig.task,
    protocol: str | None = None,
    model: str | tuple[str, ...] | list[str] = (),
    noise: float | tuple[float, ...] | list[float] | None = None,
    poses: str = PredictConfig.poses,
    dt: float | None = None,
    out: str | os.PathLike[str] | None = None,
    workers: int = 1,
    resume: bool = True,
    overwrite: bool = False,
    training: dict[str, Any] | None = None,
    **options: Any,
) -> PredictResult:
    """Forecast poses or frames of a target, and say how far off the forecasts are.

    Args:
        datasets: folders, or datasets; without any, poses are those of motions in closed form.
        task: "pose" or "frames".
        protocol: "lab" or "free-rotation"; of frames "10-20-128", ….
        model: a model's name, or several; by default the task's own choice.
        noise: degrees of noise of the observed rotations; several are one run each.
        poses: "true", or the matcher that finds them in the images.
        dt: seconds from one frame to the next.
        out: folder of the run; by default runs/predict, or runs/predict-N.
        workers: processes.
        resume: go on with this very run where it was stopped.
        overwrite: replace another run in the folder.
        training: how models that learn do so: fields of `LearnedConfig`, of frames of
            `FrameTrainConfig`.
        options: other fields of `bench.predict.config.PredictConfig` (seed, windows, …) and of the
            protocol (sequences, horizons, …).

    Raises:
        InputError: something cannot be as asked; nothing was changed.
        RunError: the run failed; the same call goes on from there.
    """
    config = PredictConfig(
        task=task, models=(model,) if isinstance(model, str) else tuple(model), poses=poses
    )
    name, key = protocol_of(config.task, protocol)
    kind = PROTOCOL_KINDS[key]
    fixed = ("task", "models", "poses", "protocol", "noise_deg", "dt_s")
    mine, its = field_names(PredictConfig, *fixed), field_names(kind, *fixed)
    check_keywords("predict", options, [*mine, *its])
    rules = {key: value for key, value in options.items() if key in its and key not in mine}
    check_keywords("predict", training or {}, field_names(TRAINING_KINDS[task]))
    if noise is not None:
        values = np.atleast_1d(noise).tolist()
        rules["noise_deg"] = tuple(float(v) if type(v) is int else v for v in values)
    if dt is not None:
        rules["dt_s"] = dt
    for key in ("horizons", "motions", "inertia"):
        if key in rules:
            rules[key] = tuple(np.atleast_1d(rules[key]).tolist())
    config = replace(config, **{key: v for key, v in options.items() if key in mine})
    experiment = experiment_of(
        config,
        [folder_of(data) for data in datasets],
        name,
        rules,
        training or {},
        command="satgen.predict",
    )
    folder = Path(out) if out is not None else free_folder(experiment.identity)
    run(experiment, folder, workers=workers, resume=resume, overwrite=overwrite)
    return PredictResult(folder)


def free_folder(identity: Any) -> Path:
    """runs/predict, or the first runs/predict-N, that is free or holds this very run."""
    return first_free(predict_folders(), PREDICT, identity)


def predict_folders() -> Iterator[Path]:
    """runs/predict, then runs/predict-2 and so on."""
    return (
        RUNS / ("predict" if number == 1 else f"predict-{number}") for number in itertools.count(1)
    )
