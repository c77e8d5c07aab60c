"""Normals for surfaces that come without any."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from satgen.grouping import equal_rows

CREASE_DEG = 30.0
"""Faces that meet at more than this angle have an edge between them."""

_MANY = 128
"""Corners at a vertex beyond which they are not compared each with each."""
_CELLS = 16
"""Along a side of the square of directions in which the faces at such a vertex are gathered."""
_CHUNK = 1 << 16


def crease_normals(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], crease_deg: float = CREASE_DEG
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Normals for a mesh without any.

    Each corner takes the mean, weighted by angle, of the faces around its vertex (welded by
    position) that lie within `crease_deg` of its own face. Where more than 128 faces meet, those
    that point the same way, within some seven degrees, are taken in or left out together.

    Args:
        vertices: (V, 3); faces: (F, 3).

    Returns:
        source: (W,) which old vertex each new one copies; faces: (F, 3) into the new ones;
        normals: (W, 3) unit.
    """
    size = float(np.ptp(vertices, axis=0).max()) or 1.0
    weld = equal_rows(np.round((vertices - vertices.min(axis=0)) / (size * 1e-7)))[1]
    face_normals, weights = _faces(vertices, faces)
    corner_vertex = weld[faces].reshape(-1)
    limit = math.cos(math.radians(crease_deg)) - 1e-9

    # Where all faces lie within half the angle of their mean, they lie within it of each other.
    count = int(weld.max()) + 1
    mean = np.empty((count, 3))
    for k in range(3):
        mean[:, k] = np.bincount(
            corner_vertex, (face_normals[:, k : k + 1] * weights).reshape(-1), minlength=count
        )
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-300)
    nearness = np.zeros((len(faces), 3))
    for k in range(3):
        nearness += face_normals[:, k : k + 1] * mean[:, k][weld[faces]]
    inner = math.cos(math.radians(crease_deg) / 2.0)
    even = np.ones(count, dtype=bool)
    even[corner_vertex[(nearness < inner).reshape(-1)]] = False

    split = np.flatnonzero(~even[corner_vertex])
    normals = _split_normals(split, corner_vertex, face_normals, weights.reshape(-1), limit)
    # A new vertex for each old one on an even place, and for each direction on the others.
    old = faces.reshape(-1)
    used = np.zeros(len(vertices), dtype=bool)
    used[old] = True
    kept = np.flatnonzero(used & even[weld])
    place = np.zeros(len(vertices), dtype=np.int64)
    place[kept] = np.arange(len(kept))
    keys = np.column_stack([old[split], np.round(normals * 1e5)])
    first, group = equal_rows(keys)
    new = place[old]
    new[split] = len(kept) + group
    source = np.concatenate([kept, old[split][first]])
    return (
        source,
        new.reshape(-1, 3).astype(np.int32),
        np.concatenate([mean[weld[kept]], normals[first]]),
    )


def _faces(
    vertices: NDArray[np.float64], faces: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit normals (F, 3) of faces, and their angles (F, 3)."""
    corners = [vertices[faces[:, k]] for k in range(3)]
    edges = [corners[(k + 1) % 3] - corners[k] for k in range(3)]
    normals = np.cross(edges[0], -edges[2])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    lengths = [np.linalg.norm(edge, axis=1) for edge in edges]
    angles = np.empty(faces.shape)
    for k in range(3):
        ahead, behind = edges[k], edges[(k + 2) % 3]
        cosine = -np.einsum("ij,ij->i", ahead, behind)
        cosine /= np.maximum(lengths[k] * lengths[(k + 2) % 3], 1e-300)
        angles[:, k] = np.arccos(np.clip(cosine, -1.0, 1.0))
    return normals, angles


def _split_normals(
    split: NDArray[np.int64],
    corner_vertex: NDArray[np.int64],
    face_normals: NDArray[np.float64],
    weights: NDArray[np.float64],
    limit: float,
) -> NDArray[np.float64]:
    """Normals (S, 3) of those corners at whose vertices not all faces are alike."""
    if len(split) == 0:
        return np.zeros((0, 3))
    order = np.argsort(corner_vertex[split], kind="stable")
    corner = split[order]
    vertex = corner_vertex[corner]
    starts = np.flatnonzero(np.append(True, vertex[1:] != vertex[:-1]))
    counts = np.diff(np.append(starts, len(vertex)))
    own = face_normals[corner // 3]
    weight = weights[corner]
    total = np.zeros_like(own)
    start, many = np.repeat(starts, counts), np.repeat(counts, counts)
    mine = np.flatnonzero(many <= _MANY)
    for step in range(min(int(counts.max()), _MANY)):
        # Every corner looks at the `step`-th corner of its own vertex.
        mine = mine[many[mine] > step]
        if len(mine) == 0:
            break
        other = start[mine] + step
        theirs = own[other]
        near = np.einsum("ij,ij->i", own[mine], theirs) >= limit
        total[mine] += theirs * np.where(near, weight[other], 0.0)[:, None]
    for first, number in zip(starts[counts > _MANY], counts[counts > _MANY], strict=True):
        here = slice(first, first + number)
        total[here] = _many(own[here], weight[here], limit)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    found = np.where(length > 1e-12, total / np.maximum(length, 1e-300), own)
    normals = np.empty_like(found)
    normals[order] = found
    return normals


def _many(
    own: NDArray[np.float64], weight: NDArray[np.float64], limit: float
) -> NDArray[np.float64]:
    """Sums (N, 3) of the normals near each one, of many at a vertex."""
    flat = own / np.abs(own).sum(axis=1, keepdims=True).clip(1e-300)
    side = np.where(flat[:, 2] < 0.0, _CELLS * _CELLS, 0)
    cell = np.clip((flat[:, :2] + 1.0) * (_CELLS / 2.0), 0, _CELLS - 1).astype(np.int64)
    key = side + cell[:, 0] * _CELLS + cell[:, 1]
    _, group = np.unique(key, return_inverse=True)
    sums = np.stack([np.bincount(group, own[:, k] * weight) for k in range(3)], axis=1)
    toward = sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-300)
    total = np.empty_like(own)
    for start in range(0, len(own), _CHUNK):
        part = own[start : start + _CHUNK]
        total[start : start + _CHUNK] = (part @ toward.T >= limit) @ sums
    return total
