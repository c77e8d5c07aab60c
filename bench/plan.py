"""What a run of the matching benchmark will do: its pairs, and everything that decides its result.

Whatever can be refused is refused here, before anything is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import satgen
from bench.config import TRUTH, BenchConfig
from bench.posed import load_posed_pairs
from matchers.specs import name_of, source_file
from matchers.truth.pairs import (
    Pair,
    check_pairs_exist,
    consecutive_pairs,
    load_pairs,
    sample_pairs,
)
from satgen.dataset import Dataset, check_frames, open_datasets
from satgen.errors import InputError
from satgen.runfolder import dataset_identity, file_sha256, files_sha256


@dataclass(frozen=True)
class PosedList:
    """A list of image pairs with relative poses, and the folder of its images."""

    file: Path
    images: Path

    @property
    def name(self) -> str:
        """What its rows are called."""
        return self.file.stem


@dataclass(frozen=True)
class BenchPlan:
    """A run that was found to make sense.

    Attributes:
        config: what is run.
        datasets: by name.
        posed: lists of other benchmarks.
        pairs: of the datasets, in the order in which they are run.
        weights: files of the networks, by what they are for.
        identity: what two runs must share for the one to go on with the other.
        command: that asked for it.
    """

    config: BenchConfig
    datasets: dict[str, Path]
    posed: tuple[PosedList, ...]
    pairs: tuple[Pair, ...]
    weights: dict[str, Path]
    identity: dict[str, Any]
    command: str


def plan(
    config: BenchConfig,
    datasets: Sequence[Path],
    *,
    pairs_file: Path | None = None,
    posed: Sequence[PosedList] = (),
    command: str = "",
) -> BenchPlan:
    """Find out which pairs a run has, and that everything it needs is there.

    Args:
        config: what to run.
        datasets: folders; their last names must differ.
        pairs_file: a list to run instead of a draw.
        posed: lists of other benchmarks.
        command: for the record.

    Raises:
        InputError: a dataset is none, lacks frames or images, has too few for the gaps; the list
            does not fit; an extractor, a matcher, its weights or the device are not to be had.
    """
    weights = check_matchers(config)
    if not datasets and not posed:
        raise InputError("no dataset given: must be at least one")
    if posed and TRUTH in config.matchers:
        raise InputError(f"{posed[0].file}: matcher {TRUTH}: lists have no depth that tells it")
    opened = open_datasets(datasets)
    pairs = chosen_pairs(config, {name: d.indices for name, d in opened.items()}, pairs_file)
    _check_images(opened, pairs)
    identity = {
        "satgen": satgen.__version__,
        "config": _config_identity(config),
        "weights": {name: file_sha256(path) for name, path in weights.items()},
        "sources": {
            name_of(given): file_sha256(file)
            for given in (*config.matchers, *config.features)
            if (file := source_file(given)) is not None
        },
        "datasets": {name: dataset_identity(data.folder) for name, data in opened.items()},
        "pairs": hashlib.sha256(json.dumps([vars(pair) for pair in pairs]).encode()).hexdigest(),
        "posed": _posed_identities(posed, set(opened)),
    }
    folders = {name: data.folder for name, data in opened.items()}
    return BenchPlan(config, folders, tuple(posed), tuple(pairs), weights, identity, command)


def check_matchers(config: BenchConfig) -> dict[str, Path]:
    """See that the device, extractors, matchers and their weights are to be had.

    Returns:
        The files of weights, by what they are for; they are fetched if need be.

    Raises:
        InputError: one is not.
    """
    from matchers.registry import choose_device, find_weights

    choose_device(config.device)
    matchers, features = config.matcher_specs(), config.features_specs()
    found: dict[str, Path] = {}
    for name, spec in features.items():
        if spec.weighted:
            found[name] = find_weights(None, spec, config.weights_of(name))
    for combination in config.combinations():
        if not combination.is_truth and matchers[combination.matcher].weighted:
            given = matchers[combination.matcher], features[combination.features]
            what = f"{combination.matcher} on {combination.features}"
            found[what] = find_weights(*given, combination.weights)
    for path in found.values():
        if not path.is_file():
            raise InputError(f"weights {path}: no such file")
    return found


def chosen_pairs(
    config: BenchConfig, indices: Mapping[str, Any], pairs_file: Path | None
) -> list[Pair]:
    """The pairs of a run, in the order in which they are run.

    Args:
        config: what to run.
        indices: (N,) observation indices of each dataset, by name.
        pairs_file: a list to run instead of a draw.

    Raises:
        InputError: a list that does not fit, or a gap that no two frames have.
    """
    if pairs_file is not None:
        pairs = load_pairs(pairs_file)
        check_pairs_exist(pairs, dict(indices))
    elif config.pairs_per_gap is None:
        pairs = [p for name, known in indices.items() for p in consecutive_pairs(name, known)]
    else:
        pairs = []
        for name, known in indices.items():
            pairs += sample_pairs(name, known, config.gaps, config.pairs_per_gap, config.seed)
    order = {name: place for place, name in enumerate(indices)}
    return sorted(pairs, key=lambda p: (order[p.dataset], p.index0, p.index1))


def _check_images(datasets: Mapping[str, Dataset], pairs: Sequence[Pair]) -> None:
    for name, data in datasets.items():
        used = {i for p in pairs if p.dataset == name for i in (p.index0, p.index1)}
        check_frames(data, sorted(used), ("rgb", "depth", "parts"))


def _config_identity(config: BenchConfig) -> dict[str, Any]:
    """The configuration, with what its words stand for here; weights are told by their content."""
    from matchers.registry import choose_device

    known = config.to_json()
    del known["weights"], known["features_weights"]
    return {**known, "device": choose_device(config.device).type}


def _posed_identities(posed: Sequence[PosedList], taken: set[str]) -> dict[str, Any]:
    """Content of the lists and of the images that they name."""
    found: dict[str, Any] = {}
    for entry in posed:
        if entry.name in taken or entry.name in found:
            raise InputError(f"{entry.file}: another list or dataset is called {entry.name} too")
        images: dict[Path, None] = {}
        for number, pair in enumerate(load_posed_pairs(entry.file), start=1):
            for name in (pair.name0, pair.name1):
                image = entry.images / name
                if image not in images:
                    _check_image(image, f"{entry.file}: line {number}")
                    images[image] = None
        found[entry.name] = {"list": file_sha256(entry.file), "images": files_sha256(images)}
    return found


def _check_image(path: Path, place: str) -> None:
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise InputError(f"{place}: no image {path}")
    try:
        with Image.open(path):
            pass  # its header was read
    except UnidentifiedImageError:
        raise InputError(f"{place}: {path} is not a readable image") from None
    except OSError as error:
        raise InputError(f"{place}: {path}: {error.strerror or error}") from None
