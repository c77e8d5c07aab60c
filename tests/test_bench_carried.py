"""Points carried along matches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.carried import REACH_PX, carried

FEW = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])


def by(u: float, v: float = 0.0) -> NDArray:
    """A step."""
    return np.array([u, v])


def test_a_point_moves_as_the_keypoints_about_it_do() -> None:
    start = np.array([[100.0, 100.0]]) + FEW
    far = np.array([[200.0, 50.0]])  # of another part, that moves otherwise
    moves = [
        (np.vstack([start, far]), np.vstack([start + by(2.0, -1.0), far + 50.0])),
        (start + by(2.0, -1.0), start + by(3.0)),
    ]
    found = carried(np.array([[101.0, 101.0]]), np.array([0]), moves)
    np.testing.assert_allclose(found.xy[:, 0], [[101, 101], [103, 100], [104, 101]])
    assert found.visible.all()


def test_one_wrong_match_among_right_ones_carries_nothing_off() -> None:
    start = np.array([[100.0, 100.0]]) + FEW
    end = start + by(1.0)
    end[0] = (10.0, 240.0)
    found = carried(start[:1], np.array([0]), [(start, end)])
    np.testing.assert_allclose(found.xy[1, 0], [101.0, 100.0])


def test_a_point_without_matches_about_it_is_hidden_and_stays() -> None:
    near, none = np.array([[50.0, 50.0]]), np.empty((0, 2))
    beyond = near + by(REACH_PX + 0.01)
    moves = [(near, near + 1.0), (none, none), (beyond, beyond + 5.0), (near, near + 1.0)]
    found = carried(near, np.array([0]), moves)
    assert found.visible[:, 0].tolist() == [True, True, False, True, True]
    # The third step's keypoint is within reach of where the point has got to.
    np.testing.assert_allclose(found.xy[:, 0, 0], [50.0, 51.0, 51.0, 56.0, 57.0])


def test_points_are_carried_from_where_they_are_asked_for() -> None:
    near = np.array([[50.0, 50.0]])
    found = carried(np.vstack([near, near]), np.array([1, 3]), [(near, near + 1.0)] * 2)
    assert found.visible.T.tolist() == [[False, True, True], [False, False, False]]
    np.testing.assert_allclose(found.xy[:, 0, 0], [50.0, 50.0, 51.0])
    np.testing.assert_allclose(found.xy[:, 1], np.tile(near, (3, 1)))
