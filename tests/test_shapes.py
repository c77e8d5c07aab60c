"""satgen.modelling.shapes against trimesh, closed-form volumes and the rules every shape keeps."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from satgen.modelling import shapes as s
from satgen.modelling.assembly import connected_pieces

L_SHAPE = [(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0)]
PANEL = s.solar_panel(2.0, 1.5, 0.03, 20, 11, seed=3)

SHAPES: dict[str, Callable[[], s.Shape]] = {
    "box": lambda: s.box((1, 2, 3)),
    "box bevelled": lambda: s.box((1, 2, 3), 0.05),
    "box long": lambda: s.box((7, 2.3, 2.5), 0.03),
    "plate": lambda: s.plate(1, 2, 0.02),
    "prism": lambda: s.prism(L_SHAPE, 0.5),
    "prism bevelled, clockwise": lambda: s.prism(L_SHAPE[::-1], 0.5, 0.03),
    "prism tall": lambda: s.prism([(0, 0), (3, 0), (4, 2), (3, 4), (0, 4)], 5.0, 0.02),
    "blanket": lambda: s.blanket_box((2, 1.5, 3), 0.012, 0.25, seed=4),
    "blanket small": lambda: s.blanket_box((0.2, 0.1, 0.05), 0.004, 0.05),
    "cylinder": lambda: s.cylinder(1, 2, 33, 0.05),
    "cylinder large": lambda: s.cylinder(1.3, 5, 40),
    "cylinder open": lambda: s.cylinder(1, 2, caps=False),
    "cone": lambda: s.cone(1, 0.5, 1),
    "cone pointed": lambda: s.cone(0, 1, 1),
    "cone open": lambda: s.cone(1, 0.2, 1, caps=False),
    "tube": lambda: s.tube(1, 0.9, 2),
    "ring": lambda: s.ring(1, 0.1),
    "sphere": lambda: s.sphere(1),
    "hemisphere": lambda: s.hemisphere(1),
    "dish": lambda: s.dish(2, 0.4),
    "dish offset": lambda: s.dish(2, 0.4, offset=0.8),
    "dish elliptic": lambda: s.elliptic_dish(1.6, 0.8, 0.25),
    "nozzle": lambda: s.nozzle(0.02, 0.1, 0.2),
    "baffle": lambda: s.baffle(0.1, 0.3, 3),
    "baffle flared": lambda: s.baffle(0.1, 0.3, 4, flare=1.6),
    "strut": lambda: s.strut((0, 0, 0), (1, 1, 0.2), 0.05),
    "strut downward": lambda: s.strut((0, 0, 1), (0, 0, 0), 0.05),
    "pipe": lambda: s.pipe([(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 1.2)], 0.05),
    "truss of 4": lambda: s.truss((0, 0, 0), (0, 0, 4), 0.5, 5, 0.02),
    "truss of 3": lambda: s.truss((0, 0, 0), (4, 1, 0), 0.5, 5, 0.02, sides=3),
    "honeycomb": lambda: s.hex_honeycomb(1, 0.8, 0.05),
    "louvre": lambda: s.louvre(1, 0.6, 8),
    "panel front": lambda: PANEL["front"],
    "panel edge": lambda: PANEL["edge"],
    "panel back": lambda: PANEL["back"],
}


def solids(shape: s.Shape) -> list[trimesh.Trimesh]:
    """The connected solids of a shape, welded by position."""
    mesh = trimesh.Trimesh(shape.vertices, shape.faces, process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    groups = trimesh.graph.connected_components(
        mesh.face_adjacency, nodes=np.arange(len(mesh.faces))
    )
    return [mesh.submesh([g], append=True, repair=False) for g in groups]


def assert_sound(shape: s.Shape) -> None:
    for solid in solids(shape):
        assert solid.is_watertight
        assert solid.is_winding_consistent
        assert solid.volume > 0
    for array in (shape.vertices, shape.normals, shape.uv):
        assert np.isfinite(array).all()
    assert np.allclose(np.linalg.norm(shape.normals, axis=1), 1.0)
    tri = shape.vertices[shape.faces]
    cross = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    area = np.linalg.norm(cross, axis=1)
    assert area.min() > 2e-9
    facing = np.einsum("fi,fki->fk", cross / area[:, None], shape.normals[shape.faces])
    assert facing.min() > 0.5  # a bevel's corner has the three faces' normals: 1/sqrt(3)
    uv = shape.uv[shape.faces]
    e1, e2 = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    assert np.all(e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0] > 0)  # (u, v, normal) right-handed
    assert set(np.unique(shape.faces)) == set(range(len(shape.vertices)))


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_closed_outward_and_mapped(name: str) -> None:
    assert_sound(SHAPES[name]())


@pytest.mark.parametrize("name", SHAPES)
def test_moving_turning_and_mirroring_keep_it_sound(name: str) -> None:
    shape = SHAPES[name]()
    moved = shape.mirror("y").rotate((1.0, 2.0, -0.5), 37.0).translate((1, -2, 3)).scale(1.5)
    assert_sound(moved)
    volume = sum(m.volume for m in solids(shape))
    assert sum(m.volume for m in solids(moved)) == pytest.approx(1.5**3 * volume, rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "volume"),
    [
        (s.box((1, 2, 3)), 6.0),
        (s.box((7, 2, 3)), 42.0),
        (s.prism(L_SHAPE, 0.5), 1.5),
        (s.cylinder(1.3, 5, 400), math.pi * 1.3**2 * 5),
        (s.cone(1, 0, 3, 400), math.pi),
        (s.tube(1, 0.9, 2, 400), math.pi * 0.19 * 2),
        (s.ring(1, 0.1, 300, 300), 2 * math.pi**2 * 0.01),
        (s.sphere(1, 200, 100), 4 / 3 * math.pi),
        (s.hemisphere(1, 200, 60), 2 / 3 * math.pi),
        (s.dish(2, 0.4, 0.001, 200, 40), 0.001 * 3.6030),
    ],
)
def test_volumes_match_their_formulas(shape: s.Shape, volume: float) -> None:
    assert sum(m.volume for m in solids(shape)) == pytest.approx(volume, rel=4e-3)


def test_dish_is_the_paraboloid_that_it_says() -> None:
    for offset in (0.0, 0.7):
        dish = s.dish(2.0, 0.4, 0.01, offset=offset)
        front = dish.normals[:, 2] > 0.5
        x, y, z = dish.vertices[front].T
        focal = 2.0**2 / (16 * 0.4)
        wanted = ((x + offset) ** 2 + y**2 - offset**2) / (4 * focal)
        on_front = np.abs(z - wanted) < 1e-12
        assert on_front.sum() >= 48 * 8
        # rays along -z meet in the focus
        n = dish.normals[front][on_front]
        p = dish.vertices[front][on_front]
        d = np.array([0, 0, -1.0]) - 2 * n * n[:, 2:3] * -1.0
        focus = np.array([-offset, 0.0, focal - offset**2 / (4 * focal)])
        miss = np.linalg.norm(np.cross(focus - p, d), axis=1)
        smooth = (
            np.abs(
                n[:, 2] - 1 / np.sqrt(1 + ((p[:, 0] + offset) ** 2 + p[:, 1] ** 2) / (4 * focal**2))
            )
            < 1e-9
        )
        assert smooth.sum() >= 48 * 8
        assert miss[smooth].max() < 1e-9


def test_sphere_normals_are_radial() -> None:
    ball = s.sphere(2.0)
    assert np.allclose(ball.normals, ball.vertices / 2.0, atol=1e-12)


@pytest.mark.parametrize("shape", [s.hemisphere(0.5, 32, 8), s.sphere(0.5, 32, 16)])
def test_domes_wear_their_texture_without_pinch_or_seam(shape: s.Shape) -> None:
    """Nowhere is the texture squeezed by more than a hemisphere's flat map must, pi / 2."""
    dome = np.linalg.norm(shape.vertices, axis=1)[shape.faces].min(axis=1) > 0.499
    tri, uv = shape.vertices[shape.faces[dome]], shape.uv[shape.faces[dome]]
    e1, e2 = tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]
    x = e1 / np.linalg.norm(e1, axis=1, keepdims=True)
    y = np.cross(np.cross(e1, e2), x)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    flat = np.stack([[np.sum(a * b, axis=1) for b in (e1, e2)] for a in (x, y)]).transpose(2, 0, 1)
    spread = np.stack([uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]], axis=-1)
    stretch = np.linalg.svd(spread @ np.linalg.inv(flat), compute_uv=False)
    assert stretch.max() < math.pi / 2 + 0.02
    assert stretch.min() > 0.98
    pieces = connected_pieces(len(shape.vertices), shape.faces[dome])
    assert len(np.unique(pieces[shape.faces[dome]])) == 2


