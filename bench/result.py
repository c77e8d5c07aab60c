"""A finished run of the benchmark or of a prediction experiment, as it lies in its folder."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from satgen.errors import InputError
from satgen.parquet import read_frame
from satgen.reading import read_json
from satgen.runfolder import RunKind

if TYPE_CHECKING:
    import pandas as pd

SUMMARY, PAGE = "results.json", "report.html"
"""Files of every run."""


def clean(value: Any, digits: int | None = None) -> Any:
    """A value for JSON: None in place of what is not finite, plain numbers in place of NumPy's.

    Args:
        value: with dictionaries, lists and tuples in it.
        digits: significant ones that floats are rounded to; None leaves them as they are.
    """
    if isinstance(value, Mapping):
        return {str(key): clean(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item, digits) for item in value]
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            return None
        return float(value) if digits is None else float(f"{value:.{digits}g}")
    return value.item() if isinstance(value, np.generic) else value


class Result:
    """A finished run.

    Printed, it is the table that its command prints.

    Attributes:
        folder: of the run.
        KIND: of the run's folder.
        TABLE: name of the file with a row for each thing that was measured.

    Raises:
        InputError: the folder holds no finished run of that kind.
    """

    KIND: ClassVar[RunKind]
    TABLE: ClassVar[str]

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        marked = self.description.get("format") == self.KIND.marks["format"]
        if not (marked and (self.folder / self.TABLE).is_file()):
            raise self._unfinished()

    def __repr__(self) -> str:
        """The folder."""
        return f"<{type(self).__name__} {self.folder}>"

    @cached_property
    def description(self) -> dict[str, Any]:
        """What is run: its run.json."""
        return self._json(self.KIND.description)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The run's figures and how they came about: its results.json."""
        return self._json(SUMMARY)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each thing that was measured."""
        try:
            return read_frame((self.folder / self.TABLE).read_bytes())
        except (OSError, ValueError):
            raise self._unfinished() from None

    @property
    def report(self) -> Path:
        """The page to open in a browser."""
        return self.folder / PAGE

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found = read_json(self.folder / name)
        except InputError:
            raise self._unfinished() from None
        if not isinstance(found, dict):
            raise self._unfinished()
        return found

    def _unfinished(self) -> InputError:
        return InputError(f"{self.folder}: no finished run of {self.KIND.command}")
