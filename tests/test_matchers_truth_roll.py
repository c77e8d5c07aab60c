"""A camera that rolls: its image turns as OpenCV's turns do, and truth goes with it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matchers.truth.roll import (
    RollConfig,
    carry,
    roll_image,
    roll_matrix,
    seen_mask,
)
from satgen.errors import InputError

angles = st.floats(-720.0, 720.0) | st.sampled_from([-270.0, -90.0, 0.0, 90.0, 180.0, 360.0])


@given(angles, st.floats(0.0, 500.0), st.floats(0.0, 500.0))
def test_the_turn_is_opencvs(degrees: float, x: float, y: float) -> None:
    expected = cv2.getRotationMatrix2D((x, y), -degrees, 1.0)  # there counter-clockwise
    # which takes the centre in float32
    np.testing.assert_allclose(roll_matrix((x, y), degrees)[:2], expected, atol=1e-4)


@given(angles)
@settings(max_examples=30)
def test_points_fall_where_a_rolled_camera_sees_them(degrees: float) -> None:
    K = np.array([[600.0, 0.0, 250.0], [0.0, 600.0, 262.0], [0.0, 0.0, 1.0]])
    points = np.random.default_rng(0).uniform((-2.0, -2.0, 7.0), (2.0, 2.0, 11.0), (20, 3))
    before = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, None)[0][:, 0]
    about_z = np.array([0.0, 0.0, np.deg2rad(degrees)])
    after = cv2.projectPoints(points, about_z, np.zeros(3), K, None)[0][:, 0]
    H = roll_matrix((250.0, 262.0), degrees)
    np.testing.assert_allclose(carry(H, before), after, atol=1e-6)
    np.testing.assert_allclose(
        carry(H, before), cv2.perspectiveTransform(before[:, None], H)[:, 0], atol=1e-9
    )


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_quarter_turns_of_a_square_resample_nothing(quarters: int, order: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    turned = roll_image(image, roll_matrix((31.5, 31.5), 90.0 * quarters), order=order)
    np.testing.assert_array_equal(turned, np.rot90(image, -quarters))


@given(st.floats(-180.0, 180.0), st.sampled_from([1, 3]))
@settings(max_examples=20)
def test_the_image_turns_as_its_points_do(degrees: float, order: int) -> None:
    v, u = np.mgrid[:128, :160]
    H = roll_matrix((79.5, 63.5), degrees)
    for place in ((100.3, 70.8), (60.0, 40.0)):
        spot = np.exp(-((u - place[0]) ** 2 + (v - place[1]) ** 2) / 18.0)
        image = np.rint(60000.0 * spot).astype(np.uint16)
        turned = roll_image(image, H, order=order).astype(float)
        found = np.array([(u * turned).sum(), (v * turned).sum()]) / turned.sum()
        np.testing.assert_allclose(found, carry(H, place)[0], atol=3e-3)


def test_what_no_frame_shows_is_told() -> None:
    H = roll_matrix((31.5, 31.5), 45.0)
    mask = seen_mask((64, 64), H, margin=4.0)
    v, u = np.mgrid[:64, :64]
    back = carry(np.linalg.inv(H), np.stack([u, v], -1).reshape(-1, 2)).reshape(64, 64, 2)
    inside = np.minimum(back + 0.5, 63.5 - back).min(axis=2)  # to the frame's border
    assert mask[inside > 6.0].all() and not mask[inside < 2.0].any()
    assert seen_mask((64, 64), np.eye(3)).all()


def test_rolls_are_drawn_evenly_in_their_share() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([RollConfig(max_deg=90.0, share=0.5).draw(rng) for _ in range(2000)])
    assert 0.45 < (drawn != 0.0).mean() < 0.55
    counts = np.histogram(drawn[drawn != 0.0], 4, (-90.0, 90.0))[0]
    assert counts.sum() == np.count_nonzero(drawn) and counts.min() > 200
    assert not RollConfig(share=0.0).rolls and not RollConfig(max_deg=0.0).rolls


def test_bad_rolls() -> None:
    with pytest.raises(InputError, match="must be finite"):
        roll_matrix((0.0, 0.0), float("nan"))
    with pytest.raises(InputError, match="max_deg 181"):
        RollConfig(max_deg=181.0)
