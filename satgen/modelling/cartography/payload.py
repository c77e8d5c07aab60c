"""Two panchromatic cameras within one thermal cover: hoods, lenses, cone, star-sensor wedge."""

from __future__ import annotations

from collections.abc import Callable

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly, PartBuilder
from satgen.modelling.cartography.forms import framed
from satgen.modelling.cartography.layout import (
    AFT_DEG,
    AFT_FOOT,
    AFT_LENGTH,
    COVER_SIZE,
    COVER_Z,
    DECK_TOP,
    FORE_DEG,
    FORE_FOOT,
    FORE_LENGTH,
    HALF,
    HOOD_RADIUS,
    HOOD_WALL,
    view_axis,
)

TRACKERS = ((-0.62, 0.42, -0.66), (-0.62, -0.42, -0.66))
"""Viewing directions of the star sensors, away from the Earth and the Sun (not normalised)."""


def add_payload(a: Assembly) -> None:
    """Everything that the Earth deck carries for imaging."""
    _cover(a)
    _hood(a, "fore", FORE_FOOT, FORE_DEG, FORE_LENGTH)
    _hood(a, "aft", AFT_FOOT, AFT_DEG, AFT_LENGTH)
    _focal_planes(a)
    _wedge(a)


def _cover(a: Assembly) -> None:
    """The CFRP cone's skirt on the deck and the blanketed cover over both telescopes."""
    x, y, _ = COVER_SIZE
    skirt = shapes.box((x + 0.16, y + 0.16, 0.09), 0.02).translate((-0.02, 0, DECK_TOP + 0.04))
    a.part("payload_skirt", "structure").add(skirt, "cfrp")
    cover = shapes.blanket_box(COVER_SIZE, 0.016, 0.19, 7, 0.9)
    a.part("payload_cover", "instrument").add(cover.translate((-0.02, 0, COVER_Z)), "mli_gold")


def _hood(
    a: Assembly, name: str, foot: tuple[float, float, float], tilt_deg: float, length: float
) -> None:
    """A hood on its camera's axis: blanketed outside, black with vanes inside, lens at the foot."""
    axis = view_axis(tilt_deg)

    def place(shape: shapes.Shape, along: float) -> shapes.Shape:
        at = [f + along * c for f, c in zip(foot, axis, strict=True)]
        return shape.aim(axis).translate(at)

    outer = shapes.tube(HOOD_RADIUS + HOOD_WALL, HOOD_RADIUS, length, 40)
    part = a.part(f"hood_{name}", "instrument")
    part.add(place(outer, length / 2), "mli_gold")
    lip = shapes.tube(HOOD_RADIUS + HOOD_WALL + 0.008, HOOD_RADIUS - 0.012, 0.03, 40)
    part.add(place(lip, length - 0.012), "black_paint")
    for z in (0.42, 0.62):
        band = shapes.tube(HOOD_RADIUS + HOOD_WALL + 0.006, HOOD_RADIUS + 0.01, 0.035, 40)
        part.add(place(band, z * length / 0.8), "mli_black")
    liner = a.part(f"baffle_{name}", "instrument")
    sleeve = shapes.tube(HOOD_RADIUS + 0.004, HOOD_RADIUS - 0.012, length - 0.05, 40)
    liner.add(place(sleeve, length / 2 - 0.01), "baffle_black")
    for k in range(4):
        vane = shapes.tube(HOOD_RADIUS, HOOD_RADIUS - 0.055 + 0.008 * k, 0.016, 40)
        liner.add(place(vane, (0.24 + 0.17 * k) * length), "baffle_black")
    floor = shapes.cylinder(HOOD_RADIUS - 0.002, 0.05, 40)
    lens = a.part(f"lens_{name}", "instrument").add(place(floor, 0.06), "black_paint")
    _optics(lens, place)


def _optics(part: PartBuilder, place: Callable[[shapes.Shape, float], shapes.Shape]) -> None:
    cell = shapes.tube(0.215, 0.17, 0.05, 36)
    glass = shapes.hemisphere(0.185, 28, 4).scale((1, 1, 0.16))
    hub = shapes.cylinder(0.055, 0.03, 20)
    for shape, along, material in (
        (cell, 0.095, "anodised"),
        (glass, 0.084, "glass_lens"),
        (hub, 0.112, "black_paint"),
    ):
        part.add(place(shape, along), material)


def _focal_planes(a: Assembly) -> None:
    """Detector electronics beside the cover, with their radiators toward cold space."""
    for k, sign in enumerate((1.0, -1.0)):
        y = sign * (COVER_SIZE[1] / 2 + 0.13)
        box = shapes.box((0.62, 0.22, 0.26), 0.014).translate((-0.12, y, DECK_TOP + 0.14))
        part = a.part(f"camera_electronics_{k + 1}", "instrument").add(box, "mli_black")
        plate, border = framed(0.44, 0.15, 0.02, 0.02)
        tilt = -90.0 * sign
        at = (-0.12, y + sign * 0.11, DECK_TOP + 0.15)
        part.add(plate.rotate("x", tilt).translate(at), "osr")
        part.add(border.rotate("x", tilt).translate(at), "aluminium")


def _wedge(a: Assembly) -> None:
    """The star-sensor wedge on the aft side and its two baffled sensors."""
    profile = [(0.0, -0.26), (0.13, -0.20), (0.13, 0.10), (0.0, 0.26)]
    wedge = shapes.prism(profile, 0.90, 0.012).rotate("x", 90.0).rotate("z", 180.0)
    part = a.part("star_sensor_wedge", "structure")
    part.add(wedge.translate((-HALF + 0.01, 0, -0.20)), "mli_silver")
    for k, look in enumerate(TRACKERS):
        sign = 1.0 if k == 0 else -1.0
        at = (-HALF - 0.12, sign * 0.27, -0.24)
        head = shapes.box((0.17, 0.17, 0.20), 0.014).aim(look).translate(at)
        collar = shapes.cylinder(0.085, 0.05, 20)
        hood = shapes.baffle(0.068, 0.24, 3, 20, 0.006, 1.55)
        glass = shapes.hemisphere(0.05, 14, 2).scale((1, 1, 0.4))
        sensor = a.part(f"star_sensor_{k + 1}", "sensor").add(head, "mli_black")
        for shape, along, material in (
            (collar, 0.115, "aluminium"),
            (hood, 0.125, "black_paint"),
            (glass, 0.13, "glass_lens"),
        ):
            placed = shape.translate((0, 0, along)).aim(look).translate(at)
            sensor.add(placed, material)
