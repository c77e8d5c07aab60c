"""satgen.parquet: columns, whatever their type and how they are cut up."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satgen.parquet import ParquetError, column_list, column_values, read_table
from satgen.tables import parquet_bytes

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


def parquet(table: pa.Table, **more: object) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, **more)
    return buffer.getvalue()


def test_a_text_that_every_row_has_takes_its_room_once() -> None:
    """150 MB of text in a file of some kilobytes."""
    long = "x" * 50_000
    texts = pa.array([long, None] * 1500)
    data = parquet(pa.table({"a": texts, "b": pa.array(range(3000))}), compression="zstd")
    assert len(data) < 100_000
    values = column_list(read_table(data, ["a"])["a"])
    assert values[0] == long and values[1] is None
    assert len({id(value) for value in values}) == 2


def test_what_is_too_large_or_no_table_is_refused_in_one_line() -> None:
    few = pa.table({"index": pa.array([1, 2, 3]), "more": pa.array([[1.0], [], [2.0]])})
    data = parquet(few)
    assert read_table(data, ["index", "absent"]).column_names == ["index"]
    assert read_table(data).num_rows == 3
    zeros = pa.table({"index": pa.array(np.zeros(200_000_000, np.int8))})
    cases = {
        "3 rows, may have 2 at most": (data, ["index"], 2),
        "column more is of type list": (data, ["index", "more"], None),
        "column index is there twice": (
            parquet(pa.Table.from_arrays([few["index"]] * 2, names=["index"] * 2)),
            ["index"],
            None,
        ),
        "not a readable parquet file": (data[:-20], ["index"], None),
        "200000000 rows, may have 8100": (parquet(zeros), ["index"], 8100),
    }
    for words, (file, columns, most) in cases.items():
        with pytest.raises(ParquetError, match=words) as caught:
            read_table(file, columns, most)
        assert "\n" not in str(caught.value)
    with pytest.raises(ParquetError, match="its columns are not index"):
        read_table(data, ["index"], exactly=True)


FLIPPED = parquet(pa.table({"index": pa.array([1, 2, 3]), "name": pa.array(["a", "b", "a"])}))


@given(st.integers(0, len(FLIPPED) - 1), st.integers(0, 255))
def test_a_damaged_file_is_a_table_or_one_error(place: int, byte: int) -> None:
    data = bytearray(FLIPPED)
    data[place] = byte
    try:
        table = read_table(bytes(data), ["index", "name"], 3)
    except ParquetError:
        return
    for name in table.column_names:
        with contextlib.suppress(ValueError):  # a text that is no UTF-8
            column_list(table[name])


def test_tables_are_those_of_arrow() -> None:
    rng = np.random.default_rng(0)
    table = {
        "index": rng.integers(0, 1 << 40, 100),
        "name": np.array([f"é{i}" * (i % 3) for i in range(100)], dtype=object),
        "u": np.where(rng.random(100) < 0.2, np.nan, rng.random(100)),
        "visible": rng.random(100) < 0.5,
    }
    schema = {"index": int, "name": str, "u": float, "visible": bool}
    for rows in (0, 1, 100):
        part = {name: values[:rows] for name, values in table.items()}
        types = [pa.int64(), pa.string(), pa.float64(), pa.bool_()]
        arrays = [pa.array(part[n], type=t) for n, t in zip(schema, types, strict=True)]
        expected = io.BytesIO()
        table_of_arrow = pa.Table.from_arrays(arrays, names=list(schema))
        pyarrow.parquet.write_table(table_of_arrow, expected, compression="zstd")
        assert parquet_bytes(part, schema) == expected.getvalue()
