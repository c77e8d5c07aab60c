"""Matchers on photographs that a homography changed: `python -m bench.photographs`.

Ten photographs of scikit-image, none of them trained on, are each shifted by 1 %, scaled and turned
by any angle. Which matches are correct follows from the homography alone: `MATCH_PX`. A matcher for
satellites should not be lost on other images: what it finds is held against nearest neighbours with
ratio test on the same features.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench.config import BenchConfig, Combination
from bench.lineup import Lineup
from bench.table import columns
from matchers.registry import default_features
from matchers.training.homography import warp_image
from matchers.training.photographs import HELD_OUT, found, read_photograph
from matchers.truth.roll import carry, roll_matrix, seen_mask
from matchers.turned import match_turned
from satgen.exits import guarded
from satgen.geometry import Floats

MATCH_PX = 3.0
"""A match is correct that the homography carries nearer than this."""

SIDE = 640
"""Longest side of an image, pixels; larger photographs are made smaller."""

BASELINE = "nearest"


@dataclass(frozen=True)
class Change:
    """What is done to a photograph: a shift in shares of its sides, a scale, a turn in degrees."""

    label: str
    shift: float = 0.0
    scale: float = 1.0
    roll_deg: float = 0.0

    def homography(self, size: tuple[int, int]) -> Floats:
        """From the pixels of an image of (width, height) to those of the changed one, (3, 3)."""
        middle = (np.array(size) - 1.0) / 2.0
        grown = np.diag([self.scale, self.scale, 1.0])
        grown[:2, 2] = (1.0 - self.scale) * middle + self.shift * np.array(size)
        return np.asarray(grown @ roll_matrix(middle, self.roll_deg))


CHANGES = (
    Change("shift 1 %", shift=0.01),
    Change("scale 1/1.5", scale=1.0 / 1.5),
    Change("scale 1.25", scale=1.25),
    Change("scale 1.5", scale=1.5),
    *(Change(f"roll {deg:g}°", roll_deg=deg) for deg in (15.0, 45.0, 90.0, 135.0, 180.0)),
    Change("all at once", shift=0.01, scale=1.2, roll_deg=-70.0),
)


def correct_matches(points0: Floats, points1: Floats, H: Floats) -> NDArray[np.bool_]:
    """Which matched pixels (K, 2) a homography carries onto each other, both ways."""
    there = np.linalg.norm(carry(H, points0) - points1, axis=1)
    back = np.linalg.norm(carry(np.linalg.inv(H), points1) - points0, axis=1)
    return np.asarray((there < MATCH_PX) & (back < MATCH_PX))


def measure(
    config: BenchConfig,
    files: Sequence[Path],
    changes: Sequence[Change] = CHANGES,
    turns: bool = False,
) -> list[dict[str, Any]]:
    """Matches and correct ones of each combination, photograph and change.

    Args:
        config: what is compared.
        files: the photographs.
        changes: what is done to each.
        turns: look at the changed image in each of its quarter turns; nearest neighbours, which all
            are held against, too.
    """
    lineup = Lineup.load(config)
    rows: list[dict[str, Any]] = []
    for file in files:
        image = _smaller(read_photograph(file))
        size = image.shape[1], image.shape[0]
        for name, extractor in lineup.extractors.items():
            first = extractor(image)
            for change in changes:
                H = change.homography(size)
                warped, seen = warp_image(image, H), seen_mask(size, H)
                upright = None if turns else extractor(warped, mask=seen)
                for combination, matcher in lineup.matchers.items():
                    if combination.features != name:
                        continue
                    if upright is None:
                        second, matches, _ = match_turned(extractor, matcher, first, warped, seen)
                    else:
                        second, matches = upright, matcher(first, upright)
                    pairs = matches.indices.cpu().numpy()
                    points0 = first.keypoints.cpu().numpy()[pairs[:, 0]].astype(np.float64)
                    points1 = second.keypoints.cpu().numpy()[pairs[:, 1]].astype(np.float64)
                    correct = int(correct_matches(points0, points1, H).sum())
                    rows.append(
                        {
                            "photograph": file.name,
                            "change": change.label,
                            "combination": combination.id,
                            "matches": len(pairs),
                            "correct": correct,
                        }
                    )
    return rows


def summarise(
    rows: Sequence[dict[str, Any]], combinations: Sequence[Combination]
) -> list[dict[str, Any]]:
    """Sums over the photographs by combination and change.

    `share` is of what nearest neighbours with ratio test on the same features find correct.
    """
    sums: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        total = sums.setdefault((row["combination"], row["change"]), [0, 0])
        total[0] += row["matches"]
        total[1] += row["correct"]
    baselines = {c.features: c.id for c in combinations if c.matcher == BASELINE and c.options}
    found = []
    for combination in combinations:
        for (name, change), (matches, correct) in sums.items():
            if name == combination.id:
                base = sums[baselines[combination.features], change][1]
                found.append(
                    {
                        "combination": name,
                        "label": combination.label,
                        "change": change,
                        "matches": matches,
                        "correct": correct,
                        "precision": correct / max(matches, 1),
                        "share": correct / base if base else float("nan"),
                    }
                )
    return found


def table(summary: Sequence[dict[str, Any]]) -> str:
    """Correct matches, and their share of the baseline's, by change and combination."""
    changes = list(dict.fromkeys(row["change"] for row in summary))
    blocks = []
    for label in dict.fromkeys(row["label"] for row in summary):
        mine = {row["change"]: row for row in summary if row["label"] == label}
        lines = [["change", "matches", "correct", "P %", "% of nearest + ratio"]]
        lines += [
            [
                change,
                str(mine[change]["matches"]),
                str(mine[change]["correct"]),
                f"{100.0 * mine[change]['precision']:.1f}",
                f"{100.0 * mine[change]['share']:.1f}",
            ]
            for change in changes
        ]
        blocks.append(f"{label}\n{columns(lines)}")
    return "\n\n".join(blocks)


