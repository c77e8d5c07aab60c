"""satgen.parquet: columns, whatever their type and how they are cut up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satgen.parquet import column_values

COUNTS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)


@given(st.lists(COUNTS, max_size=4), st.integers(0, 3))
def test_chunks_and_slices_of_numbers(chunks: list[list[int]], start: int) -> None:
    column = pa.chunked_array([pa.array(c, pa.int64()) for c in chunks], pa.int64()).slice(start)
    values = column_values(column, np.int64)
    assert values.dtype == np.int64
    assert values.tolist() == [v for c in chunks for v in c][start:]
    assert values.flags.writeable


def test_other_types_are_converted_and_what_does_not_fit_is_refused() -> None:
    column = pa.chunked_array([pa.array([1.5, None, 3.0])])
    assert np.array_equal(column_values(column, np.float64), [1.5, np.nan, 3.0], equal_nan=True)
    halves = pa.chunked_array([pa.array([0.5, 0.25], pa.float32())])
    assert column_values(halves, np.float64).tolist() == [0.5, 0.25]
    flags = pa.chunked_array([pa.array([True, False, True])])
    assert column_values(flags, np.bool_).tolist() == [True, False, True]
    words = column_values(pa.chunked_array([pa.array(["a", "bcd"])]), object)
    assert words.tolist() == ["a", "bcd"] and words.dtype == object
    with pytest.raises((TypeError, ValueError)):
        column_values(pa.chunked_array([pa.array([1, None])]), np.int64)
    with pytest.raises((TypeError, ValueError)):
        column_values(pa.chunked_array([pa.array(["a"])]), np.float64)
