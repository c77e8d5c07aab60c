"""SuperGlue: feature matching with a graph neural network and optimal transport.

Sarlin, DeTone, Malisiewicz, Rabinovich: SuperGlue: Learning Feature Matching with Graph Neural
Networks (CVPR 2020). The names of the parameters are those of the official checkpoints, whose 1×1
convolutions are linear layers here. Official weights are for non-commercial use, and are loaded
from a file that the user names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from matchers.assignment import mutual_matches, stack_padded, to_matches
from matchers.lightglue_blocks import Shape, split
from matchers.sinkhorn import log_optimal_transport
from matchers.types import Features
from satgen.errors import InputError


@dataclass(frozen=True)
class SuperGlueConfig:
    """What SuperGlue is made of.

    Attributes:
        descriptor_dim: numbers in a token.
        input_dim: numbers in a descriptor; unless it is `descriptor_dim`, they are projected to it
            (the official network has no projection). None: `descriptor_dim`.
        keypoint_encoder: widths of the keypoint encoder's hidden layers.
        num_layers: attention layers; they alternate between self and cross, self first.
        num_heads: heads of the attention.
        sinkhorn_iterations: of the optimal matching layer.
        match_threshold: probability that a match must exceed.

    Raises:
        InputError: a value out of range.
    """

    descriptor_dim: int = 256
    input_dim: int | None = None
    keypoint_encoder: tuple[int, ...] = (32, 64, 128, 256)
    num_layers: int = 18
    num_heads: int = 4
    sinkhorn_iterations: int = 100
    match_threshold: float = 0.2

    def __post_init__(self) -> None:
        for name in ("descriptor_dim", "num_layers", "num_heads", "sinkhorn_iterations"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: must be 1 or more")
        if self.descriptor_dim % self.num_heads:
            raise InputError(
                f"descriptor_dim {self.descriptor_dim} with num_heads {self.num_heads}: must be a "
                "multiple of it"
            )
        if not self.keypoint_encoder or min(self.keypoint_encoder) < 1:
            raise InputError(f"keypoint_encoder {self.keypoint_encoder}: must be positive widths")
        if self.input_dim is not None and self.input_dim < 1:
            raise InputError(f"input_dim {self.input_dim}: must be 1 or more, or None")
        if not 0 <= self.match_threshold < 1:
            raise InputError(f"match_threshold {self.match_threshold}: must be 0 to under 1")

    @property
    def descriptor_size(self) -> int:
        """Numbers in a descriptor that the network takes."""
        return self.descriptor_dim if self.input_dim is None else self.input_dim


@dataclass(frozen=True)
class PreparedTokens:
    """What SuperGlue knows of B images, each by itself.

    Attributes:
        tokens: (B, N, dim), after the first self layer.
        mask: (B, N) bool, False at padding; None: no padding.
        batched: whether the features were.
    """

    tokens: Tensor
    mask: Tensor | None
    batched: bool


class LayerWeights(NamedTuple):
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


class SuperGlue(nn.Module):
    """SuperGlue: `matchers.types.Matcher`.

    Weights are random until they are loaded. `prepare` and `match` make no gradients and use
    BatchNorm's running statistics; `log_assignment` makes gradients and, in training mode, uses the
    statistics of the batch's keypoints, without its padding: in the graph network those of both
    sides together, where the authors' code takes each side's own.

    Args:
        config: see there.
    """

    def __init__(self, config: SuperGlueConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SuperGlueConfig()
        dim = config.descriptor_dim
        self.input_proj: nn.Module = nn.Identity()
        if config.descriptor_size != dim:
            self.input_proj = nn.Linear(config.descriptor_size, dim)
        self.kenc = _KeypointEncoder((3, *config.keypoint_encoder, dim))
        self.gnn = _GraphNetwork(dim, config.num_layers, config.num_heads)
        self.final_proj = nn.Linear(dim, dim)
        self.bin_score = nn.Parameter(torch.tensor(1.0))
        self._cache: tuple[list[int], list[LayerWeights]] | None = None

    # -- matching ------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, features: Features) -> PreparedTokens:
        """What depends on one image alone: keypoint encoder and first self layer.

        Raises:
            InputError: descriptors of another size; an image size that is not positive.
        """
        tokens, mask = self._encode(features, self._folded_encoder)
        shape = Shape.of(tokens, mask)
        flat = _layer(tokens.flatten(0, 1), self._weights()[0], [shape], cross=False)
        return PreparedTokens(flat.view(tokens.shape), mask, features.batched)

    def collate(self, prepared: Sequence[PreparedTokens]) -> PreparedTokens:
        """Images that were prepared one by one as a batch.

        Raises:
            InputError: none, or one that is a batch already.
        """
        if not prepared or any(image.batched for image in prepared):
            raise InputError("collate takes at least one prepared image, none of them a batch")
        tokens, mask = stack_padded([image.tokens[0] for image in prepared])
        return PreparedTokens(tokens, mask, True)

    @torch.no_grad()
    def match(self, prepared0: PreparedTokens, prepared1: PreparedTokens) -> Any:
        """Match two images, or each pair of two batches.

        Returns:
            `Matches`, a list of them for batches; of padded batches, indices are rows of the
            padded tensors.

        Raises:
            InputError: a batch and a single image, or batches of different sizes.
        """
        sizes = (len(prepared0.tokens), len(prepared1.tokens))
        if prepared0.batched != prepared1.batched or sizes[0] != sizes[1]:
            kinds = [
                f"a batch of {n}" if p.batched else "one image"
                for n, p in zip(sizes, (prepared0, prepared1), strict=True)
            ]
            raise InputError(f"{kinds[0]} against {kinds[1]}: give batches of the same size")
        sides = (prepared0, prepared1)
        shapes = [Shape.of(side.tokens, side.mask) for side in sides]
        x = torch.cat([side.tokens.flatten(0, 1) for side in sides])
        for number, weights in enumerate(self._weights()[1:], start=1):
            x = _layer(x, weights, shapes, cross=number % 2 == 1)
        assignment = self._assign(x, shapes, prepared0.mask, prepared1.mask)
        partner, score = mutual_matches(
            assignment, self.config.match_threshold, mask0=prepared0.mask, mask1=prepared1.mask
        )
        found = to_matches(partner, score)
        return found if prepared0.batched else found[0]

    def forward(self, features0: Features, features1: Features) -> Any:
        """`match(prepare(features0), prepare(features1))`."""
        return self.match(self.prepare(features0), self.prepare(features1))

    # -- training ------------------------------------------------------------------------------

    def log_assignment(self, features0: Features, features1: Features) -> Tensor:
        """The log assignment with dustbins (§3.2), with gradients.

        Args:
            features0, features1: of one image each, or batches of the same size.

        Returns:
            (B, M+1, N+1) float32, see `matchers.sinkhorn.log_optimal_transport`; B is 1 for single
            images.

        Raises:
            InputError: as `prepare`; batches of different sizes.
        """
        if features0.batched != features1.batched or (
            features0.batched and len(features0) != len(features1)
        ):
            raise InputError("log_assignment takes two images, or two batches of the same size")
        encode = self.kenc if self.training else self._folded_encoder
        sides = [self._encode(features, encode) for features in (features0, features1)]
        shapes = [Shape.of(tokens, mask) for tokens, mask in sides]
        masks = [mask for _, mask in sides]
        x = torch.cat([tokens.flatten(0, 1) for tokens, _ in sides])
        real: Tensor | None = None
        if any(mask is not None for mask in masks):
            real = torch.cat(
                [
                    (x.new_ones(tokens.shape[:2], dtype=torch.bool) if m is None else m).flatten()
                    for (tokens, _), m in zip(sides, masks, strict=True)
                ]
            )
        for number, layer in enumerate(self.gnn.layers):
            assert isinstance(layer, _AttentionalPropagation)
            cross = number % 2 == 1
            if self.training:
                x = x + layer.propagate(x, shapes, cross, real)
            else:
                x = _layer(x, layer.weights(), shapes, cross)
        return self._assign(x, shapes, *masks)

    # -- weights -------------------------------------------------------------------------------

    @classmethod
    def from_checkpoint(cls, state: Mapping[str, Tensor], **options: Any) -> SuperGlue:
        """The network that a checkpoint is of, with its weights, in evaluation mode.

        Widths and layers follow from the tensors; `num_heads` does not, and is 4 unless given.

        Args:
            state: tensors by name, official or ours.
            options: `SuperGlueConfig`'s fields that the tensors leave open.

        Raises:
            InputError: keys that are missing, unknown or of another shape; an option that the
                tensors decide, or that does not exist.
        """
        state = _as_linear(state)
        try:
            inferred = _infer(state)
        except KeyError as error:
            raise InputError(f"not SuperGlue's weights: there is no {error.args[0]}") from None
        for option in options:
            if option in inferred or option not in SuperGlueConfig.__dataclass_fields__:
                free = sorted(set(SuperGlueConfig.__dataclass_fields__) - set(inferred))
                raise InputError(f"option {option!r}: must be one of {', '.join(free)}")
        model = cls(SuperGlueConfig(**inferred, **options))
        model.load_weights(state)
        return model.eval()

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a checkpoint, official or ours, strictly.

        Raises:
            InputError: keys that are missing, unknown or of another shape.
        """
        state, own = _as_linear(state), self.state_dict()
        counters = {key for key in own if key.endswith("num_batches_tracked")}
        missing = sorted(own.keys() - state.keys() - counters)
        unknown = sorted(state.keys() - own.keys())
        shapes = [
            f"{key} {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ]
        problems = {"missing": missing, "unknown": unknown, "of another shape": shapes}
        if any(problems.values()):
            said = [f"{what} {', '.join(keys)}" for what, keys in problems.items() if keys]
            raise InputError(f"not the weights of this SuperGlue: {'; '.join(said)}")
        self.load_state_dict({key: state.get(key, own[key]) for key in own})

    def train(self, mode: bool = True) -> SuperGlue:
        """Switch to training or evaluation."""
        self._cache = None
        return super().train(mode)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As `torch.nn.Module.load_state_dict`; `load_weights` says more of what does not fit."""
        self._cache = None
        return super().load_state_dict(*args, **kwargs)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._cache = None
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _weights(self) -> list[LayerWeights]:
        """Weights arranged for inference, made anew when a parameter or a statistic changed."""
        tensors = (*self.parameters(), *self.buffers())
        # Tensors made in inference mode have no version.
        versions = [0 if t.is_inference() else t._version for t in tensors]
        if self._cache is None or self._cache[0] != versions:
            layers = []
            for layer in self.gnn.layers:
                assert isinstance(layer, _AttentionalPropagation)
                layers.append(layer.weights())
            self._cache = versions, layers
        return self._cache[1]

    def _folded_encoder(self, x: Tensor) -> Tensor:
        return self.kenc.folded(x)

    def _encode(self, features: Features, encoder: Any) -> tuple[Tensor, Tensor | None]:
        """Descriptors plus encoded keypoints (B, N, dim) (§3.1), and mask or None."""
        size = features.image_size.float()
        if features.descriptors.shape[-1] != self.config.descriptor_size:
            raise InputError(
                f"descriptors of {features.descriptors.shape[-1]} numbers: this SuperGlue takes "
                f"{self.config.descriptor_size}"
            )
        if not bool((size > 0).all()):
            raise InputError(f"image_size {size.tolist()}: width and height must be over 0")
        size = size[..., None, :]
        positions = (features.keypoints.float() - size / 2) / (0.7 * size.amax(-1, keepdim=True))
        dtype = self.final_proj.weight.dtype
        inputs = torch.cat([positions, features.scores.float()[..., None]], -1).to(dtype)
        descriptors = features.descriptors.to(dtype)
        mask = features.mask if features.batched else None
        if not features.batched:
            inputs, descriptors = inputs[None], descriptors[None]
        if mask is not None and bool(mask.all()):
            mask = None
        tokens = self.input_proj(descriptors)
        if mask is None:
            return tokens + encoder(inputs.flatten(0, 1)).view(tokens.shape), None
        encoded = torch.zeros_like(tokens)
        encoded[mask] = encoder(inputs[mask])  # BatchNorm must not see the padding
        return tokens + encoded, mask

    def _assign(
        self, x: Tensor, shapes: Sequence[Shape], mask0: Tensor | None, mask1: Tensor | None
    ) -> Tensor:
        """The log assignment (B, M+1, N+1) float32 of tokens after the last layer."""
        tokens0, tokens1 = split(self.final_proj(x).float(), shapes)
        scores = tokens0 @ tokens1.transpose(1, 2) * self.config.descriptor_dim**-0.5
        iterations = self.config.sinkhorn_iterations
        return log_optimal_transport(scores, self.bin_score.float(), iterations, mask0, mask1)


class _KeypointEncoder(nn.Module):
    """A keypoint's position and score as a token (§3.1, "keypoint encoder")."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = _mlp(widths)

    def forward(self, x: Tensor) -> Tensor:
        """(T, 3) -> (T, dim), with BatchNorm as the mode has it."""
        return _through(self.encoder, x)

    def folded(self, x: Tensor) -> Tensor:
        """The same with BatchNorm's running statistics, folded into the linear layers."""
        layers = list(self.encoder)
        for place in range(0, len(layers) - 1, 3):
            x = functional.linear(x, *_folded(layers[place], layers[place + 1])).relu_()
        encoded: Tensor = layers[-1](x)
        return encoded


class _GraphNetwork(nn.Module):
    def __init__(self, dim: int, layers: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_AttentionalPropagation(dim, heads) for _ in range(layers))


class _Attention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.merge = nn.Linear(dim, dim)
        self.proj = nn.ModuleList(nn.Linear(dim, dim) for _ in range(3))


class _AttentionalPropagation(nn.Module):
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
        dim = self.attn.merge.in_features
        order = torch.arange(dim, device=self.attn.merge.weight.device)
        order = order.view(-1, self.heads).T.flatten()
        projections = [proj for proj in self.attn.proj if isinstance(proj, nn.Linear)]
        weight = torch.cat([proj.weight[order] for proj in projections])
        return weight.T, torch.cat([proj.bias[order] for proj in projections])

    def merging(self) -> Tensor:
        """The merging of the heads, (dim, in), for channels in that order."""
        dim = self.attn.merge.in_features
        order = torch.arange(dim, device=self.attn.merge.weight.device)
        return self.attn.merge.weight[:, order.view(-1, self.heads).T.flatten()]

    def weights(self) -> LayerWeights:
        """Arranged for inference, with the running statistics of BatchNorm."""
        up, norm, _, down = self.mlp
        assert isinstance(down, nn.Linear)
        weight, bias = _folded(up, norm)
        token, message = weight.chunk(2, 1)
        bias = bias + message @ self.attn.merge.bias
        merged = message @ self.merging()
        return LayerWeights(
            self.heads, *self.projection(), token.T, merged.T, bias, down.weight.T, down.bias
        )

    def propagate(
        self, x: Tensor, shapes: Sequence[Shape], cross: bool, real: Tensor | None
    ) -> Tensor:
        """What is added to tokens (T, dim), in training mode; `real` (T,) is False at padding."""
        project, bias = self.projection()
        message = _messages(x, project, bias, self.heads, shapes, cross)
        message = functional.linear(message, self.merging(), self.attn.merge.bias)
        both = torch.cat([x, message], 1)
        if real is None:
            return _through(self.mlp, both)
        update = torch.zeros_like(x)
        update[real] = _through(self.mlp, both[real])
        return update


def _layer(x: Tensor, weights: LayerWeights, shapes: Sequence[Shape], cross: bool) -> Tensor:
    """One attention layer: tokens (T, dim) of all sides to the same."""
    message = _messages(x, weights.project, weights.project_bias, weights.heads, shapes, cross)
    hidden = torch.addmm(weights.up_bias, x, weights.up_token)
    hidden = torch.addmm(hidden, message, weights.up_message).relu_()
    return torch.addmm(weights.down_bias, hidden, weights.down) + x


def _messages(
    x: Tensor, project: Tensor, bias: Tensor, heads: int, shapes: Sequence[Shape], cross: bool
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


def _through(mlp: nn.Sequential, x: Tensor) -> Tensor:
    """An MLP of tokens (T, in). One token has no variance: BatchNorm uses running statistics."""
    for layer in mlp:
        if isinstance(layer, nn.BatchNorm1d) and len(x) < 2:
            mean, variance = layer.running_mean, layer.running_var
            x = functional.batch_norm(x, mean, variance, layer.weight, layer.bias, eps=layer.eps)
        else:
            x = layer(x)
    return x


def _folded(linear: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer and the BatchNorm behind it, by its running statistics."""
    assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    bias = (linear.bias - norm.running_mean) * scale + norm.bias
    return linear.weight * scale[:, None], bias


def _as_linear(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint whose 1×1 convolutions (out, in, 1) are linear layers (out, in)."""
    return {key: value[..., 0] if value.ndim == 3 else value for key, value in state.items()}


def _infer(state: Mapping[str, Tensor]) -> dict[str, Any]:
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
        "keypoint_encoder": widths[:-1],
        "num_layers": len(layers),
    }
