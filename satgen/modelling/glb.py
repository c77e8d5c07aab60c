"""Binary glTF 2.0: writing a target, byte for byte the same each time.

One node a part (name, extras {"label", "class"}), one primitive a material in it, with
POSITION, NORMAL, TANGENT and TEXCOORD_0; textures embedded. Vertices are in the target frame, in
metres; node transforms are identity.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.model import Material

_MAGIC, _VERSION, _JSON, _BIN = 0x46546C67, 2, 0x4E4F534A, 0x004E4942


@dataclass(frozen=True)
class MeshPrimitive:
    """Triangles in one material, as glTF has them.

    Attributes:
        vertices: (V, 3); normals: (V, 3); tangents: (V, 4); uv: (V, 2), v down; faces: (F, 3).
        material: index into the materials.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    tangents: NDArray[np.float32]
    uv: NDArray[np.float32]
    faces: NDArray[np.int32]
    material: int


@dataclass(frozen=True)
class MeshNode:
    """A part: name, label, class, and its primitives."""

    name: str
    label: int
    cls: str
    primitives: tuple[MeshPrimitive, ...]


def compute_tangents(
    vertices: NDArray[Any], normals: NDArray[Any], uv: NDArray[Any], faces: NDArray[Any]
) -> NDArray[np.float32]:
    """Tangents (V, 4) for glTF's normal maps.

    The tangent points along growing u, weighted by the corner angles of the triangles around the
    vertex, made perpendicular to the normal; w is the sign with which cross(normal, tangent)
    points against growing v (v runs down the image, and a normal map's green is up). A vertex
    whose triangles have no usable uv gets an arbitrary perpendicular.

    Args:
        vertices: (V, 3); normals: (V, 3) unit; uv: (V, 2) with v down; faces: (F, 3).
    """
    p = np.asarray(vertices, dtype=np.float64)
    n = np.asarray(normals, dtype=np.float64)
    t = np.asarray(uv, dtype=np.float64)
    tri, tex = p[faces], t[faces]
    e1, e2 = tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]
    d1, d2 = tex[:, 1] - tex[:, 0], tex[:, 2] - tex[:, 0]
    det = d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0]
    sign = np.where(det < 0, -1.0, 1.0)[:, None]
    du = _normalised(sign * (e1 * d2[:, 1:2] - e2 * d1[:, 1:2]))
    dv = _normalised(sign * (e2 * d1[:, 0:1] - e1 * d2[:, 0:1]))
    valid = np.abs(det) > 1e-20
    tangent, up = np.zeros_like(p), np.zeros_like(p)
    for k in range(3):
        a = _normalised(tri[:, (k + 1) % 3] - tri[:, k])
        b = _normalised(tri[:, (k + 2) % 3] - tri[:, k])
        angle = np.arccos(np.clip(np.sum(a * b, axis=1), -1.0, 1.0)) * valid
        np.add.at(tangent, faces[:, k], du * angle[:, None])
        np.add.at(up, faces[:, k], -dv * angle[:, None])
    tangent -= n * np.sum(tangent * n, axis=1, keepdims=True)
    length = np.linalg.norm(tangent, axis=1)
    bad = length < 1e-9
    if np.any(bad):
        pick = np.eye(3)[np.argmin(np.abs(n[bad]), axis=1)]
        tangent[bad] = np.cross(n[bad], pick)
        length[bad] = np.maximum(np.linalg.norm(tangent[bad], axis=1), 1e-30)
    tangent /= length[:, None]
    w = np.where(np.sum(np.cross(n, tangent) * up, axis=1) < 0, -1.0, 1.0)
    return np.column_stack([tangent, w]).astype(np.float32)


def _normalised(v: NDArray[np.float64]) -> NDArray[np.float64]:
    norm = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.asarray(v / np.where(norm > 0, norm, 1.0))


# --- writing ------------------------------------------------------------------------------------


def encode_image(image: NDArray[np.uint8], quality: int) -> tuple[bytes, str]:
    """An (H, W, 3) texture and its MIME type: JPEG without chroma subsampling, or PNG if smaller.

    Flat fields that step from tile to tile, as mirrors' normals do, are smaller as PNG, and exact.
    """
    from PIL import Image

    jpeg, png = io.BytesIO(), io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.save(jpeg, "JPEG", quality=quality, subsampling=0, optimize=True)
    picture.save(png, "PNG", compress_level=9)
    if len(png.getvalue()) <= len(jpeg.getvalue()):
        return png.getvalue(), "image/png"
    return jpeg.getvalue(), "image/jpeg"


