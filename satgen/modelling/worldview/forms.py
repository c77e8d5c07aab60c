"""Placing things on the bus's upright faces."""

from __future__ import annotations

import math

import numpy as np

from satgen.modelling.shapes import Shape


def on_face(
    shape: Shape, azimuth_deg: float, distance: float, along: float = 0.0, z: float = 0.0
) -> Shape:
    """A shape built facing +z (x to the right, y up) put on an upright face.

    Args:
        shape: built around the origin, its outside toward +z.
        azimuth_deg: direction that the face looks in, degrees from +x toward +y.
        distance: of the shape's origin from the z axis along that direction, metres.
        along: sideways, counter-clockwise seen from +z, metres.
        z: height, metres.
    """
    upright = shape.rotate("x", 90.0).rotate("z", azimuth_deg + 90.0)
    a = math.radians(azimuth_deg)
    out = np.array([math.cos(a), math.sin(a), 0.0])
    side = np.array([-math.sin(a), math.cos(a), 0.0])
    return upright.translate(out * distance + side * along + np.array([0.0, 0.0, z]))
