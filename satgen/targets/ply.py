"""PLY files: polygons and strips, with colours or a texture.

Read are of vertices x, y, z, nx, ny, nz, red, green, blue, and texture coordinates (s and t, u and
v, texture_u and texture_v); of faces vertex_indices, red, green, blue, texcoord (of each corner)
and texnumber; of tristrips vertex_indices; and the comments TextureFile. All else is told of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.targets.files import ModelFileError
from satgen.targets.mtl import read_texture
from satgen.targets.pieces import (
    DEFAULT_MATERIAL,
    WHITE_MATERIAL,
    ModelPieces,
    Piece,
    linear_colours,
    piece_of_corners,
    v_down,
)
from satgen.targets.polygons import triangulate
from satgen.targets.stl import numbers_of

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_HARMLESS = {"quality", "confidence", "flags", "curvature", "radius", "value", "intensity", "label"}
"""Properties that no renderer draws."""
_INDICES = ("vertex_indices", "vertex_index")
_COLOURS = (
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
)
_COORDINATES = (("texture_u", "texture_v"), ("s", "t"), ("u", "v"), ("texture_s", "texture_t"))
_END = re.compile(rb"[\r\n][ \t]*end_header[ \t]*(?:\r\n|\r|\n|\Z)")
"""The last line of a header; a comment may hold the word, too."""
_MOST_HEADER = 1 << 16
_MOST_PROPERTIES = 256


@dataclass(frozen=True)
class _Property:
    """A property: its type and, of a list, the type of its length."""

    name: str
    kind: str
    length: str | None


@dataclass(frozen=True)
class _Lists:
    """Lists of different lengths: their values one after the other, and how many each has."""

    values: NDArray[Any]
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class _Polygons:
    """Polygons of a file: the vertices of all corners, how many each has, and the face that it is
    (-1 of a strip)."""

    corners: NDArray[np.int64]
    sizes: NDArray[np.int64]
    face: NDArray[np.int64]


Table = dict[str, "NDArray[Any] | _Lists"]


def read_ply(path: Path, raw: bytes) -> ModelPieces:
    """Read a PLY file.

    Args:
        path: where it lies; textures are looked for in its folder.
        raw: its bytes.

    Raises:
        ModelFileError: it is none, or broken.
    """
    elements, textures, body, order = _header(raw)
    told: list[str] = []
    tables = _tables(elements, body, order, told)
    vertex = tables.get("vertex", {})
    if not _has(vertex, ("x", "y", "z")):
        raise ModelFileError("cannot be read as PLY: its vertices have no x, y, z")
    xyz = _columns(vertex, "xyz")
    polygons = _polygons(tables, len(xyz))
    pieces = []
    if len(polygons.corners):
        pieces = _pieces(path.parent, textures, vertex, tables.get("face", {}), xyz, polygons, told)
    return ModelPieces([path.stem], pieces, told)


# --- the file -------------------------------------------------------------------------------------


def _header(raw: bytes) -> tuple[list[tuple[str, int, list[_Property]]], list[str], bytes, str]:
    """Elements (name, count, properties), textures, the body and its order of bytes."""
    end = _END.search(raw, 0, _MOST_HEADER)
    if raw[:3].lower() != b"ply" or end is None:
        raise ModelFileError("cannot be read as PLY: it has no header of one")
    elements: list[tuple[str, int, list[_Property]]] = []
    textures: list[str] = []
    order: str | None = None
    for line in raw[: end.start()].decode("latin-1").splitlines()[1:]:
        words = line.split()
        if not words:
            continue
        key = words[0]
        if key == "format":
            order = _FORMATS.get(words[1] if len(words) > 1 else "")
        elif key == "comment":
            if len(words) > 2 and words[1].lower() == "texturefile":
                textures.append(line.split(None, 2)[2].strip())
        elif key == "element" and len(words) == 3 and words[2].isdigit() and len(words[2]) < 13:
            elements.append((words[1], int(words[2]), []))
        elif key == "property" and elements and len(elements[-1][2]) < _MOST_PROPERTIES:
            elements[-1][2].append(_property(words))
        elif key != "obj_info":
            raise ModelFileError(f"cannot be read as PLY: {line.strip()[:60]!r} in its header")
    if order is None:
        raise ModelFileError("cannot be read as PLY: its format is unknown")
    return elements, textures, raw[end.end() :], order


def _property(words: list[str]) -> _Property:
    try:
        if words[1] == "list":
            return _Property(words[4], _TYPES[words[3]], _TYPES[words[2]])
        return _Property(words[2], _TYPES[words[1]], None)
    except (IndexError, KeyError):
        raise ModelFileError(
            f"cannot be read as PLY: property {' '.join(words[1:])[:60]!r} in its header"
        ) from None


def _tables(
    elements: list[tuple[str, int, list[_Property]]], body: bytes, order: str, told: list[str]
) -> dict[str, Table]:
    """The tables of all elements by name."""
    declared: dict[str, list[_Property]] = {}
    if not order:  # numbers in a text: as if they all were of eight bytes
        body = numbers_of(body, "PLY").astype("<f8").tobytes()
        declared = {name: props for name, _, props in elements}
        elements = [
            (name, n, [_Property(p.name, "f8", None if p.length is None else "f8") for p in props])
            for name, n, props in elements
        ]
    tables: dict[str, Table] = {}
    place = 0
    for name, count, properties in elements:
        table, place = _table(body, place, name, count, properties, order or "<")
        for p in declared.get(name, ()):
            values = table.get(p.name)
            if isinstance(values, np.ndarray) and p.kind[0] in "iu":
                limits = np.iinfo(p.kind)
                whole = np.clip(np.nan_to_num(values), limits.min, limits.max)
                table[p.name] = whole.astype(p.kind)
        if name in ("vertex", "face", "tristrips") and name not in tables:
            tables[name] = table
            told += _unknown(name, table)
        elif count:
            told.append(f"ignores its element {name!r} of {count}")
    return tables


def _unknown(element: str, table: Table) -> Iterator[str]:
    """What is told of properties that are not drawn."""
    known = set(_HARMLESS)
    if element == "vertex":
        known |= {"x", "y", "z", "nx", "ny", "nz", "alpha", "a"}
        known |= {name for names in (*_COLOURS, *_COORDINATES) for name in names}
    else:
        known |= {*_INDICES}
    if element == "face":
        known |= {"alpha", "a", "texcoord", "texnumber", "nx", "ny", "nz"}
        known |= {name for names in _COLOURS for name in names}
    for name in table:
        if name not in known:
            yield f"ignores property {name!r} of its element {element!r}"


def _table(
    body: bytes, place: int, element: str, count: int, properties: list[_Property], order: str
) -> tuple[Table, int]:
    """An element's table, and where the next begins."""
    least = sum(np.dtype(p.length or p.kind).itemsize for p in properties)
    if not properties or not count:
        none = np.zeros(0, dtype=np.int64)
        return {p.name: none if p.length is None else _Lists(none, none) for p in properties}, place
    if place + least * count > len(body):
        raise ModelFileError(f"cannot be read as PLY: its element {element!r} is cut off")
    # Mostly all lists are as long as the first row's.
    fields: list[Any] = []
    at = place
    for number, p in enumerate(properties):
        if p.length is None:
            fields.append((f"v{number}", order + p.kind))
            at += np.dtype(p.kind).itemsize
            continue
        size = _length(body, at, order + p.length, order + p.kind)
        fields += [(f"n{number}", order + p.length), (f"v{number}", order + p.kind, (size,))]
        at += np.dtype(p.length).itemsize + size * np.dtype(p.kind).itemsize
    row = np.dtype(fields)
    if place + row.itemsize * count <= len(body):
        rows = np.frombuffer(body, row, count, place)
        if all(
            (rows[f"n{k}"] == rows[f"v{k}"].shape[1]).all()
            for k, p in enumerate(properties)
            if p.length is not None
        ):
            table: Table = {}
            for k, p in enumerate(properties):
                values = rows[f"v{k}"]
                if p.length is None:
                    table[p.name] = values
                else:
                    sizes = np.full(count, values.shape[1], dtype=np.int64)
                    table[p.name] = _Lists(values.reshape(-1), sizes)
            return table, place + row.itemsize * count
    return _rows(body, place, element, count, properties, order)


