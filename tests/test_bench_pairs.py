"""Pair lists: sampling, files, and the form of the SuperGlue repository."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench.pairs import (
    GAPS,
    Pair,
    PosedPair,
    check_pairs_exist,
    consecutive_pairs,
    load_pairs,
    load_posed_pairs,
    sample_pairs,
    save_pairs,
    turn_camera,
    upright,
)
from satgen.errors import InputError

ALL = range(361, 8101)

# --- sampling -------------------------------------------------------------------------------------


@given(
    st.sets(st.integers(1, 300), min_size=2, max_size=120),
    st.integers(1, 30),
    st.integers(0, 2**31),
)
def test_a_sample_holds_different_pairs_that_exist(known: set[int], count: int, seed: int) -> None:
    ordered = sorted(known)
    gap = ordered[1] - ordered[0]
    pairs = sample_pairs("aura", ordered[::-1], [gap], count, seed)
    possible = {(i, i + gap) for i in known if i + gap in known}
    found = {(p.index0, p.index1) for p in pairs}
    assert found <= possible
    assert len(found) == len(pairs) == min(count, len(possible))
    assert pairs == sorted(pairs)
    assert pairs == sample_pairs("aura", ordered, [gap], count, seed)


def test_default_sample_covers_every_gap() -> None:
    pairs = sample_pairs("aura", ALL)
    assert len(pairs) == 200 * len(GAPS)
    for gap in GAPS:
        starts = [p.index0 for p in pairs if p.gap == gap]
        assert len(starts) == 200
        assert min(starts) < 800 and max(starts) > 7600  # all over the range


def test_a_gap_s_draw_does_not_depend_on_the_others() -> None:
    together = sample_pairs("aura", ALL, [1, 5, 10], 20, seed=7)
    alone = sample_pairs("worldview", ALL, [5], 20, seed=7)
    assert [(p.index0, p.index1) for p in together if p.gap == 5] == [
        (p.index0, p.index1) for p in alone
    ]
    other = sample_pairs("aura", ALL, [5], 20, seed=8)
    assert [p.index0 for p in other] != [p.index0 for p in alone]


def test_all_consecutive_pairs_of_the_full_range() -> None:
    pairs = consecutive_pairs("aura", ALL)
    assert len(pairs) == 7739
    assert pairs[0] == Pair("aura", 361, 362) and pairs[-1] == Pair("aura", 8099, 8100)
    assert {p.gap for p in pairs} == {1}
    assert [p.gap for p in consecutive_pairs("aura", [4, 1, 9])] == [3, 5]


@pytest.mark.parametrize(
    ("indices", "gaps", "count", "seed", "message"),
    [
        ([5], [1], 3, 0, "aura: 1 frame(s); matching needs at least two"),
        ([], [1], 3, 0, "aura: 0 frame(s); matching needs at least two"),
        ([1, 2, 9], [60], 3, 0, "gap 60: beyond the range of aura, whose indices span 8"),
        ([0, 5, 10], [7], 3, 0, "gap 7: no two frames of aura are so far apart, its indices step"),
        ([1, 2], [0], 3, 0, "gap 0: must be at least 1"),
        ([1, 2], [], 3, 0, "no gap given: must be at least one"),
        ([1, 2], [1], 0, 0, "0 pairs a gap: must be at least 1"),
        ([1, 2], [1], 3, -1, "seed -1: must not be negative"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_one_line(
    indices: list[int], gaps: list[int], count: int, seed: int, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        sample_pairs("aura", indices, gaps, count, seed)
    assert "\n" not in str(caught.value)


def test_one_frame_has_no_consecutive_pairs() -> None:
    with pytest.raises(InputError, match="at least two"):
        consecutive_pairs("aura", [5])


# --- our own file ---------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")))


@given(st.lists(st.tuples(NAMES, st.integers(1, 8100), st.integers(1, 9)), min_size=1, max_size=9))
def test_a_list_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    pairs = [Pair(name, index, index + gap) for name, index, gap in rows]
    save_pairs(path, pairs)
    assert load_pairs(path) == pairs


def test_the_file_is_plain_csv(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    save_pairs(path, [Pair("aura", 361, 366), Pair("world, view", 9, 8)])
    assert path.read_text() == 'dataset,index0,index1\naura,361,366\n"world, view",9,8\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its columns are not dataset,index0,index1"),
        ("a,b\n", "its columns are not dataset,index0,index1"),
        ("dataset,index0,index1\n", "has no pairs"),
        ("dataset,index0,index1\naura,1,2\naura,1\n", "line 3: 2 columns, must be 3"),
        ("x" * 200_000, "not a table (field larger than field limit (131072))"),
        ("dataset,index0,index1\naura,1,x\n", "line 2: 1,x are not two indices"),
        ("dataset,index0,index1\n\naura,4,4\n", "line 3: pairs frame 4 with itself"),
    ],
)
def test_bad_lists_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")):
        load_pairs(path)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for load in (load_pairs, load_posed_pairs):
        with pytest.raises(InputError, match="No such file"):
            load(tmp_path / "missing")
        with pytest.raises(InputError, match="not a text file"):
            load(binary)


def test_a_list_is_checked_against_the_datasets() -> None:
    frames = {"aura": np.arange(1, 10), "worldview": [1, 2]}
    check_pairs_exist([Pair("aura", 1, 9), Pair("worldview", 2, 1)], frames)
    with pytest.raises(InputError, match="dataset worldview has no frame 3"):
        check_pairs_exist([Pair("worldview", 1, 3)], frames)
    with pytest.raises(InputError, match="'cartography': those given are aura, worldview"):
        check_pairs_exist([Pair("cartography", 1, 3)], frames)


# --- the SuperGlue repository's form --------------------------------------------------------------

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
