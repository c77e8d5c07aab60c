"""Kinds of mesh files that users have: each gives, through a render, what it says or a warning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import satgen
from satgen import run
from satgen.errors import InputError
from satgen.model import TargetModel
from satgen.options import RenderOptions
from satgen.rendering.reference import ReferenceRenderer
from satgen.targets.load import load_target
from satgen.targets.pieces import DEFAULT_MATERIAL
from satgen.targets.polygons import triangulate
from satgen.verify import verify
from tests.gltf_files import Gltf
from tests.limits import PATIENCE_S

CORNERS = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
SIDES = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
POINTS = "".join(f"v {x} {y} {z}\n" for x, y, z in CORNERS)
FACES = "".join("f " + " ".join(map(str, side)) + "\n" for side in SIDES)
CUBE = POINTS + FACES
MAPPED = (
    POINTS
    + "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl m\n"
    + "".join("f " + " ".join(f"{v}/{k}" for k, v in enumerate(s, 1)) + "\n" for s in SIDES)
)
BACKWARD = "".join("f " + " ".join(str(v - 9) for v in side) + "\n" for side in SIDES)
RED_MTL = "newmtl m\nKd 0.6 0 0\n"
WHITE_MAPPED = "newmtl m\nKd 1 1 1\nmap_Kd "
FAR = "".join(f"v {x + 4} {y} {z}\n" for x, y, z in CORNERS)
SHELL = "".join(f"v {3 * x} {3 * y} {3 * z}\n" for x, y, z in CORNERS)
SHELL_FACES = "".join("f " + " ".join(str(v + 8) for v in side) + "\n" for side in SIDES)


def mapped(library: str = "m.mtl") -> str:
    return f"mtllib {library}\n{MAPPED}"


APART = unicodedata.normalize("NFD", "M\xfcll.mtl")

RED_OBJ: dict[str, tuple[str, dict[str, str | bytes]]] = {
    "absolute path": (mapped(), {"m.mtl": WHITE_MAPPED + "/tex/red.png"}),
    "Windows path": (mapped(), {"m.mtl": WHITE_MAPPED + r"C:\Users\me\red.png"}),
    "other case": (mapped("M.MTL"), {"m.mtl": WHITE_MAPPED.upper().lower() + "RED.PNG"}),
    "accents apart": (mapped("M\xfcll.mtl"), {APART: RED_MTL}),
    "accents apart in the file": (mapped(APART), {"m\xfcll.mtl": RED_MTL}),
    "backslash": (mapped(), {"m.mtl": WHITE_MAPPED + r"sub\crimson.png"}),
    "options": (mapped(), {"m.mtl": WHITE_MAPPED + "-o 0 0 0 -blendu on -s 1 1 red.png"}),
    "clamped": (mapped(), {"m.mtl": WHITE_MAPPED + "-clamp on red.png"}),
    "tabs in the library": (
        mapped().replace("mtllib ", "mtllib\t"),
        {"m.mtl": "newmtl m\n\tKd 1 1 1\n\tmap_Kd\tred.png\n"},
    ),
    "tabs and CRLF": (
        ("mtllib m.mtl\nusemtl m\n" + CUBE).replace(" ", "\t").replace("\n", "\r\n"),
        {"m.mtl": "newmtl\tm\t\r\n\tKd\t0.6\t0\t0\t\r\n"},
    ),
    "backslashed library": (mapped(r".\m.mtl"), {"m.mtl": RED_MTL}),
    "quoted library": (mapped('"my paint.mtl"'), {"my paint.mtl": RED_MTL}),
    "library with a blank": (mapped("my paint.mtl"), {"my paint.mtl": RED_MTL}),
    "two libraries": (
        mapped("one.mtl m.mtl"),
        {"one.mtl": "newmtl z\nKd 0 0 1\n", "m.mtl": RED_MTL},
    ),
    "two statements": (
        "mtllib one.mtl\n" + mapped(),
        {"one.mtl": "newmtl z\nKd 0 0 1\n", "m.mtl": RED_MTL},
    ),
    "missing texture": (mapped(), {"m.mtl": RED_MTL + "map_Kd gone.png\n"}),
    "texture without coordinates": (
        "mtllib m.mtl\nusemtl m\n" + CUBE,
        {"m.mtl": RED_MTL + "map_Kd red.png\n"},
    ),
    "Latin-1": (mapped("gr\xfcn.mtl"), {"gr\xfcn.mtl": ("# f\xfcr\n" + RED_MTL).encode("latin-1")}),
    "continued lines": (
        "mtllib m.mtl\nusemtl m\n" + CUBE.replace("f 1 2 4 3", "f 1 2 \\\n 4 3"),
        {"m.mtl": RED_MTL},
    ),
    "clear shell": (
        f"mtllib m.mtl\n{POINTS}{SHELL}o red\nusemtl m\n{FACES}"
        f"o shell\nusemtl glass\n{SHELL_FACES}",
        {"m.mtl": RED_MTL + "newmtl glass\nKd 1 1 1\nd 0.0\n"},
    ),
}
"""What must be drawn red: the OBJ file and what lies beside it."""


def written(folder: Path, obj: str | bytes, beside: dict[str, str | bytes]) -> Path:
    """The files of a model; red.png and sub/crimson.png lie beside it."""
    (folder / "sub").mkdir()
    for name in ("red.png", "sub/crimson.png"):
        Image.new("RGB", (4, 4), (200, 0, 0)).save(folder / name)
    for name, text in beside.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    path = folder / "model.obj"
    path.write_bytes(obj if isinstance(obj, bytes) else obj.encode())
    return path


def rendered(path: Path) -> tuple[list[str], NDArray[np.uint8], NDArray[np.uint8]]:
    """What a short render's dataset.json warns of; covered pixels' colours (K, 3), labels (K,)."""
    out = path.parent / "out"
    satgen.render(path, out, start=1500, stop=6600, step=1700, size=64, workers=0, quiet=True)
    told = json.loads((out / "dataset.json").read_text())["target"].get("warnings", [])
    rgb = np.stack([np.asarray(Image.open(f)) for f in sorted((out / "rgb").glob("*.png"))])
    parts = np.stack([np.asarray(Image.open(f)) for f in sorted((out / "parts").glob("*.png"))])
    assert (parts > 0).any()
    return told, rgb[parts > 0], parts[parts > 0]


@pytest.mark.parametrize("kind", RED_OBJ)
def test_red_objects_are_drawn_red(kind: str, tmp_path: Path) -> None:
    warnings, rgb, labels = rendered(written(tmp_path, *RED_OBJ[kind]))
    red, green, blue = rgb.astype(float).mean(axis=0)
    assert red > 60
    assert max(green, blue) < 0.25 * red
    assert set(labels) == {1}
    warned = {"missing texture", "texture without coordinates", "clear shell", "clamped"}
    assert len(warnings) == (kind in warned)


@pytest.mark.parametrize("library", ["mtllib gone.mtl\n", "mtllib m.mtl\n", ""])
def test_unknown_and_silent_materials_are_the_same_grey(library: str, tmp_path: Path) -> None:
    path = written(tmp_path, library + MAPPED, {"m.mtl": "newmtl M\nKd 0.6 0 0\n"})
    model = load_target(path)
    assert model.materials[0].base_color == DEFAULT_MATERIAL.base_color
    assert model.warnings
    (tmp_path / "m.mtl").write_text("newmtl m\n")
    assert load_target(path).materials[0].base_color == DEFAULT_MATERIAL.base_color
    _, rgb, _ = rendered(path)
    assert rgb.astype(float).mean() > 60


@pytest.mark.parametrize(
    ("text", "parts", "size"),
    [
        (CUBE.encode(), 1, (2, 2, 2)),
        (("# Geh\xe4use\n" + CUBE).encode("latin-1"), 1, (2, 2, 2)),
        (("\ufeff" + CUBE).encode(), 1, (2, 2, 2)),
        (CUBE.encode("utf-16"), 1, (2, 2, 2)),
        ((POINTS + BACKWARD + FAR + BACKWARD).encode(), 1, (6, 2, 2)),
        (("g bus\n" + CUBE.replace("f 3 4", "g panel\nf 3 4")).encode(), 2, (2, 2, 2)),
        (("o a\n" + CUBE.replace("f 3 4", "usemtl x\nf 3 4")).encode(), 1, (2, 2, 2)),
        ((f"o a\n{POINTS}g x\n{FACES}o b\n{FAR}g x\n{BACKWARD}").encode(), 2, (6, 2, 2)),
        (("  " + CUBE.replace("\n", " # it\n  ")).encode(), 1, (2, 2, 2)),
        (CUBE.replace("\n", " # C:\\x\\\n").replace("v 1", "v \\\n1").encode(), 1, (2, 2, 2)),
        (("# C:\\craft\\\r\n" + CUBE.replace("\n", "\r\n")).encode(), 1, (2, 2, 2)),
    ],
)
def test_objects_load_with_their_parts_and_size(
    text: bytes, parts: int, size: tuple[int, int, int], tmp_path: Path
) -> None:
    path = written(tmp_path, text, {})
    model = load_target(path)
    assert np.allclose(model.extents, size)
    assert len(model.parts) == parts
    _, _, labels = rendered(path)
    assert set(labels) == set(range(1, parts + 1))


def test_concave_polygons_keep_their_area(tmp_path: Path) -> None:
    outline = [(0, 0), (3, 0), (3, 1), (1, 1), (1, 2), (3, 2), (3, 3), (0, 3)]
    for shown in (outline, outline[::-1], outline[3:] + outline[:3]):
        xyz = np.array([(x, 1.0, y) for x, y in shown])
        triangles, polygon = triangulate(xyz, np.array([8]))
        corners = xyz[triangles]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
        assert np.linalg.norm(cross, axis=1).sum() == pytest.approx(7.0)
        # all one way round, the outline's
        flat = np.array(shown, dtype=float)
        x, y = flat.T
        signed = (x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        assert -cross[:, 1].sum() == pytest.approx(signed)
        assert len(triangles) == 6
        assert set(polygon) == {0}


def test_a_gon_of_twenty_thousand_corners_loads(tmp_path: Path) -> None:
    turn = np.linspace(0, 2 * np.pi, 20001)[:-1]
    reach = 1.0 + 0.3 * np.cos(40 * turn)
    text = "".join(
        f"v {r * np.cos(a)} {r * np.sin(a)} 0\n" for a, r in zip(turn, reach, strict=True)
    )
    path = written(tmp_path, text + "f " + " ".join(map(str, range(1, 20001))) + "\n", {})
    model = load_target(path)
    corners = model.vertices[model.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.pi * (1 + 0.3**2 / 2)
    assert np.linalg.norm(cross, axis=1).sum() / 2 == pytest.approx(area, rel=1e-3)


def groups(count: int) -> str:
    """An OBJ file of triangles in rows of twenty, each a group of its own."""
    corners = "v {0} {1} 0\nv {0} {1}.9 0\nv {0}.9 {1}.5 0\n"
    return "".join(f"{corners.format(k % 20, k // 20)}g n{k}\nf -3 -2 -1\n" for k in range(count))


def test_twenty_thousand_groups_are_parts(tmp_path: Path) -> None:
    model = in_time(lambda: load_target(written(tmp_path, groups(20_000), {})))
    assert isinstance(model, TargetModel)
    assert len(model.parts) == 20_000
    assert model.face_part.tolist() == list(range(1, 20_001))
    assert model.warnings == ()


def test_three_hundred_parts_have_sixteen_bit_labels(tmp_path: Path) -> None:
    path = written(tmp_path, groups(300), {})
    out = tmp_path / "out"
    options = {"size": 320, "start": 1530, "stop": 1532, "step": 2}
    data = satgen.render(path, out, workers=0, quiet=True, **options)
    assert data.description["images"]["parts"]["bits"] == 16
    parts = data.parts(1530)
    assert parts.dtype == np.uint16
    assert set(range(301)) - set(np.unique(parts).tolist()) == set()
    # each where the file has it
    points = data[1530].points
    assert (
        points.parts.tolist()
        == (1 + np.floor(points.xyz[:, 0]) + 20 * np.floor(points.xyz[:, 1])).astype(int).tolist()
    )
    report = verify(out)
    assert report.ok, report.problems
    assert data[1530].points.parts.max() == 300
    frame = satgen.render_frame(path, 1530, size=320)
    assert np.array_equal(frame.parts, parts)
    with ReferenceRenderer(load_target(path), frame.camera) as reference:
        other = reference.images(frame.pose, frame.sun)
    assert np.mean(other.parts == parts) > 0.99
    assert set(np.unique(other.parts)) == set(range(301))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CUBE + "l 1 2\nl 2 3\n", "ignores 2 statements 'l'"),
        (CUBE + "curv 0 1 1 2\n", "ignores 1 statement 'curv'"),
    ],
)
def test_what_is_not_drawn_is_told_once(text: str, told: str, tmp_path: Path) -> None:
    assert load_target(written(tmp_path, text, {})).warnings == (told,)


def test_what_a_library_has_too_much_is_told_in_its_order(tmp_path: Path) -> None:
    keys = ("Ks", "Ns", "Tf", "Km", "Pc", "Pcr", "aniso")  # each process hashes texts its own way
    library = "newmtl a\n" + "".join(f"{key} 0.5\nKd 1 1 1\n{key} 0.25\n" for key in keys)
    path = written(tmp_path, "mtllib m.mtl\nusemtl a\n" + CUBE, {"m.mtl": library})
    told = tuple(f"ignores {key} of 1 material" for key in keys)
    assert load_target(path).warnings == told


@pytest.mark.parametrize(
    "text",
    [
        CUBE + "f 1 2 99\n",
        CUBE + "f 0 1 2\n",
        CUBE + "f -9 1 2\n",
        CUBE + "f 1 2 x\n",
        CUBE + "f 1/1/1/1 2 3\n",
        CUBE + "v 1 2\n",
        CUBE + "v 1 2 three\n",
        CUBE + "f 1/9 2/9 3/9\n",
        CUBE.replace("v 1 1 1", "v nan 1 1"),
        CUBE.replace("v 1 1 1", "v 1e999 1 1"),
        CUBE + "f 1 2 99999999999999999999999\n",
        "\0" * 100,
    ],
)
def test_broken_objects_are_one_line_errors(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.obj") as caught:
        load_target(written(tmp_path, text, {}))
    assert "\n" not in str(caught.value)


def in_time(work: Callable[[], object]) -> object:
    """What a call gives; fails where it hangs."""
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(work()), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert answers, "hangs or fails"
    return answers[0]


def test_no_file_outside_the_models_folder_is_read(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    Image.new("RGB", (4, 4), (0, 0, 200)).save(tmp_path / "secret.png")
    (tmp_path / "secret.mtl").write_text("newmtl m\nKd 0 0 1\n")
    path = written(inside, mapped(), {})
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(inside / "pipe.png")
    (inside / "zero.png").symlink_to("/dev/zero")
    (inside / "evil.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    names = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "pipe.png", "zero.png"]
    for name in (*names, "evil.eps", "sub", ".", "..", "/dev/zero", "/proc/self/environ"):
        (inside / "m.mtl").write_text(RED_MTL + f"map_Kd {name}\n")
        model = in_time(lambda: load_target(path))
        assert isinstance(model, TargetModel)
        (material,) = model.materials
        assert material.base_color_image is None
        assert len(model.warnings) == 1, name
    for name in ("../secret.mtl", str(tmp_path / "secret.mtl"), "/etc/passwd", "pipe.png"):
        path.write_text(mapped(name))
        model = load_target(path)
        assert model.materials[0].base_color == DEFAULT_MATERIAL.base_color
        assert "secret" not in "".join(model.warnings).replace(name, "")


def test_a_model_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.obj")
    (tmp_path / "zero.stl").symlink_to("/dev/zero")
    for name in ("pipe.obj", "zero.stl"):
        with pytest.raises(InputError, match="not a regular file"):
            load_target(tmp_path / name)


def test_a_texture_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = written(tmp_path, mapped(), {"m.mtl": RED_MTL + "map_Kd huge.png\n"})
    Image.new("1", (13000, 100)).save(tmp_path / "huge.png")
    model = load_target(path)
    assert model.materials[0].base_color_image is None
    assert "13000 x 100 pixels" in model.warnings[0]


@pytest.mark.parametrize(
    ("kind", "mode", "told"),
    [
        ("GIF", "RGB", "not PNG, JPEG, WebP, TGA, BMP or PNM"),
        ("TIFF", "RGB", "not PNG, JPEG, WebP, TGA, BMP or PNM"),
        ("PPM", "F", "its pixels are floating-point numbers; make it a PNG"),
    ],
)
def test_a_texture_of_another_kind_is_told_with_what_would_do(
    kind: str, mode: str, told: str, tmp_path: Path
) -> None:
    path = written(tmp_path, mapped(), {"m.mtl": RED_MTL + "map_Kd other\n"})
    Image.new(mode, (4, 4)).save(tmp_path / "other", kind)
    model = load_target(path)
    assert model.materials[0].base_color_image is None
    assert model.warnings == (f"ignores a texture: texture 'other' cannot be decoded ({told})",)


def test_what_is_left_out_is_told_before_any_frame_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, mapped(), {"m.mtl": RED_MTL + "map_Kd gone.png\n"})
    options = RenderOptions(target=path, size=16, start=4000, stop=4000)
    out = tmp_path / "out"
    told: list[str] = []

    def warn(line: str) -> None:
        assert not list(out.glob("rgb/*"))
        told.append(line)

    run.render(options, out, workers=0, warn=warn)
    assert told == ["model.obj: ignores texture 'gone.png': missing"]
    for quiet in (True, False):
        satgen.render(path, out, start=4000, stop=4000, size=16, workers=0, quiet=quiet)
    assert capsys.readouterr().err.splitlines() == told


def test_frames_that_do_not_show_the_target_are_told(tmp_path: Path) -> None:
    """Of three poses the first looks past the cube, and the second is within it."""
    path = Gltf().write(tmp_path)
    rows = ["100,1,0,0,0,50,0,10", "101,1,0,0,0,0,0,0.2", "102,1,0,0,0,0,0,10"]
    told: dict[int, list[str]] = {}
    for count in (2, 3, 1):
        table = tmp_path / f"{count}.csv"
        chosen = rows[:count] if count > 1 else rows[2:]
        table.write_text("\n".join(["index,qw,qx,qy,qz,tx,ty,tz", *chosen]))
        options = RenderOptions(target=path, size=16, start=100, trajectory=f"file:{table}")
        told[count] = []
        for _ in range(2):  # the second time all is there
            run.render(options, tmp_path / str(count), workers=0, warn=told[count].append)
    line = (
        "model.gltf: 2 of {} frames do not show it: the camera looks past it, is inside it, or is "
        "too far away"
    )
    assert told == {2: [line.format(2)] * 2, 3: [line.format(3)] * 2, 1: []}


def test_render_prints_what_it_leaves_out_once(tmp_path: Path) -> None:
    path = written(tmp_path, mapped(), {"m.mtl": RED_MTL + "map_Kd gone.png\n"})
    words = ["render", "--target", path, "--size", 64, "--start", 4000, "--stop", 4001]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "satgen",
            *map(str, words),
            "--workers",
            "0",
            "--out",
            "out",
            "--quiet",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "model.obj: ignores texture 'gone.png': missing\n"


def test_vertex_colours_of_objects_are_shaded_as_they_are(tmp_path: Path) -> None:
    half = POINTS.replace("v -1 -1 -1", "v -1 -1 -1 0 0 1")
    tints = [" 1 0 0" if x > 0 else " 0 0 1" for x, _, _ in CORNERS]
    points = "".join(
        f"{line}{tint}\n" for line, tint in zip(POINTS.splitlines(), tints, strict=True)
    )
    model = load_target(written(tmp_path, points + FACES, {}))
    assert model.warnings == ()
    assert model.colours is not None
    red = model.colours[:, 0] > 0.5
    assert np.array_equal(red, model.vertices[:, 0] > 0)
    assert np.allclose(model.colours[:, 2], ~red)
    # a vertex without has the colour of what has no material, and 255 is as much as 1
    (tmp_path / "model.obj").write_text(half.replace(" 0 0 1", " 0 0 255", 1) + FACES)
    model = load_target(tmp_path / "model.obj")
    assert model.colours is not None
    at = (model.vertices == -1).all(axis=1)
    assert np.allclose(model.colours[at, :3], (0, 0, 1))
    assert np.allclose(model.colours[~at, :3], DEFAULT_MATERIAL.base_color)
    # under a material they tint it
    (tmp_path / "m.mtl").write_text(RED_MTL)
    (tmp_path / "model.obj").write_text("mtllib m.mtl\nusemtl m\n" + half + FACES)
    model = load_target(tmp_path / "model.obj")
    assert model.colours is not None
    assert model.materials[0].base_color[0] > 0.3
    assert np.allclose(model.colours[~at, :3], 1.0)
