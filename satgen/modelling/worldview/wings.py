"""Two solar wings on the +y and -y sides, cells toward -z."""

from __future__ import annotations

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly
from satgen.modelling.materials import CELLS
from satgen.modelling.worldview.layout import (
    FACE,
    PANEL_GAP,
    PANEL_LENGTH,
    PANEL_THICKNESS,
    PANEL_WIDTH,
    PANELS,
    WING_ROOT,
    WING_Z,
)

HINGES_X = (-0.85, 0.0, 0.85)


def add_wings(a: Assembly) -> None:
    """Drive, yoke, panels and hinge lines of both wings."""
    for name, sign in (("py", 1.0), ("my", -1.0)):
        _drive(a, name, sign)
        _yoke(a, name, sign)
        for k in range(PANELS):
            _panel(a, name, sign, k)
        _hinges(a, name, sign)
        _wing_harness(a, name, sign)


def _side(shape: shapes.Shape, sign: float) -> shapes.Shape:
    """A shape of the +y wing for either wing."""
    return shape if sign > 0 else shape.mirror("y")


def _drive(a: Assembly, name: str, sign: float) -> None:
    plate = shapes.box((0.40, 0.06, 0.40), 0.012).translate((0, FACE, WING_Z))
    housing = shapes.cylinder(0.13, 0.14, 24, 0.012).rotate("x", 90.0)
    shaft = shapes.cylinder(0.085, 0.22, 20, 0.008).rotate("x", 90.0)
    part = a.part(f"wing_drive_{name}", "structure")
    part.add(_side(plate, sign), "aluminium")
    part.add(_side(housing.translate((0, FACE + 0.07, WING_Z)), sign), "mli_black")
    part.add(_side(shaft.translate((0, FACE + 0.19, WING_Z)), sign), "titanium")


def _yoke(a: Assembly, name: str, sign: float) -> None:
    """An A of square tubes from the drive to the first panel."""
    hub = shapes.box((0.26, 0.08, 0.10), 0.012).translate((0, FACE + 0.27, WING_Z))
    bar = shapes.box((1.90, 0.05, 0.05), 0.008).translate((0, WING_ROOT - 0.055, WING_Z))
    arms = [
        shapes.strut(
            (s * 0.08, FACE + 0.28, WING_Z), (s * 0.86, WING_ROOT - 0.06, WING_Z), 0.027, 8
        )
        for s in (-1.0, 1.0)
    ]
    part = a.part(f"wing_yoke_{name}", "boom")
    part.add(_side(shapes.join(bar, *arms), sign), "cfrp")
    part.add(_side(hub, sign), "aluminium")


def _panel_y(k: int) -> float:
    """Middle of panel `k` of the +y wing."""
    return WING_ROOT + PANEL_LENGTH / 2 + k * (PANEL_LENGTH + PANEL_GAP)


def _panel(a: Assembly, name: str, sign: float, k: int) -> None:
    y = _panel_y(k)
    seed = k + (0 if sign > 0 else 50)
    at = (0.0, sign * y, WING_Z)
    pieces = shapes.solar_panel(PANEL_WIDTH, PANEL_LENGTH, PANEL_THICKNESS, 48, 12, 0.025, seed)
    part = a.part(f"wing_panel_{name}_{k + 1}", "solar_array")
    cells = CELLS[(k + (sign > 0)) % len(CELLS)]
    for key, material in (("front", cells), ("edge", "cfrp"), ("back", "panel_back")):
        part.add(pieces[key].rotate("y", 180.0).translate(at), material)
    ribs = [
        shapes.box((0.045, PANEL_LENGTH - 0.06, 0.03), 0.004).translate((x, 0, 0.03))
        for x in (-1.12, -0.62, 0.62, 1.12)
    ]
    part.add(shapes.join(*ribs).translate(at), "cfrp")
    posts = [
        shapes.cylinder(0.032, 0.075, 8).translate((x, y_, 0.0))
        for x in (-0.42, 0.42)
        for y_ in (-0.18, 0.18)
    ]
    part.add(shapes.join(*posts).translate(at), "titanium")


def _hinges(a: Assembly, name: str, sign: float) -> None:
    """Knuckles and leaves on the back of every joint."""
    part = a.part(f"wing_hinges_{name}", "structure")
    knuckle = shapes.cylinder(0.022, 0.14, 8).rotate("y", 90.0)
    leaf = shapes.box((0.11, 0.13, 0.018), 0.003)
    for k in range(PANELS):
        y = WING_ROOT + k * (PANEL_LENGTH + PANEL_GAP) - PANEL_GAP / 2
        for x in HINGES_X:
            z = WING_Z + PANEL_THICKNESS / 2 + 0.012
            part.add(_side(leaf.translate((x, y - 0.012 * (k == 0), z)), sign), "aluminium")
            part.add(_side(knuckle.translate((x, y, z + 0.012)), sign), "steel_dark")


def _wing_harness(a: Assembly, name: str, sign: float) -> None:
    """Cable along the backs of the panels with a connector bracket on each."""
    z = WING_Z + PANEL_THICKNESS / 2 + 0.012
    start, stop = FACE + 0.25, WING_ROOT + PANELS * PANEL_LENGTH
    part = a.part(f"wing_harness_{name}", "solar_array")
    path = [
        (0.05, start, WING_Z + 0.05),
        (0.25, WING_ROOT - 0.02, z + 0.01),
        (0.25, WING_ROOT + 0.06, z),
        (0.25, stop - 0.1, z),
    ]
    part.add(_side(shapes.pipe(path, 0.014, 6), sign), "harness")
    for k in range(PANELS):
        box = shapes.box((0.16, 0.09, 0.04), 0.005).translate((0.25, _panel_y(k) + 0.1, z))
        part.add(_side(box, sign), "anodised")
