"""LightGlue's layers without waiting for answers: for a GPU, whose time goes to waits and launches.

Early exit and pruning need answers: which pairs leave, how many keypoints are left. To wait for
one is to let the GPU idle and then to launch everything anew. So the next layer is launched before
the last one's answer is read. What was decided is in masks on the device meanwhile: pairs that have
left and keypoints that are dropped take no part from the next layer on, only their places are still
computed. They are gathered into a smaller tensor once a whole step of sizes is gained, and only
where that pays (`GATHER_FROM`). Tensors have few sizes, so that compiled code fits them.

The answers are those of `lightglue_adaptive`, rounding apart.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from matchers.lightglue_adaptive import (
    AdaptiveSettings,
    LayerWeights,
    LightGluePrepared,
    MatchResults,
    PairRecord,
    assign,
    confident,
)
from matchers.lightglue_blocks import Blocks, TokenShape, split, widen
from matchers.types import Matches

GATHER_FROM = {"cpu": 0, "cuda": 1024}
"""Keypoints of an image from which it pays to gather what pruning left of them, by device.

CPU: any number, as arithmetic is all that costs there (`python -m bench.matcher_speed`, two cores:
adaptive is faster than full depth from 128 keypoints on). CUDA: the bound below which the authors'
code prunes nothing; `python -m bench.gpu` measures a card's own."""


PLAIN = Blocks()


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
    """How a layer decides, see `AdaptiveSettings`, numbers or () tensors; `sure` is its λ."""

    depth: float | Tensor | None
    width: float | Tensor | None
    least: int | Tensor
    sure: float | Tensor


