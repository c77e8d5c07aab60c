"""Reading parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def read_frame(data: bytes) -> pd.DataFrame:
    """The same as a pandas table, made in this thread.

    Raises:
        pyarrow.ArrowException, OSError: it is none.
    """
    return read_table(data).to_pandas(use_threads=False)
