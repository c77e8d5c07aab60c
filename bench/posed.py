"""Pairs of other benchmarks: lists of images with their true relative poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from matchers.truth.pairs import read_lines
from satgen.errors import InputError
from satgen.geometry import Floats


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


def load_posed_pairs(path: str | Path) -> list[PosedPair]:
    """A list in the form of the SuperGlue repository's `*_pairs_with_gt.txt`.

    A line is: name0 name1 turns0 turns1 K0 (9 numbers by rows) K1 (9) T_0to1 (16).

    Raises:
        InputError: the file cannot be read or has no pair, or a line (named by its number) is none.
    """
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
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
