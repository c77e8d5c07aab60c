"""CUDA graphs: what is launched often and small, launched at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        with torch.cuda.device(changed[0].device):
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


def _milliseconds(replay: Callable[[], None]) -> float:
    begins, ends = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begins.record()
    replay()
    ends.record()
    ends.synchronize()
    return float(begins.elapsed_time(ends))
