"""The bus: structure, blankets, radiators, boxes, gyroscope housings, launch interface."""

from __future__ import annotations

import math
from collections.abc import Callable

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly
from satgen.modelling.fittings import connectors, tag
from satgen.modelling.forms import bolts, flat_blanket, framed, octagon
from satgen.modelling.worldview.forms import on_face
from satgen.modelling.worldview.layout import (
    BASE_Z,
    BUS_LOW,
    BUS_TOP,
    CHAMFER,
    CORNER_FACE,
    CORNERS,
    DECK_Z,
    FACE,
    HALF,
    SIDES,
)

HEIGHT = BUS_TOP - BUS_LOW
MIDDLE = (BUS_TOP + BUS_LOW) / 2.0
SIDE_WIDTH = 2.0 * (HALF - CHAMFER)
CORNER_WIDTH = CHAMFER * math.sqrt(2.0)


def add_bus(a: Assembly) -> None:
    """Everything of the bus but its sensors, antennas, thrusters and wings."""
    _structure(a)
    _blankets(a)
    _radiators(a)
    _equipment(a)
    _gyroscopes(a)
    _launch_interface(a)
    _handling_points(a)


def _structure(a: Assembly) -> None:
    """The core with the base deck that its blankets leave bare, and the deck of the telescope."""
    core = shapes.prism(octagon(HALF - 0.02, CHAMFER), HEIGHT).translate((0, 0, MIDDLE))
    base = shapes.prism(octagon(HALF + 0.04, CHAMFER + 0.01), 0.06, 0.008)
    part = a.part("bus_structure", "bus").add(core, "cfrp")
    part.add(base.translate((0, 0, BUS_LOW - 0.01)), "anodised")
    height = DECK_Z - BUS_TOP + 0.03
    deck = shapes.prism(octagon(HALF + 0.05, CHAMFER + 0.01), height, 0.008)
    part = a.part("bus_top_deck", "structure")
    part.add(deck.translate((0, 0, DECK_Z - height / 2)), "anodised")
    part.add(_edge_bolts(DECK_Z), "steel_dark")


def _edge_bolts(z: float) -> shapes.Shape:
    row = [(x, y) for x in (-0.5, 0.0, 0.5) for y in (1.11, -1.11)]
    return bolts(row + [(y, x) for x, y in row], 0.015, 0.014).translate((0, 0, z))


def _blankets(a: Assembly) -> None:
    """Gold on the sides, black on the upper deck, silver underneath."""
    for number, (name, azimuth) in enumerate(SIDES.items()):
        part = a.part(f"bus_blanket_{name}", "bus")
        for column in range(2):
            for row in range(2):
                shape = _side_blanket(SIDE_WIDTH / 2, column - 0.5, row, 4 * number + column + 10)
                part.add(on_face(shape, azimuth, FACE - 0.006), "mli_gold")
    for number, (name, azimuth) in enumerate(CORNERS.items()):
        part = a.part(f"bus_blanket_{name}", "bus")
        for row in range(2):
            shape = _side_blanket(CORNER_WIDTH, 0.0, row, 40 + 2 * number + row)
            part.add(on_face(shape, azimuth, CORNER_FACE - 0.006), "mli_gold")
    upper, lower = a.part("bus_blanket_top", "bus"), a.part("bus_blanket_base", "bus")
    for k in range(4):
        quad = _quadrant(0.03, HALF - 0.09, CHAMFER, 60 + k)
        upper.add(quad.rotate("z", 90.0 * k).translate((0, 0, DECK_Z + 0.016)), "mli_black")
        quad = _quadrant(0.03, HALF - 0.08, CHAMFER, 70 + k).rotate("x", 180.0)
        lower.add(quad.rotate("z", 90.0 * k).translate((0, 0, BUS_LOW - 0.056)), "mli_silver")


def _side_blanket(width: float, column: float, row: int, seed: int) -> shapes.Shape:
    """One of two blankets above each other on an upright side, built facing +z."""
    w, z0, z1 = width / 2 - 0.004, BUS_LOW + 0.02, BUS_TOP - 0.02
    split = z0 + 0.56 * (z1 - z0)
    low, high = (z0, split - 0.003) if row == 0 else (split + 0.003, z1)
    x = column * width
    corners = [(x - w, low, 0.0), (x + w, low, 0.0), (x + w, high, 0.0), (x - w, high, 0.0)]
    return flat_blanket(corners, seed * 3 + row, cell=0.17)


def _quadrant(inner: float, outer: float, chamfer: float, seed: int) -> shapes.Shape:
    """A blanket over a quarter of a deck, built facing +z, its far corner cut."""
    cut = outer - 0.5 * chamfer
    corners = [(inner, inner, 0.0), (outer, inner, 0.0), (cut, cut, 0.0), (inner, outer, 0.0)]
    return flat_blanket(corners, seed, thickness=0.03, cell=0.26)


