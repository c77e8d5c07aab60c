"""The functions of LightGlue's layers over tensors that stay where they are, for one size.

They are captured as graphs and replayed (`lightglue_graphs`), or called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from matchers.assignment import row_maxima
from matchers.graphs import Replayed
from matchers.lightglue_adaptive import (
    AdaptiveSettings,
    LayerWeights,
    confident,
    log_assignment,
    what_is_assigned,
)
from matchers.lightglue_blocks import Blocks
from matchers.lightglue_step import Decision, LayerStep, layer_step, shapes_of


class StageLimits(NamedTuple):
    """() tensors: what a layer decides by, see `Decision`, and the filter's threshold."""

    depth: Tensor
    unmatchable: Tensor
    least: Tensor
    threshold: Tensor

    @classmethod
    def on(cls, device: torch.device) -> StageLimits:
        """All 0, on a device."""
        return cls(*(torch.zeros((), device=device) for _ in range(4)))

    def set(self, settings: AdaptiveSettings) -> None:
        """Decide by these from now on; what is off there is not looked at."""
        values = (
            settings.depth_confidence or 0.0,
            1 - (settings.width_confidence or 0.0),
            settings.prune_min_keypoints,
            settings.filter_threshold,
        )
        for place, value in zip(self, values, strict=True):
            place.fill_(value)


