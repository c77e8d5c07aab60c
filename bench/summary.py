"""What a run comes to: results.json, from its table of pairs.

Every figure is a mean over pairs unless it says otherwise; pairs of which it is not defined are
left out (a run without depth has no precision). Areas under the curve are of the pose errors of all
the pairs they are said of.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.metrics import PART_COUNTS
from bench.pose import AUC_DEG, pose_auc
from bench.result import clean
from bench.statistics import paired_bootstrap, within_groups
from bench.tracks import Tracks, survival
from matchers.truth.rules import scores
from satgen.geometry import Floats

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2

DIGITS = 6
"""Significant digits of figures."""

MEANS = (
    "num_keypoints0", "num_matches", "num_true_matches", "precision", "recall", "f1",
    "matching_score", "mma_1px", "mma_3px", "mma_5px", "reprojection_mean_px",
    "epipolar_precision", "inlier_ratio", "stop_layer", "pruned_fraction", "flops", "flops_full",
    "agreement", "shadow_edge_matches", "shadow_edge_inliers",
)  # fmt: skip
"""Columns of which the mean over pairs is given."""

MEDIANS = (
    "reprojection_median_px", "rotation_error_deg", "translation_error_deg",
    "pnp_rotation_error_deg", "pnp_translation_error_mm", "match_ms", "extract_ms",
    "pnp_rotation_error_off_edges_deg", "pnp_rotation_error_fewer_deg",
)  # fmt: skip
"""Columns of which the median over pairs is given: they have gross errors or slow spells."""

ACCURACY = (
    "precision", "recall", "f1", "matching_score", "mma_1px", "mma_3px", "mma_5px",
    "epipolar_precision", "inlier_ratio",
)  # fmt: skip
"""Figures of accuracy that are means over pairs; `AREAS` come besides."""

AREAS = tuple(f"auc_{bound:g}deg" for bound in AUC_DEG)

POSES = {
    "pose_error_deg": "", "pose_error_off_edges_deg": "_off_edges", "pose_error_fewer_deg": "_fewer"
}  # fmt: skip
"""Columns of relative pose errors, and what their areas' names end in."""

CONDITIONS = {
    "phase_deg": (0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0),
    "elevation_deg": (-90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0),
    "view_angle_deg": (0.0, 1.5, 3.5, 7.5, 15.0, 25.0, 37.5, 52.5, 75.0, 120.0, 180.0),
}
"""Columns of light and view, and the degrees at which pairs are parted by them."""

CONDITION_MEANS = ("precision", "recall", "f1")
"""Figures that are given by condition, for each gap."""

