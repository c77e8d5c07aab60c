"""Gradients of batches by CUDA graphs: forward pass, loss and backward pass, launched at once.

To launch the many small kernels of a training step takes a GPU's host longer than they run. So what
is done for batches of one shape is captured once, over tensors that stay where they are, and
replayed for each of them. Where a batch's shape is new, or one of many, where memory is short, or
the capture fails, the caller does without; elsewhere than on CUDA the same function is called,
which is how this is tested.

Gradients are added to `grad` as `backward` adds them: a parameter that no batch has used has none.
"""

from __future__ import annotations

import gc
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from matchers.graphs import Replayed, SharedMemory, assuming
from matchers.training.bank import PairSide
from matchers.training.profiling import REPLAYED
from matchers.training.spec import LossAndAssignment, TrainingSpec

if TYPE_CHECKING:
    from matchers.truth.batched import Labels

KEPT = 8
"""Shapes of batches whose graphs are kept."""

IDLE = 200
"""Batches for which a graph must not have been used to make room for another."""

_KINDS = (torch.float32, torch.float64)
"""Of floats, in turn: those that numbers are taken to fit (`Assumptions`)."""

Given = tuple[PairSide, PairSide, "Labels"]


class _Graph:
    """The graph for batches of one shape.

    Args:
        owner: whose batches they are.
        given: such a batch, which is copied.
        count: batches of which the loss is the mean.
        pool: see `Replayed`.
    """

    def __init__(self, owner: StepGraphs, given: Given, count: int, pool: Any) -> None:
        leaves = _leaves(given)
        self._owner, self._count = owner, count
        self._places = [torch.empty_like(leaf, memory_format=torch.contiguous_format)
                        for leaf in leaves]  # fmt: skip
        self._given: Given = _rebuilt(given, dict(zip(map(id, leaves), self._places, strict=True)))
        self.load(leaves)
        device = leaves[0].device
        self._loss = torch.zeros((), device=device)
        self._held = torch.ones((), dtype=torch.bool, device=device)
        self.used: list[int] = []
        self._assumes = False
        self._kept: tuple[Tensor, list[tuple[Tensor, Tensor]] | None] | None = None
        self._graph = Replayed(self._run, (self._loss, *owner.buffers), pool)

    def load(self, leaves: Sequence[Tensor]) -> None:
        """Put a batch in its place."""
        kinds: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for place, leaf in zip(self._places, leaves, strict=True):
            places, values = kinds.setdefault(leaf.dtype, ([], []))
            places.append(place)
            values.append(leaf)
        for places, values in kinds.values():  # those of one kind go at once
            torch._foreach_copy_(places, values)

    def run(self) -> bool:
        """Make the gradients of the batch that was put in its place; whether they are right. If
        not, the model's buffers are as they were."""
        self._graph.run()
        right = not self._assumes or bool(self._held)  # a GPU is waited for here
        if not right:
            _put(self._owner.buffers, self._owner.before)
        return right

    def outcome(self) -> LossAndAssignment:
        """What the objective answered, until the next batch."""
        assert self._kept is not None
        assignment, confidences = self._kept
        confide = None if confidences is None else lambda: confidences
        return LossAndAssignment(self._loss.clone(), lambda: assignment, confide)

    def _run(self) -> None:
        """What is captured."""
        owner = self._owner
        _put(owner.before, owner.buffers)
        with assuming(owner.kind) as assumptions:
            with owner.autocast():
                outcome = owner.training.objective(owner.model, *self._given, owner.stage)
                # few operations, made here so that nothing of a batch's shape outlives them
                self._kept = outcome.log_assignment, outcome.confidences
            found = torch.autograd.grad(
                outcome.loss / self._count, owner.parameters, allow_unused=True
            )
        self.used = [i for i, gradient in enumerate(found) if gradient is not None]
        _put([owner.found[i] for i in self.used], [g for g in found if g is not None])
        self._loss.copy_(outcome.loss.detach())
        self._assumes = bool(assumptions.hold)
        if self._assumes:
            self._held.copy_(torch.stack(assumptions.hold).all())


