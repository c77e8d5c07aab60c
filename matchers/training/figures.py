"""Figures of merit of a batch: precision, recall, F1, and the layer at which LightGlue would leave.

They are the benchmark's (`matchers.truth.rules.scores`): of each pair, and means over pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from matchers.assignment import mutual_matches
from matchers.lightglue_adaptive import confident
from matchers.truth.batched import Labels, judge
from matchers.truth.rules import Scores, mean_over_pairs, scores

Counts = NDArray[np.int64]


def _none() -> Counts:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of the matches of P pairs, (P,) each; tallies of several batches add up to one.

    Attributes:
        correct, wrong: predicted matches; those that the labels leave open are neither.
        found, true: places of the first image with a true match: those that are correctly matched,
            and all of them.
        layers: that were run; 0 where nothing leaves early.
    """

    correct: Counts = field(default_factory=_none)
    wrong: Counts = field(default_factory=_none)
    found: Counts = field(default_factory=_none)
    true: Counts = field(default_factory=_none)
    layers: Counts = field(default_factory=_none)

    def __add__(self, other: Tally) -> Tally:
        names = [f.name for f in fields(self)]
        return Tally(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(self.true)

    @property
    def scores(self) -> Scores:
        """Precision, recall and F1 of each pair."""
        return scores(self.correct, self.wrong, self.found, self.true)

    @property
    def precision(self) -> float:
        """Mean over the pairs with a true match; NaN without any."""
        return mean_over_pairs(self.scores.precision)

    @property
    def recall(self) -> float:
        """Mean over the pairs with a true match; NaN without any."""
        return mean_over_pairs(self.scores.recall)

    @property
    def f1(self) -> float:
        """Mean over the pairs with a true match; NaN without any."""
        return mean_over_pairs(self.scores.f1)

    @property
    def stop_layer(self) -> float:
        """Mean number of layers run; NaN where nothing leaves early."""
        return float(self.layers.mean()) if self.layers.any() else math.nan


@torch.no_grad()
def tally(
    log_assignment: Tensor,
    labels: Labels,
    threshold: float,
    mask0: Tensor,
    mask1: Tensor,
    stop_layers: Tensor | None = None,
) -> Tally:
    """Hold the matches of an assignment against the labels, see `tally_matches`.

    Args:
        log_assignment: (B, M+1, N+1).
        labels: of the same pairs.
        threshold: probability that a match must exceed.
        mask0, mask1: (B, M) and (B, N) bool, False at padding.
        stop_layers: (B,) layers run.
    """
    partner, _ = mutual_matches(log_assignment, threshold, mask0=mask0, mask1=mask1)
    return tally_matches(partner, labels, stop_layers)


@torch.no_grad()
def tally_matches(partner: Tensor, labels: Labels, stop_layers: Tensor | None = None) -> Tally:
    """Hold matches against the labels, with the benchmark's definitions.

    Args:
        partner: (B, M) int64, the match of each keypoint of the first images, -1 where none.
        labels: of the same pairs.
        stop_layers: (B,) layers run.
    """
    counts = [value.sum(1) for value in judge(labels, partner)]
    counts.append(torch.zeros_like(counts[0]) if stop_layers is None else stop_layers)
    return Tally(*torch.stack(counts).cpu().numpy())


@torch.no_grad()
def stop_layers(
    confidences: Sequence[tuple[Tensor, Tensor]],
    mask0: Tensor,
    mask1: Tensor,
    depth_confidence: float,
) -> Tensor:
    """Layers (B,) that LightGlue would run before it leaves (§3.3), without pruning.

    Args:
        confidences: (B, M) and (B, N) logits of each layer but the last.
        mask0, mask1: (B, M) and (B, N) bool, False at padding.
        depth_confidence: α, the share of sure keypoints that must be exceeded.
    """
    layers = len(confidences) + 1
    stop = mask0.new_full((len(mask0),), layers, dtype=torch.long)
    total = mask0.sum(1) + mask1.sum(1)
    for layer in reversed(range(layers - 1)):
        sure0, sure1 = confidences[layer]
        limit = confident(layer + 1, layers)
        sure = ((sure0.sigmoid() >= limit) & mask0).sum(1) + (
            (sure1.sigmoid() >= limit) & mask1
        ).sum(1)
        stop = torch.where(sure > depth_confidence * total, layer + 1, stop)
    return stop