TRACK_AGES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Steps after which the share of tracks that are still carried is given."""

POINT_KEYS = ["dataset", "combination", "start_index", "frames"]
"""Columns of `bench.run_tracks.carry_points` that are no figures."""

RESAMPLES = 2000
"""Draws for the interval of each figure that adaptation changes."""

CONFUSIONS = 12
"""How many pairs of classes of part are listed, the most frequent first."""

Figures = dict[str, Any]
Statistic = Callable[[Floats], float]


def summarise(
    table: pd.DataFrame,
    description: Mapping[str, Any],
    tracks: pd.DataFrame | None = None,
    points: pd.DataFrame | None = None,
) -> Figures:
    """What results.json holds.

    Args:
        table: of `bench.run.run`.
        description: run.json.
        tracks: of `bench.run_tracks.follow`, if the run is of consecutive frames;
        points: of `bench.run_tracks.carry_points`, likewise.
    """
    combinations = []
    for known in description["combinations"]:
        rows = table[table["combination"] == known["id"]]
        entry = dict(known)
        entry |= _accuracy(rows)
        if known["adaptive"]:
            entry["saved"] = _saved(rows, _full_depth(table, known))
        if tracks is not None:
            entry["tracks"] = _tracks(tracks[tracks["combination"] == known["id"]])
        if points is not None and (points["combination"] == known["id"]).any():
            entry["points"] = _points(points[points["combination"] == known["id"]])
        combinations.append(entry)
    found: Figures = clean(
        {
            "format": FORMAT,
            "command": description["command"],
            "versions": description["versions"],
            "machine": description["machine"],
            "config": description["config"],
            "datasets": [
                {name: entry[name] for name in ("name", "target", "frames")}
                for entry in description["datasets"]
            ],
            "combinations": combinations,
        },
        DIGITS,
    )
    return found


def figures(rows: pd.DataFrame) -> Figures:
    """The number of rows (`pairs`), and the figures over them."""
    found: Figures = {"pairs": len(rows), **_means(rows, MEANS)}
    if "f1" in rows:
        found["pairs_with_match"] = int(rows["f1"].notna().sum())
    found |= _means(rows, MEDIANS, np.median)
    for column, name in POSES.items():
        if column in rows:
            areas = pose_auc(rows[column].to_numpy())
            found |= {f"{area}{name}": value for area, value in zip(AREAS, areas, strict=True)}
    return found


def _means(
    rows: pd.DataFrame, names: Iterable[str], statistic: Callable[[Floats], Any] = np.mean
) -> Figures:
    """A statistic of columns over the pairs that have a value there."""
    found: Figures = {}
    for name in names:
        if name in rows:
            values = rows[name].to_numpy(dtype=float)
            values = values[~np.isnan(values)]
            if len(values):
                found[name] = float(statistic(values))
    return found


def _accuracy(rows: pd.DataFrame) -> Figures:
    """Figures over all pairs, by gap, target, light and view, and by class of part."""
    found: Figures = {"overall": figures(rows), "by_gap": _by(rows, "gap")}
    found["by_target"] = {
        str(target): {"overall": figures(part), "by_gap": _by(part, "gap")}
        for target, part in rows.groupby("target", sort=True)
        if target
    }
    if rows["roll_gap_deg"].nunique() > 1:
        found["by_roll"] = {
            f"{roll:g}": {**figures(part), "by_gap": _by(part, "gap")}
            for roll, part in rows.groupby("roll_gap_deg", sort=True)
        }
    for column, edges in CONDITIONS.items():
        if column in rows:
            found[f"by_{column.removesuffix('_deg')}"] = _by_range(rows, column, edges)
    if "parts" in rows:
        found["by_part"] = _by_part(rows["parts"].dropna())
        found["confusions"] = _confusions(rows["confusions"].dropna())
    return found


def _by(rows: pd.DataFrame, column: str) -> dict[str, Figures]:
    return {str(key): figures(part) for key, part in rows.groupby(column, sort=True)}


def _by_range(rows: pd.DataFrame, column: str, edges: Sequence[float]) -> list[Figures]:
    """The pairs in each range that has any, compared within gaps; the last one includes its end.

    A range's pairs may be mostly of short gaps, or of an easy target, so a figure over all of them
    would not be the range's doing: figures are given for each gap, and `f1_difference` is to the
    pairs in other ranges that have the same dataset and gap.
    """
    values = rows[column].to_numpy(dtype=float)
    group = (rows["dataset"].astype(str) + " " + rows["gap"].astype(str)).to_numpy()
    found = []
    for low, high in pairwise(edges):
        inside = (values >= low) & ((values < high) | ((values == high) & (high == edges[-1])))
        if inside.any():
            entry: Figures = {"from": low, "to": high, "pairs": int(np.count_nonzero(inside))}
            entry["by_gap"] = {
                str(gap): {"pairs": len(part), **_means(part, CONDITION_MEANS)}
                for gap, part in rows[inside].groupby("gap", sort=True)
            }
            if "f1" in rows:
                difference = within_groups(rows["f1"].to_numpy(dtype=float), inside, group)
                entry["f1_difference"] = asdict(difference)
            found.append(entry)
    return found


def _by_part(texts: Iterable[str]) -> dict[str, Figures]:
    """Counts of all pairs by class of part, and the figures of these sums."""
    total: dict[str, dict[str, int]] = {}
    for text in texts:
        for name, counts in json.loads(text).items():
            mine = total.setdefault(name, dict.fromkeys(PART_COUNTS, 0))
            for key in PART_COUNTS:
                mine[key] += counts[key]
    found: dict[str, Figures] = {}
    for name, counts in sorted(total.items()):
        sums = (counts[key] for key in ("correct", "wrong", "found", "with_match"))
        found[name] = {**counts, **{k: float(v) for k, v in scores(*sums)._asdict().items()}}
    return found


def _confusions(texts: Iterable[str]) -> list[list[Any]]:
    """[class, class, wrong matches], the most frequent first."""
    total: dict[tuple[str, str], int] = {}
    for text in texts:
        for a, b, count in json.loads(text):
            total[a, b] = total.get((a, b), 0) + count
    order = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return [[a, b, count] for (a, b), count in order[:CONFUSIONS]]


def _full_depth(table: pd.DataFrame, known: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of the same matcher on the same features at full depth."""
    same = (table["matcher"] == known["matcher"]) & (table["features"] == known["features"])
    return table[same & ~table["adaptive"].astype(bool)]


KEYS = ["dataset", "index0", "index1", "roll_gap_deg"]
"""Columns that tell pairs apart."""


def _saved(rows: pd.DataFrame, full: pd.DataFrame) -> Figures:
    """What early exit and pruning save against full depth on the same pairs, and what they cost."""
    merged = rows.merge(full, on=KEYS, suffixes=("", "_at_full"), validate="one_to_one")
    return {
        **_saving(merged),
        "by_gap": {str(gap): _saving(part) for gap, part in merged.groupby("gap", sort=True)},
        "stop_layers": {
            str(int(layer)): int(count)
            for layer, count in rows["stop_layer"].value_counts().sort_index().items()
        },
        "alive_by_layer": _alive_by_layer(rows),
        "change": _change(merged),
    }


