"""Aura's model: its sizes, counts, landmarks, and that it is one solid thing seen from outside."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from satgen.targets.assembly import CLASSES, Assembly
from satgen.targets.aura import assemble

trimesh = pytest.importorskip("trimesh")

PUBLIC = {
    "x": 6.91,
    "y": 17.37,
    "z": 4.70,
}
"""Deployed sizes, metres: nasa.gov, Aura spacecraft details."""


@cache
def aura() -> Assembly:
    return assemble()


@cache
def soup() -> tuple[np.ndarray, np.ndarray]:
    """Triangles (T, 3, 3) of the whole and the index of the part that each belongs to (T,)."""
    triangles, owner = [], []
    for k, part in enumerate(aura().parts):
        for _, shape in part.pieces:
            triangles.append(shape.vertices[shape.faces])
            owner.append(np.full(len(shape.faces), k))
    return np.concatenate(triangles), np.concatenate(owner)


@cache
def scene() -> trimesh.Trimesh:
    tri, _ = soup()
    return trimesh.Trimesh(
        tri.reshape(-1, 3), np.arange(3 * len(tri)).reshape(-1, 3), process=False
    )


def test_no_problems() -> None:
    assert aura().problems() == []


@pytest.mark.parametrize("axis", "xyz")
def test_deployed_size_within_five_per_cent(axis: str) -> None:
    tri, _ = soup()
    extent = np.ptp(tri.reshape(-1, 3)[:, "xyz".index(axis)])
    assert extent == pytest.approx(PUBLIC[axis], rel=0.05)


def test_every_fact_cites_a_source_and_holds() -> None:
    facts = aura().facts
    assert len(facts) >= 8
    for fact in facts.values():
        assert str(fact["source"]).strip()
        if "measure" in fact:
            got = aura().measure(str(fact["measure"]))
            assert got == pytest.approx(float(fact["value"]), rel=0.05)


def test_counts() -> None:
    a = aura()
    assert len(a.parts) >= 70
    assert 15_000 <= a.triangles <= 40_000
    assert len(a.landmarks) >= 24
    assert len({p.name for p in a.parts}) == len(a.parts)
    assert {p.cls for p in a.parts} == set(CLASSES)
    assert sum(p.name.startswith("array_panel_") for p in a.parts) == 12


def test_the_instruments_are_there() -> None:
    for instrument in ("mls", "hirdls", "tes", "omi"):
        assert sum(p.name.startswith(instrument) for p in aura().parts) >= 4


def test_instruments_face_where_they_should() -> None:
    """MLS on the velocity face; HIRDLS, TES and OMI on the nadir deck; the wing to one side."""
    for part in aura().parts:
        low, high = part.bounds
        if part.name.startswith("mls_"):
            assert low[0] > 2.3
        if part.name.startswith(("hirdls_", "tes_", "omi_")):
            assert low[2] > 0.6
        if part.name.startswith("array_panel_"):
            assert high[1] < -2.0


def test_landmarks_lie_on_the_surface() -> None:
    points = np.array(list(aura().landmarks.values()))
    tri, _ = soup()
    far = [
        name
        for name, p in zip(aura().landmarks, points, strict=True)
        if not _near(p[None], tri, 0.03)
    ]
    assert far == []


def test_landmarks_can_be_seen() -> None:
    """From some direction nothing lies between each landmark and the far camera."""
    rng = np.random.default_rng(5)
    ways = rng.normal(size=(200, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    for name, xyz in aura().landmarks.items():
        start = np.asarray(xyz) + 0.03 * ways
        free = ~scene().ray.intersects_any(start, ways)
        assert free.sum() >= 10, name


def test_nothing_floats() -> None:
    """Parts whose surfaces come within 2 cm, or cross, hang together as one."""
    a = aura()
    meshes = [
        trimesh.util.concatenate(
            [trimesh.Trimesh(s.vertices, s.faces, process=False) for _, s in p.pieces]
        )
        for p in a.parts
    ]
    samples = [_surface_samples(m) for m in meshes]
    bounds = np.stack([p.bounds for p in a.parts])
    joined = {0}
    queue = [0]
    while queue:
        k = queue.pop()
        for m in range(len(meshes)):
            if m in joined:
                continue
            gap = np.maximum(bounds[k, 0] - bounds[m, 1], bounds[m, 0] - bounds[k, 1])
            if gap.max() > 0.02:
                continue
            if _touch(meshes[k], samples[k], meshes[m], samples[m]):
                joined.add(m)
                queue.append(m)
    assert [p.name for i, p in enumerate(a.parts) if i not in joined] == []


def _surface_samples(mesh: trimesh.Trimesh) -> np.ndarray:
    """Corners, middles of edges and of faces."""
    tri = mesh.triangles
    return np.concatenate(
        [tri.reshape(-1, 3), tri.mean(axis=1), (tri + tri[:, [1, 2, 0]]).reshape(-1, 3) / 2]
    )


def _touch(a: trimesh.Trimesh, sa: np.ndarray, b: trimesh.Trimesh, sb: np.ndarray) -> bool:
    for points, mesh in ((sa, b), (sb, a)):
        low, high = mesh.bounds
        near = points[np.all((points > low - 0.02) & (points < high + 0.02), axis=1)]
        if len(near) == 0:
            continue
        if np.any(_inside(mesh, near)):
            return True
        if _near(near, mesh.triangles, 0.02):
            return True
    return False


def _near(points: np.ndarray, tri: np.ndarray, limit: float) -> bool:
    """Whether any point (N, 3) is closer than `limit` to any triangle (T, 3, 3)."""
    low, high = tri.min(axis=1) - limit, tri.max(axis=1) + limit
    inside = np.all((points[:, None] >= low) & (points[:, None] <= high), axis=2)
    which, face = np.nonzero(inside)
    if len(which) == 0:
        return False
    nearest = trimesh.triangles.closest_point(tri[face], points[which])
    return bool(np.linalg.norm(nearest - points[which], axis=1).min() < limit)


def _inside(mesh: trimesh.Trimesh, points: np.ndarray) -> np.ndarray:
    """Whether points lie within closed shells: the first thing met along a ray is a back face."""
    way = np.broadcast_to([0.3141, 0.7071, 0.6331], points.shape)
    tri, ray = mesh.ray.intersects_id(points, way, multiple_hits=False)[:2]
    back = mesh.face_normals[tri] @ way[0] > 0 if len(points) else np.zeros(0, bool)
    out = np.zeros(len(points), dtype=bool)
    out[ray[back]] = True
    return out


def test_no_back_face_is_seen_from_outside() -> None:
    rng = np.random.default_rng(11)
    tri, owner = soup()
    low, high = tri.reshape(-1, 3).min(axis=0), tri.reshape(-1, 3).max(axis=0)
    area = np.linalg.norm(np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]), axis=1)
    n = 60_000
    pick = np.concatenate(
        [rng.choice(len(tri), n // 2, p=area / area.sum()), rng.integers(0, len(tri), n // 2)]
    )
    target = np.einsum("nk,nkd->nd", rng.dirichlet((1, 1, 1), n), tri[pick])
    way = rng.normal(size=(n, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    start = target - way * np.linalg.norm(high - low)
    face, ray = scene().ray.intersects_id(start, way, multiple_hits=False)[:2]
    cross = np.cross(tri[face, 1] - tri[face, 0], tri[face, 2] - tri[face, 0])
    normal = cross / np.linalg.norm(cross, axis=1, keepdims=True)
    facing = np.sum(normal * way[ray], axis=1)
    bad = facing > 1e-3
    names = {aura().parts[k].name for k in owner[face[bad]]}
    assert bad.sum() <= 2, names
    assert len(face) > 0.9 * n
