"""Wavefront OBJ files: polygons in parts and materials.

Statements that are drawn: v (with colours), vt, vn, f, o, g, usemtl, mtllib. Smoothing groups (s)
are read over: normals come from the file, or from the angles between faces. All others are counted
and told.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from satgen.model import Material
from satgen.targets.files import ModelFileError, text_of
from satgen.targets.mtl import Paint, read_libraries
from satgen.targets.pieces import (
    DEFAULT_MATERIAL,
    WHITE_MATERIAL,
    ModelPieces,
    Piece,
    linear_colours,
    piece_of_corners,
    plural,
    v_down,
)
from satgen.targets.polygons import triangulate

_CONTINUED = re.compile(r"(#[^\n]*)|\\\r?\n")
"""Comments, which go on in no other line whatever they end with, and ends of lines that go on."""
_SILENT = {"s", "vp", "mtllib"}


class _Statements:
    """The numbers of an OBJ file as they stand, with faces as runs of corners."""

    def __init__(self) -> None:
        self.v: list[list[str]] = []
        self.vt: list[list[str]] = []
        self.vn: list[list[str]] = []
        self.corners: list[tuple[int, int, int]] = []
        self.sizes: list[int] = []
        self.owner: list[tuple[str, str, str]] = []
        self.libraries: list[str] = []
        self.unknown: Counter[str] = Counter()


def read_obj(path: Path, raw: bytes) -> ModelPieces:
    """Read an OBJ file.

    Parts are its objects, or, where it has no more than one, its groups.

    Args:
        path: where it lies; material libraries and textures are looked for in its folder.
        raw: its bytes.

    Raises:
        ModelFileError: the file is broken; the message names the line.
    """
    found = _parse(text_of(raw))
    warnings = [
        f"ignores {plural(count, 'statement')} {key!r}" for key, count in found.unknown.items()
    ]
    paints = read_libraries(path.parent, found.libraries, warnings)
    xyz = _table(found.v, 3, "v")
    corners = np.array(found.corners, dtype=np.int64).reshape(-1, 3)
    for column, (keyword, count) in enumerate(
        (("v", len(found.v)), ("vt", len(found.vt)), ("vn", len(found.vn)))
    ):
        if len(corners) and corners[:, column].max() >= count:
            most = int(corners[:, column].max()) + 1
            raise ModelFileError(f"a face names {keyword} {most} of {count}")
    triangles, polygon = triangulate(xyz[corners[:, 0]], np.array(found.sizes, dtype=np.int64))
    names, part, material = _owners(found.owner, path.stem)
    uv = v_down(_table(found.vt, 2, "vt"))
    normals = _table(found.vn, 3, "vn")
    unknown = [n for n in dict.fromkeys(m for _, _, m in found.owner) if n and n not in paints]
    if unknown:
        listed = ", ".join(repr(n) for n in unknown[:3]) + (" …" if len(unknown) > 3 else "")
        warnings.append(f"draws {plural(len(unknown), 'unknown material')} light grey: {listed}")

    paint = np.array([material[m] for _, _, m in found.owner], dtype=np.int64)
    group_of = (part * (len(material) + 1) + paint)[polygon]
    order = np.argsort(group_of, kind="stable")
    cuts = np.flatnonzero(np.diff(group_of[order])) + 1
    colours, coloured = _colours(found.v)
    corners = np.column_stack([corners, coloured[corners[:, 0]]])
    pieces = []
    for group in np.split(order, cuts) if len(order) else []:
        face = polygon[group[0]]
        mine = corners[triangles[group]]
        made_of = _material(paints.get(found.owner[face][2]), mine, warnings)
        if made_of is DEFAULT_MATERIAL and (mine[..., 3] >= 0).any():
            made_of = WHITE_MATERIAL
            mine[..., 3] = np.where(mine[..., 3] >= 0, mine[..., 3], len(colours) - 2)
        elif (mine[..., 3] >= 0).any():
            mine[..., 3] = np.where(mine[..., 3] >= 0, mine[..., 3], len(colours) - 1)
        pieces.append(piece_of_corners(int(part[face]), made_of, mine, xyz, uv, normals, colours))
    return ModelPieces(names, _opaque(pieces, paints, warnings), warnings)


def _parse(text: str) -> _Statements:
    out = _Statements()
    tables = {"v": out.v, "vt": out.vt, "vn": out.vn}
    corners, sizes, owner = out.corners, out.sizes, out.owner
    thing = group = material = ""
    here = ("", "", "")
    if "\\\n" in text or "\\\r\n" in text:
        text = _CONTINUED.sub(lambda found: found[1] or " ", text)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0][0] == "#":
            continue
        key = words[0]
        if "#" in line and key in ("v", "vt", "vn", "f"):
            words = line.partition("#")[0].split()
        if key in tables:
            tables[key].append(words)
        elif key == "f" or key == "fo":
            if len(words) < 4:
                out.unknown["f (of fewer than three corners)"] += 1
                continue
            try:
                for word in words[1:]:
                    corners.append(_corner(word, out))
            except ValueError:
                raise ModelFileError(f"line {number}: {line.strip()[:60]!r} is no face") from None
            sizes.append(len(words) - 1)
            owner.append(here)
        elif key in ("o", "g", "usemtl"):
            rest = line.split(None, 1)[1].strip() if len(words) > 1 else ""
            if key == "o":
                thing, group = rest, ""
            elif key == "g":
                group = rest
            else:
                material = rest
            here = (thing, group, material)
        elif key == "mtllib":
            if len(words) > 1:
                out.libraries.append(line.split(None, 1)[1].strip())
        elif key not in _SILENT:
            out.unknown[key[:20]] += 1
    return out


def _corner(word: str, out: _Statements) -> tuple[int, int, int]:
    """Places, from 0, of a corner's point, texture coordinate and normal; -1 for none."""
    fields = word.split("/")
    if len(fields) > 3:
        raise ValueError
    found = [-1, -1, -1]
    for k, (entry, table) in enumerate(zip(fields, (out.v, out.vt, out.vn), strict=False)):
        if entry:
            index = int(entry)
            index = index - 1 if index > 0 else len(table) + index
            if not 0 <= index < 1 << 40 or entry.lstrip("+-").startswith("0"):
                raise ValueError
            found[k] = index
    if found[0] < 0:
        raise ValueError
    return found[0], found[1], found[2]


