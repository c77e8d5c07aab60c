"""CUDA graphs: what is launched often and small, launched at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_TIMED = 5
"""Replays that a graph's time is the least of."""


class Replayed:
    """A function over tensors that stay where they are: on CUDA a graph, elsewhere the function.

    Args:
        function: reads and writes such tensors, and waits for nothing.
        changed: those that it writes and that must be as they were once it is captured.
        pool: memory that graphs share which are never at work together; None: not on CUDA.
    """

    def __init__(
        self, function: Callable[[], None], changed: Sequence[Tensor], pool: Any = None
    ) -> None:
        self.run: Callable[[], None] = function
        self.ms = 0.0
        if pool is None:
            return
        kept = [tensor.clone() for tensor in changed]
        device = changed[0].device
        # a capture that fails leaves its stream the current one: the second `with` puts that right
        with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
            current: Any = torch.cuda.current_stream()
            aside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(current)
            with torch.cuda.stream(aside):  # libraries set up what cannot be captured
                function()
                function()
            current.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                function()
            self.run = graph.replay
            self.ms = min(_milliseconds(graph.replay) for _ in range(_TIMED))
        for tensor, before in zip(changed, kept, strict=True):
            tensor.copy_(before)


class SharedMemory:
    """Memory that graphs share which are never at work together, for as long as this is there.

    Args:
        device: that they run on.

    Attributes:
        pool: see `Replayed`; None: not on CUDA.
    """

    def __init__(self, device: torch.device) -> None:
        self.pool: Any = None
        if device.type == "cuda":
            self.pool = torch.cuda.graph_pool_handle()
            # a pool ends with the last graph in it, and can never be used again
            number = torch.zeros(1, device=device)

            def count() -> None:
                number.add_(1)

            self._keeper = Replayed(count, (number,), self.pool)


@dataclass
class Assumptions:
    """What code assumes of values that it may not look at, for a graph is made of it.

    Attributes:
        kind: of floats that numbers of any size are taken to fit.
        hold: whether each assumption does, () bool on the device.
    """

    kind: torch.dtype
    hold: list[Tensor] = field(default_factory=list)


_assumptions: ContextVar[Assumptions | None] = ContextVar("assumptions", default=None)


def assumed() -> Assumptions | None:
    """Where to note what is assumed; None: values may be looked at."""
    return _assumptions.get()


@contextmanager
def assuming(kind: torch.dtype) -> Iterator[Assumptions]:
    """In the `with` block no value on the device is looked at, see `Assumptions`."""
    before = _assumptions.set(found := Assumptions(kind))
    try:
        yield found
    finally:
        _assumptions.reset(before)


def _milliseconds(replay: Callable[[], None]) -> float:
    begins, ends = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begins.record()
    replay()
    ends.record()
    ends.synchronize()
    return float(begins.elapsed_time(ends))
