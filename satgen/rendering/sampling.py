"""From the visibility buffer to a list of points to shade, and back to pixels.

A pixel's radiance is half that of its centre and an eighth that of each of its corners, the corners
being shared with its neighbours (the quincunx): across an upright edge that is the filter 1 2 1 at
half-pixel steps, symmetric about the centre. As in multisampling, a surface is shaded once however
many samples see it, here at their centroid. Where that is a corner or the middle of an edge, the
pixels that meet there share the shaded point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Centre, then corners: shares in eighths, and shares times offset (x, y) in sixteenths.
_SHARE = (4, 1, 1, 1, 1)
_ACROSS = (0, -1, 1, -1, 1)
_DOWN = (0, -1, -1, 1, 1)


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
        """Sum shaded points, (N, 3), into the pixels, (K, 3) float32; no point is black."""
        image = np.empty((len(self.pixels), 3), dtype=np.float32)
        image[: self.whole] = radiance[: self.whole]
        for channel in range(3):
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


def sample_pixels(seen: NDArray[np.uint32], surface: NDArray[np.uint32]) -> PixelSamples:
    """Which points of which primitives make up each pixel.

    Args:
        seen: (2h + 1, 2w + 1) visibility buffer: primitive plus one, zero for background. Sample
            (2r + 1, 2c + 1) is the centre of pixel (r, c), sample (2r, 2c) its first corner.
        surface: (P,) number (from 1) of the smooth surface that each primitive belongs to.
    """
    w = seen.shape[1] // 2
    narrow = np.uint16 if surface.max(initial=0) < 65536 else np.uint32
    table = np.zeros(len(surface) + 1, dtype=narrow)
    table[1:] = surface
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

    primitives, slots, moments = [np.take(centre, whole)], [], []
    same = {(j, k): labels[j] == labels[k] for j in range(5) for k in range(j + 1, 5)}
    for k in range(5):
        # A surface is taken up at the first of the samples that see it, with the others' shares.
        new = labels[k] != 0
        for j in range(k):
            new &= ~same[j, k]
        slot = np.flatnonzero(new)
        moment = np.empty((3, len(slot)), dtype=np.int8)
        moment[:] = np.array([[_SHARE[k]], [_ACROSS[k]], [_DOWN[k]]], dtype=np.int8)
        for j in range(k + 1, 5):
            also = np.take(same[k, j], slot).view(np.int8)
            moment[0] += also  # j is a corner
            moment[1] += also * np.int8(_ACROSS[j])
            moment[2] += also * np.int8(_DOWN[j])
        primitives.append(np.take(ids[k], slot))
        slots.append(slot)
        moments.append(moment)

    slot = np.concatenate(slots)
    moment = np.concatenate(moments, axis=1)
    pixels = np.concatenate([whole, mixed])
    row, column = np.divmod(pixels.astype(np.int32), np.int32(w))
    share_row, share_column = (np.take(at[len(whole) :], slot) for at in (row, column))
    shaded, point = _shared(share_row, share_column, moment, 2 * w + 1, seen.size)
    share, across, down = np.take(moment, shaded, axis=1).astype(np.float32)
    share *= 2.0
    across /= share
    across += np.take(share_column, shaded)
    down /= share
    down += np.take(share_row, shaded)
    primitive = np.take(np.concatenate(primitives[1:]), shaded)
    return PixelSamples(
        pixels=pixels,
        primitive=np.concatenate([primitives[0], primitive]) - np.uint32(1),
        u=np.concatenate([column[: len(whole)], across], dtype=np.float32, casting="same_kind"),
        v=np.concatenate([row[: len(whole)], down], dtype=np.float32, casting="same_kind"),
        whole=len(whole),
        slot=slot,
        point=point,
        weight=moment[0] * np.float32(0.125),
    )


def _shared(
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    moments: NDArray[np.int8],
    stride: int,
    size: int,
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Which shares (S,) are shaded, and at which of these each is.

    One corner alone, or the two ends of an edge, are a share of every pixel that meets there, of
    the same triangle at the same place.
    """
    share, across, down = moments
    corners = np.flatnonzero((share <= 2) & ((across != 0) | (down != 0)))
    halves = np.take(moments[1:], corners, axis=1) // np.take(share, corners)
    place = (2 * np.take(row, corners) + 1 + halves[1]) * stride
    place += 2 * np.take(column, corners) + 1 + halves[0]
    # The last of them stands for all.
    of_place = np.empty(size, dtype=np.int32)
    order = np.arange(len(corners), dtype=np.int32)
    of_place[place] = order
    first = np.take(of_place, place)
    alone = np.ones(len(share), dtype=bool)
    alone[corners] = first == order
    point = np.cumsum(alone) - 1
    point[corners] = np.take(point, np.take(corners, first))
    return np.flatnonzero(alone), point
