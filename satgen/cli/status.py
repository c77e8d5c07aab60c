"""The command `satgen status`: what it prints."""

from __future__ import annotations

from pathlib import Path

import click

from satgen.cli.common import echo_json, json_option
from satgen.cli.options import PATH


@click.command("status", short_help="Say how far a dataset and its shards are.")
@click.argument("dataset", type=PATH)
@json_option
def command(dataset: Path, as_json: bool) -> None:
    """Say how far a dataset is that is being rendered, whole or in shards.

    Changes nothing, and may be called while machines render. Shards that are not complete are named
    as Slurm's --array takes them. The exit status is 0 where nothing is left to be rendered, else
    1.

    \b
    Examples:
      satgen status datasets/aura
      satgen status datasets/aura --json
    """
    from satgen.merge import PartStatus, status
    from satgen.shards import array_words

    def line(name: str, part: PartStatus) -> str:
        counted = "" if part.frames is None else f"{part.done} of {part.frames} frames, "
        return f"{name}: {counted}{part.state}"

    found = status(dataset)
    if as_json:
        echo_json(found.to_json())
    else:
        if found.whole is not None:
            click.echo(line(found.dataset, found.whole))
        for part in found.shards:
            click.echo(line(f"shard {part.shard}", part))
        if found.shards:
            count = len(found.shards)
            if found.missing:
                words = array_words(found.missing)
                click.echo(f"missing: --array={words}, with --shard auto/{count}")
            else:
                click.echo(f"all there: satgen merge {found.dataset}")
    if not found.complete:
        raise SystemExit(1)
