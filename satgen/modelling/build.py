"""Build targets: the files of the bundled ones, NAME.glb, NAME.json (card), NAME.light.npz (light
between parts) and NAME.png (picture), and the bytes of the random ones."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from satgen.atomic import write_atomic
from satgen.errors import InputError
from satgen.interreflection import light_bytes, light_path, read_light
from satgen.model import Material
from satgen.modelling.bake import bake
from satgen.modelling.glb import MeshNode, MeshPrimitive, compute_tangents, write_glb
from satgen.modelling.visibility import seen_from_outside
from satgen.outputs import check_outside
from satgen.targets import generated, registry
from satgen.targets.gltf_data import split_glb

if TYPE_CHECKING:
    from satgen.modelling.assembly import Assembly

CARD_VERSION = 1
MAX_BYTES = 15_000_000


def assemble(name: str) -> Assembly:
    """The assembly of a target, bundled or random:SEED, from its module here.

    Raises:
        InputError: unknown name.
    """
    if generated.is_random(name):
        from satgen.modelling import random

        return random.assemble(generated.seed_of(name))
    module = importlib.import_module(f"satgen.modelling.{registry.check_name(name)}")
    result: Assembly = module.assemble()
    return result


def _rounded(value: NDArray[Any]) -> NDArray[np.float64]:
    """To 1e-6, so that the last bit of a sine, which differs between processors, has no say."""
    return np.asarray(np.round(np.asarray(value, dtype=np.float64), 6) + 0.0)


def glb_bytes(assembly: Assembly, textures: bool = True, hidden: bool = False) -> bytes:
    """The GLB of an assembly.

    Args:
        assembly: what to write.
        textures: False leaves the images out (for a quick look).
        hidden: whether triangles that cannot be seen from outside stay; to leave them out takes
            Embree, and most of the time of a build.
    """
    names: list[str] = []
    nodes = []
    for part in assembly.parts:
        primitives = []
        for primitive in part.primitives():
            if primitive.material not in names:
                names.append(primitive.material)
            shape = primitive.shape
            uv = np.stack([shape.uv[:, 0], -shape.uv[:, 1]], axis=-1)
            uv = _rounded(uv - np.floor(uv.min(axis=0)))
            vertices, normals = _rounded(shape.vertices), _rounded(shape.normals)
            tangents = _rounded(compute_tangents(vertices, normals, uv, shape.faces))
            primitives.append(
                MeshPrimitive(
                    vertices.astype(np.float32),
                    normals.astype(np.float32),
                    tangents.astype(np.float32),
                    uv.astype(np.float32),
                    shape.faces,
                    names.index(primitive.material),
                )
            )
        nodes.append(MeshNode(part.name, part.label, part.cls, tuple(primitives)))
    if textures and not hidden:
        nodes = without_hidden(nodes)
    materials = [assembly.surfaces[n].material() for n in names]
    if not textures:
        materials = [
            Material(m.name, m.base_color, m.metallic, m.roughness, emissive=m.emissive)
            for m in materials
        ]
    extras = {
        "target": assembly.name,
        "title": assembly.title,
        "frame": assembly.frame,
        "landmarks": {n: [round(v, 6) for v in p] for n, p in assembly.landmarks.items()},
        "note": "Vertices are in the target's own frame, right-handed, metres, as described under "
        "'frame'; that frame, not glTF's y-up, is what the axes mean.",
    }
    return write_glb(nodes, materials, extras)


def without_hidden(nodes: list[MeshNode]) -> list[MeshNode]:
    """The nodes without the triangles that cannot be seen from outside.

    Raises:
        ValueError: nothing of a part can be seen.
    """
    pieces = [p for node in nodes for p in node.primitives]
    starts = np.cumsum([0, *(len(p.vertices) for p in pieces)])
    faces = np.concatenate([p.faces + s for p, s in zip(pieces, starts[:-1], strict=True)])
    vertices = np.concatenate([p.vertices for p in pieces]).astype(np.float64)
    seen = iter(
        np.split(seen_from_outside(vertices, faces), np.cumsum([len(p.faces) for p in pieces]))
    )
    result = []
    for node in nodes:
        kept = [_kept(p, next(seen)) for p in node.primitives]
        if not any(len(p.faces) for p in kept):
            raise ValueError(f"part {node.name}: hidden inside other parts")
        result.append(replace(node, primitives=tuple(p for p in kept if len(p.faces))))
    return result


def _kept(primitive: MeshPrimitive, seen: NDArray[np.bool_]) -> MeshPrimitive:
    """A primitive with some of its faces, and the vertices that these use."""
    used, faces = np.unique(primitive.faces[seen], return_inverse=True)
    return replace(
        primitive,
        vertices=primitive.vertices[used],
        normals=primitive.normals[used],
        tangents=primitive.tangents[used],
        uv=primitive.uv[used],
        faces=faces.reshape(-1, 3).astype(np.int32),
    )


def card(assembly: Assembly, glb: bytes, hidden: bool = False) -> dict[str, Any]:
    """The JSON card of a target whose GLB is `glb`; `hidden` as of `glb_bytes`."""
    import PIL

    facts: dict[str, Any] = {}
    dimensions: dict[str, Any] = {}
    for name, fact in assembly.facts.items():
        facts[name] = {k: v for k, v in fact.items() if k != "measure"}
        if "measure" in fact:
            got, want = assembly.measure(str(fact["measure"])), float(fact["value"])
            dimensions[name] = {
                "public": want,
                "model": round(got, 4),
                "difference_percent": round(100.0 * (got / want - 1.0), 2),
                "unit": fact["unit"],
                "measure": fact["measure"],
            }
    low, high = assembly.bounds
    triangles = triangle_counts(glb)
    used = list(dict.fromkeys(m for p in assembly.parts for m, _ in p.pieces))
    return {
        "format": CARD_VERSION,
        "name": assembly.name,
        "title": assembly.title,
        "frame": assembly.frame,
        "units": "metres",
        "facts": facts,
        "dimensions": dimensions,
        "bounds": {
            "min": [round(float(v), 4) for v in low],
            "max": [round(float(v), 4) for v in high],
            "extents": [round(float(v), 4) for v in high - low],
        },
        "triangles": sum(triangles),
        "parts": [
            {"label": p.label, "name": p.name, "class": p.cls, "triangles": triangles[p.label - 1]}
            for p in assembly.parts
        ],
        "landmarks": {name: [round(v, 6) for v in xyz] for name, xyz in assembly.landmarks.items()},
        "materials": used,
        "glb": {"bytes": len(glb), "sha256": hashlib.sha256(glb).hexdigest()},
        "built_with": {
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            **({} if hidden else {"embreex": importlib.metadata.version("embreex")}),
        },
    }


def triangle_counts(glb: bytes) -> list[int]:
    """Triangles of each part, in the order of the labels, that a GLB holds."""
    document = json.loads(split_glb(glb)[0])
    return [
        sum(
            int(document["accessors"][p["indices"]]["count"]) // 3
            for p in document["meshes"][node["mesh"]]["primitives"]
        )
        for node in document["nodes"]
    ]


def build_bytes(name: str) -> tuple[bytes, bytes]:
    """The GLB and the card of a target, in memory, checked.

    A random craft keeps the triangles that are hidden inside it: Embree need not be there, and it
    is built in seconds.

    Raises:
        InputError: unknown name.
        ValueError: the assembly breaks a rule (a defect of the target's code).
    """
    from satgen.modelling.assembly import MAX_TRIANGLES, MIN_TRIANGLES

    assembly = assemble(name)
    assembly.check()
    hidden = generated.is_random(name)
    glb = glb_bytes(assembly, hidden=hidden)
    if len(glb) > MAX_BYTES:
        raise ValueError(f"target {name}: {len(glb)} bytes, more than {MAX_BYTES}")
    count = sum(triangle_counts(glb))
    if not MIN_TRIANGLES <= count <= MAX_TRIANGLES:
        raise ValueError(f"target {name}: {count} triangles that can be seen")
    text = json.dumps(card(assembly, glb, hidden), indent=1, ensure_ascii=False) + "\n"
    return glb, text.encode()


def build(name: str, out_dir: Path | str | None = None, with_picture: bool = True) -> list[Path]:
    """Write NAME.glb, NAME.json, NAME.light.npz and NAME.png; returns their paths.

    Raises:
        InputError: they cannot be written, or would be written into a dataset or run.
    """
    folder = registry.assets_dir() if out_dir is None else Path(out_dir)
    check_outside(folder / name)
    glb, text = build_bytes(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}.glb", folder / f"{name}.json"]
        write_atomic(paths[0], glb)
        write_atomic(paths[1], text)
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror or error}") from None
    paths.append(build_light(paths[0]))
    if with_picture:
        from satgen.preview import target_picture
        from satgen.targets.load import load_target

        paths.append(folder / f"{name}.png")
        target_picture(load_target(paths[0]), paths[-1])
    return paths


def build_light(
    target: Path | str, scale: float = 1.0, up: str | None = None, parts: str = "file"
) -> Path:
    """Bake the light between a target's parts and write it beside its model file.

    Args:
        target: a target's name or a model file.
        scale, up, parts: of a model file.

    Raises:
        InputError: the target cannot be loaded, Embree is not installed, or the file cannot be
            written, or would be written into a dataset or run.
    """
    from satgen.config import source_path
    from satgen.targets.load import load_target

    path = light_path(source_path(target))
    check_outside(path)
    light = bake(load_target(target, scale, up, parts=parts, light=False))
    try:
        write_atomic(path, light_bytes(light))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def check(name: str, out_dir: Path | str | None = None) -> list[str]:
    """Rebuild in memory and compare with the files; a line for each that differs.

    Of the light it is only compared whether it was baked for the model: to bake it takes minutes.
    """
    folder = registry.assets_dir() if out_dir is None else Path(out_dir)
    found = []
    for suffix, fresh in zip((".glb", ".json"), build_bytes(name), strict=True):
        path = folder / f"{name}{suffix}"
        if not path.is_file():
            found.append(f"{path}: missing")
        elif path.read_bytes() != fresh:
            found.append(f"{path}: differs from a fresh build")
    path = folder / f"{name}.light.npz"
    if not path.is_file():
        found.append(f"{path}: missing")
    elif not found:
        from satgen.targets.load import load_target

        try:
            read_light(path, load_target(folder / f"{name}.glb", light=False))
        except InputError as error:
            found.append(str(error))
    return found
