"""How sure a difference between two runs over the same pairs is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from satgen.errors import InputError
from satgen.geometry import Floats

_CHUNK = 1 << 20
"""Numbers drawn at a time: bounds the memory."""


@dataclass(frozen=True)
class Interval:
    """A difference, second run minus first, and its confidence interval.

    Attributes:
        difference: of the statistic over all pairs.
        low, high: ends of the interval; the difference is significant where 0 is outside.
        pairs: pairs that both runs have a figure of.
    """

    difference: float
    low: float
    high: float
    pairs: int


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    statistic: Callable[[Floats], float] | None = None,
) -> Interval:
    """Percentile bootstrap of a paired difference (Efron and Tibshirani 1993, chapter 13).

    Pairs of images are drawn with replacement, and both runs are evaluated on the same draw. Pairs
    of neighbouring frames are not independent, so that with all consecutive pairs the interval is
    narrower than it should be.

    Args:
        first, second: (N,) a figure of each pair, in the same order; pairs where either is NaN are
            left out.
        confidence: of the interval, in (0, 1).
        resamples: draws.
        seed: of the draws.
        statistic: of (N,) figures, such as an area under a curve; the mean unless given.

    Returns:
        NaN throughout where no pair is left.

    Raises:
        InputError: not the same number of figures, or a confidence or number that cannot be.
    """
    a, b = (np.asarray(v, dtype=np.float64).ravel() for v in (first, second))
    if len(a) != len(b):
        raise InputError(f"{len(a)} figures and {len(b)}: the runs must cover the same pairs")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence {confidence}: must be between 0 and 1")
    if resamples < 1:
        raise InputError(f"{resamples} resamples: must be at least 1")
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    count = len(a)
    if not count:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // count)
    draws = []
    for done in range(0, resamples, step):
        rows = rng.integers(0, count, (min(step, resamples - done), count))
        if statistic is None:
            draws.append((b - a)[rows].mean(axis=1))
        else:
            draws.append(np.array([statistic(b[row]) - statistic(a[row]) for row in rows]))
    whole = float((b - a).mean()) if statistic is None else statistic(b) - statistic(a)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.concatenate(draws), [tail, 1.0 - tail])
    return Interval(float(whole), float(low), float(high), count)
