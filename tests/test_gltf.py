"""Kinds of glTF files that users have: each gives, through a render, what it says or a warning."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import DracoPy
import meshoptimizer
import numpy as np
import pytest
from numpy.typing import NDArray

import satgen
from satgen.camera import Camera
from satgen.colour import srgb_decode
from satgen.errors import InputError
from satgen.options import RenderOptions
from satgen.rendering.renderer import Renderer
from satgen.scene import scene_of
from satgen.targets.load import load_target
from tests.gltf_files import Gltf, cube_arrays
from tests.scenes import look

HALVES = np.where(cube_arrays()["POSITION"][:, :1] > 0, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def red(pixels: NDArray[np.uint8]) -> bool:
    """Whether pixels (K, 3) are red in the mean."""
    r, g, b = pixels.astype(float).mean(axis=0)
    return bool(r > 60 and max(g, b) < 0.25 * r)


def seen(path: Path, index: int = 4000, **options: object) -> NDArray[np.uint8]:
    """Colours (K, 3) of the pixels that show the target, of one frame."""
    frame = satgen.render_frame(path, index, size=96, **options)  # type: ignore[arg-type]
    return np.asarray(frame.rgb)[frame.parts > 0]


# --- vertex colours -------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("kind", ["f4", "u1", "u2"])
def test_vertex_colours_are_drawn(kind: str, alpha: bool, tmp_path: Path) -> None:
    colours = np.tile((1.0, 0.0, 0.0, 1.0), (24, 1))[:, : 4 if alpha else 3]
    if kind != "f4":
        colours = np.round(colours * np.iinfo(kind).max).astype(kind)
    file = Gltf()
    file.cube["attributes"]["COLOR_0"] = file.accessor(colours, normalized=kind != "f4")
    path = file.write(tmp_path)
    assert red(seen(path))
    assert load_target(path).warnings == ()


def test_vertex_colours_are_linear_and_go_evenly_between_vertices(tmp_path: Path) -> None:
    """Between black and white vertices the light that is sent back grows evenly with the place."""
    camera = Camera.from_fov(96, 96, 20.0)
    pose = look(50.0, 30.0, 12.0)
    shown = []
    for level in (0.0, 1.0, None):
        x = cube_arrays()["POSITION"][:, :1]
        grey = (x + 1) / 2 if level is None else np.full_like(x, level)
        path = Gltf(COLOR_0=np.repeat(grey, 3, axis=1)).write(tmp_path)
        with Renderer(load_target(path, up="z"), camera, float32=True) as renderer:
            shown.append(renderer.render(pose, look(50.0, 60.0, 1.0)[:3, :3] @ (0.6, 0.0, 0.8)))
    black, white, ramp = (view.linear.mean(axis=2).astype(float) for view in shown)
    x0, y0, w, h = shown[0].window
    whole = np.zeros((h, w), dtype=bool).reshape(-1)
    whole[shown[0].pixels[shown[0].coverage == 1.0]] = True
    whole = whole.reshape(h, w) & (white > black + 0.05)
    rays = camera.rays()[y0 : y0 + h, x0 : x0 + w]
    points = (rays * shown[0].depth[..., None] - pose[:3, 3]) @ pose[:3, :3]
    share = (ramp - black) / np.maximum(white - black, 1e-9)
    # away from the cube's edges, where a pixel sees two sides
    inner = whole & (np.sort(np.abs(points), axis=2)[..., 1] < 0.9)
    assert inner.sum() > 200
    assert np.ptp(points[inner][:, 0]) > 1.5
    assert np.abs(share - (points[..., 0] + 1) / 2)[inner].max() < 2e-3


def test_white_vertex_colours_change_no_bit_and_cost_nothing(tmp_path: Path) -> None:
    plain = Gltf().write(tmp_path, "plain.gltf")
    white = Gltf(COLOR_0=np.ones((24, 4), dtype=np.float32)).write(tmp_path, "white.gltf")
    assert load_target(white).colours is None
    one, other = (satgen.render_frame(p, 4000, size=96) for p in (plain, white))
    for name in ("rgb", "depth", "parts"):
        digests = [hashlib.sha256(getattr(f, name).tobytes()).digest() for f in (one, other)]
        assert digests[0] == digests[1]


def test_a_coloured_part_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    file = Gltf()
    file.doc["meshes"].append({"primitives": [file.primitive(COLOR_0=HALVES)]})
    file.doc["nodes"].append({"mesh": 1, "name": "tinted", "translation": [0, 3, 0]})
    file.doc["scenes"][0]["nodes"] = [0, 1]
    frame = satgen.render_frame(file.write(tmp_path), 4000, size=96)
    white = np.asarray(frame.rgb)[frame.parts == 1].astype(float)
    assert np.quantile(np.ptp(white, axis=1), 0.95) == 0  # but where they meet in a pixel
    assert np.ptp(np.asarray(frame.rgb)[frame.parts == 2].astype(float), axis=1).mean() > 40


@pytest.mark.parametrize(
    "colours",
    [np.ones((23, 3)), np.ones((24, 2)), np.full((24, 3), np.nan)],
    ids=["too few", "two channels", "NaN"],
)
def test_broken_vertex_colours_are_refused(colours: NDArray[np.float64], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="COLOR_0"):
        load_target(Gltf(COLOR_0=colours).write(tmp_path))


# --- what is read ---------------------------------------------------------------------------------


def placed(file: Gltf) -> Gltf:
    """Three cubes by EXT_mesh_gpu_instancing, half as large, the second turned by 45°."""
    turn = np.array([(0, 0, 0, 1), (0, 0, np.sin(np.pi / 8), np.cos(np.pi / 8)), (0, 0, 0, 1)])
    file.doc["nodes"][0]["extensions"] = {
        "EXT_mesh_gpu_instancing": {
            "attributes": {
                "TRANSLATION": file.accessor([(0.0, 0, 0), (4, 0, 0), (8, 0, 0)]),
                "ROTATION": file.accessor(turn),
                "SCALE": file.accessor(np.full((3, 3), 0.5)),
            }
        }
    }
    return file


def test_instances_are_each_drawn_where_they_are(tmp_path: Path) -> None:
    file = placed(Gltf())
    file.use("EXT_mesh_gpu_instancing", required=True)
    file.doc["nodes"][0]["scale"] = [2, 2, 2]
    model = load_target(file.write(tmp_path), up="z")
    assert len(model.faces) == 36
    corners = model.vertices[model.faces].reshape(3, -1, 3)
    middles = (corners.min(axis=1) + corners.max(axis=1)) / 2
    widths = np.ptp(corners, axis=1)
    assert np.allclose(middles, [(0, 0, 0), (8, 0, 0), (16, 0, 0)])
    assert np.allclose(widths[0], 2)
    assert np.allclose(widths[1], (2 * np.sqrt(2), 2 * np.sqrt(2), 2), atol=1e-6)
    assert model.warnings == ()


def skinned() -> Gltf:
    """A cube half of which hangs on a joint that is three times as wide and 1 m up."""
    x = cube_arrays()["POSITION"][:, 0]
    file = Gltf(
        JOINTS_0=np.column_stack([x > 0, np.zeros((24, 3))]).astype(np.uint8),
        WEIGHTS_0=np.tile(np.float32((1, 0, 0, 0)), (24, 1)),
    )
    file.doc["nodes"][0].update(skin=0, translation=[100, 0, 0])
    file.doc["nodes"] += [{"children": [2]}, {"translation": [0, 0, 1], "scale": [3, 1, 1]}]
    file.doc["scenes"][0]["nodes"] = [0, 1]
    # half a metre down before the joint moves it
    down = np.eye(4)
    down[2, 3] = -0.5
    matrices = np.stack([np.eye(4).T.ravel(), down.T.ravel()])
    file.doc["skins"] = [{"joints": [1, 2], "inverseBindMatrices": file.accessor(matrices)}]
    return file


def test_skins_are_drawn_in_their_rest_pose(tmp_path: Path) -> None:
    model = load_target(skinned().write(tmp_path), up="z")
    low, high = model.vertices.min(axis=0), model.vertices.max(axis=0)
    assert np.allclose(low, (-1, -1, -1))
    assert np.allclose(high, (3, 1, 1.5))


def test_morph_targets_have_their_default_weights(tmp_path: Path) -> None:
    for weights, width in (([], 2.0), ([0.0], 2.0), ([0.5], 3.0)):
        file = Gltf()
        points = cube_arrays()["POSITION"]
        file.cube["targets"] = [{"POSITION": file.accessor(points * (1, 0, 0))}]
        file.doc["meshes"][0]["weights"] = weights
        assert load_target(file.write(tmp_path)).extents[0] == pytest.approx(width)
        file.doc["nodes"][0]["weights"] = [1.0]
        assert load_target(file.write(tmp_path)).extents[0] == pytest.approx(4.0)


def test_a_primitive_takes_only_its_own_of_shared_vertices(tmp_path: Path) -> None:
    """As CAD exporters do: many primitives by one long list of positions."""
    file = Gltf()
    shared = file.cube["attributes"]
    sides = [file.accessor(np.arange(6, dtype=np.uint16) % 4 + 4 * k) for k in range(6)]
    file.doc["meshes"][0]["primitives"] = [
        {"attributes": shared, "indices": side, "material": 0} for side in sides
    ]
    assert len(load_target(file.write(tmp_path)).vertices) == 24


def test_textures_are_read_from_webp(tmp_path: Path) -> None:
    file = Gltf()
    number = file.texture(np.full((4, 4, 3), (200, 0, 0)), "WEBP")
    file.doc["textures"][number] = {"extensions": {"EXT_texture_webp": {"source": 0}}}
    file.use("EXT_texture_webp", required=True)
    file.material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": number}
    path = file.write(tmp_path)
    assert red(seen(path))
    assert load_target(path).warnings == ()


@pytest.mark.parametrize(
    ("diffuse", "specular", "base", "metallic"),
    [
        ((0.5, 0.2, 0.1), (0.04, 0.04, 0.04), (0.5, 0.2, 0.1), 0.0),
        ((0.0, 0.0, 0.0), (0.9, 0.6, 0.2), (0.9, 0.6, 0.2), 1.0),
    ],
    ids=["paint", "gold"],
)
@pytest.mark.parametrize("textured", [False, True])
def test_specular_glossiness_becomes_metallic_roughness(
    diffuse: tuple[float, ...],
    specular: tuple[float, ...],
    base: tuple[float, ...],
    metallic: float,
    textured: bool,
    tmp_path: Path,
) -> None:
    """Of a dielectric the diffuse colour is left, of a metal the specular."""
    file = Gltf()
    entry: dict[str, Any] = {
        "diffuseFactor": [*diffuse, 1],
        "specularFactor": list(specular),
        "glossinessFactor": 0.75,
    }
    if textured:
        number = file.texture(np.full((4, 4, 4), 255))
        entry.update(diffuseTexture={"index": number}, specularGlossinessTexture={"index": number})
    del file.material["pbrMetallicRoughness"]
    file.material["extensions"] = {"KHR_materials_pbrSpecularGlossiness": entry}
    (material,) = load_target(file.write(tmp_path)).materials
    got, metal, rough = np.array(material.base_color), material.metallic, material.roughness
    if material.base_color_image is not None and material.metallic_roughness_image is not None:
        got = got * srgb_decode(material.base_color_image[0, 0] / 255.0)
        rough *= material.metallic_roughness_image[0, 0, 1] / 255.0
        metal *= material.metallic_roughness_image[0, 0, 2] / 255.0
    assert np.allclose(got, base, atol=0.04)
    assert metal == pytest.approx(metallic, abs=0.06)
    assert rough == pytest.approx(0.25, abs=0.01)


# --- what is compressed ---------------------------------------------------------------------------


def draco() -> Gltf:
    """The cube with everything in one blob of Draco's."""
    arrays = cube_arrays()
    raw = DracoPy.encode(
        arrays["POSITION"],
        arrays["indices"].astype(np.uint32).reshape(-1, 3),
        normals=arrays["NORMAL"].astype(np.float64),
        tex_coord=arrays["TEXCOORD_0"].astype(np.float64),
        quantization_bits=14,
    )
    known = {e["attribute_type"]: e["unique_id"] for e in DracoPy.decode(raw).attributes}
    file = Gltf()
    for accessor in file.doc["accessors"]:
        del accessor["bufferView"]
    file.cube["extensions"] = {
        "KHR_draco_mesh_compression": {
            "bufferView": file.view(raw),
            "attributes": {"POSITION": known[0], "NORMAL": known[1], "TEXCOORD_0": known[3]},
        }
    }
    file.use("KHR_draco_mesh_compression", required=True)
    return file


