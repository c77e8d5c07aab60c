"""The instruments on the nadir deck: HIRDLS, TES and OMI."""

from __future__ import annotations

from collections.abc import Callable

from satgen.modelling import shapes as sh
from satgen.modelling.assembly import Assembly
from satgen.modelling.aura.forms import bolts, facing, open_box, rect_tube
from satgen.modelling.aura.layout import HIRDLS_AT, OMI_AT, TES_AT
from satgen.modelling.fittings import connectors, tag
from satgen.modelling.shapes import Shape


def facing_at(
    at: tuple[float, float, float], offset: tuple[float, float, float], side: str
) -> Callable[[Shape], Shape]:
    """Puts a shape that faces +z on a side of an instrument, `offset` from its footprint."""
    where = [a + o for a, o in zip(at, offset, strict=True)]
    return lambda shape: facing(shape, side).translate(where)


Put = Callable[[Shape, float, float, float], Shape]
"""Moves a shape to (x, y, z) from the middle of an instrument's footprint on the deck."""

TES_SHADE = (1.14, 0.81, 0.035)
"""One leaf of TES's Earth shade: along x, along y, thick."""
OMI_SIZE = (0.50, 0.40, 0.35)


def add_nadir_instruments(a: Assembly) -> None:
    """HIRDLS forward, TES in the middle, OMI aft."""
    _hirdls(a)
    _tes(a)
    _omi(a)


def _from(at: tuple[float, float, float]) -> Put:
    return lambda shape, x, y, z: shape.translate((at[0] + x, at[1] + y, at[2] + z))


def _hirdls(a: Assembly) -> None:
    put = _from(HIRDLS_AT)

    base = a.part("hirdls_base_plate", "instrument")
    base.add(put(sh.box((1.10, 1.50, 0.06)), 0, 0, 0.075), "cfrp")
    for x in (-0.46, 0.46):
        for y in (-0.64, 0.0, 0.64):
            base.add(put(sh.cylinder(0.05, 0.10, 12), x, y, 0.035), "titanium")
    bench = a.part("hirdls_optical_bench", "instrument")
    bench.add(put(sh.blanket_box((1.06, 1.02, 0.46), 0.014, 0.24, 71), 0, -0.22, 0.325), "mli_gold")
    cooler = a.part("hirdls_cooler_module", "instrument")
    cooler.add(
        put(sh.blanket_box((1.00, 0.42, 0.44), 0.010, 0.24, 72), 0, 0.52, 0.315), "cloth_white"
    )
    _hirdls_sunshield(a, put)
    _hirdls_inside(a, put)
    _hirdls_outside(a, put)


def _hirdls_sunshield(a: Assembly, put: Put) -> None:
    """The box of gold sheets over the telescope, open aft, its mouth cut at a slant."""
    shield = a.part("hirdls_sunshield", "instrument")
    low, high = 0.53, 1.30
    side = [(-0.36, low), (0.565, low), (0.565, high), (-0.565, high), (-0.565, high - 0.22)]
    wall = sh.prism(side, 0.035).rotate("x", 90.0)
    for y in (-0.7525, 0.7525):
        shield.add(put(wall, 0, y, 0), "mli_gold")
    roof = sh.blanket_box((1.11, 1.49, 0.035), 0.005, 0.26, 73, radius=0.012)
    shield.add(put(roof, -0.004, 0, high - 0.032), "mli_gold")
    floor = sh.box((0.90, 1.49, 0.035))
    shield.add(put(floor, 0.105, 0, low + 0.0235), "mli_gold")
    back = sh.blanket_box((0.035, 1.49, 0.72), 0.005, 0.26, 74, radius=0.012)
    shield.add(put(back, 0.565 - 0.032, 0, 0.915), "mli_gold")
    lip = a.part("hirdls_sunshield_frame", "structure")
    for y in (-0.755, 0.755):
        for p, q in (
            ((-0.36, low + 0.01), (-0.565, high - 0.22)),
            ((-0.565, high - 0.22), (-0.565, high - 0.01)),
        ):
            ends = [(HIRDLS_AT[0] + x, HIRDLS_AT[1] + y, HIRDLS_AT[2] + z) for x, z in (p, q)]
            lip.add(sh.strut(ends[0], ends[1], 0.026, 8), "aluminium")
    lip.add(put(sh.box((0.045, 1.53, 0.045)), -0.560, 0, high - 0.016), "aluminium")
    lip.add(put(sh.box((0.045, 1.53, 0.045)), -0.352, 0, low + 0.022), "aluminium")


