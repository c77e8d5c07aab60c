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

from torch import nn

from matchers import weights as store
from matchers.specs import matcher_spec
from satgen.errors import InputError

TEMPERATURE = 40.0
"""Similarity of two unit descriptors that are the same, as a logit: at this an assignment made of
the descriptors of SIFT or ALIKED is about as good as mutual nearest neighbours are."""

SHARPNESS = 10.0
"""Sharpness of attention across images, where it begins: the logit of a token that is the same."""


def begin_projection(projection: nn.Linear) -> None:
    """Have descriptors become tokens of the length √dim, their angles kept."""
    nn.init.orthogonal_(projection.weight, gain=projection.out_features**0.5)
    nn.init.zeros_(projection.bias)


def silence(linear: nn.Linear) -> None:
    """Have a residual update begin at zero."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)


def attend(heads: int, *projections: nn.Linear) -> None:
    """Have queries and keys be the same rotation of tokens, of the length that `SHARPNESS` asks."""
    dim = projections[0].in_features
    # a head has dim / heads of the numbers, each about 1, and divides by the root of that
    gain = (SHARPNESS / (dim / heads) ** 0.5) ** 0.5
    nn.init.orthogonal_(projections[0].weight, gain=gain)
    for projection in projections:
        projection.weight.copy_(projections[0].weight)
        nn.init.zeros_(projection.bias)


def compare(projection: nn.Linear) -> None:
    """Have products of projected tokens, over the root of their length, be cosines × temperature.

    Tokens have the length √dim: their products are cosines × dim.
    """
    nn.init.eye_(projection.weight)
    projection.weight.mul_((TEMPERATURE / projection.in_features**0.5) ** 0.5)
    nn.init.zeros_(projection.bias)


def network_of(matcher: str, path: Path) -> dict[str, int]:
    """The fields of `TrainConfig` that weights decide: dim, layers, and LightGlue's heads.

    Args:
        matcher: name of one that can be trained.
        path: of the weights.

    Raises:
        InputError: a file that cannot be read, or weights of something else.
    """
    training, state = matcher_spec(matcher).trained(), store.load(path)
    try:
        return training.sizes(state)
    except KeyError as error:
        raise InputError(
            f"weights {path}: not those of {matcher}: there is no {error.args[0]}"
        ) from None
