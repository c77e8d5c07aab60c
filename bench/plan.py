"""What a run of the matching benchmark will do: its pairs, and everything that decides its result.

Whatever can be refused is refused here, before anything is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import satgen
from bench.config import TRUTH, BenchConfig, combination_json
from bench.lineup import Lineup
from bench.posed import PosedPair, load_posed_pairs, upright
from bench.software import machine, software
from matchers.image_arrays import FILE_FORMATS
from matchers.specs import VISMATCH, name_of, source_file
from matchers.truth.pairs import (
    Pair,
    check_pairs_exist,
    consecutive_pairs,
    load_pairs,
    pairs_csv,
    sample_pairs,
    usual_gaps,
)
from matchers.truth.rules import COUNTING, GAPS
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
        """The name that its rows have in the tables."""
        return self.file.stem


@dataclass(frozen=True)
class PosedPairs:
    """The pairs of such a list, with cameras and poses of the images brought upright."""

    name: str
    images: Path
    pairs: tuple[PosedPair, ...]


@dataclass(frozen=True)
class BenchPlan:
    """A run that was found to make sense, with all that it takes.

    Attributes:
        config: how it is run.
        lineup: what is compared.
        datasets: folders by name.
        pairs: of the datasets, in the order in which they are run, each at every roll.
        listing: the same as pairs.csv has them, without rolls.
        posed: pairs of other benchmarks.
        identity: what two runs must share for the one to go on with the other.
        description: what run.json holds besides.
        notes: what to say of it beforehand, a line each.
    """

    config: BenchConfig
    lineup: Lineup
    datasets: dict[str, Path]
    pairs: tuple[Pair, ...]
    listing: bytes
    posed: tuple[PosedPairs, ...]
    identity: dict[str, Any]
    description: dict[str, Any]
    notes: tuple[str, ...] = ()


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
    opened = open_datasets(datasets) if datasets else {}
    pairs = chosen_pairs(config, {name: d.indices for name, d in opened.items()}, pairs_file)
    _check_images(opened, pairs)
    listing, lists = pairs_csv(pairs), _posed_lists(posed, set(opened))
    identity = {
        "satgen": satgen.__version__,
        "counting": COUNTING,
        "config": _config_identity(config),
        "weights": {name: file_sha256(path) for name, path in weights.items()},
        "sources": {
            name_of(given): file_sha256(file)
            for given in (*config.matchers, *config.features)
            if (file := source_file(given)) is not None
        },
        "datasets": {name: dataset_identity(data.folder) for name, data in opened.items()},
        "pairs": hashlib.sha256(listing).hexdigest(),
        "posed": {
            entry.name: {
                "list": file_sha256(entry.file),
                "images": files_sha256(
                    dict.fromkeys(
                        entry.images / name for p in known.pairs for name in (p.name0, p.name1)
                    )
                ),
            }
            for entry, known in zip(posed, lists, strict=True)
        },
    }
    if any(name.startswith(VISMATCH) for name in config.image_matchers()):
        from matchers.vismatch import version

        identity["vismatch"] = version()
    lineup = Lineup.load(config)
    description = {
        "command": command,
        **software(),
        "machine": machine(config.threads, lineup.device),
        "config": config.to_json(),
        "counting": COUNTING,
        "datasets": [_dataset_json(name, data) for name, data in opened.items()],
        "posed": [{"file": str(p.file), "images": str(p.images)} for p in posed],
        "combinations": [combination_json(c) for c in lineup.combinations],
        "weights": {name: str(path) for name, path in weights.items()},
    }
    folders = {name: data.folder for name, data in opened.items()}
    rolled = tuple(replace(pair, roll_deg=roll) for pair in pairs for roll in config.roll_gaps)
    drawn = pairs_file is None and config.pairs_per_gap is not None
    notes = [_other_gaps(config, name, data.indices) for name, data in opened.items() if drawn]
    return BenchPlan(
        config, lineup, folders, rolled, listing, lists, identity, description,
        tuple(filter(None, notes)),
    )  # fmt: skip


def _gaps(config: BenchConfig, indices: Any) -> tuple[int, ...]:
    """Gaps of a dataset's pairs: of those that nobody named the ones that there are."""
    return usual_gaps(indices) if config.gaps == GAPS else config.gaps


def _other_gaps(config: BenchConfig, name: str, indices: Any) -> str:
    """How a dataset's gaps are others than those of the configuration; nothing: they are not."""
    gaps = _gaps(config, indices)
    if gaps == config.gaps:
        return ""
    left = ", ".join(str(gap) for gap in config.gaps if gap not in gaps)
    return (
        f"{name} has no frames {left} indices apart: gaps are {', '.join(map(str, gaps))} there "
        "(--gap names others)"
    )


def _dataset_json(name: str, data: Dataset) -> dict[str, Any]:
    return {
        "name": name,
        "path": str(data.folder.resolve()),
        "target": data.name,
        "camera": data.description["camera"],
        "frames": len(data),
        "parts": data.description["parts"],
    }


def check_matchers(config: BenchConfig) -> dict[str, Path]:
    """See that the device, extractors, matchers and their weights are to be had.

    Returns:
        The files of weights, by what they are for; they are fetched if need be.

    Raises:
        InputError: one is not.
    """
    from matchers.registry import choose_device, find_weights

    choose_device(config.device)
    matchers, features = config.matcher_specs(), config.used_features()
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
            gaps = _gaps(config, known)
            pairs += sample_pairs(name, known, gaps, config.pairs_per_gap, config.seed)
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


def _posed_lists(posed: Sequence[PosedList], taken: set[str]) -> tuple[PosedPairs, ...]:
    """The pairs of lists, whose images are there."""
    lists: list[PosedPairs] = []
    for entry in posed:
        if entry.name in taken or any(entry.name == known.name for known in lists):
            raise InputError(f"{entry.file}: another list or dataset is called {entry.name} too")
        sizes: dict[str, tuple[int, int]] = {}
        pairs = []
        for number, pair in enumerate(load_posed_pairs(entry.file), start=1):
            for name in (pair.name0, pair.name1):
                if name not in sizes:
                    sizes[name] = _size(entry.images / name, f"{entry.file}: line {number}")
            K0, K1, T_0to1 = upright(pair, sizes[pair.name0], sizes[pair.name1])
            pairs.append(replace(pair, K0=K0, K1=K1, T_0to1=T_0to1))
        lists.append(PosedPairs(entry.name, entry.images, tuple(pairs)))
    return tuple(lists)


def _size(path: Path, place: str) -> tuple[int, int]:
    """Width and height of an image that a place names."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise InputError(f"{place}: no image {path}")
    try:
        with Image.open(path, formats=FILE_FORMATS) as image:  # its header alone is read
            width, height = image.size
            return width, height
    except UnidentifiedImageError:
        raise InputError(f"{place}: {path} is not a readable image") from None
    except OSError as error:
        raise InputError(f"{place}: {path}: {error.strerror or error}") from None
