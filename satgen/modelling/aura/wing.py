"""The solar-array wing: drive, boom, yoke, twelve panels hinge to hinge."""

from __future__ import annotations

from satgen.modelling import shapes as sh
from satgen.modelling.assembly import Assembly
from satgen.modelling.aura.forms import facing
from satgen.modelling.aura.layout import (
    FIRST_PANEL,
    PANEL_CHORD,
    PANEL_FACE,
    PANEL_PITCH,
    PANEL_SPAN,
    PANEL_THICKNESS,
    PANELS,
    WING_ROOT,
    WING_TILT_DEG,
)
from satgen.modelling.materials import CELLS
from satgen.modelling.shapes import Shape

HINGE_CHORDS = (-1.95, -0.70, 0.70, 1.95)
HOLD_DOWN_CHORDS = (-1.35, 1.35)
NODE_Y, BAR_Y = -1.36, -2.40
"""y of the yoke's apex on the boom, and of its bar along the first panel."""
REACH = (0.75, 2.20)
"""Chords at which the yoke's inner and outer legs meet the bar."""


def _place(shape: Shape) -> Shape:
    """From the wing's own axes (x across, -y along the span, z toward the cells)."""
    return shape.rotate("y", 90.0 + WING_TILT_DEG).translate(WING_ROOT)


def add_wing(a: Assembly) -> None:
    """Everything that turns with the array, and the drive that turns it."""
    _drive(a)
    _boom(a)
    _yoke(a)
    for k in range(PANELS):
        _panel(a, k)
    for k in range(PANELS):
        _hinge_line(a, k)
    _tip(a)


def _drive(a: Assembly) -> None:
    drive = a.part("array_drive", "boom")
    x, _, z = WING_ROOT
    plate = facing(sh.plate(0.56, 0.56, 0.04), "-y")
    drive.add(plate.translate((x, -PANEL_FACE - 0.010, z)), "aluminium")
    housing = sh.cylinder(0.19, 0.16, 24, bevel=0.012).rotate("x", 90.0)
    drive.add(housing.translate((x, -PANEL_FACE - 0.095, z)), "white_paint")
    flange = sh.cylinder(0.135, 0.09, 24).rotate("x", 90.0)
    drive.add(flange.translate((x, -PANEL_FACE - 0.21, z)), "anodised")
    for dx in (-0.225, 0.225):
        for dz in (-0.225, 0.225):
            stud = sh.cylinder(0.02, 0.05, 6).rotate("x", 90.0)
            drive.add(stud.translate((x + dx, -PANEL_FACE - 0.030, z + dz)), "steel_dark")


def _boom(a: Assembly) -> None:
    boom = a.part("array_boom", "boom")
    tube = sh.cylinder(0.085, 0.32, 24).rotate("x", 90.0)
    boom.add(_place(tube.translate((0.0, -1.22, 0.0))), "mli_silver")
    for y in (-1.13, NODE_Y + 0.09):
        collar = sh.cylinder(0.105, 0.05, 24).rotate("x", 90.0)
        boom.add(_place(collar.translate((0.0, y, 0.0))), "aluminium")
    cable = sh.pipe([(0.05, -1.05, -0.08), (0.04, -1.12, -0.112), (0.04, -1.33, -0.112)], 0.016, 6)
    boom.add(_place(cable), "steel_dark")


def _yoke(a: Assembly) -> None:
    """A triangle of tubes from the drive's boom to the whole chord of the first panel."""
    yoke = a.part("array_yoke", "boom")
    node = sh.box((0.26, 0.16, 0.14), 0.015)
    yoke.add(_place(node.translate((0.0, NODE_Y, 0.0))), "anodised")
    bar = sh.box((PANEL_CHORD - 0.24, 0.07, 0.05), 0.006)
    yoke.add(_place(bar.translate((0.0, BAR_Y, 0.0))), "cfrp")
    for side in (-1.0, 1.0):
        for reach, radius in ((REACH[0], 0.024), (REACH[1], 0.032)):
            leg = sh.strut(
                (side * 0.09, NODE_Y - 0.03, 0.0), (side * reach, BAR_Y, 0.0), radius, 10
            )
            yoke.add(_place(leg), "cfrp")
    for along in (0.36, 0.70):
        (chord, y) = _leg(REACH[1], along)
        yoke.add(_place(sh.strut((-chord, y, 0.0), (chord, y, 0.0), 0.020, 8)), "cfrp")
    for side in (-1.0, 1.0):
        low, high = _leg(REACH[0], 0.36), _leg(REACH[1], 0.70)
        diagonal = sh.strut((side * low[0], low[1], 0.0), (side * high[0], high[1], 0.0), 0.015, 8)
        yoke.add(_place(diagonal), "cfrp")
    harness = a.part("array_yoke_harness", "solar_array")
    for side in (-1.0, 1.0):
        bends = [_leg(REACH[0], along) for along in (0.02, 0.36, 0.70, 0.96)]
        run = [(side * chord, y, -0.034) for chord, y in bends]
        run += [(side * 0.60, BAR_Y - 0.03, -0.040), (side * 0.30, BAR_Y - 0.15, -0.030)]
        harness.add(_place(sh.pipe(run, 0.014, 6)), "mli_amber")


