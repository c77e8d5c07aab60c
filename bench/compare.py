"""Two runs side by side, with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.result import clean
from bench.run import BenchResult
from bench.summary import (
    ACCURACY,
    AREAS,
    DIGITS,
    KEYS,
    POINT_KEYS,
    Figures,
    difference,
    figures,
    statistic_of,
)
from bench.table import POINTS, columns, estimator, number
from satgen.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

WORK = ("match_ms", "stop_layer", "flops")
"""Figures that are compared besides those of accuracy."""


FEW_CLIPS = 6
"""Of fewer clips than these no interval is given: a draw of them says nothing."""

BY_GAP = {"f1": "F1", "auc_5deg": "AUC@5°"}
"""Figures that the terminal shows for every gap, and their headings."""


def compare(run_a: str | Path, run_b: str | Path) -> Figures:
    """Compare two runs on the pairs that both have.

    A combination is compared with the one of the same name; where the runs share no name but have
    one combination each, or one of each is named, these are. Intervals are of 95 %, of the run B
    minus the run A.

    Args:
        run_a, run_b: folders of `satgen bench`, or FOLDER:COMBINATION with the id of one of its
            combinations.

    Raises:
        InputError: a folder that is no finished run, a combination that it has not, runs that were
            counted by other rules, or without a common pair or combination.
    """
    (known_a, table_a), (known_b, table_b) = _read(run_a), _read(run_b)
    _check_counting({run_a: known_a, run_b: known_b})
    compared = []
    points = {side: _points(run) for side, run in (("a", run_a), ("b", run_b))}
    for a, b in _partners(known_a, known_b, run_a, run_b):
        rows_a = table_a[table_a["combination"] == a["id"]]
        rows_b = table_b[table_b["combination"] == b["id"]]
        merged = rows_a.merge(rows_b, on=KEYS, suffixes=("_a", "_b"), validate="one_to_one")
        if merged.empty:
            raise InputError(f"{run_a} and {run_b}: {a['label']}: no pair in common")
        compared.append(
            {
                "a": a["label"],
                "b": b["label"],
                "pairs": len(merged),
                "overall": _differences(merged),
                "by_gap": {
                    str(gap): _differences(part) for gap, part in merged.groupby("gap_a", sort=True)
                },
                "points": _point_differences(points["a"], points["b"], a["id"], b["id"]),
            }
        )
    poses = [estimator(known["config"]) for known in (known_a, known_b)]
    found: Figures = clean(
        {"a": str(run_a), "b": str(run_b), "poses": poses, "combinations": compared},
        DIGITS,
    )
    return found


def comparison_table(answer: Figures) -> str:
    """What `compare` found, for the terminal; intervals that leave out 0 are marked."""
    a, b = answer["poses"]
    blocks = [f"A  {answer['a']} (poses: {a})\nB  {answer['b']} (poses: {b})"]
    for entry in answer["combinations"]:
        same = entry["a"] == entry["b"]
        title = entry["a"] if same else f"A: {entry['a']}, B: {entry['b']}"
        rows = [["figure", "A", "B", "B - A", "95 % interval", "pairs", ""]]
        for name, found in entry["overall"].items():
            style = "%" if name in (*ACCURACY, *AREAS) else ".4g"
            rows.append([name, *_cells(found, style)])
        blocks.append(f"{title}, {entry['pairs']} pairs (shares in per cent)\n{columns(rows)}")
        for name, heading in BY_GAP.items():
            gaps = [["gap", f"{heading} A", f"{heading} B", *rows[0][3:]]]
            gaps += [
                [gap, *_cells(figure[name], "%")]
                for gap, figure in entry["by_gap"].items()
                if name in figure
            ]
            if len(gaps) > 1:
                blocks.append(columns(gaps))
        if entry["points"]:
            rows = [["points carried", *rows[0][1:5], "clips", ""]]
            rows += [[name, *_cells(found, "%")] for name, found in entry["points"].items()]
            blocks.append(columns(rows))
    return "\n\n".join([*blocks, "* the interval leaves out 0"])


def _points(run: str | Path) -> pd.DataFrame | None:
    """What became of points in a run, or RUN:COMBINATION."""
    folder = str(run) if Path(run).exists() else str(run).rpartition(":")[0]
    return BenchResult(folder).points


def _point_differences(
    mine: pd.DataFrame | None, theirs: pd.DataFrame | None, a: str, b: str
) -> Figures:
    """TAP-Vid's figures of either run, and the difference, over the clips that both have."""
    if mine is None or theirs is None:
        return {}
    keys = [name for name in POINT_KEYS if name != "combination"]
    merged = mine[mine["combination"] == a].merge(
        theirs[theirs["combination"] == b], on=keys, suffixes=("_a", "_b"), validate="one_to_one"
    )
    found: Figures = {}
    for _, name, _ in POINTS if len(merged) else ():
        first, second = merged[f"{name}_a"], merged[f"{name}_b"]
        numbers = difference(first, second)
        if numbers["pairs"] < FEW_CLIPS:
            numbers |= {"low": None, "high": None}
        if numbers["pairs"]:
            found[name] = {"a": float(first.mean()), "b": float(second.mean())} | numbers
    return found


