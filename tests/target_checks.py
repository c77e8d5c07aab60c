"""Checks that every bundled target must pass, as functions of its Assembly.

The witnesses are trimesh's exact distances and Embree's rays (trimesh.ray with embreex), not the
package's own geometry.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import trimesh
from numpy.typing import NDArray

from satgen.modelling.assembly import Assembly

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Solid:
    """The triangles of an assembly, with the part that each belongs to."""

    assembly: Assembly

    @cached_property
    def by_part(self) -> list[Array]:
        """(T, 3, 3) triangles of every part, metres."""
        return [
            np.concatenate([s.vertices[s.faces] for _, s in p.pieces]) for p in self.assembly.parts
        ]

    @cached_property
    def triangles(self) -> Array:
        """(T, 3, 3) all triangles."""
        return np.concatenate(self.by_part)

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """(T,) index of each triangle's part."""
        return np.repeat(np.arange(len(self.by_part)), [len(t) for t in self.by_part])

    @cached_property
    def mesh(self) -> trimesh.Trimesh:
        """All triangles as one mesh, not welded; its rays are Embree's."""
        return _mesh(self.triangles)


def _mesh(tri: Array) -> trimesh.Trimesh:
    return trimesh.Trimesh(
        tri.reshape(-1, 3), np.arange(3 * len(tri)).reshape(-1, 3), process=False
    )


def _closest(tri: Array, points: Array) -> Array:
    """Distance of each point (N, 3) from the triangle (N, 3, 3) of the same row."""
    foot = trimesh.triangles.closest_point(tri, points)  # type: ignore[no-untyped-call]
    return np.asarray(np.linalg.norm(foot - points, axis=1))


def far_landmarks(solid: Solid, limit: float = 0.03) -> dict[str, float]:
    """Landmarks whose distance from the surface exceeds `limit` metres, with that distance."""
    out = {}
    for name, xyz in solid.assembly.landmarks.items():
        low, high = solid.triangles.min(axis=1), solid.triangles.max(axis=1)
        near = np.all((low < np.add(xyz, 0.5)) & (high > np.subtract(xyz, 0.5)), axis=1)
        tri = solid.triangles[near] if near.any() else solid.triangles
        point = np.broadcast_to(np.asarray(xyz, dtype=float), (len(tri), 3))
        distance = float(_closest(tri, point).min())
        if distance > limit:
            out[name] = distance
    return out


