"""Patches: what the shadow map tells apart.

A sample of the shadow map remembers which triangle the sun sees there. A point is in the sun where
the sun sees the point's own patch, a piece of surface without sharp edges; no depth is compared, so
that nothing leaks through a panel however thin, and nothing shadows itself (after Hourcade and
Nicolas, "Algorithms for antialiased cast shadows", Computers & Graphics 1985).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satgen.grouping import connected

SMOOTH_COSINE = float(np.cos(np.radians(35.0)))
"""Faces that meet at an edge with less of an angle than this belong to one patch."""

_MOST_PAIRS = 4_000_000
"""Patches with more pairs of face and vertex are not examined, and taken as not simple."""


def find_neighbours(faces: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The face across each edge, (F, 3): of edge k from corner k to the next. -1 where there is
    none, or not one alone that runs along it the other way.

    Args:
        faces: (F, 3) vertex indices, counter-clockwise from outside, of vertices that are each a
            place of their own.
    """
    start = faces.ravel().astype(np.int64)
    end = np.roll(faces, -1, axis=1).ravel().astype(np.int64)
    key = np.minimum(start, end) * (int(faces.max()) + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    key, forward = key[order], (start < end)[order]
    same = key[1:] == key[:-1]
    before, after = np.append(False, same), np.append(same, False)
    alone = same & ~before[:-1] & ~after[1:] & (forward[1:] != forward[:-1])
    first, second = order[:-1][alone], order[1:][alone]
    neighbours = np.full(faces.size, -1)
    neighbours[first], neighbours[second] = second // 3, first // 3
    return neighbours.reshape(-1, 3)


def find_patches(
    vertices: NDArray[np.float32],
    faces: NDArray[np.uint32],
    normals: NDArray[np.float64],
    neighbours: NDArray[np.int64],
    tolerance: float,
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Number the patches, and say which cannot shadow themselves.

    Args:
        vertices: (V, 3), each place once.
        faces: (F, 3) vertex indices, counter-clockwise from outside.
        normals: (F, 3) unit face normals.
        neighbours: (F, 3) as `find_neighbours` has them.
        tolerance: metres that a vertex may be off a plane.

    Returns:
        (F,) uint32 number of each face's patch, from 0, and (F,) bool, whether that is simple:
        flat, convex, or curved to one side only, so that no ray from its outside to a light that it
        faces meets it again.
    """
    first, edge = np.nonzero(neighbours > np.arange(len(faces))[:, None])
    second = neighbours[first, edge]
    smooth = np.einsum("ij,ij->i", normals[first], normals[second]) > SMOOTH_COSINE
    patch = connected(first[smooth], second[smooth], len(faces))
    low, high = _heights(vertices, faces, normals, patch, tolerance)
    simple = (np.minimum(-low, high) <= tolerance)[patch]
    # No edge of a body that is convex as a whole shadows any of it: it is one patch.
    body = connected(first, second, len(faces))
    convex = (_heights(vertices, faces, normals, body, tolerance)[1] <= tolerance)[body]
    _, number = np.unique(np.where(convex, body, len(faces) + patch), return_inverse=True)
    return number.reshape(-1).astype(np.uint32), simple | convex


def _heights(
    vertices: NDArray[np.float32],
    faces: NDArray[np.uint32],
    normals: NDArray[np.float64],
    patch: NDArray[np.int32],
    tolerance: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest, (P,) metres, that a vertex of a patch is above the plane of one of its
    faces, about zero of those that are flat; -inf and inf where that is not examined."""
    order = np.argsort(patch, kind="stable")
    starts = np.searchsorted(patch[order], np.arange(int(patch.max()) + 1))
    flat = _flat(vertices[faces[order]], normals[order], starts)
    low, high = -flat, flat
    members = np.split(order, starts[1:])
    for number in np.flatnonzero(flat > tolerance):
        mine = faces[members[number]]
        low[number], high[number] = -np.inf, np.inf
        if 3 * len(mine) > _MOST_PAIRS:
            continue
        used = np.unique(mine)
        if len(mine) * len(used) <= _MOST_PAIRS:
            corners = vertices[mine].astype(np.float64)
            points = vertices[used].astype(np.float64)
            planes = normals[members[number]]
            height = points @ planes.T - np.einsum("ij,ij->i", planes, corners[:, 0])
            low[number], high[number] = height.min(), height.max()
    return low, high


def _flat(
    corners: NDArray[np.float32], normals: NDArray[np.float64], starts: NDArray[np.intp]
) -> NDArray[np.float64]:
    """How far each patch's vertices are off the plane of its first face, (P,) metres.

    Args:
        corners: (F, 3, 3) of the faces, patch by patch.
        normals: (F, 3) of the same.
        starts: (P,) first face of each patch.
    """
    sizes = np.diff(np.append(starts, len(corners)))
    plane = np.repeat(normals[starts], sizes, axis=0)
    place = np.repeat(corners[starts, 0], sizes, axis=0)
    off = np.abs(np.einsum("fki,fi->fk", corners - place[:, None], plane)).max(axis=1)
    return np.asarray(np.maximum.reduceat(off, starts))
