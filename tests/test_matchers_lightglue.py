"""LightGlue against kornia, the official code's recorded answers, and laws that it must obey."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.feature import LightGlue as KorniaLightGlue
from torch import Tensor
from torch.nn import functional

from matchers import weights
from matchers.assignment import log_double_softmax, mutual_matches
from matchers.lightglue import LightGlue
from matchers.lightglue_blocks import first_layers
from matchers.lightglue_config import LightGlueConfig
from matchers.types import Features, Matches, batch
from satgen.errors import InputError, RunError

PAIRS = Path(__file__).parent / "data" / "aliked_pairs.npz"
"""Keypoints and descriptors of kornia's ALIKED (official n16 weights, best 256) on frames 2000,
2001, 2005 and 2010 of `satgen render --target aura`, and what the official LightGlue
(github.com/cvg/LightGlue, on the CPU in float64, which spares its own rounding of some 1e-4,
flash=False, official ALIKED weights) made of pairs with frame 2000:
`MODE_FRAME_{matches,match_scores,stop,layers0,layers1}`, modes adaptive (0.95, 0.99) and full
(-1, -1)."""

GAPS = (2001, 2005, 2010)
FRAME = (512.0, 512.0)
OFF: dict[str, Any] = {"depth_confidence": None, "width_confidence": None}
SMALL = LightGlueConfig(input_dim=16, dim=32, num_layers=4, num_heads=2, filter_threshold=0.0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(PAIRS) as file:
        return dict(file)


@pytest.fixture(scope="module")
def official_state() -> dict[str, Tensor]:
    try:
        return weights.load(weights.official("aliked_lightglue.pth"))
    except (InputError, RunError) as error:
        pytest.skip(f"no official weights: {error}")


@pytest.fixture(scope="module")
def official(official_state: dict[str, Tensor]) -> LightGlue:
    return LightGlue.from_checkpoint(official_state)


def frame(recorded: dict[str, np.ndarray], index: int, count: int | None = None) -> Features:
    """The best keypoints of a recorded frame."""

    def part(name: str) -> Tensor:
        return torch.from_numpy(recorded[f"{name}_{index}"][:count]).float()

    return Features(part("keypoints"), part("scores"), part("descriptors"), torch.tensor(FRAME))


def random_features(count: int, seed: int, *, dim: int = 16, scaled: bool = False) -> Features:
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([100.0, 80.0])
    descriptors = torch.randn(count, dim, generator=generator)
    return Features(
        torch.rand(count, 2, generator=generator) * size,
        torch.rand(count, generator=generator),
        functional.normalize(descriptors, dim=-1),
        size,
        torch.rand(count, generator=generator) * 5 if scaled else None,
        torch.rand(count, generator=generator) * 6 if scaled else None,
    )


def random_model(config: LightGlueConfig = SMALL, seed: int = 0) -> LightGlue:
    """A network whose classifiers disagree, so that some keypoints are sure and some not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LightGlue(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for classifier in model.token_confidence:
            linear = classifier.token[0]
            linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator) * 0.7)
            linear.bias.fill_(1.5)
        for assignment in model.log_assignment:
            assignment.matchability.weight.mul_(4)
            assignment.final_proj.weight.mul_(6)
    return model


