"""Random choices that stay the same for a seed, whatever the version of NumPy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Draw:
    """A stream of choices of its own for a seed and what it is for.

    Everything is made from uniform doubles of PCG64, the one thing that NumPy promises to keep, so
    that a seed means the same craft everywhere; streams are apart, so that another choice in one
    does not shift those in the others.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        words = [seed, *purpose.encode()]
        self._bits = np.random.Generator(np.random.PCG64(words))

    def unit(self) -> float:
        """Uniform in 0..1."""
        return float(self._bits.random())

    def uniform(self, low: float, high: float) -> float:
        """Uniform between two numbers, rounded to a tenth of a millimetre (or of a milli-unit)."""
        return round(low + (high - low) * self.unit(), 4)

    def log_uniform(self, low: float, high: float) -> float:
        """Uniform in the logarithm: as many small as large ones."""
        return round(low * math.exp(math.log(high / low) * self.unit()), 4)

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return min(high, low + int(self.unit() * (high - low + 1)))

    def chance(self, probability: float) -> bool:
        """Whether something with this probability happens."""
        return self.unit() < probability

    def sign(self) -> float:
        """1 or -1."""
        return 1.0 if self.chance(0.5) else -1.0

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.integer(0, len(items) - 1)]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One of the keys, as likely as its weight says."""
        at = self.unit() * sum(weights.values())
        for item, weight in weights.items():
            at -= weight
            if at < 0.0:
                return item
        return next(reversed(list(weights)))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        keys = [self.unit() for _ in items]
        return [items[k] for k in sorted(range(len(items)), key=keys.__getitem__)]
