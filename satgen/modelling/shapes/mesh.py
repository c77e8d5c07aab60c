"""Shapes, and the patches that they are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class Shape:
    """A triangle mesh with normals and texture coordinates.

    Attributes:
        vertices: (V, 3) float64 metres.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        normals: (V, 3) float64 unit, outward.
        uv: (V, 2) float64, metres on the surface (texture units if `uv_unit`), v up.
        uv_unit: whether `uv` is in texture units already.
        trim: (V,) bool, vertices of pieces that are tape over a seam or an edge's binding, if any.
    """

    vertices: Array
    faces: NDArray[np.int32]
    normals: Array
    uv: Array
    uv_unit: bool = False
    trim: NDArray[np.bool_] | None = None

    @property
    def triangles(self) -> int:
        """Number of triangles."""
        return len(self.faces)

    @property
    def trimmed(self) -> NDArray[np.bool_]:
        """(V,) bool: `trim`, or False for all."""
        return np.zeros(len(self.vertices), dtype=bool) if self.trim is None else self.trim

    @property
    def bounds(self) -> Array:
        """(2, 3) lowest and highest corner of the axis-aligned box."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])

    def translate(self, xyz: ArrayLike) -> Shape:
        """Moved by (3,) metres."""
        return replace(self, vertices=self.vertices + np.asarray(xyz, dtype=float))

    def rotate(
        self, axis: str | ArrayLike, deg: float, about: ArrayLike = (0.0, 0.0, 0.0)
    ) -> Shape:
        """Turned by `deg` degrees, right-handed, about `axis` through the point `about`."""
        rot = rotation(axis, deg)
        pivot = np.asarray(about, dtype=float)
        return replace(
            self,
            vertices=(self.vertices - pivot) @ rot.T + pivot,
            normals=self.normals @ rot.T,
        )

    def scale(self, s: float | ArrayLike) -> Shape:
        """Scaled about the origin by one positive factor, or by (3,) positive factors.

        Under one factor the texture keeps its size in metres (uv grow along); under three it
        stretches with the surface.
        """
        factors = np.broadcast_to(np.asarray(s, dtype=float), (3,))
        if not np.all(factors > 0):
            raise ValueError(f"scale factors must be positive, got {s!r}: use mirror to reflect")
        uniform = bool(np.all(factors == factors[0]))
        uv = self.uv * factors[0] if uniform and not self.uv_unit else self.uv
        return replace(
            self, vertices=self.vertices * factors, normals=unit(self.normals / factors), uv=uv
        )

    def mirror(self, axis: str) -> Shape:
        """Reflected in the plane through the origin across 'x', 'y' or 'z'; stays outward."""
        sign = 1.0 - 2.0 * np.asarray(_AXES[axis])
        return replace(
            self,
            vertices=self.vertices * sign,
            normals=self.normals * sign,
            faces=np.ascontiguousarray(self.faces[:, ::-1]),
            uv=self.uv * np.array([-1.0, 1.0]),
        )

    def aim(self, direction: ArrayLike, roll_deg: float = 0.0) -> Shape:
        """Turned by `roll_deg` about z, then so that its +z points along `direction` (3,)."""
        target = unit(np.asarray(direction, dtype=float))
        shape = self.rotate("z", roll_deg) if roll_deg else self
        axis = np.cross([0.0, 0.0, 1.0], target)
        angle = math.degrees(math.atan2(float(np.linalg.norm(axis)), float(target[2])))
        if np.linalg.norm(axis) < 1e-12:
            axis = np.array([1.0, 0.0, 0.0])
        return shape.rotate(axis, angle)


def rotation(axis: str | ArrayLike, deg: float) -> Array:
    """Rotation matrix (3, 3) about 'x', 'y', 'z' or a vector, right-handed, degrees (Rodrigues)."""
    vector = _AXES[axis] if isinstance(axis, str) else axis
    x, y, z = unit(np.asarray(vector, dtype=float))
    c, s = _cos_sin(deg)
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + s * k + (1.0 - c) * (k @ k))


def _cos_sin(deg: float) -> tuple[float, float]:
    quarter = deg / 90.0
    if quarter == round(quarter):
        return [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][int(quarter) % 4]
    return math.cos(math.radians(deg)), math.sin(math.radians(deg))


