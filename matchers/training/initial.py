"""Where a training begins: at nearest neighbours in the space of the descriptors, or at weights.

With random weights a network spends its first tens of thousands of pairs on finding out that alike
descriptors match. Here its residual updates begin at zero and its projections keep angles, so that
the first assignment is a softmax over the descriptors' own similarities (SuperGlue: their optimal
transport); all that is learned is learned beyond that. Blocks that begin as the identity are common
practice since Zhang et al. (Fixup, ICLR 2019). Descriptors have length 1: they are projected to
tokens whose numbers are about 1, as attention and the optimiser's steps expect, and across images
attention begins at tokens that are alike.

Given weights may be of a deeper LightGlue, the authors' own for one: each of its layers was trained
to predict (§3.4), so that its first layers are a LightGlue already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from matchers import weights as store
from satgen.errors import InputError

TEMPERATURE = 40.0
"""Similarity of two unit descriptors that are the same, as a logit: at this an assignment made of
the descriptors of SIFT or ALIKED is about as good as mutual nearest neighbours are."""

SHARPNESS = 10.0
"""Of attention across images, where it begins: the logit of a token that is the same."""

DUSTBIN = {"sift": 0.8}
"""Cosine at which SuperGlue's dustbin is as good as a match; SIFT's are not below 0."""

OTHER_DUSTBIN = 0.6

MATCHABILITY = 1.0
"""LightGlue's logit of a keypoint's having a match."""


@torch.no_grad()
def begin_at_nearest_neighbours(model: nn.Module, features: str) -> None:
    """Set a network's weights so that it compares descriptors and does nothing else.

    Args:
        model: `LightGlue` or `SuperGlue`, with a projection of the descriptors. What is not set
            here keeps its random weights.
        features: name of those it is for.
    """
    network: Any = model
    projection = network.input_proj
    nn.init.orthogonal_(projection.weight, gain=projection.out_features**0.5)
    nn.init.zeros_(projection.bias)
    if hasattr(network, "transformers"):  # LightGlue
        for layer in network.transformers:
            _silence(layer.self_attn.ffn[-1])
            _silence(layer.cross_attn.ffn[-1])
            _attend(layer.cross_attn.heads, layer.cross_attn.to_qk)
        for assignment in network.log_assignment:
            _compare(assignment.final_proj)
            nn.init.zeros_(assignment.matchability.weight)
            nn.init.constant_(assignment.matchability.bias, MATCHABILITY)
        return
    _silence(network.kenc.encoder[-1])
    for number, layer in enumerate(network.gnn.layers):
        _silence(layer.mlp[-1])
        if number % 2:
            _attend(layer.heads, *layer.attn.proj[:2])
    _compare(network.final_proj)
    nn.init.constant_(network.bin_score, DUSTBIN.get(features, OTHER_DUSTBIN) * TEMPERATURE)


def _silence(linear: nn.Linear) -> None:
    """Have a residual update begin at zero."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)


def _attend(heads: int, *projections: nn.Linear) -> None:
    """Have queries and keys be the same rotation of tokens, of the length that `SHARPNESS` asks."""
    dim = projections[0].in_features
    # a head has dim / heads of the numbers, each about 1, and divides by the root of that
    gain = (SHARPNESS / (dim / heads) ** 0.5) ** 0.5
    nn.init.orthogonal_(projections[0].weight, gain=gain)
    for projection in projections:
        projection.weight.copy_(projections[0].weight)
        nn.init.zeros_(projection.bias)


def _compare(projection: nn.Linear) -> None:
    """Have products of projected tokens, over the root of their length, be cosines × temperature.

    Tokens have the length √dim: their products are cosines × dim.
    """
    nn.init.eye_(projection.weight)
    projection.weight.mul_((TEMPERATURE / projection.in_features**0.5) ** 0.5)
    nn.init.zeros_(projection.bias)


def begin_with(model: nn.Module, path: Path) -> None:
    """Load weights to begin with, strictly; of a deeper LightGlue the first layers.

    Args:
        model: `LightGlue` or `SuperGlue`.
        path: of the weights.

    Raises:
        InputError: a file that cannot be read, or weights that do not fit.
    """
    network: Any = model
    state = store.load(path)
    if hasattr(network, "transformers"):
        from matchers.lightglue_blocks import first_layers

        state = first_layers(state, network.config.num_layers)
    try:
        network.load_weights(state)
    except InputError as error:
        raise InputError(f"weights {path}: {str(error)[:200]}") from None


def network_of(matcher: str, path: Path) -> dict[str, int]:
    """The fields of `TrainConfig` that weights decide: dim, layers, and LightGlue's heads.

    Args:
        matcher: "lightglue" or "superglue".
        path: of the weights.

    Raises:
        InputError: a file that cannot be read, or weights of something else.
    """
    state = store.load(path)
    try:
        if matcher == "lightglue":
            from matchers import lightglue_blocks as blocks

            sizes = blocks.infer_sizes(blocks.rename(state))
            return {
                "dim": sizes["dim"],
                "layers": sizes["num_layers"],
                "heads": sizes["num_heads"],
            }
        from matchers import superglue_blocks

        sizes = superglue_blocks.infer_sizes(superglue_blocks.as_linear(state))
        return {"dim": sizes["descriptor_dim"], "layers": sizes["num_layers"] // 2}
    except KeyError as error:
        raise InputError(
            f"weights {path}: not those of {matcher}: there is no {error.args[0]}"
        ) from None
