"""Baking the light between a target's parts: rays cast once, for `satgen.interreflection`.

A target's surface is divided into receivers by place, direction, part and material; from points of
each, rays find which other receivers lie around it and how much of the sun it sees. Embree casts
them (the extra `verify`). The same model gives the same bytes on the same machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.colour import srgb_decode
from satgen.geometry import Floats
from satgen.installed import require
from satgen.interreflection import (
    BINS,
    LEAF,
    SKY,
    SUNS,
    BakedLight,
    cells,
    frames,
    hemisphere,
    light_key,
    sphere,
    triangle,
)
from satgen.model import Material, TargetModel

RECEIVERS = 5000
"""Receivers that a target is divided into, at most, if its parts and materials allow."""

MAX_LEVEL = 48
"""Steps along a face's longest side at most."""

MIRRORED = 2048
"""Faces that mirrors show, the largest of a target."""

_FACE_COST = 1.5  # of testing a face, where a box costs 1
_POINTS = 4  # points of a receiver that look at the sun
_BURIED = 0.5  # share of rays that meet the back of a surface from inside a closed body
_CHUNK = 400_000


@dataclass(frozen=True)
class _Lattice:
    """Nodes of all faces and the points around them that stand for the surface there.

    Attributes:
        levels: (F,) steps along a side.
        node_xyz, node_normal: (L, 3); node_face: (L,) face of each.
        point_xyz, point_normal: (P, 3), unit normals of the faces; point_node: (P,).
        point_area: (P,) square metres.
    """

    levels: NDArray[np.int64]
    node_xyz: Floats
    node_normal: Floats
    node_face: NDArray[np.int64]
    point_xyz: Floats
    point_normal: Floats
    point_node: NDArray[np.int64]
    point_area: Floats


def bake(model: TargetModel, receivers: int = RECEIVERS, seed: int = 0) -> BakedLight:
    """Find how light goes between the parts of a target.

    Args:
        model: the target.
        receivers: how many to divide it into, at most, if its parts and materials allow.
        seed: of the rays.

    Raises:
        InputError: Embree is not installed.
    """
    require("baking the light between parts", "embreex")
    rng = np.random.Generator(np.random.PCG64(seed))
    lattice, owner = _divide(model, receivers)
    caster = _Caster(model)
    owner = _without_buried(lattice, owner, caster, rng)
    # Receiver 0 is dark; points that are buried belong to it and have no say.
    point_owner = owner[lattice.point_node]
    keep = np.flatnonzero(caster.open(lattice.point_xyz, lattice.point_normal, rng))
    keep = keep[np.argsort(point_owner[keep], kind="stable")]
    points = _Points(
        lattice.point_xyz[keep],
        lattice.point_normal[keep],
        lattice.point_area[keep],
        np.searchsorted(point_owner[keep], np.arange(int(owner.max()) + 2)),
    )
    normals = points.mean_normals()
    hits = _look_around(points, normals, caster, lattice, owner, rng)
    sunlit = _look_at_the_sun(points, caster, rng)
    order, tree = _tree(model)
    reflectance = np.array([mean_albedo(m) for m in model.materials], dtype=np.float32)
    material = np.zeros(len(normals), dtype=np.int64)
    material[owner] = model.face_material[lattice.node_face]
    albedo = reflectance[material]
    if model.colours is not None:
        dark = [mean_albedo(replace(m, base_color=(0.0, 0.0, 0.0))) for m in model.materials]
        under = np.array(dark, dtype=np.float32)[material]
        tint = _tints(model.colours, model.faces, lattice.node_face, owner, len(normals))
        albedo = under + tint * (albedo - under)
    albedo[0] = 0.0
    return BakedLight(
        key=light_key(model),
        levels=lattice.levels.astype(np.uint8),
        nodes=owner.astype(np.uint16),
        normals=normals.astype(np.float32),
        albedo=albedo,
        hits=hits,
        order=order,
        tree=tree,
        sunlit=sunlit,
    )


