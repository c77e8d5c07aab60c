"""LightGlue's layers as CUDA graphs: for a GPU, whose time goes to launches, not to arithmetic.

A layer is some sixty small kernels, and to launch them takes longer than they run. So the layers of
a batch of some size are captured once, over tensors that stay where they are, and replayed: one
launch a layer. Sizes are few, so that graphs are: pairs by powers of two, keypoints by
`padded_size`, the same for both sides.

The exit's answer is waited for: with graphs that takes some 20 microseconds, a layer that nobody
needs some hundreds. Pairs that have left and keypoints that are dropped are masked; what is left is
gathered into a smaller size where the layers to come save more than that costs, by the times that
the graphs were measured to take on this device.

The answers are those of `lightglue_adaptive`, rounding apart. On other devices the same functions
are called, not replayed, which is how this is tested.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from matchers.lightglue_adaptive import (
    AdaptiveSettings,
    LayerWeights,
    LightGluePrepared,
    adapted_matches,
    assign,
    confident,
)
from matchers.lightglue_blocks import Blocks, TokenShape
from matchers.lightglue_step import Decision, layer_step, padded_size
from matchers.types import Features, Matches

KEPT = 8
"""Sizes of batches whose graphs are kept, and images' sizes; the one used longest ago goes."""

_TIMED = 5
"""Replays that a graph's time is the least of."""


Encode = Callable[[Features], tuple[Tensor, Tensor]]
Own = Callable[[Tensor, Tensor, TokenShape], Tensor]


class Replayed:
    """A function over tensors that stay where they are: on CUDA a graph, elsewhere the function.

    Args:
        function: reads and writes such tensors, and waits for nothing.
        changed: those that it writes and that must be as they were once it is captured.
        pool: memory that graphs share which are never at work together; None: not on CUDA.
    """

    def __init__(
        self, function: Callable[[], None], changed: Sequence[Tensor], pool: Any = None
    ) -> None:
        self.run: Callable[[], None] = function
        self.ms = 0.0
        if pool is None:
            return
        kept = [tensor.clone() for tensor in changed]
        with torch.cuda.device(changed[0].device):
            current: Any = torch.cuda.current_stream()
            aside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(current)
            with torch.cuda.stream(aside):  # libraries set up what cannot be captured
                function()
                function()
            current.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                function()
            self.run = graph.replay
            self.ms = min(_milliseconds(graph.replay) for _ in range(_TIMED))
        for tensor, before in zip(changed, kept, strict=True):
            tensor.copy_(before)


def _milliseconds(replay: Callable[[], None]) -> float:
    begins, ends = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begins.record()
    replay()
    ends.record()
    ends.synchronize()
    return float(begins.elapsed_time(ends))


class _Limits(NamedTuple):
    """() tensors: what a layer decides by, see `AdaptiveSettings`."""

    depth: Tensor
    width: Tensor
    least: Tensor
    threshold: Tensor

    @classmethod
    def on(cls, device: torch.device) -> _Limits:
        return cls(*(torch.zeros((), device=device) for _ in range(4)))

    def set(self, settings: AdaptiveSettings) -> None:
        values = (
            settings.depth_confidence,
            settings.width_confidence,
            settings.prune_min_keypoints,
            settings.filter_threshold,
        )
        for place, value in zip(self, values, strict=True):
            place.fill_(0.0 if value is None else value)


class _Records:
    """What becomes of B pairs of N keypoints a side; both sides' lie behind one another (2N).

    Attributes:
        layers: (B, 2N) int64, in how many each took part.
        sure: (B, L, 2N) float32 confidences, NaN where nobody asked.
        partner, score: (B, N) int64, -1 where there is none, and float32.
    """

    def __init__(self, pairs: int, size: int, layers: int, device: torch.device) -> None:
        self.layers = torch.zeros((pairs, 2 * size), dtype=torch.long, device=device)
        self.sure = torch.full((pairs, layers, 2 * size), math.nan, device=device)
        self.partner = torch.full((pairs, size), -1, dtype=torch.long, device=device)
        self.score = torch.zeros((pairs, size), device=device)

    def clear(self) -> None:
        self.layers.zero_()
        self.sure.fill_(math.nan)
        self.partner.fill_(-1)
        self.score.zero_()


class _Size(NamedTuple):
    """Pairs at work together, and keypoints of an image."""

    pairs: int
    keypoints: int


