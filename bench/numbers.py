"""The page of numbers, written from results: `python -m bench.numbers`.

`docs/results/` holds what was measured: NAME.json, its tables with the commands that gave them, and
NAME.md, if there is something to conclude. `collect` makes matching.json of runs of `satgen bench`;
`write` makes docs/numbers.md of all of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from satgen.atomic import write_atomic
from satgen.errors import InputError
from satgen.exits import guarded

RESULTS = Path("docs") / "results"
PAGE = Path("docs") / "numbers.md"
MATCHING = "matching.json"

ORDER = (
    *("rendering", "matching", "scenes", "roll", "photographs"),
    *("unseen", "training", "speed", "gpu"),
)
"""Sections of the page; results of other names follow in the alphabet's order."""

SAVINGS = (
    ("mean layer it leaves after", "stop_layer", 1.0, 2),
    ("layers saved", "layers_saved", 100.0, 0),
    ("points pruned by then", "points_pruned", 100.0, 0),
    ("operations saved", "flops_saved", 100.0, 0),
    ("matching time saved (one thread)", "time_saved", 100.0, 0),
    ("agreement with full depth", "agreement", 100.0, 0),
)
"""Row, figure of results.json, factor and decimals of what adaptation saves."""

INTRODUCTION = """\
# Numbers

This page is written from `docs/results/` by `python -m bench.numbers write`;
[How to reproduce](reproduce.md) says how the results come about. Speed was measured on shared
machines, whose other work changes it by half within minutes: read the ratios.
"""

PageTable = dict[str, Any]
Section = dict[str, Any]


@click.group()
def main() -> None:
    """Write docs/numbers.md from docs/results."""


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def collect(runs: tuple[Path, ...]) -> None:
    """Make matching.json of finished RUNS of `satgen bench`."""

    def action() -> None:
        result = matching([_summary(run) for run in runs])
        _check_here()
        write_atomic(RESULTS / MATCHING, (json.dumps(result, indent=1) + "\n").encode())

    guarded(action)


@main.command()
@click.option("--check", is_flag=True, help="Write nothing; exit status 1 if the page differs.")
def write(check: bool) -> None:
    """Make docs/numbers.md."""

    def action() -> None:
        _check_here()
        text = page(RESULTS).encode()
        if not check:
            write_atomic(PAGE, text)
        elif not PAGE.is_file() or PAGE.read_bytes() != text:
            click.echo(f"{PAGE} is not what {RESULTS} holds: python -m bench.numbers write")
            raise SystemExit(1)

    guarded(action)


def _check_here() -> None:
    if not RESULTS.is_dir():
        raise InputError(f"{RESULTS}: no such folder here; run this where satgen is checked out")


def page(folder: Path) -> str:
    """The page's text (Markdown) of a folder of results.

    Raises:
        InputError: a result cannot be read.
    """
    files = {path.stem: path for path in folder.glob("*.json")}
    names = [name for name in ORDER if name in files] + sorted(files.keys() - set(ORDER))
    sections = [INTRODUCTION]
    for name in names:
        prose = folder / f"{name}.md"
        sections.append(section(_read(files[name]), _text(prose) if prose.is_file() else ""))
    return "\n".join(sections)


