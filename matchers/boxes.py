"""Boxes (x, y, width, height) of whole pixels, (x, y) the top-left one, and masks of an image.

No torch: processes that only read images start without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from satgen.errors import InputError

T = TypeVar("T")

Box = tuple[int, int, int, int]
Mask = npt.NDArray[np.bool_]

WHOLE = 1 << 23
"""Pixels that extractors look at in one piece, at most (3840 × 2160 fits). More would take
gigabytes: they come in tiles then."""

TILE = 1536
"""Side of a tile, pixels; a multiple of all steps of the extractors' grids."""


def wanted(mask: Mask | None, size: tuple[int, int]) -> Box | None:
    """The smallest box with all pixels of a mask, None if there are none; without a mask all of
    an image of `size` (width, height)."""
    if mask is None:
        return (0, 0, *size) if min(size) > 0 else None
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def grown(box: Box, size: tuple[int, int], margin: int, step: int) -> Box:
    """A box made larger: by `margin` pixels a side, then outwards to multiples of `step`.

    It never leaves an image of `size` (width, height), where it may end off the multiples.
    """
    spans = []
    for start, length, limit in zip(box[:2], box[2:], size, strict=True):
        first = max(0, (start - margin) // step * step)
        last = min(limit, -(-(start + length + margin) // step) * step)
        spans.append((first, last - first))
    (x, w), (y, h) = spans
    return x, y, w, h


def tiles(box: Box) -> list[Box]:
    """A box of at most `WHOLE` pixels as it is, a larger one cut into tiles, row by row.

    Tiles begin at multiples of `TILE` of the image, and each pixel of the box is in one of them.
    """
    x, y, w, h = box
    if w * h <= WHOLE:
        return [box]
    spans = []
    for start, length in ((x, w), (y, h)):
        ends = [*range((start // TILE + 1) * TILE, start + length, TILE), start + length]
        spans.append(list(zip([start, *ends[:-1]], ends, strict=True)))
    columns, rows = spans
    return [
        (left, top, right - left, bottom - top) for top, bottom in rows for left, right in columns
    ]


def groups(
    parts: Iterable[T], size_of: Callable[[T], tuple[int, ...]], pixels: int
) -> Iterator[list[T]]:
    """Parts of one size (width, height, and what else has to be alike), in groups of at most so
    many pixels, or of one part."""
    by_size: dict[tuple[int, ...], list[T]] = {}
    for part in parts:
        by_size.setdefault(size_of(part), []).append(part)
    for (width, height, *_), some in by_size.items():
        count = max(1, pixels // (width * height))
        yield from (some[start : start + count] for start in range(0, len(some), count))


def scaled(boxes: list[Box], scale: tuple[float, float], size: tuple[int, int]) -> Box:
    """The smallest box around boxes brought to a scale, within an image of `size`."""
    spans = []
    for axis in (0, 1):
        first = min(int(box[axis] * scale[axis]) for box in boxes)
        last = max(math.ceil((box[axis] + box[axis + 2]) * scale[axis]) for box in boxes)
        spans.append((first, min(last, size[axis]) - first))
    (x, w), (y, h) = spans
    return x, y, w, h


def checked_mask(mask: Any, width: int, height: int) -> Mask:
    values = mask.cpu().numpy() if hasattr(mask, "cpu") else np.asarray(mask)
    if values.dtype != np.bool_:
        raise InputError(f"the mask's values are {values.dtype}: bool is expected")
    if values.shape != (height, width):
        raise InputError(
            f"the mask has shape {values.shape}: the image's, {(height, width)}, is expected"
        )
    return values


def checked_box(box: Any, width: int, height: int) -> Box:
    try:
        x, y, w, h = (int(value) for value in box)
        whole = all(float(value).is_integer() for value in box)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"the box is {box!r}: (x, y, width, height) is expected") from None
    if not whole or w < 0 or h < 0:
        raise InputError(f"the box is {box!r}: whole pixels, width and height from 0, are expected")
    if x < 0 or y < 0 or x + w > width or y + h > height:
        raise InputError(f"the box {(x, y, w, h)} leaves the image of {width} × {height} pixels")
    return x, y, w, h
