"""Nearest neighbours against OpenCV's brute-force matcher."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from matchers.nearest import NearestConfig, NearestNeighbour
from matchers.types import Features, batch
from satgen.errors import InputError


def features(descriptors: torch.Tensor) -> Features:
    count = len(descriptors)
    size = torch.tensor([64.0, 48.0])
    return Features(torch.zeros(count, 2), torch.ones(count), descriptors, size)


def random(count: int, seed: int, dim: int = 8) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return features(functional.normalize(torch.randn(count, dim, generator=generator), dim=-1))


def related(count: int, seed: int, noise: float = 0.5) -> tuple[Features, Features]:
    """Two images with the same points in another order, disturbed, and some others."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(count, 32, generator=generator)
    second = first + noise * torch.randn(count, 32, generator=generator)
    second = torch.cat([second, torch.randn(7, 32, generator=generator)])
    second = second[torch.randperm(len(second), generator=generator)]
    return tuple(features(functional.normalize(d, dim=-1)) for d in (first, second))  # type: ignore


def opencv(a: Features, b: Features, **kinds: Any) -> list[tuple[int, int]]:
    """Pairs that OpenCV finds: crossCheck, or knn with a ratio, or a radius."""
    d0, d1 = a.descriptors.numpy(), b.descriptors.numpy()
    matcher = cv2.BFMatcher(cv2.NORM_L2, crossCheck=kinds.get("cross", False))
    if "ratio" in kinds:
        found = [
            pair[0]
            for pair in matcher.knnMatch(d0, d1, k=2)
            if pair[0].distance < kinds["ratio"] * pair[1].distance
        ]
    else:
        found = list(matcher.match(d0, d1))
    limit = kinds.get("max_distance", np.inf)
    return sorted((m.queryIdx, m.trainIdx) for m in found if m.distance <= limit)


def pairs(found: Any) -> list[tuple[int, int]]:
    return [tuple(row) for row in found.indices.tolist()]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [5, 300])
def test_mutual_is_opencvs_cross_check(seed: int, count: int) -> None:
    for a, b in (related(count, seed), (random(count, seed), random(count + 3, seed + 50))):
        found = NearestNeighbour()(a, b)
        assert pairs(found) == opencv(a, b, cross=True)
        cosines = (a.descriptors @ b.descriptors.T)[found.indices[:, 0], found.indices[:, 1]]
        torch.testing.assert_close(found.scores, cosines.clamp(min=0))


@pytest.mark.parametrize("ratio", [0.6, 0.8, 0.95])
def test_ratio_is_opencvs_knn(ratio: float) -> None:
    a, b = related(200, 1, noise=1.0)
    one_way = opencv(a, b, ratio=ratio)
    back = {(i, j) for j, i in opencv(b, a, ratio=ratio)}
    assert 0 < len(one_way) < 200
    both = NearestNeighbour(NearestConfig(ratio=ratio))(a, b)
    assert pairs(both) == [pair for pair in one_way if pair in back]
    single = NearestNeighbour(NearestConfig(mutual=False, ratio=ratio))(a, b)
    assert {j for _, j in pairs(single)} == {j for _, j in one_way}
    assert set(pairs(single)) <= set(one_way)


@pytest.mark.parametrize("limit", [0.0, 0.5, 0.9, 2.0])
def test_distance_is_opencvs(limit: float) -> None:
    a, b = related(200, 2)
    found = NearestNeighbour(NearestConfig(max_distance=limit))(a, b)
    assert pairs(found) == opencv(a, b, cross=True, max_distance=limit)


def test_without_mutual_the_closest_has_the_match() -> None:
    a, b = random(60, 0), random(9, 1)
    found = NearestNeighbour(NearestConfig(mutual=False))(a, b)
    nearest = opencv(a, b)
    distance = torch.cdist(a.descriptors.double(), b.descriptors.double())
    for i, j in pairs(found):
        rivals = [k for k, partner in nearest if partner == j]
        assert i in rivals and all(distance[i, j] <= distance[k, j] for k in rivals)
    assert {j for _, j in pairs(found)} == {j for _, j in nearest}


