"""STL files: triangles, of binary ones with the colours that programs hide in them."""

from __future__ import annotations

import re
import warnings as python_warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.colour import srgb_encode
from satgen.grouping import equal_rows
from satgen.targets.files import ModelFileError, text_of
from satgen.targets.pieces import (
    DEFAULT_MATERIAL,
    WHITE_MATERIAL,
    ModelPieces,
    Piece,
    linear_colours,
    plural,
)

_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("colour", "<u2")])
_HEAD = 84
_CHUNK = 1 << 24


def read_stl(raw: bytes, stem: str) -> ModelPieces:
    """Read an STL file, binary or ASCII; its normals are those of its triangles, and not read.

    Each solid of an ASCII file is a part. Of a binary file the colours are drawn that VisCAM and
    SolidView (bit 15 of a triangle's attribute set), or Magics ("COLOR=" in the header; bit 15
    clear where a triangle has its own) write, as sRGB.

    Args:
        raw: its bytes.
        stem: what a part without a name is called.

    Raises:
        ModelFileError: it is none, or cut off.
    """
    marked = raw[:3] == b"\xef\xbb\xbf" or raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    plain = text_of(raw).encode() if marked else raw
    text = plain[:512].lstrip().lower().startswith(b"solid")
    count = int.from_bytes(raw[80:_HEAD], "little") if len(raw) >= _HEAD else 0
    need = _HEAD + count * _RECORD.itemsize
    if text and need != len(raw) and re.search(rb"facet|endsolid", plain[: 1 << 16], re.IGNORECASE):
        return _ascii(plain, stem)
    if len(raw) < need or len(raw) < _HEAD:
        raise ModelFileError(f"cannot be read as STL: {len(raw)} bytes, {need} for its triangles")
    told = []
    if len(raw) > need:
        told.append(f"ignores {plural(len(raw) - need, 'byte')} after its triangles")
    records = np.frombuffer(raw, _RECORD, count, _HEAD)
    colours, ignored = _colours(raw[:80], records["colour"])
    if ignored:
        told.append(f"ignores attributes of {plural(ignored, 'triangle')} that are no colours")
    piece = _piece(0, np.ascontiguousarray(records["corners"]), colours)
    return ModelPieces([stem], [piece], told)


def _colours(header: bytes, attribute: NDArray[np.uint16]) -> tuple[NDArray[np.uint8] | None, int]:
    """Colours (F, 3), sRGB, of triangles with 255 as most, or None; and how many attributes are no
    colours."""
    own = (attribute & 0x8000) != 0
    place = header.find(b"COLOR=")
    channels = np.stack([(attribute >> shift) & 31 for shift in (0, 5, 10)], axis=1)
    values = np.rint(channels * (255.0 / 31.0)).astype(np.uint8)
    if 0 <= place <= 70:
        whole = np.frombuffer(header, np.uint8, 3, place + 6)
        return np.where(own[:, None], whole, values), 0
    if own.any():
        default = np.rint(255.0 * _default_srgb()).astype(np.uint8)
        return np.where(own[:, None], values[:, ::-1], default), int(
            np.sum(~own & (attribute != 0))
        )
    return None, int(np.count_nonzero(attribute))


def _default_srgb() -> NDArray[np.float64]:
    return np.asarray(srgb_encode(np.array(DEFAULT_MATERIAL.base_color)))


def _piece(part: int, corners: NDArray[Any], colours: NDArray[np.uint8] | None) -> Piece:
    """A part of triangles (F, 3, 3), with each different corner once."""
    points = corners.reshape(-1, 3)
    if colours is None or not np.any(colours != colours[:1]):
        first, group = equal_rows(points)
        material = DEFAULT_MATERIAL
        tints = None
        if colours is not None and len(colours):
            material, tints = WHITE_MATERIAL, linear_colours(colours[:1] / 255.0)
            tints = np.repeat(tints, len(first), axis=0)
    else:
        code = (colours.astype(np.uint32) * (1, 256, 65536)).sum(axis=1, dtype=np.uint32)
        bits = (points.astype(np.float32) + np.float32(0.0)).view(np.uint32)
        first, group = equal_rows(np.column_stack([bits, np.repeat(code, 3)]))
        material = WHITE_MATERIAL
        tints = linear_colours(colours[first // 3] / 255.0)
    return Piece(
        part,
        material,
        points[first].astype(np.float64),
        group.reshape(-1, 3).astype(np.int32),
        None,
        None,
        tints,
    )


_SOLID = re.compile(rb"^[ \t]*solid\b[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_WORDS = re.compile(
    rb"^[ \t]*(?:facet[ \t]+normal[^\r\n]*|outer[ \t]+loop|end[ \t]*loop|end[ \t]*facet"
    rb"|end[ \t]*solid[^\r\n]*|color[^\r\n]*)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_COLOUR = re.compile(rb"^[ \t]*color\b", re.IGNORECASE | re.MULTILINE)
_VERTEX = re.compile(rb"^[ \t]*vertex\b", re.IGNORECASE | re.MULTILINE)


def _ascii(raw: bytes, stem: str) -> ModelPieces:
    raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    solids = list(_SOLID.finditer(raw))
    names, pieces = [], []
    for number, solid in enumerate(solids):
        end = solids[number + 1].start() if number + 1 < len(solids) else len(raw)
        corners = _corners(raw, solid.end(), end)
        name = solid[1].decode("utf-8", "replace").strip()
        names.append(name or stem)
        if len(corners):
            pieces.append(_piece(number, corners, None))
    colours = len(_COLOUR.findall(raw))
    told = [f"ignores {plural(colours, 'line')} 'color'"] if colours else []
    return ModelPieces(names, pieces, told)


def _corners(raw: bytes, start: int, end: int) -> NDArray[np.float64]:
    """Triangles (F, 3, 3) of what lies between two places of an ASCII file."""
    found = []
    while start < end:
        stop = (
            raw.rfind(b"\n", start, min(start + _CHUNK, end)) + 1 if end - start > _CHUNK else end
        )
        stop = stop if stop > start else end
        numbers = _VERTEX.sub(b"", _WORDS.sub(b"", raw[start:stop]))
        found.append(numbers_of(numbers, "STL"))
        start = stop
    values = np.concatenate(found) if found else np.zeros(0)
    if len(values) % 9:
        raise ModelFileError("cannot be read as STL: a triangle has not three corners (cut off?)")
    return values.reshape(-1, 3, 3)


def numbers_of(text: bytes, kind: str) -> NDArray[np.float64]:
    """The numbers of a text, with blanks between.

    Raises:
        ModelFileError: something in it is none.
    """
    if not text.strip():
        return np.zeros(0)  # NumPy reads -1 there
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("error")
        try:
            return np.fromstring(text.decode("latin-1"), dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            raise ModelFileError(
                f"cannot be read as {kind}: there is something other than numbers among them"
            ) from None