def meshopt() -> Gltf:
    """The cube with all its views compressed by meshopt, of a buffer that is not there."""
    file = Gltf()
    whole = bytes(file.bytes)
    length = len(whole)
    file.bytes = bytearray()
    views = file.doc["bufferViews"]
    accessors = file.doc["accessors"]
    for k in range(len(views)):
        raw = whole[views[k]["byteOffset"] :][: views[k]["byteLength"]]
        count = accessors[k]["count"]
        stride = len(raw) // count
        if accessors[k]["type"] == "SCALAR":
            mode = "TRIANGLES"
            index = np.frombuffer(raw, np.uint16).astype(np.uint32)
            packed = bytes(meshoptimizer.encode_index_buffer(index, count, 24))
        else:
            mode = "ATTRIBUTES"
            rows = np.frombuffer(raw, np.float32).reshape(count, -1)
            packed = bytes(meshoptimizer.encode_vertex_buffer(rows, count, stride))
        place = file.view(packed)
        entry = file.doc["bufferViews"].pop(place)
        views[k]["buffer"] = 1
        views[k]["extensions"] = {
            "EXT_meshopt_compression": {
                **entry,
                "mode": mode,
                "count": count,
                "byteStride": stride,
            }
        }
    data = base64.b64encode(bytes(file.bytes)).decode()
    file.doc["buffers"] = [
        {"uri": f"data:;base64,{data}", "byteLength": len(file.bytes)},
        {"byteLength": length, "extensions": {"EXT_meshopt_compression": {"fallback": True}}},
    ]
    file.use("EXT_meshopt_compression", required=True)
    return file


