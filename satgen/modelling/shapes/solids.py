"""Boxes, plates and extrusions."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.modelling.shapes.mesh import (
    Array,
    Mesh,
    Shape,
    cut_count,
    planar_uv,
    positive,
    subdivide,
    unit,
)


def box(size_xyz: ArrayLike, bevel: float = 0.0) -> Shape:
    """A box of (3,) metres; `bevel` chamfers all edges, shaded round so that they catch the light,
    and marked as trim.

    12 triangles, 44 with a bevel; more where a side is longer than MAX_PIECE.
    """
    size = np.asarray(size_xyz, dtype=float)
    positive(size_x=size[0], size_y=size[1], size_z=size[2])
    h = size / 2.0
    b = float(min(bevel, 0.45 * size.min()))
    split = [cut_count(float(s)) for s in size]
    mesh = Mesh()
    for axis in range(3):
        for sign in (1.0, -1.0):
            i, j = (axis + 1) % 3, (axis + 2) % 3
            if axis == 1:
                i, j = j, i
            corners = []
            for si, sj in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                p = np.zeros(3)
                p[axis] = sign * h[axis]
                p[i], p[j] = si * (h[i] - b), sj * (h[j] - b)
                corners.append(p)
            if (sign < 0) != (axis == 1):
                corners = [corners[1], corners[0], corners[3], corners[2]]
            mesh.quad(np.stack(corners), split=(split[i], split[j]))
    if b > 0:
        _box_chamfers(mesh, h, b, split)
    return mesh.shape()


def _box_chamfers(mesh: Mesh, h: Array, b: float, split: list[int]) -> None:
    for axis in range(3):  # edges along `axis`
        i, j = (axis + 1) % 3, (axis + 2) % 3
        for si in (-1.0, 1.0):
            for sj in (-1.0, 1.0):
                pts, nrm = [], []
                for on_i, along in ((True, -1.0), (True, 1.0), (False, 1.0), (False, -1.0)):
                    p, n = np.zeros(3), np.zeros(3)
                    p[axis] = along * (h[axis] - b)
                    p[i] = si * (h[i] - (0.0 if on_i else b))
                    p[j] = sj * (h[j] - (b if on_i else 0.0))
                    n[i if on_i else j] = si if on_i else sj
                    pts.append(p)
                    nrm.append(n)
                order = [1, 0, 3, 2] if si * sj > 0 else [0, 1, 2, 3]
                mesh.quad(np.stack(pts)[order], np.stack(nrm)[order], (split[axis], 1), tape=True)
    for sx in (-1.0, 1.0):
        for sy in (-1.0, 1.0):
            for sz in (-1.0, 1.0):
                s = np.array([sx, sy, sz])
                pts_ = np.stack([s * (h - b * (np.arange(3) != k)) for k in range(3)])
                nrm_ = np.diag(s)
                if sx * sy * sz < 0:
                    pts_, nrm_ = pts_[::-1], nrm_[::-1]
                normal = unit(s)
                uv = planar_uv(pts_, normal, pts_[1] - pts_[0])
                mesh.add(pts_, nrm_, uv, np.array([[0, 1, 2]]), tape=True)


def plate(width_x: float, height_y: float, thickness_z: float, bevel: float = 0.0) -> Shape:
    """A flat box."""
    return box((width_x, height_y, thickness_z), bevel)


def prism(polygon_xy: ArrayLike, height: float, bevel: float = 0.0) -> Shape:
    """A simple polygon (n, 2), either winding, extruded along z; `bevel` chamfers both rims.

    Neighbouring sides that meet at less than 30° are shaded smooth.
    """
    poly = np.asarray(polygon_xy, dtype=float)
    positive(height=height)
    if poly.ndim != 2 or len(poly) < 3 or poly.shape[1] != 2:
        raise ValueError(f"polygon must be (n >= 3, 2), got shape {poly.shape}")
    if _area2(poly) < 0:
        poly = poly[::-1]
    if _crosses_itself(poly):
        raise ValueError("polygon is not simple: it crosses or touches itself")
    poly = subdivide(poly)
    n = len(poly)
    tri = _ear_clip(poly)
    edge = np.roll(poly, -1, axis=0) - poly
    out = unit(np.stack([edge[:, 1], -edge[:, 0]], axis=-1))
    b = min(bevel, 0.45 * height)
    miter = unit(out + np.roll(out, 1, axis=0))
    inset = poly - miter * (b / np.maximum(np.sum(miter * out, axis=1), 0.3))[:, None]
    top, low = height / 2.0, height / 2.0 - b
    mesh = Mesh()
    for z in (top, -top):
        pts = np.column_stack([inset if b > 0 else poly, np.full(n, z)])
        normal = np.array([0.0, 0.0, math.copysign(1.0, z)])
        faces = tri if z > 0 else tri[:, ::-1]
        mesh.polygon(pts, normal, np.array([math.copysign(1.0, z), 0.0, 0.0]), faces)
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(edge, axis=1))])
    for k in range(n):
        k1 = (k + 1) % n
        ends = []
        for here, other in ((k, (k - 1) % n), (k, k1)):
            smooth = out[here] @ out[other] > math.cos(math.radians(30.0))
            ends.append(unit(out[here] + out[other]) if smooth else out[here])
        nrm = np.array([[*ends[0], 0.0], [*ends[1], 0.0]])
        a, c = poly[k], poly[k1]
        levels = np.linspace(-low, low, cut_count(2 * low) + 1)
        for z0, z1 in pairwise(levels):
            rows = np.array([[[*a, z0], [*c, z0]], [[*a, z1], [*c, z1]]])
            uv = np.array([[[run[k], z0], [run[k + 1], z0]], [[run[k], z1], [run[k + 1], z1]]])
            mesh.grid(rows, np.stack([nrm, nrm]), uv)
        if b > 0:
            up = np.array([[0.0, 0.0, 1.0]] * 2)
            ia, ic = inset[k], inset[k1]
            slope = math.sqrt(2.0) * b
            uv = np.array([[[r, s] for r in run[k : k + 2]] for s in (0.0, slope)])
            rows = np.array([[[*a, low], [*c, low]], [[*ia, top], [*ic, top]]])
            mesh.grid(rows, np.stack([nrm, up]), uv)
            rows = np.array([[[*ia, -top], [*ic, -top]], [[*a, -low], [*c, -low]]])
            mesh.grid(rows, np.stack([-up, nrm]), uv)
    return mesh.shape()


def _area2(poly: Array) -> float:
    x, y = poly[:, 0], poly[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _ear_clip(poly: Array) -> NDArray[np.int64]:
    """Triangles (T, 3) of a simple counter-clockwise polygon (n, 2), best-shaped ears first."""
    ring = list(range(len(poly)))
    out: list[tuple[int, int, int]] = []

    def cross(a: int, b: int, c: int) -> float:
        p, q, r = poly[a], poly[b], poly[c]
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    while len(ring) > 3:
        best, best_score = -1, -1.0
        for i in range(len(ring)):
            a, b, c = ring[i - 1], ring[i], ring[(i + 1) % len(ring)]
            area = cross(a, b, c)
            if area <= 1e-14:
                continue
            if any(
                cross(a, b, k) >= 0 and cross(b, c, k) >= 0 and cross(c, a, k) >= 0
                for k in ring
                if k not in (a, b, c)
            ):
                continue
            sides = [poly[b] - poly[a], poly[c] - poly[b], poly[a] - poly[c]]
            score = area / float(sum(s @ s for s in sides))
            if score > best_score:
                best, best_score = i, score
        if best < 0:
            raise ValueError("polygon is not simple: it crosses or touches itself")
        out.append((ring[best - 1], ring[best], ring[(best + 1) % len(ring)]))
        del ring[best]
    out.append((ring[0], ring[1], ring[2]))
    return np.array(out)


def _crosses_itself(poly: Array) -> bool:
    """Whether two sides of a polygon (n, 2) that are not neighbours meet."""
    a, b = poly, np.roll(poly, -1, axis=0)

    def side(p: Array, q: Array, r: Array) -> Array:
        """Sign of r against the line p → q, all (n, n, 2) after broadcasting."""
        d, e = q - p, r - p
        return np.sign(d[..., 0] * e[..., 1] - d[..., 1] * e[..., 0])

    p, q, r, s = a[:, None], b[:, None], a[None], b[None]
    meet = (side(p, q, r) * side(p, q, s) < 0) & (side(r, s, p) * side(r, s, q) < 0)
    gap = np.abs(np.arange(len(poly))[:, None] - np.arange(len(poly))[None])
    apart = (gap > 1) & (gap < len(poly) - 1)
    return bool(np.any(meet & apart))
