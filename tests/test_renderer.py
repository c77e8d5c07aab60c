"""The renderer against Embree, and against radiometry that can be worked by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_dilation

from satgen.camera import Camera
from satgen.model import Material
from satgen.rendering.renderer import Lighting, Renderer
from tests.scenes import Witness, look, model_of, toy

DARK = Lighting(earthshine=(0.0, 0.0, 0.0), ambient=0.0)
TOWARD_CAMERA = np.array([0.0, 0.0, -1.0])


def whole(frame, name, camera):
    """An array of the frame in the whole image."""
    values = getattr(frame, name)
    image = np.zeros((camera.height, camera.width, *values.shape[2:]), values.dtype)
    x, y, w, h = frame.window
    image[y : y + h, x : x + w] = values
    return image


CAMERAS = {
    "centred": Camera.from_fov(160, 160, 25.0),
    "off-centre": Camera(200, 120, 300.0, 260.0, 120.3, 41.7),
}


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())
def test_depth_parts_and_silhouette_agree_with_embree(camera):
    model = toy()
    witness = Witness(model.vertices, model.faces)
    aim = np.array([0.0, 0.8, 0.2])
    with Renderer(model, camera) as renderer:
        for azimuth, elevation, distance in [
            (20, 15, 11),
            (130, -40, 9),
            (250, 80, 13),
            (300, 5, 3),
        ]:
            pose = look(azimuth, elevation, distance, aim)
            frame = renderer.render(pose, TOWARD_CAMERA)
            depth, parts = whole(frame, "depth", camera), whole(frame, "parts", camera)
            truth, face = witness.depth(pose, camera)
            hit = face >= 0
            assert hit.any()
            assert np.mean((depth > 0) != hit) < 1e-3
            assert ((depth > 0) == (parts > 0)).all()
            owner = np.where(hit, model.face_part[face], 0)
            edge = np.zeros_like(hit)
            edge[:, 1:] |= owner[:, 1:] != owner[:, :-1]
            edge[1:] |= owner[1:] != owner[:-1]
            inside = hit & (depth > 0) & ~binary_dilation(edge, np.ones((3, 3)), iterations=1)
            close = np.abs(depth - truth)[inside] < 1e-3
            assert close.mean() > 0.995
            assert (parts == owner)[inside].mean() > 0.999


def test_camera_inside_the_targets_reach_and_target_behind_the_camera():
    model = toy()
    camera = Camera.from_fov(64, 64, 70.0)
    witness = Witness(model.vertices, model.faces)
    with Renderer(model, camera) as renderer:
        pose = look(180, 0, 1.2)  # within the bounding sphere, outside the box
        depth = whole(renderer.render(pose, TOWARD_CAMERA), "depth", camera)
        truth, face = witness.depth(pose, camera)
        assert np.mean((depth > 0) != (face >= 0)) < 5e-3
        both = (depth > 0) & (face >= 0)
        assert np.mean(np.abs(depth - truth)[both] < 1e-3) > 0.98
        behind = np.eye(4)
        behind[2, 3] = -20.0
        assert renderer.render(behind, TOWARD_CAMERA).depth.size == 0
        aside = np.eye(4)
        aside[:3, 3] = (500.0, 0.0, 20.0)
        frame = renderer.render(aside, TOWARD_CAMERA)
        assert not frame.depth.any() and not frame.linear.any()


def test_a_matt_white_plate_has_the_radiance_of_lamberts_law():
    plate = trimesh.creation.box([4.0, 4.0, 0.1])
    camera = Camera.from_fov(32, 32, 10.0)
    white = Material("white", base_color=(1.0, 1.0, 1.0), roughness=1.0)
    with Renderer(model_of([plate], [white]), camera, DARK, float32=True) as renderer:
        for angle in (0.0, 30.0, 60.0):
            tilt = np.radians(angle)
            sun = np.array([np.sin(tilt), 0.0, -np.cos(tilt)])
            radiance = renderer.render(look(0, 90, 10.0), sun).linear
            centre = radiance[radiance.shape[0] // 2, radiance.shape[1] // 2]
            assert np.allclose(centre, np.cos(tilt), atol=0.005 if angle == 0.0 else 0.02)
        away = np.array([0.0, 0.0, 1.0])
        assert not renderer.render(look(0, 90, 10.0), away).linear.any()


def test_earthshine_of_a_view_replaces_that_of_the_lighting():
    camera = Camera.from_fov(48, 48, 25.0)
    pose = look(40, 20, 11.0)
    away, down = np.array([0.0, 0.0, 1.0]), pose[:3, :3] @ [0.0, 0.0, 1.0]
    shine = np.array([0.2, 0.1, 0.05])
    with Renderer(toy(), camera, DARK, float32=True) as renderer:
        dark = renderer.render(pose, away).linear
        lit = renderer.render(pose, away, down, shine).linear
        twice = renderer.render(pose, away, earthshine=2.0 * shine).linear  # +z is the default
    assert not dark.any()
    assert lit.mean() > 0.005
    assert np.allclose(twice, 2.0 * lit, rtol=1e-4)
    with Renderer(toy(), camera, Lighting(tuple(shine), ambient=0.0), float32=True) as renderer:
        assert renderer.render(pose, away, down).linear.tobytes() == lit.tobytes()


def test_shadows_fall_where_embree_says_and_lit_ground_has_none():
    ground = trimesh.creation.box([6.0, 6.0, 0.2])
    block = trimesh.creation.box([1.0, 1.6, 1.0])
    block.apply_translation([0.2, 0.0, 0.6])  # stands on the ground
    sheet = trimesh.creation.box([1.5, 1.5, 0.015])
    sheet.apply_translation([-1.6, 1.4, 0.9])  # a thin panel in mid air
    model = model_of([ground, block, sheet], [Material(n, roughness=1.0) for n in "abc"])
    camera = Camera.from_fov(256, 256, 35.0)
    witness = Witness(model.vertices, model.faces)
    pose = look(35, 50, 12.0)
    eye = -pose[:3, :3].T @ pose[:3, 3]
    with Renderer(model, camera, DARK) as renderer:
        for azimuth, elevation in [(80, 40), (200, 25), (300, 70)]:
            a, e = np.radians(azimuth), np.radians(elevation)
            sun = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
            frame = renderer.render(pose, pose[:3, :3] @ sun)
            lit = whole(frame, "linear", camera).max(axis=2) > 0.02
            z, face = witness.depth(pose, camera)
            points = eye + (camera.rays() * z[..., None]).reshape(-1, 3) @ pose[:3, :3]
            corners = model.vertices[model.faces]
            normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
            at = normal[face.ravel()]
            blocked = witness.first(points + 1e-3 * at, np.tile(sun, (len(points), 1))) >= 0
            truth = (~blocked & (at @ sun > 0)).reshape(z.shape) & (face >= 0)
            # The filter is a few texels wide: judge pixels farther than that from any boundary.
            boundary = np.zeros_like(truth)
            for image in (truth, face):
                boundary[:, 1:] |= image[:, 1:] != image[:, :-1]
                boundary[1:] |= image[1:] != image[:-1]
            clear = (face >= 0) & ~binary_dilation(boundary, np.ones((3, 3)), iterations=2)
            assert truth[clear].any() and (~truth)[clear].any()
            assert np.mean(lit[clear] == truth[clear]) > 0.999


def test_edges_are_anti_aliased_about_the_pixel_centre():
    """Coverage of a slanted half plane: mean over the edge equals the exact area."""
    plate = trimesh.creation.box([8.0, 8.0, 0.1])
    plate.apply_translation([4.0, 0.0, 0.0])  # its edge passes through the origin
    turn = trimesh.transformations.rotation_matrix(np.radians(12.0), [0, 0, 1])
    plate.apply_transform(turn)
    white = Material("white", base_color=(1.0, 1.0, 1.0), roughness=1.0)
    camera = Camera.from_fov(64, 64, 20.0)
    with Renderer(model_of([plate], [white]), camera, DARK, float32=True) as renderer:
        pose = look(0, 90, 10.0)
        linear = whole(renderer.render(pose, TOWARD_CAMERA), "linear", camera)[..., 0]
    coverage = linear / linear.max()
    assert set(np.unique(np.round(coverage * 16))) - {0, 16}  # there are grey levels
    # The plate's edge z = 0.05 m plane, x' = 0: signed distance of each pixel centre to its line.
    across = pose[:3, :3] @ turn[:3, :3] @ np.array([1.0, 0.0, 0.0])
    along = pose[:3, :3] @ turn[:3, :3] @ np.array([0.0, 1.0, 0.0])
    start = pose[:3, :3] @ np.array([0.0, 0.0, 0.05]) + pose[:3, 3]
    ends = [(p[:2] / p[2]) * camera.fx + camera.cx for p in (start, start + along)]
    normal = np.array([ends[1][1] - ends[0][1], ends[0][0] - ends[1][0]])
    normal /= np.linalg.norm(normal) * np.sign(normal @ across[:2])
    v, u = np.mgrid[0:64, 0:64]
    distance = (u - ends[0][0]) * normal[0] + (v - ends[0][1]) * normal[1]
    near = (np.abs(distance) < 4) & (u > 8) & (u < 56) & (v > 8) & (v < 56)
    # First moment of the edge: any shift of the filter's centre would move it.
    shift = (coverage - (distance > 0))[near].sum() / near.sum() * 8.0
    assert abs(shift) < 0.03


def test_coverage_leaves_no_fringe_before_a_background_of_the_same_radiance():
    """Surfaces that glow with radiance 0.7, before a background of 0.7: nothing can be seen."""
    model = toy()
    glow = Material("glow", base_color=(0.0, 0.0, 0.0), metallic=1.0, emissive=(0.7, 0.7, 0.7))
    model = dataclasses.replace(model, materials=(glow,) * len(model.materials))
    rest = model.face_part != 5
    stout = dataclasses.replace(
        model,
        faces=model.faces[rest],
        face_material=model.face_material[rest],
        face_part=model.face_part[rest],
    )
    with (
        Renderer(model, CAMERAS["off-centre"], DARK, float32=True) as renderer,
        Renderer(stout, CAMERAS["off-centre"], DARK, float32=True) as renderer_without_strut,
    ):
        for azimuth, elevation in ((10.0, 20.0), (200.0, -60.0)):
            seen = renderer.render(look(azimuth, elevation, 12.0), TOWARD_CAMERA)
            assert np.abs(seen.radiance + (1.0 - seen.coverage[:, None]) * 0.7 - 0.7).max() < 1e-6
            edge = seen.coverage < 1.0
            assert 0.01 < edge.mean() < 0.5 and seen.coverage.min() > 0.0
            # A pixel whose centre sees the target is covered by half at least, but for rods that
            # are thinner than that.
            bare = renderer_without_strut.render(look(azimuth, elevation, 12.0), TOWARD_CAMERA)
            on = bare.parts.reshape(-1)[bare.pixels] > 0
            assert (bare.coverage[on] >= 0.5).all() and (bare.coverage[~on] <= 0.5).all()


def test_same_view_same_bytes_whatever_came_before():
    model = toy()
    camera = Camera.from_fov(96, 96, 25.0)
    views = [
        (look(a, e, 11.0), np.array([0.3, -0.4, -0.866])) for a, e in [(0, 0), (77, 30), (200, -60)]
    ]
    with Renderer(model, camera) as renderer:
        once = [renderer.render(*view) for view in views]
    with Renderer(model, camera) as renderer:
        again = [renderer.render(*view) for view in reversed(views)][::-1]
    for a, b in zip(once, again, strict=True):
        assert a.window == b.window
        assert a.linear.tobytes() == b.linear.tobytes()
        assert a.depth.tobytes() == b.depth.tobytes()
        assert a.parts.tobytes() == b.parts.tobytes()


def test_double_sided_sheets_are_seen_and_lit_from_behind():
    sheet = trimesh.Trimesh(
        [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], [[0, 1, 2], [0, 2, 3]]
    )
    camera = Camera.from_fov(32, 32, 20.0)
    below = look(0, -90, 8.0)
    for double_sided in (False, True):
        material = Material("sheet", double_sided=double_sided)
        with Renderer(model_of([sheet], [material]), camera, DARK) as renderer:
            frame = renderer.render(below, TOWARD_CAMERA)
            seen = frame.depth > 0
            assert seen.any() == double_sided
            if double_sided:
                assert np.allclose(frame.depth[seen], 8.0, atol=1e-6)
                assert frame.linear[seen].min() > 0.05
