"""The command `satgen preview`: its options."""

from __future__ import annotations

from pathlib import Path

import click

from satgen.cli.common import progress_bar
from satgen.cli.options import PATH
from satgen.errors import InputError


@click.command("preview", short_help="Draw a contact sheet and a film of a dataset.")
@click.argument("dataset", type=PATH)
@click.option(
    "--sheet",
    type=PATH,
    help="Picture to write.  [default: DATASET-sheet.png]",
)
@click.option(
    "--frames",
    default=24,
    type=click.IntRange(1, 8100),
    show_default=True,
    help="Frames on the sheet.",
)
@click.option("--columns", type=click.IntRange(1, 1000), help="Frames in a row.")
@click.option(
    "--film",
    "film_path",
    type=PATH,
    help="Film to write, .gif or .mp4.  [default: DATASET-sweep.gif]",
)
@click.option(
    "--film-frames",
    default=180,
    type=click.IntRange(1, 8100),
    show_default=True,
    help="Frames in the film.",
)
@click.option(
    "--fps",
    default=15,
    type=click.IntRange(1, 100),
    show_default=True,
    help="Frames of the film a second.",
)
@click.option(
    "--width",
    default=240,
    show_default=True,
    type=click.IntRange(8, 4096),
    help="Width of a frame, pixels.",
)
@click.option("--no-sheet", is_flag=True, help="Only the film.")
@click.option("--no-film", is_flag=True, help="Only the sheet.")
def command(
    dataset: Path,
    sheet: Path | None,
    frames: int,
    columns: int | None,
    film_path: Path | None,
    film_frames: int,
    fps: int,
    width: int,
    no_sheet: bool,
    no_film: bool,
) -> None:
    """Draw a contact sheet of frames with their index and angles, and a film of the sweep.

    \b
    Examples:
      satgen preview datasets/aura
      satgen preview datasets/aura --film aura.mp4 --film-frames 600 --fps 30 --width 512
    """
    from satgen.dataset import Dataset
    from satgen.preview import (
        check_film,
        check_picture,
        check_sizes,
        contact_sheet,
        film,
        save_picture,
    )

    base = dataset.resolve()
    picture = sheet or base.with_name(f"{base.name}-sheet.png")
    sweep = film_path or base.with_name(f"{base.name}-sweep.gif")
    if no_sheet and no_film:
        raise InputError("--no-sheet and --no-film: leave one out, or there is nothing to draw")
    if not (no_sheet or no_film) and picture.resolve() == sweep.resolve():
        raise InputError(f"--sheet and --film {picture}: must be two files")
    if not no_sheet:
        check_picture(picture)
    if not no_film:
        check_film(sweep)
    data = Dataset(dataset)
    check_sizes(data, width, 0 if no_sheet else frames, 0 if no_film else film_frames, sweep)
    if not no_sheet:
        save_picture(contact_sheet(data, frames, width, columns), picture)
        click.echo(str(picture))
    if not no_film:
        with progress_bar(sweep.name) as progress:
            film(data, sweep, film_frames, width, fps, progress)
        click.echo(str(sweep))
