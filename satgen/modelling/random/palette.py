"""The surfaces of a random craft: kinds, colours and textures of its own seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from satgen.model import Material
from satgen.modelling import textures
from satgen.modelling.materials import MATERIALS, Jitter, Surface
from satgen.modelling.random.draw import Draw
from satgen.modelling.shapes import CELLS_PER_TILE
from satgen.modelling.textures import Image

SIZE = 512
"""Pixels of a side of the larger textures."""
SMALL = 256

MaterialImages = tuple[Image, Image, Image]
Colour = tuple[float, float, float]

FOILS: Mapping[str, tuple[Colour, Colour, float]] = {
    "gold": ((0.955, 0.70, 0.31), (0.91, 0.65, 0.27), 0.94),
    "amber": ((0.82, 0.50, 0.19), (0.76, 0.45, 0.16), 0.94),
    "bronze": ((0.66, 0.50, 0.35), (0.56, 0.42, 0.29), 0.94),
    "silver": ((0.93, 0.935, 0.94), (0.90, 0.905, 0.91), 0.95),
    "black": ((0.17, 0.17, 0.175), (0.20, 0.195, 0.19), 0.0),
    "white_cloth": ((0.91, 0.905, 0.89), (0.85, 0.85, 0.83), 0.0),
}
"""Blankets: sRGB colours of the film and of its tape, metalness."""

FOIL_WEIGHTS = {
    "gold": 4.0,
    "amber": 2.5,
    "bronze": 1.0,
    "silver": 2.5,
    "black": 2.0,
    "white_cloth": 1.2,
}

CELLS: Mapping[str, Colour] = {
    "blue": (1.0, 1.0, 1.0),
    "deep_blue": (0.62, 0.72, 0.90),
    "violet": (1.10, 0.82, 0.92),
    "black": (0.66, 0.56, 0.34),
    "teal": (0.60, 1.15, 0.86),
}
"""Kinds of solar cells: factors on the sRGB colour of silicon."""

PAINTS: Mapping[str, Colour] = {
    "white": (0.90, 0.90, 0.885),
    "black": (0.16, 0.16, 0.165),
    "grey": (0.52, 0.52, 0.53),
    "sand": (0.80, 0.70, 0.52),
    "green": (0.52, 0.58, 0.40),
}
"""sRGB colours of paint; green is the primer of bare structure."""

PANEL_BACKS = ("panel_back", "paint_white", "foil_smooth", "cfrp")


@dataclass(frozen=True)
class Palette:
    """The surfaces of a seed, and which of them is used for what.

    Attributes:
        surfaces: by name, what an `Assembly` takes; of names that the other satellites use, too,
            each is the same kind of surface.
        main, deck, payload: blankets on the sides, on the decks and on the payload.
        paint: of panels, masts and boxes.
        dish: of reflectors.
        cells, back: front and back of the solar panels.
        radiator: of most radiators.
    """

    surfaces: Mapping[str, Surface]
    main: str
    deck: str
    payload: str
    paint: str
    dish: str
    cells: str
    back: str
    radiator: str


def palette(seed: int) -> Palette:
    """The surfaces of a seed: its own kinds, colours, grain and creases."""
    draw = Draw(seed, "palette")
    number = 1000 + draw.integer(0, 2**30)
    found: dict[str, Surface] = {}

    def add(
        name: str,
        make: Callable[[int], MaterialImages],
        tile_m: float,
        jitter: Jitter = "quarter",
        tape_v: tuple[float, float] | None = None,
    ) -> str:
        if name not in found:
            own = number + 7919 * len(found)
            found[name] = Surface(name, lambda: _material(name, make(own)), tile_m, jitter, tape_v)
        return name

    def foil() -> str:
        kind = draw.weighted(FOIL_WEIGHTS)
        tile, crumple = draw.uniform(1.4, 2.6), draw.uniform(0.9, 1.5)
        return add(
            f"foil_{kind}",
            lambda own: _foil(kind, own, tile, crumple),
            tile,
            tape_v=textures.TAPE_V,
        )

    def paint(kind: str) -> str:
        tile, mottle = draw.uniform(1.0, 1.8), draw.uniform(0.015, 0.05)
        rough = draw.uniform(0.45, 0.7)
        return add(
            f"paint_{kind}",
            lambda own: textures.paint(SIZE, own, tile, PAINTS[kind], rough, mottle),
            tile,
            tape_v=textures.TAPE_V,
        )

    main, second = foil(), foil()
    deck, payload = draw.choice((main, second)), draw.choice((second, second, main))
    white, dark = paint("white"), paint("black")
    body = paint(
        draw.weighted({"white": 5.0, "black": 1.5, "grey": 1.5, "sand": 0.7, "green": 0.5})
    )
    reflector = paint(draw.weighted({"white": 5.0, "black": 1.5, "grey": 2.0, "sand": 1.0}))

    kind = draw.weighted({"blue": 3.0, "deep_blue": 3.0, "violet": 0.6, "black": 3.0, "teal": 0.5})
    cells = f"cells_{kind}"
    tint = CELLS[kind]
    add(
        cells,
        lambda own: _tinted(textures.solar_cells(SIZE, CELLS_PER_TILE, own), tint),
        draw.uniform(0.32, 0.56),
        "grid",
    )
    back_tile = draw.uniform(1.2, 2.0)
    add("panel_back", lambda own: textures.panel_back(SIZE, own, back_tile), back_tile)
    across = draw.choice((8, 16))
    add("osr", lambda own: textures.osr(SIZE, across, own), draw.uniform(0.4, 0.8), "grid")

    def metal(name: str, tint: Colour, rough: float, *more: float) -> str:
        return add(name, lambda own: textures.metal(SMALL, own, 0.9, tint, rough, *more), 0.9)

    metal("aluminium", (0.80, 0.80, 0.805), 0.40)
    anodised = draw.choice(((0.47, 0.475, 0.49), (0.30, 0.30, 0.31), (0.55, 0.47, 0.33)))
    metal("anodised", anodised, 0.52, 0.4, 0.70, 0.06)
    smooth = draw.choice(((0.97, 0.74, 0.36), (0.90, 0.52, 0.22), (0.86, 0.86, 0.87)))
    metal("foil_smooth", smooth, 0.28, 0.25, 0.65, 0.05)
    metal("titanium", (0.66, 0.62, 0.575), 0.42, 0.6, 0.90, 0.08)
    metal("steel_dark", (0.42, 0.42, 0.43), 0.46, 0.8, 0.90, 0.08)
    add("cfrp", lambda own: textures.cfrp(SMALL, own), 0.32)
    for name in ("baffle_black", "glass_lens"):
        found[name] = MATERIALS[name]
    back = draw.weighted(dict(zip(PANEL_BACKS, (4.0, 1.2, 1.2, 1.5), strict=True)))
    radiator = draw.weighted({"osr": 3.0, white: 2.0, dark: 0.5})
    return Palette(found, main, deck, payload, body, reflector, cells, back, radiator)


def _material(name: str, images: MaterialImages) -> Material:
    base, packed, normal = images
    return Material(name, (1.0, 1.0, 1.0), 1.0, 1.0, 1.0, base, packed, normal)


def _tinted(images: MaterialImages, tint: Colour) -> MaterialImages:
    base, packed, normal = images
    dyed = np.clip(np.round(base * np.asarray(tint)), 0, 255).astype(np.uint8)
    return dyed, packed, normal


def _foil(kind: str, seed: int, tile_m: float, crumple: float) -> MaterialImages:
    tint, tape, metallic = FOILS[kind]
    rough = {"white_cloth": (0.75, 0.85), "black": (0.26, 0.36)}.get(kind, (0.15, 0.20))
    return textures.mli(SIZE, seed, tile_m, tint, tape, metallic, rough, crumple)
