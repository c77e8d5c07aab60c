"""satgen.lens and the camera's use of it against OpenCV."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satgen import lens
from satgen.camera import Camera
from satgen.errors import InputError
from satgen.geometry import backproject, make_pose, project

LENSES = {
    "barrel": (-0.28, 0.07, 2e-4, -3e-4, 0.0),
    "pincushion": (0.3, 0.1, -1e-3, 5e-4, 0.02),
    "moustache": (-0.2, 0.4, 0.0, 0.0, -0.15),
    "tangential": (0.0, 0.0, 4e-3, -6e-3, 0.0),
}
WIDE = (320, 240, 260.0, 255.0, 150.0, 130.0)


@pytest.fixture(params=LENSES)
def camera(request: pytest.FixtureRequest) -> Camera:
    return Camera(*WIDE, LENSES[request.param])


def opencv(camera: Camera, points: np.ndarray) -> np.ndarray:
    coefficients = np.array(camera.distortion)
    flat = np.ascontiguousarray(points.reshape(-1, 3))
    uv, _ = cv2.projectPoints(flat, np.zeros(3), np.zeros(3), camera.K, coefficients)
    return uv.reshape(*points.shape[:-1], 2)


def test_rays_project_to_their_pixels_in_opencv(camera: Camera) -> None:
    rays = camera.rays()
    v, u = np.mgrid[0:240, 0:320]
    assert np.abs(opencv(camera, rays) - np.stack([u, v], axis=-1)).max() < 1e-9
    assert np.array_equal(rays[..., 2], np.ones((240, 320)))


def test_projects_as_opencv(camera: Camera) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.0, 1.0, (4000, 3)) * (6.0, 4.5, 5.0) + (0.0, 0.0, 15.0)
    uv = camera.project(points)
    known = np.isfinite(uv).all(axis=1)
    assert known.mean() > 0.99
    assert np.abs(uv - opencv(camera, points))[known].max() < 1e-9
    K, distortion = camera.K, camera.distortion
    again, z = project(K, np.eye(4), points, distortion)
    assert np.array_equal(again, uv, equal_nan=True) and np.array_equal(z, points[:, 2])


def test_undistorts_as_opencv(camera: Camera) -> None:
    rng = np.random.default_rng(1)
    uv = rng.uniform((-0.5, -0.5), (319.5, 239.5), (500, 2))
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 5000, 1e-15)
    theirs = cv2.undistortPoints(
        uv[:, None], camera.K, np.array(camera.distortion), P=camera.K, criteria=criteria
    )[:, 0]
    assert np.abs(camera.undistorted(uv) - theirs).max() < 1e-6


def test_backprojection_undoes_projection(camera: Camera) -> None:
    rng = np.random.default_rng(2)
    pose = make_pose(cv2.Rodrigues(np.array([0.3, -0.8, 0.2]))[0], (0.2, -0.1, 12.0))
    points = rng.uniform(-2.0, 2.0, (300, 3))
    uv, z = project(camera.K, pose, points, camera.distortion)
    again = backproject(camera.K, pose, uv, z, camera.distortion)
    assert np.abs(again - points).max() < 1e-10


def test_beyond_the_fold_nothing_is_seen() -> None:
    """A barrel's polynomial turns back: OpenCV puts what is far aside into the image."""
    camera = Camera(*WIDE, (-0.2, 0.0, 0.0, 0.0, 0.0))
    assert lens.domain(camera.distortion) == pytest.approx((1.0 / 0.6) ** 0.5, rel=1e-5)
    aside = np.array([[2.0, 0.0, 1.0]])  # 63 degrees
    assert 0 <= opencv(camera, aside)[0, 0] < 320
    assert np.isnan(camera.project(aside)).all()
    assert np.isnan(project(camera.K, np.eye(4), aside, camera.distortion)[0]).all()


@given(
    st.tuples(*[st.floats(-0.6, 0.6)] * 2, *[st.floats(-0.02, 0.02)] * 2, st.floats(-0.3, 0.3)),
    st.floats(0.0, 1.0),
    st.floats(-np.pi, np.pi),
)
def test_is_one_to_one_within_its_domain(coefficients, share: float, angle: float) -> None:
    radius = share * 0.999 * min(lens.domain(coefficients), 3.0)
    point = radius * np.array([[np.cos(angle), np.sin(angle)]])
    again = lens.undistort(coefficients, lens.distort(coefficients, point))
    assert np.abs(again - point).max() < 1e-7


@pytest.mark.parametrize(
    "distortion",
    [(-1.0, 0, 0, 0, 0), (0, 0, 1.0, 0, 0), (0, 0, 0, 0, -5.0), (np.nan, 0, 0, 0), (0.1, 0.2, 0.3)],
)
def test_lenses_that_fold_the_image_are_refused_in_one_line(distortion) -> None:
    with pytest.raises(InputError, match=r"^distortion [^\n]*$"):
        Camera(*WIDE, distortion)


def test_json_has_the_distortion_and_old_files_have_none(camera: Camera) -> None:
    data = json.loads(json.dumps(camera.to_json()))
    assert Camera.from_json(data) == camera
    del data["distortion"]
    assert Camera.from_json(data) == camera.pinhole


def test_four_coefficients_do() -> None:
    assert Camera(*WIDE, (0.1, 0.0, 0.0, 0.0)).distortion == (0.1, 0.0, 0.0, 0.0, 0.0)
