"""SuperGlue against the authors' code, transformers, and the laws of its architecture.

tests/data/superglue_official.npz has what `models/superglue.py` of the authors' repository
(magicleap/SuperGluePretrainedNetwork) returned as `scores` for the weights and features of
tests/superglue_inputs.py, in float32 on a CPU: log assignments of pairs of 40 and 33 and of 5 and 1
keypoints, and the official names and shapes of the parameters.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from matchers.superglue import SuperGlue, SuperGlueConfig
from matchers.types import Features, batch
from satgen.errors import InputError
from tests.superglue_inputs import CONFIG, SIZE, random_features, random_weights

DATA = Path(__file__).parent / "data" / "superglue_official.npz"


@pytest.fixture(scope="module")
def network() -> SuperGlue:
    """Loaded from a checkpoint in the official format."""
    recorded = np.load(DATA)
    shapes = {
        str(name): tuple(int(n) for n in shape if n >= 0)
        for name, shape in zip(recorded["names"], recorded["shapes"], strict=True)
    }
    model = SuperGlue.from_checkpoint(
        random_weights(shapes), sinkhorn_iterations=50, match_threshold=0.0
    )
    assert model.config == CONFIG
    return model


def plain(features: Features) -> Any:
    return (features.keypoints, features.scores, features.descriptors)


@pytest.mark.parametrize(("counts", "key"), [((40, 33), "large"), ((5, 1), "small")])
def test_the_assignment_is_that_of_the_authors_code(
    network: SuperGlue, counts: tuple[int, int], key: str
) -> None:
    first, second = random_features(counts[0], 1), random_features(counts[1], 2)
    expected = torch.from_numpy(np.load(DATA)[key])
    with torch.no_grad():
        found = network.log_assignment(first, second)[0]
    finite = expected > -30
    assert (found - expected)[finite].abs().max() < 1e-4
    assert (found.exp() - expected.exp()).abs().max() < 1e-4
    matches = network(first, second)
    best = expected[:-1, :-1]
    mutual = [
        (i, int(best[i].argmax()))
        for i in range(counts[0])
        if int(best[:, best[i].argmax()].argmax()) == i
    ]
    assert [tuple(pair) for pair in matches.indices.tolist()] == mutual


def to_transformers(state: dict[str, torch.Tensor], heads: int) -> dict[str, torch.Tensor]:
    """Official names and head layout (channel d·heads + h) to transformers' (heads apart)."""
    mapped = {}
    for name, value in state.items():
        value = value[..., 0] if value.ndim == 3 else value
        words = name.split(".")
        if words[0] == "kenc":
            place, rest = int(words[2]), words[3:]
            kind = ["linear", "batch_norm"][place % 3]
            last = place == 3 * len(CONFIG.keypoint_encoder)
            number = place // 3
            middle = [str(number)] if last else [str(number), kind]
            mapped[".".join(["keypoint_encoder.encoder", *middle, *rest])] = value
        elif words[0] == "gnn":
            layer, rest = f"gnn.layers.{words[2]}", words[3:]
            dim = CONFIG.descriptor_dim
            order = torch.arange(dim).view(-1, heads).T.flatten()
            if rest[0] == "attn" and rest[1] == "proj":
                part = ("query", "key", "value")[int(rest[2])]
                mapped[f"{layer}.attention.self.{part}.{rest[3]}"] = value[order]
            elif rest[0] == "attn":
                merged = value[:, order] if rest[2] == "weight" else value
                mapped[f"{layer}.attention.output.dense.{rest[2]}"] = merged
            elif rest[1] == "3":
                mapped[f"{layer}.mlp.1.{rest[2]}"] = value
            else:
                kind = {"0": "linear", "1": "batch_norm"}[rest[1]]
                mapped[f"{layer}.mlp.0.{kind}.{rest[2]}"] = value
        elif words[0] == "final_proj":
            mapped[f"final_projection.{name}"] = value
        else:
            mapped[name] = value
    return mapped


