"""Training in Python, as `import satgen` offers it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matchers.registry import features_name, find_weights
from matchers.specs import file_name
from matchers.training.config import TrainConfig
from satgen.dataset import Dataset, folder_of
from satgen.errors import InputError
from satgen.installed import require
from satgen.keywords import check_keywords, field_names
from satgen.processes import default_workers

if TYPE_CHECKING:
    from matchers.training.profiling import StepProfiler
    from matchers.training.run import TrainSummary
    from matchers.training.trainer import Hardware

RUNS = Path("runs")
CACHE = RUNS / "features"
SAVE_MINUTES = 2.0
PRECISIONS = ("float32", "bfloat16")


def train(
    *datasets: str | os.PathLike[str] | Dataset,
    out: str | os.PathLike[str] | None = None,
    stage: str | None = None,
    init: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] = CACHE,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    compile: bool | None = None,
    workers: int | None = None,
    save_minutes: float = SAVE_MINUTES,
    resume: bool = True,
    overwrite: bool = False,
    quiet: bool = False,
    profile: bool | str | os.PathLike[str] = False,
    **options: Any,
) -> TrainSummary:
    """Train a matcher on rendered frames, whose depth and pose give the truth.

    Args:
        datasets: folders, or datasets.
        out: folder of the run; by default runs/train-MATCHER-FEATURES.
        stage: homography, pose or confidence: that one only; by default all.
        init: weights to begin with: official, satgen or a file.
        cache: folder of the features, which runs share.
        device: cpu or cuda; by default cuda if there is one.
        threads: by default the cores.
        precision: float32 or bfloat16; by default bfloat16 on cuda.
        workers: processes that make frames ready for the extractor and write their features; of
            SIFT they extract them, too. Below 2: none. By default the cores where frames are many,
            unless a network extracts on the CPU, which takes all of them.
        compile: try torch.compile, and keep it if that makes steps faster; by default on cuda.
        save_minutes: between checkpoints.
        resume: go on with this very run where it was stopped.
        overwrite: replace another run in the folder.
        quiet: show no progress.
        profile: print where the time of some steps goes; a file's name: and write their trace,
            for chrome://tracing or ui.perfetto.dev, to it.
        options: fields of `matchers.training.config.TrainConfig`: matcher, features, steps, batch,
            layers, frames, seed, …

    Returns:
        The file of weights, their card with what they reach on held-out pairs, and the stages.

    Raises:
        InputError: something cannot be as asked; nothing was changed.
        RunError: the run failed; the same call goes on from there.
    """
    require("satgen.train", "torch", "cv2", "matplotlib", "safetensors")
    check_keywords("train", options, field_names(TrainConfig))
    if "features" in options:
        options["features"] = features_name(options["features"])
    config, initial = TrainConfig(**options), None
    if init is not None:
        from matchers.training.initial import network_of

        initial = find_weights(config.matcher, config.features, init)
        config = TrainConfig(**(network_of(config.matcher, initial) | options))
    profiler = profiler_for(None if profile is False else "" if profile is True else profile)
    from matchers.training.run import train as run

    return run(
        [folder_of(data) for data in datasets],
        config,
        default_folder(config) if out is None else Path(out),
        cache=Path(cache),
        hardware=hardware_for(
            config,
            device=device,
            threads=threads,
            precision=precision,
            compile=compile,
            workers=workers,
            save_minutes=save_minutes,
        ),
        stages=None if stage is None else (stage,),
        initial=initial,
        resume=resume,
        overwrite=overwrite,
        quiet=quiet,
        profiler=profiler,
    )


def profiler_for(profile: str | os.PathLike[str] | None) -> StepProfiler | None:
    """What watches a training's steps and prints where their time went, to standard error.

    Args:
        profile: None: nothing does; otherwise the trace's file, or "" for none.

    Raises:
        InputError: a file that cannot be.
    """
    if profile is None:
        return None
    trace = Path(profile) if str(profile) else None
    if trace is not None and (trace.is_dir() or not trace.parent.is_dir()):
        raise InputError(f"profile {trace}: must be a file in a folder that is there")
    import click

    from matchers.training.profiling import StepProfiler
    from matchers.training.trainer import PARTS

    return StepProfiler(PARTS, lambda report: click.echo(str(report), err=True), trace)


def default_folder(config: TrainConfig) -> Path:
    """Folder of a run where none is named."""
    return RUNS / file_name(f"train-{config.matcher}-{config.features}")


def hardware_for(
    config: TrainConfig,
    *,
    device: str | None,
    threads: int | None,
    precision: str | None,
    compile: bool | None,
    workers: int | None,
    save_minutes: float,
) -> Hardware:
    """How to compute a training; sets this process's threads.

    Args:
        config: of the training.
        device, threads, precision, compile, workers, save_minutes: see `train`.

    Raises:
        InputError: a device that is not here, a precision that there is not, minutes or workers
            below 0.
    """
    import torch

    from matchers.registry import choose_device
    from matchers.training.trainer import Hardware

    if precision is not None and precision not in PRECISIONS:
        raise InputError(f"precision {precision!r}: must be one of {', '.join(PRECISIONS)}")
    if not save_minutes >= 0.0:
        raise InputError(f"save_minutes {save_minutes}: must be 0 or more minutes")
    if workers is not None and workers < 0:
        raise InputError(f"workers {workers}: must be 0 or more")
    target = choose_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if target.type not in ("cpu", "cuda"):
        raise InputError(f"device {device!r}: training runs on cpu or cuda")
    torch.set_num_threads(threads or default_workers())
    fast = target.type == "cuda" and config.training.widened is not None
    return Hardware(
        target,
        mixed=fast if precision is None else precision == "bfloat16",
        compile=fast if compile is None else compile,
        save_seconds=60.0 * save_minutes,
        workers=workers,
    )
