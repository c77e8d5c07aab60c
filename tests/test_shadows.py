"""Shadows against Embree's rays, at the shadow texels of images from 128 to 1536 pixels.

How fine the shadow map is follows from the image's size alone, so that one camera with larger or
smaller texels stands for all of them.
"""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.model import TargetModel
from satgen.options import RenderOptions
from satgen.rendering.lighting import Lighting
from satgen.rendering.patches import find_neighbours, find_patches
from satgen.scene import Scene, scene_of
from satgen.surroundings.place import SUN_RADIUS_DEG
from tests.scenes import look, model_of
from tests.shadows import judge, lit, plain, renderer_of

SIZES = (128, 256, 384, 512, 768, 1536)
CAMERA = Camera.from_fov(512, 512, 20.0)
TEXEL = Lighting().shadow_texel


def judged(model: TargetModel, pose: NDArray, sun: NDArray, size: int) -> dict[str, NDArray]:
    """What Embree says of the shadows of an image of that size, with the share of the sun."""
    with renderer_of(model, CAMERA, TEXEL * CAMERA.width / size) as renderer:
        found = lit(renderer, model, pose, sun)
        patch = renderer._packed.casters[:, 1] >> 2
    cosine = found.normal @ found.axes[2]
    return {**judge(found, model, patch), "share": found.share, "cosine": cosine}


# --- thin shells ----------------------------------------------------------------------------------


def panel() -> TargetModel:
    """A closed panel, 2 mm thick, with stringers on its back, above a floor."""
    meshes = [trimesh.creation.box([3.0, 3.0, 0.002])]
    for x in (-1.0, -0.3, 0.5, 1.2):
        stringer = trimesh.creation.box([0.03, 2.8, 0.04])
        stringer.apply_translation([x, 0.0, -0.021])
        meshes.append(stringer)
    floor = trimesh.creation.box([2.0, 2.5, 0.1])
    floor.apply_translation([0.0, -1.5, -1.0])
    return plain(model_of([*meshes, floor]))


@pytest.mark.parametrize("size", SIZES)
def test_no_light_passes_a_closed_shell_however_thin(size: int) -> None:
    model = panel()
    lit_points = occluded = 0
    for elevation in (90.0, 30.0, 5.0, 2.0):
        # From behind, with stringers in view, and from before, with the floor.
        for azimuth, pose in ((20.0, look(70.0, -35.0, 16.0)), (100.0, look(-65.0, 20.0, 16.0))):
            a, e = np.radians(azimuth), np.radians(elevation)
            sun = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
            found = judged(model, pose, pose[:3, :3] @ sun, size)
            assert not found["leak"].any()
            lit_points += np.count_nonzero(found["open"])
            occluded += np.count_nonzero(found["occluded"])
            dark = (1.0 - found["share"])[found["acne"]] @ found["cosine"][found["acne"]]
            assert dark <= 0.02 * (found["truth"] @ found["cosine"])
    assert lit_points > 1000 and occluded > 1000


def test_a_ball_is_lit_up_to_its_terminator_and_shadows_itself_nowhere() -> None:
    ball = trimesh.creation.icosphere(4, 1.0)
    torus = trimesh.creation.torus(2.5, 0.3, major_sections=96, minor_sections=32)
    model = plain(model_of([ball, torus], smooth=True))
    for size in (128, 512):
        for elevation in (80.0, 30.0, 4.0):
            e = np.radians(elevation)
            sun = np.array([np.cos(e), 0.0, np.sin(e)])
            pose = look(50.0, 40.0, 20.0)
            found = judged(model, pose, pose[:3, :3] @ sun, size)
            error = (found["share"] - found["truth"]) * found["cosine"]
            assert np.abs(error).sum() <= 0.02 * (found["truth"] @ found["cosine"])


# --- half shadows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_a_plates_shadow_is_soft_by_its_height(size: int) -> None:
    """The share over the distance to the edge is that of a disc cut off by a straight line."""
    height = 8.0
    floor = trimesh.creation.box([4.0, 4.0, 0.1])
    plate = trimesh.creation.box([4.0, 4.0, 0.02])
    plate.apply_translation([2.0, 0.3, height + 0.06])
    turn = np.radians(20.0)  # else the whole edge lies at one place in the texels
    plate.apply_transform(trimesh.transformations.rotation_matrix(turn, [0.0, 0.0, 1.0]))
    model = plain(model_of([floor, plate]))
    camera = Camera.from_fov(512, 512, 14.0)
    pose = look(-100.0, 60.0, 40.0)
    sun = np.array([0.0, 0.0, 1.0])
    with renderer_of(model, camera, TEXEL * 512 / size) as renderer:
        found = lit(renderer, model, pose, pose[:3, :3] @ sun, most=40000)
    points = found.points + model.bounding_sphere[0]
    on_floor = (np.abs(points[:, 2] - 0.05) < 1e-6) & (np.abs(points[:, 1] - 0.2) < 1.2)
    radius = np.tan(np.radians(SUN_RADIUS_DEG)) * height
    assert radius / found.texel > 1.1
    under = points[on_floor, :2] @ [np.cos(turn), np.sin(turn)] / radius
    x = np.clip(under, -1.0, 1.0)
    visible = 0.5 - (x * np.sqrt(1.0 - x * x) + np.arcsin(x)) / np.pi
    error = np.abs(found.share[on_floor] - visible)
    within = np.abs(under) < 1.0
    assert np.count_nonzero(within) > 200
    assert error[within].mean() < 0.025
    assert error.max() < 0.12
    # Nothing beyond the half shadow, but for half a texel.
    beyond = np.abs(under) > 1.0 + found.texel / radius
    assert error[beyond].max() < 1e-3


