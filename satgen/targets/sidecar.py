"""A user's card beside a model file: classes of its parts and its landmarks, as satgen's cards have
them.

craft.obj is described by craft.json:

    {"title": "My craft",
     "parts": [{"name": "bus", "class": "bus"}, {"name": "panel*", "class": "solar_array"}],
     "landmarks": {"antenna_tip": [0.1, 2.3, 4.0]}}

Names of parts are the file's, and may be patterns; landmarks are in the file's axes and units. A
card that satgen wrote will do as well, but for a file that holds its parts and landmarks itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from satgen.errors import InputError, cut
from satgen.model import Part
from satgen.reading import is_number
from satgen.targets.files import ModelFileError, read_regular

MAX_BYTES = 16 << 20
_READ = ("title", "parts", "landmarks", "facts")
_OTHERS = (
    "format", "name", "frame", "units", "source", "dimensions", "bounds", "triangles", "materials",
    "glb", "built_with",
)  # fmt: skip
"""What else satgen's cards have."""
_MOST_NAME = 200


@dataclass(frozen=True)
class Sidecar:
    """What a card says.

    Attributes:
        path: where it lies.
        sha256: of its bytes.
        title: of the target; empty for none.
        parts: pattern of a name, class, and label or None, in the card's order.
        landmarks: name -> (x, y, z), the file's axes and units.
        facts: as satgen's cards have them.
    """

    path: Path
    sha256: str
    title: str = ""
    parts: tuple[tuple[str, str, int | None], ...] = ()
    landmarks: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def sidecar_path(model: Path) -> Path:
    """Where the card of a model file would lie."""
    return model.with_suffix(".json")


def read_sidecar(model: Path) -> Sidecar | None:
    """The card beside a model file; None where there is none.

    Raises:
        InputError: it is there and is none; one line says what is wrong.
    """
    path = sidecar_path(model)
    try:
        raw = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except ModelFileError as error:
        raise InputError(f"{path}: {error}") from None
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not JSON ({error}), and lies where the card of {model.name} would"
        ) from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: must be an object, as satgen's cards are")
    for key in data:
        if key not in _READ + _OTHERS:
            near = get_close_matches(key, _READ, 1)
            known = f"did you mean {near[0]}?" if near else f"known are {', '.join(_READ)}"
            raise InputError(f"{path}: {key!r} is no key of a card; {known}")
    try:
        return Sidecar(
            path,
            hashlib.sha256(raw).hexdigest(),
            _text(data.get("title", " "), "title").strip(),
            tuple(_parts(data.get("parts", []))),
            _landmarks(data.get("landmarks", {})),
            _facts(data.get("facts", {})),
        )
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _cut(value: object) -> str:
    """A value as Python writes it, for a message."""
    return cut(repr(value), 60)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > _MOST_NAME:
        raise ValueError(
            f"{what} must be a text of 1 to {_MOST_NAME} characters, not {_cut(value)}"
        )
    if not value.isprintable():
        raise ValueError(f"{what} has characters that cannot be printed: {_cut(value)}")
    return value


def _parts(value: object) -> list[tuple[str, str, int | None]]:
    if not isinstance(value, list):
        raise ValueError('parts must be a list of {"name", "class"}')
    found = []
    for number, entry in enumerate(value):
        what = f"parts[{number}]"
        if not isinstance(entry, dict) or not {"name", "class"} <= set(entry):
            raise ValueError(f"{what} must have a name and a class")
        label = entry.get("label")
        if label is not None and (isinstance(label, bool) or not isinstance(label, int)):
            raise ValueError(f"{what}: label must be a whole number, not {_cut(label)}")
        name, cls = _text(entry["name"], f"{what}: name"), _text(entry["class"], f"{what}: class")
        found.append((name, cls, label))
    return found


def _is_length(value: object) -> bool:
    return is_number(value, 1e150)


def _landmarks(value: object) -> dict[str, tuple[float, float, float]]:
    if not isinstance(value, dict):
        raise ValueError("landmarks must be an object of names and [x, y, z]")
    found = {}
    for name, place in value.items():
        _text(name, "a landmark's name")
        if not isinstance(place, list) or len(place) != 3 or not all(map(_is_length, place)):
            raise ValueError(
                f"landmark {name!r} must be three numbers [x, y, z], not {_cut(place)}"
            )
        found[name] = (float(place[0]), float(place[1]), float(place[2]))
    return found


def _facts(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("facts must be an object")
    altitude = value.get("orbit_altitude")
    if altitude is not None:
        number = altitude.get("value") if isinstance(altitude, dict) else None
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError("facts.orbit_altitude must have a value in km")
        if not 100.0 <= number <= 1e6:
            raise ValueError(f"facts.orbit_altitude is {number} km, must be from 100 to 1e6")
    return value


def classified(sidecar: Sidecar, parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts with the classes that a card gives them; of several entries the last counts.

    Raises:
        InputError: an entry is of no part, or its label is another's.
    """
    classes: dict[int, str] = {}
    for name, cls, label in sidecar.parts:
        mine = [part for part in parts if part.name == name]
        mine = mine or [part for part in parts if fnmatchcase(part.name, name)]
        if not mine:
            near = get_close_matches(name, [part.name for part in parts], 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"{sidecar.path}: the model has no part {name!r}{hint}")
        if label is not None and [part.label for part in mine] != [label]:
            raise InputError(
                f"{sidecar.path}: part {name!r} has label {mine[0].label}, not {label}"
            )
        classes.update((part.label, cls) for part in mine)
    return tuple(replace(part, cls=classes.get(part.label, part.cls)) for part in parts)
