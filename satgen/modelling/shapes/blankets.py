"""Boxes under thermal blankets."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.modelling.shapes.mesh import Array, Mesh, Shape, corner_normals, positive, unit

TAPE_M = 0.044
"""Width of the tape over a seam between blankets, metres."""


def blanket_box(
    size_xyz: ArrayLike,
    puff: float = 0.01,
    cell: float = 0.12,
    seed: int = 0,
    panel: float = 1.3,
    radius: float | None = None,
) -> Shape:
    """A box under thermal blankets: rounded edges, gentle waves, taped seams between blankets.

    Args:
        size_xyz: (3,) metres over all before the waves; these stay within `puff` outward.
        puff: height of the waves, metres.
        cell: spacing of the mesh, metres; about 4·area/cell² triangles in all, halve it with care.
        seed: draws the waves.
        panel: largest size of one blanket, metres; each has its own piece of texture.
        radius: of the edges, metres; None: 0.03 or a tenth of the smallest side.
    """
    size = np.asarray(size_xyz, dtype=float)
    positive(size_x=size[0], size_y=size[1], size_z=size[2], cell=cell, panel=panel)
    h = size / 2.0
    r = min(0.03, 0.1 * float(size.min())) if radius is None else float(radius)
    r = min(r, 0.45 * float(size.min()))
    rng = np.random.Generator(np.random.PCG64([seed, 0x5A7]))
    lines = [_blanket_lines(half, r, cell, panel) for half in h]
    rise = min(0.003, puff)
    points: list[Array] = []
    uvs: list[Array] = []
    creased: list[NDArray[np.bool_]] = []
    taped: list[bool] = []
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        phase = rng.uniform(0, 2 * math.pi, (2, 8))
        for side, sign in enumerate((-1.0, 1.0)):
            for gi, tape_i in lines[i]:
                for gj, tape_j in lines[j]:
                    u, v = np.meshgrid(gi, gj if sign > 0 else gj[::-1])
                    p = np.zeros((*u.shape, 3))
                    p[..., axis], p[..., i], p[..., j] = sign * h[axis], u, v
                    core = np.clip(p, -(h - r), h - r)
                    d = unit(p - core)
                    if tape_i or tape_j:
                        height = rise * np.maximum(
                            _inner(u, gi) if tape_i else 0.0, _inner(v, gj) if tape_j else 0.0
                        )
                    else:
                        height = puff * _waves(u, v, gi, gj, cell, phase[side])
                    points.append(core + d * (r + height)[..., None])
                    uvs.append(np.stack([u, v * sign], axis=-1))
                    creased.append(_seam(u, gi, h[i]) | _seam(v, gj, h[j]))
                    taped.append(tape_i or tape_j)
    mesh = Mesh()
    smooth = _smooth_normals(points, creased)
    for p, n, t, tape in zip(points, smooth, uvs, taped, strict=True):
        mesh.grid(p, n, t, tape)
    return mesh.shape()


def _blanket_lines(half: float, r: float, cell: float, panel: float) -> list[tuple[Array, bool]]:
    """Mesh lines of one side of the box: blankets and, between them, tapes (marked True)."""
    pieces = max(1, math.ceil(2.0 * half / panel))
    seams = np.linspace(-half, half, pieces + 1)
    wide = min(TAPE_M, 0.2 * (seams[1] - seams[0]))
    out: list[tuple[Array, bool]] = []
    for k in range(pieces):
        lo = -half + r if k == 0 else seams[k] + wide / 2
        hi = half - r if k == pieces - 1 else seams[k + 1] - wide / 2
        lines = np.linspace(lo, hi, max(1, round((hi - lo) / cell)) + 1)
        if k == 0:
            lines = np.concatenate([[-half], lines])
        if k == pieces - 1:
            lines = np.concatenate([lines, [half]])
        out.append((lines, False))
        if k < pieces - 1:
            bevel = 0.1 * wide
            end = seams[k + 1] + wide / 2
            out.append((np.array([hi, hi + bevel, end - bevel, end]), True))
    return out


def _inner(t: Array, lines: Array) -> Array:
    """0 on the first and last line of a tape, 1 between."""
    return np.where((t > lines.min()) & (t < lines.max()), 1.0, 0.0)


def _waves(u: Array, v: Array, gu: Array, gv: Array, cell: float, phase: Array) -> Array:
    """Height 0..1 of one blanket: a pillow between its seams, with folds; 0 on the border."""
    s = (u - gu[0]) / (gu[-1] - gu[0]) * 2.0 - 1.0
    t = (v - gv[0]) / (gv[-1] - gv[0]) * 2.0 - 1.0
    pillow = (1.0 - np.abs(s) ** 6) * (1.0 - np.abs(t) ** 6)
    k = 2.0 * math.pi / (4.3 * cell)
    folds = np.zeros_like(u)
    for n in range(4):
        a = phase[n] * 1.7 + n
        scale = k * (0.6 + 0.35 * n)
        along = scale * (u * math.cos(a) + v * math.sin(a))
        folds += np.sin(along + phase[4 + n]) / (1.0 + 0.5 * n)
    return np.asarray(pillow * np.clip(0.5 + 0.24 * folds, 0.0, 1.0))


def _seam(t: Array, lines: Array, half: float) -> NDArray[np.bool_]:
    """Whether t lies on a border of the piece that is not an edge of the box."""
    inner = [line for line in (lines.min(), lines.max()) if abs(abs(line) - half) > 1e-9]
    return np.isin(t, inner)


def _smooth_normals(grids: list[Array], creased: list[NDArray[np.bool_]]) -> list[Array]:
    """Angle-weighted vertex normals of grid patches, shared where their points coincide, but for
    points marked in `creased`, which are shared within their own patch only."""
    points = np.concatenate([g.reshape(-1, 3) for g in grids])
    keys = np.round(points * 1e7).astype(np.int64)
    own = [np.where(c.reshape(-1), k + 1, 0) for k, c in enumerate(creased)]
    keys = np.column_stack([keys, np.concatenate(own)])
    _, inverse = np.unique(keys, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    mesh = Mesh()
    for g in grids:
        mesh.grid(g, np.zeros_like(g), np.zeros((*g.shape[:2], 2)))
    faces = np.concatenate(mesh.f)
    total = corner_normals(points, faces, inverse)
    out, start = [], 0
    for g in grids:
        n = g.shape[0] * g.shape[1]
        out.append(total[start : start + n].reshape(g.shape))
        start += n
    return out