class _Buffer:
    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []

    def add(self, raw: bytes, target: int | None = None) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        view: dict[str, Any] = {
            "buffer": 0,
            "byteOffset": len(self.data),
            "byteLength": len(raw),
        }
        if target is not None:
            view["target"] = target
        self.data += raw
        self.views.append(view)
        return len(self.views) - 1


def write_glb(
    nodes: Sequence[MeshNode],
    materials: Sequence[Material],
    extras: Mapping[str, Any] | None = None,
    quality: int = 92,
) -> bytes:
    """The bytes of a .glb file; the same input and libraries give the same bytes."""
    buffer = _Buffer()
    accessors: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    encoded: list[bytes] = []

    def accessor(array: NDArray[Any], kind: str, component: int, target: int, limits: bool) -> int:
        entry: dict[str, Any] = {
            "bufferView": buffer.add(np.ascontiguousarray(array).tobytes(), target),
            "componentType": component,
            "count": len(array),
            "type": kind,
        }
        if limits:
            rows = array.reshape(len(array), -1)
            entry["min"] = [float(v) for v in rows.min(axis=0)]
            entry["max"] = [float(v) for v in rows.max(axis=0)]
        accessors.append(entry)
        return len(accessors) - 1

    meshes = []
    for node in nodes:
        primitives = []
        for p in node.primitives:
            small = len(p.vertices) <= 65535
            index = p.faces.astype("<u2" if small else "<u4").reshape(-1)
            primitives.append(
                {
                    "attributes": {
                        "POSITION": accessor(p.vertices.astype("<f4"), "VEC3", 5126, 34962, True),
                        "NORMAL": accessor(p.normals.astype("<f4"), "VEC3", 5126, 34962, False),
                        "TANGENT": accessor(p.tangents.astype("<f4"), "VEC4", 5126, 34962, False),
                        "TEXCOORD_0": accessor(p.uv.astype("<f4"), "VEC2", 5126, 34962, False),
                    },
                    "indices": accessor(index, "SCALAR", 5123 if small else 5125, 34963, False),
                    "material": p.material,
                    "mode": 4,
                }
            )
        meshes.append({"name": node.name, "primitives": primitives})

    def texture(image: NDArray[np.uint8] | None, name: str) -> dict[str, Any] | None:
        if image is None:
            return None
        raw, kind = encode_image(image, quality)
        if raw not in encoded:
            encoded.append(raw)
            view = buffer.add(raw)
            images.append({"bufferView": view, "mimeType": kind, "name": name})
        return {"index": encoded.index(raw)}

    gltf_materials = []
    for m in materials:
        pbr: dict[str, Any] = {
            "baseColorFactor": [*(float(c) for c in m.base_color), 1.0],
            "metallicFactor": float(m.metallic),
            "roughnessFactor": float(m.roughness),
        }
        entry: dict[str, Any] = {"name": m.name, "pbrMetallicRoughness": pbr}
        for key, image in (
            ("baseColorTexture", m.base_color_image),
            ("metallicRoughnessTexture", m.metallic_roughness_image),
        ):
            ref = texture(image, f"{m.name}.{key}")
            if ref:
                pbr[key] = ref
        ref = texture(m.normal_image, f"{m.name}.normalTexture")
        if ref:
            entry["normalTexture"] = {**ref, "scale": float(m.normal_scale)}
        if any(m.emissive):
            entry["emissiveFactor"] = [float(c) for c in m.emissive]
        if m.double_sided:
            entry["doubleSided"] = True
        gltf_materials.append(entry)

    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "satgen", "extras": dict(extras or {})},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(nodes)))}],
        "nodes": [
            {"name": n.name, "mesh": k, "extras": {"label": n.label, "class": n.cls}}
            for k, n in enumerate(nodes)
        ],
        "meshes": meshes,
        "materials": gltf_materials,
        "accessors": accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    if images:
        document["images"] = images
        document["samplers"] = [
            {"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 10497}
        ]
        document["textures"] = [{"sampler": 0, "source": k} for k in range(len(images))]
    head = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    head += b" " * (-len(head) % 4)
    body = bytes(buffer.data) + b"\0" * (-len(buffer.data) % 4)
    total = 12 + 8 + len(head) + 8 + len(body)
    return b"".join(
        (
            struct.pack("<III", _MAGIC, _VERSION, total),
            struct.pack("<II", len(head), _JSON),
            head,
            struct.pack("<II", len(body), _BIN),
            body,
        )
    )
