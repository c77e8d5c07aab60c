"""The WV-110 camera: isolators, bench, shroud, barrel, aperture ring, optics."""

from __future__ import annotations

import math

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly
from satgen.modelling.forms import bolts, curved_blanket, flat_blanket, framed
from satgen.modelling.worldview.forms import on_face
from satgen.modelling.worldview.layout import (
    APERTURE_DIAMETER,
    BARREL_LOW,
    BARREL_RADIUS,
    BARREL_TOP,
    BENCH_LOW,
    BENCH_TOP,
    DECK_Z,
    MIRROR_Z,
    RIM_Z,
    SHROUD_RADIUS,
    SHROUD_TOP,
    TUBE_INNER,
    TUBE_OUTER,
)

SHROUD_SIDES = 12
SECTORS = 6


def add_telescope(a: Assembly) -> None:
    """Everything above the isolators."""
    _isolators(a)
    _bench(a)
    _shroud(a)
    _focal_plane(a)
    _barrel(a)
    _aperture(a)
    _optics(a)
    _barrel_fittings(a)
    _flaps(a)


def _polar(radius: float, azimuth_deg: float, z: float) -> tuple[float, float, float]:
    t = math.radians(azimuth_deg)
    return (radius * math.cos(t), radius * math.sin(t), z)


def _isolators(a: Assembly) -> None:
    """Four bipods with a vibration isolator in the middle of every leg."""
    for k in range(4):
        azimuth = 90.0 * k
        part = a.part(f"isolator_bipod_{k + 1}", "structure")
        foot = shapes.box((0.16, 0.42, 0.05), 0.008).translate((0.93, 0, DECK_Z + 0.035))
        part.add(foot.rotate("z", azimuth), "titanium")
        for side in (-1.0, 1.0):
            p0 = (0.93, side * 0.14, DECK_Z + 0.05)
            p1 = (0.86, side * 0.36, BENCH_LOW + 0.01)
            mid = [(u + v) / 2 for u, v in zip(p0, p1, strict=True)]
            axis = [v - u for u, v in zip(p0, p1, strict=True)]
            can = shapes.cylinder(0.052, 0.13, 12).aim(axis).translate(mid)
            part.add(shapes.strut(p0, p1, 0.024).rotate("z", azimuth), "titanium")
            part.add(can.rotate("z", azimuth), "anodised")


def _bench(a: Assembly) -> None:
    """The optical bench that everything of the telescope stands on, and its core."""
    height = BENCH_TOP - BENCH_LOW
    plate = shapes.cylinder(0.94, height, 48, 0.01).translate((0, 0, BENCH_LOW + height / 2))
    low, high = SHROUD_TOP - 0.02, BARREL_LOW + 0.02
    collar = [(0.90, low), (0.745, high), (TUBE_OUTER - 0.02, high), (TUBE_OUTER - 0.02, low)]
    core = shapes.revolve(collar, 36)
    lower = shapes.cylinder(0.90, SHROUD_TOP - BENCH_TOP, 36)
    lower = lower.translate((0, 0, (SHROUD_TOP + BENCH_TOP) / 2))
    a.part("optical_bench", "instrument").add(shapes.join(plate, core, lower), "cfrp")


def _shroud(a: Assembly) -> None:
    """Twelve flat blankets around the aft optics, a sewn cone up to the barrel."""
    part = a.part("aft_shroud", "instrument")
    corner = SHROUD_RADIUS / math.cos(math.pi / SHROUD_SIDES)
    step = 360.0 / SHROUD_SIDES
    for k in range(SHROUD_SIDES):
        t0, t1 = (k - 0.5) * step, (k + 0.5) * step
        low, high = BENCH_TOP - 0.03, SHROUD_TOP
        quad = [_polar(corner, t, z) for t, z in ((t0, low), (t1, low), (t1, high), (t0, high))]
        part.add(flat_blanket(quad, 100 + k, thickness=0.07, cell=0.2), "mli_amber")
    cone = a.part("aft_cone", "instrument")
    for k in range(SECTORS):
        span = (60.0 * k - 30.0, 60.0 * k + 30.0)
        radii = (SHROUD_RADIUS + 0.012, BARREL_RADIUS + 0.01)
        shape = curved_blanket(
            span, (SHROUD_TOP - 0.005, BARREL_LOW + 0.01), radii, 120 + k, thickness=0.07, cell=0.15
        )
        cone.add(shape, "mli_amber")


