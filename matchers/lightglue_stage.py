"""The functions of LightGlue's layers over tensors that stay where they are, for one size.

They are captured as graphs and replayed (`lightglue_graphs`), or called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from matchers.graphs import Replayed
from matchers.lightglue_adaptive import (
    AdaptiveSettings,
    LayerWeights,
    assign,
    assign_each,
    confident,
)
from matchers.lightglue_blocks import Blocks, TokenShape
from matchers.lightglue_step import Decision, layer_step


class StageLimits(NamedTuple):
    """() tensors: what a layer decides by, see `AdaptiveSettings`."""

    depth: Tensor
    width: Tensor
    least: Tensor
    threshold: Tensor

    @classmethod
    def on(cls, device: torch.device) -> StageLimits:
        """All 0, on a device."""
        return cls(*(torch.zeros((), device=device) for _ in range(4)))

    def set(self, settings: AdaptiveSettings) -> None:
        """Decide by these from now on; what is off there is not looked at."""
        values = (
            settings.depth_confidence,
            settings.width_confidence,
            settings.prune_min_keypoints,
            settings.filter_threshold,
        )
        for place, value in zip(self, values, strict=True):
            place.fill_(0.0 if value is None else value)


class StageRecords:
    """What becomes of B pairs of N keypoints a side; both sides' lie behind one another (2N).

    Attributes:
        layers: (B, 2N) int64, in how many each took part.
        sure: (B, L, 2N) float32 confidences, NaN where nobody asked.
        partner, score: (B, N) int64, -1 where there is none, and float32.
        indices, scores: (B, N, 2) int64 and (B, N) float32, the matches of each pair; the first
            `counts` (B,) of them, what is behind these means nothing.
        answers: (L, 3B) int64, what layers decided: the first numbers are those of a stage, of
            fewer pairs maybe.
    """

    def __init__(self, pairs: int, size: int, layers: int, device: torch.device) -> None:
        # what goes out lies together, so that it is copied at once
        self._whole_numbers = torch.zeros((pairs, 4 * size), dtype=torch.long, device=device)
        self._numbers = torch.full((pairs, (2 * layers + 1) * size), math.nan, device=device)
        self._size, self._layers = size, layers
        (self.layers, self.indices), (self.sure, self.scores) = self._views(
            self._whole_numbers, self._numbers
        )
        # and so does what the host asks for
        self._told = torch.zeros((1 + 3 * layers) * pairs, dtype=torch.long, device=device)
        self.counts, self.answers = self._told[:pairs], self._told[pairs:].view(layers, -1)
        self.partner = torch.full((pairs, size), -1, dtype=torch.long, device=device)
        self.score = torch.zeros((pairs, size), device=device)
        self._rows = torch.arange(size, device=device).expand(pairs, size)

    @property
    def changing(self) -> tuple[Tensor, ...]:
        """All tensors that are written."""
        return self._whole_numbers, self._numbers, self._told, self.partner, self.score

    def clear(self) -> None:
        """Forget the batch before."""
        self.layers.zero_()
        self.sure.fill_(math.nan)
        self.partner.fill_(-1)
        self.counts.zero_()

    def gather(self) -> None:
        """Bring the matches together: each pair's in a row, in the order of the first image."""
        found = self.partner >= 0
        self.counts.copy_(found.sum(1))
        # those without a match fill the row from its end
        places = torch.where(found, found.cumsum(1) - 1, self._size - (~found).cumsum(1))
        both = torch.stack([self._rows, self.partner], 2)
        self.indices.scatter_(1, places[..., None].expand_as(both), both)
        self.scores.scatter_(1, places, self.score)

    def taken(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Copies of (layers, indices) and of (sure, scores), for the tensors are the next's."""
        return self._views(self._whole_numbers.clone(), self._numbers.clone())

    def told(self) -> tuple[list[int], list[list[int]]]:
        """`counts` and `answers`, once they are there."""
        numbers = self._told.tolist()
        pairs, width = len(self.counts), self.answers.shape[1]
        starts = range(pairs, len(numbers), width)
        return numbers[:pairs], [numbers[start : start + width] for start in starts]

    def _views(
        self, whole: Tensor, numbers: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        n, layers = self._size, self._layers
        sure, scores = torch.split(numbers, [2 * n * layers, n], 1)
        return (
            (whole[:, : 2 * n], whole[:, 2 * n :].view(-1, n, 2)),
            (sure.view(-1, layers, 2 * n), scores),
        )


class StageSize(NamedTuple):
    """Pairs at work together, and keypoints of an image."""

    pairs: int
    keypoints: int


First = Callable[["LayerStage"], None]
"""Puts a batch into a stage."""


class LayerStage:
    """The graphs of one size, for pairs that may have begun in a larger one.

    Args:
        size: of this stage.
        records: of the batch that the pairs are of, and `whole` its size.
        weights: of the layers.
        blocks: their functions.
        limits: what the layers decide by.
        pool: see `Replayed`.
    """

    def __init__(
        self,
        size: StageSize,
        records: StageRecords,
        whole: StageSize,
        weights: Sequence[LayerWeights],
        blocks: Blocks,
        limits: StageLimits,
        pool: Any,
    ) -> None:
        b, n = self.size = size
        project, device = weights[0].project, records.layers.device
        dim = len(project)
        self.x = project.new_zeros((2 * b * n, dim))
        self.rotary = project.new_zeros((2 * b * n, 2 * dim // weights[0].self_block.heads))
        # alive: those that take part in this layer; keep: in the next
        self.alive = torch.zeros((b, 2 * n), dtype=torch.bool, device=device)
        self.keep = self.alive.clone()
        self.counts = torch.zeros(b, dtype=torch.long, device=device)
        self.leave = torch.zeros(b, dtype=torch.bool, device=device)
        self.answers = records.answers[:, : 3 * b].view(-1, b, 3)
        self.pairs = torch.arange(b, device=device)
        side = torch.arange(n, device=device)
        self.rows = torch.cat([side, side + whole.keypoints]).repeat(b, 1)
        self.places = list(range(b))
        """Of the pairs in the batch, on the host."""
        self.slots = torch.arange(b, device=device)
        """Those of the pairs that a smaller stage takes; `wanted` says so on the host."""
        self.wanted = self.places
        self._weights, self._blocks, self._limits = weights, blocks, limits
        self._records, self._whole, self._pool = records, whole, pool
        self._made: dict[Any, Replayed] = {}

    def step(self, layer: int, masked: bool, depth: bool, width: bool) -> Replayed:
        """Layer 1 … L, what it decides, and the record of that."""
        asks = layer < len(self._weights) and (depth or width)
        key = ("step", layer, masked, asks and depth, asks and width)

        def run() -> None:
            self._layer(layer, masked, asks and depth, asks and width)

        return self._graph(key, run)

    def load(self, first: First) -> Replayed:
        """What is to be in place before the first layer."""
        return self._graph(("load", first), lambda: first(self))

    def whole(self, masked: bool, first: First | None = None) -> Replayed:
        """All layers, of which none decides, and the assignment; and what comes first, if given."""
        last = len(self._weights)

        def run() -> None:
            if first is not None:
                first(self)
            alive = self._begin(1)
            shapes = self._shapes(alive, masked)
            x = self.x
            for layer, weights in enumerate(self._weights, start=1):
                if layer > 1:
                    x = self._blocks.own(x, self.rotary, weights.self_block, shapes)
                x = self._blocks.cross(x, weights.cross_block, *shapes)
            self._took_part(last)
            self.leave.copy_(alive[0].any(1) & alive[1].any(1))
            self._settle(x, last, shapes)

        return self._graph(("whole", masked, first), run)

    def settle(self, layer: int, masked: bool) -> Replayed:
        """Assign the keypoints of the pairs that leave after a layer."""

        def run() -> None:
            shapes = self._shapes(self._by_sides(self.alive), masked)
            self._settle(self.x, layer, shapes)

        return self._graph(("settle", layer, masked), run)

    def chain(
        self,
        last: int,
        masked: bool,
        prunes: bool,
        depth: bool,
        width: bool,
        first: First | None = None,
    ) -> Replayed:
        """Layers 1 … last ≤ L, what each decides, and the assignment of the pairs that leave
        meanwhile, and what comes first, if given: nobody has to ask before the end.

        Unless `prunes`, the layers after the first know of no keypoint that was dropped, and what
        comes of a pair that goes on without some means nothing after the layer that dropped them.

        The tokens of a pair that has left stay as they were, and none are gathered.
        """

        def run() -> None:
            if first is not None:
                first(self)
            b, n = self.size
            before, there = self.x, self.keep
            stop = torch.zeros_like(self.counts)
            took = self.keep.clone()
            for layer in range(1, last + 1):
                asks = layer < len(self._weights)
                self._layer(layer, masked or (layer > 1 and prunes), asks and depth, asks and width)
                if layer > 1:
                    # (B,) pairs that are still there, for the tokens of both sides
                    active = there.any(1)[:, None].expand(b, n).reshape(-1).repeat(2)[:, None]
                    self.x.copy_(torch.where(active, self.x, before))
                stop = torch.where(self.leave, layer, stop)
                took = torch.where(self.leave[:, None], self.alive, took)
                if layer < last:
                    before, there = self.x.clone(), self.keep.clone()
            self.leave.copy_(stop > 0)
            shapes = self._shapes(self._by_sides(took), masked or (last > 1 and prunes))
            self._settle(self.x, last, shapes, stop if last > 1 else None)

        return self._graph(("chain", last, masked, prunes, depth, width, first), run)

    def move(self, other: LayerStage) -> Replayed:
        """Gather what is kept of the pairs in `slots` into a smaller stage."""
        key = ("move", other.size)
        if key not in self._made:
            changed = (other.x, other.rotary, other.keep, other.counts, other.pairs, other.rows)
            self._made[key] = Replayed(lambda: self._move(other), changed, self._pool)
        return self._made[key]

    def _graph(self, key: Any, function: Callable[[], None]) -> Replayed:
        if key not in self._made:
            changed = (
                self.x, self.rotary, self.alive, self.keep, self.counts, self.leave,
                *self._records.changing,
            )  # fmt: skip
            self._made[key] = Replayed(function, changed, self._pool)
        return self._made[key]

    def _sides(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2N) by sides."""
        first, second = values.chunk(2, 1)
        return first, second

    def _by_sides(self, alive: Tensor) -> tuple[Tensor, Tensor]:
        alive0, alive1 = self._sides(alive)
        return alive0.contiguous(), alive1.contiguous()

    def _shapes(self, alive: tuple[Tensor, Tensor], masked: bool) -> tuple[TokenShape, TokenShape]:
        first, second = (TokenShape.of(side, side if masked else None) for side in alive)
        return first, second

    def _begin(self, layer: int) -> tuple[Tensor, Tensor]:
        """Begin a layer: those that are kept take part. Each side's (B, N)."""
        self.alive.copy_(self.keep)
        if layer == 1:
            self._records.clear()
            self.counts.copy_(self.alive.sum(1))
        return self._by_sides(self.alive)

    @property
    def _place(self) -> tuple[Tensor, Tensor]:
        """Where the stage's keypoints (B, 2N) are in the records."""
        return self.pairs[:, None], self.rows

    def _took_part(self, layer: int) -> None:
        layers, place = self._records.layers, self._place
        layers[place] = torch.where(self.alive, layer, layers[place])

    def _layer(self, layer: int, masked: bool, depth: bool, width: bool) -> None:
        n, records = self.size.keypoints, self._records
        alive = self._begin(layer)
        decision = None
        if depth or width:
            sure = confident(layer, len(self._weights))
            decision = Decision(
                self._limits.depth if depth else None,
                self._limits.width if width else None,
                self._limits.least,
                sure,
            )
        found = layer_step(
            self.x, self.rotary, self._weights[layer - 1], alive, self.counts, masked, layer == 1,
            decision, self._blocks,
        )  # fmt: skip
        self.x.copy_(found.x)
        if found.answer is not None or layer == len(self._weights):
            self._took_part(layer)
        if found.sure is not None:
            known, sure_now = records.sure[:, layer - 1], torch.cat(found.sure, 1)
            place = self._place
            known[place] = torch.where(self.alive, sure_now.to(known.dtype), known[place])
        if found.answer is None:
            self.leave.copy_(alive[0].any(1) & alive[1].any(1))
            return
        self.answers[layer - 1].copy_(found.answer)
        self.leave.copy_(found.answer[:, 0])
        self.keep[:, :n].copy_(found.keep[0])
        self.keep[:, n:].copy_(found.keep[1])

    def _settle(
        self,
        x: Tensor,
        layer: int,
        shapes: tuple[TokenShape, TokenShape],
        stop: Tensor | None = None,
    ) -> None:
        """Assign the keypoints of the pairs that leave: after a layer, or each after its (B,)."""
        records = self._records
        if stop is None:
            partner, score = assign(x, shapes, self._weights[layer - 1])
        else:
            partner, score = assign_each(x, shapes, self._weights[:layer], stop)
        found = (partner >= 0) & (score > self._limits.threshold) & self.leave[:, None]
        score = score.float().clamp(max=1)
        rows0, rows1 = self._sides(self.rows)
        place = self.pairs[:, None], rows0
        partners = rows1.gather(1, partner.clamp(min=0)) - self._whole.keypoints
        records.partner[place] = torch.where(found, partners, records.partner[place])
        records.score[place] = torch.where(found, score, records.score[place])
        records.gather()

    def _move(self, other: LayerStage) -> None:
        b, n = self.size
        slots, count = self.slots[: other.size.pairs], other.size.keypoints
        flat, start = [], 0
        for side, keep in enumerate(self._sides(self.keep)):
            order = keep[slots].byte().argsort(dim=1, descending=True, stable=True)[:, :count]
            flat.append((order + (start + slots * n)[:, None]).flatten())
            start += b * n
            mine = slice(side * count, (side + 1) * count)
            other.keep[:, mine] = keep[slots].gather(1, order)
            other.rows[:, mine] = self._sides(self.rows)[side][slots].gather(1, order)
        index = torch.cat(flat)
        other.x.copy_(self.x.index_select(0, index))
        other.rotary.copy_(self.rotary.index_select(0, index))
        other.counts.copy_(self.counts[slots])
        other.pairs.copy_(self.pairs[slots])