def _length(body: bytes, at: int, length: str, kind: str) -> int:
    """How long the list at a place is."""
    if at + np.dtype(length).itemsize > len(body):
        raise ModelFileError("cannot be read as PLY: it is cut off")
    size = float(np.frombuffer(body, length, 1, at)[0])
    if not (0 <= size <= len(body) and size == int(size)):
        raise ModelFileError(f"cannot be read as PLY: a list of {size:g}")
    return int(size)


def _rows(
    body: bytes, place: int, element: str, count: int, properties: list[_Property], order: str
) -> tuple[Table, int]:
    """As `_table`, row by row: lists are of different lengths."""
    found: dict[str, list[Any]] = {p.name: [] for p in properties}
    kinds = [
        (p.name, np.dtype(order + p.kind), None if p.length is None else order + p.length)
        for p in properties
    ]
    for _ in range(count):
        for name, kind, length in kinds:
            size = 1
            if length is not None:
                size = _length(body, place, length, kind.str)
                place += np.dtype(length).itemsize
            if place + size * kind.itemsize > len(body):
                raise ModelFileError(f"cannot be read as PLY: its element {element!r} is cut off")
            found[name].append(np.frombuffer(body, kind, size, place))
            place += size * kind.itemsize
    table: Table = {}
    for name, kind, length in kinds:
        values = np.concatenate(found[name]) if found[name] else np.zeros(0, kind)
        sizes = np.array([len(v) for v in found[name]], dtype=np.int64)
        table[name] = values if length is None else _Lists(values, sizes)
    return table, place


