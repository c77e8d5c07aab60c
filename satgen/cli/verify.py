"""The command `satgen verify`: its options, and what it prints."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click

from satgen.cli.common import MOST_WORKERS, duration, echo_json, json_option, progress_bar
from satgen.cli.options import PATH

DEEP_FRAMES = 20


class _Command(click.Command):
    """A command whose --deep may stand without its number, even before the dataset."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; a --deep without a number gets the default one."""
        for place, word in enumerate(args):
            following = args[place + 1] if place + 1 < len(args) else ""
            if word == "--deep" and not following.lstrip("-").isdigit():
                args = [*args[: place + 1], str(DEEP_FRAMES), *args[place + 1 :]]
                break
        return super().parse_args(ctx, args)


@click.command("verify", cls=_Command, short_help="Prove a dataset whole, or name every bad frame.")
@click.argument("dataset", type=PATH)
@click.option(
    "--deep",
    type=click.IntRange(1, 8100),
    metavar="[N]",
    help="Also cast rays at the target in N frames and compare silhouette and depth.  "
    f"[without N: {DEEP_FRAMES}]",
)
@click.option(
    "--workers", type=click.IntRange(1, MOST_WORKERS), help="Threads.  [default: the cores]"
)
@json_option
def command(dataset: Path, deep: int | None, workers: int | None, as_json: bool) -> None:
    """Check every file and every number of a dataset, from its files alone.

    Names each bad frame with the cause. The exit status is 0 if there is none, else 1.

    \b
    Examples:
      satgen verify datasets/aura
      satgen verify datasets/aura --deep 50 --json
    """
    from satgen.raycast import require_embree
    from satgen.verify import verify, with_deep

    if deep is not None:
        require_embree()
    start = time.perf_counter()
    with progress_bar(dataset.name) as progress:
        report = verify(dataset, workers=workers, progress=progress)
    if deep is not None:
        with progress_bar("rays") as progress:
            report = with_deep(report, deep, progress)
    report = replace(report, dataset=str(dataset))
    if as_json:
        echo_json(report.to_json())
    else:
        for problem in report.problems:
            click.echo(str(problem))
        if report.deep:
            worst = min(figures["silhouette"] for figures in report.deep)
            depth = min(figures["depth"] for figures in report.deep)
            click.echo(
                f"{len(report.deep)} frames ray-cast: silhouettes agree on {worst:.3%} of pixels "
                f"or more, depths on {depth:.3%}"
            )
        verdict = "whole"
        if not report.ok:
            count = len(report.bad_frames)
            verdict = f"NOT whole: {len(report.problems)} problems, {count} bad frames"
        seconds = duration(time.perf_counter() - start)
        click.echo(f"{dataset}: {report.frames} frames, {verdict} ({seconds})")
    if not report.ok:
        raise SystemExit(1)
