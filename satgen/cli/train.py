"""`satgen train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from satgen.cli.common import duration, echo_json, json_option, megabytes, progress_bar
from satgen.errors import InputError

RUNS = Path("runs")
CACHE = RUNS / "features"
ALL = "all"


@click.command("train", short_help="Train LightGlue or SuperGlue on datasets.")
@click.argument("datasets", nargs=-1, type=click.Path(path_type=Path), metavar="DATASET...")
@click.option("--matcher", default="lightglue", show_default=True, help="lightglue or superglue.")
@click.option(
    "--features",
    default="sift",
    show_default=True,
    help="sift, aliked (aliked-n16), aliked-n16rot, aliked-t16 or superpoint.",
)
@click.option(
    "--stage",
    default=ALL,
    show_default=True,
    help="homography, pose or confidence: that one only, after those that have run.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run.  [default: runs/train-MATCHER-FEATURES]",
)
@click.option("--resume/--no-resume", default=True, show_default=True, help="Go on with a run.")
@click.option(
    "--init",
    metavar="FILE|official|satgen",
    help="Weights to begin with; of a deeper LightGlue the first --layers.",
)
@click.option("--dim", type=int, help="Numbers in a token.  [default: 128, or as --init has it]")
@click.option(
    "--layers",
    type=int,
    help="Layers; SuperGlue: pairs of self and cross layers.  [default: 9, or as --init has it]",
)
@click.option("--steps", type=int, help="Of stage pose.  [default: 20000]")
@click.option("--homography-steps", type=int, help="0: none.  [default: a quarter of --steps]")
@click.option("--confidence-steps", type=int, help="[default: a tenth of --steps]")
@click.option("--batch", type=int, help="Pairs computed together.  [default: 4]")
@click.option("--accumulate", type=int, help="Batches of a step.  [default: 4]")
@click.option("--max-keypoints", type=int, help="Keypoints in a frame.  [default: 512]")
@click.option(
    "--silhouette/--whole-image", default=None, help="Look for keypoints on the target only."
)
@click.option("--lr", "learning_rate", type=float, help="Highest learning rate.  [default: 6e-4]")
@click.option("--warmup", type=int, help="Steps until it is reached.  [default: 500]")
@click.option("--frames", type=int, help="Of a dataset to train on, at most.  [default: 1500]")
@click.option("--versions", type=int, help="Of a frame, in other light.  [default: 3]")
@click.option(
    "--curriculum",
    type=float,
    help="Share of the steps in which pairs grow to all angles; 0: all from the first step, for "
    "weights that know them.  [default: 0.4]",
)
@click.option(
    "--angles",
    metavar="A,B,...",
    help="Edges of the ranges of degrees between two frames, from which pairs are drawn evenly.  "
    "[default: 0,1.5,3.5,7.5,15,25,37.5,52.5,65]",
)
@click.option("--guard", type=float, help="Degrees from held-out frames.  [default: 5]")
@click.option("--leave-out", metavar="TARGET", help="Train on the others, test on all of this one.")
@click.option("--validate-every", type=int, help="Steps between validations.  [default: 500]")
@click.option(
    "--patience", type=int, help="Validations without a better F1 that end a stage.  [default: 20]"
)
@click.option("--seed", type=int, help="Of weights and draws.  [default: 0]")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=CACHE,
    show_default=True,
    help="Folder of the features, which runs share.",
)
@click.option("--cache-gb", type=float, help="Most memory for features.  [default: 4]")
@click.option("--device", help="cpu or cuda.  [default: cuda if there is one]")
@click.option("--threads", type=click.IntRange(min=1), help="[default: the cores]")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    help="Of LightGlue's layers in training; bfloat16 is faster on GPUs and on CPUs with AVX-512 "
    "BF16 or AMX.  [default: bfloat16 on cuda]",
)
@click.option(
    "--save-minutes",
    type=click.FloatRange(min=0.0),
    default=2.0,
    show_default=True,
    help="Between checkpoints.",
)
@json_option
def command(
    datasets: tuple[Path, ...],
    stage: str,
    out: Path | None,
    resume: bool,
    init: str | None,
    cache: Path,
    device: str | None,
    threads: int | None,
    precision: str | None,
    save_minutes: float,
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
    config, initial = _config(init=init, **options)
    folder = out if out is not None else RUNS / f"train-{config.matcher}-{config.features}"
    import torch

    from matchers.training.run import train
    from matchers.training.trainer import Hardware

    torch.set_num_threads(threads if threads is not None else _cores())
    target = _device(device)
    fast = target.type == "cuda" and config.matcher == "lightglue"
    if precision == "bfloat16" and config.matcher != "lightglue":
        raise InputError(f"precision bfloat16: {config.matcher} trains in float32")
    hardware = Hardware(
        target,
        mixed=fast if precision is None else precision == "bfloat16",
        compile=fast,
        save_seconds=60.0 * save_minutes,
    )
    try:
        summary = train(
            datasets,
            config,
            folder,
            cache=cache,
            hardware=hardware,
            stages=None if stage == ALL else (stage,),
            initial=initial,
            resume=resume,
            bar=progress_bar,
        )
    except KeyboardInterrupt:
        click.echo(
            f"Interrupted: {folder} holds the steps so far; the same command goes on.", err=True
        )
        raise SystemExit(130) from None
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
        gaps = sorted({int(gap) for figures in matchers.values() for gap in figures})
        click.echo(f"{dataset}, F1 in % by gap: " + " ".join(f"{gap:>5}" for gap in gaps))
        for name, figures in matchers.items():
            values = [figures.get(str(gap), {}).get("f1") for gap in gaps]
            numbers = " ".join("    -" if v is None else f"{100.0 * v:5.1f}" for v in values)
            click.echo(f"  {name:<{len(dataset) + 18}} {numbers}")
    click.echo(f"{summary.weights} ({megabytes(card['size'])})")


def _config(
    *,
    init: str | None,
    features: str,
    curriculum: float | None,
    angles: str | None,
    guard: float | None,
    leave_out: str | None,
    **options: Any,
) -> tuple[Any, Path | None]:
    """The configuration that the options ask for, and the file of weights to begin with."""
    from dataclasses import replace

    from matchers.registry import features_name, find_weights
    from matchers.training.config import TrainConfig

    config = replace(
        TrainConfig(), matcher=options.pop("matcher"), features=features_name(features)
    )
    split = replace(config.split, leave_out=leave_out)
    if guard is not None:
        split = replace(split, guard_deg=guard)
    given = {name: value for name, value in options.items() if value is not None}
    initial = None
    if init is not None:
        from matchers.training.initial import network_of

        initial = find_weights(config.matcher, config.features, init)
        given = network_of(config.matcher, initial) | given
    given["split"] = split
    drawn = config.curriculum
    if curriculum is not None:
        drawn = replace(drawn, full=curriculum)
    if angles is not None:
        drawn = replace(drawn, edges_deg=_degrees(angles))
    given["curriculum"] = drawn
    return replace(config, **given), initial


def _degrees(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise InputError(f"angles {text!r}: must be degrees, such as 0,5,15,30,60") from None


def _device(name: str | None) -> Any:
    """The device, of those that training runs on."""
    import torch

    from matchers.registry import choose_device

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = choose_device(name)
    if chosen.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r}: training runs on cpu or cuda")
    return chosen


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
