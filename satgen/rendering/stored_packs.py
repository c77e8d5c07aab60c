"""Packed models of targets and of large files as they were packed before: see `satgen.stored`."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen import stored
from satgen.rendering.bounce import Exchange
from satgen.rendering.mirrors import Mirrors
from satgen.rendering.outlines import Edges
from satgen.rendering.packing import PackedModel
from satgen.rendering.rods import Rods

_NESTED = {"rods": Rods, "edges": Edges, "mirrors": Mirrors, "exchange": Exchange}
"""Fields of a packed model that are dataclasses themselves."""


def find(name: str) -> PackedModel | None:
    """What is kept under a name, or None."""
    found = stored.read(name)
    if found is None:
        return None
    try:
        packed = _decoded(PackedModel, *found)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    assert isinstance(packed, PackedModel)
    return packed if _fits(packed) else None


def keep(name: str, packed: PackedModel) -> None:
    """Keep a packed model under a name."""
    arrays: dict[str, NDArray[Any]] = {}
    stored.write(name, arrays, _encoded(packed, "", arrays))


def _encoded(thing: Any, prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The plain values of a dataclass; its arrays go to `arrays` by their names after a prefix."""
    about: dict[str, Any] = {}
    for each in fields(thing):
        value = getattr(thing, each.name)
        if isinstance(value, np.ndarray):
            arrays[prefix + each.name] = value
        elif is_dataclass(value):
            about[each.name] = _encoded(value, f"{prefix}{each.name}.", arrays)
        elif value is None:
            about[each.name] = None
        else:
            about[each.name] = value.item() if isinstance(value, np.generic) else value
    return about


def _decoded(
    kind: type[Any], arrays: dict[str, NDArray[Any]], about: dict[str, Any], prefix: str = ""
) -> Any:
    """Inverse of `_encoded`."""
    values: dict[str, Any] = {}
    for each in fields(kind):
        if each.name not in about:
            values[each.name] = arrays[prefix + each.name]
        elif isinstance(about[each.name], dict):
            inner = f"{prefix}{each.name}."
            values[each.name] = _decoded(_NESTED[each.name], arrays, about[each.name], inner)
        else:
            values[each.name] = about[each.name]
    return kind(**values)


def _fits(packed: PackedModel) -> bool:
    """Whether faces are those of the vertices, and everything of a face is there for each."""
    count = len(packed.faces)
    return bool(
        count
        and packed.faces.max() < len(packed.vertices)
        and len(packed.face_normals) == len(packed.face_offsets) == len(packed.face_part) == count
        and len(packed.surface) == len(packed.casters) == len(packed.double_sided) == count
        and len(packed.cut) == count
        and len(packed.face_texels) == count * packed.face_stride
        and packed.rods.faces.max(initial=0) < count
        and (packed.mirrors is None or packed.mirrors.faces.max(initial=0) < count)
        and (packed.exchange is None or len(packed.exchange.normals) == packed.receivers)
    )
