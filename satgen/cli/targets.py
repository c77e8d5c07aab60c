"""The command `satgen targets`: the list, and building the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from satgen.cli.common import echo_json, json_option, megabytes


@click.group("targets", invoke_without_command=True, short_help="List the targets, or build them.")
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the targets with their sizes, triangles and parts.

    \b
    Examples:
      satgen targets
      satgen targets build aura
    """
    if ctx.invoked_subcommand is not None:
        return
    rows = _rows()
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']:<14}{row['title']}")
        if "problem" in row:
            click.echo(f"{'':<14}{row['problem']}")
            continue
        size = " × ".join(f"{value:.2f}" for value in row["extents_m"])
        click.echo(
            f"{'':<14}{size} m, {row['triangles']:,} triangles, {row['parts']} parts, "
            f"{row['landmarks']} landmarks, {megabytes(row['bytes'])}"
        )


def _rows() -> list[dict[str, Any]]:
    from satgen.errors import InputError
    from satgen.targets import registry

    rows: list[dict[str, Any]] = []
    for name in registry.TARGETS:
        try:
            card = registry.load_card(name)
        except InputError as error:
            rows.append({"name": name, "title": "", "problem": str(error)})
            continue
        path = registry.asset_path(name)
        rows.append(
            {
                "name": name,
                "title": card["title"],
                "extents_m": card["bounds"]["extents"],
                "triangles": card["triangles"],
                "parts": len(card["parts"]),
                "landmarks": len(card["landmarks"]),
                "bytes": path.stat().st_size if path.is_file() else 0,
                "file": str(path),
            }
        )
    return rows


@command.command("build", short_help="Build the targets' model files from their code.")
@click.argument("name", required=False)
@click.option("--check", is_flag=True, help="Compare with the files instead of writing them.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: the package's]")
@json_option
def build_command(name: str | None, check: bool, out: Path | None, as_json: bool) -> None:
    """Build NAME.glb, its card NAME.json and its picture NAME.png; without NAME all targets.

    With --check nothing is written; the exit status is 1 if a file differs from what its code
    builds.

    \b
    Examples:
      satgen targets build
      satgen targets build aura --check
    """
    from satgen.modelling import build
    from satgen.targets import registry

    names = registry.TARGETS if name is None else (registry.check_name(name),)
    answers: dict[str, list[str]] = {}
    for each in names:
        if check:
            answers[each] = build.check(each, out)
            if not as_json:
                click.echo("\n".join(answers[each] or [f"{each}: as its code builds it"]))
        else:
            answers[each] = [str(path) for path in build.build(each, out)]
            if not as_json:
                click.echo("\n".join(answers[each]))
    if as_json:
        echo_json(answers)
    if check and any(answers.values()):
        raise SystemExit(1)
