"""LightGlue's layers one after another, with early exit and point pruning (§3.3 of its paper).

A batch shrinks as it goes: pairs leave, each after its own layer, and keypoints are dropped, each
from its own image. What is left is gathered to the front of smaller tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from matchers.assignment import log_softmax_columns, mutual_maxima, to_matches
from matchers.lightglue_blocks import Blocks, BlockWeights, TokenShape, split, widen
from matchers.types import Adaptation, Matches


@dataclass(frozen=True)
class LightGluePrepared:
    """B images prepared for matching, each by itself.

    Attributes:
        tokens: (B, N, dim), after the first self block.
        rotary: (B, N, 2·dim/heads), see `lightglue_blocks.rotary_table`.
        mask: (B, N) bool, False at padding; None: no padding.
        batched: whether the features were.
        counts: keypoints of each image, if they are known without asking the device.
    """

    tokens: Tensor
    rotary: Tensor
    mask: Tensor | None
    batched: bool
    counts: tuple[int, ...] | None = None

    def ends(self) -> list[int]:
        """Of each image, where its last keypoint ends: the padding behind it is not told of."""
        pairs, length = self.tokens.shape[:2]
        if self.mask is None or not length:
            return [length] * pairs
        if self.counts is not None:
            return list(self.counts)
        places = torch.arange(1, length + 1, device=self.mask.device) * self.mask
        ends: list[int] = places.amax(1).tolist()
        return ends


class AdaptiveSettings(NamedTuple):
    """How to adapt and filter, see `LightGlueConfig`; None: off."""

    depth_confidence: float | None
    width_confidence: float | None
    filter_threshold: float
    prune_min_keypoints: int


class LayerWeights(NamedTuple):
    """A layer's weights for inference; matrices are (in, out).

    `project` makes descriptors whose products are similarities; `classify` the logits of
    matchability and, but in the last layer, confidence.
    """

    self_block: BlockWeights
    cross_block: BlockWeights
    project: Tensor
    project_bias: Tensor
    classify: Tensor
    classify_bias: Tensor


class _Side(NamedTuple):
    """One image of each pair: (B, N) original rows of the tokens, and mask or None."""

    rows: Tensor
    mask: Tensor | None

    def present(self) -> Tensor:
        """(B, N) bool, False at padding."""
        return torch.ones_like(self.rows, dtype=torch.bool) if self.mask is None else self.mask


class _Tokens(NamedTuple):
    """The pairs that are still at work: (B,) their places in the batch, and (T, …) tokens."""

    pairs: Tensor
    x: Tensor
    rotary: Tensor
    sides: tuple[_Side, _Side]

    def shapes(self) -> tuple[TokenShape, TokenShape]:
        first, second = (TokenShape.of(side.rows, side.mask) for side in self.sides)
        return first, second

    def select(self, pairs: Tensor, keep: Sequence[Tensor]) -> _Tokens:
        """Some pairs (b,), and of their images' tokens (B, N) those to keep, in their order."""
        sides, places, start = [], [], 0
        for side, wanted in zip(self.sides, keep, strict=True):
            count = side.rows.shape[1]
            chosen = wanted[pairs]
            counts = chosen.sum(1)
            length = max(counts.tolist(), default=0)
            order = chosen.byte().argsort(dim=1, descending=True, stable=True)[:, :length]
            mask = None
            if bool((counts < length).any()):
                mask = torch.arange(length, device=order.device) < counts[:, None]
            sides.append(_Side(side.rows[pairs].gather(1, order), mask))
            places.append((order + (start + pairs * count)[:, None]).flatten())
            start += len(self.pairs) * count
        rows = torch.cat(places)
        x, rotary = self.x.index_select(0, rows), self.rotary.index_select(0, rows)
        return _Tokens(self.pairs[pairs], x, rotary, (sides[0], sides[1]))


class PairRecord:
    """What happens to the keypoints (B, N) of one side's images."""

    def __init__(self, prepared: LightGluePrepared, layers: int) -> None:
        b, n = prepared.tokens.shape[:2]
        device = prepared.tokens.device
        self.mask = prepared.mask
        self.layers = torch.zeros((b, n), dtype=torch.long, device=device)
        self.confidence = torch.full((b, layers, n), math.nan, device=device)
        self.lengths = prepared.ends()

    def took_part(self, pairs: Tensor, side: _Side, layer: int) -> None:
        pair, row = _present(pairs, side)
        self.layers[pair, row] = layer

    def was_sure(self, pairs: Tensor, side: _Side, layer: int, confidence: Tensor) -> None:
        pair, row = _present(pairs, side)
        self.confidence[pair, layer - 1, row] = confidence[side.present()].float()


