"""Surfaces back to back: the one that faces the camera is seen, in whatever order they come."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import satgen
from satgen.rendering.coincident import back_to_back
from satgen.rendering.packing import pack
from satgen.rendering.patches import find_neighbours
from satgen.targets.load import load_target

POINTS = "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nv 0 0 0\n"
FRONTS = ("f 1 2 3 4\n", "f 2 3 4 1\n", "f 1 2 5\nf 2 3 5\nf 3 4 5\nf 4 1 5\n")
BACKS = ("f 4 3 2 1\n", "f 3 2 1 4\n", "f 2 1 4 3\n")


def flags(path: Path) -> list[bool]:
    return np.unique(pack(load_target(path)).double_sided).tolist()


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("order", [1, -1])
def test_each_side_shows_its_own(front: str, back: str, order: int, tmp_path: Path) -> None:
    path = tmp_path / "panel.obj"
    sides = [f"g front\n{front}", f"g back\n{back}"][::order]
    path.write_text(POINTS + "".join(sides))
    assert flags(path) == [False]
    for index, expected in ((8000, "front"), (100, "back")):
        frame = satgen.render_frame(path, index, size=48)
        (label,) = set(np.unique(frame.parts).tolist()) - {0}
        assert frame.part_names[label] == expected


def test_sides_in_one_part_are_found_too(tmp_path: Path) -> None:
    path = tmp_path / "panel.obj"
    path.write_text(POINTS + FRONTS[0] + BACKS[0])
    assert flags(path) == [False]


@pytest.mark.parametrize(
    "faces",
    [
        FRONTS[0],
        FRONTS[0] + "f 3 2 1\n",  # covers a half
        "f 1 2 3\nf 1 3 4\n",
        FRONTS[0] + FRONTS[1],  # faces the same way
    ],
)
def test_others_are_drawn_from_both_sides(faces: str, tmp_path: Path) -> None:
    path = tmp_path / "panel.obj"
    path.write_text(POINTS + faces)
    assert flags(path) == [True]


def test_a_box_with_a_panel_in_it(tmp_path: Path) -> None:
    """Its own faces stay, whatever lies between them."""
    corners = list(itertools.product((-2, 2), repeat=3))
    sides = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    text = "".join(f"v {x} {y} {z}\n" for x, y, z in corners)
    text += "".join("f " + " ".join(map(str, side)) + "\n" for side in sides)
    panel = "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nf 9 10 11 12\nf 12 11 10 9\n"
    (tmp_path / "box.obj").write_text(text + panel)
    packed = pack(load_target(tmp_path / "box.obj"))
    assert packed.double_sided.tolist() == [True] * 12 + [False] * 4


def test_a_closed_surface_is_let_be() -> None:
    faces = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]], dtype=np.uint32)
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    cross = np.cross(
        points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]
    )
    normals = cross / np.linalg.norm(cross, axis=1, keepdims=True)
    found = back_to_back(faces, normals, np.zeros(4, dtype=np.int64), find_neighbours(faces))
    assert not found.any()
