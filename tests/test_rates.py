"""satgen.rates: angular velocities of attitudes alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from satgen.options import RenderOptions
from satgen.rates import REACH, differenced_velocity, rotation_vectors
from satgen.scene import scene_of


def quaternions(rotations: Rotation) -> np.ndarray:
    return rotations.as_quat(scalar_first=True)


@given(st.tuples(*[st.floats(-3.0, 3.0)] * 3))
def test_rotation_vectors_are_scipys(vector: tuple[float, float, float]) -> None:
    rotation = Rotation.from_rotvec(vector)
    for sign in (1.0, -1.0):
        ours = Rotation.from_rotvec(rotation_vectors(sign * quaternions(rotation)))
        assert (ours.inv() * rotation).magnitude() < 1e-9
        assert np.linalg.norm(rotation_vectors(sign * quaternions(rotation))) <= np.pi + 1e-12


@given(st.tuples(*[st.floats(-0.3, 0.3)] * 3), st.integers(1, 3))
def test_an_even_turn_is_found_exactly(rate: tuple[float, float, float], step: int) -> None:
    index = 100 + step * np.arange(30)
    start = Rotation.from_rotvec([0.3, -1.0, 0.5])
    turns = start * Rotation.from_rotvec(np.outer(index, rate))  # about an axis of the body
    velocity, error = differenced_velocity(index, quaternions(turns))
    inner = slice(REACH, -REACH)
    if np.linalg.norm(rate) * step * REACH < 2.7:
        assert np.abs(velocity[inner] - rate).max() < 1e-12
        assert error[inner].max() < 1e-12
    assert np.isnan(velocity[:REACH]).all() and np.isinf(error[-REACH:]).all()


def test_an_uneven_turn_is_found_within_its_bound() -> None:
    index = np.arange(200)
    angle = 40.0 * np.sin(2.0 * np.pi * index / 37.0)
    rate = np.radians(40.0) * 2.0 * np.pi / 37.0 * np.cos(2.0 * np.pi * index / 37.0)
    turns = Rotation.from_rotvec(np.outer(np.radians(angle), [0.0, 0.0, 1.0]))
    velocity, error = differenced_velocity(index, quaternions(turns))
    inner = slice(REACH, -REACH)
    off = np.abs(velocity[inner, 2] - rate[inner])
    assert (off <= error[inner] + 1e-15).all() and error[inner].max() < 1e-4


def test_gaps_few_rows_and_fast_turns_say_nothing() -> None:
    index = np.concatenate([np.arange(20), np.arange(25, 45)])
    turns = Rotation.from_rotvec(np.outer(index, [0.0, 0.0, 0.1]))
    _, error = differenced_velocity(index, quaternions(turns))
    known = np.flatnonzero(np.isfinite(error))
    assert known.tolist() == [*range(4, 16), *range(24, 36)]
    short, bound = differenced_velocity(index[:8], quaternions(turns[:8]))
    assert np.isnan(short).all() and np.isinf(bound).all()
    fast = Rotation.from_rotvec(np.outer(np.arange(20), [0.0, 0.0, 0.9]))
    assert np.isinf(differenced_velocity(np.arange(20), quaternions(fast))[1]).all()


@pytest.mark.parametrize("flip", [False, True])
def test_signs_of_quaternions_do_not_matter(flip: bool) -> None:
    turns = quaternions(Rotation.from_rotvec(np.outer(np.arange(40), [0.1, 0.2, -0.05])))
    if flip:
        turns[::3] *= -1.0
    velocity, _ = differenced_velocity(np.arange(40), turns)
    assert np.abs(velocity[4:-4] - [0.1, 0.2, -0.05]).max() < 1e-12


@pytest.mark.parametrize("step", [1, 5, 12, 20])
def test_the_bound_holds_where_its_difference_vanishes(step: int) -> None:
    # A camera that flies an ellipse around its target, looked at in coarse steps.
    scene = scene_of(RenderOptions(trajectory="orbit", step=step))
    seen = scene.views.observations
    found, bound = differenced_velocity(seen.index, seen.quaternion)
    assert seen.angular_velocity is not None
    stated = seen.angular_velocity * scene.config.trajectory.motion.frame_s
    error = np.linalg.norm(stated - found, axis=1)
    known = np.isfinite(bound)
    assert known.sum() > 300
    assert (error[known] <= 1e-9 + 4.0 * bound[known]).all()
