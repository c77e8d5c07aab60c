"""A run's report: results.json, the plots, and one self-contained page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.gallery import Picture, pictures
from bench.page import html_plot, html_table, page
from bench.pose import RansacOptions
from bench.result import PAGE, SUMMARY
from bench.run import MATCHES, PLOTS, BenchResult
from bench.summary import ACCURACY, AREAS, summarise
from bench.table import (
    COLUMNS,
    SAVINGS,
    SHADOWS,
    cells,
    judged_line,
    number,
    points_row,
    tracks_line,
)
from bench.tapvid import ABSENCES, NEAR_PX
from satgen.atomic import write_atomic
from satgen.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

    from bench.plots import Plot

DEFINITIONS = (
    ("P, R, F1", "precision: correct matches among those that are correct or wrong, 0 where there "
     "are none. Recall: of the first frame's places that have a match, those that are correctly "
     "matched; a place with several keypoints, as SIFT has them, counts once. F1: their harmonic "
     "mean. Each is a pair's; the tables have means over the pairs in which some keypoint has a "
     "match, the same pairs for all three. `satgen match` and `satgen train` give these figures, "
     "too. A match is correct when each end reprojects closer "
     "than {match_px:g} px to the other and is seen there, by depth and pose; wrong beyond "
     "{no_match_px:g} px, or where an end is hidden or has no match; not counted in between."),
    ("MMA@3", "share of matches that reproject closer than 3 px, mean over pairs."),
    ("epi.", "share of matches whose squared symmetric epipolar distance is below 5e-4 in "
     "normalised coordinates, by the true relative pose."),
    ("AUC@5°, 10°, 20°", "area under the cumulative curve of the relative pose's error, the larger "
     "of rotation and direction of translation, of the essential matrix. {relative}"),
    ("PnP", "absolute pose from the first frame's depth: median error in degrees, and in "
     "millimetres of the target's origin. {absolute}"),
    ("off edges, fewer", "of datasets with shadow images: the pose without the matches that lie "
     "within 3 px of a cast shadow's edge that has moved over the body between the frames, and "
     "without as many others, drawn at random."),
    ("match ms", "median time of matching a pair, without extraction, taking turns on the same "
     "pair."),
    ("saved", "against the same network at full depth on the same pairs; operations are counted "
     "from the architecture; agreement is the share of matches in both among those in either."),
    ("AJ, δ, OA, AJ_RD", "of points on the surface that are asked for where they are seen first in"
     " clips of {clip} frames, and carried by the matches about them; pixels are of images of 256 "
     "x 256, figures are means over clips. OA: of the frames after, the share in which it is "
     "rightly said whether the point is seen. δ: of those in which it is, the share in which it is"
     " less than 1, 2, 4, 8, 16 pixels away, mean of the five. AJ: the same of frames in which it "
     "is seen and said to be, by those in which it is seen and those in which it is said to be and"
     " is not, or not there. AJ_RD: AJ from where a point comes back to the end, after its longest"
     " absence yet, of at least 1, 4, 16, 64 and 256 frames; mean of the five, of those that there"
     " are."),
)  # fmt: skip
"""Terms of the tables, and what they mean."""

ESTIMATORS = {
    "poselib": (
        "PoseLib's LO-RANSAC, one threshold of {:g} px; most papers use OpenCV's RANSAC "
        "(--estimator opencv), which finds less.",
        "PoseLib's LO-RANSAC.",
    ),
    "opencv": (
        "OpenCV's RANSAC as in SuperGlue's and most later papers: findEssentialMat on normalised "
        "points, one threshold of {:g} px by the mean focal length, recoverPose.",
        "OpenCV's solvePnPRansac.",
    ),
}
"""How each estimator finds relative and absolute poses, for the terms."""


def write_report(folder: Path) -> Path:
    """Sum a finished run up: results.json, plots/NAME.png and .svg, report.html; the page's path.

    Raises:
        InputError: the folder is no finished run.
        RunError: a file cannot be written.
    """
    from bench import plots

    finished = BenchResult(folder)
    description, table = finished.description, finished.table
    summary = summarise(table, description, finished.tracks, finished.points)
    try:
        text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
        write_atomic(folder / SUMMARY, text.encode())
        drawn = plots.draw(summary)
        for name, plot in drawn.items():
            plots.save(plot.whole, folder / PLOTS, name)
        text = _page(summary, drawn, _gallery(table, description, folder))
        write_atomic(folder / PAGE, text.encode())
    except OSError as error:
        raise RunError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return folder / PAGE


def _gallery(table: pd.DataFrame, description: Mapping[str, Any], folder: Path) -> list[Picture]:
    """Pictures of the combinations that are not part of a sweep."""
    wanted = [entry for entry in description["combinations"] if not entry["swept"]]
    folders = {entry["name"]: Path(entry["path"]) for entry in description["datasets"]}
    return pictures(table, wanted, folders, folder / MATCHES)


def _page(summary: Mapping[str, Any], drawn: Mapping[str, Plot], gallery: Sequence[Picture]) -> str:
    parts = [_head(summary), "<h2>Accuracy</h2>", *_accuracy(summary)]
    if shadows := _shadows(summary):
        parts += ["<h2>Edges of shadows that move over the body</h2>", *shadows]
    if savings := _savings(summary):
        parts += ["<h2>Early exit and point pruning</h2>", *savings]
    for name, plot in drawn.items():
        parts.append(f"<h2>{escape(plot.title)}</h2>{html_plot(name, plot)}")
        if name == "conditions":
            parts += _conditions(summary)
    if points := _points(summary):
        parts += ["<h2>Points carried, as TAP-Vid measures tracks</h2>", *points]
    if wrong := _confusions(summary):
        parts += ["<h2>What fools the matcher</h2>", wrong]
    parts += _gallery_html(gallery)
    parts.append(_definitions(summary["config"]))
    title = "satgen bench: " + ", ".join(entry["name"] for entry in summary["datasets"])
    return page(title, parts)


def _head(summary: Mapping[str, Any]) -> str:
    machine, versions = summary["machine"], summary["versions"]
    threads = machine["threads"] or "all"
    datasets = "; ".join(
        f"{entry['name']} ({entry['target']}, {entry['frames']} frames)"
        for entry in summary["datasets"]
    )
    return (
        "<h1>Matching, frame to frame</h1>"
        f"<p><code>{escape(summary['command'])}</code></p>"
        f'<p class="faint">{escape(datasets)}<br>'
        f"{escape(machine['cpu'])}, {machine['cores']} cores, {threads} threads, "
        f"{escape(machine['device'])}; {escape(machine['platform'])}<br>"
        f"{escape(', '.join(f'{name} {version}' for name, version in versions.items()))}</p>"
    )


def _accuracy(summary: Mapping[str, Any]) -> list[str]:
    """All pairs at a glance, then each combination by gap and by target."""
    heads = ["", "pairs", *(heading for heading, _, _ in COLUMNS)]
    rows = [
        [e["label"], str(e["overall"]["pairs"]), *cells(e["overall"], COLUMNS)]
        for e in summary["combinations"]
    ]
    parts = [html_table(heads, rows)]
    if line := judged_line(summary):
        parts.append(f'<p class="faint">{line}</p>')
    for entry in summary["combinations"]:
        rows = [
            [f"gap {gap}" if gap != "0" else "listed pairs", str(f["pairs"]), *cells(f, COLUMNS)]
            for gap, f in entry["by_gap"].items()
        ]
        targets = entry.get("by_target", {})
        for target, found in targets.items() if len(targets) > 1 else ():
            overall = found["overall"]
            rows.append([target, str(overall["pairs"]), *cells(overall, COLUMNS)])
        tracks = f"<p>{escape(tracks_line(entry))}</p>" if "tracks" in entry else ""
        parts.append(
            f"<details><summary>{escape(entry['label'])}: by gap and target</summary>"
            f"{html_table(heads, rows)}{tracks}</details>"
        )
    return parts


def _shadows(summary: Mapping[str, Any]) -> list[str]:
    """How many matches lie on moving edges, and the pose without them, by combination and gap."""
    heads = ["", "gap", *(heading for heading, _, _ in SHADOWS)]
    rows = [
        [entry["label"], gap, *cells(figures, SHADOWS)]
        for entry in summary["combinations"]
        if "shadow_edge_matches" in entry["overall"]
        for gap, figures in [*entry["by_gap"].items(), ("all", entry["overall"])]
    ]
    return [html_table(heads, rows)] if rows else []


def _points(summary: Mapping[str, Any]) -> list[str]:
    """What becomes of points that are carried along the matches, by combination."""
    known = [entry for entry in summary["combinations"] if "points" in entry]
    if not known:
        return []
    heads, _ = points_row(known[0])
    rows = [[entry["label"], *points_row(entry)[1]] for entry in known]
    parts = [html_table(["", *heads], rows)]
    for title, names, bounds in (
        ("within so many pixels of 256: Jaccard and share", ("jaccard", "delta"), NEAR_PX),
        ("hidden for so many frames at least: AJ_RD (returns)", ("aj_rd",), ABSENCES),
    ):
        rows = []
        for entry in known:
            found = entry["points"]
            for name in names:
                cell = [number(found[f"{name}_{bound}"], "%") for bound in bounds]
                if name == "aj_rd":
                    counts = [found[f"redetections_{bound}"] for bound in bounds]
                    cell = [f"{a} ({n})" for a, n in zip(cell, counts, strict=True)]
                what = "" if len(names) == 1 else f", {name.replace('delta', 'δ')}"
                rows.append([f"{entry['label']}{what}", *cell])
        table = html_table(["", *map(str, bounds)], rows)
        parts.append(f"<details><summary>{title}, %</summary>{table}</details>")
    return parts


CONDITIONS = {
    "by_phase": "phase angle",
    "by_elevation": "elevation",
    "by_view_angle": "rotation between the poses",
}
"""Light and view: keys of a summary's entries, and their titles."""