class StageRecords:
    """What becomes of B pairs of N keypoints a side.

    Attributes:
        layers: (2, B, N) int64, in how many each took part.
        sure: (L, 2, B, N) float32 confidences, NaN where nobody asked.
        partner, score: (B, N) int64, -1 where there is none, and float32.
        indices, scores: (B, N, 2) int64 and (B, N) float32, the matches of each pair; the first
            `counts` (B,) of them, what is behind these means nothing.
        answers: (L, 3B) int64, what layers decided: the first numbers are those of a stage, of
            fewer pairs maybe.
    """

    def __init__(self, pairs: int, size: int, layers: int, device: torch.device) -> None:
        # what goes out lies together, so that it is copied at once
        self._whole_numbers = torch.zeros(4 * pairs * size, dtype=torch.long, device=device)
        self._numbers = torch.full(((2 * layers + 1) * pairs * size,), math.nan, device=device)
        self._pairs, self._size, self._layers = pairs, size, layers
        (self.layers, self.indices), (self.sure, self.scores) = self._views(
            self._whole_numbers, self._numbers
        )
        # and so does what the host asks for
        self._told = torch.zeros((1 + 3 * layers) * pairs, dtype=torch.long, device=device)
        self.counts, self.answers = self._told[:pairs], self._told[pairs:].view(layers, -1)
        self.partner = torch.full((pairs, size), -1, dtype=torch.long, device=device)
        self.score = torch.zeros((pairs, size), device=device)
        rows = torch.arange(size, device=device)
        self._rows, self._rest = rows.expand(pairs, size), size - 1 - rows
        self.nobody = torch.full((), -1, dtype=torch.long, device=device)
        self.unknown = torch.full((), math.nan, device=device)

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
        torch.sum(found, 1, out=self.counts)
        # the i-th match goes to i - 1, and a keypoint that has none to the end, from there on back
        places = found.cumsum(1).add_(torch.where(found, self.nobody, self._rest))
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
        b, n = self._pairs, self._size
        layers, indices = whole.chunk(2)
        sure, scores = torch.split(numbers, [2 * self._layers * b * n, b * n])
        return (
            (layers.view(2, b, n), indices.view(b, n, 2)),
            (sure.view(-1, 2, b, n), scores.view(b, n)),
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
        self.alive = torch.zeros((2, b, n), dtype=torch.bool, device=device)
        self.keep = self.alive.clone()
        self.counts = torch.zeros(b, dtype=torch.long, device=device)
        self.leave = torch.zeros(b, dtype=torch.bool, device=device)
        self.answers = records.answers[:, : 3 * b].view(-1, 3, b)
        """Of each layer (B,) whether pairs leave, and of either side keypoints that go on."""
        self.pairs = torch.arange(b, device=device)
        self.rows = torch.arange(n, device=device).repeat(2, b, 1)
        self._sides = torch.arange(2, device=device)[:, None, None]
        self.places = list(range(b))
        """Of the pairs in the batch, on the host."""
        self.slots = torch.arange(b, device=device)
        """Those of the pairs that a smaller stage takes; `wanted` says so on the host."""
        self.wanted = self.places
        self._weights, self._blocks, self._limits = weights, blocks, limits
        self._records, self._whole, self._pool = records, size == whole, pool
        self._made: dict[Any, Replayed] = {}

    def step(self, layer: int, masked: bool, depth: bool, width: bool) -> Replayed:
        """Layer 1 … L, what it decides, and the record of that."""
        asks = layer < len(self._weights)

        def run() -> None:
            self.alive.copy_(self.keep)
            there = self.alive.sum(2)
            if layer == 1:
                self._records.clear()
                torch.sum(there, 0, out=self.counts)
            found = self._layer(self.x, self.alive, there, layer, masked, depth, width)
            self.x.copy_(found.x)
            self.leave.copy_(found.leave)
            torch.bitwise_and(found.wanted, found.stays[:, None], out=self.keep)

        return self._graph(("step", layer, masked, asks and depth, asks and width), run)

    def load(self, first: First) -> Replayed:
        """What is to be in place before the first layer."""
        return self._graph(("load", first), lambda: first(self))

    def whole(self, masked: bool, first: First | None = None) -> Replayed:
        """All layers, of which none decides, and the assignment; and what comes first, if given."""
        last = len(self._weights)

        def run() -> None:
            if first is not None:
                first(self)
            there = self.keep.sum(2)
            shapes = shapes_of(self.keep, there, masked)
            x = self.x
            for layer, weights in enumerate(self._weights, start=1):
                if layer > 1:
                    x = self._blocks.own(x, self.rotary, weights.self_block, shapes)
                x = self._blocks.cross(x, weights.cross_block, *shapes)
            torch.mul(self.keep, last, out=self._records.layers)
            self._records.sure.fill_(math.nan)
            self._records.partner.fill_(-1)
            busy = there.amin(0) > 0 if masked else None
            self._settle(log_assignment(*what_is_assigned(x, self._weights[-1]), shapes), busy)

        return self._graph(("whole", masked, first), run)

    def settle(self, layer: int, masked: bool) -> Replayed:
        """Assign the keypoints of the pairs that leave after a layer."""

        def run() -> None:
            there = self.alive.sum(2) if masked else None
            shapes = shapes_of(self.alive, there, masked)
            found = what_is_assigned(self.x, self._weights[layer - 1])
            self._settle(log_assignment(*found, shapes), self.leave)

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
        None are gathered.
        """

        def run() -> None:
            if first is not None:
                first(self)
            self._records.clear()
            x, alive, there = self.x, self.keep, self.keep.sum(2)
            torch.sum(there, 0, out=self.counts)
            found, left, seen = [], [], []
            for layer in range(1, last + 1):
                looked_past = masked or (layer > 1 and prunes)
                step = self._layer(x, alive, there, layer, looked_past, depth, width)
                x = step.x
                logits = None if step.logits is None else step.logits.flatten(0, 2)
                found.append(what_is_assigned(x, self._weights[layer - 1], logits))
                seen.append((alive, there))
                left.append(step.leave)
                alive, there = step.wanted & step.stays[:, None], self.answers[layer - 1, 1:]
            self._settle_each(found, left, seen, masked or (last > 1 and prunes))
            self.x.copy_(x)
            self.keep.copy_(alive)

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

    def _took_part(self, alive: Tensor, layer: int) -> None:
        layers = self._records.layers
        if self._whole:
            layers.masked_fill_(alive, layer)
            return
        place = self._sides, self.pairs[:, None], self.rows
        layers[place] = torch.where(alive, layer, layers[place])

    def _was_sure(self, alive: Tensor, layer: int, sure: Tensor) -> None:
        known = self._records.sure[layer - 1]
        if self._whole:
            torch.where(alive, sure.to(known.dtype), self._records.unknown, out=known)
            return
        place = self._sides, self.pairs[:, None], self.rows
        known[place] = torch.where(alive, sure.to(known.dtype), known[place])

    def _layer(
        self,
        x: Tensor,
        alive: Tensor,
        there: Tensor,
        layer: int,
        masked: bool,
        depth: bool,
        width: bool,
    ) -> LayerStep:
        """A layer of tokens, and the records of what it decides."""
        asks = layer < len(self._weights) and (depth or width)
        decision = None
        if asks:
            limits = self._limits
            decision = Decision(
                limits.depth if depth else None,
                limits.unmatchable if width else None,
                limits.least,
                confident(layer, len(self._weights)),
            )
        found = layer_step(
            x, self.rotary, self._weights[layer - 1], alive, there, self.counts, masked,
            layer == 1, decision, self._blocks,
        )  # fmt: skip
        if asks or layer == len(self._weights):
            self._took_part(alive, layer)
        if found.sure is not None:
            self._was_sure(alive, layer, found.sure)
        if asks:
            self.answers[layer - 1, 0].copy_(found.leave)
            torch.mul(found.kept, found.stays, out=self.answers[layer - 1, 1:])
        return found

    def _settle_each(
        self,
        found: Sequence[tuple[Tensor, Tensor]],
        left: Sequence[Tensor],
        seen: Sequence[tuple[Tensor, Tensor]],
        masked: bool,
    ) -> None:
        """Assign the keypoints of each pair that has left, after its own layer.

        Args:
            found: of each layer what `what_is_assigned` gives.
            left: of each (B,) bool, pairs that left after it.
            seen: of each the keypoints that took part, (2, B, N), and how many, (2, B).
            masked: whether any were looked past.
        """
        (b, n), (descriptors, matchability), leave = self.size, found[-1], left[-1]
        alive, there = seen[-1]
        for others, gone, (before, number) in zip(found, left, seen[:-1], strict=False):
            rows = gone[:, None].expand(2, b, n).reshape(-1)
            descriptors = torch.where(rows[:, None], others[0], descriptors)
            matchability = torch.where(rows, others[1], matchability)
            leave = leave | gone
            if masked:
                alive = torch.where(gone[:, None], before, alive)
                there = torch.where(gone, number, there)
        shapes = shapes_of(alive, there, masked)
        self._settle(log_assignment(descriptors, matchability, shapes), leave)

    def _settle(self, scores: Tensor, leave: Tensor | None) -> None:
        """Record the matches of a log assignment (B, N, N), of the pairs that leave, (B,); None:
        all."""
        records = self._records
        best, partner, found = row_maxima(scores)
        score = best.exp()
        found &= score > self._limits.threshold
        if leave is not None:
            found &= leave[:, None]
        score = score.float().clamp_(max=1)
        if self._whole:
            torch.where(found, partner, records.partner, out=records.partner)
            torch.where(found, score, records.score, out=records.score)
        else:
            place = self.pairs[:, None], self.rows[0]
            partner = self.rows[1].gather(1, partner)
            records.partner[place] = torch.where(found, partner, records.partner[place])
            records.score[place] = torch.where(found, score, records.score[place])
        records.gather()

    def _move(self, other: LayerStage) -> None:
        b, n = self.size
        slots, count = self.slots[: other.size.pairs], other.size.keypoints
        keep = self.keep[:, slots]
        order = keep.byte().argsort(dim=2, descending=True, stable=True)[..., :count]
        other.keep.copy_(keep.gather(2, order))
        other.rows.copy_(self.rows[:, slots].gather(2, order))
        index = (order + n * (self._sides * b + slots[:, None])).flatten()
        other.x.copy_(self.x.index_select(0, index))
        other.rotary.copy_(self.rotary.index_select(0, index))
        other.counts.copy_(self.counts[slots])
        other.pairs.copy_(self.pairs[slots])
