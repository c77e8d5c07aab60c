"""satgen.camera against OpenCV's projection and its own definition."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satgen.camera import MAX_SIDE, Camera
from satgen.errors import InputError


def test_fov_spans_the_image_from_edge_to_edge() -> None:
    camera = Camera.from_fov(640, 480, 30.0)
    assert camera.fx == camera.fy
    assert (camera.cx, camera.cy) == (319.5, 239.5)
    top = math.atan((camera.cy - -0.5) / camera.fy)
    bottom = math.atan((479.5 - camera.cy) / camera.fy)
    assert math.degrees(top + bottom) == pytest.approx(30.0, abs=1e-12)


def test_rays_project_back_to_their_pixels_in_opencv() -> None:
    camera = Camera(37, 23, 51.5, 48.25, 15.75, 12.125)
    rays = camera.rays()
    assert rays.shape == (23, 37, 3)
    assert np.all(rays[..., 2] == 1.0)
    pixels, _ = cv2.projectPoints(rays.reshape(-1, 3), np.zeros(3), np.zeros(3), camera.K, None)
    v, u = np.mgrid[0:23, 0:37]
    expected = np.stack([u, v], axis=-1).reshape(-1, 2)
    assert np.abs(pixels[:, 0] - expected).max() < 1e-6


@given(
    st.integers(1, MAX_SIDE),
    st.integers(1, MAX_SIDE),
    st.floats(0.1, 1e5),
    st.floats(0.1, 1e5),
    st.floats(-1e4, 1e4),
    st.floats(-1e4, 1e4),
)
def test_json_round_trip_is_exact(
    width: int, height: int, fx: float, fy: float, cx: float, cy: float
) -> None:
    camera = Camera(width, height, fx, fy, cx, cy)
    assert Camera.from_json(json.loads(json.dumps(camera.to_json()))) == camera


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0),
        ("height", -5),
        ("width", MAX_SIDE + 1),
        ("fx", 0.0),
        ("fy", -1.0),
        ("fx", math.nan),
        ("cx", math.inf),
        ("cy", math.nan),
    ],
)
def test_impossible_intrinsics_are_refused_by_name(field: str, value: float) -> None:
    good = Camera(64, 48, 50.0, 50.0, 31.5, 23.5).to_json()
    with pytest.raises(InputError, match=rf"{field} .*: ") as caught:
        Camera(**{**good, field: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fov", [0.0, -10.0, 179.0, 360.0, math.nan])
def test_impossible_field_of_view_is_refused(fov: float) -> None:
    with pytest.raises(InputError, match="field of view"):
        Camera.from_fov(64, 48, fov)
