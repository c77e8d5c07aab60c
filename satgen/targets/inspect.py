"""What a loaded target consists of, in numbers: to look at a model file before it is rendered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.errors import cut, escaped
from satgen.model import Material, TargetModel
from satgen.targets.pieces import plural

IMAGES_OF = ("base_color", "metallic_roughness", "normal", "emissive")
"""Kinds of textures that a material may have."""

MOST_ROWS = 40
"""Most parts and materials that are listed for a person; --json lists all."""


@dataclass(frozen=True)
class Inspection:
    """What a target consists of, ready for JSON.

    Attributes:
        name: of the target.
        extents_m, centre_m: size and middle of the axis-aligned box, target frame.
        triangles, vertices: how many.
        parts: of each "label", "name", "class", "triangles", "area_m2", "extents_m", "materials".
        materials: of each "name", "base_color", "metallic", "roughness", "emissive",
            "double_sided", "triangles", "textures" (kind to [width, height]).
        landmarks: how many.
        baked_light: whether light between its parts was baked for it.
        warnings: what of the file is not drawn as it says, a line each.
    """

    name: str
    extents_m: tuple[float, ...]
    centre_m: tuple[float, ...]
    triangles: int
    vertices: int
    parts: tuple[dict[str, Any], ...]
    materials: tuple[dict[str, Any], ...]
    landmarks: int
    baked_light: bool
    warnings: tuple[str, ...]


def inspect_model(model: TargetModel) -> Inspection:
    """Count and measure what a target consists of."""
    corners = model.vertices[model.faces]
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1) / 2.0
    return Inspection(
        name=model.name,
        extents_m=_floats(high - low),
        centre_m=_floats((low + high) / 2.0),
        triangles=len(model.faces),
        vertices=len(model.vertices),
        parts=tuple(_parts(model, corners, area)),
        materials=tuple(_materials(model)),
        landmarks=len(model.landmarks),
        baked_light=model.light is not None,
        warnings=model.warnings,
    )


def _parts(
    model: TargetModel, corners: NDArray[np.float64], area: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """The parts, ordered by label."""
    count = max(part.label for part in model.parts) + 1
    triangles = np.bincount(model.face_part, minlength=count)
    areas = np.bincount(model.face_part, area, minlength=count)
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    order = np.argsort(model.face_part, kind="stable")
    present, first = np.unique(model.face_part[order], return_index=True)
    low[present] = np.minimum.reduceat(corners.min(axis=1)[order], first)
    high[present] = np.maximum.reduceat(corners.max(axis=1)[order], first)
    pairs = np.unique(np.stack([model.face_part, model.face_material], axis=1), axis=0)
    used: dict[int, list[str]] = {}
    for label, material in pairs.tolist():
        used.setdefault(label, []).append(model.materials[material].name)
    return [
        {
            "label": part.label,
            "name": part.name,
            "class": part.cls,
            "triangles": int(triangles[part.label]),
            "area_m2": float(areas[part.label]),
            "extents_m": list(_floats(high[part.label] - low[part.label])),
            "materials": used[part.label],
        }
        for part in model.parts
        if triangles[part.label]
    ]


def _materials(model: TargetModel) -> list[dict[str, Any]]:
    triangles = np.bincount(model.face_material, minlength=len(model.materials))
    return [
        {
            "name": material.name,
            "base_color": list(material.base_color),
            "metallic": material.metallic,
            "roughness": material.roughness,
            "emissive": list(material.emissive),
            "double_sided": material.double_sided,
            "triangles": int(triangles[number]),
            "textures": _textures(material),
        }
        for number, material in enumerate(model.materials)
    ]


def _textures(material: Material) -> dict[str, list[int]]:
    """Width and height of each texture of a material, by its kind."""
    sizes = {}
    for kind in IMAGES_OF:
        image = getattr(material, f"{kind}_image")
        if image is not None:
            sizes[kind] = [int(image.shape[1]), int(image.shape[0])]
    return sizes


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def report(found: Inspection) -> Iterator[str]:
    """What was found, in lines for a person, without the warnings."""
    size = " × ".join(f"{value:.4g}" for value in found.extents_m)
    middle = ", ".join(f"{value:.4g}" for value in found.centre_m)
    yield f"{_short(found.name)}: {size} m about ({middle})"
    light = ", baked light" if found.baked_light else ""
    yield (
        f"  {found.triangles:,} triangles, {found.vertices:,} vertices, "
        f"{plural(found.landmarks, 'landmark')}{light}"
    )
    yield from _table(
        "parts",
        ("", "name", "class", "triangles", "area m²", "size m", "materials"),
        [
            (
                str(part["label"]),
                part["name"],
                part["class"],
                f"{part['triangles']:,}",
                f"{part['area_m2']:.4g}",
                " × ".join(f"{value:.3g}" for value in part["extents_m"]),
                ", ".join(part["materials"]),
            )
            for part in found.parts
        ],
    )
    yield from _table(
        "materials",
        ("name", "colour", "metallic", "roughness", "triangles", "textures", ""),
        [
            (
                material["name"],
                " ".join(f"{value:.3f}" for value in material["base_color"]),
                f"{material['metallic']:.2f}",
                f"{material['roughness']:.2f}",
                f"{material['triangles']:,}",
                ", ".join(f"{kind} {w}×{h}" for kind, (w, h) in material["textures"].items()),
                " ".join(
                    word
                    for word, there in (
                        ("double-sided", material["double_sided"]),
                        ("glows", any(material["emissive"])),
                    )
                    if there
                ),
            )
            for material in found.materials
        ],
    )


def _table(title: str, heads: Sequence[str], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Rows in columns under a title that says how many there are."""
    shown = [tuple(heads), *(tuple(_short(cell) for cell in row) for row in rows[:MOST_ROWS])]
    widths = [max(len(row[k]) for row in shown) for k in range(len(heads))]
    yield f"{len(rows)} {title if len(rows) != 1 else title.rstrip('s')}"
    for row in shown:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {line.rstrip()}"
    if len(rows) > MOST_ROWS:
        yield f"  … and {len(rows) - MOST_ROWS} more: --json lists them"


def _short(text: str) -> str:
    """Text that a terminal may be shown, in a table."""
    return cut(escaped(text), 72)
