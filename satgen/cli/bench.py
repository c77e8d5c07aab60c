"""The command `satgen bench`: its options, and what it prints."""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bench.config import SMALL_PAIRS, SMALL_REPEATS, BenchConfig
from satgen.cli.common import echo_warning, features_or_default, resumable, shard_option
from satgen.cli.experiment import experiment_options, show_comparison, show_result
from satgen.cli.options import PATH, configured, options_of
from satgen.errors import InputError
from satgen.installed import require
from satgen.outputs import check_outside
from satgen.progress import Progress, Stage
from satgen.runfolder import first_free
from satgen.shards import parse_shard

SMALL = Path("datasets") / "bench"
WORKERS = (
    "Processes beside this one: where a GPU matches they read frames and estimate poses meanwhile, "
    "on a CPU each matches.  [default: none; with a GPU the cores but one, at most 12]"
)
FRAMES_S, PAIR_S = 10.0, 0.3
"""About how long a small dataset takes to render, and a pair to match: seconds."""


@click.command("bench", short_help="Measure matching accuracy, and what early exit saves.")
@click.argument("datasets", nargs=-1, type=PATH, metavar="[DATASET]...")
@options_of(BenchConfig)
@click.option(
    "--posed",
    type=(PATH, PATH),
    multiple=True,
    metavar="LIST IMAGES",
    help="A list like SuperGlue's *_pairs_with_gt.txt and the folder of its images.",
)
@shard_option(
    "Carry out",
    "pairs, into a folder beside OUT's; the same command without --shard then "
    "takes all parts together",
)
@experiment_options("bench", "COMBINATION", (None, WORKERS))
def command(
    datasets: tuple[Path, ...],
    compare: tuple[str, str] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Match frames of datasets with one another and hold the matches against the truth.

    Without a dataset it renders a small one of every target into datasets/bench first, and takes
    few pairs: first results within minutes. LightGlue runs both with early exit and point pruning
    and at full depth, on the same pairs in turn. The run's folder holds a table of pairs, a
    summary, plots, and report.html. A run that was stopped goes on when the same command is given
    again.

    \b
    Examples:
      satgen bench --matcher lightglue
      satgen bench datasets/aura --matcher lightglue --matcher nearest --gap 1 --gap 10 --pairs 100
      satgen bench datasets/aura --pairs all --out runs/aura-consecutive
      satgen bench datasets/aura --sweep depth-confidence
      satgen bench --compare runs/a runs/b
      satgen bench --compare runs/a:sift-nearest-r0.8 runs/a:sift-lightglue-full
    """
    if compare is not None:
        from bench import compare as side_by_side

        show_comparison(
            side_by_side.compare, side_by_side.comparison_table, compare, datasets, as_json
        )
        return
    with resumable():
        _bench(datasets, as_json, **options)


def _bench(
    datasets: tuple[Path, ...],
    as_json: bool,
    *,
    pairs_per_gap: str | None,
    posed: tuple[tuple[Path, Path], ...],
    shard: str | None,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    workers: int | None,
    **options: Any,
) -> None:
    from bench.api import bench_folders
    from bench.plan import PosedList, check_matchers, chosen_pairs, plan
    from bench.run import BENCH, BenchResult, run, run_shard
    from bench.small import small_datasets, small_indices

    if out is not None:
        check_outside(out)  # before anything is rendered
    part = None if shard is None else parse_shard(shard, os.environ)
    if part is not None and out is None:
        raise InputError("--shard: needs --out, a folder that all parts share")
    small = not datasets and not posed
    config, pairs_file = _config(small, pairs_per_gap, options)
    require("satgen bench", "torch", "cv2", "poselib", "matplotlib", "safetensors")
    check_matchers(config)
    shown = Progress([Stage("pairs", "pair")], quiet=quiet)
    if small:
        count = len(chosen_pairs(config, small_indices(), pairs_file))  # or it is refused
        shown = Progress(
            [*(Stage(name, "frame", FRAMES_S) for name in small_indices()),
             Stage("pairs", "pair", count * PAIR_S)],
            quiet=quiet,
        )  # fmt: skip
        datasets = tuple(small_datasets(SMALL, shown))
    planned = plan(
        config,
        datasets,
        pairs_file=pairs_file,
        posed=[PosedList(*entry) for entry in posed],
        command=shlex.join(["satgen", *sys.argv[1:]]),
    )
    for note in planned.notes:
        echo_warning(note)
    folder = out or first_free(bench_folders(), BENCH, planned.identity)
    began = time.perf_counter()
    with shown.stage("pairs") as progress:
        if part is not None:
            count = run_shard(
                planned,
                folder,
                part,
                workers=workers,
                resume=resume,
                overwrite=overwrite,
                progress=progress,
            )
            click.echo(f"{part.folder(folder)}: {count} pairs")
            return
        run(
            planned,
            folder,
            workers=workers,
            resume=resume,
            overwrite=overwrite,
            report=True,
            progress=progress,
        )
    show_result(BenchResult(folder), began, as_json)


def _config(
    small: bool, pairs: str | None, options: dict[str, Any]
) -> tuple[BenchConfig, Path | None]:
    """The configuration, and the list of pairs if one was named.

    Args:
        small: whether the datasets are the small ones, of which few pairs are taken.
        pairs: the option `--pairs`.
        options: the others.
    """
    config = BenchConfig()
    pairs_file = None
    if small:
        config = replace(config, pairs_per_gap=SMALL_PAIRS, repeats=SMALL_REPEATS)
    if pairs == "all":
        config = replace(config, pairs_per_gap=None, repeats=1)
    elif pairs is not None and pairs.isdecimal():
        config = replace(config, pairs_per_gap=int(pairs))
    elif pairs is not None:
        pairs_file = Path(pairs)
        if not pairs_file.is_file():
            raise InputError(f"--pairs {pairs}: must be a number, all, or a CSV file")
    if not options["features"]:
        config = replace(config, features=(features_or_default(None),))
    return configured(config, options), pairs_file
