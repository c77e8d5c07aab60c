"""SuperGlue's parts: keypoint encoder, attention layers, and what a checkpoint is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from matchers.lightglue_blocks import TokenShape


class AttentionWeights(NamedTuple):
    """An attention layer's weights for inference; matrices are (in, out).

    `project` makes q, k, v of a token, heads apart. `up_token` and `up_message` are the first layer
    of the MLP with its BatchNorm and, for the message, the merging of the heads multiplied in.
    """

    heads: int
    project: Tensor
    project_bias: Tensor
    up_token: Tensor
    up_message: Tensor
    up_bias: Tensor
    down: Tensor
    down_bias: Tensor


class KeypointEncoder(nn.Module):
    """A keypoint's position and score as a token (§3.1, "keypoint encoder")."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = _mlp(widths)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """(T, 3) -> (T, dim), with BatchNorm as the mode has it; `real`: see `at_places`."""
        return _through(self.encoder, x, real)

    def folded(self, x: Tensor) -> Tensor:
        """The same with BatchNorm's running statistics, folded into the linear layers."""
        layers = list(self.encoder)
        for place in range(0, len(layers) - 1, 3):
            x = functional.linear(x, *_folded(layers[place], layers[place + 1])).relu_()
        encoded: Tensor = layers[-1](x)
        return encoded


