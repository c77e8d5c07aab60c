"""Keypoints from a score map: non-maximum suppression and soft-argmax refinement."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from matchers.features.sampling import bilinear_taps, weighted_rows


def window_max(values: Tensor, radius: int) -> Tensor:
    """The largest value of the (2·radius+1)² window around each pixel of (…, H, W) maps.

    Only pixels of the map count. Separable and by doubling: 2·log2(window) comparisons a pixel.
    """
    low = float("-inf") if values.is_floating_point() else 0
    size = 2 * radius + 1
    for axis in (-2, -1):
        length = values.shape[axis]
        padding = (0, 0, radius, radius) if axis == -2 else (radius, radius)
        best, reach = functional.pad(values, padding, value=low), 1
        while reach < size:
            step = min(reach, size - reach)
            rest = best.shape[axis] - step
            best = torch.maximum(best.narrow(axis, 0, rest), best.narrow(axis, step, rest))
            reach += step
        values = best.narrow(axis, 0, length)
    return values


def local_maxima(scores: Tensor, radius: int, rounds: int = 2) -> Tensor:
    """Non-maximum suppression of (…, H, W) maps of positive scores: (…, H, W) bool.

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
    """(…, H, W) bool maps with a border of so many pixels set to False."""
    inner = torch.zeros_like(kept)
    inside = (slice(border, max(border, size - border)) for size in kept.shape[-2:])
    rows, columns = inside
    inner[..., rows, columns] = kept[..., rows, columns]
    return inner


def soft_argmax(
    scores: Tensor,
    pixels: Tensor,
    radius: int,
    temperature: float = 0.1,
    of: Tensor | None = None,
) -> Tensor:
    """Expected place of the peak around pixels (ALIKE, Zhao et al. 2022, eq. 6 and 7).

    Args:
        scores: (H, W), or (B, H, W).
        pixels: (N, 2) int64, (x, y), at least `radius` from the border.
        radius: of the window.
        temperature: of the softmax.
        of: (N,) int64, the map of each, of B.

    Returns:
        (N, 2) float, (x, y).
    """
    height, width = scores.shape[-2:]
    steps = torch.arange(-radius, radius + 1, device=scores.device)
    window = torch.cartesian_prod(steps, steps)  # (down, right)
    rows = pixels[:, 1] * width + pixels[:, 0]
    if of is not None:
        rows = rows + of * (height * width)
    patches = scores.flatten()[rows[:, None] + window[:, 0] * width + window[:, 1]]
    share = (patches / temperature).softmax(dim=1)
    return pixels + share @ window.flip(-1).to(scores.dtype)


def sample(scores: Tensor, points: Tensor, of: Tensor | None = None) -> Tensor:
    """(H, W) or (B, H, W) maps at (N, 2) points (x, y), each `of` one of B, bilinear: (N,)."""
    height, width = scores.shape[-2:]
    rows, weights = bilinear_taps(points[:, 0], points[:, 1], width, height)
    if of is not None:
        rows += of[:, None] * (height * width)
    return weighted_rows(scores.reshape(-1, 1), rows, weights)[:, 0]


def best_first(scores: Tensor, limit: int | None = None) -> Tensor:
    """Indices of (N,) scores, highest first, equal ones in their order; at most `limit`."""
    return scores.argsort(descending=True, stable=True)[:limit]


def best_first_of_each(scores: Tensor, of: Tensor) -> Tensor:
    """Indices of (N,) scores `of` several images: those of the first, highest first, then those of
    the next; equal ones in their order."""
    order = best_first(scores)
    return order[of[order].argsort(stable=True)]


def counts_of(of: Tensor, count: int) -> Tensor:
    """How often each of 0 … count−1 is in (N,): (count,) int64, without waiting for a GPU."""
    return (of == torch.arange(count, device=of.device)[:, None]).sum(1)