def _tints(
    colours: NDArray[np.float32],
    faces: NDArray[np.int32],
    node_face: NDArray[np.int64],
    owner: NDArray[np.int64],
    receivers: int,
) -> NDArray[np.float32]:
    """Mean colour (N, 3) of the vertices about each receiver's nodes; white where it has none."""
    of_node = colours[faces][..., :3].mean(axis=1)[node_face]
    count = np.bincount(owner, minlength=receivers)
    sums = [np.bincount(owner, of_node[:, k], minlength=receivers) for k in range(3)]
    mean = np.stack(sums, axis=1) / np.maximum(count, 1)[:, None]
    return np.where(count[:, None] > 0, mean, 1.0).astype(np.float32)


def mean_albedo(material: Material) -> tuple[float, float, float]:
    """Share of the light that a material sends back, linear RGB, over its texture's mean.

    A metal's is its colour; of another's the surface sends back 9 %, Fresnel's mean over the
    hemisphere at a refractive index of 1.5, and the rest of it meets the colour beneath.
    """
    base = np.asarray(material.base_color, dtype=np.float64)
    metallic = np.asarray(material.metallic, dtype=np.float64)
    if material.metallic_roughness_image is not None:
        metallic = metallic * (material.metallic_roughness_image[..., 2:] / 255.0)
    if material.base_color_image is not None:
        base = base * srgb_decode(np.arange(256) / 255.0)[material.base_color_image]
        if metallic.ndim and metallic.shape[:2] != base.shape[:2]:
            metallic = metallic.mean()
    sent = metallic * base + (1.0 - metallic) * (0.09 + 0.91 * base)
    red, green, blue = np.minimum(sent.reshape(-1, 3).mean(axis=0), 0.98)
    return float(red), float(green), float(blue)