def _radiators(a: Assembly) -> None:
    """Mirror tiles and white paint on the sides away from the sun."""
    # name, side, along, z, width, height, material
    plates = (
        ("radiator_px_upper_left", "px", -0.34, -1.22, 0.60, 0.66, "osr"),
        ("radiator_px_upper_right", "px", 0.34, -1.22, 0.60, 0.66, "osr"),
        ("radiator_px_lower", "px", 0.0, -2.12, 1.22, 0.66, "osr"),
        ("radiator_mx_upper", "mx", 0.0, -1.17, 1.20, 0.52, "white_paint"),
        ("radiator_py_upper", "py", 0.0, -1.18, 1.16, 0.54, "white_paint"),
        ("radiator_my_upper", "my", 0.0, -1.18, 1.16, 0.54, "white_paint"),
    )
    for name, side, along, z, width, height, material in plates:
        plate, border = framed(width, height, 0.035)
        part = a.part(name, "radiator")
        part.add(on_face(plate, SIDES[side], FACE, along, z), material)
        part.add(on_face(border, SIDES[side], FACE, along, z), "mli_silver")
        points = [
            (x * (width / 2 - 0.04), y * (height / 2 - 0.04)) for x in (-1, 1) for y in (-1, 1)
        ]
        heads = bolts(points, 0.012, 0.012).translate((0, 0, 0.035))
        part.add(on_face(heads, SIDES[side], FACE, along, z), "aluminium")
    louvre = shapes.louvre(0.46, 0.40, 7, 0.05).translate((0, 0, 0.025))
    a.part("louvre_mx", "radiator").add(on_face(louvre, 180.0, FACE, -0.38, -1.72), "aluminium")


def _equipment(a: Assembly) -> None:
    """Boxes and access panels outside the blankets."""
    # name, side, along, z, (width, height), proud, material
    boxes = (
        ("battery_box", "mx", 0.36, -1.76, (0.52, 0.44), 0.085, "mli_amber"),
        ("transponder_box", "mx", -0.36, -2.28, (0.40, 0.36), 0.075, "black_paint"),
        ("power_box", "mx", 0.30, -2.30, (0.46, 0.30), 0.07, "anodised"),
        ("avionics_box_py", "py", 0.46, -2.05, (0.30, 0.42), 0.07, "mli_black"),
        ("avionics_box_my", "my", -0.46, -2.05, (0.30, 0.42), 0.07, "mli_black"),
        ("heater_box_py", "py", -0.46, -2.16, (0.28, 0.30), 0.06, "anodised"),
        ("valve_panel_my", "my", 0.46, -2.16, (0.28, 0.30), 0.06, "aluminium"),
    )
    for name, side, along, z, (w, h), proud, material in boxes:
        body = shapes.box((w, h, proud + 0.03), 0.012).translate((0, 0, (proud - 0.03) / 2))
        part = a.part(name, "bus").add(on_face(body, SIDES[side], FACE, along, z), material)
        feet = [(x * (w / 2 + 0.025), y * h * 0.35) for x in (-1, 1) for y in (-1, 1)]
        lugs = shapes.join(
            *(shapes.box((0.07, 0.05, 0.05)).translate((x, y, -0.005)) for x, y in feet)
        )
        part.add(on_face(lugs, SIDES[side], FACE, along, z), "aluminium")
        label = tag(len(name), 0.09).translate((0.0, -0.30 * h, proud))
        part.add(on_face(label, SIDES[side], FACE, along, z), "labels")
        plug = shapes.cylinder(0.022, 0.05, 10).rotate("x", 90.0).translate((-0.2 * w, h / 2, 0.03))
        plug = shapes.join(plug, plug.translate((0.2 * w, 0, 0)), plug.translate((0.4 * w, 0, 0)))
        part.add(on_face(plug, SIDES[side], FACE, along, z), "steel_dark")
    panel = shapes.box((0.40, 0.13, 0.045), 0.006)
    rim = bolts([(x, y) for x in (-0.17, 0.0, 0.17) for y in (-0.045, 0.045)], 0.012).translate(
        (0, 0, 0.022)
    )
    part = a.part("access_panel_px", "structure")
    part.add(on_face(panel, 0.0, FACE, 0.40, -1.672), "mli_silver")
    part.add(on_face(rim, 0.0, FACE, 0.40, -1.672), "steel_dark")
    _harness(a)
    _connectors(a)


def _connectors(a: Assembly) -> None:
    """Rows of connectors on the fronts of three boxes, and labels beside the radiators."""
    rows = (
        ("battery_box", "mx", 0.36, -1.76, 0.085, (-0.14, 0.0, 0.14), 0.10),
        ("power_box", "mx", 0.30, -2.30, 0.07, (-0.12, 0.0, 0.12), 0.04),
        ("avionics_box_py", "py", 0.46, -2.05, 0.07, (-0.07, 0.07), 0.10),
        ("avionics_box_my", "my", -0.46, -2.05, 0.07, (-0.07, 0.07), 0.10),
    )
    parts = {p.name: p for p in a.parts}
    for k, (name, side, along, z, proud, xs, y) in enumerate(rows):
        place = _on_box(SIDES[side], along, z, proud)
        connectors(parts[name], place, [(x, y) for x in xs], (0.0, 0.075), 5 * k)
    marks = a.part("bus_labels", "structure")
    for k, (side, along, z) in enumerate(
        (
            ("px", -0.60, -1.67),
            ("mx", 0.60, -1.50),
            ("py", -0.62, -1.62),
            ("my", 0.62, -1.62),
            ("px", 0.20, -2.54),
            ("my", -0.15, -2.48),
        )
    ):
        marks.add(on_face(tag(20 + k, 0.11), SIDES[side], FACE + 0.012, along, z), "labels")