def _smaller(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    scale = SIDE / max(image.shape[:2])
    if scale >= 1.0:
        return image
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


@click.command()
@click.option("--features", multiple=True, help="May be given again.  [default: sift, aliked]")
@click.option("--matcher", multiple=True, help="Beside nearest.  [default: lightglue, superglue]")
@click.option("--weights", default="satgen", show_default=True, help="Of the matchers.")
@click.option("--max-keypoints", default=512, show_default=True, type=click.IntRange(8))
@click.option("--photographs", default=10, show_default=True, type=click.IntRange(1, 10))
@click.option("--turns", is_flag=True, help="Match in the quarter turn that fits best.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    features: tuple[str, ...],
    matcher: tuple[str, ...],
    weights: str,
    max_keypoints: int,
    photographs: int,
    turns: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Correct matches on photographs under shifts, scales and rolls, for every bundled matcher."""
    options = (weights, max_keypoints, photographs, turns, out, as_json)
    guarded(lambda: _main(features, matcher, *options))


def _main(
    features: tuple[str, ...],
    matcher: tuple[str, ...],
    weights: str,
    max_keypoints: int,
    photographs: int,
    turns: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    config = BenchConfig(
        matchers=(BASELINE, *(matcher or ("lightglue", "superglue"))),
        features=features or tuple(dict.fromkeys(("sift", default_features()))),
        weights=weights,
        max_keypoints=max_keypoints,
    )
    files = found(HELD_OUT)[:photographs]
    rows = measure(config, files, turns=turns)
    summary = summarise(rows, config.combinations())
    text = json.dumps(
        {
            "photographs": [file.name for file in files],
            "turns": turns,
            "changes": [asdict(change) for change in CHANGES],
            "summary": summary,
            "pairs": rows,
        },
        indent=1,
    )
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(text if as_json else table(summary))


if __name__ == "__main__":
    main()
