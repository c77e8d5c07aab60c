"""matchers.lightglue_graphs: the matches of lightglue_adaptive, by functions over fixed tensors."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from matchers import lightglue_blocks as blocks
from matchers import lightglue_graphs as graphs
from matchers.lightglue import LightGlue
from matchers.lightglue_adaptive import AdaptiveSettings
from matchers.lightglue_step import padded_size
from matchers.registry import load_matcher
from matchers.types import Features, Matches, batch
from satgen.errors import InputError
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


def by_graphs(
    model: LightGlue,
    made: graphs.LightGlueGraphs,
    images0: Sequence[Features],
    images1: Sequence[Features],
) -> list[Matches]:
    sides = [model.collate([model.prepare(i) for i in side]) for side in (images0, images1)]
    config = model.config
    how = AdaptiveSettings(
        config.depth_confidence,
        config.width_confidence,
        config.filter_threshold,
        config.prune_min_keypoints,
    )
    with torch.no_grad():
        return made.match(model.arranged(), model._blocks, *sides, how)


@settings(max_examples=60)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=1, max_size=6),
        min_size=1,
        max_size=3,
    ),
    depth=st.sampled_from([None, 0.3, 0.5, 0.7]),
    width=st.sampled_from([None, 0.3, 0.5, 0.7]),
    minimum=st.sampled_from([0, 40]),
    seed=st.integers(0, 1000),
)
def test_batch_after_batch_is_what_it_is_without_graphs(
    batches: list[list[tuple[int, int]]],
    depth: float | None,
    width: float | None,
    minimum: int,
    seed: int,
) -> None:
    """Nothing of one batch is left to the next one, whose tensors are the same."""
    options = {"depth_confidence": depth, "width_confidence": width, "prune_min_keypoints": minimum}
    # in float32 random weights now and then have maxima that are equal but for rounding
    model = random_model(dataclasses.replace(SMALL, **options), seed).double()
    made = graphs.LightGlueGraphs()
    kept = []
    for number, counts in enumerate(batches):
        sides = [
            [
                random_features(pair[side], 1000 * seed + 100 * number + 10 * i + side)
                for i, pair in enumerate(counts)
            ]
            for side in (0, 1)
        ]
        if not all(max(len(image) for image in side) for side in sides):
            continue
        kept.append((sides, by_graphs(model, made, *sides)))
    for sides, found in kept:
        for a, b, one in zip(*sides, found, strict=True):
            assert_same(one, model(a, b))


def test_official_weights(official: LightGlue, recorded: dict[str, Any]) -> None:
    """Pairs that leave at different layers, and lose most of their keypoints before."""
    images = [frame(recorded, index, 200) for index in (2000, 2001, 2005, 2010)]
    first, second = images[:1] * 3, images[1:]
    made = graphs.LightGlueGraphs()
    found = by_graphs(official, made, first, second)
    for one, a, b in zip(found, first, second, strict=True):
        assert_same(one, official(a, b), 1e-4)
    (batch,) = made._batches.values()
    assert batch.size == (4, 256) and len(batch._stages) > 1


class Operations(TorchDispatchMode):
    """Counts the operations that a GPU would be given: all but views."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and "promote_types" not in str(func)
        return func(*args, **(kwargs or {}))


def test_to_decide_takes_fewer_operations_than_the_layers_that_it_saves() -> None:
    """On a GPU most of them take as long as it takes to launch them."""
    options = {"depth_confidence": 0.9, "width_confidence": 0.9, "num_layers": 5}
    model = random_model(dataclasses.replace(SMALL, **options), 0)
    made = graphs.LightGlueGraphs()
    by_graphs(model, made, *[[random_features(64, side)] for side in (0, 1)])
    (batch,) = made._batches.values()
    stage = batch._stages[batch.size]
    counts = []
    for graph in (stage.chain(2, False, False, True, True), stage.whole(False)):
        with torch.no_grad(), Operations() as operations:
            graph.run()
        counts.append(operations.count)
    after_two, all_five = counts
    assert 100 < after_two < all_five