@settings(max_examples=30)
@given(
    counts=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=4),
    mutual=st.booleans(),
    ratio=st.sampled_from([None, 0.9]),
    limit=st.sampled_from([None, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_a_batch_is_a_loop(
    counts: list[tuple[int, int]],
    mutual: bool,
    ratio: float | None,
    limit: float | None,
    seed: int,
) -> None:
    matcher = NearestNeighbour(NearestConfig(mutual, ratio, limit))
    sides = [
        [random(pair[k], seed + 7 * i + k, 3) for i, pair in enumerate(counts)] for k in (0, 1)
    ]
    together = matcher(batch(sides[0], length=9), batch(sides[1]))
    prepared = [matcher.collate([matcher.prepare(image) for image in side]) for side in sides]
    collated = matcher.match(*prepared)
    for a, b, one, other in zip(*sides, together, collated, strict=True):
        alone = matcher(a, b)
        assert pairs(one) == pairs(other) == pairs(alone)
        torch.testing.assert_close(one.scores, alone.scores, rtol=0, atol=1e-6)
        assert len({i for i, _ in pairs(alone)}) == len({j for _, j in pairs(alone)}) == len(alone)
        if mutual:
            assert sorted((i, j) for j, i in pairs(matcher(b, a))) == pairs(alone)


def test_order_of_keypoints_does_not_matter() -> None:
    a, b = related(50, 3)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    matcher = NearestNeighbour(NearestConfig(ratio=0.9))
    mixed = matcher(a.select(order), b)
    assert sorted((int(order[i]), j) for i, j in pairs(mixed)) == pairs(matcher(a, b))


@pytest.mark.parametrize("counts", [(0, 0), (0, 3), (3, 0)])
def test_no_keypoints(counts: tuple[int, int]) -> None:
    for config in (NearestConfig(), NearestConfig(False, 0.8, 1.0)):
        matcher = NearestNeighbour(config)
        a, b = random(counts[0], 0), random(counts[1], 1)
        for found in (matcher(a, b), matcher(batch([a]), batch([b]))[0]):
            assert found.indices.shape == (0, 2) and found.indices.dtype == torch.int64
            assert found.scores.shape == (0,) and found.adaptation is None


def test_one_and_two_keypoints() -> None:
    a, b = random(1, 0), random(2, 1)
    nearest = int((b.descriptors @ a.descriptors[0]).argmax())
    assert pairs(NearestNeighbour()(a, b)) == [(0, nearest)]
    lone = NearestNeighbour(NearestConfig(ratio=0.1))
    assert pairs(lone(a, a)) == [(0, 0)]  # no second nearest to compare with
    twins = features(a.descriptors.repeat(2, 1))
    assert pairs(lone(a, twins)) == []  # two equally near
    assert pairs(NearestNeighbour()(twins, twins)) == [(0, 0)]


def test_identical_images() -> None:
    a = random(40, 0)
    found = NearestNeighbour(NearestConfig(ratio=0.8, max_distance=0.01))(a, a)
    assert pairs(found) == [(i, i) for i in range(40)]
    assert bool((found.scores > 0.9999).all() and (found.scores <= 1).all())


def test_length_of_descriptors_does_not_matter() -> None:
    a, b = related(30, 4)
    longer = features(a.descriptors * torch.linspace(0.1, 9, 30)[:, None])
    assert pairs(NearestNeighbour()(longer, b)) == pairs(NearestNeighbour()(a, b))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0.0}, "ratio 0.0"),
        ({"ratio": 1.2}, "ratio 1.2"),
        ({"max_distance": -0.1}, "max_distance -0.1"),
        ({"max_distance": 3}, "max_distance 3"),
    ],
)
def test_bad_configuration(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        NearestConfig(**options)


def test_bad_features() -> None:
    matcher = NearestNeighbour()
    with pytest.raises(InputError, match="8 and 5 numbers"):
        matcher(random(3, 0), random(3, 0, dim=5))
    with pytest.raises(InputError, match="2 and 1 images"):
        matcher(batch([random(3, 0)] * 2), batch([random(3, 1)]))
    with pytest.raises(InputError, match="a batch against one image"):
        matcher(batch([random(3, 0)]), random(3, 1))
    with pytest.raises(InputError, match="collate"):
        matcher.collate([])
