"""One layer of LightGlue with all that it decides, as tensors alone: nothing is waited for.

What is decided is in masks: pairs that leave and keypoints that are dropped take no part from the
next layer on, only their places are still computed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from matchers.lightglue_adaptive import LayerWeights
from matchers.lightglue_blocks import Blocks, TokenShape, split, widen


def padded_size(count: int) -> int:
    """The size of tensors for so many keypoints: the next of 64, 96, 128, 192, 256, 384, …"""
    size = 64
    while size < count:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


class LayerStep(NamedTuple):
    """What a layer gives.

    Attributes:
        x: (T, dim) tokens.
        sure: each side's (B, N) confidences; None: nobody asked.
        keep: each side's (B, N) bool, keypoints that go on.
        answer: (B, 3) int64: whether the pair leaves, and keypoints of either side that go on.
    """

    x: Tensor
    sure: tuple[Tensor, Tensor] | None
    keep: tuple[Tensor, Tensor]
    answer: Tensor | None


class Decision(NamedTuple):
    """How a layer decides, see `AdaptiveSettings`: () tensors; `sure` is its λ."""

    depth: Tensor | None
    width: Tensor | None
    least: Tensor
    sure: float


def layer_step(
    x: Tensor,
    rotary: Tensor,
    weights: LayerWeights,
    alive: tuple[Tensor, Tensor],
    counts: Tensor,
    masked: bool,
    first: bool,
    decision: Decision | None,
    blocks: Blocks,
) -> LayerStep:
    """A layer, and what it decides.

    Args:
        x, rotary: (T, …) of both sides.
        weights: of the layer.
        alive: each side's (B, N) bool, keypoints that take part.
        masked: whether any does not, and is looked past.
        first: the self block is done.
        counts: (B,) keypoints of either pair at the start.
        decision: None: nothing is decided.
        blocks: the functions.
    """
    shape0, shape1 = (TokenShape.of(side, side if masked else None) for side in alive)
    shapes = (shape0, shape1)
    if not first:
        x = blocks.own(x, rotary, weights.self_block, shapes)
    x = blocks.cross(x, weights.cross_block, *shapes)
    if decision is None:
        return LayerStep(x, None, alive, None)
    logits = split(widen(torch.addmm(weights.classify_bias, x, weights.classify)), shapes)
    leave = torch.zeros_like(counts, dtype=torch.bool)
    sure: tuple[Tensor, Tensor] | None = None
    if decision.depth is not None:
        sure0, sure1 = (logit[..., 1].sigmoid() for logit in logits)
        sure = (sure0, sure1)
        few = sum(((c < decision.sure) & a).sum(1) for c, a in zip(sure, alive, strict=True))
        leave = 1 - few / counts > decision.depth
    keep = list(alive)
    if decision.width is not None:
        for i, logit in enumerate(logits):
            wanted = logit[..., 0].sigmoid() > 1 - decision.width
            if sure is not None:
                wanted = wanted | (sure[i] <= decision.sure)
            wanted = wanted | (alive[i].sum(1, keepdim=True) <= decision.least)
            keep[i] = alive[i] & wanted
    stays = ~leave & keep[0].any(1) & keep[1].any(1)
    keep0, keep1 = (side & stays[:, None] for side in keep)
    # a pair that was done before has nobody left, and does not leave again
    leave = leave & alive[0].any(1)
    answer = torch.stack([leave.long(), keep0.sum(1), keep1.sum(1)], 1)
    return LayerStep(x, sure, (keep0, keep1), answer)
