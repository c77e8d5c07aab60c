"""LightGlue's attention blocks as functions of weights (§3.1 of its paper).

Tokens of all images of a call lie in one (T, dim) tensor, image after image, so that a linear layer
is one product for both images of a pair, whatever their numbers of keypoints; `TokenShape`s say how
to cut it up for the attention.

Weights come from the modules' parameters by linear maps, which gradients pass through: `Wqkv` is
sorted into q, k and v, with the two halves of each rotary pair apart, and the output projection is
multiplied into the feed-forward network behind it, W [x | Wo m + bo] = Wx x + (Wm Wo) m + Wm bo,
which saves a tenth of the linear layers' work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from matchers.assignment import log_double_softmax


class TokenShape(NamedTuple):
    """Tokens of one side of a batch: images, tokens in each, and which of them to attend to.

    `keys` is (B, 1, 1, length) bool, False at padding; None: all.
    """

    images: int
    length: int
    keys: Tensor | None = None

    @classmethod
    def of(cls, tokens: Tensor, mask: Tensor | None) -> TokenShape:
        """The shape of tokens (B, N, …) with a mask (B, N), False at padding.

        An image of nothing but padding attends to that: what comes of it is finite, and nothing
        looks at it.
        """
        if mask is not None:
            mask = (mask | ~mask.any(1, keepdim=True))[:, None, None]
        return cls(tokens.shape[0], tokens.shape[1], mask)


class BlockWeights(NamedTuple):
    """Weights of a self or a cross block; matrices are (in, out).

    `project` are the projections to q, k and v (cross: to qk and v), each with its bias; or there
    is one that makes them side by side, where that leaves less of a device idle (`leaves_room`).
    `up_token` and `up_message` are the first layer of the feed-forward network, for the token and
    for the message before its output projection; `down` is its second.
    """

    heads: int
    project: tuple[tuple[Tensor, Tensor], ...]
    up_token: Tensor
    up_message: Tensor
    up_bias: Tensor
    norm: Tensor
    norm_bias: Tensor
    down: Tensor
    down_bias: Tensor


class SelfBlock(nn.Module):
    """Parameters of self attention, named and laid out as in the official checkpoints."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.Wqkv = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.ffn: Any = _feed_forward(dim)

    def weights(self) -> BlockWeights:
        """The parameters, arranged for `self_block`."""
        weights, biases = (_sorted(part, self.heads) for part in (self.Wqkv.weight, self.Wqkv.bias))
        project = _together(weights, biases)
        return BlockWeights(self.heads, project, *_fused(self.out_proj, self.ffn))


class CrossBlock(nn.Module):
    """Parameters of cross attention, named and laid out as in the official checkpoints."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qk = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.to_out = nn.Linear(dim, dim)
        self.ffn: Any = _feed_forward(dim)

    def weights(self) -> BlockWeights:
        """The parameters, arranged for `cross_block`."""
        layers = (self.to_qk, self.to_v)
        project = _together([la.weight for la in layers], [la.bias for la in layers])
        return BlockWeights(self.heads, project, *_fused(self.to_out, self.ffn))


class PositionEncoding(nn.Module):
    """Rotary position encoding by learned frequencies (§3.1)."""

    def __init__(self, size: int, frequencies: int) -> None:
        super().__init__()
        self.Wr = nn.Linear(size, frequencies, bias=False)
        nn.init.normal_(self.Wr.weight)


class Layer(nn.Module):
    """One layer: self attention, then cross attention."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attn = SelfBlock(dim, heads)
        self.cross_attn = CrossBlock(dim, heads)


