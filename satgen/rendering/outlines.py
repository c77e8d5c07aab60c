"""Where the outlines of what is far above other things lie, as the sun sees the target.

Only about those is a half shadow wide enough to be drawn as one, so that the shader need look for
it nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_BLOCK = 3
"""Texels of the shadow map that a block has in each direction at least."""

NARROW = 0.56
"""Half shadows of less than so many texels of the shadow map, in half their width, are left to its
filter: texels are 0.9 of a pixel, so that the whole is as wide as a pixel."""

_FLAT = 1e-7
"""Of faces that meet with a cosine less than this below one, no edge is an outline."""


@dataclass(frozen=True)
class Edges:
    """Edges of a model where its faces meet at an angle, or end.

    Attributes:
        ends: (2, E) vertices.
        faces: (2, E) the faces that they part; the first twice where there is no other.
        alone: (E,) bool, where there is none.
    """

    ends: NDArray[np.int64]
    faces: NDArray[np.int64]
    alone: NDArray[np.bool_]


def find_edges(
    faces: NDArray[np.uint32], normals: NDArray[np.float64], neighbours: NDArray[np.int64]
) -> Edges:
    """The edges that can be outlines.

    Args:
        faces: (F, 3) vertex indices.
        normals: (F, 3) unit face normals.
        neighbours: (F, 3) as `satgen.rendering.patches.find_neighbours` has them.
    """
    first, edge = np.nonzero(neighbours < np.arange(len(faces))[:, None])  # each pair once
    second = neighbours[first, edge]
    alone = second < 0
    second = np.where(alone, first, second)
    cosine = np.einsum("ij,ij->i", normals[first], normals[second])
    kept = alone | (cosine < 1.0 - _FLAT)
    first, edge, second = first[kept], edge[kept], second[kept]
    ends = np.stack([faces[first, edge], faces[first, (edge + 1) % 3]]).astype(np.int64)
    return Edges(ends, np.stack([first, second]), alone[kept])


def depths_of_outlines(
    edges: Edges,
    turned: NDArray[np.bool_],
    casting: NDArray[np.bool_],
    at: NDArray[np.float32],
    deepest: float,
    blocks: tuple[int, int],
) -> NDArray[np.float32]:
    """Depth of the outline nearest to the sun in each block and those that touch it, (h, w); 1 for
    none.

    Args:
        edges: of the model.
        turned: (F,) the faces that the sun sees from the front.
        casting: (F,) those that cast shadows.
        at: (3, V) vertices, x and y in blocks of the shadow map and depth.
        deepest: outlines of this depth and more do not count.
        blocks: (w, h).
    """
    # Both of a face in one number, to be looked up once: the first bit, and the second.
    kind = turned.view(np.uint8) | casting.view(np.uint8) << np.uint8(1)
    first, second = np.take(kind, edges.faces[0]), np.take(kind, edges.faces[1])
    # An outline has the sun's side of the surface on one side alone.
    drawn = (first ^ second) & np.uint8(1) | edges.alone.view(np.uint8)
    drawn &= (first | second) >> np.uint8(1)
    chosen = np.flatnonzero(drawn.view(bool))
    a, b = np.take(edges.ends[0], chosen), np.take(edges.ends[1], chosen)
    depth = np.minimum(np.take(at[2], a), np.take(at[2], b))
    high = np.flatnonzero(depth < deepest)
    depth, a, b = np.take(depth, high), np.take(a, high), np.take(b, high)
    xa, ya = np.take(at[0], a), np.take(at[1], a)
    across, down = np.take(at[0], b) - xa, np.take(at[1], b) - ya
    # Places along them, at most half a block apart: both ends, and of long ones those between.
    length = np.maximum(np.abs(across), np.abs(down))
    long = np.flatnonzero(length > 0.5)
    counts = np.ceil(2.0 * np.take(length, long)).astype(np.int32)
    starts = np.cumsum(counts) - counts
    each = np.repeat(long, counts)
    step = np.arange(len(each), dtype=np.int32) - np.repeat(starts, counts)
    share = step.astype(np.float32) / np.repeat(counts, counts).astype(np.float32)
    x = np.take(xa, each) + share * np.take(across, each)
    y = np.take(ya, each) + share * np.take(down, each)
    grid = _lowest(
        np.concatenate([xa, xa + across, x]),
        np.concatenate([ya, ya + down, y]),
        np.concatenate([depth, depth, np.take(depth, each)]),
        *blocks,
    )
    rows = np.minimum(np.minimum(grid[:-2], grid[1:-1]), grid[2:])
    return np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


def _lowest(
    x: NDArray[np.float32], y: NDArray[np.float32], depth: NDArray[np.float32], w: int, h: int
) -> NDArray[np.float32]:
    """The least depth of places in each block, 1 for none; with a block more on each side,
    (h + 2, w + 2)."""
    grid = np.ones((h + 2, w + 2), dtype=np.float32)
    column = np.clip(x.astype(np.int32), 0, w - 1)
    row = np.clip(y.astype(np.int32), 0, h - 1)
    np.minimum.at(grid.reshape(-1), (row + 1) * (w + 2) + column + 1, depth)
    return grid
