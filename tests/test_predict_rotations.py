"""bench.predict.rotations against SciPy, and its laws."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm, logm
from scipy.spatial.transform import Rotation

from bench.predict import rotations as r
from satgen.geometry import Floats

component = st.floats(-3.0, 3.0, allow_subnormal=False)
vectors = st.tuples(component, component, component).map(np.array)
small = st.tuples(*[st.floats(-1e-6, 1e-6)] * 3).map(np.array)


@given(vectors)
def test_exp_is_scipy_s(v: Floats) -> None:
    assert np.abs(r.exp(v) - Rotation.from_rotvec(v).as_matrix()).max() < 1e-13
    assert np.abs(r.exp(v) - expm(r.hat(v))).max() < 1e-12


@given(vectors.filter(lambda v: np.linalg.norm(v) < np.pi - 1e-3))
def test_log_undoes_exp(v: Floats) -> None:
    assert np.abs(r.log(r.exp(v)) - v).max() < 1e-12


@given(small)
def test_log_undoes_exp_of_the_smallest_turns(v: Floats) -> None:
    assert np.abs(r.log(r.exp(v)) - v).max() < 1e-15


@given(vectors)
def test_exp_undoes_log_at_any_angle(v: Floats) -> None:
    turn = r.exp(v)
    assert np.abs(r.exp(r.log(turn)) - turn).max() < 1e-12
    assert np.linalg.norm(r.log(turn)) <= np.pi + 1e-12


def test_log_of_half_a_turn() -> None:
    half = np.diag([1.0, -1.0, -1.0])
    assert np.abs(np.abs(r.log(half)) - [np.pi, 0.0, 0.0]).max() < 1e-12


def test_log_is_scipy_s_matrix_logarithm() -> None:
    turn = r.exp([0.4, -1.1, 0.7])
    assert np.abs(r.hat(r.log(turn)) - logm(turn)).max() < 1e-12


@given(vectors.filter(lambda v: np.linalg.norm(v) < 6.0), vectors)
def test_left_jacobian_is_the_derivative_of_exp(v: Floats, direction: Floats) -> None:
    step = 1e-6 * direction
    ahead, behind = r.exp(v + step), r.exp(v - step)
    slope = r.log(ahead @ behind.T) / 2e-6
    assert np.abs(r.left_jacobian(v) @ direction - slope).max() < 1e-7
    whole = r.left_jacobian_inverse(v) @ r.left_jacobian(v)
    assert np.abs(whole - np.eye(3)).max() < 1e-9


def test_jacobians_are_smooth_where_the_series_takes_over() -> None:
    axis = np.array([0.6, -0.64, 0.48])
    for jacobian in (r.left_jacobian, r.left_jacobian_inverse):
        below, above = jacobian(0.99999e-4 * axis), jacobian(1.00001e-4 * axis)
        assert np.abs(below - above).max() < 1e-8
        assert np.array_equal(jacobian(np.zeros(3)), np.eye(3))


@given(vectors, vectors)
def test_left_and_right_turns_are_the_same_seen_from_two_frames(v: Floats, w: Floats) -> None:
    turn = r.exp(v)
    assert np.abs(turn @ r.exp(w) @ turn.T - r.exp(turn @ w)).max() < 1e-12


def test_maps_broadcast() -> None:
    rng = np.random.default_rng(0)
    v = rng.normal(size=(4, 5, 3))
    assert r.exp(v).shape == (4, 5, 3, 3) == r.left_jacobian(v).shape
    assert r.log(r.exp(v)).shape == v.shape
    assert np.array_equal(r.exp(v)[2, 3], r.exp(v[2, 3]))


def test_random_rotations_are_uniform() -> None:
    turns = r.random_rotations(np.random.default_rng(0), 20_000)
    angles = np.linalg.norm(r.log(turns), axis=-1)
    # The angle of a uniform rotation has the distribution (angle - sin angle) / pi.
    share = np.searchsorted(np.sort(angles), [0.5, 1.5, 2.5]) / len(angles)
    expected = [(a - np.sin(a)) / np.pi for a in (0.5, 1.5, 2.5)]
    assert np.abs(share - expected).max() < 0.012
    assert np.abs(turns.mean(axis=0)).max() < 0.02
