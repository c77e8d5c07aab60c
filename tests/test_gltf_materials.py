"""What glTF materials ask of the picture: glow, cutting out, wraps, coordinates, no light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import satgen
from satgen.camera import Camera
from satgen.colour import srgb_decode
from satgen.dataset import SHADOW_LABELS
from satgen.errors import InputError
from satgen.model import TargetModel
from satgen.options import RenderOptions
from satgen.rendering.renderer import RenderedView, Renderer
from satgen.scene import scene_of
from satgen.targets.load import load_target
from tests.gltf_files import Gltf

RED, BLUE = (220, 0, 0, 255), (0, 0, 220, 255)
CAMERA = Camera.from_fov(128, 128, 20.0)
DOWN = np.diag([1.0, -1.0, -1.0, 1.0])
"""Looks along the target's -z, its x to the right and its y up."""
DOWN[2, 3] = 12.0
SUN = np.array([0.0, 0.0, -1.0])
"""Behind the camera."""


def halves(left: tuple[int, ...], right: tuple[int, ...], side: int = 64) -> NDArray[np.uint8]:
    """A texture of two colours side by side."""
    picture = np.empty((side, side, 4), dtype=np.uint8)
    picture[:, : side // 2], picture[:, side // 2 :] = left, right
    return picture


def sheet(z: float = 0.0, half: float = 1.0, **more: Any) -> dict[str, Any]:
    """Attributes of a square in a plane of z, texture coordinates 0..1, v down, facing +z."""
    xy = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float32)
    return {
        "POSITION": np.column_stack([half * xy, np.full(4, z)]),
        "NORMAL": np.tile((0.0, 0.0, 1.0), (4, 1)),
        "TEXCOORD_0": np.column_stack([(xy[:, 0] + 1) / 2, (1 - xy[:, 1]) / 2]),
        "indices": np.array([0, 1, 2, 0, 2, 3], dtype=np.uint16),
        **more,
    }


def textured(picture: NDArray[np.uint8], sampler: dict[str, int] | None = None) -> Gltf:
    """A sheet with a texture for its base colour."""
    file = Gltf(**sheet())
    number = file.texture(picture, sampler=sampler)
    file.material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": number}
    return file


def loaded(file: Gltf, folder: Path) -> TargetModel:
    return load_target(file.write(folder), up="z")


def shown(
    model: TargetModel,
    camera: Camera = CAMERA,
    pose: NDArray[np.float64] = DOWN,
    sun: NDArray[np.float64] = SUN,
) -> RenderedView:
    with Renderer(model, camera, float32=True) as renderer:
        return renderer.render(pose, sun, shadow=True)


def columns(model: TargetModel) -> str:
    """What colour a sheet has at an eighth, three, five and seven eighths of its width."""
    view = shown(model)
    image, (_, w) = view.linear, view.depth.shape
    row = image[image.shape[0] // 2]
    return "".join("rb"[int(row[int(w * k / 8)].argmax() == 2)] for k in (1, 3, 5, 7))


# --- where textures lie ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrap", "colours"), [(10497, "rbrb"), (33071, "rbbb"), (33648, "rbbr"), (None, "rbrb")]
)
@pytest.mark.parametrize("shift", [0.0, 2.0, -4.0])
def test_samplers_wrap_as_they_say(
    wrap: int | None, colours: str, shift: float, tmp_path: Path
) -> None:
    file = textured(halves(RED, BLUE), None if wrap is None else {"wrapS": wrap, "wrapT": wrap})
    uv = sheet()["TEXCOORD_0"] * (2.0, 1.0) + (shift, 0.0)
    file.cube["attributes"]["TEXCOORD_0"] = file.accessor(uv)
    if wrap == 33071 and shift:
        colours = "bbbb" if shift > 0 else "rrrr"
    assert columns(loaded(file, tmp_path)) == colours


