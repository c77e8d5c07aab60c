"""What the readers of model files make: triangles of one part in one material."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.colour import srgb_decode
from satgen.grouping import equal_rows
from satgen.model import Material

DEFAULT_MATERIAL = Material("default", (0.58, 0.58, 0.57), 0.0, 0.55)
"""For surfaces that come without one: light grey, half matt."""


@dataclass(frozen=True)
class Piece:
    """Triangles of one part in one material, in the file's axes and units.

    Attributes:
        part: place of the part's name in the reader's list of names.
        material: what it is made of.
        vertices: (V, 3); faces: (F, 3).
        normals: (V, 3), uv: (V, 2) v down; None where the file has none.
        colours: (V, 4) linear RGB and opacity, 0..1, that the material's base colour is multiplied
            with; None for white.
        uv2: (V, 2) of the textures that lie by a second set of coordinates, or None.
    """

    part: int
    material: Material
    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    normals: NDArray[np.float64] | None
    uv: NDArray[np.float64] | None
    colours: NDArray[np.float64] | None = None
    uv2: NDArray[np.float64] | None = None

    def of_vertices(self, rows: NDArray[np.integer[Any]], faces: NDArray[np.int32]) -> Piece:
        """The piece with these of its vertices (W,), and with faces (F, 3) that name them so."""

        def taken(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
            return None if values is None else values[rows]

        return replace(
            self,
            vertices=self.vertices[rows],
            faces=faces,
            normals=taken(self.normals),
            uv=taken(self.uv),
            colours=taken(self.colours),
            uv2=taken(self.uv2),
        )


@dataclass(frozen=True)
class ModelPieces:
    """A model file that was read: its parts' names, its triangles, and what was left out of it."""

    names: list[str]
    pieces: list[Piece]
    warnings: list[str]


def by_part(pieces: list[Piece]) -> dict[int, list[Piece]]:
    """The pieces of each part, in the order in which the parts come first."""
    parts: dict[int, list[Piece]] = {}
    for piece in pieces:
        parts.setdefault(piece.part, []).append(piece)
    return parts


def joined(
    pieces: list[Piece],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], float]:
    """Pieces as one mesh.

    Returns:
        vertices: (V, 3) from the lowest corner of their box; faces: (F, 3), piece after piece;
        places: (F, 3), the same with one number for all vertices at one place, to a millionth of
        the box's longest side; size: that side, or 1 where all is in one place.
    """
    vertices = np.concatenate([p.vertices for p in pieces])
    vertices = vertices - vertices.min(axis=0)
    starts = np.cumsum([0] + [len(p.vertices) for p in pieces[:-1]])
    faces = np.concatenate([p.faces + s for p, s in zip(pieces, starts, strict=True)])
    size = float(vertices.max()) or 1.0
    places = equal_rows(np.round(vertices / (size * 1e-6)))[1][faces]
    return vertices, faces, places, size


WHITE_MATERIAL = replace(DEFAULT_MATERIAL, name="colours", base_color=(1.0, 1.0, 1.0))
"""For surfaces without a material whose vertices have colours."""


def piece_of_corners(
    part: int,
    material: Material,
    corners: NDArray[np.int64],
    xyz: NDArray[np.float64],
    uv: NDArray[np.float64],
    normals: NDArray[np.float64],
    colours: NDArray[np.float64],
) -> Piece:
    """A piece of triangles whose corners choose from tables; each different corner once.

    Args:
        part, material: see `Piece`.
        corners: (F, 3, 4) rows of the tables `xyz`, `uv`, `normals`, `colours`; -1 for none.
        xyz: (N, 3); uv: (N, 2) v down; normals: (N, 3); colours: (N, 4).
    """
    first, group = equal_rows(corners.reshape(-1, 4))
    used = corners.reshape(-1, 4)[first]
    there = [bool(len(used)) and bool((used[:, k] >= 0).all()) for k in range(4)]
    return Piece(
        part,
        material,
        xyz[used[:, 0]],
        group.reshape(-1, 3).astype(np.int32),
        normals[used[:, 2]] if there[2] else None,
        uv[used[:, 1]] if there[1] else None,
        colours[used[:, 3]] if there[3] else None,
    )


def linear_colours(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear RGB and opacity 1, (N, 4), of sRGB colours (N, 3), which are clipped to 0..1."""
    colours = np.ones((len(srgb), 4))
    colours[:, :3] = srgb_decode(np.clip(srgb, 0.0, 1.0))
    return colours


def v_down(uv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Texture coordinates (N, 2) with v down, of such with v up."""
    return np.asarray(uv * (1.0, -1.0) + (0.0, 1.0))


def linear(srgb: NDArray[np.float64]) -> tuple[float, float, float]:
    """Linear RGB of an sRGB colour (3,), 0..1 (IEC 61966-2-1)."""
    red, green, blue = srgb_decode(srgb).tolist()
    return red, green, blue


def plural(count: int, noun: str) -> str:
    """A number of things in words, as "1 material" and "3 materials"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
