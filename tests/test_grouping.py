"""satgen.grouping against NumPy's own sorting of rows, and against labels that spread."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from satgen import grouping
from satgen.grouping import connected, distinct, equal_rows


@given(
    arrays.arrays(np.int64, st.tuples(st.integers(0, 40), st.just(3)), elements=st.integers(-2, 2))
)
def test_rows_are_grouped_as_by_sorting(rows: np.ndarray) -> None:
    first, group = equal_rows(rows)
    assert (np.diff(first) > 0).all()
    assert np.array_equal(rows[first][group], rows)
    assert len(first) == len({tuple(row) for row in rows.tolist()})
    assert all(first[g] <= k for k, g in enumerate(group))


@given(arrays.arrays(np.uint32, st.integers(0, 40), elements=st.integers(0, 11)))
def test_numbers_are_looked_up_as_by_sorting(numbers: np.ndarray) -> None:
    found, which = distinct(numbers, 12)
    truth = np.unique(numbers, return_inverse=True)
    assert np.array_equal(found, truth[0]) and np.array_equal(which, truth[1])


def test_zero_has_no_sign() -> None:
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [1e-300, 1.0]])
    for kind in (np.float64, np.float32):
        assert equal_rows(rows.astype(kind))[1].tolist() == (
            [0, 0, 1] if kind is np.float64 else [0, 0, 0]
        )


def test_rows_of_one_hash_are_told_apart(monkeypatch) -> None:
    monkeypatch.setattr(grouping, "_MULTIPLIER", np.uint64(0))
    rows = np.array([[3, 1], [1, 3], [3, 1], [2, 2]])
    first, group = equal_rows(rows)
    assert first.tolist() == [0, 1, 3]
    assert group.tolist() == [0, 1, 0, 2]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_what_hangs_together_has_one_number(pairs: list[tuple[int, int]]) -> None:
    number = list(range(12))  # the least of each component, spread along the pairs
    for _ in number:
        for a, b in pairs:
            number[a] = number[b] = min(number[a], number[b])
    one, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    component = connected(one, other, 12)
    assert set(component.tolist()) == set(range(len(set(number))))
    assert len(set(zip(component.tolist(), number, strict=True))) == len(set(number))
