"""Loading any target, bundled or the user's own file, as a `TargetModel`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen import stored
from satgen.errors import InputError
from satgen.grouping import connected, distinct
from satgen.interreflection import light_path, read_light
from satgen.model import MAX_PARTS, Material, Part, TargetModel, label_bits, used_vertices
from satgen.targets import registry, stored_models
from satgen.targets.files import ModelFileError, noted_files, read_regular
from satgen.targets.gltf import GltfPrimitive, GltfScene, read_gltf
from satgen.targets.gltf_document import GltfError
from satgen.targets.normals import crease_normals
from satgen.targets.obj import read_obj
from satgen.targets.parts import BY, split_parts
from satgen.targets.pieces import DEFAULT_MATERIAL, Piece, by_part, joined, plural
from satgen.targets.ply import read_ply
from satgen.targets.sidecar import classified, read_sidecar
from satgen.targets.stl import read_stl

EXTENSIONS = (".glb", ".gltf", ".obj", ".stl", ".ply")
"""File types of a user's own model."""

UP_AXES = ("x", "y", "z", "-x", "-y", "-z")
MAX_EXTENT_M = 1e7
MIN_EXTENT_M = 1e-6


def load_target(
    name_or_path: str | Path,
    scale: float = 1.0,
    up: str | None = None,
    *,
    parts: str = "file",
    light: bool = True,
) -> TargetModel:
    """Load a target by name, or a model file by path.

    Args:
        name_or_path: a name in `registry.TARGETS`, random:SEED, or a .glb, .gltf, .obj, .stl or
            .ply file.
        scale: metres per unit of the file.
        up: the file's axis that becomes the target's +z: x, y, z, -x, -y or -z; by default y for
            glTF, which has it so, and z for other files and for a GLB that satgen wrote.
        parts: what is a part of a file: one of `satgen.targets.parts.BY`.
        light: whether to read the light that was baked for it, where there is any.

    Returns:
        The model in the target frame, metres. Of a file, every node (of a scene) or object is a
        part of class "part", unless a card beside it says more (`satgen.targets.sidecar`); more
        than 65,535 become one. Missing normals are computed, weighted by
        angle, with a crease where faces meet at more than 30 degrees; a surface without a
        material is light grey; a surface that is not closed is drawn from both sides.

    Raises:
        InputError: one line naming the file and the cause.
    """
    if not (isinstance(scale, int | float) and math.isfinite(scale) and scale > 0):
        raise InputError(f"scale must be a positive number, got {scale!r}")
    if up is not None and up not in UP_AXES:
        raise InputError(f"up must be one of {', '.join(UP_AXES)}, got {up!r}")
    if parts not in BY:
        raise InputError(f"parts must be one of {', '.join(BY)}, got {parts!r}")
    text = str(name_or_path)
    if registry.is_name(text):
        if scale != 1.0 or up not in (None, "z") or parts != "file":
            raise InputError(
                f"scale, up and parts are for model files; {text} is a target of satgen's"
            )
        return _load_named(text, light)
    path = Path(name_or_path)
    if not path.suffix and not path.exists():
        names = ", ".join(registry.TARGETS)
        raise InputError(
            f"unknown target {text!r}: one of {names}, random:SEED, or the path of a model file"
        )
    return _load_file(path, float(scale), up, parts, light)


def _load_named(name: str, light: bool) -> TargetModel:
    card = registry.load_card(name)
    path = registry.asset_path(name)
    of_light = light_path(path) if light else None
    kept = stored_models.name_of_target(path, of_light)

    def materials() -> Sequence[Material]:
        found = _read_named(name, path, card).materials
        if stored_models.name_of_target(path, of_light) != kept:
            raise InputError(f"{path}: changed while it was in use; run the same command again")
        return found

    model = stored_models.find_target(kept, card, materials) if kept else None
    if model is None:
        model = _read_named(name, path, card)
        model = _lit(model, path, name) if light else model
        model = stored_models.keep_target(kept, model) if kept else model
    return model