def _tree(model: TargetModel) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """`BakedLight.order` and `BakedLight.tree`, by the surface-area heuristic (MacDonald and Booth,
    The Visual Computer 1990)."""
    corners = model.vertices[model.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    largest = np.argsort(-np.linalg.norm(cross, axis=1), kind="stable")[:MIRRORED]
    low, high = corners[largest].min(axis=1), corners[largest].max(axis=1)
    order: list[int] = []
    tree: list[list[int]] = []

    def grow(faces: NDArray[np.int64]) -> None:
        row = [len(order), len(order) + len(faces), 0]
        tree.append(row)
        halves = _split(low[faces], high[faces]) if len(faces) > 1 else None
        if halves is None:
            order.extend(faces.tolist())
        else:
            grow(faces[halves[0]])
            grow(faces[halves[1]])
        row[2] = len(tree)

    grow(np.arange(len(largest)))
    return largest[order].astype(np.uint32), np.array(tree, dtype=np.uint32)


def _split(low: Floats, high: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The cheapest halves of boxes (N, 3), or None where testing all of them is cheaper."""

    def area(low: Floats, high: Floats) -> Floats:
        x, y, z = np.moveaxis(high - low, -1, 0)
        return np.asarray(x * y + y * z + z * x)

    count = len(low)
    best = float(_FACE_COST * count) if count <= LEAF else np.inf
    found = None
    whole = float(area(low.min(axis=0), high.max(axis=0))) + 1e-12
    for axis in range(3):
        by = np.argsort(low[:, axis] + high[:, axis], kind="stable")
        up = area(np.minimum.accumulate(low[by]), np.maximum.accumulate(high[by]))
        down = area(np.minimum.accumulate(low[by][::-1]), np.maximum.accumulate(high[by][::-1]))[
            ::-1
        ]
        n = np.arange(1, count)
        cost = 2.0 + _FACE_COST * (up[:-1] * n + down[1:] * (count - n)) / whole
        at = int(np.argmin(cost))
        if cost[at] < best:
            best, found = float(cost[at]), (by[: at + 1], by[at + 1 :])
    return found


# --- receivers ------------------------------------------------------------------------------------


def _divide(model: TargetModel, wanted: int) -> tuple[_Lattice, NDArray[np.int64]]:
    """Lattice of a model and the receiver (L,), from 1, of each of its nodes."""
    _, radius = model.bounding_sphere
    size = radius / 40.0
    while True:
        lattice = _lattice(model, size)
        owner, count = _grouped(model, lattice, size)
        # Beyond the target's own size nothing more merges.
        if count <= wanted or size > 2.0 * radius:
            break
        size *= 1.2
    if count >= 65_000:
        owner = np.minimum(owner, 65_000)
    return lattice, owner


def _lattice(model: TargetModel, size: float) -> _Lattice:
    corners = model.vertices[model.faces]
    normals = model.normals[model.faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(cross, axis=1)
    flat = cross / np.maximum(doubled, 1e-300)[:, None]
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).max(axis=1)
    levels = np.clip(np.ceil(sides / size), 1, MAX_LEVEL).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum((levels + 1) * (levels + 2) // 2)])
    xyz, shading = np.empty((starts[-1], 3)), np.empty((starts[-1], 3))
    face_of = np.empty(starts[-1], dtype=np.int64)
    points: list[tuple[Any, ...]] = []
    for n in np.unique(levels):
        chosen = np.flatnonzero(levels == n)
        at, small = triangle(int(n))
        slots = starts[chosen][:, None] + np.arange(len(at))
        xyz[slots] = np.einsum("nk,fkx->fnx", at, corners[chosen])
        shading[slots] = np.einsum("nk,fkx->fnx", at, normals[chosen])
        face_of[slots] = chosen[:, None]
        # Three points a small triangle, each nearest to one of its corners.
        inner = np.full((3, 3), 1.0 / 6.0) + 0.5 * np.eye(3)
        where = np.einsum("pk,tkb->tpb", inner, at[small]).reshape(-1, 3)
        points.append(
            (
                np.einsum("nk,fkx->fnx", where, corners[chosen]).reshape(-1, 3),
                np.repeat(flat[chosen], len(where), axis=0),
                (starts[chosen][:, None] + small.reshape(-1)).reshape(-1),
                np.repeat(doubled[chosen] / (6.0 * n * n), len(where)),
            )
        )
    shading /= np.maximum(np.linalg.norm(shading, axis=1, keepdims=True), 1e-12)
    joined = [np.concatenate(part) for part in zip(*points, strict=True)]
    return _Lattice(levels, xyz, shading, face_of, *joined)


def _grouped(model: TargetModel, lattice: _Lattice, size: float) -> tuple[NDArray[np.int64], int]:
    """Receiver (L,), from 1, of each node, and how many there are."""
    face = lattice.node_face
    centre, _ = model.bounding_sphere
    keys = np.column_stack(
        [
            model.face_part[face],
            model.face_material[face],
            np.rint(lattice.node_normal * 1.4),
            np.rint((lattice.node_xyz - centre) / (0.5 * size) + 1e-4),
        ]
    ).astype(np.int64)
    _, owner = np.unique(keys, axis=0, return_inverse=True)
    owner = owner.reshape(-1)
    return owner + 1, int(owner.max()) + 1


# --- rays -----------------------------------------------------------------------------------------


class _Caster:
    """Embree's scene of a model, about its centre."""

    def __init__(self, model: TargetModel) -> None:
        from embreex import rtcore_scene
        from embreex.mesh_construction import TriangleMesh

        self.centre, self.radius = model.bounding_sphere
        self.corners = model.vertices[model.faces] - self.centre
        self.edges = (
            self.corners[:, 1] - self.corners[:, 0],
            self.corners[:, 2] - self.corners[:, 0],
        )
        self.cross = np.cross(*self.edges)
        double = np.array([m.double_sided for m in model.materials], dtype=bool)
        self.double_sided = double[model.face_material]
        self.lift = 2e-6 * self.radius + 1e-5
        self._scene = rtcore_scene.EmbreeScene(robust=True)
        self._mesh = TriangleMesh(self._scene, self.corners.astype(np.float32))

    def first(self, origins: Floats, directions: Floats) -> NDArray[np.int64]:
        """Face (N,) that rays from points (target frame) meet first, or -1."""
        out = np.empty(len(origins), dtype=np.int64)
        for k in range(0, len(origins), _CHUNK):
            part = slice(k, k + _CHUNK)
            out[part] = self._scene.run(
                self.placed(origins[part]),
                np.ascontiguousarray(directions[part], dtype=np.float32),
            )
        return out

    def placed(self, xyz: Floats) -> NDArray[np.float32]:
        """Points of the target frame as Embree's scene has them."""
        return np.asarray(xyz - self.centre, dtype=np.float32)

    def blocked(
        self, placed: NDArray[np.float32], direction: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Whether anything lies in one direction (3,) of points that are `placed`."""
        directions = np.ascontiguousarray(np.broadcast_to(direction, placed.shape))
        found: NDArray[np.bool_] = self._scene.run(placed, directions, query="OCCLUDED") >= 0
        return found

    def from_behind(self, face: NDArray[np.int64], directions: Floats) -> NDArray[np.bool_]:
        """Whether rays meet the faces from inside a closed body."""
        along = np.einsum("ij,ij->i", self.cross[face], directions)
        behind: NDArray[np.bool_] = (face >= 0) & (along > 0.0) & ~self.double_sided[face]
        return behind

    def open(self, xyz: Floats, normal: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which points of a surface are not inside a closed body."""
        inside = np.zeros(len(xyz))
        rounds = 8
        for _ in range(rounds):
            direction = normal + 0.98 * _unit(rng, len(xyz))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            face = self.first(xyz + self.lift * normal, direction)
            inside += self.from_behind(face, direction)
        return inside <= _BURIED * rounds

    def barycentric(
        self, face: NDArray[np.int64], origins: Floats, directions: Floats
    ) -> tuple[Floats, Floats]:
        """Coordinates along a face's two edges of where lines cross its plane."""
        start = origins - self.centre - self.corners[face, 0]
        cross, e1, e2 = self.cross[face], self.edges[0][face], self.edges[1][face]
        along = np.einsum("ij,ij->i", cross, directions)
        along[along == 0.0] = 1e-300
        t = -np.einsum("ij,ij->i", cross, start) / along
        at = start + t[:, None] * directions
        square = np.maximum(np.einsum("ij,ij->i", cross, cross), 1e-300)
        u = np.einsum("ij,ij->i", np.cross(at, e2), cross) / square
        v = np.einsum("ij,ij->i", np.cross(e1, at), cross) / square
        return u, v


def _unit(rng: np.random.Generator, count: int) -> Floats:
    """Unit vectors (count, 3), uniform."""
    v: Floats = rng.standard_normal((count, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return v


def _without_buried(
    lattice: _Lattice, owner: NDArray[np.int64], caster: _Caster, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Owners without receivers that lie inside closed bodies: their nodes, which interpolation
    still reads, go to the nearest of the others that faces alike."""
    from scipy.spatial import cKDTree

    is_open = caster.open(lattice.point_xyz, lattice.point_normal, rng)
    visible = np.zeros(int(owner.max()) + 1, dtype=bool)
    visible[owner[lattice.point_node[is_open]]] = True
    bad = ~visible[owner]
    if bad.any() and not bad.all():
        # Direction counts as distance does: a receiver that faces away is far.
        weight = 0.5 * caster.radius
        place = np.column_stack([lattice.node_xyz, weight * lattice.node_normal])
        tree = cKDTree(place[~bad])
        owner = owner.copy()
        owner[bad] = owner[~bad][tree.query(place[bad])[1]]
    _, owner = np.unique(owner, return_inverse=True)
    return np.asarray(owner.reshape(-1) + 1, dtype=np.int64)


@dataclass(frozen=True)
class _Points:
    """Points of the receivers: receiver r has those from starts[r] up to starts[r + 1].

    Attributes:
        xyz, normal: (P, 3); area: (P,); starts: (N + 1,).
    """

    xyz: Floats
    normal: Floats
    area: Floats
    starts: NDArray[np.int64]

    @property
    def receivers(self) -> int:
        return len(self.starts) - 1

    @property
    def filled(self) -> NDArray[np.int64]:
        """Receivers that have points: all but 0."""
        return np.flatnonzero(np.diff(self.starts) > 0)

    def _sum(self, values: Floats) -> Floats:
        """Sums (N, 3) of values of the points (P, 3) by area."""
        owner = np.repeat(np.arange(self.receivers), np.diff(self.starts))
        columns = (v * self.area for v in values.T)
        return np.stack([np.bincount(owner, v, minlength=self.receivers) for v in columns], axis=1)

    def mean_normals(self) -> Floats:
        """(N, 3) unit; +z where the sum vanishes."""
        total = self._sum(self.normal)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return np.where(length > 1e-12, total / np.maximum(length, 1e-300), (0.0, 0.0, 1.0))

    def draw(self, receivers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """A random point of each of some receivers (with points), by area."""
        total = np.concatenate([[0.0], np.cumsum(self.area)])
        low, high = total[self.starts[receivers]], total[self.starts[receivers + 1]]
        at = np.searchsorted(total, low + rng.random(len(receivers)) * (high - low), "right") - 1
        clipped = np.clip(at, self.starts[receivers], self.starts[receivers + 1] - 1)
        return np.asarray(clipped, dtype=np.int64)


def _look_around(
    points: _Points,
    normals: Floats,
    caster: _Caster,
    lattice: _Lattice,
    owner: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """`BakedLight.hits`."""
    axes = frames(normals)
    middle, half = cells(BINS).reshape(-1, 2), 1.0 / BINS
    hits = np.full((points.receivers, BINS * BINS), SKY, dtype=np.uint16)
    start = np.concatenate([[0], np.cumsum((lattice.levels + 1) * (lattice.levels + 2) // 2)[:-1]])
    filled = points.filled
    step = max(1, _CHUNK // (BINS * BINS))
    for k in range(0, len(filled), step):
        chosen = filled[k : k + step]
        jitter = (rng.random((len(chosen), BINS * BINS, 2)) * 2.0 - 1.0) * half
        local = hemisphere(middle + jitter)
        direction = np.einsum("rbk,rkx->rbx", local, axes[chosen]).reshape(-1, 3)
        receiver = np.repeat(chosen, BINS * BINS)
        at = points.draw(receiver, rng)
        for _ in range(3):  # of a curved receiver, a point from which the direction is free
            low = np.flatnonzero(np.einsum("ij,ij->i", points.normal[at], direction) <= 0.0)
            if len(low):
                at[low] = points.draw(receiver[low], rng)
        normal = points.normal[at]
        free = np.einsum("ij,ij->i", normal, direction) > 0.0
        origin = points.xyz[at] + caster.lift * normal
        face = np.full(len(at), -1, dtype=np.int64)
        face[free] = caster.first(origin[free], direction[free])
        met = np.flatnonzero(face >= 0)
        seen = face[met]
        u, v = caster.barycentric(seen, origin[met], direction[met])
        found = owner[start[seen] + _nearest_node(u, v, lattice.levels[seen])]
        found[caster.from_behind(seen, direction[met])] = 0
        value = np.full(len(at), SKY, dtype=np.uint16)
        value[met] = found + 1
        hits[chosen] = value.reshape(len(chosen), -1)
    return hits.reshape(points.receivers, BINS, BINS)


def _nearest_node(u: Floats, v: Floats, n: NDArray[np.int64]) -> NDArray[np.int64]:
    """The node of a lattice of n steps that is nearest in barycentric coordinates."""
    w = np.stack([np.clip(1.0 - u - v, 0.0, 1.0), np.clip(u, 0.0, 1.0), np.clip(v, 0.0, 1.0)])
    scaled = w / w.sum(axis=0) * n
    whole = np.floor(scaled).astype(np.int64)
    # As many of the largest remainders go up as bring the sum to n.
    left = n - whole.sum(axis=0)
    rank = np.argsort(np.argsort(-(scaled - whole), axis=0), axis=0)
    whole += rank < left
    i, j = whole[1], whole[2]
    return np.asarray(i + j * (2 * n + 3 - j) // 2, dtype=np.int64)


def _look_at_the_sun(
    points: _Points, caster: _Caster, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """`BakedLight.sunlit`."""
    suns = sphere(cells(SUNS)).reshape(-1, 3)
    filled = points.filled
    at = np.stack([points.draw(filled, rng) for _ in range(_POINTS)], axis=1).reshape(-1)
    normal = points.normal[at].astype(np.float32)
    origin = caster.placed(points.xyz[at] + caster.lift * points.normal[at])
    sunlit = np.zeros((len(suns), points.receivers), dtype=np.uint8)
    for k, sun in enumerate(suns.astype(np.float32)):
        cosine = np.maximum(normal @ sun, 0.0)
        facing = np.flatnonzero(cosine)
        cosine[facing[caster.blocked(origin[facing], sun)]] = 0.0
        mean = cosine.reshape(-1, _POINTS).mean(axis=1)
        sunlit[k, filled] = np.rint(255.0 * mean)
    return sunlit.reshape(SUNS, SUNS, -1)
