"""Targets and models of large files as they were loaded before: see `satgen.stored`.

Of a target of satgen's own all but the textures is kept: once it is packed nothing needs them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen import stored
from satgen.interreflection import BakedLight
from satgen.model import LateMaterials, Material, Part, TargetModel
from satgen.targets.files import FileBeside, ModelFileError, read_beside, read_regular
from satgen.targets.sidecar import MAX_BYTES, sidecar_path

LEAST_BYTES = 1 << 20
"""Of a model's files, together, for it to be kept."""
_ARRAYS = ("vertices", "normals", "uv", "faces", "face_material", "face_part")
_OPTIONAL = ("colours", "uv2")
_MARK = "_stored_as"


def name_of(path: Path, digest: str, scale: float, up: str | None, by: str) -> str:
    """What a model of a file with this SHA-256 is kept as, by these options of `load_target`."""
    try:
        card = hashlib.sha256(read_regular(sidecar_path(path), MAX_BYTES)).hexdigest()
    except (OSError, ModelFileError) as error:
        card = type(error).__name__
    return stored.name_of("model", path.name, digest, card, scale, up, by)


def name_of_target(glb: Path, light: Path | None) -> str:
    """What a target of satgen's own is kept as, by its file and that of its light; empty where one
    of them cannot be read."""
    digests = []
    for path in (glb, light):
        try:
            digests.append("" if path is None else hashlib.sha256(path.read_bytes()).hexdigest())
        except FileNotFoundError:
            digests.append("none")
        except OSError:
            return ""
    return stored.name_of("target", glb.name, *digests)


