"""A distorting lens, drawn: against Embree along OpenCV's rays, and against pinhole pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.columns import absolute_figures, relative_figures
from bench.pose import FrameMatches, RansacOptions
from matchers.truth.frame import read_geometry
from satgen.camera import Camera
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.rendering.renderer import Renderer
from satgen.verify import verify, with_deep
from tests.datasets import make, options
from tests.scenes import Witness, look, toy
from tests.test_renderer import TOWARD_CAMERA, whole

LENSES = {
    "barrel": (-0.28, 0.07, 2e-4, -3e-4, 0.0),
    "pincushion": (0.3, 0.1, -1e-3, 5e-4, 0.02),
    "moustache": (-0.2, 0.4, 0.0, 0.0, -0.15),
}
PINHOLE = Camera(160, 120, 130.0, 127.0, 75.3, 64.1)
SUN = np.array([0.4, -0.5, -0.77]) / np.linalg.norm([0.4, -0.5, -0.77])


def opencv_rays(camera: Camera) -> np.ndarray:
    """Directions of the pixel centres as OpenCV undistorts them."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(float)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 5000, 1e-15)
    uv = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
    xy = cv2.undistortPoints(uv, camera.K, np.array(camera.distortion), criteria=criteria)
    return np.concatenate([xy[:, 0], np.ones((len(xy), 1))], axis=1)


@pytest.mark.parametrize("lens", LENSES)
def test_depth_and_parts_are_those_along_opencvs_rays(lens: str) -> None:
    model = toy()
    witness = Witness(model.vertices, model.faces)
    camera = replace(PINHOLE, distortion=LENSES[lens])
    rays = opencv_rays(camera)
    views = [
        (20, 15, 6, 0.8),
        (130, -40, 5, 0.0),
        (250, 80, 8, 2.5),
        (300, 5, 3, 1.0),
        (180, 0, 1.2, 0),
    ]
    wrong = seen = 0
    with Renderer(model, camera) as renderer:
        for azimuth, elevation, distance, aside in views:
            pose = look(azimuth, elevation, distance, np.array([0.0, aside, 0.2]))
            frame = renderer.render(pose, TOWARD_CAMERA)
            depth, parts = whole(frame, "depth", camera), whole(frame, "parts", camera)
            rotation = pose[:3, :3]
            eye = -rotation.T @ pose[:3, 3]
            directions = rays @ rotation
            face = witness.first(eye, directions)
            corners = model.vertices[model.faces[face]]
            normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            z = np.einsum("ij,ij->i", normal, corners[:, 0] - eye)
            z = z / np.einsum("ij,ij->i", normal, directions)
            hit = (face >= 0).reshape(depth.shape)
            z = z.reshape(depth.shape)
            owner = np.where(hit, model.face_part[face].reshape(depth.shape), 0)
            assert hit.sum() > 300
            same = (depth > 0) == hit
            same &= parts == owner
            same &= ~hit | (np.abs(depth - z) < 1e-6 * np.maximum(z, 1.0))
            wrong += int((~same).sum())
            seen += int(hit.sum())
    # What is left lies on a boundary, within the ray cast's single precision.
    assert wrong <= max(2, 2e-4 * seen)


def test_a_lens_of_next_to_no_distortion_shows_what_a_pinhole_does() -> None:
    """The two are drawn in different ways, and must agree."""
    model = toy()
    camera = replace(PINHOLE, distortion=(1e-9, 0.0, 0.0, 0.0, 0.0))
    pose = look(40, 20, 6, np.array([0.0, 0.8, 0.2]))
    frames = []
    for one in (PINHOLE, camera):
        with Renderer(model, one, float32=True) as renderer:
            frame = renderer.render(pose, SUN)
            frames.append([whole(frame, name, one) for name in ("depth", "parts", "linear")])
    (depth0, parts0, linear0), (depth1, parts1, linear1) = frames
    assert (parts0 != parts1).sum() <= 3
    both = (depth0 > 0) & (depth1 > 0) & (parts0 == parts1)
    assert np.abs(depth0 - depth1)[both].max() < 1e-6
    assert np.median(np.abs(linear0 - linear1)[both]) < 1e-5
    assert np.mean(np.abs(linear0 - linear1)[both]) < 1e-3


