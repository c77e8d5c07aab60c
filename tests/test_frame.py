"""satgen.frame: the truth about one frame and two, against projections written out here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.frame import Frame, TwoViews
from tests.datasets import make


def seen(frame: Frame, xyz: NDArray) -> tuple[NDArray, NDArray]:
    """Pixels (N, 2) and depths (N,) of target-frame points, by the pinhole formula."""
    x, y, z = (frame.pose @ np.append(xyz, np.ones((len(xyz), 1)), axis=1).T)[:3]
    c = frame.camera
    return np.stack([c.fx * x / z + c.cx, c.fy * y / z + c.cy], axis=-1), z


def test_points_lie_on_the_pixels_rays_at_their_depths(pristine: Path) -> None:
    frame = Dataset(pristine)[3005]
    points = frame.points
    uv, z = seen(frame, points.xyz)
    u, v = points.uv.T
    assert len(points) == np.count_nonzero(frame.parts) > 100
    assert np.abs(uv - points.uv).max() < 1e-9
    assert np.allclose(z, frame.depth[v, u], rtol=1e-12)
    assert np.array_equal(points.parts, frame.parts[v, u])
    # On the craft: its bus is a box of 1.0 x 1.2 x 2.0 metres around the origin.
    bus = points.xyz[points.parts == 1]
    assert (np.abs(bus) < np.array([0.5, 0.6, 1.0]) + 0.01).all()
    assert frame.mask.sum() == len(points)


def test_flow_and_warp_carry_a_surface_point_to_where_it_is_seen(pristine: Path) -> None:
    data = Dataset(pristine)
    pair = data.pair(3000, 3020)
    flow = data.flow(3000, 3020)
    a, b = pair.a, pair.b
    uv, z = seen(b, a.points.xyz)
    u, v = a.points.uv.T
    assert np.allclose(flow.flow[v, u] + a.points.uv, uv, atol=1e-9)
    assert np.isnan(flow.flow[~a.mask]).all()
    assert not (flow.visible & flow.occluded).any() and flow.visible.sum() > 100
    # Where b shows the point, the pixel next to it (0.1 m wide) is about as deep, and mostly of
    # the same part.
    shown = flow.visible[v, u]
    column, row = np.rint(uv[shown]).astype(int).T
    assert (np.abs(b.depth[row, column] - z[shown]) < 0.2).all()
    assert (b.parts[row, column] == a.points.parts[shown]).mean() > 0.97
    warped = pair.warp(a.points.uv[shown])
    assert np.allclose(warped.uv, uv[shown], atol=1e-9)
    assert warped.visible.all()
    assert np.allclose(pair.relative_pose @ a.pose, b.pose)
    # 20 degrees of azimuth, seen at this elevation
    cosine = (np.trace(pair.relative_pose[:3, :3]) - 1.0) / 2.0
    assert pair.angle_deg == pytest.approx(np.degrees(np.arccos(cosine)))
    assert repr(pair).startswith("<TwoViews <Frame craft 3000, 72x64, ")


def test_frames_of_two_datasets_of_a_target_go_together(
    pristine: Path, craft_path: Path, tmp_path: Path
) -> None:
    """In other light, and through another camera: the geometry is the target's."""
    other = Dataset(make(craft_path, tmp_path / "b", stop=3003, width=100, sun="body:40,20"))
    a, b = Dataset(pristine)[3000], other[3003]
    pair = TwoViews(a, b)
    flow = pair.flow
    uv, _ = seen(b, a.points.xyz)
    u, v = a.points.uv.T
    assert np.allclose(flow.flow[v, u] + a.points.uv, uv, atol=1e-9)
    assert flow.visible.sum() > 100
    b.model_sha256 = "another"
    with pytest.raises(InputError, match="must show one target"):
        TwoViews(a, b)
