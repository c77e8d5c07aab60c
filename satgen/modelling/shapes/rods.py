"""Rods, pipes and lattice booms."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from satgen.modelling.shapes.mesh import (
    Array,
    Mesh,
    Shape,
    fan,
    join,
    positive,
    rotation,
    unit,
    unit_circle,
)
from satgen.modelling.shapes.turned import cylinder


def strut(p0: ArrayLike, p1: ArrayLike, radius: float, segments: int = 8) -> Shape:
    """A round rod between two points, capped."""
    a, b = np.asarray(p0, dtype=float), np.asarray(p1, dtype=float)
    length = float(np.linalg.norm(b - a))
    positive(length=length, radius=radius)
    return cylinder(radius, length, segments).aim(b - a).translate((a + b) / 2.0)


def pipe(points: ArrayLike, radius: float, segments: int = 8) -> Shape:
    """A round rod along a polyline (n, 3), mitred at its bends, capped."""
    path = np.asarray(points, dtype=float)
    if path.ndim != 2 or len(path) < 2 or path.shape[1] != 3:
        raise ValueError(f"points must be (n >= 2, 3), got shape {path.shape}")
    positive(radius=radius)
    step = np.diff(path, axis=0)
    direction = unit(step)
    length = np.linalg.norm(step, axis=1)
    seed = np.eye(3)[int(np.argmin(np.abs(direction[0])))]
    u = unit(np.cross(direction[0], seed))
    circle = unit_circle(segments)
    rings: list[Array] = []
    radial: list[Array] = []
    for k, d in enumerate(direction):
        if k:
            axis = np.cross(direction[k - 1], d)
            angle = math.degrees(math.atan2(float(np.linalg.norm(axis)), direction[k - 1] @ d))
            if angle > 1e-9:
                u = rotation(axis, angle) @ u
        radial.append(circle[:, :1] * u + circle[:, 1:] * np.cross(d, u))
    for k in range(len(path)):
        spoke = radial[min(k, len(direction) - 1)] * radius
        if 0 < k < len(direction):
            plane = unit(direction[k - 1] + direction[k])
            d = direction[k]
            spoke = spoke - np.outer(spoke @ plane / (d @ plane), d)
        rings.append(path[k] + spoke)
    mesh = Mesh()
    around = np.arange(segments + 1) * (2 * math.pi * radius / segments)
    run = np.concatenate([[0.0], np.cumsum(length)])
    limit = math.cos(math.radians(35.0))
    for k in range(len(direction)):
        normals = []
        for other in (k - 1, k + 1):
            near = 0 <= other < len(direction) and direction[k] @ direction[other] > limit
            normals.append(unit(radial[k] + radial[other]) if near else radial[k])
        uv = np.stack([np.stack([around, np.full_like(around, run[m])], -1) for m in (k, k + 1)])
        mesh.grid(np.stack([rings[k], rings[k + 1]]), np.stack(normals), uv)
    tri = fan(segments)
    mesh.polygon(rings[0][:-1], -direction[0], u, tri[:, ::-1])
    mesh.polygon(rings[-1][:-1], direction[-1], u, tri)
    return mesh.shape()


def truss(
    p0: ArrayLike,
    p1: ArrayLike,
    side: float,
    bays: int,
    radius: float,
    sides: int = 4,
    segments: int = 6,
) -> Shape:
    """A lattice boom with 3 or 4 longerons, battens and diagonals."""
    if sides not in (3, 4):
        raise ValueError(f"a truss has 3 or 4 sides, got {sides}")
    a, b = np.asarray(p0, dtype=float), np.asarray(p1, dtype=float)
    length = float(np.linalg.norm(b - a))
    positive(length=length, side=side, bays=bays, radius=radius)
    reach = side / (2.0 * math.sin(math.pi / sides))
    angle = (np.arange(sides) + 0.5) * (2 * math.pi / sides)
    corner = reach * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    z = np.linspace(0.0, length, bays + 1)
    node = [[np.array([*corner[s], z[k]]) for s in range(sides)] for k in range(bays + 1)]
    rods = [strut(node[0][s], node[-1][s], radius, segments) for s in range(sides)]
    for k in range(bays + 1):
        rods += [strut(node[k][s], node[k][s - 1], 0.7 * radius, segments) for s in range(sides)]
    for k in range(bays):
        for s in range(sides):
            low, high = (s, s - 1) if (k + s) % 2 else (s - 1, s)
            rods.append(strut(node[k][low], node[k + 1][high], 0.6 * radius, segments))
    return join(*rods).aim(b - a).translate(a)