@pytest.mark.parametrize("width", [None, 0.5])
def test_layers_that_nobody_asks_between(width: float | None) -> None:
    """As many as the batch before needed, for pairs that leave sooner, just then, or later."""
    options = {"depth_confidence": 0.6, "width_confidence": width}
    model = random_model(dataclasses.replace(SMALL, **options), 5).double()
    pairs = [
        (random_features(3 + n % 9, n), random_features(9 + n % 5, 100 + n)) for n in range(30)
    ]
    alone = [model(a, b) for a, b in pairs]
    stops = [matches.adaptation.stop_layer for matches in alone if matches.adaptation]
    assert len(set(stops)) > 2
    made = graphs.LightGlueGraphs()
    expected = []
    for size in (1, 1, 4):  # twice one by one: in order, and from the last to the first
        for start in range(0, len(pairs), size):
            some = slice(start, start + size)
            found = by_graphs(model, made, *map(list, zip(*pairs[some], strict=True)))
            for one, other in zip(found, alone[some], strict=True):
                assert_same(one, other)
            expected += [batch._expected for batch in made._batches.values()]
        pairs, alone = pairs[::-1], alone[::-1]
    assert len(set(expected)) > 2


@pytest.mark.parametrize("size", [1, 4])
def test_keypoints_that_are_lost_where_none_was_expected(size: int) -> None:
    """Layers are run without masks, and anew with them if a keypoint was dropped between."""
    options = {"depth_confidence": 0.6, "width_confidence": 0.7}
    model = random_model(dataclasses.replace(SMALL, **options), 3).double()
    pairs = [(random_features(64, n), random_features(64, 100 + n)) for n in range(12)]
    alone = [model(a, b) for a, b in pairs]
    made = graphs.LightGlueGraphs()
    direct = copy.deepcopy(model)
    direct.graphs = True
    expected = []
    for start in range(0, 2 * len(pairs), size):
        some = slice(start % len(pairs), start % len(pairs) + size)
        found = by_graphs(model, made, *map(list, zip(*pairs[some], strict=True)))
        found += [direct(a, b) for a, b in pairs[some]]
        for one, other in zip(found, 2 * alone[some], strict=True):
            assert_same(one, other)
        (batch,) = made._batches.values()
        expected.append(batch._prunes)
    assert set(expected) == {False, True}


def test_other_weights_and_other_limits() -> None:
    model = random_model(dataclasses.replace(SMALL, depth_confidence=0.5), 0)
    model.graphs = True
    a, b = random_features(60, 1), random_features(70, 2)
    eager = copy.deepcopy(model)
    eager.graphs = False
    for network in (model, eager):
        network(a, b)
        with torch.no_grad():
            network.transformers[1].self_attn.Wqkv.weight.mul_(1.5)
    assert_same(model(a, b), eager(a, b))
    for confidence in (0.1, 0.9, None):
        both = [network(a, b, depth_confidence=confidence) for network in (model, eager)]
        assert_same(*both)


@pytest.mark.parametrize("depth", [None, 0.5])
@pytest.mark.parametrize("width", [None, 0.5])
def test_pair_after_pair_with_its_preparation(depth: float | None, width: float | None) -> None:
    """In the graph that prepares both images, filled or not, of like sizes and unlike ones; in
    between prepared ones, and another weight of the position encoding."""
    options = {"depth_confidence": depth, "width_confidence": width}
    model = random_model(dataclasses.replace(SMALL, **options), 5).double()
    model.graphs = True
    eager = copy.deepcopy(model)
    eager.graphs = False
    counts = [(64, 64), (60, 64), (64, 64), (20, 100), (1, 5), (128, 70), (3, 64), (0, 64)]
    for turn in range(2):
        for n, pair in enumerate(counts):
            a, b = (random_features(count, 10 * n + side) for side, count in enumerate(pair))
            assert_same(model(a, b), eager(a, b))
            assert_same(model.match(model.prepare(a), model.prepare(b)), eager(a, b))
        if not turn:
            for network in (model, eager):
                with torch.no_grad():
                    network.posenc.Wr.weight.mul_(0.5)


def test_threads_take_turns() -> None:
    """The tensors are all calls', their results are not."""
    model = random_model(dataclasses.replace(SMALL, depth_confidence=0.5), 0)
    pairs = [(random_features(60 + n, n), random_features(70, 100 + n)) for n in range(8)]
    alone = [model(a, b) for a, b in pairs]
    model.graphs = True
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(
            pool.map(lambda pair: model(*pair), 5 * pairs), 5 * alone, strict=True
        ):
            assert_same(one, other)


