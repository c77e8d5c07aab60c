"""MLS, the Microwave Limb Sounder, on the forward face: GHz module, THz module, spectrometers."""

from __future__ import annotations

import math
from collections.abc import Callable

from satgen.modelling import shapes as sh
from satgen.modelling.assembly import Assembly
from satgen.modelling.aura.forms import (
    bolts,
    facing,
    open_box,
    paraboloid,
    rect_tube,
    rib,
    smooth_skin,
)
from satgen.modelling.aura.layout import (
    FORWARD_X,
    MLS_DISH_AT,
    MLS_FOCAL,
    MLS_LOOK_DEG,
    MLS_OFFSET,
    mls_dish_point,
    mls_line_of_sight,
)
from satgen.modelling.fittings import connectors
from satgen.modelling.shapes import Shape

DISH_LONG, DISH_WIDE = 1.60, 0.80
DISH_SKIN = 6
"""Which piece of the skin's texture the reflectors wear."""
SECONDARY = {"up": 0.80, "along": 0.51}
"""Centre of the secondary in the primary's coordinates."""
GHZ_BOX = ((2.445, 3.10), (-0.80, 0.20), (-0.67, -0.33))
"""((x), (y), (z)) ranges of the GHz radiometers' box."""
THZ_BOX = ((2.445, 3.16), (0.28, 0.84), (-0.66, 0.10))
SPECTROMETER_BOX = ((2.445, 2.86), (0.24, 0.84), (0.16, 1.06))


def add_mls(a: Assembly) -> None:
    """All of MLS."""
    _interface(a)
    _primary(a)
    _backup_structure(a)
    _secondary(a)
    _ghz_radiometers(a)
    _thz_module(a)
    _spectrometers(a)
    _harness(a)


def _ranges(box: tuple[tuple[float, float], ...]) -> tuple[list[float], list[float]]:
    return [(r[0] + r[1]) / 2 for r in box], [r[1] - r[0] for r in box]


def _aimed(shape: Shape) -> Shape:
    """From the primary's coordinates (beam +z, long axis x toward zenith) to the target's."""
    return shape.rotate("y", 90.0 - MLS_LOOK_DEG).translate(MLS_DISH_AT)


def _interface(a: Assembly) -> None:
    frame = a.part("mls_interface_frame", "structure")
    for y in (-0.70, 0.16, 0.24, 0.80):
        frame.add(sh.box((0.09, 0.05, 1.24)).translate((FORWARD_X + 0.010, y, 0)), "cfrp")
    beam = sh.box((0.08, 1.60, 0.05))
    for z in (-0.20, 0.62):
        frame.add(beam.translate((FORWARD_X + 0.002, 0, z)), "cfrp")


def _primary(a: Assembly) -> None:
    """The bare reflecting skin, and the ribs on its back that keep its figure."""
    dish = a.part("mls_primary_reflector", "antenna")
    shape = paraboloid(DISH_LONG, DISH_WIDE, MLS_FOCAL, MLS_OFFSET, 0.022, 56, 6)
    dish.add(_aimed(smooth_skin(shape)), "reflector", uv_seed=DISH_SKIN)
    ribs = a.part("mls_primary_ribs", "structure")
    back = mls_line_of_sight(-1.0)
    for side in (-0.24, -0.08, 0.08, 0.24):
        reach = _half_chord(side, DISH_WIDE, DISH_LONG)
        spine = [mls_dish_point(reach * t / 5.0, side, -0.016) for t in range(-5, 6)]
        ribs.add(rib(spine, back, 0.065, 0.008), "reflector")
    for up in (-0.60, -0.40, -0.20, 0.0, 0.20, 0.40, 0.60):
        reach = _half_chord(up, DISH_LONG, DISH_WIDE)
        spine = [mls_dish_point(up, reach * t / 3.0, -0.016) for t in range(-3, 4)]
        ribs.add(rib(spine, back, 0.058, 0.008), "reflector")


def _half_chord(at: float, across: float, along: float) -> float:
    """Half of the rim's width, less a margin, at a distance from the middle of the other axis."""
    return 0.5 * along * math.sqrt(1.0 - (2.0 * at / across) ** 2) - 0.02


