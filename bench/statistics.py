"""How sure a difference is: of two runs over the same pairs, or of some pairs to others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from satgen.errors import InputError
from satgen.geometry import Floats

_CHUNK = 1 << 20
"""Numbers drawn at a time: bounds the memory."""

_NORMAL_95 = 1.959964
"""Standard errors that a 95 % interval reaches to either side."""


@dataclass(frozen=True)
class Interval:
    """A difference and its confidence interval.

    Attributes:
        difference: second run minus first, of the statistic over all pairs; or some pairs minus
            others.
        low, high: ends of the interval; the difference is significant where 0 is outside.
        pairs: pairs that both runs have a figure of; or the pairs that others are compared with.
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


def within_groups(values: ArrayLike, chosen: ArrayLike, groups: ArrayLike) -> Interval:
    """How chosen pairs differ from the other pairs of their group, groups taken together.

    The mean difference inside each group, weighted by how well the group tells it; that is the
    slope on `chosen` of a regression with a level for each group. Groups of which all pairs are
    chosen, or none, say nothing and take no part. The interval is of 95 %, by standard errors that
    allow for unequal spread and few pairs (HC3; MacKinnon and White 1985).

    Args:
        values: (N,) a figure of each pair; pairs with NaN are left out.
        chosen: (N,) bool.
        groups: (N,) names or numbers of the groups.

    Returns:
        `pairs`: chosen pairs of groups that take part. NaN throughout where there are none; ends of
        -inf and inf where the pairs are too few to tell.

    Raises:
        InputError: not the same number of each.
    """
    y, inside = np.asarray(values, dtype=np.float64).ravel(), np.asarray(chosen, dtype=bool).ravel()
    names, group = np.unique(np.asarray(groups).ravel(), return_inverse=True)
    if not len(y) == len(inside) == len(group):
        raise InputError(f"{len(y)} figures, {len(inside)} choices, {len(group)} groups")
    known = ~np.isnan(y)
    y, inside, group = y[known], inside[known], group[known]
    sizes = np.bincount(group, minlength=len(names))
    shares = np.bincount(group, inside, len(names)) / np.maximum(sizes, 1)
    part = ((shares > 0.0) & (shares < 1.0))[group]
    y, inside, group = y[part], inside[part], group[part]
    if not len(y):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    means = np.bincount(group, y, len(names)) / np.maximum(sizes, 1)
    x, y = inside - shares[group], y - means[group]
    spread = float(x @ x)
    slope = float(x @ y) / spread
    leverage = x**2 / spread + 1.0 / sizes[group]
    count = int(np.count_nonzero(inside))
    if leverage.max() > 1.0 - 1e-9:  # a pair that nothing else can be held against
        return Interval(slope, -np.inf, np.inf, count)
    error = float(np.sqrt((x**2 * ((y - slope * x) / (1.0 - leverage)) ** 2).sum())) / spread
    return Interval(slope, slope - _NORMAL_95 * error, slope + _NORMAL_95 * error, count)
