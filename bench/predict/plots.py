"""A prediction run's figures over the horizon: plots of each motion and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.plots import COLOURS, Plot, Sheet, Sheets, plot_of
from bench.predict.table import groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]

COLUMNS = 3
"""Panels of a plot side by side; more motions and noises go to further plots."""

PLOTS: dict[str, tuple[tuple[str, str, str, bool], ...]] = {
    "pose": (
        ("error", "error_deg_median", "median rotation error (°)", True),
        ("nees", "nees_mean", "mean NEES (3: honest)", True),
    ),
    "frames": (
        ("psnr_silhouette", "psnr_silhouette", "PSNR in the silhouette (dB)", False),
        ("psnr", "psnr", "PSNR over the frame (dB)", False),
        ("iou", "iou", "IoU of the silhouettes", False),
    ),
}
"""Of a task: file name, figure, title, and whether the axis is logarithmic."""

NEES_NOTE = (
    "NEES: squared error by the covariance that the model itself gives. The grey band is where the "
    "mean lies 95 times of 100 if that covariance is honest; above it the model promises too much."
)


def draw(summary: Mapping[str, Any]) -> dict[str, Plot]:
    """All plots that a summary has figures for, by name."""
    found: dict[str, Plot] = {}
    panels = list(groups(summary["rows"]).items())
    models = list(dict.fromkeys(row["model"] for row in summary["rows"]))
    for name, figure, title, log in PLOTS[summary["task"]]:
        for start in range(0, len(panels), COLUMNS):
            some = panels[start : start + COLUMNS]
            make = partial(_figure, some, models, figure, log)
            number = start // COLUMNS + 1
            part = f", {number}" if len(panels) > COLUMNS else ""
            plot = plot_of(f"{title}{part}", make, NEES_NOTE if figure == "nees_mean" else "")
            if plot is not None:
                found[f"{name}_{number}" if len(panels) > COLUMNS else name] = plot
    return found


def _figure(
    panels: Sequence[tuple[str, Sequence[Row]]],
    models: Sequence[str],
    figure: str,
    log: bool,
    sheets: Sheets,
) -> Sheet | None:
    """A panel for each motion and noise; a model has the same colour in all plots of a run."""
    known = [(title, [r for r in rows if r.get(figure) is not None]) for title, rows in panels]
    known = [(title, rows) for title, rows in known if rows]
    if not known:
        return None
    sheet = sheets(len(known), 4.4)
    for panel, (title, rows) in zip(sheet.panels, known, strict=True):
        for place, model in enumerate(models):
            mine = sorted((r["horizon"], r[figure]) for r in rows if r["model"] == model)
            if not any(row["model"] == model for _, rows_of in known for row in rows_of):
                continue
            style = "-" if place < len(COLOURS) else "--"
            panel.plot(
                [h for h, _ in mine], [max(v, 1e-4) if log else v for _, v in mine], style,
                marker="o", markersize=3.5, linewidth=1.5, color=COLOURS[place % len(COLOURS)],
                label=model,
            )  # fmt: skip
        _axes(panel, sorted({r["horizon"] for r in rows}), log)
        if figure == "nees_mean":
            _band(panel, rows)
        sheet.label(panel, title, "frames ahead")
    return sheet.finish()


def _band(panel: Axes, rows: Sequence[Row]) -> None:
    """Where the mean of an honest filter lies."""
    found = sorted({(r["horizon"], r["nees_low"], r["nees_high"]) for r in rows})
    h, low, high = zip(*found, strict=True)
    panel.fill_between(h, low, high, color="0.85", zorder=0)
    bottom, top = panel.get_ylim()
    panel.set_ylim(min(bottom, 1.0), max(top, 10.0))


def _axes(panel: Axes, horizons: Sequence[int], log: bool) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    panel.set_xscale("log")
    panel.set_xticks(horizons, [str(h) for h in horizons])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_minor_formatter(NullFormatter())
    if log:
        panel.set_yscale("log")