def _backup_structure(a: Assembly) -> None:
    """The frame that carries the primary, and the actuator that scans it."""
    frame = a.part("mls_antenna_frame", "structure")
    hub_x, hub_y = 2.51, MLS_DISH_AT[1]
    spine = [mls_dish_point(0.14 * k, 0.0, -0.098) for k in range(-4, 5)]
    frame.add(sh.pipe(spine, 0.026, 8), "cfrp")
    for up in (-0.45, 0.45):
        for side in (-0.30, 0.30):
            foot = (hub_x - 0.03, hub_y + 0.55 * side, 0.42 if up > 0 else 0.60)
            frame.add(sh.strut(foot, mls_dish_point(up, side, -0.045), 0.018, 8), "cfrp")
    actuator = a.part("mls_scan_actuator", "instrument")
    actuator.add(sh.box((0.14, 0.42, 0.30)).translate((hub_x - 0.03, hub_y, 0.50)), "anodised")
    drum = sh.cylinder(0.07, 0.56, 18).rotate("x", 90.0)
    actuator.add(drum.translate((hub_x - 0.025, hub_y, 0.46)), "aluminium")


def _secondary(a: Assembly) -> None:
    centre = mls_dish_point(SECONDARY["up"], 0.0, along=SECONDARY["along"])
    middle = mls_dish_point(-0.05, 0.0)
    way = [middle[k] - centre[k] for k in range(3)]
    part = a.part("mls_secondary_reflector", "antenna")
    mirror = sh.elliptic_dish(0.34, 0.26, 0.022, 0.018, 24, 3).aim(way)
    part.add(smooth_skin(mirror.translate(centre)), "reflector", uv_seed=DISH_SKIN)
    struts = a.part("mls_secondary_struts", "structure")
    n = sum(w * w for w in way) ** 0.5
    hub = [centre[k] - 0.030 * way[k] / n for k in range(3)]
    struts.add(sh.cylinder(0.10, 0.05, 18).aim(way).translate(hub), "aluminium")
    for side in (-0.36, 0.36):
        rim = mls_dish_point(0.30, side, -0.010)
        struts.add(sh.strut(rim, [hub[0], hub[1] + side * 0.22, hub[2]], 0.017, 8), "cfrp")
        top = (GHZ_BOX[0][1] - 0.06, hub[1] + 0.9 * side, GHZ_BOX[2][1] - 0.05)
        struts.add(sh.strut(top, [hub[0], hub[1] + side * 0.20, hub[2]], 0.017, 8), "cfrp")


def _ghz_radiometers(a: Assembly) -> None:
    centre, size = _ranges(GHZ_BOX)
    box = a.part("mls_ghz_radiometer_module", "instrument")
    box.add(sh.blanket_box(size, 0.010, 0.24, 61).translate(centre), "cloth_white")
    bench = a.part("mls_tertiary_optics", "antenna")
    y, z = MLS_DISH_AT[1], GHZ_BOX[2][1]
    bench.add(sh.box((0.28, 0.34, 0.05)).translate((2.90, y, z + 0.012)), "anodised")
    tertiary = sh.elliptic_dish(0.20, 0.24, 0.02, 0.016, 20, 2).rotate("y", 52.0)
    bench.add(tertiary.translate((2.84, y, z + 0.14)), "aluminium")
    bench.add(sh.box((0.05, 0.16, 0.16)).translate((2.815, y, z + 0.09)), "anodised")
    switch = a.part("mls_switching_mirror", "instrument")
    switch.add(
        sh.cylinder(0.055, 0.12, 16).rotate("x", 90).translate((2.95, y - 0.28, z + 0.04)),
        "anodised",
    )
    mirror = sh.plate(0.17, 0.15, 0.018).rotate("y", 35.0)
    switch.add(mirror.translate((2.95, y - 0.18, z + 0.085)), "aluminium")
    target = a.part("mls_calibration_target", "instrument")
    cavity = open_box(0.22, 0.22, 0.14, 0.018)
    target.add(cavity.translate((2.74, y - 0.38, z + 0.067)), "baffle_black")
    target.add(cavity.translate((2.74, y + 0.34, z + 0.067)), "baffle_black")
    cooler = a.part("mls_ghz_radiator", "radiator")
    plate = sh.plate(0.56, 0.26, 0.04)
    cooler.add(facing(plate, "-y").translate((2.77, GHZ_BOX[1][0] - 0.006, -0.50)), "white_paint")
    cooler.add(
        sh.plate(0.52, 0.74, 0.04).translate((2.77, -0.30, GHZ_BOX[2][0] - 0.006)),
        "white_paint",
    )
    front = a.part("mls_receiver_boxes", "instrument")
    for k, dy in enumerate((-0.32, 0.0, 0.31)):
        place = _on_receivers(dy)
        connectors(front, place, [(0.0, 0.0)], (0.0, 0.055), 24 + 2 * k, 0.015)
    for k, (dy, w, h) in enumerate(((-0.32, 0.24, 0.20), (0.0, 0.26, 0.24), (0.31, 0.22, 0.18))):
        box_k = sh.box((0.12, w, h))
        surface = ("anodised", "mli_silver", "anodised")[k]
        front.add(box_k.translate((3.125, -0.31 + dy, -0.50)), surface)


