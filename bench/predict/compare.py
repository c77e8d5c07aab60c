"""Two prediction runs side by side, with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.compare import partners
from bench.predict.config import TRUE
from bench.predict.run import PredictResult
from bench.predict.table import source_words
from bench.result import clean
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

SOURCES = ("poses_a", "noise_deg_a", "poses_b", "noise_deg_b")
"""Where the poses come from that each side looks at; "" and None where it looks at none."""

RESAMPLES = 2000


def compare(run_a: str | Path, run_b: str | Path) -> dict[str, Any]:
    """Compare two runs on the windows that both have: means, and run B minus run A.

    A model is compared with the one of the same name; where the runs share no name but have one
    model each, or one of each is named, these are. Of frames, and of poses that a matcher found,
    each source of the poses that a model looks at is compared by itself. Intervals are of 95 %, by
    a bootstrap of whole windows. Windows that overlap are not independent, so an interval is rather
    too narrow.

    Args:
        run_a, run_b: folders of `satgen predict`, or FOLDER:MODEL.

    Raises:
        InputError: a folder that is no finished run, a model that it has not, runs of different
            tasks, or without a common window or model.
    """
    (told_a, table_a), (told_b, table_b) = _read(run_a), _read(run_b)
    task, other = told_a["task"], told_b["task"]
    if task != other:
        raise InputError(f"{run_a} is of {task}, {run_b} of {other}: must be of the same task")
    alike = bool(set(table_a["noise_deg"]) & set(table_b["noise_deg"]))
    keys, groups = _keys(told_a, told_b, alike)
    figures = [name for name, _ in FIGURES[task]]
    compared = []
    for a, b in _partners(table_a, table_b, run_a, run_b):
        sides = table_a[table_a["model"] == a], table_b[table_b["model"] == b]
        merged = _merged(*sides, keys, figures, "poses_a" in groups)
        if merged.empty:
            raise InputError(f"{run_a} and {run_b}: {a} and {b}: no window in common")
        for group, mine in merged.groupby(list(groups), sort=False, dropna=False):
            entry = {"a": a, "b": b, **dict(zip(groups, group, strict=True))}
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


def _keys(
    told_a: Mapping[str, Any], told_b: Mapping[str, Any], alike: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns that tell a window and horizon from others, and what a row of a comparison is of.

    Args:
        told_a, told_b: descriptions of two runs of the same task.
        alike: whether some noise is the same in both.
    """
    if told_a["task"] == "frames":
        keys: tuple[str, ...] = ("dataset", "target", "motion", "start", "horizon")
        return keys, ("target", "motion", *SOURCES, "horizon")
    # Of a dataset the time is enough: windows where no pose was found are not counted.
    number = () if told_a["datasets"] and told_b["datasets"] else ("window",)
    keys = ("motion", *number, "start_s", "horizon")
    if told_a["poses"] == told_b["poses"] and (alike or told_a["poses"] == TRUE):
        return ("noise_deg", *keys), ("motion", "noise_deg", "horizon")
    return keys, ("motion", *SOURCES, "horizon")


def _merged(
    side_a: pd.DataFrame,
    side_b: pd.DataFrame,
    keys: Sequence[str],
    figures: Sequence[str],
    by_source: bool,
) -> pd.DataFrame:
    """Windows and horizons that two models share; figures and sources with _a and _b behind.

    By source, models that look at poses are compared with the same ones, where both have looked at
    some; else each source of the one with each of the other.
    """
    names = [*figures, *(("poses", "noise_deg") if by_source else ())]
    sides = [
        side[[*keys, *names]].rename(columns={name: f"{name}{end}" for name in names})
        for side, end in ((side_a, "_a"), (side_b, "_b"))
    ]
    merged = sides[0].merge(sides[1], on=list(keys))
    if by_source:
        noise = [merged[f"noise_deg{end}"].fillna(-1.0) for end in ("_a", "_b")]
        same = (merged["poses_a"] == merged["poses_b"]) & (noise[0] == noise[1])
        merged = merged[same] if same.any() else merged
    return merged


def comparison_table(answer: dict[str, Any]) -> str:
    """What `compare` found, for the terminal; intervals that leave out 0 are marked."""
    task = answer["task"]
    name, style = FIGURES[task][0]
    middle = "noise_deg" if "noise_deg" in answer["rows"][0] else "poses"
    heads = ["motion", middle, "horizon", "A", "B", "B - A", "95 % interval", "windows", ""]
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
                        *_group_words(row),
                        *cells,
                        f"{number(low, style)} … {number(high, style)}",
                        str(row["windows"]),
                        "*" if marked else "",
                    ]
                )
        title = a if a == b else f"A: {a}, B: {b}"
        blocks.append(f"{title}: mean {name}\n{columns(rows)}")
    return "\n\n".join([*blocks, "* the interval leaves out 0"])


def _group_words(row: dict[str, Any]) -> list[str]:
    """What a row is of: its motion, noise or sources of poses, and horizon."""
    motion = " ".join(filter(None, (row.get("target"), row["motion"])))
    if "noise_deg" in row:
        return [motion, f"{row['noise_deg']:.3g}", str(row["horizon"])]
    sides = [source_words(row[f"poses_{side}"], row[f"noise_deg_{side}"]) for side in "ab"]
    poses = " : ".join(dict.fromkeys(word for word in sides if word))
    return [motion, poses, str(row["horizon"])]


def _read(run: str | Path) -> tuple[Mapping[str, Any], pd.DataFrame]:
    """Description and table of a run, of only the model that is named behind the folder, if one is;
    with where the poses come from."""
    if Path(run).exists():
        result = PredictResult(run)
        return result.description, _with_source(result)
    words = str(run).split(":")
    for place in range(len(words) - 1, 0, -1):  # a model of one's own has a colon, too
        folder, wanted = ":".join(words[:place]), ":".join(words[place:])
        if Path(folder).exists():
            result = PredictResult(folder)
            chosen = _with_source(result)
            chosen = chosen[chosen["model"] == wanted]
            if chosen.empty:
                known = ", ".join(dict.fromkeys(result.table["model"]))
                raise InputError(f"{folder}: model {wanted!r}: must be one of {known}")
            return result.description, chosen
    raise InputError(f"{run}: no finished run of satgen predict")


def _with_source(result: PredictResult) -> pd.DataFrame:
    """The windows of a run, each with the source of its poses."""
    table = result.table
    return table if "poses" in table else table.assign(poses=result.description["poses"])


def _partners(
    table_a: pd.DataFrame, table_b: pd.DataFrame, run_a: str | Path, run_b: str | Path
) -> list[tuple[str, str]]:
    mine, theirs = (list(dict.fromkeys(table["model"])) for table in (table_a, table_b))
    return partners(mine, theirs, run_a, run_b, "MODEL")
