"""Operation counts against PyTorch's counter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kornia.feature import LightGlue as KorniaLightGlue
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from matchers import operations as flops
from matchers.lightglue_config import LightGlueConfig
from matchers.superglue import SuperGlueConfig
from satgen.errors import InputError

LIGHTGLUE = LightGlueConfig()


def counted(function: Callable[[], object]) -> int:
    """What PyTorch counts. Its counter knows no attention kernel of the CPU but the plain one."""
    plain = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), plain, FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def test_a_linear_layer_and_attention_count_as_pytorch_counts_them() -> None:
    layer = nn.Linear(96, 40)
    assert flops.linear(17, 96, 40) == counted(lambda: layer(torch.zeros(17, 96)))
    q, k = torch.zeros(1, 4, 19, 64), torch.zeros(1, 4, 23, 64)
    expected = counted(lambda: nn.functional.scaled_dot_product_attention(q, k, k))
    assert flops.attention(19, 23, 256) == expected


@pytest.mark.parametrize(
    ("sizes", "widths", "full", "four", "pruned"),
    [
        ((37, 52), (128, 2), 2077459072, 933797504, 836226176),
        ((64, 48), (256, 2), 2628065280, 1177327616, 1078201856),
        ((20, 30), (128, 4), 1151116800, 517363200, 422427648),
    ],
)
def test_lightglue_counts_as_the_official_code(
    sizes: tuple[int, int], widths: tuple[int, int], full: int, four: int, pruned: int
) -> None:
    # Recorded with PyTorch's counter around the official code (flash off, random weights): full
    # depth without adaptation; exit forced after layer 4; the same, and 3 points of either image
    # pruned after each layer.
    n0, n1 = sizes
    config = LightGlueConfig(input_dim=widths[0], scale_orientation=widths[1] == 4)
    found = flops.lightglue([sizes] * 9, config, exit_tests=False, pruning=False)
    assert found.total == full
    assert flops.lightglue([sizes] * 4, config, pruning=False).total == four
    alive = [(n0 - 3 * i, n1 - 3 * i) for i in range(4)]
    assert flops.lightglue(alive, config).total == pruned


@pytest.mark.parametrize(("sizes", "total"), [((37, 52), 2204761792), ((64, 48), 2798605312)])
def test_superglue_counts_as_the_official_code(sizes: tuple[int, int], total: int) -> None:
    assert flops.superglue(*sizes, SuperGlueConfig()).total == total  # recorded likewise


def test_nearest_neighbours_are_one_product() -> None:
    a, b = torch.zeros(30, 128), torch.zeros(50, 128)
    assert flops.nearest_neighbour(30, 50, 128).total == counted(lambda: a @ b.T)


@pytest.mark.parametrize("dim", [64, 128])
def test_other_widths_and_depths_count_as_kornia_counts_them(dim: int) -> None:
    network = KorniaLightGlue(
        features=None, input_dim=128, descriptor_dim=dim, n_layers=5, flash=False,
        depth_confidence=-1, width_confidence=-1,
    ).eval()  # fmt: skip
    sides = {
        f"image{i}": {
            "keypoints": torch.rand(1, n, 2),
            "descriptors": torch.rand(1, n, 128),
            "image_size": torch.ones(1, 2),
        }
        for i, n in enumerate((30, 41))
    }
    config = LightGlueConfig(input_dim=128, dim=dim, num_layers=5)
    found = flops.lightglue([(30, 41)] * 5, config, exit_tests=False, pruning=False)
    assert found.total == counted(lambda: network(sides))


def test_nothing_to_match_costs_nothing() -> None:
    assert flops.lightglue([], LIGHTGLUE).total == 0
    assert flops.superglue(0, 50, SuperGlueConfig()).total == 0
    assert flops.nearest_neighbour(0, 50, 128).total == 0


def test_more_layers_than_there_are_are_refused() -> None:
    with pytest.raises(InputError, match="10 layers run: the network has 9"):
        flops.lightglue([(5, 5)] * 10, LIGHTGLUE)


SIZES = st.integers(1, 2048)


@given(SIZES, SIZES, st.integers(1, 9))
def test_laws(n0: int, n1: int, depth: int) -> None:
    alive = [(n0, n1)] * depth
    found = flops.lightglue(alive, LIGHTGLUE)
    assert found.total == flops.lightglue([(n1, n0)] * depth, LIGHTGLUE).total
    assert found.total == found.before + sum(found.layers) + found.after
    if depth < 9:
        assert found.total < flops.lightglue([*alive, (n0, n1)], LIGHTGLUE).total
    fewer = [*alive[:-1], (max(1, n0 // 2), n1)]
    assert flops.lightglue(fewer, LIGHTGLUE).total <= found.total
    one, other = (flops.superglue(*n, SuperGlueConfig()) for n in ((n0, n1), (n1, n0)))
    assert one.total == other.total
