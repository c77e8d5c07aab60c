"""Shapes that several craft are built of: blankets, framed radiators, bolt heads, octagons."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from satgen.modelling import shapes
from satgen.modelling.shapes import Shape

Array = NDArray[np.float64]

UNDERLAP = 0.010
"""How far the underside of a blanket reaches under its neighbours, metres."""


def octagon(half: float, chamfer: float) -> list[tuple[float, float]]:
    """Corners of a square of half width `half`, metres, with its corners cut by `chamfer`."""
    k = half - chamfer
    return [
        (half, -k),
        (half, k),
        (k, half),
        (-k, half),
        (-half, k),
        (-half, -k),
        (-k, -half),
        (k, -half),
    ]


def slab(outer: Array, inner: Array) -> Shape:
    """A closed slab between two grids of points, (m, n, 3) each.

    Rows run along v, columns along u, so that (u, v, outward) is right-handed seen from outside.
    The outside and the inside are shaded smooth, the four edges hard; uv are in metres. The outer
    row of cells around the outside is trim: the tape that binds the edge.
    """
    mesh = shapes.Mesh()
    rows, cols = outer.shape[:2]
    normals, uv = _grid_normals(outer), _grid_uv(outer)
    for r0, r1, c0, c1 in (
        (1, rows - 1, 1, cols - 1),
        (0, 2, 0, cols),
        (rows - 2, rows, 0, cols),
        (1, rows - 1, 0, 2),
        (1, rows - 1, cols - 2, cols),
    ):
        at = slice(r0, r1), slice(c0, c1)
        mesh.grid(outer[at], normals[at], uv[at], tape=(r0, c0) != (1, 1))
    patches = [
        inner[:, ::-1],
        np.stack([inner[0], outer[0]]),
        np.stack([outer[-1], inner[-1]]),
        np.stack([inner[:, 0], outer[:, 0]], axis=1),
        np.stack([outer[:, -1], inner[:, -1]], axis=1),
    ]
    for grid in patches:
        mesh.grid(grid, _grid_normals(grid), _grid_uv(grid))
    return mesh.shape()


def _grid_normals(grid: Array) -> Array:
    """Angle-weighted normals of a grid of points, (m, n, 3)."""
    rows, cols = grid.shape[:2]
    index = np.arange(rows * cols).reshape(rows, cols)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    tri = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)
    flat = grid.reshape(-1, 3)
    return shapes.corner_normals(flat, tri.reshape(-1, 3), np.arange(len(flat))).reshape(grid.shape)


def _grid_uv(grid: Array) -> Array:
    """Mean arc length along columns and rows, metres, (m, n, 2)."""
    du = np.linalg.norm(np.diff(grid, axis=1), axis=2).mean(axis=0)
    dv = np.linalg.norm(np.diff(grid, axis=0), axis=2).mean(axis=1)
    u = np.concatenate([[0.0], np.cumsum(du)])
    v = np.concatenate([[0.0], np.cumsum(dv)])
    return np.stack(np.broadcast_arrays(u[None, :], v[:, None]), axis=-1)


def _lines(length: float, cell: float, edge: float) -> Array:
    """Positions 0..1 of mesh lines: two narrow borders of `edge` metres, `cell` between."""
    e = min(edge / length, 0.3)
    count = max(2, round(length / cell))
    return np.concatenate([[0.0], np.linspace(e, 1.0 - e, count), [1.0]])


def _folds(s: Array, t: Array, size: tuple[float, float], seed: int) -> Array:
    """Height 0..1 of a blanket's folds: a sum of waves in several directions."""
    rng = np.random.Generator(np.random.PCG64([seed, 0x3D5]))
    x, y = s * size[0], t * size[1]
    total = np.zeros_like(x)
    for n in range(5):
        angle, phase = rng.uniform(0, math.pi), rng.uniform(0, 2 * math.pi)
        wave = 2 * math.pi / (0.28 + 0.11 * n)
        total += np.sin(wave * (x * math.cos(angle) + y * math.sin(angle)) + phase) / 2.6
    return np.asarray(np.clip(0.5 + 0.4 * total, 0.0, 1.0))