def kornia_of(model: LightGlue, state: dict[str, Tensor] | None = None) -> Any:
    """Kornia's network with the same weights; its thresholds follow from the number of layers."""
    config = model.config
    peer = KorniaLightGlue(
        features=None,
        input_dim=config.input_dim,
        descriptor_dim=config.dim,
        n_layers=config.num_layers,
        num_heads=config.num_heads,
        add_scale_ori=config.scale_orientation,
        depth_confidence=-1 if config.depth_confidence is None else config.depth_confidence,
        width_confidence=-1 if config.width_confidence is None else config.width_confidence,
        filter_threshold=config.filter_threshold,
    )
    result = peer.load_state_dict(state or model.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert set(result.missing_keys) <= {"confidence_thresholds"}
    return peer.eval()


def kornia_run(peer: Any, features0: Features, features1: Features) -> dict[str, Any]:
    def image(features: Features) -> dict[str, Tensor]:
        names = {"keypoints": "keypoints", "descriptors": "descriptors"}
        names |= {"image_size": "image_size", "scales": "scales", "oris": "orientations"}
        values = {key: getattr(features, name) for key, name in names.items()}
        return {key: value[None].to(dtype) for key, value in values.items() if value is not None}

    dtype, usual = next(peer.parameters()).dtype, torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # some of its tensors have the default type
    try:
        answer: dict[str, Any] = peer({"image0": image(features0), "image1": image(features1)})
    finally:
        torch.set_default_dtype(usual)
    return answer


def assert_like_kornia(peer: Any, a: Features, b: Features, found: Matches) -> None:
    with torch.no_grad():
        expected = kornia_run(peer, a, b)
    assert found.adaptation is not None
    assert found.adaptation.stop_layer == expected["stop"]
    torch.testing.assert_close(found.indices, expected["matches"][0])
    scores = expected["scores"][0].to(found.scores.dtype)
    torch.testing.assert_close(found.scores, scores, rtol=0, atol=1e-4)
    if peer.conf.width_confidence > 0:
        for side in "01":
            layers = getattr(found.adaptation, f"layers{side}")
            assert layers.tolist() == expected[f"prune{side}"][0].tolist()


def assert_same(first: Matches, second: Matches, tolerance: float = 1e-5) -> None:
    """The same matches and the same adaptation."""
    assert first.indices.tolist() == second.indices.tolist()
    torch.testing.assert_close(first.scores, second.scores, rtol=0, atol=tolerance)
    a, b = first.adaptation, second.adaptation
    assert a is not None and b is not None
    assert (a.stop_layer, a.num_layers) == (b.stop_layer, b.num_layers)
    assert a.layers0.tolist() == b.layers0.tolist()
    assert a.layers1.tolist() == b.layers1.tolist()
    for name in ("confidence0", "confidence1"):
        torch.testing.assert_close(
            getattr(a, name), getattr(b, name), rtol=0, atol=tolerance, equal_nan=True
        )


def configured(model: LightGlue, **options: Any) -> LightGlue:
    """The same weights under another configuration."""
    other = LightGlue(dataclasses.replace(model.config, **options)).eval()
    other.load_weights(model.state_dict())
    return other


# -- parity ------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0.95, None])
@pytest.mark.parametrize("width", [0.99, None])
def test_official_weights_as_kornia(
    official: LightGlue, recorded: dict[str, np.ndarray], depth: float | None, width: float | None
) -> None:
    model = configured(official, depth_confidence=depth, width_confidence=width)
    peer = kornia_of(model).double()  # in float32 it is off by some 1e-4 itself
    for index in GAPS:
        a, b = frame(recorded, 2000, 110), frame(recorded, index, 100)
        assert_like_kornia(peer, a, b, model(a, b))


@pytest.mark.parametrize("index", GAPS)
@pytest.mark.parametrize("mode", ["adaptive", "full"])
def test_official_weights_as_the_official_code(
    official: LightGlue, recorded: dict[str, np.ndarray], mode: str, index: int
) -> None:
    options = OFF if mode == "full" else {}
    found = official(frame(recorded, 2000), frame(recorded, index), **options)
    assert found.indices.tolist() == recorded[f"{mode}_{index}_matches"].tolist()
    np.testing.assert_allclose(
        found.scores.numpy(), recorded[f"{mode}_{index}_match_scores"], rtol=0, atol=1e-4
    )
    assert found.adaptation.stop_layer == recorded[f"{mode}_{index}_stop"]
    if mode == "adaptive":
        for side in "01":
            layers = getattr(found.adaptation, f"layers{side}")
            assert layers.tolist() == recorded[f"{mode}_{index}_layers{side}"].tolist()


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("depth", "width"), [(0.6, 0.8), (None, None), (0.75, None), (1.0, 0.8)])
def test_random_weights_as_kornia(scaled: bool, depth: float | None, width: float | None) -> None:
    options = {"depth_confidence": depth, "width_confidence": width, "scale_orientation": scaled}
    model = random_model(dataclasses.replace(SMALL, **options))
    peer, stops, pruned = kornia_of(model), set(), 0
    for seed in range(4):
        a = random_features(40 + seed, seed, scaled=scaled)
        b = random_features(50, seed + 10, scaled=scaled)
        found = model(a, b)
        assert len(found) > 0
        assert_like_kornia(peer, a, b, found)
        stops.add(found.adaptation.stop_layer)
        pruned += int((found.adaptation.layers0 < found.adaptation.stop_layer).sum())
    assert (min(stops) < 4) == (depth in (0.6, 0.75))
    assert (pruned > 0) == (depth == 1.0)


