"""Which frames are matched with which: sampled, consecutive, from a file, from other benchmarks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.atomic import write_atomic
from satgen.errors import InputError
from satgen.geometry import Floats

GAPS = (1, 2, 5, 10, 20, 30, 45, 60)
"""Differences of index that are reported by default."""

COLUMNS = ("dataset", "index0", "index1")


@dataclass(frozen=True, order=True)
class Pair:
    """Two frames of a dataset, by its name and their observation indices."""

    dataset: str
    index0: int
    index1: int

    @property
    def gap(self) -> int:
        """Second index minus first."""
        return self.index1 - self.index0


def sample_pairs(
    dataset: str, indices: ArrayLike, gaps: Sequence[int] = GAPS, count: int = 200, seed: int = 0
) -> list[Pair]:
    """Pairs (i, i + gap), drawn without replacement for each gap, ordered by gap and index.

    A gap's draw depends on the seed, the gap and the indices alone: datasets with the same indices
    get the same pairs, and another list of gaps changes none of them.

    Args:
        dataset: its name.
        indices: (N,) observation indices, in any order.
        gaps: differences of index, at least 1 each.
        count: pairs a gap; where there are fewer, all of them.
        seed: not negative.

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
    pairs = []
    for gap in sorted(set(gaps)):
        starts = _starts(dataset, known, gap)
        if count < len(starts):
            rng = np.random.default_rng([seed, gap])
            starts = np.sort(rng.choice(starts, size=count, replace=False))
        pairs += [Pair(dataset, int(i), int(i) + gap) for i in starts]
    return pairs


def consecutive_pairs(dataset: str, indices: ArrayLike) -> list[Pair]:
    """Each frame (N,) with the next one of the dataset, whatever their gap: N - 1 pairs.

    Raises:
        InputError: one frame only.
    """
    known = _indices(dataset, indices).tolist()
    return [Pair(dataset, i, j) for i, j in pairwise(known)]


