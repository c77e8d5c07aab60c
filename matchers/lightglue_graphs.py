"""LightGlue's layers as CUDA graphs: for a GPU, whose time goes to launches, not to arithmetic.

A layer is some twenty small kernels, and to launch them takes longer than they run. So the layers
of a batch of some size are captured once, over tensors that stay where they are, and replayed: one
launch a layer. Sizes are few, so that graphs are: pairs by powers of two, keypoints by
`padded_size`, the same for both sides.

The first layers, as many as all pairs of the batch before needed, are one graph, at whose end the
exit's answers are asked for; behind them each layer's answer is waited for, as a layer that nobody
needs takes longer. Pairs that have left and keypoints that are dropped are masked; what is left is
gathered into a smaller size where the layers to come save more than that costs, by the times that
the graphs were measured to take on this device.

The answers are those of `lightglue_adaptive`, rounding apart. On other devices the same functions
are called, not replayed, which is how this is tested.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from matchers.graphs import Replayed, SharedMemory
from matchers.lightglue_adaptive import (
    AdaptiveSettings,
    LayerWeights,
    LightGluePrepared,
    adaptations,
)
from matchers.lightglue_blocks import Blocks, TokenShape
from matchers.lightglue_stage import First, LayerStage, StageLimits, StageRecords, StageSize
from matchers.lightglue_step import padded_size
from matchers.types import Features, Matches

K = TypeVar("K")
V = TypeVar("V")

KEPT = 8
"""Sizes of batches whose graphs are kept, and images' sizes; the one used longest ago goes."""


class FirstBlock(NamedTuple):
    """What is made of images alone, before their pairs are matched.

    Attributes:
        encode: of batched features the tokens and the rotary table, each (B, N, …).
        own: the first self block on these (B·N, …), of a shape.
        weights, others: all that these depend on; with others, graphs are made anew.
    """

    encode: Callable[[Features], tuple[Tensor, Tensor]]
    own: Callable[[Tensor, Tensor, TokenShape], Tensor]
    weights: Any
    others: Sequence[Tensor]


