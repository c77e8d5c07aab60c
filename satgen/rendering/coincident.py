"""Surfaces that lie back to back in one plane: of each pair the one that faces the camera is seen.

A panel of no thickness is often modelled as two, one for each side, and both would be drawn from
both sides: which of them a pixel shows would be chance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from satgen.grouping import connected, equal_rows

_ASIDE = np.array([0.36, 0.48, 0.8])
"""A direction that few surfaces lie along: whether they face along it tells two sides apart."""
_SAME = 1.0 - 1e-6
"""Cosine between the normals of triangles in one plane."""


def back_to_back(
    faces: NDArray[np.uint32],
    normals: NDArray[np.float64],
    keys: NDArray[np.int64],
    neighbours: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which faces are of a flat surface that another one covers exactly, facing the other way.

    Args:
        faces: (F, 3) vertex indices, of vertices that are each a place of their own.
        normals: (F, 3) unit.
        keys: (F,) of surfaces, which are not joined where these differ.
        neighbours: (F, 3) as `find_neighbours` has them.

    Returns:
        (F,) bool.
    """
    found = np.zeros(len(faces), dtype=bool)
    first, edge = np.nonzero(neighbours >= 0)
    folded = np.einsum("ij,ij->i", normals[first], normals[neighbours[first, edge]]) < -_SAME
    lone = _edges(faces)[(neighbours < 0).ravel()]
    if not folded.any() and len(equal_rows(lone)[0]) == len(lone):
        return found  # no edge is of more than two faces, and none of two that lie on each other
    region, side = _regions(faces, normals, keys)
    border, of = _borders(faces, region)
    # Order does not matter to a sum: regions with the same edges around have the same.
    start, end = border.astype(np.uint64).T
    mixed = (start * np.uint64(0x9E3779B97F4A7C15)) ^ (end * np.uint64(0xC2B2AE3D27D4EB4F))
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x94D049BB133111EB)
    count = int(region.max()) + 1
    outline = np.zeros(count, dtype=np.uint64)
    np.add.at(outline, of, mixed)
    edges = np.bincount(of, minlength=count).astype(np.uint64)
    alike = equal_rows(np.stack([outline, edges], axis=1))[1]
    sides = np.zeros((int(alike.max()) + 1, 2), dtype=bool)
    sides[alike[region], side.astype(int)] = True
    return np.asarray((sides[:, 0] & sides[:, 1])[alike[region]])


def _edges(faces: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The edges (F * 3, 2) of faces, the lower vertex first."""
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    return np.sort(ends.astype(np.int64), axis=1)


def _regions(
    faces: NDArray[np.uint32], normals: NDArray[np.float64], keys: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The flat region of each face, and on which side of a direction it faces."""
    side = normals @ _ASIDE > 0.0
    owner = np.repeat(np.arange(len(faces)), 3)
    rows = np.column_stack([_edges(faces), np.repeat(2 * keys + side, 3)])
    _, group = equal_rows(rows)
    order = np.argsort(group, kind="stable")
    one, other = owner[order[:-1]], owner[order[1:]]
    joined = group[order[:-1]] == group[order[1:]]
    joined &= np.einsum("ij,ij->i", normals[one], normals[other]) > _SAME
    region = connected(one[joined], other[joined], len(faces))
    return region.astype(np.int64), side


def _borders(
    faces: NDArray[np.uint32], region: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges (B, 2) that one face of a region has alone, and of which region (B,) they are."""
    rows = np.column_stack([_edges(faces), np.repeat(region, 3)])
    first, group = equal_rows(rows)
    odd = np.bincount(group) % 2 == 1
    chosen = rows[first[odd]]
    return chosen[:, :2], chosen[:, 2]
