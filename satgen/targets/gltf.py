"""Reading glTF 2.0 (.glb and .gltf): triangles with their nodes' transforms applied, materials.

Covers the core format: binary, external and data-URI buffers and images, node hierarchies, sparse
and normalised accessors, triangle lists, strips and fans. Extensions that change the geometry's
encoding (Draco, meshopt) are refused by name.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from satgen.model import Material
from satgen.targets.files import (
    MAX_FILE_BYTES,
    ModelFileError,
    decode_image,
    read_beside,
    read_regular,
)

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
_UNDERSTOOD = {"KHR_mesh_quantization", "KHR_texture_transform", "KHR_materials_unlit"}
_MAX_COUNT = 50_000_000


class GltfError(ModelFileError):
    """The file cannot be read; the message says why."""


@dataclass(frozen=True)
class GltfPrimitive:
    """Triangles in one material, in the scene's frame.

    Attributes:
        vertices: (V, 3) float64; faces: (F, 3) int32.
        normals: (V, 3), uv: (V, 2) v down, colours: (V, 4) linear RGB and opacity, 0..1; None where
            the file has none.
        material: index into `GltfScene.materials`, or None.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    normals: NDArray[np.float64] | None
    uv: NDArray[np.float64] | None
    colours: NDArray[np.float64] | None
    material: int | None


@dataclass(frozen=True)
class GltfNode:
    """A node with a mesh: its name, its extras, its triangles."""

    name: str
    extras: Mapping[str, Any]
    primitives: tuple[GltfPrimitive, ...]


@dataclass(frozen=True)
class GltfScene:
    """What a file shows: nodes with meshes in document order, materials, the asset's extras; and a
    line for each thing in it that is not drawn as it says."""

    nodes: tuple[GltfNode, ...]
    materials: tuple[Material, ...]
    extras: Mapping[str, Any] = field(default_factory=dict)
    generator: str = ""
    warnings: tuple[str, ...] = ()


def read_gltf(path: Path) -> GltfScene:
    """Read a .glb or .gltf file.

    Raises:
        ModelFileError: damaged, truncated, or needs something that is not supported; the message
            does not repeat the path.
        OSError: the file itself cannot be read.
    """
    raw = read_regular(path)
    if raw[:4] == b"glTF" or path.suffix.lower() == ".glb":
        document, body = split_glb(raw)
    else:
        document, body = _parse_json(raw, "the file"), b""
    try:
        return _Reader(document, body, path.parent).scene()
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise GltfError(f"the document is broken ({error!r})") from None


