"""glTF documents that are changed in places at random: a line each, or a sound model.

`python -m tests.test_gltf_fuzz COUNT [FIRST]` tries more of them, and says what memory it took.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from satgen.errors import InputError
from satgen.rendering.packing import pack
from satgen.targets.load import load_target
from tests.gltf_files import Gltf, cube_arrays
from tests.test_gltf import draco, meshopt, placed, skinned

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 255, 65536, 2**31, 2**63, 10**40, 0.5, -0.5, 1e-30, 1e38,
    1e999, -1e999, float("nan"), "", "x", "\0", "\ud800", "../x", "/dev/zero", "data:,", "MASK",
    "BLEND", "VEC2", "MAT4", [], [0], [0, 0], [1e30] * 3, [0.0] * 16, ["x"], [[]], {}, {"a": 1},
    {"index": 0}, {"index": 0, "texCoord": 1}, {"source": 0},
)  # fmt: skip
SECONDS = 60.0
"""Longest that one file may take, on a busy machine."""


def rich() -> Gltf:
    """A cube with all kinds of things that a file may have."""
    points = cube_arrays()["POSITION"]
    file = Gltf(
        COLOR_0=np.full((24, 4), 200, dtype=np.uint8) / 255.0,
        TEXCOORD_1=cube_arrays()["TEXCOORD_0"],
    )
    picture = np.full((4, 4, 4), 200, dtype=np.uint8)
    sampler = {"wrapS": 33071, "wrapT": 33648, "magFilter": 9728}
    number, webp = file.texture(picture, sampler=sampler), file.texture(picture, "WEBP")
    file.doc["textures"][webp] = {"extensions": {"EXT_texture_webp": {"source": 1}}}
    moved = {"offset": [0.1, 0.2], "rotation": 1.0, "scale": [2, 3], "texCoord": 1}
    file.material.update(
        alphaMode="MASK",
        alphaCutoff=0.4,
        normalTexture={"index": webp, "scale": 0.5},
        emissiveTexture={"index": number, "extensions": {"KHR_texture_transform": moved}},
        emissiveFactor=[1, 1, 0],
        extensions={
            "KHR_materials_emissive_strength": {"emissiveStrength": 2},
            "KHR_materials_clearcoat": {"clearcoatFactor": 1},
        },
    )
    file.material["pbrMetallicRoughness"].update(
        baseColorTexture={"index": number}, metallicRoughnessTexture={"index": webp}
    )
    gloss = {"diffuseTexture": {"index": number}, "specularGlossinessTexture": {"index": webp}}
    file.doc["materials"].append({"extensions": {"KHR_materials_pbrSpecularGlossiness": gloss}})
    sparse = file.accessor(points)
    file.doc["accessors"][sparse]["sparse"] = {
        "count": 2,
        "indices": {
            "bufferView": file.view(np.array([1, 5], dtype=np.uint16).tobytes()),
            "componentType": 5123,
        },
        "values": {"bufferView": file.view(np.zeros((2, 3), dtype=np.float32).tobytes())},
    }
    second = file.primitive(POSITION=points, NORMAL=None)
    second["attributes"]["POSITION"] = sparse
    file.doc["meshes"][0]["primitives"].append({**second, "material": 1, "mode": 5})
    file.cube["targets"] = [{"POSITION": file.accessor(points * 0.1), "NORMAL": 1}]
    file.doc["meshes"][0]["weights"] = [0.5]
    file.doc["nodes"] += [
        {"children": [2], "matrix": np.eye(4).ravel().tolist()},
        {"mesh": 0, "translation": [3, 0, 0], "rotation": [0, 0, 1, 0], "scale": [1, 2, 1]},
    ]
    file.doc["scenes"][0]["nodes"] = [0, 1]
    return file


def places(thing: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a document."""
    found = [path] if path else []
    if isinstance(thing, dict | list):
        for key, value in thing.items() if isinstance(thing, dict) else enumerate(thing):
            found += places(value, (*path, key))
    return found


def change(doc: Any, rng: random.Random) -> None:
    """Change one value of a document, or leave it out, or put it in another place."""
    ways = places({k: v for k, v in doc.items() if k != "buffers" or rng.random() < 0.1})
    *path, last = rng.choice(ways)
    thing = doc
    for key in path:
        thing = thing[key]
    kind, value = rng.random(), thing[last]
    if kind < 0.15:
        del thing[last]
    elif kind < 0.4 and isinstance(value, int | float) and not isinstance(value, bool):
        thing[last] = rng.choice(
            (value + 1, value - 1, -value, value * 2, value * 1000, value + 0.5, float(value))
        )
    elif kind < 0.55:
        other = doc
        for key in rng.choice(ways):
            other = other[key]
        thing[last] = json.loads(json.dumps(other))
    else:
        thing[last] = rng.choice(VALUES)


def attempt(doc: Any, folder: Path) -> bool:
    """Whether a document loads; AssertionError for anything but that or one line."""
    path = folder / "changed.gltf"
    path.write_text(json.dumps(doc))
    began = time.monotonic()
    try:
        model = load_target(path)
    except InputError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 500
        text.encode()
        return False
    finally:
        assert time.monotonic() - began < SECONDS
    assert np.isfinite(model.vertices).all()
    assert np.isfinite(model.normals).all()
    for line in model.warnings:
        assert line.isprintable()
    packed = pack(model)
    assert np.isfinite(packed.face_texels).all()
    assert np.isfinite(packed.material_texels).all()
    return True


def fuzz(count: int, folder: Path, first: int = 0) -> int:
    """Try that many documents; how many load."""
    sound = [json.loads(make().text()) for make in BASES]
    loads = 0
    for seed in range(first, first + count):
        rng = random.Random(seed)
        doc = json.loads(json.dumps(sound[seed % len(sound)]))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
            change(doc, rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                loads += attempt(doc, folder)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
    return loads


BASES = (rich, lambda: placed(Gltf()), skinned, draco, meshopt)


@pytest.mark.parametrize("make", BASES, ids=["rich", "placed", "skinned", "draco", "meshopt"])
def test_what_is_changed_is_sound_before(make: Any, tmp_path: Path) -> None:
    assert attempt(json.loads(make().text()), tmp_path)


def test_changed_documents_load_or_are_refused_in_a_line(tmp_path: Path) -> None:
    loads = fuzz(250, tmp_path)
    assert 10 < loads < 240


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
        print(fuzz(int(sys.argv[1]), Path(name), first), "load")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB at most")
