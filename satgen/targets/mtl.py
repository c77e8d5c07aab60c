"""Material libraries of OBJ files (MTL): colour, colour texture, glow, opacity."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from satgen.model import Material
from satgen.targets.files import (
    MAX_LIBRARY_BYTES,
    MAX_TEXTURE_BYTES,
    ModelFileError,
    decode_image,
    read_beside,
    text_of,
)
from satgen.targets.pieces import DEFAULT_MATERIAL, linear, plural

_HARMLESS = {"ka", "ni", "illum", "sharpness", "map_ka", "map_aat"}
"""Ambient light that space has not, what only rays through glass would show, and hints."""
_OPTION_ARGUMENTS = {
    "-blendu": 1, "-blendv": 1, "-boost": 1, "-bm": 1, "-cc": 1, "-clamp": 1, "-colorspace": 1,
    "-imfchan": 1, "-texres": 1, "-type": 1, "-mm": 2, "-o": 3, "-s": 3, "-t": 3,
}  # fmt: skip
"""Options before a texture's name, and the most numbers or words that follow each."""


@dataclass
class Paint:
    """A material of a library.

    Attributes:
        material: its colours; with a texture the base colour is white.
        plain: the same without the texture, for surfaces without texture coordinates.
        opacity: 0 clear, 1 opaque.
    """

    material: Material
    plain: Material
    opacity: float


@dataclass
class _Entry:
    """What a library says of a material, before its texture is read."""

    colour: tuple[float, float, float] | None = None
    emissive: tuple[float, float, float] = (0.0, 0.0, 0.0)
    metallic: float = 0.0
    roughness: float = DEFAULT_MATERIAL.roughness
    opacity: float | None = None
    transparency: float | None = None
    texture: str = ""
    ignored: list[str] = field(default_factory=list)


