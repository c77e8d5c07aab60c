"""A prediction run's figures as text, for the terminal and for pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.table import columns, number

HEADLINES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "pose": (
        ("error_deg_median", "median rotation error, degrees", ".2f"),
        ("error_deg_p90", "90 % of rotation errors are below, degrees", ".2f"),
        ("share_1deg", "rotation errors up to 1 degree, %", "%"),
        ("share_5deg", "rotation errors up to 5 degrees, %", "%"),
        ("error_m_median", "median translation error, metres", ".3f"),
        ("nees_mean", "mean NEES, 3 where the covariance is honest", ".2f"),
    ),
    "frames": (
        ("psnr_silhouette", "PSNR in the silhouette, dB", ".2f"),
        ("ssim_silhouette", "SSIM in the silhouette", ".3f"),
        ("iou", "IoU of the silhouettes", ".3f"),
        ("psnr", "PSNR over the frame, dB", ".2f"),
        ("ssim", "SSIM over the frame", ".3f"),
        ("mae", "MAE over the frame", ".4f"),
        ("mse", "MSE over the frame", ".5f"),
        ("mse_sum", "MSE summed over the frame (OpenSTL)", ".1f"),
    ),
}
"""Figures of a task, their titles and formats; the first is the one for a terminal."""

COUNTED = {"pose": "sequences", "frames": "windows"}
"""What a row's figures are over, by task, and the key of how many."""

Row = Mapping[str, Any]


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by motion, noise and source of poses, in order of appearance, under a title each.

    Rows of models that look at no poses are in every group of their motion.
    """
    found: dict[tuple[Any, ...], list[Row]] = {}
    blind: dict[Any, list[Row]] = {}
    for row in rows:
        if row.get("poses") is None:
            blind.setdefault(_motion(row), []).append(row)
        else:
            key = (_motion(row), row["poses"], row["noise_deg"])
            found.setdefault(key, []).append(row)
    for motion in blind:
        if not any(key[0] == motion for key in found):
            found[(motion, None, None)] = []
    return {_title(key): [*blind.get(key[0], []), *mine] for key, mine in found.items()}


def _motion(row: Row) -> str:
    target = row.get("target")
    return row["motion"] if target is None else f"{target} {row['motion']}"


def _title(key: tuple[Any, ...]) -> str:
    motion, poses, noise_deg = key
    return ", ".join(filter(None, (str(motion), source_words(poses, noise_deg))))


def source_words(poses: str | None, noise_deg: float | None) -> str:
    """A source of poses in words; "" where a model looks at none.

    Args:
        poses: its name; None or "" for none.
        noise_deg: of the poses; None or NaN (as tables have it) where it is not known.
    """
    if not poses:
        return ""
    degrees = 0.0 if noise_deg is None or math.isnan(noise_deg) else noise_deg
    if poses in ("true", "noisy"):
        return f"noise {degrees:.3g} deg"
    return f"poses by {poses}" + (f" ({degrees:.2g} deg)" if degrees else "")


def figure_table(rows: Sequence[Row], name: str, style: str) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a figure by model and horizon."""
    horizons = sorted({row["horizon"] for row in rows})
    models = dict.fromkeys(row["model"] for row in rows)
    found = {(row["model"], row["horizon"]): row.get(name) for row in rows}
    heads = ["frames ahead", *map(str, horizons)]
    body = [[m, *(number(found.get((m, h)), style) for h in horizons)] for m in models]
    return heads, body


def cost_table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]] | None:
    """Heads and rows of what each model took: numbers that it learnt, frames a second.

    None for rows that do not say.
    """
    found = {
        (row["model"], source_words(row["poses"], row["noise_deg"])): (
            f"{row['parameters']:,}",
            f"{row['frames_s']:,.0f}",
        )
        for row in rows
        if "frames_s" in row
    }
    body = [[", ".join(filter(None, key)), *cells] for key, cells in found.items()]
    return (["", "parameters", "frames a second"], body) if body else None


def table(summary: Mapping[str, Any]) -> str:
    """The first figure of the task by motion, noise, model and horizon, and what models took."""
    name, title, style = HEADLINES[summary["task"]][0]
    blocks = []
    for heading, rows in groups(summary["rows"]).items():
        heads, body = figure_table(rows, name, style)
        counted = COUNTED[summary["task"]]
        count = max(row[counted] for row in rows)
        blocks.append(f"{heading}, {count} {counted}: {title}\n{columns([heads, *body])}")
    if costs := cost_table(summary["rows"]):
        heads, body = costs
        blocks.append(columns([heads, *body]))
    for dataset, found in summary.get("pose_errors", {}).items():
        blocks.append(poses_line(dataset, found))
    return "\n\n".join(blocks)


def poses_line(dataset: str, found: Mapping[str, Any]) -> str:
    """A line about the poses that a matcher found."""
    if not found["found"]:
        return (
            f"{dataset}: no pose was found in any of {found['frames']} frames; forecasts know "
            "nothing but poses that are given"
        )
    return (
        f"{dataset}: poses of {found['found']} of {found['frames']} frames were found, "
        f"{found['median_deg']:.3f} degrees off in the median, {found['worst_deg']:.2f} at worst, "
        f"and {found['median_m']:.3f} m"
    )