def _focal_plane(a: Assembly) -> None:
    """Cold radiator of the focal plane on standoffs, electronics, inertial unit."""
    panel, border = framed(0.94, 0.62, 0.03)
    part = a.part("focal_plane_radiator", "radiator")
    part.add(on_face(panel, 180.0, 1.12, 0.0, 0.02), "white_paint")
    part.add(on_face(border, 180.0, 1.12, 0.0, 0.02), "mli_silver")
    for y in (-0.26, 0.26):
        for z in (-0.2, 0.24):
            post = shapes.cylinder(0.02, 0.22, 8).translate((0, 0, -0.09))
            part.add(on_face(post, 180.0, 1.12, y, z), "titanium")
    for k, azimuth in enumerate((120.0, 240.0)):
        box = shapes.box((0.34, 0.46, 0.16), 0.014).translate((0, 0, 0.05))
        fins = [
            shapes.box((0.30, 0.016, 0.03)).translate((0, -0.18 + 0.06 * n, 0.14)) for n in range(7)
        ]
        part = a.part(f"focal_plane_electronics_{k + 1}", "instrument")
        part.add(on_face(box, azimuth, SHROUD_RADIUS, 0.0, -0.02), "black_paint")
        part.add(on_face(shapes.join(*fins), azimuth, SHROUD_RADIUS, 0.0, -0.02), "black_paint")
    unit = shapes.box((0.28, 0.30, 0.14), 0.014).translate((0, 0, 0.04))
    label = shapes.cylinder(0.07, 0.05, 16, 0.005).translate((0, 0, 0.12))
    part = a.part("inertial_reference_unit", "sensor")
    part.add(on_face(unit, 60.0, SHROUD_RADIUS, 0.0, 0.08), "anodised")
    part.add(on_face(label, 60.0, SHROUD_RADIUS, 0.0, 0.08), "aluminium")
    door, frame = framed(0.36, 0.46, 0.026)
    part = a.part("instrument_radiator", "radiator")
    part.add(on_face(door, 300.0, SHROUD_RADIUS + 0.005, 0.0, 0.0), "osr")
    part.add(on_face(frame, 300.0, SHROUD_RADIUS + 0.005, 0.0, 0.0), "mli_silver")


def _barrel(a: Assembly) -> None:
    """The outer tube with its floor, and three rings of blankets around it."""
    tube = [
        (0.0, SHROUD_TOP - 0.08),
        (TUBE_OUTER, SHROUD_TOP - 0.08),
        (TUBE_OUTER, RIM_Z - 0.02),
        (TUBE_INNER, RIM_Z - 0.02),
        (TUBE_INNER, SHROUD_TOP - 0.04),
        (0.0, SHROUD_TOP - 0.04),
    ]
    a.part("barrel", "instrument").add(shapes.revolve(tube, 48), "baffle_black")
    count = 3
    step = (BARREL_TOP - BARREL_LOW) / count
    materials = ("mli_silver", "mli_black", "mli_black")
    for level in range(count):
        part = a.part(f"barrel_blanket_{level + 1}", "instrument")
        z0 = BARREL_LOW + level * step
        for k in range(SECTORS):
            first = 60.0 * k + 25.0 * level
            shape = curved_blanket(
                (first, first + 60.0),
                (z0, z0 + step),
                (BARREL_RADIUS, BARREL_RADIUS),
                140 + 10 * level + k,
                thickness=0.045,
                cell=0.16,
            )
            part.add(shape, materials[level])
    for level in range(count):
        z = BARREL_LOW + level * step + (0.03 if level == 0 else 0.0)
        band = shapes.tube(BARREL_RADIUS + 0.026, TUBE_OUTER - 0.01, 0.045, 48).translate((0, 0, z))
        a.part(f"barrel_band_{level + 1}", "structure").add(band, "mli_silver")


