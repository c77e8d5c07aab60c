"""Antennas, attitude sensors, torquers, harness, handling points."""

from __future__ import annotations

import math
from collections.abc import Callable

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly
from satgen.modelling.cartography.forms import on_side
from satgen.modelling.cartography.layout import BUS_LOW, CORNERS, DECK_TOP, HALF
from satgen.modelling.fittings import connectors, tag
from satgen.modelling.shapes import Shape

ARRAY_AT = (0.83, -0.80)
ARRAY_RADIUS = 0.175
ARRAY_Z = DECK_TOP + 0.20
OMNI_AT = (0.90, 0.90)
OMNI_TOP = DECK_TOP + 0.62


def add_fittings(a: Assembly) -> None:
    """Everything small that stands on the bus."""
    _phased_array(a)
    _omnis(a)
    _gps(a)
    _earth_sensors(a)
    _sun_sensors(a)
    _torquers(a)
    _harness(a)
    _handling(a)


def _phased_array(a: Assembly) -> None:
    """The spherical phased array: a dome of radiating elements on a drum."""
    x, y = ARRAY_AT
    drum = shapes.cylinder(0.15, 0.22, 28, 0.012).translate((x, y, DECK_TOP + 0.09))
    foot = shapes.box((0.38, 0.38, 0.05), 0.012).translate((x, y, DECK_TOP + 0.02))
    part = a.part("phased_array_drum", "antenna")
    part.add(drum, "white_paint").add(foot, "aluminium")
    collar = shapes.tube(ARRAY_RADIUS + 0.015, ARRAY_RADIUS - 0.03, 0.04, 32)
    dome = shapes.hemisphere(ARRAY_RADIUS, 32, 7).translate((x, y, ARRAY_Z))
    part = a.part("phased_array_dome", "antenna")
    part.add(dome, "white_paint").add(collar.translate((x, y, ARRAY_Z)), "anodised")
    elements = a.part("phased_array_elements", "antenna")
    patch = shapes.cylinder(0.019, 0.026, 6)
    elements.add(patch.translate((x, y, ARRAY_Z + ARRAY_RADIUS)), "gold_foil_smooth")
    for polar, count in ((20.0, 6), (40.0, 12), (60.0, 16), (79.0, 20)):
        for k in range(count):
            t, p = math.radians(polar), 2 * math.pi * (k + 0.5 * (count % 4 == 0)) / count
            n = (math.sin(t) * math.cos(p), math.sin(t) * math.sin(p), math.cos(t))
            at = (x + ARRAY_RADIUS * n[0], y + ARRAY_RADIUS * n[1], ARRAY_Z + ARRAY_RADIUS * n[2])
            elements.add(patch.aim(n).translate(at), "gold_foil_smooth")


def _omnis(a: Assembly) -> None:
    """S-band omnis: one toward the Earth on a boom, one away from it under the aft deck."""
    x, y = OMNI_AT
    foot = shapes.box((0.15, 0.15, 0.05), 0.01).translate((x, y, DECK_TOP + 0.02))
    boom = shapes.strut((x, y, DECK_TOP), (x, y, OMNI_TOP), 0.022, 10)
    a.part("s_band_boom", "boom").add(boom, "mli_silver").add(foot, "aluminium")
    plate = shapes.cylinder(0.08, 0.025, 20, 0.005).translate((x, y, OMNI_TOP))
    cone = shapes.cone(0.052, 0.034, 0.18, 16).translate((x, y, OMNI_TOP + 0.095))
    a.part("s_band_omni_nadir", "antenna").add(plate, "aluminium").add(cone, "white_paint")
    low = BUS_LOW - 0.06
    stub = shapes.strut((0.0, -0.86, low + 0.02), (0.0, -0.86, low - 0.10), 0.024, 12)
    a.part("s_band_stub", "boom").add(stub, "aluminium")
    cup = shapes.cone(0.034, 0.052, 0.11, 16).translate((0.0, -0.86, low - 0.145))
    a.part("s_band_omni_zenith", "antenna").add(cup, "white_paint")


def _gps(a: Assembly) -> None:
    """GPS patches on brackets at the aft deck's edge, looking away from the Earth."""
    for k, sign in enumerate((1.0, -1.0)):
        x, y, z = -0.62, sign * 0.80, BUS_LOW - 0.07
        post = shapes.box((0.12, 0.12, 0.07), 0.008).translate((x, y, z))
        plate = shapes.cylinder(0.095, 0.022, 24, 0.005).translate((x, y, z - 0.04))
        dome = shapes.hemisphere(0.055, 16, 3).scale((1, 1, 0.6)).rotate("x", 180.0)
        part = a.part(f"gps_antenna_{k + 1}", "antenna").add(post, "anodised")
        part.add(plate, "aluminium").add(dome.translate((x, y, z - 0.048)), "white_paint")