@pytest.mark.parametrize("make", [draco, meshopt])
def test_compressed_files_are_drawn_as_plain_ones(make: Any, tmp_path: Path) -> None:
    one = load_target(make().write(tmp_path, "packed.gltf"))
    other = load_target(Gltf().write(tmp_path, "plain.gltf"))
    assert one.warnings == ()
    assert np.allclose(one.extents, 2.0, atol=1e-3)
    for model in (one, other):
        assert len(model.faces) == 12
    inside = [
        np.sort(np.linalg.norm(m.vertices[m.faces].mean(axis=1), axis=1)) for m in (one, other)
    ]
    assert np.allclose(*inside, atol=1e-3)
    along = np.einsum("fki,fi->fk", one.normals[one.faces], one.vertices[one.faces].mean(axis=1))
    assert along.min() > 0.9


def test_all_that_compressed_files_lack_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = draco()
    file.doc["bufferViews"].append(meshopt().doc["bufferViews"][0])
    file.doc["buffers"] = [{}, {"byteLength": 1}]
    path = file.write(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(InputError) as caught:
        load_target(path)
    line = str(caught.value)
    assert "packages DracoPy and meshoptimizer" in line
    assert "pip install 'satgen[meshes]'" in line
    assert "\n" not in line


# --- what is told ---------------------------------------------------------------------------------


def told(file: Gltf, folder: Path) -> tuple[str, ...]:
    return load_target(file.write(folder)).warnings


def test_what_a_material_has_that_is_not_drawn_is_told_once(tmp_path: Path) -> None:
    file = Gltf()
    clear = {"extensions": {"KHR_materials_clearcoat": {"clearcoatFactor": 1}}}
    file.doc["materials"] += [{**clear}, {**clear}, {**clear}]
    for k in (1, 2):
        file.doc["meshes"].append({"primitives": [{**file.cube, "material": k}]})
        file.doc["nodes"].append({"mesh": k, "translation": [4 * k, 0, 0]})
    file.doc["scenes"][0]["nodes"] = [0, 1, 2]
    # the third is used by nothing
    assert told(file, tmp_path) == ("ignores KHR_materials_clearcoat of 2 materials",)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("KHR_materials_clearcoat", {"clearcoatFactor": 0, "clearcoatTexture": {"index": 0}}),
        ("KHR_materials_ior", {"ior": 1.5}),
        ("KHR_materials_specular", {}),
        ("KHR_materials_transmission", {"transmissionFactor": 0}),
    ],
)
def test_extensions_that_change_nothing_are_not_told(
    name: str, entry: dict[str, Any], tmp_path: Path
) -> None:
    file = Gltf()
    file.material["extensions"] = {name: entry}
    file.use(name, required=True)
    assert told(file, tmp_path) == ()


