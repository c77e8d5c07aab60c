"""Which frames are trained on together: drawn by how far apart their viewpoints are.

A draw depends on the seed, the stage and the step alone, so that a run that was stopped goes on
with the very pairs that it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.geometry import matrix_to_quaternion
from satgen.settings import check, numbers, setting

if TYPE_CHECKING:
    from matchers.training.bank import Bank

Rows = NDArray[np.int64]

ANGLES_DEG = (0.0, 1.5, 3.5, 7.5, 15.0, 25.0, 37.5, 52.5, 65.0)
"""Edges of the ranges that a pair's rotation falls into; about the benchmark's gaps, 1 to 60."""

_TRIES = 64


@dataclass(frozen=True)
class Curriculum:
    """How far apart the frames of a pair are, as training goes on.

    A pair's range of angles is drawn evenly from those that are open. At first only the narrowest
    are; by `full` of the stage's steps the last one is.

    Attributes:
        edges_deg: of the ranges, ascending; the angle is that of the rotation between the poses.
        start_deg: ranges that begin below this are open from the first step.
        full: share of the steps by which all are.

    Raises:
        InputError: edges that do not ascend from 0 to at most 180, or a share out of range.
    """

    edges_deg: tuple[float, ...] = setting(
        ANGLES_DEG,
        "Edges of the ranges of degrees between two frames, from which pairs are drawn evenly",
        name="angles",
        metavar="A,B,...",
        parse=numbers,
        low=0.0,
        high=180.0,
    )
    start_deg: float = 10.0
    full: float = setting(
        0.4,
        "Share of the steps in which pairs grow to all angles; 0: all from the first step, for "
        "weights that know them",
        name="curriculum",
        low=0.0,
        high=1.0,
    )

    def __post_init__(self) -> None:
        edges = self.edges_deg
        if len(edges) < 2 or not all(np.diff(edges) > 0.0) or edges[0] < 0.0 or edges[-1] > 180.0:
            listed = ", ".join(f"{edge:g}" for edge in edges)
            raise InputError(
                f"ranges of angles {listed}: must be two or more edges, ascending, from 0 to 180"
            )
        check(self)

    def open_ranges(self, progress: float) -> int:
        """How many ranges are open after a share of the steps."""
        last = self.edges_deg[-1]
        grown = min(progress / self.full, 1.0) if self.full else 1.0
        reach = self.start_deg + (last - self.start_deg) * grown
        return max(1, int(np.searchsorted(self.edges_deg[:-1], reach)))


class Drawn(NamedTuple):
    """A batch's frames (rows of the bank), versions of them, and the angles between: (B,) each."""

    rows0: Rows
    versions0: Rows
    rows1: Rows
    versions1: Rows
    angle_deg: NDArray[np.float64]

    def select(self, places: Rows) -> Drawn:
        """Some of the pairs."""
        return Drawn(
            self.rows0[places],
            self.versions0[places],
            self.rows1[places],
            self.versions1[places],
            self.angle_deg[places],
        )


