"""The named surfaces that the satellites are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
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
            1/8 tile, no turn), "none".
    """

    name: str
    make: Callable[[], Material]
    tile_m: float = 1.0
    jitter: Jitter = "free"

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
_MLI_TILE = 2.0


def _mli_gold() -> Material:
    stops = ((0.30, 0.14, 0.025), (0.72, 0.43, 0.10), (0.97, 0.68, 0.24), (1.0, 0.88, 0.55))
    tape = (0.87, 0.64, 0.27)
    return _full(
        "mli_gold", textures.mli(SIZE, 7, _MLI_TILE, stops, tape, 0.50, (0.34, 0.50), 1.0, 1.15)
    )


def _mli_amber() -> Material:
    stops = ((0.20, 0.07, 0.015), (0.52, 0.24, 0.05), (0.80, 0.45, 0.12), (1.0, 0.75, 0.36))
    tape = (0.60, 0.33, 0.10)
    return _full(
        "mli_amber", textures.mli(SIZE, 19, _MLI_TILE, stops, tape, 0.50, (0.31, 0.47), 1.0, 1.1)
    )


def _mli_silver() -> Material:
    stops = ((0.30, 0.31, 0.33), (0.58, 0.59, 0.61), (0.80, 0.81, 0.82), (0.97, 0.97, 0.96))
    tape = (0.74, 0.75, 0.76)
    return _full(
        "mli_silver", textures.mli(SIZE, 29, _MLI_TILE, stops, tape, 0.58, (0.32, 0.48), 0.95, 1.1)
    )


def _mli_black() -> Material:
    stops = ((0.045, 0.045, 0.05), (0.12, 0.12, 0.125), (0.20, 0.20, 0.205), (0.36, 0.36, 0.37))
    tape = (0.22, 0.215, 0.21)
    return _full(
        "mli_black", textures.mli(SIZE, 43, _MLI_TILE, stops, tape, 0.10, (0.30, 0.46), 0.9, 0.9)
    )


def _baffle_black() -> Material:
    base, normal = textures.rough_black(SIZE // 2, 5, 0.10)
    return Material("baffle_black", (1.0, 1.0, 1.0), 0.0, 0.92, 1.0, base, None, normal)


def _glass_lens() -> Material:
    return Material("glass_lens", (0.012, 0.014, 0.035), 0.0, 0.06)


_SURFACES = (
    Surface("mli_gold", _mli_gold, _MLI_TILE, "quarter"),
    Surface("mli_amber", _mli_amber, _MLI_TILE, "quarter"),
    Surface("mli_black", _mli_black, _MLI_TILE, "quarter"),
    Surface("mli_silver", _mli_silver, _MLI_TILE, "quarter"),
    Surface(
        "cloth_white",
        lambda: _full("cloth_white", textures.cloth(SIZE, 61, 1.6, (0.91, 0.905, 0.89))),
        1.6,
        "quarter",
    ),
    Surface(
        "solar_cells",
        lambda: _full("solar_cells", textures.solar_cells(SIZE, CELLS_PER_TILE, 3)),
        0.4,
        "grid",
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
    ),
    Surface(
        "black_paint",
        lambda: _full(
            "black_paint", textures.paint(SIZE, 17, 1.5, (0.185, 0.185, 0.19), 0.55, 0.10)
        ),
        1.5,
        "quarter",
    ),
    Surface("osr", lambda: _full("osr", textures.osr(SIZE, 16, 23)), 0.64, "grid"),
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
            textures.metal(SIZE // 2, 37, 1.0, (0.47, 0.475, 0.49), 0.52, 0.4, 0.70, 0.06),
        ),
        1.0,
        "quarter",
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
