"""Lists of other benchmarks, in the form of the SuperGlue repository."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.posed import PosedPair, load_posed_pairs, turn_camera, upright
from satgen.errors import InputError

GOOD = (
    "a/1.jpg b/2.jpg 0 1 500.0 0. 320 0 510 240 0 0 1 600 0 300 0 610 200 0 0 1 "
    "1 0 0 0.5 0 0 -1 0.25 0 1 0 -2e0 0 0 0 1"
)


def broken(field: int, value: str) -> str:
    """The good line with one field changed."""
    words = GOOD.split()
    words[field] = value
    return " ".join(words)


def test_posed_pairs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x_pairs_with_gt.txt"
    path.write_text(f"{GOOD}\n\n{GOOD}\n")
    pair, again = load_posed_pairs(path)
    assert (pair.name0, pair.name1, pair.turns0, pair.turns1) == ("a/1.jpg", "b/2.jpg", 0, 1)
    np.testing.assert_array_equal(pair.K0, [[500, 0, 320], [0, 510, 240], [0, 0, 1]])
    np.testing.assert_array_equal(pair.K1, [[600, 0, 300], [0, 610, 200], [0, 0, 1]])
    np.testing.assert_array_equal(pair.T_0to1[:3, 3], [0.5, 0.25, -2.0])
    np.testing.assert_array_equal(pair.T_0to1[:3, :3], [[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    assert again.name1 == "b/2.jpg"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a b", "2 fields, must be 38"),
        ("a b 0 0", "4 fields, must be 38"),
        (broken(2, "4"), "turns 4 and 1: must be 0, 1, 2 or 3"),
        (broken(3, "01"), "turns 0 and 01: must be 0, 1, 2 or 3"),
        (broken(9, "x"), "'x' is not a number"),
        (broken(9, "nan"), "its numbers must be finite"),
        (broken(4, "-500"), "K0 is no matrix of intrinsics"),
        (broken(14, "3"), "K1 is no matrix of intrinsics"),
        (broken(22, "2"), "T_0to1 is no rigid motion"),
        (broken(22, "-1"), "T_0to1 is no rigid motion"),
        (broken(37, "2"), "T_0to1 is no rigid motion"),
    ],
)
def test_bad_posed_pairs_are_refused_by_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(f"{GOOD}\n\n{line}\n")
    with pytest.raises(InputError, match=re.escape(f"{path}: line 3: {message}")):
        load_posed_pairs(path)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="No such file"):
        load_posed_pairs(tmp_path / "missing")
    with pytest.raises(InputError, match="not a text file"):
        load_posed_pairs(binary)


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("\n\n")
    with pytest.raises(InputError, match="has no pairs"):
        load_posed_pairs(path)


@pytest.mark.parametrize("turns", range(4))
def test_a_turned_camera_sees_what_the_turned_image_shows(turns: int) -> None:
    K = np.array([[500.0, 0.0, 31.0], [0.0, 600.0, 20.0], [0.0, 0.0, 1.0]])
    width, height = 80, 60
    X = np.array([[0.3, 0.2, 10.0], [-0.5, 0.4, 10.0], [0.6, -0.1, 10.0]])
    zero = np.zeros(3)
    points = np.round(cv2.projectPoints(X, zero, zero, K, None)[0][:, 0]).astype(int)
    turned, pose = turn_camera(K, (width, height), turns)
    vector = Rotation.from_matrix(pose[:3, :3]).as_rotvec()
    moved = cv2.projectPoints(X, vector, zero, turned, None)[0][:, 0]
    for (u, v), expected in zip(points, moved, strict=True):
        image = np.zeros((height, width))
        image[v, u] = 1.0
        row, column = np.argwhere(np.rot90(image, turns))[0]
        assert (column, row) == tuple(np.round(expected).astype(int))


def test_turning_both_images_keeps_the_geometry() -> None:
    rng = np.random.default_rng(0)
    K0 = np.array([[500.0, 0.0, 320.0], [0.0, 510.0, 240.0], [0.0, 0.0, 1.0]])
    K1 = np.array([[600.0, 0.0, 300.0], [0.0, 610.0, 200.0], [0.0, 0.0, 1.0]])
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec([0.1, -0.2, 0.3]).as_matrix()
    T[:3, 3] = 1.0, 0.2, -0.3
    pair = PosedPair("a", "b", 3, 1, K0, K1, T)
    turned0, turned1, moved = upright(pair, (640, 480), (600, 400))
    X = rng.normal([0.0, 0.0, 12.0], 1.0, (20, 3))
    _, into0 = turn_camera(K0, (640, 480), 3)
    _, into1 = turn_camera(K1, (600, 400), 1)
    first = X @ into0[:3, :3].T
    second = (X @ T[:3, :3].T + T[:3, 3]) @ into1[:3, :3].T
    np.testing.assert_allclose(first @ moved[:3, :3].T + moved[:3, 3], second, atol=1e-12)
    assert turned0[0, 0] == 510.0 and turned1[0, 0] == 610.0
