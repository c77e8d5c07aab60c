"""The cuboid: four blanketed panels, corner posts, decks, radiators, launch ring."""

from __future__ import annotations

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly
from satgen.modelling.cartography.forms import SIDES, bolts, framed, on_side
from satgen.modelling.cartography.layout import (
    BUS_LOW,
    BUS_TOP,
    CORNERS,
    DECK_LOW,
    DECK_TOP,
    HALF,
    RING_LOW,
    RING_RADIUS,
    RING_TOP,
)

MIDDLE = (BUS_LOW + BUS_TOP) / 2
TALL = BUS_TOP - BUS_LOW


def add_bus(a: Assembly) -> None:
    """Everything but payload, propulsion, wings and fittings."""
    for name, azimuth in SIDES.items():
        _panel(a, name, azimuth)
    for name, (sx, sy) in CORNERS.items():
        post = shapes.box((0.10, 0.10, TALL + 0.01), 0.014)
        a.part(f"bus_post_{name}", "structure").add(
            post.translate((sx * (HALF - 0.045), sy * (HALF - 0.045), MIDDLE)), "aluminium"
        )
    _decks(a)
    _radiators(a)
    _ring(a)
    _vents(a)


def _panel(a: Assembly, name: str, azimuth: float) -> None:
    """Two sewn blankets side by side over an equipment panel."""
    material = "mli_gold" if name in ("px", "mx") else "mli_amber"
    part = a.part(f"bus_panel_{name}", "bus")
    width = (2 * HALF - 0.19) / 2
    for k, along in enumerate((-1.0, 1.0)):
        seed = int(azimuth) + k
        sheet = shapes.blanket_box((width - 0.006, TALL - 0.03, 0.12), 0.014, 0.26, seed)
        placed = on_side(sheet, azimuth, HALF - 0.05, along * width / 2, MIDDLE)
        part.add(placed, material)
    buttons = [(x, y) for x in (-0.96, -0.5, 0.5, 0.96) for y in (-0.58, 0.58)]
    part.add(on_side(bolts(buttons), azimuth, HALF + 0.012, 0.0, MIDDLE), "aluminium")


def _decks(a: Assembly) -> None:
    span = 2 * HALF
    top = shapes.box((span + 0.02, span + 0.02, DECK_TOP - DECK_LOW), 0.012)
    part = a.part("bus_earth_deck", "structure")
    part.add(top.translate((0, 0, (DECK_TOP + DECK_LOW) / 2)), "cfrp")
    for k, (sx, sy) in enumerate(CORNERS.values()):
        sheet = shapes.blanket_box((1.06, 1.06, 0.05), 0.010, 0.33, 40 + k)
        part.add(sheet.translate((sx * 0.56, sy * 0.56, DECK_TOP)), "mli_amber")
    bottom = shapes.box((span + 0.02, span + 0.02, 0.06), 0.012)
    low = a.part("bus_aft_deck", "structure")
    low.add(bottom.translate((0, 0, BUS_LOW - 0.005)), "aluminium")
    core = shapes.box((span - 0.14, span - 0.14, TALL - 0.06), 0.01)
    low.add(core.translate((0, 0, MIDDLE)), "mli_black")  # what shows through the blankets' seams
    for k, (sx, sy) in enumerate(CORNERS.values()):
        sheet = shapes.blanket_box((1.06, 1.06, 0.05), 0.010, 0.33, 50 + k)
        low.add(sheet.translate((sx * 0.56, sy * 0.56, BUS_LOW - 0.035)), "mli_gold")


def _radiators(a: Assembly) -> None:
    """Mirror tiles and white paint where the electronics behind give off heat."""
    places = [
        ("battery_py", "osr", 90.0, 0.50, 0.50, 0.70, -0.60),
        ("data_py", "osr", 90.0, 0.50, 0.40, -0.70, -0.02),
        ("battery_my", "osr", 270.0, 0.50, 0.50, 0.70, -0.60),
        ("power_my", "white_paint", 270.0, 0.50, 0.40, -0.70, -0.02),
        ("transmitter_mx", "osr", 180.0, 0.70, 0.46, 0.54, -0.70),
        ("wheels_px", "white_paint", 0.0, 0.72, 0.42, -0.50, -0.62),
        ("electronics_px", "osr", 0.0, 0.56, 0.42, 0.54, -0.18),
    ]
    for name, material, azimuth, width, height, along, z in places:
        plate, border = framed(width, height)
        part = a.part(f"radiator_{name}", "radiator")
        part.add(on_side(plate, azimuth, HALF + 0.03, along, z), material)
        part.add(on_side(border, azimuth, HALF + 0.03, along, z), "aluminium")


def _ring(a: Assembly) -> None:
    """The launch adapter's cone and its clamp ring."""
    cone = shapes.revolve(
        [
            (RING_RADIUS - 0.05, RING_LOW + 0.04),
            (RING_RADIUS - 0.02, RING_LOW + 0.04),
            (RING_RADIUS + 0.08, RING_TOP),
            (RING_RADIUS + 0.03, RING_TOP),
        ],
        40,
    )
    a.part("launch_cone", "structure").add(cone, "mli_silver")
    clamp = shapes.tube(0.465, 0.425, 0.07, 48)
    part = a.part("launch_ring", "structure")
    part.add(clamp.translate((0, 0, RING_LOW + 0.035)), "aluminium")
    for k in range(6):
        lug = shapes.box((0.05, 0.09, 0.06), 0.006).translate((0.435, 0, RING_LOW + 0.09))
        part.add(lug.rotate("z", 60.0 * k), "titanium")


def _vents(a: Assembly) -> None:
    part = a.part("blanket_vents", "structure")
    for azimuth, along in ((0.0, 0.82), (90.0, -0.2), (180.0, -0.8), (270.0, -0.2)):
        cup = shapes.tube(0.045, 0.028, 0.05, 14)
        part.add(on_side(cup, azimuth, HALF + 0.02, along, -0.86), "anodised")
