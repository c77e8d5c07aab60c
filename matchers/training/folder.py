"""The folder of a training: what identifies it, what it owns, and what is held out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import satgen
from matchers.specs import file_name
from matchers.training.config import STAGES, TrainConfig
from matchers.training.plots import CURVES
from matchers.training.schedule import SCHEDULE
from matchers.training.trainer import BEST, CHECKPOINT, LOG, VALIDATION
from matchers.truth.pairs import Pair, pairs_csv
from satgen.dataset import Dataset
from satgen.runfolder import RunFolder, RunKind, dataset_identity
from satgen.splits import Split

RUN, SPLIT, TEST_PAIRS = "train.json", "split.json", "test_pairs.csv"


def weights_file(matcher: str, features: str) -> str:
    """Name of the weights that a training ends with; their card has the ending .json."""
    return file_name(f"{matcher}-{features}") + ".safetensors"


def _weights_of(description: Mapping[str, Any]) -> Sequence[str]:
    """The names of the weights and the card of the training that is described."""
    try:
        config = description["identity"]["config"]
        name = weights_file(config["matcher"], config["features"])
    except (KeyError, TypeError):
        return ()
    return name, name.removesuffix(".safetensors") + ".json"


TRAIN = RunKind(
    command="satgen train",
    noun="training",
    description=RUN,
    marks={"format": "satgen-training", "version": 2},
    owns=(
        *(
            f"{stage}/{name}"
            for name in (CHECKPOINT, LOG, VALIDATION, BEST, SCHEDULE)
            for stage in STAGES
        ),
        CURVES,
        TEST_PAIRS,
        SPLIT,
    ),
    more=_weights_of,
)
"""The folder of a training."""


def identity(
    config: TrainConfig,
    datasets: Mapping[str, Dataset],
    initial: str | None,
    extractor: str | None,
    photographs: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What decides the result of a training.

    Args:
        config: of the training.
        datasets: by name.
        initial: SHA-256 of the weights that it begins with, if there are any.
        extractor: SHA-256 of the weights of the features, if they have any, and of their code, if
            it is somebody's own.
        photographs: SHA-256 of those that are trained on, by name; None: none are.
    """
    return {
        "satgen": satgen.__version__,
        "config": {
            k: v
            for k, v in config.to_json().items()
            if k not in ("features_weights", "photographs_from", "cache_gb")
        },
        "photographs": None if photographs is None else dict(photographs),
        "datasets": {name: dataset_identity(data.folder) for name, data in datasets.items()},
        "initial": initial,
        "extractor": extractor,
    }


def begin(
    folder: RunFolder, splits: Mapping[str, Split], held_out: Sequence[tuple[str, int, int]]
) -> None:
    """Make the folder this training's, with what is held out of each dataset.

    Args:
        folder: of the training.
        splits: of the datasets, by name.
        held_out: dataset and indices of the test pairs.

    Raises:
        OSError: it cannot be written.
    """
    folder.begin({})
    parts = {name: split.to_json() for name, split in splits.items()}
    folder.keep(SPLIT, (json.dumps(parts, indent=1) + "\n").encode())
    folder.keep(TEST_PAIRS, pairs_csv([Pair(*pair) for pair in held_out]))
