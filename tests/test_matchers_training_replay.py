"""Batches that graphs do: the training is the one without, whatever comes in between."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from matchers import sinkhorn
from matchers.graphs import assuming
from matchers.lightglue import LightGlue
from matchers.superglue_blocks import _norm_of_some
from matchers.training import checkpoint, replay, trainer
from matchers.training.bank import PairSide
from matchers.training.config import TrainConfig
from matchers.training.objectives import build, keep_full_precision, trainable
from matchers.training.profiling import REPLAYED, StepProfiler
from matchers.training.replay import StepGraphs
from matchers.training.trainer import Batch, Draft, Hardware, run_stage, step_seconds
from matchers.training.validation import Validation
from matchers.truth.batched import BatchGeometry, homography_labels
from matchers.types import Features
from tests.waits import Watch, waits

torch.set_num_threads(1)

CPU = torch.device("cpu")
CONFIGS = {
    "lightglue": TrainConfig(
        features="aliked", dim=16, layers=3, heads=2, accumulate=1, steps=12, confidence_steps=12,
        homography_steps=0, warmup=2, validate_every=100, learning_rate=1e-3,
    ),
    "superglue": TrainConfig(
        matcher="superglue", features="aliked", dim=32, layers=1, heads=2, sinkhorn_iterations=5,
        accumulate=1, steps=12, homography_steps=0, warmup=2, validate_every=100,
        learning_rate=1e-3,
    ),
}  # fmt: skip
STAGES = [("lightglue", "pose"), ("lightglue", "confidence"), ("superglue", "pose")]
WHOLE, MASKED, LONGER = (16, False), (16, True), (24, True)
"""Shapes of batches: the keypoints of a side, and whether some are padding."""


def batch(seed: int, shape: tuple[int, bool], device: torch.device = CPU) -> Batch:
    """Two pairs of images of the same points in another order, near where they were."""
    count, masked = shape
    draw = torch.Generator().manual_seed(seed)
    points = 200.0 * torch.rand((2, count, 2), generator=draw)
    like = torch.nn.functional.normalize(torch.randn((2, count, 128), generator=draw), dim=2)
    order = torch.randperm(count, generator=draw)
    mask = torch.ones((2, count), dtype=torch.bool)
    if masked:
        mask[0, -3:] = False
    sides = []
    for second in (False, True):
        here, said = (points[:, order], like[:, order]) if second else (points, like)
        here = here + 0.5 * torch.randn(here.shape, generator=draw)
        values = {
            "keypoints": here * mask[..., None],
            "scores": torch.rand((2, count), generator=draw) * mask,
            "descriptors": said * mask[..., None],
            "image_size": torch.tensor([[200.0, 160.0]] * 2),
        }
        there = {name: value.to(device) for name, value in values.items()}
        known = mask.to(device)
        features = Features(**there, mask=known if masked else None)
        geometry = BatchGeometry(
            features.keypoints, known, features.image_size, torch.zeros((2, 4), device=device),
            torch.eye(4, dtype=torch.float64, device=device).expand(2, 4, 4),
            homography=torch.eye(3, dtype=torch.float64, device=device).expand(2, 3, 3),
        )  # fmt: skip
        sides.append(PairSide(features, torch.arange(2, device=device), geometry))
    labels = homography_labels(*(side.geometry for side in sides))
    assert (labels.partner0 >= 0).sum() > count // 2
    return Batch(*sides, labels, 1.0)


def batches(
    config: TrainConfig, shapes: Sequence[tuple[int, bool]], device: torch.device = CPU
) -> Callable[[int, float], list[Draft]]:
    """Those of a training, of these shapes in turn."""

    def drafts(step: int, progress: float) -> list[Draft]:
        numbers = range(step * config.accumulate, (step + 1) * config.accumulate)
        return [lambda n=n: batch(n, shapes[n % len(shapes)], device) for n in numbers]

    return drafts


def trained(
    folder: Path, config: TrainConfig, stage: str, graphs: bool,
    shapes: Sequence[tuple[int, bool]], given: Any = None,
) -> dict[str, Tensor]:  # fmt: skip
    """The model that a stage ends with, and its log."""
    model = build(config)
    run_stage(
        model, stage, config, given or batches(config, shapes),
        lambda model, stage: Validation(0.0, {}), folder, Hardware(CPU, graphs=graphs),
    )  # fmt: skip
    return model.state_dict()


def logged(folder: Path) -> list[dict[str, Any]]:
    """The lines of a log but for the time they took."""
    lines = checkpoint.read_log(folder / trainer.LOG)
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


class Counted:
    """Counts the batches that graphs did, and those that they left."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.did, self.left, self.made = 0, 0, 0
        plain, made = StepGraphs.gradients, StepGraphs._captured

        def gradients(graphs: StepGraphs, *given: Any) -> Any:
            found = plain(graphs, *given)
            self.did += found is not None
            self.left += found is None
            return found

        def captured(graphs: StepGraphs, *given: Any) -> Any:
            self.made += 1
            return made(graphs, *given)

        patch.setattr(StepGraphs, "gradients", gradients)
        patch.setattr(StepGraphs, "_captured", captured)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.mark.parametrize(("matcher", "stage"), STAGES)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_training_by_graphs_is_the_one_without(
    tmp_path: Path, counted: Counted, matcher: str, stage: str, accumulate: int
) -> None:
    config = replace(CONFIGS[matcher], accumulate=accumulate)
    shapes = (WHOLE, MASKED, WHOLE, LONGER, MASKED)
    plain, replayed = (
        trained(tmp_path / str(graphs), config, stage, graphs, shapes) for graphs in (False, True)
    )
    assert (counted.did, counted.left, counted.made) == (12 * accumulate - 3, 3, 3)
    begun = build(config).state_dict()
    assert any(not torch.equal(begun[name], plain[name]) for name in begun)
    # BatchNorm of a graph takes its statistics where padding is, too: in another order
    close = {"rtol": 0.0, "atol": 0.0} if matcher == "lightglue" else {"rtol": 1e-3, "atol": 1e-4}
    for name, value in plain.items():
        torch.testing.assert_close(replayed[name], value, **close, msg=name)
    lines, others = logged(tmp_path / "False"), logged(tmp_path / "True")
    assert len(lines) == 2
    for line, other in zip(lines, others, strict=True):
        for name, value in line.items():
            if value == "":  # there is none of this matcher
                assert other[name] == ""
            else:
                assert float(other[name]) == pytest.approx(float(value), rel=1e-3), name


