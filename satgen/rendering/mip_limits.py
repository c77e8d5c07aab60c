"""How coarse a texture's levels may be for each surface that it colours.

Seen from afar a texture is averaged, over the islands beside a surface's own, too: where those
touch, the surface would come to have their colour. So no level is used at which the mean colour of
a surface differs from that of the picture itself; the samples of a pixel average what is finer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.colour import srgb_decode, srgb_encode
from satgen.grouping import connected

UNLIMITED = 64.0
"""Of surfaces that may have every level."""
TOLERANCE = 2.0
"""Counts of 255 by which a surface's mean colour may differ, in any channel."""
_FLAT_COSINE = float(np.cos(np.radians(35.0)))
_FEWEST, _MOST = 16, 2048
"""Places at which an island is looked at: one a texel, within these."""
_ENOUGH, _MOST_OF_ALL = 1_000_000, 4_000_000
"""Places of a picture that islands share where they are many, and beyond which its levels are not
examined."""


def charts(
    neighbours: NDArray[np.int64],
    normals: NDArray[np.float64],
    keys: NDArray[np.int64],
    uv: NDArray[np.float32],
) -> NDArray[np.int32]:
    """The island that each face (F,) is of: faces that meet without an edge, in space and in the
    texture.

    Args:
        neighbours: (F, 3) the face across each edge, -1 for none, see `find_neighbours`.
        normals: (F, 3) unit.
        keys: (F,) of surfaces, which are not joined where these differ.
        uv: (F, 3, 2) texture coordinates.
    """
    first, edge = np.nonzero(neighbours > np.arange(len(neighbours))[:, None])
    second = neighbours[first, edge]
    back = np.argmax(neighbours[second] == first[:, None], axis=1)
    joined = keys[first] == keys[second]
    joined &= np.einsum("ij,ij->i", normals[first], normals[second]) > _FLAT_COSINE
    for here, there in ((edge, (back + 1) % 3), ((edge + 1) % 3, back)):
        apart = np.abs(uv[first, here] - uv[second, there])
        joined &= np.all(np.abs(apart - np.round(apart)) < 1e-5, axis=1)
    return connected(first[joined], second[joined], len(neighbours))


def mip_limits(
    pictures: NDArray[np.uint8],
    layer: NDArray[np.int64],
    wraps: NDArray[np.int64],
    uv: NDArray[np.float32],
    chart: NDArray[np.int32],
) -> NDArray[np.float32]:
    """The coarsest level (F,) at which each face's island keeps its colour, UNLIMITED for any.

    Args:
        pictures: (L, S, S, 4) uint8 sRGB, S a power of two; the first is of faces without one.
        layer: (F,) picture of each face.
        wraps: (F, 2) how it goes on beyond its edges, by `packing.WRAPS`.
        uv: (F, 3, 2).
        chart: (F,) island of each face.
    """
    limits = np.full(len(layer), UNLIMITED, dtype=np.float32)
    for number in range(1, len(pictures)):
        mine = np.flatnonzero(layer == number)
        if len(mine):
            _, island = np.unique(chart[mine], return_inverse=True)
            found = _of_islands(pictures[number], uv[mine], wraps[mine], island.reshape(-1))
            limits[mine] = found[island.reshape(-1)]
    return limits


def _of_islands(
    picture: NDArray[np.uint8],
    uv: NDArray[np.float32],
    wraps: NDArray[np.int64],
    island: NDArray[np.intp],
) -> NDArray[np.float32]:
    """The limits of islands (K,) of one picture (S, S, 4) with faces (N,)."""
    side, count = picture.shape[0], int(island.max()) + 1
    limits = np.full(count, UNLIMITED, dtype=np.float32)
    edges = (uv[:, 1:] - uv[:, :1]).astype(np.float64)
    area = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]) / 2.0
    whole = np.bincount(island, area)
    most = int(np.clip(_ENOUGH // count, _FEWEST, _MOST))
    wanted = np.clip(whole * side * side, _FEWEST, most)
    share = area / np.maximum(whole[island], 1e-300)
    number = np.maximum(np.ceil(wanted[island] * share), 1.0).astype(np.int64)
    if number.sum() > _MOST_OF_ALL:
        return limits
    face = np.repeat(np.arange(len(uv)), number)
    rank = np.arange(len(face)) - np.repeat(np.cumsum(number) - number, number)
    # Evenly over each triangle (the R2 sequence, folded).
    a, b = (rank * 0.7548776662466927 + 0.5) % 1.0, (rank * 0.5698402909980532 + 0.5) % 1.0
    folded = a + b > 1.0
    a, b = np.where(folded, 1.0 - a, a)[:, None], np.where(folded, 1.0 - b, b)[:, None]
    places = uv[face, 0] + a * edges[face, 0] + b * edges[face, 1]
    weight, of = (share / number)[face], island[face]
    how = wraps[face]
    level, k, shown = _linear(picture), 0, np.zeros((count, 3))
    open_ = np.ones(count, dtype=bool)
    while True:
        seen = _looked_up(level, places, how)
        sums = np.stack([np.bincount(of, weight * c, minlength=count) for c in seen.T], axis=1)
        means = 255.0 * srgb_encode(np.clip(sums, 0.0, 1.0))
        if k == 0:
            shown = means
        far = open_ & (np.abs(means - shown).max(axis=1) > TOLERANCE)
        limits[far] = k - 1
        open_ &= ~far
        if len(level) == 1 or not open_.any():
            return limits
        kept = open_[of]
        places, weight, of, how = places[kept], weight[kept], of[kept], how[kept]
        level, k = _halved(level), k + 1


def _linear(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Linear RGB (S, S, 3) of a picture."""
    table = srgb_decode(np.arange(256, dtype=np.uint8) / 255.0).astype(np.float32)
    return np.asarray(np.take(table, picture[..., :3]))


def _halved(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """The next level (S / 2, S / 2, 3)."""
    rows = level[0::2] + level[1::2]
    return np.asarray((rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25))


def _looked_up(
    level: NDArray[np.float32], places: NDArray[np.floating[Any]], wraps: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Colours (N, 3) between the texels of a level, as the shader has them."""
    side = len(level)
    mirrored = 1.0 - np.abs(np.mod(places, 2.0) - 1.0)
    inside = np.where(wraps == 2, mirrored, places)
    inset = 0.5 / side
    held = np.where(wraps == 0, inside, np.clip(inside, inset, 1.0 - inset)) * side - 0.5
    low = np.floor(held).astype(np.int64)
    across, down = (held - low).T[..., None]
    (x0, y0), (x1, y1) = (low % side).T, ((low + 1) % side).T
    top = level[y0, x0] * (1.0 - across) + level[y0, x1] * across
    bottom = level[y1, x0] * (1.0 - across) + level[y1, x1] * across
    return np.asarray(top * (1.0 - down) + bottom * down)