def _aperture(a: Assembly) -> None:
    """Cover ring at the mouth with the hinge and the latches of the cover, black rim inside."""
    part = a.part("cover_ring", "instrument")
    section = [
        (TUBE_OUTER - 0.01, BARREL_TOP - 0.03),
        (0.80, BARREL_TOP - 0.03),
        (0.835, BARREL_TOP),
        (0.835, BARREL_TOP + 0.09),
        (0.80, BARREL_TOP + 0.12),
        (TUBE_OUTER - 0.01, BARREL_TOP + 0.12),
    ]
    part.add(shapes.revolve(section, 48), "aluminium")
    heads = [(0.787 * math.cos(t), 0.787 * math.sin(t)) for t in _turns(12, 15.0)]
    part.add(bolts(heads, 0.013, 0.012).translate((0, 0, BARREL_TOP + 0.12)), "steel_dark")
    hinge = a.part("cover_hinge", "structure")
    for y in (-0.20, 0.20):
        lug = shapes.box((0.12, 0.06, 0.16), 0.01).translate((-0.865, y, BARREL_TOP + 0.10))
        hinge.add(lug, "titanium")
    axle = shapes.cylinder(0.026, 0.56, 12).rotate("x", 90.0)
    motor = shapes.cylinder(0.055, 0.14, 16, 0.008).rotate("x", 90.0).translate((0, 0.33, 0))
    hinge.add(axle.translate((-0.89, 0, BARREL_TOP + 0.13)), "steel_dark")
    hinge.add(motor.translate((-0.89, 0, BARREL_TOP + 0.13)), "anodised")
    for k, azimuth in enumerate((0.0, 60.0, 300.0)):
        latch = a.part(f"cover_latch_{k + 1}", "structure")
        block = shapes.box((0.12, 0.10, 0.035), 0.006).translate((0, 0, 0.01))
        hook = shapes.box((0.05, 0.17, 0.04), 0.008).translate((0, 0.04, 0.03))
        latch.add(on_face(block, azimuth, 0.835, 0.0, BARREL_TOP + 0.045), "anodised")
        latch.add(on_face(hook, azimuth, 0.835, 0.0, BARREL_TOP + 0.045), "titanium")
    rim = [
        (TUBE_INNER - 0.03, RIM_Z - 0.04),
        (TUBE_OUTER + 0.018, RIM_Z - 0.04),
        (TUBE_OUTER + 0.018, RIM_Z),
        (TUBE_INNER - 0.03, RIM_Z),
    ]
    a.part("sunshade_rim", "instrument").add(shapes.revolve(rim, 48), "black_paint")
    shade = a.part("sunshade", "instrument")
    for k in range(4):
        shape = curved_blanket(
            (90.0 * k + 10.0, 90.0 * k + 100.0),
            (BARREL_TOP + 0.11, RIM_Z - 0.03),
            (TUBE_OUTER + 0.02, TUBE_OUTER + 0.02),
            180 + k,
            thickness=0.03,
            puff=0.006,
        )
        shade.add(shape, "mli_black")


def _turns(count: int, first_deg: float) -> list[float]:
    return [math.radians(first_deg + 360.0 * k / count) for k in range(count)]