class PosePairs:
    """Pairs of frames of one target, of any of its datasets: other light and sensors included.

    Args:
        bank: of kind "pose".
        seed: of the draws.
        curriculum: the default unless given.
        min_keypoints: frames with fewer are not drawn.

    Raises:
        InputError: no two frames are left that can be a pair.
    """

    def __init__(
        self, bank: Bank, seed: int, curriculum: Curriculum | None = None, min_keypoints: int = 8
    ) -> None:
        self.curriculum = curriculum or Curriculum()
        self._seed, self._versions = seed, bank.versions
        self._quaternions = matrix_to_quaternion(bank.poses[:, :3, :3])
        rich = bank.count.min(axis=1) >= min_keypoints
        self._groups = [
            rows
            for target in range(len(bank.targets))
            if len(rows := np.flatnonzero(rich & (bank.target == target))) > 1
        ]
        reach = self.curriculum.edges_deg[0], self.curriculum.edges_deg[-1]
        self._groups = [rows for rows in self._groups if self._any(rows, *reach)]
        if not self._groups:
            raise InputError(
                f"no two frames to train on are {reach[0]:g} to {reach[1]:g} degrees apart and "
                f"have {min_keypoints} keypoints each"
            )

    def draw(self, stage: int, step: int, batch: int, progress: float) -> Drawn:
        """The pairs of a step; targets are drawn evenly, and frames of a target are."""
        rng = np.random.default_rng([self._seed, stage, step])
        ranges = self.curriculum.open_ranges(progress)
        pairs = [self._pair(rng, ranges) for _ in range(batch)]
        rows0, rows1 = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
        versions = rng.integers(0, self._versions, (2, batch))
        dots = np.abs((self._quaternions[rows0] * self._quaternions[rows1]).sum(axis=1))
        angle = np.rad2deg(2.0 * np.arccos(np.clip(dots, 0.0, 1.0)))
        return Drawn(rows0, versions[0], rows1, versions[1], angle)

    def _pair(self, rng: np.random.Generator, ranges: int) -> tuple[int, int]:
        rows = self._groups[rng.integers(len(self._groups))]
        edges = self.curriculum.edges_deg
        for attempt in range(_TRIES):
            chosen = rng.integers(ranges)
            low, high = edges[chosen], edges[chosen + 1]
            if attempt >= _TRIES // 2:  # ranges that few frames of this target can fill
                low, high = edges[0], edges[-1]
            first = int(rows[rng.integers(len(rows))])
            angles = self._angles(first, rows)
            others = rows[(angles >= low) & (angles < high) & (rows != first)]
            if len(others):
                return first, int(others[rng.integers(len(others))])
        angles = np.stack([self._angles(int(row), rows) for row in rows])
        np.fill_diagonal(angles, np.inf)
        i, j = np.nonzero((angles >= edges[0]) & (angles < edges[-1]))
        chosen = rng.integers(len(i))
        return int(rows[i[chosen]]), int(rows[j[chosen]])

    def _angles(self, row: int, rows: Rows) -> NDArray[np.float64]:
        """Degrees of the rotations between one frame's pose and others'."""
        dots = np.abs(self._quaternions[rows] @ self._quaternions[row])
        return np.asarray(np.rad2deg(2.0 * np.arccos(np.clip(dots, 0.0, 1.0))))

    def _any(self, rows: Rows, low: float, high: float) -> bool:
        """Whether any two rows are so far apart."""
        for row in rows:
            angles = self._angles(int(row), rows)
            if ((angles >= low) & (angles < high) & (rows != row)).any():
                return True
        return False


class HomographyPairs:
    """Two versions of one frame.

    Args:
        bank: of kind "homography".
        seed: of the draws.
        min_keypoints: frames with fewer are not drawn.

    Raises:
        InputError: no frame is left.
    """

    def __init__(self, bank: Bank, seed: int, min_keypoints: int = 8) -> None:
        self._seed, self._versions = seed, bank.versions
        rich = bank.count.min(axis=1) >= min_keypoints
        self._groups = [
            rows
            for target in range(len(bank.targets))
            if len(rows := np.flatnonzero(rich & (bank.target == target)))
        ]
        if not self._groups:
            raise InputError(f"no frame to train on has {min_keypoints} keypoints")

    def draw(self, stage: int, step: int, batch: int, progress: float) -> Drawn:
        """The pairs of a step; `progress` changes nothing."""
        rng = np.random.default_rng([self._seed, stage, step])
        groups = rng.integers(len(self._groups), size=batch)
        rows = np.array([rng.choice(self._groups[group]) for group in groups])
        versions = np.stack([rng.permutation(self._versions)[:2] for _ in range(batch)])
        return Drawn(rows, versions[:, 0], rows, versions[:, 1], np.zeros(batch))


def rows_of(
    bank: Bank, pairs: Sequence[tuple[str, int, int]], rolled: Sequence[bool] | None = None
) -> Drawn:
    """Pairs (dataset, index, index) as rows of a bank, in their first versions.

    Args:
        bank: of the frames.
        pairs: named so.
        rolled: of which pairs the second frame is to be in its second version; None: of none.

    Raises:
        KeyError: a frame that is not in the bank.
    """
    place = {
        (bank.names[dataset], int(index)): row
        for row, (dataset, index) in enumerate(zip(bank.dataset, bank.index, strict=True))
    }
    rows0 = np.array([place[name, i] for name, i, _ in pairs], dtype=np.int64)
    rows1 = np.array([place[name, j] for name, _, j in pairs], dtype=np.int64)
    zeros = np.zeros(len(pairs), dtype=np.int64)
    q = matrix_to_quaternion(bank.poses[:, :3, :3])
    dots = np.abs((q[rows0] * q[rows1]).sum(axis=1)) if len(pairs) else np.zeros(0)
    versions1 = zeros if rolled is None else np.asarray(rolled, dtype=np.int64)
    return Drawn(
        rows0, zeros, rows1, versions1, np.rad2deg(2.0 * np.arccos(np.clip(dots, 0.0, 1.0)))
    )
