"""What `import satgen` offers of rendering and reading: keywords in, a dataset out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from satgen.dataset import Dataset
from satgen.errors import InputError, one_line
from satgen.keywords import check_keywords, field_names
from satgen.options import RenderOptions
from satgen.progress import Progress, Stage
from satgen.rig import rig_requests

DATASETS = Path("datasets")
"""Folder of the datasets for which none is named."""


def open_dataset(folder: str | os.PathLike[str] | Dataset) -> Dataset:
    """A dataset for reading.

    Args:
        folder: where it lies; a dataset is given back.

    Raises:
        InputError: the folder is no dataset.
    """
    return folder if isinstance(folder, Dataset) else Dataset(Path(folder))


def render(
    target: str | os.PathLike[str] = RenderOptions.target,
    out: str | os.PathLike[str] | None = None,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    resume: bool = True,
    quiet: bool = False,
    **options: Any,
) -> Dataset:
    """Render a dataset, or what is missing of it, as `satgen render` does.

    Args:
        target: a bundled target's name, random:SEED, or the path of a model file.
        out: the dataset's folder; by default datasets/TARGET.
        workers: processes; by default the cores. 0 renders in this process.
        overwrite: replace a dataset of another configuration.
        resume: go on with a dataset of the same configuration that is not whole.
        quiet: show no progress (a bar on a terminal, elsewhere a line every half minute) and no
            warning of what the target's file says in vain or of frames that do not show it.
        options: fields of `satgen.options.RenderOptions`: start, stop, step, size, sun, sensor,
            trajectory and more.

    Returns:
        The dataset.

    Raises:
        InputError: the request makes no sense, or the folder holds something else; nothing was
            changed.
        RunError: the run failed; the same call goes on from there.
    """
    check_keywords("render", options, field_names(RenderOptions, "target"))
    name = os.fspath(target)
    if name == "all":
        raise InputError("target 'all': name one target, and call it for each")
    request = RenderOptions(target=name, **options)
    folder = default_folder(name) if out is None else Path(out)
    from satgen.run import render as run

    shown = Progress([Stage(folder.name)], quiet=quiet)
    with shown.stage(folder.name) as progress:
        run(
            request,
            folder,
            workers=workers,
            overwrite=overwrite,
            resume=resume,
            progress=progress,
            warn=None if quiet else _warn,
        )
    return Dataset(folder)


def render_rig(
    target: str | os.PathLike[str],
    rig: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    resume: bool = True,
    quiet: bool = False,
    **options: Any,
) -> dict[str, Dataset]:
    """Render a dataset for each camera of a rig, as `satgen render --rig` does.

    Args:
        target: a bundled target's name or the path of a model file.
        rig: JSON or TOML file, see `satgen.rig`.
        out: folder of the datasets, each in one of its camera's name; by default datasets/TARGET.
        workers, overwrite, resume, quiet, options: as `render`; `distance` is needed.

    Returns:
        The datasets by the cameras' names.

    Raises:
        InputError, RunError: as `render`.
    """
    check_keywords("render_rig", options, field_names(RenderOptions, "target", "rig", "mount"))
    name = os.fspath(target)
    folder = default_folder(name) if out is None else Path(out)
    requests = rig_requests(RenderOptions(target=name, **options), os.fspath(rig))
    from satgen.run import render as run

    shown = Progress([Stage(camera) for camera in requests], quiet=quiet)
    for camera, request in requests.items():
        with shown.stage(camera) as progress:
            run(
                request,
                folder / camera,
                workers=workers,
                overwrite=overwrite,
                resume=resume,
                progress=progress,
                warn=None if quiet else _warn,
            )
    return {camera: Dataset(folder / camera) for camera in requests}


def _warn(line: str) -> None:
    print(one_line(line), file=sys.stderr)


def export(
    data: str | os.PathLike[str] | Dataset | Sequence[str | os.PathLike[str] | Dataset],
    to: str,
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Any,
) -> Path:
    """Write a dataset in another program's format, as `satgen export` does.

    Args:
        data: a dataset or its folder; several are the cameras of a rig.
        to: one of `satgen.exports.formats.FORMATS`: bop, coco, colmap and others.
        out: folder to write; by default DATASET-FORMAT, beside the dataset.
        overwrite: replace another export in the folder.
        quiet: show no progress: a bar on a terminal, elsewhere a line every half minute.
        options: fields of `satgen.exports.options.ExportOptions`: start, stop, step, splits,
            images and what single formats have.

    Returns:
        The folder.

    Raises:
        InputError: the request makes no sense, the format cannot hold the dataset exactly, or the
            folder holds something else; nothing was changed.
        RunError: it cannot be written.
    """
    from satgen.exports.options import ExportOptions
    from satgen.exports.run import export as run
    from satgen.exports.run import export_folder

    check_keywords("export", options, field_names(ExportOptions))
    many = [data] if isinstance(data, str | os.PathLike | Dataset) else data
    opened = [open_dataset(one) for one in many]
    folder = export_folder(opened, to) if out is None else Path(out)
    with Progress([Stage(folder.name)], quiet=quiet).stage(folder.name) as progress:
        request = ExportOptions(**options)
        run(opened, to, folder, request, overwrite=overwrite, progress=progress)
    return folder


def default_folder(target: str | Path) -> Path:
    """Folder of a target's dataset where none is named."""
    from satgen.targets import registry

    return DATASETS / registry.folder_name(str(target))