def _on_receivers(dy: float) -> Callable[[Shape], Shape]:
    return lambda shape: facing(shape, "+x").translate((3.185, -0.31 + dy, -0.52))


def _thz_module(a: Assembly) -> None:
    centre, size = _ranges(THZ_BOX)
    box = a.part("mls_thz_module", "instrument")
    box.add(sh.blanket_box(size, 0.010, 0.24, 62).translate(centre), "cloth_white")
    port = a.part("mls_thz_scan_housing", "instrument")
    y, z = centre[1], 0.00 - 0.16
    hood = rect_tube(0.42, 0.40, 0.24, 0.02).rotate("z", 90.0).rotate("y", 90.0)
    port.add(hood.translate((THZ_BOX[0][1] + 0.09, y, z)), "black_paint")
    back = sh.plate(0.39, 0.37, 0.03).rotate("y", 90.0)
    port.add(back.translate((THZ_BOX[0][1] + 0.018, y, z)), "baffle_black")
    mirror = a.part("mls_thz_scan_mirror", "instrument")
    plate = sh.elliptic_dish(0.20, 0.27, 0.001, 0.020, 20, 1).rotate("y", 58.0)
    mirror.add(plate.translate((THZ_BOX[0][1] + 0.115, y, z)), "gold_foil_smooth")
    axle = sh.cylinder(0.022, 0.39, 10).rotate("x", 90.0)
    mirror.add(axle.translate((THZ_BOX[0][1] + 0.075, y, z)), "titanium")
    laser = a.part("mls_thz_laser_oscillator", "instrument")
    tube = sh.box((0.20, 0.44, 0.22), 0.012)
    laser.add(tube.translate((THZ_BOX[0][1] + 0.055, y, -0.53)), "white_paint")
    fins = [sh.box((0.22, 0.018, 0.24)).translate((0, d, 0)) for d in (-0.18, -0.06, 0.06, 0.18)]
    laser.add(sh.join(*fins).translate((THZ_BOX[0][1] + 0.060, y, -0.53)), "aluminium")
    radiator = a.part("mls_thz_radiator", "radiator")
    plate = sh.plate(0.56, 0.60, 0.04)
    radiator.add(facing(plate, "+y").translate((2.80, THZ_BOX[1][1] + 0.006, -0.28)), "white_paint")


def _spectrometers(a: Assembly) -> None:
    centre, size = _ranges(SPECTROMETER_BOX)
    box = a.part("mls_spectrometer_module", "instrument")
    box.add(sh.blanket_box(size, 0.006, 0.25, 63, radius=0.02).translate(centre), "cloth_white")
    face = a.part("mls_spectrometer_radiator", "radiator")
    plate = facing(sh.plate(0.50, 0.78, 0.04), "+x")
    face.add(plate.translate((SPECTROMETER_BOX[0][1] + 0.006, centre[1], centre[2])), "white_paint")
    heads = [
        (SPECTROMETER_BOX[0][1] + 0.024, centre[1] + dy, centre[2] + dz)
        for dy in (-0.22, 0.22)
        for dz in (-0.36, 0.0, 0.36)
    ]
    face.add(bolts(heads, 0.012, "x"), "steel_dark")


def _harness(a: Assembly) -> None:
    cables = a.part("mls_harness", "instrument")
    runs = (
        [(2.60, 0.24, 0.30), (2.60, 0.21, 0.12), (2.60, 0.215, -0.36), (2.60, 0.18, -0.42)],
        [(2.70, 0.50, 0.20), (2.70, 0.50, 0.04)],
        [(2.56, 0.60, 0.20), (2.56, 0.60, 0.04)],
    )
    for run in runs:
        cables.add(sh.pipe(run, 0.022, 8), "harness")