@pytest.mark.parametrize(
    ("where", "key", "value", "line"),
    [
        ("material", "occlusionTexture", {"index": 0}, "ignores occlusionTexture of 1 material"),
        ("document", "animations", [{}, {}], "ignores 2 animations: all is drawn at rest"),
        ("node", "light", 3, "ignores light of 1 node"),
        ("primitive", "line", 3, "ignores line of 1 primitive"),
        (
            "node",
            "extensions",
            {"KHR_lights_punctual": {}},
            "ignores KHR_lights_punctual of 1 node",
        ),
    ],
)
def test_every_unknown_key_is_told(
    where: str, key: str, value: Any, line: str, tmp_path: Path
) -> None:
    file = Gltf()
    things = {
        "material": file.material,
        "document": file.doc,
        "node": file.doc["nodes"][0],
        "primitive": file.cube,
    }
    things[where][key] = value
    assert told(file, tmp_path) == (line,)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("extras", {"a": 1}),
        ("extensions", {"EXT_mesh_features": {"featureIds": []}}),
    ],
)
def test_what_has_no_say_in_a_picture_is_not_told(key: str, value: Any, tmp_path: Path) -> None:
    file = Gltf()
    file.cube[key] = value
    file.cube["attributes"]["_BATCH"] = file.cube["attributes"]["POSITION"]
    file.doc["cameras"] = [{}]
    file.doc["nodes"][0]["camera"] = 0
    assert told(file, tmp_path) == ()


