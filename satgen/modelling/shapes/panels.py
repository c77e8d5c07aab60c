"""Solar panels."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from satgen.modelling.shapes.mesh import Array, Mesh, Shape, positive
from satgen.modelling.shapes.solids import box

CELLS_PER_TILE = 16
"""The solar-cell textures show this many cells each way."""
MODULE = 8
"""Most cells of a module each way: as many in a row lie on one piece of texture."""


def solar_panel(
    width: float,
    height: float,
    thickness: float,
    cells_x: int,
    cells_y: int,
    margin: float = 0.02,
    seed: int = 0,
) -> dict[str, Shape]:
    """A solar panel in the x-y plane, cells toward +z, as three closed shapes.

    Returns:
        `front`: the cell layer, 5 mm proud of the substrate, uv in cells of the texture
        (`uv_unit`), laid in modules so that no run of cells repeats; `edge`: the substrate, of the
        full width, height and thickness; `back`: the rear skin, 5 mm proud, uv in metres.
    """
    positive(width=width, height=height, thickness=thickness, cells_x=cells_x, cells_y=cells_y)
    w, h = width - 2 * margin, height - 2 * margin
    positive(margin_leaves_width=w, margin_leaves_height=h)
    proud = 0.005
    rng = np.random.Generator(np.random.PCG64([seed, cells_x, cells_y, 0xCE11]))

    def skin_uv(block: Array) -> Array:
        shift = rng.integers(0, CELLS_PER_TILE, 2)
        turn = 1.0 - 2.0 * rng.integers(0, 2)  # strings run to and fro
        return np.asarray((turn * (block - block.reshape(-1, 2)[0]) + shift) / CELLS_PER_TILE)

    z = thickness / 2.0
    lines = _modules(cells_x), _modules(cells_y)
    front = _slab((w, h), (z - 0.002, z + proud), lines, (cells_x, cells_y), skin_uv)
    back = box((w, h, proud + 0.002)).translate((0, 0, -z - proud / 2 + 0.001))
    return {"front": front, "edge": box((width, height, thickness)), "back": back}


def _modules(cells: int) -> Array:
    """Borders of modules of at most MODULE cells, in cells."""
    return np.round(np.linspace(0, cells, math.ceil(cells / MODULE) + 1))


def _slab(
    size: tuple[float, float],
    z_range: tuple[float, float],
    lines: tuple[Array, Array],
    cells: tuple[int, int],
    uv_of: Callable[[Array], Array],
) -> Shape:
    """A closed slab whose top is cut into modules, each with uv of its own."""
    (w, h), (z0, z1), (lines_x, lines_y) = size, z_range, lines
    x = (lines_x / cells[0] - 0.5) * w
    y = (lines_y / cells[1] - 0.5) * h
    mesh = Mesh()
    up = np.array([0.0, 0.0, 1.0])
    for j in range(len(y) - 1):
        for i in range(len(x) - 1):
            gx, gy = np.meshgrid(x[i : i + 2], y[j : j + 2])
            cx, cy = np.meshgrid(lines_x[i : i + 2], lines_y[j : j + 2])
            uv = uv_of(np.stack([cx, cy], axis=-1))
            top = np.stack([gx, gy, np.full_like(gx, z1)], axis=-1)
            mesh.grid(top, np.broadcast_to(up, top.shape), uv)
            low = np.stack([gx, gy, np.full_like(gx, z0)], axis=-1)[:, ::-1]
            mesh.grid(low, np.broadcast_to(-up, low.shape), 0.003 * uv)
    skirt_uv = 0.003 * np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]]])
    for along, across, half in ((x, 0, h / 2), (y, 1, w / 2)):
        for side in (-1.0, 1.0):
            for a, b in pairwise(along):
                first, last = (a, b) if (side < 0) != (across == 1) else (b, a)
                pts = np.empty((2, 2, 3))
                pts[:, 0, across], pts[:, 1, across] = first, last
                pts[:, :, 1 - across] = side * half
                pts[0, :, 2], pts[1, :, 2] = z0, z1
                normal = np.zeros(3)
                normal[1 - across] = side
                mesh.grid(pts, np.broadcast_to(normal, pts.shape), skirt_uv)
    return mesh.shape(uv_unit=True)
