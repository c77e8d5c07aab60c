"""satgen.targets.load and gltf against trimesh, and against files that are damaged on purpose."""

from __future__ import annotations

import base64
import io
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from satgen.errors import InputError
from satgen.model import TargetModel
from satgen.modelling import build
from satgen.modelling import shapes as s
from satgen.targets import registry
from satgen.targets.load import DEFAULT_MATERIAL, load_target
from satgen.targets.normals import crease_normals
from tests.gltf_files import Gltf
from tests.test_glb import little


def assert_sound(model: TargetModel) -> None:
    assert model.vertices.dtype == np.float64
    assert model.faces.dtype == np.int32
    assert model.normals.dtype == model.uv.dtype == np.float32
    n = len(model.vertices)
    assert model.normals.shape == (n, 3)
    assert model.uv.shape == (n, 2)
    assert model.faces.min() >= 0
    assert model.faces.max() < n
    assert len(model.face_material) == len(model.face_part) == len(model.faces)
    assert model.face_material.max() < len(model.materials)
    labels = [p.label for p in model.parts]
    assert labels == list(range(1, len(labels) + 1))
    assert set(np.unique(model.face_part)) <= set(labels)
    for array in (model.vertices, model.normals, model.uv):
        assert np.isfinite(array).all()
    assert np.allclose(np.linalg.norm(model.normals, axis=1), 1.0, atol=1e-5)


# --- bundled --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.TARGETS)
def test_bundled_targets_load_as_their_cards_say(name: str) -> None:
    model = load_target(name)
    assert_sound(model)
    card = registry.load_card(name)
    assert len(model.faces) == card["triangles"]
    assert [(p.label, p.name, p.cls) for p in model.parts] == [
        (p["label"], p["name"], p["class"]) for p in card["parts"]
    ]
    assert np.allclose(model.extents, card["bounds"]["extents"], atol=1e-3)
    assert len(model.landmarks) >= 16
    assert not any(m.double_sided for m in model.materials)
    assert registry.asset_path(name).stat().st_size < build.MAX_BYTES
    again = load_target(registry.asset_path(name))
    assert np.array_equal(again.vertices, model.vertices)
    assert again.parts == model.parts
    assert again.landmarks == model.landmarks


def test_our_own_glb_keeps_its_parts_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.glb"
    path.write_bytes(build.glb_bytes(little()))
    model = load_target(path, scale=2.0, up="y")
    assert_sound(model)
    assert [(p.label, p.name, p.cls) for p in model.parts] == [
        (1, "body", "bus"),
        (2, "wing", "solar_array"),
        (3, "dish", "antenna"),
    ]
    assert model.name == "mine"
    assert model.landmarks["corner"] == pytest.approx((1.0, -1.96, 1.0))
    assert not any(m.double_sided for m in model.materials)
    assert model.card["source"]["scale"] == 2.0


# --- files ----------------------------------------------------------------------------------------