def test_required_extensions_are_refused_where_they_may_change_the_geometry(tmp_path: Path) -> None:
    for key, thing in (("primitive", None), ("node", None), ("material", "told"), ("none", "told")):
        file = Gltf()
        things = {"primitive": file.cube, "node": file.doc["nodes"][0], "material": file.material}
        things.get(key, {})["extensions"] = {"EXT_new": {}}
        file.use("EXT_new", required=True)
        if thing is None:
            with pytest.raises(InputError, match="needs the extension EXT_new, which is not"):
                told(file, tmp_path)
        else:
            (line,) = told(file, tmp_path)
            assert "EXT_new" in line


def test_hidden_nodes_are_not_drawn(tmp_path: Path) -> None:
    file = Gltf()
    file.doc["nodes"].append({"mesh": 0, "translation": [9, 0, 0], "children": [2]})
    file.doc["nodes"].append({"mesh": 0, "translation": [9, 0, 0]})
    file.doc["scenes"][0]["nodes"] = [0, 1]
    assert load_target(file.write(tmp_path)).extents[0] == 20
    file.doc["nodes"][1]["extensions"] = {"KHR_node_visibility": {"visible": False}}
    assert load_target(file.write(tmp_path)).extents[0] == 2


# --- a stranger's file ----------------------------------------------------------------------------


