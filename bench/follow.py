"""Tracks through a run over all consecutive pairs, from the matches that it kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.evaluator import match_file
from bench.tracks import Live, Tracks, begin, extend, finish
from matchers.truth.frame import read_geometry
from satgen.dataset import Dataset

if TYPE_CHECKING:
    import pandas as pd

    from bench.plan import BenchPlan


def follow(plan: BenchPlan, matches: Path) -> pd.DataFrame:
    """Chain the matches of each dataset and combination.

    Returns:
        One row a track: dataset, combination, start_index, length (frames), drift_px (in its last
        frame; NaN where the truth is hidden), cut (it was alive in the last frame).
    """
    import pandas as pd

    tables = []
    for name, folder in plan.datasets.items():
        data = Dataset(folder)
        pairs = [p for p in plan.pairs if p.dataset == name]
        indices = np.array([pairs[0].index0, *(p.index1 for p in pairs)])
        for combination in plan.config.combinations():
            live: Live | None = None
            done: list[Tracks] = []
            for place, pair in enumerate(pairs):
                with np.load(match_file(matches, combination.id, pair)) as found:
                    keypoints0, keypoints1 = found["keypoints0"], found["keypoints1"]
                    chain = found["matches"]
                if live is None:
                    live = begin(keypoints0, read_geometry(data, pair.index0), place)
                live, ended = extend(live, chain, keypoints1, read_geometry(data, pair.index1))
                done.append(ended)
            if live is not None:
                done.append(finish(live))
            tables.append(
                pd.DataFrame(
                    {
                        "dataset": name,
                        "combination": combination.id,
                        "start_index": indices[np.concatenate([t.start for t in done])],
                        "length": np.concatenate([t.length for t in done]),
                        "drift_px": np.concatenate([t.drift for t in done]),
                        "cut": np.concatenate([t.cut for t in done]),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)
