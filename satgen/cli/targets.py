"""The command `satgen targets`: the list, building the files, and random craft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from satgen.cli.common import F, echo_json, echo_warning, json_option, megabytes, progress_bar
from satgen.cli.options import PATH, number_option


@click.group("targets", invoke_without_command=True, short_help="List the targets, or build them.")
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the targets with their sizes, triangles and parts.

    \b
    Examples:
      satgen targets
      satgen targets build aura
      satgen targets random 7 --preview
      satgen targets inspect craft.obj --scale 0.001
    """
    if ctx.invoked_subcommand is not None:
        return
    rows = _rows()
    if as_json:
        echo_json(rows)
        return
    _echo(rows)
    click.echo(f"{'random:SEED':<14}a craft made up from its seed; satgen targets random SEED")


def _echo(rows: list[dict[str, Any]]) -> None:
    """Two lines for each target."""
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


def _rows(names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """What is said of targets: those named, or the bundled ones."""
    from satgen.errors import InputError
    from satgen.targets import registry

    rows: list[dict[str, Any]] = []
    for name in registry.TARGETS if names is None else names:
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
@click.option("--out", type=PATH, help="Folder.  [default: the package's]")
@json_option
def build_command(name: str | None, check: bool, out: Path | None, as_json: bool) -> None:
    """Build NAME.glb, its card NAME.json, its picture NAME.png and NAME.light.npz, the light
    between its parts; without NAME all targets.

    With --check nothing is written; the exit status is 1 if a file differs from what its code
    builds, or the light was not baked for it.

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


@command.command("random", short_help="Make up random craft and look at them.")
@click.argument("seeds", metavar="SEED|FIRST-LAST")
@click.option("--preview", is_flag=True, help="Draw a picture, too.")
@click.option(
    "--out",
    type=PATH,
    help="The picture, with --preview.  [default: random-SEED.png]",
)
@json_option
def random_command(seeds: str, preview: bool, out: Path | None, as_json: bool) -> None:
    """Make up the craft of a seed, or of a range of seeds, and say what they are.

    They are kept in a cache folder ($SATGEN_CACHE/targets, by default the platform's), where
    `satgen render --target random:SEED` finds them. The same seed is the same craft.

    \b
    Examples:
      satgen targets random 7 --preview
      satgen targets random 1-16 --preview --out craft.png
    """
    from satgen.errors import InputError
    from satgen.processes import default_workers
    from satgen.targets import generated

    if out is not None and not preview:
        raise InputError("--out: is the picture's; give --preview, too")
    numbers = generated.seeds_of(f"{generated.PREFIX}{seeds}")
    picture = (out or Path(f"random-{seeds}.png")) if preview else None
    if picture is not None:
        from satgen.preview import check_picture

        check_picture(picture)
    names = [f"{generated.PREFIX}{number}" for number in numbers]
    with progress_bar("building", "model") as progress:
        generated.build_missing(numbers, default_workers(), progress)
    rows = _rows(names)
    if picture is not None:
        _draw(names, picture)
    if as_json:
        several = generated.is_range(f"{generated.PREFIX}{seeds}")
        answer = [{**row, "picture": None if picture is None else str(picture)} for row in rows]
        echo_json(answer if several else answer[0])
        return
    _echo(rows)
    if picture is not None:
        click.echo(str(picture))


def _draw(names: Sequence[str], picture: Path) -> None:
    """One craft from four sides, or a sheet of several."""
    from satgen.preview import target_picture, target_sheet
    from satgen.targets.load import load_target

    if len(names) == 1:
        target_picture(load_target(names[0]), picture)
    else:
        target_sheet((load_target(name) for name in names), picture)


def model_options(command: F) -> F:
    """Add the options that say how a model file is read."""
    for option in (
        click.option(
            "--parts",
            default="file",
            show_default=True,
            help="What makes a part of a model file: file, material or connected.",
        ),
        click.option(
            "--up", help="Axis of a model file that points up.  [default: y for glTF, else z]"
        ),
        number_option("scale", float, "Metres per unit of a model file", 1.0, 1e-6, 1e6),
    ):
        command = option(command)
    return command


@command.command("inspect", short_help="Say what a model file holds, and draw it.")
@click.argument("target")
@model_options
@click.option("--out", type=PATH, help="The picture.  [default: NAME-inspect.png]")
@click.option("--no-picture", is_flag=True, help="Draw none; needs no OpenGL.")
@json_option
def inspect_command(
    target: str,
    scale: float,
    up: str | None,
    parts: str,
    out: Path | None,
    no_picture: bool,
    as_json: bool,
) -> None:
    """Say what TARGET (a model file or a name) holds, as satgen will render it: its size, parts,
    materials and textures, and a line for each thing that is not drawn as the file says.

    The picture shows it from four sides, above as it looks and below with a colour for each part.

    \b
    Examples:
      satgen targets inspect craft.obj --scale 0.001 --up y
      satgen targets inspect craft.glb --out look.png --json
    """
    from satgen.errors import InputError
    from satgen.targets import registry
    from satgen.targets.inspect import inspect_model, report
    from satgen.targets.load import load_target

    if no_picture and out is not None:
        raise InputError("--out: is the picture's; leave --no-picture out")
    picture: Path | None = None
    if not no_picture:
        from satgen.installed import require_for_rendering
        from satgen.preview import check_picture, inspection_picture

        picture = out or Path(f"{registry.folder_name(target)}-inspect.png")
        check_picture(picture)
        require_for_rendering()
    model = load_target(target, scale, up, parts=parts)
    found = inspect_model(model)
    if picture is not None:
        inspection_picture(model, picture)
    if as_json:
        answer = {**asdict(found), "picture": None if picture is None else str(picture)}
        echo_json(answer)
        return
    for line in report(found):
        click.echo(line)
    for line in found.warnings:
        echo_warning(f"{Path(target).name}: {line}")
    if picture is not None:
        click.echo(str(picture))


@command.command("light", short_help="Bake the light that a target's parts send to one another.")
@click.argument("target")
@model_options
@json_option
def light_command(target: str, scale: float, up: str | None, parts: str, as_json: bool) -> None:
    """Bake the light that the parts of TARGET (a name or a model file) send to one another.

    It is written beside the model file, as MODEL.light.npz, and every render of the target from
    then on reads it: corners are darker, colours bleed, smooth surfaces mirror the rest. A model
    that has changed since is refused until its light is baked again or the file deleted. Needs
    Embree (the extra verify).

    \b
    Examples:
      satgen targets light craft.glb
      satgen targets light craft.obj --scale 0.001 --up y
    """
    from satgen.modelling.build import build_light

    path = build_light(target, scale, up, parts)
    if as_json:
        echo_json({"file": str(path), "bytes": path.stat().st_size})
    else:
        click.echo(str(path))
