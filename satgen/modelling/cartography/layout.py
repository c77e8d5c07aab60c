"""Dimensions that several subsystems share, metres in the target frame."""

from __future__ import annotations

import math

import numpy as np

HALF = 1.17
"""Half width of the bus cuboid across x and y, at its blankets."""
BUS_LOW, BUS_TOP = -1.06, 0.24
RING_LOW, RING_TOP = -1.35, -1.04
RING_RADIUS = 0.485
DECK_LOW, DECK_TOP = BUS_TOP - 0.02, 0.30

COVER_SIZE = (1.66, 1.16, 0.32)
"""The thermal cover over both cameras."""
COVER_Z = DECK_TOP + COVER_SIZE[2] / 2 - 0.01

FORE_DEG, AFT_DEG = 26.0, -5.0
"""Tilt of the cameras from nadir toward the direction of flight."""
HOOD_RADIUS = 0.285
HOOD_WALL = 0.03
FORE_FOOT = (0.30, 0.0, 0.60)
AFT_FOOT = (-0.43, 0.0, 0.60)
FORE_LENGTH, AFT_LENGTH = 0.675, 0.716

WING_Z = -0.38
WING_TILT_DEG = 22.0
PANEL_CHORD, PANEL_LENGTH, PANEL_THICKNESS = 1.80, 1.40, 0.03
PANEL_GAP = 0.025
PANELS = 3
WING_ROOT = 1.86
WING_TIP = WING_ROOT + PANELS * PANEL_LENGTH + (PANELS - 1) * PANEL_GAP

CORNERS = {"px_py": (1, 1), "mx_py": (-1, 1), "mx_my": (-1, -1), "px_my": (1, -1)}
"""Upright edges of the bus by name: signs of x and y."""


def view_axis(tilt_deg: float) -> tuple[float, float, float]:
    """Unit viewing direction of a camera that is tilted from nadir (+z) toward +x."""
    return math.sin(math.radians(tilt_deg)), 0.0, math.cos(math.radians(tilt_deg))


def wing_point(x: float, y: float, z: float = 0.0) -> tuple[float, float, float]:
    """A point of the +y wing's frame (x along the chord, z behind the cells) in the target's."""
    t = math.radians(WING_TILT_DEG)
    turned = np.array([[math.cos(t), 0, math.sin(t)], [0, 1, 0], [-math.sin(t), 0, math.cos(t)]])
    px, py, pz = turned @ np.array([x, y, z]) + np.array([0.0, 0.0, WING_Z])
    return float(px), float(py), float(pz)
