"""bench.predict.rigid_body against SciPy's DOP853, satgen's closed form and the conserved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from bench.predict.rigid_body import coupling, make_bodies, propagate
from bench.predict.rotations import exp, log
from satgen.errors import InputError
from satgen.geometry import Floats, geodesic
from satgen.trajectory.tumble import free_rotation

second = st.floats(0.02, 1.0)
rate = st.floats(-0.15, 0.15)
moments = st.tuples(second, second, second).map(lambda s: np.sum(s) - np.array(s))
rates = st.tuples(rate, rate, rate).map(np.array)


def integrated(m: Floats, omega: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Angular velocity (N, 3) and turn (N, 3, 3) by SciPy, from Euler's equations as in books."""

    def slope(_: float, y: Floats) -> Floats:
        w, turn = y[:3], y[3:].reshape(3, 3)
        cross = np.array([[0.0, -w[2], w[1]], [w[2], 0.0, -w[0]], [-w[1], w[0], 0.0]])
        return np.concatenate([-np.cross(w, m * w) / m, (turn @ cross).ravel()])

    start = np.concatenate([omega, np.eye(3).ravel()])
    solved = solve_ivp(
        slope, (0.0, times[-1]), start, method="DOP853", t_eval=times, rtol=1e-13, atol=1e-14
    )
    return solved.y[:3].T, solved.y[3:].T.reshape(-1, 3, 3)


@settings(max_examples=8)
@given(moments, rates)
def test_motion_is_dop853_s(m: Floats, omega: Floats) -> None:
    times = np.array([0.5, 1.0, 7.0, 40.0, 80.0])
    motion = propagate(coupling(m)[None], omega[None], times[None])
    expected_omega, expected_turn = integrated(m, omega, times)
    assert np.abs(motion.omega[0] - expected_omega).max() < 1e-9
    assert geodesic(motion.turn[0], expected_turn).max() < 1e-8


@settings(max_examples=30)
@given(moments, rates.filter(lambda w: np.linalg.norm(w) > 1e-3))
def test_energy_and_angular_momentum_stay(m: Floats, omega: Floats) -> None:
    """Over 80 frames, in which an integrator loses what a series only rounds."""
    motion = propagate(coupling(m)[None], omega[None], np.arange(81.0)[None])
    kinetic = np.sum(m * motion.omega[0] ** 2, axis=-1) / 2.0
    assert np.abs(kinetic / kinetic[0] - 1.0).max() < 1e-9
    momentum = (motion.turn[0] @ (m * motion.omega[0])[..., None])[..., 0]
    assert np.abs(momentum - momentum[0]).max() < 1e-9 * np.linalg.norm(momentum[0])


@pytest.mark.parametrize("m", [(0.094, 0.982, 1.0), (0.5, 0.8, 1.0), (0.4, 0.6, 1.0)])
@pytest.mark.parametrize("omega", [(0.016, 0.047, 0.016), (0.1, 1e-9, 1e-9), (0.0, 0.05, 1e-7)])
def test_motion_is_the_closed_form_of_trajectories(
    m: tuple[float, ...], omega: tuple[float, ...]
) -> None:
    times = np.linspace(0.0, 300.0, 61)
    expected_omega, expected_turn = free_rotation(np.array(m), np.array(omega), times)
    motion = propagate(coupling(m)[None], np.array([omega]), times[None])
    # The middle axis is unstable: a start 1e-7 off it is where rounding grows.
    assert np.abs(motion.omega[0] - expected_omega).max() < 1e-9
    assert geodesic(motion.turn[0], expected_turn).max() < 1e-7


def test_many_bodies_are_each_alone() -> None:
    rng = np.random.default_rng(0)
    bodies = make_bodies(rng.dirichlet(np.ones(3), 30) @ (1.0 - np.eye(3)))
    omega = rng.normal(0.0, 0.1, (30, 3))
    times = np.cumsum(rng.uniform(0.1, 4.0, (30, 6)), axis=1)
    k = coupling(bodies.moments)
    together = propagate(k, omega, times)
    for body in range(0, 30, 7):
        rows = slice(body, body + 1)
        alone = propagate(k[rows], omega[rows], times[rows])
        # The number of steps follows the fastest: equal to the error of the series, not in bits.
        assert np.abs(together.turn[rows] - alone.turn).max() < 1e-12
        assert np.abs(together.omega[rows] - alone.omega).max() < 1e-13


