"""Folders of the user's that outlive a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from satgen.errors import InputError
from satgen.outputs import check_outside


def cache_folder(kind: str) -> Path:
    """Where things of a kind are kept that can be had again: weights, targets.

    $SATGEN_CACHE/KIND, or the platform's cache folder: on Linux $XDG_CACHE_HOME/satgen/KIND, by
    default ~/.cache/satgen/KIND. It need not be there.

    Raises:
        InputError: it begins with ~ and a name that no user has, or lies in a dataset or run.
    """
    if chosen := os.environ.get("SATGEN_CACHE"):
        try:
            place = Path(chosen).expanduser().absolute() / kind
        except RuntimeError:
            raise InputError(f"SATGEN_CACHE={chosen}: there is no such user's folder") from None
        check_outside(place)
        return place
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "satgen" / kind
