"""SuperGlue: feature matching with a graph neural network and optimal transport.

Sarlin, DeTone, Malisiewicz, Rabinovich: SuperGlue: Learning Feature Matching with Graph Neural
Networks (CVPR 2020). The names of the parameters are those of the official checkpoints, whose 1×1
convolutions are linear layers here. Official weights are for non-commercial use, and are loaded
from a file that the user names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from matchers import operations
from matchers.assignment import mutual_matches, stack_padded, to_matches
from matchers.graphs import assumed
from matchers.lightglue_blocks import TokenShape, split
from matchers.network import Network, check_fit, check_options, check_sides, check_single
from matchers.sinkhorn import log_optimal_transport
from matchers.specs import MatcherSpec, Needs
from matchers.superglue_blocks import (
    AttentionalPropagation,
    AttentionWeights,
    GraphNetwork,
    KeypointEncoder,
    as_linear,
    at_places,
    attention_layer,
    infer_sizes,
)
from matchers.types import Adaptation, Features
from satgen.errors import InputError


@dataclass(frozen=True)
class SuperGlueConfig:
    """What SuperGlue is made of.

    Attributes:
        descriptor_dim: numbers in a token.
        input_dim: numbers in a descriptor; unless it is `descriptor_dim`, they are projected to it
            (the official network has no projection). None: `descriptor_dim`.
        project: they are projected even where they have that many.
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
    project: bool = False

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

    @property
    def projects(self) -> bool:
        """Whether there is a projection of the descriptors."""
        return self.project or self.descriptor_size != self.descriptor_dim


@dataclass(frozen=True)
class SuperGluePrepared:
    """B images prepared for matching, each by itself.

    Attributes:
        tokens: (B, N, dim), after the first self layer.
        mask: (B, N) bool, False at padding; None: no padding.
        batched: whether the features were.
    """

    tokens: Tensor
    mask: Tensor | None
    batched: bool


