"""matchers.lightglue_lazy: the matches of lightglue_adaptive, with nothing waited for."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from matchers import lightglue_lazy as lazy
from matchers.lightglue import LightGlue
from matchers.lightglue_adaptive import AdaptiveSettings
from matchers.types import Features, Matches
from tests.test_matchers_lightglue import (
    SMALL,
    assert_same,
    frame,
    official,
    official_state,
    random_features,
    random_model,
    recorded,
)

__all__ = ["official", "official_state", "recorded"]  # fixtures

torch.set_num_threads(1)


def without_waiting(
    model: LightGlue, images0: Sequence[Features], images1: Sequence[Features], **options: Any
) -> list[Matches]:
    sides = [model.collate([model.prepare(i) for i in side]) for side in (images0, images1)]
    config = model.config
    how = AdaptiveSettings(
        config.depth_confidence,
        config.width_confidence,
        config.filter_threshold,
        config.prune_min_keypoints,
    )
    step = options.pop("step", lazy.layer_step)
    with torch.no_grad():
        return lazy.match_without_waiting(model.arranged(), step, *sides, how, **options)


@settings(max_examples=60)
@given(
    counts=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=1, max_size=6),
    depth=st.sampled_from([None, 0.3, 0.5, 0.7]),
    width=st.sampled_from([None, 0.3, 0.5, 0.7]),
    minimum=st.sampled_from([0, 40]),
    pad=st.booleans(),
    gather_from=st.sampled_from([0, 10_000]),
    seed=st.integers(0, 1000),
)
def test_any_batch_is_what_it_is_with_waiting(
    counts: list[tuple[int, int]],
    depth: float | None,
    width: float | None,
    minimum: int,
    pad: bool,
    gather_from: int,
    seed: int,
) -> None:
    options = {"depth_confidence": depth, "width_confidence": width, "prune_min_keypoints": minimum}
    model = random_model(dataclasses.replace(SMALL, **options), seed)
    sides = [
        [random_features(pair[side], 100 * seed + 10 * i + side) for i, pair in enumerate(counts)]
        for side in (0, 1)
    ]
    found = without_waiting(model, *sides, pad=pad, gather_from=gather_from)
    for a, b, one in zip(*sides, found, strict=True):
        assert_same(one, model(a, b))


@pytest.mark.parametrize("gather_from", [0, 1024])
def test_official_weights(official: LightGlue, recorded: dict[str, Any], gather_from: int) -> None:
    """Pairs that leave at different layers, and lose most of their keypoints before."""
    images = [frame(recorded, index, 200) for index in (2000, 2001, 2005, 2010)]
    first, second = images[:1] * 3, images[1:]
    sizes: list[int] = []

    def watched(x: Tensor, *rest: Any) -> lazy.LayerStep:
        sizes.append(len(x))
        return lazy.layer_step(x, *rest)

    found = without_waiting(
        official, first, second, step=watched, pad=True, gather_from=gather_from
    )
    alone = [official(a, b) for a, b in zip(first, second, strict=True)]
    stops = [matches.adaptation.stop_layer for matches in alone]
    for one, other in zip(found, alone, strict=True):
        assert_same(one, other, 1e-4)
    assert min(stops) < max(stops) or min(stops) < 9
    # a layer is launched before the last pair's answer is read, and none after that
    assert len(sizes) == min(max(stops) + 1, 9)
    assert sizes[0] == 3 * 2 * lazy.padded_size(200)
    assert sizes == sorted(sizes, reverse=True) and (gather_from or sizes[-1] < sizes[0])


def test_sizes_are_few_and_never_too_small() -> None:
    sizes = [lazy.padded_size(count) for count in range(5000)]
    assert all(size >= count for count, size in enumerate(sizes)) and sizes == sorted(sizes)
    assert sorted(set(sizes))[:8] == [64, 96, 128, 192, 256, 384, 512, 768]
    assert len(set(sizes)) == 14


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_by_shape(backend: str) -> None:
    """Whole layers as `torch.compile` traces them, run without its code generator."""
    model = random_model(dataclasses.replace(SMALL, depth_confidence=0.5, width_confidence=0.5))
    pairs = [
        (random_features(m, 0), random_features(n, 1)) for m, n in ((70, 90), (80, 95), (9, 12))
    ]
    plain = [model(a, b) for a, b in pairs]
    model.compile(backend=backend, fullgraph=True)
    model.waits = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for (a, b), expected in zip(pairs, plain, strict=True):
            assert_same(model(a, b), expected)
        shapes = model._step.shapes  # type: ignore[attr-defined]
        model(*pairs[1])
    assert model._step.shapes == shapes > 2  # type: ignore[attr-defined]