class StepGraphs:
    """Gradients of a stage's batches, by graphs.

    Args:
        model: in training mode where it is used; its parameters and buffers stay where they are.
        training: how it is trained.
        stage: one of its stages.
        parameters: those that the stage trains.
        autocast: mixed precision, if it is wanted; must keep no casts.

    Attributes:
        settled: whether the last batch was of a shape that is not to be captured in the next few
            steps, or has been.
    """

    def __init__(
        self,
        model: nn.Module,
        training: TrainingSpec,
        stage: str,
        parameters: Sequence[nn.Parameter],
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self.model, self.training, self.stage = model, training, stage
        self.parameters, self.autocast = list(parameters), autocast
        self.settled = True
        self.kind = _KINDS[0]
        self.buffers: list[Tensor] = []
        self.before: list[Tensor] = []
        self.found: list[Tensor] = []
        self._sums: list[Tensor] = []
        self._memory: SharedMemory | None = None
        self._graphs: OrderedDict[Any, _Graph] = OrderedDict()
        self._seen: set[Any] = set()
        self._used: dict[Any, int] = {}
        self._batches = 0
        self._off = not training.replayed

    def gradients(
        self, side0: PairSide, side1: PairSide, labels: Labels, count: int
    ) -> LossAndAssignment | None:
        """Add a batch's gradients to the parameters', if there is a graph for it.

        Args:
            side0, side1, labels: the batch.
            count: batches of which the loss is the mean.

        Returns:
            Without gradients, good until the next call; or None: nothing was done.
        """
        self.settled = True
        if self._off:
            return None
        self._batches += 1
        given = (_without_maps(side0), _without_maps(side1), labels)
        key = count, _key(given)
        if key not in self._graphs and not self._made(key, given, count):
            return None
        self._graphs.move_to_end(key)
        self._used[key] = self._batches
        graph = self._graphs[key]
        with record_function(REPLAYED):
            graph.load(_leaves(given))
            right = graph.run()
            if right:
                self._add(graph.used)
        if right:
            return graph.outcome()
        self._widen()
        return None

    def close(self) -> None:
        """Free the graphs' memory, and do without them from here on."""
        self._off = True
        self._graphs.clear()
        self._memory = None

    def _made(self, key: Any, given: Given, count: int) -> bool:
        """Whether there is now a graph for batches like this one: from the second on there is, if
        there is room."""
        if key not in self._seen:
            self._seen.add(key)
            self.settled = False
            return False
        if not _roomy(given[0].rows.device):
            return False
        if len(self._graphs) >= KEPT:
            oldest = next(iter(self._graphs))
            if self._batches - self._used[oldest] < IDLE:
                return False
            del self._graphs[oldest]
        self.settled = False
        before = [value.clone() for value in self.model.buffers()]
        try:
            graph = self._captured(given, count)
        except Exception as error:  # whatever a capture meets
            self.close()
            with suppress(Exception):
                # one that succeeds puts right what a broken one leaves of the generator's state
                SharedMemory(given[0].rows.device)
            _put(list(self.model.buffers()), before)
            if _interrupted(error):
                raise KeyboardInterrupt from None
            reason = next(iter(str(error).splitlines()), "")[:120]
            warnings.warn(
                f"steps are not replayed ({type(error).__name__}: {reason})", stacklevel=2
            )
            return False
        self._graphs[key] = graph
        return True

    def _captured(self, given: Given, count: int) -> _Graph:
        device = given[0].rows.device
        if self._memory is None:
            self.buffers = list(self.model.buffers())
            self.before = [value.clone() for value in self.buffers]
            self.found = [torch.zeros_like(p) for p in self.parameters]
            self._sums = [torch.zeros_like(p) for p in self.parameters]
            self._memory = SharedMemory(device)
        if device.type == "cuda":
            # what is left of another stream's backward pass must not be met with in a capture
            gc.collect()
        return _Graph(self, given, count, self._memory.pool)

    def _add(self, used: Sequence[int]) -> None:
        """Add what was found to the gradients of the parameters that were used."""
        new = [i for i in used if self.parameters[i].grad is None]
        old: list[tuple[Tensor, Tensor]] = [
            (grad, self.found[i]) for i in used if (grad := self.parameters[i].grad) is not None
        ]
        if old:
            torch._foreach_add_([grad for grad, _ in old], [found for _, found in old])
        _put([self._sums[i] for i in new], [self.found[i] for i in new])
        for i in new:
            self.parameters[i].grad = self._sums[i]

    def _widen(self) -> None:
        """Go on with floats of a larger range, in graphs made anew, or without graphs."""
        left = _KINDS[_KINDS.index(self.kind) + 1 :]
        if left:
            self.kind = left[0]
            self._graphs.clear()
        else:
            self.close()


def _put(places: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values to places, of which there may be none."""
    if places:
        torch._foreach_copy_(list(places), list(values))


def _roomy(device: torch.device) -> bool:
    """Whether a GPU has memory for the largest batch so far twice more: for graphs, which share
    theirs, and beside them for batches without one."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    used = torch.cuda.memory_allocated(device)
    unused = torch.cuda.memory_reserved(device) - used
    return free + unused >= 2 * (torch.cuda.max_memory_allocated(device) - used)


def _without_maps(side: PairSide) -> PairSide:
    """A side without its depth maps, which are large, and for labels alone."""
    return replace(side, geometry=replace(side.geometry, maps=None))


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error was met on the way out of a KeyboardInterrupt."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


# -- batches as lists of tensors -------------------------------------------------------------------


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass, or the items of a tuple; of anything else nothing."""
    if is_dataclass(value):
        for field in fields(value):
            yield field.name, getattr(value, field.name)
    elif isinstance(value, tuple):
        yield from ((str(place), item) for place, item in enumerate(value))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    for _, part in _parts(value):
        yield from _tensors(part)


def _leaves(value: Any) -> list[Tensor]:
    """The tensors of a value, each once."""
    return list({id(tensor): tensor for tensor in _tensors(value)}.values())


def _key(value: Any) -> Any:
    """Equal for values that differ in nothing but the numbers in their tensors."""
    order = {id(leaf): place for place, leaf in enumerate(_leaves(value))}

    def key(value: Any) -> Any:
        if isinstance(value, Tensor):
            return order[id(value)], value.dtype, value.shape, value.device
        parts = [(name, key(part)) for name, part in _parts(value)]
        return (type(value), *parts) if parts else value

    return key(value)


def _rebuilt(value: Any, places: dict[int, Tensor]) -> Any:
    """A value with other tensors, by the `id` of those that it has."""
    if isinstance(value, Tensor):
        return places[id(value)]
    parts = {name: _rebuilt(part, places) for name, part in _parts(value)}
    if is_dataclass(value):
        return replace(value, **parts)  # type: ignore[type-var]
    return tuple(parts.values()) if isinstance(value, tuple) else value