def _cells(found: Figures, style: str) -> list[str]:
    """Both figures, their difference, its interval, the pairs, and a mark where it leaves out 0."""
    numbers = [number(found[key], style) for key in ("a", "b", "difference")]
    interval = f"{number(found['low'], style)} … {number(found['high'], style)}"
    return [*numbers, interval, str(found["pairs"]), "*" if significant(found) else ""]


def significant(found: Figures) -> bool:
    """Whether an interval leaves out 0."""
    low, high = found["low"], found["high"]
    return low is not None and high is not None and (low > 0.0 or high < 0.0)


def _read(run: str | Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Description and table of a run, of only the combination that is named behind the folder."""
    folder, _, wanted = str(run).rpartition(":")
    if not folder or Path(run).exists():
        result = BenchResult(run)
        return result.description, _with_rolls(result.table)
    result = BenchResult(folder)
    known = result.description
    chosen = [entry for entry in known["combinations"] if entry["id"] == wanted]
    if not chosen:
        ids = ", ".join(entry["id"] for entry in known["combinations"])
        raise InputError(f"{folder}: combination {wanted!r}: must be one of {ids}")
    return known | {"combinations": chosen}, _with_rolls(result.table)


def _check_counting(runs: dict[str | Path, dict[str, Any]]) -> None:
    """Refuse runs of which one counts keypoints by other rules than another."""
    rules = {run: known.get("counting", 1) for run, known in runs.items()}
    oldest = min(rules, key=lambda run: rules[run])
    if rules[oldest] != max(rules.values()):
        raise InputError(
            f"{oldest}: was counted by older rules, in which keypoints in one place counted more "
            "than once: run it again"
        )


def _with_rolls(table: pd.DataFrame) -> pd.DataFrame:
    """A table of pairs; before there were rolls, all were upright."""
    return table if "roll_gap_deg" in table else table.assign(roll_gap_deg=0.0)


def _partners(
    known_a: dict[str, Any], known_b: dict[str, Any], run_a: str | Path, run_b: str | Path
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    mine = {entry["id"]: entry for entry in known_a["combinations"]}
    theirs = {entry["id"]: entry for entry in known_b["combinations"]}
    found = partners(list(mine), list(theirs), run_a, run_b, "COMBINATION")
    return [(mine[name], theirs[other]) for name, other in found]


def partners(
    mine: Sequence[str], theirs: Sequence[str], run_a: str | Path, run_b: str | Path, what: str
) -> list[tuple[str, str]]:
    """Which of two runs' ways are put side by side: those of one name, or the only one of each.

    Args:
        mine, theirs: names of the ways that the runs have.
        run_a, run_b: the runs, for messages.
        what: a way is called after the colon of RUN:WHAT.

    Raises:
        InputError: they share none, and one of them has several.
    """
    if common := [name for name in mine if name in theirs]:
        return [(name, name) for name in common]
    if len(mine) == len(theirs) == 1:
        return [(mine[0], theirs[0])]
    raise InputError(
        f"{run_a} has {', '.join(mine)}, {run_b} has {', '.join(theirs)}: must share one, or have "
        f"one each; RUN:{what} picks one"
    )


def _differences(merged: pd.DataFrame) -> Figures:
    """Each figure of either run and the difference."""
    found: Figures = {}
    sides = [
        figures(merged.rename(columns=lambda c, s=side: c.removesuffix(f"_{s}")))
        for side in ("a", "b")
    ]
    for name in (*ACCURACY, *AREAS, *WORK):
        column = "pose_error_deg" if name in AREAS else name
        if f"{column}_a" in merged and f"{column}_b" in merged:
            numbers = difference(merged[f"{column}_a"], merged[f"{column}_b"], statistic_of(name))
            if numbers["pairs"]:
                ends = {side: values.get(name) for side, values in zip("ab", sides, strict=True)}
                found[name] = ends | numbers
    return found