def _saving(merged: pd.DataFrame) -> Figures:
    """Shares that are saved: of layers, points, operations and time (median of pairs' ratios)."""
    if merged.empty:
        return {"pairs": 0}
    time = (merged["match_ms"] / merged["match_ms_at_full"]).median()
    return {
        "pairs": len(merged),
        "stop_layer": merged["stop_layer"].mean(),
        "num_layers": int(merged["num_layers"].max()),
        "layers_saved": 1.0 - (merged["stop_layer"] / merged["num_layers"]).mean(),
        "points_pruned": merged["pruned_fraction"].mean(),
        "flops_saved": 1.0 - merged["flops"].sum() / max(merged["flops_at_full"].sum(), 1),
        "time_saved": 1.0 - time,
        "speed_up": 1.0 / time,
        "agreement": merged["agreement"].mean(),
    }


def _alive_by_layer(rows: pd.DataFrame) -> list[Figures]:
    """For each layer: share of the pairs that run it, and there of the points that are left."""
    lists = [list(points) for points in rows["points_per_layer"] if len(points)]
    found: list[Figures] = []
    for layer in range(max(map(len, lists), default=0)):
        reached = [points for points in lists if len(points) > layer]
        left = [points[layer] / points[0] for points in reached if points[0]]
        found.append(
            {
                "layer": layer + 1,
                "pairs": len(reached) / len(lists),
                "points": float(np.mean(left)) if left else math.nan,
            }
        )
    return found


def _change(merged: pd.DataFrame) -> Figures:
    """Each figure of accuracy, adaptive minus full depth, with its 95 % interval."""
    found = {}
    for name in (*ACCURACY, *AREAS):
        column = "pose_error_deg" if name in AREAS else name
        if column in merged:
            ends = merged[f"{column}_at_full"], merged[column]
            found[name] = difference(*ends, statistic_of(name))
    return found


def statistic_of(name: str) -> Statistic | None:
    """How a figure follows from the pairs' numbers: a function of them, or None for the mean."""
    if name in AREAS:
        return lambda errors: pose_auc(errors)[AREAS.index(name)]
    return (lambda values: float(np.median(values))) if name in MEDIANS else None


def difference(first: Any, second: Any, statistic: Statistic | None = None) -> Figures:
    """Second minus first over the same pairs, with its 95 % interval by the paired bootstrap.

    Args:
        first, second: (N,) numbers of the pairs, in the same order.
        statistic: of `statistic_of`.
    """
    found = paired_bootstrap(
        np.asarray(first, dtype=float),
        np.asarray(second, dtype=float),
        resamples=RESAMPLES if statistic is None else RESAMPLES // 4,
        statistic=statistic,
    )
    return asdict(found)


def _tracks(tracks: pd.DataFrame) -> Figures:
    """How long keypoints are carried, and how far they have drifted by then."""
    known = Tracks(
        tracks["start_index"].to_numpy(),
        tracks["length"].to_numpy(),
        tracks["drift_px"].to_numpy(),
        tracks["cut"].to_numpy(),
    )
    lengths = known.length
    carried = lengths > 1
    drift = known.drift[carried & np.isfinite(known.drift)]
    ages = [age for age in TRACK_AGES if age <= lengths.max(initial=0)]
    return {
        "tracks": len(lengths),
        "mean_length": float(lengths.mean()) if len(lengths) else math.nan,
        "mean_length_matched": float(lengths[carried].mean()) if carried.any() else math.nan,
        "longest": int(lengths.max(initial=0)),
        "survival": {str(a): s for a, s in zip(ages, survival(known, ages).tolist(), strict=True)},
        "drift_median_px": float(np.median(drift)) if len(drift) else math.nan,
        "drift_p90_px": float(np.quantile(drift, 0.9)) if len(drift) else math.nan,
        "drift_by_length": _drift_by_length(known),
    }


def _points(clips: pd.DataFrame) -> Figures:
    """TAP-Vid's figures: the means over the clips, and how many points and returns they are of."""
    counts = [name for name in clips if name == "points" or name.startswith("redetections_")]
    means = [name for name in clips if name not in (*counts, *POINT_KEYS)]
    return {
        "clips": len(clips),
        "frames": int(clips["frames"].sum()),
        **{name: int(clips[name].sum()) for name in counts},
        **{name: float(clips[name].mean()) for name in means},
    }


def _drift_by_length(tracks: Tracks) -> list[Figures]:
    """Median drift in the last frame, of tracks of like length."""
    found = []
    edges = [2, *(age + 1 for age in TRACK_AGES[1:]), math.inf]
    for low, high in pairwise(edges):
        here = (tracks.length >= low) & (tracks.length < high) & np.isfinite(tracks.drift)
        if here.any():
            mine = tracks.drift[here]
            found.append(
                {"from": low, "tracks": int(here.sum()), "drift_px": float(np.median(mine))}
            )
    return found
