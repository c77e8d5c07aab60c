"""A run's figures as text, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.pose import RansacOptions

SCALED = "%"

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("matches", "num_matches", ".0f"),
    ("P %", "precision", SCALED),
    ("R %", "recall", SCALED),
    ("F1 %", "f1", SCALED),
    ("MMA@3 %", "mma_3px", SCALED),
    ("epi. %", "epipolar_precision", SCALED),
    ("AUC@5°", "auc_5deg", SCALED),
    ("@10°", "auc_10deg", SCALED),
    ("@20°", "auc_20deg", SCALED),
    ("PnP °", "pnp_rotation_error_deg", ".2f"),
    ("mm", "pnp_translation_error_mm", ".0f"),
    ("match ms", "match_ms", ".1f"),
)
"""Heading, figure and format; shares are shown in per cent."""

SAVINGS: tuple[tuple[str, str, str], ...] = (
    ("stop layer", "stop_layer", ".2f"),
    ("layers saved %", "layers_saved", SCALED),
    ("points pruned %", "points_pruned", SCALED),
    ("FLOPs saved %", "flops_saved", SCALED),
    ("time saved %", "time_saved", SCALED),
    ("agreement %", "agreement", SCALED),
)


POINTS: tuple[tuple[str, str, str], ...] = (
    ("AJ %", "average_jaccard", SCALED),
    ("δ avg %", "delta_avg", SCALED),
    ("OA %", "occlusion_accuracy", SCALED),
    ("AJ_RD %", "aj_rd", SCALED),
)
"""TAP-Vid's figures of points that are carried: see `bench.tapvid`."""

SHADOWS: tuple[tuple[str, str, str], ...] = (
    ("% of matches", "shadow_edge_matches", SCALED),
    ("% of inliers", "shadow_edge_inliers", SCALED),
    ("AUC@5°", "auc_5deg", SCALED),
    ("off edges", "auc_5deg_off_edges", SCALED),
    ("fewer", "auc_5deg_fewer", SCALED),
    ("PnP °", "pnp_rotation_error_deg", ".3f"),
    ("off edges", "pnp_rotation_error_off_edges_deg", ".3f"),
    ("fewer", "pnp_rotation_error_fewer_deg", ".3f"),
)
"""Of the matches on shadows' edges that move over the body: see `bench.shadow_matches`."""


def table(summary: Mapping[str, Any]) -> str:
    """Accuracy over all pairs and by gap, then what adaptation saves, by combination."""
    blocks = []
    for entry in summary["combinations"]:
        rows = [["gap", "pairs", *(heading for heading, _, _ in COLUMNS)]]
        gaps = entry["by_gap"]
        for name, figures in [*gaps.items(), ("all", entry["overall"])]:
            if name != "all" or len(gaps) != 1:
                rows.append([name, str(figures["pairs"]), *cells(figures, COLUMNS)])
        blocks.append(f"{entry['label']}\n{columns(rows)}")
        if "by_roll" in entry:
            rows = [["roll °", "pairs", *(heading for heading, _, _ in COLUMNS)]]
            for name, figures in entry["by_roll"].items():
                rows.append([name, str(figures["pairs"]), *cells(figures, COLUMNS)])
            blocks.append(f"{entry['label']}: by roll of the second image\n{columns(rows)}")
        if "shadow_edge_matches" in entry["overall"]:
            rows = [["gap", *(heading for heading, _, _ in SHADOWS)]]
            found = [*entry["by_gap"].items(), ("all", entry["overall"])]
            rows += [[gap, *cells(figures, SHADOWS)] for gap, figures in found]
            blocks.append(f"{entry['label']}: on moving edges of shadows\n{columns(rows)}")
        if "saved" in entry:
            rows = [["gap", *(heading for heading, _, _ in SAVINGS)]]
            saved = entry["saved"]
            rows += [[gap, *cells(figures, SAVINGS)] for gap, figures in saved["by_gap"].items()]
            rows.append(["all", *cells(saved, SAVINGS)])
            blocks.append(f"{entry['label']}: saved against full depth\n{columns(rows)}")
        if "tracks" in entry:
            blocks.append(tracks_line(entry))
        if "points" in entry:
            heads, row = points_row(entry)
            blocks.append(f"{entry['label']}: points carried, as TAP-Vid\n{columns([heads, row])}")
    notes = [judged_line(summary), f"Poses: {estimator(summary['config'])}."]
    return "\n\n".join([*blocks, "\n".join(filter(None, notes))])


def judged_line(summary: Mapping[str, Any]) -> str:
    """Of how many pairs precision, recall and F1 are, where these are not all; else nothing."""
    overalls = [entry["overall"] for entry in summary["combinations"]]
    # a matcher that detects nothing has precision, but no recall
    overalls = [o for o in overalls if "recall" in o or "precision" not in o]
    counts = [(o["pairs_with_match"], o["pairs"]) for o in overalls if "pairs_with_match" in o]
    fewest = min(counts, default=(0, 0))
    if fewest[0] == fewest[1]:
        return ""
    return (
        f"P, R and F1 are of the pairs in which a keypoint is known to have a match: of "
        f"{fewest[0]} of {fewest[1]}, or more."
    )


def estimator(config: Mapping[str, Any]) -> str:
    """Who computes a run's poses, and within what error."""
    ransac = RansacOptions(**config["ransac"])
    return f"{ransac.estimator}, {ransac.bound_px:g} px"


def tracks_line(entry: Mapping[str, Any]) -> str:
    """A line about how far a combination carries keypoints."""
    tracks = entry["tracks"]
    return (
        f"{entry['label']}: {tracks['tracks']} tracks; those matched once are carried for "
        f"{number(tracks['mean_length_matched'], '.1f')} frames, the longest for "
        f"{tracks['longest']}; median drift {number(tracks['drift_median_px'], '.2f')} px"
    )


def points_row(entry: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Headings and cells of what becomes of points that a combination carries."""
    points = entry["points"]
    heads = ["clips", "points", *(heading for heading, _, _ in POINTS), "returns"]
    counts = str(points["clips"]), str(points["points"])
    return heads, [*counts, *cells(points, POINTS), str(points["redetections_1"])]


def cells(figures: Mapping[str, Any], wanted: Sequence[tuple[str, str, str]]) -> list[str]:
    """The cells of a row: the figures `wanted`, as text."""
    return [number(figures.get(name), style) for _, name, style in wanted]


def number(value: float | None, style: str) -> str:
    """A figure as text, "-" for None; `style` is a format, or `SCALED` for per cent."""
    if value is None:
        return "-"
    return f"{100.0 * value:.1f}" if style == SCALED else f"{value:{style}}"


def columns(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Rows of text in columns, aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        indent + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