class _Batch:
    """Graphs for batches of one size, from load to result."""

    def __init__(
        self,
        size: StageSize,
        weights: Sequence[LayerWeights],
        blocks: Blocks,
        limits: StageLimits,
        pool: Any,
    ) -> None:
        device = limits.depth.device
        self.size, self._pool = size, pool
        self._records = StageRecords(size.pairs, size.keypoints, len(weights), device)
        self._common = (weights, blocks, limits, pool)
        self._layers = len(weights)
        self._stages = {size: self._stage(size)}
        whole = self._stages[size]
        self._places = [
            side.view(*size, -1)
            for sides in zip(whole.x.chunk(2), whole.rotary.chunk(2), strict=True)
            for side in sides
        ]
        """Of the first images' tokens and rotary tables, and the second's."""
        self._expected = 1
        """Layers that all pairs are likely to need, as those of the batch before did."""
        self._prunes = False
        """Whether keypoints are likely to be dropped within them."""

    def match(
        self,
        given: tuple[LightGluePrepared, LightGluePrepared] | _Images,
        ends: Sequence[Sequence[int]],
        settings: AdaptiveSettings,
    ) -> list[Matches]:
        """Match pairs: of prepared images, or of one pair's that are prepared in the same graph.

        Args:
            given: the images.
            ends: each side's `LightGluePrepared.ends`.
            settings: how to adapt, which the limits say as well.
        """
        depth = settings.depth_confidence is not None
        width = settings.width_confidence is not None
        busy = [pair for pair, counts in enumerate(zip(*ends, strict=True)) if min(counts)]
        stage, records, last = self._stages[self.size], self._records, self._layers
        if isinstance(given, _Images):
            masked, first = not given.whole, given.put_into
        else:
            masked, first = not self._load(stage, given, busy), None
        stops = [0] * len(ends[0])
        layer, moved, counts = 0, last, None
        if not busy:
            records.clear()
        elif not (depth or width):
            stage.whole(masked, first).run()
            stops = [last if pair in busy else 0 for pair in range(len(stops))]
            busy = []
        while busy:
            together = depth and not layer
            reach = self._expected if together else layer + 1
            if together:
                counts, answers = self._chained(given, first, busy, masked, width)
            else:
                if first is not None and not layer:
                    stage.load(first).run()
                stage.step(reach, masked, depth, width).run()
                counts, answers = records.told()
            told, leaving = {}, reach == last
            for done in range(layer + 1, reach + 1):
                for pair in busy:
                    stops[pair] = done
                told = _by_place(stage, answers[done - 1])
                leaving = leaving or any(told[pair][0] for pair in busy)
                busy = _staying(busy, told) if done < last else []
            if leaving and not together:
                stage.settle(reach, masked).run()
                counts = None
            layer = reach
            if busy:
                smaller = self._next(stage, busy, told, (layer, depth, width))
                if smaller is not stage:
                    stage, moved = smaller, min(moved, layer)
                masked = any(min(told[pair][1:]) < stage.size.keypoints for pair in busy)
        self._expected = max(1, min([moved, *filter(None, stops)]))
        counts = counts or records.told()[0]
        (layers, indices), (sure, scores) = records.taken()
        confidences = [side.transpose(0, 1) for side in sure.unbind(1)]
        adapted = adaptations(layers.unbind(), confidences, stops, last, ends)
        return [
            Matches(indices[pair, : counts[pair]], scores[pair, : counts[pair]], what)
            for pair, what in enumerate(adapted)
        ]

    def _chained(
        self,
        given: tuple[LightGluePrepared, LightGluePrepared] | _Images,
        first: First | None,
        busy: Sequence[int],
        masked: bool,
        width: bool,
    ) -> tuple[list[int], list[list[int]]]:
        """Run the layers that nobody asks between, and what `StageRecords.told` then says.

        Where the batch before lost no keypoint in them they are run as if this one lost none, for
        attention without a mask is faster; and anew if it did.
        """
        stage, reach = self._stages[self.size], self._expected
        while True:
            stage.chain(reach, masked, self._prunes and width, True, width, first).run()
            counts, answers = self._records.told()
            pruned, staying = False, list(busy)
            for layer in range(1, reach):
                told = _by_place(stage, answers[layer - 1])
                staying = _staying(staying, told)
                pruned |= any(min(told[pair][1:]) < self.size.keypoints for pair in staying)
            if masked:
                return counts, answers
            known, self._prunes = self._prunes, pruned
            if known or not pruned:
                return counts, answers
            if not isinstance(given, _Images):
                self._load(stage, given, busy)

    def _load(
        self, stage: LayerStage, sides: Sequence[LightGluePrepared], busy: Sequence[int]
    ) -> bool:
        """Put a batch in its place; whether it fills it. Pairs that lack keypoints stay away."""
        b, n = self.size
        full = all(side.mask is None and side.tokens.shape[:2] == (b, n) for side in sides)
        if not full:
            stage.x.zero_()
            stage.keep.zero_()
        places = self._places
        if full:
            stage.keep.fill_(True)
        else:
            sizes = [side.tokens.shape[:2] for side in sides for _ in range(2)]
            places = [
                place[:pairs, :count] for place, (pairs, count) in zip(places, sizes, strict=True)
            ]
            for i, side in enumerate(sides):
                pairs, count = side.tokens.shape[:2]
                there = stage.keep[i, :pairs, :count]
                there.copy_(there.new_ones(()) if side.mask is None else side.mask)
        torch._foreach_copy_(places, [v for side in sides for v in (side.tokens, side.rotary)])
        for pair in set(range(len(sides[0].tokens))).difference(busy):
            stage.keep[:, pair] = False
            full = False
        return full

    def _next(
        self,
        stage: LayerStage,
        busy: list[int],
        told: dict[int, list[int]],
        how: tuple[int, bool, bool],
    ) -> LayerStage:
        """The stage to go on in: a smaller one, with what is left gathered, if that pays."""
        if not busy:
            return stage
        size = StageSize(
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

    def _stage(self, size: StageSize) -> LayerStage:
        return LayerStage(size, self._records, self.size, *self._common)


class _Images:
    """The graph that prepares B images of at most N keypoints.

    Args:
        like: features of such an image.
        size: B and N.
        whole: whether images have N keypoints, none of them padding.
        how: what is made of them.
        pool: see `Replayed`.

    Attributes:
        sized: (), whether the images prepared last all have a size above 0.
    """

    def __init__(
        self, like: Features, size: StageSize, whole: bool, how: FirstBlock, pool: Any
    ) -> None:
        def room(values: Tensor | None) -> Any:
            return None if values is None else values.new_zeros((*size, *values.shape[1:]))

        self._given = Features(
            room(like.keypoints), room(like.scores), room(like.descriptors),
            torch.ones_like(like.image_size).repeat(size.pairs, 1),
            room(like.scales), room(like.orientations),
        )  # fmt: skip
        self._keys = torch.ones((*size, 1, 1), dtype=torch.bool, device=like.device).movedim(1, 3)
        self._shape = TokenShape(*size, None if whole else self._keys)
        self.whole, self._how, self._pool = whole, how, pool
        tokens, rotary = how.encode(self._given)
        self._tokens, self._rotary = torch.zeros_like(tokens), torch.zeros_like(rotary)
        self.sized = torch.ones((), dtype=torch.bool, device=like.device)
        self._graph: Replayed | None = None
        self._slots = [
            [*(value[slot] for value in _given(self._given)), self._given.image_size[slot]]
            for slot in range(size.pairs)
        ]
        """Where what is given of each image goes, its size the last."""
        self._counts: list[int] = []

    def _compute(self, tokens: Tensor, rotary: Tensor) -> None:
        """Prepare the images, to be captured: their tokens and rotary tables (B·N, …)."""
        encode, own, *_ = self._how
        first, table = (values.flatten(0, 1) for values in encode(self._given))
        tokens.copy_(own(first, table, self._shape))
        rotary.copy_(table)
        torch.all(self._given.image_size > 0, out=self.sized)

    def put_into(self, stage: LayerStage) -> None:
        """Prepare the images of a pair, and put it into a stage; to be captured."""
        self._compute(stage.x, stage.rotary)
        stage.keep.copy_(self._keys.reshape(stage.keep.shape))

    def prepare(self) -> list[tuple[Tensor, Tensor]]:
        """Tokens and rotary table of each image that was filled in, each (1, n, …)."""
        if self._graph is None:
            changed = (self._tokens, self._rotary, self.sized)
            places = (self._tokens.flatten(0, 1), self._rotary.flatten(0, 1))
            self._graph = Replayed(lambda: self._compute(*places), changed, self._pool)
        self._graph.run()
        tokens, rotary = (torch.split(x.clone(), 1) for x in (self._tokens, self._rotary))
        return [
            (x[:, :count], table[:, :count])
            for x, table, count in zip(tokens, rotary, self._counts, strict=True)
        ]

    def fill(self, images: Sequence[Features]) -> None:
        """Put the features of images where they are looked for."""
        self._counts = list(map(len, images))
        full = self._given.keypoints.shape[1]
        places: list[Tensor] = []
        numbers: list[Tensor] = []
        for slot, features in enumerate(images):
            count, mine = len(features), self._slots[slot]
            if count < full:
                for place in mine[:-1]:
                    place[count:].zero_()
                mine = [*(place[:count] for place in mine[:-1]), mine[-1]]
            if not self.whole:
                self._keys[slot, ..., :count] = True
                self._keys[slot, ..., count:] = False
            places += mine
            numbers += [*_given(features), features.image_size]
        torch._foreach_copy_(places, numbers)


class LightGlueGraphs:
    """The graphs of a LightGlue, of a few sizes; those of other weights are forgotten.

    Attributes:
        lock: held while tensors that all calls share are in use, so that threads take turns.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self._images: OrderedDict[Any, _Images] = OrderedDict()
        self._batches: OrderedDict[StageSize, _Batch] = OrderedDict()
        self._first: tuple[Any, tuple[int, ...]] = None, ()
        self._weights: Sequence[LayerWeights] | None = None
        self._limits: StageLimits | None = None
        self._settings: AdaptiveSettings | None = None
        self._memory: SharedMemory | None = None

    def prepare(
        self, images: Sequence[Features], how: FirstBlock
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Prepare the features of some images.

        Args:
            images: with at least one keypoint each, unbatched, all with or without scales.
            how: what to make of them.

        Returns:
            Tokens and rotary table of each, each (1, N, …); (), whether all image sizes are above
            0, until the next call.
        """
        with self.lock:
            first = self._filled(images, how)
            return first.prepare(), first.sized

    def match_images(
        self,
        images: tuple[Features, Features],
        how: FirstBlock,
        weights: Sequence[LayerWeights],
        blocks: Blocks,
        settings: AdaptiveSettings,
    ) -> tuple[list[Matches], Tensor]:
        """Prepare the features of a pair and match it, in one graph as far as nobody has to ask.

        Args:
            images, how: as `prepare` has them.
            weights, blocks, settings: as `match_adaptively` has them.

        Returns:
            The pair's matches, as `match` gives them; (), as `prepare`.
        """
        with self.lock:
            first = self._filled(images, how)
            size = StageSize(1, max(padded_size(len(image)) for image in images))
            batch = self._batch_of(weights, blocks, size, images[0].device, settings)
            return batch.match(first, [[len(image)] for image in images], settings), first.sized

    def _filled(self, images: Sequence[Features], how: FirstBlock) -> _Images:
        """What prepares images of this number and size, with these."""
        first = self._images_like(images, how)
        first.fill(images)
        return first

    def _images_like(self, images: Sequence[Features], how: FirstBlock) -> _Images:
        places = tuple(value.data_ptr() for value in how.others)
        if self._first[0] is not how.weights or self._first[1] != places:
            self._images.clear()
            self._first = how.weights, places
        size = StageSize(len(images), padded_size(max(map(len, images))))
        whole = all(len(image) == size.keypoints for image in images)
        first = images[0]
        kinds = [(values.dtype, values.shape[1:]) for values in _given(first)]

        def make() -> _Images:
            return _Images(first, size, whole, how, self._shared(first.device))

        return _kept(self._images, (size, whole, *kinds), make)

    def _shared(self, device: torch.device) -> Any:
        """Memory that all graphs share; None: not on CUDA."""
        if self._memory is None:
            self._memory = SharedMemory(device)
        return self._memory.pool

    def match(
        self,
        weights: Sequence[LayerWeights],
        blocks: Blocks,
        prepared0: LightGluePrepared,
        prepared1: LightGluePrepared,
        settings: AdaptiveSettings,
    ) -> list[Matches]:
        """Match B ≥ 1 pairs, see `match_adaptively`."""
        sides = (prepared0, prepared1)
        size = StageSize(
            _power(len(prepared0.tokens)), padded_size(max(side.tokens.shape[1] for side in sides))
        )
        with self.lock:
            batch = self._batch_of(weights, blocks, size, prepared0.tokens.device, settings)
            return batch.match(sides, [side.ends() for side in sides], settings)

    def _batch_of(
        self,
        weights: Sequence[LayerWeights],
        blocks: Blocks,
        size: StageSize,
        device: torch.device,
        settings: AdaptiveSettings,
    ) -> _Batch:
        """The graphs for batches of a size, set to decide as wanted."""
        if weights is not self._weights or self._limits is None:
            self._batches.clear()
            self._weights, self._limits, self._settings = weights, StageLimits.on(device), None
        if settings != self._settings:
            self._limits.set(settings)
            self._settings = settings
        limits = self._limits

        def make() -> _Batch:
            return _Batch(size, weights, blocks, limits, self._shared(device))

        return _kept(self._batches, size, make)

    def __reduce__(self) -> Any:
        """Copies begin with nothing: their weights are other ones."""
        return LightGlueGraphs, ()


def _kept(known: OrderedDict[K, V], key: K, make: Callable[[], V]) -> V:
    """What is known by a key, or is made for it, for which what was used longest ago may go."""
    if key not in known:
        known[key] = make()
        if len(known) > KEPT:
            known.popitem(last=False)
    known.move_to_end(key)
    return known[key]


def _given(features: Features) -> list[Tensor]:
    """What is given of the keypoints of images, but for their scores, which nothing asks for."""
    values = (features.keypoints, features.descriptors, features.scales, features.orientations)
    return [value for value in values if value is not None]


def _by_place(stage: LayerStage, answers: Sequence[int]) -> dict[int, list[int]]:
    """A layer's answers of the pairs, by their places in the batch: whether the pair leaves, and
    the keypoints of either side that go on."""
    b = stage.size.pairs
    return {pair: list(answers[i : i + 2 * b + 1 : b]) for i, pair in enumerate(stage.places)}


def _staying(pairs: Sequence[int], told: dict[int, list[int]]) -> list[int]:
    """The pairs that go on after a layer: that do not leave, and have keypoints left."""
    return [pair for pair in pairs if not told[pair][0] and min(told[pair][1:])]


def _power(count: int) -> int:
    """The next power of two."""
    return 1 << max(count - 1, 0).bit_length()
