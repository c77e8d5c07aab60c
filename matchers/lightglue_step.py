"""One layer of LightGlue with all that it decides, as tensors alone: nothing is waited for.

What is decided is in masks: pairs that leave and keypoints that are dropped take no part from the
next layer on, only their places are still computed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from matchers.lightglue_adaptive import LayerWeights
from matchers.lightglue_blocks import Blocks, TokenShape, widen


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
        logits: (2, B, N, 2) of matchability and confidence, float32; None: nobody asked.
        sure: (2, B, N) confidences; None: nobody asked.
        leave: (B,) bool, pairs that leave.
        wanted: (2, B, N) bool, keypoints that go on if their pair does.
        kept: (2, B) int64, how many those are.
        stays: (B,) bool, pairs that go on.
    """

    x: Tensor
    logits: Tensor | None
    sure: Tensor | None
    leave: Tensor
    wanted: Tensor
    kept: Tensor
    stays: Tensor


class Decision(NamedTuple):
    """How a layer decides, see `AdaptiveSettings`: () tensors; `sure` is its λ.

    Attributes:
        depth: `depth_confidence`; None: no pair leaves.
        unmatchable: a keypoint that is less likely to have a match is dropped; None: none is.
        least: `prune_min_keypoints`.
    """

    depth: Tensor | None
    unmatchable: Tensor | None
    least: Tensor
    sure: float


def shapes_of(alive: Tensor, there: Tensor | None, masked: bool) -> tuple[TokenShape, TokenShape]:
    """The shapes of both sides' tokens.

    Args:
        alive: (2, B, N) bool.
        there: (2, B) how many those are, which only masks need.
        masked: whether those that are not are looked past. An image of none is seen in full: what
            comes of it is finite, and nothing looks at it.
    """
    _, images, length = alive.shape
    if not masked:
        return TokenShape(images, length), TokenShape(images, length)
    assert there is not None
    keys = (alive | (there == 0)[..., None])[:, :, None, None]
    return TokenShape(images, length, keys[0]), TokenShape(images, length, keys[1])


def layer_step(
    x: Tensor,
    rotary: Tensor,
    weights: LayerWeights,
    alive: Tensor,
    there: Tensor,
    counts: Tensor,
    masked: bool,
    first: bool,
    decision: Decision | None,
    blocks: Blocks,
) -> LayerStep:
    """A layer, and what it decides.

    On a GPU it takes as long as there are operations, however small: sides go together.

    Args:
        x, rotary: (T, …) of both sides.
        weights: of the layer.
        alive: (2, B, N) bool, keypoints that take part.
        there: (2, B) int64, how many those are.
        masked: whether any does not, and is looked past.
        first: the self block is done.
        counts: (B,) keypoints of either pair at the start.
        decision: None: nothing is decided, and all pairs that are there leave.
        blocks: the functions.
    """
    shapes = shapes_of(alive, there, masked)
    if not first:
        x = blocks.own(x, rotary, weights.self_block, shapes)
    x = blocks.cross(x, weights.cross_block, *shapes)
    if decision is None:
        all_there = there.amin(0) > 0
        return LayerStep(x, None, None, all_there, alive, there, ~all_there)
    logits = widen(torch.addmm(weights.classify_bias, x, weights.classify))
    logits = logits.view(*alive.shape, -1)
    likely = logits.sigmoid()
    sure = leave = None
    if decision.depth is not None:
        sure = likely[..., 1]
        few = ((sure < decision.sure) & alive).sum((0, 2))
        # a pair that was done before has nobody left, and does not leave again
        leave = (1 - few / counts > decision.depth) & (there[0] > 0)
    wanted, kept = alive, there
    if decision.unmatchable is not None:
        some = likely[..., 0] > decision.unmatchable
        if sure is not None:
            some |= sure <= decision.sure
        some |= (there <= decision.least)[..., None]
        wanted = alive & some
        kept = wanted.sum(2)
    if leave is None:
        stays = kept.amin(0) > 0
        leave = torch.zeros_like(stays)
    else:
        stays = kept.amin(0) > leave * alive.shape[2]  # which is more than there are, or 0
    return LayerStep(x, logits, sure, leave, wanted, kept, stays)