class _Stage:
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
        size: _Size,
        records: _Records,
        whole: _Size,
        weights: Sequence[LayerWeights],
        blocks: Blocks,
        limits: _Limits,
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
        self.answer = torch.zeros((b, 3), dtype=torch.long, device=device)
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

    def whole(self, masked: bool) -> Replayed:
        """All layers, of which none decides, and the assignment."""
        last = len(self._weights)

        def run() -> None:
            for layer in range(1, last + 1):
                self._layer(layer, masked, False, False)
            self._settle(last, masked)

        return self._graph(("whole", masked), run)

    def settle(self, layer: int, masked: bool) -> Replayed:
        """Assign the keypoints of the pairs that leave after a layer."""
        return self._graph(("settle", layer, masked), lambda: self._settle(layer, masked))

    def move(self, other: _Stage) -> Replayed:
        """Gather what is kept of the pairs in `slots` into a smaller stage."""
        key = ("move", other.size)
        if key not in self._made:
            changed = (other.x, other.rotary, other.keep, other.counts, other.pairs, other.rows)
            self._made[key] = Replayed(lambda: self._move(other), changed, self._pool)
        return self._made[key]

    def _graph(self, key: Any, function: Callable[[], None]) -> Replayed:
        if key not in self._made:
            r = self._records
            changed = (
                self.x, self.alive, self.keep, self.counts, self.leave, self.answer,
                r.layers, r.sure, r.partner, r.score,
            )  # fmt: skip
            self._made[key] = Replayed(function, changed, self._pool)
        return self._made[key]

    def _sides(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2N) by sides."""
        first, second = values.chunk(2, 1)
        return first, second

    def _layer(self, layer: int, masked: bool, depth: bool, width: bool) -> None:
        n, records = self.size.keypoints, self._records
        self.alive.copy_(self.keep)
        if layer == 1:
            records.clear()
            self.counts.copy_(self.alive.sum(1))
        alive0, alive1 = self._sides(self.alive)
        alive = (alive0.contiguous(), alive1.contiguous())
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
        place = self.pairs[:, None], self.rows
        if found.answer is not None or layer == len(self._weights):
            records.layers[place] = torch.where(self.alive, layer, records.layers[place])
        if found.sure is not None:
            known, sure_now = records.sure[:, layer - 1], torch.cat(found.sure, 1)
            known[place] = torch.where(self.alive, sure_now.to(known.dtype), known[place])
        if found.answer is None:
            self.leave.copy_(alive0.any(1) & alive1.any(1))
            return
        self.answer.copy_(found.answer)
        self.leave.copy_(found.answer[:, 0])
        self.keep[:, :n].copy_(found.keep[0])
        self.keep[:, n:].copy_(found.keep[1])

    def _settle(self, layer: int, masked: bool) -> None:
        records = self._records
        sides = [side.contiguous() for side in self._sides(self.alive)]
        shapes = [TokenShape.of(side, side if masked else None) for side in sides]
        partner, score = assign(self.x, (shapes[0], shapes[1]), self._weights[layer - 1])
        found = (partner >= 0) & (score > self._limits.threshold) & self.leave[:, None]
        rows0, rows1 = self._sides(self.rows)
        place = self.pairs[:, None], rows0
        partners = rows1.gather(1, partner.clamp(min=0)) - self._whole.keypoints
        records.partner[place] = torch.where(found, partners, records.partner[place])
        records.score[place] = torch.where(found, score.float(), records.score[place])

    def _move(self, other: _Stage) -> None:
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


class _Batch:
    """Graphs for batches of one size, from load to result."""

    def __init__(
        self,
        size: _Size,
        weights: Sequence[LayerWeights],
        blocks: Blocks,
        limits: _Limits,
        pool: Any,
    ) -> None:
        device = limits.depth.device
        self.size, self._pool = size, pool
        self._records = _Records(size.pairs, size.keypoints, len(weights), device)
        self._common = (weights, blocks, limits, pool)
        self._layers = len(weights)
        self._stages = {size: self._stage(size)}

    def match(
        self,
        prepared0: LightGluePrepared,
        prepared1: LightGluePrepared,
        depth: bool,
        width: bool,
    ) -> list[Matches]:
        sides = (prepared0, prepared1)
        ends = [side.ends() for side in sides]
        busy = [pair for pair, counts in enumerate(zip(*ends, strict=True)) if min(counts)]
        stage, records, last = self._stages[self.size], self._records, self._layers
        masked = not self._load(stage, sides, busy)
        stops = [0] * len(prepared0.tokens)
        if not busy:
            records.clear()
        elif not (depth or width):
            stage.whole(masked).run()
            stops = [last if pair in busy else 0 for pair in range(len(stops))]
            busy = []
        for layer in range(1, last + 1):
            if not busy:
                break
            stage.step(layer, masked, depth, width).run()
            for pair in busy:
                stops[pair] = layer
            if layer == last:
                stage.settle(layer, masked).run()
            else:
                told = dict(zip(stage.places, stage.answer.tolist(), strict=True))
                if any(told[pair][0] for pair in busy):
                    stage.settle(layer, masked).run()
                busy = [p for p in busy if not told[p][0] and min(told[p][1:]) > 0]
                stage = self._next(stage, busy, told, (layer, depth, width))
                masked = any(min(told[pair][1:]) < stage.size.keypoints for pair in busy)
        # the tensors are the next batch's, too
        layers = records.layers.clone().chunk(2, 1)
        sure = records.sure.clone().chunk(2, 2)
        return adapted_matches(records.partner, records.score, layers, sure, stops, last, ends)

    def _load(self, stage: _Stage, sides: Sequence[LightGluePrepared], busy: Sequence[int]) -> bool:
        """Put a batch in its place; whether it fills it. Pairs that lack keypoints stay away."""
        b, n = self.size
        full = all(side.mask is None and side.tokens.shape[:2] == (b, n) for side in sides)
        if not full:
            stage.x.zero_()
            stage.keep.zero_()
        rows = b * n
        for i, side in enumerate(sides):
            pairs, count = side.tokens.shape[:2]
            for place, values in ((stage.x, side.tokens), (stage.rotary, side.rotary)):
                mine = place[i * rows : (i + 1) * rows].view(b, n, -1)
                mine[:pairs, :count].copy_(values)
            there = stage.keep[:pairs, i * n : i * n + count]
            if side.mask is None:
                there.fill_(True)
            else:
                there.copy_(side.mask)
        for pair in set(range(len(sides[0].tokens))).difference(busy):
            stage.keep[pair] = False
            full = False
        return full

    def _next(
        self,
        stage: _Stage,
        busy: list[int],
        told: dict[int, list[int]],
        how: tuple[int, bool, bool],
    ) -> _Stage:
        """The stage to go on in: a smaller one, with what is left gathered, if that pays."""
        if not busy:
            return stage
        size = _Size(
            min(stage.size.pairs, _power(len(busy))),
            min(stage.size.keypoints, padded_size(max(max(told[pair][1:]) for pair in busy))),
        )
        if size == stage.size:
            return stage
        smaller = self._stages.get(size)
        if smaller is None:
            smaller = self._stages[size] = self._stage(size)
        layer, depth, width = how
        move = stage.move(smaller)
        now, then = (s.step(layer + 1, True, depth, width).ms for s in (stage, smaller))
        if self._pool is not None and (self._layers - layer) * (now - then) <= move.ms:
            return stage
        done = [place for place in stage.places if place not in busy]
        places = [*busy, *done[: size.pairs - len(busy)]]
        slots = [stage.places.index(place) for place in places]
        if slots != stage.wanted[: len(slots)]:
            stage.slots[: len(slots)].copy_(torch.tensor(slots))
            stage.wanted = slots
        move.run()
        smaller.places = places
        return smaller

    def _stage(self, size: _Size) -> _Stage:
        return _Stage(size, self._records, self.size, *self._common)


class _Images:
    """The graph that prepares B images of at most N keypoints.

    Args:
        like: features of such an image.
        size: B and N.
        whole: whether images have N keypoints, none of them padding.
        encode: of batched features the tokens and the rotary table, each (B, N, …).
        own: the first self block on these (B·N, …), of a shape.
        pool: see `Replayed`.
    """

    def __init__(
        self, like: Features, size: _Size, whole: bool, encode: Encode, own: Own, pool: Any
    ) -> None:
        def room(values: Tensor | None) -> Any:
            return None if values is None else values.new_zeros((*size, *values.shape[1:]))

        self._given = Features(
            room(like.keypoints), room(like.scores), room(like.descriptors),
            torch.ones_like(like.image_size).repeat(size.pairs, 1),
            room(like.scales), room(like.orientations),
        )  # fmt: skip
        self._keys = torch.ones((*size, 1, 1), dtype=torch.bool, device=like.device).movedim(1, 3)
        shape = TokenShape(*size, None if whole else self._keys)
        tokens, rotary = encode(self._given)
        self._tokens, self._rotary = torch.zeros_like(tokens), torch.zeros_like(rotary)

        def run() -> None:
            tokens, rotary = encode(self._given)
            flat = own(tokens.flatten(0, 1), rotary.flatten(0, 1), shape)
            self._tokens.copy_(flat.view_as(tokens))
            self._rotary.copy_(rotary)

        self._graph = Replayed(run, (self._tokens, self._rotary), pool)

    def prepare(self, images: Sequence[Features], kept: bool = True) -> list[tuple[Tensor, Tensor]]:
        """Tokens and rotary table of each image, each (1, n, …); unless kept, until the next."""
        given = self._given
        for slot, features in enumerate(images):
            count = len(features)
            for name in ("keypoints", "descriptors", "scales", "orientations"):
                values = getattr(features, name)
                if values is not None:
                    place = getattr(given, name)[slot]
                    place[:count].copy_(values)
                    if count < len(place):
                        place[count:].zero_()
            given.image_size[slot].copy_(features.image_size)
            if count < given.keypoints.shape[1]:
                self._keys[slot, ..., :count] = True
                self._keys[slot, ..., count:] = False
        self._graph.run()
        tokens, rotary = self._tokens, self._rotary
        if kept:
            tokens, rotary = tokens.clone(), rotary.clone()
        return [
            (tokens[i : i + 1, : len(image)], rotary[i : i + 1, : len(image)])
            for i, image in enumerate(images)
        ]


class LightGlueGraphs:
    """The graphs of a LightGlue, of a few sizes; those of other weights are forgotten.

    Attributes:
        lock: held while tensors that all calls share are in use, so that threads take turns.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self._images: OrderedDict[Any, _Images] = OrderedDict()
        self._batches: OrderedDict[_Size, _Batch] = OrderedDict()
        self._first: tuple[Any, tuple[int, ...]] = None, ()
        self._weights: Sequence[LayerWeights] | None = None
        self._limits: _Limits | None = None
        self._settings: AdaptiveSettings | None = None
        self._pool: Any = None
        self._keeper: Replayed | None = None

    def prepare(
        self,
        images: Sequence[Features],
        encode: Encode,
        own: Own,
        weights: Any,
        others: Sequence[Tensor],
        kept: bool = True,
    ) -> list[tuple[Tensor, Tensor]]:
        """Prepare the features of some images.

        Args:
            images: with at least one keypoint each, unbatched, all with or without scales.
            encode, own: see `_Images`.
            weights, others: all that these depend on; with others, graphs are made anew.
            kept: whether what is returned is to outlast the next call.

        Returns:
            Tokens and rotary table of each, each (1, N, …).
        """
        places = tuple(value.data_ptr() for value in others)
        with self.lock:
            return self._graph_of(images, encode, own, weights, places).prepare(images, kept)

    def _graph_of(
        self, images: Sequence[Features], encode: Encode, own: Own, weights: Any, places: Any
    ) -> _Images:
        """The graph that prepares images of this number and size."""
        if self._first[0] is not weights or self._first[1] != places:
            self._images.clear()
            self._first = weights, places
        size = _Size(len(images), padded_size(max(map(len, images))))
        whole = all(len(image) == size.keypoints for image in images)
        first = images[0]
        given = (first.keypoints, first.descriptors, first.scales, first.orientations)
        kinds = [None if values is None else (values.dtype, values.shape[1:]) for values in given]
        key = (size, whole, *kinds)
        if key not in self._images:
            pool = self._shared(first)
            self._images[key] = _Images(first, size, whole, encode, own, pool)
            if len(self._images) > KEPT:
                self._images.popitem(last=False)
        self._images.move_to_end(key)
        return self._images[key]

    def _shared(self, where: Any) -> Any:
        """Memory that all graphs share; None: not on CUDA."""
        if self._pool is None and where.device.type == "cuda":
            self._pool = torch.cuda.graph_pool_handle()
            # a pool ends with the last graph in it, and can never be used again
            number = torch.zeros(1, device=where.device)

            def count() -> None:
                number.add_(1)

            self._keeper = Replayed(count, (number,), self._pool)
        return self._pool

    def match(
        self,
        weights: Sequence[LayerWeights],
        blocks: Blocks,
        prepared0: LightGluePrepared,
        prepared1: LightGluePrepared,
        settings: AdaptiveSettings,
    ) -> list[Matches]:
        """Match B ≥ 1 pairs, see `match_adaptively`."""
        with self.lock:
            batch = self._batch_of(weights, blocks, (prepared0.tokens, prepared1.tokens), settings)
            depth, width = settings.depth_confidence, settings.width_confidence
            return batch.match(prepared0, prepared1, depth is not None, width is not None)

    def _batch_of(
        self,
        weights: Sequence[LayerWeights],
        blocks: Blocks,
        sides: tuple[Tensor, Tensor],
        settings: AdaptiveSettings,
    ) -> _Batch:
        """The graphs for tokens of this size, set to decide as wanted."""
        device = sides[0].device
        if weights is not self._weights or self._limits is None:
            self._batches.clear()
            self._weights, self._limits, self._settings = weights, _Limits.on(device), None
        if settings != self._settings:
            self._limits.set(settings)
            self._settings = settings
        size = _Size(_power(len(sides[0])), padded_size(max(side.shape[1] for side in sides)))
        batch = self._batches.get(size)
        if batch is None:
            batch = _Batch(size, weights, blocks, self._limits, self._shared(sides[0]))
            self._batches[size] = batch
            if len(self._batches) > KEPT:
                self._batches.popitem(last=False)
        self._batches.move_to_end(size)
        return batch

    def __reduce__(self) -> Any:
        """Copies begin with nothing: their weights are other ones."""
        return LightGlueGraphs, ()


def _power(count: int) -> int:
    """The next power of two."""
    return 1 << max(count - 1, 0).bit_length()
