"""Reading parquet files that may be damaged or made to do harm: one error, bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow
    import pyarrow.parquet

MOST_BYTES = 1 << 30
"""Most bytes that the columns that are read may take, unpacked."""


class ParquetError(ValueError):
    """A file that is not the parquet table that is wanted; the message is one line without the
    file's name."""


def read_table(
    data: bytes,
    columns: Sequence[str] | None = None,
    most_rows: int | None = None,
    *,
    exactly: bool = False,
) -> pyarrow.Table:
    """A parquet file's table, read in this thread.

    `pyarrow.parquet.read_table` hands the file to threads of its own, one of which may be the last
    to let go of the bytes. Where the interpreter is shutting down by then, the process aborts
    (github.com/apache/arrow/issues/34314).

    Args:
        data: the file's bytes.
        columns: the names of those to read, of plain numbers, booleans and texts, as far as they
            are there; the texts come as dictionaries, so that a text takes its room once however
            many rows have it. By default all, as they are.
        most_rows: how many rows the table may have.
        exactly: it must have these columns, in this order, and no others.

    Raises:
        ParquetError: it is none, has a column of that name twice, or is too large.
    """
    import pyarrow

    try:
        return _read(data, columns, most_rows, exactly)
    except ParquetError:
        raise
    except (pyarrow.ArrowException, ArithmeticError, LookupError, OSError) as error:
        raise ParquetError(_reason(error)) from None
    except (MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise ParquetError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return f"not a readable parquet file ({lines[0]})"


def _read(
    data: bytes, columns: Sequence[str] | None, most_rows: int | None, exactly: bool
) -> pyarrow.Table:
    import pyarrow
    import pyarrow.parquet

    source = pyarrow.BufferReader(data)
    file = pyarrow.parquet.ParquetFile(source, pre_buffer=False)
    rows = file.metadata.num_rows
    if most_rows is not None and not 0 <= rows <= most_rows:
        raise ParquetError(f"{rows} rows, may have {most_rows} at most")
    names: list[str] = file.schema_arrow.names
    if exactly and columns is not None and names != list(columns):
        raise ParquetError(f"its columns are not {', '.join(columns)}")
    wanted = names if columns is None else [name for name in names if name in columns]
    twice = [name for name, count in Counter(wanted).items() if count > 1]
    if twice:
        raise ParquetError(f"column {twice[0]} is there twice")
    size = _unpacked_bytes(file, wanted)
    if size > MOST_BYTES:
        raise ParquetError(f"{size:.3g} bytes unpacked, may have {MOST_BYTES} at most")
    if columns is None:
        return file.read(use_threads=False)
    texts = []
    for name in wanted:
        kind = file.schema_arrow.field(name).type
        if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
            texts.append(name)
        elif not pyarrow.types.is_primitive(kind):
            raise ParquetError(f"column {name} is of type {kind}, must be numbers or texts")
    if texts:
        source = pyarrow.BufferReader(data)
        file = pyarrow.parquet.ParquetFile(source, pre_buffer=False, read_dictionary=texts)
    return file.read(columns=wanted, use_threads=False)


def _unpacked_bytes(file: pyarrow.parquet.ParquetFile, wanted: Sequence[str]) -> int:
    total = 0
    for group in range(file.metadata.num_row_groups):
        chunks = file.metadata.row_group(group)
        for number in range(chunks.num_columns):
            chunk = chunks.column(number)
            if chunk.path_in_schema.partition(".")[0] in wanted:
                total += max(0, chunk.total_uncompressed_size)
    return total


def column_values(column: pyarrow.ChunkedArray, dtype: Any) -> NDArray[Any]:
    """A column's values, (N,) of `dtype`, which is not shared with the table.

    pyarrow's own `to_numpy` imports pandas first, which takes longer than all the rest.

    Raises:
        ValueError, TypeError, OverflowError: a value does not fit.
    """
    if np.dtype(dtype) in (np.int64, np.float64) and column.null_count == 0:
        import pyarrow

        if column.type == pyarrow.from_numpy_dtype(dtype):
            parts = [
                np.frombuffer(c.buffers()[1], dtype, count=len(c), offset=8 * c.offset)
                for c in column.chunks
                if len(c)
            ]
            return np.concatenate([np.zeros(0, dtype), *parts])
    values = column_list(column)
    out = np.empty(len(values), dtype)
    out[:] = values
    return out


def column_list(column: pyarrow.ChunkedArray) -> list[Any]:
    """A column's values as Python's; equal ones of a dictionary's are one object."""
    import pyarrow

    if not pyarrow.types.is_dictionary(column.type):
        return list(column.to_pylist())
    values: list[Any] = []
    for chunk in column.chunks:
        known = [*chunk.dictionary.to_pylist(), None]
        values += [known[-1 if at is None else at] for at in chunk.indices.to_pylist()]
    return values


def read_frame(data: bytes) -> pd.DataFrame:
    """A file's table as a pandas one, made in this thread.

    Raises:
        ParquetError: it is none, or too large.
    """
    return read_table(data).to_pandas(use_threads=False)
