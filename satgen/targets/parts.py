"""Which triangles of a user's model file are a part: by the file, by material, or by connection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from satgen.grouping import connected
from satgen.targets.pieces import Piece, by_part, joined

BY = ("file", "material", "connected")
"""What makes a part: the file's nodes, objects, groups or solids; each material; or, of each of the
file's parts, what hangs together."""


def split_parts(names: list[str], pieces: list[Piece], by: str) -> tuple[list[str], list[Piece]]:
    """Names of parts, and pieces that say which of them they are of.

    Args:
        names: of the file's parts.
        pieces: theirs.
        by: one of `BY`.
    """
    if by == "material":
        return _by_material(pieces)
    if by == "connected":
        return _by_connection(names, pieces)
    return names, pieces


def _by_material(pieces: list[Piece]) -> tuple[list[str], list[Piece]]:
    """A part for each material's name."""
    number: dict[str, int] = {}
    out = []
    for piece in pieces:
        part = number.setdefault(piece.material.name, len(number))
        out.append(replace(piece, part=part))
    return list(number), out


def _by_connection(names: list[str], pieces: list[Piece]) -> tuple[list[str], list[Piece]]:
    """A part for each connected surface of each part; vertices at one place are one."""
    found: list[str] = []
    out: list[Piece] = []
    for part, mine in by_part(pieces).items():
        _, _, place, _ = joined(mine)
        start, end = place[:, [0, 1]].ravel(), place[:, [1, 2]].ravel()
        component = connected(start, end, int(place.max()) + 1)
        # Numbered by their first face.
        _, first, number = np.unique(component[place[:, 0]], return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))
        owner = rank[number.reshape(-1)] + len(found)
        several = len(first) > 1
        found += [f"{names[part]} {k + 1}" if several else names[part] for k in range(len(first))]
        face = 0
        for piece in mine:
            out += _apart(piece, owner[face : face + len(piece.faces)])
            face += len(piece.faces)
    return found, out


def _apart(piece: Piece, owner: NDArray[np.int64]) -> list[Piece]:
    """A piece for each part that its faces (F,) are of."""
    order = np.argsort(owner, kind="stable")
    cuts = np.flatnonzero(np.diff(owner[order])) + 1
    out = []
    for group in np.split(order, cuts):
        used, renumbered = np.unique(piece.faces[group], return_inverse=True)
        mine = piece.of_vertices(used, renumbered.reshape(-1, 3).astype(np.int32))
        out.append(replace(mine, part=int(owner[group[0]])))
    return out
