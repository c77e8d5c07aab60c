"""The command `satgen view`: its options, and which page a folder gets."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from satgen.cli.common import MOST_WORKERS, megabytes, progress_bar, resumable
from satgen.cli.options import PATH, number_option
from satgen.errors import InputError
from satgen.reading import read_json

if TYPE_CHECKING:
    from satgen.view.site import Site

PORT = 8361
"""Where a page is served unless another is asked for; if it is taken, one that is free."""

RUN = "run.json"


@click.command("view", short_help="Look at a dataset or a run in a browser.")
@click.argument("path", type=PATH, metavar="DATASET|RUN")
@number_option(
    "port", int, "Port to serve the page at; 0 takes one that is free", None, 0, 65535,
    shown=f"{PORT}, or a free one",
)  # fmt: skip
@click.option("--no-open", is_flag=True, help="Only print the address; open no browser.")
@click.option(
    "--export", "folder", type=PATH, help="Write the page into a folder, for any web server."
)
@number_option("width", int, "Longer side of the images, pixels; larger ones are shrunk", 512, 64,
               4096)  # fmt: skip
@number_option("workers", int, "Processes that make an export", 1, 1, MOST_WORKERS)
@click.option("--overwrite", is_flag=True, help="Replace another page in the folder of --export.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option(
    "--rerun",
    "in_rerun",
    is_flag=True,
    help="Show a dataset in Rerun's viewer, if rerun-sdk is installed; with --export FILE.rrd, "
    "write its file.",
)
def command(
    path: Path,
    port: int | None,
    no_open: bool,
    folder: Path | None,
    width: int,
    workers: int,
    overwrite: bool,
    quiet: bool,
    in_rerun: bool,
) -> None:
    """Look at a dataset, a benchmark's matches or a prediction's forecasts in a browser.

    The page is served to this machine alone, until Ctrl-C. What it needs is made when it is first
    looked at, and kept in the user's cache. PATH is a dataset, a folder of datasets, a run of
    `satgen bench` or a run of `satgen predict`.

    \b
    Examples:
      satgen view datasets/aura
      satgen view runs/bench
      satgen view runs/predict --port 9000 --no-open
      satgen view datasets/aura --export site/aura --workers 4
      satgen view datasets/aura --rerun
    """
    if in_rerun:
        _show_in_rerun(path, folder, quiet)
    elif folder is not None:
        _export(path, folder, width, workers, overwrite, quiet)
    else:
        _serve(path, port, width, no_open)


def _serve(path: Path, port: int | None, width: int, no_open: bool) -> None:
    from satgen.exits import Terminated, interrupts
    from satgen.installed import require
    from satgen.view.server import ViewServer

    site = site_at(path, width)
    try:
        require("matching", "torch", "cv2", "poselib", "safetensors", load=False)
    except InputError:
        pass  # the page shows everything else
    else:
        _match_live(site, path)
    try:
        server = ViewServer(site, PORT if port is None else port)
    except InputError:
        if port is not None:
            raise
        server = ViewServer(site, 0)
    click.echo(server.url)
    click.echo("Ctrl-C ends it.", err=True)
    if not no_open and _has_screen():
        webbrowser.open(server.url)
    try:
        server.serve_until_stopped()
    except KeyboardInterrupt as stop:
        if isinstance(stop, Terminated):
            raise
        interrupts.pending = False  # it is how a page ends
        click.echo("", err=True)


def _has_screen() -> bool:
    """Whether a browser with windows can open: in a terminal of a machine far away, one of text
    would."""
    return sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )


def _export(
    path: Path, folder: Path, width: int, workers: int, overwrite: bool, quiet: bool
) -> None:
    from satgen.view.export import export

    site = site_at(path, width, exported=True)
    with resumable(), progress_bar(folder.name, "file", quiet=quiet) as progress:
        size = export(site, folder, workers=workers, overwrite=overwrite, progress=progress)
    click.echo(f"{folder}: {len(site.files)} files, {megabytes(size)}; serve it, and open it there")


def _show_in_rerun(path: Path, file: Path | None, quiet: bool) -> None:
    from satgen.dataset import Dataset
    from satgen.installed import require

    require("--rerun", "rerun", load=False)
    from satgen.view.in_rerun import log_dataset

    data = Dataset(path)
    _ = data.indices  # one that is not finished says so before a viewer is started
    with progress_bar(path.name, quiet=quiet) as progress:
        log_dataset(data, file, progress)


def site_at(path: Path, width: int, *, exported: bool = False) -> Site:
    """The site of what lies in a folder.

    Args:
        path: a dataset, a folder of datasets, or a run.
        width: of the widest image that is shown as it is, pixels.
        exported: it is to be written into a folder.

    Raises:
        InputError: it is nothing that can be shown.
    """
    kind = _run_format(path)
    if kind == "satgen-bench":
        from bench.view import bench_site

        return bench_site(path, width)
    if kind == "satgen-predict":
        from bench.predict.view import predict_site

        return predict_site(path, width, exported=exported)
    from satgen.view.dataset_site import dataset_site

    return dataset_site(path, width)


def _match_live(site: Site, path: Path) -> None:
    """Let a site find matches, with a run's own matchers where it is one of the benchmark."""
    from bench.view import config_of, with_live_matches

    if _run_format(path) == "satgen-bench":
        try:
            with_live_matches(site, config_of(read_json(path / RUN)))
        except InputError:  # of another version, or with somebody's own matcher that is gone
            return
    elif site.description["datasets"]:
        with_live_matches(site)


def _run_format(path: Path) -> str | None:
    """The format that a run's description names; None where there is none."""
    try:
        found = read_json(path / RUN)
    except InputError:
        return None
    return str(found.get("format")) if isinstance(found, dict) else None