def split_glb(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON document and the binary chunk of a .glb file.

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
    document: dict[str, Any] | None = None
    body: bytes | None = None
    while position + 8 <= total:
        length, kind = struct.unpack_from("<II", raw, position)
        if position + 8 + length > total:
            raise GltfError("a chunk runs past the end of the file")
        chunk = raw[position + 8 : position + 8 + length]
        if kind == _JSON and document is None:
            document = _parse_json(chunk, "the JSON chunk")
        elif kind == _BIN and body is None:
            body = chunk
        position += 8 + length
    if document is None:
        raise GltfError("no JSON chunk")
    return document, body or b""


def _parse_json(raw: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError as error:
        raise GltfError(f"{what} is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise GltfError(f"{what} is not a glTF document")
    return document


class _Reader:
    def __init__(self, document: Mapping[str, Any], body: bytes, folder: Path) -> None:
        self.doc = document
        self.body = body
        self.folder = folder
        self.buffers: dict[int, bytes] = {}
        self.images: dict[int, NDArray[np.uint8]] = {}

    def scene(self) -> GltfScene:
        asset = self.doc.get("asset", {})
        if not str(asset.get("version", "")).startswith("2."):
            raise GltfError(f"glTF version {asset.get('version')!r}; only 2 is supported")
        for name in self.doc.get("extensionsRequired", []):
            if name not in _UNDERSTOOD:
                raise GltfError(f"needs the extension {name}; export it without")
        nodes = []
        for index, matrix in self._walk():
            node = self.doc["nodes"][index]
            if "mesh" not in node:
                continue
            mesh = self.doc["meshes"][node["mesh"]]
            found = (self._primitive(p, matrix) for p in mesh["primitives"])
            name = str(node.get("name") or mesh.get("name") or f"node {index}")
            nodes.append(GltfNode(name, node.get("extras") or {}, tuple(p for p in found if p)))
        materials = tuple(self._material(m, k) for k, m in enumerate(self.doc.get("materials", [])))
        return GltfScene(
            tuple(nodes), materials, asset.get("extras") or {}, str(asset.get("generator", ""))
        )

    def _walk(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Nodes of the scene in document order with their matrices to the scene's frame."""
        nodes = self.doc.get("nodes", [])
        if "scenes" in self.doc:
            roots = self.doc["scenes"][self.doc.get("scene", 0)].get("nodes", [])
        else:
            children = {c for n in nodes for c in n.get("children", [])}
            roots = [k for k in range(len(nodes)) if k not in children]
        stack = [(int(k), np.eye(4)) for k in reversed(roots)]
        seen: set[int] = set()
        while stack:
            index, parent = stack.pop()
            if index in seen:
                raise GltfError(f"node {index} hangs in more than one place")
            seen.add(index)
            matrix = parent @ _node_matrix(nodes[index])
            yield index, matrix
            children = nodes[index].get("children", [])
            stack += [(int(c), matrix) for c in reversed(children)]

    def _primitive(
        self, entry: Mapping[str, Any], matrix: NDArray[np.float64]
    ) -> GltfPrimitive | None:
        mode = int(entry.get("mode", 4))
        if mode not in (4, 5, 6):
            return None
        extensions = set(entry.get("extensions", {})) - _UNDERSTOOD - {"KHR_materials_variants"}
        if extensions:
            raise GltfError(f"uses the extension {sorted(extensions)[0]}; export it without")
        attributes = entry["attributes"]
        vertices = self.accessor(attributes["POSITION"]).astype(np.float64)
        count = len(vertices)
        if "indices" in entry:
            index = self.accessor(entry["indices"]).astype(np.int64).reshape(-1)
        else:
            index = np.arange(count)
        if len(index) and (index.min() < 0 or index.max() >= count):
            raise GltfError(f"an index is {int(index.max())}, but there are {count} vertices")
        faces = _triangles(index, mode)
        linear = matrix[:3, :3]
        if np.linalg.det(linear) < 0:
            faces = faces[:, ::-1]

        def optional(key: str, width: int) -> NDArray[np.float64] | None:
            if key not in attributes:
                return None
            value = self.accessor(attributes[key]).astype(np.float64)
            return value if value.shape == (count, width) else None

        normals = optional("NORMAL", 3)
        if not np.array_equal(matrix, np.eye(4)):
            vertices = vertices @ linear.T + matrix[:3, 3]
            if normals is not None:
                cofactor = np.linalg.det(linear) * np.linalg.pinv(linear).T
                normals = normals @ (cofactor * (-1.0 if np.linalg.det(linear) < 0 else 1.0)).T
        return GltfPrimitive(
            vertices,
            np.ascontiguousarray(faces).astype(np.int32),
            normals,
            optional("TEXCOORD_0", 2),
            self._colours(attributes, count),
            int(entry["material"]) if "material" in entry else None,
        )

    def _colours(self, attributes: Mapping[str, Any], count: int) -> NDArray[np.float64] | None:
        """COLOR_0 as linear RGB and opacity (V, 4)."""
        if "COLOR_0" not in attributes:
            return None
        found = self.accessor(attributes["COLOR_0"])
        if found.dtype.kind in "iu":  # of an exporter that forgot to say so
            found = found / np.iinfo(found.dtype).max
        if found.shape not in ((count, 3), (count, 4)):
            raise GltfError(f"COLOR_0 is {found.shape} for {count} vertices")
        colours = np.ones((count, 4))
        colours[:, : found.shape[1]] = np.clip(found, 0.0, 1.0)
        if not np.isfinite(colours).all():
            raise GltfError("COLOR_0 holds numbers that are not finite")
        return colours

    # --- numbers

    def buffer(self, index: int) -> bytes:
        if index not in self.buffers:
            entry = self.doc["buffers"][index]
            uri = entry.get("uri")
            raw = self.body if uri is None else self._resolve(uri, "buffer")
            if len(raw) < int(entry["byteLength"]):
                raise GltfError(
                    f"buffer {index} is truncated: {len(raw)} of {entry['byteLength']} bytes"
                )
            self.buffers[index] = raw
        return self.buffers[index]

    def _resolve(self, uri: str, what: str) -> bytes:
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except (binascii.Error, ValueError) as error:
                raise GltfError(f"a {what} holds broken base64 ({error})") from None
        if "://" in uri:
            raise GltfError(f"{what} {uri!r} is not a file")
        name = unquote(uri)
        try:
            return read_beside(self.folder, name, MAX_FILE_BYTES)
        except ModelFileError as error:
            raise GltfError(f"{what} file {name!r} cannot be read ({error})") from None

    def view(self, index: int) -> tuple[bytes, int, int]:
        """Buffer, start and length of a buffer view."""
        entry = self.doc["bufferViews"][index]
        if "EXT_meshopt_compression" in entry.get("extensions", {}):
            raise GltfError("uses the extension EXT_meshopt_compression; export it without")
        return (
            self.buffer(int(entry["buffer"])),
            int(entry.get("byteOffset", 0)),
            int(entry["byteLength"]),
        )

    def accessor(self, index: int) -> NDArray[Any]:
        """The numbers of an accessor: (count, width), or (count,) for scalars."""
        entry = self.doc["accessors"][index]
        code, kind, count = entry["componentType"], entry["type"], int(entry["count"])
        if code not in _COMPONENT or kind not in _WIDTH:
            raise GltfError(f"accessor {index} has an unknown type ({code}, {kind})")
        if not 0 <= count <= _MAX_COUNT:
            raise GltfError(f"accessor {index} has {count} elements")
        dtype, width = np.dtype(_COMPONENT[code]).newbyteorder("<"), _WIDTH[kind]
        if "bufferView" in entry:
            stride = int(self.doc["bufferViews"][entry["bufferView"]].get("byteStride", 0))
            values = self._block(
                int(entry["bufferView"]),
                int(entry.get("byteOffset", 0)),
                (count, width),
                dtype,
                stride,
                f"accessor {index}",
            )
        else:
            values = np.zeros((count, width), dtype)
        sparse = entry.get("sparse")
        if sparse:
            n = int(sparse["count"])
            at, new = sparse["indices"], sparse["values"]
            where = self._block(
                int(at["bufferView"]),
                int(at.get("byteOffset", 0)),
                (n, 1),
                np.dtype(_COMPONENT[at["componentType"]]).newbyteorder("<"),
                0,
                f"accessor {index}",
            )[:, 0]
            values = values.copy()
            values[where] = self._block(
                int(new["bufferView"]),
                int(new.get("byteOffset", 0)),
                (n, width),
                dtype,
                0,
                f"accessor {index}",
            )
        if entry.get("normalized") and dtype.kind in "iu":
            scaled = values.astype(np.float64) / np.iinfo(dtype).max
            values = np.maximum(scaled, -1.0)
        return values[:, 0] if width == 1 else values

    def _block(
        self,
        view: int,
        offset: int,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        stride: int,
        what: str,
    ) -> NDArray[Any]:
        raw, start, length = self.view(view)
        row = shape[1] * dtype.itemsize
        step = stride or row
        need = offset + step * (shape[0] - 1) + row if shape[0] else offset
        if shape[0] < 0 or offset < 0 or need > length or start + length > len(raw):
            raise GltfError(f"{what} runs past its buffer (truncated file?)")
        return np.asarray(np.ndarray(shape, dtype, raw, start + offset, (step, dtype.itemsize)))

    # --- materials

    def _material(self, entry: Mapping[str, Any], index: int) -> Material:
        pbr = entry.get("pbrMetallicRoughness", {})
        normal = entry.get("normalTexture")
        r, g, b = (float(v) for v in pbr.get("baseColorFactor", (1.0,) * 4)[:3])
        er, eg, eb = (float(v) for v in entry.get("emissiveFactor", (0.0,) * 3))
        return Material(
            name=str(entry.get("name") or f"material {index}"),
            base_color=(r, g, b),
            metallic=float(pbr.get("metallicFactor", 1.0)),
            roughness=float(pbr.get("roughnessFactor", 1.0)),
            normal_scale=float(normal.get("scale", 1.0)) if normal else 1.0,
            base_color_image=self._texture(pbr.get("baseColorTexture")),
            metallic_roughness_image=self._texture(pbr.get("metallicRoughnessTexture")),
            normal_image=self._texture(normal),
            emissive=(er, eg, eb),
            double_sided=bool(entry.get("doubleSided", False)),
        )

    def _texture(self, ref: Mapping[str, Any] | None) -> NDArray[np.uint8] | None:
        if ref is None or int(ref.get("texCoord", 0)) != 0:
            return None
        texture = self.doc["textures"][int(ref["index"])]
        if "source" not in texture:
            needed = ", ".join(texture.get("extensions", {})) or "an unknown extension"
            raise GltfError(f"texture {ref['index']} has no plain image (it needs {needed})")
        source = int(texture["source"])
        if source not in self.images:
            image = self.doc["images"][source]
            name = str(image.get("name") or image.get("uri", f"image {source}"))[:80]
            if "uri" in image:
                raw = self._resolve(str(image["uri"]), "texture")
            else:
                data, start, length = self.view(int(image["bufferView"]))
                if start + length > len(data):
                    raise GltfError(f"texture {name!r} runs past its buffer (truncated file?)")
                raw = data[start : start + length]
            self.images[source] = decode_image(raw, name)
        return self.images[source]


def _triangles(index: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    if mode == 4:
        return index[: len(index) // 3 * 3].reshape(-1, 3)
    if len(index) < 3:
        return np.empty((0, 3), dtype=np.int64)
    a, b, c = index[:-2], index[1:-1], index[2:]
    if mode == 6:
        return np.stack([np.full_like(b, index[0]), b, c], axis=-1)
    odd = np.arange(len(a)) % 2 == 1
    return np.stack([a, np.where(odd, c, b), np.where(odd, b, c)], axis=-1)


def _node_matrix(node: Mapping[str, Any]) -> NDArray[np.float64]:
    if "matrix" in node:
        return np.asarray(np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T)
    matrix = np.eye(4)
    x, y, z, w = (float(v) for v in node.get("rotation", (0.0, 0.0, 0.0, 1.0)))
    norm = x * x + y * y + z * z + w * w
    if norm > 0 and (x, y, z) != (0.0, 0.0, 0.0):
        s = 2.0 / norm
        matrix[:3, :3] = [
            [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
            [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
            [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
        ]
    matrix[:3, :3] *= np.array(node.get("scale", (1.0, 1.0, 1.0)), dtype=np.float64)
    matrix[:3, 3] = np.array(node.get("translation", (0.0, 0.0, 0.0)), dtype=np.float64)
    return matrix
