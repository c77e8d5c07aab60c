"""Two prediction runs side by side, with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.compare import partners
from bench.predict.run import clean, read_run
from bench.statistics import paired_bootstrap
from bench.table import columns, number
from satgen.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FIGURES: dict[str, tuple[tuple[str, str], ...]] = {
    "pose": (("error_deg", ".3f"), ("error_m", ".4f")),
    "frames": (("psnr_silhouette", ".3f"), ("psnr", ".3f"), ("ssim", ".4f"), ("iou", ".4f")),
}
"""Figures of a window that are compared, by task, and their formats."""

KEYS = {
    "pose": ("motion", "noise_deg", "window", "start_s", "horizon"),
    "frames": ("dataset", "motion", "start", "horizon"),
}
"""What tells a window and horizon from others."""

GROUPS = {"pose": ("motion", "noise_deg", "horizon"), "frames": ("motion", "horizon")}

RESAMPLES = 2000


def compare(run_a: str | Path, run_b: str | Path) -> dict[str, Any]:
    """Compare two runs on the windows that both have: means, and run B minus run A.

    A model is compared with the one of the same name; where the runs share no name but have one
    model each, or one of each is named, these are. Intervals are of 95 %, by a bootstrap of whole
    windows. Windows that overlap are not independent, so an interval is rather too narrow.

    Args:
        run_a, run_b: folders of `satgen predict`, or FOLDER:MODEL.

    Raises:
        InputError: a folder that is no finished run, a model that it has not, runs of different
            tasks, or without a common window or model.
    """
    (task, table_a), (other, table_b) = _read(run_a), _read(run_b)
    if task != other:
        raise InputError(f"{run_a} is of {task}, {run_b} of {other}: must be of the same task")
    keys, figures = list(KEYS[task]), [name for name, _ in FIGURES[task]]
    compared = []
    for a, b in _partners(table_a, table_b, run_a, run_b):
        sides = [
            table[table["model"] == model][[*keys, *figures, *_sources(task)]]
            for table, model in ((table_a, a), (table_b, b))
        ]
        merged = sides[0].merge(sides[1], on=[*keys, *_shared(task, sides)], suffixes=("_a", "_b"))
        if merged.empty:
            raise InputError(f"{run_a} and {run_b}: {a} and {b}: no window in common")
        for group, mine in merged.groupby(list(GROUPS[task]), sort=False):
            entry = {"a": a, "b": b, **dict(zip(GROUPS[task], group, strict=True))}
            for name in figures:
                first, second = mine[f"{name}_a"], mine[f"{name}_b"]
                found = paired_bootstrap(first, second, resamples=RESAMPLES)
                entry[name] = {"a": float(first.mean()), "b": float(second.mean()), **vars(found)}
            entry["windows"] = len(mine)
            compared.append(entry)
    answer: dict[str, Any] = clean(
        {"a": str(run_a), "b": str(run_b), "task": task, "rows": compared}
    )
    return answer


def comparison_table(answer: dict[str, Any]) -> str:
    """What `compare` found, for the terminal; intervals that leave out 0 are marked."""
    task = answer["task"]
    name, style = FIGURES[task][0]
    heads = [*GROUPS[task], "A", "B", "B - A", "95 % interval", "windows", ""]
    blocks = [f"A  {answer['a']}\nB  {answer['b']}"]
    pairs = dict.fromkeys((row["a"], row["b"]) for row in answer["rows"])
    for a, b in pairs:
        rows = [heads]
        for row in answer["rows"]:
            if (row["a"], row["b"]) == (a, b):
                found = row[name]
                low, high = found["low"], found["high"]
                cells = [number(found[key], style) for key in ("a", "b", "difference")]
                marked = low is not None and (low > 0.0 or high < 0.0)
                rows.append(
                    [
                        *(_word(row[key]) for key in GROUPS[task]),
                        *cells,
                        f"{number(low, style)} … {number(high, style)}",
                        str(row["windows"]),
                        "*" if marked else "",
                    ]
                )
        title = a if a == b else f"A: {a}, B: {b}"
        blocks.append(f"{title}: mean {name}\n{columns(rows)}")
    return "\n\n".join([*blocks, "* the interval leaves out 0"])


def _word(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _sources(task: str) -> tuple[str, ...]:
    return ("poses", "noise_deg") if task == "frames" else ()


def _shared(task: str, sides: Sequence[pd.DataFrame]) -> list[str]:
    """Source of the poses, where both models look at the same ones."""
    both = [set(side["poses"]) for side in sides] if task == "frames" else [set(), set()]
    return ["poses", "noise_deg"] if both[0] & both[1] else []


def _read(run: str | Path) -> tuple[str, pd.DataFrame]:
    """Task and table of a run, of only the model that is named behind the folder, if one is."""
    if Path(run).exists():
        summary, table = read_run(Path(run))
        return summary["task"], table
    words = str(run).split(":")
    for place in range(len(words) - 1, 0, -1):  # a model of one's own has a colon, too
        folder, wanted = ":".join(words[:place]), ":".join(words[place:])
        if Path(folder).exists():
            summary, table = read_run(Path(folder))
            chosen = table[table["model"] == wanted]
            if chosen.empty:
                known = ", ".join(dict.fromkeys(table["model"]))
                raise InputError(f"{folder}: model {wanted!r}: must be one of {known}")
            return summary["task"], chosen
    raise InputError(f"{run}: no finished run of satgen predict")


def _partners(
    table_a: pd.DataFrame, table_b: pd.DataFrame, run_a: str | Path, run_b: str | Path
) -> list[tuple[str, str]]:
    mine, theirs = (list(dict.fromkeys(table["model"])) for table in (table_a, table_b))
    return partners(mine, theirs, run_a, run_b, "MODEL")
