"""Bilinear sampling as weighted sums of table rows.

A map of C channels is a table with a row for each pixel (channels last). A sample is a sum of a few
rows with weights: one `embedding_bag`, which neither copies the rows nor loops over taps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def weighted_rows(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Sums of weighted rows: out[n] = Σ_k weights[n, k] · table[rows[n, k]].

    Args:
        table: (R, C).
        rows: (N, K) int64.
        weights: (N, K), any floating dtype.

    Returns:
        (N, C), the table's dtype.
    """
    weights = weights.to(table.dtype)
    if table.device.type in ("cpu", "cuda"):
        return functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
    return torch.einsum("nkc,nk->nc", table[rows], weights)


def axis_taps(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The two pixels next to positions along one axis, and their weights.

    Pixels outside 0 … size−1 count as zeros: their weight is 0 (their index is a valid one).

    Args:
        position: (…), pixels.
        size: pixels along the axis.

    Returns:
        (2, …) int64 indices and (2, …) weights.
    """
    floor = position.floor()
    fraction = position - floor
    index = torch.stack((floor, floor + 1))
    weight = torch.stack((1 - fraction, fraction))
    weight *= (index >= 0) & (index < size)
    return index.clamp_(0, size - 1).long(), weight


def bilinear_taps(x: Tensor, y: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """The four pixels next to points of a map, whose pixels are a table's rows, row by row.

    Pixels outside the map count as zeros.

    Args:
        x, y: (…), pixels.
        width, height: of the map.

    Returns:
        (…, 4) int64 rows and (…, 4) weights.
    """
    columns, right = axis_taps(x, width)
    rows, down = axis_taps(y, height)
    rows *= width
    taps = torch.stack([row + column for row in rows for column in columns], dim=-1)
    return taps, torch.stack([a * b for a in down for b in right], dim=-1)