class Assignment(nn.Module):
    """Computes similarity and matchability, and from these the assignment (§3.2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.matchability = nn.Linear(dim, 1)
        self.final_proj = nn.Linear(dim, dim)

    def projection(self) -> tuple[Tensor, Tensor]:
        """The projection (in, out) and its bias, scaled so that products are similarities."""
        scale = self.final_proj.in_features**-0.25
        return self.final_proj.weight.T * scale, self.final_proj.bias * scale

    def classifiers(self, confidence: Confidence | None) -> tuple[Tensor, Tensor]:
        """Matchability and, if it is given, confidence: (dim, 1 or 2) and their bias."""
        both = [self.matchability] + ([] if confidence is None else [confidence.token[0]])
        weights, biases = [c.weight for c in both], [c.bias for c in both]
        return torch.cat(weights).T, torch.cat(biases)

    def forward(
        self, tokens0: Tensor, tokens1: Tensor, mask0: Tensor | None, mask1: Tensor | None
    ) -> Tensor:
        """The log assignment (B, M+1, N+1), see `widen`, of tokens (B, M, dim) and (B, N, dim)."""
        weight, bias = self.projection()
        projected0, projected1 = (widen(tokens @ weight + bias) for tokens in (tokens0, tokens1))
        z0, z1 = (widen(self.matchability(tokens)[..., 0]) for tokens in (tokens0, tokens1))
        similarity = projected0 @ projected1.transpose(1, 2)
        return log_double_softmax(similarity, z0, z1, mask0, mask1)


class Confidence(nn.Module):
    """How sure a token's match is (§3.3)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token: Any = nn.Sequential(nn.Linear(dim, 1), nn.Sigmoid())

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (T,), see `widen`, of tokens (T, dim)."""
        logits: Tensor = widen(self.token[0](tokens)[:, 0])
        return logits


def self_block(
    x: Tensor, rotary: Tensor, weights: BlockWeights, shapes: Sequence[TokenShape]
) -> Tensor:
    """Each token attends to those of its image, relative positions by rotation (§3.1).

    Args:
        x: (T, dim).
        rotary: (T, 2·dim/heads), see `rotary_table`.
        weights: of a `SelfBlock`.
        shapes: the sides' tokens, in order; T in all.

    Returns:
        (T, dim).
    """
    cos, sin = rotary[:, None].chunk(2, -1)
    if len(weights.project) == 1:
        turned, v = torch.split(_projected(x, weights), [2 * weights.heads, weights.heads], 1)
        q, k = _turned(turned, cos, sin).chunk(2, 1)
    else:
        q, k, v = _project(x, weights)
        q, k = _turned(q, cos, sin), _turned(k, cos, sin)
    both = joined(shapes) if leaves_room(x) else None
    if both is not None:
        shapes = (both,)
    sides = zip(*(split(values, shapes) for values in (q, k, v)), shapes, strict=True)
    messages = [_attend(q, k, v, shape.keys) for q, k, v, shape in sides]
    return _feed(x, messages, weights)


def cross_block(x: Tensor, weights: BlockWeights, shape0: TokenShape, shape1: TokenShape) -> Tensor:
    """Each token attends to those of the other image (§3.1, "cross-attention").

    One projection makes queries and keys, so both directions have the same similarity. It is
    computed in each direction all the same: with a fused attention that costs no more time than
    keeping it, and no memory.

    Args:
        x: (T, dim).
        weights: of a `CrossBlock`.
        shape0, shape1: the first and the second images' tokens.

    Returns:
        (T, dim).
    """
    shapes = (shape0, shape1)
    both = joined((shape1, shape0)) if leaves_room(x) else None
    if both is not None and len(weights.project) == 1:
        own = _projected(x, weights)
        other = own.roll(len(x) // 2, 0)
        (q, _), (k, v) = (split(values, (both,))[0].chunk(2, 2) for values in (own, other))
        return _feed(x, [_attend(q, k, v, both.keys)], weights)
    qk, v = _project(x, weights)
    (qk0, qk1), (v0, v1) = split(qk, shapes), split(v, shapes)
    messages = [_attend(qk0, qk1, v1, shape1.keys), _attend(qk1, qk0, v0, shape0.keys)]
    return _feed(x, messages, weights)


def leaves_room(x: Tensor) -> bool:
    """Whether the attention of one side, or one projection, leaves a device idle, so that they go
    at once: a GPU."""
    return x.is_cuda


def joined(shapes: Sequence[TokenShape]) -> TokenShape | None:
    """Two sides as one batch; None: they are not of one length, or one of them is masked."""
    if len(shapes) != 2 or shapes[0][:2] != shapes[1][:2]:
        return None
    keys = [shape.keys for shape in shapes if shape.keys is not None]
    if len(keys) == 1:
        return None
    images, length, _ = shapes[0]
    return TokenShape(2 * images, length, torch.cat(keys) if keys else None)


def split(tokens: Tensor, shapes: Sequence[TokenShape]) -> tuple[Tensor, ...]:
    """(T, …) as (B, N, …) for each side."""
    sides = torch.split(tokens, [shape.images * shape.length for shape in shapes])
    return tuple(
        side.view(shape.images, shape.length, *side.shape[1:])
        for side, shape in zip(sides, shapes, strict=True)
    )


def widen(values: Tensor) -> Tensor:
    """Half-precision values as float32, others as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def rotary_table(positions: Tensor, frequencies: Tensor) -> Tensor:
    """Cosines and signed sines of positions times learned frequencies (§3.1).

    Args:
        positions: (…, P) normalised positions.
        frequencies: (F, P).

    Returns:
        (…, 4F): cos, cos, -sin, sin; the table of heads with 2F channels whose rotary pairs are
        channels i and F+i.
    """
    angles = positions @ frequencies.T
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos, -sin, sin], -1)


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's tensors under the names that the network has; unknown ones keep theirs."""
    renamed = {}
    for key, value in state.items():
        if key.startswith("extractor.") or key.endswith("confidence_thresholds"):
            continue
        name = key.removeprefix("matcher.")
        renamed[re.sub(r"^(self_attn|cross_attn)\.(\d+)\.", r"transformers.\2.\1.", name)] = value
    return renamed


