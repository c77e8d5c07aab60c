"""Tracks of surface points, against rays that Embree casts and against the depth images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.exports.body import body_of
from satgen.exports.tracks import SurfaceTracks, surface_tracks
from satgen.raycast import Caster, load_triangles
from tests.datasets import make


@pytest.fixture(scope="module")
def turned(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The target from all around, twice."""
    folder = tmp_path_factory.mktemp("turned") / "turned"
    return Dataset(make(craft_path, folder, start=3600, stop=4319, step=15, width=96, height=96))


@pytest.fixture(scope="module")
def tracks(turned: Dataset) -> SurfaceTracks:
    return surface_tracks(turned, body_of(turned), turned.indices, 150, seed=3)


def test_points_are_seen_where_rays_reach_them(turned: Dataset, tracks: SurfaceTracks) -> None:
    """Embree, on the file as trimesh reads it: the point's depth is that of the first hit."""
    triangles, owner = load_triangles(turned.config.target)
    caster = Caster(triangles, owner)
    wrong = 0
    for at, index in enumerate(turned.indices.tolist()):
        pose = turned.pose(index)
        eye = -pose[:3, :3].T @ pose[:3, 3]
        rays = tracks.points - eye
        # As far as Embree's single precision goes, two kinds of ray need no look at the surface:
        # what is met well before the point hides it, and what is met nowhere before does not.
        origin = np.broadcast_to((eye - caster._origin).astype(np.float32), rays.shape)
        face = np.asarray(
            caster._scene.run(np.ascontiguousarray(origin), rays.astype(np.float32)), dtype=int
        )
        normal = np.cross(
            triangles[face, 1] - triangles[face, 0], triangles[face, 2] - triangles[face, 0]
        )
        share = np.einsum("ij,ij->i", normal, triangles[face, 0] - eye)
        share = share / np.einsum("ij,ij->i", normal, rays)
        reached = (face < 0) | (share > 1.0 - 1e-4)
        front = np.einsum("ij,ij->i", tracks.normals, rays) < 0.0
        inside = ((tracks.uv[at] >= -0.5) & (tracks.uv[at] < 95.5)).all(axis=1)
        wrong += int((tracks.visible[at] != (reached & front & inside)).sum())
    assert wrong <= 0.001 * tracks.visible.size


def test_points_come_back(tracks: SurfaceTracks) -> None:
    """Half a turn later most are hidden; a whole turn later they are seen again."""
    gone = 0
    for shown in tracks.visible.T:
        seen = np.flatnonzero(shown)
        gone += bool((np.diff(seen) > 4).any())
    assert gone > 50
    assert tracks.visible[tracks.query, np.arange(150)].all()
    assert 0.2 < tracks.visible.mean() < 0.7


def test_points_lie_on_what_the_depth_images_show(turned: Dataset, tracks: SurfaceTracks) -> None:
    scale = float(turned.description["depth_scale"])
    for number, (at, (u, v)) in enumerate(zip(tracks.query, tracks.query_uv, strict=True)):
        index = int(turned.indices[at])
        assert np.allclose(tracks.uv[at, number], (u, v), atol=1e-6)
        assert abs(turned.depth(index)[v, u] - tracks.xyz[at, number, 2]) <= 0.51 * scale
    # In the others: where the four pixels around show one surface, it is the point's.
    compared = near = 0
    for at, index in enumerate(turned.indices.tolist()):
        depth = turned.depth(index)
        for number in np.flatnonzero(tracks.visible[at]):
            u, v = np.floor(tracks.uv[at, number]).astype(int)
            around = depth[max(v, 0) : v + 2, max(u, 0) : u + 2]
            if around.size == 4 and around.min() > 0.0 and np.ptp(around) < 0.1:
                compared += 1
                z = tracks.xyz[at, number, 2]
                near += around.min() - 0.05 < z < around.max() + 0.05
    assert compared > 1000
    assert near > 0.995 * compared


def test_the_same_clip_and_seed_give_the_same_points(turned: Dataset) -> None:
    model = body_of(turned)
    clips = [surface_tracks(turned, model, turned.indices[:3], 20, seed) for seed in (1, 1, 2)]
    assert np.array_equal(clips[0].points, clips[1].points)
    assert not np.array_equal(clips[0].points, clips[2].points)


def test_a_clip_without_the_target_is_refused(craft_path: Path, tmp_path: Path) -> None:
    folder = make(craft_path, tmp_path / "away", stop=3001, aim=(90.0, 0.0, 0.0), distance=20.0)
    data = Dataset(folder)
    assert not data.frames["coverage"].any()
    with pytest.raises(InputError, match="nothing to track"):
        surface_tracks(data, body_of(data), data.indices, 5, 0)


def test_another_model_is_refused(craft_path: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.glb"
    moved.write_bytes(craft_path.read_bytes())
    data = Dataset(make(moved, tmp_path / "moved", stop=3000))
    moved.write_bytes(craft_path.read_bytes() + b"\0\0\0\0")
    with pytest.raises(InputError, match="SHA-256 is another"):
        body_of(data)
    moved.unlink()
    with pytest.raises(InputError, match="not there"):
        body_of(data)
