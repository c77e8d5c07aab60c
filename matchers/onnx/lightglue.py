"""LightGlue as ONNX graphs: in one, at full depth, or layer by layer, for a loop that may leave."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from matchers.lightglue import LightGlue
from matchers.lightglue_adaptive import LayerWeights, confident
from matchers.lightglue_blocks import BlockWeights, rotary_table
from matchers.onnx.assignment import Held, attention, mutual_matches, real_rows
from matchers.onnx.graph import (
    NORMALISED,
    PADDING,
    Inputs,
    OnnxGraph,
    OnnxOptions,
    some_features,
)


class LightGlueGraph(nn.Module):
    """The matches of two images' features, at full depth.

    Args:
        network: with its weights.
        padded: descriptors of nothing but zeros are padding.
    """

    def __init__(self, network: LightGlue, padded: bool) -> None:
        super().__init__()
        self.encode = EncodeGraph(network)
        self.layers: Any = nn.ModuleList(
            LayerGraph(network, number) for number in range(network.config.num_layers)
        )
        self.assign = AssignGraph(network, network.config.num_layers - 1)
        self.padded = padded

    def forward(
        self, kpts0: Tensor, kpts1: Tensor, desc0: Tensor, desc1: Tensor, *oriented: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Matches (S, 2) int64 and their scores (S,).

        Args:
            kpts0, kpts1: (1, M, 2) and (1, N, 2), normalised.
            desc0, desc1: (1, M, D) and (1, N, D).
            oriented: scales0, oris0, scales1, oris1, of a network that takes them.
        """
        x0, rotary0 = self.encode(kpts0, desc0, *oriented[:2])
        x1, rotary1 = self.encode(kpts1, desc1, *oriented[2:])
        reals = [real_rows(desc[0]) if self.padded else None for desc in (desc0, desc1)]
        x0, rotary0, x1, rotary1 = x0[0], rotary0[0], x1[0], rotary1[0]
        for layer in self.layers:
            x0, x1 = layer.tokens(x0, x1, rotary0, rotary1, *reals)
        return self.assign.matches(x0, x1, *reals)


class EncodeGraph(nn.Module):
    """What LightGlue makes of one image alone: tokens (1, N, dim) and position encodings."""

    def __init__(self, network: LightGlue) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, kpts: Tensor, desc: Tensor, *oriented: Tensor) -> tuple[Tensor, Tensor]:
        """Of keypoints (1, N, 2), normalised, and descriptors (1, N, D)."""
        positions = kpts
        if oriented:
            positions = torch.cat([kpts, torch.stack(oriented, -1)], -1)
        return self.network.input_proj(desc), rotary_table(positions, self.network.posenc.Wr.weight)