def textured_scene() -> trimesh.Scene:
    """Two boxes and an open sheet in a hierarchy, one with a texture."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8))
    box = trimesh.creation.box((1, 2, 3))
    box.unmerge_vertices()
    box.visual = trimesh.visual.TextureVisuals(
        uv=rng.random((len(box.vertices), 2)),
        material=trimesh.visual.material.PBRMaterial(
            name="paint", baseColorTexture=picture, metallicFactor=0.25, roughnessFactor=0.75
        ),
    )
    ball = trimesh.creation.icosphere(subdivisions=2)
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    scene = trimesh.Scene()
    turn = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3], [1, 0, 0])
    scene.add_geometry(box, node_name="box", geom_name="box", transform=turn)
    flip = np.diag([1.0, -2.0, 1.0, 1.0])
    flip[:3, 3] = [4, 0, 0]
    scene.add_geometry(ball, node_name="ball", geom_name="ball", transform=flip)
    scene.add_geometry(
        ball, node_name="child", geom_name="ball", parent_node_name="box", transform=turn
    )
    scene.add_geometry(sheet, node_name="sheet", geom_name="sheet")
    return scene


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_scene_graphs_agree_with_trimesh(tmp_path: Path, suffix: str) -> None:
    scene = textured_scene()
    path = tmp_path / f"scene{suffix}"
    if suffix == ".glb":
        scene.export(path)
    else:
        for name, data in trimesh.exchange.gltf.export_gltf(scene).items():
            (tmp_path / name).write_bytes(data)
        (tmp_path / "model.gltf").rename(path)
    model = load_target(path, up="z")
    assert_sound(model)
    reference = trimesh.load_scene(path, process=False).to_mesh()
    assert len(model.faces) == len(reference.faces)
    assert np.allclose(model.extents, reference.extents, atol=1e-6)
    ours = np.sort(model.vertices[model.faces].mean(axis=1).round(4), axis=0)
    theirs = np.sort(reference.triangles_center.round(4), axis=0)
    assert np.allclose(ours, theirs, atol=2e-4)
    closed = trimesh.Trimesh(model.vertices, model.faces, process=False)
    assert closed.volume == pytest.approx(reference.volume, rel=1e-4)
    tri = model.vertices[model.faces]
    cross = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    facing = np.einsum("fi,fki->fk", cross, model.normals[model.faces].astype(float))
    assert facing.min() > 0
    assert {p.name for p in model.parts} == {"box", "ball", "child", "sheet"}
    assert {p.cls for p in model.parts} == {"part"}
    label = {p.name: p.label for p in model.parts}
    for name, open_ in (("box", False), ("ball", False), ("sheet", True)):
        used = {int(m) for m in model.face_material[model.face_part == label[name]]}
        assert all(model.materials[m].double_sided is open_ for m in used)
    paint = next(m for m in model.materials if m.name == "paint")
    assert (paint.metallic, paint.roughness) == (0.25, 0.75)
    assert paint.base_color_image is not None
    picture = np.asarray(scene.geometry["box"].visual.material.baseColorTexture)
    assert np.array_equal(paint.base_color_image, picture)


@pytest.mark.parametrize("suffix", [".stl", ".ply", ".obj"])
def test_plain_meshes_agree_with_trimesh(tmp_path: Path, suffix: str) -> None:
    mesh = trimesh.creation.capsule(height=2.0, radius=0.5)
    path = tmp_path / f"capsule{suffix}"
    mesh.export(path)
    model = load_target(path)
    assert_sound(model)
    assert np.allclose(model.extents, mesh.extents, atol=1e-5)
    again = trimesh.Trimesh(model.vertices, model.faces)
    assert again.volume == pytest.approx(mesh.volume, rel=1e-5)
    assert len(model.parts) == 1
    assert all(m.double_sided for m in model.materials)


def test_mesh_without_a_material_is_light_grey(tmp_path: Path) -> None:
    path = tmp_path / "box.stl"
    trimesh.creation.box().export(path)
    (material,) = load_target(path).materials
    assert material.base_color == DEFAULT_MATERIAL.base_color
    assert material.metallic == 0.0


def test_obj_objects_materials_and_texture(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "skin of it.png")
    (tmp_path / "m.mtl").write_text(
        "newmtl red\nKd 1.0 0.0 0.0\nnewmtl skin\nKd 1 1 1\nmap_Kd skin of it.png\n"
    )
    path = tmp_path / "two.obj"
    path.write_text(
        "mtllib m.mtl\no first\nusemtl red\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
        "o second\nusemtl skin\nv 0 0 1\nv 1 0 1\nv 0 1 1\nvt 0 0\nvt 1 0\nvt 0 1\n"
        "f 4/1 5/2 6/3\n"
    )
    model = load_target(path)
    assert_sound(model)
    assert len(model.parts) == 2
    by_name = {m.name: m for m in model.materials}
    assert by_name["red"].base_color == pytest.approx((1.0, 0.0, 0.0))
    assert by_name["skin"].base_color_image is not None
    assert np.array_equal(by_name["skin"].base_color_image, pixels)
    corner = np.argmin(np.linalg.norm(model.vertices - [0, 1, 1], axis=1))
    assert np.allclose(model.uv[corner] % 1.0, [0.0, 0.0])  # vt (0, 1) is the image's top left
    (tmp_path / "skin of it.png").unlink()
    assert load_target(path).warnings == ("ignores texture 'skin of it.png': missing",)
    (tmp_path / "m.mtl").unlink()
    plain = load_target(path)  # without its materials it is grey
    assert {m.base_color for m in plain.materials} == {DEFAULT_MATERIAL.base_color}
    assert len(plain.parts) == 2


@pytest.mark.parametrize(
    ("up", "axis"),
    [
        ("x", (1, 0, 0)),
        ("y", (0, 1, 0)),
        ("z", (0, 0, 1)),
        ("-x", (-1, 0, 0)),
        ("-y", (0, -1, 0)),
        ("-z", (0, 0, -1)),
    ],
)
def test_up_and_scale(tmp_path: Path, up: str, axis: tuple[int, int, int]) -> None:
    mesh = trimesh.creation.cone(radius=0.2, height=1.0)  # its tip is along +z
    mesh.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], axis))
    path = tmp_path / "cone.stl"
    mesh.export(path)
    model = load_target(path, scale=0.5, up=up)
    tip = model.vertices[np.argmax(model.vertices[:, 2])]
    assert np.allclose(tip, [0, 0, 0.5], atol=1e-6)
    solid = trimesh.Trimesh(model.vertices, model.faces)
    assert solid.volume == pytest.approx(mesh.volume / 8, rel=1e-5)  # turned, not mirrored
    assert_sound(model)


# --- normals --------------------------------------------------------------------------------------


def test_crease_normals_keep_a_boxs_edges_and_smooth_a_ball() -> None:
    box = trimesh.creation.box()
    source, faces, normals = crease_normals(box.vertices, box.faces)
    assert len(source) == 24
    assert np.allclose(normals[faces], box.face_normals[:, None, :])
    ball = trimesh.creation.icosphere(subdivisions=3)
    source, faces, normals = crease_normals(ball.vertices, ball.faces)
    assert len(source) == len(ball.vertices)
    assert np.allclose(np.sum(normals * ball.vertices[source], axis=1), 1.0, atol=2e-3)
    cylinder = trimesh.creation.cylinder(1.0, 2.0, sections=64)
    source, faces, normals = crease_normals(cylinder.vertices, cylinder.faces)
    flat = np.abs(cylinder.face_normals[:, 2]) > 0.5
    assert np.allclose(np.abs(normals[faces[flat], 2]), 1.0)
    assert np.allclose(normals[faces[~flat], 2], 0.0)
    radial = cylinder.vertices[source[faces[~flat]]] * [1, 1, 0]
    assert np.allclose(np.sum(normals[faces[~flat]] * radial, axis=2), 1.0, atol=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_crease_normals_do_not_depend_on_how_vertices_are_shared(seed: int) -> None:
    ball = trimesh.creation.icosphere(subdivisions=1)
    rng = np.random.default_rng(seed)
    ball.vertices *= rng.uniform(0.7, 1.3, (len(ball.vertices), 1))
    _, f1, n1 = crease_normals(ball.vertices, ball.faces)
    soup = ball.vertices[ball.faces].reshape(-1, 3)
    _, f2, n2 = crease_normals(soup, np.arange(len(soup), dtype=np.int32).reshape(-1, 3))
    assert np.allclose(n1[f1], n2[f2], atol=2e-5)


# --- damage ---------------------------------------------------------------------------------------


def one_triangle(**change: Any) -> dict[str, Any]:
    """A minimal glTF document with one triangle; `change` overrides top-level keys."""
    position = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    index = np.array([0, 1, 2], "<u2").tobytes() + b"\0\0"
    uri = "data:application/octet-stream;base64," + base64.b64encode(position + index).decode()
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ],
        "buffers": [{"byteLength": 44, "uri": uri}],
    }
    return document | change


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(out, "PNG")
    return out.getvalue()


def with_texture(image: dict[str, Any]) -> dict[str, Any]:
    document = one_triangle(
        images=[image],
        textures=[{"source": 0}],
        materials=[{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
    )
    document["accessors"].append({**document["accessors"][0], "type": "VEC2"})
    (triangle,) = document["meshes"][0]["primitives"]
    triangle["material"] = 0
    triangle["attributes"]["TEXCOORD_0"] = 2
    return document


def write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_minimal_document_loads_with_normals_made(tmp_path: Path) -> None:
    model = load_target(write(tmp_path / "one.gltf", one_triangle()), up="z")
    assert_sound(model)
    assert np.allclose(model.normals, [0, 0, 1])
    assert model.materials[0].double_sided


def test_strips_fans_and_sparse_accessors(tmp_path: Path) -> None:
    position = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], "<f4")
    data = position.tobytes() + struct.pack("<HH", 3, 0) + np.array([[2, 2, 0]], "<f4").tobytes()
    uri = "data:;base64," + base64.b64encode(data).decode()
    document = one_triangle(
        buffers=[{"byteLength": len(data), "uri": uri}],
        bufferViews=[
            {"buffer": 0, "byteLength": 48},
            {"buffer": 0, "byteOffset": 48, "byteLength": 2},
            {"buffer": 0, "byteOffset": 52, "byteLength": 12},
        ],
        accessors=[
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": 4,
                "type": "VEC3",
                "sparse": {
                    "count": 1,
                    "indices": {"bufferView": 1, "componentType": 5123},
                    "values": {"bufferView": 2},
                },
            }
        ],
        meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": 5}]}],
    )
    strip = load_target(write(tmp_path / "strip.gltf", document), up="z")
    assert len(strip.faces) == 2
    assert strip.vertices.max() == 2.0
    assert np.allclose(strip.normals, [0, 0, 1])
    document["meshes"][0]["primitives"][0]["mode"] = 6
    assert len(load_target(write(tmp_path / "fan.gltf", document)).faces) == 2


def broken_documents(folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    nan = np.array([[0, 0, 0], [np.nan, 0, 0], [0, 1, 0]], "<f4").tobytes() + b"\0\0\1\0\2\0\0\0"
    huge = np.array([[0, 0, 0], [3e38, 0, 0], [0, 3e38, 0]], "<f4").tobytes() + b"\0\0\1\0\2\0\0\0"

    def buffer(data: bytes) -> list[dict[str, Any]]:
        return [{"byteLength": 44, "uri": "data:;base64," + base64.b64encode(data).decode()}]

    data = "data:image/png;base64,"
    half = data + base64.b64encode(png()[:-30]).decode()
    (folder / "cut.png").write_bytes(png()[:-30])
    (folder / "text.png").write_text("not an image")
    loop = [{"children": [1]}, {"children": [0], "mesh": 0}]
    return {
        "nan": (one_triangle(buffers=buffer(nan)), "not finite"),
        "huge": (one_triangle(buffers=buffer(huge)), "scale"),
        "no triangles": (one_triangle(meshes=[{"primitives": []}]), "no triangles"),
        "no nodes": (one_triangle(nodes=[], scenes=[{"nodes": []}]), "no triangles"),
        "short buffer": (one_triangle(buffers=buffer(nan[:20])), "truncated"),
        "lost buffer": (one_triangle(buffers=[{"byteLength": 44, "uri": "lost.bin"}]), "lost.bin"),
        "web buffer": (
            one_triangle(buffers=[{"byteLength": 44, "uri": "http://a.b/c.bin"}]),
            "not a file",
        ),
        "base64": (one_triangle(buffers=[{"byteLength": 44, "uri": "data:;base64,@@"}]), "base64"),
        "loop": (one_triangle(nodes=loop), "more than one place"),
        "version": (one_triangle(asset={"version": "1.0"}), "version"),
        "unknown geometry": (
            one_triangle(
                extensionsRequired=["EXT_voxels"],
                meshes=[
                    {
                        "primitives": [
                            {"attributes": {"POSITION": 0}, "extensions": {"EXT_voxels": {}}}
                        ]
                    }
                ],
            ),
            "needs the extension EXT_voxels, which is not supported",
        ),
        "no meshes": (one_triangle(meshes=[]), "nodes[0].mesh is 0, but there are 0 meshes"),
        "lost texture": (with_texture({"uri": "lost.png"}), "lost.png"),
        "cut texture": (with_texture({"uri": "cut.png"}), "cut.png"),
        "text texture": (with_texture({"uri": "text.png"}), "text.png"),
        "cut inline texture": (with_texture({"uri": half, "name": "skin"}), "skin"),
        "material": (
            one_triangle(
                meshes=[
                    {"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 7}]}
                ]
            ),
            "material is 7, but there are 0 materials",
        ),
    }


def test_broken_documents_say_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    for name, (document, wanted) in broken_documents(tmp_path).items():
        path = write(tmp_path / "broken.gltf", document)
        with pytest.raises(InputError) as caught:
            load_target(path)
        text = str(caught.value)
        assert "broken.gltf" in text, name
        assert wanted in text, f"{name}: {text}"
        assert "\n" not in text, name


def test_good_external_texture_loads(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(png())
    model = load_target(write(tmp_path / "t.gltf", with_texture({"uri": "a%20b.png"})))
    image = model.materials[0].base_color_image
    assert image is not None
    assert np.all(image == [200, 30, 30])


def test_bad_requests_are_named(tmp_path: Path) -> None:
    good = tmp_path / "box.stl"
    trimesh.creation.box().export(good)
    text = tmp_path / "notes.txt"
    text.write_text("x")
    empty = tmp_path / "empty.obj"
    empty.write_text("")
    points = tmp_path / "points.obj"
    points.write_text("v 0 0 0\nv 1 0 0\n")
    nan = tmp_path / "nan.ply"
    nan.write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
        "property float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n"
        "0 0 0\nnan 0 0\n0 1 0\n3 0 1 2\n"
    )
    flat = tmp_path / "flat.obj"
    flat.write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    junk = tmp_path / "junk.glb"
    junk.write_bytes(b"glTF" + b"\0" * 40)
    ply = tmp_path / "junk.ply"
    ply.write_bytes(b"ply\nformat binary_little_endian 1.0\nelement vertex 9\n")
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (tmp_path / "absent.glb", {}, "absent.glb.*No such file"),
        ("hubble", {}, "unknown target 'hubble'"),
        (text, {}, r"\.txt extension is not supported"),
        (tmp_path, {}, "folder|extension|unknown"),
        (empty, {}, "empty.obj"),
        (points, {}, "points.obj"),
        (nan, {}, "nan.ply.*not finite"),
        (flat, {}, "no triangles"),
        (junk, {}, "junk.glb"),
        (ply, {}, "junk.ply"),
        (good, {"scale": 0.0}, "scale must be a positive number, got 0.0"),
        (good, {"scale": -1.0}, "scale"),
        (good, {"scale": float("nan")}, "scale"),
        (good, {"scale": 1e12}, "check --scale"),
        (good, {"scale": 1e-12}, "check --scale"),
        (good, {"up": "w"}, "up must be one of"),
        ("aura", {"scale": 2.0}, "for model files"),
    ]
    for target, options, pattern in cases:
        with pytest.raises(InputError, match=pattern) as caught:
            load_target(target, **options)
        assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def good_glb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "good.glb"
    textured_scene().export(path)
    return path


def test_truncation_anywhere_is_an_input_error(good_glb: Path, tmp_path: Path) -> None:
    raw = good_glb.read_bytes()
    path = tmp_path / "cut.glb"
    for length in np.linspace(0, len(raw) - 1, 25).astype(int):
        path.write_bytes(raw[:length])
        with pytest.raises(InputError, match=r"cut\.glb"):
            load_target(path)


@settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_random_damage_never_escapes_as_anything_but_an_input_error(
    good_glb: Path, tmp_path: Path, data: st.DataObject
) -> None:
    raw = bytearray(good_glb.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, min(len(raw), 6000) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.glb"
    path.write_bytes(raw)
    try:
        model = load_target(path)
    except InputError:
        return
    assert_sound(model)


def test_missing_bundled_file_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "assets_dir", lambda: tmp_path)
    with pytest.raises(InputError, match=r"aura\.json.*satgen targets build"):
        load_target("aura")
    glb = build.glb_bytes(little())
    (tmp_path / "aura.json").write_text(json.dumps(build.card(little(), glb)))
    with pytest.raises(InputError, match=r"aura\.glb.*satgen targets build"):
        load_target("aura")
    (tmp_path / "aura.glb").write_bytes(glb[:-1000])
    with pytest.raises(InputError, match=r"aura\.glb.*truncated"):
        load_target("aura")
    (tmp_path / "aura.glb").write_bytes(glb)
    model = load_target("aura")
    assert_sound(model)
    assert model.landmarks == {"corner": (0.5, 0.5, 0.98)}
    shutil.rmtree(tmp_path)


def test_shapes_survive_the_round_trip_closed(tmp_path: Path) -> None:
    path = tmp_path / "little.glb"
    path.write_bytes(build.glb_bytes(little()))
    model = load_target(path)
    for part in little().parts:
        mine = model.faces[model.face_part == part.label]
        solid = trimesh.Trimesh(model.vertices, mine)
        solid.merge_vertices(merge_tex=True, merge_norm=True)
        solid.remove_unreferenced_vertices()
        assert solid.is_watertight
        assert solid.volume == pytest.approx(
            sum(trimesh.Trimesh(x.vertices, x.faces).volume for _, x in part.pieces), rel=1e-4
        )
    assert s.CELLS_PER_TILE == 16


# --- what is turned about -------------------------------------------------------------------------


def _brightness(model: TargetModel) -> tuple[float, set[float]]:
    """Mean of a picture, and depths of what it shows, to a tenth of the radius."""
    import satgen

    frame = satgen.render_frame(model, 1500, size=48)
    shown = frame.depth[frame.mask]
    distance = np.linalg.norm(frame.pose[:3, 3])
    return float(frame.rgb[frame.mask].mean()), set(np.round(shown - distance, 1).tolist())


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("winding", [True, False])
@pytest.mark.parametrize("normals", [True, False])
def test_a_ball_turned_inside_out_looks_as_the_ball(
    double: bool, winding: bool, normals: bool, tmp_path: Path
) -> None:
    """Whatever of winding and normals points inward, the outside is seen, and lit."""
    ball = trimesh.creation.icosphere(2)
    arrays = {
        "POSITION": ball.vertices.astype(np.float32),
        "NORMAL": ball.vertices.astype(np.float32) * (1 if normals else -1),
        "indices": ball.faces[:, :: 1 if winding else -1].astype(np.uint16).reshape(-1),
    }
    file = Gltf(**arrays, TEXCOORD_0=None)
    file.doc["materials"][0]["doubleSided"] = double
    model = load_target(file.write(tmp_path))
    bright, depths = _brightness(model)
    assert bright > 80
    assert max(depths) <= 0.1


@pytest.mark.parametrize("place", [3.0, 1e7, 1e30, np.nan, np.inf])
def test_vertices_of_no_triangle_have_no_say(place: float, tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(2)
    points = np.vstack([ball.vertices, np.full((1, 3), place)]).astype(np.float32)
    index = ball.faces.astype(np.uint16).reshape(-1)
    models = []
    for name, position in (("more", points), ("plain", points[:-1])):
        file = Gltf(POSITION=position, NORMAL=None, TEXCOORD_0=None, indices=index)
        models.append(load_target(file.write(tmp_path, f"{name}.gltf")))
    for attribute in ("vertices", "faces", "normals"):
        assert np.array_equal(*(getattr(model, attribute) for model in models))


def test_triangles_against_the_winding_of_others_are_lit(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(2)
    faces = ball.faces.copy()
    faces[::3] = faces[::3, ::-1]
    written = {
        "POSITION": ball.vertices.astype(np.float32),
        "NORMAL": ball.vertices.astype(np.float32),
        "indices": faces.astype(np.uint16).reshape(-1),
    }
    mixed = load_target(Gltf(**written, TEXCOORD_0=None).write(tmp_path, "mixed.gltf"))
    written["indices"] = ball.faces.astype(np.uint16).reshape(-1)
    whole = load_target(Gltf(**written, TEXCOORD_0=None).write(tmp_path, "whole.gltf"))
    assert _brightness(mixed)[0] == pytest.approx(_brightness(whole)[0], rel=0.01)