def _hirdls_inside(a: Assembly, put: Put) -> None:
    """What is seen through the mouth: the black bulkhead, the aperture and the scan mirror."""
    bulkhead = a.part("hirdls_aperture_bulkhead", "instrument")
    plate = sh.box((0.04, 1.47, 0.71)).rotate("y", 10.0)
    bulkhead.add(put(plate, 0.10, 0, 0.915), "baffle_black")
    hood = rect_tube(0.52, 0.40, 0.30, 0.02).rotate("z", 90.0).rotate("y", -90.0)
    hood = hood.rotate("z", -18.0)
    bulkhead.add(put(hood, -0.02, 0.22, 0.90), "black_paint")
    mirror = a.part("hirdls_scan_mirror", "instrument")
    glass = sh.elliptic_dish(0.26, 0.38, 0.001, 0.02, 20, 1).rotate("y", -78.0).rotate("z", -18.0)
    mirror.add(put(glass, 0.055, 0.20, 0.90), "gold_foil_smooth")
    space = a.part("hirdls_space_view_port", "instrument")
    tube = sh.baffle(0.11, 0.24, 1, 16, wall=0.008, flare=1.2).aim((-1.0, 0.0, 0.05))
    space.add(put(tube, 0.09, -0.42, 0.92), "black_paint")


def _hirdls_outside(a: Assembly, put: Put) -> None:
    door = a.part("hirdls_sunshield_door", "instrument")
    leaf = sh.blanket_box((0.035, 0.64, 0.70), 0.005, 0.24, 75, radius=0.012)
    leaf = leaf.translate((0, 0.325, 0)).rotate("z", 22.0)
    door.add(put(leaf, -0.555, 0.775, 0.915), "mli_gold")
    stiff = sh.box((0.03, 0.56, 0.05)).translate((-0.022, 0.325, 0)).rotate("z", 22.0)
    for z in (0.70, 1.13):
        door.add(put(stiff, -0.555, 0.775, z), "aluminium")
    hinge = a.part("hirdls_door_hinge", "structure")
    for z in (0.68, 0.915, 1.15):
        hinge.add(put(sh.cylinder(0.03, 0.14, 12), -0.552, 0.778, z), "titanium")
    radiator = a.part("hirdls_radiator", "radiator")
    plate = facing(sh.plate(0.86, 0.36, 0.04), "+y")
    radiator.add(put(plate, 0.0, 0.735, 0.315), "white_paint")
    for z in (0.125, 0.505):
        fence = sh.box((0.92, 0.10, 0.025))
        radiator.add(put(fence, 0.0, 0.755, z), "mli_silver")
    ipu = a.part("hirdls_electronics", "instrument")
    ipu.add(put(sh.box((0.40, 0.10, 0.28)), 0.22, -0.765, 0.30), "anodised")
    ipu.add(put(sh.box((0.30, 0.09, 0.22)), -0.24, -0.760, 0.28), "mli_black")
    front = facing_at(HIRDLS_AT, (0.22, -0.815, 0.30), "-y")
    connectors(ipu, front, [(-0.11, 0.05), (0.0, 0.05), (0.11, 0.05)], (0.0, -0.075), 8)
    for k, x in enumerate((-0.30, 0.28)):
        mark = facing_at(HIRDLS_AT, (x, -0.772, 1.12), "-y")
        ipu.add(mark(tag(12 + k)), "labels")
    ties = a.part("hirdls_tie_points", "structure")
    spots = [
        (HIRDLS_AT[0] + x, HIRDLS_AT[1] + y, HIRDLS_AT[2] + 1.292)
        for x in (-0.40, 0.05, 0.45)
        for y in (-0.60, 0.60)
    ]
    ties.add(bolts(spots, 0.018), "aluminium")


def _tes(a: Assembly) -> None:
    put = _from(TES_AT)

    base = a.part("tes_base_frame", "instrument")
    base.add(put(sh.box((1.30, 1.34, 0.07)), 0, 0, 0.065), "cfrp")
    body = a.part("tes_main_body", "instrument")
    body.add(put(sh.blanket_box((1.33, 1.38, 0.78), 0.014, 0.26, 81), 0, 0, 0.47), "cloth_white")
    upper = a.part("tes_optics_housing", "instrument")
    upper.add(
        put(sh.blanket_box((0.84, 1.30, 0.46), 0.012, 0.26, 82), 0.225, 0, 1.06), "cloth_white"
    )
    _tes_pointing(a, put)
    _tes_radiators(a, put)
    _tes_earth_shade(a, put)
    _tes_details(a, put)