def blanket(
    surface: Callable[[Array, Array, Array], Array],
    size: tuple[float, float],
    seed: int,
    thickness: float = 0.05,
    puff: float = 0.014,
    cell: float = 0.13,
) -> Shape:
    """A sewn blanket over a curved surface: pillowed, folded, its border drawn in.

    Its underside reaches UNDERLAP further on every side, so that nothing shows through the seam
    to the next one.

    Args:
        surface: (s, t, height) -> points; s and t run over 0..1 along u and v, height is metres
            outward of the surface.
        size: its extent along u and v, metres.
        seed: draws the folds.
        thickness: it reaches that far inward, metres.
        puff: height of pillow and folds, metres.
        cell: spacing of the mesh, metres.
    """
    s, t = np.meshgrid(_lines(size[0], cell, 0.022), _lines(size[1], cell, 0.022))
    border = (s == 0) | (s == 1) | (t == 0) | (t == 1)
    height = np.where(border, -0.012, puff * _folds(s, t, size, seed))
    wide = [0.5 + (x - 0.5) * (1.0 + 2.0 * UNDERLAP / d) for x, d in zip((s, t), size, strict=True)]
    return slab(surface(s, t, height), surface(wide[0], wide[1], np.full_like(s, -thickness)))


def curved_blanket(
    angles_deg: tuple[float, float],
    z_range: tuple[float, float],
    radii: tuple[float, float],
    seed: int,
    **options: float,
) -> Shape:
    """A blanket around a cone or barrel, from one angle and height to another.

    Args:
        angles_deg: first and last azimuth, counter-clockwise.
        z_range: bottom and top, metres.
        radii: of the surface at the bottom and at the top, metres.
        seed: draws the folds.
        options: thickness, puff and cell of `blanket`.
    """
    a0, a1 = (math.radians(a) for a in angles_deg)
    (z0, z1), (r0, r1) = z_range, radii
    slope = math.hypot(z1 - z0, r1 - r0)
    nr, nz = (z1 - z0) / slope, -(r1 - r0) / slope

    def surface(s: Array, t: Array, height: Array) -> Array:
        a, r, z = a0 + s * (a1 - a0), r0 + t * (r1 - r0), z0 + t * (z1 - z0)
        r, z = r + height * nr, z + height * nz
        return np.stack([r * np.cos(a), r * np.sin(a), z], axis=-1)

    return blanket(surface, ((a1 - a0) * max(r0, r1), slope), seed, **options)


def flat_blanket(
    corners: Sequence[tuple[float, float, float]], seed: int, **options: float
) -> Shape:
    """A blanket over a flat quadrilateral, corners counter-clockwise seen from outside."""
    p = np.asarray(corners, dtype=float)
    normal = np.cross(p[2] - p[0], p[3] - p[1])
    normal /= np.linalg.norm(normal)

    def surface(s: Array, t: Array, height: Array) -> Array:
        s, t, h = s[..., None], t[..., None], height[..., None]
        low, high = p[0] + s * (p[1] - p[0]), p[3] + s * (p[2] - p[3])
        return np.asarray(low + t * (high - low) + h * normal)

    size = (float(np.linalg.norm(p[1] - p[0])), float(np.linalg.norm(p[3] - p[0])))
    return blanket(surface, size, seed, **options)


def framed(width: float, height: float, proud: float, frame: float = 0.028) -> tuple[Shape, Shape]:
    """A radiator plate and the tape border around it, facing +z: (plate, border).

    The origin lies on the surface that they are mounted on; the plate's face is `proud` metres
    above it and the border 12 mm lower; both reach 20 mm below.
    """
    top = proud + 0.02
    plate = shapes.box((width, height, top), 0.004).translate((0, 0, proud - top / 2))
    border = shapes.box((width + 2 * frame, height + 2 * frame, top - 0.012), 0.003)
    return plate, border.translate((0, 0, proud - 0.012 - (top - 0.012) / 2))


def bolts(
    points: Sequence[tuple[float, float]], radius: float = 0.016, height: float = 0.02
) -> Shape:
    """Low hexagonal bolt heads standing on z = 0, sunk 8 mm."""
    head = shapes.cylinder(radius, height + 0.008, 6).translate((0, 0, height / 2 - 0.004))
    return shapes.join(*(head.translate((x, y, 0.0)) for x, y in points))
