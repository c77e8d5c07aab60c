"""From the visibility buffer to a list of points to shade, and back to pixels.

A pixel's radiance is half that of its centre and an eighth that of each of its corners, the corners
being shared with its neighbours (the quincunx): across an upright edge that is the filter 1 2 1 at
half-pixel steps, symmetric about the centre. As in multisampling, a surface is shaded once however
many samples see it, here at their centroid. Where that is a corner or the middle of an edge, the
pixels that meet there share the shaded point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.grouping import distinct

# What of a pixel sees a surface, a bit each: the centre, and the corners. Of every such set:
_SETS = (np.arange(32)[:, None] >> np.arange(5)) & 1
_SHARE = np.maximum(_SETS @ (4, 1, 1, 1, 1), 1)
_ACROSS = _SETS @ (0, -1, 1, -1, 1)
_DOWN = _SETS @ (0, -1, -1, 1, 1)
_WEIGHT = (_SHARE / 8.0).astype(np.float32)  # of the pixel's radiance
_RIGHT = (_ACROSS / (2.0 * _SHARE)).astype(np.float32)  # its centroid, from the centre
_BELOW = (_DOWN / (2.0 * _SHARE)).astype(np.float32)
# One corner, or the two of one edge: neighbours that share them see the same triangle there.
_ON_BORDER = (_SHARE <= 2) & ((_ACROSS != 0) | (_DOWN != 0))


@dataclass(frozen=True)
class PixelSamples:
    """Points to shade for a window of (h, w) pixels, K of which see anything.

    The first `whole` points are the only one of their pixel, in the order of `pixels`; the pixels
    after those are made up of shares.

    Attributes:
        pixels: (K,) int64 flat index in the window of each pixel that sees a surface.
        primitive: (N,) uint32 index of the drawn primitive.
        u, v: (N,) float32 position in the window, pixels.
        whole: points that make up a pixel alone.
        slot: (S,) int64: share n belongs to pixels[whole + slot[n]].
        point: (S,) int64: what is seen there was shaded at point whole + point[n].
        weight: (S,) float32 share of the pixel's radiance.
    """

    pixels: NDArray[np.int64]
    primitive: NDArray[np.uint32]
    u: NDArray[np.float32]
    v: NDArray[np.float32]
    whole: int
    slot: NDArray[np.int64]
    point: NDArray[np.int64]
    weight: NDArray[np.float32]

    def resolve(self, radiance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum shaded points, (N, C), into the pixels, (K, C) float32; no point is black."""
        image = np.empty((len(self.pixels), radiance.shape[1]), dtype=np.float32)
        image[: self.whole] = radiance[: self.whole]
        for channel in range(radiance.shape[1]):
            shares = np.take(radiance[self.whole :, channel], self.point)
            shares *= self.weight
            image[self.whole :, channel] = np.bincount(
                self.slot, shares, minlength=len(image) - self.whole
            )
        return image

    @property
    def coverage(self) -> NDArray[np.float32]:
        """Share (K,) float32 of each pixel's samples that see a surface, by their weights."""
        share = np.ones(len(self.pixels), dtype=np.float32)
        share[self.whole :] = np.bincount(self.slot, self.weight, minlength=len(share) - self.whole)
        return share


def surface_table(surface: NDArray[np.uint32]) -> NDArray[Any]:
    """The smooth surface that a value of the visibility buffer is of, (P + 1,) uint16 or uint32.

    Args:
        surface: (P,) number (from 1) of the smooth surface that each primitive belongs to.
    """
    narrow = np.uint16 if surface.max(initial=0) < 65536 else np.uint32
    return np.append(0, surface).astype(narrow)


