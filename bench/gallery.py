"""Pairs to look at: the best, the median and the worst, with matches drawn green and red."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.pair_judge import match_file
from matchers.truth.pairs import Pair
from matchers.truth.roll import roll_image, roll_matrix
from satgen.errors import InputError
from satgen.reading import read_npz

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("easy", "median", "worst")

WIDTH = 1000
"""Pixels of a picture: enough to see keypoints, little enough for a page with dozens."""

QUALITY = 82
"""Quality of the JPEG, 1 to 95."""


@dataclass(frozen=True)
class Picture:
    """A drawn pair of images with its matches, and its caption.

    Attributes:
        combination: label of what matched.
        dataset, kind: where the pair is from, and which of `KINDS`.
        caption: its figures, a line.
        data: the picture, as a data URL.
    """

    combination: str
    dataset: str
    kind: str
    caption: str
    data: str


def choose(rows: pd.DataFrame, kept: Sequence[bool]) -> dict[str, Any]:
    """The rows of the best, the median and the worst pair by F1, of those that were kept.

    Args:
        rows: of one combination and dataset.
        kept: for each row, whether its matches are on disk.

    Returns:
        Kind -> row; fewer where there are few pairs.
    """
    known = rows[np.asarray(kept, dtype=bool) & rows["f1"].notna()]
    known = known.sort_values(["f1", "index0", "index1"], ascending=[False, True, True])
    places = {0: "easy", len(known) - 1: "worst", (len(known) - 1) // 2: "median"}
    if len(known) < 3:
        places = {place: kind for place, kind in places.items() if kind != "median"}
    return {kind: known.iloc[place] for place, kind in sorted(places.items()) if len(known)}


def pictures(
    table: pd.DataFrame,
    combinations: Sequence[Mapping[str, Any]],
    folders: Mapping[str, Path],
    matches: Path,
) -> list[Picture]:
    """Draw the pairs of every combination and dataset that are worth looking at.

    Args:
        table: of the run.
        combinations: of run.json, those wanted.
        folders: of the datasets by name; those that are gone are passed over.
        matches: where the run keeps its matches.
    """
    found = []
    for entry in combinations:
        for name, folder in folders.items():
            chosen = (table["combination"] == entry["id"]) & (table["dataset"] == name)
            rows = table[chosen]
            if "f1" not in rows or rows.empty:
                continue
            files = [match_file(matches, entry["id"], _pair(row)) for row in rows.itertuples()]
            for kind, row in choose(rows, [file.is_file() for file in files]).items():
                try:
                    data = _draw(folder, row, match_file(matches, entry["id"], _pair(row)))
                except InputError:  # the dataset was moved or deleted since
                    continue
                found.append(Picture(entry["label"], name, kind, _caption(row), data))
    return found


def _pair(row: Any) -> Pair:
    return Pair(row.dataset, int(row.index0), int(row.index1), float(row.roll_gap_deg))


def _caption(row: Any) -> str:
    stop = "" if np.isnan(row.stop_layer) else f", left after layer {row.stop_layer:.0f}"
    roll = f", rolled by {row.roll_gap_deg:g}°" if row.roll_gap_deg else ""
    return (
        f"{row.index0} → {row.index1}, gap {row.gap}{roll}: {row.num_correct} correct, "
        f"{row.num_wrong} wrong, {row.num_ignored} not counted; F1 {100.0 * row.f1:.1f} %{stop}"
    )


def _draw(folder: Path, row: Any, file: Path) -> str:
    """A pair's picture as a data URL.

    Raises:
        InputError: its images are not to be had.
    """
    import torch
    from PIL import Image

    from matchers.draw import Style, draw_matches
    from matchers.types import Features, Matches
    from satgen.dataset import Dataset

    data = Dataset(folder)
    images = [data.rgb(int(index)) for index in (row.index0, row.index1)]
    if row.roll_gap_deg:
        centre = data.camera.cx, data.camera.cy
        images[1] = roll_image(images[1], roll_matrix(centre, float(row.roll_gap_deg)))
    found = read_npz(file, ("keypoints0", "keypoints1", "matches", "scores", "verdict"))
    sides = [
        Features(
            torch.from_numpy(found[name]),
            torch.zeros(len(found[name])),
            torch.zeros(len(found[name]), 1),
            torch.tensor([float(image.shape[1]), float(image.shape[0])]),
        )
        for name, image in zip(("keypoints0", "keypoints1"), images, strict=True)
    ]
    rows = torch.from_numpy(found["matches"].astype(np.int64))
    matched = Matches(rows, torch.from_numpy(found["scores"]))
    verdict = found["verdict"]
    picture = draw_matches(
        images[0], images[1], sides[0], sides[1], matched, verdict=verdict, style=Style(opacity=0.5)
    )
    height = round(picture.height * WIDTH / picture.width)
    picture = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
