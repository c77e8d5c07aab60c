"""Which pairs of held-out frames a training is validated and tested with.

What is held out, and how far from what is trained on, says `satgen.splits`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

GAPS = (1, 2, 5, 10, 20, 30, 45, 60)
"""Differences of index at which held-out frames are paired, as the benchmark pairs them."""


def held_out_pairs(
    split: Indices, gaps: Sequence[int] = GAPS, count: int = 50, seed: int = 0
) -> list[tuple[int, int]]:
    """Pairs (i, i + gap) of held-out indices, `count` a gap at most, ordered by gap and index.

    Args:
        split: the indices of a part.
        gaps: differences of index; those that no two indices have are passed over.
        count, seed: of the draw, without replacement.
    """
    pairs: list[tuple[int, int]] = []
    for gap in sorted(set(gaps)):
        starts = split[np.isin(split + gap, split)]
        if count < len(starts):
            rng = np.random.default_rng([seed, gap])
            starts = np.sort(rng.choice(starts, size=count, replace=False))
        pairs += [(int(i), int(i) + gap) for i in starts]
    return pairs