WRONG: list[tuple[str, Any, str]] = [
    ("nodes.0.scale", [1, 2], "nodes[0].scale is a list of 2, must be a list of 3 numbers"),
    ("nodes.0.scale", "big", 'nodes[0].scale is "big", must be a list of 3 numbers'),
    ("nodes.0.scale", [1, 2, True], "must be a list of 3 numbers"),
    ("nodes.0.translation", [1e999, 0, 0], "is no number there"),
    ("nodes.0.translation", [float("nan"), 0, 0], "is no number there"),
    ("nodes.0.mesh", -1, "nodes[0].mesh is -1, must be a place in meshes"),
    ("nodes.0.mesh", 1, "nodes[0].mesh is 1, but there are 1 meshes"),
    ("nodes.0.mesh", 0.5, "nodes[0].mesh is 0.5, must be a place in meshes"),
    ("nodes.0.mesh", None, "nodes[0].mesh is null, must be a place in meshes"),
    ("nodes.0.children", [0], "node 0 hangs in more than one place"),
    ("nodes.0.name", 7, "nodes[0].name is 7, must be a text"),
    ("nodes.0", "x", 'nodes[0] is "x", must be an object'),
    ("nodes", {}, "nodes is an object, must be a list"),
    ("scene", 3, "scene is 3, but there are 1 scenes"),
    ("asset", [], "asset is a list of 0, must be an object"),
    ("asset.version", 2.0, "asset.version is 2.0, must be a text"),
    ("accessors.0.count", -3, "accessors[0].count is -3, must be a whole number from 0"),
    ("accessors.0.count", 10**30, "must be a whole number from 0"),
    ("accessors.0.count", 10**9, "accessors[0] runs past its buffer"),
    ("accessors.0.type", "VEC9", "must be one of SCALAR"),
    ("accessors.0.type", "VEC2", "POSITION of 2 numbers"),
    ("accessors.0.byteOffset", -4, "must be a whole number from 0"),
    ("accessors.0.componentType", True, "must be one of 5120"),
    ("meshes.0.primitives.0.indices", 2, "indices are not whole numbers"),
    ("accessors.3.byteOffset", 10**12, "runs past its buffer"),
    ("bufferViews.0.byteLength", "all", "must be a whole number from 0"),
    ("bufferViews.0.byteOffset", 10**9, "runs past its buffer"),
    ("bufferViews.0.byteStride", 1, "rows of 12 bytes every 1 bytes"),
    ("materials.0.pbrMetallicRoughness.roughnessFactor", "one", "must be a number"),
    ("materials.0.pbrMetallicRoughness.baseColorFactor", [1, 1, 1], "list of 4 numbers"),
    ("materials.0.alphaMode", "GLASS", "must be one of OPAQUE, MASK, BLEND"),
    ("materials.0.normalTexture", {"index": 0}, "but there are 0 textures"),
    ("materials.0.normalTexture", {}, "materials[0].normalTexture.index is missing"),
    ("meshes.0.primitives.0.mode", 9, "must be one of 0, 1, 2"),
    ("meshes.0.primitives.0.attributes", [0], "must be an object"),
    ("meshes.0.primitives.0.attributes.POSITION", 99, "but there are 4 accessors"),
    ("meshes.0.primitives.0.targets", [{"POSITION": -1}], "must be a place in accessors"),
    ("meshes.0.primitives", {}, "must be a list"),
    ("buffers.0.byteLength", 10**9, "truncated"),
    ("extensionsRequired", [7], "must be a list of texts"),
]


def test_every_wrong_value_is_a_line_that_says_where(tmp_path: Path) -> None:
    for keys, value, line in WRONG:
        doc = json.loads(Gltf().text())
        doc["meshes"][0]["weights"] = [1.0]
        *path, last = [int(k) if k.isdigit() else k for k in keys.split(".")]
        thing = doc
        for key in path:
            thing = thing[key]
        thing[last] = value
        (tmp_path / "wrong.gltf").write_text(json.dumps(doc))
        with pytest.raises(InputError) as caught:
            load_target(tmp_path / "wrong.gltf")
        assert line in str(caught.value), (keys, value)
        assert "\n" not in str(caught.value)


