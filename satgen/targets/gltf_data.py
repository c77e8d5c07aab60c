"""The numbers and bytes of a glTF file: buffers, views, accessors, and their compressed forms.

Nothing is read, unpacked or copied before it is asked for, and nothing has more elements than the
bytes behind it hold: a document cannot make this module fill the memory with zeros.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from satgen.targets.files import MAX_FILE_BYTES, ModelFileError, read_beside
from satgen.targets.gltf_compression import unpack_view
from satgen.targets.gltf_document import COMPRESSED_VIEWS, Document, GltfError, clean_name

_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_COMPONENT: dict[int, Any] = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5125: np.uint32,
    5126: np.float32,
}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
MOST_ZEROS = 4_000_000
"""Elements of an accessor without data, which are all zero but for those that it lists."""
MOST_UNPACKED = 1 << 29
"""Bytes that all compressed views of a file may unpack to."""


def split_glb(raw: bytes) -> tuple[bytes, bytes]:
    """The JSON and the binary chunk of a .glb file.

    Raises:
        GltfError: not a GLB, or truncated.
    """
    if len(raw) < 20:
        raise GltfError(f"too short for a GLB ({len(raw)} bytes)")
    magic, version, total = struct.unpack_from("<III", raw, 0)
    if magic != _MAGIC:
        raise GltfError("does not start as a GLB does")
    if version != 2:
        raise GltfError(f"GLB version {version}; only version 2 is supported")
    if total > len(raw):
        raise GltfError(f"truncated: {len(raw)} of {total} bytes")
    position = 12
    document: bytes | None = None
    body: bytes | None = None
    while position + 8 <= total:
        length, kind = struct.unpack_from("<II", raw, position)
        if position + 8 + length > total:
            raise GltfError("a chunk runs past the end of the file")
        chunk = raw[position + 8 : position + 8 + length]
        if kind == _JSON and document is None:
            document = chunk
        elif kind == _BIN and body is None:
            body = chunk
        position += 8 + length
    if document is None:
        raise GltfError("no JSON chunk")
    return document, body or b""


class GltfData:
    """The data that a document names.

    Args:
        document: checked.
        body: the binary chunk of a .glb.
        folder: of the file; others that it names lie in it.
    """

    def __init__(self, document: Document, body: bytes, folder: Path) -> None:
        self._document = document
        self._body = body
        self._folder = folder
        self._buffers: dict[int, bytes] = {}
        self._views: dict[int, bytes] = {}
        self._arrays: dict[int, NDArray[Any]] = {}
        self._unpacked = 0

    def compressed(self) -> bool:
        """Whether any view is compressed."""
        views = self._document.table("bufferViews")
        return any(_packed(view) is not None for view in views)

    def named(self, uri: str, what: str) -> bytes:
        """The bytes that a URI stands for.

        Raises:
            GltfError: it cannot be read.
        """
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except (binascii.Error, ValueError) as error:
                raise GltfError(f"a {what} holds broken base64 ({error})") from None
        shown = clean_name(uri[:80])
        if "://" in uri:
            raise GltfError(f"{what} {shown!r} is not a file")
        try:
            return read_beside(self._folder, unquote(uri), MAX_FILE_BYTES)
        except ModelFileError as error:
            raise GltfError(f"{what} file {shown!r} cannot be read ({error})") from None

    def view(self, index: int) -> memoryview:
        """The bytes of a buffer view, unpacked."""
        entry = self._document.table("bufferViews")[index]
        packed = _packed(entry)
        if packed is None:
            return self._slice(entry, f"bufferViews[{index}]")
        if index not in self._views:
            self._views[index] = self._unpack(entry, packed, f"bufferViews[{index}]")
        return memoryview(self._views[index])

    def array(self, index: int) -> NDArray[Any]:
        """The numbers of an accessor as they are stored, (count, width); not to be written to."""
        if index not in self._arrays:
            self._arrays[index] = self._array(index)
        return self._arrays[index]

    def values(self, index: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Numbers of an accessor in real numbers, (N, width), all or of some rows.

        Whole numbers that stand for a share of one, as the accessor says, are divided.
        """
        stored = self.array(index)
        return self.scaled(index, stored if rows is None else stored[rows])

    def scaled(self, index: int, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Stored numbers (N, width) of an accessor in real numbers."""
        values: NDArray[np.float64] = stored.astype(np.float64)
        if self._document.table("accessors")[index].get("normalized") and stored.dtype.kind in "iu":
            values = np.maximum(values / np.iinfo(stored.dtype).max, -1.0)
        return values

    def count(self, index: int) -> int:
        """How many elements an accessor has."""
        return int(self._document.table("accessors")[index]["count"])

    def kind(self, index: int) -> np.dtype[Any]:
        """The type of an accessor's numbers as they are stored."""
        return _little(self._document.table("accessors")[index]["componentType"])

    def backed(self, index: int) -> bool:
        """Whether an accessor has any data, and is not zero all over."""
        entry = self._document.table("accessors")[index]
        return "bufferView" in entry or "sparse" in entry

    @property
    def size(self) -> int:
        """Bytes that were read beside the file's own, or unpacked."""
        outside = [len(raw) for raw in self._buffers.values() if raw is not self._body]
        return sum(outside) + self._unpacked

    # --- buffers

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            entry = self._document.table("buffers")[index]
            uri = entry.get("uri")
            if uri is None and index:
                raise GltfError(f"buffers[{index}] has no data")
            raw = self._body if uri is None else self.named(uri, "buffer")
            length = int(entry["byteLength"])
            if len(raw) < length:
                raise GltfError(f"buffer {index} is truncated: {len(raw)} of {length} bytes")
            self._buffers[index] = raw
        return self._buffers[index]

    def _slice(self, entry: Mapping[str, Any], where: str) -> memoryview:
        raw = self._buffer(int(entry["buffer"]))
        start, length = int(entry.get("byteOffset", 0)), int(entry["byteLength"])
        if start + length > len(raw):
            raise GltfError(f"{where} runs past its buffer (truncated file?)")
        return memoryview(raw)[start : start + length]

    def _unpack(self, entry: Mapping[str, Any], packed: Mapping[str, Any], where: str) -> bytes:
        count, stride = int(packed["count"]), int(packed["byteStride"])
        if count * stride > int(entry["byteLength"]):
            raise GltfError(f"{where} unpacks to more than its {entry['byteLength']} bytes")
        self._unpacked += count * stride
        if self._unpacked > MOST_UNPACKED:
            raise GltfError(f"its compressed views hold over {MOST_UNPACKED} bytes")
        return unpack_view(
            bytes(self._slice(packed, where)),
            str(packed["mode"]),
            str(packed.get("filter", "NONE")),
            count,
            stride,
            where,
        )

    # --- accessors

    def _array(self, index: int) -> NDArray[Any]:
        entry = self._document.table("accessors")[index]
        where = f"accessors[{index}]"
        count, width = int(entry["count"]), _WIDTH[entry["type"]]
        dtype = _little(entry["componentType"])
        if "bufferView" in entry:
            values: NDArray[Any] = self._block(entry, (count, width), dtype, where, strided=True)
        elif count <= MOST_ZEROS:
            values = np.broadcast_to(np.zeros((1, width), dtype), (count, width))
        else:
            raise GltfError(f"{where} has {count} elements and no data")
        sparse = entry.get("sparse")
        if sparse is None or not int(sparse["count"]):
            return values
        n, at = int(sparse["count"]), sparse["indices"]
        rows = self._block(at, (n, 1), _little(at["componentType"]), where)[:, 0]
        if int(rows.max()) >= count:
            raise GltfError(f"{where} replaces element {int(rows.max())} of {count}")
        values = values.copy()
        values[rows] = self._block(sparse["values"], (n, width), dtype, where)
        return values

    def _block(
        self,
        entry: Mapping[str, Any],
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        where: str,
        strided: bool = False,
    ) -> NDArray[Any]:
        """Rows of numbers at an offset in a view, not copied."""
        view = int(entry["bufferView"])
        raw, offset = self.view(view), int(entry.get("byteOffset", 0))
        row = shape[1] * dtype.itemsize
        stride = self._document.table("bufferViews")[view].get("byteStride", 0) if strided else 0
        step = int(stride) or row
        if step < row:
            raise GltfError(f"{where} has rows of {row} bytes every {step} bytes")
        if offset + step * (shape[0] - 1) + row > len(raw) and shape[0]:
            raise GltfError(f"{where} runs past its buffer (truncated file?)")
        if not shape[0]:
            return np.zeros(shape, dtype)
        return np.asarray(np.ndarray(shape, dtype, raw, offset, (step, dtype.itemsize)))


def _packed(view: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How a view is compressed, or None."""
    extensions = view.get("extensions", {})
    return next((extensions[n] for n in COMPRESSED_VIEWS if n in extensions), None)


def _little(code: int) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(_COMPONENT[code]).newbyteorder("<")
    return dtype