def _conditions(summary: Mapping[str, Any]) -> list[str]:
    """F1 by light and view at each gap, and how many pairs each figure is of."""
    parts = []
    for entry in summary["combinations"]:
        tables = [
            f"<h3>{title}, degrees</h3>{_by_range(entry[key])}"
            for key, title in CONDITIONS.items()
            if len(entry.get(key, [])) > 1 and not entry["swept"]
        ]
        if tables:
            heading = f"<summary>{escape(entry['label'])}: F1 in % at each gap (pairs)</summary>"
            parts.append(f"<details>{heading}{''.join(tables)}</details>")
    return parts


def _by_range(ranges: Sequence[Mapping[str, Any]]) -> str:
    gaps = sorted({gap for found in ranges for gap in found["by_gap"]}, key=int)
    rows = []
    for found in ranges:
        row = [f"{found['from']:g} … {found['to']:g}"]
        for gap in gaps:
            mine = found["by_gap"].get(gap)
            row.append("" if mine is None else f"{number(mine.get('f1'), '%')} ({mine['pairs']})")
        difference = found.get("f1_difference", {})
        row.append(_interval(difference) if difference.get("low") is not None else "-")
        rows.append(row)
    return html_table(["", *(f"gap {gap}" for gap in gaps), "against others of the gap"], rows)


