"""The learning rate of the networks that forecast, over their training."""

from __future__ import annotations

import math

WARMUP = 0.05
"""Share of the steps in which the learning rate rises."""


def warmed_cosine(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step: a rise, then half a cosine down to 0."""
    rise = max(1.0, WARMUP * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))
