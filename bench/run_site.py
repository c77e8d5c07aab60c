"""What the sites of a benchmark's and of a prediction's run have alike: the datasets that the run
was of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.result import Result
from satgen.dataset import Dataset, is_dataset
from satgen.runfolder import file_sha256
from satgen.view.dataset_files import named
from satgen.view.dataset_site import site_of
from satgen.view.site import Site


@dataclass(frozen=True)
class RunSite:
    """A site with the datasets of a run that are still there, to which the rest is added.

    Attributes:
        site: the site.
        entries: folders of all datasets, by their names in the run.
        datasets: those that are there, by the same names.
        names: their names in the site, by those in the run.
    """

    site: Site
    entries: dict[str, Path]
    datasets: dict[str, Dataset]
    names: dict[str, str]


def run_site(result: Result, kind: str, width: int) -> RunSite:
    """The site of a run.

    Args:
        result: the run.
        kind: of the site.
        width: of the widest image that is shown as it is, pixels.

    Raises:
        InputError: a dataset is not finished, or cannot be read.
    """
    entries = {str(entry["name"]): Path(entry["path"]) for entry in result.description["datasets"]}
    there = {name: Dataset(path) for name, path in entries.items() if is_dataset(path)}
    places = {data.folder: name for name, data in named(list(there.values())).items()}
    names = {name: places[data.folder] for name, data in there.items()}
    datasets = {names[name]: data for name, data in there.items()}
    site = site_of(datasets, kind, result.folder.resolve().name, width)
    site.description["command"] = str(result.description.get("command", ""))
    site.identity["run"] = file_sha256(result.folder / result.TABLE)
    return RunSite(site, entries, there, names)


def fields_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a dataclass from a run's JSON, where tuples have become lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