# --- what it shows --------------------------------------------------------------------------------


def _columns(table: Table, names: tuple[str, ...] | str) -> NDArray[np.float64]:
    return np.stack([np.asarray(table[name], dtype=np.float64) for name in names], axis=1)


def _has(table: Table, names: tuple[str, ...]) -> bool:
    return all(isinstance(table.get(name), np.ndarray) for name in names)


def _polygons(tables: dict[str, Table], vertices: int) -> _Polygons:
    """The polygons of the faces, and the triangles of the strips."""
    none = np.zeros(0, dtype=np.int64)
    corners, sizes, owner = [none], [none], [none]
    for element in ("face", "tristrips"):
        table = tables.get(element, {})
        lists = next((table[name] for name in _INDICES if name in table), None)
        if lists is None:
            continue
        if not isinstance(lists, _Lists):
            raise ModelFileError(f"cannot be read as PLY: {element} indices are no lists")
        with np.errstate(invalid="ignore"):
            index = np.asarray(lists.values).astype(np.int64)
        if not np.array_equal(index, lists.values):
            raise ModelFileError("cannot be read as PLY: an index is no whole number")
        if element == "face":
            keep = lists.sizes >= 3
            corners.append(index[np.repeat(keep, lists.sizes)])
            sizes.append(lists.sizes[keep])
            owner.append(np.flatnonzero(keep))
        else:
            strips = _strips(index, lists.sizes)
            corners.append(strips.reshape(-1))
            sizes.append(np.full(len(strips), 3, dtype=np.int64))
            owner.append(np.full(len(strips), -1, dtype=np.int64))
    all_corners = np.concatenate(corners)
    if len(all_corners) and (all_corners.min() < 0 or all_corners.max() >= vertices):
        wrong = int(all_corners.min() if all_corners.min() < 0 else all_corners.max())
        raise ModelFileError(f"a face names vertex {wrong} of {vertices}")
    return _Polygons(all_corners, np.concatenate(sizes), np.concatenate(owner))