def layer_step(
    x: Tensor,
    rotary: Tensor,
    weights: LayerWeights,
    alive: tuple[Tensor, Tensor],
    counts: Tensor,
    masked: bool,
    first: bool,
    decision: Decision | None,
    blocks: Blocks = PLAIN,
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


LayerFunction = Callable[..., LayerStep]
"""`layer_step`, as it is or compiled."""


def step_key(
    x: Tensor,
    rotary: Tensor,
    weights: LayerWeights,
    alive: tuple[Tensor, Tensor],
    counts: Tensor,
    masked: bool,
    first: bool,
    decision: Decision | None,
    blocks: Blocks = PLAIN,
) -> Hashable:
    """What code that is compiled of `layer_step` depends on."""
    how = None if decision is None else decision[:3]
    shapes = (x.shape, alive[0].shape, alive[1].shape, weights.classify.shape)
    return x.dtype, x.device, shapes, masked, first, how


class _Work(NamedTuple):
    """Pairs at work, some of which may be done.

    Attributes:
        places: of the pairs in the batch.
        pairs: (B,) the same on the device.
        x, rotary: (T, …) tokens of both sides.
        rows: each side's (B, N) rows of the images' tokens.
        alive: each side's (B, N) bool, those that take part.
        counts: (B,) keypoints of both images at the start.
    """

    places: list[int]
    pairs: Tensor
    x: Tensor
    rotary: Tensor
    rows: tuple[Tensor, Tensor]
    alive: tuple[Tensor, Tensor]
    counts: Tensor

    def gathered(self, slots: list[int], order: Sequence[Tensor | None]) -> _Work:
        """Some pairs, and of their tokens those at (B, n) for each side; None: all."""
        device = self.pairs.device
        chosen = torch.tensor(slots).to(device, non_blocking=True)
        flat, rows, alive, start = [], [], [], 0
        for mine, lives, places in zip(self.rows, self.alive, order, strict=True):
            count = mine.shape[1]
            if places is None:
                wanted = torch.arange(count, device=device).expand(len(slots), -1)
            else:
                wanted = places[chosen]
            flat.append((wanted + (start + chosen * count)[:, None]).flatten())
            rows.append(mine[chosen].gather(1, wanted))
            alive.append(lives[chosen].gather(1, wanted))
            start += mine.numel()
        index = torch.cat(flat)
        return _Work(
            [self.places[slot] for slot in slots],
            self.pairs[chosen],
            self.x.index_select(0, index),
            self.rotary.index_select(0, index),
            (rows[0], rows[1]),
            (alive[0], alive[1]),
            self.counts[chosen],
        )


@dataclass(frozen=True)
class _Asked:
    """A layer's answer on its way to the host, and what pairs that leave are assigned from."""

    work: _Work
    weights: LayerWeights
    layer: int
    answer: Tensor
    event: Any

    @classmethod
    def of(cls, work: _Work, weights: LayerWeights, layer: int, answer: Tensor) -> _Asked:
        """Begin to fetch an answer, without waiting for it."""
        if answer.device.type != "cuda":
            return cls(work, weights, layer, answer, None)
        there = torch.empty(answer.shape, dtype=answer.dtype, pin_memory=True)
        there.copy_(answer, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return cls(work, weights, layer, there, event)

    def read(self) -> dict[int, tuple[bool, int, int]]:
        """Of each pair whether it leaves, and the keypoints that go on; waited for if need be."""
        if self.event is not None:
            self.event.synchronize()
        told = zip(self.work.places, self.answer.tolist(), strict=True)
        return {place: (bool(leaves), count0, count1) for place, (leaves, count0, count1) in told}


def match_without_waiting(
    weights: Sequence[LayerWeights],
    step: LayerFunction,
    prepared0: LightGluePrepared,
    prepared1: LightGluePrepared,
    settings: AdaptiveSettings,
    *,
    pad: bool = False,
    gather_from: int | None = None,
) -> list[Matches]:
    """Match B pairs, each with as many layers and points as it needs.

    Args:
        weights: of the layers.
        step: `layer_step`, or what is compiled of it.
        prepared0, prepared1: of B images each.
        settings: how to adapt and filter.
        pad: bring tensors to one of few sizes from the start.
        gather_from: instead of the device's `GATHER_FROM`.

    Returns:
        `Matches` with `adaptation`, in the order of the pairs.
    """
    sides = [padded(side) if pad else side for side in (prepared0, prepared1)]
    records = (PairRecord(sides[0], len(weights)), PairRecord(sides[1], len(weights)))
    results = MatchResults(records, len(weights))
    device = prepared0.tokens.device
    pays = GATHER_FROM.get(device.type, GATHER_FROM["cuda"]) if gather_from is None else gather_from
    depth, width = settings.depth_confidence, settings.width_confidence
    work = _begin(sides[0], sides[1])
    busy = list(work.places) if min(len(rows.T) for rows in work.rows) else []
    masked = any(side.mask is not None for side in sides)
    asked: _Asked | None = None
    for layer, w in enumerate(weights, start=1):
        if not busy:
            break
        decision = None
        if layer < len(weights) and (depth is not None or width is not None):
            sure = torch.full((), confident(layer, len(weights)), device=device)
            decision = Decision(depth, width, settings.prune_min_keypoints, sure)
        found = step(work.x, work.rotary, w, work.alive, work.counts, masked, layer == 1, decision)
        work = work._replace(x=found.x)
        for i, record in enumerate(records):
            record.mark(work.pairs, work.rows[i], work.alive[i], layer)
            if found.sure is not None:
                record.note(work.pairs, work.rows[i], work.alive[i], layer, found.sure[i])
        coming = None
        if found.answer is not None:
            coming = _Asked.of(work, w, layer, found.answer)
        keep = found.keep
        if asked is not None:  # the answer of the layer before, while this one is at work
            told = asked.read()
            busy = _heard(asked, told, busy, results, settings.filter_threshold)
            smaller = _smaller(work, told, busy, pays) if busy and layer < len(weights) else None
            if smaller is not None:
                keep = work._replace(alive=keep).gathered(*smaller).alive
                work = work.gathered(*smaller)
        asked = coming
        if layer == len(weights):
            _settle(work, busy, w, results, settings.filter_threshold)
        work = work._replace(alive=keep)
        masked = masked or (decision is not None and width is not None)
    return results.matches()


def padded(prepared: LightGluePrepared) -> LightGluePrepared:
    """Prepared images with padding up to a `padded_size`."""
    count = prepared.tokens.shape[1]
    more = padded_size(count) - count
    if not more:
        return prepared
    mask = prepared.mask
    if mask is None:
        mask = torch.ones(
            prepared.tokens.shape[:2], dtype=torch.bool, device=prepared.tokens.device
        )
    return LightGluePrepared(
        functional.pad(prepared.tokens, (0, 0, 0, more)),
        functional.pad(prepared.rotary, (0, 0, 0, more)),
        functional.pad(mask, (0, more)),
        prepared.batched,
    )


def _begin(prepared0: LightGluePrepared, prepared1: LightGluePrepared) -> _Work:
    """All pairs; in those that lack keypoints on either side nobody is alive."""
    both = (prepared0, prepared1)
    device = prepared0.tokens.device
    pairs = torch.arange(len(prepared0.tokens), device=device)
    rows, alive = [], []
    for side in both:
        shape = side.tokens.shape[:2]
        rows.append(torch.arange(shape[1], device=device).expand(shape))
        there = side.mask
        alive.append(torch.ones(shape, dtype=torch.bool, device=device) if there is None else there)
    counts = alive[0].sum(1) + alive[1].sum(1)
    whole = (alive[0].any(1) & alive[1].any(1))[:, None]
    return _Work(
        list(range(len(pairs))),
        pairs,
        torch.cat([p.tokens.flatten(0, 1) for p in both]),
        torch.cat([p.rotary.flatten(0, 1) for p in both]),
        (rows[0], rows[1]),
        (alive[0] & whole, alive[1] & whole),
        counts,
    )


def _heard(
    asked: _Asked,
    told: dict[int, tuple[bool, int, int]],
    busy: list[int],
    results: MatchResults,
    threshold: float,
) -> list[int]:
    """The pairs that are still busy after an answer; those that leave go to the results."""
    _settle(asked.work, [pair for pair in busy if told[pair][0]], asked.weights, results, threshold)
    return [pair for pair in busy if not told[pair][0] and min(told[pair][1:]) > 0]


def _settle(
    work: _Work, leaving: list[int], w: LayerWeights, results: MatchResults, threshold: float
) -> None:
    """Assign the keypoints of pairs."""
    if not leaving:
        return
    if len(leaving) < len(work.places):
        work = work.gathered([work.places.index(pair) for pair in leaving], (None, None))
    shapes = [TokenShape.of(side, side) for side in work.alive]
    partner, score = assign(work.x, (shapes[0], shapes[1]), w)
    results.fill(work.pairs, work.rows, partner, score, threshold)


def _smaller(
    work: _Work, told: dict[int, tuple[bool, int, int]], busy: list[int], pays: int
) -> tuple[list[int], tuple[Tensor | None, Tensor | None]] | None:
    """Slots and tokens to go on with, where that makes a tensor smaller by a step; or None.

    Pairs go by halves: those that are done fill the place up.
    """
    count = len(work.places)
    while count // 2 >= len(busy):
        count //= 2
    slots = [work.places.index(pair) for pair in busy]
    done = [slot for slot, pair in enumerate(work.places) if pair not in busy]
    slots = sorted(slots + done[: count - len(slots)])
    order: list[Tensor | None] = []
    for side, alive in enumerate(work.alive):
        size = alive.shape[1]
        left = padded_size(max(told[pair][1 + side] for pair in busy))
        if left < size and size >= pays:
            order.append(alive.byte().argsort(dim=1, descending=True, stable=True)[:, :left])
        else:
            order.append(None)
    if count == len(work.places) and order == [None, None]:
        return None
    return slots, (order[0], order[1])
