"""A prediction run's page and plots."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.page import html_plot, html_table, page
from bench.predict.table import HEADLINES, cost_table, figure_table, groups, poses_line
from satgen.atomic import write_atomic
from satgen.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

DEFINITIONS = {
    "pose": (
        ("rotation error", "geodesic angle between the forecast rotation and the true one."),
        ("NEES", "d^T P^-1 d of the rotation error d and the covariance P that the model gives: 3 "
         "in the mean where that is honest, larger where it promises too much."),
        ("share up to 1 and 5 degrees", "of the windows."),
        ("noise", "standard deviation of the observed rotations; of the lab protocol about each "
         "axis, of free rotation that of the angle about a random axis."),
    ),
    "frames": (
        ("PSNR in the silhouette", "over the pixels where the target truly is or where the "
         "forecast has it. The background is easy: a black frame scores 20 dB and more over the "
         "whole frame, which is why it is in the table."),
        ("SSIM", "Wang et al. 2004 as scikit-image, data_range 1; in the silhouette: the mean of "
         "its map over the same pixels as of PSNR there."),
        ("IoU", "intersection over union of the true silhouette and the forecast one."),
        ("MSE summed over the frame", "OpenSTL's convention: it grows with the frame's size; "
         "results.json has MAE likewise, as mae_sum."),
        ("frames a second", "forecast by one process here, of the horizons asked for, without "
         "the start of the renderer."),
    ),
}  # fmt: skip
"""Terms of a task's tables."""


def write_report(folder: Path, summary: Mapping[str, Any], pictures: str) -> Path:
    """plots/NAME.png and .svg, and report.html; the page's path.

    Args:
        folder: of the run.
        summary: its results.json.
        pictures: HTML about single windows.

    Raises:
        RunError: a file cannot be written.
    """
    from bench import plots
    from bench.predict.plots import draw
    from bench.predict.run import PLOTS
    from bench.result import PAGE

    try:
        drawn = draw(summary)
        for name, plot in drawn.items():
            plots.save(plot.whole, folder / PLOTS, name)
        parts = [_head(summary)]
        for name, plot in drawn.items():
            parts.append(f"<h2>{escape(plot.title)}</h2>{html_plot(name, plot)}")
        parts += [*_tables(summary), pictures, _definitions(summary["task"])]
        title = f"satgen predict: {summary['task']}, {summary['protocol']['name']}"
        write_atomic(folder / PAGE, page(title, parts).encode())
    except OSError as error:
        raise RunError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return folder / PAGE


def _head(summary: Mapping[str, Any]) -> str:
    machine, versions = summary["machine"], summary["versions"]
    datasets = "; ".join(
        f"{entry['name']} ({entry['motion']}, {entry['frames']} frames)"
        for entry in summary["datasets"]
    )
    protocol = summary["protocol"]
    rules = ", ".join(f"{name} {value}" for name, value in protocol.items() if name != "name")
    lines = [
        f"{protocol['name']}: {rules}",
        datasets,
        *(poses_line(name, found) for name, found in summary.get("pose_errors", {}).items()),
        f"{machine['cpu']}, {machine['cores']} cores, {machine['device']}; {machine['platform']}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    what = {"pose": "Poses, forecast", "frames": "Frames, forecast"}[summary["task"]]
    return (
        f"<h1>{what}</h1><p><code>{escape(summary['command'])}</code></p>"
        f'<p class="faint">{"<br>".join(escape(line) for line in lines if line)}</p>'
    )


def _tables(summary: Mapping[str, Any]) -> list[str]:
    """Every figure by model and horizon, the first of each motion open."""
    parts = ["<h2>Tables</h2>"]
    for title, rows in groups(summary["rows"]).items():
        parts.append(f"<h3>{escape(title)}</h3>")
        for place, (name, heading, style) in enumerate(HEADLINES[summary["task"]]):
            if all(row.get(name) is None for row in rows):
                continue
            heads, body = figure_table(rows, name, style)
            shown = "" if place else " open"
            parts.append(
                f"<details{shown}><summary>{escape(heading)}</summary>"
                f"{html_table(heads, body)}</details>"
            )
    if costs := cost_table(summary["rows"]):
        parts.append(f"<h3>What models took</h3>{html_table(*costs)}")
    return parts


def _definitions(task: str) -> str:
    items = "".join(
        f"<dt><b>{escape(term)}</b></dt><dd>{escape(text)}</dd>" for term, text in DEFINITIONS[task]
    )
    return f"<h2>Terms</h2><dl>{items}</dl>"


def worst_poses(table: pd.DataFrame, most: int = 5) -> str:
    """The windows with the largest errors at the longest horizon, of each model and motion."""
    last = table[table["horizon"] == table["horizon"].max()]
    rows = []
    keys = ["motion", "noise_deg", "model"]
    for (motion, noise_deg, model), mine in last.groupby(keys, sort=False):
        worst = mine.sort_values(["error_deg", "window"], ascending=[False, True]).head(most)
        shown = ", ".join(
            f"{row.error_deg:.1f}° (window {row.window}, from {row.start_s:g} s)"
            for row in worst.itertuples()
        )
        rows.append([f"{motion}, noise {noise_deg:.3g}°", str(model), shown])
    heads = ["", "model", f"largest rotation errors {int(last['horizon'].max())} frames ahead"]
    return f"<h2>The worst windows</h2>{html_table(heads, rows, words=True)}"
