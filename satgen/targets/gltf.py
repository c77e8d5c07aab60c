"""Reading glTF 2.0 (.glb and .gltf): triangles with their nodes' transforms applied, materials.

Nodes, triangle lists, strips and fans, sparse, normalised and quantised accessors, instances
(EXT_mesh_gpu_instancing), skins in their rest pose, morph targets at their default weights, and
data that is compressed by Draco or meshopt. `gltf_document` says which keys are read, and what is
told of; `gltf_data` reads numbers, `gltf_materials` materials and textures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.model import Material
from satgen.targets.files import read_regular
from satgen.targets.gltf_compression import PACKAGES, require_for, unpack_mesh
from satgen.targets.gltf_data import GltfData, split_glb
from satgen.targets.gltf_document import DRACO, INSTANCES, Document, GltfError, clean_name
from satgen.targets.gltf_materials import GltfMaterials, Skin
from satgen.targets.pieces import plural

MOST_COPIES = 5_000_000
"""Triangles that a file may show more than its bytes can hold, by showing some several times."""
MOST_NODES = 200_000
"""Nodes with a mesh, instances counted."""

_TONED = "draws {} of alphaMode BLEND without half tones: opaque, or not at all"
_VISIBLE = "KHR_node_visibility"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GltfPrimitive:
    """Triangles in one material, in the scene's frame.

    Attributes:
        vertices: (V, 3) float64; faces: (F, 3) int32.
        normals: (V, 3), uv and uv2: (V, 2) v down, colours: (V, 4) linear RGB and opacity, 0..1;
            None where the file has none. The coordinates are those of the material's textures.
        material: what they are made of, or None.
    """

    vertices: Floats
    faces: NDArray[np.int32]
    normals: Floats | None
    uv: Floats | None
    colours: Floats | None
    material: Material | None
    uv2: Floats | None = None


@dataclass(frozen=True)
class GltfNode:
    """A node with a mesh: its name, its extras, its triangles."""

    name: str
    extras: Mapping[str, Any]
    primitives: tuple[GltfPrimitive, ...]


@dataclass(frozen=True)
class GltfScene:
    """What a file shows: nodes with meshes in document order, the asset's extras, and what is not
    drawn as the file says, a line each."""

    nodes: tuple[GltfNode, ...]
    extras: Mapping[str, Any] = field(default_factory=dict)
    generator: str = ""
    warnings: tuple[str, ...] = ()


def read_gltf(path: Path, raw: bytes | None = None) -> GltfScene:
    """Read a .glb or .gltf file.

    Args:
        path: where it lies; what it names is looked for in its folder.
        raw: its bytes, where they were read already.

    Raises:
        ModelFileError: damaged, truncated, or needs something that is not supported; the message
            does not repeat the path.
        OSError: the file itself cannot be read.
    """
    raw = read_regular(path) if raw is None else raw
    if raw[:4] == b"glTF" or path.suffix.lower() == ".glb":
        text, body = split_glb(raw)
        document = Document(text, "the JSON chunk")
    else:
        document, body = Document(raw, "the file"), b""
    with np.errstate(all="ignore"):  # what is not finite then is refused
        return _Reader(document, GltfData(document, body, path.parent), len(raw)).scene()


class _Reader:
    def __init__(self, document: Document, data: GltfData, size: int, solid: bool = False) -> None:
        self._document = document
        self._data = data
        self._materials = GltfMaterials(document, data)
        self._size = size
        self._solid = solid
        self._clear = False
        self._parents: dict[int, int] | None = None
        self._triangles = 0
        self._counts: dict[str, int] = {}
        self._draco: dict[tuple[int, str], tuple[NDArray[np.int64], dict[str, NDArray[Any]]]] = {}

    def scene(self) -> GltfScene:
        asset = self._document.data["asset"]
        if not asset["version"].startswith("2."):
            shown = clean_name(asset["version"][:40])
            raise GltfError(f"glTF version {shown!r}; only 2 is supported")
        require_for(self._compression())
        nodes: list[GltfNode] = []
        for index, matrix in self._walk():
            node = self._document.table("nodes")[index]
            if "mesh" not in node:
                continue
            if len(nodes) >= MOST_NODES:
                raise GltfError(f"over {MOST_NODES} nodes with meshes")
            number = int(node["mesh"])
            mesh = self._document.table("meshes")[number]
            places = self._places(node, matrix)
            primitives = []
            for k, entry in enumerate(mesh["primitives"]):
                where = f"meshes[{number}].primitives[{k}]"
                found = self._primitive(entry, node, mesh, places, where)
                if found is not None:
                    primitives.append(found)
            name = clean_name(node.get("name") or mesh.get("name") or f"node {index}")
            nodes.append(GltfNode(name, node.get("extras") or {}, tuple(primitives)))
        if self._clear and not any(node.primitives for node in nodes):
            return _Reader(self._document, self._data, self._size, solid=True).scene()
        warnings = [
            *(
                ["draws materials opaque that say they are clear: nothing else is there"]
                * self._solid
            ),
            *self._document.left_out(self._materials.used),
            *self._materials.warnings,
            *(text.format(plural(n, "primitive")) for text, n in self._counts.items()),
        ]
        return GltfScene(
            tuple(nodes), asset.get("extras") or {}, asset.get("generator", ""), tuple(warnings)
        )

    def _tell(self, text: str) -> None:
        self._counts[text] = self._counts.get(text, 0) + 1

    def _compression(self) -> set[str]:
        """How the file's data is compressed, of `gltf_compression.PACKAGES`."""
        found = set()
        if self._data.compressed():
            found.add(PACKAGES["meshoptimizer"])
        meshes = self._document.table("meshes")
        if any(self._needs_draco(entry) for mesh in meshes for entry in mesh["primitives"]):
            found.add(DRACO)
        return found

    # --- nodes

    def _walk(self) -> Iterator[tuple[int, Floats]]:
        """Nodes of the scene in document order with their matrices to the scene's frame."""
        nodes = self._document.table("nodes")
        scenes = self._document.table("scenes")
        if scenes:
            roots = scenes[int(self._document.data.get("scene", 0))].get("nodes", [])
        else:
            children = {int(c) for n in nodes for c in n.get("children", [])}
            roots = [k for k in range(len(nodes)) if k not in children]
        stack = [(int(k), np.eye(4)) for k in reversed(roots)]
        seen: set[int] = set()
        while stack:
            index, parent = stack.pop()
            if index in seen:
                raise GltfError(f"node {index} hangs in more than one place")
            seen.add(index)
            if not nodes[index].get("extensions", {}).get(_VISIBLE, {}).get("visible", True):
                continue
            matrix = parent @ _node_matrix(nodes[index])
            yield index, matrix
            children = nodes[index].get("children", [])
            stack += [(int(c), matrix) for c in reversed(children)]

    def _places(self, node: Mapping[str, Any], matrix: Floats) -> Floats:
        """Where a node shows its mesh: (N, 4, 4), one but for instances."""
        instances = node.get("extensions", {}).get(INSTANCES)
        if instances is None:
            return matrix[None]
        attributes = instances["attributes"]
        counts = {self._data.count(int(k)) for k in attributes.values()}
        if len(counts) != 1:
            raise GltfError(f"{INSTANCES} has attributes of {len(counts)} lengths")
        (count,) = counts
        if count > MOST_NODES:
            raise GltfError(f"{INSTANCES} shows a mesh {count} times; {MOST_NODES} is the most")
        local = np.tile(np.eye(4), (count, 1, 1))
        for name, width in (("TRANSLATION", 3), ("ROTATION", 4), ("SCALE", 3)):
            if name not in attributes:
                continue
            values = self._data.values(int(attributes[name]))
            if values.shape != (count, width):
                raise GltfError(f"{INSTANCES} has a {name} of {values.shape[1]} numbers")
            if name == "TRANSLATION":
                local[:, :3, 3] = values
            elif name == "ROTATION":
                local[:, :3, :3] = _rotations(values)
            else:
                local[:, :3, :3] *= values[:, None, :]
        return np.asarray(matrix @ local)

    def _joints(self, skin: Mapping[str, Any]) -> Floats:
        """Matrices (J, 4, 4) of a skin's joints from the mesh's to the scene's frame, at rest."""
        joints = [int(k) for k in skin["joints"]]
        matrices = np.stack([self._global(k) for k in joints]) if joints else np.zeros((0, 4, 4))
        if "inverseBindMatrices" in skin:
            inverse = self._data.values(int(skin["inverseBindMatrices"]))
            if len(inverse) < len(joints) or inverse.shape[1] != 16:
                raise GltfError(f"a skin has {len(inverse)} matrices for {len(joints)} joints")
            matrices = matrices @ inverse[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        return matrices

    def _global(self, index: int) -> Floats:
        """The matrix (4, 4) of any node to the scene's frame."""
        nodes = self._document.table("nodes")
        if self._parents is None:
            self._parents = {int(c): k for k, n in enumerate(nodes) for c in n.get("children", [])}
        matrix, seen = np.eye(4), 0
        here: int | None = index
        while here is not None:
            matrix = _node_matrix(nodes[here]) @ matrix
            here = self._parents.get(here)
            seen += 1
            if seen > len(nodes):
                raise GltfError(f"node {index} is its own ancestor")
        return matrix

    # --- primitives

    def _primitive(
        self,
        entry: Mapping[str, Any],
        node: Mapping[str, Any],
        mesh: Mapping[str, Any],
        places: Floats,
        where: str,
    ) -> GltfPrimitive | None:
        mode = int(entry.get("mode", 4))
        if mode not in (4, 5, 6):
            self._tell("ignores {} of points or lines")
            return None
        if "POSITION" not in entry["attributes"]:
            self._tell("ignores {} without positions")
            return None
        source = self._source(entry, mode, where)
        if source is None:
            return None
        self._triangles += len(source.faces) * len(places)
        if self._triangles > MOST_COPIES + self._size + self._data.size:
            raise GltfError(
                f"shows over {self._triangles} triangles, far more than its data could hold"
            )
        if not len(source.faces) or not len(places):
            return None
        vertices = source.numbers("POSITION", 3)
        normals = source.numbers("NORMAL", 3, optional=True)
        weights = node.get("weights", mesh.get("weights", ()))
        vertices, normals = self._morphed(entry, source, vertices, normals, weights, where)
        faces = source.faces
        if "skin" in node:
            # its own place has no say (glTF 2.0, §3.7.3.3)
            joints = self._joints(self._document.table("skins")[int(node["skin"])])
            vertices, normals = _skinned(source, vertices, normals, joints)
            places = np.eye(4)[None]
        skin = self._materials.skin(int(entry["material"])) if "material" in entry else None
        material, uv, uv2 = self._mapped(source, skin)
        colours = source.colours()
        if skin is not None and material is not None:
            material, colours = self._opacity(skin, material, colours)
            if material is None:
                return None
        shown = _placed(vertices, faces, normals, places)
        more = [
            None if a is None else np.tile(a, (len(places), 1)) if len(places) > 1 else a
            for a in (uv, colours, uv2)
        ]
        return GltfPrimitive(*shown, more[0], more[1], material, more[2])

    def _source(self, entry: Mapping[str, Any], mode: int, where: str) -> _Source | None:
        """Triangles and attributes, each vertex that is used; None where there are no data."""
        attributes = {name: int(k) for name, k in entry["attributes"].items()}
        draco = entry.get("extensions", {}).get(DRACO)
        if draco is not None and self._needs_draco(entry):
            faces, arrays = self._unpacked(draco, where)
            index, known = faces.reshape(-1), arrays
            count = len(arrays["POSITION"]) if "POSITION" in arrays else 0
            mode = 4
        else:
            known = {}
            count = self._data.count(attributes["POSITION"])
            if not self._data.backed(attributes["POSITION"]):
                return None  # all points in one place
            if "indices" in entry:
                stored = self._data.array(int(entry["indices"]))
                if stored.dtype.kind == "f" or stored.shape[1] != 1:
                    raise GltfError(f"{where}.indices are not whole numbers, one each")
                index = stored[:, 0]
            else:
                index = np.arange(count)
        if len(index) and (int(index.min()) < 0 or int(index.max()) >= count):
            bad = int(index.max() if index.max() >= count else index.min())
            raise GltfError(f"an index is {bad}, but there are {count} vertices")
        rows = None
        if count > len(index):  # a part of what several primitives share
            rows, index = np.unique(index, return_inverse=True)
            rows, index = rows.astype(np.int64), index.reshape(-1)
        faces = _triangles(index.astype(np.int64), mode)
        return _Source(self._data, attributes, known, count, rows, faces, where)

    def _needs_draco(self, entry: Mapping[str, Any]) -> bool:
        """Whether a primitive has its positions compressed alone."""
        if DRACO not in entry.get("extensions", {}) or "POSITION" not in entry["attributes"]:
            return False
        return not self._data.backed(int(entry["attributes"]["POSITION"]))

    def _unpacked(
        self, draco: Mapping[str, Any], where: str
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        view = int(draco["bufferView"])
        attributes = {name: int(number) for name, number in draco["attributes"].items()}
        key = (view, repr(sorted(attributes.items())))
        if key not in self._draco:
            self._draco[key] = unpack_mesh(bytes(self._data.view(view)), attributes, where)
            self._size += 3 * len(self._draco[key][0])
        return self._draco[key]

    def _morphed(
        self,
        entry: Mapping[str, Any],
        source: _Source,
        vertices: Floats,
        normals: Floats | None,
        weights: list[float],
        where: str,
    ) -> tuple[Floats, Floats | None]:
        """Points and normals with the morph targets at their default weights."""
        for k, target in enumerate(entry.get("targets", ())):
            weight = float(weights[k]) if k < len(weights) else 0.0
            if weight == 0.0:
                continue
            self._document.check_places(target, "accessors", f"{where}.targets[{k}]")
            if "POSITION" in target:
                vertices = vertices + weight * source.moved(int(target["POSITION"]))
            if "NORMAL" in target and normals is not None:
                normals = normals + weight * source.moved(int(target["NORMAL"]))
            others = set(target) - {"POSITION", "NORMAL", "TANGENT"}
            if others:
                self._tell(f"ignores the morphed {clean_name(min(others))[:30]} of {{}}")
        return vertices, normals

    def _mapped(
        self, source: _Source, skin: Skin | None
    ) -> tuple[Material | None, Floats | None, Floats | None]:
        """The material, without its textures where their coordinates are missing, and these."""
        if skin is None:
            return None, None, None
        placed = []
        for mapping in skin.mappings:
            uv = source.numbers(f"TEXCOORD_{mapping.texcoord}", 2, optional=True)
            if uv is None:
                self._tell("draws {} without textures, for want of texture coordinates")
                return skin.plain, None, None
            placed.append(mapping.apply(uv))
        first = placed[0] if placed else None
        if first is None:  # of use to nobody but whoever reads the model
            first = source.numbers("TEXCOORD_0", 2, optional=True)
        return skin.material, first, placed[1] if len(placed) > 1 else None

    def _opacity(
        self, skin: Skin, material: Material, colours: Floats | None
    ) -> tuple[Material | None, Floats | None]:
        """The material, opaque where that is all that it is, or None where nothing is to be seen
        of it; and the vertices' colours, opaque likewise."""
        if self._solid or not material.cutoff:
            material = replace(material, cutoff=0.0)
            if colours is not None:
                colours[:, 3] = 1.0
            return material, colours
        image = material.alpha_image
        low = high = material.opacity
        if image is not None:
            low, high = low * int(image.min()) / 255.0, high * int(image.max()) / 255.0
        if colours is not None:
            low, high = low * float(colours[:, 3].min()), high * float(colours[:, 3].max())
        toned = image is not None and np.mean((image > 12) & (image < 243)) > 0.01
        if skin.blends and (toned or low == high) and high > 0.02 and low < 0.98:
            self._materials.tell(_TONED, skin.index)
        elif high < material.cutoff:
            self._materials.tell("leaves out {} that is clear", skin.index)
        if high < material.cutoff:
            self._clear = True
            return None, None
        if low >= material.cutoff:
            if colours is not None:
                colours[:, 3] = 1.0
            return replace(material, cutoff=0.0, opacity=1.0, alpha_image=None), colours
        return material, colours


class _Source:
    """The attributes of a primitive's vertices.

    Args:
        data: the file's.
        attributes: accessors by name.
        known: arrays that were unpacked, by name.
        count: vertices of the accessors.
        rows: those that are used, or None for all.
        faces: (F, 3) into these.
        where: what it is called in messages.
    """

    def __init__(
        self,
        data: GltfData,
        attributes: Mapping[str, int],
        known: Mapping[str, NDArray[Any]],
        count: int,
        rows: NDArray[np.int64] | None,
        faces: NDArray[np.int64],
        where: str,
    ) -> None:
        self._data = data
        self._attributes = attributes
        self._known = known
        self._count = count
        self._rows = rows
        self.faces = faces
        self._where = where

    def names(self, prefix: str) -> list[str]:
        """Attributes whose name begins so, in order of their number."""
        return [f"{prefix}{k}" for k in range(4) if f"{prefix}{k}" in self._attributes]

    def numbers(self, name: str, *widths: int, optional: bool = False) -> Any:
        """An attribute (V, width) in real numbers; None where it is missing and may be."""
        if name not in self._attributes:
            if optional:
                return None
            raise GltfError(f"{self._where} has no {name}")
        accessor = self._attributes[name]
        if name in self._known:
            stored = self._known[name]
            stored = stored if self._rows is None else stored[self._rows]
            values = self._data.scaled(accessor, stored)
            count = len(self._known[name])
        else:
            count = self._data.count(accessor)
            if count != self._count:
                raise GltfError(f"{self._where} has {count} {name} for {self._count} vertices")
            values = self._data.values(accessor, self._rows)
        if count != self._count or values.shape[1] not in widths:
            raise GltfError(
                f"{self._where} has {name} of {values.shape[1]} numbers for {count} of "
                f"{self._count} vertices"
            )
        return values

    def moved(self, accessor: int) -> Floats:
        """What a morph target adds (V, 3)."""
        if self._data.count(accessor) != self._count:
            raise GltfError(f"{self._where} has a morph target of another length")
        values = self._data.values(accessor, self._rows)
        if values.shape[1] != 3:
            raise GltfError(f"{self._where} has a morph target of {values.shape[1]} numbers")
        return values

    def colours(self) -> Floats | None:
        """COLOR_0 as linear RGB and opacity (V, 4)."""
        found = self.numbers("COLOR_0", 3, 4, optional=True)
        if found is None:
            return None
        if found.max(initial=0.0) > 1.0:  # whole numbers of an exporter that forgot to say so
            code = self._data.kind(self._attributes["COLOR_0"])
            found = found / (np.iinfo(code).max if code.kind in "iu" else 1.0)
        if not np.isfinite(found).all():
            raise GltfError(f"{self._where}: COLOR_0 holds numbers that are not finite")
        colours = np.ones((len(found), 4))
        colours[:, : found.shape[1]] = np.clip(found, 0.0, 1.0)
        return colours


# --- arithmetic -----------------------------------------------------------------------------------


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


def _placed(
    vertices: Floats, faces: NDArray[np.int64], normals: Floats | None, places: Floats
) -> tuple[Floats, NDArray[np.int32], Floats | None]:
    """Triangles at each of some places (N, 4, 4), one after the other."""
    if len(places) > 1:
        linear = places[:, :3, :3]
        shown = vertices @ linear.transpose(0, 2, 1) + places[:, None, :3, 3]
        mirrored = np.linalg.det(linear) < 0
        index = np.where(mirrored[:, None, None], faces[None, :, ::-1], faces[None])
        index = index + np.arange(len(places))[:, None, None] * len(vertices)
        if normals is not None:
            normals = normals @ _cofactors(linear).transpose(0, 2, 1)
            normals = np.where(mirrored[:, None, None], -1.0, 1.0) * normals
            normals = normals.reshape(-1, 3)
        return shown.reshape(-1, 3), index.reshape(-1, 3).astype(np.int32), normals
    matrix = places[0]
    linear = matrix[:3, :3]
    if np.linalg.det(linear) < 0:
        faces = faces[:, ::-1]
    if not np.array_equal(matrix, np.eye(4)):
        vertices = vertices @ linear.T + matrix[:3, 3]
        if normals is not None:
            normals = normals @ _of_normals(linear).T
    return vertices, np.ascontiguousarray(faces).astype(np.int32), normals


def _of_normals(linear: Floats) -> Floats:
    """The matrix (3, 3) that turns normals as `linear` turns points."""
    if not np.isfinite(linear).all():
        raise GltfError("a node's matrix holds numbers that are not finite")
    determinant = np.linalg.det(linear)
    cofactor: Floats = determinant * np.linalg.pinv(linear).T
    return cofactor * (-1.0 if determinant < 0 else 1.0)


def _skinned(
    source: _Source, vertices: Floats, normals: Floats | None, joints: Floats
) -> tuple[Floats, Floats | None]:
    """Points and normals as their joints move them."""
    total = np.zeros((len(vertices), 4, 4))
    weight = np.zeros(len(vertices))
    for name in source.names("JOINTS_"):
        number = source.numbers(name, 4)
        share = source.numbers(name.replace("JOINTS", "WEIGHTS"), 4)
        which = number.astype(np.int64)
        if (which < 0).any() or (which[share != 0.0] >= len(joints)).any():
            raise GltfError(f"{name} names joint {int(which.max())} of {len(joints)}")
        for k in range(4):
            used = np.flatnonzero(share[:, k] != 0.0)
            total[used] += share[used, k, None, None] * joints[which[used, k]]
            weight[used] += share[used, k]
    bound = np.abs(weight) > 1e-9
    total[bound] /= weight[bound, None, None]
    total[~bound] = np.eye(4)
    moved: Floats = np.einsum("nij,nj->ni", total[:, :3, :3], vertices) + total[:, :3, 3]
    if normals is None or not np.isfinite(total).all():
        return moved, None
    return moved, np.einsum("nij,nj->ni", _cofactors(total[:, :3, :3]), normals)


def _cofactors(linear: Floats) -> Floats:
    """Matrices (N, 3, 3) that turn normals as `linear` turns points, but for their length."""
    return np.stack([np.cross(linear[:, k - 2], linear[:, k - 1]) for k in range(3)], axis=1)


def _rotations(quaternions: Floats) -> Floats:
    """Rotation matrices (N, 3, 3) of quaternions (N, 4), scalar last, of any length but zero."""
    x, y, z, w = quaternions.T
    norm = x * x + y * y + z * z + w * w
    s = np.where(norm > 0.0, 2.0 / np.where(norm > 0.0, norm, 1.0), 0.0)
    rows = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def _node_matrix(node: Mapping[str, Any]) -> Floats:
    if "matrix" in node:
        return np.asarray(np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T)
    matrix = np.eye(4)
    rotation = np.array(node.get("rotation", (0.0, 0.0, 0.0, 1.0)), dtype=np.float64)
    if rotation[:3].any():
        matrix[:3, :3] = _rotations(rotation[None])[0]
    matrix[:3, :3] *= np.array(node.get("scale", (1.0, 1.0, 1.0)), dtype=np.float64)
    matrix[:3, 3] = np.array(node.get("translation", (0.0, 0.0, 0.0)), dtype=np.float64)
    return matrix