def _leg(reach: float, along: float) -> tuple[float, float]:
    """Chord and y at a share `along` of a yoke leg that ends at chord `reach`."""
    return 0.09 + along * (reach - 0.09), NODE_Y - 0.03 + along * (BAR_Y - NODE_Y + 0.03)


def _span(k: int) -> float:
    """Distance of the middle of panel k (0 innermost) from the bus's centre plane."""
    return FIRST_PANEL + (k + 0.5) * PANEL_PITCH


def _panel(a: Assembly, k: int) -> None:
    panel = a.part(f"array_panel_{k + 1:02d}", "solar_array")
    made = sh.solar_panel(PANEL_CHORD, PANEL_SPAN, PANEL_THICKNESS, 76, 22, margin=0.025, seed=k)
    at = (0.0, -_span(k), 0.0)
    panel.add(_place(made["edge"].translate(at)), "cfrp")
    panel.add(_place(made["front"].translate(at)), CELLS[k % len(CELLS)])
    panel.add(_place(made["back"].translate(at)), "panel_back")
    low = -PANEL_THICKNESS / 2.0
    for chord in (-0.30, 0.30):
        run = sh.box((0.05, PANEL_SPAN - 0.06, 0.026))
        panel.add(_place(run.translate((chord, -_span(k), low - 0.010))), "mli_amber")
    for chord in HOLD_DOWN_CHORDS:
        cup = sh.cylinder(0.035, 0.072, 8)
        panel.add(_place(cup.translate((chord, -_span(k), 0.0))), "titanium")
    for chord in (-1.80, 1.80):
        rib = sh.box((0.06, PANEL_SPAN - 0.10, 0.030))
        panel.add(_place(rib.translate((chord, -_span(k), low - 0.012))), "aluminium")
    for end in (-1.0, 1.0):
        rib = sh.box((PANEL_CHORD - 0.16, 0.035, 0.024))
        y = -_span(k) + 0.445 * end * PANEL_SPAN
        panel.add(_place(rib.translate((0.0, y, low - 0.006))), "anodised")


def _hinge_line(a: Assembly, k: int) -> None:
    """The hinges on the inner edge of panel k, and the loops of its wiring."""
    line = a.part(f"array_hinges_{k + 1:02d}", "solar_array")
    y = -(FIRST_PANEL + k * PANEL_PITCH)
    for chord in HINGE_CHORDS if k else (-1.80, -0.70, 0.70, 1.80):
        leaf = sh.box((0.10, 0.12, 0.056))
        line.add(_place(leaf.translate((chord, y, 0.0))), "titanium")
        pin = sh.cylinder(0.022, 0.15, 6).rotate("y", 90.0)
        line.add(_place(pin.translate((chord, y, -0.028 if k % 2 else 0.028))), "steel_dark")
    if k:
        for chord in (-0.30, 0.30):
            loop = [(chord, y - 0.05, -0.035), (chord, y, -0.065), (chord, y + 0.05, -0.035)]
            line.add(_place(sh.pipe(loop, 0.013, 6)), "mli_amber")


def _tip(a: Assembly) -> None:
    """The coarse sun sensors at the far edge of the wing."""
    tip = a.part("array_tip_sensors", "sensor")
    y = -(_span(PANELS - 1) + PANEL_SPAN / 2.0)
    for chord in (-1.2, 1.2):
        block = sh.box((0.14, 0.05, 0.07))
        tip.add(_place(block.translate((chord, y - 0.018, 0.0))), "anodised")
        eye = sh.cylinder(0.017, 0.02, 10)
        tip.add(_place(eye.translate((chord, y - 0.020, 0.038))), "glass_lens")
