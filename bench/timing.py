"""Running a matcher on one pair or a batch of pairs, and the time that takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

    from matchers.types import Features, Matcher

T = TypeVar("T")


def match_all(matcher: Matcher, sides: list[tuple[Features, Features]]) -> list[Any]:
    """Matches of each pair; several go as a batch."""
    if len(sides) == 1:
        return [matcher(*sides[0])]
    from matchers.types import batch

    first, second = zip(*sides, strict=True)
    return list(matcher(batch(list(first)), batch(list(second))))


def timed(run: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """What a function answers, and the seconds that it took, the device's work included."""
    synchronise(device)
    start = time.perf_counter()
    answer = run()
    synchronise(device)
    return answer, time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for what was put in a GPU's queue."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