def _read_named(name: str, path: Path, card: dict[str, Any]) -> TargetModel:
    """The model of a target of satgen's own as its file has it, without light."""
    try:
        scene = read_gltf(path)
        parts, pieces = _satgen_pieces(scene)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: {reason}; build it: {registry.BUILD_HINT}") from None
    except (GltfError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}; build it: {registry.BUILD_HINT}") from None
    return _assemble(name, parts, pieces, stored_models.landmarks_of(card), card)


def _lit(model: TargetModel, path: Path, source: str) -> TargetModel:
    """The model with the light that was baked for it, where its file lies beside the model's."""
    try:
        return replace(model, light=read_light(light_path(path), model))
    except InputError as error:
        raise InputError(f"{error}; bake it again: satgen targets light {source}") from None


def _satgen_pieces(scene: GltfScene) -> tuple[tuple[Part, ...], list[Piece]]:
    """Parts and pieces of a GLB that satgen wrote."""
    parts, pieces = [], []
    for node in scene.nodes:
        label = int(node.extras["label"])
        parts.append(Part(label, node.name, str(node.extras["class"])))
        for p in node.primitives:
            pieces.append(_piece_of(label, p))
    parts.sort(key=lambda part: part.label)
    if [p.label for p in parts] != list(range(1, len(parts) + 1)):
        raise ValueError("part labels are not 1, 2, 3 …")
    return tuple(parts), pieces