def confident(layer: int, num_layers: int) -> float:
    """λ (§3.3): the confidence above which a keypoint is sure after a layer, counted from 1."""
    return 0.8 + 0.1 * math.exp(-4.0 * (layer - 1) / num_layers)


def match_adaptively(
    weights: Sequence[LayerWeights],
    blocks: Blocks,
    prepared0: LightGluePrepared,
    prepared1: LightGluePrepared,
    settings: AdaptiveSettings,
) -> list[Matches]:
    """Match B pairs, each with as many layers and points as it needs.

    Args:
        weights: of the layers.
        blocks: their functions.
        prepared0, prepared1: of B images each.
        settings: how to adapt and filter.

    Returns:
        `Matches` with `adaptation`, in the order of the pairs.
    """
    records = (PairRecord(prepared0, len(weights)), PairRecord(prepared1, len(weights)))
    results = MatchResults(records, len(weights))
    tokens, counts = _start(prepared0, prepared1)
    for layer, w in enumerate(weights, start=1):
        if not len(tokens.pairs):
            break
        shapes = tokens.shapes()
        x = tokens.x
        if layer > 1:
            x = blocks.own(x, tokens.rotary, w.self_block, shapes)
        tokens = tokens._replace(x=blocks.cross(x, w.cross_block, *shapes))
        for record, side in zip(records, tokens.sides, strict=True):
            record.took_part(tokens.pairs, side, layer)
        if layer == len(weights):
            results.add(tokens, w, layer, settings.filter_threshold)
        elif settings.depth_confidence is not None or settings.width_confidence is not None:
            tokens = _adapt(tokens, w, layer, counts, settings, records, results)
    return results.matches()


def _start(prepared0: LightGluePrepared, prepared1: LightGluePrepared) -> tuple[_Tokens, Tensor]:
    """The tokens of the pairs that have keypoints on either side, and (B,) keypoints of a pair."""
    both = (prepared0, prepared1)
    device = prepared0.tokens.device
    pairs = torch.arange(len(prepared0.tokens), device=device)
    sides = [
        _Side(torch.arange(p.tokens.shape[1], device=device).expand(len(pairs), -1), p.mask)
        for p in both
    ]
    tokens = _Tokens(
        pairs,
        torch.cat([p.tokens.flatten(0, 1) for p in both]),
        torch.cat([p.rotary.flatten(0, 1) for p in both]),
        (sides[0], sides[1]),
    )
    counts = [side.present().sum(1) for side in sides]
    (busy,) = torch.nonzero((counts[0] > 0) & (counts[1] > 0), as_tuple=True)
    if len(busy) < len(pairs):
        tokens = tokens.select(busy, [side.present() for side in sides])
    return tokens, counts[0] + counts[1]


def _adapt(
    tokens: _Tokens,
    w: LayerWeights,
    layer: int,
    counts: Tensor,
    settings: AdaptiveSettings,
    records: Sequence[PairRecord],
    results: MatchResults,
) -> _Tokens:
    """What goes on after a layer that is not the last; pairs that leave go to the results."""
    shapes = tokens.shapes()
    present = [side.present() for side in tokens.sides]
    logits = split(widen(torch.addmm(w.classify_bias, tokens.x, w.classify)), shapes)
    leave = torch.zeros_like(tokens.pairs, dtype=torch.bool)
    keep = present
    unsure = None
    if settings.depth_confidence is not None:
        threshold = confident(layer, results.num_layers)
        sure = [logit[..., 1].sigmoid() for logit in logits]
        for record, side, confidence in zip(records, tokens.sides, sure, strict=True):
            record.was_sure(tokens.pairs, side, layer, confidence)
        few = [((c < threshold) & p).sum(1) for c, p in zip(sure, present, strict=True)]
        # keypoints that were pruned count as sure
        leave = 1 - (few[0] + few[1]) / counts[tokens.pairs] > settings.depth_confidence
        unsure = [confidence <= threshold for confidence in sure]
    if settings.width_confidence is not None:
        keep = []
        for i, (logit, there) in enumerate(zip(logits, present, strict=True)):
            wanted = logit[..., 0].sigmoid() > 1 - settings.width_confidence
            if unsure is not None:
                wanted |= unsure[i]
            wanted |= there.sum(1, keepdim=True) <= settings.prune_min_keypoints
            keep.append(there & wanted)
    (leaving,) = torch.nonzero(leave, as_tuple=True)
    if len(leaving):
        results.add(tokens.select(leaving, present), w, layer, settings.filter_threshold)
    (staying,) = torch.nonzero(~leave & keep[0].any(1) & keep[1].any(1), as_tuple=True)
    if len(staying) == len(leave) and all(bool(k.all()) for k in keep):
        return tokens
    return tokens.select(staying, keep)