def test_gradients_as_kornia() -> None:
    config = LightGlueConfig(input_dim=16, dim=32, num_layers=3, num_heads=2, **OFF)
    model, a, b = random_model(config).double(), random_features(9, 0), random_features(11, 1)
    a, b = (f._map(Tensor.double) for f in (a, b))
    peer = kornia_of(model, model.state_dict()).double()
    peer.load_state_dict(model.state_dict(), strict=False)
    weight = torch.rand(10, 12, dtype=torch.float64)
    weight[-1, -1] = 0
    outputs = model.train().layer_outputs(batch([a]), batch([b]))
    torch.testing.assert_close(
        outputs[-1].log_assignment, kornia_run(peer, a, b)["log_assignment"], rtol=0, atol=1e-9
    )
    (outputs[-1].log_assignment * weight).sum().backward()
    (kornia_run(peer, a, b)["log_assignment"] * weight).sum().backward()
    compared = 0
    theirs = dict(peer.named_parameters())
    for name, parameter in model.named_parameters():
        if theirs[name].grad is not None:
            torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-7, atol=1e-10)
            compared += 1
    assert compared > 60


# -- the exit ----------------------------------------------------------------------------------


def leaving_after(model: LightGlue, layer: int) -> LightGlue:
    """The network made sure after a layer, and not before."""
    sure = configured(model, depth_confidence=0.95, width_confidence=None)
    with torch.no_grad():
        for i, classifier in enumerate(sure.token_confidence, start=1):
            classifier.token[0].weight.zero_()
            classifier.token[0].bias.fill_(20.0 if i >= layer else -20.0)
    return sure


def truncated(model: LightGlue, layers: int) -> LightGlue:
    """The network of the first layers alone."""
    config = dataclasses.replace(model.config, num_layers=layers, **OFF)
    short = LightGlue(config).eval()
    own = short.state_dict()
    short.load_weights({key: value for key, value in model.state_dict().items() if key in own})
    return short


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
def test_leaving_is_a_shorter_network(layer: int) -> None:
    model = random_model()
    a, b = random_features(30, 1), random_features(25, 2)
    found = leaving_after(model, layer)(a, b)
    expected = truncated(model, layer)(a, b)
    assert found.adaptation.stop_layer == layer
    assert len(found) > 3
    assert found.indices.tolist() == expected.indices.tolist()
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-6)
    assert_like_kornia(kornia_of(truncated(model, layer)), a, b, expected)


@pytest.mark.parametrize("index", GAPS)
def test_leaving_is_a_shorter_network_with_official_weights(
    official: LightGlue, recorded: dict[str, np.ndarray], index: int
) -> None:
    a, b = frame(recorded, 2000), frame(recorded, index)
    found = official(a, b, width_confidence=None)
    stop = found.adaptation.stop_layer
    assert 1 < stop < 9
    expected = truncated(official, stop)(a, b)
    assert found.indices.tolist() == expected.indices.tolist()
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-6)


def test_alpha_of_one_never_leaves() -> None:
    model = leaving_after(random_model(), 1)
    a, b = random_features(12, 0), random_features(12, 1)
    assert model(a, b, depth_confidence=1.0).adaptation.stop_layer == 4
    assert model(a, b, depth_confidence=None).adaptation.stop_layer == 4
    assert model(a, b).adaptation.stop_layer == 1


# -- batches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (3, 2, 4, 0, 1), (4, 3, 1, 0, 2)])
def test_a_batch_is_a_loop(
    official: LightGlue, recorded: dict[str, np.ndarray], order: tuple[int, ...]
) -> None:
    """Pairs that leave after different layers, in an order that is not its own inverse."""
    first = frame(recorded, 2000)
    pairs = [
        (frame(recorded, 2000, 200), frame(recorded, 2001, 180)),
        (first, frame(recorded, 2010)),
        (frame(recorded, 2005, 0), first),
        (frame(recorded, 2010, 90), frame(recorded, 2000, 120)),
        (first, frame(recorded, 2005, 130)),
    ]
    pairs = [pairs[i] for i in order]
    found = official(batch([a for a, _ in pairs]), batch([b for _, b in pairs]))
    alone = [official(a, b) for a, b in pairs]
    assert len({m.adaptation.stop_layer for m in alone}) >= 3
    assert sum(len(m) for m in alone) > 300
    for one, other in zip(found, alone, strict=True):
        assert_same(one, other, 1e-4)


