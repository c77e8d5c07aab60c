"""What a seed decides before anything is built: forms, sizes, wings, payload, equipment."""

from __future__ import annotations

import math
from dataclasses import dataclass

from satgen.modelling.random.draw import Draw

FORMS = {"box": 4.2, "chamfered": 1.2, "octagon": 1.3, "hexagon": 1.6, "cylinder": 1.7}
"""Forms of the bus and how often each is drawn."""

LAYOUTS = {
    "pair": 4.6,
    "unequal_pair": 0.8,
    "single": 1.4,
    "double_pair": 0.7,
    "cross": 1.2,
    "three": 1.2,
    "six": 0.7,
}
"""Layouts of the solar wings."""

WING_KINDS = {"panels": 6.0, "blanket": 1.3, "fan": 1.0}

PAYLOADS = {
    "telescope": 1.6,
    "instruments": 2.2,
    "comms": 1.6,
    "radar": 1.0,
    "reflector": 1.2,
    "module": 1.4,
}
"""What stands on the deck at +z."""


@dataclass(frozen=True)
class Wing:
    """A solar wing.

    Attributes:
        azimuth_deg: direction of its root from the z axis, from +x toward +y.
        height: of the root over the middle of the bus, as a share of half its height.
        kind: one of WING_KINDS.
        panels: how many in a row.
        chord, pitch: size across and of one panel along the wing, metres.
        reach: from the bus to the first panel, metres.
        tilt_deg: turn about its own axis; cells look along +z at 0.
        cant_deg: rise of the axis toward +z.
    """

    azimuth_deg: float
    height: float
    kind: str
    panels: int
    chord: float
    pitch: float
    reach: float
    tilt_deg: float
    cant_deg: float


@dataclass(frozen=True)
class Design:
    """The choices of a seed.

    Attributes:
        seed: it.
        size: largest side of the bus, metres.
        form: one of FORMS.
        width, depth, height: of the bus along x, y and z, metres.
        layout: one of LAYOUTS; wings: the wings.
        payload: one of PAYLOADS.
        unit: size of fittings over that of a satellite of 2.5 m: they grow more slowly than it.
    """

    seed: int
    size: float
    form: str
    width: float
    depth: float
    height: float
    layout: str
    wings: tuple[Wing, ...]
    payload: str
    unit: float


def design(seed: int) -> Design:
    """The design of a seed."""
    draw = Draw(seed, "design")
    size = draw.log_uniform(1.0, 8.0)
    form = draw.weighted(FORMS)
    slender = draw.uniform(0.55, 2.1)
    across = draw.uniform(0.72, 1.0) if form in ("box", "chamfered") else 1.0
    high, wide = (size, size / slender) if slender > 1.0 else (size * slender, size)
    width, depth, height = round(wide, 3), round(wide * across, 3), round(high, 3)
    layout = draw.weighted(LAYOUTS)
    if layout in ("three", "six") and form not in ("hexagon", "cylinder"):
        layout = draw.choice(("cross", "pair", "pair", "single"))
    if layout == "cross" and form == "hexagon":
        layout = draw.choice(("three", "pair", "six"))
    wings = _wings(draw, layout, width, depth, height)
    payload = draw.weighted(PAYLOADS)
    unit = min(1.7, max(0.6, math.sqrt(size / 2.5)))
    return Design(seed, size, form, width, depth, height, layout, wings, payload, round(unit, 3))


def _wings(draw: Draw, layout: str, width: float, depth: float, height: float) -> tuple[Wing, ...]:
    size = max(width, height)
    kind = draw.weighted(WING_KINDS)
    radial = layout in ("cross", "three", "six")
    near = min(width, depth, height)
    limit = (0.95 if layout == "six" else 1.25) * near if radial else 1.5 * min(size, 1.6 * near)
    chord = draw.uniform(0.55, 1.0) * limit
    if layout == "double_pair":
        chord = min(chord, 0.95 * height)
    length = draw.uniform(0.7, 1.5) * size * (0.8 if radial else 1.25)
    length = max(length, 0.8 * chord)
    if kind == "fan":
        chord = length = min(length, 1.25 * chord if not radial else chord)
    panels = max(1, min(7, round(length / (chord * draw.uniform(0.35, 1.0)))))
    panels = 1 if kind in ("fan", "blanket") else panels
    pitch = length / panels
    reach = draw.uniform(0.14, 0.30) * size + 0.12
    tilt = draw.weighted({0.0: 2.0, 180.0: 2.0, 90.0: 1.0, -90.0: 1.0, 500.0: 4.0})
    if tilt == 500.0:
        tilt = draw.uniform(-180.0, 180.0)
    cant = draw.choice((0.0, 0.0, 12.0, -15.0, 25.0)) if radial else 0.0
    if radial:
        tilt = draw.choice((0.0, 180.0))
        if kind != "fan":  # neighbours' chords must not meet
            chord = min(chord, 0.95 * limit)
    place = draw.uniform(-0.35, 0.35) if not radial else draw.uniform(-0.7, 0.3)
    at = {
        "pair": (90.0, -90.0),
        "unequal_pair": (90.0, -90.0),
        "single": (draw.choice((90.0, -90.0)),),
        "double_pair": (90.0, -90.0, 90.0, -90.0),
        "cross": (0.0, 90.0, 180.0, -90.0),
        "three": (90.0, -150.0, -30.0),
        "six": (30.0, 90.0, 150.0, -150.0, -90.0, -30.0),
    }[layout]
    out: list[Wing] = []
    for k, azimuth in enumerate(at):
        count, heights, turned = panels, place, tilt
        if layout == "unequal_pair" and k == 1:
            count = max(1, panels - draw.integer(1, 2)) if panels > 1 else 1
        if layout == "double_pair":
            heights = 0.55 if k < 2 else -0.55
            turned = out[0].tilt_deg if out else draw.choice((0.0, 180.0))
        out.append(
            Wing(
                azimuth,
                heights,
                kind,
                count,
                round(chord, 3),
                round(pitch, 3),
                round(reach, 3),
                turned,
                cant,
            )
        )
    return tuple(out)
