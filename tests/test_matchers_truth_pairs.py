"""Pairs: how they are drawn, and their files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchers.truth.pairs import (
    Pair,
    check_pairs_exist,
    consecutive_pairs,
    draw_pairs,
    load_pairs,
    pairs_csv,
    sample_pairs,
    usual_gaps,
)
from matchers.truth.rules import GAPS
from satgen.errors import InputError
from satgen.splits import ViewAxes, split_datasets
from satgen.trajectory import TrajectoryConfig, observe

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


@given(st.sets(st.integers(1, 5000), min_size=2, max_size=40))
def test_usual_gaps_are_there(known: set[int]) -> None:
    gaps = usual_gaps(sorted(known))
    assert gaps and all(any(i + gap in known for i in known) for gap in gaps)
    assert {p.gap for p in sample_pairs("aura", sorted(known), gaps, 1)} == set(gaps)
    there = tuple(gap for gap in GAPS if any(i + gap in known for i in known))
    assert gaps == there or not there


def test_usual_gaps_of_every_hundredth_frame_are_hundreds() -> None:
    assert usual_gaps(ALL) == GAPS
    assert usual_gaps(range(400, 8101, 100)) == tuple(100 * gap for gap in GAPS)
    assert usual_gaps(range(400, 8101, 6)) == (30, 60)
    assert usual_gaps(range(400, 405)) == (1, 2)


def test_a_gap_s_draw_does_not_depend_on_the_others() -> None:
    together = sample_pairs("aura", ALL, [1, 5, 10], 20, seed=7)
    alone = sample_pairs("worldview", ALL, [5], 20, seed=7)
    assert [(p.index0, p.index1) for p in together if p.gap == 5] == [
        (p.index0, p.index1) for p in alone
    ]
    other = sample_pairs("aura", ALL, [5], 20, seed=8)
    assert [p.index0 for p in other] != [p.index0 for p in alone]


def test_a_draw_passes_over_gaps_that_no_frames_have_and_a_sample_refuses_them() -> None:
    blocks = [1, 2, 3, 11, 12]
    assert draw_pairs(blocks, [5, 1, 9]) == [(1, 2), (2, 3), (11, 12), (2, 11), (3, 12)]
    assert draw_pairs([7], [1]) == draw_pairs([], [1]) == []
    with pytest.raises(InputError, match="gap 5"):
        sample_pairs("aura", blocks, [1, 5])


def test_a_training_s_test_blocks_have_room_for_every_gap() -> None:
    observations = observe(TrajectoryConfig(distance_m=10.0), np.arange(361, 8101))
    views = ViewAxes("t", observations.index, observations.T_cam_target[:, 2, :3])
    split = split_datasets({"d": views})["d"]
    pairs = draw_pairs(split.test, count=10)
    assert {j - i for i, j in pairs} == set(GAPS)
    assert len(pairs) == 10 * len(GAPS)
    assert set(np.ravel(pairs)) <= set(split.test.tolist())
    assert pairs == draw_pairs(split.test, count=10)
    assert pairs != draw_pairs(split.test, count=10, seed=1)


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
    path.write_bytes(pairs_csv(pairs))
    assert load_pairs(path) == pairs


def test_the_file_is_plain_csv(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(pairs_csv([Pair("aura", 361, 366), Pair("world, view", 9, 8)]))
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
    with pytest.raises(InputError, match="No such file"):
        load_pairs(tmp_path / "missing")
    with pytest.raises(InputError, match="not a text file"):
        load_pairs(binary)


def test_a_list_is_checked_against_the_datasets() -> None:
    frames = {"aura": np.arange(1, 10), "worldview": [1, 2]}
    check_pairs_exist([Pair("aura", 1, 9), Pair("worldview", 2, 1)], frames)
    with pytest.raises(InputError, match="dataset worldview has no frame 3"):
        check_pairs_exist([Pair("worldview", 1, 3)], frames)
    with pytest.raises(InputError, match="'cartography': those given are aura, worldview"):
        check_pairs_exist([Pair("cartography", 1, 3)], frames)
