"""Keyword arguments that become fields of a configuration, checked in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from satgen.errors import InputError


def check_keywords(function: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse a keyword that is not known, naming close ones, or all where none is close.

    Raises:
        InputError: there is one.
    """
    names = list(known)
    for name in given:
        if name not in names:
            close = get_close_matches(name, names, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
            raise InputError(f"{function}(): unknown keyword {name!r}; {hint}")


def field_names(config: type, *without: str) -> list[str]:
    """Names of a dataclass's fields, but for some."""
    return [item.name for item in fields(config) if item.name not in without]