def test_the_assignment_is_that_of_transformers(
    network: SuperGlue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.superglue import modeling_superglue as peer
    from transformers.models.superglue.configuration_superglue import SuperGlueConfig as PeerConfig

    layers = ["self", "cross"] * (CONFIG.num_layers // 2)
    other = peer.SuperGlueForKeypointMatching(
        PeerConfig(
            hidden_size=CONFIG.descriptor_dim,
            keypoint_encoder_sizes=list(CONFIG.keypoint_encoder),
            gnn_layers_types=layers,
            num_attention_heads=CONFIG.num_heads,
            sinkhorn_iterations=CONFIG.sinkhorn_iterations,
            matching_threshold=0.0,
        )
    ).eval()
    missing, unexpected = other.load_state_dict(
        to_transformers(network.state_dict(), CONFIG.num_heads), strict=False
    )
    assert not unexpected and all("detector" in name or "track" in name for name in missing)
    seen = []
    transport = peer.log_optimal_transport
    monkeypatch.setattr(
        peer, "log_optimal_transport", lambda *a, **k: seen.append(transport(*a, **k)) or seen[-1]
    )
    sides = [random_features(30, 3), random_features(30, 4)]
    keypoints, scores, descriptors = (
        torch.stack(part)[None] for part in zip(*map(plain, sides), strict=True)
    )
    with torch.no_grad():
        matches, *_ = other._match_image_pair(
            keypoints, descriptors, scores, int(SIZE[1]), int(SIZE[0])
        )
        found = network.log_assignment(*sides)
    assert (found.exp() - seen[0].exp()).abs().max() < 1e-4
    partner = torch.full((30,), -1)
    indices = network(*sides).indices
    partner[indices[:, 0]] = indices[:, 1]
    assert torch.equal(partner, matches[0, 0].long())


def test_a_batch_is_a_loop(network: SuperGlue) -> None:
    firsts = [random_features(n, 10 + n) for n in (20, 0, 7, 1, 2, 12)]
    seconds = [random_features(n, 50 + n) for n in (15, 4, 0, 1, 9, 12)]
    together = network(batch(firsts), batch(seconds, length=21))
    prepared = [[network.prepare(f) for f in side] for side in (firsts, seconds)]
    collated = network.match(*(network.collate(side) for side in prepared))
    for i, (a, b) in enumerate(zip(firsts, seconds, strict=True)):
        alone = network(a, b)
        for found in (together[i], collated[i]):
            assert torch.equal(found.indices, alone.indices)
            torch.testing.assert_close(found.scores, alone.scores, atol=1e-5, rtol=0)
        with torch.no_grad():
            own = network.log_assignment(a, b)[0].exp()
            padded = network.log_assignment(batch(firsts), batch(seconds))[i].exp()
        rows = [*range(len(a)), padded.shape[0] - 1]
        columns = [*range(len(b)), padded.shape[1] - 1]
        torch.testing.assert_close(padded[rows][:, columns], own, atol=1e-5, rtol=0)
        assert abs(padded.sum() - own.sum()) < 1e-3


@settings(max_examples=15)
@given(st.integers(1, 25), st.integers(1, 25), st.integers(0, 1000))
def test_order_and_side_do_not_matter(count0: int, count1: int, seed: int) -> None:
    torch.manual_seed(0)
    model = SuperGlue(replace(CONFIG, num_layers=2, sinkhorn_iterations=400)).eval()
    first, second = random_features(count0, seed), random_features(count1, seed + 1)
    order = torch.from_numpy(np.random.RandomState(seed).permutation(count0))
    with torch.no_grad():
        found = model.log_assignment(first, second)[0].exp()
        shuffled = model.log_assignment(first.select(order), second)[0].exp()
        swapped = model.log_assignment(second, first)[0].exp()
    torch.testing.assert_close(shuffled[:-1], found[order], atol=1e-5, rtol=0)
    # Rows are scaled first: both orders agree once Sinkhorn has converged.
    torch.testing.assert_close(swapped.T[:-1], found[:-1], atol=1e-3, rtol=0)


@pytest.mark.parametrize("counts", [(0, 0), (0, 3), (3, 0), (1, 1), (2, 1)])
def test_few_keypoints(network: SuperGlue, counts: tuple[int, int]) -> None:
    first, second = random_features(counts[0], 5), random_features(counts[1], 6)
    matches = network(first, second)
    assert len(matches) <= min(counts) and matches.adaptation is None
    assert matches.indices.shape == (len(matches), 2) and matches.scores.shape == (len(matches),)
    with torch.no_grad():
        probabilities = network.log_assignment(first, second)[0].exp()
    assert probabilities.shape == (counts[0] + 1, counts[1] + 1)
    if 0 in counts and counts != (0, 0):
        assert probabilities[:-1, -1].allclose(torch.ones(counts[0]))
        assert probabilities[-1, :-1].allclose(torch.ones(counts[1]))


def test_nothing_but_padding(network: SuperGlue) -> None:
    nothing = batch([random_features(0, 1), random_features(0, 2)], length=4)
    found = network(nothing, batch([random_features(3, 3), random_features(0, 4)]))
    assert [len(m) for m in found] == [0, 0]


def test_training_ignores_padding_and_reaches_every_parameter() -> None:
    torch.manual_seed(1)
    model = SuperGlue(replace(CONFIG, input_dim=32)).train()
    firsts, seconds = ([random_features(n, n + s, dim=32) for n in (9, 14)] for s in (0, 100))
    statistics = []
    for length in (14, 30):
        model.load_state_dict({**model.state_dict()})
        torch.manual_seed(2)
        fresh = SuperGlue(model.config).train()
        out = fresh.log_assignment(batch(firsts, length), batch(seconds, length))
        out[:, :3, :3].sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in fresh.parameters())
        statistics.append({k: v.clone() for k, v in fresh.state_dict().items() if "running" in k})
    for name, value in statistics[0].items():
        torch.testing.assert_close(value, statistics[1][name], atol=1e-5, rtol=1e-5)
    assert any(float(v.abs().max()) > 1e-3 for k, v in statistics[0].items() if "mean" in k)


@pytest.mark.parametrize("length", [None, 50])
def test_training_is_evaluation_with_the_statistics_of_the_batch(length: int | None) -> None:
    """Evaluation, which is held against the authors' code, given what training has measured."""
    torch.manual_seed(3)
    model = SuperGlue(replace(CONFIG, num_layers=4)).train()
    first = random_features(30, 8)
    # The encoder runs once a side, and keeps the last statistics: let it measure the same twice.
    second = replace(first, descriptors=random_features(30, 9).descriptors)
    sides = [first, second] if length is None else [batch([f], length) for f in (first, second)]
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 1.0
            module.register_forward_hook(_biased)
    with torch.no_grad():
        trained = model.log_assignment(*sides)[0]
        found = model.eval().log_assignment(first, second)[0]
    kept = [*range(30), len(trained) - 1]
    # [M, N] means nothing.
    difference = (trained[kept][:, kept] - found).flatten()[:-1]
    assert float(difference.abs().max()) < 1e-3


def _biased(module: torch.nn.BatchNorm1d, inputs: Any, output: Any) -> None:
    """Training divides by the variance over n, but keeps the one over n - 1."""
    count = len(inputs[0])
    assert module.running_var is not None
    module.running_var.mul_((count - 1) / count)


@pytest.mark.parametrize("counts", [(0, 0), (0, 1), (1, 0), (1, 1), (1, 9), (2, 1)])
def test_training_with_few_keypoints(counts: tuple[int, int]) -> None:
    model = SuperGlue(CONFIG).train()
    found = model.log_assignment(random_features(counts[0], 1), random_features(counts[1], 2))
    found.sum().backward()
    assert found.isfinite().all()


def test_only_matches_over_the_threshold_are_kept(network: SuperGlue) -> None:
    first, second = random_features(40, 1), random_features(33, 2)
    every = network(first, second)
    threshold = float(every.scores.median())
    strict = SuperGlue.from_checkpoint(
        network.state_dict(), sinkhorn_iterations=50, match_threshold=threshold
    )
    found, over = strict(first, second), every.scores > threshold
    assert 0 < len(found) < len(every)
    assert torch.equal(found.indices, every.indices[over])


def test_changed_weights_are_used() -> None:
    torch.manual_seed(4)
    model = SuperGlue(replace(CONFIG, num_layers=2)).eval()
    first, second = random_features(20, 1), random_features(20, 2)
    before = model(first, second)
    with torch.no_grad():
        for parameter in model.gnn.parameters():
            parameter.mul_(1.5)
        expected = model.log_assignment(first, second)[0, :-1, :-1].exp()
    found = model(first, second)
    rows, columns = found.indices.T
    torch.testing.assert_close(found.scores, expected[rows, columns], atol=1e-5, rtol=0)
    assert len(found) != len(before) or not torch.allclose(found.scores, before.scores, atol=1e-3)


def test_a_network_made_in_inference_mode_works(network: SuperGlue) -> None:
    first, second = random_features(20, 1), random_features(20, 2)
    with torch.inference_mode():
        model = SuperGlue.from_checkpoint(
            network.state_dict(), sinkhorn_iterations=50, match_threshold=0.0
        )
    assert torch.equal(model(first, second).indices, network(first, second).indices)


def test_what_does_not_fit_is_named(network: SuperGlue) -> None:
    state = network.state_dict()
    broken = {k: v for k, v in state.items() if k != "final_proj.bias"}
    with pytest.raises(InputError, match=r"missing final_proj\.bias"):
        SuperGlue.from_checkpoint(broken)
    with pytest.raises(InputError, match="unknown extra"):
        SuperGlue.from_checkpoint(state | {"extra": torch.zeros(1)})
    with pytest.raises(InputError, match=r"bin_score \(2,\)"):
        SuperGlue.from_checkpoint(state | {"bin_score": torch.zeros(2)})
    with pytest.raises(InputError, match="not SuperGlue's weights"):
        SuperGlue.from_checkpoint({"a": torch.zeros(1)})
    with pytest.raises(InputError, match="option 'num_layers'"):
        SuperGlue.from_checkpoint(state, num_layers=3)
    with pytest.raises(InputError, match="descriptors of 32 numbers"):
        network(random_features(3, 0, dim=32), random_features(3, 1, dim=32))
    with pytest.raises(InputError, match="batches of the same size"):
        network(batch([random_features(3, 0)]), random_features(3, 1))
    with pytest.raises(InputError, match="num_heads 5"):
        SuperGlueConfig(num_heads=5)


def test_half_precision_comes_close(network: SuperGlue) -> None:
    first, second = random_features(40, 1), random_features(33, 2)
    half = SuperGlue.from_checkpoint(
        network.state_dict(), sinkhorn_iterations=50, match_threshold=0.0
    ).to(torch.bfloat16)
    with torch.no_grad():
        exact = network.log_assignment(first, second).exp()
        found = half.log_assignment(first, second).exp()
    assert found.dtype == torch.float32 and (found - exact).abs().max() < 0.2
