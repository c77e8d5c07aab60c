"""Named points of the surface that can be seen in pictures."""

from __future__ import annotations

import numpy as np

from satgen.modelling.assembly import Assembly
from satgen.modelling.cartography.fittings import ARRAY_AT, ARRAY_RADIUS, ARRAY_Z, OMNI_AT, OMNI_TOP
from satgen.modelling.cartography.layout import (
    AFT_DEG,
    AFT_FOOT,
    AFT_LENGTH,
    BUS_LOW,
    CORNERS,
    COVER_SIZE,
    DECK_TOP,
    FORE_DEG,
    FORE_FOOT,
    FORE_LENGTH,
    HALF,
    HOOD_RADIUS,
    HOOD_WALL,
    PANEL_CHORD,
    RING_LOW,
    RING_RADIUS,
    WING_ROOT,
    WING_TIP,
    view_axis,
    wing_point,
)


def add_landmarks(a: Assembly) -> None:
    """All landmarks; names tell x and y by p (positive) and m (negative)."""
    for place, y in (("tip", WING_TIP), ("root", WING_ROOT)):
        for edge, chord in (("px", PANEL_CHORD / 2), ("mx", -PANEL_CHORD / 2)):
            px, py, pz = wing_point(chord, y)
            a.landmark(f"wing_{place}_{edge}_py", (px, py, pz))
            a.landmark(f"wing_{place}_{edge}_my", (px, -py, pz))
    for name, (sx, sy) in CORNERS.items():
        corner = HALF + 0.005
        a.landmark(f"earth_deck_{name}", (sx * corner, sy * corner, DECK_TOP - 0.04))
        a.landmark(f"aft_deck_{name}", (sx * corner, sy * corner, BUS_LOW - 0.005))
    _hood(a, "fore", FORE_FOOT, FORE_DEG, FORE_LENGTH)
    _hood(a, "aft", AFT_FOOT, AFT_DEG, AFT_LENGTH)
    for sign, side in ((1.0, "py"), (-1.0, "my")):
        x, y = COVER_SIZE[0] / 2 - 0.035, sign * (COVER_SIZE[1] / 2 - 0.015)
        a.landmark(f"cover_corner_px_{side}", (x, y, DECK_TOP + COVER_SIZE[2] - 0.025))
    a.landmark("phased_array_top", (*ARRAY_AT, ARRAY_Z + ARRAY_RADIUS + 0.013))
    a.landmark("s_band_omni_tip", (*OMNI_AT, OMNI_TOP + 0.185))
    ring = RING_RADIUS - 0.02
    for side, (sx, sy) in {"px": (1, 0), "mx": (-1, 0), "py": (0, 1), "my": (0, -1)}.items():
        a.landmark(f"launch_ring_{side}", (sx * ring, sy * ring, RING_LOW))


def _hood(
    a: Assembly, name: str, foot: tuple[float, float, float], tilt_deg: float, length: float
) -> None:
    """Four points of a hood's rim."""
    axis = np.array(view_axis(tilt_deg))
    across = np.array([axis[2], 0.0, -axis[0]])
    end = np.array(foot) + (length + 0.003) * axis
    for point, direction in (
        ("px", across),
        ("mx", -across),
        ("py", np.array([0.0, 1.0, 0.0])),
        ("my", np.array([0.0, -1.0, 0.0])),
    ):
        x, y, z = end + (HOOD_RADIUS + HOOD_WALL + 0.008) * direction
        a.landmark(f"hood_{name}_{point}", (float(x), float(y), float(z)))
