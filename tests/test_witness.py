"""satgen.witness: a second reading of model files, that sees what the first one gets wrong."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

import satgen
from satgen.errors import InputError
from satgen.targets import obj
from satgen.targets.load import load_target
from satgen.verify import verify, with_deep
from satgen.witness import Witness, read_witness
from tests.gltf_files import Gltf
from tests.test_meshes import in_time
from tests.test_ply import INDICES, XYZ, ply

CONCAVE = "v 0 0 0\nv 3 0 0\nv 3 1 0\nv 1 1 0\nv 1 2 0\nv 3 2 0\nv 3 3 0\nv 0 3 0\n"
CUBE = "".join(f"v {x} {y} {z}\n" for x, y, z in itertools.product((-1, 1), repeat=3))
SIDES = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
FACES = "".join("f " + " ".join(map(str, side)) + "\n" for side in SIDES)
BACKWARD = "".join("f " + " ".join(str(v - 9) for v in side) + "\n" for side in SIDES)
FAR = "".join(f"v {x + 4} {y} {z}\n" for x, y, z in itertools.product((-1, 1), repeat=3))
BALL = trimesh.creation.icosphere(2)
STRIP = (1, 0, 3, 2, 5, 4, 7, 6, -1, 6, 5, 7)
ROWS = [[float(x), float(y), 0.0] for x in range(4) for y in (0, 1)]

FILES: dict[str, tuple[str, bytes]] = {
    "concave": ("a.obj", (CONCAVE + "f 1 2 3 4 5 6 7 8\n").encode()),
    "concave, from elsewhere": ("a.obj", (CONCAVE + "f 4 5 6 7 8 1 2 3\n").encode()),
    "concave, the other way": ("a.obj", (CONCAVE + "f 8 7 6 5 4 3 2 1\n").encode()),
    "negative": ("a.obj", (CUBE + BACKWARD + FAR + BACKWARD).encode()),
    "CRLF, tabs, Latin-1": (
        "a.obj",
        ("# \xfc\n" + CUBE + FACES).replace(" ", "\t").replace("\n", "\r\n").encode("latin-1"),
    ),
    "strips": (
        "a.ply",
        ply(
            "binary_big_endian",
            [("vertex", XYZ, ROWS), ("tristrips", [("list int int", INDICES[0][1])], [[STRIP]])],
            "f\xfcr",
        ),
    ),
    "PLY text": ("a.ply", BALL.export(file_type="ply", encoding="ascii")),
    "STL": ("a.stl", BALL.export(file_type="stl")),
    "STL text": ("a.stl", BALL.export(file_type="stl_ascii").encode()),
    "glTF": (
        "a.glb",
        trimesh.Scene({"a": BALL, "b": trimesh.creation.box()}).export(file_type="glb"),
    ),
}


def area(corners: Any) -> float:
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(cross, axis=1).sum() / 2)


@pytest.mark.parametrize("kind", FILES)
def test_both_readings_agree(kind: str, tmp_path: Path) -> None:
    name, raw = FILES[kind]
    path = tmp_path / name
    path.write_bytes(raw)
    model = load_target(path, up="z")
    found = np.concatenate(read_witness(path).triangles)
    ours = model.vertices[model.faces]
    assert area(found) == pytest.approx(area(ours), rel=1e-6)
    for bound in (np.min, np.max):
        assert np.allclose(bound(found, axis=(0, 1)), bound(ours, axis=(0, 1)), atol=1e-6)


@pytest.mark.parametrize("form", ["a.obj", "a.ply"])
def test_polygons_that_lie_in_no_plane_are_cut_alike(form: str, tmp_path: Path) -> None:
    """Four to seven corners, convex from above: which way they are cut decides the surface."""
    rng = np.random.default_rng(5)
    points, polygons = [], []
    for size in (4, 4, 4, 4, 5, 6, 7):
        turn = np.arange(size) * 2 * np.pi / size + rng.uniform(0, 6)
        polygons.append(tuple(range(len(points), len(points) + size)))
        place = 3.0 * len(polygons)
        heights = rng.uniform(-0.5, 0.5, size)
        for angle, z in zip(turn, heights, strict=True):
            points.append([place + np.cos(angle), np.sin(angle), z])
    if form == "a.obj":
        lines = [f"v {x} {y} {z}" for x, y, z in points]
        lines += ["f " + " ".join(str(k + 1) for k in polygon) for polygon in polygons]
        (tmp_path / form).write_text("\n".join(lines))
    else:
        faces = [[polygon] for polygon in polygons]
        raw = ply("ascii", [("vertex", XYZ, points), ("face", INDICES, faces)])
        (tmp_path / form).write_bytes(raw)
    model = load_target(tmp_path / form)
    ours, theirs = (
        sorted(np.round(triangles.mean(axis=1), 4).tolist())
        for triangles in (
            model.vertices[model.faces],
            np.concatenate(read_witness(tmp_path / form).triangles),
        )
    )
    assert ours == theirs


def test_many_materials_take_no_longer_each(tmp_path: Path) -> None:
    """Half an hour where all points are gone over for each material."""
    triangle = "v {0} 0 0\nv {0} 1 0\nv {0} 0 1\nusemtl m{0}\nf -3 -2 -1\n"
    path = tmp_path / "many.obj"
    path.write_text("".join(map(triangle.format, range(60_000))))
    found = in_time(lambda: read_witness(path))
    assert isinstance(found, Witness)
    assert len(found.triangles) == 60_000


def test_many_primitives_of_shared_points_take_no_longer_each(tmp_path: Path) -> None:
    """As CAD exporters write them: half an hour where all points are read for each."""
    points = np.random.default_rng(0).uniform(-1, 1, (600_000, 3))
    index = np.arange(3, dtype=np.uint16)
    file = Gltf(POSITION=points, NORMAL=None, TEXCOORD_0=None, indices=index)
    file.doc["meshes"][0]["primitives"] *= 20_000
    path = file.write(tmp_path)
    found = in_time(lambda: read_witness(path))
    assert isinstance(found, Witness)
    assert len(found.triangles) == 20_000
    assert np.allclose(found.triangles[-1], points[:3])


def test_what_the_first_reading_gets_wrong_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that fans concave polygons renders a dataset that is whole, of another shape."""
    path = tmp_path / "a.obj"
    path.write_bytes(FILES["concave"][1])
    options: dict[str, Any] = {"start": 7000, "stop": 7001, "size": 64, "workers": 0}

    def fan(points: Any, sizes: Any) -> Any:
        return np.array([[0, k, k + 1] for k in range(1, 7)]), np.zeros(6, dtype=np.int64)

    satgen.render(path, tmp_path / "right", quiet=True, **options)
    monkeypatch.setattr(obj, "triangulate", fan)
    satgen.render(path, tmp_path / "wrong", quiet=True, **options)
    monkeypatch.undo()
    right, wrong = (with_deep(verify(tmp_path / name), 2) for name in ("right", "wrong"))
    assert right.ok, right.problems
    assert verify(tmp_path / "wrong").ok
    assert wrong.bad_frames == [7000, 7001]


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_cells_that_stand_proud_by_less_than_a_pixel_are_no_fault(
    scale: float, tmp_path: Path
) -> None:
    """A panel of 20 units with cells 0.003 proud, however large a unit is."""
    boxes = [trimesh.creation.box((20.0, 4.0, 0.05))]
    for x, y in itertools.product(range(-19, 20, 2), (-1, 1)):
        cell = trimesh.creation.box((0.8, 1.8, 0.003))
        cell.apply_translation([x / 2, y, 0.0265])
        boxes.append(cell)
    path = tmp_path / "panel.stl"
    path.write_bytes(trimesh.util.concatenate(boxes).export(file_type="stl"))
    options: dict[str, Any] = {"start": 5000, "stop": 8000, "step": 1000, "size": 192}
    satgen.render(path, tmp_path / "out", scale=scale, quiet=True, workers=0, **options)
    report = with_deep(verify(tmp_path / "out"), 4)
    assert report.ok, report.problems
    assert min(frame["compared"] for frame in report.deep) > 100


def test_holes_of_a_mask_are_no_fault(tmp_path: Path) -> None:
    """What may be seen through is taken at the depth image's word."""
    file = Gltf()
    file.material["alphaMode"] = "MASK"
    file.material["doubleSided"] = True
    pixels = np.full((8, 8, 4), 255, dtype=np.uint8)
    pixels[:, :4, 3] = 0
    file.material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": file.texture(pixels)}
    path = file.write(tmp_path)
    options: dict[str, Any] = {"start": 1500, "stop": 6600, "step": 1700, "size": 64}
    satgen.render(path, tmp_path / "out", quiet=True, workers=0, **options)
    report = with_deep(verify(tmp_path / "out"), 3)
    assert report.ok, report.problems


@pytest.mark.parametrize("raw", [b"", b"ply\nend_header\n", b"{}", b"[" * 100_000])
@pytest.mark.parametrize("name", ["a.ply", "a.obj", "a.stl", "a.gltf"])
def test_what_cannot_be_read_is_one_line(raw: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError, match="--deep") as caught:
        read_witness(tmp_path / name)
    assert "\n" not in str(caught.value)
