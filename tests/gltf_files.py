"""Small glTF files for tests, written by hand: a cube whose document each test changes."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

_COMPONENT = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_KIND = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}

_SIDES = [(a, s) for a in range(3) for s in (1.0, -1.0)]


def cube_arrays() -> dict[str, NDArray[Any]]:
    """A cube from -1 to 1: 24 "POSITION"s, "NORMAL"s and "TEXCOORD_0"s, 36 "indices"."""
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float32)
    points, normals, index = [], [], []
    for k, (axis, sign) in enumerate(_SIDES):
        side = np.full((4, 3), sign, dtype=np.float32)
        side[:, [(axis + 1) % 3, (axis + 2) % 3]] = square if sign > 0 else square[::-1]
        points.append(side)
        normals.append(np.tile(np.eye(3, dtype=np.float32)[axis] * np.float32(sign), (4, 1)))
        index += [4 * k + n for n in (0, 1, 2, 0, 2, 3)]
    return {
        "POSITION": np.concatenate(points),
        "NORMAL": np.concatenate(normals),
        "TEXCOORD_0": np.tile((square + 1) / 2, (6, 1)),
        "indices": np.array(index, dtype=np.uint16),
    }


class Gltf:
    """A document that is built step by step; `doc` may be changed at will.

    It begins with a cube, `name`d, in a matt white material.
    """

    def __init__(self, **attributes: ArrayLike | None) -> None:
        self.bytes = bytearray()
        self.doc: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, "name": "cube"}],
            "meshes": [{"primitives": []}],
            "materials": [
                {"name": "m", "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}}
            ],
            "buffers": [{}],
            "bufferViews": [],
            "accessors": [],
        }
        self.doc["meshes"][0]["primitives"].append(self.primitive(**attributes))

    @property
    def material(self) -> dict[str, Any]:
        """The first material."""
        found: dict[str, Any] = self.doc["materials"][0]
        return found

    @property
    def cube(self) -> dict[str, Any]:
        """The first primitive."""
        found: dict[str, Any] = self.doc["meshes"][0]["primitives"][0]
        return found

    def primitive(self, **attributes: ArrayLike | None) -> dict[str, Any]:
        """A cube's primitive with other attributes, None for those that it must not have."""
        arrays = {k: v for k, v in {**cube_arrays(), **attributes}.items() if v is not None}
        index = arrays.pop("indices", None)
        entry: dict[str, Any] = {
            "attributes": {name: self.accessor(array) for name, array in arrays.items()},
            "material": 0,
        }
        if index is not None:
            entry["indices"] = self.accessor(index)
        return entry

    def view(self, raw: bytes) -> int:
        """The number of a new view of some bytes."""
        while len(self.bytes) % 4:
            self.bytes += b"\0"
        self.doc["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.bytes), "byteLength": len(raw)}
        )
        self.bytes += raw
        return len(self.doc["bufferViews"]) - 1

    def accessor(self, values: ArrayLike, normalized: bool = False) -> int:
        """The number of a new accessor of an array (N,) or (N, width)."""
        array = np.ascontiguousarray(values)
        if array.dtype.kind == "f":
            array = array.astype("<f4")
        elif array.dtype.itemsize == 8:
            array = array.astype("<u4")
        width = 1 if array.ndim == 1 else array.shape[1]
        entry = {
            "bufferView": self.view(array.tobytes()),
            "componentType": _COMPONENT[array.dtype.str[1:]],
            "type": _KIND[width],
            "count": len(array),
        }
        if normalized:
            entry["normalized"] = True
        self.doc["accessors"].append(entry)
        return len(self.doc["accessors"]) - 1

    def texture(
        self, pixels: ArrayLike, form: str = "PNG", sampler: dict[str, int] | None = None
    ) -> int:
        """The number of a new texture of pixels (H, W, 3 or 4) uint8."""
        out = io.BytesIO()
        picture = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
        picture.save(out, form, **({"lossless": True} if form == "WEBP" else {}))
        images = self.doc.setdefault("images", [])
        images.append(
            {"bufferView": self.view(out.getvalue()), "mimeType": f"image/{form.lower()}"}
        )
        texture: dict[str, Any] = {"source": len(images) - 1}
        if sampler is not None:
            samplers = self.doc.setdefault("samplers", [])
            samplers.append(sampler)
            texture["sampler"] = len(samplers) - 1
        self.doc.setdefault("textures", []).append(texture)
        return len(self.doc["textures"]) - 1

    def use(self, extension: str, required: bool = False) -> None:
        """Name an extension among those that are used."""
        self.doc.setdefault("extensionsUsed", []).append(extension)
        if required:
            self.doc.setdefault("extensionsRequired", []).append(extension)

    def text(self) -> str:
        """The document, its buffer inside."""
        if self.doc["buffers"][0] == {}:
            data = base64.b64encode(bytes(self.bytes)).decode()
            buffer = {
                "uri": f"data:application/octet-stream;base64,{data}",
                "byteLength": len(self.bytes),
            }
            return json.dumps({**self.doc, "buffers": [buffer, *self.doc["buffers"][1:]]})
        return json.dumps(self.doc)

    def write(self, folder: Path, name: str = "model.gltf") -> Path:
        """The file."""
        path = folder / name
        path.write_text(self.text())
        return path
