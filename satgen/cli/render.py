"""The command `satgen render`: its options, and what it prints."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from satgen.api import DATASETS, default_folder
from satgen.cli.common import (
    MOST_WORKERS,
    duration,
    echo_json,
    echo_warning,
    json_option,
    megabytes,
    resumable,
    run_options,
    shard_option,
)
from satgen.cli.options import PATH, chosen, configured, number_option, options_of, options_of_any
from satgen.errors import InputError
from satgen.installed import require_for_rendering
from satgen.options import RenderOptions
from satgen.progress import Progress, Stage
from satgen.rig import rig_requests
from satgen.shards import parse_shard
from satgen.trajectory import KINDS

ALL = "all"
BUILDING = "building"
"""The stage in which random craft are built."""
MOTION = "motion__"
"""In front of a trajectory's own parameters among the command's values."""


@click.command("render", short_help="Render image sequences with ground truth.")
@run_options(
    "Folder of the dataset; with --target all, of the datasets.  [default: datasets/TARGET]"
)
@options_of(RenderOptions)
@options_of_any(KINDS, MOTION)
@click.option(
    "--rig",
    type=PATH,
    help="JSON or TOML file of several cameras that fly together: a dataset each in OUT/NAME. "
    "Needs --distance.",
)
@shard_option("Render", "frames, for `satgen merge`")
@click.option(
    "--ray",
    metavar="ADDRESS",
    is_flag=False,
    flag_value="",
    help="Render on a Ray cluster whose machines share OUT; without ADDRESS, on $RAY_ADDRESS or "
    "this machine.",
)
@number_option(
    "workers", int, "Worker processes; 0 renders in this one", None, 0, MOST_WORKERS, "the cores"
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    out: Path | None,
    rig: Path | None,
    shard: str | None,
    ray: str | None,
    workers: int | None,
    overwrite: bool,
    resume: bool,
    quiet: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Render a target along a trajectory: RGB, depth and part images, poses and keypoints.

    A run that was stopped goes on where it was when the same command is given again. A random
    craft, random:SEED, is the same for a seed; random:1-60 makes a dataset of each.

    \b
    Examples:
      satgen render --target aura
      satgen render --target all --workers 8
      satgen render --target random:1-60 --step 10 --size 256 --out craft
      satgen render --target craft.glb --trajectory orbit --sun inertial:40,10 --out d
    """
    options = request(values)
    part = None if shard is None else parse_shard(shard, os.environ)
    if ray is not None and (part is not None or workers is not None or not resume):
        raise InputError("--ray: goes without --shard, --workers and --no-resume")
    _check_conflicts(ctx)
    jobs = _jobs(options, out, rig)  # a rig that is none is refused before anything is done
    require_for_rendering()
    from satgen.run import render
    from satgen.scene import scene_of

    summaries = []
    several = len(jobs) > 1 or rig is not None or options.target != jobs[0][0].target
    stages = [Stage(folder.name, seconds=30.0) for _, folder in jobs]
    seeds = _seeds(str(options.target))
    if seeds:
        stages.insert(0, Stage(BUILDING, "model", 5.0 * len(seeds)))
    shown = Progress(stages, quiet=quiet)
    with resumable():
        if seeds:
            _build_craft(seeds, workers, shown)
        if len(jobs) > 1:  # what one of them refuses is refused before any is begun
            for job, _ in jobs:
                scene_of(job)
        for job, folder in jobs:
            with shown.stage(folder.name) as progress:
                if ray is not None:
                    from satgen.on_ray import render_on_ray

                    summary = render_on_ray(
                        job, folder, ray, overwrite=overwrite, progress=progress, warn=echo_warning
                    )
                else:
                    summary = render(
                        job,
                        folder,
                        workers=workers,
                        overwrite=overwrite,
                        resume=resume,
                        progress=progress,
                        warn=echo_warning,
                        shard=part,
                    )
            summaries.append(summary)
            if not as_json:
                click.echo(_line(summary))
    if as_json:
        answers = [summary.to_json() for summary in summaries]
        echo_json(answers if several else answers[0])
    elif len(summaries) > 1:
        frames = sum(s.frames for s in summaries)
        seconds = sum(s.seconds for s in summaries)
        size = megabytes(sum(s.bytes for s in summaries))
        click.echo(f"{len(summaries)} datasets, {frames} frames, {size}, in {duration(seconds)}")


def request(values: dict[str, Any]) -> RenderOptions:
    """The request that the command's options make.

    Raises:
        InputError: a parameter that the trajectory does not know, or values that make no sense.
    """
    options = configured(RenderOptions(), values)
    kind = str(options.trajectory).partition(":")[0]
    given = chosen(KINDS, kind, MOTION, values) if kind in KINDS else {}
    if given:
        options = replace(options, trajectory=configured(options.motion, given))
    return options


def _line(summary: Any) -> str:
    head = f"{summary.dataset}: {summary.frames} frames, {megabytes(summary.bytes)}"
    if not summary.rendered:
        return f"{head}; all of it was there, nothing to do"
    kept = summary.frames - summary.rendered
    again = f"{summary.rendered} rendered, {kept} were there; " if kept else ""
    rate = summary.rendered / summary.seconds
    return f"{head}; {again}{duration(summary.seconds)}, {rate:.1f} frames/s"


def _check_conflicts(ctx: click.Context) -> None:
    def given(name: str) -> bool:
        return ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE

    for one, others in (("size", ("width", "height")), ("intrinsics", ("fov",))):
        for other in others:
            if given(one) and given(other):
                raise InputError(f"--{one} and --{other}: give one of them, not both")


def _seeds(target: str) -> list[int]:
    """The random craft that are asked for; none for another target."""
    from satgen.targets import generated

    return generated.seeds_of(target) if generated.is_random(target) else []


def _build_craft(seeds: list[int], workers: int | None, shown: Progress) -> None:
    """Build the random craft that are not in the cache, several at a time."""
    from satgen.processes import default_workers
    from satgen.targets import generated

    with shown.stage(BUILDING) as progress:
        count = default_workers() if workers is None else workers
        generated.build_missing(seeds, count, progress)


def _jobs(
    options: RenderOptions, out: Path | None, rig: Path | None
) -> list[tuple[RenderOptions, Path]]:
    """What to render, and where to."""
    from satgen.targets import generated, registry

    names: tuple[str, ...] = ()
    target = str(options.target)
    if target == ALL:
        names = registry.TARGETS
    elif generated.is_range(target):
        names = tuple(f"{generated.PREFIX}{k}" for k in generated.seeds_of(target))
    if names:
        root = out or DATASETS
        jobs = [(replace(options, target=n), root / registry.folder_name(n)) for n in names]
    else:
        jobs = [(options, out or default_folder(options.target))]
    if rig is None:
        return jobs
    return [
        (request, folder / name)
        for job, folder in jobs
        for name, request in rig_requests(job, rig).items()
    ]