def _optics(a: Assembly) -> None:
    """Primary in its cell, inner baffle, baffle vanes, secondary on its spider."""
    vanes = a.part("baffle_vanes", "instrument")
    for k in range(7):
        ring = shapes.tube(TUBE_INNER + 0.015, 0.592, 0.016, 32)
        vanes.add(ring.translate((0, 0, 0.85 + 0.27 * k)), "baffle_black")
    cell = shapes.tube(TUBE_INNER + 0.01, 0.545, 0.12, 40).translate((0, 0, SHROUD_TOP + 0.03))
    a.part("primary_mirror_cell", "instrument").add(cell, "titanium")
    mirror = shapes.dish(APERTURE_DIAMETER - 0.03, 0.075, 0.055, 48, 3).translate((0, 0, MIRROR_Z))
    a.part("primary_mirror", "instrument").add(mirror, "aluminium")
    baffle = shapes.baffle(0.185, 0.75, 3, 24, 0.008, 0.68).translate((0, 0, MIRROR_Z - 0.02))
    a.part("inner_baffle", "instrument").add(baffle, "baffle_black")
    z = 2.05
    hood = shapes.revolve(
        [
            (0.0, z - 0.02),
            (0.15, z - 0.02),
            (0.19, z - 0.24),
            (0.205, z - 0.24),
            (0.17, z + 0.02),
            (0.17, z + 0.12),
            (0.13, z + 0.15),
            (0.0, z + 0.15),
        ],
        32,
    )
    convex = shapes.hemisphere(0.14, 28, 3).scale((1, 1, 0.14)).rotate("x", 180.0)
    housing = a.part("secondary_mirror", "instrument").add(hood, "black_paint")
    housing.add(convex.translate((0, 0, z - 0.015)), "aluminium")
    motor = shapes.cylinder(0.085, 0.06, 20, 0.008).translate((0, 0, z + 0.17))
    screws = bolts([(0.06 * math.cos(t), 0.06 * math.sin(t)) for t in _turns(6, 0)], 0.01, 0.012)
    part = a.part("focus_mechanism", "instrument").add(motor, "gold_foil_smooth")
    part.add(screws.translate((0, 0, z + 0.2)), "steel_dark")
    spider = a.part("secondary_spider", "instrument")
    for k in range(4):
        blade = shapes.box((TUBE_INNER + 0.02 - 0.14, 0.018, 0.12), 0.003)
        blade = blade.translate(((TUBE_INNER + 0.02 + 0.14) / 2, 0, z + 0.06))
        spider.add(blade.rotate("z", 45.0 + 90.0 * k), "black_paint")


def _barrel_fittings(a: Assembly) -> None:
    """Harness up the barrel, purge line, lifting lugs."""
    harness = a.part("telescope_harness", "structure")
    r = BARREL_RADIUS + 0.022
    for azimuth in (205.0, 208.0):
        path = [
            _polar(1.02, azimuth, DECK_Z + 0.01),
            _polar(1.0, azimuth, -0.40),
            _polar(1.005, azimuth, SHROUD_TOP - 0.03),
            _polar(r + 0.01, azimuth, 0.72),
            _polar(r, azimuth, BARREL_TOP + 0.02),
        ]
        harness.add(shapes.pipe(path, 0.018, 8), "harness")
    for z in (0.95, 1.25, 1.6, 1.9, 2.2, 2.5):
        clamp = shapes.box((0.13, 0.03, 0.05), 0.004)
        harness.add(on_face(clamp, 206.5, r, 0.0, z), "aluminium")
    purge = a.part("purge_line", "structure")
    path = [
        _polar(1.0, 78.0, SHROUD_TOP - 0.25),
        _polar(1.005, 78.0, SHROUD_TOP - 0.02),
        _polar(r + 0.01, 78.0, 0.72),
        _polar(r, 78.0, 1.6),
        _polar(r - 0.06, 78.0, 1.68),
    ]
    purge.add(shapes.pipe(path, 0.012, 6), "titanium")
    for k in range(3):
        azimuth = 30.0 + 120.0 * k
        lug = shapes.box((0.07, 0.10, 0.12), 0.01).translate((0, 0, 0.02))
        eye = shapes.ring(0.032, 0.010, 10, 5).rotate("y", 90.0).translate((0, 0, 0.1))
        part = a.part(f"lifting_lug_{k + 1}", "structure")
        part.add(on_face(lug, azimuth, BARREL_RADIUS, 0.0, 1.97), "aluminium")
        part.add(on_face(eye, azimuth, BARREL_RADIUS, 0.0, 1.97), "titanium")


def _flaps(a: Assembly) -> None:
    """Sun-shield flaps that hang from the bench over the isolators."""
    for k in range(4):
        azimuth = 45.0 + 90.0 * k
        corners = [(-0.24, -0.25, 0.05), (0.24, -0.25, 0.05), (0.30, 0.0, 0.0), (-0.30, 0.0, 0.0)]
        flap = flat_blanket(corners, 200 + k, thickness=0.018, puff=0.006)
        hinge = shapes.cylinder(0.016, 0.5, 8).rotate("y", 90.0).translate((0, 0, -0.012))
        part = a.part(f"sun_flap_{k + 1}", "structure")
        part.add(on_face(flap, azimuth, 0.975, 0.0, -0.40), "mli_silver")
        part.add(on_face(hinge, azimuth, 0.955, 0.0, -0.41), "aluminium")
