"""Where trainings begin: at what SciPy's softmax, and mutual nearest neighbours, say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_expit, log_softmax

from matchers.nearest import NearestNeighbour
from matchers.training.config import TrainConfig
from matchers.training.initial import TEMPERATURE
from matchers.training.lightglue import MATCHABILITY
from matchers.training.objectives import build
from matchers.types import Features, batch

torch.set_num_threads(1)


def features(count: int, seed: int, like: torch.Tensor | None = None) -> Features:
    """Keypoints with unit descriptors of 128 numbers, the first ones alike to those given."""
    made = torch.Generator().manual_seed(seed)
    descriptors = torch.randn(count, 128, generator=made)
    if like is not None:
        descriptors[: len(like)] = like + 0.03 * descriptors[: len(like)]
    return Features(
        500.0 * torch.rand(count, 2, generator=made),
        torch.rand(count, generator=made),
        torch.nn.functional.normalize(descriptors, dim=1),
        torch.tensor([512.0, 512.0]),
        scales=1.0 + torch.rand(count, generator=made),
        orientations=torch.rand(count, generator=made),
    )


def pair() -> tuple[Features, Features]:
    first = features(40, 0)
    return first, features(50, 1, first.descriptors[:30])


@pytest.mark.parametrize("dim", [128, 160])
def test_lightglue_begins_with_a_softmax_of_the_descriptors(dim: int) -> None:
    first, second = pair()
    model = build(TrainConfig(dim=dim, layers=3)).eval()
    with torch.no_grad():
        outputs = model.layer_outputs(batch([first]), batch([second]))
    cosines = (first.descriptors @ second.descriptors.T).double().numpy() * TEMPERATURE
    expected = log_softmax(cosines, 0) + log_softmax(cosines, 1) + 2 * log_expit(MATCHABILITY)
    for output in outputs:
        np.testing.assert_allclose(output.log_assignment[0, :-1, :-1], expected, atol=2e-3)


@pytest.mark.parametrize("matcher", ["lightglue", "superglue"])
def test_a_network_begins_at_mutual_nearest_neighbours(matcher: str) -> None:
    first, second = pair()
    model = build(TrainConfig(matcher=matcher, layers=2)).eval()
    nearest = {tuple(row) for row in NearestNeighbour()(first, second).indices.tolist()}
    found = {tuple(row) for row in model(first, second).indices.tolist()}
    assert {(i, i) for i in range(30)} <= found & nearest


@pytest.mark.parametrize("matcher", ["lightglue", "superglue"])
def test_what_begins_at_zero_can_be_learned(matcher: str) -> None:
    config = TrainConfig(matcher=matcher, layers=2, sinkhorn_iterations=5)
    model = build(config).train()
    again = build(replace(config, seed=1))
    assert not all(map(torch.equal, model.parameters(), again.parameters()))
    sides = [batch([side, side]) for side in pair()]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):  # behind a layer of zeros, gradients come with the second step
        optimiser.zero_grad()
        if matcher == "lightglue":
            loss = sum(out.log_assignment[:, 0, 0].sum() for out in model.layer_outputs(*sides))
        else:
            loss = model.log_assignment(*sides)[:, 0, 0].sum()
        loss.backward()
        optimiser.step()
    still = [
        name
        for name, value in model.named_parameters()
        if (value.grad is None or not value.grad.any()) and "token_confidence" not in name
    ]
    # a key's bias moves all scores of a query alike, which a softmax does not feel
    assert [name for name in still if not name.endswith("attn.proj.1.bias")] == []