def _tes_pointing(a: Assembly, put: Put) -> None:
    """The pointing mirror on its gimbal, in a well at the aft nadir corner."""
    well = a.part("tes_pointing_well", "instrument")
    tube = rect_tube(0.46, 0.66, 0.42, 0.025)
    well.add(put(tube, -0.42, -0.18, 1.045), "mli_silver")
    floor = sh.box((0.43, 0.63, 0.03))
    well.add(put(floor, -0.42, -0.18, 0.872), "baffle_black")
    gimbal = a.part("tes_pointing_gimbal", "instrument")
    for y in (-0.40, 0.04):
        gimbal.add(put(sh.box((0.10, 0.05, 0.26)), -0.42, y, 1.00), "anodised")
    axle = sh.cylinder(0.03, 0.50, 12).rotate("x", 90.0)
    gimbal.add(put(axle, -0.42, -0.18, 1.045), "titanium")
    mirror = a.part("tes_pointing_mirror", "instrument")
    glass = sh.elliptic_dish(0.26, 0.36, 0.001, 0.03, 20, 1).rotate("y", -34.0)
    mirror.add(put(glass, -0.42, -0.18, 1.09), "gold_foil_smooth")
    side = a.part("tes_calibration_source", "instrument")
    side.add(put(sh.box((0.42, 0.46, 0.26), 0.012), -0.40, 0.42, 0.97), "black_paint")
    side.add(put(open_box(0.26, 0.28, 0.12, 0.02), -0.40, 0.40, 1.14), "baffle_black")


def _tes_radiators(a: Assembly, put: Put) -> None:
    """The passive coolers on the side away from the Sun, fenced from the Earth by the shade."""
    for k, (x, w) in enumerate(((-0.33, 0.56), (0.32, 0.60))):
        part = a.part(f"tes_radiator_{k + 1}", "radiator")
        part.add(put(facing(sh.plate(w, 0.60, 0.05), "+y"), x, 0.70, 0.47), "white_paint")
        fence = rect_tube(w + 0.05, 0.66, 0.12, 0.02).rotate("x", -90.0)
        part.add(put(fence, x, 0.735, 0.47), "mli_silver")
    cryo = a.part("tes_cryocooler_radiator", "radiator")
    cryo.add(put(facing(sh.plate(0.74, 0.28, 0.05), "+y"), 0.225, 0.655, 1.02), "osr")
    left = a.part("tes_electronics_radiator", "radiator")
    left.add(put(facing(sh.plate(1.00, 0.50, 0.04), "-y"), 0.0, -0.692, 0.46), "white_paint")


def _tes_earth_shade(a: Assembly, put: Put) -> None:
    """Two leaves, hinged along the nadir edge of the coolers, open away from the Sun."""
    w, d, t = TES_SHADE
    z = 1.245
    for k, y in enumerate((0.70, 0.70 + d + 0.02)):
        leaf = a.part(f"tes_earth_shade_{('inner', 'outer')[k]}", "instrument")
        leaf.add(put(sh.box((w, d, t)), -0.06, y + d / 2, z), "mli_silver")
        cell = sh.plate(w - 0.10, d - 0.10, 0.02)
        leaf.add(put(cell, -0.06, y + d / 2, z - t / 2 - 0.002), "white_paint")
        for x in (-0.42, 0.30):
            rib = sh.box((0.04, d - 0.06, 0.03))
            leaf.add(put(rib, x, y + d / 2, z + t / 2 + 0.008), "aluminium")
    hinges = a.part("tes_shade_hinges", "structure")
    beam = sh.box((w + 0.02, 0.09, 0.07))
    hinges.add(put(beam, -0.06, 0.675, z - 0.012), "cfrp")
    for y in (0.70, 0.70 + d + 0.01):
        for x in (-0.48, -0.06, 0.36):
            pin = sh.cylinder(0.03, 0.12, 12).rotate("y", 90.0)
            hinges.add(put(pin, x, y, z - 0.005), "titanium")
    stays = a.part("tes_shade_stays", "structure")
    for x in (-0.59, 0.47):
        foot = [TES_AT[0] + x, TES_AT[1] + 0.66, TES_AT[2] + 0.72]
        head = [TES_AT[0] + x, TES_AT[1] + 0.70 + 0.75 * d, TES_AT[2] + z - 0.012]
        stays.add(sh.strut(foot, head, 0.016, 8), "cfrp")
    for x in (-0.59, 0.47):
        post = sh.box((0.05, 0.06, 0.50))
        stays.add(put(post, x, 0.665, 1.00), "cfrp")


