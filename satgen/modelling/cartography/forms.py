"""Placing things on the upright sides of the bus."""

from __future__ import annotations

import math
from collections.abc import Sequence

from satgen.modelling import shapes
from satgen.modelling.shapes import Shape

SIDES = {"px": 0.0, "py": 90.0, "mx": 180.0, "my": 270.0}
"""Sides of the bus by name: the direction that they look in, degrees from +x toward +y."""


def on_side(
    shape: Shape, azimuth_deg: float, out: float, along: float = 0.0, z: float = 0.0
) -> Shape:
    """A shape built facing +z (x to the right, y up) put on an upright side.

    Args:
        shape: built around the origin, its outside toward +z.
        azimuth_deg: direction that the side looks in, degrees.
        out: distance of the shape's origin from the z axis along it, metres.
        along: sideways, counter-clockwise seen from +z, metres.
        z: height, metres.
    """
    t = math.radians(azimuth_deg)
    at = (
        out * math.cos(t) - along * math.sin(t),
        out * math.sin(t) + along * math.cos(t),
        z,
    )
    return shape.rotate("x", 90.0).rotate("z", azimuth_deg + 90.0).translate(at)


def framed(width: float, height: float, proud: float = 0.03, frame: float = 0.03) -> list[Shape]:
    """A radiator plate and the border around it, facing +z, standing `proud` metres above it."""
    depth = proud + 0.05
    plate = shapes.box((width, height, depth), 0.004).translate((0, 0, proud - depth / 2))
    edge = depth - 0.014
    border = shapes.box((width + 2 * frame, height + 2 * frame, edge), 0.004)
    return [plate, border.translate((0, 0, proud - 0.014 - edge / 2))]


def bolts(points: Sequence[tuple[float, float]], radius: float = 0.016) -> Shape:
    """Low hexagonal heads standing on z = 0, sunk 12 mm."""
    head = shapes.cylinder(radius, 0.03, 6).translate((0, 0, 0.003))
    return shapes.join(*(head.translate((x, y, 0.0)) for x, y in points))
