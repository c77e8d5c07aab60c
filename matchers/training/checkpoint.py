"""A stage's state on disk: enough to go on as if it had never been stopped."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from matchers.weights import Purpose, with_purpose
from satgen.atomic import write_atomic
from satgen.errors import RunError

FORMAT = 1


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all.

    Raises:
        RunError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    try:
        write_atomic(path, buffer.getvalue(), sync=True)
    except OSError as error:
        raise RunError(f"cannot write {error.filename or path}: {error.strerror}") from error


def load(path: Path) -> dict[str, Any] | None:
    """A state, on the CPU; None where there is none.

    Raises:
        RunError: it cannot be read, or another version wrote it.
    """
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes of the reader
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"{path}: cannot be read, delete it to begin anew ({reason})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise RunError(f"{path}: written by another version, delete it to begin anew")
    return state


def save_weights(path: Path, weights: Mapping[str, Tensor], purpose: Purpose) -> None:
    """Write tensors as safetensors, whole or not at all.

    Args:
        path: of the file.
        weights: tensors by name.
        purpose: what they are for.

    Raises:
        RunError: they cannot be written.
    """
    from safetensors.torch import save as encode

    plain = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    data = with_purpose(encode(plain), purpose)
    try:
        write_atomic(path, data, sync=True)
    except OSError as error:
        raise RunError(f"cannot write {error.filename or path}: {error.strerror}") from error


class Log:
    """A CSV file that grows by a line a call.

    Args:
        path: of the file.
        columns: of the table.
        steps: what is there of later steps, as a killed run leaves it, is cut off.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], steps: int) -> None:
        self._columns = columns
        kept = [row for row in read_log(path) if int(row["step"]) <= steps]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: row.get(name, "") for name in columns} for row in kept)
        try:
            write_atomic(path, text.getvalue().encode())
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise RunError(f"cannot write {error.filename or path}: {error.strerror}") from error

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a line; floats with as many digits as it takes to read them back."""
        self._file.write(",".join(_text(row[name]) for name in self._columns) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file, once the disk has it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def read_log(path: Path) -> list[dict[str, str]]:
    """The whole lines of a log; none where there is no file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    rows = csv.DictReader(line for line in lines if "\0" not in line)
    return [row for row in rows if None not in row.values() and row.get("step", "").isdecimal()]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else repr(value)
    return str(value)