@settings(max_examples=25)
@given(
    counts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=5),
    depth=st.sampled_from([None, 0.3, 0.5, 0.7]),
    width=st.sampled_from([None, 0.3, 0.5, 0.7]),
    minimum=st.sampled_from([0, 5]),
    seed=st.integers(0, 1000),
)
def test_any_batch_is_a_loop(
    counts: list[tuple[int, int]], depth: float | None, width: float | None, minimum: int, seed: int
) -> None:
    options = {"depth_confidence": depth, "width_confidence": width, "prune_min_keypoints": minimum}
    model = random_model(dataclasses.replace(SMALL, **options))
    sides = [
        [random_features(pair[side], 100 * seed + 10 * i + side) for i, pair in enumerate(counts)]
        for side in (0, 1)
    ]
    found = model(batch(sides[0]), batch(sides[1]))
    prepared = [model.collate([model.prepare(image) for image in side]) for side in sides]
    collated = model.match(*prepared)
    for a, b, one, other in zip(*sides, found, collated, strict=True):
        alone = model(a, b)
        assert_same(one, alone)
        assert_same(other, alone)
        adaptation = alone.adaptation
        assert bool((adaptation.layers0[alone.indices[:, 0]] == adaptation.stop_layer).all())
        assert bool((adaptation.layers1[alone.indices[:, 1]] == adaptation.stop_layer).all())
        assert alone.indices[:, 0].tolist() == sorted(set(alone.indices[:, 0].tolist()))
        assert len(set(alone.indices[:, 1].tolist())) == len(alone)


def test_padding_may_be_anywhere_and_hold_anything() -> None:
    model = random_model(dataclasses.replace(SMALL, depth_confidence=0.5, width_confidence=0.5))
    a, b = random_features(9, 0), random_features(7, 1)
    rows = torch.tensor([1, 2, 4, 5, 7, 8, 9, 11, 12])
    padded = random_features(14, 5)
    for name in ("keypoints", "scores", "descriptors"):
        getattr(padded, name)[rows] = getattr(a, name)
    mask = torch.zeros(1, 14, dtype=torch.bool)
    mask[0, rows] = True
    other = dataclasses.replace(padded._map(lambda t: t[None]), mask=mask)
    (found,), alone = model(other, batch([b])), model(a, b)
    assert len(alone)
    assert found.indices[:, 0].tolist() == rows[alone.indices[:, 0]].tolist()
    assert found.indices[:, 1].tolist() == alone.indices[:, 1].tolist()
    assert found.adaptation.layers0[rows[: len(a)]].tolist() == alone.adaptation.layers0.tolist()


# -- laws --------------------------------------------------------------------------------------


def test_order_of_keypoints_does_not_matter(
    official: LightGlue, recorded: dict[str, np.ndarray]
) -> None:
    a, b = frame(recorded, 2000), frame(recorded, 2010)
    generator = torch.Generator().manual_seed(0)
    order0, order1 = (torch.randperm(len(f), generator=generator) for f in (a, b))
    straight, mixed = official(a, b), official(a.select(order0), b.select(order1))
    back = torch.stack([order0[mixed.indices[:, 0]], order1[mixed.indices[:, 1]]], 1)
    places = back[:, 0].argsort()
    assert back[places].tolist() == straight.indices.tolist()
    torch.testing.assert_close(mixed.scores[places], straight.scores, rtol=0, atol=1e-4)
    adaptation = mixed.adaptation
    assert adaptation.stop_layer == straight.adaptation.stop_layer
    assert adaptation.layers0.tolist() == straight.adaptation.layers0[order0].tolist()
    assert adaptation.layers1.tolist() == straight.adaptation.layers1[order1].tolist()
    assert adaptation.alive[-1] < adaptation.alive[0]


