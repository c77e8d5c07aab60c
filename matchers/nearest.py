"""Nearest neighbours in descriptor space: mutual, with ratio and distance tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from matchers import operations
from matchers.assignment import first_claims, stack_padded, to_matches
from matchers.network import check_single
from matchers.specs import MatcherSpec, Variant
from matchers.types import Adaptation, Features, Matches
from satgen.errors import InputError


@dataclass(frozen=True)
class NearestConfig:
    """Tests that a match must pass. Distances are Euclidean, between unit descriptors: 0 … 2.

    Attributes:
        mutual: each is the other's nearest. Otherwise, of several keypoints of the first image
            that pass the other tests and have the same nearest, the closest has the match.
        ratio: the distance to the nearest is under this share of that to the second nearest (Lowe,
            IJCV 2004, §7.1; he took 0.8); with `mutual`, seen from either image. A lone candidate
            passes, one of two equally near ones does not. None: no test.
        max_distance: the largest distance. None: no test.

    Raises:
        InputError: a ratio outside (0, 1], a distance outside [0, 2].
    """

    mutual: bool = True
    ratio: float | None = None
    max_distance: float | None = None

    def __post_init__(self) -> None:
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise InputError(f"ratio {self.ratio}: must be over 0 and at most 1, or None")
        if self.max_distance is not None and not 0 <= self.max_distance <= 2:
            raise InputError(f"max_distance {self.max_distance}: must be 0 to 2, or None")


@dataclass(frozen=True)
class PreparedDescriptors:
    """Descriptors of B images, ready to be compared.

    Attributes:
        descriptors: (B, N, D) of unit length.
        mask: (B, N) bool, False at padding; None: no padding.
        batched: whether the features were.
    """

    descriptors: Tensor
    mask: Tensor | None
    batched: bool


class NearestNeighbour:
    """The nearest-neighbour matcher, as a `matchers.types.Matcher`.

    Args:
        config: its tests; mutual only by default.
    """

    def __init__(self, config: NearestConfig | None = None) -> None:
        self.config = config or NearestConfig()

    @torch.no_grad()
    def prepare(self, features: Features) -> PreparedDescriptors:
        """Normalise the descriptors of one image, or of a batch."""
        descriptors, mask = features.descriptors, features.mask
        if not features.batched:
            descriptors, mask = descriptors[None], None
        elif mask is not None and bool(mask.all()):
            mask = None
        return PreparedDescriptors(
            functional.normalize(descriptors, dim=-1), mask, features.batched
        )

    def collate(self, prepared: list[PreparedDescriptors]) -> PreparedDescriptors:
        """Images that were prepared one by one as a batch.

        Raises:
            InputError: none, or one that is a batch already.
        """
        check_single(prepared)
        descriptors, mask = stack_padded([image.descriptors[0] for image in prepared])
        return PreparedDescriptors(descriptors, mask, True)

    @torch.no_grad()
    def match(self, prepared0: PreparedDescriptors, prepared1: PreparedDescriptors) -> Any:
        """Nearest neighbours of each pair.

        Returns:
            `Matches`, a list of them for batches; scores are cosine similarities, clipped at 0.

        Raises:
            InputError: a batch and a single image; batches or descriptors of different sizes.
        """
        shape0, shape1 = prepared0.descriptors.shape, prepared1.descriptors.shape
        if prepared0.batched != prepared1.batched:
            raise InputError("a batch against one image: give two of either")
        if shape0[0] != shape1[0]:
            raise InputError(f"batches of {shape0[0]} and {shape1[0]} images: give equal ones")
        if shape0[2] != shape1[2]:
            raise InputError(f"descriptors of {shape0[2]} and {shape1[2]} numbers: give equal ones")
        found = self._match(prepared0, prepared1)
        return found if prepared0.batched else found[0]

    def __call__(self, features0: Features, features1: Features) -> Any:
        """Prepare both images' features and match them, see `prepare` and `match`."""
        return self.match(self.prepare(features0), self.prepare(features1))

    def _match(self, side0: PreparedDescriptors, side1: PreparedDescriptors) -> list[Matches]:
        similarity = side0.descriptors @ side1.descriptors.transpose(1, 2)
        b, m, n = similarity.shape
        if m == 0 or n == 0:
            nothing = similarity.new_zeros((b, m))
            return to_matches(nothing.long() - 1, nothing)
        if side0.mask is not None:
            similarity.masked_fill_(~side0.mask[:, :, None], -torch.inf)
        if side1.mask is not None:
            similarity.masked_fill_(~side1.mask[:, None, :], -torch.inf)
        score, partner = similarity.max(2)
        keep = score > -torch.inf
        if self.config.max_distance is not None:
            keep &= _squared(score) <= self.config.max_distance**2
        if self.config.ratio is not None:
            keep &= _distinct(similarity, score, partner, 2, self.config.ratio)
        if self.config.mutual:
            score1, partner1 = similarity.max(1)
            keep &= partner1.gather(1, partner) == torch.arange(m, device=keep.device)
            if self.config.ratio is not None:
                distinct1 = _distinct(similarity, score1, partner1, 1, self.config.ratio)
                keep &= distinct1.gather(1, partner)
        else:
            keep &= _closest(score.masked_fill(~keep, -torch.inf), partner, n)
        return to_matches(partner.masked_fill(~keep, -1), score)


def _squared(similarity: Tensor) -> Tensor:
    """Squared distances of unit descriptors."""
    return (2 - 2 * similarity).clamp(min=0)


def _distinct(similarity: Tensor, best: Tensor, place: Tensor, dim: int, ratio: float) -> Tensor:
    """Whether the best along a dimension, at a place, passes the ratio test against the second."""
    rest = similarity.scatter(dim, place.unsqueeze(dim), -torch.inf)
    return _squared(best) < ratio**2 * _squared(rest.amax(dim))


def _closest(score: Tensor, partner: Tensor, n: int) -> Tensor:
    """Whether each row has the highest score of those with its partner; of equal ones the first."""
    highest = score.new_full((len(score), n), -torch.inf)
    highest = highest.scatter_reduce(1, partner, score, "amax")
    return first_claims(partner, score == highest.gather(1, partner), n)


# -- what others have to know of it --------------------------------------------------------------

RATIO = 0.8
"""Lowe's ratio (IJCV 2004, §7.1)."""


def _build(**options: Any) -> NearestNeighbour:
    return NearestNeighbour(NearestConfig(**options))


def _operations(
    matcher: NearestNeighbour,
    features0: Features,
    features1: Features,
    adaptation: Adaptation | None,
) -> tuple[float, float]:
    width = features0.descriptors.shape[-1]
    total = operations.nearest_neighbour(len(features0), len(features1), width).total
    return total, total


SPEC = MatcherSpec(
    "nearest",
    build=_build,
    config=NearestConfig,
    operations=_operations,
    variants=(
        Variant(options=(("ratio", None),)),
        Variant(f"ratio {RATIO:g}", f"r{RATIO:g}", (("ratio", RATIO),)),
    ),
)
