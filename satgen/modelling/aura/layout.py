"""Where things are on Aura: the dimensions that more than one subsystem relies on, metres.

The frame is the card's: +x along the velocity, +z to nadir, +y to the right of the flight path (the
side away from the Sun in Aura's afternoon orbit), origin at the centre of the bus's box.
"""

from __future__ import annotations

import math

BUS_HALF = (2.40, 0.83, 0.655)
"""Half sizes of the bus's body, without its equipment panels and blankets."""
PANEL_FACE = 0.86
"""|y| of the outer face of the equipment panels."""
DECK_Z = 0.70
"""z of the outer face of the nadir deck, on which the instruments stand."""
ZENITH_Z = -0.70
"""z of the outer face of the zenith blankets."""
FORWARD_X = 2.45
"""x of the outer face of the forward bulkhead, which carries MLS."""
AFT_X = -2.45
"""x of the outer face of the aft bulkhead."""

WING_ROOT = (-0.90, 0.0, 0.0)
"""Point of the array's drive axis, which runs along -y, at the bus's centre plane."""
WING_TILT_DEG = 12.0
"""Turn of the array about its drive axis from "cells toward +x"."""
PANELS = 12
PANEL_PITCH = 1.055
PANEL_SPAN = 1.035
PANEL_CHORD = 4.78
PANEL_THICKNESS = 0.03
FIRST_PANEL = 2.47
"""Distance of the inner edge of the innermost panel from the bus's centre plane."""

HIRDLS_AT = (1.325, 0.0, DECK_Z)
TES_AT = (-0.375, 0.0, DECK_Z)
OMI_AT = (-1.83, -0.30, DECK_Z)

MLS_DISH_AT = (2.61, -0.27, 0.55)
"""Centre of the front of MLS's primary reflector."""
MLS_LOOK_DEG = 25.0
"""Depression of MLS's line of sight below the velocity (Earth's limb from 705 km)."""
MLS_FOCAL = 0.833
MLS_OFFSET = -0.95


def wing_point(chord: float, span: float, height: float) -> tuple[float, float, float]:
    """A point of the wing in the target frame.

    Args:
        chord: metres across the wing from its axis (toward zenith where the tilt is 0).
        span: metres from the bus's centre plane along the wing.
        height: metres above the panels' middle plane, toward the cells.
    """
    t = math.radians(90.0 + WING_TILT_DEG)
    x = chord * math.cos(t) + height * math.sin(t)
    z = -chord * math.sin(t) + height * math.cos(t)
    return WING_ROOT[0] + x, WING_ROOT[1] - span, WING_ROOT[2] + z


def mls_line_of_sight(length: float = 1.0) -> tuple[float, float, float]:
    """MLS's line of sight, a vector of that length in the target frame."""
    t = math.radians(MLS_LOOK_DEG)
    return length * math.cos(t), 0.0, length * math.sin(t)


def mls_dish_point(
    up: float, side: float, above: float = 0.0, along: float | None = None
) -> tuple[float, float, float]:
    """A point in the coordinates of MLS's primary reflector, in the target frame.

    Args:
        up: metres along the long axis from the centre, toward zenith.
        side: metres along +y from the centre.
        above: metres in front of the reflecting surface, along the line of sight.
        along: metres in front of the plane through the centre, if the surface is not meant.
    """
    x, k = up, 0.25 / MLS_FOCAL
    surface = k * ((x + MLS_OFFSET) ** 2 - MLS_OFFSET**2 + side**2)
    z = surface + above if along is None else along
    t = math.radians(90.0 - MLS_LOOK_DEG)
    cx, cy, cz = MLS_DISH_AT
    return (
        cx + x * math.cos(t) + z * math.sin(t),
        cy + side,
        cz - x * math.sin(t) + z * math.cos(t),
    )