def test_images_can_be_swapped(official: LightGlue, recorded: dict[str, np.ndarray]) -> None:
    a, b = frame(recorded, 2000, 230), frame(recorded, 2010)
    straight, swapped = official(a, b), official(b, a)
    places = swapped.indices[:, 1].argsort()
    assert swapped.indices[places].flip(1).tolist() == straight.indices.tolist()
    torch.testing.assert_close(swapped.scores[places], straight.scores, rtol=0, atol=1e-4)
    first, second = straight.adaptation, swapped.adaptation
    assert first.stop_layer == second.stop_layer
    assert first.layers0.tolist() == second.layers1.tolist()
    assert [pair[::-1] for pair in second.alive] == first.alive


def test_image_matches_itself(official: LightGlue, recorded: dict[str, np.ndarray]) -> None:
    a = frame(recorded, 2000)
    found = official(a, a)
    same = found.indices[:, 0] == found.indices[:, 1]
    assert len(found) > 0.95 * len(a)
    assert bool(same.all())


def test_prepared_images_can_be_kept(official: LightGlue, recorded: dict[str, np.ndarray]) -> None:
    a, b = frame(recorded, 2000, 100), frame(recorded, 2001, 90)
    prepared0, prepared1 = official.prepare(a), official.prepare(b)
    kept = [tensor.clone() for tensor in (prepared0.tokens, prepared1.tokens)]
    for _ in range(2):
        assert_same(official.match(prepared0, prepared1), official(a, b), 0.0)
    assert torch.equal(kept[0], prepared0.tokens) and torch.equal(kept[1], prepared1.tokens)


def test_confidences_are_those_of_the_layers(
    official: LightGlue, recorded: dict[str, np.ndarray]
) -> None:
    a, b = frame(recorded, 2000, 150), frame(recorded, 2010, 140)
    found = official(a, b, width_confidence=None).adaptation
    with torch.no_grad():
        outputs = official.layer_outputs(batch([a]), batch([b]))
    for layer in range(found.stop_layer):
        for side, count in ((0, 150), (1, 140)):
            logits = getattr(outputs[layer], f"confidence{side}")
            said = getattr(found, f"confidence{side}")[layer]
            assert said.shape == (count,)
            torch.testing.assert_close(said, logits[0].sigmoid(), rtol=0, atol=1e-5)


def test_confidence_is_nan_where_it_was_not_asked() -> None:
    model = random_model(dataclasses.replace(SMALL, depth_confidence=1.0, width_confidence=0.9))
    a, b = random_features(20, 0), random_features(20, 1)
    found = model(a, b).adaptation
    assert found.confidence0.shape == (4, 20)
    layers = torch.arange(1, 5)[:, None]
    asked = (layers <= found.layers0) & (layers < 4)
    assert torch.equal(~found.confidence0.isnan(), asked)
    assert found.alive[-1] < found.alive[0]
    off = model(a, b, **OFF).adaptation
    assert bool(off.confidence0.isnan().all()) and off.alive == [(20, 20)] * 4


def test_few_keypoints_are_not_pruned() -> None:
    model = random_model(dataclasses.replace(SMALL, depth_confidence=1.0, width_confidence=0.5))
    a, b = random_features(20, 0), random_features(24, 1)
    spared = configured(model, prune_min_keypoints=20)(a, b)
    assert {n for n, _ in spared.adaptation.alive} == {20}
    assert spared.adaptation.alive[-1][1] < 24
    assert_same(configured(model, prune_min_keypoints=24)(a, b), model(a, b, width_confidence=None))


# -- edges -------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 2), (2, 1), (2, 2), (1, 9)])
@pytest.mark.parametrize("together", [False, True])
def test_few_keypoints(counts: tuple[int, int], together: bool) -> None:
    model = random_model()
    a, b = random_features(counts[0], 0), random_features(counts[1], 1)
    if together:
        (found,) = model(batch([a]), batch([b]))
    else:
        found = model(a, b)
    assert found.indices.shape == (len(found), 2) and found.indices.dtype == torch.int64
    assert found.scores.shape == (len(found),) and found.scores.dtype == torch.float32
    assert bool(((found.scores > 0) & (found.scores <= 1)).all())
    adaptation = found.adaptation
    assert adaptation.layers0.shape == counts[:1] and adaptation.layers1.shape == counts[1:]
    assert adaptation.confidence0.shape == (adaptation.stop_layer, counts[0])
    if min(counts) == 0:
        assert len(found) == 0 and adaptation.stop_layer == 0 and adaptation.alive == []
        assert not adaptation.layers0.any() and not adaptation.layers1.any()
    else:
        assert_like_kornia(kornia_of(configured(model, **OFF)), a, b, model(a, b, **OFF))