def find_target(
    name: str, card: dict[str, Any], read: Callable[[], Sequence[Material]]
) -> TargetModel | None:
    """The target that is kept under a name.

    Args:
        name: from `name_of_target`.
        card: of the target.
        read: reads its materials, when they are needed.
    """
    found = stored.read(name)
    if found is None:
        return None
    arrays, about = found
    try:
        materials = LateMaterials(about["materials"], about["textured"], read)
        light = None
        if about["light"]:
            names = [each.name for each in fields(BakedLight) if each.name != "key"]
            light = BakedLight(about["light"], **{name: arrays["light." + name] for name in names})
        landmarks = landmarks_of(card)
        shape: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
        model = TargetModel(
            name=about["name"],
            **shape,
            materials=materials,
            parts=tuple(Part(label, name, cls) for label, name, cls in about["parts"]),
            landmarks=landmarks,
            card=card,
            light=light,
            colours=arrays.get("colours"),
            uv2=arrays.get("uv2"),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None
    return marked(model, name) if _fits(model) else None


def keep_target(name: str, model: TargetModel) -> TargetModel:
    """Keep a target of satgen's own but for its textures and its card; returns it."""
    arrays = {each: getattr(model, each) for each in _ARRAYS}
    arrays |= {n: a for n in _OPTIONAL if (a := getattr(model, n)) is not None}
    if model.light is not None:
        of_light = [each.name for each in fields(BakedLight) if each.name != "key"]
        arrays |= {"light." + each: getattr(model.light, each) for each in of_light}
    about = {
        "name": model.name,
        "materials": len(model.materials),
        "textured": model.textured,
        "parts": [[part.label, part.name, part.cls] for part in model.parts],
        "light": "" if model.light is None else model.light.key,
    }
    stored.write(name, arrays, about)
    return marked(model, name)


def landmarks_of(card: dict[str, Any]) -> dict[str, tuple[float, float, float]]:
    """The landmarks that a target's card names."""
    return {n: (float(x), float(y), float(z)) for n, (x, y, z) in card["landmarks"].items()}


def find(name: str, path: Path) -> TargetModel | None:
    """The model of a file that is kept under a name, if the files beside it are as they were."""
    found = stored.read(name)
    if found is None:
        return None
    arrays, about = found
    try:
        for beside in about["beside"]:
            if _digest(path.parent, beside["name"], beside["limit"]) != beside["sha256"]:
                return None
        model = _decoded(arrays, about)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None
    return marked(model, name) if _fits(model) else None


def keep(name: str, model: TargetModel, beside: Sequence[FileBeside]) -> TargetModel:
    """Keep a model, without light, that was made of a file and of these beside it; returns it."""
    arrays, about = _encoded(model)
    once = {file.name: asdict(file) for file in beside}
    stored.write(name, arrays, {**about, "beside": list(once.values())})
    return marked(model, name)


def marked(model: TargetModel, name: str) -> TargetModel:
    """The model, which knows from now on what it is kept as; a model made of it does not."""
    object.__setattr__(model, _MARK, name)
    return model


def kept_as(model: TargetModel) -> str:
    """The name under which a model is kept, or empty."""
    return str(getattr(model, _MARK, ""))


def _digest(folder: Path, name: str, limit: int) -> str:
    """SHA-256 of a file beside a model, or empty."""
    try:
        return hashlib.sha256(read_beside(folder, name, limit)).hexdigest()
    except ModelFileError:
        return ""


def _encoded(model: TargetModel) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    arrays = {name: getattr(model, name) for name in _ARRAYS}
    arrays |= {n: a for n in _OPTIONAL if (a := getattr(model, n)) is not None}
    images: dict[int, str] = {}
    materials = []
    for material in model.materials:
        one: dict[str, Any] = {}
        for each in fields(material):
            value = getattr(material, each.name)
            if isinstance(value, np.ndarray):
                # One picture of several materials stays one.
                value = images.setdefault(id(value), f"image{len(images)}")
                arrays[value] = getattr(material, each.name)
            elif isinstance(value, frozenset):
                value = sorted(value)
            elif isinstance(value, tuple):
                value = [v if isinstance(v, str) else float(v) for v in value]
            elif isinstance(value, float | np.floating):
                value = float(value)
            one[each.name] = value
        materials.append(one)
    about = {
        "name": model.name,
        "materials": materials,
        "parts": [[part.label, part.name, part.cls] for part in model.parts],
        "landmarks": {name: list(place) for name, place in model.landmarks.items()},
        "card": model.card,
        "warnings": list(model.warnings),
        "islands": model.islands,
    }
    return arrays, about


def _decoded(arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> TargetModel:
    materials = []
    for one in about["materials"]:
        values = dict(one)
        for name, value in one.items():
            if name.endswith("_image") and value is not None:
                values[name] = arrays[value]
            elif name == "second":
                values[name] = frozenset(value)
            elif isinstance(value, list):
                values[name] = tuple(value)
        materials.append(Material(**values))
    shape: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
    return TargetModel(
        name=about["name"],
        **shape,
        materials=tuple(materials),
        parts=tuple(Part(label, name, cls) for label, name, cls in about["parts"]),
        landmarks={n: (x, y, z) for n, (x, y, z) in about["landmarks"].items()},
        card=about["card"],
        warnings=tuple(about["warnings"]),
        colours=arrays.get("colours"),
        uv2=arrays.get("uv2"),
        islands=about["islands"],
    )


def _fits(model: TargetModel) -> bool:
    """Whether arrays have the shapes and the ranges that their readers rely on."""
    vertices, faces = len(model.vertices), len(model.faces)
    shapes = {
        "vertices": (vertices, 3), "normals": (vertices, 3), "uv": (vertices, 2),
        "faces": (faces, 3), "face_material": (faces,), "face_part": (faces,),
        "colours": (vertices, 4), "uv2": (vertices, 2),
    }  # fmt: skip
    for name, shape in shapes.items():
        array = getattr(model, name)
        if array is not None and array.shape != shape:
            return False
    return bool(
        faces
        and model.faces.min() >= 0
        and model.faces.max() < vertices
        and model.face_material.min() >= 0
        and model.face_material.max() < len(model.materials)
        and model.face_part.max() <= len(model.parts)
    )
