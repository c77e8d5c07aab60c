"""Reading files that are a user's, or may be damaged: whole, but never more than there is room for,
and with an error of one line."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satgen.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 1 << 30
"""Largest file that is read at once."""

MOST_JSON = 1 << 26
"""Largest JSON file; the description of a craft with thousands of parts has a hundredth of it."""


def read_limited(path: str | os.PathLike[str], most: int = MOST_BYTES) -> bytes:
    """A file's bytes.

    Raises:
        InputError: it cannot be read, or has more than `most` bytes.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if len(data) > most:
        raise InputError(f"{path}: is larger than {most >> 20} MiB, which no such file is")
    return data


def read_json(path: str | os.PathLike[str], most: int = MOST_JSON) -> Any:
    """The value of a JSON file.

    Raises:
        InputError: it cannot be read, is no JSON, or nested too deep to be read.
    """
    return parse_json(read_limited(path, most), path)


def is_number(value: Any, below: float) -> bool:
    """Whether a JSON value is a number, as true and false are none, nearer to zero than `below`."""
    # compared as it is: a whole number may be beyond what a float holds
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < below


def parse_json(data: bytes, path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file's bytes; see `read_json`."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(f"{Path(path)}: not a JSON file ({error})") from None
    except RecursionError:
        raise InputError(f"{Path(path)}: not a JSON file to be read, nested too deep") from None


def read_npz(
    path: str | os.PathLike[str], names: Sequence[str], most: int = MOST_BYTES
) -> dict[str, NDArray[Any]]:
    """Arrays of numbers from a NumPy file, by name.

    Args:
        path: of the .npz file.
        names: of the arrays.
        most: bytes of all that is in it.

    Raises:
        InputError: it cannot be read, lacks one of them, is too large, or holds anything but
            arrays of numbers.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > most:
                raise InputError(f"{path}: is larger than {most >> 20} MiB, which no such file is")
        with np.load(path, allow_pickle=False) as data:
            found = {name: data[name] for name in names}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # whatever a damaged archive makes of zipfile, zlib and NumPy
        reason = str(error).strip() or type(error).__name__
        raise InputError(f"{path}: not a NumPy file to be read ({reason})") from None
    for name, values in found.items():
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
            raise InputError(f"{path}: {name} is no array of numbers")
    return found