def _strips(index: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Triangles (T, 3) of strips, of which -1 begins a new one."""
    run = np.repeat(np.arange(len(sizes)), sizes)
    run = run * (len(index) + 1) + np.cumsum(index < 0)
    kept = index >= 0
    index, run = index[kept], run[kept]
    if len(index) < 3:
        return np.zeros((0, 3), dtype=np.int64)
    start = np.flatnonzero(np.append(True, run[1:] != run[:-1]))
    step = np.arange(len(index)) - np.repeat(start, np.diff(np.append(start, len(index))))
    whole = run[2:] == run[:-2]
    a, b, c = index[:-2][whole], index[1:-1][whole], index[2:][whole]
    odd = step[:-2][whole] % 2 == 1
    return np.stack([a, np.where(odd, c, b), np.where(odd, b, c)], axis=1)


def _pieces(
    folder: Path,
    textures: list[str],
    vertex: Table,
    faces: Table,
    xyz: NDArray[np.float64],
    polygons: _Polygons,
    told: list[str],
) -> list[Piece]:
    """One piece for each texture, and one for what has none."""
    corners, face = polygons.corners, polygons.face
    triangles, polygon = triangulate(xyz[corners], polygons.sizes)
    normals = np.zeros((0, 3))
    columns = np.full((len(corners), 4), -1, dtype=np.int64)
    columns[:, 0] = corners
    if _has(vertex, ("nx", "ny", "nz")):
        normals = _columns(vertex, ("nx", "ny", "nz"))
        columns[:, 2] = corners
    uv = _coordinates(vertex, faces, face, corners, columns)
    images = [read_texture(folder, name, told) for name in textures] if len(uv) else []
    if textures and not len(uv):
        told.append(f"ignores the texture {textures[0]!r}: there are no coordinates")
    number = np.full(len(face), -1, dtype=np.int64)
    if images:
        number[:] = 0
        chosen = faces.get("texnumber")
        if isinstance(chosen, np.ndarray) and len(images) > 1:
            number[face >= 0] = chosen.astype(np.int64)[face[face >= 0]]
            number[(number < 0) | (number >= len(images))] = -1
        missing = np.array([image is None for image in images])
        number[(number >= 0) & missing[number]] = -1
    of_corner = np.repeat(face, polygons.sizes)
    colours = _colours(vertex, faces, of_corner, corners, columns, told)
    if len(colours) and (number >= 0).any():
        told.append("draws its texture without its colours")
    pieces = []
    for chosen_image in np.unique(number).tolist():
        mine = number[polygon] == chosen_image
        material = DEFAULT_MATERIAL
        table = columns
        if chosen_image >= 0:
            name = textures[chosen_image][:80]
            material = replace(WHITE_MATERIAL, name=name, base_color_image=images[chosen_image])
            table = columns * (1, 1, 1, 0) - (0, 0, 0, 1)
        elif len(colours):
            material = WHITE_MATERIAL
        piece = piece_of_corners(0, material, table[triangles[mine]], xyz, uv, normals, colours)
        pieces.append(piece)
    return pieces


def _coordinates(
    vertex: Table,
    faces: Table,
    face: NDArray[np.int64],
    corners: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Texture coordinates (N, 2), v down; sets which each corner has in `columns`."""
    wedge = faces.get("texcoord")
    if isinstance(wedge, _Lists) and len(wedge.sizes):
        lists = next(faces[name] for name in _INDICES if name in faces)
        assert isinstance(lists, _Lists)
        if np.array_equal(wedge.sizes, 2 * lists.sizes):
            starts = (np.cumsum(lists.sizes) - lists.sizes)[face[face >= 0]]
            counts = lists.sizes[face[face >= 0]]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            columns[: len(within), 1] = np.repeat(starts, counts) + within
            return v_down(np.asarray(wedge.values, dtype=np.float64).reshape(-1, 2))
    for names in _COORDINATES:
        if _has(vertex, names):
            columns[:, 1] = corners
            return v_down(_columns(vertex, names))
    return np.zeros((0, 2))


def _colours(
    vertex: Table,
    faces: Table,
    of_corner: NDArray[np.int64],
    corners: NDArray[np.int64],
    columns: NDArray[np.int64],
    told: list[str],
) -> NDArray[np.float64]:
    """Colours (N, 4), linear; sets which each corner has in `columns`."""
    found = []
    for table, index in ((vertex, corners), (faces, of_corner)):
        for names in _COLOURS:
            if _has(table, names):
                found.append((table, names, index))
                break
    if not found:
        return np.zeros((0, 4))
    if len(found) > 1:
        told.append("ignores the colours of its faces: its vertices have some")
    table, names, index = found[0]
    values = _columns(table, names)
    # Whole numbers go to 255, and what is in a text as far as its largest says.
    whole = table[names[0]]
    assert isinstance(whole, np.ndarray)
    most = 255.0 if whole.dtype.kind in "iu" else 1.0
    if whole.dtype.kind == "u" and whole.dtype.itemsize == 2:  # in either order of bytes
        most = 65535.0
    elif most == 1.0 and np.nanmax(values, initial=0.0) > 1.0:
        most = 255.0
    alpha = table.get("alpha", table.get("a"))
    if isinstance(alpha, np.ndarray) and len(alpha) and (alpha / most < 0.999).any():
        told.append("draws its transparent colours opaque")
    # A last one for what has none: strips have no face.
    grey = np.array([[*DEFAULT_MATERIAL.base_color, 1.0]])
    columns[:, 3] = np.where(index >= 0, index, len(values))
    return np.concatenate([linear_colours(np.nan_to_num(values / most)), grey])