class SuperGlue(Network):
    """The SuperGlue network, as a `matchers.types.Matcher`.

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
        if config.projects:
            self.input_proj = nn.Linear(config.descriptor_size, dim)
        self.kenc = KeypointEncoder((3, *config.keypoint_encoder, dim))
        self.gnn = GraphNetwork(dim, config.num_layers, config.num_heads)
        self.final_proj = nn.Linear(dim, dim)
        self.bin_score = nn.Parameter(torch.tensor(1.0))

    # -- matching ------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, features: Features) -> SuperGluePrepared:
        """Compute what depends on one image alone: keypoint encoder and first self layer.

        Raises:
            InputError: descriptors of another size; an image size that is not positive.
        """
        mask = features.mask if features.batched else None
        if not bool((features.image_size > 0).all()):
            raise InputError(
                f"image_size {features.image_size.tolist()}: width and height must be over 0"
            )
        if mask is not None and bool(mask.all()):
            mask = None
        where = None if mask is None else mask.flatten().nonzero()[:, 0]
        tokens = self._encode(features, self._folded_encoder, where)
        shape = TokenShape.of(tokens, mask)
        flat = attention_layer(tokens.flatten(0, 1), self.arranged_first(), [shape], cross=False)
        return SuperGluePrepared(flat.view(tokens.shape), mask, features.batched)

    def collate(self, prepared: Sequence[SuperGluePrepared]) -> SuperGluePrepared:
        """Images that were prepared one by one as a batch.

        Raises:
            InputError: none, or one that is a batch already.
        """
        check_single(prepared)
        tokens, mask = stack_padded([image.tokens[0] for image in prepared])
        return SuperGluePrepared(tokens, mask, True)

    @torch.no_grad()
    def match(self, prepared0: SuperGluePrepared, prepared1: SuperGluePrepared) -> Any:
        """Match two images, or each pair of two batches.

        Returns:
            `Matches`, a list of them for batches; of padded batches, indices are rows of the
            padded tensors.

        Raises:
            InputError: a batch and a single image, or batches of different sizes.
        """
        check_sides(prepared0, prepared1)
        sides = (prepared0, prepared1)
        shapes = [TokenShape.of(side.tokens, side.mask) for side in sides]
        x = torch.cat([side.tokens.flatten(0, 1) for side in sides])
        for number, weights in enumerate(self.arranged()[1:], start=1):
            x = attention_layer(x, weights, shapes, cross=number % 2 == 1)
        assignment = self._assign(x, shapes, prepared0.mask, prepared1.mask)
        partner, score = mutual_matches(
            assignment, self.config.match_threshold, mask0=prepared0.mask, mask1=prepared1.mask
        )
        found = to_matches(partner, score)
        return found if prepared0.batched else found[0]

    def forward(self, features0: Features, features1: Features) -> Any:
        """Prepare both images' features and match them, see `prepare` and `match`."""
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
        both = (features0, features1)
        masks = [features.mask if features.batched else None for features in both]
        flat = [None if mask is None else mask.flatten() for mask in masks]
        if assumed() is None:
            places = [None if mask is None else mask.nonzero()[:, 0] for mask in flat]
        else:  # of a size that does not depend on values
            places = flat
        sides = [
            self._encode(features, encode, where)
            for features, where in zip(both, places, strict=True)
        ]
        shapes = [TokenShape.of(x, mask) for x, mask in zip(sides, masks, strict=True)]
        x = torch.cat([tokens.flatten(0, 1) for tokens in sides])
        real = None
        if any(where is not None for where in places):
            real = _side_by_side(places, [tokens.shape[0] * tokens.shape[1] for tokens in sides])
        for number, layer in enumerate(self.gnn.layers):
            assert isinstance(layer, AttentionalPropagation)
            cross = number % 2 == 1
            if self.training:
                x = x + layer.propagate(x, shapes, cross, real)
            else:
                x = attention_layer(x, layer.weights(), shapes, cross)
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
        state = as_linear(state)
        try:
            inferred = infer_sizes(state)
        except KeyError as error:
            raise InputError(f"not SuperGlue's weights: there is no {error.args[0]}") from None
        check_options(SuperGlueConfig, inferred, options)
        model = cls(SuperGlueConfig(**inferred, **options))
        model.load_weights(state)
        return model.eval()

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a checkpoint, official or ours, strictly.

        Raises:
            InputError: keys that are missing, unknown or of another shape.
        """
        state, own = as_linear(state), self.state_dict()
        counters = {key for key in own if key.endswith("num_batches_tracked")}
        check_fit("SuperGlue", own, state, optional=counters)
        self.load_state_dict({key: state.get(key, own[key]) for key in own})

    def _first_block(self) -> Any:
        return self.gnn.layers[0]

    def _arrange(self) -> list[AttentionWeights]:
        layers = []
        for layer in self.gnn.layers:
            assert isinstance(layer, AttentionalPropagation)
            layers.append(layer.weights())
        return layers

    def _folded_encoder(self, x: Tensor, real: Tensor | None) -> Tensor:
        return self.kenc.folded(x)

    def _encode(self, features: Features, encoder: Any, places: Tensor | None) -> Tensor:
        """Descriptors plus encoded keypoints (B, N, dim) (§3.1); `places` are those tokens that
        are no padding, see `at_places`."""
        size = features.image_size.float()
        if features.descriptors.shape[-1] != self.config.descriptor_size:
            raise InputError(
                f"descriptors of {features.descriptors.shape[-1]} numbers: this SuperGlue takes "
                f"{self.config.descriptor_size}"
            )
        size = size[..., None, :]
        positions = (features.keypoints.float() - size / 2) / (0.7 * size.amax(-1, keepdim=True))
        dtype = self.final_proj.weight.dtype
        inputs = torch.cat([positions, features.scores.float()[..., None]], -1).to(dtype)
        descriptors = features.descriptors.to(dtype)
        if not features.batched:
            inputs, descriptors = inputs[None], descriptors[None]
        tokens: Tensor = self.input_proj(descriptors)
        return tokens + at_places(places, encoder, inputs.flatten(0, 1)).view(tokens.shape)

    def _assign(
        self, x: Tensor, shapes: Sequence[TokenShape], mask0: Tensor | None, mask1: Tensor | None
    ) -> Tensor:
        """The log assignment (B, M+1, N+1) float32 of tokens after the last layer."""
        tokens0, tokens1 = split(self.final_proj(x).float(), shapes)
        scores = tokens0 @ tokens1.transpose(1, 2) * self.config.descriptor_dim**-0.5
        iterations = self.config.sinkhorn_iterations
        return log_optimal_transport(scores, self.bin_score.float(), iterations, mask0, mask1)


def _side_by_side(places: Sequence[Tensor | None], counts: Sequence[int]) -> Tensor:
    """Places of both sides' tokens, one of them given at least, as those of all, see `at_places`;
    `counts` are the sides' tokens."""
    given = next(where for where in places if where is not None)
    if given.dtype == torch.bool:
        sides = [
            given.new_ones(count) if where is None else where
            for where, count in zip(places, counts, strict=True)
        ]
        return torch.cat(sides)
    first, second = (
        torch.arange(count, device=given.device) if where is None else where
        for where, count in zip(places, counts, strict=True)
    )
    return torch.cat([first, second + counts[0]])


# -- what others have to know of it --------------------------------------------------------------


def _needs(model: SuperGlue) -> Needs:
    return Needs(model.config.descriptor_size)


def _operations(
    model: SuperGlue, features0: Features, features1: Features, adaptation: Adaptation | None
) -> tuple[float, float]:
    total = operations.superglue(len(features0), len(features1), model.config).total
    return total, total


SPEC = MatcherSpec(
    "superglue",
    from_checkpoint=SuperGlue.from_checkpoint,
    config=SuperGlueConfig,
    needs=_needs,
    operations=_operations,
    training="matchers.training.superglue:TRAINING",
    onnx="matchers.onnx.superglue:graphs",
)
