"""satgen.targets.stl: binary and ASCII files, with the colours that programs hide in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from satgen.colour import srgb_decode
from satgen.errors import InputError
from satgen.model import TargetModel
from satgen.targets.load import load_target
from satgen.targets.pieces import DEFAULT_MATERIAL
from satgen.witness import read_witness

BOX = trimesh.creation.box()
RED, GREEN, BLUE = 31 << 10, 31 << 5, 31
"""As VisCAM has them; Magics has red and blue the other way."""


def binary(attributes: Any = 0, header: bytes = b"", mesh: trimesh.Trimesh = BOX) -> bytes:
    record = np.zeros(
        len(mesh.faces), np.dtype([("n", "<f4", 3), ("c", "<f4", (3, 3)), ("a", "<u2")])
    )
    record["c"], record["a"] = mesh.triangles, attributes
    return header.ljust(80, b" ") + np.uint32(len(record)).tobytes() + record.tobytes()


def load(tmp_path: Path, raw: bytes) -> TargetModel:
    path = tmp_path / "model.stl"
    path.write_bytes(raw)
    return load_target(path)


def colours(model: TargetModel) -> Any:
    """Colours (F, 3) of the faces, linear."""
    base = np.array([m.base_color for m in model.materials])[model.face_material]
    tints = 1.0 if model.colours is None else model.colours[model.faces][..., :3].mean(axis=1)
    return base * tints


@pytest.mark.parametrize("file_type", ["stl", "stl_ascii"])
def test_a_ball_is_smooth_and_whole(file_type: str, tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(3, radius=2.0)
    raw = ball.export(file_type=file_type)
    model = load(tmp_path, raw if isinstance(raw, bytes) else raw.encode())
    assert np.allclose(model.vertices[model.faces], ball.triangles, atol=1e-5)
    assert len(model.vertices) == len(ball.vertices)
    assert np.allclose(model.normals, model.vertices / 2.0, atol=0.02)
    assert model.warnings == ()


def test_without_colours_it_is_grey(tmp_path: Path) -> None:
    assert np.allclose(colours(load(tmp_path, binary())), DEFAULT_MATERIAL.base_color)


def test_viscams_colours(tmp_path: Path) -> None:
    attributes = np.where(np.arange(12) % 2, 0x8000 | RED, 0x8000 | GREEN | BLUE)
    attributes[5] = 0
    model = load(tmp_path, binary(attributes))
    expected = np.where(np.arange(12)[:, None] % 2, (1.0, 0.0, 0.0), (0.0, 1.0, 1.0))
    expected[5] = DEFAULT_MATERIAL.base_color
    assert np.allclose(colours(model), expected, atol=0.01)
    # colours part no smooth surfaces
    assert np.allclose(np.abs(model.normals).max(axis=1), 1.0)


def test_magics_colours(tmp_path: Path) -> None:
    attributes = np.where(np.arange(12) % 2, BLUE, 0x8000)  # its own red, the whole's
    header = b"made by someone COLOR=" + bytes((0, 128, 0, 255))
    model = load(tmp_path, binary(attributes, header))
    whole = srgb_decode(np.array([0.0, 128.0, 0.0]) / 255.0)
    expected = np.where(np.arange(12)[:, None] % 2, (1.0, 0.0, 0.0), whole)
    assert np.allclose(colours(model), expected, atol=1e-6)


def test_attributes_that_are_no_colours_are_told(tmp_path: Path) -> None:
    model = load(tmp_path, binary(np.arange(12)))
    assert model.warnings == ("ignores attributes of 11 triangles that are no colours",)
    assert model.colours is None


def test_solids_are_parts(tmp_path: Path) -> None:
    one = BOX.export(file_type="stl_ascii")
    far = BOX.copy()
    far.apply_translation([3.0, 0.0, 0.0])
    body = [
        text.split("\n", 1)[1].rsplit("\n", 1)[0]
        for text in (one, far.export(file_type="stl_ascii"))
    ]
    text = f"solid bus one\n{body[0]}\nendsolid bus one\nsolid\n{body[1]}\nendsolid\n"
    for raw in (text, text.replace("\n", "\r\n"), text.upper().replace("E-", "e-")):
        model = load(tmp_path, raw.encode())
        assert [p.name.lower() for p in model.parts] == ["bus one", "model"]
        assert np.allclose(model.extents, (4.0, 1.0, 1.0))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_texts_may_have_a_mark_of_their_encoding(encoding: str, tmp_path: Path) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    text = ASCII.decode().replace("solid", "solid Gehäuse", 1)
    model = load(tmp_path, mark + text.encode(encoding))
    assert [p.name for p in model.parts] == ["Gehäuse"]
    assert np.allclose(model.extents, (1.0, 1.0, 1.0))
    assert sum(map(len, read_witness(tmp_path / "model.stl").triangles)) == 12


def test_colours_of_a_text_are_told(tmp_path: Path) -> None:
    coloured = ASCII.replace(b"endfacet", b"color 0.8 0 0\nendfacet")
    assert load(tmp_path, coloured).warnings == ("ignores 12 lines 'color'",)


def test_solids_may_be_empty(tmp_path: Path) -> None:
    model = load(tmp_path, b"solid one\nendsolid one\n" + ASCII + b"solid three\n\nendsolid\n")
    assert len(model.parts) == 1
    assert np.allclose(model.extents, (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="no triangles in it"):
        load(tmp_path, b"solid one\nendsolid one\n")


def test_a_binary_file_may_begin_as_a_text(tmp_path: Path) -> None:
    assert len(load(tmp_path, binary(header=b"solid facet")).faces) == 12


ASCII = BOX.export(file_type="stl_ascii").encode()


@pytest.mark.parametrize(
    "raw",
    [
        binary()[:-1],
        binary()[:83],
        b"solid x\nendsolid x\n",
        ASCII.replace(b"vertex", b"vertx", 1),
        ASCII[: len(ASCII) // 2].rsplit(b"\n", 1)[0].rsplit(b"vertex", 1)[0],
        ASCII.replace(b"vertex ", b"vertex nan ", 1),
        ASCII.replace(b"vertex ", b"vertex 1 ", 1),
    ],
)
def test_broken_files_are_one_line_errors(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.stl") as caught:
        load(tmp_path, raw)
    assert "\n" not in str(caught.value)
