"""The learning curves of a run: loss, precision, recall and stopping layer over steps."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matchers.training.checkpoint import read_log
from matchers.training.trainer import LOG, VALIDATION
from satgen.atomic import write_atomic

CURVES = "curves.png"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


def draw_curves(folder: Path, stages: Sequence[str]) -> Path | None:
    """Draw the logs of a run's stages, one after another, into `CURVES`; None without any line.

    Args:
        folder: of the run.
        stages: those that have run, in order.

    Raises:
        OSError: the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    trained = {stage: read_log(folder / stage / LOG) for stage in stages}
    checked = {stage: read_log(folder / stage / VALIDATION) for stage in stages}
    if not any(trained.values()):
        return None
    figure = Figure(figsize=(11.0, 7.5))
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2).ravel()
    figure.subplots_adjust(0.05, 0.06, 0.91, 0.97, wspace=0.34, hspace=0.22)
    start = 0
    for stage in stages:
        rows, checks = trained[stage], checked[stage]
        if not rows:
            continue
        gaps = [name[3:] for name in (checks[0] if checks else {}) if name.startswith("f1_")]
        _line(panels[0], rows, start, "loss", "training", _COLOURS[0], thin=True)
        _line(panels[0], checks, start, "loss", "validation", _COLOURS[1])
        for i, name in enumerate(("precision", "recall", "f1")):
            _line(panels[1], checks, start, name, name.replace("f1", "F1"), _COLOURS[i])
        for i, gap in enumerate(gaps):
            _line(panels[2], checks, start, f"f1_{gap}", f"gap {gap}", f"C{i}")
            _line(panels[3], checks, start, f"stop_layer_{gap}", f"gap {gap}", f"C{i}", thin=True)
        _line(panels[3], checks, start, "stop_layer", "all gaps", "black")
        last = max(int(row["step"]) for row in rows)
        for panel in panels:
            panel.axvline(start + last, color="0.7", linewidth=0.8, zorder=0)
            panel.text(
                start + last, 1.01, stage, transform=panel.get_xaxis_transform(), ha="right",
                va="bottom", fontsize=7, color="0.5",
            )  # fmt: skip
        start += last
    titles = ("loss", "validation, all gaps", "validation: F1 by gap", "validation: stopping layer")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_xlim(0, start)
        panel.set_title(title, fontsize=9, loc="left")
        panel.set_xlabel("steps", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(color="0.93")
        handles, labels = panel.get_legend_handles_labels()
        once = dict(zip(reversed(labels), reversed(handles), strict=True))
        if not once:  # SuperGlue stops at no layer
            panel.remove()
        else:
            panel.legend(
                list(once.values())[::-1], list(once)[::-1], fontsize=7, edgecolor="none",
                loc="upper left", bbox_to_anchor=(1.0, 1.0),
            )  # fmt: skip
    for panel in panels[1:3]:
        panel.set_ylim(0.0, 1.0)
    panels[3].set_ylim(0.0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    path = folder / CURVES
    write_atomic(path, buffer.getvalue())
    return path


def _line(
    panel: Any,
    rows: list[dict[str, str]],
    start: int,
    name: str,
    label: str,
    colour: str,
    *,
    thin: bool = False,
) -> None:
    """A stage's part of a curve, if it has any number."""
    points = [(start + int(row["step"]), float(row[name] or math.nan)) for row in rows]
    if not any(math.isfinite(y) for _, y in points):
        return
    panel.plot(
        *zip(*points, strict=True),
        color=colour,
        linewidth=0.7 if thin else 1.4,
        marker="." if len(points) < 30 else None,
        markersize=3,
        label=label,
    )
