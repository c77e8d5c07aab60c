"""Figures of a matcher on held-out pairs, by the gap between their indices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from matchers.training.bank import Bank, PairSide
from matchers.training.figures import Tally
from matchers.training.pairs import rows_of
from matchers.truth.batched import Labels, pose_labels
from matchers.truth.rules import Thresholds

Named = tuple[str, int, int]
"""A pair: its dataset's name and two indices."""

Judge = Callable[[PairSide, PairSide, Labels], tuple[float, Tally]]
"""Gives a batch's loss and figures."""


@dataclass(frozen=True)
class Validation:
    """Figures on held-out pairs.

    Attributes:
        loss: mean over the pairs.
        gaps: figures for each gap that any pair has.
    """

    loss: float
    gaps: dict[int, Tally]

    @property
    def total(self) -> Tally:
        """Figures of all pairs together."""
        return sum(self.gaps.values(), Tally())

    @property
    def f1(self) -> float:
        """Mean over all pairs with a true match; 0 where there is none."""
        f1 = self.total.f1
        return 0.0 if math.isnan(f1) else f1

    def score(self, stage: str) -> float:
        """What a stage is to raise: F1; of the classifiers, which do not change it, minus the
        loss."""
        return -self.loss if stage == "confidence" else self.f1

    @staticmethod
    def columns(gaps: Sequence[int]) -> tuple[str, ...]:
        """Names of the columns of `row`, for these gaps."""
        names = ("step", "loss", "f1", "precision", "recall", "stop_layer")
        by_gap = [f"{name}_{gap}" for name in ("f1", "stop_layer") for gap in sorted(set(gaps))]
        return (*names, *by_gap)

    def row(self, step: int, gaps: Sequence[int]) -> dict[str, Any]:
        """The figures as a row of the validation's log."""
        total, none = self.total, Tally()
        row = {
            "step": step,
            "loss": self.loss,
            "f1": self.f1,
            "precision": total.precision,
            "recall": total.recall,
            "stop_layer": total.stop_layer,
        }
        for gap in gaps:
            tally = self.gaps.get(gap, none)
            row |= {f"f1_{gap}": tally.f1, f"stop_layer_{gap}": tally.stop_layer}
        return row

    def to_json(self) -> dict[str, Any]:
        """The figures as a card of weights holds them: by gap, and of all pairs."""
        figures = {}
        for gap, tally in [*sorted(self.gaps.items()), ("all", self.total)]:
            values = {
                "pairs": tally.pairs,
                "precision": tally.precision,
                "recall": tally.recall,
                "f1": tally.f1,
                "stop_layer": tally.stop_layer,
            }
            figures[str(gap)] = {
                name: round(value, 4) for name, value in values.items() if not math.isnan(value)
            }
        return figures


class PairSet:
    """Held-out pairs of a bank, in batches of one gap.

    Args:
        bank: of kind "pose".
        pairs: whose frames are in the bank.
        batch: pairs that are computed together.
        thresholds: of the labels.
        multiple: see `Bank.pair`.
        rolled: of which pairs the second frame is rolled: see `pairs.rows_of`.
    """

    def __init__(
        self,
        bank: Bank,
        pairs: Sequence[Named],
        batch: int,
        thresholds: Thresholds,
        multiple: int = 1,
        rolled: Sequence[bool] | None = None,
    ) -> None:
        self._bank, self._batch = bank, batch
        self._thresholds, self._multiple = thresholds, multiple
        self._drawn = rows_of(bank, pairs, rolled)
        self._gaps = np.array([j - i for _, i, j in pairs])

    def __len__(self) -> int:
        """How many pairs."""
        return len(self._gaps)

    def evaluate(
        self, judge: Judge, progress: Callable[[int], object] = lambda done: None
    ) -> Validation:
        """The figures on all pairs of the set, as `judge` finds them.

        Args:
            judge: see there.
            progress: is told how many pairs are done.
        """
        tallies: dict[int, Tally] = {}
        losses, count = 0.0, 0
        for gap in np.unique(self._gaps).tolist():
            places = np.flatnonzero(self._gaps == gap)
            for start in range(0, len(places), self._batch):
                some = places[start : start + self._batch]
                side0, side1 = self._bank.pair(self._drawn.select(some), self._multiple)()
                labels = pose_labels(side0.geometry, side1.geometry, self._thresholds)
                with torch.no_grad():
                    loss, tally = judge(side0, side1, labels)
                tallies[gap] = tallies.get(gap, Tally()) + tally
                losses += loss * len(some)
                count += len(some)
                progress(count)
        return Validation(losses / max(count, 1), tallies)
