"""Kinds of glTF files through a render: picture, labels, warnings, and the cast rays agree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import satgen
from satgen import raycast
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.targets.load import load_target
from tests.gltf_files import Gltf
from tests.test_gltf import draco, meshopt, placed, skinned
from tests.test_gltf_materials import over_a_floor


def painted(colour: tuple[float, ...] = (0.6, 0.0, 0.0, 1.0)) -> Gltf:
    file = Gltf()
    file.material["pbrMetallicRoughness"]["baseColorFactor"] = list(colour)
    return file


def in_a_clear_shell() -> Gltf:
    """A red cube in a larger one that is fully clear."""
    file = painted()
    number = file.texture(np.zeros((2, 2, 4)))
    file.doc["materials"].append(
        {
            "alphaMode": "BLEND",
            "doubleSided": True,
            "pbrMetallicRoughness": {"baseColorTexture": {"index": number}},
        }
    )
    file.doc["meshes"].append({"primitives": [{**file.cube, "material": 1}]})
    file.doc["nodes"].append({"mesh": 1, "scale": [2, 2, 2]})
    file.doc["scenes"][0]["nodes"] = [0, 1]
    return file


def part_of_a_texture() -> Gltf:
    """The red quarter of a texture, by KHR_texture_transform."""
    picture = np.full((64, 64, 3), (0, 0, 200))
    picture[:32, :32] = (200, 0, 0)
    file = Gltf()
    file.material["pbrMetallicRoughness"]["baseColorTexture"] = {
        "index": file.texture(picture),
        "extensions": {"KHR_texture_transform": {"offset": [0.02, 0.02], "scale": [0.45, 0.45]}},
    }
    return file


def dark_glow() -> Gltf:
    """Dark red, and a glow whose texture is black."""
    file = painted((0.2, 0.005, 0.005, 1.0))
    file.material["emissiveFactor"] = [1, 1, 1]
    file.material["emissiveTexture"] = {"index": file.texture(np.zeros((2, 2, 3)))}
    return file


def tinted() -> Gltf:
    return Gltf(COLOR_0=np.tile(np.float32((0.6, 0, 0)), (24, 1)))


def coated() -> Gltf:
    file = painted()
    file.material["extensions"] = {"KHR_materials_clearcoat": {"clearcoatFactor": 1}}
    file.use("KHR_materials_clearcoat", required=True)
    return file


def described() -> Gltf:
    file = painted()
    file.cube["extensions"] = {"EXT_mesh_features": {"featureIds": [{"featureCount": 1}]}}
    file.use("EXT_mesh_features")
    return file


RED: dict[str, tuple[Callable[[], Gltf], list[str]]] = {
    "clear shell": (in_a_clear_shell, ["leaves out 1 material that is clear"]),
    "texture transform": (part_of_a_texture, []),
    "black glow": (dark_glow, []),
    "vertex colours": (tinted, []),
    "clear coat": (coated, ["ignores KHR_materials_clearcoat of 1 material"]),
    "features": (described, []),
}


def rendered(path: Path) -> tuple[Dataset, list[str], NDArray[np.uint8], NDArray[np.int64]]:
    """A short dataset, its warnings, covered pixels' colours (K, 3) and the labels seen."""
    out = path.parent / "out"
    satgen.render(path, out, start=2000, stop=6400, step=2200, size=64, workers=0, quiet=True)
    told = json.loads((out / "dataset.json").read_text())["target"].get("warnings", [])
    rgb = np.stack([np.asarray(Image.open(f)) for f in sorted((out / "rgb").glob("*.png"))])
    parts = np.stack([np.asarray(Image.open(f)) for f in sorted((out / "parts").glob("*.png"))])
    return Dataset(out), told, rgb[parts > 0], np.unique(parts[parts > 0])


def assert_rays_agree(data: Dataset) -> None:
    found = list(raycast.compare(data, [int(index) for index in data.indices]))
    assert all(frame.ok for frame in found), found


@pytest.mark.parametrize("kind", RED)
def test_red_objects_are_drawn_red(kind: str, tmp_path: Path) -> None:
    make, warnings = RED[kind]
    data, told, rgb, labels = rendered(make().write(tmp_path))
    red, green, blue = rgb.astype(float).mean(axis=0)
    assert red > (60 if kind != "black glow" else 30)
    assert max(green, blue) < (0.25 if kind != "black glow" else 0.6) * red
    assert red < 230
    assert labels.tolist() == [1]
    assert told == warnings
    assert_rays_agree(data)


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: placed(Gltf()), (9, 1.414, 1)),
        (skinned, (4, 2, 2.5)),
        (draco, (2, 2, 2)),
        (meshopt, (2, 2, 2)),
        (lambda: over_a_floor("MASK"), (4, 4, 0.5)),
    ],
    ids=["instances", "skin", "draco", "meshopt", "mask"],
)
def test_shapes_are_as_large_as_they_are_and_rays_agree(
    make: Callable[[], Gltf], size: tuple[float, ...], tmp_path: Path
) -> None:
    path = make().write(tmp_path)
    assert np.allclose(load_target(path, up="z").extents, size, atol=2e-3)
    data, told, _, _ = rendered(path)
    assert told == []
    assert_rays_agree(data)


def test_three_hundred_nodes_are_three_hundred_parts(tmp_path: Path) -> None:
    file = Gltf()
    file.doc["nodes"] = [
        {"mesh": 0, "name": f"bolt {k}", "translation": [3 * (k % 20), 3 * (k // 20), 0]}
        for k in range(300)
    ]
    file.doc["scenes"][0]["nodes"] = list(range(300))
    model = load_target(file.write(tmp_path))
    assert [part.name for part in model.parts] == [f"bolt {k}" for k in range(300)]


def test_no_file_outside_the_folder_is_read(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(10_000))
    os.mkfifo(inside / "pipe.bin")
    (inside / "link.bin").symlink_to(tmp_path / "secret.bin")
    for uri in (
        *("../secret.bin", str(tmp_path / "secret.bin"), "link.bin", "pipe.bin", "/dev/zero"),
        *("/proc/self/environ", "file:///etc/passwd", "", ".", "a\0b", "%2e%2e/secret.bin"),
    ):
        for what in ("buffer", "texture"):
            file = Gltf()
            if what == "texture":
                file.doc["images"], file.doc["textures"] = [{"uri": uri}], [{"source": 0}]
                file.material["emissiveTexture"] = {"index": 0}
                file.material["emissiveFactor"] = [1, 1, 1]  # or nothing is read of it
            else:
                file.doc["buffers"] = [{"uri": uri, "byteLength": len(file.bytes)}]
            with pytest.raises(InputError, match=r"model\.gltf: ") as caught:
                load_target(file.write(inside))
            assert "\n" not in str(caught.value)
            assert "root:" not in str(caught.value)


def test_a_texture_that_is_no_picture_of_the_known_kinds_is_refused(tmp_path: Path) -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    file = Gltf()
    file.doc["images"], file.doc["textures"] = [{"bufferView": file.view(eps)}], [{"source": 0}]
    file.material["emissiveTexture"] = {"index": 0}
    file.material["emissiveFactor"] = [1, 1, 1]  # or nothing is read of it
    with pytest.raises(InputError, match="cannot be decoded"):
        load_target(file.write(tmp_path))
