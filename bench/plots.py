"""A run's figures as plots, PNG and SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satgen.atomic import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5d5d5d", "#8c564b")
"""Okabe and Ito's, which the colour-blind can tell apart."""

Entries = Sequence[Mapping[str, Any]]


def draw(summary: Mapping[str, Any]) -> dict[str, tuple[str, Figure]]:
    """All plots that a summary has figures for: name -> title and figure."""
    entries = summary["combinations"]
    plain = [entry for entry in entries if not entry["swept"]]
    makers: dict[str, tuple[str, Callable[[], Figure | None]]] = {
        "accuracy": ("Accuracy over gap", lambda: _accuracy(plain)),
        "pose": ("Pose over gap", lambda: _pose(plain)),
        "savings": ("What early exit and pruning save", lambda: _savings(plain)),
        "stop_layers": ("Stopping layer", lambda: _stop_layers(plain)),
        "trade_off": ("Accuracy against time", lambda: _trade_off(entries)),
        "parts": ("By class of part", lambda: _parts(plain)),
        "conditions": ("By light and view", lambda: _conditions(plain)),
        "tracks": ("Tracks", lambda: _tracks(plain)),
    }
    found = {}
    for name, (title, make) in makers.items():
        figure = make()
        if figure is not None:
            found[name] = (title, figure)
    return found


def save(figure: Figure, folder: Path, name: str) -> str:
    """Write NAME.png and NAME.svg; the text of the SVG.

    Raises:
        OSError: a file cannot be written.
    """
    import matplotlib

    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=130, metadata={"Software": None})
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{name}.png", png.getvalue())
    write_atomic(folder / f"{name}.svg", svg.getvalue())
    return svg.getvalue().decode()


def _figure(columns: int, width: float = 4.2, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, columns, squeeze=False)[0]
    for panel in panels:
        panel.tick_params(labelsize=8)
        panel.grid(color="0.92", linewidth=0.8)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, list(panels)


def _legend(figure: Figure, panel: Axes) -> None:
    """One legend for all panels, below them."""
    handles, labels = panel.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(3, len(labels)), fontsize=8,
            frameon=False,
        )  # fmt: skip


def _label(panel: Axes, title: str, x: str, y: str = "") -> None:
    panel.set_title(title, fontsize=9, loc="left")
    panel.set_xlabel(x, fontsize=8)
    panel.set_ylabel(y, fontsize=8)


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


def _accuracy(entries: Entries) -> Figure | None:
    figure, panels = _figure(4, 3.6)
    names = {"f1": "F1", "precision": "precision", "recall": "recall", "mma_3px": "MMA at 3 px"}
    drawn = [
        _over_gaps(panel, [(e["label"], *_gaps(e, name)) for e in entries], percent=True)
        for panel, name in zip(panels, names, strict=True)
    ]
    for panel, title in zip(panels, names.values(), strict=True):
        _label(panel, f"{title} (%)", "gap (observation indices)")
    _legend(figure, panels[0])
    return figure if any(drawn) else None


def _pose(entries: Entries) -> Figure | None:
    figure, panels = _figure(4, 3.6)
    names = {
        "auc_5deg": ("relative pose AUC@5° (%)", True),
        "auc_20deg": ("relative pose AUC@20° (%)", True),
        "rotation_error_deg": ("relative rotation, median error (°)", False),
        "pnp_rotation_error_deg": ("absolute rotation (PnP), median error (°)", False),
    }
    drawn = False
    for panel, (name, (title, percent)) in zip(panels, names.items(), strict=True):
        curves = [(e["label"], *_gaps(e, name)) for e in entries]
        drawn |= _over_gaps(panel, curves, percent)
        if not percent and any(v > 0 for _, _, values in curves for v in values):
            panel.set_yscale("log")
        _label(panel, title, "gap (observation indices)")
    _legend(figure, panels[0])
    return figure if drawn else None


