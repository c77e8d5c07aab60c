"""The named surfaces that the satellites are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Literal

from satgen.model import Material
from satgen.modelling import textures
from satgen.modelling.shapes import CELLS_PER_TILE
from satgen.modelling.textures import Image

Jitter = Literal["free", "quarter", "grid", "none"]


@dataclass(frozen=True)
class Surface:
    """A named material and how its texture lies on a shape.

    Attributes:
        name: key in MATERIALS.
        make: builds the material (its textures are drawn on first use).
        tile_m: metres that one repeat of the texture covers.
        jitter: how a piece of surface may shift the texture, so that nothing repeats: "free" (any
            shift and turn), "quarter" (any shift, quarter turns), "grid" (shift by whole cells of
            1/16 tile, no turn), "none".
        tape_v: where its texture shows tape, from and to upward: pieces marked as trim lie there,
            along u, and other pieces keep off it where they are small enough.
    """

    name: str
    make: Callable[[], Material]
    tile_m: float = 1.0
    jitter: Jitter = "free"
    tape_v: tuple[float, float] | None = None

    def material(self) -> Material:
        """The material with its textures."""
        return _cached(self)


@lru_cache(maxsize=64)
def _cached(surface: Surface) -> Material:
    return surface.make()


def _full(
    name: str,
    images: tuple[Image, Image, Image],
    normal_scale: float = 1.0,
) -> Material:
    """A material whose colour, roughness and metalness are all in its textures."""
    base, packed, normal = images
    return Material(
        name=name,
        base_color=(1.0, 1.0, 1.0),
        metallic=1.0,
        roughness=1.0,
        normal_scale=normal_scale,
        base_color_image=base,
        metallic_roughness_image=packed,
        normal_image=normal,
    )


SIZE = 1024
CELLS = ("solar_cells", "solar_cells_b", "solar_cells_c")
"""The solar cells' surfaces, for neighbouring panels to take in turn."""
_MLI_TILE = 2.0


def _film(
    name: str,
    seed: int,
    tint: tuple[float, float, float],
    tape: tuple[float, float, float],
    metallic: float,
    roughness: tuple[float, float],
    crumple: float = 1.0,
) -> Surface:
    """A blanket under a film of one colour."""

    def make() -> Material:
        return _full(
            name, textures.mli(SIZE, seed, _MLI_TILE, tint, tape, metallic, roughness, crumple)
        )

    return Surface(name, make, _MLI_TILE, "quarter", textures.TAPE_V)


_FILMS = (
    _film("mli_gold", 7, (0.955, 0.70, 0.31), (0.91, 0.65, 0.27), 0.94, (0.15, 0.20), 1.35),
    _film("mli_amber", 19, (0.82, 0.50, 0.19), (0.76, 0.45, 0.16), 0.94, (0.15, 0.20), 1.35),
    _film("mli_black", 43, (0.17, 0.17, 0.175), (0.20, 0.195, 0.19), 0.0, (0.26, 0.36), 1.2),
    _film("mli_silver", 29, (0.93, 0.935, 0.94), (0.90, 0.905, 0.91), 0.95, (0.15, 0.20), 1.3),
)
"""Second-surface films: aluminium seen through Kapton, new and darkened, and through Teflon; and
black Kapton, which is no mirror. What is left of 1 of the metalness is their haze."""


def _baffle_black() -> Material:
    base, normal = textures.rough_black(SIZE // 2, 5, 0.10)
    return Material("baffle_black", (1.0, 1.0, 1.0), 0.0, 0.92, 1.0, base, None, normal)


def _glass_lens() -> Material:
    return Material("glass_lens", (0.012, 0.014, 0.035), 0.0, 0.06)


def _cells(name: str, seed: int) -> Material:
    return _full(name, textures.solar_cells(SIZE, CELLS_PER_TILE, seed))


_SURFACES = (
    *_FILMS,
    Surface(
        "cloth_white",
        lambda: _full("cloth_white", textures.cloth(SIZE, 61, 1.6, (0.91, 0.905, 0.89))),
        1.6,
        "quarter",
    ),
    *(
        Surface(name, partial(_cells, name, seed), 0.05 * CELLS_PER_TILE, "grid")
        for seed, name in enumerate(CELLS, start=3)
    ),
    Surface(
        "panel_back", lambda: _full("panel_back", textures.panel_back(SIZE, 3, 1.5)), 1.5, "quarter"
    ),
    Surface(
        "white_paint",
        lambda: _full(
            "white_paint", textures.paint(SIZE, 13, 1.5, (0.90, 0.90, 0.885), 0.62, 0.022)
        ),
        1.5,
        "quarter",
        textures.TAPE_V,
    ),
    Surface(
        "black_paint",
        lambda: _full(
            "black_paint", textures.paint(SIZE, 17, 1.5, (0.185, 0.185, 0.19), 0.55, 0.08, 0.3)
        ),
        1.5,
        "quarter",
        textures.TAPE_V,
    ),
    Surface("osr", lambda: _full("osr", textures.osr(SIZE, 32, 23)), 1.28, "grid"),
    Surface(
        "aluminium",
        lambda: _full("aluminium", textures.metal(SIZE, 31, 1.0, (0.80, 0.80, 0.805), 0.40)),
        1.0,
        "quarter",
    ),
    Surface(
        "anodised",
        lambda: _full(
            "anodised",
            textures.metal(
                SIZE // 2, 37, 1.0, (0.47, 0.475, 0.49), 0.52, 0.4, 0.70, 0.06, edges=True
            ),
        ),
        1.0,
        "quarter",
        textures.TAPE_V,
    ),
    Surface("baffle_black", _baffle_black, 0.6, "free"),
    Surface("cfrp", lambda: _full("cfrp", textures.cfrp(SIZE // 2, 41)), 0.32, "quarter"),
    Surface(
        "gold_foil_smooth",
        lambda: _full(
            "gold_foil_smooth",
            textures.metal(SIZE // 2, 47, 1.0, (0.97, 0.74, 0.36), 0.28, 0.25, 0.65, 0.05),
        ),
        1.0,
        "free",
    ),
    Surface(
        "titanium",
        lambda: _full(
            "titanium",
            textures.metal(SIZE // 2, 53, 0.8, (0.66, 0.62, 0.575), 0.42, 0.6, 0.90, 0.08),
        ),
        0.8,
        "quarter",
    ),
    Surface(
        "reflector",
        lambda: _full(
            "reflector",
            textures.metal(SIZE // 2, 67, 1.0, (0.88, 0.885, 0.89), 0.34, 0.15, 0.98, 0.02),
        ),
        1.0,
        "free",
    ),
    Surface("labels", lambda: _full("labels", textures.labels(SIZE // 2, 71)), 1.0, "none"),
    Surface(
        "harness",
        lambda: _full("harness", textures.harness(SIZE // 2, 73, 0.32)),
        0.32,
        "none",
    ),
    Surface("glass_lens", _glass_lens, 1.0, "none"),
    Surface(
        "steel_dark",
        lambda: _full(
            "steel_dark",
            textures.metal(SIZE // 2, 59, 0.8, (0.42, 0.42, 0.43), 0.46, 0.8, 0.90, 0.08),
        ),
        0.8,
        "quarter",
    ),
)

MATERIALS: Mapping[str, Surface] = MappingProxyType({s.name: s for s in _SURFACES})
"""Every surface by name."""