def test_all_pruned() -> None:
    model = random_model()
    with torch.no_grad():
        for assignment in model.log_assignment:
            assignment.matchability.bias.fill_(-50.0)
        for classifier in model.token_confidence:
            classifier.token[0].bias.fill_(20.0)
    a, b = random_features(8, 0), random_features(6, 1)
    pairs = [(a, b), (b, a)]
    found = model(a, b, depth_confidence=1.0)
    together = model(
        *(batch(list(side)) for side in zip(*pairs, strict=True)), depth_confidence=1.0
    )
    assert_same(found, together[0])
    assert len(found) == 0
    assert found.adaptation.stop_layer == 1
    assert found.adaptation.alive == [(8, 6)]


def test_padding_only() -> None:
    model = random_model()
    empty, some = random_features(0, 0), random_features(5, 1)
    for pair in ((empty, some), (some, empty), (empty, empty)):
        (found,) = model(batch([pair[0]], length=6), batch([pair[1]], length=6))
        assert len(found) == 0 and found.adaptation.stop_layer == 0
        assert found.adaptation.layers0.shape == (len(pair[0]),)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(
    official_state: dict[str, Tensor],
    official: LightGlue,
    recorded: dict[str, np.ndarray],
    dtype: torch.dtype,
) -> None:
    a, b = frame(recorded, 2000, 64), frame(recorded, 2001, 64)
    half = LightGlue.from_checkpoint(official_state).to(dtype)(a, b, **OFF)
    single = official(a, b, **OFF)
    assert half.scores.dtype == torch.float32
    common = {tuple(row) for row in half.indices.tolist()} & {
        tuple(row) for row in single.indices.tolist()
    }
    assert len(common) > 0.95 * max(len(half), len(single))


# -- training ----------------------------------------------------------------------------------


