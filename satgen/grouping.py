"""Which rows of an array are the same (by a hash: sorting whole rows takes long), and what hangs
together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def equal_rows(rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups of equal rows.

    Args:
        rows: (N, K) whole numbers, or floating-point ones of 4 or 8 bytes that are not NaN; 0 and
            -0 are the same.

    Returns:
        first: (G,) the first row of each group, ascending; group: (N,) whose each row is.
    """
    if len(rows) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if rows.dtype.kind == "f":
        rows = rows + 0.0  # of -0 and 0 one
        rows = rows.view(np.uint32 if rows.itemsize == 4 else np.uint64)
    key = np.zeros(len(rows), dtype=np.uint64)
    for column in rows.T:
        key ^= column.astype(np.uint64)
        key *= _MULTIPLIER
        key ^= key >> _SHIFT
    order = np.argsort(key)
    ordered = key[order]
    new = np.append(True, ordered[1:] != ordered[:-1])
    starts = np.flatnonzero(new)
    first = np.minimum.reduceat(order, starts)
    group = np.empty(len(rows), dtype=np.int64)
    group[order] = np.cumsum(new) - 1
    if not np.array_equal(rows[first[group]], rows):  # two rows of one hash: all but never
        _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        group = group.reshape(-1)
    rank = np.empty(len(first), dtype=np.int64)
    by_place = np.argsort(first)
    rank[by_place] = np.arange(len(first))
    return first[by_place].astype(np.int64), rank[group]


def connected(
    one: NDArray[np.integer[Any]], other: NDArray[np.integer[Any]], count: int
) -> NDArray[np.int32]:
    """Which component each of `count` things is of, (count,) from 0.

    Args:
        one, other: (N,) pairs of things, by their numbers, that hang together.
        count: of things.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int32)


def distinct(numbers: NDArray[Any], end: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which whole numbers there are among (N,), ascending, and which of these each is.

    Args:
        numbers: at least 0 and below `end`, which are looked up; `np.unique` would sort them.
    """
    there = np.zeros(end, dtype=bool)
    there[numbers] = True
    found = np.flatnonzero(there)
    rank = np.empty(end, dtype=np.intp)
    rank[found] = np.arange(len(found))
    return found, np.take(rank, numbers)