def _own_parts(
    scene: GltfScene,
) -> tuple[tuple[Part, ...], list[Piece], dict[str, tuple[float, float, float]]] | None:
    """Parts, pieces and landmarks of a GLB that satgen wrote; None for any other."""
    if scene.generator != "satgen":
        return None
    try:
        parts, pieces = _satgen_pieces(scene)
        landmarks = {
            str(n): (float(x), float(y), float(z))
            for n, (x, y, z) in scene.extras["landmarks"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None  # it only says so
    return (parts, pieces, landmarks) if np.isfinite([*landmarks.values()]).all() else None


def _load_file(path: Path, scale: float, up: str | None, by: str, light: bool) -> TargetModel:
    suffix = path.suffix.lower()
    if suffix not in EXTENSIONS:
        known = ", ".join(EXTENSIONS)
        raise InputError(f"{path}: {suffix or 'no'} extension is not supported; use one of {known}")
    if path.is_dir():
        raise InputError(f"{path}: a folder, not a model file")
    try:
        raw = read_regular(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except ModelFileError as error:
        raise InputError(f"{path}: {error}") from None
    if not raw:
        raise InputError(f"{path}: the file is empty")
    digest = hashlib.sha256(raw).hexdigest()
    name = stored_models.name_of(path, digest, scale, up, by)
    large = len(raw) >= stored_models.LEAST_BYTES
    with stored.alone(name) if large else nullcontext():
        model = stored_models.find(name, path)
        if model is None:
            with noted_files() as beside:
                model = _read_file(path, raw, digest, scale, up, by)
            if len(raw) + sum(file.size for file in beside) >= stored_models.LEAST_BYTES:
                model = stored_models.keep(name, model, beside)
    lit = _lit(model, path, str(path)) if light else model
    return model if lit.light is None else lit


def _read_file(
    path: Path, raw: bytes, digest: str, scale: float, up: str | None, by: str
) -> TargetModel:
    """The model of a file of these bytes with this SHA-256, without light."""
    suffix = path.suffix.lower()
    try:
        told: list[str] = []
        landmarks: dict[str, tuple[float, float, float]] = {}
        own = False
        if suffix in (".glb", ".gltf"):
            scene = read_gltf(path, raw)
            found = _own_parts(scene)
            own = found is not None
            if own and by != "file":
                raise InputError(f"{path}: parts {by}: it is a model of satgen's, with its own")
            if found is not None:
                parts, pieces, landmarks = found
            else:
                names, pieces = _scene_pieces(scene)
            told = list(scene.warnings)
        else:
            if suffix == ".stl":
                shape = read_stl(raw, path.stem)
            else:
                shape = read_obj(path, raw) if suffix == ".obj" else read_ply(path, raw)
            names, pieces, told = shape.names, shape.pieces, shape.warnings
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except ModelFileError as error:
        raise InputError(f"{path}: {error}") from None
    pieces = [_checked(path, p, told) for p in pieces]
    pieces = [p for p in pieces if len(p.faces)]
    if not pieces:
        raise InputError(f"{path}: no triangles in it")
    if up is None:
        up = "y" if suffix in (".glb", ".gltf") and not own else "z"
    turn = np.array(_UPRIGHT[up], dtype=np.float64)
    pieces = [_placed(p, scale, turn) for p in pieces]
    _check_size(path, pieces, scale)
    sidecar = None
    if not own:
        names, pieces = split_parts(names, pieces, by)
        pieces = [_turned_out(p) for p in pieces]
        pieces = _two_sided(pieces, always=suffix not in (".glb", ".gltf"))
        parts, pieces = _number_parts(path, names, pieces, told)
        sidecar = read_sidecar(path)
        if sidecar is not None:
            parts, landmarks = classified(sidecar, parts), dict(sidecar.landmarks)
    landmarks = {
        n: tuple(float(v) for v in turn @ np.asarray(p, float) * scale)  # type: ignore[misc]
        for n, p in landmarks.items()
    }
    card: dict[str, Any] = {
        "name": path.stem,
        "title": path.name,
        "frame": f"the file's axes, {up} up as +z, {scale:g} m a unit",
        "source": {"file": path.name, "sha256": digest, "scale": scale, "up": up},
        "landmarks": {n: list(p) for n, p in landmarks.items()},
    }
    if by != "file":
        card["source"]["parts"] = by
    if sidecar is not None:
        card["source"]["card"] = {"file": sidecar.path.name, "sha256": sidecar.sha256}
        card["title"] = sidecar.title or card["title"]
        if sidecar.facts:
            card["facts"] = dict(sidecar.facts)
    model = _assemble(path.stem, parts, pieces, landmarks, card)
    model = replace(model, warnings=tuple(told), islands=not own)
    card["triangles"] = len(model.faces)
    card["parts"] = [{"label": p.label, "name": p.name, "class": p.cls} for p in model.parts]
    return model


# --- files of others ----------------------------------------------------------------------------


def _scene_pieces(scene: GltfScene) -> tuple[list[str], list[Piece]]:
    names, pieces = [], []
    for k, node in enumerate(scene.nodes):
        names.append(node.name)
        for p in node.primitives:
            pieces.append(_piece_of(k, p))
    return names, pieces


def _piece_of(part: int, p: GltfPrimitive) -> Piece:
    material = DEFAULT_MATERIAL if p.material is None else p.material
    return Piece(part, material, p.vertices, p.faces, p.normals, p.uv, p.colours, p.uv2)


def _checked(path: Path, piece: Piece, told: list[str]) -> Piece:
    """The piece without degenerate triangles and without vertices that no triangle has; InputError
    where its numbers cannot be used. What is not drawn as it says is added to `told`."""
    faces = piece.faces
    if len(faces) == 0:
        return piece
    if faces.min() < 0 or faces.max() >= len(piece.vertices):
        raise InputError(f"{path}: a face names vertex {int(faces.max())} of {len(piece.vertices)}")
    there, number = distinct(faces.reshape(-1), len(piece.vertices))
    if len(there) < len(piece.vertices):  # where they lie, if anywhere, must have no say
        piece = piece.of_vertices(there, number.reshape(-1, 3).astype(np.int32))
    vertices, faces = piece.vertices, piece.faces
    bad = int(np.sum(~np.isfinite(vertices).all(axis=1)))
    if bad:
        raise InputError(f"{path}: {bad} of {len(vertices)} vertices are not finite (NaN or inf)")
    span = float(np.ptp(vertices, axis=0).max())
    if not span < 1e150:
        raise InputError(f"{path}: {span:.3g} units wide: beyond what can be handled")
    tri = (vertices[faces] - vertices[faces[0, 0]]) / (span or 1.0)
    area = np.linalg.norm(np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]), axis=1)
    kept = faces[area > 1e-14]
    uv, uv2 = (_coordinates(c, piece.material, told) for c in (piece.uv, piece.uv2))
    normals = piece.normals
    if normals is not None:
        length = np.linalg.norm(used_vertices(normals, kept), axis=1) if len(kept) else np.ones(1)
        if not (np.isfinite(length).all() and length.min() > 1e-12):
            normals = None
    return replace(piece, faces=kept, uv=uv, normals=normals, uv2=uv2)


def _coordinates(
    uv: NDArray[np.float64] | None, material: Material, told: list[str]
) -> NDArray[np.float64] | None:
    """Texture coordinates (V, 2) with 0 for those that are not finite, which is told; or None where
    there are none that are of use."""
    if uv is None:
        return None
    good = np.asarray(np.isfinite(uv).all(axis=1))
    if good.all():
        return uv
    if not material.textured:
        return None
    bad = plural(int(np.sum(~good)), "texture coordinate")
    told.append(f"takes 0 for {bad} of material {material.name!r}: not finite (NaN or inf)")
    return np.where(good[:, None], uv, 0.0)


_UPRIGHT = {
    "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-z": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "-y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
}
"""The quarter turns that bring a file's up axis to +z."""


def _placed(p: Piece, scale: float, turn: NDArray[np.float64]) -> Piece:
    if scale == 1.0 and np.array_equal(turn, np.eye(3)):
        return p
    return replace(
        p,
        vertices=p.vertices @ turn.T * scale,
        normals=None if p.normals is None else p.normals @ turn.T,
    )


def _check_size(path: Path, pieces: list[Piece], scale: float) -> None:
    used = [used_vertices(p.vertices, p.faces) for p in pieces]
    low = np.min([u.min(axis=0) for u in used], axis=0)
    high = np.max([u.max(axis=0) for u in used], axis=0)
    size = float((high - low).max())
    far = float(np.abs([low, high]).max())
    if not (size <= MAX_EXTENT_M and far <= MAX_EXTENT_M):
        raise InputError(
            f"{path}: {max(size, far):.3g} m at scale {scale:g}, over {MAX_EXTENT_M:g} m: "
            "check --scale"
        )
    if size < MIN_EXTENT_M:
        raise InputError(
            f"{path}: {size:.3g} m at scale {scale:g}, under {MIN_EXTENT_M:g} m: check --scale"
        )


def _two_sided(pieces: list[Piece], always: bool) -> list[Piece]:
    """Pieces of parts that are not closed surfaces, or that are turned inside out, get materials
    drawn from both sides."""
    parts = by_part(pieces).items()
    open_parts = {part for part, group in parts if always or not _is_closed(group)}
    return [
        replace(p, material=replace(p.material, double_sided=True)) if p.part in open_parts else p
        for p in pieces
    ]


def _is_closed(group: list[Piece]) -> bool:
    """Whether every edge, with vertices welded by position, is used once in each direction, and
    every shell has its outside outside."""
    vertices, faces, f, size = joined(group)
    kept = (f[:, 0] != f[:, 1]) & (f[:, 1] != f[:, 2]) & (f[:, 2] != f[:, 0])
    f, faces = f[kept], faces[kept]
    edge = np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]).astype(np.int64)
    n = int(f.max()) + 1 if len(f) else 1
    forward = np.sort(edge[:, 0] * n + edge[:, 1])
    backward = np.sort(edge[:, 1] * n + edge[:, 0])
    if not (len(forward) and np.array_equal(forward, backward)):
        return False
    shell = connected(edge[:, 0], edge[:, 1], n)[f[:, 0]]
    corners = vertices[faces]
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return bool(np.bincount(shell, volume).min() >= -1e-9 * size**3)