def _tes_details(a: Assembly, put: Put) -> None:
    box = a.part("tes_electronics_box", "instrument")
    box.add(put(sh.box((0.10, 0.62, 0.40)), 0.70, -0.30, 0.36), "anodised")
    front = facing_at(TES_AT, (0.75, -0.30, 0.36), "+x")
    connectors(box, front, [(-0.1, 0.10), (0.1, 0.10)], (0.0, 0.07), 3)
    fins = [sh.box((0.03, 0.018, 0.36)).translate((0, y, 0)) for y in (-0.2, 0.0, 0.2)]
    box.add(put(sh.join(*fins), 0.76, -0.30, 0.36), "aluminium")
    cooler = a.part("tes_cryocoolers", "instrument")
    for x in (0.06, 0.38):
        drum = sh.cylinder(0.075, 0.30, 18).rotate("x", 90.0)
        cooler.add(put(drum, x, -0.66, 1.06), "titanium")
    cable = [
        (TES_AT[0] + 0.30, -0.70, TES_AT[2] + 0.08),
        (TES_AT[0] + 0.40, -0.72, TES_AT[2] + 0.14),
        (TES_AT[0] + 0.62, -0.705, TES_AT[2] + 0.20),
    ]
    cooler.add(sh.pipe(cable, 0.02, 8), "steel_dark")


def _omi(a: Assembly) -> None:
    put = _from(OMI_AT)

    base = a.part("omi_pedestal", "structure")
    base.add(put(sh.box((0.46, 0.36, 0.05)), 0, 0, 0.095), "aluminium")
    for x in (-0.18, 0.18):
        for y in (-0.13, 0.13):
            base.add(put(sh.cylinder(0.03, 0.10, 10), x, y, 0.04), "titanium")
    body = a.part("omi_optical_assembly", "instrument")
    body.add(put(sh.blanket_box(OMI_SIZE, 0.006, 0.16, 91), 0, 0, 0.285), "mli_black")
    slit = a.part("omi_nadir_slit", "instrument")
    hood = open_box(0.12, 0.34, 0.09, 0.018)
    slit.add(put(hood, -0.10, 0, 0.497), "mli_silver")
    slit.add(put(sh.box((0.035, 0.26, 0.02)), -0.10, 0, 0.482), "baffle_black")
    port = a.part("omi_solar_port", "instrument")
    tube = sh.baffle(0.06, 0.12, 1, 14, wall=0.008).aim((0.2, -1.0, 0.0))
    port.add(put(tube, 0.12, -0.185, 0.30), "black_paint")
    cooler = a.part("omi_radiator", "radiator")
    cooler.add(put(facing(sh.plate(0.40, 0.28, 0.03), "+y"), 0.0, 0.205, 0.285), "white_paint")
    cooler.add(put(sh.plate(0.22, 0.32, 0.03), 0.11, 0.0, 0.462), "osr")
    elu = a.part("omi_electronics_unit", "instrument")
    elu.add(put(sh.box((0.32, 0.34, 0.20)), 0.02, 0.62, 0.11), "black_paint")
    for y in (0.50, 0.62, 0.74):
        elu.add(put(sh.cylinder(0.03, 0.05, 12).rotate("y", 90), 0.18, y, 0.12), "steel_dark")
    iam = a.part("omi_interface_module", "instrument")
    iam.add(put(sh.box((0.22, 0.24, 0.14)), -0.33, 0.16, 0.08), "anodised")
    cable = [
        (OMI_AT[0] - 0.02, OMI_AT[1] + 0.48, OMI_AT[2] + 0.10),
        (OMI_AT[0] - 0.06, OMI_AT[1] + 0.34, OMI_AT[2] + 0.05),
        (OMI_AT[0] - 0.05, OMI_AT[1] + 0.16, OMI_AT[2] + 0.14),
    ]
    iam.add(sh.pipe(cable, 0.018, 8), "steel_dark")
    iam.add(
        sh.pipe([(c[0] - 0.15, c[1] - 0.1, c[2] - 0.02) for c in cable], 0.018, 8), "steel_dark"
    )