class GraphNetwork(nn.Module):
    """The attention layers, alternating between self and cross (§3.1)."""

    def __init__(self, dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(AttentionalPropagation(dim, heads) for _ in range(layers))


class _Attention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.merge = nn.Linear(dim, dim)
        self.proj = nn.ModuleList(nn.Linear(dim, dim) for _ in range(3))


class AttentionalPropagation(nn.Module):
    """Attention over the source's tokens, then an MLP on token and message (§3.1)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn = _Attention(dim)
        self.mlp = _mlp((2 * dim, 2 * dim, dim))

    def projection(self) -> tuple[Tensor, Tensor]:
        """q, k, v of all heads as one product: (in, 3·dim) and its bias.

        In the checkpoints channel d·heads + h is number d of head h; here a head's are together.
        """
        projections = [proj for proj in self.attn.proj if isinstance(proj, nn.Linear)]
        weights = [self._heads_first(proj.weight) for proj in projections]
        return torch.cat(weights).T, torch.cat([self._heads_first(p.bias) for p in projections])

    def merging(self) -> Tensor:
        """The merging of the heads, (dim, in), for channels in that order."""
        return self._heads_first(self.attn.merge.weight.T).T

    def _heads_first(self, rows: Tensor) -> Tensor:
        """Rows (dim, …) that were channel by channel, head by head."""
        return rows.reshape(-1, self.heads, *rows.shape[1:]).transpose(0, 1).flatten(0, 1)

    def weights(self) -> AttentionWeights:
        """Arranged for inference, with the running statistics of BatchNorm."""
        up, norm, _, down = self.mlp
        assert isinstance(down, nn.Linear)
        weight, bias = _folded(up, norm)
        token, message = weight.chunk(2, 1)
        bias = bias + message @ self.attn.merge.bias
        merged = message @ self.merging()
        return AttentionWeights(
            self.heads, *self.projection(), token.T, merged.T, bias, down.weight.T, down.bias
        )

    def propagate(
        self, x: Tensor, shapes: Sequence[TokenShape], cross: bool, real: Tensor | None
    ) -> Tensor:
        """What is added to tokens (T, dim) in training; `real` are those that are no padding."""
        project, bias = self.projection()
        message = _messages(x, project, bias, self.heads, shapes, cross)
        message = functional.linear(message, self.merging(), self.attn.merge.bias)
        both = torch.cat([x, message], 1)
        return at_places(real, lambda values, some: _through(self.mlp, values, some), both)


def at_places(
    places: Tensor | None, function: Callable[[Tensor, Tensor | None], Tensor], x: Tensor
) -> Tensor:
    """A function of some of the tokens (T, in), at places (K,), and 0 elsewhere; None: of all.

    BatchNorm must not see padding. Places, unlike a mask, are made once for all layers, and a GPU
    is not waited for at each. How many there are is known to the host alone: for graphs there may
    be a mask (T,) instead, with which the function is of all tokens.

    Args:
        places: (K,) int64, or (T,) bool, or None.
        function: takes tokens, and that mask if it is one.
        x: tokens.
    """
    if places is None:
        return function(x, None)
    if places.dtype == torch.bool:
        return function(x, places).masked_fill(~places[:, None], 0.0)
    values = function(x.index_select(0, places), None)
    return values.new_zeros((len(x), values.shape[1])).index_copy(0, places, values)


def attention_layer(
    x: Tensor, weights: AttentionWeights, shapes: Sequence[TokenShape], cross: bool
) -> Tensor:
    """Apply one attention layer to the tokens (T, dim) of all sides."""
    message = _messages(x, weights.project, weights.project_bias, weights.heads, shapes, cross)
    hidden = torch.addmm(weights.up_bias, x, weights.up_token)
    hidden = torch.addmm(hidden, message, weights.up_message).relu_()
    return torch.addmm(weights.down_bias, hidden, weights.down) + x


def _messages(
    x: Tensor, project: Tensor, bias: Tensor, heads: int, shapes: Sequence[TokenShape], cross: bool
) -> Tensor:
    """Messages (T, dim), heads side by side, from the same (self) or the other image (cross)."""
    channels = project.shape[1] // (3 * heads)
    qkv = torch.addmm(bias, x, project).view(len(x), 3, heads, channels)
    parts, start = [], 0
    for images, count, _ in shapes:
        rows = qkv[start : start + images * count].view(images, count, 3, heads, channels)
        parts.append(rows.permute(2, 0, 3, 1, 4).unbind(0))  # q, k, v: (B, H, N, C)
        start += images * count
    sources = parts[::-1] if cross else parts
    keys = [shape.keys for shape in (shapes[::-1] if cross else shapes)]
    messages = []
    for (q, _, _), (_, k, v), mask in zip(parts, sources, keys, strict=True):
        if k.shape[2] == 0:  # nothing to attend to
            message = q.new_zeros(q.shape)
        else:
            message = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        messages.append(message.transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(messages)


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with BatchNorm and ReLU between them; the last one's bias begins at 0."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        if layers:
            layers += [nn.BatchNorm1d(inputs), nn.ReLU()]
        layers.append(last := nn.Linear(inputs, outputs))
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers)


def _through(mlp: nn.Sequential, x: Tensor, real: Tensor | None) -> Tensor:
    """An MLP of tokens (T, in). One token has no variance: BatchNorm uses running statistics.

    In training, `real` (T,) bool are the tokens that BatchNorm is to see; None: all.
    """
    for layer in mlp:
        if isinstance(layer, nn.BatchNorm1d) and real is not None:
            x = _norm_of_some(layer, x, real)
        elif isinstance(layer, nn.BatchNorm1d) and len(x) < 2:
            mean, variance = layer.running_mean, layer.running_var
            x = functional.batch_norm(x, mean, variance, layer.weight, layer.bias, eps=layer.eps)
        else:
            x = layer(x)
    return x


def _norm_of_some(norm: nn.BatchNorm1d, x: Tensor, real: Tensor) -> Tensor:
    """BatchNorm of training, by the statistics of the real ones (T,) of the tokens (T, in)."""
    running_mean, running_var, seen = norm.running_mean, norm.running_var, norm.num_batches_tracked
    assert running_mean is not None and running_var is not None and seen is not None
    assert norm.momentum is not None
    with torch.no_grad():
        values, some = x.detach(), real[:, None]
        count = real.sum()
        enough, number = count > 1, count.clamp(min=1)
        mean = values.masked_fill(~some, 0.0).sum(0) / number
        squares = (values - mean).square_().masked_fill_(~some, 0.0).sum(0)
        mean = torch.where(enough, mean, running_mean)
        variance = torch.where(enough, squares / number, running_var)
        unbiased = torch.where(enough, squares / (number - 1).clamp(min=1), running_var)
        running_mean.lerp_(mean, norm.momentum)
        running_var.lerp_(unbiased, norm.momentum)
        seen.add_(enough)
        scale = torch.rsqrt(variance + norm.eps)
        share = torch.where(enough, some.to(x.dtype) / number, 0.0)
    normed: Tensor = _Normed.apply(x, norm.weight, norm.bias, mean, scale, share)  # type: ignore[no-untyped-call]
    return normed


class _Normed(torch.autograd.Function):
    """Tokens (T, C) less a mean (C,), times a scale (C,) and a weight (C,), plus a bias (C,).

    Mean and scale are those of the tokens, in which each has a share (T, 1). As in BatchNorm's
    own, the tokens are all that is kept of the forward pass.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor,
        share: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight, mean, scale, share)
        factor = scale * weight
        return torch.addcmul(bias - mean * factor, x, factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, share = ctx.saved_tensors
        normed = (x - mean) * scale
        by_weight, by_bias = (by * normed).sum(0), by.sum(0)
        through = normed.mul_(by_weight).add_(by_bias).mul_(share)
        return (by - through).mul_(scale * weight), by_weight, by_bias, None, None, None


def _folded(linear: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer and the BatchNorm behind it, by its running statistics."""
    assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    bias = (linear.bias - norm.running_mean) * scale + norm.bias
    return linear.weight * scale[:, None], bias


def as_linear(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint whose 1×1 convolutions (out, in, 1) are linear layers (out, in)."""
    return {key: value[..., 0] if value.ndim == 3 else value for key, value in state.items()}


def infer_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The config's fields that tensors decide.

    Raises:
        KeyError: one that is needed is not there.
    """
    last = state["final_proj.weight"]
    if last.ndim != 2:
        raise KeyError("final_proj.weight of (dim, dim)")
    dim = last.shape[0]
    places = sorted(
        int(m[1])
        for key, value in state.items()
        if (m := re.fullmatch(r"kenc\.encoder\.(\d+)\.weight", key)) and value.ndim == 2
    )
    if not places:
        raise KeyError("kenc.encoder.0.weight")
    widths = tuple(state[f"kenc.encoder.{place}.weight"].shape[0] for place in places)
    projection = state.get("input_proj.weight")
    layers = {m[1] for key in state if (m := re.match(r"gnn\.layers\.(\d+)\.", key))}
    return {
        "descriptor_dim": dim,
        "input_dim": None if projection is None else projection.shape[1],
        "project": projection is not None and projection.shape[1] == dim,
        "keypoint_encoder": widths[:-1],
        "num_layers": len(layers),
    }
