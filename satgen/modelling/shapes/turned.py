"""Solids of revolution: barrels, cones, spheres, thrusters, light baffles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from satgen.modelling.shapes.mesh import (
    Array,
    Mesh,
    Shape,
    fan,
    positive,
    subdivide,
    unit,
    unit_circle,
)
from satgen.modelling.shapes.solids import _area2


def revolve(
    profile: Sequence[tuple[float, float]], segments: int = 32, smooth_deg: float = 30.0
) -> Shape:
    """A solid of revolution about z.

    Args:
        profile: points (r, z) with r >= 0 around the section, either winding; closed by itself.
            Edges that lie on the axis add nothing.
        segments: around the axis.
        smooth_deg: where the profile turns by more, the edge is hard.
    """
    pts = np.asarray(profile, dtype=float)
    if pts.ndim != 2 or len(pts) < 3 or pts.shape[1] != 2:
        raise ValueError(f"profile must be (n >= 3, 2), got shape {pts.shape}")
    if np.any(pts[:, 0] < 0):
        raise ValueError("profile has a negative radius")
    step = np.linalg.norm(np.roll(pts, -1, axis=0) - pts, axis=1)
    pts = pts[step > 1e-9]
    if _area2(pts) < 0:
        pts = pts[::-1]
    pts = _subdivide_walls(pts)
    n = len(pts)
    edge = np.roll(pts, -1, axis=0) - pts
    length = np.linalg.norm(edge, axis=1)
    normal = unit(np.stack([edge[:, 1], -edge[:, 0]], axis=-1))
    on_axis = (pts[:, 0] < 1e-9) & (np.roll(pts[:, 0], -1) < 1e-9)
    cos_limit = math.cos(math.radians(smooth_deg))
    to_axis = np.minimum(pts[:, 0], np.roll(pts[:, 0], -1)) < 1e-9
    cap = to_axis & (np.abs(edge[:, 1]) < 1e-12)

    def smooth(k: int) -> bool:
        """Whether edges k - 1 and k are shaded as one surface; a flat end never is."""
        before = (k - 1) % n
        if on_axis[before] or on_axis[k] or cap[before] or cap[k]:
            return False
        return bool(normal[before] @ normal[k] > cos_limit)

    breaks = [k for k in range(n) if not smooth(k)]
    start = breaks[0] if breaks else 0
    ring = unit_circle(segments)
    mesh = Mesh()
    k = start
    done = 0
    while done < n:
        run = [k % n]
        while done + len(run) < n and smooth((k + len(run)) % n):
            run.append((k + len(run)) % n)
        done += len(run)
        k += len(run)
        if on_axis[run[0]]:
            continue
        ends: list[Array | None] = [None, None]
        for side, (mine, other) in enumerate(
            ((run[0], (run[0] - 1) % n), (run[-1], (run[-1] + 1) % n))
        ):
            if cap[other] and normal[mine] @ normal[other] > cos_limit:
                ends[side] = normal[other]  # a chamfer bends into the flat end
        _revolve_run(mesh, pts, normal * length[:, None], run, ring, not breaks, ends)
    return mesh.shape()


def _subdivide_walls(pts: Array) -> Array:
    """A profile with points added on long sides that are neither flat caps nor on the axis."""
    out = []
    for k in range(len(pts)):
        a, b = pts[k], pts[(k + 1) % len(pts)]
        plain = abs(a[1] - b[1]) < 1e-12 or max(a[0], b[0]) < 1e-9
        out.append(subdivide(np.stack([a, b]), closed=False)[:-1] if not plain else a[None])
    return np.concatenate(out)


def _revolve_run(
    mesh: Mesh,
    pts: Array,
    normal: Array,
    run: list[int],
    ring: Array,
    closed: bool,
    ends: list[Array | None],
) -> None:
    """Edges `run` of a profile as one smooth surface.

    `normal` (n, 2) of the edges is as long as they are, so that where two meet the longer one
    has the say; `closed`: the run goes all the way round; `ends`: normals for its two borders.
    """
    n = len(pts)
    idx = [*run, (run[-1] + 1) % n]
    rz = pts[idx]
    nr = np.empty((len(idx), 2))
    for m in range(len(idx)):
        if m == 0:
            pair = (run[-1], run[0]) if closed else (run[0], run[0])
        elif m == len(run):
            pair = (run[-1], run[0]) if closed else (run[-1], run[-1])
        else:
            pair = (run[m - 1], run[m])
        nr[m] = unit(normal[pair[0]] + normal[pair[1]])
    nr[0] = nr[0] if ends[0] is None else ends[0]
    nr[-1] = nr[-1] if ends[1] is None else ends[1]
    cos, sin = ring[:, 0], ring[:, 1]
    flat = len(run) == 1 and abs(rz[0, 1] - rz[1, 1]) < 1e-12
    if flat and min(rz[0, 0], rz[1, 0]) < 1e-9:
        r, z, up = float(max(rz[:, 0])), float(rz[0, 1]), math.copysign(1.0, float(nr[0, 1]))
        pts3 = np.stack([r * cos[:-1], r * sin[:-1], np.full(len(cos) - 1, z)], axis=-1)
        tri = fan(len(pts3))
        axes = np.array([[0.0, 0.0, up], [up, 0.0, 0.0]])
        mesh.polygon(pts3, axes[0], axes[1], tri if up > 0 else tri[:, ::-1])
        return
    points = np.empty((len(idx), len(ring), 3))
    points[..., 0] = rz[:, 0:1] * cos
    points[..., 1] = rz[:, 0:1] * sin
    points[..., 2] = rz[:, 1:2]
    nrm = np.empty_like(points)
    nrm[..., 0] = nr[:, 0:1] * cos
    nrm[..., 1] = nr[:, 0:1] * sin
    nrm[..., 2] = nr[:, 1:2]
    if flat:
        up = math.copysign(1.0, float(nr[0, 1]))
        uv = np.stack([points[..., 0] * up, points[..., 1]], axis=-1)
        mesh.grid(points, nrm, uv)
        return
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(normal[run], axis=1))])
    first, last = _poles(rz[:, 0], s)
    if first:
        _pole(mesh, points[: first + 1], nrm[: first + 1], s[: first + 1], ring, -1.0)
    if first < last:
        rows = slice(first, last + 1)
        around = np.arange(len(ring)) * (2 * math.pi * float(rz[rows, 0].max()) / (len(ring) - 1))
        uv = np.stack(np.broadcast_arrays(around[None, :], s[rows, None]), axis=-1)
        mesh.pieces(points[rows], nrm[rows], uv)
    if last < len(s) - 1:
        _pole(mesh, points[last:], nrm[last:], s[-1] - s[last:], ring, 1.0)


POLE_STRETCH = 1.7
"""How much longer a meridian may be than the radius that it reaches, for the surface around a pole
to wear one round piece of texture: that of a hemisphere is pi/2."""


def _poles(radius: Array, s: Array) -> tuple[int, int]:
    """The rows at which the round pieces about the first and about the last pole end.

    Args:
        radius: of every row of a run; s: its length along the meridian, metres.
    """
    rows = len(s)
    first, last = 0, rows - 1
    if radius[0] < 1e-9:
        inside = s <= POLE_STRETCH * radius
        first = next((k for k in range(1, rows) if not inside[k]), rows) - 1
    if radius[-1] < 1e-9:
        inside = s[-1] - s <= POLE_STRETCH * radius
        last = next((k for k in range(rows - 2, -1, -1) if not inside[k]), -1) + 1
    if first > last:
        first = last = int(np.argmin(np.abs(s - 0.5 * s[-1])))
    return first, last


def _pole(mesh: Mesh, points: Array, normals: Array, s: Array, ring: Array, up: float) -> None:
    """A cap of a surface of revolution as one round piece of texture, without pinch or seam.

    `s` is each row's distance from the pole along the meridian, metres; `up` 1 where the pole is
    above its rim, -1 below: seen from outside, x then runs to the left.
    """
    uv = s[:, None, None] * ring[None] * np.array([up, 1.0])
    mesh.grid(points, normals, uv)


def cylinder(
    radius: float, height: float, segments: int = 32, bevel: float = 0.0, caps: bool = True
) -> Shape:
    """A cylinder; `bevel` chamfers both rims. `caps=False` gives a thin open barrel instead."""
    return cone(radius, radius, height, segments, caps, bevel)


def cone(
    r_bottom: float,
    r_top: float,
    height: float,
    segments: int = 32,
    caps: bool = True,
    bevel: float = 0.0,
) -> Shape:
    """A cone or frustum, bottom at -height/2; one radius may be 0. `caps=False`: an open shell,
    2 % of the larger radius thick (at least 4 mm where there is room)."""
    positive(height=height, radius=max(r_bottom, r_top))
    z = height / 2.0
    if not caps:
        t = min(max(0.02 * max(r_bottom, r_top), 0.004), 0.5 * max(r_bottom, r_top))
        inner = [(max(r_top - t, 0.0), z), (max(r_bottom - t, 0.0), -z)]
        return revolve([(r_bottom, -z), (r_top, z), *inner], segments)
    b = min(bevel, 0.45 * height)
    profile: list[tuple[float, float]] = [(0.0, -z)]
    for r, s in ((r_bottom, -1.0), (r_top, 1.0)):
        if r <= 0:
            continue
        br = min(b, 0.45 * r)
        ends = [(r - br, s * z), (r, s * (z - b))] if br > 0 else [(r, s * z)]
        profile += ends if s < 0 else ends[::-1]
    profile.append((0.0, z))
    return revolve(profile, segments, smooth_deg=50.0 if b > 0 else 30.0)


def tube(r_outer: float, r_inner: float, height: float, segments: int = 32) -> Shape:
    """An open barrel with a wall; its inside is drawn."""
    positive(height=height, r_inner=r_inner, wall=r_outer - r_inner)
    z = height / 2.0
    return revolve([(r_inner, -z), (r_outer, -z), (r_outer, z), (r_inner, z)], segments)


def ring(radius: float, section_radius: float, segments: int = 32, sides: int = 8) -> Shape:
    """A torus around z."""
    t = np.arange(sides) * (2 * math.pi / sides)
    section_r = radius + section_radius * np.cos(t)
    section = [
        (float(a), float(b)) for a, b in zip(section_r, section_radius * np.sin(t), strict=True)
    ]
    return revolve(section, segments, smooth_deg=100.0)


def sphere(radius: float, segments: int = 24, rings: int = 12) -> Shape:
    """A sphere."""
    positive(radius=radius)
    t = np.arange(rings + 1) * (math.pi / rings)
    profile = [(radius * math.sin(a), -radius * math.cos(a)) for a in t]
    profile[0], profile[-1] = (0.0, -radius), (0.0, radius)
    return _radial(revolve(profile, segments, smooth_deg=100.0), 0.0)


def hemisphere(radius: float, segments: int = 24, rings: int = 6) -> Shape:
    """The upper half of a sphere, closed by a disc at z = 0."""
    positive(radius=radius)
    t = np.arange(rings + 1) * (0.5 * math.pi / rings)
    profile = [(radius * math.cos(a), radius * math.sin(a)) for a in t]
    profile[0], profile[-1] = (radius, 0.0), (0.0, radius)
    return _radial(revolve([(0.0, 0.0), *profile], segments, smooth_deg=60.0), 1e-9)


def _radial(shape: Shape, above: float) -> Shape:
    """Exact normals of a sphere for the vertices whose normal is not straight down."""
    dome = shape.normals[:, 2] > -0.999 if above > 0 else np.ones(len(shape.normals), dtype=bool)
    normals = np.where(dome[:, None], unit(shape.vertices), shape.normals)
    return replace(shape, normals=normals)


def nozzle(
    throat_r: float, exit_r: float, length: float, segments: int = 24, wall: float | None = None
) -> Shape:
    """A bell thruster: throat at z = 0, opening at z = `length` toward +z, hollow and closed at the
    throat."""
    positive(throat_r=throat_r, length=length, flare=exit_r - throat_r)
    w = 0.06 * exit_r if wall is None else wall
    steps = np.linspace(0.0, 1.0, 7)
    bell = throat_r + (exit_r - throat_r) * (1.0 - (1.0 - steps) ** 1.7)
    inner = [(float(r), float(w + (length - w) * s)) for r, s in zip(bell, steps, strict=True)]
    outer = [(float(r + w), float(length * s)) for r, s in zip(bell, steps, strict=True)]
    return revolve([(0.0, 0.0), *outer, *inner[::-1], (0.0, w)], segments, smooth_deg=35.0)


def baffle(
    radius: float,
    length: float,
    vanes: int = 3,
    segments: int = 24,
    wall: float = 0.004,
    flare: float = 1.0,
) -> Shape:
    """A light baffle of a star tracker or camera: hollow, with ring vanes inside; opens toward +z.

    The bottom (closed) is at z = 0. `flare`: radius at the mouth over `radius` at the bottom.
    """
    positive(radius=radius, length=length, wall=wall, flare=flare)

    def outer(z: float) -> float:
        return radius * (1.0 + (flare - 1.0) * z / length)

    profile = [(0.0, 0.0), (radius, 0.0), (outer(length), length), (outer(length) - wall, length)]
    t = min(wall, 0.2 * length / max(vanes, 1))
    for k in range(vanes, 0, -1):
        z = length * k / (vanes + 1)
        lip = 0.78 * outer(z)
        profile += [(outer(z + t) - wall, z + t), (lip, z + t / 2), (outer(z) - wall, z)]
    profile += [(radius - wall, wall), (0.0, wall)]
    return revolve(profile, segments)
