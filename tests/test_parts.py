"""satgen.targets.parts and sidecar: what is a part, and what a user's card says of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import satgen
from satgen.errors import InputError
from satgen.model import TargetModel
from satgen.targets.load import load_target
from satgen.verify import verify

SIDES = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]


def cube(x: float, after: int, split: bool = False) -> str:
    """A cube about (x, 0, 0) after so many vertices; its last sides may be of another material."""
    points = [(x + a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    text = "".join(f"v {a} {b} {c}\n" for a, b, c in points)
    for number, side in enumerate(SIDES):
        if split and number == 3:
            text += "usemtl blue\n"
        text += "f " + " ".join(str(after + v) for v in side) + "\n"
    return text


@pytest.fixture
def craft(tmp_path: Path) -> Path:
    """Object bus of two cubes apart, half of one in another material, and object panel."""
    path = tmp_path / "craft.obj"
    path.write_text(
        f"o bus\nusemtl red\n{cube(0, 0, True)}usemtl red\n{cube(5, 8)}"
        f"o panel\nusemtl blue\n{cube(10, 16)}"
    )
    return path


def spans(model: TargetModel) -> dict[str, tuple[float, float, int]]:
    """Of each part by name its reach along x, and its triangles."""
    found = {}
    for part in model.parts:
        x = model.vertices[model.faces[model.face_part == part.label], 0]
        found[part.name] = (x.min(), x.max(), len(x))
    return found


def test_objects_are_parts_whatever_their_materials(craft: Path) -> None:
    assert spans(load_target(craft)) == {"bus": (-1, 6, 24), "panel": (9, 11, 12)}


def test_parts_by_material(craft: Path) -> None:
    model = load_target(craft, parts="material")
    assert spans(model) == {"default": (-1, 11, 36)}  # one unknown grey
    (craft.parent / "m.mtl").write_text("newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n")
    craft.write_text("mtllib m.mtl\n" + craft.read_text())
    assert spans(load_target(craft, parts="material")) == {
        "red": (-1, 6, 18),
        "blue": (-1, 11, 18),
    }


def test_parts_by_connection(craft: Path) -> None:
    model = load_target(craft, parts="connected")
    assert spans(model) == {"bus 1": (-1, 1, 12), "bus 2": (4, 6, 12), "panel": (9, 11, 12)}
    whole = load_target(craft)
    assert np.allclose(model.extents, whole.extents)
    corners = [m.vertices[m.faces].reshape(-1, 9) for m in (model, whole)]
    assert np.array_equal(*(np.unique(c, axis=0) for c in corners))


def test_a_dataset_keeps_how_parts_were_made(craft: Path) -> None:
    out = craft.parent / "out"
    options: dict[str, Any] = {"start": 1500, "stop": 1501, "size": 64, "workers": 0}
    data = satgen.render(craft, out, parts="connected", quiet=True, **options)
    assert list(data.part_names.values()) == ["bus 1", "bus 2", "panel"]
    assert data.config.target.parts == "connected"
    assert verify(out).ok
    with pytest.raises(InputError, match="parts"):
        satgen.render(craft, out, quiet=True, **options)
    frame = satgen.render_frame(craft, 1500, parts="connected", size=64)
    assert np.array_equal(frame.parts, data.parts(1500))


def test_targets_with_parts_of_their_own_have_no_others() -> None:
    with pytest.raises(InputError, match="parts are for model files"):
        load_target("aura", parts="material")
    with pytest.raises(InputError, match="one of file, material, connected"):
        load_target("aura", parts="colour")


# --- cards ----------------------------------------------------------------------------------------

CARD = {
    "title": "My craft",
    "parts": [
        {"name": "*", "class": "structure"},
        {"name": "panel", "class": "solar_array", "label": 2},
    ],
    "landmarks": {"corner": [-1.0, 1.0, 1.0], "tip": [11, 1, 1]},
    "facts": {"orbit_altitude": {"value": 705.0, "unit": "km", "source": "me"}},
}


def test_a_card_gives_classes_landmarks_and_facts(craft: Path) -> None:
    (craft.parent / "craft.json").write_text(json.dumps(CARD))
    model = load_target(craft, scale=0.5, up="y")
    assert [(p.label, p.name, p.cls) for p in model.parts] == [
        (1, "bus", "structure"),
        (2, "panel", "solar_array"),
    ]
    assert model.card["title"] == "My craft"
    # as the vertices at the same places
    for place in model.landmarks.values():
        assert np.abs(model.vertices - place).max(axis=1).min() < 1e-12
    out = craft.parent / "out"
    options: dict[str, Any] = {"start": 1500, "stop": 1501, "size": 64, "workers": 0}
    data = satgen.render(craft, out, quiet=True, **options)
    assert data.config.surroundings.altitude_km == 705.0
    assert set(data.keypoints["name"]) == {"corner", "tip"}
    assert data.description["parts"]["2"] == {"name": "panel", "class": "solar_array"}
    assert verify(out).ok
    (craft.parent / "craft.json").write_text(json.dumps({**CARD, "title": "Another"}))
    with pytest.raises(InputError, match="card_sha256"):
        satgen.render(craft, out, quiet=True, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(land=1), "'land' is no key of a card; did you mean landmarks"),
        (lambda c: c["parts"].append({"name": "pannel", "class": "a"}), "did you mean 'panel'"),
        (lambda c: c["parts"][1].update(label=1), "part 'panel' has label 2, not 1"),
        (lambda c: c["parts"][1].update(label="2"), "label must be a whole number"),
        (lambda c: c["parts"].append("bus"), r"parts\[2\] must have a name and a class"),
        (lambda c: c["parts"][0].update({"class": ""}), "class must be a text"),
        (lambda c: c["parts"][0].update({"class": "a\x1b[2J"}), "cannot be printed"),
        (lambda c: c.update(parts={}), "parts must be a list"),
        (lambda c: c.update(landmarks=[1]), "landmarks must be an object"),
        (lambda c: c["landmarks"].update(tip=[1, 2]), "'tip' must be three numbers"),
        (lambda c: c["landmarks"].update(tip=[1, 2, float("nan")]), "'tip' must be three numbers"),
        (lambda c: c["landmarks"].update(tip=[1, 2, 10**400]), "'tip' must be three numbers"),
        (lambda c: c["landmarks"].update(tip=[1, 2, True]), "'tip' must be three numbers"),
        (lambda c: c["facts"].update(orbit_altitude=10**400), "orbit_altitude must have a value"),
        (lambda c: c["facts"]["orbit_altitude"].update(value=10**400), "must be from 100 to 1e6"),
        (lambda c: c["facts"].update(orbit_altitude=3), "orbit_altitude must have a value"),
        (lambda c: c["facts"]["orbit_altitude"].update(value=-3), "must be from 100 to 1e6"),
        (lambda c: c.update(title=7), "title must be a text"),
    ],
)
def test_wrong_cards_are_refused_in_a_line(
    change: Callable[[Any], None], message: str, craft: Path
) -> None:
    card = json.loads(json.dumps(CARD))
    change(card)
    (craft.parent / "craft.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=rf"craft\.json: .*{message}") as caught:
        load_target(craft)
    assert "\n" not in str(caught.value)


def test_what_is_no_card_is_refused(craft: Path) -> None:
    path = craft.parent / "craft.json"
    for raw in (b"", b"[1]", b"{" * 100_000, b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(raw)
        with pytest.raises(InputError, match=r"craft\.json"):
            load_target(craft)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        load_target(craft)
