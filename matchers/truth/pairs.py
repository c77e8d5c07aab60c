"""Which frames are matched with which: drawn by gap, consecutive, or from a file.

The benchmark and a training's held-out frames are paired by one rule, `draw_pairs`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matchers.truth.rules import GAPS
from satgen.errors import InputError
from satgen.reading import read_limited

COLUMNS = ("dataset", "index0", "index1")


@dataclass(frozen=True, order=True)
class Pair:
    """Two frames of a dataset, by its name and their observation indices.

    `roll_deg` is how far the second one's image is turned: see `matchers.truth.roll`.
    """

    dataset: str
    index0: int
    index1: int
    roll_deg: float = 0.0

    @property
    def gap(self) -> int:
        """The second index minus the first."""
        return self.index1 - self.index0


def draw_pairs(
    indices: ArrayLike, gaps: Sequence[int] = GAPS, count: int = 200, seed: int = 0
) -> list[tuple[int, int]]:
    """Pairs (i, i + gap), drawn without replacement for each gap, ordered by gap and index.

    A gap's draw depends on the seed, the gap and the indices alone: datasets with the same indices
    get the same pairs, and another list of gaps changes none of them.

    Args:
        indices: (N,) observation indices, in any order.
        gaps: differences of index; those that no two indices have are passed over.
        count: pairs a gap; where there are fewer, all of them.
        seed: not negative.
    """
    known = np.unique(np.asarray(indices, dtype=np.int64).ravel())
    pairs: list[tuple[int, int]] = []
    for gap in sorted(set(gaps)):
        starts = known[np.isin(known + gap, known)]
        if count < len(starts):
            rng = np.random.default_rng([seed, gap])
            starts = np.sort(rng.choice(starts, size=count, replace=False))
        pairs += [(int(i), int(i) + gap) for i in starts]
    return pairs


def usual_gaps(indices: ArrayLike) -> tuple[int, ...]:
    """Of `GAPS` those that two of the indices (N,) have; where there is none, as many times the
    least step between indices."""
    known = np.unique(np.asarray(indices, dtype=np.int64).ravel())
    step = int(np.diff(known).min()) if len(known) > 1 else 1
    for unit in (1, step):
        if found := [unit * gap for gap in GAPS if np.isin(known + unit * gap, known).any()]:
            return tuple(found)
    return GAPS


def sample_pairs(
    dataset: str, indices: ArrayLike, gaps: Sequence[int] = GAPS, count: int = 200, seed: int = 0
) -> list[Pair]:
    """Pairs of a dataset as `draw_pairs` draws them, where every gap must have some.

    Args:
        dataset: its name.
        indices, gaps, count, seed: of the draw; gaps at least 1 each.

    Raises:
        InputError: one frame only, no gap, a gap that no two frames have, or a bad count or seed.
    """
    known = _indices(dataset, indices)
    if count < 1:
        raise InputError(f"{count} pairs a gap: must be at least 1")
    if seed < 0:
        raise InputError(f"seed {seed}: must not be negative")
    if not gaps:
        raise InputError("no gap given: must be at least one")
    for gap in sorted(set(gaps)):
        _check_gap(dataset, known, gap)
    return [Pair(dataset, i, j) for i, j in draw_pairs(known, gaps, count, seed)]


def consecutive_pairs(dataset: str, indices: ArrayLike) -> list[Pair]:
    """Each frame (N,) with the next one of the dataset, whatever their gap: N - 1 pairs.

    Raises:
        InputError: one frame only.
    """
    known = _indices(dataset, indices).tolist()
    return [Pair(dataset, i, j) for i, j in pairwise(known)]


def pairs_csv(pairs: Iterable[Pair]) -> bytes:
    """Pairs as CSV with the columns `COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((quoted_cell(p.dataset), p.index0, p.index1) for p in pairs)
    return text.getvalue().encode()


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet takes for a formula."""


def quoted_cell(text: str) -> str:
    """A text as a cell of a CSV file: with an apostrophe before what a spreadsheet would run."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def plain_cell(cell: str) -> str:
    """Inverse of `quoted_cell`."""
    return cell[1:] if cell.startswith("'") and quoted_cell(cell) != cell else cell


def load_pairs(path: str | Path) -> list[Pair]:
    """Pairs from a CSV file, as `pairs_csv` makes it or written by hand in that form.

    Raises:
        InputError: the file cannot be read, has other columns or no pair, or a line is no pair.
    """
    rows = csv.reader(read_lines(path))
    try:
        if tuple(next(rows, [])) != COLUMNS:
            raise InputError(f"{path}: its columns are not {','.join(COLUMNS)}")
        pairs = [_pair(row, f"{path}: line {rows.line_num}") for row in rows if row]
    except csv.Error as error:
        raise InputError(f"{path}: not a table ({error})") from None
    if not pairs:
        raise InputError(f"{path}: has no pairs")
    return pairs


def check_pairs_exist(pairs: Iterable[Pair], frames: dict[str, ArrayLike]) -> None:
    """Check a list against the datasets at hand: indices by dataset name.

    Raises:
        InputError: a pair's dataset or one of its frames is not there.
    """
    known = {name: set(np.asarray(v).tolist()) for name, v in frames.items()}
    for pair in pairs:
        if pair.dataset not in known:
            names = ", ".join(known) or "none"
            raise InputError(f"pairs of dataset {pair.dataset!r}: those given are {names}")
        for index in (pair.index0, pair.index1):
            if index not in known[pair.dataset]:
                raise InputError(f"pairs: dataset {pair.dataset} has no frame {index}")


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file.

    Raises:
        InputError: it cannot be read.
    """
    data = read_limited(path)
    try:
        return data.decode().splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None


def _indices(dataset: str, indices: ArrayLike) -> NDArray[np.int64]:
    known = np.unique(np.asarray(indices, dtype=np.int64).ravel())
    if len(known) < 2:
        raise InputError(f"{dataset}: {len(known)} frame(s); matching needs at least two")
    return known


def _check_gap(dataset: str, known: NDArray[np.int64], gap: int) -> None:
    """Refuse a gap that no two frames of a dataset have."""
    if gap < 1:
        raise InputError(f"gap {gap}: must be at least 1")
    span = int(known[-1] - known[0])
    if gap > span:
        raise InputError(f"gap {gap}: beyond the range of {dataset}, whose indices span {span}")
    if not np.isin(known + gap, known).any():
        step = int(np.diff(known).min())
        raise InputError(
            f"gap {gap}: no two frames of {dataset} are so far apart, its indices step by {step}"
        )


def _pair(row: list[str], where: str) -> Pair:
    if len(row) != len(COLUMNS):
        raise InputError(f"{where}: {len(row)} columns, must be {len(COLUMNS)}")
    try:
        index0, index1 = int(row[1]), int(row[2])
    except ValueError:
        raise InputError(f"{where}: {row[1]},{row[2]} are not two indices") from None
    if index0 == index1:
        raise InputError(f"{where}: pairs frame {index0} with itself")
    return Pair(plain_cell(row[0]), index0, index1)
