"""A second reading of model files, for `satgen verify --deep`: plain, slow, and of geometry alone.

It shares no code with what reads a model to be rendered (`satgen.targets`) but the rule that a file
names files in its own folder only: what that misreads in silence differs here. Numbers are taken
one after the other as the formats have them; only what Draco or meshopt packed is unpacked by their
libraries.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.targets.files import ModelFileError, read_beside

_MOST_BYTES = 1 << 31
_BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_LARGE = 2000
"""Corners of a polygon beyond which a library cuts it: each ear takes a look at all corners."""


@dataclass
class Witness:
    """What a file shows, in its own axes and units.

    Attributes:
        triangles: (N, 3, 3) of each surface.
        unsure: of each surface, whether it may be seen through in places.
    """

    triangles: list[Floats] = field(default_factory=list)
    unsure: list[bool] = field(default_factory=list)

    def add(self, corners: Any, unsure: bool = False) -> None:
        """One more surface, of corners that reshape to (N, 3, 3)."""
        found = np.asarray(corners, dtype=np.float64).reshape(-1, 3, 3)
        if len(found):
            self.triangles.append(found)
            self.unsure.append(unsure)


def read_witness(path: Path) -> Witness:
    """The triangles of a .glb, .gltf, .obj, .stl or .ply file.

    Raises:
        InputError: it cannot be read here; one line.
    """
    readers = {".glb": _gltf, ".gltf": _gltf, ".obj": _obj, ".stl": _stl, ".ply": _ply}
    try:
        with np.errstate(all="ignore"):
            found = readers[path.suffix.lower()](path)
    except (*_BROKEN, StopIteration, RecursionError, struct.error) as error:
        raise InputError(f"{path}: --deep cannot read it ({error!r:.200})") from None
    if not found.triangles:
        raise InputError(f"{path}: --deep finds no triangles in it")
    if not all(np.isfinite(surface).all() for surface in found.triangles):
        raise InputError(f"{path}: --deep finds numbers in it that are not finite")
    return found


# --- STL ------------------------------------------------------------------------------------------


def _stl(path: Path) -> Witness:
    raw = path.read_bytes()
    found = Witness()
    if len(raw) >= 84 and 84 + 50 * struct.unpack_from("<I", raw, 80)[0] <= len(raw):
        (count,) = struct.unpack_from("<I", raw, 80)
        table = np.frombuffer(raw, np.uint8, 50 * count, 84).reshape(count, 50)
        found.add(np.ascontiguousarray(table[:, 12:48]).view("<f4"))
        return found
    rows = [
        w[1:4]
        for line in _decoded(raw).splitlines()
        if (w := line.split())[:1] and w[0].lower() == "vertex"
    ]
    found.add(np.array(rows).astype(np.float64))
    return found


# --- PLY ------------------------------------------------------------------------------------------

_PLY = {
    "char": "b", "int8": "b", "uchar": "B", "uint8": "B", "short": "h", "int16": "h", "ushort": "H",
    "uint16": "H", "int": "i", "int32": "i", "uint": "I", "uint32": "I", "float": "f",
    "float32": "f", "double": "d", "float64": "d",
}  # fmt: skip


def _ply(path: Path) -> Witness:
    raw = path.read_bytes()
    head, body = re.split(rb"[\r\n][ \t]*end_header[ \t]*(?:\r\n|\r|\n)", raw, maxsplit=1)
    lines = [line.split() for line in head.decode("latin-1").splitlines()]
    kind = next(words[1] for words in lines if words[:1] == ["format"])
    elements: list[tuple[str, int, list[list[str]]]] = []
    for words in lines:
        if words[:1] == ["element"]:
            elements.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"]:
            elements[-1][2].append(words[1:])
    text = iter(body.split()) if kind == "ascii" else None
    order, place = ("<" if "little" in kind else ">"), 0

    def number(form: str) -> float:
        nonlocal place
        if text is not None:
            return float(next(text))
        (value,) = struct.unpack_from(order + form, body, place)
        place += struct.calcsize(form)
        return float(value)

    points: list[list[float]] = []
    polygons: list[list[int]] = []
    for name, count, properties in elements:
        for _ in range(count):
            row: dict[str, Any] = {}
            for words in properties:
                if words[0] == "list":
                    size = int(number(_PLY[words[1]]))
                    row[words[3]] = [number(_PLY[words[2]]) for _ in range(size)]
                else:
                    row[words[1]] = number(_PLY[words[0]])
            index = [int(k) for k in row.get("vertex_indices", row.get("vertex_index", []))]
            if name == "vertex":
                points.append([row["x"], row["y"], row["z"]])
            elif name == "face":
                polygons.append(index)
            elif name == "tristrips":
                for strip in " ".join(map(str, index)).split("-1"):
                    run = [int(k) for k in strip.split()]
                    polygons += [run[k : k + 3] for k in range(len(run) - 2)]
    found = Witness()
    found.add(_cut(np.array(points), polygons))
    return found


# --- OBJ ------------------------------------------------------------------------------------------


def _obj(path: Path) -> Witness:
    text = _decoded(path.read_bytes())
    if "\\" in text:
        text = re.sub(r"(#.*)|\\\r?\n", lambda m: m[1] or " ", text)
    points: list[list[float]] = []
    polygons: dict[str, list[list[int]]] = {}
    libraries: list[str] = []
    material = ""
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "v":
            points.append([float(w) for w in words[1:4]])
        elif words[0] in ("f", "fo"):
            index = [int(w.split("/")[0]) for w in words[1:]]
            placed = [k - 1 if k > 0 else len(points) + k for k in index]
            polygons.setdefault(material, []).append(placed)
        elif words[0] == "usemtl":
            material = line.strip()[6:].strip()
        elif words[0] == "mtllib":
            libraries.append(line.strip()[6:].strip())
    clear = _clear(path.parent, libraries)
    shown = {m: faces for m, faces in polygons.items() if m not in clear} or polygons
    found, places = Witness(), np.array(points)
    for faces in shown.values():
        found.add(_cut(places, faces))
    return found


def _clear(folder: Path, libraries: list[str]) -> set[str]:
    """Names of materials that are fully clear."""
    opacity: dict[str, float] = {}
    for rest in libraries:
        quoted = re.findall(r'"([^"]*)"', rest)
        for names in [quoted] if quoted else [[rest], rest.split()]:
            texts = []
            for name in names:
                try:
                    texts.append(_decoded(read_beside(folder, name, _MOST_BYTES)))
                except ModelFileError:
                    continue
            for text in texts:
                mine: dict[str, dict[str, float]] = {}
                here: dict[str, float] = {}
                for line in text.splitlines():
                    words = line.split()
                    key = words[0].lower() if words else ""
                    if key == "newmtl":
                        here = {}
                        mine.setdefault(line.strip()[6:].strip(), here)
                    elif key in ("d", "tr") and len(words) > 1:
                        here[key] = float(next(w for w in words[1:] if w != "-halo"))
                for name, said in mine.items():
                    opacity.setdefault(name, said.get("d", 1.0 - said.get("tr", 0.0)))
            if texts:
                break
    return {name for name, value in opacity.items() if value <= 0.0}


def _decoded(raw: bytes) -> str:
    for encoding in ("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "latin-1"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return ""


# --- polygons -------------------------------------------------------------------------------------


def _cut(points: Floats, polygons: list[list[int]]) -> Floats:
    """Triangles (N, 3, 3) of polygons of points (V, 3), by clipping ears one after the other."""
    triples: list[list[int]] = []
    for polygon in polygons:
        left = list(polygon)
        if len(left) == 3:
            triples.append(left)
        elif len(left) > 3:
            triples += _ears(points[left], left)
    if not triples:
        return np.zeros((0, 3, 3))
    return np.asarray(points[np.array(triples)])


def _ears(corners: Floats, names: list[int]) -> list[list[int]]:
    about = corners - corners[0]
    normal = np.cross(about, np.roll(about, -1, axis=0)).sum(axis=0)
    across = np.eye(3)[int(np.argmin(np.abs(normal)))]
    x = np.cross(across, normal)
    flat = np.stack([about @ x, about @ np.cross(normal, x)], axis=1)
    flat /= np.abs(flat).max() or 1.0
    if len(names) > _LARGE:
        import mapbox_earcut

        ends = np.array([len(names)], dtype=np.uint32)
        cut = mapbox_earcut.triangulate_float64(np.ascontiguousarray(flat), ends).reshape(-1, 3)
        return [[names[k] for k in triangle] for triangle in cut.tolist()]

    def twice(a: int, b: int, c: Any) -> Any:
        one, other = flat[b] - flat[a], flat[c] - flat[a]
        return one[0] * other[..., 1] - one[1] * other[..., 0]

    left, out = list(range(len(names))), []
    while len(left) > 3:
        # The first corner comes last: what is convex is a fan about it, as polygons that lie in no
        # plane are read everywhere.
        for k in (*range(1, len(left)), 0):
            a, b, c = left[k - 1], left[k], left[(k + 1) % len(left)]
            if twice(a, b, c) <= 0.0:
                continue
            others = np.array([n for n in left if n not in (a, b, c)])
            inside = (
                (twice(a, b, others) >= 0) & (twice(b, c, others) >= 0) & (twice(c, a, others) >= 0)
            )
            same = (flat[others][:, None] == flat[[a, b, c]]).all(axis=2).any(axis=1)
            if not (inside & ~same).any():
                break
        else:
            k = int(
                np.argmin(
                    [
                        abs(twice(left[j - 1], left[j], left[(j + 1) % len(left)]))
                        for j in range(len(left))
                    ]
                )
            )
        out.append([names[left[k - 1]], names[left[k]], names[left[(k + 1) % len(left)]]])
        del left[k]
    return [*out, [names[k] for k in left]]


# --- glTF -----------------------------------------------------------------------------------------

_NUMBERS = {5120: "b", 5121: "B", 5122: "h", 5123: "H", 5125: "I", 5126: "f"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_DRACO = "KHR_draco_mesh_compression"
_MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")


def _gltf(path: Path) -> Witness:
    raw = path.read_bytes()
    body = b""
    if raw[:4] == b"glTF":
        (length,) = struct.unpack_from("<I", raw, 12)
        body = raw[20 + length + 8 :]
        raw = raw[20 : 20 + length]
    return _Gltf(json.loads(raw), body, path.parent).shown()


class _Gltf:
    """A document that is walked node by node."""

    def __init__(self, document: dict[str, Any], body: bytes, folder: Path) -> None:
        self.doc, self.body, self.folder = document, body, folder
        self.buffers: dict[int, bytes] = {}
        self.tables: dict[int, Floats] = {}
        self.found = Witness()

    def shown(self) -> Witness:
        nodes = self.doc.get("nodes", [])
        if self.doc.get("scenes"):
            roots = self.doc["scenes"][self.doc.get("scene", 0)].get("nodes", [])
        else:
            hung = {c for node in nodes for c in node.get("children", [])}
            roots = [k for k in range(len(nodes)) if k not in hung]
        self.world: dict[int, Floats] = {}
        visible: list[int] = []
        hidden: set[int] = set()
        stack = [(root, np.eye(4), False) for root in roots]
        while stack:
            number, above, dark = stack.pop()
            node = nodes[number]
            extension = node.get("extensions", {}).get("KHR_node_visibility", {})
            dark = dark or not extension.get("visible", True)
            self.world[number] = above @ _placed(node)
            (hidden.add if dark else visible.append)(number)
            stack += [(c, self.world[number], dark) for c in node.get("children", [])]
        for number in visible:
            if "mesh" in nodes[number]:
                self._mesh(number, nodes[number])
        return self.found

    def _mesh(self, number: int, node: dict[str, Any]) -> None:
        mesh = self.doc["meshes"][node["mesh"]]
        copies = node.get("extensions", {}).get("EXT_mesh_gpu_instancing", {}).get("attributes")
        matrices = [self.world[number]]
        if copies:
            matrices = [matrices[0] @ m for m in self._instances(copies)]
        for primitive in mesh["primitives"]:
            mode = primitive.get("mode", 4)
            if mode not in (4, 5, 6):
                continue
            opacity = self._opacity(primitive)
            if opacity == "clear":
                continue
            attributes = primitive["attributes"]
            packed = primitive.get("extensions", {}).get(_DRACO)
            if packed and "bufferView" in self.doc["accessors"][attributes["POSITION"]]:
                packed = None  # beside the plain numbers
            mesh_of = self._draco(packed) if packed else None
            points = self._numbers(attributes["POSITION"]) if mesh_of is None else mesh_of[0]
            weights = node.get("weights", mesh.get("weights", []))
            for weight, target in zip(weights, primitive.get("targets", []), strict=False):
                if "POSITION" in target:
                    points = points + weight * self._numbers(target["POSITION"])
            index = np.arange(len(points))
            if "indices" in primitive:
                index = self._numbers(primitive["indices"])[:, 0].astype(np.int64)
            faces = _listed(index, mode) if mesh_of is None else mesh_of[1]
            if "skin" in node and "JOINTS_0" in attributes:
                placed = self._skinned(points, attributes, self.doc["skins"][node["skin"]])
                self.found.add(placed[faces], opacity == "unsure")
                continue
            corners = points[faces]  # of points that many primitives may share
            for matrix in matrices:
                placed = corners @ matrix[:3, :3].T + matrix[:3, 3]
                self.found.add(placed, opacity == "unsure")

    def _opacity(self, primitive: dict[str, Any]) -> str:
        """Whether a surface is solid, clear, or unsure."""
        if "material" not in primitive:
            return "solid"
        material = self.doc["materials"][primitive["material"]]
        mode = material.get("alphaMode", "OPAQUE")
        if mode == "OPAQUE":
            return "solid"
        pbr = material.get("pbrMetallicRoughness", {})
        pbr = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", pbr)
        factor = pbr.get("baseColorFactor", pbr.get("diffuseFactor", (1.0,) * 4))[3]
        cutoff = material.get("alphaCutoff", 0.5) if mode == "MASK" else 1e-9
        return "clear" if factor < cutoff else "unsure"

    def _instances(self, attributes: dict[str, int]) -> list[Floats]:
        tables = {name: self._numbers(k) for name, k in attributes.items()}
        keys = {"TRANSLATION": "translation", "ROTATION": "rotation", "SCALE": "scale"}
        count = len(next(iter(tables.values())))
        return [
            _placed({key: tables[name][k] for name, key in keys.items() if name in tables})
            for k in range(count)
        ]

    def _skinned(self, points: Floats, attributes: dict[str, int], skin: dict[str, Any]) -> Floats:
        joints = skin["joints"]
        inverse = np.tile(np.eye(4), (len(joints), 1, 1))
        if "inverseBindMatrices" in skin:
            inverse = self._numbers(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        bones = np.array([self.world[j] @ inverse[k] for k, j in enumerate(joints)])
        placed, total = np.zeros((len(points), 3)), np.zeros((len(points), 1))
        for number in range(4):
            if f"JOINTS_{number}" not in attributes:
                break
            which = self._numbers(attributes[f"JOINTS_{number}"]).astype(int)
            share = self._numbers(attributes[f"WEIGHTS_{number}"])
            for k in range(4):
                bone = bones[which[:, k]]
                moved = np.einsum("nij,nj->ni", bone[:, :3, :3], points) + bone[:, :3, 3]
                placed += share[:, k : k + 1] * moved
                total += share[:, k : k + 1]
        return np.asarray(placed / np.where(total > 0, total, 1.0))

    def _numbers(self, number: int) -> Floats:
        """The numbers (N, width) of an accessor, not to be written to."""
        if number not in self.tables:
            self.tables[number] = self._table(number)
        return self.tables[number]

    def _table(self, number: int) -> Floats:
        """As `_numbers`, read."""
        entry = self.doc["accessors"][number]
        form, width, count = (
            _NUMBERS[entry["componentType"]],
            _WIDTHS[entry["type"]],
            entry["count"],
        )
        values = np.zeros((count, width))
        if "bufferView" in entry:
            values = self._read(entry["bufferView"], entry.get("byteOffset", 0), form, width, count)
        sparse = entry.get("sparse")
        if sparse:
            at, new, n = sparse["indices"], sparse["values"], sparse["count"]
            kind = _NUMBERS[at["componentType"]]
            where = self._read(at["bufferView"], at.get("byteOffset", 0), kind, 1, n)[:, 0]
            values[where.astype(int)] = self._read(
                new["bufferView"], new.get("byteOffset", 0), form, width, n
            )
        if entry.get("normalized"):
            most = {"b": 127.0, "B": 255.0, "h": 32767.0, "H": 65535.0}.get(form, 1.0)
            values = np.maximum(values / most, -1.0)
        return values

    def _read(self, view: int, offset: int, form: str, width: int, count: int) -> Floats:
        entry = self.doc["bufferViews"][view]
        packed = [p for n, p in entry.get("extensions", {}).items() if n in _MESHOPT]
        raw = _unpacked(self._bytes(packed[0]), packed[0]) if packed else self._bytes(entry)
        size = width * struct.calcsize(form)
        step, start = entry.get("byteStride") or size, offset
        if count and start + step * (count - 1) + size > len(raw):
            raise ValueError("an accessor runs past its buffer")
        rows: NDArray[Any] = np.ndarray(
            (count, width), f"<{form}", raw, start, (step, struct.calcsize(form))
        )
        return rows.astype(np.float64)

    def _draco(self, packed: dict[str, Any]) -> tuple[Floats, NDArray[np.int64]]:
        """Points (V, 3) and triangles (F, 3) of what Draco packed."""
        import DracoPy

        mesh: Any = DracoPy.decode(self._bytes(self.doc["bufferViews"][packed["bufferView"]]))
        number = packed["attributes"]["POSITION"]
        (points,) = (a["data"] for a in mesh.attributes if a["unique_id"] == number)
        return np.asarray(points, dtype=np.float64), np.asarray(mesh.faces, dtype=np.int64)

    def _bytes(self, view: dict[str, Any]) -> bytes:
        """The bytes of a view, as they are stored."""
        start = view.get("byteOffset", 0)
        return self._buffer(view["buffer"])[start : start + view["byteLength"]]

    def _buffer(self, number: int) -> bytes:
        """The bytes of a buffer."""
        if number not in self.buffers:
            self.buffers[number] = self._found(number)
        return self.buffers[number]

    def _found(self, number: int) -> bytes:
        """As `_buffer`, looked for."""
        uri = self.doc["buffers"][number].get("uri")
        if uri is None:
            return self.body
        if uri.startswith("data:"):
            return base64.b64decode(uri.split(",", 1)[1])
        from urllib.parse import unquote

        return read_beside(self.folder, unquote(uri), _MOST_BYTES)


def _unpacked(raw: bytes, packed: dict[str, Any]) -> bytes:
    """What meshopt packed."""
    import meshoptimizer

    count, stride = packed["count"], packed["byteStride"]
    if packed["mode"] == "ATTRIBUTES":
        rows = meshoptimizer.decode_vertex_buffer(count, stride, raw, np.dtype(f"V{stride}"))
        plain = np.frombuffer(rows.tobytes(), np.uint8)
        undo = {
            "OCTAHEDRAL": meshoptimizer.decode_filter_oct,
            "QUATERNION": meshoptimizer.decode_filter_quat,
            "EXPONENTIAL": meshoptimizer.decode_filter_exp,
        }.get(packed.get("filter", "NONE"))
        return bytes((plain if undo is None else undo(plain, count, stride)).tobytes())
    triangles = packed["mode"] == "TRIANGLES"
    undo_index = (
        meshoptimizer.decode_index_buffer if triangles else meshoptimizer.decode_index_sequence
    )
    return bytes(undo_index(count, 4, raw).astype("<u2" if stride == 2 else "<u4").tobytes())


def _listed(index: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    """Triangles (N, 3) of a list, a strip or a fan; which way they run does not matter."""
    if mode == 4:
        return index[: len(index) // 3 * 3].reshape(-1, 3)
    if mode == 5:
        return np.stack([index[:-2], index[1:-1], index[2:]], axis=1)
    return np.stack([np.repeat(index[:1], len(index) - 2), index[1:-1], index[2:]], axis=1)


def _placed(node: dict[str, Any]) -> Floats:
    """A node's own matrix."""
    if "matrix" in node:
        return np.asarray(np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T)
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    turn = np.array(node.get("rotation", (0.0, 0.0, 0.0, 1.0)), dtype=np.float64)
    if turn.any():
        matrix[:3, :3] = Rotation.from_quat(turn).as_matrix()
    matrix[:3, :3] = matrix[:3, :3] @ np.diag(np.array(node.get("scale", (1.0, 1.0, 1.0)), float))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix
