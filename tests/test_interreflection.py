"""Light between parts, against closed forms, a path tracer written here and mirrored rays."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_dilation
from scipy.sparse import random_array

from satgen.camera import Camera
from satgen.errors import InputError
from satgen.interreflection import (
    BINS,
    bin_directions,
    cells,
    frames,
    light_bytes,
    light_key,
    octahedral_taps,
    read_light,
    sphere,
)
from satgen.model import Material
from satgen.modelling.bake import bake, mean_albedo
from satgen.options import RenderOptions
from satgen.rendering.bounce import Bounce, EvenTable, Product, disc_irradiance, exchange_of
from satgen.rendering.renderer import Lighting, Renderer
from satgen.scene import scene_of
from satgen.targets.load import load_target
from satgen.targets.registry import TARGETS
from tests.limits import PATIENCE_S
from tests.scenes import Witness, look, model_of, toy
from tests.test_renderer import whole

WHITE = Material("white", (1.0, 1.0, 1.0), 0.0, 1.0)
BLACK = Material("black", (0.0, 0.0, 0.0), 1.0, 1.0)
GREY = Material("grey", (0.5, 0.5, 0.5), 0.0, 1.0)
NOWHERE = np.array([0.0, 0.0, 1.0])
NONE = np.zeros(3)
DARK = Lighting(earthshine=(0.0, 0.0, 0.0), ambient=0.0)


def box(extents, middle=(0.0, 0.0, 0.0)):
    mesh = trimesh.creation.box(extents)
    mesh.apply_translation(middle)
    return mesh


def gained(light, texels):
    """What each receiver gets beyond free space, (N, 3), from the shader's buffer."""
    return texels.reshape(len(light.normals), -1, 4)[:, 0, :3]


def sun_at(azimuth_deg, elevation_deg):
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])


# --- directions


def test_bins_cover_the_hemisphere_and_its_cosine():
    mean, angle = bin_directions()
    assert angle.sum() == pytest.approx(2.0 * np.pi)
    assert (mean[:, 2] * angle).sum() == pytest.approx(np.pi, rel=1e-4)
    assert np.abs((mean * angle[:, None]).sum(axis=0)[:2]).max() < 1e-9
    assert (mean[:, 2] > 0.0).all()