def sample_pixels(
    seen: NDArray[np.unsignedinteger[Any]],
    table: NDArray[Any],
    places: NDArray[np.int32] | None = None,
) -> PixelSamples:
    """Which points of which primitives make up each pixel.

    Args:
        seen: (2h + 1, 2w + 1) visibility buffer: primitive plus one, zero for background. Sample
            (2r + 1, 2c + 1) is the centre of pixel (r, c), sample (2r, 2c) its first corner.
        table: (P + 1,) the surface of what `seen` has, see `surface_table`.
        places: room for at least as many values as `seen` has, to be used over and over: new memory
            is slow.
    """
    if places is None:
        places = np.empty(seen.size, dtype=np.int32)
    w = seen.shape[1] // 2
    centre = np.ascontiguousarray(seen[1::2, 1::2])
    corner = np.ascontiguousarray(seen[0::2, 0::2])
    at_centre, at_corner = np.take(table, centre), np.take(table, corner)

    even = at_centre == at_corner[:-1, :-1]
    even &= at_centre == at_corner[:-1, 1:]
    even &= at_centre == at_corner[1:, :-1]
    even &= at_centre == at_corner[1:, 1:]

    whole = np.flatnonzero(even & (at_centre != 0))
    mixed = np.flatnonzero(~even)
    first = mixed + mixed // w  # the corner grid is one wider
    corners = (first, first + 1, first + w + 1, first + w + 2)
    ids = [np.take(centre, mixed), *(np.take(corner, at) for at in corners)]
    labels = [np.take(at_centre, mixed), *(np.take(at_corner, at) for at in corners)]

    primitives, slots, sets = [np.take(centre, whole)], [], []
    same = {(j, k): labels[j] == labels[k] for j in range(5) for k in range(j + 1, 5)}
    for k in range(5):
        # A surface is taken up at the first of the samples that see it, with the others' shares.
        new = labels[k] != 0
        for j in range(k):
            new &= ~same[j, k]
        slot = np.flatnonzero(new)
        which = np.full(len(mixed), 1 << k, dtype=np.uint8)
        for j in range(k + 1, 5):
            which |= same[k, j].view(np.uint8) << np.uint8(j)
        primitives.append(np.take(ids[k], slot))
        slots.append(slot)
        sets.append(np.take(which, slot))

    slot = np.concatenate(slots)
    seen_by = np.concatenate(sets).astype(np.int64)  # which looks up without being converted
    pixels = np.concatenate([whole, mixed])
    row, column = rows_and_columns(pixels, w)
    mixed_row, mixed_column = row[len(whole) :], column[len(whole) :]
    middle = (2 * mixed_row + 1) * (2 * w + 1) + 2 * mixed_column + 1  # in `seen`
    shaded, point = _shared(seen_by, np.take(middle, slot), 2 * w + 1, places)
    seen_by_shaded, slot_shaded = np.take(seen_by, shaded), np.take(slot, shaded)
    primitive = np.take(np.concatenate(primitives[1:]), shaded)
    u = np.take(mixed_column, slot_shaded) + np.take(_RIGHT, seen_by_shaded)
    v = np.take(mixed_row, slot_shaded) + np.take(_BELOW, seen_by_shaded)
    return PixelSamples(
        pixels=pixels,
        primitive=np.concatenate([primitives[0], primitive]) - np.uint32(1),
        u=np.concatenate([column[: len(whole)], u], dtype=np.float32, casting="same_kind"),
        v=np.concatenate([row[: len(whole)], v], dtype=np.float32, casting="same_kind"),
        whole=len(whole),
        slot=slot,
        point=point,
        weight=np.take(_WEIGHT, seen_by),
    )


def sample_layer(seen: NDArray[np.unsignedinteger[Any]]) -> PixelSamples:
    """Which points make up the pixels of a layer that shows little: every sample is shaded.

    Args:
        seen: as of `sample_pixels`; no pixel counts as whole.
    """
    h, w = seen.shape[0] // 2, seen.shape[1] // 2
    # Looked for in one go, as nearly nothing is there: centres have odd rows and columns.
    y, x = rows_and_columns(np.flatnonzero(seen.reshape(-1) != 0), seen.shape[1])
    centre, corner = (y & x & 1) != 0, ((y | x) & 1) == 0
    primitive = [seen[y[centre], x[centre]], seen[y[corner], x[corner]]]
    row, column = y[centre] >> 1, x[centre] >> 1
    below, right = y[corner] >> 1, x[corner] >> 1
    slots, points, weights = [row * w + column], [np.arange(len(row))], [np.full(len(row), 0.5)]
    for down, across in ((1, 1), (1, 0), (0, 1), (0, 0)):  # the pixels that meet in a corner
        y, x = below - down, right - across
        inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
        slots.append((y * w + x)[inside])
        points.append(len(row) + np.flatnonzero(inside))
        weights.append(np.full(len(slots[-1]), 0.125))
    pixels, slot = distinct(np.concatenate(slots), h * w)
    return PixelSamples(
        pixels=pixels,
        primitive=np.concatenate(primitive) - np.uint32(1),
        u=np.concatenate([column, right - 0.5], dtype=np.float32, casting="same_kind"),
        v=np.concatenate([row, below - 0.5], dtype=np.float32, casting="same_kind"),
        whole=0,
        slot=slot,
        point=np.concatenate(points),
        weight=np.concatenate(weights).astype(np.float32),
    )


def rows_and_columns(
    pixels: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows and columns (K,) of flat indices (K,) in an image of a width; `np.divmod` is slow."""
    at = pixels.astype(np.int32)
    row = at // np.int32(width)
    return row, at - row * np.int32(width)


def _shared(
    seen_by: NDArray[np.int64],
    middle: NDArray[np.int32],
    stride: int,
    places: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which shares (S,) are shaded, and at which of these each is.

    Args:
        seen_by: (S,) what of their pixels sees them.
        middle: (S,) flat index in the visibility buffer of their pixels' centres.
        stride: of the visibility buffer.
        places: as of `sample_pixels`.
    """
    border = np.flatnonzero(np.take(_ON_BORDER, seen_by))
    offsets = _DOWN // _SHARE * stride + _ACROSS // _SHARE
    place = np.take(middle, border)
    place += np.take(offsets.astype(np.int32), np.take(seen_by, border))
    # The last of them stands for all.
    order = np.arange(len(border), dtype=np.int32)
    places[place] = order
    chosen = np.take(places, place)
    alone = np.ones(len(seen_by), dtype=bool)
    alone[border] = chosen == order
    shaded = np.flatnonzero(alone)
    point = np.empty(len(seen_by), dtype=np.int64)
    point[shaded] = np.arange(len(shaded))
    point[border] = np.take(np.take(point, border), chosen)
    return shaded, point