def _turned_out(p: Piece) -> Piece:
    """The piece with normals on the side of its triangles that their corners run around."""
    if p.normals is None or not len(p.faces):
        return p
    corners = p.vertices[p.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    against = np.einsum("fj,fj->f", p.normals[p.faces].sum(axis=1), flat) < 0.0
    if not against.any():
        return p
    # A second vertex, with the normal turned about, for each that is used against the winding.
    used, renumbered = np.unique(p.faces[against], return_inverse=True)
    faces = p.faces.copy()
    faces[against] = (len(p.vertices) + renumbered.reshape(-1, 3)).astype(np.int32)
    rows = np.concatenate([np.arange(len(p.vertices)), used])
    normals = np.concatenate([p.normals, -p.normals[used]])
    return replace(p.of_vertices(rows, faces), normals=normals)


def _number_parts(
    path: Path, names: list[str], pieces: list[Piece], told: list[str]
) -> tuple[tuple[Part, ...], list[Piece]]:
    """Labels 1, 2, 3 … for the parts that have triangles; one part where there are too many."""
    used = list(dict.fromkeys(p.part for p in pieces))
    if len(used) > MAX_PARTS:
        told.append(f"draws {len(used)} parts as one; {MAX_PARTS} is the most")
        merged = [replace(p, part=1) for p in pieces]
        return (Part(1, path.stem, "part"),), merged
    label = {k: n + 1 for n, k in enumerate(used)}
    wanted = [names[k] or "part" for k in used]
    taken = set(wanted)
    seen: dict[str, int] = {}
    parts = []
    for k, name in zip(used, wanted, strict=True):
        seen[name] = seen.get(name, 0) + 1
        unique = name
        if seen[name] > 1:
            while (unique := f"{name} ({seen[name]})") in taken:  # a name of the file's own
                seen[name] += 1
            taken.add(unique)
        parts.append(Part(label[k], unique, "part"))
    return tuple(parts), [replace(p, part=label[p.part]) for p in pieces]


# --- arrays -------------------------------------------------------------------------------------


def _finished(
    p: Piece,
) -> tuple[Piece, NDArray[np.float64], NDArray[np.float64]]:
    """The piece, split at creases where need be; (V, 3) normals, (V, 2) uv."""
    if p.normals is None:
        source, faces, normals = crease_normals(p.vertices, p.faces)
        p = replace(p.of_vertices(source, faces), normals=normals)
    assert p.normals is not None
    length = np.linalg.norm(p.normals, axis=1, keepdims=True)
    normals = p.normals / np.where(length > 0, length, 1.0)
    uv = np.zeros((len(p.vertices), 2)) if p.uv is None else p.uv
    return p, normals, uv


def _material_key(m: Material) -> tuple[Any, ...]:
    """Equal for materials that draw the same; images are compared by identity."""
    values = (getattr(m, f.name) for f in fields(m))
    return tuple(id(v) if isinstance(v, np.ndarray) else v for v in values)


def _assemble(
    name: str,
    parts: tuple[Part, ...],
    pieces: list[Piece],
    landmarks: dict[str, tuple[float, float, float]],
    card: dict[str, Any],
) -> TargetModel:
    materials: list[Material] = []
    where: dict[tuple[Any, ...], int] = {}
    vertices: list[NDArray[Any]] = []
    normals: list[NDArray[Any]] = []
    uvs: list[NDArray[Any]] = []
    faces: list[NDArray[Any]] = []
    face_material: list[NDArray[Any]] = []
    face_part: list[NDArray[Any]] = []
    colours: list[NDArray[Any]] = []
    labels = np.dtype(f"uint{label_bits(len(parts))}")
    seconds: list[NDArray[Any]] = []
    start = 0
    for raw in pieces:
        p, normal, uv = _finished(raw)
        key = _material_key(p.material)
        if key not in where:
            where[key] = len(materials)
            materials.append(p.material)
        vertices.append(p.vertices)
        normals.append(normal)
        uvs.append(uv)
        faces.append(p.faces + start)
        face_material.append(np.full(len(p.faces), where[key], dtype=np.int32))
        face_part.append(np.full(len(p.faces), p.part, dtype=labels))
        colours.append(np.ones((len(p.vertices), 4)) if p.colours is None else p.colours)
        seconds.append(uv if p.uv2 is None else p.uv2)
        start += len(p.vertices)
    placed = any(p.uv2 is not None for p in pieces)
    coloured = any(np.any(c != 1.0) for c in colours)
    return TargetModel(
        name=name,
        vertices=np.concatenate(vertices),
        normals=np.concatenate(normals).astype(np.float32),
        uv=np.concatenate(uvs).astype(np.float32),
        faces=np.concatenate(faces).astype(np.int32),
        face_material=np.concatenate(face_material),
        face_part=np.concatenate(face_part),
        materials=tuple(materials),
        parts=parts,
        landmarks=landmarks,
        card=card,
        colours=np.concatenate(colours).astype(np.float32) if coloured else None,
        uv2=np.concatenate(seconds).astype(np.float32) if placed else None,
    )