class LayerGraph(nn.Module):
    """One of LightGlue's layers: tokens of both images, and how sure and how matchable they are."""

    def __init__(self, network: LightGlue, number: int) -> None:
        super().__init__()
        weights: LayerWeights = network.arranged()[number]
        self.own, self.cross = Held(weights.self_block), Held(weights.cross_block)
        self.last = number == network.config.num_layers - 1
        if not self.last:
            self.classify = Held((weights.classify, weights.classify_bias))

    def tokens(
        self,
        x0: Tensor,
        x1: Tensor,
        rotary0: Tensor,
        rotary1: Tensor,
        real0: Tensor | None = None,
        real1: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Tokens (M, dim) and (N, dim) after the layer."""
        own, cross = self.own(), self.cross()
        x0, x1 = _self_block(x0, rotary0, own, real0), _self_block(x1, rotary1, own, real1)
        (qk0, v0), (qk1, v1) = _project(x0, cross), _project(x1, cross)
        message0, message1 = attention(qk0, qk1, v1, real1), attention(qk1, qk0, v0, real0)
        return _feed(x0, message0, cross), _feed(x1, message1, cross)

    def forward(
        self, tokens0: Tensor, tokens1: Tensor, encoding0: Tensor, encoding1: Tensor
    ) -> tuple[Tensor, ...]:
        """Tokens (1, M, dim) and (1, N, dim); confidence and matchability (1, M) and (1, N)."""
        found = self.tokens(tokens0[0], tokens1[0], encoding0[0], encoding1[0])
        after = tuple(x[None] for x in found)
        if self.last:
            return after
        classify, bias = self.classify()
        logits = [x @ classify + bias for x in found]
        sure = tuple(values[None, :, 1].sigmoid() for values in logits)
        matchable = tuple(values[None, :, 0].sigmoid() for values in logits)
        return after + sure + matchable


class AssignGraph(nn.Module):
    """The matches that LightGlue finds where it leaves after a layer."""

    def __init__(self, network: LightGlue, number: int) -> None:
        super().__init__()
        weights: LayerWeights = network.arranged()[number]
        self.project = Held((weights.project, weights.project_bias))
        self.classify = Held((weights.classify[:, :1], weights.classify_bias[:1]))
        self.threshold = network.config.filter_threshold

    def matches(
        self, x0: Tensor, x1: Tensor, real0: Tensor | None = None, real1: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Matches (S, 2) and scores (S,) of tokens (M, dim) and (N, dim)."""
        (project, project_bias), (classify, classify_bias) = self.project(), self.classify()
        d0, d1 = (x @ project + project_bias for x in (x0, x1))
        z0, z1 = (functional.logsigmoid((x @ classify + classify_bias)[:, 0]) for x in (x0, x1))
        rows = columns = d0 @ d1.T
        if real0 is not None and real1 is not None:
            rows = torch.where(real1, rows, -1e30)
            columns = torch.where(real0[:, None], columns, -1e30)
        scores = rows.log_softmax(1) + columns.log_softmax(0) + z0[:, None] + z1
        return mutual_matches(scores, self.threshold, real0, real1)

    def forward(self, tokens0: Tensor, tokens1: Tensor) -> tuple[Tensor, Tensor]:
        """Of tokens (1, M, dim) and (1, N, dim)."""
        return self.matches(tokens0[0], tokens1[0])


def _self_block(x: Tensor, rotary: Tensor, weights: BlockWeights, real: Tensor | None) -> Tensor:
    cos, sin = rotary[:, None].chunk(2, -1)
    q, k, v = _project(x, weights)
    q, k = (y * cos + _halves_swapped(y) * sin for y in (q, k))
    return _feed(x, attention(q, k, v, real), weights)


def _halves_swapped(values: Tensor) -> Tensor:
    first, second = values.chunk(2, -1)
    return torch.cat([second, first], -1)


def _project(x: Tensor, weights: BlockWeights) -> list[Tensor]:
    """The projections of tokens (N, dim), each (N, H, C)."""
    shape = (x.shape[0], weights.heads, x.shape[1] // weights.heads)
    return [(x @ matrix + bias).view(shape) for matrix, bias in weights.project]


def _feed(x: Tensor, message: Tensor, weights: BlockWeights) -> Tensor:
    hidden = x @ weights.up_token + message @ weights.up_message + weights.up_bias
    shape = (weights.norm.shape[0],)
    hidden = functional.layer_norm(hidden, shape, weights.norm, weights.norm_bias)
    return x + functional.gelu(hidden) @ weights.down + weights.down_bias


# -- the files -----------------------------------------------------------------------------------


def graphs(network: LightGlue, options: OnnxOptions) -> list[OnnxGraph]:
    """LightGlue's graphs: one, or with `adaptive` one a layer and what goes before and after."""
    return _adaptive(network) if options.adaptive else [_whole(network, options)]


def matcher_inputs(
    network: Any, names: tuple[str, ...], options: OnnxOptions, width: int
) -> tuple[list[Inputs], dict[str, dict[int, str]]]:
    """Trials of a matcher that takes two images' features, and its open axes.

    Args:
        network: whatever matches.
        names: of one image's inputs, without the number of the image.
        options: of the file.
        width: numbers in a descriptor.
    """
    length = options.points
    counts = [(7, 12), (40, 30)]
    if length is not None:
        counts = [(length, max(1, length - 3)), (max(1, length // 2), length)]
    trials: list[Inputs] = []
    for seed, pair in enumerate(counts):
        sides = [some_features(n, width, length, 2 * seed + i) for i, n in enumerate(pair)]
        # as if of the same points, so that there are matches
        least = min(pair)
        sides[1]["desc"][:, :least] = sides[0]["desc"][:, :least]
        sides[1]["kpts"][:, :least] = sides[0]["kpts"][:, :least]
        trials.append({f"{name}{i}": sides[i][name] for name, i in names_in_order(names)})
    dynamic: dict[str, dict[int, str]] = {"matches0": {0: "matches"}, "mscores0": {0: "matches"}}
    if length is None:
        dynamic |= {f"{name}{i}": {1: f"points{i}"} for name, i in names_in_order(names)}
    return trials, dynamic


def names_in_order(names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Keypoints and descriptors of both images, as kornia has them; then what comes besides."""
    first = [(name, i) for name in ("kpts", "desc") for i in (0, 1)]
    return first + [(name, i) for i in (0, 1) for name in names if name not in ("kpts", "desc")]


def matcher_notes(options: OnnxOptions) -> dict[str, str]:
    """What a reader of a matcher's file has to know."""
    notes = {
        "kpts0, kpts1": f"(1, points, 2) float32, normalised: {NORMALISED}",
        "desc0, desc1": "(1, points, numbers) float32, the descriptors",
        "matches0": "(matches, 2) int64: rows of the first and of the second image's points",
        "mscores0": "(matches,) float32 in [0, 1]",
    }
    if options.points is not None:
        notes["padding"] = f"there are always {options.points} points: {PADDING}"
    return notes


SCALED = "(1, points) float32: diameter in pixels, and radians from +u towards +v"


def _names(network: LightGlue) -> tuple[str, ...]:
    return ("kpts", "desc", *(("scales", "oris") if network.config.scale_orientation else ()))


def _whole(network: LightGlue, options: OnnxOptions) -> OnnxGraph:
    names = _names(network)
    trials, dynamic = matcher_inputs(network, names, options, network.config.input_dim)
    notes = matcher_notes(options) | _settings(network)
    if network.config.scale_orientation:
        notes["scales0, oris0, scales1, oris1"] = SCALED
    graph = LightGlueGraph(network, options.points is not None)
    return OnnxGraph("", graph, trials, ("matches0", "mscores0"), dynamic, notes)


def _settings(network: LightGlue) -> dict[str, str]:
    config = network.config
    return {
        "filter_threshold": json.dumps(config.filter_threshold),
        "num_layers": json.dumps(config.num_layers),
    }


def _adaptive(network: LightGlue) -> list[OnnxGraph]:
    config, count = network.config, network.config.num_layers
    notes = _settings(network) | {
        "depth_confidence": json.dumps(config.depth_confidence),
        "width_confidence": json.dumps(config.width_confidence),
    }
    names = _names(network)
    sides = [some_features(n, config.input_dim, None, n) for n in (9, 14)]
    encode = EncodeGraph(network)
    with torch.no_grad():
        encoded = [encode(*(side[name] for name in names)) for side in sides]
    points = {1: "points"}
    about = {"kpts": f"(1, points, 2) float32, normalised: {NORMALISED}"}
    if config.scale_orientation:
        about["scales, oris"] = SCALED
    found = [
        OnnxGraph(
            "encode",
            encode,
            [{name: side[name] for name in names} for side in sides],
            ("tokens", "encoding"),
            dict.fromkeys((*names, "tokens", "encoding"), points),
            notes | about,
        )
    ]
    tokens = {f"tokens{i}": encoded[i][0] for i in (0, 1)}
    encodings = {f"encoding{i}": encoded[i][1] for i in (0, 1)}
    axes = {f"{name}{i}": {1: f"points{i}"} for name in ("tokens", "encoding") for i in (0, 1)}
    answers = ("confidence0", "confidence1", "matchability0", "matchability1")
    for number in range(count):
        own = {"layer": str(number + 1)}
        outputs: tuple[str, ...] = ("after0", "after1")
        if number < count - 1:
            own["exit_threshold"] = json.dumps(confident(number + 1, count))
            outputs += answers
        dynamic = axes | {name: {1: f"points{name[-1]}"} for name in outputs}
        layer = LayerGraph(network, number)
        found.append(
            OnnxGraph(
                f"layer-{number + 1}", layer, [tokens | encodings], outputs, dynamic, notes | own
            )
        )
        matches = {"matches0": {0: "matches"}, "mscores0": {0: "matches"}}
        found.append(
            OnnxGraph(
                f"assign-{number + 1}",
                AssignGraph(network, number),
                [tokens],
                ("matches0", "mscores0"),
                {name: axes[name] for name in tokens} | matches,
                notes | own,
            )
        )
    return found
