"""The command `satgen export`: its options, and what it prints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from satgen.cli.common import echo_json, json_option, progress_bar, resumable, shard_option
from satgen.cli.options import PATH, Value, configured, options_of
from satgen.exports.formats import FORMATS
from satgen.exports.options import ExportOptions
from satgen.settings import Setting
from satgen.shards import parse_shard

_TO = Value("to", Setting("Format", choices=tuple(FORMATS)), str)


_HELP = """Write a dataset in another program's format.

The folder appears whole or not at all; the same command goes on with one that was stopped. Several
datasets must be the cameras of a rig, for the formats that hold one.

\b
Formats:
{formats}

\b
Examples:
  satgen export datasets/aura --to bop --splits
  satgen export datasets/aura --to colmap --start 1000 --stop 1400 --images link
  satgen export stereo/left stereo/right --to colmap --out stereo-colmap
  satgen export datasets/aura --to bop --shard 2/5
"""
_FORMATS = "\n".join(f"  {name:<14}{kind.summary}" for name, kind in FORMATS.items())


@click.command(
    "export",
    short_help="Write datasets in other programs' formats.",
    help=_HELP.format(formats=_FORMATS),
)
@click.argument("datasets", nargs=-1, type=PATH, required=True, metavar="DATASET...")
@click.option("--to", type=_TO, required=True, metavar="FORMAT", help="The format, from the list.")
@click.option("--out", type=PATH, help="Folder to write.  [default: DATASET-FORMAT]")
@options_of(ExportOptions)
@shard_option(
    "Make",
    "frames (clips, archives), in a folder beside OUT; the same command without --shard then takes "
    "all parts together",
)
@click.option("--overwrite", is_flag=True, help="Replace another export in the folder.")
@json_option
def command(
    datasets: tuple[Path, ...],
    to: str,
    out: Path | None,
    shard: str | None,
    overwrite: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """See the help above."""
    from satgen.dataset import Dataset
    from satgen.exports.run import export, export_folder, export_shard

    part = None if shard is None else parse_shard(shard, os.environ)
    options = configured(ExportOptions(), values)
    opened = [Dataset(folder) for folder in datasets]
    place = out or export_folder(opened, to)
    asked: dict[str, Any] = {"options": options, "overwrite": overwrite}
    with resumable(), progress_bar(place.name) as progress:
        if part is not None:
            frames = export_shard(opened, to, place, part, **asked, progress=progress)
        else:
            done = export(opened, to, place, **asked, progress=progress)
    if part is not None:
        where = part.folder(place)
        if as_json:
            echo_json({"folder": str(where), "to": to, "shard": part.to_json(), "frames": frames})
        else:
            click.echo(f"{where}: {frames} frames")
        return
    if as_json:
        echo_json(done.to_json())
        return
    parts = ", ".join(f"{count} {part}" for part, count in done.parts.items())
    told = "" if done.written else ", there already"
    click.echo(f"{done.folder}: {done.frames} frames{f' ({parts})' if parts else ''}{told}")
