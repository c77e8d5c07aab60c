"""A run's figures as plots: PNG and SVG files, and panels for a page of any width."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satgen.atomic import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5d5d5d", "#8c564b")
"""Okabe and Ito's, which the colour-blind can tell apart."""

LEAST_SPAN = 5.0
"""Per cent that an axis of accuracy spans at least, so that tenths do not look like a cliff."""

PANEL_INCHES = 3.6
"""Width of a panel on a page: a phone shows it in full, with its text in full size."""

Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class LegendEntry:
    """A line of a legend: its label, its colour, and whether the line is dashed."""

    label: str
    colour: str
    dashed: bool


@dataclass(frozen=True)
class Plot:
    """A figure with the title that the report gives it.

    Attributes:
        whole: all panels side by side, with the legend: for a file.
        panels: each in a figure of its own: for a page.
        keys: the legend of the panels.
        note: what to know when reading it.
    """

    title: str
    whole: Figure
    panels: tuple[Figure, ...]
    keys: tuple[LegendEntry, ...]
    note: str


class Sheet:
    """The empty panels of a plot.

    Args:
        columns: panels.
        width, height: of a panel side by side with others, inches.
        apart: each has a figure of its own.
    """

    def __init__(
        self, columns: int, width: float = 4.2, height: float = 3.4, *, apart: bool = False
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.apart = apart
        size = (PANEL_INCHES, height) if apart else (width * columns, height)
        self.width = size[0] if apart else width
        self.figures: list[Figure] = []
        self.panels: list[Axes] = []
        for _ in range(columns if apart else 1):
            figure = Figure(figsize=size, layout="constrained")
            FigureCanvasAgg(figure)
            self.figures.append(figure)
            self.panels += list(figure.subplots(1, 1 if apart else columns, squeeze=False)[0])
        for panel in self.panels:
            panel.tick_params(labelsize=8)
            panel.grid(color="0.92", linewidth=0.8)
            panel.set_axisbelow(True)
            panel.spines[["top", "right"]].set_visible(False)

    def label(self, panel: Axes, title: str, x: str) -> None:
        """Name a panel and its horizontal axis."""
        panel.set_title(textwrap.fill(title, round(14 * self.width)), fontsize=9, loc="left")
        panel.set_xlabel(x, fontsize=8)

    def keys(self) -> tuple[LegendEntry, ...]:
        """The legend of the first panel, which is that of all."""
        handles, labels = self.panels[0].get_legend_handles_labels()
        return tuple(_key(h, label) for h, label in zip(handles, labels, strict=True))

    def finish(self) -> Sheet:
        """Put the legend below panels that are side by side."""
        handles, labels = self.panels[0].get_legend_handles_labels()
        if handles and not self.apart:
            self.figures[0].legend(
                handles, labels, loc="outside lower center", ncols=min(3, len(labels)), fontsize=8,
                frameon=False,
            )  # fmt: skip
        return self


def _key(handle: Any, label: str) -> LegendEntry:
    """The key of a line, of bars, or of points with intervals."""
    from matplotlib.colors import to_hex

    artist = handle[0] if isinstance(handle, tuple) else handle
    if hasattr(artist, "get_facecolor"):
        return LegendEntry(label, to_hex(artist.get_facecolor()), False)
    return LegendEntry(label, to_hex(artist.get_color()), artist.get_linestyle() == "--")


Sheets = Callable[..., Sheet]
"""Makes a sheet; arguments as `Sheet`, but for `apart`."""

TRADE_OFF_NOTE = (
    "Each point is a setting of early exit and pruning. The vertical axis does not begin at 0; by "
    "what the settings differ, with intervals, is said under Early exit and point pruning."
)
ROLL_NOTE = (
    "The second image of each pair is turned about the principal point; all rolls are of the same "
    "pairs, of all gaps together."
)
PARTS_NOTE = (
    "Shares of all pairs' matches and keypoints on a class of part taken together, not means over "
    "pairs."
)
CONDITIONS_NOTE = (
    "Mean difference of F1 between the pairs in a range and the other pairs of the same dataset "
    "and gap, with its 95 % interval; n: pairs that can be compared so. Ranges of which too few "
    "can are left out."
)

Maker = Callable[[Entries, Sheets], "Sheet | None"]


def draw(summary: Mapping[str, Any]) -> dict[str, Plot]:
    """All plots that a summary has figures for, by name."""
    entries = summary["combinations"]
    plain = [entry for entry in entries if not entry["swept"]]
    makers: dict[str, tuple[str, Maker, Entries, str]] = {
        "accuracy": ("Accuracy over gap", _accuracy, plain, ""),
        "roll": ("Accuracy over roll", _roll, plain, ROLL_NOTE),
        "pose": ("Pose over gap", _pose, plain, ""),
        "savings": ("What early exit and pruning save", _savings, plain, ""),
        "stop_layers": ("Stopping layer", _stop_layers, plain, ""),
        "trade_off": ("Accuracy against time", _trade_off, entries, TRADE_OFF_NOTE),
        "parts": ("By class of part", _parts, plain, PARTS_NOTE),
        "conditions": ("By light and view", _conditions, plain, CONDITIONS_NOTE),
        "tracks": ("Tracks", _tracks, plain, ""),
    }
    found = {}
    for name, (title, make, mine, note) in makers.items():
        plot = plot_of(title, partial(make, mine), note)
        if plot is not None:
            found[name] = plot
    return found


def plot_of(title: str, make: Callable[[Sheets], Sheet | None], note: str = "") -> Plot | None:
    """A plot of what `make` draws on sheets, both for a file and for a page; None for nothing."""
    whole = make(Sheet)
    apart = make(partial(Sheet, apart=True)) if whole is not None else None
    if whole is None or apart is None:
        return None
    return Plot(title, whole.figures[0], tuple(apart.figures), apart.keys(), note)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write NAME.png and NAME.svg.

    Raises:
        OSError: a file cannot be written.
    """
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130, metadata={"Software": None})
    figure.set_layout_engine("none")  # the SVG takes the layout that was found
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{name}.png", png.getvalue())
    write_atomic(folder / f"{name}.svg", svg(figure, name).encode())


def svg(figure: Figure, name: str) -> str:
    """A figure as SVG; `name` tells its elements from those of other figures on a page."""
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue().decode()


def _gaps(entry: Mapping[str, Any], name: str) -> tuple[list[int], list[float]]:
    """Gaps and a figure at each, where there is one."""
    points = [
        (int(gap), figures[name])
        for gap, figures in entry["by_gap"].items()
        if figures.get(name) is not None and int(gap) > 0
    ]
    return [gap for gap, _ in points], [value for _, value in points]


def _over_gaps(
    panel: Axes, curves: Sequence[tuple[str, list[int], list[float]]], percent: bool
) -> bool:
    """Curves over gaps, a label each; whether there is any."""
    from matplotlib.ticker import NullFormatter, NullLocator

    ticks: set[int] = set()
    for place, (label, gaps, values) in enumerate(curves):
        scaled = [100.0 * v if percent else v for v in values]
        style = "-" if place < len(COLOURS) else "--"
        panel.plot(
            gaps, scaled, style, marker="o", markersize=3.5, linewidth=1.5,
            color=COLOURS[place % len(COLOURS)], label=label,
        )  # fmt: skip
        ticks.update(gaps)
    if not ticks:
        return False
    panel.set_xscale("log")
    panel.set_xticks(sorted(ticks), [str(tick) for tick in sorted(ticks)])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_minor_formatter(NullFormatter())
    if percent:
        panel.set_ylim(-2.0, 102.0)
    return True


def _accuracy(entries: Entries, sheets: Sheets) -> Sheet | None:
    sheet = sheets(4, 3.6)
    names = {"f1": "F1", "precision": "precision", "recall": "recall", "mma_3px": "MMA at 3 px"}
    drawn = [
        _over_gaps(panel, [(e["label"], *_gaps(e, name)) for e in entries], percent=True)
        for panel, name in zip(sheet.panels, names, strict=True)
    ]
    for panel, title in zip(sheet.panels, names.values(), strict=True):
        sheet.label(panel, f"{title} (%)", "gap (observation indices)")
    return sheet.finish() if any(drawn) else None


def _roll(entries: Entries, sheets: Sheets) -> Sheet | None:
    """F1, precision and recall over the roll of the second image."""
    known = [entry for entry in entries if "by_roll" in entry]
    if not known:
        return None
    sheet = sheets(3, 4.2)
    names = {"f1": "F1", "precision": "precision", "recall": "recall"}
    for panel, (name, title) in zip(sheet.panels, names.items(), strict=True):
        for place, entry in enumerate(known):
            points = sorted(
                (float(roll), 100.0 * found[name])
                for roll, found in entry["by_roll"].items()
                if found.get(name) is not None
            )
            panel.plot(
                [x for x, _ in points], [y for _, y in points],
                "-" if place < len(COLOURS) else "--", marker="o", markersize=3.5, linewidth=1.5,
                color=COLOURS[place % len(COLOURS)], label=entry["label"],
            )  # fmt: skip
        panel.set_ylim(-2.0, 102.0)
        sheet.label(panel, f"{title} (%)", "roll of the second image (°)")
    return sheet.finish()


def _pose(entries: Entries, sheets: Sheets) -> Sheet | None:
    sheet = sheets(4, 3.6)
    names = {
        "auc_5deg": ("relative pose AUC@5° (%)", True),
        "auc_20deg": ("relative pose AUC@20° (%)", True),
        "rotation_error_deg": ("relative rotation, median error (°)", False),
        "pnp_rotation_error_deg": ("absolute rotation (PnP), median error (°)", False),
    }
    drawn = False
    for panel, (name, (title, percent)) in zip(sheet.panels, names.items(), strict=True):
        curves = [(e["label"], *_gaps(e, name)) for e in entries]
        drawn |= _over_gaps(panel, curves, percent)
        if not percent and any(v > 0 for _, _, values in curves for v in values):
            panel.set_yscale("log")
        sheet.label(panel, title, "gap (observation indices)")
    return sheet.finish() if drawn else None


def _savings(entries: Entries, sheets: Sheets) -> Sheet | None:
    saved = [entry for entry in entries if "saved" in entry]
    if not saved:
        return None
    sheet = sheets(4, 3.6)
    names = {
        "layers_saved": "layers saved (%)",
        "points_pruned": "points pruned at the end (%)",
        "flops_saved": "operations saved (%)",
        "time_saved": "matching time saved (%)",
    }
    drawn = False
    for panel, (name, title) in zip(sheet.panels, names.items(), strict=True):
        curves = [
            (e["label"], *_gaps({"by_gap": e["saved"]["by_gap"]}, name))
            for e in saved
        ]  # fmt: skip
        drawn |= _over_gaps(panel, curves, percent=True)
        low = min((v for _, _, values in curves for v in values), default=0.0)
        panel.set_ylim(min(-2.0, 110.0 * low), 102.0)
        sheet.label(panel, title, "gap (observation indices)")
    return sheet.finish() if drawn else None


def _stop_layers(entries: Entries, sheets: Sheets) -> Sheet | None:
    """Histograms of the stopping layer, and the points that are alive in each layer."""
    saved = [entry for entry in entries if "saved" in entry and entry["saved"]["stop_layers"]]
    if not saved:
        return None
    sheet = sheets(2, 5.2)
    width = 0.8 / len(saved)
    last = max(entry["saved"].get("num_layers") or 1 for entry in saved)
    for place, entry in enumerate(saved):
        counts = {int(layer): count for layer, count in entry["saved"]["stop_layers"].items()}
        total = sum(counts.values())
        colour = COLOURS[place % len(COLOURS)]
        sheet.panels[0].bar(
            [layer - 0.4 + width * (place + 0.5) for layer in counts],
            [100.0 * count / total for count in counts.values()],
            width, color=colour, label=entry["label"],
        )  # fmt: skip
        layers = entry["saved"]["alive_by_layer"]
        alive = [100.0 * (layer["points"] or math.nan) for layer in layers]
        x = [layer["layer"] for layer in layers]
        sheet.panels[1].plot(x, alive, "-o", markersize=3.5, color=colour, label=entry["label"])
        running = [100.0 * layer["pairs"] for layer in layers]
        sheet.panels[1].plot(x, running, ":", color=colour)
    for panel in sheet.panels:
        panel.set_xticks(range(1, last + 1))
    sheet.panels[1].set_ylim(0.0, 102.0)
    sheet.label(sheet.panels[0], "pairs that leave after a layer (%)", "layer")
    sheet.label(
        sheet.panels[1], "keypoints alive in a layer (%); dotted: pairs that run it", "layer"
    )
    return sheet.finish()


def _trade_off(entries: Entries, sheets: Sheets) -> Sheet | None:
    """F1 against time and operations of each adaptive matcher's settings; others as levels."""
    shown = "f1" if any(e["overall"].get("f1") is not None for e in entries) else "auc_5deg"
    known = [e for e in entries if e["overall"].get(shown) is not None]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in known:
        groups.setdefault(f"{entry['matcher']} on {entry['features']}", []).append(entry)
    groups = {k: mine for k, mine in groups.items() if any(e["adaptive"] for e in mine)}
    levels = [e for e in known if all(e not in mine for mine in groups.values())]
    if not any(len(mine) > 2 for mine in groups.values()):  # two points are no curve
        return None
    sheet = sheets(2, 5.8, 4.4)
    scales = (("match_ms", 1.0, "median matching time of a pair (ms)"),
              ("flops", 1e-9, "operations of a pair (GFLOP)"))  # fmt: skip
    for panel, (name, scale, title) in zip(sheet.panels, scales, strict=True):
        for place, (label, mine) in enumerate(groups.items()):
            points = sorted(
                (scale * e["overall"][name], 100.0 * e["overall"][shown], e["setting"])
                for e in mine
                if e["overall"].get(name)
            )
            colour = COLOURS[place % len(COLOURS)]
            x, y = [p[0] for p in points], [p[1] for p in points]
            panel.plot(x, y, "-o", markersize=4, color=colour, label=label)
            for number, point in enumerate(points):
                up = 6 if number % 2 else -6
                panel.annotate(
                    point[2], point[:2], textcoords="offset points", xytext=(0, up), fontsize=7,
                    color=colour, rotation=60 if up > 0 else -60, rotation_mode="anchor",
                )  # fmt: skip
        for place, entry in enumerate(levels):
            panel.axhline(
                100.0 * entry["overall"][shown], linestyle="--", linewidth=1.2,
                color=COLOURS[(len(groups) + place) % len(COLOURS)], label=entry["label"],
            )  # fmt: skip
        panel.margins(x=0.15, y=0.3)
        _widen(panel)
        sheet.label(panel, "F1 (%)" if shown == "f1" else "AUC@5° (%)", title)
    return sheet.finish()


def _parts(entries: Entries, sheets: Sheets) -> Sheet | None:
    """Precision and recall by class of part."""
    known = [entry for entry in entries if entry.get("by_part")]
    names = sorted({name for entry in known for name in entry["by_part"]})
    if not names:
        return None
    sheet = sheets(3, 4.6, 0.9 + 0.32 * max(len(names), 5))
    height = 0.8 / len(known)
    titles = {"precision": "precision (%)", "recall": "recall (%)", "keypoints": "keypoints"}
    for panel, (key, title) in zip(sheet.panels, titles.items(), strict=True):
        for place, entry in enumerate(known):
            values: list[float | None] = [entry["by_part"].get(name, {}).get(key) for name in names]
            scale = 1.0 if key == "keypoints" else 100.0
            panel.barh(
                [row - 0.4 + height * (place + 0.5) for row in range(len(names))],
                [math.nan if v is None else scale * v for v in values],
                height, color=COLOURS[place % len(COLOURS)], label=entry["label"],
            )  # fmt: skip
        panel.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        panel.invert_yaxis()
        sheet.label(panel, title, "")
    return sheet.finish()


def _conditions(entries: Entries, sheets: Sheets) -> Sheet | None:
    """F1 by phase angle, elevation and rotation, each against other pairs of the same gap."""
    keys = {"by_phase": "phase angle (°)", "by_elevation": "elevation (°)",
            "by_view_angle": "rotation between the poses (°)"}  # fmt: skip
    # of one phase angle, as under the default sun, there is nothing to compare
    keys = {key: title for key, title in keys.items() if any(_compared(e, key) for e in entries)}
    if not keys:
        return None
    sheet = sheets(len(keys), 4.8, 3.6)
    for panel, (key, title) in zip(sheet.panels, keys.items(), strict=True):
        counts: dict[tuple[float, float], int] = {}
        for entry in entries:
            for edges, found in _compared(entry, key).items():
                counts[edges] = max(counts.get(edges, 0), int(found["pairs"]))
        order = {edges: place for place, edges in enumerate(sorted(counts))}
        panel.axhline(0.0, color="0.4", linewidth=0.8)
        for place, entry in enumerate(entries):
            shown = _compared(entry, key)
            shift = 0.6 * ((place + 0.5) / len(entries) - 0.5)
            middle = [100.0 * found["difference"] for found in shown.values()]
            below = [100.0 * (f["difference"] - f["low"]) for f in shown.values()]
            above = [100.0 * (f["high"] - f["difference"]) for f in shown.values()]
            panel.errorbar(
                [order[edges] + shift for edges in shown], middle, yerr=[below, above], fmt="o",
                markersize=3.5, linewidth=1.2, color=COLOURS[place % len(COLOURS)],
                label=entry["label"],
            )  # fmt: skip
        names = [f"{low:g}…{high:g}\nn = {counts[low, high]}" for low, high in order]
        panel.set_xticks(range(len(order)), names, fontsize=7)
        panel.set_xlim(-0.6, len(order) - 0.4)
        _widen(panel)
        sheet.label(panel, "F1 against other pairs of the same gap (points)", title)
    return sheet.finish()


def _compared(entry: Mapping[str, Any], key: str) -> dict[tuple[float, float], Mapping[str, float]]:
    """Ranges of a condition whose pairs can be compared with others, and how they differ."""
    return {
        (found["from"], found["to"]): found["f1_difference"]
        for found in entry.get(key, [])
        if "f1_difference" in found and found["f1_difference"]["low"] is not None
    }


def _widen(panel: Axes, least: float = LEAST_SPAN) -> None:
    """Have a vertical axis in per cent span no less than `least`."""
    low, high = panel.get_ylim()
    if high - low < least:
        middle = (low + high) / 2.0
        panel.set_ylim(middle - least / 2.0, middle + least / 2.0)


def _tracks(entries: Entries, sheets: Sheets) -> Sheet | None:
    """How many keypoints are carried how far, and their drift."""
    known = [entry for entry in entries if entry.get("tracks")]
    if not known:
        return None
    sheet = sheets(2, 5.2)
    for place, entry in enumerate(known):
        colour = COLOURS[place % len(COLOURS)]
        alive = entry["tracks"]["survival"]
        shares = [100.0 * (share or 0.0) for share in alive.values()]
        sheet.panels[0].plot([int(a) for a in alive], shares, "-o", markersize=3.5, color=colour,
                       label=entry["label"])  # fmt: skip
        drift = entry["tracks"]["drift_by_length"]
        sheet.panels[1].plot([d["from"] for d in drift], [d["drift_px"] for d in drift], "-o",
                       markersize=3.5, color=colour, label=entry["label"])  # fmt: skip
    for panel in sheet.panels:
        panel.set_xscale("log")
    sheet.panels[0].set_yscale("log")
    sheet.label(sheet.panels[0], "keypoints carried for at least so many frames (%)", "frames")
    sheet.label(
        sheet.panels[1], "median drift at the end of a track (px)", "length of the track (frames)"
    )
    return sheet.finish()