def section(result: Section, prose: str = "") -> str:
    """A result in Markdown.

    Args:
        result: "title", "measured" (on what), "commands", "tables" ("caption", "columns", "rows").
        prose: what to conclude, in Markdown.
    """
    parts = [f"## {result['title']}\n", result["measured"] + "\n"]
    if result["commands"]:
        parts.append("```sh\n" + "\n".join(result["commands"]) + "\n```\n")
    for table in result["tables"]:
        if table["caption"]:
            parts.append(table["caption"] + "\n")
        parts.append(markdown([table["columns"], *table["rows"]]) + "\n")
    if prose:
        parts.append(prose.strip() + "\n")
    return "\n".join(parts)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, the first row its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "| " + " | ".join("---" for _ in rows[0]) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def matching(summaries: Sequence[Mapping[str, Any]]) -> Section:
    """The result of runs of `satgen bench`: accuracy, poses and savings by gap.

    Args:
        summaries: results.json of each run, of the same pairs.

    Raises:
        InputError: no run, or runs of other gaps.
    """
    if not summaries:
        raise InputError("no run: name at least one folder of satgen bench")
    entries = [entry for summary in summaries for entry in summary["combinations"]]
    gaps = list(entries[0]["by_gap"])
    for entry in entries:
        if list(entry["by_gap"]) != gaps:
            raise InputError(
                f"{entry['label']}: has gaps {', '.join(entry['by_gap'])}; must be those of the "
                f"others: {', '.join(gaps)}"
            )
    machine, versions = summaries[0]["machine"], summaries[0]["versions"]
    pairs = next(iter(entries[0]["by_gap"].values()))["pairs"]
    names = ", ".join(dataset["name"] for dataset in summaries[0]["datasets"])
    keypoints = summaries[0]["config"]["max_keypoints"]
    return {
        "title": "Matching accuracy",
        "measured": (
            f"{names}: {pairs} pairs of frames a gap, at most {keypoints} keypoints on the target. "
            f"{machine['cpu']}, PyTorch {versions['torch']}, satgen {versions['satgen']}."
        ),
        "commands": [summary["command"] for summary in summaries],
        "tables": [
            _by_gap(
                "F1 of the matches in per cent, by the difference of observation index, which is "
                "about the rotation in degrees:",
                gaps,
                entries,
                lambda figures: _number(figures.get("f1"), 100.0, 1),
            ),
            _by_gap(
                "Area under the curve of the relative pose's error up to 5°, in per cent, and in "
                "brackets the median rotation error in degrees of the absolute pose (PnP on the "
                "first frame's depth):",
                gaps,
                entries,
                _pose_cell,
            ),
            *(_savings(entry) for entry in entries if entry.get("saved", {}).get("by_gap")),
        ],
    }


def name_of(entry: Mapping[str, Any]) -> str:
    """A combination of a run as the tables call it: its label, and whose weights it was told."""
    weights = entry.get("weights")
    return entry["label"] if weights is None else f"{entry['label']} ({Path(weights).name})"


def _by_gap(
    caption: str, gaps: Iterable[str], entries: Sequence[Mapping[str, Any]], cell: Any
) -> PageTable:
    gaps = list(gaps)
    rows = [[name_of(e), *(cell(e["by_gap"][gap]) for gap in gaps)] for e in entries]
    return {"caption": caption, "columns": ["", *gaps], "rows": rows}


def _pose_cell(figures: Mapping[str, Any]) -> str:
    error = figures.get("pnp_rotation_error_deg")
    decimals = 0 if (error or 0.0) >= 10.0 else 1 if (error or 0.0) >= 1.0 else 2
    return f"{_number(figures.get('auc_5deg'), 100.0, 1)} ({_number(error, 1.0, decimals)})"


def _savings(entry: Mapping[str, Any]) -> PageTable:
    saved = entry["saved"]
    layers = saved["num_layers"]
    columns = [*saved["by_gap"].values(), saved]
    rows = [
        [title, *(_number(figures.get(key), factor, decimals) for figures in columns)]
        for title, key, factor, decimals in SAVINGS
    ]
    return {
        "caption": (
            f"What early exit and point pruning save against full depth, on the same pairs in "
            f"turn, in per cent: {name_of(entry)}, {layers} layers."
        ),
        "columns": ["", *saved["by_gap"], "all"],
        "rows": rows,
    }


def _number(value: float | None, factor: float, decimals: int) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{factor * value:.{decimals}f}"


def _summary(run: Path) -> dict[str, Any]:
    return _read(run / "results.json" if run.is_dir() else run)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(_text(path))
    except ValueError as error:
        raise InputError(f"{path}: no JSON: {error}") from None
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


if __name__ == "__main__":
    main()
