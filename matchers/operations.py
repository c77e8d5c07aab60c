"""Floating-point operations of the matchers, counted from their architecture.

A multiplication and an addition count as two operations, and only products of matrices count
(linear layers, attention, similarities), as in `torch.utils.flop_counter`: normalisations,
activations, softmax and Sinkhorn's iterations are left out, and are small beside them. The counts
are of what the network needs for the points that take part; padding is no part of that.

Architectures: Lindenberger et al., LightGlue (2023), §3 and appendix; Sarlin et al., SuperGlue
(2020), §3 and appendix; attention has as many operations for one head as for several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from satgen.errors import InputError

if TYPE_CHECKING:
    from matchers.lightglue_config import LightGlueConfig
    from matchers.superglue import SuperGlueConfig


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of one pair.

    Attributes:
        before: what comes before the layers: projection of the descriptors, positions.
        layers: each layer that was run, with what decided about exit and pruning after it.
        after: the assignment.
    """

    before: int
    layers: tuple[int, ...]
    after: int

    @property
    def total(self) -> int:
        """Operations of everything together."""
        return self.before + sum(self.layers) + self.after


def linear(points: int, inputs: int, outputs: int) -> int:
    """Operations of a linear layer at so many points."""
    return 2 * points * inputs * outputs


def attention(queries: int, keys: int, width: int) -> int:
    """Operations of attention: similarities of queries with keys, and sums of values under their
    weights."""
    return 2 * linear(queries, width, keys)


def lightglue_layer(n0: int, n1: int, width: int) -> int:
    """Operations of one layer of LightGlue: self attention, then bidirectional cross attention.

    The similarity of the two images is computed once for both directions (§3.2).
    """
    both = n0 + n1
    self_attention = linear(both, width, 3 * width) + attention(n0, n0, width)
    self_attention += attention(n1, n1, width) + linear(both, width, width)
    cross = linear(both, width, 2 * width) + 3 * linear(n0, width, n1)
    cross += linear(both, width, width)
    return self_attention + cross + 2 * _feed_forward(both, width)


def lightglue(
    alive: Sequence[tuple[int, int]],
    config: LightGlueConfig,
    *,
    exit_tests: bool = True,
    pruning: bool = True,
) -> Operations:
    """Operations of LightGlue for one pair.

    Args:
        alive: points of either image in each layer that was run, first to last
            (`Adaptation.alive`); empty where there was nothing to match.
        config: of the network.
        exit_tests: whether the confidences are asked after each layer but the network's last.
        pruning: whether the matchabilities are, where it goes on.

    Raises:
        InputError: more layers than the network has.
    """
    width, num_layers = config.dim, config.num_layers
    if len(alive) > num_layers:
        raise InputError(f"{len(alive)} layers run: the network has {num_layers}")
    if not alive:
        return Operations(0, (), 0)
    points = sum(alive[0])
    before = linear(points, 4 if config.scale_orientation else 2, width // config.num_heads // 2)
    if config.projects:
        before += linear(points, config.input_dim, width)
    layers = []
    for number, (n0, n1) in enumerate(alive, start=1):
        count = lightglue_layer(n0, n1, width)
        if number < num_layers:
            tests = int(exit_tests) + int(pruning and number < len(alive))
            count += tests * linear(n0 + n1, width, 1)
        layers.append(count)
    n0, n1 = alive[-1]
    after = linear(n0 + n1, width, width) + linear(n0 + n1, width, 1) + linear(n0, width, n1)
    return Operations(before, tuple(layers), after)


def superglue(n0: int, n1: int, config: SuperGlueConfig) -> Operations:
    """Operations of SuperGlue for one pair; layers alternate between self and cross attention, self
    first.

    Args:
        n0, n1: points of either image; with none in one of them nothing is run.
        config: of the network.
    """
    if not n0 or not n1:
        return Operations(0, (), 0)
    both, width = n0 + n1, config.descriptor_dim
    encoder = (3, *config.keypoint_encoder, width)
    before = sum(linear(both, a, b) for a, b in pairwise(encoder))
    if config.projects:
        before += linear(both, config.descriptor_size, width)
    dense = linear(both, width, 4 * width) + _feed_forward(both, width)
    self_layer = dense + attention(n0, n0, width) + attention(n1, n1, width)
    cross_layer = dense + attention(n0, n1, width) + attention(n1, n0, width)
    layers = [cross_layer if number % 2 else self_layer for number in range(config.num_layers)]
    return Operations(before, tuple(layers), linear(both, width, width) + linear(n0, width, n1))


def nearest_neighbour(n0: int, n1: int, width: int) -> Operations:
    """Operations of nearest neighbours of descriptors of a given length: one product of all with
    all."""
    return Operations(0, (), linear(n0, width, n1))


def _feed_forward(points: int, width: int) -> int:
    """Operations of the feed-forward network: a point and its message side by side, through twice
    the width, back to the width."""
    return linear(points, 2 * width, 2 * width) + linear(points, 2 * width, width)
