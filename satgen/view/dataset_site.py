"""The site of datasets alone, and what sites of runs have of their datasets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from satgen.dataset import Dataset
from satgen.view.dataset_files import datasets_at, description_of, files_of, identity_of, named
from satgen.view.site import Site, page_files

DATASETS = "datasets"
"""The kind of a site that shows datasets alone."""


def dataset_site(path: Path, width: int) -> Site:
    """The site of the dataset in a folder, or of those in the folders below it.

    Args:
        path: the folder.
        width: of the widest image that is shown as it is, pixels.

    Raises:
        InputError: there is none, or one cannot be read or is not finished.
    """
    return site_of(named(datasets_at(path)), DATASETS, path.resolve().name, width)


def site_of(datasets: Mapping[str, Dataset], kind: str, title: str, width: int) -> Site:
    """A site with datasets, to which the rest is added.

    Args:
        datasets: by their names in the site.
        kind: what is shown besides.
        title: of the page.
        width: as for `dataset_site`.
    """
    described = [description_of(data, name, width) for name, data in datasets.items()]
    identities = {name: identity_of(data, width) for name, data in datasets.items()}
    files = page_files()
    for name, data in datasets.items():
        files |= files_of(data, name, width, identities[name])
    return Site(
        {"kind": kind, "title": title, "datasets": described},
        {"kind": kind, "datasets": identities},
        files,
        {name: data.folder.resolve() for name, data in datasets.items()},
    )
