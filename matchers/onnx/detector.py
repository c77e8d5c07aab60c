"""Keypoints from a score map, in operations that ONNX has and without sizes that depend on it.

As `matchers.features.keypoint_detection` finds them, but in a table of a fixed number of rows, the
best first: where there are fewer keypoints, the last rows are no keypoints.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def window_max(values: Tensor, radius: int) -> Tensor:
    """The largest value of the (2·radius+1)² window around each pixel of an (H, W) map."""
    size = 2 * radius + 1
    return functional.max_pool2d(values[None, None], size, stride=1, padding=radius)[0, 0]


def local_maxima(scores: Tensor, radius: int, rounds: int, border: int) -> Tensor:
    """Non-maximum suppression of an (H, W) map, without a border: (H, W) bool."""
    best = window_max(scores, radius)
    uneven = best > -window_max(-scores, radius)
    kept = (scores == best) & uneven
    for _ in range(rounds):
        struck = window_max(kept.to(scores.dtype), radius) > 0.0
        rest = torch.where(struck, 0.0, scores)
        kept = kept | ((rest == window_max(rest, radius)) & ~struck & uneven)
    height, width = scores.shape
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    inside = (rows >= border) & (rows < height - border)
    return kept & inside & (columns >= border) & (columns < width - border)


def best_pixels(scores: Tensor, kept: Tensor, limit: int, border: int) -> tuple[Tensor, Tensor]:
    """The best pixels of an (H, W) map, best first, equal ones row by row.

    Returns:
        (limit, 2) int64 pixels (x, y), at least `border` from the border, and their scores
        (limit,); -1 where there are no more.
    """
    height, width = scores.shape
    flat = torch.where(kept, scores, -1.0).flatten()
    values, places = torch.cat([flat, flat.new_full((limit,), -1.0)]).topk(limit)
    x, y = split_places(places, width)
    last = torch.stack([last_of(width), last_of(height)]) - border
    return torch.stack([x, y], 1).clamp(min=border).minimum(last), values


def split_places(places: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Columns and rows of places in a map that is read row by row."""
    columns = torch.scalar_tensor(width, dtype=torch.int64)
    rows = torch.div(places, columns, rounding_mode="floor")
    return places - rows * columns, rows


def soft_argmax(scores: Tensor, pixels: Tensor, radius: int, temperature: float = 0.1) -> Tensor:
    """Expected place of the peak around (N, 2) pixels (x, y) of an (H, W) map: (N, 2) float."""
    steps = torch.arange(-radius, radius + 1)
    down, right = steps.repeat_interleave(2 * radius + 1), steps.repeat(2 * radius + 1)
    rows = pixels[:, 1] * scores.shape[1] + pixels[:, 0]
    patches = scores.flatten()[rows[:, None] + down * scores.shape[1] + right]
    share = (patches / temperature).softmax(dim=1)
    return pixels + share @ torch.stack([right, down], 1).to(scores.dtype)


def taps(x: Tensor, y: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """The four pixels next to points (…) of a map: rows (…, 4) of its table, and weights.

    Pixels outside the map count as zeros.
    """
    left, top = x.floor(), y.floor()
    right, down = x - left, y - top
    rows, weights = [], []
    for row, share_y in ((top, 1 - down), (top + 1, down)):
        for column, share_x in ((left, 1 - right), (left + 1, right)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = row.clamp(min=0).minimum(last_of(height)) * width
            place = place + column.clamp(min=0).minimum(last_of(width))
            rows.append(place.long())
            weights.append(share_x * share_y * inside.to(x.dtype))
    return torch.stack(rows, -1), torch.stack(weights, -1)


def sampled(scores: Tensor, points: Tensor) -> Tensor:
    """An (H, W) map at (N, 2) points (x, y), bilinear: (N,)."""
    rows, weights = taps(points[:, 0], points[:, 1], scores.shape[1], scores.shape[0])
    return (scores.flatten()[rows] * weights).sum(-1)


def found_only(points: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Without the rows (N, 2), (N,) that are no keypoints: their value is no more than 0."""
    (found,) = torch.nonzero(values > 0.0, as_tuple=True)
    return points[found], values[found]


def padded_with_zeros(
    points: Tensor, values: Tensor, descriptors: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Zeros in the rows (N, 2), (N,), (N, D) that are no keypoints."""
    real = (values > 0.0).to(values.dtype)
    return points * real[:, None], values * real, descriptors * real[:, None]


def number(value: int) -> Tensor:
    """A size as a float, also where it is not known when the graph is made."""
    return torch.scalar_tensor(value, dtype=torch.float32)


def last_of(length: int) -> Tensor:
    """The last index of an axis."""
    return torch.scalar_tensor(length, dtype=torch.int64) - 1