def test_without_padding_superglue_is_the_same_to_the_last_bit(
    tmp_path: Path, counted: Counted
) -> None:
    plain, replayed = (
        trained(tmp_path / str(graphs), CONFIGS["superglue"], "pose", graphs, (WHOLE,))
        for graphs in (False, True)
    )
    assert counted.did == 11
    assert int(replayed["gnn.layers.0.mlp.1.num_batches_tracked"]) == 12
    assert all(torch.equal(replayed[name], value) for name, value in plain.items())


@pytest.mark.parametrize("matcher", ["lightglue", "superglue"])
def test_a_stopped_training_goes_on_to_the_same(
    tmp_path: Path, matcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, shapes = CONFIGS[matcher], (WHOLE, WHOLE, LONGER)
    whole = trained(tmp_path / "whole", config, "pose", True, shapes)
    plain, ran = replay._Graph.run, [0]

    def run(graph: Any) -> bool:
        right = plain(graph)
        ran[0] += 1
        if ran[0] == 5:  # its buffers have moved
            raise KeyboardInterrupt
        return right

    monkeypatch.setattr(replay._Graph, "run", run)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", config, "pose", True, shapes)
    replayed = trained(tmp_path / "run", config, "pose", True, shapes)
    for name, value in whole.items():
        torch.testing.assert_close(replayed[name], value, rtol=1e-3, atol=1e-4, msg=name)
        if "num_batches" in name:
            assert torch.equal(replayed[name], value)


@pytest.fixture
def prepared() -> Iterator[Callable[..., tuple[nn.Module, list[nn.Parameter], StepGraphs]]]:
    """A model in training mode, what a stage trains of it, and graphs for that."""

    def make(
        matcher: str, stage: str, device: torch.device = CPU, mixed: bool = False
    ) -> tuple[nn.Module, list[nn.Parameter], StepGraphs]:
        config = CONFIGS[matcher]
        model = build(config).to(device).train()
        hardware = Hardware(device, mixed=mixed)
        if mixed:
            keep_full_precision(model, config.training.widened or (), device.type)
        parameters = trainable(model, config.training, stage)
        return model, parameters, StepGraphs(
            model, config.training, stage, parameters, lambda: hardware.autocast(kept=False)
        )  # fmt: skip

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield make


def eager(model: nn.Module, matcher: str, stage: str, given: Batch) -> Any:
    """The outcome of a batch without graphs, whose gradients are added."""
    outcome = CONFIGS[matcher].training.objective(model, *given[:3], stage)
    outcome.loss.backward()
    return outcome


def test_parameters_that_no_batch_uses_have_no_gradient(prepared: Any) -> None:
    _, parameters, graphs = prepared("lightglue", "pose")
    unused = nn.Parameter(torch.zeros(3))
    graphs.parameters.append(unused)
    for number in range(3):
        found = graphs.gradients(*batch(number, WHOLE)[:3], 1)
        assert (found is None) == (number == 0)
    assert unused.grad is None
    assert all(parameter.grad is not None for parameter in parameters)


@pytest.mark.parametrize("matcher", ["lightglue", "superglue"])
def test_gradients_of_both_kinds_add_up(prepared: Any, matcher: str) -> None:
    """Of batches by graphs, without, and by graphs again, in steps after each other."""
    model, parameters, graphs = prepared(matcher, "pose")
    graphs.gradients(*batch(0, WHOLE)[:3], 1)
    for step in range(2):
        for parameter in parameters:
            parameter.grad = None
        orders = ("eager", "graph", "graph") if step else ("graph", "eager", "graph")
        for place, kind in enumerate(orders):
            given = batch(10 * step + place, WHOLE)
            if kind == "eager":
                eager(model, matcher, "pose", given)
            else:
                outcome = graphs.gradients(*given[:3], 1)
                assert outcome is not None and not outcome.loss.requires_grad
                assert not outcome.log_assignment.requires_grad
        found = [parameter.grad.clone() for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        for place in range(3):
            eager(model, matcher, "pose", batch(10 * step + place, WHOLE))
        assert all(map(torch.equal, found, (parameter.grad for parameter in parameters)))


def test_a_capture_that_fails_is_told_of_once_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, shapes = CONFIGS["superglue"], (MASKED, WHOLE)
    plain = trained(tmp_path / "plain", config, "pose", False, shapes)

    class Failing:
        def __init__(self, function: Callable[[], None], changed: Any, pool: Any) -> None:
            function()  # as far as a warm-up: buffers have moved
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(replay, "Replayed", Failing)
    with pytest.warns(UserWarning, match="steps are not replayed") as told:
        replayed = trained(tmp_path / "run", config, "pose", True, shapes)
    said = [str(one.message) for one in told if "replayed" in str(one.message)]
    assert said == ["steps are not replayed (RuntimeError: operation not permitted)"]
    assert all(torch.equal(replayed[name], value) for name, value in plain.items())


@pytest.mark.parametrize(("matcher", "stage"), STAGES)
def test_nothing_of_a_backward_pass_is_left_when_another_is_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matcher: str, stage: str
) -> None:
    """What hands a parameter its gradient keeps the stream on which it was first used for as long
    as anything hangs on it; another stream's cannot be in a capture."""
    config = replace(CONFIGS[matcher], accumulate=3)
    training, parameters, met = config.training, [], []

    def hand(parameter: nn.Parameter) -> Any:
        with torch.enable_grad():
            return parameter.view_as(parameter).grad_fn.next_functions[0][0].metadata

    def objective(model: nn.Module, *given: Any) -> Any:
        parameters[:] = [p for p in model.parameters() if p.requires_grad]
        outcome = training.objective(model, *given)
        for parameter in parameters:
            hand(parameter)["used"] = True
        assert all("used" in hand(parameter) for parameter in parameters[-2:])
        return outcome

    class Looking(replay.Replayed):
        def __init__(self, function: Callable[[], None], changed: Any, pool: Any) -> None:
            for _ in range(2):
                met.extend("used" in hand(parameter) for parameter in parameters)
                function()
            super().__init__(function, changed, pool)

    monkeypatch.setattr(replay, "Replayed", Looking)
    watched = replace(training, objective=objective)
    monkeypatch.setattr(TrainConfig, "training", property(lambda config: watched))
    # captures come right behind batches without a graph, and behind figures of them
    a, b, c, d, e, f = [(count, masked) for count in (16, 17, 18) for masked in (True, False)]
    monkeypatch.setattr(trainer, "LOG_EVERY", 1)
    trained(
        tmp_path, replace(config, steps=6, confidence_steps=6), stage, True,
        (a, b, c, d, a, e, f, d, b),
    )  # fmt: skip
    assert len(met) == 6 * 2 * len(parameters) and not any(met)


def test_ctrl_c_in_a_capture_is_not_taken_for_its_failure(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*given: Any) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("capture was invalidated")

    monkeypatch.setattr(replay, "Replayed", failing)
    _, _, graphs = prepared("lightglue", "pose")
    graphs.gradients(*batch(0, WHOLE)[:3], 1)
    with pytest.raises(KeyboardInterrupt):
        graphs.gradients(*batch(1, WHOLE)[:3], 1)


def test_few_graphs_are_kept_and_none_goes_that_is_in_use(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "KEPT", 2)
    monkeypatch.setattr(replay, "IDLE", 6)
    _, _, graphs = prepared("lightglue", "pose")

    def did(shape: tuple[int, bool]) -> bool:
        return graphs.gradients(*batch(0, shape)[:3], 1) is not None

    assert [did(shape) for shape in (WHOLE, WHOLE, MASKED, MASKED)] == [False, True] * 2
    assert not did(LONGER) and not graphs.settled
    assert not did(LONGER) and graphs.settled  # there is no room
    assert did(MASKED) and did(MASKED)  # WHOLE is idle meanwhile
    assert did(LONGER) and did(MASKED)
    assert not did(WHOLE)


def test_where_memory_is_short_there_are_no_graphs(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gib = 1 << 30
    memory = {"mem_get_info": (5 * gib, 8 * gib), "memory_allocated": gib}
    memory |= {"memory_reserved": 3 * gib, "max_memory_allocated": 5 * gib}
    for name, value in memory.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    cuda = torch.device("cuda")
    assert not replay._roomy(cuda)  # 5 + 2 of 2 · 4 GiB
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 4 * gib)
    assert replay._roomy(cuda) and replay._roomy(CPU)

    monkeypatch.setattr(replay, "_roomy", lambda device: False)
    _, _, graphs = prepared("lightglue", "pose")
    assert [graphs.gradients(*batch(0, WHOLE)[:3], 1) for _ in range(3)] == [None] * 3
    assert graphs.settled and not graphs._graphs


@pytest.mark.parametrize(("matcher", "stage"), STAGES)
@pytest.mark.parametrize("shape", [WHOLE, MASKED])
@pytest.mark.parametrize("mixed", [False, True])
def test_nothing_in_a_graph_is_waited_for(
    prepared: Any, matcher: str, stage: str, shape: tuple[int, bool], mixed: bool
) -> None:
    if mixed and matcher == "superglue":
        pytest.skip("trains in float32")
    _, _, graphs = prepared(matcher, stage, mixed=mixed)
    given = batch(0, shape)
    graphs.gradients(*given[:3], 1)
    assert graphs.gradients(*given[:3], 1) is not None
    (graph,) = graphs._graphs.values()
    assert waits(graph._run) == []
    # and of the whole batch SuperGlue's assumption is looked at, once
    with Watch() as watch:
        graphs.gradients(*given[:3], 1)
    assert watch.seen == ([] if matcher == "lightglue" else ["_local_scalar_dense"])


def test_a_range_of_scores_that_does_not_fit_is_found_out(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First numbers are wider, then there are no graphs; the gradients are right each time."""
    model, parameters, graphs = prepared("superglue", "pose")
    given = batch(0, MASKED)
    graphs.gradients(*given[:3], 1)
    assert graphs.gradients(*given[:3], 1) is not None
    for rooms, kind in (((1e-3, 340.0), torch.float64), ((1e-3, 1e-3), None)):
        for each, room in zip((torch.float32, torch.float64), rooms, strict=True):
            monkeypatch.setitem(sinkhorn._ROOM, each, room)
        before = [value.clone() for value in model.buffers()]
        for parameter in parameters:
            parameter.grad = None
        assert graphs.gradients(*given[:3], 1) is None
        assert all(map(torch.equal, before, model.buffers()))
        assert all(parameter.grad is None for parameter in parameters)
        found = graphs.gradients(*given[:3], 1)
        if kind is None:
            assert found is None and graphs.settled
        else:
            assert found is not None and graphs.kind == kind


def test_assumed_and_looked_at_scores_give_the_same() -> None:
    draw = torch.Generator().manual_seed(0)
    scores = 5.0 * torch.randn((2, 7, 9), generator=draw)
    mask = torch.ones((2, 7), dtype=torch.bool)
    mask[1, 4:] = False
    seen = sinkhorn.log_optimal_transport(scores, torch.tensor(0.7), 20, mask)
    with assuming(torch.float32) as assumptions:
        assumed = sinkhorn.log_optimal_transport(scores, torch.tensor(0.7), 20, mask)
    assert torch.equal(seen, assumed)
    assert [bool(one) for one in assumptions.hold] == [True]


@pytest.mark.parametrize("real", [30, 2, 1, 0])
def test_batch_norm_of_some_is_that_of_them_alone(real: int) -> None:
    draw = torch.Generator().manual_seed(real)
    norms = [nn.BatchNorm1d(5).double() for _ in range(2)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.copy_(torch.arange(1.0, 6.0))
            norm.bias.copy_(torch.arange(5.0))
            norm.running_mean.fill_(0.3)
            norm.running_var.fill_(2.0)
    x = torch.randn((40, 5), generator=draw, dtype=torch.float64).requires_grad_()
    places = torch.randperm(40, generator=draw)[:real]
    mask = torch.zeros(40, dtype=torch.bool).index_fill(0, places, True)
    by = torch.randn((40, 5), generator=draw, dtype=torch.float64)
    if real < 2:  # there is no variance
        norms[0].eval()
    alone = norms[0](x[mask])
    among = _norm_of_some(norms[1], x, mask)
    torch.testing.assert_close(among[mask], alone)
    for name, value in norms[0].named_buffers():
        torch.testing.assert_close(norms[1].get_buffer(name), value)
    gradients = [
        torch.autograd.grad((values * by[mask]).sum(), [x, norm.weight, norm.bias])
        for values, norm in zip((alone, among[mask]), norms, strict=True)
    ]
    for found, expected in zip(*gradients[::-1], strict=True):
        torch.testing.assert_close(found, expected)
    norms[1].eval()  # so that it does not move while differences are taken
    assert torch.autograd.gradcheck(
        lambda x, w, b: _Still(norms[1], w, b)(x, mask), (x, norms[1].weight, norms[1].bias)
    )


class _Still:
    """BatchNorm of some, with other weights, whose running statistics are put back."""

    def __init__(self, norm: nn.BatchNorm1d, weight: Tensor, bias: Tensor) -> None:
        self.norm = nn.BatchNorm1d(5).double()
        self.norm.load_state_dict(norm.state_dict())
        del self.norm.weight, self.norm.bias
        self.norm.weight, self.norm.bias = weight, bias  # type: ignore[assignment]

    def __call__(self, x: Tensor, mask: Tensor) -> Tensor:
        return _norm_of_some(self.norm, x, mask)


def test_a_matcher_that_does_not_say_that_it_may_be_is_not_replayed(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIGS["lightglue"]
    model = build(config)
    training = replace(config.training, replayed=False)
    parameters = trainable(model, training, "pose")
    graphs = StepGraphs(model, training, "pose", parameters, Hardware(CPU).autocast)
    assert [graphs.gradients(*batch(0, WHOLE)[:3], 1) for _ in range(3)] == [None] * 3


def test_a_schedule_is_laid_out_by_steps_that_are_replayed(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shapes that are new, and graphs that are made, take time that no later step does."""
    shapes = (WHOLE, MASKED, LONGER, (24, False))
    config, clock = CONFIGS["lightglue"], [0.0]
    plain = trainer._Step.gradients

    def gradients(step: Any) -> Any:
        found = plain(step)
        clock[0] += 1.0 if step.settled else 100.0
        return found

    monkeypatch.setattr(trainer._Step, "gradients", gradients)
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: clock[0])
    model = build(config).train()
    hardware = Hardware(CPU, graphs=True)
    assert step_seconds(model, "pose", config, batches(config, shapes), hardware) == 1.0
    assert (counted.made, counted.did) == (4, 4 + trainer._TIMED)
    # every batch is another one: it ends all the same
    monkeypatch.setattr(trainer, "_TIMED_AT_MOST", 9)
    many = [(count, False) for count in range(16, 40)]
    found = step_seconds(model, "pose", replace(config, steps=24), batches(config, many), hardware)
    assert found == 100.0


def test_a_profile_tells_of_replayed_batches_as_one_part(tmp_path: Path) -> None:
    config, told = replace(CONFIGS["lightglue"], steps=30), []
    run_stage(
        build(config), "pose", config, batches(config, (WHOLE,)),
        lambda model, stage: Validation(0.0, {}), tmp_path, Hardware(CPU, graphs=True),
        profiler=StepProfiler(trainer.PARTS, told.append),
    )  # fmt: skip
    (report,) = told
    assert tuple(report.host_s) == ("pairs and labels", REPLAYED, "optimiser")
    assert report.host_s[REPLAYED] > report.host_s["optimiser"]
    assert f"  {REPLAYED} " in str(report)


def test_on_a_gpu_alone_it_is_the_default() -> None:
    assert Hardware(torch.device("cuda")).replays and not Hardware(CPU).replays
    assert Hardware(CPU, graphs=True).replays
    assert not Hardware(torch.device("cuda"), graphs=False).replays


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(("matcher", "stage"), STAGES)
@pytest.mark.parametrize("mixed", [False, True])
def test_on_a_gpu_graphs_make_the_gradients_of_their_batch(
    prepared: Any, matcher: str, stage: str, mixed: bool
) -> None:
    """A capture that fails would warn, which is an error here."""
    if mixed and matcher == "superglue":
        pytest.skip("trains in float32")
    device = torch.device("cuda")
    model, parameters, graphs = prepared(matcher, stage, device, mixed)
    assert isinstance(model, LightGlue) == (matcher == "lightglue")
    hardware = Hardware(device, mixed=mixed)
    for number in range(12):
        given = batch(number, (WHOLE, MASKED, LONGER)[number % 3], device)
        before = [value.clone() for value in model.buffers()]
        for parameter in parameters:
            parameter.grad = None
        outcome = graphs.gradients(*given[:3], 1)
        assert (outcome is None) == (number < 3)
        if outcome is None:
            continue
        loss = float(outcome.loss.detach())
        found = [parameter.grad.clone() for parameter in parameters]
        after = [value.clone() for value in model.buffers()]
        for value, old in zip(model.buffers(), before, strict=True):
            value.copy_(old)
        for parameter in parameters:
            parameter.grad = None
        with hardware.autocast():
            plain = CONFIGS[matcher].training.objective(model, *given[:3], stage)
        plain.loss.backward()
        close = 0.05 if mixed else 1e-3
        assert loss == pytest.approx(float(plain.loss.detach()), rel=close)
        whole = torch.cat([parameter.grad.flatten() for parameter in parameters])
        apart = torch.cat([value.flatten() for value in found]) - whole
        assert float(apart.norm()) <= close * float(whole.norm())
        for value, moved in zip(model.buffers(), after, strict=True):
            torch.testing.assert_close(value, moved, rtol=1e-3, atol=1e-4)
        del plain