def _interval(found: Mapping[str, Any]) -> str:
    """A difference in points with the ends of its interval."""
    middle, low, high = (100.0 * found[key] for key in ("difference", "low", "high"))
    return f"{middle:+.1f} ({low:+.1f} … {high:+.1f})"


def _savings(summary: Mapping[str, Any]) -> list[str]:
    """What each adaptive combination saves, by gap, and what that costs."""
    parts = []
    for entry in summary["combinations"]:
        if "saved" not in entry:
            continue
        saved = entry["saved"]
        heads = ["", *(heading for heading, _, _ in SAVINGS)]
        rows = [[f"gap {gap}", *cells(f, SAVINGS)] for gap, f in saved["by_gap"].items()]
        rows.append(["all", *cells(saved, SAVINGS)])
        table, title = html_table(heads, rows), escape(entry["label"])
        change = saved["change"]
        rows = []
        for name in (*ACCURACY, *AREAS):
            found = change.get(name)
            if found and found["difference"] is not None:
                low, high = found["low"], found["high"]
                kind = "better" if low > 0.0 else "worse" if high < 0.0 else ""
                value = f'<span class="{kind}">{100.0 * found["difference"]:+.2f}</span>'
                interval = f"{100.0 * low:+.2f} … {100.0 * high:+.2f}"
                rows.append([name, value, interval, str(found["pairs"])])
        heads = ["adaptive minus full depth", "points", "95 % interval", "pairs"]
        costs = f"<summary>What it costs</summary>{html_table(heads, rows, raw=True)}"
        block = f"{table}<details>{costs}</details>"
        swept = f"<details><summary>{title}</summary>{block}</details>"
        parts.append(swept if entry["swept"] else f"<h3>{title}</h3>{block}")
    return parts