@settings(max_examples=30)
@given(moments, rates)
def test_past_undoes_future(m: Floats, omega: Floats) -> None:
    k = coupling(m)[None]
    there = propagate(k, omega[None], np.array([[3.0, 25.0]]))
    back = propagate(k, there.omega[:, -1], np.array([[-22.0, -25.0]]))
    assert np.abs(back.omega[0, 1] - omega).max() < 1e-12
    assert np.abs(there.turn[0, 1] @ back.turn[0, 1] - np.eye(3)).max() < 1e-11
    assert np.abs(there.turn[0, 1] @ back.turn[0, 0] - there.turn[0, 0]).max() < 1e-11


@settings(max_examples=20)
@given(moments, rates, st.integers(0, 4))
def test_derivatives_are_differences(m: Floats, omega: Floats, column: int) -> None:
    rng = np.random.default_rng(1)
    k, slopes = coupling(m)[None], rng.normal(size=(1, 3, 2))
    times = np.array([[2.0, 11.0, 30.0]])
    motion = propagate(k, omega[None], times, k_by=slopes, derivatives=True)

    def moved(step: float) -> tuple[Floats, Floats]:
        at = np.zeros(5)
        at[column] = step
        other = propagate(k + slopes @ at[3:], omega[None] + at[:3], times)
        return other.omega, other.turn

    ahead, behind = moved(1e-6), moved(-1e-6)
    by_omega = (ahead[0] - behind[0]) / 2e-6
    by_turn = log(np.swapaxes(behind[1], -1, -2) @ ahead[1]) / 2e-6
    scale = 1.0 + np.abs(motion.turn_by).max()
    assert np.abs(motion.omega_by[..., column] - by_omega).max() < 1e-7 * scale
    assert np.abs(motion.turn_by[..., column] - by_turn).max() < 1e-7 * scale


def test_standing_still_and_no_time_at_all() -> None:
    k = coupling([0.5, 0.8, 1.0])[None]
    motion = propagate(k, np.zeros((1, 3)), np.array([[0.0, 0.0, 5.0]]), derivatives=True)
    assert np.array_equal(motion.turn, np.broadcast_to(np.eye(3), (1, 3, 3, 3)))
    assert np.abs(motion.turn_by[0, 2] - 5.0 * np.eye(3)).max() < 1e-14
    motion = propagate(k, np.array([[0.1, 0.2, 0.3]]), np.zeros((1, 1)), derivatives=True)
    assert np.array_equal(motion.omega[0, 0], [0.1, 0.2, 0.3])
    assert np.array_equal(motion.omega_by[0, 0], np.eye(3))


def test_a_ball_turns_steadily() -> None:
    omega = np.array([0.01, -0.02, 0.03])
    motion = propagate(coupling(np.ones(3))[None], omega[None], np.array([[10.0, 200.0]]))
    assert np.abs(motion.turn[0] - exp(np.array([[10.0], [200.0]]) * omega)).max() < 1e-12


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 2.0, 4.0], "no moment may exceed the other two's sum"),
        ([0.0, 1.0, 1.0], "must be more than 0"),
        ([np.nan, 1.0, 1.0], "must be three finite numbers"),
        ([1.0, 1.0], "must be three finite numbers"),
    ],
)
def test_no_such_body(values: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_bodies(values)


def test_no_such_axes_or_centre() -> None:
    with pytest.raises(InputError, match="right-handed"):
        make_bodies([0.5, 0.8, 1.0], np.diag([1.0, 1.0, -1.0]))
    with pytest.raises(InputError, match="right-handed"):
        make_bodies([0.5, 0.8, 1.0], 2.0 * np.eye(3))
    with pytest.raises(InputError, match="centre of mass"):
        make_bodies([0.5, 0.8, 1.0], centre=[np.inf, 0.0, 0.0])
