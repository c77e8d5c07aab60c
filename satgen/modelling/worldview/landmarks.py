"""Named points of the surface that can be seen in pictures."""

from __future__ import annotations

import math

from satgen.modelling.assembly import Assembly
from satgen.modelling.forms import octagon
from satgen.modelling.worldview.fittings import OMNI_AT, OMNI_TOP, tracker_mouth
from satgen.modelling.worldview.layout import (
    BARREL_TOP,
    BASE_Z,
    BUS_LOW,
    CHAMFER,
    DECK_Z,
    FACE,
    HALF,
    PANEL_WIDTH,
    RIM_Z,
    TUBE_OUTER,
    WING_ROOT,
    WING_TIP,
    WING_Z,
)

_SIGN = {1.0: "p", -1.0: "m"}


def add_landmarks(a: Assembly) -> None:
    """All landmarks; names tell x and y by p (positive) and m (negative)."""
    _wings(a)
    _bus(a)
    _telescope(a)
    _fittings(a)


def _wings(a: Assembly) -> None:
    for sy in (1.0, -1.0):
        for sx in (1.0, -1.0):
            side = f"{_SIGN[sx]}x_{_SIGN[sy]}y"
            x = sx * PANEL_WIDTH / 2
            a.landmark(f"wing_tip_{side}", (x, sy * WING_TIP, WING_Z))
            a.landmark(f"wing_root_{side}", (x, sy * WING_ROOT, WING_Z))


def _bus(a: Assembly) -> None:
    deck = octagon(HALF + 0.05, CHAMFER + 0.01)
    base = octagon(HALF + 0.04, CHAMFER + 0.01)
    for k, (x, y) in enumerate(deck):
        a.landmark(f"deck_corner_{k + 1}", (x, y, DECK_Z - 0.01))
    for k, (x, y) in enumerate(base):
        if k % 2 == 0:
            a.landmark(f"base_corner_{k // 2 + 1}", (x, y, BUS_LOW - 0.03))
    for k, azimuth in enumerate((0.0, 120.0, 240.0)):
        t = math.radians(azimuth)
        ring = (0.63 * math.cos(t), 0.63 * math.sin(t), BASE_Z + 0.001)
        a.landmark(f"adapter_ring_{k + 1}", ring)
    a.landmark("handling_point_1", (FACE + 0.095, -0.60, -2.50))
    a.landmark("handling_point_2", (FACE + 0.095, 0.60, -2.50))


def _telescope(a: Assembly) -> None:
    for name, azimuth in (("px", 0.0), ("py", 90.0), ("mx", 180.0), ("my", 270.0)):
        t = math.radians(azimuth)
        r = TUBE_OUTER + 0.018
        a.landmark(f"aperture_rim_{name}", (r * math.cos(t), r * math.sin(t), RIM_Z))
    a.landmark("cover_hinge", (-0.945, 0.33, BARREL_TOP + 0.13))
    a.landmark("secondary_top", (0.0, 0.0, 2.05 + 0.2))


def _fittings(a: Assembly) -> None:
    a.landmark("s_band_omni_tip", (*OMNI_AT, OMNI_TOP + 0.2))
    for k in range(3):
        x, y, z = tracker_mouth(k)
        a.landmark(f"star_tracker_mouth_{k + 1}", (x, y, z))