def hidden_landmarks(solid: Solid, directions: int = 200, least: int = 10) -> list[str]:
    """Landmarks that cannot be seen from at least `least` of the random `directions`."""
    rng = np.random.default_rng(5)
    ways = rng.normal(size=(directions, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    out = []
    for name, xyz in solid.assembly.landmarks.items():
        start = np.asarray(xyz) + 0.03 * ways
        blocked = solid.mesh.ray.intersects_id(start, ways, multiple_hits=False)[1]
        if directions - len(np.unique(blocked)) < least:
            out.append(name)
    return out


def floating_parts(solid: Solid, gap: float = 0.02) -> list[str]:
    """Parts that do not hang together with the first: within `gap` metres, or one in the other."""
    parts = [_Part(t) for t in solid.by_part]
    joined, queue = {0}, [0]
    while queue:
        k = queue.pop()
        for m in set(range(len(parts))) - joined:
            if _touch(parts[k], parts[m], gap):
                joined.add(m)
                queue.append(m)
    return [p.name for i, p in enumerate(solid.assembly.parts) if i not in joined]


_TILT = np.array([0.811, 0.437, 0.389])


class _Part:
    """Triangles of one part, with points spread over them and a mesh for rays, made once."""

    def __init__(self, tri: Array) -> None:
        self.tri = tri
        self.low, self.high = tri.reshape(-1, 3).min(axis=0), tri.reshape(-1, 3).max(axis=0)
        self.tri_low, self.tri_high = tri.min(axis=1), tri.max(axis=1)

    @cached_property
    def samples(self) -> Array:
        """Corners, middles of faces, points along the edges at most 3 cm apart (16 an edge)."""
        a, b = self.tri.reshape(-1, 3), self.tri[:, [1, 2, 0]].reshape(-1, 3)
        out = [np.unique(np.round(a, 6), axis=0), self.tri.mean(axis=1)]
        once = (a @ _TILT) < (b @ _TILT)  # every edge belongs to two triangles
        a, b = a[once], b[once]
        steps = np.clip(np.linalg.norm(b - a, axis=1) / 0.03, 1, 16).astype(int)
        for n in np.unique(steps):
            t = (np.arange(1, n) / n)[:, None, None]
            out.append((a[steps == n] + t * (b - a)[steps == n]).reshape(-1, 3))
        return np.concatenate(out)

    @cached_property
    def mesh(self) -> trimesh.Trimesh:
        return _mesh(self.tri)

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Whether points lie in a closed shell: a ray's first face is seen from behind."""
        way = np.broadcast_to([0.3141, 0.7071, 0.6331], points.shape)
        face, ray = self.mesh.ray.intersects_id(points, way, multiple_hits=False)[:2]
        out = np.zeros(len(points), dtype=bool)
        out[ray[self.mesh.face_normals[face] @ way[0] > 0]] = True
        return out


def _touch(a: _Part, b: _Part, gap: float) -> bool:
    if np.maximum(a.low - b.high, b.low - a.high).max() > gap:
        return False
    return any(_near(p, q, gap) for p, q in ((a, b), (b, a))) or any(
        _within(p, q) for p, q in ((a, b), (b, a))
    )


def _near(a: _Part, b: _Part, limit: float) -> bool:
    """Whether any sample of `a` is closer than `limit` to `b`'s surface."""
    low, high = b.low - limit, b.high + limit
    points = a.samples[np.all((a.samples >= low) & (a.samples <= high), axis=1)]
    if len(points) == 0:
        return False
    low, high = points.min(axis=0) - limit, points.max(axis=0) + limit
    keep = np.all((b.tri_high >= low) & (b.tri_low <= high), axis=1)
    tri, tri_low, tri_high = b.tri[keep], b.tri_low[keep] - limit, b.tri_high[keep] + limit
    for block in np.array_split(points, len(points) // 300 + 1):
        close = np.all((block[:, None] >= tri_low) & (block[:, None] <= tri_high), axis=2)
        which, face = np.nonzero(close)
        if len(which) == 0:
            continue
        if _closest(tri[face], block[which]).min() < limit:
            return True
    return False


def _within(a: _Part, b: _Part) -> bool:
    """Whether some of `a`'s samples lie inside `b`."""
    points = a.samples[np.all((a.samples > b.low) & (a.samples < b.high), axis=1)]
    return len(points) > 0 and bool(b.contains(points[:: len(points) // 50 + 1]).any())


def back_faces_seen(solid: Solid, rays: int = 60_000) -> tuple[int, set[str]]:
    """How many rays from far outside meet a back face first, and the parts that these belong to.

    Half of the rays aim at points uniform over the surface, half at points of random triangles, so
    that small ones are tried as often as large ones.
    """
    rng = np.random.default_rng(11)
    tri = solid.triangles
    cross = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    area = np.linalg.norm(cross, axis=1)
    pick = np.concatenate(
        [rng.choice(len(tri), rays // 2, p=area / area.sum()), rng.integers(0, len(tri), rays // 2)]
    )
    aim = np.einsum("nk,nkd->nd", rng.dirichlet((1, 1, 1), len(pick)), tri[pick])
    way = rng.normal(size=aim.shape)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    reach = float(np.linalg.norm(np.ptp(tri.reshape(-1, 3), axis=0)))
    face, ray = solid.mesh.ray.intersects_id(aim - reach * way, way, multiple_hits=False)[:2]
    if len(face) < 0.9 * len(pick):
        raise AssertionError(f"only {len(face)} of {len(pick)} rays met the target")
    facing = np.sum(cross[face] * way[ray], axis=1) / area[face]
    bad = facing > 1e-3
    return int(bad.sum()), {solid.assembly.parts[k].name for k in solid.owner[face[bad]]}


def unseen_parts(solid: Solid, views: int = 120, rays: int = 60) -> list[str]:
    """Parts that none of `views` cameras around the target sees: of each part, `rays` points of its
    surface are looked for from each."""
    rng = np.random.default_rng(23)
    ways = rng.normal(size=(views, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    reach = float(np.linalg.norm(np.ptp(solid.triangles.reshape(-1, 3), axis=0)))
    out = []
    for number, tri in enumerate(solid.by_part):
        area = np.linalg.norm(np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]), axis=1)
        pick = rng.choice(len(tri), rays, p=area / area.sum())
        aim = np.einsum("nk,nkd->nd", rng.dirichlet((1, 1, 1), rays), tri[pick])
        start = (aim[None] + reach * ways[:, None]).reshape(-1, 3)
        toward = np.repeat(-ways, rays, axis=0)
        face = solid.mesh.ray.intersects_id(start, toward, multiple_hits=False)[0]
        if not (solid.owner[face] == number).any():
            out.append(solid.assembly.parts[number].name)
    return out


def coplanar_overlaps(
    solid: Solid, rays: int = 40_000, gap: float = 0.002, least: int = 3
) -> dict[str, int]:
    """Pairs of pieces with faces that flicker: outward faces closer than `gap` metres, seen first.

    Rays come in along the normal of the face that they aim at; what lies within `gap` under the
    first face met and faces the same way (1°) is counted; a pair of parts is named from `least`
    such rays on.
    """
    rng = np.random.default_rng(17)
    tri = solid.triangles
    cross = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    area = np.linalg.norm(cross, axis=1)
    normal = cross / area[:, None]
    pick = rng.choice(len(tri), rays, p=area / area.sum())
    aim = np.einsum("nk,nkd->nd", rng.dirichlet((1, 1, 1), rays), tri[pick])
    first, ray = solid.mesh.ray.intersects_id(
        aim + 30.0 * normal[pick], -normal[pick], multiple_hits=False
    )[:2]
    seen = first == pick[ray]
    pick, aim = pick[ray[seen]], aim[ray[seen]]
    second, ray = solid.mesh.ray.intersects_id(
        aim - 1e-5 * normal[pick], -normal[pick], multiple_hits=False
    )[:2]
    depth = np.sum((aim[ray] - tri[second, 0]) * normal[second], axis=1)
    close = (depth < gap) & (np.sum(normal[second] * normal[pick[ray]], axis=1) > np.cos(0.0175))
    out: dict[str, int] = {}
    parts = solid.assembly.parts
    for upper, lower in zip(pick[ray[close]], second[close], strict=True):
        key = f"{parts[solid.owner[upper]].name} over {parts[solid.owner[lower]].name}"
        out[key] = out.get(key, 0) + 1
    return {key: n for key, n in out.items() if n >= least}
