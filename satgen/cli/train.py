"""The command `satgen train`: its options, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from matchers.training.api import (
    CACHE,
    PRECISIONS,
    SAVE_MINUTES,
    default_folder,
    hardware_for,
    profiler_for,
)
from matchers.training.config import TrainConfig
from satgen.cli.common import (
    MOST_WORKERS,
    duration,
    echo_json,
    json_option,
    megabytes,
    resumable,
    run_options,
)
from satgen.cli.options import PATH, configured, number_option, options_of
from satgen.installed import require

ALL = "all"


@click.command("train", short_help="Train LightGlue or SuperGlue on datasets.")
@click.argument("datasets", nargs=-1, type=PATH, metavar="DATASET...")
@click.option(
    "--stage",
    default=ALL,
    show_default=True,
    help="homography, pose or confidence: that one only, after those that have run.",
)
@run_options("Folder of the run.  [default: runs/train-MATCHER-FEATURES]")
@click.option(
    "--init",
    metavar="FILE|official|satgen",
    help="Weights to begin with; of a deeper LightGlue the first --layers.",
)
@options_of(TrainConfig)
@click.option(
    "--cache",
    type=PATH,
    default=CACHE,
    show_default=True,
    help="Folder of the features, which runs share.",
)
@click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads.  [default: the cores]")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="Precision of LightGlue's layers in training; bfloat16 is faster on GPUs and on CPUs "
    "with AVX-512 BF16 or AMX.  [default: bfloat16 on cuda]",
)
@click.option(
    "--workers",
    type=click.IntRange(0, MOST_WORKERS),
    help="Processes that make frames ready for the extractor; of SIFT they extract, too.  "
    "[default: the cores, but none where a network extracts on the CPU]",
)
@click.option(
    "--compile/--no-compile",
    "compiles",
    default=None,
    help="Try torch.compile, and keep it if that makes steps faster.  [default: on cuda]",
)
@number_option("save-minutes", float, "Minutes between checkpoints", SAVE_MINUTES, 0.0, 1e6)
@click.option(
    "--profile",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Print where the time of some steps goes; with a FILE, write their trace to it, for "
    "chrome://tracing or ui.perfetto.dev.",
)
@json_option
def command(
    datasets: tuple[Path, ...],
    stage: str,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    init: str | None,
    cache: Path,
    device: str | None,
    threads: int | None,
    precision: str | None,
    compiles: bool | None,
    workers: int | None,
    save_minutes: float,
    profile: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a matcher on rendered frames, whose depth and pose give the truth.

    First on homographies of frames, then on pairs of frames, at first close ones; of LightGlue the
    confidence classifiers last. Blocks of frames are held out: the run's folder lists pairs of them
    for `satgen bench --pairs`. A run that was stopped goes on when the same command is given again.

    \b
    Examples:
      satgen train datasets/aura --matcher lightglue --features sift
      satgen train datasets/* --matcher superglue --steps 50000 --out runs/superglue
      satgen train datasets/* --leave-out aura --out runs/without-aura
      satgen train datasets/* --features aliked --init official --layers 5 --curriculum 0
    """
    require("satgen train", "torch", "cv2", "matplotlib", "safetensors")
    config, initial = _config(init, options)
    profiler = profiler_for(profile)
    from matchers.training.run import train

    folder = default_folder(config) if out is None else out
    hardware = hardware_for(
        config,
        device=device,
        threads=threads,
        precision=precision,
        compile=compiles,
        workers=workers,
        save_minutes=save_minutes,
    )
    with resumable():
        summary = train(
            datasets,
            config,
            folder,
            cache=cache,
            hardware=hardware,
            stages=None if stage == ALL else (stage,),
            initial=initial,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
            profiler=profiler,
        )
    if as_json:
        stages = {name: vars(result) for name, result in summary.stages.items()}
        weights = None if summary.weights is None else str(summary.weights)
        echo_json({"out": str(folder), "weights": weights, "stages": stages, "card": summary.card})
        return
    for name, result in summary.stages.items():
        click.echo(
            f"{name}: {result.steps} steps in {duration(result.seconds)}, "
            f"best after {result.best_step}"
        )
    if summary.weights is not None:
        _show(summary)


def _show(summary: Any) -> None:
    """The weights, and what they reach."""
    card = summary.card
    for dataset, matchers in card["held_out"].items():
        gaps = list(dict.fromkeys(gap for figures in matchers.values() for gap in figures))
        click.echo(
            f"{dataset}, mean F1 of a pair in % by gap: " + " ".join(f"{gap:>5}" for gap in gaps)
        )
        for name, figures in matchers.items():
            values = [figures.get(gap, {}).get("f1") for gap in gaps]
            numbers = " ".join("    -" if v is None else f"{100.0 * v:5.1f}" for v in values)
            click.echo(f"  {name:<{len(dataset) + 33}} {numbers}")
    click.echo(f"{summary.weights} ({megabytes(card['size'])})")


def _config(init: str | None, options: dict[str, Any]) -> tuple[TrainConfig, Path | None]:
    """The configuration that the options ask for, and the file of weights to begin with."""
    from matchers.registry import features_name, find_weights

    if options["features"] is not None:
        options["features"] = features_name(options["features"])
    if init is None:
        return configured(TrainConfig(), options), None
    from matchers.training.initial import network_of

    named = {name: options[name] for name in ("matcher", "features")}
    config = configured(TrainConfig(), named)
    initial = find_weights(config.matcher, config.features, init)
    network = network_of(config.matcher, initial)
    given = {name: value for name, value in options.items() if value is not None}
    return configured(config, network | given), initial