def _on_box(
    azimuth: float, along: float, z: float, proud: float
) -> Callable[[shapes.Shape], shapes.Shape]:
    """Puts a shape that faces +z on the front of a box that is `proud` of a side's blankets."""
    return lambda shape: on_face(shape.translate((0, 0, proud)), azimuth, FACE, along, z)


def _harness(a: Assembly) -> None:
    """Cable bundles between the boxes of the -x side, half sunk into the blanket, clamped."""
    part = a.part("bus_harness", "structure")
    runs = (
        [(-0.16, -2.28), (0.0, -2.28), (0.0, -1.56), (0.10, -1.56)],
        [(0.07, -2.30), (0.035, -2.30), (0.035, -1.62), (0.10, -1.62)],
        [(-0.55, -2.20), (-0.62, -2.12), (-0.62, -0.84)],
    )
    for k, run in enumerate(runs):
        path = [(x, z, 0.022 + 0.008 * (k == 1)) for x, z in run]
        part.add(on_face(shapes.pipe(path, 0.018, 8), 180.0, FACE), "harness")
    clamps = [(0.018, -1.9), (0.018, -2.15), (-0.62, -1.95), (-0.62, -1.4), (-0.62, -0.95)]
    clamp = shapes.box((0.085, 0.03, 0.07), 0.004)
    for x, z in clamps:
        part.add(on_face(clamp, 180.0, FACE, x, z).translate((0, 0, 0)), "aluminium")


def _gyroscopes(a: Assembly) -> None:
    """The control moment gyroscopes bulge out of the cut corners."""
    dome = shapes.hemisphere(0.20, 32, 4).scale((1.0, 1.0, 0.55)).translate((0, 0, 0.035))
    flange = shapes.cylinder(0.235, 0.05, 32).translate((0, 0, 0.015))
    ring = [
        (0.217 * math.cos(k * math.pi / 4 + 0.39), 0.217 * math.sin(k * math.pi / 4 + 0.39))
        for k in range(8)
    ]
    for name, azimuth in CORNERS.items():
        part = a.part(f"gyroscope_{name}", "bus")
        part.add(on_face(flange, azimuth, CORNER_FACE, 0.0, -1.22), "aluminium")
        part.add(on_face(dome, azimuth, CORNER_FACE, 0.0, -1.22), "mli_amber")
        heads = bolts(ring, 0.012, 0.012).translate((0, 0, 0.04))
        part.add(on_face(heads, azimuth, CORNER_FACE, 0.0, -1.22), "steel_dark")


def _launch_interface(a: Assembly) -> None:
    """Separation ring with gussets, umbilical connectors."""
    top = BUS_LOW - 0.03
    section = [
        (0.575, BASE_Z),
        (0.630, BASE_Z),
        (0.630, BASE_Z + 0.030),
        (0.605, BASE_Z + 0.045),
        (0.605, top - 0.020),
        (0.650, top),
        (0.650, top + 0.05),
        (0.575, top + 0.05),
    ]
    part = a.part("launch_adapter_ring", "structure")
    part.add(shapes.revolve(section, 48), "aluminium")
    gusset = shapes.box((0.06, 0.016, 0.15)).translate((0.62, 0, top - 0.06))
    part.add(shapes.join(*(gusset.rotate("z", 30.0 * k + 15.0) for k in range(12))), "aluminium")
    for k, sign in enumerate((1.0, -1.0)):
        plug = shapes.cylinder(0.05, 0.12, 14, 0.006).translate((sign * 0.76, 0.10, top - 0.05))
        other = shapes.cylinder(0.035, 0.10, 12, 0.006).translate((sign * 0.76, -0.06, top - 0.04))
        block = shapes.box((0.18, 0.34, 0.06), 0.008).translate((sign * 0.76, 0.02, top - 0.01))
        part = a.part(f"umbilical_{k + 1}", "structure")
        part.add(block, "anodised").add(shapes.join(plug, other), "steel_dark")


def _handling_points(a: Assembly) -> None:
    """Trunnions for lifting on the +x and -x sides."""
    pin = shapes.cylinder(0.038, 0.13, 16, 0.006).translate((0, 0, 0.03))
    pad = shapes.box((0.16, 0.16, 0.05), 0.008).translate((0, 0, 0.01))
    number = 0
    for azimuth in (0.0, 180.0):
        for along in (-0.60, 0.60):
            number += 1
            part = a.part(f"handling_point_{number}", "structure")
            part.add(on_face(pad, azimuth, FACE, along, -2.50), "aluminium")
            part.add(on_face(pin, azimuth, FACE, along, -2.50), "titanium")
