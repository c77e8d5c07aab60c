"""The site of a benchmark's run: its datasets, and the matches that it kept; and matches of any two
frames, found when they are asked for."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.config import TRUTH, BenchConfig, Combination, combination_json
from bench.pose import RansacOptions
from bench.result import clean
from bench.run import MATCHES, BenchResult
from bench.run_site import fields_of, run_site
from matchers.specs import FEATURES, MATCHERS, name_of
from matchers.truth.pairs import Pair
from matchers.truth.roll import carry, roll_matrix
from matchers.truth.rules import Thresholds
from satgen.dataset import Dataset
from satgen.errors import InputError, cut
from satgen.geometry import Floats
from satgen.reading import read_npz
from satgen.view.site import Site, SiteFile, json_bytes

if TYPE_CHECKING:
    from bench.pair_runner import PairRunner

BENCH_KIND = "bench"
"""The kind of a site that shows a run of the benchmark."""

LIVE = "match"
"""The first part of the paths of matches that are found when they are asked for."""

_SHOWN = {
    "f1": "f1",
    "precision": "precision",
    "recall": "recall",
    "num_matches": "matches",
    "num_correct": "correct",
    "num_wrong": "wrong",
    "num_ignored": "ignored",
    "num_true_matches": "true",
    "pose_error_deg": "pose_error_deg",
    "match_ms": "match_ms",
    "stop_layer": "stop_layer",
    "num_layers": "layers",
    "pruned_fraction": "pruned",
}
"""Columns of the table of pairs that the page shows, and what it calls them."""


def bench_site(folder: Path, width: int) -> Site:
    """The site of a run.

    Args:
        folder: of the run.
        width: of the widest image that is shown as it is, pixels.

    Raises:
        InputError: it is not finished, its datasets are gone, or it kept no matches.
    """
    result = BenchResult(folder)
    found = run_site(result, BENCH_KIND, width)
    if not found.datasets:
        where = next(iter(found.entries.values()), None)
        gone = "it was of lists of images" if where is None else f"{where} is no dataset any more"
        raise InputError(f"{folder}: shows matches on its datasets, and has none: {gone}")
    site = found.site
    pairs, files = _pairs(result, found.datasets, found.names)
    if not files:
        raise InputError(f"{folder}: kept no matches of its datasets in {MATCHES}/")
    site.description["combinations"] = [
        {"id": entry["id"], "label": entry["label"]} for entry in result.description["combinations"]
    ]
    site.files["matches/pairs.json"] = SiteFile(partial(json_bytes, pairs))
    site.files |= files
    return site


def with_live_matches(site: Site, config: BenchConfig | None = None) -> Site:
    """The same site, that can find matches of any two frames of a dataset.

    Args:
        site: of datasets or of a run.
        config: what to match with; None takes matchers that need nothing fetched.

    Raises:
        InputError: a matcher that there is not.
    """
    live = LiveMatches(config or quick_config(), site.folders)
    site.live[LIVE] = live.answer
    site.description["live_matches"] = [
        {key: entry[key] for key in ("id", "label")}
        for entry in map(combination_json, live.offered)
    ]
    return site


def quick_config() -> BenchConfig:
    """Matchers that need nothing fetched, on the features that are there."""
    from matchers.registry import default_features

    features = tuple(dict.fromkeys([default_features(), "sift"]))
    return BenchConfig(matchers=("lightglue", "superglue", "nearest"), features=features)


def config_of(description: Mapping[str, Any]) -> BenchConfig:
    """The configuration in a run's run.json.

    Raises:
        InputError: it is not this version's, or names code of somebody's own: a run's folder is
            data, and to look at it runs nothing that it names.
    """
    given = fields_of(description["config"])
    try:
        known = {*MATCHERS, *FEATURES, TRUTH}
        others = [name for name in (*given["matchers"], *given["features"]) if name not in known]
        if others:
            raise InputError(f"run.json: matches with {cut(str(others[0]))}, which is not ours")
        given["thresholds"] = Thresholds(**given["thresholds"])
        given["ransac"] = RansacOptions(**given["ransac"])
        return BenchConfig(**given)
    except (KeyError, TypeError) as error:
        raise InputError(f"run.json: a configuration of another version ({error})") from None


class LiveMatches:
    """Finds matches of two frames when they are asked for.

    Args:
        config: what to match with.
        folders: of the datasets, by their names in the site.
    """

    KEPT = 64
    """Answers that are kept."""

    def __init__(self, config: BenchConfig, folders: Mapping[str, Path]) -> None:
        self._config = replace(config, pairs_per_gap=1, repeats=1, roll_gaps=(0.0,), batch=1)
        self._folders = dict(folders)
        self._lock = threading.Lock()
        self._runners: dict[str, PairRunner] = {}
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    @cached_property
    def offered(self) -> tuple[Combination, ...]:
        """The ways of matching."""
        return tuple(c for c in self._config.combinations() if not c.is_truth)

    def answer(self, path: str) -> bytes | None:
        """The matches of COMBINATION/DATASET/INDEX0/INDEX1.json; None where there is no such way of
        matching, dataset or frame.

        Raises:
            InputError: the images or the weights are not to be had.
        """
        found = re.fullmatch(r"([^/]+)/([^/]+)/(\d{1,9})/(\d{1,9})\.json", path)
        combination = next((c for c in self.offered if found and c.id == found[1]), None)
        if found is None or combination is None or found[2] not in self._folders:
            return None
        with self._lock:  # one at a time: networks take all cores
            if path not in self._kept:
                pair = Pair(found[2], int(found[3]), int(found[4]))
                data = Dataset(self._folders[found[2]])
                if pair.index0 not in data or pair.index1 not in data:
                    return None
                self._kept[path] = self._found(combination, pair)
                if len(self._kept) > self.KEPT:
                    self._kept.popitem(last=False)
            return self._kept[path]

    def _found(self, combination: Combination, pair: Pair) -> bytes:
        from bench.pair_judge import match_file
        from bench.pair_runner import PairTask

        runner = self._runner(combination)
        with tempfile.TemporaryDirectory() as place:
            task = PairTask(self._folders[pair.dataset], (pair,), Path(place), frozenset({pair}))
            row = next(r for r in runner.rows(task) if r["combination"] == combination.id)
            return _match_bytes(match_file(Path(place), combination.id, pair), None, row)

    def _runner(self, combination: Combination) -> PairRunner:
        from bench.lineup import Lineup
        from bench.pair_runner import PairRunner

        if combination.id not in self._runners:
            alone = replace(
                self._config,
                features=tuple(
                    f for f in self._config.features if name_of(f) == combination.features
                ),
                matchers=tuple(
                    m for m in self._config.matchers if name_of(m) == combination.matcher
                ),
                sweeps=self._config.sweeps if combination.swept else (),
            )
            lineup = Lineup.load(alone)
            lineup = replace(
                lineup,
                combinations=(combination,),
                matchers={combination: lineup.matchers[combination]},
                unadapted={},
            )
            threads = self._config.threads or os.cpu_count() or 1
            self._runners[combination.id] = PairRunner(alone, lineup, threads)
        return self._runners[combination.id]


def _pairs(
    result: BenchResult, datasets: Mapping[str, Dataset], names: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, SiteFile]]:
    """The pairs whose matches were kept, with figures by combination, and the files of these."""
    from bench.pair_judge import match_file

    table = result.pairs
    shown = {column: name for column, name in _SHOWN.items() if column in table}
    found: dict[Pair, dict[str, Any]] = {}
    files: dict[str, SiteFile] = {}
    kept = result.folder.resolve() / MATCHES
    for row in table[table["dataset"].isin(list(datasets))].to_dict("records"):
        pair = Pair(
            row["dataset"],
            int(row["index0"]),
            int(row["index1"]),
            float(row.get("roll_gap_deg", 0)),
        )
        combination = str(row["combination"])
        path = match_file(kept, combination, pair)
        data = datasets[pair.dataset]
        if not path.is_file() or pair.index0 not in data or pair.index1 not in data:
            continue
        entry = found.setdefault(
            pair,
            {
                "dataset": names[pair.dataset],
                "index0": pair.index0,
                "index1": pair.index1,
                "gap": pair.gap,
                "roll_deg": pair.roll_deg,
                "angle_deg": clean(row["view_angle_deg"], 5),
                "figures": {},
            },
        )
        roll = f"_roll{pair.roll_deg:g}" if pair.roll_deg else ""
        name = f"{names[pair.dataset]}_{pair.index0:06d}_{pair.index1:06d}{roll}"
        place = f"matches/{combination}/{name}.json"
        entry["figures"][combination] = {
            "file": place,
            **{name: clean(row[column], 6) for column, name in shown.items()},
        }
        H: Floats | None = None
        if pair.roll_deg:
            centre = data.camera.cx, data.camera.cy
            H = np.asarray(np.linalg.inv(roll_matrix(centre, pair.roll_deg)), dtype=np.float64)
        files[place] = SiteFile(partial(_match_bytes, path, H))
    order = {name: place for place, name in enumerate(datasets)}
    ranked = sorted(found, key=lambda p: (order[p.dataset], p.gap, p.roll_deg, p.index0))
    return [found[pair] for pair in ranked], files


def _match_bytes(path: Path, H: Floats | None, row: Mapping[str, Any] | None = None) -> bytes:
    """The matches of a pair as the page reads them: pixels to a hundredth, upright.

    Args:
        path: the .npz of a run.
        H: (3, 3), takes the second image's keypoints to the frame's pixels; None: they are.
        row: of the table of pairs, whose figures are added.
    """
    names = ("keypoints0", "keypoints1", "matches", "scores", "verdict")
    found = read_npz(path, names)
    pixels0, pixels1, matches, scores, verdict = (found[name] for name in names)
    if H is not None:
        pixels1 = carry(H, pixels1)
    figures = {} if row is None else {n: clean(row[c], 6) for c, n in _SHOWN.items() if c in row}
    return json_bytes(
        {
            "keypoints0": np.round(pixels0.astype(float), 2).tolist(),
            "keypoints1": np.round(pixels1.astype(float), 2).tolist(),
            "matches": matches.tolist(),
            "scores": np.round(scores.astype(float), 3).tolist(),
            "verdict": verdict.tolist(),
            "figures": figures,
        }
    )
