"""satgen.targets.ply: what a PLY file says, in each of its formats, against trimesh and by hand."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from satgen.colour import srgb_decode
from satgen.errors import InputError
from satgen.model import TargetModel
from satgen.targets.load import load_target
from satgen.targets.pieces import DEFAULT_MATERIAL
from satgen.witness import read_witness

CORNERS = list(itertools.product((-1.0, 1.0), repeat=3))
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
XYZ = [("float", "x"), ("float", "y"), ("float", "z")]
RGB = [("uchar", "red"), ("uchar", "green"), ("uchar", "blue")]
INDICES = [("list uchar int", "vertex_indices")]
CODES = {"float": "f", "double": "d", "uchar": "B", "int": "i", "ushort": "H"}
FORMATS = ["ascii", "binary_little_endian", "binary_big_endian"]

Element = tuple[str, list[tuple[str, str]], list[list[Any]]]


def ply(kind: str, elements: list[Element], *comments: str, end: str = "\n") -> bytes:
    """A PLY file; of a row a tuple is a list."""
    head = ["ply", f"format {kind} 1.0", *(f"comment {c}" for c in comments)]
    body = b""
    for name, properties, rows in elements:
        head.append(f"element {name} {len(rows)}")
        head += [f"property {form} {label}" for form, label in properties]
        for row in rows:
            words: list[str] = []
            for (form, _), value in zip(properties, row, strict=True):
                values = list(value) if isinstance(value, tuple) else [value]
                if kind == "ascii":
                    words += [str(len(values))] if form.startswith("list") else []
                    words += map(str, values)
                    continue
                order = "<" if "little" in kind else ">"
                if form.startswith("list"):
                    _, length, form = form.split()
                    body += struct.pack(order + CODES[length], len(values))
                body += struct.pack(f"{order}{len(values)}{CODES[form]}", *values)
            if kind == "ascii":
                body += (" ".join(words) + end).encode()
    return (end.join([*head, "end_header"]) + end).encode("latin-1") + body


def load(tmp_path: Path, raw: bytes) -> TargetModel:
    path = tmp_path / "model.ply"
    path.write_bytes(raw)
    return load_target(path)


def corner_colours(model: TargetModel) -> Any:
    """Linear colours (F, 3, 3) of all corners."""
    assert model.colours is not None
    base = np.array([m.base_color for m in model.materials])[model.face_material]
    return model.colours[model.faces][..., :3] * base[:, None]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_vertex_colours_are_those_of_the_vertices(kind: str, end: str, tmp_path: Path) -> None:
    rows = [[*xyz, *(200 if c > 0 else 55 for c in xyz)] for xyz in CORNERS]
    faces = [[side] for side in SIDES]
    raw = ply(kind, [("vertex", XYZ + RGB, rows), ("face", INDICES, faces)], "f\xfcr", end=end)
    model = load(tmp_path, raw)
    assert model.warnings == ()
    assert len(model.faces) == 12
    expected = srgb_decode(np.where(model.vertices[model.faces] > 0, 200, 55) / 255.0)
    assert np.allclose(corner_colours(model), expected, atol=1e-6)


@pytest.mark.parametrize("kind", FORMATS)
def test_strips_may_stand_beside_an_empty_list_of_faces(kind: str, tmp_path: Path) -> None:
    points: Element = ("vertex", XYZ, [list(c) for c in CORNERS])
    strips: Element = ("tristrips", INDICES, [[(0, 1, 2, 3)]])
    model = load(tmp_path, ply(kind, [points, ("face", INDICES, []), strips]))
    assert len(model.faces) == 2
    with pytest.raises(InputError, match="no triangles in it"):
        load(tmp_path, ply(kind, [points, ("face", INDICES, [])]))


HEADER_ENDS = {
    "blanks after it": (b"end_header\n", b"end_header \t\n"),
    "named before": (b"ply\n", b"ply\ncomment the end_header\ncomment end_header\n"),
    "carriage returns": (b"\n", b"\r"),
}


@pytest.mark.parametrize("end", HEADER_ENDS)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_header_ends_with_a_line_of_its_own(kind: str, end: str, tmp_path: Path) -> None:
    faces = [[side] for side in SIDES]
    raw = ply(kind, [("vertex", XYZ, [list(c) for c in CORNERS]), ("face", INDICES, faces)])
    head, mark, body = raw.partition(b"end_header\n")
    model = load(tmp_path, (head + mark).replace(*HEADER_ENDS[end]) + body)
    assert len(model.faces) == 12
    assert np.allclose(model.extents, (2.0, 2.0, 2.0))
    found = np.concatenate(read_witness(tmp_path / "model.ply").triangles)
    assert np.allclose(np.ptp(found.reshape(-1, 3), axis=0), (2.0, 2.0, 2.0))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(("form", "most"), [("ushort", 65535), ("float", 1.0), ("double", 1.0)])
def test_colours_go_as_far_as_their_type(kind: str, form: str, most: float, tmp_path: Path) -> None:
    rows = [[*xyz, *(most if c > 0 else most / 5 for c in xyz)] for xyz in CORNERS]
    if form == "ushort":
        rows = [[*row[:3], *map(int, row[3:])] for row in rows]
    columns = XYZ + [(form, label) for _, label in RGB]
    faces = [[side] for side in SIDES]
    model = load(tmp_path, ply(kind, [("vertex", columns, rows), ("face", INDICES, faces)]))
    expected = srgb_decode(np.where(model.vertices[model.faces] > 0, 1.0, 0.2))
    assert np.allclose(corner_colours(model), expected, atol=1e-6)


@pytest.mark.parametrize("kind", FORMATS)
def test_face_colours_are_those_of_the_faces(kind: str, tmp_path: Path) -> None:
    """Quads and triangles in one, so that lists have different lengths."""
    faces: list[list[Any]] = [
        [side, *((255, 0, 0) if k % 2 else (0, 0, 255))] for k, side in enumerate(SIDES)
    ]
    faces[0:1] = [[(0, 1, 3), 0, 0, 255], [(0, 3, 2), 0, 0, 255]]
    raw = ply(kind, [("vertex", XYZ, [list(c) for c in CORNERS]), ("face", INDICES + RGB, faces)])
    model = load(tmp_path, raw)
    assert model.warnings == ()
    middle = model.vertices[model.faces].mean(axis=1)
    upper = middle[np.arange(12), np.abs(middle).argmax(axis=1)] > 0
    expected = np.where(upper[:, None, None], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    assert np.allclose(corner_colours(model), expected)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("wedge", [False, True])
def test_textures_lie_as_coordinates_say(kind: str, wedge: bool, tmp_path: Path) -> None:
    Image.new("RGB", (4, 2), (200, 0, 0)).save(tmp_path / "a red.png")
    square = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    if wedge:
        vertex: Element = ("vertex", XYZ, [[x, y, 0.0] for x, y in square])
        lists = [*INDICES, ("list uchar float", "texcoord")]
        uv = tuple(c for x, y in square for c in (x / 2, y / 4))
        face: Element = ("face", lists, [[(0, 1, 2, 3), uv]])
    else:
        columns = [*XYZ, ("float", "s"), ("float", "t")]
        vertex = ("vertex", columns, [[x, y, 0.0, x / 2, y / 4] for x, y in square])
        face = ("face", INDICES, [[(0, 1, 2, 3)]])
    model = load(tmp_path, ply(kind, [vertex, face], "TextureFile a red.png"))
    assert model.warnings == ()
    (material,) = model.materials
    assert material.base_color_image is not None
    assert material.base_color_image.shape == (2, 4, 3)
    assert np.allclose(model.uv, model.vertices[:, :2] * (0.5, -0.25) + (0.0, 1.0))


def test_a_texture_for_each_number(tmp_path: Path) -> None:
    for name, colour in (("r", (200, 0, 0)), ("b", (0, 0, 200))):
        Image.new("RGB", (2, 2), colour).save(tmp_path / f"{name}.png")
    lists = [*INDICES, ("list uchar float", "texcoord"), ("int", "texnumber")]
    uv = (0.1,) * 6
    faces = [[(0, 1, 2), uv, 1], [(1, 2, 3), uv, 0], [(0, 1, 3), uv, 7]]
    rows = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    raw = ply(
        "ascii",
        [("vertex", XYZ, rows), ("face", lists, faces)],
        "TextureFile r.png",
        "TextureFile b.png",
    )
    model = load(tmp_path, raw)
    shown = {}
    for material, mine in zip(model.materials, range(3), strict=True):
        image = material.base_color_image
        normal = np.cross(
            *np.diff(model.vertices[model.faces[model.face_material == mine]][0], axis=0)
        )
        shown[tuple(np.abs(np.sign(normal)).astype(int))] = (
            None if image is None else image[0, 0, 0]
        )
    assert shown == {(0, 0, 1): 0, (1, 1, 1): 200, (0, 1, 0): None}


@pytest.mark.parametrize("kind", FORMATS)
def test_strips_are_wound_alike(kind: str, tmp_path: Path) -> None:
    """Two strips: a row of squares, and one triangle."""
    rows = [[float(x), float(y), 0.0] for x in range(4) for y in (0, 1)] + [[9.0, 0.0, 0.0]]
    strip = (1, 0, 3, 2, 5, 4, 7, 6, -1, 6, 8, 7)
    lists = [("list int int", "vertex_indices")]
    model = load(tmp_path, ply(kind, [("vertex", XYZ, rows), ("tristrips", lists, [[strip]])]))
    corners = model.vertices[model.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert len(model.faces) == 7
    assert (cross[:, 2] > 0).all()
    assert cross[:, 2].sum() / 2 == pytest.approx(3.0 + 3.0)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_a_ball_of_trimeshs_is_the_same(encoding: str, tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(3)
    ball.visual.vertex_colors = np.random.default_rng(0).integers(0, 255, (len(ball.vertices), 4))
    ball.visual.vertex_colors[:, 3] = 255
    raw = ball.export(file_type="ply", encoding=encoding, vertex_normal=True)
    model = load(tmp_path, raw)
    assert np.allclose(model.vertices[model.faces], ball.vertices[ball.faces], atol=1e-6)
    assert np.allclose(model.normals[model.faces], ball.vertices[ball.faces], atol=0.02)
    expected = srgb_decode(ball.visual.vertex_colors[:, :3] / 255.0)[ball.faces]
    assert np.allclose(corner_colours(model), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda e: e.append(("edge", [("int", "a")], [[0], [1]])),
            "ignores its element 'edge' of 2",
        ),
        (
            lambda e: e.__setitem__(
                0, ("vertex", [*XYZ, ("float", "shine")], [[*c, 1.0] for c in CORNERS])
            ),
            "ignores property 'shine' of its element 'vertex'",
        ),
    ],
)
def test_what_is_not_drawn_is_told(change: Any, told: str, tmp_path: Path) -> None:
    elements: list[Element] = [
        ("vertex", XYZ, [list(c) for c in CORNERS]),
        ("face", INDICES, [[side] for side in SIDES]),
    ]
    change(elements)
    assert load(tmp_path, ply("binary_big_endian", elements)).warnings == (told,)


def test_a_texture_that_is_missing_leaves_grey(tmp_path: Path) -> None:
    columns = [*XYZ, ("float", "s"), ("float", "t")]
    rows = [[*c, 0.5, 0.5] for c in CORNERS]
    elements: list[Element] = [("vertex", columns, rows), ("face", INDICES, [[s] for s in SIDES])]
    model = load(tmp_path, ply("ascii", elements, "TextureFile gone.png"))
    assert model.warnings == ("ignores texture 'gone.png': missing",)
    assert model.materials[0].base_color == DEFAULT_MATERIAL.base_color


CUBE = ply(
    "ascii",
    [("vertex", XYZ, [list(c) for c in CORNERS]), ("face", INDICES, [[s] for s in SIDES])],
)


@pytest.mark.parametrize(
    "raw",
    [
        b"ply\n",
        CUBE[:-20],
        CUBE.replace(b"4 0 1 3 2", b"4 0 1 3 9"),
        CUBE.replace(b"4 0 1 3 2", b"4 0 1 3 -2"),
        CUBE.replace(b"4 0 1 3 2", b"4 0 1 3 2.5"),
        CUBE.replace(b"4 0 1 3 2", b"4 0 1 3 nan"),
        CUBE.replace(b"4 0 1 3 2", b"1e30 0 1 3 2"),
        CUBE.replace(b"4 0 1 3 2", b"-4 0 1 3 2"),
        CUBE.replace(b"4 0 1 3 2", b"four 0 1 3 2"),
        CUBE.replace(b"vertex 8", b"vertex 8000000000"),
        CUBE.replace(b"vertex 8", b"vertex -8"),
        CUBE.replace(b"property float x", b"property quad x"),
        CUBE.replace(b"property float x", b"property list uchar float x"),
        CUBE.replace(b"property float x\n", b""),
        CUBE.replace(b"format ascii", b"format morse"),
        CUBE.replace(b"-1.0 -1.0 -1.0", b"nan -1.0 -1.0"),
    ],
)
def test_broken_files_are_one_line_errors(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.ply") as caught:
        load(tmp_path, raw)
    assert "\n" not in str(caught.value)