def _table(rows: list[list[str]], width: int, key: str) -> NDArray[np.float64]:
    """The first numbers of the statements of a key, (N, width); a short vt gets zeros."""
    try:
        if key == "vt":
            rows = [[*row, "0"] if len(row) < 3 else row for row in rows]
        values = np.array([row[1 : width + 1] for row in rows], dtype=np.float64)
        return values.reshape(len(rows), width)
    except ValueError:
        raise ModelFileError(f"a statement {key!r} has not {width} numbers") from None


def _owners(
    owner: list[tuple[str, str, str]], stem: str
) -> tuple[list[str], NDArray[np.int64], dict[str, int]]:
    """Names of the parts, the part of each face, and numbers for the materials' names."""
    material = {m: k for k, m in enumerate(dict.fromkeys(m for _, _, m in owner))}
    column = 0 if len({o for o, _, _ in owner}) > 1 else 1
    keys = [entry[column] for entry in owner]
    number = {name: k for k, name in enumerate(dict.fromkeys(keys))}
    fallback = owner[0][0] if owner and column else ""
    names = [name or fallback or stem for name in number]
    return names, np.array([number[k] for k in keys], dtype=np.int64), material


def _colours(v: list[list[str]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Linear colours (N, 4) of the vertices that have some, the default's, and white; and which of
    them each vertex has, -1 for none."""
    rows = [k for k, words in enumerate(v) if len(words) > 6]
    coloured = np.full(len(v), -1, dtype=np.int64)
    coloured[rows] = np.arange(len(rows))
    srgb = _table([["", *v[k][4:7]] for k in rows], 3, "v")
    srgb = np.nan_to_num(srgb)
    if srgb.max(initial=0.0) > 1.0:  # of 255
        srgb = srgb / 255.0
    others = np.array([[*DEFAULT_MATERIAL.base_color, 1.0], [1.0, 1.0, 1.0, 1.0]])
    return np.concatenate([linear_colours(srgb), others]), coloured


def _material(paint: Paint | None, corners: NDArray[np.int64], warnings: list[str]) -> Material:
    """What triangles of these corners are made of."""
    if paint is None:
        return DEFAULT_MATERIAL
    if bool((corners[..., 1] >= 0).all()):
        return paint.material
    if paint.material is not paint.plain:
        line = f"ignores the texture of {paint.plain.name!r} on faces without coordinates"
        if line not in warnings:
            warnings.append(line)
    return paint.plain


def _opaque(pieces: list[Piece], paints: dict[str, Paint], warnings: list[str]) -> list[Piece]:
    """The pieces without those that are fully clear; half clear ones are drawn opaque."""
    used = {p.material.name for p in pieces if p.material.name in paints}
    clear = {n for n in used if paints[n].opacity <= 0.0}
    half = {n for n in used if 0.0 < paints[n].opacity < 1.0}
    if half:
        warnings.append(f"draws {plural(len(half), 'transparent material')} opaque")
    kept = [p for p in pieces if p.material.name not in clear]
    if clear and kept:
        warnings.append(f"leaves out {plural(len(clear), 'material')} that is fully clear")
        return kept
    if clear:
        warnings.append("draws materials opaque that say they are clear: nothing else is there")
    return pieces
