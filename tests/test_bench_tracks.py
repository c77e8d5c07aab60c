"""Chains of matches on a wall that moves, where every position is known; survival against SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import CensoredData, ecdf

from bench.tracks import Tracks, begin, chain, extend, finish, survival
from matchers.truth.frame import FrameGeometry
from satgen.errors import InputError

K = np.array([[100.0, 0.0, 50.0], [0.0, 100.0, 50.0], [0.0, 0.0, 1.0]])


def wall(step: int, columns: int = 101) -> FrameGeometry:
    """At 10 m, `columns` wide; each step moves it by 0.1 m, one pixel, to the right."""
    depth = np.zeros((101, 101))
    depth[:, :columns] = 10.0
    T = np.eye(4)
    T[0, 3] = 0.1 * step
    return FrameGeometry(depth, K, T)


def chained(keypoints: Sequence[Any], matches: Sequence[Any]) -> Tracks:
    """Tracks on the moving wall."""
    later = zip(matches, keypoints[1:], map(wall, count(1)), strict=False)
    return chain(keypoints[0], wall(0), later)


def test_a_track_is_carried_and_its_drift_is_its_distance_from_the_truth() -> None:
    # Row 0 is followed with an error of 0, 0.5 and 1 px; row 1 is lost after the first step.
    keypoints = [
        [[20.0, 30.0], [40.0, 60.0]],
        [[41.0, 60.0], [21.0, 30.5], [70.0, 70.0]],
        [[22.0, 31.0]],
    ]
    matches = [[[0, 1], [1, 0]], [[1, 0]]]
    tracks = chained(keypoints, matches)
    rows = sorted(zip(*(v.tolist() for v in vars(tracks).values()), strict=True))
    assert [row[:2] for row in rows] == [(0, 2), (0, 3), (1, 1)]
    assert [row[3] for row in rows] == [False, True, False]
    assert [row[2] for row in rows] == pytest.approx([0.0, 1.0, 0.0])


def test_steps_tell_ages_and_drifts_of_all_live_tracks() -> None:
    live = begin([[20.0, 30.0], [40.0, 60.0]], wall(0))
    assert live.frame == 0 and live.start.tolist() == [0, 0]
    live, ended = extend(live, [[1, 0]], [[41.0, 63.0], [90.0, 90.0]], wall(1))
    assert live.frame == 1 and live.start.tolist() == [0, 1]
    assert live.drift == pytest.approx([3.0, 0.0])
    assert ended.length.tolist() == [1]
    live, _ = extend(live, [[0, 0]], [[42.0, 60.0]], wall(2))
    assert live.frame == 2 and live.start.tolist() == [0]
    assert live.drift == pytest.approx([0.0], abs=1e-9)
    assert finish(live).cut.tolist() == [True]


def test_the_drift_is_from_the_first_keypoint_not_from_the_last() -> None:
    # A step of 2 px a frame where the truth makes one: the error adds up.
    keypoints = [[[20.0 + 2 * i, 30.0]] for i in range(6)]
    tracks = chained(keypoints, [[[0, 0]]] * 5)
    assert tracks.drift == pytest.approx([5.0])
    assert tracks.length.tolist() == [6]


def test_where_the_truth_is_hidden_or_missing_there_is_no_drift() -> None:
    near = wall(1)
    near.depth[:, :] = 5.0
    live, _ = extend(begin([[20.0, 30.0]], wall(0)), [[0, 0]], [[21.0, 30.0]], near)
    assert np.isnan(live.drift).all()
    empty = begin([[80.0, 30.0]], wall(0, columns=50))
    assert np.isnan(empty.drift).all()
    live, _ = extend(empty, [[0, 0]], [[81.0, 30.0]], wall(1))
    assert np.isnan(live.drift).all()
    # It comes back into sight.
    live, _ = extend(begin([[20.0, 30.0]], wall(0)), [[0, 0]], [[21.0, 30.0]], near)
    live, _ = extend(live, [[0, 0]], [[22.0, 34.0]], wall(2))
    assert live.drift == pytest.approx([4.0])


@given(st.integers(0, 2**16))
def test_every_keypoint_is_in_one_track(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 8, rng.integers(1, 7))
    keypoints = [rng.uniform(0, 100, (n, 2)) for n in counts]
    matches = []
    for a, b in pairwise(counts):
        k = rng.integers(0, min(a, b) + 1)
        matches.append(np.stack([rng.permutation(a)[:k], rng.permutation(b)[:k]], axis=1))
    tracks = chained(keypoints, matches)
    assert tracks.length.sum() == counts.sum()
    assert len(tracks.start) == counts.sum() - sum(map(len, matches))
    ends = tracks.start + tracks.length
    np.testing.assert_array_equal(ends == len(counts), tracks.cut)
    for frame, n in enumerate(counts):
        assert np.count_nonzero((tracks.start <= frame) & (frame < ends)) == n


def tracks_of(steps: NDArray, cut: NDArray) -> Tracks:
    """Tracks of which only lengths matter."""
    zeros = np.zeros(len(steps), dtype=np.int64)
    return Tracks(zeros, np.asarray(steps) + 1, zeros.astype(float), np.asarray(cut, dtype=bool))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40))
def test_survival_is_kaplan_and_meier_s(rows: list[tuple[int, bool]]) -> None:
    steps, cut = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    # A cut track was not exposed to the loss that others suffered at that age: just before it.
    data = CensoredData(uncensored=steps[~cut], right=steps[cut] - 0.5)
    ages = np.arange(steps.max() + 1)
    expected = ecdf(data).sf.evaluate(ages - 0.5)
    found = survival(tracks_of(steps, cut), ages)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_survival_at_its_ends() -> None:
    tracks = tracks_of(np.array([0, 2, 2, 5]), np.array([False, False, True, True]))
    found = survival(tracks, [0, 1, 2, 3, 5, 6, 99])
    assert found[:5] == pytest.approx([1.0, 0.75, 0.75, 0.375, 0.375])
    assert np.isnan(found[5:]).all()
    lost = tracks_of(np.array([1, 1]), np.array([False, False]))
    assert survival(lost, [0, 1, 2, 50]).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert np.isnan(survival(chained([[]], []), [0, 3])).all()


def test_matches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        extend(begin([[1.0, 2.0], [3.0, 4.0]], wall(0)), [[0, 0], [1, 0]], [[1, 2]], wall(1))
    with pytest.raises(InputError, match="beyond"):
        extend(begin([[1.0, 2.0]], wall(0)), [[1, 0]], [[1, 2]], wall(1))