def _earth_sensors(a: Assembly) -> None:
    """Two conical-scan Earth sensors on the Earth deck's leading and trailing edges."""
    for k, (x, y) in enumerate(((0.92, 0.32), (-0.94, -0.84))):
        body = shapes.box((0.20, 0.16, 0.16), 0.014).translate((x, y, DECK_TOP + 0.07))
        hood = shapes.tube(0.06, 0.045, 0.10, 20).translate((x, y, DECK_TOP + 0.19))
        glass = shapes.cylinder(0.05, 0.02, 20).translate((x, y, DECK_TOP + 0.16))
        part = a.part(f"earth_sensor_{k + 1}", "sensor").add(body, "mli_black")
        part.add(hood, "black_paint").add(glass, "glass_lens")


def _sun_sensors(a: Assembly) -> None:
    """Coarse sun sensors: pyramids on the bus's sides and on the wings' tips."""
    base = shapes.box((0.10, 0.10, 0.06), 0.006)
    eye = shapes.cone(0.04, 0.018, 0.035, 4).rotate("z", 45.0).translate((0, 0, 0.045))
    spots = ((0.0, -0.2, 0.10), (90.0, 0.86, 0.08), (180.0, 0.9, 0.10), (270.0, 0.86, 0.08))
    for k, (azimuth, along, z) in enumerate(spots):
        part = a.part(f"sun_sensor_{k + 1}", "sensor")
        part.add(on_side(base, azimuth, HALF + 0.03, along, z), "aluminium")
        part.add(on_side(eye, azimuth, HALF + 0.03, along, z), "glass_lens")


def _torquers(a: Assembly) -> None:
    """Magnetic torquer rods along the three axes, in clamps."""
    places = (("px", 0.0, 0.0, -0.93), ("py", 90.0, 0.0, -0.93), ("mx", 180.0, -0.55, -0.36))
    for name, azimuth, along, z in places:
        rod = shapes.cylinder(0.032, 0.72, 14, 0.006).rotate("y", 90.0).translate((0, 0, 0.055))
        clamps = [
            shapes.box((0.05, 0.09, 0.10), 0.006).translate((x, 0, 0.03)) for x in (-0.24, 0.24)
        ]
        part = a.part(f"torquer_{name}", "structure")
        part.add(on_side(rod, azimuth, HALF + 0.015, along, z), "black_paint")
        part.add(on_side(shapes.join(*clamps), azimuth, HALF + 0.015, along, z), "aluminium")


def _harness(a: Assembly) -> None:
    """Cable runs over the blankets and a connector bracket."""
    out = HALF + 0.028
    runs = {
        "px": [(out, 0.10, -0.86), (out, 0.10, -0.30), (out, 0.02, 0.02), (out, 0.02, 0.20)],
        "my": [(-0.02, -out, -0.90), (-0.02, -out, -0.66), (0.24, -out, -0.52), (0.24, -out, 0.2)],
    }
    for name, path in runs.items():
        part = a.part(f"harness_{name}", "structure")
        part.add(shapes.pipe(path, 0.018, 8), "harness")
    for k, (azimuth, along) in enumerate(((0.0, 0.06), (180.0, 0.15))):
        box = shapes.box((0.34, 0.20, 0.10), 0.010)
        part = a.part(f"umbilical_{k + 1}", "structure")
        part.add(on_side(box, azimuth, HALF + 0.03, along, -0.74), "anodised")
        place = _on(azimuth, HALF + 0.08, along, -0.74)
        connectors(part, place, [(x, 0.03) for x in (-0.11, 0.0, 0.11)], (0.0, 0.055), 4 * k)
    part = a.part("bus_labels", "structure")
    spots = ((0.0, 0.90, 0.08), (90.0, -0.95, -0.60), (180.0, 0.90, -0.30), (270.0, -0.95, -0.60))
    for k, (azimuth, along, z) in enumerate(spots):
        part.add(_on(azimuth, HALF + 0.020, along, z)(tag(8 + k, 0.12)), "labels")


def _on(azimuth: float, out: float, along: float, z: float) -> Callable[[Shape], Shape]:
    """Puts a shape that faces +z on an upright side."""
    return lambda shape: on_side(shape, azimuth, out, along, z)


def _handling(a: Assembly) -> None:
    """Lifting eyes at the Earth deck's corners and brackets at the aft deck's."""
    for name, (sx, sy) in CORNERS.items():
        base = shapes.box((0.09, 0.09, 0.06), 0.008)
        at = (sx * (HALF - 0.03), sy * (HALF - 0.03), DECK_TOP + 0.015)
        eye = shapes.ring(0.036, 0.012, 16, 6).rotate("x", 90.0)
        part = a.part(f"lifting_point_{name}", "structure")
        part.add(base.translate(at), "titanium")
        part.add(eye.translate((at[0], at[1], at[2] + 0.06)), "steel_dark")
