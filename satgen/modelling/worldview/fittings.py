"""Antennas and attitude sensors."""

from __future__ import annotations

import numpy as np

from satgen.modelling import shapes
from satgen.modelling.assembly import Assembly
from satgen.modelling.fittings import dish_feed
from satgen.modelling.worldview.forms import on_face
from satgen.modelling.worldview.layout import (
    BUS_LOW,
    CORNER_FACE,
    DECK_Z,
    FACE,
    PANEL_WIDTH,
    WING_TIP,
    WING_Z,
)

DISH_AT = (0.89, 0.89, -0.22)
DISH_BEAM = (0.30, 0.30, 0.906)
OMNI_AT = (0.90, -0.86)
OMNI_TOP = 0.52


def add_fittings(a: Assembly) -> None:
    """Downlink dish, omnis, GPS patches, star trackers, sun sensors."""
    _downlink(a)
    _omnis(a)
    _gps(a)
    _star_trackers(a)
    _sun_sensors(a)


def _downlink(a: Assembly) -> None:
    """The X-band dish on an azimuth-elevation gimbal at the (+x, +y) corner of the deck."""
    x, y, z = DISH_AT
    foot = shapes.box((0.17, 0.17, 0.05), 0.01).rotate("z", 45.0).translate((x, y, DECK_Z + 0.02))
    mast = shapes.cone(0.085, 0.065, 0.20, 20).translate((x, y, DECK_Z + 0.13))
    a.part("downlink_mast", "boom").add(foot, "aluminium").add(mast, "mli_gold")
    turn = shapes.cylinder(0.095, 0.11, 24, 0.01).translate((x, y, DECK_Z + 0.27))
    yoke = [
        shapes.box((0.035, 0.09, 0.26), 0.006).translate((s * 0.115, 0, DECK_Z + 0.41))
        for s in (-1.0, 1.0)
    ]
    base = shapes.box((0.265, 0.10, 0.05), 0.006).translate((0, 0, DECK_Z + 0.31))
    axle = shapes.cylinder(0.045, 0.32, 16, 0.006).rotate("y", 90.0).translate((0, 0, z - 0.02))
    fork = shapes.join(base, *yoke).rotate("z", -45.0).translate((x, y, 0))
    part = a.part("downlink_gimbal", "antenna")
    part.add(turn, "anodised").add(fork, "aluminium")
    part.add(axle.rotate("z", -45.0).translate((x, y, 0)), "titanium")
    hub = shapes.cylinder(0.06, 0.12, 16, 0.006).translate((0, 0, 0.0))
    plate = shapes.dish(0.46, 0.085, 0.015, 28, 3).translate((0, 0, 0.05))
    rim = shapes.ring(0.229, 0.009, 28, 5).translate((0, 0, 0.05 + 0.083))
    dish = a.part("downlink_dish", "antenna")
    dish.add(plate.aim(DISH_BEAM).translate(DISH_AT), "white_paint")
    dish.add(rim.aim(DISH_BEAM).translate(DISH_AT), "aluminium")
    dish.add(hub.aim(DISH_BEAM).translate(DISH_AT), "anodised")
    leg = ((0.16, 0, 0.095), (0.025, 0, 0.235))
    dish_feed(a, "downlink_feed", leg, (0.045, 0.030, 0.05, 16), 0.25, DISH_BEAM, DISH_AT)


def _omnis(a: Assembly) -> None:
    """S-band omnis: one on a boom beside the shroud, one under the base."""
    x, y = OMNI_AT
    boom = shapes.strut((x, y, DECK_Z - 0.01), (x, y, OMNI_TOP), 0.026, 12)
    foot = shapes.box((0.16, 0.16, 0.05), 0.01).rotate("z", 45.0)
    foot = foot.translate((x, y, DECK_Z + 0.02))
    stay = [
        shapes.strut((x + dx, y + dy, DECK_Z), (x, y, DECK_Z + 0.42), 0.012, 6)
        for dx, dy in ((0.10, 0.14), (-0.14, -0.10), (-0.16, 0.16))
    ]
    part = a.part("s_band_boom", "boom").add(boom, "mli_silver")
    part.add(shapes.join(foot, *stay), "aluminium")
    plate = shapes.cylinder(0.085, 0.025, 20, 0.005).translate((x, y, OMNI_TOP + 0.005))
    helix = shapes.cone(0.055, 0.038, 0.19, 16).translate((x, y, OMNI_TOP + 0.105))
    part = a.part("s_band_omni_nadir", "antenna").add(plate, "aluminium")
    part.add(helix, "white_paint")
    low = BUS_LOW - 0.04
    short = shapes.strut((0.0, -0.86, low + 0.02), (0.0, -0.86, low - 0.07), 0.024, 12)
    a.part("s_band_stub", "boom").add(short, "aluminium")
    cup = shapes.cone(0.036, 0.055, 0.11, 16).translate((0.0, -0.86, low - 0.125))
    a.part("s_band_omni_zenith", "antenna").add(cup, "white_paint")


