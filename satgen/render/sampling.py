"""From the visibility buffer to a list of points to shade, and back to pixels.

A pixel's radiance is half that of its centre and an eighth that of each of its corners, the corners
being shared with its neighbours (the quincunx): across an upright edge that is the filter 1 2 1 at
half-pixel steps, symmetric about the centre. As in multisampling, a surface is shaded once however
many samples see it, here at their centroid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Centre, then corners: weight and weighted offset (x, y) of the five samples, (3, 5).
_WEIGHTS = np.array([0.5, 0.125, 0.125, 0.125, 0.125])
_OFFSETS = np.array([[0.0, -0.5, 0.5, -0.5, 0.5], [0.0, -0.5, -0.5, 0.5, 0.5]])
_MOMENTS = np.vstack([_WEIGHTS, _WEIGHTS * _OFFSETS]).astype(np.float32)


@dataclass(frozen=True)
class PixelSamples:
    """Points to shade for a window of (h, w) pixels.

    The first `whole` of them are the only one of their pixel; the rest come in rounds, in each of
    which a pixel occurs at most once.

    Attributes:
        shape: (h, w).
        primitive: (N,) uint32 index of the drawn primitive.
        u, v: (N,) float32 position in the window, pixels.
        pixel: (N,) int64 flat index of the pixel.
        weight: (N,) float32 share of the pixel's radiance.
        rounds: bounds of the rounds, from `rounds[0]`, the end of the whole pixels.
    """

    shape: tuple[int, int]
    primitive: NDArray[np.uint32]
    u: NDArray[np.float32]
    v: NDArray[np.float32]
    pixel: NDArray[np.int64]
    weight: NDArray[np.float32]
    rounds: tuple[int, ...]

    def resolve(self, radiance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum shaded points, (N, 3), into pixels, (h, w, 3) float32; no point is black."""
        image = np.zeros((self.shape[0] * self.shape[1], 3), dtype=np.float32)
        whole = self.rounds[0]
        image[self.pixel[:whole]] = radiance[:whole]
        for start, stop in zip(self.rounds[:-1], self.rounds[1:], strict=True):
            part = slice(start, stop)
            image[self.pixel[part]] += radiance[part] * self.weight[part, None]
        return image.reshape(*self.shape, 3)


def sample_pixels(seen: NDArray[np.uint32], surface: NDArray[np.uint32]) -> PixelSamples:
    """Which points of which primitives make up each pixel.

    Args:
        seen: (2h + 1, 2w + 1) visibility buffer: primitive plus one, zero for background. Sample
            (2r + 1, 2c + 1) is the centre of pixel (r, c), sample (2r, 2c) its first corner.
        surface: (P,) number (from 1) of the smooth surface that each primitive belongs to.
    """
    h, w = seen.shape[0] // 2, seen.shape[1] // 2
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
    ids = np.stack([np.take(centre, mixed), *(np.take(corner, at) for at in corners)])
    labels = np.stack([np.take(at_centre, mixed), *(np.take(at_corner, at) for at in corners)])

    primitives = [np.take(centre, whole)]
    pixels = [whole]
    weights = [np.ones(len(whole), dtype=np.float32)]
    offsets = [np.zeros((2, len(whole)), dtype=np.float32)]
    rounds = [len(whole)]
    while len(mixed):
        # The centre's surface first, then whichever is left.
        label = np.where(labels[0] != 0, labels[0], labels.max(axis=0))
        same = labels == label
        moments = _MOMENTS @ same.astype(np.float32)
        any_of_them = np.where(same, ids, 0).max(axis=0)
        primitives.append(np.where(same[0], ids[0], any_of_them))
        pixels.append(mixed)
        weights.append(moments[0])
        offsets.append(moments[1:] / moments[0])
        rounds.append(rounds[-1] + len(mixed))
        labels[same] = 0
        left = np.flatnonzero(labels.any(axis=0))
        mixed, labels, ids = mixed[left], labels[:, left], ids[:, left]

    pixel = np.concatenate(pixels)
    offset = np.concatenate(offsets, axis=1)
    row, column = np.divmod(pixel, w)
    return PixelSamples(
        shape=(h, w),
        primitive=np.concatenate(primitives) - 1,
        u=(column + offset[0]).astype(np.float32),
        v=(row + offset[1]).astype(np.float32),
        pixel=pixel,
        weight=np.concatenate(weights),
        rounds=tuple(rounds),
    )
