"""Tracks through a run over all consecutive pairs, from the matches that it kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.pair_judge import match_file
from bench.tracks import Step, chain
from matchers.truth.frame import read_geometry
from matchers.truth.pairs import Pair, load_pairs
from satgen.dataset import Dataset

if TYPE_CHECKING:
    import pandas as pd


def follow(folder: Path, matches: Path) -> pd.DataFrame:
    """Chain the matches of each dataset and combination.

    Args:
        folder: of the run, whose run.json and pairs.csv are there.
        matches: folder of the matches.

    Returns:
        One row a track: dataset, combination, start_index, length (frames), drift_px (in its last
        frame; NaN where the truth is hidden), cut (it was alive in the last frame).
    """
    import pandas as pd

    description = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    every = load_pairs(folder / "pairs.csv")
    tables = []
    for entry in description["datasets"]:
        data = Dataset(Path(entry["path"]))
        pairs = [p for p in every if p.dataset == entry["name"]]
        indices = np.array([pairs[0].index0, *(p.index1 for p in pairs)])
        for combination in description["combinations"]:
            files = [match_file(matches, combination["id"], pair) for pair in pairs]
            with np.load(files[0]) as found:
                first = found["keypoints0"]
            tracks = chain(first, read_geometry(data, pairs[0].index0), _steps(data, pairs, files))
            tables.append(
                pd.DataFrame(
                    {
                        "dataset": entry["name"],
                        "combination": combination["id"],
                        "start_index": indices[tracks.start],
                        "length": tracks.length,
                        "drift_px": tracks.drift,
                        "cut": tracks.cut,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def _steps(data: Dataset, pairs: Sequence[Pair], files: Sequence[Path]) -> Iterator[Step]:
    """The steps from each pair's first frame to its second."""
    for pair, file in zip(pairs, files, strict=True):
        with np.load(file) as found:
            matches, keypoints = found["matches"], found["keypoints1"]
        yield matches, keypoints, read_geometry(data, pair.index1)