def join(*shapes: Shape) -> Shape:
    """All shapes as one (they keep their own closed surfaces)."""
    if not shapes:
        raise ValueError("join needs at least one shape")
    if len({s.uv_unit for s in shapes}) > 1:
        raise ValueError("join cannot mix shapes with uv in metres and in texture units")
    offsets = np.cumsum([0] + [len(s.vertices) for s in shapes[:-1]])
    faces = [s.faces + start for s, start in zip(shapes, offsets, strict=True)]
    trim = None
    if any(s.trim is not None for s in shapes):
        trim = np.concatenate([s.trimmed for s in shapes])
    return Shape(
        np.concatenate([s.vertices for s in shapes]),
        np.concatenate(faces).astype(np.int32),
        np.concatenate([s.normals for s in shapes]),
        np.concatenate([s.uv for s in shapes]),
        shapes[0].uv_unit,
        trim,
    )


def unit(v: Array) -> Array:
    norm = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.asarray(v / np.where(norm > 0, norm, 1.0))


MAX_PIECE = 2.2
"""Metres of surface that may lie on one piece of texture; a larger flat or round side is cut, so
that each piece shows another part of its material."""


def cut_count(length: float) -> int:
    return 1 if length <= MAX_PIECE else math.ceil(length / (0.8 * MAX_PIECE))


def _cuts(t: Array) -> list[int]:
    """Indices into the growing coordinates t (n,) at which to cut, ends included."""
    wanted = np.linspace(t[0], t[-1], cut_count(float(t[-1] - t[0])) + 1)
    return sorted({int(np.argmin(np.abs(t - w))) for w in wanted})


def subdivide(points: Array, closed: bool = True) -> Array:
    """A polyline with points added on sides longer than MAX_PIECE."""
    out = []
    last = len(points) if closed else len(points) - 1
    for k in range(last):
        a, b = points[k], points[(k + 1) % len(points)]
        count = cut_count(float(np.linalg.norm(b - a)))
        out += [a + (b - a) * (m / count) for m in range(count)]
    if not closed:
        out.append(points[-1])
    return np.array(out)


def _bilinear(at: Array) -> Array:
    """Weights (k, 4) of a quadrilateral's corners at (k, 2) positions 0..1."""
    u, v = at[:, 0], at[:, 1]
    return np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=-1)


def planar_uv(points: Array, normal: Array, u_axis: Array, origin: Array | None = None) -> Array:
    u = unit(u_axis - normal * float(u_axis @ normal))
    v = np.cross(normal, u)
    rel = points - (points[0] if origin is None else origin)
    return np.stack([rel @ u, rel @ v], axis=-1)