def test_the_picture_is_a_pinholes_bent_by_opencv() -> None:
    model = toy()
    camera = replace(PINHOLE, distortion=LENSES["barrel"])
    fine = Camera(800, 600, 520.0, 508.0, 399.5, 299.5)
    pose = look(40, 20, 6, np.array([0.0, 0.8, 0.2]))
    with Renderer(model, camera, float32=True) as renderer:
        frame = renderer.render(pose, SUN)
        bent, depth = whole(frame, "linear", camera), whole(frame, "depth", camera)
    with Renderer(model, fine, float32=True) as renderer:
        picture = whole(renderer.render(pose, SUN), "linear", fine)
    rays = opencv_rays(camera).reshape(120, 160, 3)
    # About a pixel's worth of the fine picture, four of its pixels.
    picture = cv2.blur(picture, (4, 4), anchor=(1, 1))
    u = (rays[..., 0] * 520.0 + 399.5 - 0.5).astype(np.float32)
    v = (rays[..., 1] * 508.0 + 299.5 - 0.5).astype(np.float32)
    expected = cv2.remap(picture, u, v, cv2.INTER_LINEAR)
    inside = depth > 0
    off = np.abs(bent - expected)[inside]
    assert np.mean(off) < 0.02 * expected[inside].mean() + 0.01
    assert np.abs(bent.sum() / expected.sum() - 1.0) < 0.01


@pytest.fixture(scope="module")
def bent(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("bent") / "craft"
    changes = {"fov": 50.0, "distance": 6.0, "distortion": (-0.28, 0.07, 2e-4, -3e-4, 0.0)}
    return Dataset(make(craft_path, out, stop=3005, **changes))


def test_a_dataset_through_a_lens_verifies_with_its_rays(bent: Dataset) -> None:
    assert bent.camera.distortion == (-0.28, 0.07, 2e-4, -3e-4, 0.0)
    report = with_deep(verify(bent.folder), 3)
    assert report.ok, report.problems
    assert len(report.deep) == 3


def test_keypoints_points_and_flow_are_opencvs(bent: Dataset) -> None:
    camera, coefficients = bent.camera, np.array(bent.camera.distortion)

    def opencv(xyz: np.ndarray, index: int) -> np.ndarray:
        pose = bent.pose(index)
        rotation, _ = cv2.Rodrigues(pose[:3, :3])
        return cv2.projectPoints(xyz, rotation, pose[:3, 3], camera.K, coefficients)[0][:, 0]

    table = bent.keypoints[bent.keypoints["index"] == 3002]
    expected = opencv(bent.landmarks.xyz, 3002)
    assert np.abs(table[["u", "v"]].to_numpy() - expected).max() < 1e-6
    assert table["visible"].any()
    points = bent[3001].points
    assert np.abs(opencv(points.xyz, 3001) - points.uv).max() < 1e-6
    flow = bent.flow(3001, 3004)
    u, v = points.uv.T
    assert np.abs(flow.flow[v, u] - (opencv(points.xyz, 3004) - points.uv)).max() < 1e-6
    assert flow.visible.sum() > 0.5 * len(points)


def test_poses_are_found_through_the_lens(bent: Dataset) -> None:
    pair = bent.pair(3000, 3005)
    warp = pair.warp()
    uv0 = np.stack(np.meshgrid(np.arange(72.0), np.arange(64.0)), axis=-1).reshape(-1, 2)
    uv0, uv1 = uv0[warp.visible], warp.uv[warp.visible]
    one, two = (read_geometry(bent, index) for index in (3000, 3005))
    matches = FrameMatches.of(uv0, uv1, one, two)
    found = absolute_figures(matches.absolute(RansacOptions()), two.T_cam_target)
    assert found["pnp_rotation_error_deg"] < 0.02
    assert found["pnp_translation_error_mm"] < 2.0
    ends = one.undistorted(uv0), two.undistorted(uv1)
    figures = relative_figures(*ends, one.K, two.K, pair.relative_pose, RansacOptions())
    assert figures["epipolar_precision"] == 1.0


def test_the_command_line_takes_a_lens(craft_path: Path) -> None:
    request = options(craft_path, distortion=(0.1, 0.0, 0.0, 0.0, 0.0))
    assert "--distortion 0.1,0.0,0.0,0.0,0.0" in request.command
    camera = replace(request.view, fx=500.0)
    assert "--distortion" in options(craft_path, camera=camera, width=None, height=None).command
    with pytest.raises(InputError, match="pyrender"):
        options(craft_path, distortion=(0.1, 0.0, 0.0, 0.0, 0.0), renderer="pyrender")
    with pytest.raises(InputError, match=r"^distortion"):
        options(craft_path, distortion=(-90.0, 0.0, 0.0, 0.0, 0.0))
