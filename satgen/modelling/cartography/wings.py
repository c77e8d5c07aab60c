"""Two solar wings of three panels on yokes, turned toward the Sun about y."""

from __future__ import annotations

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly
from satgen.modelling.cartography.layout import (
    HALF,
    PANEL_CHORD,
    PANEL_GAP,
    PANEL_LENGTH,
    PANEL_THICKNESS,
    PANELS,
    WING_ROOT,
    WING_TILT_DEG,
    WING_Z,
)
from satgen.modelling.materials import CELLS

HINGES_X = (-0.66, 0.66)


def add_wings(a: Assembly) -> None:
    """Drive, yoke, panels, hinges and harness of both wings."""
    for name, sign in (("py", 1.0), ("my", -1.0)):
        _drive(a, name, sign)
        _yoke(a, name, sign)
        for k in range(PANELS):
            _panel(a, name, sign, k)
        _hinges(a, name, sign)
        _harness(a, name, sign)
        _hold_downs(a, name, sign)


def _fixed(shape: shapes.Shape, sign: float) -> shapes.Shape:
    """A shape of the +y side, at the wing's height, for either side."""
    placed = shape.translate((0, 0, WING_Z))
    return placed if sign > 0 else placed.mirror("y")


def _turned(shape: shapes.Shape, sign: float) -> shapes.Shape:
    """A shape of the +y wing's own frame (cells toward -z) on either wing, turned to the Sun."""
    return _fixed(shape.rotate("y", WING_TILT_DEG), sign)


def _drive(a: Assembly, name: str, sign: float) -> None:
    plate = shapes.box((0.36, 0.09, 0.36), 0.012).translate((0, HALF + 0.01, 0))
    housing = shapes.cylinder(0.12, 0.10, 24, 0.012).rotate("x", 90.0)
    shaft = shapes.cylinder(0.075, 0.22, 20, 0.008).rotate("x", 90.0)
    part = a.part(f"wing_drive_{name}", "structure")
    part.add(_fixed(plate, sign), "aluminium")
    part.add(_fixed(housing.translate((0, HALF + 0.07, 0)), sign), "mli_black")
    a.part(f"wing_shaft_{name}", "boom").add(
        _fixed(shaft.translate((0, HALF + 0.20, 0)), sign), "titanium"
    )


def _yoke(a: Assembly, name: str, sign: float) -> None:
    """A triangle of tubes from the drive to the first panel."""
    hub = shapes.box((0.24, 0.08, 0.10), 0.012).translate((0, HALF + 0.29, 0))
    bar = shapes.box((1.46, 0.05, 0.05), 0.008).translate((0, WING_ROOT - 0.06, 0))
    arms = [
        shapes.strut((s * 0.07, HALF + 0.29, 0), (s * 0.66, WING_ROOT - 0.06, 0), 0.026, 10)
        for s in (-1.0, 1.0)
    ]
    cross = shapes.strut((-0.36, HALF + 0.53, 0), (0.36, HALF + 0.53, 0), 0.018, 8)
    part = a.part(f"wing_yoke_{name}", "boom")
    part.add(_turned(shapes.join(bar, cross, *arms), sign), "cfrp")
    part.add(_turned(hub, sign), "aluminium")


def _middle(k: int) -> float:
    """Middle of panel `k` of the +y wing."""
    return WING_ROOT + PANEL_LENGTH / 2 + k * (PANEL_LENGTH + PANEL_GAP)


def _panel(a: Assembly, name: str, sign: float, k: int) -> None:
    y = _middle(k)
    seed = k + (0 if sign > 0 else 60)
    pieces = shapes.solar_panel(PANEL_CHORD, PANEL_LENGTH, PANEL_THICKNESS, 36, 28, 0.03, seed)
    part = a.part(f"wing_panel_{name}_{k + 1}", "solar_array")
    cells = CELLS[(k + (sign > 0)) % len(CELLS)]
    for key, material in (("front", cells), ("edge", "cfrp"), ("back", "panel_back")):
        part.add(_turned(pieces[key].rotate("y", 180.0).translate((0, y, 0)), sign), material)
    ribs = [
        shapes.box((0.04, PANEL_LENGTH - 0.08, 0.03), 0.004).translate((x, y, 0.03))
        for x in (-0.80, -0.30, 0.30, 0.80)
    ]
    part.add(_turned(shapes.join(*ribs), sign), "cfrp")
    posts = [
        shapes.cylinder(0.03, 0.075, 10).translate((x, y + dy, 0))
        for x in (-0.55, 0.55)
        for dy in (-0.38, 0.38)
    ]
    part.add(_turned(shapes.join(*posts), sign), "titanium")


def _hinges(a: Assembly, name: str, sign: float) -> None:
    part = a.part(f"wing_hinges_{name}", "structure")
    knuckle = shapes.cylinder(0.022, 0.14, 8).rotate("y", 90.0)
    leaf = shapes.box((0.11, 0.15, 0.02), 0.003)
    for k in range(PANELS):
        y = WING_ROOT + k * (PANEL_LENGTH + PANEL_GAP) - PANEL_GAP / 2
        for x in HINGES_X:
            z = PANEL_THICKNESS / 2 + 0.012
            part.add(_turned(leaf.translate((x, y - 0.02 * (k == 0), z)), sign), "aluminium")
            part.add(_turned(knuckle.translate((x, y, z + 0.014)), sign), "steel_dark")


def _harness(a: Assembly, name: str, sign: float) -> None:
    """Cable along the backs of the panels, a connector box on each."""
    z = PANEL_THICKNESS / 2 + 0.012
    end = _middle(PANELS - 1) + 0.3
    path = [(0.04, HALF + 0.28, 0.05), (0.14, WING_ROOT - 0.05, 0.04), (0.14, WING_ROOT + 0.06, z)]
    part = a.part(f"wing_harness_{name}", "solar_array")
    part.add(_turned(shapes.pipe([*path, (0.14, end, z)], 0.014, 6), sign), "harness")
    for k in range(PANELS):
        box = shapes.box((0.16, 0.10, 0.045), 0.005).translate((0.14, _middle(k) + 0.2, z))
        part.add(_turned(box, sign), "anodised")


def _hold_downs(a: Assembly, name: str, sign: float) -> None:
    """The cups on the bus that held the stowed wing."""
    part = a.part(f"hold_down_{name}", "structure")
    for x, z in ((-0.32, 0.44), (0.32, 0.44), (-0.32, -0.54), (0.32, -0.54)):
        base = shapes.box((0.11, 0.08, 0.11), 0.01).translate((x, HALF + 0.02, z))
        cup = shapes.cone(0.042, 0.03, 0.06, 14).rotate("x", -90.0)
        part.add(_fixed(base, sign), "aluminium")
        part.add(_fixed(cup.translate((x, HALF + 0.085, z)), sign), "titanium")
