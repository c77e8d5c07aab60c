"""A site written into a folder that any web server can serve."""

from __future__ import annotations

from pathlib import Path

import satgen
from satgen.progress import Update
from satgen.runfolder import RunFolder, RunKind
from satgen.tasks import carried_out
from satgen.view.site import DESCRIPTION, FORMAT, INDEX, VERSION, Site, SiteFile, described
from satgen.view.store import ViewStore

EXPORT = RunKind(
    command="satgen view --export",
    noun="page",
    description=DESCRIPTION,
    marks={"format": FORMAT, "version": VERSION},
    owns=(
        INDEX, "*.js", "*.css", "*.svg", "data/*/*.bin", "data/*/*.pack", "data/*/*/*.pack",
        "matches/*/*.json", "matches/*.json", "forecasts/*.pack", "forecasts/*.bin",
        "forecasts/*.json",
    ),
)  # fmt: skip
"""The folder of an exported page."""


def export(
    site: Site,
    folder: Path,
    *,
    workers: int = 1,
    resume: bool = True,
    overwrite: bool = False,
    store: ViewStore | None = None,
    progress: Update | None = None,
) -> int:
    """Write a site into a folder; the page itself comes last, so that a half-written one shows
    nothing.

    Args:
        site: what to write.
        folder: where to, made if need be.
        workers: processes that make files.
        resume: go on with this very page where it was stopped.
        overwrite: replace another page.
        store: where files may have been made already; by default the user's cache.
        progress: told about every file.

    Returns:
        Bytes of all files.

    Raises:
        InputError: the folder holds something else. Nothing was changed.
        RunError: it cannot be written, or a worker died.
    """
    store = store or ViewStore()
    identity = {"satgen": satgen.__version__, **site.identity}
    with RunFolder.open(folder, EXPORT, identity, resume=resume, overwrite=overwrite) as place:
        going_on = place.going_on
        place.begin(described(site.description))
        total, size, done = len(site.files), 0, 0

        def write(path: str, data: bytes) -> None:
            nonlocal size, done
            place.keep(path, data)
            size, done = size + len(data), done + 1
            if progress is not None:
                progress(done, total)

        missing: dict[str, SiteFile] = {}
        for path, file in site.files.items():
            if path == INDEX:
                continue
            known = place.path / path
            if going_on and file.keep is not None and known.is_file():
                size, done = size + known.stat().st_size, done + 1  # of this name: these bytes
            elif store.has(file):
                write(path, store.get(file))
            else:
                missing[path] = file
        answers = carried_out(_made, list(missing.values()), workers)
        for path, (_, data) in zip(missing, answers, strict=True):
            write(path, data)
        write(INDEX, site.files[INDEX].make())
    return size


def _made(file: SiteFile) -> bytes:
    return file.make()