def test_flat_uv_are_metres() -> None:
    plate = s.box((2.0, 1.0, 0.1))
    tri, uv = plate.vertices[plate.faces], plate.uv[plate.faces]
    for a, b in ((0, 1), (1, 2), (2, 0)):
        length = np.linalg.norm(tri[:, a] - tri[:, b], axis=1)
        assert np.allclose(np.linalg.norm(uv[:, a] - uv[:, b], axis=1), length)


def test_large_sides_are_cut_into_pieces() -> None:
    for shape in (s.box((9, 3, 4)), s.cylinder(1.5, 6), s.blanket_box((6, 3, 3), 0.01, 0.4)):
        piece = connected_pieces(len(shape.vertices), shape.faces)
        for k in range(piece.max() + 1):
            mine = piece == k
            if np.abs(shape.normals[mine, 2]).max() < 0.999:  # the round ends stay whole
                assert np.ptp(shape.uv[mine], axis=0).max() <= s.MAX_PIECE + 1e-9


def test_blanket_stays_within_its_puff() -> None:
    blanket = s.blanket_box((2.0, 1.0, 3.0), puff=0.02, cell=0.2)
    assert np.all(blanket.bounds[1] <= np.array([1.0, 0.5, 1.5]) + 0.02 + 1e-12)
    assert np.all(blanket.bounds[1] >= np.array([1.0, 0.5, 1.5]) - 0.01)


