"""The command `satgen preview`: its options."""

from __future__ import annotations

from pathlib import Path

import click

from satgen.cli.common import progress_bar


@click.command("preview", short_help="Draw a contact sheet and a film of a dataset.")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    help="Picture to write.  [default: DATASET-sheet.png]",
)
@click.option("--frames", default=24, show_default=True, help="Frames on the sheet.")
@click.option("--columns", type=click.IntRange(min=1), help="Frames in a row.")
@click.option(
    "--film",
    "film_path",
    type=click.Path(path_type=Path),
    help="Film to write, .gif or .mp4.  [default: DATASET-sweep.gif]",
)
@click.option("--film-frames", default=180, show_default=True, help="Frames in the film.")
@click.option("--fps", default=15, show_default=True, help="Frames of the film a second.")
@click.option(
    "--width",
    default=240,
    show_default=True,
    type=click.IntRange(min=8),
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
    from satgen.preview import contact_sheet, film, save_picture

    data = Dataset(dataset)
    base = dataset.resolve()
    if not no_sheet:
        path = sheet or base.with_name(f"{base.name}-sheet.png")
        save_picture(contact_sheet(data, frames, width, columns), path)
        click.echo(str(path))
    if not no_film:
        path = film_path or base.with_name(f"{base.name}-sweep.gif")
        with progress_bar(path.name) as progress:
            film(data, path, film_frames, width, fps, progress)
        click.echo(str(path))