class Mesh:
    """Collects patches, each with vertices of its own."""

    def __init__(self) -> None:
        self.v: list[Array] = []
        self.n: list[Array] = []
        self.t: list[Array] = []
        self.f: list[NDArray[np.int64]] = []
        self.tape: list[bool] = []
        self.count = 0

    def add(
        self,
        vertices: Array,
        normals: Array,
        uv: Array,
        faces: NDArray[Any],
        tape: bool = False,
    ) -> None:
        self.v.append(np.asarray(vertices, dtype=float).reshape(-1, 3))
        self.n.append(np.asarray(normals, dtype=float).reshape(-1, 3))
        self.t.append(np.asarray(uv, dtype=float).reshape(-1, 2))
        self.f.append(np.asarray(faces, dtype=np.int64).reshape(-1, 3) + self.count)
        self.tape.append(tape)
        self.count += len(self.v[-1])

    def grid(self, points: Array, normals: Array, uv: Array, tape: bool = False) -> None:
        """A patch of (m, n) points: rows along v, columns along u, (u, v, normal) right-handed."""
        m, n = points.shape[:2]
        i = np.arange(m * n).reshape(m, n)
        a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]
        faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)
        faces = faces.reshape(-1, 3)
        flat = points.reshape(-1, 3)
        p, q, r = flat[faces[:, 0]], flat[faces[:, 1]], flat[faces[:, 2]]
        area = np.linalg.norm(np.cross(q - p, r - p), axis=1)
        keep = area > 1e-12
        self.add(flat, normals, uv, faces[keep], tape)

    def pieces(self, points: Array, normals: Array, uv: Array) -> None:
        """A grid whose uv grow along its columns and rows, cut into pieces of at most MAX_PIECE."""
        columns = _cuts(uv[:, :, 0].max(axis=0))
        rows = _cuts(uv[:, :, 1].max(axis=1))
        for r0, r1 in pairwise(rows):
            for c0, c1 in pairwise(columns):
                block = slice(r0, r1 + 1), slice(c0, c1 + 1)
                self.grid(points[block], normals[block], uv[block])

    def quad(
        self,
        corners: Array,
        normals: Array | None = None,
        split: tuple[int, int] = (1, 1),
        tape: bool = False,
    ) -> None:
        """A flat quadrilateral (4, 3), counter-clockwise from outside, u along its first side,
        cut into (along u, along v) pieces."""
        a, b, c, d = corners
        normal = unit(np.cross(c - a, d - b))
        ends = np.broadcast_to(normal, (4, 3)) if normals is None else normals
        tu, tv = (np.arange(k + 1) / k for k in split)
        for v0, v1 in pairwise(tv):
            for u0, u1 in pairwise(tu):
                at = np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]])
                w = _bilinear(at)
                points = w @ corners
                uv = planar_uv(points, normal, b - a)
                self.add(points, w @ ends, uv, np.array([[0, 1, 2], [0, 2, 3]]), tape)

    def polygon(self, points: Array, normal: Array, u_axis: Array, triangles: NDArray[Any]) -> None:
        """A flat polygon, triangulated by `triangles`."""
        self.add(
            points,
            np.broadcast_to(normal, points.shape),
            planar_uv(points, normal, u_axis, origin=np.zeros(3)),
            triangles,
        )

    def shape(self, uv_unit: bool = False) -> Shape:
        v, n, t = np.concatenate(self.v), np.concatenate(self.n), np.concatenate(self.t)
        f = np.concatenate(self.f)
        used = np.unique(f)
        index = np.full(len(v), -1, dtype=np.int64)
        index[used] = np.arange(len(used))
        trim = None
        if any(self.tape):
            trim = np.repeat(self.tape, [len(v) for v in self.v])[used]
        return Shape(v[used], index[f].astype(np.int32), unit(n[used]), t[used], uv_unit, trim)


def unit_circle(segments: int) -> Array:
    """(segments + 1, 2) cosine and sine; the last row equals the first exactly."""
    t = np.arange(segments) * (2.0 * math.pi / segments)
    ring = np.stack([np.cos(t), np.sin(t)], axis=-1)
    ring[np.abs(ring) < 1e-15] = 0.0
    return np.concatenate([ring, ring[:1]])


def fan(n: int) -> NDArray[np.int64]:
    """Triangles of a convex n-gon, split by halves rather than as a fan: no needles."""
    out: list[tuple[int, int, int]] = []
    ring = list(range(n))
    while len(ring) > 3:
        keep = []
        for i in range(0, len(ring), 2):
            keep.append(ring[i])
            if i + 2 < len(ring):
                out.append((ring[i], ring[i + 1], ring[i + 2]))
            elif i + 1 < len(ring):
                out.append((ring[i], ring[i + 1], ring[0]))
        ring = keep
    if len(ring) == 3:
        out.append((ring[0], ring[1], ring[2]))
    return np.array(out)


def corner_normals(points: Array, faces: NDArray[Any], weld: NDArray[Any]) -> Array:
    """Angle-weighted normals (V, 3) of vertices; those with one number in `weld` (V,) share one."""
    tri = points[faces]
    face_n = unit(np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]))
    total = np.zeros((int(weld.max()) + 1, 3))
    for k in range(3):
        a = unit(tri[:, (k + 1) % 3] - tri[:, k])
        b = unit(tri[:, (k + 2) % 3] - tri[:, k])
        angle = np.arccos(np.clip(np.sum(a * b, axis=1), -1.0, 1.0))
        np.add.at(total, weld[faces[:, k]], face_n * angle[:, None])
    return np.asarray(unit(total)[weld])


def faceted(shape: Shape) -> Shape:
    """The shape with every triangle flat-shaded (vertices are no longer shared)."""
    tri = shape.vertices[shape.faces]
    normal = unit(np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]))
    corner = shape.faces.reshape(-1)
    faces = np.arange(len(corner), dtype=np.int32).reshape(-1, 3)
    normals = np.repeat(normal, 3, axis=0)
    trim = None if shape.trim is None else shape.trim[corner]
    return Shape(tri.reshape(-1, 3), faces, normals, shape.uv[corner], shape.uv_unit, trim)


def positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")