def test_solar_panel_has_the_size_and_the_cells_asked_for() -> None:
    edge, front, back = PANEL["edge"], PANEL["front"], PANEL["back"]
    assert np.allclose(edge.bounds, [[-1, -0.75, -0.015], [1, 0.75, 0.015]])
    assert front.uv_unit
    assert not back.uv_unit
    assert front.bounds[1, 2] == pytest.approx(0.020)
    assert back.bounds[0, 2] == pytest.approx(-0.020)
    top = front.normals[:, 2] > 0.9
    tri = front.faces[top[front.faces].all(axis=1)]
    uv = front.uv[tri] * s.CELLS_PER_TILE
    e1, e2 = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = 0.5 * np.abs(e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0])
    assert area.sum() == pytest.approx(20 * 11)
    assert np.allclose(uv, np.round(uv))


@settings(max_examples=40)
@given(
    axis=st.tuples(*[st.floats(-1, 1) for _ in range(3)]).filter(
        lambda v: sum(c * c for c in v) > 1e-3
    ),
    deg=st.floats(-720, 720),
)
def test_rotation_is_a_rotation(axis: tuple[float, float, float], deg: float) -> None:
    rot = s.rotation(axis, deg)
    assert np.allclose(rot @ rot.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rot) == pytest.approx(1.0)
    assert np.allclose(rot @ axis, axis, atol=1e-12)
    other = trimesh.transformations.rotation_matrix(math.radians(deg), axis)[:3, :3]
    assert np.allclose(rot, other, atol=1e-9)


@settings(max_examples=40)
@given(
    st.tuples(*[st.floats(-1, 1) for _ in range(3)]).filter(lambda v: sum(c * c for c in v) > 1e-3)
)
def test_aim_turns_z_to_the_direction(direction: tuple[float, float, float]) -> None:
    tip = s.box((0.1, 0.1, 2.0)).aim(direction).vertices
    unit = np.asarray(direction) / np.linalg.norm(direction)
    assert (tip @ unit).max() == pytest.approx(1.0)
    assert s.strut((0, 0, 0), direction, 0.01).bounds.shape == (2, 3)


@settings(max_examples=25)
@given(
    st.lists(st.floats(0.3, 2.0), min_size=3, max_size=14),
    st.floats(0.05, 3.0),
    st.sampled_from([0.0, 0.01]),
)
def test_star_shaped_prisms_are_sound(radii: list[float], height: float, bevel: float) -> None:
    t = np.arange(len(radii)) * (2 * math.pi / len(radii))
    polygon = np.column_stack([radii * np.cos(t), radii * np.sin(t)])
    area = 0.5 * abs(
        float(
            np.sum(
                polygon[:, 0] * np.roll(polygon[:, 1], -1)
                - np.roll(polygon[:, 0], -1) * polygon[:, 1]
            )
        )
    )
    shape = s.prism(polygon, height)
    (solid,) = solids(shape)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(area * height, rel=1e-6)
    if bevel:
        assert all(m.is_watertight for m in solids(s.prism(polygon, height, bevel)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: s.box((1, 0, 1)),
        lambda: s.cylinder(1, -1),
        lambda: s.tube(1, 1, 1),
        lambda: s.prism([(0, 0), (1, 1)], 1),
        lambda: s.prism([(0, 0), (1, 1), (1, 0), (0, 1)], 1),
        lambda: s.revolve([(-1, 0), (1, 0), (1, 1)]),
        lambda: s.truss((0, 0, 0), (1, 0, 0), 0.1, 2, 0.01, sides=5),
        lambda: s.join(),
        lambda: s.join(PANEL["front"], PANEL["edge"]),
        lambda: s.box((1, 1, 1)).scale(-1),
        lambda: s.pipe([(0, 0, 0)], 0.1),
    ],
)
def test_impossible_shapes_are_refused(make: Callable[[], s.Shape]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        make()