def _savings(entries: Entries) -> Figure | None:
    saved = [entry for entry in entries if "saved" in entry]
    if not saved:
        return None
    figure, panels = _figure(4, 3.6)
    names = {
        "layers_saved": "layers saved (%)",
        "points_pruned": "points pruned at the end (%)",
        "flops_saved": "operations saved (%)",
        "time_saved": "matching time saved (%)",
    }
    drawn = False
    for panel, (name, title) in zip(panels, names.items(), strict=True):
        curves = [
            (e["label"], *_gaps({"by_gap": e["saved"]["by_gap"]}, name))
            for e in saved
        ]  # fmt: skip
        drawn |= _over_gaps(panel, curves, percent=True)
        low = min((v for _, _, values in curves for v in values), default=0.0)
        panel.set_ylim(min(-2.0, 110.0 * low), 102.0)
        _label(panel, title, "gap (observation indices)")
    _legend(figure, panels[0])
    return figure if drawn else None


def _stop_layers(entries: Entries) -> Figure | None:
    """Histograms of the stopping layer, and the points that are alive in each layer."""
    saved = [entry for entry in entries if "saved" in entry and entry["saved"]["stop_layers"]]
    if not saved:
        return None
    figure, panels = _figure(2, 5.2)
    width = 0.8 / len(saved)
    last = max(entry["saved"].get("num_layers") or 1 for entry in saved)
    for place, entry in enumerate(saved):
        counts = {int(layer): count for layer, count in entry["saved"]["stop_layers"].items()}
        total = sum(counts.values())
        colour = COLOURS[place % len(COLOURS)]
        panels[0].bar(
            [layer - 0.4 + width * (place + 0.5) for layer in counts],
            [100.0 * count / total for count in counts.values()],
            width, color=colour, label=entry["label"],
        )  # fmt: skip
        layers = entry["saved"]["alive_by_layer"]
        alive = [100.0 * (layer["points"] or math.nan) for layer in layers]
        x = [layer["layer"] for layer in layers]
        panels[1].plot(x, alive, "-o", markersize=3.5, color=colour, label=entry["label"])
        running = [100.0 * layer["pairs"] for layer in layers]
        panels[1].plot(x, running, ":", color=colour)
    for panel in panels:
        panel.set_xticks(range(1, last + 1))
    panels[1].set_ylim(0.0, 102.0)
    _label(panels[0], "pairs that leave after a layer (%)", "layer")
    _label(panels[1], "keypoints alive in a layer (%); dotted: pairs that run it", "layer")
    _legend(figure, panels[0])
    return figure


def _trade_off(entries: Entries) -> Figure | None:
    """F1 against time and operations of each adaptive matcher's settings; others as levels."""
    shown = "f1" if any(e["overall"].get("f1") is not None for e in entries) else "auc_5deg"
    known = [e for e in entries if e["overall"].get(shown) is not None]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in known:
        if entry["matcher"] == "lightglue":
            groups.setdefault(f"lightglue on {entry['features']}", []).append(entry)
    levels = [e for e in known if e["matcher"] != "lightglue"]
    if not any(len(mine) > 1 for mine in groups.values()):
        return None
    figure, panels = _figure(2, 5.8, 4.4)
    scales = (("match_ms", 1.0, "median matching time of a pair (ms)"),
              ("flops", 1e-9, "operations of a pair (GFLOP)"))  # fmt: skip
    for panel, (name, scale, title) in zip(panels, scales, strict=True):
        for place, (label, mine) in enumerate(groups.items()):
            points = sorted(
                (scale * e["overall"][name], 100.0 * e["overall"][shown], _setting(e))
                for e in mine
                if e["overall"].get(name)
            )
            colour = COLOURS[place % len(COLOURS)]
            x, y = [p[0] for p in points], [p[1] for p in points]
            panel.plot(x, y, "-o", markersize=4, color=colour, label=label)
            for number, point in enumerate(points):
                up = 6 if number % 2 else -6
                panel.annotate(
                    point[2], point[:2], textcoords="offset points", xytext=(0, up), fontsize=6,
                    color=colour, rotation=60 if up > 0 else -60, rotation_mode="anchor",
                )  # fmt: skip
        for place, entry in enumerate(levels):
            panel.axhline(
                100.0 * entry["overall"][shown], linestyle="--", linewidth=1.2,
                color=COLOURS[(len(groups) + place) % len(COLOURS)], label=entry["label"],
            )  # fmt: skip
        panel.margins(x=0.15, y=0.3)
        _label(panel, "F1 (%)" if shown == "f1" else "AUC@5° (%)", title)
    _legend(figure, panels[0])
    return figure


