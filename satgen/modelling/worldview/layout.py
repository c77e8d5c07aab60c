"""Dimensions that several subsystems share, metres in the target frame."""

from __future__ import annotations

# Heights along the boresight (+z), from the launch adapter to the rim of the aperture.
BASE_Z = -2.85
BUS_LOW = -2.62
BUS_TOP = -0.80
DECK_Z = -0.76
BENCH_LOW, BENCH_TOP = -0.46, -0.38
SHROUD_TOP = 0.40
BARREL_LOW = 0.70
BARREL_TOP = 2.60
RIM_Z = 2.85

# The bus: a square with its corners cut.
HALF = 1.12
CHAMFER = 0.42
FACE = HALF + 0.035
"""Outer face of the blankets on the four wide sides."""
CORNER_FACE = (HALF - CHAMFER / 2.0) * 2.0**0.5 + 0.035
"""Outer face of the blankets on the four cut corners, from the z axis."""

# The telescope.
SHROUD_RADIUS = 0.96
BARREL_RADIUS = 0.765
TUBE_OUTER, TUBE_INNER = 0.735, 0.665
APERTURE_DIAMETER = 1.10
MIRROR_Z = 0.42

# The wings.
WING_Z = -2.05
PANEL_WIDTH = 2.46
PANEL_LENGTH = 0.62
PANEL_GAP = 0.02
PANELS = 3
WING_TIP = 3.55
WING_ROOT = WING_TIP - PANELS * PANEL_LENGTH - (PANELS - 1) * PANEL_GAP
PANEL_THICKNESS = 0.03

CORNERS = {"px_py": 45.0, "mx_py": 135.0, "mx_my": 225.0, "px_my": 315.0}
"""Cut corners of the bus by name: azimuth, degrees."""
SIDES = {"px": 0.0, "py": 90.0, "mx": 180.0, "my": 270.0}
"""Wide sides of the bus by name: azimuth, degrees."""