def _confusions(summary: Mapping[str, Any]) -> str:
    rows = []
    for entry in (e for e in summary["combinations"] if not e["swept"]):
        pairs = [
            f"{a.replace('_', ' ')} → {b.replace('_', ' ')} ({count})"
            for a, b, count in entry.get("confusions", [])[:5]
        ]
        if pairs:
            rows.append([entry["label"], ", ".join(pairs)])
    heads = ["", "wrong matches from one class of part to another, most frequent first"]
    return html_table(heads, rows, words=True) if rows else ""


def _gallery_html(gallery: Sequence[Picture]) -> list[str]:
    if not gallery:
        return []
    selects = "".join(
        f'<select name="{name}" aria-label="{name}"><option value="">every {name}</option>'
        + "".join(f"<option>{escape(v)}</option>" for v in dict.fromkeys(values))
        + "</select>"
        for name, values in (
            ("combination", [p.combination for p in gallery]),
            ("dataset", [p.dataset for p in gallery]),
            ("kind", [p.kind for p in gallery]),
        )
    )
    figures = "\n".join(
        f'<figure data-combination="{escape(p.combination)}" data-dataset="{escape(p.dataset)}" '
        f'data-kind="{p.kind}"><img loading="lazy" alt="{escape(p.caption)}" src="{p.data}">'
        f"<figcaption>{p.kind}: {escape(p.dataset)} {escape(p.caption)}<br>"
        f"{escape(p.combination)}</figcaption></figure>"
        for p in gallery
    )
    return [
        "<h2>Pairs</h2>",
        '<p class="faint">Green: correct. Red: wrong. Grey: not counted. The best, the median and '
        "the worst pair by F1; a picture grows when it is clicked.</p>",
        f'<p>{selects}</p><div class="gallery">{figures}</div>',
    ]


def _definitions(config: Mapping[str, Any]) -> str:
    ransac = RansacOptions(**config["ransac"])
    relative, absolute = (text.format(ransac.bound_px) for text in ESTIMATORS[ransac.estimator])
    values = {
        **config["thresholds"],
        "clip": config["clip"],
        "relative": relative,
        "absolute": absolute,
    }
    items = "".join(
        f"<dt><b>{escape(term)}</b></dt><dd>{escape(text.format(**values))}</dd>"
        for term, text in DEFINITIONS
    )
    return f"<h2>Terms</h2><dl>{items}</dl>"
