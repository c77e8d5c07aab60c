"""Two runs side by side, with paired bootstrap intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.run import read_run
from bench.summary import ACCURACY, AREAS, KEYS, Figures, clean, difference, figures, statistic_of
from bench.table import columns, number
from satgen.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

WORK = ("match_ms", "stop_layer", "flops")
"""Figures that are compared besides those of accuracy."""


def compare(run_a: Path, run_b: Path) -> Figures:
    """Compare two runs on the pairs that both have.

    A combination is compared with the one of the same name; where the runs share no name but have
    one combination each, these are. Intervals are of 95 %, of the run B minus the run A.

    Args:
        run_a, run_b: folders of `satgen bench`.

    Raises:
        InputError: a folder that is no finished run, or runs without a common pair or combination.
    """
    (known_a, table_a), (known_b, table_b) = read_run(run_a), read_run(run_b)
    compared = []
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
            }
        )
    found: Figures = clean({"a": str(run_a), "b": str(run_b), "combinations": compared})
    return found


def comparison_table(answer: Figures) -> str:
    """What `compare` found, for the terminal; intervals that leave out 0 are marked."""
    blocks = [f"A  {answer['a']}\nB  {answer['b']}"]
    for entry in answer["combinations"]:
        same = entry["a"] == entry["b"]
        title = entry["a"] if same else f"A: {entry['a']}, B: {entry['b']}"
        rows = [["figure", "A", "B", "B - A", "95 % interval", "pairs", ""]]
        for name, found in entry["overall"].items():
            style = "%" if name in (*ACCURACY, *AREAS) else ".4g"
            interval = f"{number(found['low'], style)} … {number(found['high'], style)}"
            numbers = [number(found[key], style) for key in ("a", "b", "difference")]
            mark = "*" if significant(found) else ""
            rows.append([name, *numbers, interval, str(found["pairs"]), mark])
        gaps = [["gap", "F1 A", "F1 B", "B - A", "95 % interval", "pairs", ""]]
        for gap, figure in entry["by_gap"].items():
            if (found := figure.get("f1")) is not None:
                numbers = [number(found[key], "%") for key in ("a", "b", "difference")]
                interval = f"{number(found['low'], '%')} … {number(found['high'], '%')}"
                mark = "*" if significant(found) else ""
                gaps.append([gap, *numbers, interval, str(found["pairs"]), mark])
        blocks.append(f"{title}, {entry['pairs']} pairs (shares in per cent)\n{columns(rows)}")
        if len(gaps) > 1:
            blocks.append(columns(gaps))
    return "\n\n".join([*blocks, "* the interval leaves out 0"])


def significant(found: Figures) -> bool:
    """Whether an interval leaves out 0."""
    low, high = found["low"], found["high"]
    return low is not None and high is not None and (low > 0.0 or high < 0.0)


def _partners(
    known_a: dict[str, Any], known_b: dict[str, Any], run_a: Path, run_b: Path
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    mine = {entry["id"]: entry for entry in known_a["combinations"]}
    theirs = {entry["id"]: entry for entry in known_b["combinations"]}
    if common := [name for name in mine if name in theirs]:
        return [(mine[name], theirs[name]) for name in common]
    if len(mine) == len(theirs) == 1:
        return [(next(iter(mine.values())), next(iter(theirs.values())))]
    raise InputError(
        f"{run_a} has {', '.join(mine)}, {run_b} has {', '.join(theirs)}: must share one, or have "
        f"one each"
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
