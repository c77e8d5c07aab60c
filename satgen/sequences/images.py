"""Cuts frames to a square and makes them smaller, and what that does to the intrinsics."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]


class Square(NamedTuple):
    """A square of pixels: its top-left one (x, y), maybe outside the frame, and its side."""

    x: int
    y: int
    side: int


def whole_square(width: int, height: int) -> Square:
    """The smallest square, with the frame in its middle, that has all of it."""
    side = max(width, height)
    return Square(-((side - width) // 2), -((side - height) // 2), side)


def target_square(
    boxes: NDArray[np.int64], margin: float, least: int, width: int, height: int
) -> Square:
    """The square about the target's bounding boxes.

    Args:
        boxes: (N, 4) x, y, w, h; those without pixels do not count.
        margin: width of the border about them, as a share of their longer side.
        least: the square's side is at least so many pixels.
        width, height: of the frame; it is what `whole_square` says where there is no box.
    """
    seen = boxes[(boxes[:, 2] > 0) & (boxes[:, 3] > 0)]
    if not len(seen):
        return whole_square(width, height)
    low = seen[:, :2].min(axis=0)
    extent = (seen[:, :2] + seen[:, 2:]).max(axis=0) - low
    longer = int(extent.max())
    side = max(longer + 2 * math.ceil(margin * longer), least)
    x, y = (low - (side - extent) // 2).tolist()
    return Square(x, y, side)


def cut(image: Image, square: Square) -> Image:
    """A frame (H, W) or (H, W, C) cut to a square; zeros where it reaches beyond the frame."""
    height, width = image.shape[:2]
    x, y, side = square
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + side, width), min(y + side, height)
    inside = image[top : max(bottom, top), left : max(right, left)]
    if inside.shape[:2] == (side, side):
        return inside
    out = np.zeros((side, side, *image.shape[2:]), dtype=image.dtype)
    out[top - y : top - y + inside.shape[0], left - x : left - x + inside.shape[1]] = inside
    return out


def with_channels(image: Image, colour: bool) -> Image:
    """A frame as grey (H, W), or as RGB (H, W, 3)."""
    import cv2

    if colour:
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY))


def shrink(image: Image, size: int, *, average: bool) -> Image:
    """A square image with a side of `size` pixels, at most what it has.

    Args:
        image: (S, S) or (S, S, C).
        size: the new side.
        average: over each new pixel's area; otherwise the pixel at each centre.
    """
    side = image.shape[0]
    if side == size:
        return image
    if average:
        import cv2

        return np.asarray(
            cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=cv2.INTER_AREA)
        )
    places = ((2 * np.arange(size) + 1) * side) // (2 * size)
    return np.asarray(image[places][:, places])


def cut_intrinsics(K: NDArray[np.float64], square: Square, size: int) -> NDArray[np.float64]:
    """K (3, 3) of a frame after it was cut to a square and brought to a side of `size`.

    Pixels count from centres, so a point at u moves to (u - x + 0.5) size / side - 0.5.
    """
    scale = size / square.side
    out = np.array(K, dtype=np.float64)
    out[:2] *= scale
    out[0, 2] = (K[0, 2] - square.x + 0.5) * scale - 0.5
    out[1, 2] = (K[1, 2] - square.y + 0.5) * scale - 0.5
    return out