def library_names(rest: str) -> list[list[str]]:
    """The ways to read what follows `mtllib`: one name with blanks in it, or several names."""
    words = [a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', rest)]
    return [words] if '"' in rest or len(words) < 2 else [[rest], words]


def read_libraries(folder: Path, statements: list[str], warnings: list[str]) -> dict[str, Paint]:
    """Materials by name of the libraries that an OBJ file names; of two of a name, the first.

    Args:
        folder: the OBJ file's.
        statements: what follows each `mtllib`.
        warnings: gets one line of each thing that is left out.

    Raises:
        ModelFileError: a number in a library is none.
    """
    entries: dict[str, _Entry] = {}
    seen: set[str] = set()
    for rest in statements:
        if rest in seen:
            continue
        seen.add(rest)
        for names in library_names(rest):
            texts, missing = [], []
            for name in names:
                try:
                    texts.append(text_of(read_beside(folder, name, MAX_LIBRARY_BYTES)))
                except ModelFileError as error:
                    missing.append(f"ignores material library {name!r}: {error}")
            if texts:
                break
        warnings += missing
        for text in texts:
            for name, entry in _parse(text).items():
                entries.setdefault(name, entry)
    ignored = Counter(key for e in entries.values() for key in dict.fromkeys(e.ignored))
    for key, count in ignored.items():
        warnings.append(f"ignores {key} of {plural(count, 'material')}")
    images: dict[str, NDArray[np.uint8] | None] = {}
    return {name: _paint(folder, name, entry, images, warnings) for name, entry in entries.items()}


def _paint(
    folder: Path,
    name: str,
    entry: _Entry,
    images: dict[str, NDArray[np.uint8] | None],
    warnings: list[str],
) -> Paint:
    base = DEFAULT_MATERIAL.base_color
    if entry.colour is not None:
        base = linear(np.clip(entry.colour, 0.0, 1.0))
    plain = Material(name, base, entry.metallic, entry.roughness, emissive=entry.emissive)
    image = None
    if entry.texture:
        if entry.texture not in images:
            images[entry.texture] = read_texture(folder, entry.texture, warnings)
        image = images[entry.texture]
    textured = plain
    if image is not None:
        textured = replace(plain, base_color=(1.0, 1.0, 1.0), base_color_image=image)
    opacity = entry.opacity
    if opacity is None:
        opacity = 1.0 if entry.transparency is None else 1.0 - entry.transparency
    return Paint(textured, plain, opacity)


def read_texture(folder: Path, rest: str, warnings: list[str]) -> NDArray[np.uint8] | None:
    """The texture that a `map_Kd`, or another file, names; or None with a warning."""
    name, options = texture_name(rest)
    if options:
        warnings.append(f"ignores {' '.join(options)} of texture {name!r}")
    failure: ModelFileError | None = None
    for candidate in dict.fromkeys((rest.strip('"'), name)):
        try:
            raw = read_beside(folder, candidate, MAX_TEXTURE_BYTES)
        except ModelFileError as error:
            failure = error
            continue
        try:
            return decode_image(raw, candidate)
        except ModelFileError as error:
            warnings.append(f"ignores a texture: {error}")
            return None
    warnings.append(f"ignores texture {name!r}: {failure}")
    return None


def texture_name(rest: str) -> tuple[str, list[str]]:
    """The file's name after a `map_Kd`'s options, and the options that change the picture."""
    words = rest.split()
    options: list[str] = []
    while len(words) > 1 and words[0].lower() in _OPTION_ARGUMENTS:
        key = words.pop(0).lower()
        taken = []
        most = _OPTION_ARGUMENTS[key]
        for _ in range(most):
            # -o, -s and -t take one to three numbers
            if len(words) < 2 or (most > 1 and not _is_number(words[0])):
                break
            taken.append(words.pop(0))
        neutral = key in ("-o", "-t") and all(float(t) == 0.0 for t in taken)
        neutral = neutral or (key == "-s" and all(float(t) == 1.0 for t in taken))
        neutral = neutral or key in ("-blendu", "-blendv", "-texres", "-imfchan", "-type", "-cc")
        if not neutral:
            options.append(" ".join([key, *taken]))
    # the name may hold blanks: it is the rest of the line as it stands
    start = rest.find(words[0]) if not options and len(words) == len(rest.split()) else -1
    name = rest[start:] if start >= 0 else " ".join(words)
    return name.strip().strip('"'), options


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _parse(text: str) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    entry: _Entry | None = None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        key, rest = words[0].lower(), words[1].strip() if len(words) > 1 else ""
        if key == "newmtl":
            entry = _Entry()
            entries.setdefault(rest, entry)
        elif entry is None or not rest:
            continue
        elif key == "map_kd":
            entry.texture = rest
        elif key in ("kd", "ke"):
            if not _is_number(rest.split()[0]) and rest.split()[0].lower() in ("xyz", "spectral"):
                entry.ignored.append(f"{words[0]} {rest.split()[0]}")
                continue
            values = _numbers(rest, number, words[0])
            colour = (values * 3 if len(values) < 3 else values)[:3]
            if key == "kd":
                entry.colour = (colour[0], colour[1], colour[2])
            else:
                r, g, b = (max(c, 0.0) for c in colour)
                entry.emissive = (r, g, b)
        elif key in ("d", "tr", "pm", "pr"):
            value = min(max(_numbers(rest.replace("-halo", ""), number, words[0])[0], 0.0), 1.0)
            name = {"d": "opacity", "tr": "transparency", "pm": "metallic", "pr": "roughness"}
            setattr(entry, name[key], value)
        elif key not in _HARMLESS:
            entry.ignored.append(words[0])
    return entries


def _numbers(rest: str, line: int, key: str) -> list[float]:
    words = rest.partition("#")[0].split()
    if not words or not all(_is_number(w) for w in words[:3]):
        raise ModelFileError(f"line {line} of its material library: {key} {rest[:40]!r}: no number")
    return [float(w) for w in words[:3]]
