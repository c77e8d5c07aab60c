"""Unpacking compressed glTF data with the libraries of the extra `meshes`: DracoPy for
KHR_draco_mesh_compression, meshoptimizer for EXT_meshopt_compression."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.targets.gltf_document import GltfError

EXTRA = "meshes"
PACKAGES = {"DracoPy": "KHR_draco_mesh_compression", "meshoptimizer": "EXT_meshopt_compression"}
"""Packages, as they are imported, and the extension that each is for."""


def require_for(extensions: set[str]) -> None:
    """Refuse a file whose compression cannot be undone here, naming all that is missing at once.

    Args:
        extensions: that the file's data is compressed with, of `PACKAGES`.

    Raises:
        GltfError: what to install.
    """
    missing = [
        (package, extension)
        for package, extension in PACKAGES.items()
        if extension in extensions and importlib.util.find_spec(package) is None
    ]
    if missing:
        packages = " and ".join(package for package, _ in missing)
        used = " and ".join(extension for _, extension in missing)
        raise GltfError(
            f"{used} needs the Python package{'s' * (len(missing) > 1)} {packages}, not installed "
            f"here: pip install 'satgen[{EXTRA}]'"
        )


def unpack_view(raw: bytes, mode: str, how: str, count: int, stride: int, where: str) -> bytes:
    """The bytes of a buffer view that is compressed by EXT_meshopt_compression.

    Args:
        raw: compressed.
        mode: "ATTRIBUTES", "TRIANGLES" or "INDICES".
        how: the filter that is undone afterwards: "NONE", "OCTAHEDRAL", "QUATERNION" or
            "EXPONENTIAL".
        count, stride: elements and bytes of each.
        where: what it is called in messages.

    Raises:
        GltfError: it is damaged.
    """
    import meshoptimizer

    if mode == "ATTRIBUTES" and (stride % 4 or not 4 <= stride <= 256):
        raise GltfError(f"{where} has elements of {stride} bytes, must be 4, 8 … 256")
    if mode != "ATTRIBUTES" and (stride not in (2, 4) or how != "NONE"):
        raise GltfError(f"{where} has indices of {stride} bytes, must be 2 or 4 and unfiltered")
    if mode == "TRIANGLES" and count % 3:
        raise GltfError(f"{where} has {count} indices for triangles")
    # 256 bytes may come down to 2 bits, an index to a third of a byte: nothing honest is larger
    if count > 64 + (len(raw) * 1024 // stride if mode == "ATTRIBUTES" else len(raw) * 3):
        raise GltfError(f"{where} holds {len(raw)} bytes for {count} elements")
    if not count:
        return b""
    try:
        if mode == "ATTRIBUTES":
            rows = meshoptimizer.decode_vertex_buffer(count, stride, raw, np.dtype(f"V{stride}"))
            return _filtered(np.frombuffer(rows.tobytes(), np.uint8).copy(), how, count, stride)
        undo = (
            meshoptimizer.decode_index_buffer
            if mode == "TRIANGLES"
            else meshoptimizer.decode_index_sequence
        )
        indices = undo(count, 4, raw)
        return bytes(indices.astype("<u2" if stride == 2 else "<u4").tobytes())
    except (RuntimeError, ValueError, MemoryError) as error:
        raise GltfError(f"{where} cannot be unpacked ({str(error)[:80]})") from None


def _filtered(data: NDArray[np.uint8], how: str, count: int, stride: int) -> bytes:
    import meshoptimizer

    strides = {"OCTAHEDRAL": (4, 8), "QUATERNION": (8,)}
    if how in strides and stride not in strides[how]:
        raise ValueError(f"filter {how} on elements of {stride} bytes")
    undo = {
        "OCTAHEDRAL": meshoptimizer.decode_filter_oct,
        "QUATERNION": meshoptimizer.decode_filter_quat,
        "EXPONENTIAL": meshoptimizer.decode_filter_exp,
    }.get(how)
    return bytes((data if undo is None else undo(data, count, stride)).tobytes())


def unpack_mesh(
    raw: bytes, attributes: dict[str, int], where: str
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Triangles (F, 3) and attributes (V, width) of a mesh that is compressed by Draco.

    Args:
        raw: compressed.
        attributes: the numbers that it knows attributes by.
        where: what it is called in messages.

    Raises:
        GltfError: it is damaged, or an attribute is missing.
    """
    import DracoPy

    try:
        mesh = DracoPy.decode(raw)
    except Exception as error:  # it raises exceptions of its own, and C++'s
        detail = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise GltfError(f"{where} cannot be unpacked ({detail})") from None
    faces = getattr(mesh, "faces", None)
    if faces is None:
        raise GltfError(f"{where} unpacks to points without triangles")
    found = {int(entry["unique_id"]): entry for entry in mesh.attributes}
    arrays = {}
    for name, number in attributes.items():
        if number not in found:
            raise GltfError(f"{where} has no attribute {number} for {name[:40]}")
        data = np.asarray(found[number]["data"])
        arrays[name] = data.reshape(len(data), -1)
    return np.asarray(faces, dtype=np.int64).reshape(-1, 3), arrays
