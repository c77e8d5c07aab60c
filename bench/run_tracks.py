"""Tracks through a run over all consecutive pairs, from the matches that it kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.carried import Moves, carried
from bench.pair_judge import match_file
from bench.tapvid import PointTracks, first_seen, scaled, tapvid_figures
from bench.tracks import Step, chain
from matchers.truth.frame import read_geometry
from matchers.truth.pairs import Pair, load_pairs
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.exports.options import ExportOptions
from satgen.reading import read_npz

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Sequence:
    """The consecutive pairs of a dataset, and what was run on them.

    Attributes:
        name: of the dataset.
        data: the dataset.
        pairs: each of a frame and the next one.
        combinations: ids.
        matches: folder of the matches.
    """

    name: str
    data: Dataset
    pairs: list[Pair]
    combinations: list[str]
    matches: Path

    @property
    def indices(self) -> NDArray[np.int64]:
        """Observation indices of the frames."""
        return np.array([self.pairs[0].index0, *(p.index1 for p in self.pairs)], dtype=np.int64)

    def files(self, combination: str, span: slice = slice(None)) -> list[Path]:
        """The matches of a combination, of some of the pairs."""
        return [match_file(self.matches, combination, pair) for pair in self.pairs[span]]


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

    tables = []
    for found in _sequences(folder, matches):
        data, pairs = found.data, found.pairs
        for combination in found.combinations:
            files = found.files(combination)
            keypoints = read_npz(files[0], ["keypoints0"])["keypoints0"]
            geometry = read_geometry(data, pairs[0].index0)
            tracks = chain(keypoints, geometry, _steps(data, pairs, files))
            tables.append(
                pd.DataFrame(
                    {
                        "dataset": found.name,
                        "combination": combination,
                        "start_index": found.indices[tracks.start],
                        "length": tracks.length,
                        "drift_px": tracks.drift,
                        "cut": tracks.cut,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def carry_points(folder: Path, matches: Path) -> pd.DataFrame:
    """Carry the points of TAP-Vid's clips along the matches, and judge them (`bench.tapvid`).

    Clips and points are those that `satgen export --to tapvid` writes of the dataset with the same
    length of clips and seed, so the figures stand beside those of any tracker on that export.

    Args:
        folder, matches: as `follow` has them.

    Returns:
        One row a clip and combination: dataset, combination, start_index, frames, and the figures
        of `tapvid_figures`. None of a dataset whose model is not there any more, and none of clips
        that do not show it: points are on the model's triangles.
    """
    import pandas as pd

    config = json.loads((folder / "run.json").read_text(encoding="utf-8"))["config"]
    clip, seed = config["clip"], config["seed"]
    rows = [row for found in _sequences(folder, matches) for row in _clips(found, clip, seed)]
    return pd.DataFrame(rows, columns=None if rows else ["dataset", "combination"])


def _clips(found: _Sequence, length: int, seed: int) -> Iterator[dict[str, Any]]:
    """The rows of a dataset, by clips of so many frames."""
    from satgen.exports.body import body_of
    from satgen.exports.tracks import surface_tracks

    count = ExportOptions().tracks
    try:
        model = body_of(found.data)
    except InputError:
        return
    camera, indices = found.data.camera, found.indices
    for first in range(0, len(indices) - 1, length):
        clip = indices[first : first + length]
        try:
            exact = surface_tracks(found.data, model, clip, count, seed)
        except InputError:
            continue
        truth = PointTracks(scaled(exact.uv, camera.width, camera.height), exact.visible)
        queries = first_seen(exact.visible)
        known = np.flatnonzero(queries < len(clip))
        points = np.zeros((len(queries), 2))
        points[known] = truth.xy[queries[known], known]
        for combination in found.combinations:
            files = found.files(combination, slice(first, first + len(clip) - 1))
            answer = carried(points, queries, _moves(files, camera.width, camera.height))
            yield {
                "dataset": found.name,
                "combination": combination,
                "start_index": int(clip[0]),
                "frames": len(clip),
                **tapvid_figures(truth, answer),
            }


def _sequences(folder: Path, matches: Path) -> Iterator[_Sequence]:
    """The datasets of a run."""
    description = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    every = load_pairs(folder / "pairs.csv")
    ids = [combination["id"] for combination in description["combinations"]]
    for entry in description["datasets"]:
        pairs = [p for p in every if p.dataset == entry["name"]]
        yield _Sequence(entry["name"], Dataset(Path(entry["path"])), pairs, ids, matches)


def _steps(data: Dataset, pairs: Sequence[Pair], files: Sequence[Path]) -> Iterator[Step]:
    """The steps from each pair's first frame to its second."""
    for pair, file in zip(pairs, files, strict=True):
        found = read_npz(file, ("matches", "keypoints1"))
        yield found["matches"], found["keypoints1"], read_geometry(data, pair.index1)


def _moves(files: Sequence[Path], width: int, height: int) -> Iterator[Moves]:
    """Where the matched keypoints of each pair are, in pixels of scaled images."""
    for file in files:
        found = read_npz(file, ("matches", "keypoints0", "keypoints1"))
        i, j = found["matches"].T
        start, end = found["keypoints0"][i], found["keypoints1"][j]
        yield scaled(start, width, height), scaled(end, width, height)
