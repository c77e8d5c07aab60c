"""How long work takes, that of a GPU included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def timed(run: Callable[[], T], device: torch.device | None) -> tuple[T, float]:
    """What a function answers, and the seconds that it took, the work of its device, if it has one,
    included."""
    synchronise(device)
    start = time.perf_counter()
    answer = run()
    synchronise(device)
    return answer, time.perf_counter() - start


def synchronise(device: torch.device | None) -> None:
    """Wait for what was put in a GPU's queue."""
    if device is None or device.type == "cpu":
        return
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