def save_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    """Write pairs as CSV with the columns `COLUMNS`, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((p.dataset, p.index0, p.index1) for p in pairs)
    write_atomic(path, text.getvalue().encode())


def load_pairs(path: Path) -> list[Pair]:
    """Pairs that `save_pairs` wrote, or that were written by hand in that form.

    Raises:
        InputError: the file cannot be read, has other columns or no pair, or a line is no pair.
    """
    rows = csv.reader(_lines(path))
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


@dataclass(frozen=True)
class PosedPair:
    """Two images of another benchmark with their true relative pose.

    Attributes:
        name0, name1: image files, relative to the benchmark's folder.
        turns0, turns1: quarter turns counter-clockwise that bring each image upright.
        K0, K1: (3, 3) intrinsics of the images as they are stored, pixels.
        T_0to1: (4, 4) takes camera-0 coordinates to camera-1 ones.
    """

    name0: str
    name1: str
    turns0: int
    turns1: int
    K0: Floats
    K1: Floats
    T_0to1: Floats


def load_posed_pairs(path: Path) -> list[PosedPair]:
    """A list in the form of the SuperGlue repository's `*_pairs_with_gt.txt`.

    A line is: name0 name1 turns0 turns1 K0 (9 numbers by rows) K1 (9) T_0to1 (16).

    Raises:
        InputError: the file cannot be read or has no pair, or a line (named by its number) is none.
    """
    pairs = []
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if not words:
            continue
        try:
            pairs.append(_posed_pair(words))
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from None
    if not pairs:
        raise InputError(f"{path}: has no pairs")
    return pairs


def turn_camera(
    K: ArrayLike, size: tuple[float, float], quarter_turns: int
) -> tuple[Floats, Floats]:
    """A camera whose image is turned counter-clockwise, as `numpy.rot90` turns it.

    Args:
        K: (3, 3) intrinsics before.
        size: width and height before, pixels.
        quarter_turns: of the image.

    Returns:
        Intrinsics after, and the pose (4, 4) that takes camera coordinates before to those after.
    """
    K, T = np.array(K, dtype=np.float64), np.eye(4)
    width, height = size
    # Pixel (u, v) goes to (v, width - 1 - u), and so do the axes: x' = y, y' = -x.
    quarter = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float64)
    for _ in range(quarter_turns % 4):
        K = np.array(
            [[K[1, 1], 0.0, K[1, 2]], [0.0, K[0, 0], width - 1 - K[0, 2]], [0.0, 0.0, 1.0]]
        )
        width, height = height, width
        T = quarter @ T
    return K, T


def upright(
    pair: PosedPair, size0: tuple[float, float], size1: tuple[float, float]
) -> tuple[Floats, Floats, Floats]:
    """K0, K1 and T_0to1 after both images were turned upright.

    Args:
        pair: as it was read.
        size0, size1: width and height of the images as they are stored, pixels.
    """
    K0, turn0 = turn_camera(pair.K0, size0, pair.turns0)
    K1, turn1 = turn_camera(pair.K1, size1, pair.turns1)
    return K0, K1, turn1 @ pair.T_0to1 @ turn0.T


def _indices(dataset: str, indices: ArrayLike) -> NDArray[np.int64]:
    known = np.unique(np.asarray(indices, dtype=np.int64).ravel())
    if len(known) < 2:
        raise InputError(f"{dataset}: {len(known)} frame(s); matching needs at least two")
    return known


def _starts(dataset: str, known: NDArray[np.int64], gap: int) -> NDArray[np.int64]:
    """Indices whose frame has another one `gap` later."""
    if gap < 1:
        raise InputError(f"gap {gap}: must be at least 1")
    span = int(known[-1] - known[0])
    if gap > span:
        raise InputError(f"gap {gap}: beyond the range of {dataset}, whose indices span {span}")
    starts = known[np.isin(known + gap, known)]
    if not len(starts):
        step = int(np.diff(known).min())
        raise InputError(
            f"gap {gap}: no two frames of {dataset} are so far apart, its indices step by {step}"
        )
    return starts


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None


def _pair(row: list[str], where: str) -> Pair:
    if len(row) != len(COLUMNS):
        raise InputError(f"{where}: {len(row)} columns, must be {len(COLUMNS)}")
    try:
        index0, index1 = int(row[1]), int(row[2])
    except ValueError:
        raise InputError(f"{where}: {row[1]},{row[2]} are not two indices") from None
    if index0 == index1:
        raise InputError(f"{where}: pairs frame {index0} with itself")
    return Pair(row[0], index0, index1)


def _posed_pair(words: list[str]) -> PosedPair:
    if len(words) != 38:
        raise InputError(f"{len(words)} fields, must be 38: two names, 2 turns, K0, K1, T_0to1")
    if not {words[2], words[3]} <= {"0", "1", "2", "3"}:
        raise InputError(f"turns {words[2]} and {words[3]}: must be 0, 1, 2 or 3")
    values = []
    for word in words[4:]:
        try:
            values.append(float(word))
        except ValueError:
            raise InputError(f"{word!r} is not a number") from None
    if not np.isfinite(values).all():
        raise InputError("its numbers must be finite")
    K0, K1 = (np.array(values[i : i + 9]).reshape(3, 3) for i in (0, 9))
    for name, K in (("K0", K0), ("K1", K1)):
        zeros = (K[0, 1], K[1, 0], K[2, 0], K[2, 1], K[2, 2] - 1.0)
        if K[0, 0] <= 0.0 or K[1, 1] <= 0.0 or any(zeros):
            raise InputError(f"{name} is no matrix of intrinsics without skew")
    T = np.array(values[18:]).reshape(4, 4)
    R = T[:3, :3]
    rigid = np.abs(R @ R.T - np.eye(3)).max() < 1e-2 and np.linalg.det(R) > 0.0
    if not rigid or (T[3] != (0.0, 0.0, 0.0, 1.0)).any():
        raise InputError("T_0to1 is no rigid motion")
    return PosedPair(words[0], words[1], int(words[2]), int(words[3]), K0, K1, T)