def test_octahedral_coordinates_find_the_direction_that_they_stand_for():
    rng = np.random.default_rng(0)
    v = rng.standard_normal((200, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    table = sphere(cells(64)).reshape(-1, 3)
    for each in v:
        index, weight = octahedral_taps(each, 64)
        assert weight.sum() == pytest.approx(1.0)
        found = weight @ table[index]
        assert found @ each / np.linalg.norm(found) > np.cos(np.radians(1.5))


def test_frames_are_right_handed_and_keep_the_normal():
    rng = np.random.default_rng(1)
    n = rng.standard_normal((50, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    n = np.concatenate([n, [[0, 0, 1.0], [0, 0, -1.0]]])
    axes = frames(n)
    assert np.allclose(axes @ axes.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(axes), 1.0)
    assert np.allclose(axes[:, 2], n)


def test_products_are_those_of_the_matrix_to_the_last_bit():
    rng = np.random.default_rng(7)
    matrix = random_array((90, 40), density=0.1, format="csr", dtype=np.float32, rng=rng)
    vectors = rng.random((3, 40), dtype=np.float32)
    found = Product(matrix.data, matrix.indices, matrix.indptr, 40)(vectors)
    assert np.array_equal(found, np.stack([matrix @ vector for vector in vectors]))


def test_a_table_at_even_steps_is_interpolated_as_numpy_does():
    values = np.random.default_rng(8).random(257)
    places = np.append(np.linspace(-1.0, 1.0, 1001), [-1.0 - 1e-16, 1.0 + 2e-16])
    truth = np.interp(places, np.linspace(-1.0, 1.0, 257), values)
    assert np.allclose(EvenTable(values).at(places), truth, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("radius_deg", [10.0, 64.3, 90.0])
def test_the_irradiance_of_a_disc_is_its_integral(radius_deg):
    limb = np.cos(np.radians(radius_deg))
    cosine = np.linspace(-1.0, 1.0, 9)
    p = sphere(cells(512)).reshape(-1, 3)
    q = np.abs(p).sum(axis=1)
    solid = q**3  # an octahedron's faces have the same slope everywhere
    solid *= 4.0 * np.pi / solid.sum()
    inside = p[:, 2] > limb
    for c, found in zip(cosine, disc_irradiance(cosine, limb), strict=True):
        n = np.array([np.sqrt(1.0 - c * c), 0.0, c])
        truth = (np.maximum(p @ n, 0.0) * solid)[inside].sum() / np.pi
        assert found == pytest.approx(truth, abs=4e-3)


# --- transport


def test_two_squares_exchange_what_their_form_factor_says():
    """Unit squares face to face at distance 1: F = 0.19982 (Howell, configuration C-11)."""
    low = box((1.0, 1.0, 0.01), (0.0, 0.0, -0.005))
    high = box((1.0, 1.0, 0.01), (0.0, 0.0, 1.005))
    light = bake(model_of([low, high], [WHITE, BLACK]), receivers=900)
    sun = sun_at(20.0, 25.0)  # low enough that no shadow falls on the lower square
    texels = Bounce(exchange_of(light)).solve(sun, 1.0, NOWHERE, NONE, 0.5, 0.0)
    got = gained(light, texels)
    under = (light.normals[:, 2] < -0.9) & (light.albedo[:, 0] == 0.0)
    under[0] = False
    assert under.sum() > 20
    sent = mean_albedo(WHITE)[0] * sun[2]
    # Lattice nodes lie evenly, those on the rim for half as much: weigh by what they stand for.
    weight = np.bincount(light.nodes, minlength=len(under))[under].astype(float)
    mean = (got[under, 0] * weight).sum() / weight.sum()
    assert mean == pytest.approx(0.19982 * sent, rel=0.05)


def test_no_light_is_made_in_a_furnace():
    """Under a sky of radiance 1, what reflects nearly all of it has nearly radiance 1, wherever."""
    corner = [box((2, 2, 0.1), (0, 0, -1.05)), box((0.1, 2, 2), (-1.05, 0, 0))]
    cavity = [*corner, box((2, 0.1, 2), (0, 1.05, 0)), box((2, 0.1, 2), (0, -1.05, 0))]
    light = bake(model_of(cavity, [WHITE] * 4), receivers=600)
    solver = Bounce(exchange_of(light))
    got = gained(light, solver.solve(NOWHERE, 0.0, NOWHERE, NONE, 0.5, 1.0))[1:]
    assert got.max() < 1e-3
    assert got.min() > -0.45  # 2 % are lost a bounce, and what goes on after the last
    assert np.median(got) > -0.05


def test_a_closed_box_keeps_its_light():
    room = box((2.0, 2.0, 2.0))
    room.invert()
    light = bake(model_of([room], [GREY]), receivers=500)
    hidden = (light.hits[1:] > 0).mean()
    assert hidden > 0.999
    assert np.mean(light.hits[1:] == 1) < 1e-3  # no ray comes out behind a wall
    to = Bounce(exchange_of(light))._to
    assert np.allclose(to(np.ones((1, len(light.normals)), np.float32))[0, 1:], 1.0, atol=0.01)


def path_traced(witness, normal, albedo, origin, n, sun, ambient, paths, rng):
    """Irradiance over pi at a point, of Lambertian surfaces, six bounces."""
    total = 0.0
    weight = np.ones(paths)
    points = np.tile(origin, (paths, 1))
    normals = np.tile(n, (paths, 1))
    alive = np.arange(paths)
    for depth in range(7):
        if depth:
            cosine = normals[alive] @ sun
            free = witness.first(
                points[alive] + 1e-4 * normals[alive], np.tile(sun, (len(alive), 1))
            )
            total += (weight[alive] * np.maximum(cosine, 0.0) * (free < 0)).sum() / paths
        v = rng.standard_normal((len(alive), 3))
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        v += normals[alive]  # cosine-weighted
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        start = points[alive] + 1e-4 * normals[alive]
        face = witness.first(start, v)
        total += (weight[alive] * ambient * (face < 0)).sum() / paths
        seen = face >= 0
        corner = witness._vertices[witness._faces[face, 0]]
        plane = normal[face]
        t = np.einsum("ij,ij->i", plane, corner - start) / np.einsum("ij,ij->i", plane, v)
        points[alive] = start + t[:, None] * v
        normals[alive] = plane
        weight[alive] *= albedo[face]
        alive = alive[seen]
    return total


def test_shadowed_floors_and_walls_agree_with_a_path_tracer():
    """Radiance that the renderer draws, where the sun does not reach, against six bounces."""
    floor = box((4.0, 4.0, 0.2), (0.0, 0.0, -0.1))
    wall = box((0.2, 4.0, 2.0), (-1.9, 0.0, 1.0))
    roof = box((2.5, 4.0, 0.1), (-0.75, 0.0, 2.05))
    model = model_of([floor, wall, roof], [GREY, WHITE, GREY])
    light = bake(model, receivers=900)
    lighting = Lighting(earthshine=(0.0, 0.0, 0.0), ambient=0.05)
    camera = Camera.from_fov(96, 96, 30.0)
    pose = look(15, 28, 11.0, np.array([-0.6, 0.0, 0.7]))
    sun = sun_at(10.0, 50.0)
    witness = Witness(model.vertices, model.faces)
    normal = np.cross(*(np.diff(model.vertices[model.faces], axis=1).transpose(1, 0, 2)))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    albedo = np.array([mean_albedo(m)[0] for m in model.materials])[model.face_material]
    depth, face = witness.depth(pose, camera)
    eye = -pose[:3, :3].T @ pose[:3, 3]
    points = eye + (camera.rays() * depth[..., None]) @ pose[:3, :3]
    with Renderer(replace(model, light=light), camera, lighting, float32=True) as renderer:
        drawn = whole(renderer.render(pose, pose[:3, :3] @ sun), "linear", camera)[..., 0]
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    edges = np.zeros(face.shape, bool)
    edges[:, 1:] |= face[:, 1:] != face[:, :-1]
    edges[1:] |= face[1:] != face[:-1]
    clear = (face >= 0) & ~binary_dilation(edges, iterations=2)
    toward = normal[face] @ sun
    start = (points + 1e-4 * normal[face])[clear]
    blocked = witness.first(start, np.tile(sun, (len(start), 1))) >= 0
    clear[clear] = blocked | (toward[clear] < 0.0)  # the sun's own light is another test's
    rows, columns = np.nonzero(clear)
    for k in rng.permutation(len(rows))[:100]:
        at = rows[k], columns[k]
        n = normal[face[at]]
        e = path_traced(witness, normal, albedo, points[at], n, sun, 0.05, 400, rng)
        theirs.append(albedo[face[at]] * e)
        ours.append(drawn[at])
    ours, theirs = np.array(ours), np.array(theirs)
    assert len(ours) == 100
    assert ours.mean() / theirs.mean() == pytest.approx(1.0, abs=0.1)
    assert np.mean(np.abs(ours / theirs - 1.0) < 0.35) > 0.9
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9


def test_a_smooth_floor_mirrors_what_stands_on_it():
    """Where Embree's mirrored ray meets the lit block it is bright, where it meets none black."""
    mirror = Material("mirror", (0.9, 0.9, 0.9), 1.0, 0.05)
    floor = box((6.0, 6.0, 0.2), (0.0, 0.0, -0.1))
    block = box((0.8, 0.8, 1.2), (-0.8, 0.2, 1.4))  # it floats
    model = model_of([floor, block], [mirror, WHITE])
    camera = Camera.from_fov(128, 128, 30.0)
    pose = look(0, 35, 12.0)
    witness = Witness(model.vertices, model.faces)
    depth, face = witness.depth(pose, camera)
    eye = -pose[:3, :3].T @ pose[:3, 3]
    rays = camera.rays() @ pose[:3, :3]
    rays /= np.linalg.norm(rays, axis=2, keepdims=True)
    points = eye + (camera.rays() * depth[..., None]) @ pose[:3, :3]
    mirrored = (rays * (1.0, 1.0, -1.0)).reshape(-1, 3)
    met = witness.first((points + np.array([0, 0, 1e-4])).reshape(-1, 3), mirrored).reshape(
        face.shape
    )
    on_floor = (face >= 0) & (model.face_part[face] == 1) & (np.abs(points[..., 2]) < 1e-6)
    shows = met >= 0
    edge = np.zeros_like(shows)
    for image in (shows, on_floor):
        edge[:, 1:] |= image[:, 1:] != image[:, :-1]
        edge[1:] |= image[1:] != image[:-1]
    clear = on_floor & ~binary_dilation(edge, iterations=2)
    lit = replace(model, light=bake(model, receivers=800))
    sun = sun_at(30.0, 10.0)
    with Renderer(lit, camera, DARK, float32=True) as renderer:
        drawn = whole(renderer.render(pose, pose[:3, :3] @ sun), "linear", camera)[..., 0]
    assert (shows & clear).sum() > 100
    bright = drawn > 0.1
    assert np.mean(bright[clear] == shows[clear]) > 0.99
    sides = np.abs(
        np.cross(*np.diff(model.vertices[model.faces[met]], axis=-2).transpose(2, 0, 1, 3))
    )
    toward_sun = (sides.argmax(axis=-1) == 0) & shows & clear
    # The block's side to the sun has radiance 0.87 there; its mirror image 0.9 of that.
    expected = 0.9 * sun[0] * mean_albedo(WHITE)[0]
    assert np.median(drawn[toward_sun]) == pytest.approx(expected, rel=0.1)


def test_light_changes_radiance_and_nothing_else():
    model = toy()
    lit = replace(model, light=bake(model, receivers=400))
    camera = Camera.from_fov(128, 128, 25.0)
    pose, sun = look(20, 15, 11.0), np.array([0.3, -0.4, -0.866])
    with Renderer(model, camera) as renderer:
        plain = renderer.render(pose, sun)
    with Renderer(lit, camera) as renderer:
        frame = renderer.render(pose, sun)
        again = renderer.render(pose, sun)
    for name in ("depth", "parts", "coverage", "pixels"):
        assert getattr(frame, name).tobytes() == getattr(plain, name).tobytes()
    assert frame.window == plain.window
    assert np.abs(frame.radiance - plain.radiance).max() > 0.005
    assert frame.radiance.tobytes() == again.radiance.tobytes()


# --- files


def test_a_model_has_the_same_light_each_time_and_another_one_another(tmp_path):
    model = toy()
    light = bake(model, receivers=200)
    raw = light_bytes(light)
    assert raw == light_bytes(bake(model, receivers=200))
    path = tmp_path / "toy.light.npz"
    assert read_light(path, model) is None
    path.write_bytes(raw)
    found = read_light(path, model)
    assert found is not None and found.key == light_key(model)
    assert np.array_equal(found.hits, light.hits) and found.hits.shape[1:] == (BINS, BINS)
    moved = replace(model, vertices=model.vertices + 1e-3)
    dyed = replace(model, materials=(replace(model.materials[0], base_color=(1.0, 0.0, 0.0)),
                                     *model.materials[1:]))  # fmt: skip
    for other in (moved, dyed):
        with pytest.raises(InputError, match="baked for another model"):
            read_light(path, other)
    path.write_bytes(raw[:1000])
    with pytest.raises(InputError, match="not a NumPy file to be read"):
        read_light(path, model)


@pytest.mark.parametrize("name", TARGETS)
def test_the_bundled_targets_have_light_that_was_baked_for_them(name):
    model = load_target(name)
    assert model.light is not None
    assert model.light.key == light_key(model)
    assert model.light.nodes.max() < len(model.light.normals) <= 6000
    assert len(model.light.levels) == len(model.faces)
    solver = Bounce(exchange_of(model.light))
    texels = solver.solve(sun_at(40.0, 20.0), 1.0, NOWHERE, np.full(3, 0.1), 0.43, 0.01)
    sent = texels.reshape(len(model.light.normals), -1, 4)[:, 3, :3]
    assert np.isfinite(texels).all() and sent.min() >= 0.0 and sent.max() < 1.5


def test_a_users_model_gets_light_by_command_and_is_refused_when_it_changes(tmp_path):
    path = tmp_path / "craft.stl"
    trimesh.util.concatenate([box((1, 1, 1)), box((1, 1, 0.1), (1.2, 0, 0))]).export(path)
    plain = scene_of(RenderOptions(target=path))
    assert plain.model.light is None and plain.config.target.light == ""
    words = [sys.executable, "-m", "satgen", "targets", "light", str(path), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert json.loads(done.stdout)["file"] == str(tmp_path / "craft.light.npz")
    lit = scene_of(RenderOptions(target=path))
    assert lit.model.light is not None and len(lit.config.target.light) == 64
    assert lit.config.identity() != plain.config.identity()
    assert type(lit.config).from_json(lit.config.to_json()) == lit.config
    box((1, 1, 2)).export(path)
    with pytest.raises(InputError, match="satgen targets light"):
        load_target(path)