def _gps(a: Assembly) -> None:
    """GPS patches: one at the deck's -y edge, one at its +y edge."""
    for k, sign in enumerate((1.0, -1.0)):
        x, y = -0.40, sign * 1.05
        post = shapes.box((0.10, 0.10, 0.11), 0.008).translate((x, y, DECK_Z + 0.045))
        plate = shapes.cylinder(0.10, 0.022, 24, 0.005).translate((x, y, DECK_Z + 0.105))
        dome = shapes.hemisphere(0.055, 14, 3).scale((1, 1, 0.7)).translate((x, y, DECK_Z + 0.113))
        part = a.part(f"gps_antenna_{k + 1}", "antenna").add(post, "anodised")
        part.add(plate, "aluminium").add(dome, "white_paint")


TRACKERS = (
    ((-0.86, 0.78, -0.50), (-0.60, 0.62, -0.20)),
    ((-0.78, -0.88, -0.50), (-0.20, -0.75, 0.10)),
    ((-0.96, -0.66, -0.50), (-0.80, -0.30, -0.15)),
)
"""Foot of the baffle and viewing direction (not normalised) of every star tracker."""


def tracker_mouth(k: int) -> tuple[float, float, float]:
    """Highest point of the mouth of star tracker `k`'s baffle."""
    at, look = np.asarray(TRACKERS[k][0]), np.asarray(TRACKERS[k][1])
    look = look / np.linalg.norm(look)
    up = np.array([0.0, 0.0, 1.0]) - look[2] * look
    rim = 1.5 * TRACKER_RADIUS * up / np.linalg.norm(up)
    x, y, z = at + (0.05 + TRACKER_LENGTH) * look + rim
    return float(x), float(y), float(z)


TRACKER_LENGTH, TRACKER_RADIUS = 0.26, 0.068


def _star_trackers(a: Assembly) -> None:
    """Three skewed star trackers with baffles on wedges at the -x corners of the deck."""
    for k, (at, look) in enumerate(TRACKERS):
        x, y, z = at
        stand = shapes.box((0.13, 0.13, z - DECK_Z), 0.012).translate(
            (x, y, (z + DECK_Z) / 2 - 0.01)
        )
        a.part(f"star_tracker_bracket_{k + 1}", "structure").add(stand, "anodised")
        body = shapes.box((0.15, 0.15, 0.17), 0.012).translate((0, 0, -0.03))
        collar = shapes.cylinder(0.085, 0.03, 18).translate((0, 0, 0.055))
        hood = shapes.baffle(TRACKER_RADIUS, TRACKER_LENGTH, 2, 18, 0.006, 1.5).translate(
            (0, 0, 0.05)
        )
        lens = shapes.hemisphere(0.05, 12, 2).scale((1, 1, 0.4)).translate((0, 0, 0.05))
        part = a.part(f"star_tracker_{k + 1}", "sensor")
        part.add(body.aim(look).translate(at), "mli_silver")
        part.add(collar.aim(look).translate(at), "aluminium")
        part.add(hood.aim(look).translate(at), "black_paint")
        part.add(lens.aim(look).translate(at), "glass_lens")


def _sun_sensors(a: Assembly) -> None:
    """Coarse sun sensors: pyramids on the cut corners of the bus and on the wing tips."""
    base = shapes.box((0.10, 0.10, 0.05), 0.006)
    eye = shapes.cone(0.04, 0.02, 0.035, 4).rotate("z", 45.0).translate((0, 0, 0.04))
    spots = [(45.0, -2.45), (135.0, -2.45), (225.0, -2.45), (315.0, -2.45)]
    for k, (azimuth, z) in enumerate(spots):
        part = a.part(f"sun_sensor_{k + 1}", "sensor")
        part.add(on_face(base, azimuth, CORNER_FACE + 0.005, 0.0, z), "aluminium")
        part.add(on_face(eye, azimuth, CORNER_FACE + 0.005, 0.0, z), "glass_lens")
    for k, sign in enumerate((1.0, -1.0)):
        at = (sign * (PANEL_WIDTH / 2 - 0.2), sign * (WING_TIP - 0.07), WING_Z + 0.03)
        part = a.part(f"sun_sensor_{k + 5}", "sensor").add(base.translate(at), "aluminium")
        part.add(eye.translate(at), "glass_lens")
    head = shapes.box((0.15, 0.12, 0.06), 0.008)
    slit = shapes.box((0.09, 0.03, 0.02)).translate((0, 0, 0.03))
    part = a.part("fine_sun_sensor", "sensor")
    part.add(on_face(head, 180.0, FACE + 0.01, 0.62, -2.28), "anodised")
    part.add(on_face(slit, 180.0, FACE + 0.01, 0.62, -2.28), "glass_lens")
