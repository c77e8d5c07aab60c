"""`satgen predict`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from bench.predict.choose import FRAMES, PROTOCOL_KINDS, TRAINING_KINDS, protocol_of
from bench.predict.config import FrameRules, PredictConfig
from satgen.cli.common import resumable
from satgen.cli.experiment import experiment_options, show_comparison, show_result
from satgen.cli.options import PATH, chosen, configured, options_of, options_of_any
from satgen.installed import require
from satgen.outputs import check_outside
from satgen.progress import Progress, Stage

SMALL = Path("datasets") / "predict"


@click.command("predict", short_help="Forecast poses or frames, and measure how far off they are.")
@click.argument("datasets", nargs=-1, type=PATH, metavar="[DATASET]...")
@click.option(
    "--protocol",
    metavar="TEXT",
    help="Of poses: lab or free-rotation; of frames: 10-20-128, 10-10-128, 4-4-256 or 10-20-64, "
    "which say frames seen, frames ahead and pixels.  [default: lab; 10-20-128]",
)
@options_of(PredictConfig)
@options_of_any(PROTOCOL_KINDS, "protocol_")
@options_of_any(TRAINING_KINDS, "training_")
@experiment_options("predict", "MODEL")
def command(
    datasets: tuple[Path, ...],
    compare: tuple[str, str] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Forecast what is to come from what was seen, and hold it against the truth.

    Poses: without a dataset of motions in closed form, thousands in seconds; with datasets of
    their held-out blocks, from true poses, noisy ones, or those that a matcher finds in the images.
    Frames: of datasets' held-out blocks, by models that look at the frames alone, and by rendering
    the poses that are forecast; without a dataset it renders a small one into datasets/predict
    first. Models that learn are trained first, and kept in the run's folder,
    with a table of windows, the figures, plots and report.html. A run that was stopped goes on when
    the same command is given again.

    \b
    Examples:
      satgen predict
      satgen predict --protocol free-rotation --sequences 200 --noise 0.1 --json
      satgen predict --motion tumble-3 --noise 0.1 --model filter --model velocity
      satgen predict datasets/tumble --poses lightglue --windows all
      satgen predict datasets/tumble --task frames
      satgen predict datasets/aura --task frames --protocol 10-20-64 --model last --model simvp
      satgen predict --model my_model.py:forecast --model velocity
      satgen predict --compare runs/a:gru runs/a:velocity
    """
    if compare is not None:
        from bench.predict import compare as side_by_side

        show_comparison(
            side_by_side.compare, side_by_side.comparison_table, compare, datasets, as_json
        )
        return
    with resumable():
        _predict(datasets, as_json, **options)


def _small_dataset(config: PredictConfig, protocol: str, rules: FrameRules, quiet: bool) -> Path:
    """A small dataset of a tumble, rendered unless it is there."""
    from bench.predict.frame_run import checked_words
    from bench.predict.small import NAME, SECONDS, small_dataset

    checked_words(config, protocol, rules)  # refused before anything is rendered
    with Progress([Stage(NAME, "frame", SECONDS)], quiet=quiet).stage(NAME) as update:
        return small_dataset(SMALL, update)


def _predict(
    datasets: tuple[Path, ...],
    as_json: bool,
    *,
    protocol: str | None,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    workers: int,
    **options: Any,
) -> None:
    if out is not None:
        check_outside(out)  # before anything is rendered
    config = configured(PredictConfig(), options)
    name, kind = protocol_of(config.task, protocol)
    rules = chosen(PROTOCOL_KINDS, kind, "protocol_", options, "protocol")
    training = chosen(TRAINING_KINDS, config.task, "training_", options, "task")
    require("satgen predict", "torch", "scipy", "matplotlib", "safetensors")
    from bench.predict.api import free_folder
    from bench.predict.choose import experiment_of
    from bench.predict.run import PredictResult, run

    if config.task == FRAMES and not datasets:
        datasets = (_small_dataset(config, name, FrameRules(**rules), quiet),)
    experiment = experiment_of(
        config, datasets, name, rules, training, shlex.join(["satgen", *sys.argv[1:]])
    )
    folder = out or free_folder(experiment.identity)
    began = time.perf_counter()
    stages = [Stage(*words) for words in experiment.stages()]
    run(
        experiment,
        folder,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
        stages=Progress(stages, quiet=quiet).stage,
    )
    show_result(PredictResult(folder), began, as_json)