@pytest.mark.parametrize("counts", [((64, 64), (64, 64)), ((70, 40), (33, 80))])
def test_both_sides_at_once(
    counts: tuple[tuple[int, int], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention of both sides in one call, and projections in one product, as on a GPU; with
    padding and without."""
    model = random_model(SMALL, 3)
    sides = [
        [random_features(pair[side], 10 * i + side) for i, pair in enumerate(counts)]
        for side in (0, 1)
    ]
    apart = by_graphs(model, graphs.LightGlueGraphs(), *sides)
    monkeypatch.setattr(blocks, "leaves_room", lambda x: True)
    model = copy.deepcopy(model)  # arranged anew
    together = by_graphs(model, graphs.LightGlueGraphs(), *sides)
    assert len(model.arranged()[0].self_block.project) == 1
    for one, other in zip(together, apart, strict=True):
        assert_same(one, other)
    for a, b, other in zip(*sides, apart, strict=True):  # each side by itself
        assert_same(model(a, b), other)


def test_gradients_of_projections_in_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a training on a GPU, by name, are those of one on the CPU."""
    model = random_model(SMALL, 3).double()
    a, b = (batch([random_features(n, s) for n in (40, 30)]) for s in (1, 2))

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        scores = model.layer_scores(a, b)
        (scores.similarity.square().mean() + scores.matchability0.square().mean()).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    apart = gradients()
    monkeypatch.setattr(blocks, "leaves_room", lambda x: True)
    together = gradients()
    assert apart.keys() == together.keys()
    for name, value in apart.items():
        torch.testing.assert_close(together[name], value, msg=name)


def test_an_image_without_a_size() -> None:
    """Which is noticed once all is done, so that a GPU is not waited for."""
    model = random_model(SMALL, 0)
    model.graphs = True
    good, bad = random_features(60, 1), random_features(70, 2)
    bad = dataclasses.replace(bad, image_size=torch.tensor([0.0, 480.0]))
    for refused in (lambda: model(good, bad), lambda: model.prepare(bad)):
        with pytest.raises(InputError, match=r"image_size .*\[0.0, 480.0\].*must be over 0"):
            refused()
    eager = copy.deepcopy(model)
    eager.graphs = False
    assert_same(model(good, good), eager(good, good))


def test_sizes_are_few_and_never_too_small() -> None:
    sizes = [padded_size(count) for count in range(5000)]
    assert all(size >= count for count, size in enumerate(sizes)) and sizes == sorted(sizes)
    assert sorted(set(sizes))[:8] == [64, 96, 128, 192, 256, 384, 512, 768]
    assert len(set(sizes)) == 14


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("adaptive", [False, True])
def test_on_a_gpu(recorded: dict[str, Any], dtype: torch.dtype, adaptive: bool) -> None:
    """Replayed graphs find what the layers find that are launched one by one, and, in float32,
    about what the CPU finds; one by one and in batches."""
    options = {} if adaptive else {"depth_confidence": None, "width_confidence": None}
    cpu: Any = load_matcher(
        "lightglue", features="aliked", weights="satgen", device="cpu", **options
    )
    model = copy.deepcopy(cpu).to("cuda", dtype)
    eager = copy.deepcopy(model)
    eager.graphs = False
    images = [frame(recorded, index, 200) for index in (2000, 2001, 2005, 2010)]
    there = [image.to("cuda") for image in images]
    tolerance = 1e-3 if dtype == torch.float32 else 3e-2
    for _ in range(2):
        for image in there[1:]:
            assert_alike(model(there[0], image), eager(there[0], image), tolerance)
    sides = [model.collate(model.prepare_all(side)) for side in (there[:1] * 3, there[1:])]
    for one, image in zip(model.match(*sides), there[1:], strict=True):
        assert_alike(one, eager(there[0], image), tolerance)
    if dtype == torch.float32:
        for image, moved in zip(images[1:], there[1:], strict=True):
            assert_alike(model(there[0], moved), cpu(images[0], image), tolerance)


def assert_alike(first: Matches, second: Matches, tolerance: float) -> None:
    """The same matches and layers, but for some at whose threshold rounding decides."""
    found, other = (
        dict(zip(map(tuple, m.indices.tolist()), m.scores.tolist(), strict=True))
        for m in (first, second)
    )
    both = sorted(found.keys() & other.keys())
    assert len(both) >= 0.97 * max(len(found), len(other))
    assert [found[pair] for pair in both] == pytest.approx(
        [other[pair] for pair in both], abs=tolerance
    )
    a, b = first.adaptation, second.adaptation
    assert a is not None and b is not None and a.stop_layer == b.stop_layer
    for one, two in ((a.layers0, b.layers0), (a.layers1, b.layers1)):
        assert float((one.cpu() == two.cpu()).double().mean()) >= 0.97