class MatchResults:
    """Matches of the pairs, in the order of the batch; none until they are added."""

    def __init__(self, records: tuple[PairRecord, PairRecord], num_layers: int) -> None:
        self.records, self.num_layers = records, num_layers
        self.partner = torch.full_like(records[0].layers, -1)
        self.score = torch.zeros_like(records[0].layers, dtype=torch.float32)

    def add(self, tokens: _Tokens, w: LayerWeights, layer: int, threshold: float) -> None:
        """Assign the keypoints of pairs that leave after a layer (§3.2), and filter."""
        partner, score = assign(tokens.x, tokens.shapes(), w)
        side0, side1 = tokens.sides
        pair, row = torch.nonzero((partner >= 0) & (score > threshold), as_tuple=True)
        found = partner[pair, row], score[pair, row]
        place = tokens.pairs[pair], side0.rows[pair, row]
        self.partner[place] = side1.rows[pair, found[0]]
        self.score[place] = found[1].float()

    def matches(self) -> list[Matches]:
        """The matches of all pairs, in the order of the batch."""
        first, second = self.records
        stops = torch.zeros(len(self.partner), dtype=torch.long)
        for record in self.records:
            if record.layers.shape[1]:
                stops = torch.maximum(stops, record.layers.amax(1).cpu())
        adapted = adaptations(
            (first.layers, second.layers),
            (first.confidence, second.confidence),
            stops.tolist(),
            self.num_layers,
            (first.lengths, second.lengths),
        )
        return to_matches(self.partner, self.score, adapted)


def adaptations(
    layers: Sequence[Tensor],
    confidence: Sequence[Tensor],
    stops: Sequence[int],
    num_layers: int,
    ends: Sequence[Sequence[int]],
) -> list[Adaptation]:
    """What became of the keypoints of B pairs.

    Args:
        layers: each side's (b, N) layers that a keypoint took part in, of b ≥ B pairs.
        confidence: each side's (b, L, N).
        stops: of B pairs, layers that were run.
        num_layers: of the network.
        ends: each side's `LightGluePrepared.ends`.
    """
    found = []
    for pair, stop in enumerate(stops):
        n0, n1 = ends[0][pair], ends[1][pair]
        found.append(
            Adaptation(
                stop_layer=stop,
                num_layers=num_layers,
                layers0=layers[0][pair, :n0],
                layers1=layers[1][pair, :n1],
                confidence0=confidence[0][pair, :stop, :n0],
                confidence1=confidence[1][pair, :stop, :n1],
            )
        )
    return found


def assign(
    x: Tensor, shapes: tuple[TokenShape, TokenShape], w: LayerWeights
) -> tuple[Tensor, Tensor]:
    """Partners and probabilities (B, M): mutual maxima of the assignment (§3.2), unfiltered."""
    partner, score = mutual_maxima(log_assignment(*what_is_assigned(x, w), shapes))
    return partner, score.exp()


def what_is_assigned(
    x: Tensor, w: LayerWeights, logits: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Descriptors (T, dim) of tokens (T, dim) after a layer, and logits (T,) of matchability;
    `logits` (T, …) if they are known, the first."""
    descriptors = torch.addmm(w.project_bias, x, w.project)
    if logits is None:
        logits = widen(torch.addmm(w.classify_bias, x, w.classify))
    return widen(descriptors), logits[:, 0]


def log_assignment(
    descriptors: Tensor, matchability: Tensor, shapes: tuple[TokenShape, TokenShape]
) -> Tensor:
    """The log assignment (B, M, N) without dustbins of what `what_is_assigned` gives (§3.2); -inf
    at what is masked."""
    shape0, shape1 = shapes
    d0, d1 = split(descriptors, shapes)
    z0, z1 = split(functional.logsigmoid(matchability), shapes)
    rows = columns = d0 @ d1.transpose(1, 2)
    if shape1.keys is not None:
        rows = rows.masked_fill(~shape1.keys[:, 0], -torch.inf)
    if shape0.keys is not None:
        columns = columns.masked_fill(~shape0.keys[:, 0].mT, -torch.inf)
    scores = functional.log_softmax(rows, 2)
    scores += log_softmax_columns(columns)
    return scores.add_(z0[:, :, None]).add_(z1[:, None, :])


def _present(pairs: Tensor, side: _Side) -> tuple[Tensor, Tensor]:
    """Batch places and rows of a side's keypoints, one after another."""
    place = pairs[:, None].expand_as(side.rows)
    if side.mask is None:
        return place.flatten(), side.rows.flatten()
    return place[side.mask], side.rows[side.mask]