def test_layer_outputs_agree_with_matching() -> None:
    model = random_model(dataclasses.replace(SMALL, filter_threshold=0.02))
    sides = [[random_features(n, 10 * side + n) for n in (7, 4, 9)] for side in (0, 1)]
    packed0, packed1 = (batch(side) for side in sides)
    outputs = model.train().layer_outputs(packed0, packed1)
    assert [output.confidence0 is None for output in outputs] == [False] * 3 + [True]
    for layer, output in enumerate(outputs, start=1):
        partner, score = mutual_matches(
            output.log_assignment.detach(), 0.02, mask0=packed0.mask, mask1=packed1.mask
        )
        short = configured(truncated(model, layer), filter_threshold=0.02)
        for row, values, found in zip(partner, score, short(packed0, packed1), strict=True):
            rows = torch.nonzero(row >= 0)[:, 0]
            assert torch.stack([rows, row[rows]], 1).tolist() == found.indices.tolist()
            torch.testing.assert_close(values[rows], found.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
def test_layer_scores_are_what_layer_outputs_are_made_of(padded: bool) -> None:
    model = random_model()
    counts = ((6, 4), (5, 3)) if padded else ((6, 6), (5, 5))
    sides = [batch([random_features(n, 7 * n + i) for i, n in enumerate(c)]) for c in counts]
    if not padded:
        sides = [dataclasses.replace(side, mask=None) for side in sides]
    scores, outputs = model.layer_scores(*sides), model.layer_outputs(*sides)
    assert len(scores.similarity) == len(outputs) == model.config.num_layers
    for layer, output in enumerate(outputs):
        made = log_double_softmax(
            scores.similarity[layer], scores.matchability0[layer], scores.matchability1[layer],
            scores.mask0, scores.mask1,
        )  # fmt: skip
        torch.testing.assert_close(made, output.log_assignment, rtol=1e-5, atol=1e-5)
    sure = model.layer_confidences(scores)
    assert len(sure) == len(outputs) - 1
    for mine, output in zip(sure, outputs, strict=False):
        for logits, theirs in zip(mine, (output.confidence0, output.confidence1), strict=True):
            torch.testing.assert_close(logits, theirs, rtol=1e-5, atol=1e-5)


def test_padding_does_not_change_layer_outputs() -> None:
    model = random_model()
    a, b = random_features(6, 0), random_features(5, 1)
    empty = random_features(0, 2)
    plain = model.layer_outputs(batch([a]), batch([b]))
    padded = model.layer_outputs(batch([a, empty], length=9), batch([b, a], length=8))
    for p, q in zip(plain, padded, strict=True):
        matrix, wide = p.log_assignment[0], q.log_assignment[0]
        rows, columns = [*range(6), 9], [*range(5), 8]
        torch.testing.assert_close(wide[rows][:, columns], matrix, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(q.descriptors0[0, :6], p.descriptors0[0], rtol=0, atol=1e-5)
        assert bool(wide.isfinite().all())
        assert not wide[6:9].exp().any() and not wide[:, 5:8].exp().any()
    sum(output.log_assignment[0, :6, :5].sum() for output in padded).backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def test_checkpointing_changes_nothing() -> None:
    model = random_model()
    sides = batch([random_features(6, 0)]), batch([random_features(5, 1)])
    gradients = []
    for checkpoint in (False, True):
        model.zero_grad()
        outputs = model.layer_outputs(*sides, checkpoint=checkpoint)
        loss = sum(output.log_assignment.sum() for output in outputs)
        loss = loss + sum(output.confidence0.sum() for output in outputs[:-1])
        loss.backward()
        gradients.append(
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        )
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_confidence_has_no_gradient_to_the_tokens() -> None:
    model = random_model()
    outputs = model.layer_outputs(batch([random_features(6, 0)]), batch([random_features(5, 1)]))
    sum(o.confidence0.sum() + o.confidence1.sum() for o in outputs[:-1]).backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched and all(name.startswith("token_confidence.") for name in touched)


def test_a_changed_weight_is_noticed() -> None:
    model = random_model(dataclasses.replace(SMALL, **OFF))
    a, b = random_features(10, 0), random_features(10, 1)
    before = model(a, b)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    model.layer_outputs(batch([a]), batch([b]))[-1].log_assignment.sum().backward()
    optimiser.step()
    after = model(a, b)
    assert not torch.equal(before.scores, after.scores)
    assert_same(after, configured(model)(a, b), 0.0)
    model.load_weights(random_model(seed=7).state_dict())
    assert_same(model(a, b), configured(random_model(seed=7), **OFF)(a, b), 0.0)


def test_compiled() -> None:
    """Graphs as `torch.compile` traces them, for any size, run without its code generator."""
    model = random_model(dataclasses.replace(SMALL, num_layers=2, **OFF))
    pairs = [(random_features(m, 0), random_features(n, 1)) for m, n in ((9, 12), (7, 5))]
    plain = [model(a, b) for a, b in pairs]
    model.compile(backend="eager", fullgraph=True)
    for (a, b), expected in zip(pairs, plain, strict=True):
        assert_same(model(a, b), expected)


# -- checkpoints -------------------------------------------------------------------------------


def test_official_weights_load_strictly(official_state: dict[str, Tensor]) -> None:
    model = LightGlue.from_checkpoint(official_state, filter_threshold=0.2)
    assert model.config == LightGlueConfig(input_dim=128, filter_threshold=0.2)
    assert not model.training
    state = model.state_dict()
    assert state.keys() == official_state.keys()
    assert all(torch.equal(state[key], value) for key, value in official_state.items())


def test_old_names_load() -> None:
    config = LightGlueConfig(input_dim=64, dim=96, num_layers=6, num_heads=1)
    model = random_model(config)
    renamed = {}
    for key, value in model.state_dict().items():
        parts = key.split(".")
        if parts[0] == "transformers":
            parts = [parts[2], parts[1], *parts[3:]]
        renamed[f"matcher.{'.'.join(parts)}"] = value
    renamed["matcher.confidence_thresholds"] = torch.zeros(6)
    renamed["extractor.conv.weight"] = torch.zeros(3)
    loaded = LightGlue.from_checkpoint(renamed)
    assert loaded.config == config
    assert all(
        torch.equal(value, loaded.state_dict()[k]) for k, value in model.state_dict().items()
    )


@pytest.mark.parametrize("config", [SMALL, LightGlueConfig(32, 32, 2, 4, True)])
def test_sizes_follow_from_a_checkpoint(config: LightGlueConfig) -> None:
    state = random_model(config).state_dict()
    options = {
        name: getattr(config, name)
        for name in ("depth_confidence", "width_confidence", "filter_threshold")
    }
    assert LightGlue.from_checkpoint(state, **options).config == config


def test_a_checkpoint_that_does_not_fit() -> None:
    state = random_model().state_dict()
    key = "log_assignment.2.final_proj.bias"
    wrong = dict(state)
    del wrong[key]
    with pytest.raises(InputError, match=f"missing {key}"):
        LightGlue.from_checkpoint(wrong)
    with pytest.raises(InputError, match="unknown bin_score"):
        LightGlue.from_checkpoint({**state, "bin_score": torch.zeros(())})
    with pytest.raises(InputError, match=rf"{key} \(7,\), not \(32,\)"):
        LightGlue.from_checkpoint({**state, key: torch.zeros(7)})
    with pytest.raises(InputError, match="there is no transformers"):
        LightGlue.from_checkpoint({"bin_score": torch.zeros(())})
    for option in ("num_layers", "flash"):
        with pytest.raises(InputError, match=f"option '{option}'"):
            LightGlue.from_checkpoint(state, **{option: 3})


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth_confidence": 0.0}, "depth_confidence 0.0"),
        ({"width_confidence": 1.5}, "width_confidence 1.5"),
        ({"depth_confidence": -2}, "depth_confidence -2"),
        ({"depth_confidence": math.nan}, "depth_confidence nan"),
        ({"filter_threshold": 1.0}, "filter_threshold 1.0"),
        ({"num_layers": 0}, "num_layers 0"),
        ({"dim": 36, "num_heads": 4}, "dim 36"),
        ({"prune_min_keypoints": -1}, "prune_min_keypoints -1"),
    ],
)
def test_bad_configuration(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LightGlueConfig(**options)


def test_minus_one_turns_off_as_none_does() -> None:
    model = random_model(dataclasses.replace(SMALL, depth_confidence=-1, width_confidence=-1))
    a, b = random_features(10, 0), random_features(10, 1)
    expected = random_model(dataclasses.replace(SMALL, **OFF))(a, b)
    assert_same(model(a, b), expected, 0.0)
    changed = random_model()(a, b, depth_confidence=-1, width_confidence=-1)
    assert_same(changed, expected, 0.0)


def test_bad_features() -> None:
    model = random_model()
    good, three = random_features(3, 0), batch([random_features(3, i) for i in range(3)])
    with pytest.raises(InputError, match="descriptors of 8 numbers"):
        model.prepare(random_features(3, 0, dim=8))
    with pytest.raises(InputError, match="image_size"):
        model.prepare(dataclasses.replace(good, image_size=torch.tensor([0.0, 80.0])))
    with pytest.raises(InputError, match="scales and orientations"):
        random_model(dataclasses.replace(SMALL, scale_orientation=True)).prepare(good)
    with pytest.raises(InputError, match="a batch of 3 against one image"):
        model(three, good)
    with pytest.raises(InputError, match="a batch of 3 against a batch of 1"):
        model(three, batch([good]))
    with pytest.raises(InputError, match="depth_confidence 3"):
        model(good, good, depth_confidence=3)
    with pytest.raises(InputError, match="two batches"):
        model.layer_outputs(good, good)
    with pytest.raises(InputError, match="collate"):
        model.collate([])


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_the_first_layers_of_a_checkpoint_are_a_lightglue_that_ends_there(count: int) -> None:
    """Checked against a deeper network, which says what each of its layers predicts."""
    deep = random_model()
    pair = [batch([random_features(30, seed)]) for seed in (1, 2)]
    state = {f"matcher.{key}": value for key, value in deep.state_dict().items()}
    short = LightGlue.from_checkpoint(first_layers(state, count))
    kept = min(count, SMALL.num_layers)
    assert short.config.num_layers == kept
    outputs = short.layer_outputs(*pair)
    for mine, theirs in zip(outputs, deep.layer_outputs(*pair)[:kept], strict=True):
        assert torch.equal(mine.log_assignment, theirs.log_assignment)
    assert outputs[-1].confidence0 is None
