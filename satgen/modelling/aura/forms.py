"""Shapes that only Aura needs, made from the kit's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from satgen.modelling import shapes as sh
from satgen.modelling.shapes import Shape


def paraboloid(
    width: float,
    height: float,
    focal: float,
    offset: float,
    thickness: float = 0.02,
    segments: int = 36,
    rings: int = 6,
) -> Shape:
    """A piece of a true paraboloid of revolution with an elliptic rim, a closed shell.

    `width` along x, `height` along y, metres; the parabola's axis is `offset` from the centre
    along -x and the beam goes along +z. The centre of the front is the origin.
    """
    flat = sh.elliptic_dish(width, height, 1e-9, thickness, segments, rings)
    k = 0.25 / focal
    x, y, z = flat.vertices.T
    rise = k * ((x + offset) ** 2 - offset**2 + y**2)
    front = np.stack([-2 * k * (x + offset), -2 * k * y, np.ones_like(x)], axis=-1)
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    side = np.sign(np.round(flat.normals[:, 2], 3))[:, None]
    normals = np.where(side == 0, flat.normals, front * side)
    return replace(flat, vertices=np.stack([x, y, z + rise], axis=-1), normals=normals)


def rib(
    spine: list[tuple[float, float, float]],
    way: tuple[float, float, float],
    depth: float,
    thickness: float,
) -> Shape:
    """A thin blade along a polyline, closed.

    Args:
        spine: (n >= 2) points of the middle of its edge.
        way: direction, of any length, in which it stands off from that edge; it is `depth` deep.
        depth, thickness: metres.
    """
    points = np.asarray(spine, dtype=float)
    down = np.asarray(way, dtype=float) / float(np.linalg.norm(way)) * depth
    along = np.gradient(points, axis=0)
    side = np.cross(along, down)
    side *= 0.5 * thickness / np.linalg.norm(side, axis=1, keepdims=True)
    section = np.stack([points - side, points + side, points + side + down, points - side + down])
    mesh = sh.Mesh()
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    for k in range(4):
        wall = np.stack([section[k], section[(k + 1) % 4]])
        across = float(np.linalg.norm(wall[1, 0] - wall[0, 0]))
        uv = np.stack(np.broadcast_arrays(run[None, :], np.array([[0.0], [across]])), axis=-1)
        normal = np.cross(along, wall[1] - wall[0])
        normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        mesh.grid(wall, np.stack([normal, normal]), uv)
    for end, order in ((0, (0, 1, 2, 3)), (-1, (3, 2, 1, 0))):
        mesh.quad(section[list(order), end])
    return mesh.shape()


def bell_nozzle(throat_r: float, exit_r: float, length: float) -> Shape:
    """A small thruster's bell, hollow, throat at z = 0, opening toward +z; few triangles."""
    t, mid = 0.006, 0.6 * exit_r + 0.4 * throat_r
    profile = [
        (0.0, 0.0),
        (throat_r + t, 0.0),
        (mid + t, 0.4 * length),
        (exit_r + t, length),
        (exit_r, length),
        (mid, 0.4 * length),
        (throat_r, t),
        (0.0, t),
    ]
    return sh.revolve(profile, 12)


def rect_tube(width: float, height: float, depth: float, wall: float) -> Shape:
    """A rectangular barrel along z, open at both ends: four mitred walls. Outer sizes."""
    w, h = width / 2.0, height / 2.0
    corners = [(-w, -h), (w, -h), (w, h), (-w, h)]
    inner = [
        (-w + wall, -h + wall),
        (w - wall, -h + wall),
        (w - wall, h - wall),
        (-w + wall, h - wall),
    ]
    walls = []
    for k in range(4):
        m = (k + 1) % 4
        walls.append(sh.prism([corners[k], corners[m], inner[m], inner[k]], depth))
    return sh.join(*walls)


def open_box(width: float, height: float, depth: float, wall: float) -> Shape:
    """A box without its lid, open toward +z, centred. Outer sizes."""
    floor = sh.box((width - 1.2 * wall, height - 1.2 * wall, wall))
    return sh.join(
        rect_tube(width, height, depth, wall),
        floor.translate((0.0, 0.0, -depth / 2.0 + wall / 2.0 + 0.006)),
    )


def smooth_skin(shape: Shape) -> Shape:
    """The shape with its texture drawn eight times larger: paint without seams or rivets."""
    return replace(shape, uv=shape.uv / 8.0)


def bolts(points: list[tuple[float, float, float]], radius: float, direction: str = "z") -> Shape:
    """Short studs, 3 radii long, centred on points and lying along an axis."""
    one = sh.cylinder(radius, 3.0 * radius, 6)
    if direction == "x":
        one = one.rotate("y", 90.0)
    elif direction == "y":
        one = one.rotate("x", 90.0)
    return sh.join(*(one.translate(p) for p in points))


def facing(shape: Shape, side: str) -> Shape:
    """A shape that faces +z turned to face another axis: '+x', '-x', '+y', '-y', '-z' or '+z'.

    Its local x lies along the target's x (y for the faces across x).
    """
    if side == "+y":
        return shape.rotate("x", -90.0)
    if side == "-y":
        return shape.rotate("x", 90.0)
    if side == "-z":
        return shape.rotate("x", 180.0)
    if side == "+x":
        return shape.rotate("z", -90.0).rotate("y", 90.0)
    if side == "-x":
        return shape.rotate("z", 90.0).rotate("y", -90.0)
    return shape
