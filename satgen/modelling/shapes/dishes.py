"""Paraboloid reflectors."""

from __future__ import annotations

import numpy as np

from satgen.modelling.shapes.mesh import Array, Mesh, Shape, positive, unit, unit_circle


def dish(
    diameter: float,
    depth: float,
    thickness: float = 0.01,
    segments: int = 48,
    rings: int = 8,
    offset: float = 0.0,
) -> Shape:
    """A paraboloid reflector, a closed thin shell opening toward +z; its centre is the origin.

    `depth` is that of the on-axis dish of this diameter (focal length diameter²/(16·depth)).
    `offset`, metres: the dish is cut around a point that far along +x from the parabola's axis, so
    that it rises toward +x; the beam stays along +z.
    """
    return elliptic_dish(diameter, diameter, depth, thickness, segments, rings, offset)


def elliptic_dish(
    width: float,
    height: float,
    depth: float,
    thickness: float = 0.01,
    segments: int = 48,
    rings: int = 8,
    offset: float = 0.0,
) -> Shape:
    """A reflector with an elliptic rim, `width` along x and `height` along y; see `dish`."""
    positive(width=width, height=height, depth=depth, thickness=thickness)
    a, b = width / 2.0, height / 2.0
    ka, kb = depth / a**2, depth / b**2
    ring_ = unit_circle(segments)
    s = np.arange(rings + 1) / rings
    x = a * s[:, None] * ring_[None, :, 0]
    y = b * s[:, None] * ring_[None, :, 1]

    def height_at(px: Array, py: Array) -> Array:
        return np.asarray(ka * ((px + offset) ** 2 - offset**2) + kb * py**2)

    front = np.stack([x, y, height_at(x, y)], axis=-1)
    up = unit(np.stack([-2 * ka * (x + offset), -2 * kb * y, np.ones_like(x)], axis=-1))
    back = front - up * thickness
    mesh = Mesh()
    uv = np.stack([x, y], axis=-1)
    mesh.grid(front[:, ::-1], up[:, ::-1], uv[:, ::-1])
    mesh.grid(back, -up, uv * np.array([-1.0, 1.0]))
    rim = np.stack([back[-1], front[-1]])
    tangent = np.stack([-a * ring_[:, 1], b * ring_[:, 0], np.zeros(len(ring_))], axis=-1)
    tangent[:, 2] = 2 * ka * (x[-1] + offset) * tangent[:, 0] + 2 * kb * y[-1] * tangent[:, 1]
    outward = unit(np.cross(unit(tangent), up[-1]))
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(front[-1], axis=0), axis=1))])
    rim_uv = np.stack([np.stack([arc, np.full_like(arc, z)], axis=-1) for z in (0.0, thickness)])
    mesh.grid(rim, np.stack([outward, outward]), rim_uv)
    return mesh.shape()
