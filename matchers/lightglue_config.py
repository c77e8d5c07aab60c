"""What LightGlue is made of, and how it adapts: numbers alone, for which no library is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from satgen.errors import InputError
from satgen.settings import setting

DEPTH_CONFIDENCE = 0.95
"""The paper's α: the share of sure keypoints at which a pair leaves (§3.3)."""

WIDTH_CONFIDENCE = 0.99
"""The paper's: keypoints at least this sure to be unmatchable are pruned (§3.3)."""


@dataclass(frozen=True)
class LightGlueConfig:
    """What LightGlue is made of, and how it adapts.

    Attributes:
        input_dim: numbers in a descriptor; unless it is `dim`, they are projected to it.
        project: they are projected even then.
        dim: numbers in a token.
        num_layers: layers, each of a self and a cross block.
        num_heads: heads of the attention.
        scale_orientation: positions have the keypoint's scale and orientation besides.
        depth_confidence: α of §3.3: a pair leaves after a layer in which more than this share of
            its keypoints are sure. None or -1: it never does.
        width_confidence: after a layer, keypoints are dropped that are sure, and matchable with
            a probability of at most 1 minus this. Without early exit nothing says which are sure,
            and all that are so hardly matchable are dropped (as in the official code). None or
            -1: none is.
        filter_threshold: probability that a match must exceed.
        prune_min_keypoints: an image of at most so many keypoints is not pruned. (The official
            code prunes on CUDA only over 1024 or 1536, where it gains time.)

    Raises:
        InputError: a value out of range.
    """

    input_dim: int = 256
    dim: int = 256
    num_layers: int = 9
    num_heads: int = 4
    scale_orientation: bool = False
    depth_confidence: float | None = setting(
        DEPTH_CONFIDENCE,
        "LightGlue: share of sure keypoints at which it stops",
        above=0,
        high=1,
    )
    width_confidence: float | None = setting(
        WIDTH_CONFIDENCE,
        "LightGlue: how sure it must be to prune a keypoint",
        above=0,
        high=1,
    )
    filter_threshold: float = 0.1
    prune_min_keypoints: int = 0
    project: bool = False

    def __post_init__(self) -> None:
        for name in ("input_dim", "dim", "num_layers", "num_heads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: must be 1 or more")
        if self.dim % (2 * self.num_heads):
            raise InputError(
                f"dim {self.dim} with num_heads {self.num_heads}: must be a multiple of twice that"
            )
        for name in ("depth_confidence", "width_confidence"):
            confidence_of(name, getattr(self, name))
        if not 0 <= self.filter_threshold < 1:
            raise InputError(f"filter_threshold {self.filter_threshold}: must be 0 to under 1")
        if self.prune_min_keypoints < 0:
            raise InputError(f"prune_min_keypoints {self.prune_min_keypoints}: must be 0 or more")

    @property
    def projects(self) -> bool:
        """Whether there is a projection of the descriptors."""
        return self.project or self.input_dim != self.dim


def confidence_of(name: str, value: float | None) -> float | None:
    """A confidence, None where it is off.

    Raises:
        InputError: a value that is none.
    """
    if value is None or value == -1:
        return None
    if not 0 < value <= 1:
        raise InputError(f"{name} {value}: must be over 0 and at most 1, or None to turn it off")
    return value
