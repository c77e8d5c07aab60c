"""satgen.modelling.glb, build and registry: the files, read by trimesh, pygltflib and ourselves."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh
from PIL import Image

from satgen.errors import InputError
from satgen.modelling import assembly, build
from satgen.modelling import shapes as s
from satgen.modelling.assembly import Assembly
from satgen.modelling.glb import compute_tangents
from satgen.targets import registry
from satgen.targets.gltf import read_gltf


def little() -> Assembly:
    facts = {
        "height": {"value": 2.04, "unit": "m", "source": "a page", "measure": "extent_z:body"},
        "mass": {"value": 10.0, "unit": "kg", "source": "a page", "note": "dry"},
    }
    a = Assembly("little", "Little", "z up", facts)
    a.part("body", "bus").add(s.box((1, 1, 2), 0.02), "cfrp").add(
        s.sphere(0.3).translate((0, 0, 1.5)), "glass_lens"
    )
    a.part("wing", "solar_array").add(s.plate(3, 0.5, 0.02).translate((2.5, 0, 0)), "anodised")
    a.part("dish", "antenna").add(s.dish(0.8, 0.15).translate((0, 0, 2.5)), "cfrp")
    a.landmark("corner", (0.5, 0.5, 0.98))
    return a


@pytest.fixture(scope="module")
def raw() -> bytes:
    return build.glb_bytes(little())


@pytest.fixture(scope="module")
def path(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("glb") / "little.glb"
    file.write_bytes(raw)
    return file


def test_a_rebuild_gives_the_same_bytes(raw: bytes) -> None:
    assert build.glb_bytes(little()) == raw


def test_trimesh_sees_the_same_geometry(path: Path) -> None:
    a = little()
    scene = trimesh.load_scene(path, process=False)
    meshes = scene.dump()
    assert sum(len(m.faces) for m in meshes) == a.triangles
    assert np.allclose(scene.bounds, a.bounds, atol=2e-6)
    volume = sum(
        trimesh.Trimesh(x.vertices, x.faces, process=False).volume
        for p in a.parts
        for _, x in p.pieces
    )
    assert sum(m.volume for m in meshes) == pytest.approx(volume, rel=1e-5)
    for mesh in meshes:
        wanted = mesh.face_normals[:, None, :]
        assert np.all(np.sum(mesh.vertex_normals[mesh.faces] * wanted, axis=2) > 0)


def test_pygltflib_sees_the_parts_and_the_accessors(path: Path) -> None:
    gltf = pygltflib.GLTF2().load(str(path))
    assert [n.name for n in gltf.nodes] == ["body", "wing", "dish"]
    assert [n.extras for n in gltf.nodes] == [
        {"label": 1, "class": "bus"},
        {"label": 2, "class": "solar_array"},
        {"label": 3, "class": "antenna"},
    ]
    assert all(n.matrix is None and n.rotation is None for n in gltf.nodes)
    assert {m.name for m in gltf.materials} == {"cfrp", "glass_lens", "anodised"}
    blob = gltf.binary_blob()
    for mesh in gltf.meshes:
        for p in mesh.primitives:
            for key in ("POSITION", "NORMAL", "TANGENT", "TEXCOORD_0"):
                assert getattr(p.attributes, key) is not None
            accessor = gltf.accessors[p.attributes.POSITION]
            view = gltf.bufferViews[accessor.bufferView]
            data = np.frombuffer(blob, "<f4", accessor.count * 3, view.byteOffset).reshape(-1, 3)
            assert np.array_equal(data.min(axis=0), np.float32(accessor.min))
            assert np.array_equal(data.max(axis=0), np.float32(accessor.max))
            assert view.byteOffset % 4 == 0
    for image in gltf.images:
        view = gltf.bufferViews[image.bufferView]
        with Image.open(io.BytesIO(blob[view.byteOffset :][: view.byteLength])) as picture:
            picture.load()
            assert picture.size[0] == picture.size[1]


def test_header_and_chunks_are_as_the_specification_has_them(raw: bytes) -> None:
    magic, version, total = struct.unpack_from("<4sII", raw)
    assert (magic, version, total) == (b"glTF", 2, len(raw))
    length, kind = struct.unpack_from("<I4s", raw, 12)
    assert kind == b"JSON"
    assert length % 4 == 0
    document = json.loads(raw[20 : 20 + length])
    assert document["asset"]["extras"]["landmarks"] == {"corner": [0.5, 0.5, 0.98]}
    body, kind = struct.unpack_from("<I4s", raw, 20 + length)
    assert kind == b"BIN\0"
    assert 28 + length + body == total
    assert document["buffers"][0]["byteLength"] <= body


def test_reading_back_gives_what_was_written(path: Path) -> None:
    a = little()
    scene = read_gltf(path)
    for node, part in zip(scene.nodes, a.parts, strict=True):
        assert node.name == part.name
        for got, want in zip(node.primitives, part.primitives(), strict=True):
            assert np.allclose(got.vertices, want.shape.vertices, atol=1e-6)
            assert np.array_equal(got.faces, want.shape.faces)
            assert got.normals is not None
            assert np.allclose(got.normals, want.shape.normals, atol=1e-6)
            assert got.uv is not None
            shift = got.uv * (1, -1) - want.shape.uv
            assert np.allclose(shift, shift[0], atol=2e-6)
            assert got.material is not None
            assert got.material.name == want.material
    found = [p.material for node in scene.nodes for p in node.primitives]
    cfrp = next(m for m in found if m is not None and m.name == "cfrp")
    assert cfrp.normal_image is not None
    assert cfrp.normal_image.shape == (512, 512, 3)


def test_tangents_follow_the_texture() -> None:
    rng = np.random.default_rng(4)
    shape = s.cone(1.0, 0.6, 1.5, 96).rotate((1, 2, 3), 40)
    uv = shape.uv * (1, -1)
    tangents = compute_tangents(shape.vertices, shape.normals, uv, shape.faces)
    assert np.allclose(np.linalg.norm(tangents[:, :3], axis=1), 1.0, atol=1e-6)
    assert np.allclose(np.sum(tangents[:, :3] * shape.normals, axis=1), 0.0, atol=1e-6)
    assert np.all(tangents[:, 3] == 1.0)
    axis = s.rotation((1, 2, 3), 40) @ [0, 0, 1]
    east = np.cross(axis, shape.normals)
    away = np.linalg.norm(east, axis=1) > 0.2
    along = np.sum(tangents[:, :3] * east, axis=1) / np.maximum(np.linalg.norm(east, axis=1), 1e-9)
    assert along[away].min() > 0.99
    mirrored = compute_tangents(shape.vertices, shape.normals, uv * (-1, 1), shape.faces)
    assert np.all(mirrored[away, 3] == -1.0)
    assert np.allclose(mirrored[away, :3], -tangents[away, :3], atol=1e-5)
    # turning the texture turns the tangent, and the bitangent stays up the image
    angle = rng.uniform(0, 2 * np.pi)
    c, sn = np.cos(angle), np.sin(angle)
    plate = s.plate(1, 1, 0.1)
    up = plate.normals[:, 2] > 0.9
    flat = plate.uv @ np.array([[c, sn], [-sn, c]])
    t4 = compute_tangents(plate.vertices, plate.normals, flat * (1, -1), plate.faces)
    assert np.allclose(t4[up, :3], [c, -sn, 0], atol=1e-6)
    assert np.allclose(np.cross(plate.normals[up], t4[up, :3]) * t4[up, 3:], [sn, c, 0], atol=1e-6)


def test_tangents_without_a_usable_texture_are_still_a_basis() -> None:
    shape = s.box((1, 2, 2))
    t4 = compute_tangents(shape.vertices, shape.normals, np.zeros((24, 2)), shape.faces)
    assert np.allclose(np.linalg.norm(t4[:, :3], axis=1), 1.0)
    assert np.allclose(np.sum(t4[:, :3] * shape.normals, axis=1), 0.0, atol=1e-7)


def test_card_states_facts_measures_and_the_files_hash(raw: bytes) -> None:
    card = build.card(little(), raw)
    json.dumps(card)
    assert card["dimensions"]["height"]["public"] == 2.04
    assert card["dimensions"]["height"]["model"] == pytest.approx(2.8)
    assert card["dimensions"]["height"]["difference_percent"] == pytest.approx(37.25)
    assert card["facts"]["mass"] == {
        "value": 10.0,
        "unit": "kg",
        "source": "a page",
        "note": "dry",
    }
    assert "measure" not in card["facts"]["height"]
    assert card["triangles"] == sum(p["triangles"] for p in card["parts"])
    assert [p["label"] for p in card["parts"]] == [1, 2, 3]
    assert card["glb"] == {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    assert card["materials"] == ["cfrp", "glass_lens", "anodised"]
    assert set(card["built_with"]) == {"numpy", "pillow", "embreex"}


def test_build_writes_and_check_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def assemble(name: str) -> Assembly:
        a = little()
        monkeypatch.setattr(a, "problems", lambda strict=True: [])
        return a

    monkeypatch.setattr(build, "assemble", assemble)
    monkeypatch.setattr(assembly, "MIN_TRIANGLES", 0)
    paths = build.build("aura", tmp_path / "new", with_picture=False)
    assert [p.name for p in paths] == ["aura.glb", "aura.json", "aura.light.npz"]
    assert build.check("aura", tmp_path / "new") == []
    paths[0].write_bytes(paths[0].read_bytes() + b"\0")
    paths[1].unlink()
    found = build.check("aura", tmp_path / "new")
    assert len(found) == 2
    assert "differs" in found[0]
    assert "missing" in found[1]
    with pytest.raises(InputError, match="cannot write"):
        build.build("aura", paths[0], with_picture=False)


def test_surfaces_inside_others_are_left_out_and_the_card_counts_what_is_left() -> None:
    a = Assembly("nested")
    a.part("outer", "bus").add(s.box((1, 1, 1)), "glass_lens")
    a.part("stud", "bus").add(s.box((0.2, 0.2, 1.4)), "glass_lens").add(s.sphere(0.2), "glass_lens")
    glb = build.glb_bytes(a)
    assert build.triangle_counts(glb) == [12, 12]  # the ball is gone, the stud's sides stay
    assert build.card(a, glb)["triangles"] == 24
    a.part("lost", "bus").add(s.sphere(0.3), "glass_lens")
    with pytest.raises(ValueError, match="part lost: hidden"):
        build.glb_bytes(a)


def test_an_assembly_with_problems_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "assemble", lambda name: little())
    with pytest.raises(ValueError, match="fewer than 40"):
        build.build_bytes("aura")


def test_registry_knows_its_names() -> None:
    assert registry.asset_path("aura").name == "aura.glb"
    assert registry.asset_path("aura", ".png").parent == registry.assets_dir()
    with pytest.raises(InputError, match=r"unknown target 'hubble'.*aura, worldview, cartography"):
        registry.asset_path("hubble")
    with pytest.raises(InputError, match="unknown target"):
        build.assemble("os")


def test_the_picture_shows_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = little()
    monkeypatch.setattr(a, "problems", lambda strict=True: [])
    monkeypatch.setattr(build, "assemble", lambda name: a)
    monkeypatch.setattr(assembly, "MIN_TRIANGLES", 0)
    paths = build.build("aura", tmp_path)
    names = ["aura.glb", "aura.json", "aura.light.npz", "aura.png"]
    assert [p.name for p in paths] == names
    with Image.open(paths[-1]) as picture:
        assert np.count_nonzero(np.asarray(picture.convert("L")) > 40) > 5000
