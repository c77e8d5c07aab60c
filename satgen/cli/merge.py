"""The command `satgen merge`: its options, and what it prints."""

from __future__ import annotations

import time
from pathlib import Path

import click

from satgen.cli.common import duration, echo_json, json_option, progress_bar, resumable
from satgen.cli.options import PATH


@click.command("merge", short_help="Make a dataset of its shards.")
@click.argument("dataset", type=PATH)
@click.option("--keep", is_flag=True, help="Leave the shards where they are.")
@json_option
def command(dataset: Path, keep: bool, as_json: bool) -> None:
    """Make a dataset of the shards that `satgen render --shard` has rendered for it.

    Every image is checked first. The dataset is the same, byte for byte, that one machine renders;
    while a shard is missing or damaged, nothing is written, and the shards are named.

    \b
    Examples:
      satgen render --target aura --shard 1/2    # on one machine
      satgen render --target aura --shard 2/2    # on another
      satgen merge datasets/aura
    """
    from satgen.merge import merge

    start = time.perf_counter()
    with resumable(), progress_bar(dataset.name) as progress:
        frames, shards = merge(dataset, keep=keep, progress=progress)
    if as_json:
        echo_json({"dataset": str(dataset), "frames": frames, "shards": shards})
    else:
        seconds = duration(time.perf_counter() - start)
        click.echo(f"{dataset}: {frames} frames of {shards} shards ({seconds})")
