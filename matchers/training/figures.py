"""Figures of merit of a batch: precision, recall, F1, and the layer at which LightGlue would leave.

Sums are kept, so that a mean over many batches is that of all their keypoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from matchers.assignment import mutual_matches
from matchers.lightglue_adaptive import confident
from matchers.truth.batched import Labels, judge


@dataclass(frozen=True)
class Tally:
    """Counts of a batch's matches.

    Attributes:
        correct, wrong: predicted matches; those that the labels leave open are neither.
        found, true: true matches whose first keypoint has a correct match, and all of them.
        layers, pairs: sum of the layers run, and pairs; 0 layers where nothing leaves early.
    """

    correct: int = 0
    wrong: int = 0
    found: int = 0
    true: int = 0
    layers: int = 0
    pairs: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[int, ...]:
        """The counts in order."""
        return (self.correct, self.wrong, self.found, self.true, self.layers, self.pairs)

    @property
    def precision(self) -> float:
        """Share of the judged matches that are correct; NaN without any."""
        return _ratio(self.correct, self.correct + self.wrong)

    @property
    def recall(self) -> float:
        """Share of the true matches that are found; NaN without any."""
        return _ratio(self.found, self.true)

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 where either is 0, NaN without any true match."""
        precision, recall = self.precision, self.recall
        if math.isnan(recall):
            return math.nan
        if math.isnan(precision) or precision + recall == 0.0:
            return 0.0
        return 2.0 * precision * recall / (precision + recall)

    @property
    def stop_layer(self) -> float:
        """Mean number of layers run; NaN where nothing leaves early."""
        return _ratio(self.layers, self.pairs) if self.layers else math.nan


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
    good, bad, hit = judge(labels, partner)
    sums = torch.stack([good.sum(), bad.sum(), hit.sum(), (labels.partner0 >= 0).sum()])
    correct, wrong, found, every = (int(value) for value in sums.tolist())
    layers = 0 if stop_layers is None else int(stop_layers.sum())
    return Tally(correct, wrong, found, every, layers, len(partner))


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


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