def test_a_clamped_edge_takes_nothing_from_the_other_side(tmp_path: Path) -> None:
    clamped = {"wrapS": 33071, "wrapT": 33071}
    view = shown(loaded(textured(halves(RED, BLUE, 8), clamped), tmp_path))
    edge = view.linear[view.depth.shape[0] // 2, 1]
    assert edge[2] < 0.02 + 0.1 * edge[0]


@pytest.mark.parametrize(
    ("change", "colours"),
    [
        ({"scale": [0.45, 1]}, "rrrr"),
        ({"scale": [0.45, 1], "offset": [0.52, 0]}, "bbbb"),
        ({"scale": [2, 1]}, "rbrb"),
        ({"rotation": np.pi, "offset": [1, 1]}, "bbrr"),
        ({"rotation": np.pi / 2}, "same along u"),
    ],
)
def test_texture_transforms_are_applied(
    change: dict[str, Any], colours: str, tmp_path: Path
) -> None:
    file = textured(halves(RED, BLUE))
    reference = file.material["pbrMetallicRoughness"]["baseColorTexture"]
    reference["extensions"] = {"KHR_texture_transform": change}
    file.use("KHR_texture_transform", required=True)
    found = columns(loaded(file, tmp_path))
    if colours == "same along u":
        assert len(set(found)) == 1
    else:
        assert found == colours


def test_textures_may_lie_by_two_sets_of_coordinates(tmp_path: Path) -> None:
    """The base colour by one, the glow by the other, and the other way round."""
    swapped = sheet()["TEXCOORD_0"] * (-1.0, 1.0) + (1.0, 0.0)
    for base, glow, colours in ((0, 1, "bbrr"), (1, 0, "rrbb")):
        file = textured(halves((0, 0, 0, 255), (0, 0, 0, 255)))
        file.cube["attributes"]["TEXCOORD_1"] = file.accessor(swapped)
        reference = file.material["pbrMetallicRoughness"]["baseColorTexture"]
        reference["texCoord"] = base
        number = file.texture(halves(RED, BLUE))
        file.material["emissiveTexture"] = {"index": number, "texCoord": glow}
        file.material["emissiveFactor"] = [1, 1, 1]
        assert columns(loaded(file, tmp_path)) == colours
    assert load_target(tmp_path / "model.gltf").warnings == ()


def test_a_texture_whose_coordinates_are_missing_is_told(tmp_path: Path) -> None:
    file = textured(halves(RED, BLUE))
    file.material["pbrMetallicRoughness"]["baseColorTexture"]["texCoord"] = 1
    model = loaded(file, tmp_path)
    assert model.materials[0].base_color_image is None
    assert model.warnings == (
        "draws 1 primitive without textures, for want of texture coordinates",
    )


def test_coordinates_that_are_not_finite_are_told_and_spoil_no_others(tmp_path: Path) -> None:
    flat = sheet()
    whole = columns(loaded(textured(halves(RED, BLUE)), tmp_path))
    uv = flat["TEXCOORD_0"].copy()
    uv[np.all(uv == 0.0, axis=1)] = np.nan
    file = textured(halves(RED, BLUE))
    file.cube["attributes"]["TEXCOORD_0"] = file.accessor(uv)
    model = loaded(file, tmp_path)
    assert model.warnings == (
        "takes 0 for 1 texture coordinate of material 'm': not finite (NaN or inf)",
    )
    assert columns(model) == whole


def test_a_texture_of_no_glow_has_no_say_in_the_others(tmp_path: Path) -> None:
    whole = columns(loaded(textured(halves(RED, BLUE)), tmp_path))
    file = textured(halves(RED, BLUE))
    clamped = file.texture(halves(BLUE, RED), sampler={"wrapS": 33071})
    file.material["emissiveTexture"] = {"index": clamped, "texCoord": 1}
    for factor in (None, [0, 0, 0]):
        if factor is not None:
            file.material["emissiveFactor"] = factor
        model = loaded(file, tmp_path)
        assert model.warnings == ()
        assert columns(model) == whole


# --- light of their own ---------------------------------------------------------------------------


def test_glow_is_its_texture_times_factor_and_strength(tmp_path: Path) -> None:
    file = Gltf(**sheet())
    plain = shown(loaded(file, tmp_path)).linear
    number = file.texture(halves((0, 0, 0, 255), (188, 188, 188, 255)))
    file.material["emissiveTexture"] = {"index": number}
    file.material["emissiveFactor"] = [1, 0.5, 0]
    file.material["extensions"] = {"KHR_materials_emissive_strength": {"emissiveStrength": 3}}
    extra = shown(loaded(file, tmp_path)).linear - plain
    h, w = extra.shape[:2]
    level = float(srgb_decode(np.array(188 / 255.0)))
    assert np.allclose(extra[h // 2, w // 4], 0.0, atol=1e-6)
    assert np.allclose(extra[h // 2, 3 * w // 4], (3 * level, 1.5 * level, 0.0), rtol=2e-3)


def test_unlit_is_its_colour_whatever_the_light(tmp_path: Path) -> None:
    file = textured(halves((188, 0, 0, 255), (188, 0, 0, 255)))
    file.material["extensions"] = {"KHR_materials_unlit": {}}
    file.material["pbrMetallicRoughness"]["baseColorFactor"] = [0.5, 1, 1, 1]
    file.use("KHR_materials_unlit", required=True)
    model = loaded(file, tmp_path)
    assert model.warnings == ()
    level = 0.5 * float(srgb_decode(np.array(188 / 255.0)))
    for sun in (SUN, -SUN):
        view = shown(model, sun=sun)
        assert np.allclose(view.radiance[view.coverage == 1], (level, 0, 0), rtol=2e-3)


# --- opacity --------------------------------------------------------------------------------------

GRATE = np.zeros((64, 64, 4), dtype=np.uint8)
"""Opaque but for a round hole in the middle of its left half."""
GRATE[...] = 255
_Y, _X = np.mgrid[:64, :64] + 0.5
GRATE[np.hypot(_X - 16, _Y - 32) < 10, 3] = 0


def over_a_floor(mode: str, picture: NDArray[np.uint8] = GRATE, **more: Any) -> Gltf:
    """A sheet with a hole, 0.5 m over a larger floor."""
    file = textured(picture)
    file.doc["meshes"][0]["primitives"] = [file.primitive(**sheet(0.5))]
    file.material.update(alphaMode=mode, doubleSided=True, **more)
    file.doc["materials"].append(
        {"name": "floor", "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}}
    )
    floor = {**file.primitive(**sheet(0.0, 2.0)), "material": 1}
    file.doc["meshes"].append({"primitives": [floor]})
    file.doc["nodes"].append({"mesh": 1, "name": "floor"})
    file.doc["scenes"][0]["nodes"] = [0, 1]
    return file


def expected(
    model: TargetModel, camera: Camera, pose: NDArray[np.float64], sun: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Depth, parts and whether in cast shadow by arithmetic, and where that is within 2 cm of an
    edge."""
    rays = camera.rays() @ pose[:3, :3]
    eye = -pose[:3, :3].T @ pose[:3, 3]
    sun = pose[:3, :3].T @ sun

    def there(points: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Whether points of the sheet's plane are on it, and whether near an edge of it."""
        x, y = points[..., 0], points[..., 1]
        hole = np.hypot(x + 0.5, y) - 10 / 32
        outside = np.maximum(np.abs(x), np.abs(y)) - 1
        return (outside < 0) & (hole > 0), np.minimum(np.abs(outside), np.abs(hole)) < 0.02

    up = (0.5 - eye[2]) / rays[..., 2]
    on, near_edge = there(eye + up[..., None] * rays)
    down = -eye[2] / rays[..., 2]
    floor = eye + down[..., None] * rays
    outside = np.maximum(np.abs(floor[..., 0]), np.abs(floor[..., 1])) - 2
    depth = np.where(on, up, np.where(outside < 0, down, 0.0))
    parts = np.where(on, 1, np.where(outside < 0, 2, 0))
    hidden, near_shadow = there(floor + sun * (0.5 / sun[2]))
    shadow = (parts == 2) & hidden
    return depth, parts, shadow, near_edge | (np.abs(outside) < 0.02) | ((parts == 2) & near_shadow)


ASIDE = np.array(DOWN)
ASIDE[:3, :3] = DOWN[:3, :3] @ np.array(
    [[1, 0, 0], [0, np.cos(0.5), -np.sin(0.5)], [0, np.sin(0.5), np.cos(0.5)]]
)


@pytest.mark.parametrize("lens", [False, True], ids=["pinhole", "lens"])
@pytest.mark.parametrize("pose", [DOWN, ASIDE], ids=["above", "aslant"])
def test_masks_cut_picture_depth_parts_and_shadows_alike(
    lens: bool, pose: NDArray[np.float64], tmp_path: Path
) -> None:
    camera = replace(CAMERA, distortion=(0.15, 0.0, 0.0, 0.0, 0.0)) if lens else CAMERA
    model = loaded(over_a_floor("MASK"), tmp_path)
    assert model.warnings == ()
    sun = pose[:3, :3] @ np.array([0.6, 0.2, 1.0]) / np.sqrt(1.4)
    view = shown(model, camera, pose, sun)
    depth, parts, shadow, unsure = expected(model, camera, pose, sun)
    x, y, w, h = view.window
    sure = ~unsure
    whole = np.zeros(depth.shape)
    labels = np.zeros(depth.shape, dtype=int)
    cast = np.zeros(depth.shape, dtype=bool)
    bright = np.zeros(depth.shape)
    inside = np.s_[y : y + h, x : x + w]
    whole[inside], labels[inside] = view.depth, view.parts
    assert view.shadow is not None
    cast[inside] = view.shadow == SHADOW_LABELS["cast"]
    bright[inside] = view.linear.mean(axis=2)
    assert np.array_equal(labels[sure], parts[sure])
    assert np.allclose(whole[sure], depth[sure], atol=1e-4)
    floor = sure & (parts == 2)
    assert np.array_equal(cast[floor], shadow[floor])
    assert (shadow & floor).sum() > 200
    # the light that falls through the hole is there in the picture, too; a texel's blur apart
    lit = np.median(bright[floor & ~shadow])
    assert np.mean((bright > 0.5 * lit)[floor] == ~shadow[floor]) > 0.97


def covered(model: TargetModel, folder: Path) -> float:
    """What share of the whole sheet is seen."""
    whole = loaded(over_a_floor("OPAQUE"), folder)
    counts = []
    for one in (model, whole):
        label = next((part.label for part in one.parts if part.name == "cube"), -1)
        counts.append(int(np.sum(shown(one).parts == label)))
    return counts[0] / counts[1]


def test_a_mask_keeps_what_is_at_its_cutoff(tmp_path: Path) -> None:
    levels = np.full((64, 64, 4), 255, dtype=np.uint8)
    levels[:, :, 3] = np.repeat((51, 102, 153, 204), 16)
    for cutoff, seen in ((0.0, 1.0), (0.3, 0.75), (0.5, 0.5), (0.9, 0.0)):
        model = loaded(over_a_floor("MASK", levels, alphaCutoff=cutoff), tmp_path)
        assert covered(model, tmp_path) == pytest.approx(seen, abs=0.02)
        assert any("clear" in line for line in model.warnings) == (seen == 0.0)


def test_the_opacity_of_factor_and_vertices_counts(tmp_path: Path) -> None:
    """Of a sheet whose vertices fade from left to right the right part is cut away."""
    fade = np.array([(1, 1, 1, 1), (1, 1, 1, 0), (1, 1, 1, 0), (1, 1, 1, 1)], dtype=np.float32)
    for factor, seen in ((1.0, 0.5), (0.8, 0.375), (0.4, 0.0)):
        file = over_a_floor("MASK", np.full((4, 4, 4), 255, dtype=np.uint8))
        file.doc["meshes"][0]["primitives"] = [file.primitive(**sheet(0.5), COLOR_0=fade)]
        file.material["pbrMetallicRoughness"]["baseColorFactor"] = [1, 1, 1, factor]
        model = loaded(file, tmp_path)
        assert covered(model, tmp_path) == pytest.approx(seen, abs=0.02)


def test_what_is_clear_under_blend_is_in_no_mask(tmp_path: Path) -> None:
    file = over_a_floor("BLEND", np.zeros((4, 4, 4), dtype=np.uint8))
    model = loaded(file, tmp_path)
    assert [part.name for part in model.parts] == ["floor"]
    assert np.allclose(shown(model).depth[shown(model).parts == 1], 12.0, atol=1e-4)
    assert model.warnings == ("leaves out 1 material that is clear",)


def test_half_tones_of_blend_are_told_and_seen_from_the_half_on(tmp_path: Path) -> None:
    tones = np.full((64, 64, 4), 255, dtype=np.uint8)
    tones[:, :, 3] = np.linspace(0, 255, 64)
    model = loaded(over_a_floor("BLEND", tones), tmp_path)
    assert covered(model, tmp_path) == pytest.approx(0.5, abs=0.03)
    line = "draws 1 material of alphaMode BLEND without half tones: opaque, or not at all"
    assert model.warnings == (line,)
    for opacity, seen in ((0.7, 1.0), (0.3, 0.0)):
        file = over_a_floor("BLEND", np.full((4, 4, 4), 255, dtype=np.uint8))
        file.material["pbrMetallicRoughness"]["baseColorFactor"] = [1, 1, 1, opacity]
        model = loaded(file, tmp_path)
        assert covered(model, tmp_path) == seen
        assert model.warnings == (line,)


def test_a_model_all_of_which_is_clear_is_drawn_opaque(tmp_path: Path) -> None:
    file = Gltf()
    file.material["alphaMode"] = "BLEND"
    file.material["pbrMetallicRoughness"]["baseColorFactor"] = [1, 1, 1, 0.2]
    model = loaded(file, tmp_path)
    assert model.warnings == (
        "draws materials opaque that say they are clear: nothing else is there",
    )
    assert (shown(model).parts == 1).any()


def test_opaque_blend_is_bit_for_bit_opaque(tmp_path: Path) -> None:
    one, other = (
        shown(loaded(over_a_floor(mode, GRATE[:, 40:]), tmp_path)) for mode in ("OPAQUE", "BLEND")
    )
    assert np.array_equal(one.radiance, other.radiance)
    assert np.array_equal(one.depth, other.depth)


def test_the_reference_renderer_refuses_what_it_cannot_draw(tmp_path: Path) -> None:
    path = over_a_floor("MASK").write(tmp_path)
    with pytest.raises(InputError, match=r"pyrender cuts nothing out.*'m'"):
        scene_of(RenderOptions(target=str(path), renderer="pyrender"))
    satgen.render_frame(path, 4000, size=32)
