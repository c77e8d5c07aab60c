"""Reading parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow


def read_table(data: bytes) -> pyarrow.Table:
    """A parquet file's table, read in this thread.

    `pyarrow.parquet.read_table` hands the file to threads of its own, one of which may be the last
    to let go of the bytes. Where the interpreter is shutting down by then, the process aborts
    (github.com/apache/arrow/issues/34314).

    Raises:
        pyarrow.ArrowException, OSError: it is none.
    """
    import pyarrow
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data), pre_buffer=False)
    return file.read(use_threads=False)


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
    values = column.to_pylist()
    out = np.empty(len(values), dtype)
    out[:] = values
    return out


def read_frame(data: bytes) -> pd.DataFrame:
    """The same as a pandas table, made in this thread.

    Raises:
        pyarrow.ArrowException, OSError: it is none.
    """
    return read_table(data).to_pandas(use_threads=False)
