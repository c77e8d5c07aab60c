"""Networks match with the weights that they have now, however these came to be there."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrizations

from matchers.lightglue import LightGlue
from matchers.lightglue_config import LightGlueConfig
from matchers.superglue import SuperGlue, SuperGlueConfig
from matchers.types import Features, Matches

State = dict[str, Tensor]

LIGHTGLUE = LightGlueConfig(
    input_dim=8, dim=16, num_layers=2, num_heads=2, filter_threshold=0.0, project=True
)
SUPERGLUE = SuperGlueConfig(
    descriptor_dim=16, input_dim=8, keypoint_encoder=(8,), num_layers=2, num_heads=2,
    sinkhorn_iterations=5, match_threshold=0.0, project=True,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small networks are slower with several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(kind: str, seed: int = 0) -> Any:
    """A small network with random weights, none of them zero or one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = LightGlue(LIGHTGLUE) if kind == "lightglue" else SuperGlue(SUPERGLUE)
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                noise = 0.3 * torch.randn_like(tensor)
                tensor.copy_(1.0 + 0.1 * noise.abs() if "running_var" in name else noise)
    return model.eval()


def features(seed: int, count: int = 12) -> Features:
    random = torch.Generator().manual_seed(seed)
    descriptors = torch.randn(count, 8, generator=random)
    return Features(
        keypoints=64.0 * torch.rand(count, 2, generator=random),
        scores=torch.rand(count, generator=random),
        descriptors=nn.functional.normalize(descriptors, dim=-1),
        image_size=torch.tensor([64.0, 48.0]),
    )


A, B = features(1), features(2)


def state_of(model: nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def fresh(model: Any, state: State | None = None) -> Any:
    """A network that never had other weights."""
    other = type(model)(model.config)
    other.load_state_dict(state_of(model) if state is None else state)
    return other.to(next(iter(model.state_dict().values())).dtype).eval()


def told(matches: Matches) -> tuple[Any, ...]:
    """All that a match says, to the last bit."""
    done = matches.adaptation
    return (
        matches.indices.tolist(),
        matches.scores.tolist(),
        None if done is None else (done.layers0.tolist(), done.confidence0.nan_to_num(-1).tolist()),
    )


def assert_new(model: Any, before: tuple[Any, ...]) -> None:
    after = told(model(A, B))
    assert after == told(fresh(model)(A, B))
    assert after != before


def by_data(model: Any, other: State) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        tensor.data.copy_(other[name])


def by_new_data(model: Any, other: State) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        tensor.data = other[name]


def by_numpy(model: Any, other: State) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        tensor.detach().numpy()[...] = other[name].numpy()


def in_place(model: Any, other: State) -> None:
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            tensor.copy_(other[name])


def in_inference_mode(model: Any, other: State) -> None:
    with torch.inference_mode():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            tensor.copy_(other[name])


def by_loading(model: Any, other: State) -> None:
    model.load_state_dict(other)


def by_assigning(model: Any, other: State) -> None:
    model.load_state_dict(other, assign=True)


def part_by_part(model: Any, other: State) -> None:
    """Each submodule loads its own, which the network is not told of."""
    for name, module in model.named_children():
        mine = {k.removeprefix(f"{name}."): v for k, v in other.items() if k.startswith(f"{name}.")}
        module.load_state_dict(mine, assign=True)
    for name, parameter in model.named_parameters(recurse=False):
        parameter.data = other[name]


def by_other_modules(model: Any, other: State) -> None:
    donor = fresh(model, other)
    for name, _ in list(model.named_children()):
        setattr(model, name, getattr(donor, name))
    for name, _ in list(model.named_parameters(recurse=False)):
        setattr(model, name, getattr(donor, name))


def by_other_leaves(model: Any, other: State) -> None:
    """Only the innermost modules are others."""
    donor = fresh(model, other)
    for name, module in list(donor.named_modules()):
        if name and not list(module.children()):
            owner, _, leaf = name.rpartition(".")
            model.get_submodule(owner)._modules[leaf] = module
    for name, _ in list(model.named_parameters(recurse=False)):
        setattr(model, name, getattr(donor, name))


WAYS = (
    by_data, by_new_data, by_numpy, in_place, in_inference_mode, by_loading, by_assigning,
    part_by_part, by_other_modules, by_other_leaves,
)  # fmt: skip
KINDS = ("lightglue", "superglue")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_match_uses_the_weights_of_now(kind: str, way: Callable[[Any, State], None]) -> None:
    model, other = made(kind), state_of(made(kind, seed=1))
    before = told(model(A, B))
    way(model, other)
    assert_new(model, before)
    assert told(model(A, B)) == told(fresh(model, other)(A, B))


@pytest.mark.parametrize("kind", KINDS)
def test_each_single_weight_counts_whatever_is_blind_to_the_change(kind: str) -> None:
    """`.data` tells nobody: no parameter and no buffer may be forgotten."""
    model = made(kind)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        model(A, B)
        tensor.data.view(-1)[-1] += 0.25
        assert told(model(A, B)) == told(fresh(model)(A, B)), name


@pytest.mark.parametrize("kind", KINDS)
def test_functional_call_matches_with_the_weights_it_is_given(kind: str) -> None:
    model, other = made(kind), state_of(made(kind, seed=1))
    before = told(model(A, B))
    assert told(functional_call(model, other, (A, B))) == told(fresh(model, other)(A, B)) != before
    assert told(model(A, B)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_functional_call_with_some_of_the_weights(kind: str) -> None:
    model, other = made(kind), state_of(made(kind, seed=1))
    model(A, B)
    name = next(n for n in other if n.endswith(("out_proj.weight", "merge.weight")))
    given = {name: other[name]}
    expected = told(fresh(model, state_of(model) | given)(A, B))
    assert told(functional_call(model, given, (A, B))) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_another_type_are_used(kind: str) -> None:
    model = made(kind)
    before = told(model(A, B))
    model.double()
    assert_new(model, before)
    model.float()
    assert told(model(A, B)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_pickles_go_their_own_way(kind: str) -> None:
    model, other = made(kind), state_of(made(kind, seed=1))
    before = told(model(A, B))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert told(twin(A, B)) == before
        by_data(twin, other)
        assert told(twin(A, B)) == told(fresh(model, other)(A, B))
    assert told(model(A, B)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_computed_are_computed_anew(kind: str) -> None:
    model = made(kind)
    linear = model.transformers[0].self_attn.out_proj if kind == "lightglue" else (
        model.gnn.layers[0].attn.merge
    )  # fmt: skip
    parametrizations.weight_norm(linear)
    before = told(model(A, B))
    linear.parametrizations.weight.original0.data *= 2.0
    assert told(model(A, B)) != before


@pytest.mark.parametrize("kind", KINDS)
def test_unchanged_weights_are_arranged_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, count = made(kind), 0
    model(A, B)
    arrange = type(model)._arrange

    def counted(self: Any, *args: Any) -> Any:
        nonlocal count
        count += 1
        return arrange(self, *args)

    monkeypatch.setattr(type(model), "_arrange", counted)
    model(A, B)
    model.train()
    model.eval()
    model(A, B)
    assert count == 0
    by_data(model, state_of(made(kind, seed=1)))
    model(A, B)
    assert count > 0