def _setting(entry: Mapping[str, Any]) -> str:
    """What tells a LightGlue entry from the others."""
    if not entry["adaptive"]:
        return "full depth"
    depth, width = entry["depth_confidence"], entry["width_confidence"]
    parts = [f"α {depth:g}" if depth is not None else "no exit"]
    return ", ".join([*parts, f"w {width:g}" if width is not None else "no pruning"])


def _parts(entries: Entries) -> Figure | None:
    """Precision and recall by class of part."""
    known = [entry for entry in entries if entry.get("by_part")]
    names = sorted({name for entry in known for name in entry["by_part"]})
    if not names:
        return None
    figure, panels = _figure(3, 4.6, 0.9 + 0.32 * max(len(names), 5))
    height = 0.8 / len(known)
    titles = {"precision": "precision (%)", "recall": "recall (%)", "keypoints": "keypoints"}
    for panel, (key, title) in zip(panels, titles.items(), strict=True):
        for place, entry in enumerate(known):
            values = [entry["by_part"].get(name, {}).get(key) for name in names]
            scale = 1.0 if key == "keypoints" else 100.0
            panel.barh(
                [row - 0.4 + height * (place + 0.5) for row in range(len(names))],
                [scale * v if v is not None else 0.0 for v in values],
                height, color=COLOURS[place % len(COLOURS)], label=entry["label"],
            )  # fmt: skip
        panel.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        panel.invert_yaxis()
        _label(panel, title, "")
    _legend(figure, panels[0])
    return figure


def _conditions(entries: Entries) -> Figure | None:
    """F1 over phase angle, elevation and rotation between the poses."""
    keys = {"by_phase": "phase angle (°)", "by_elevation": "elevation (°)",
            "by_view_angle": "rotation between the poses (°)"}  # fmt: skip
    # the default sun keeps one phase angle: there is nothing to draw then
    keys = {key: t for key, t in keys.items() if any(len(e.get(key, [])) > 1 for e in entries)}
    if not keys:
        return None
    figure, panels = _figure(len(keys))
    drawn = False
    for panel, (key, title) in zip(panels, keys.items(), strict=True):
        for place, entry in enumerate(entries):
            ranges = [r for r in entry.get(key, []) if r.get("f1") is not None]
            middle = [(r["from"] + r["to"]) / 2.0 for r in ranges]
            values = [100.0 * r["f1"] for r in ranges]
            panel.plot(
                middle, values, "-o", markersize=3.5, color=COLOURS[place % len(COLOURS)],
                label=entry["label"],
            )  # fmt: skip
            drawn |= bool(ranges)
        panel.set_ylim(-2.0, 102.0)
        _label(panel, "F1 (%)", title)
    _legend(figure, panels[0])
    return figure if drawn else None


def _tracks(entries: Entries) -> Figure | None:
    """How many keypoints are carried how far, and their drift."""
    known = [entry for entry in entries if entry.get("tracks")]
    if not known:
        return None
    figure, panels = _figure(2, 5.2)
    for place, entry in enumerate(known):
        colour = COLOURS[place % len(COLOURS)]
        alive = entry["tracks"]["survival"]
        shares = [100.0 * (share or 0.0) for share in alive.values()]
        panels[0].plot([int(a) for a in alive], shares, "-o", markersize=3.5, color=colour,
                       label=entry["label"])  # fmt: skip
        drift = entry["tracks"]["drift_by_length"]
        panels[1].plot([d["from"] for d in drift], [d["drift_px"] for d in drift], "-o",
                       markersize=3.5, color=colour, label=entry["label"])  # fmt: skip
    for panel in panels:
        panel.set_xscale("log")
    panels[0].set_yscale("log")
    _label(panels[0], "keypoints carried for at least so many frames (%)", "frames")
    _label(panels[1], "median drift at the end of a track (px)", "length of the track (frames)")
    _legend(figure, panels[0])
    return figure