# --- the targets ----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["aura", "worldview", "cartography"])
def target(request: pytest.FixtureRequest) -> Scene:
    scene = scene_of(RenderOptions(target=request.param, start=1500, stop=7500, step=3000))
    return Scene(scene.config, plain(scene.model))


@pytest.mark.parametrize("size", [128, 512, 1536])
def test_shadows_on_the_targets_agree_with_embree(target: Scene, size: int) -> None:
    """With the light of the default sun, and of one that grazes an axis of the target."""
    rotation = target.views.observations.T_cam_target[1, :3, :3]
    grazing = rotation @ [np.cos(np.radians(5.0)), 0.0, np.sin(np.radians(5.0))]
    wrong, other_side = np.zeros(4), np.zeros(2)
    for view, sun in ((0, target.views.sun[0]), (1, grazing), (2, target.views.sun[2])):
        pose = target.views.observations.T_cam_target[view]
        found = judged(target.model, pose, sun, size)
        share, cosine = found["share"], found["cosine"]
        wrong += (
            share[found["leak"]] @ cosine[found["leak"]],
            (1.0 - share)[found["acne"]] @ cosine[found["acne"]],
            np.abs(share - found["truth"]) @ cosine,
            found["truth"] @ cosine,
        )
        other_side += (np.count_nonzero(np.abs(share - found["truth"]) > 0.5), len(share))
    leak, acne, error = wrong[:3] / wrong[3]
    fine = size / 128
    assert leak < 0.03 / fine
    assert acne < 0.06 / fine
    assert error < 0.2 / np.sqrt(fine)  # the width of the filter, and of the image's samples
    # Which side of a shadow's edge a point is on, however narrow what is lit or dark: else thin
    # lines become dots.
    assert other_side[0] < 0.06 / fine * other_side[1]


# --- patches --------------------------------------------------------------------------------------


def patches_of(mesh: trimesh.Trimesh) -> tuple[NDArray, NDArray]:
    faces = mesh.faces.astype(np.uint32)
    normals = np.asarray(mesh.face_normals)
    vertices = mesh.vertices.astype(np.float32)
    return find_patches(vertices, faces, normals, find_neighbours(faces), 1e-5)


def test_neighbours_are_those_of_trimesh() -> None:
    mesh = trimesh.creation.capsule(1.0, 0.4)
    found = find_neighbours(mesh.faces.astype(np.uint32))
    pairs = {tuple(sorted((f, int(n)))) for f, row in enumerate(found) for n in row}
    assert pairs == {tuple(sorted(pair)) for pair in mesh.face_adjacency.tolist()}
    for face, row in enumerate(found):
        for edge, other in enumerate(row):
            ends = {mesh.faces[face][edge], mesh.faces[face][(edge + 1) % 3]}
            assert ends <= set(mesh.faces[other])
    opened = find_neighbours(mesh.faces[1:].astype(np.uint32))
    assert np.count_nonzero(opened < 0) == 3


def test_patches_end_at_sharp_edges_and_know_whether_they_can_shadow_themselves() -> None:
    box, simple = patches_of(trimesh.creation.box([1.0, 2.0, 3.0]))
    assert len(set(box)) == 1 and simple.all()  # convex as a whole
    ring, _ = patches_of(trimesh.creation.annulus(0.5, 1.0, 1.0))
    assert len(set(ring)) == 4
    ball, simple = patches_of(trimesh.creation.icosphere(3, 1.0))
    assert len(set(ball)) == 1 and simple.all()
    rod, simple = patches_of(trimesh.creation.cylinder(0.2, 1.0, sections=24))
    assert len(set(rod)) == 1 and simple.all()
    torus, simple = patches_of(trimesh.creation.torus(1.0, 0.3))
    assert len(set(torus)) == 1 and not simple.any()