def test_names_are_made_fit_to_print(tmp_path: Path) -> None:
    file = Gltf()
    file.doc["nodes"][0]["name"] = "a\0\x1b[31m\ud800" + "x" * 1000
    model = load_target(file.write(tmp_path))
    (part,) = model.parts
    assert part.name.isprintable()
    assert len(part.name) <= 200
    part.name.encode()


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["a", "a", "b"], ["a", "a (2)", "b"]),
        (["a", "a", "a (2)"], ["a", "a (3)", "a (2)"]),
        (["a (2)", "a", "a", "a", "a (2)"], ["a (2)", "a", "a (3)", "a (4)", "a (2) (2)"]),
    ],
)
def test_no_two_parts_have_one_name(names: list[str], shown: list[str], tmp_path: Path) -> None:
    file = Gltf()
    file.doc["nodes"] = [
        {"mesh": 0, "name": name, "translation": [3 * k, 0, 0]} for k, name in enumerate(names)
    ]
    file.doc["scenes"][0]["nodes"] = list(range(len(names)))
    assert [part.name for part in load_target(file.write(tmp_path)).parts] == shown


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.gltf"
    path.write_text('{"asset": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(InputError, match="deep"):
        load_target(path)


def test_a_chain_of_many_nodes_is_walked(tmp_path: Path) -> None:
    file = Gltf()
    file.doc["nodes"] = [{"children": [k + 1]} for k in range(20_000)]
    file.doc["nodes"].append({"mesh": 0})
    assert len(load_target(file.write(tmp_path)).faces) == 12


def test_a_file_shows_no_more_than_it_can_hold(tmp_path: Path) -> None:
    """Nothing of these takes gigabytes or minutes; each is refused, or draws what is there."""
    zeros = Gltf()
    for accessor in zeros.doc["accessors"][:3]:
        del accessor["bufferView"]
        accessor["count"] = 3_000_000
    with pytest.raises(InputError, match="no triangles"):
        load_target(zeros.write(tmp_path))
    for accessor in zeros.doc["accessors"][:3]:
        accessor["count"] = 500_000_000
    with pytest.raises(InputError):
        load_target(zeros.write(tmp_path))
    shared = Gltf(
        POSITION=np.random.default_rng(0).random((30_000, 3)),
        NORMAL=None,
        TEXCOORD_0=None,
        indices=None,
    )
    shared.doc["meshes"][0]["primitives"] *= 600
    with pytest.raises(InputError, match="far more than its data could hold"):
        load_target(shared.write(tmp_path))
    copies = placed(Gltf())
    count = 200_000
    copies.doc["meshes"][0]["primitives"] *= 3
    copies.doc["accessors"].append({"componentType": 5126, "type": "VEC3", "count": count})
    places = copies.doc["nodes"][0]["extensions"]["EXT_mesh_gpu_instancing"]["attributes"]
    places.clear()
    places["TRANSLATION"] = len(copies.doc["accessors"]) - 1
    with pytest.raises(InputError, match="far more than its data could hold"):
        load_target(copies.write(tmp_path))


def test_a_file_that_only_claims_to_be_satgens_is_read_as_any_other(tmp_path: Path) -> None:
    for extras in ({}, {"label": "x", "class": []}, {"label": 1, "class": "bus"}):
        file = Gltf()
        file.doc["asset"].update(generator="satgen", extras={"landmarks": {"a": [1, 2, None]}})
        file.doc["nodes"][0]["extras"] = extras
        (part,) = load_target(file.write(tmp_path)).parts
        assert part.cls == "part"


def test_gltf_is_y_up_unless_said(tmp_path: Path) -> None:
    file = Gltf()
    file.doc["nodes"][0]["scale"] = [1, 3, 2]
    path = file.write(tmp_path)
    assert np.allclose(load_target(path).extents, (2, 4, 6))
    assert np.allclose(load_target(path, up="z").extents, (2, 6, 4))
    scenes = [scene_of(RenderOptions(target=str(path), up=up)) for up in (None, "y", "z")]
    assert [scene.config.target.up for scene in scenes] == ["y", "y", "z"]
    assert scenes[0].config.identity() == scenes[1].config.identity()
