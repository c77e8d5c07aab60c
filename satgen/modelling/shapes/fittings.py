"""Honeycomb plates and thermal louvres."""

from __future__ import annotations

import math

from satgen.modelling.shapes.mesh import Shape, faceted, join, positive
from satgen.modelling.shapes.solids import box, plate
from satgen.modelling.shapes.turned import tube


def hex_honeycomb(
    width: float, height: float, depth: float, cell: float = 0.1, wall: float = 0.006
) -> Shape:
    """A plate of hexagonal open cells toward +z on a closed base; 48 triangles a cell."""
    positive(width=width, height=height, depth=depth, cell=cell, wall=wall)
    pitch_x, pitch_y = cell, cell * math.sqrt(3.0) / 2.0
    base = max(0.15 * depth, 0.004)
    shapes = [plate(width, height, base).translate((0, 0, -depth / 2 + base / 2))]
    outer = 0.995 * cell / math.sqrt(3.0)
    one = faceted(tube(outer, outer - wall, depth - base / 2, 6).rotate("z", 30.0))
    rows = int((height - 2 * outer) / pitch_y) + 1
    for row in range(rows):
        y = (row - (rows - 1) / 2.0) * pitch_y
        cols = int((width - cell) / pitch_x) + (0 if row % 2 else 1)
        for col in range(cols):
            x = (col - (cols - 1) / 2.0) * pitch_x
            shapes.append(one.translate((x, y, base / 4)))
    return join(*shapes)


def louvre(
    width: float, height: float, slats: int, depth: float = 0.03, angle_deg: float = 35.0
) -> Shape:
    """A thermal louvre: a frame on a base plate with tilted slats along x; faces +z."""
    positive(width=width, height=height, slats=slats, depth=depth)
    t = 0.12 * depth
    frame = min(0.03, 0.08 * min(width, height))
    shapes = [plate(width, height, t).translate((0, 0, -depth / 2 + t / 2))]
    for s in (-1.0, 1.0):
        shapes.append(box((width, frame, depth)).translate((0, s * (height - frame) / 2, 0.002)))
        upright = box((frame, height - 1.5 * frame, 0.9 * depth))
        shapes.append(upright.translate((s * (0.499 * width - frame / 2), 0, 0.001)))
    pitch = (height - 2 * frame) / slats
    chord = min(1.05 * pitch, 0.75 * depth / max(math.sin(math.radians(angle_deg)), 0.2))
    slat = plate(width - 2 * frame, chord, t).rotate("x", angle_deg)
    for k in range(slats):
        y = (k - (slats - 1) / 2.0) * pitch
        shapes.append(slat.translate((0, y, 0.08 * depth)))
    return join(*shapes)