def first_layers(state: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """A checkpoint's first layers: a LightGlue that ends where the deeper one might leave.

    Args:
        state: tensors by name, of any of the forms that `rename` reads.
        count: layers to keep; those of a network that has no more are all kept. The last of them
            has no confidence classifier.
    """
    kept = {}
    for key, value in rename(state).items():
        match = re.match(r"(transformers|log_assignment|token_confidence)\.(\d+)\.", key)
        end = count - 1 if match and match[1] == "token_confidence" else count
        if match is None or int(match[2]) < end:
            kept[key] = value
    return kept


def infer_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of `LightGlueConfig` that a checkpoint's tensors decide.

    Raises:
        KeyError: one that is needed is not there.
    """
    dim = state["transformers.0.self_attn.out_proj.weight"].shape[0]
    frequencies, position = state["posenc.Wr.weight"].shape
    projection = state.get("input_proj.weight")
    layers = {m[1] for key in state if (m := re.match(r"transformers\.(\d+)\.", key))}
    return {
        "input_dim": dim if projection is None else projection.shape[1],
        "project": projection is not None and projection.shape[1] == dim,
        "dim": dim,
        "num_layers": len(layers),
        "num_heads": dim // (2 * frequencies),
        "scale_orientation": position == 4,
    }


class Blocks(NamedTuple):
    """The two functions, as they are or compiled."""

    own: Callable[[Tensor, Tensor, BlockWeights, Sequence[TokenShape]], Tensor] = self_block
    cross: Callable[[Tensor, BlockWeights, TokenShape, TokenShape], Tensor] = cross_block

    def compiled(self, **options: Any) -> Blocks:
        """The same functions compiled, with options of `torch.compile`."""
        return Blocks(torch.compile(self_block, **options), torch.compile(cross_block, **options))


def _project(x: Tensor, weights: BlockWeights) -> Sequence[Tensor]:
    """The projections of tokens (T, dim), each (T, H, C)."""
    if len(weights.project) == 1:
        return torch.split(_projected(x, weights), weights.heads, 1)
    projected = (torch.addmm(bias, x, matrix) for matrix, bias in weights.project)
    return [values.view(len(x), weights.heads, x.shape[1] // weights.heads) for values in projected]


def _projected(x: Tensor, weights: BlockWeights) -> Tensor:
    """All projections of tokens (T, dim) by one product, (T, P·H, C)."""
    ((matrix, bias),) = weights.project
    return torch.addmm(bias, x, matrix).view(len(x), -1, x.shape[1] // weights.heads)


def _turned(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys (T, H, C) in their rotary positions, (T, 1, C) each."""
    return torch.addcmul(values * cos, values.roll(values.shape[-1] // 2, -1), sin)


def _attend(q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None) -> Tensor:
    """Messages (B·N, dim) to queries (B, N, H, C) from keys and values (B, M, H, C)."""
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    message = functional.scaled_dot_product_attention(q, k, v, attn_mask=keys)
    return message.transpose(1, 2).flatten(2).flatten(0, 1)


def _feed(x: Tensor, messages: list[Tensor], weights: BlockWeights) -> Tensor:
    """The feed-forward network on tokens and messages, with its residual (§3.1)."""
    message = messages[0] if len(messages) == 1 else torch.cat(messages)
    hidden = torch.addmm(weights.up_bias, x, weights.up_token)
    # autocast leaves operations in place alone
    hidden = hidden.addmm_(message, weights.up_message.to(hidden.dtype))
    hidden = functional.layer_norm(hidden, (hidden.shape[1],), weights.norm, weights.norm_bias)
    update = torch.addmm(weights.down_bias, functional.gelu(hidden), weights.down)
    # under autocast tokens stay as precise as they were, for many updates are added to them
    return update.add_(x) if update.dtype == x.dtype else update + x


def _feed_forward(dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2 * dim, 2 * dim), nn.LayerNorm(2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
    )


def _fused(out: nn.Linear, ffn: Any) -> tuple[Tensor, ...]:
    """The feed-forward network's weights with the output projection multiplied in."""
    up, norm, _, down = ffn
    token, message = up.weight.chunk(2, 1)
    weight, bias = _product(message, out.weight), up.bias + _product(message, out.bias)
    return token.T, weight.T, bias, norm.weight, norm.bias, down.weight.T, down.bias


def _together(
    weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> tuple[tuple[Tensor, Tensor], ...]:
    """Projections (out, in), as `BlockWeights.project` has them."""
    if leaves_room(weights[0]):
        return ((torch.cat(list(weights)).T, torch.cat(list(biases))),)
    return tuple((weight.T, bias) for weight, bias in zip(weights, biases, strict=True))


def _product(a: Tensor, b: Tensor) -> Tensor:
    """A product of weights: rounded once, unless it is made in every step of a training."""
    if torch.is_grad_enabled() or a.device.type == "mps":  # MPS has no float64
        return a @ b
    return (a.double() @ b.double()).to(a.dtype)


def _sorted(rows: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the official `Wqkv`, (head, pair, half of pair, q|k|v), as q, k and v: (dim, …) each.

    Queries and keys become (head, half, pair), both alike, which leaves their products as they
    are; values keep their order.
    """
    q, k, v = rows.reshape(heads, -1, 2, 3, *rows.shape[1:]).unbind(3)
    return q.transpose(1, 2).flatten(0, 2), k.transpose(1, 2).flatten(0, 2), v.flatten(0, 2)
