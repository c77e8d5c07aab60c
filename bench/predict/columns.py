"""Tables of figures as columns: a name and an array each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def join_columns(tables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Tables of the same columns, one below the other."""
    tables = list(tables)
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
