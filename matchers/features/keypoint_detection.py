"""Keypoints from a score map: non-maximum suppression and soft-argmax refinement."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from matchers.features.sampling import bilinear_taps, weighted_rows


def window_max(values: Tensor, radius: int) -> Tensor:
    """The largest value of the (2·radius+1)² window around each pixel of an (H, W) map.

    Only pixels of the map count. Separable and by doubling: 2·log2(window) comparisons a pixel.
    """
    low = float("-inf") if values.is_floating_point() else 0
    size = 2 * radius + 1
    for axis in (0, 1):
        length = values.shape[axis]
        padding = (0, 0, radius, radius) if axis == 0 else (radius, radius)
        best, reach = functional.pad(values, padding, value=low), 1
        while reach < size:
            step = min(reach, size - reach)
            rest = best.shape[axis] - step
            best = torch.maximum(best.narrow(axis, 0, rest), best.narrow(axis, step, rest))
            reach += step
        values = best.narrow(axis, 0, length)
    return values


def local_maxima(scores: Tensor, radius: int, rounds: int = 2) -> Tensor:
    """Non-maximum suppression of an (H, W) map of positive scores: (H, W) bool.

    A pixel stays if no other in its window has a higher score. Each further round also keeps the
    pixels that are highest once the windows around those kept so far are struck out; with enough
    rounds this is greedy suppression. The official ALIKED and SuperPoint codes use 2 rounds.
    Pixels of a window of equal scores are no maxima.
    """
    best = window_max(scores, radius)
    uneven = best > -window_max(-scores, radius)
    kept = (scores == best) & uneven
    for _ in range(rounds):
        struck = window_max(kept.to(torch.uint8), radius).bool()
        rest = scores.masked_fill(struck, 0.0)
        kept = kept | ((rest == window_max(rest, radius)) & ~struck & uneven)
    return kept


def without_border(kept: Tensor, border: int) -> Tensor:
    """An (H, W) bool map with a border of so many pixels set to False."""
    inner = torch.zeros_like(kept)
    inside = (slice(border, max(border, size - border)) for size in kept.shape)
    rows, columns = inside
    inner[rows, columns] = kept[rows, columns]
    return inner


def soft_argmax(scores: Tensor, pixels: Tensor, radius: int, temperature: float = 0.1) -> Tensor:
    """Expected place of the peak around pixels (ALIKE, Zhao et al. 2022, eq. 6 and 7).

    Args:
        scores: (H, W).
        pixels: (N, 2) int64, (x, y), at least `radius` from the border.

    Returns:
        (N, 2) float, (x, y).
    """
    steps = torch.arange(-radius, radius + 1, device=scores.device)
    window = torch.cartesian_prod(steps, steps)  # (down, right)
    rows = pixels[:, 1] * scores.shape[1] + pixels[:, 0]
    patches = scores.flatten()[rows[:, None] + window[:, 0] * scores.shape[1] + window[:, 1]]
    share = (patches / temperature).softmax(dim=1)
    return pixels + share @ window.flip(-1).to(scores.dtype)


def sample(scores: Tensor, points: Tensor) -> Tensor:
    """An (H, W) map at (N, 2) points (x, y), bilinear: (N,)."""
    height, width = scores.shape
    rows, weights = bilinear_taps(points[:, 0], points[:, 1], width, height)
    return weighted_rows(scores.reshape(-1, 1), rows, weights)[:, 0]


def best_first(scores: Tensor, limit: int | None = None) -> Tensor:
    """Indices of (N,) scores, highest first, equal ones in their order; at most `limit`."""
    return scores.argsort(descending=True, stable=True)[:limit]
