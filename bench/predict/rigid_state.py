"""The state of a free rigid body, and its least-squares fit to observed rotations.

State: the rotation from principal to camera axes, the angular velocity about the principal axes
and, where the moments of inertia are to be estimated, two parameters of their ratios. The error of
the rotation is a rotation vector on its right, in the principal axes (Lefferts, Markley and
Shuster 1982; Markley 2003), so the state has six or eight numbers and no constraint.

Of the inertia, second moments of mass s_i = (I_j + I_l - I_i) / 2 are estimated through their
logarithms: any three numbers are a body that can exist, and the dynamics are

    k_i = (I_j - I_l) / I_i = -tanh((log s_j - log s_l) / 2),

in which a common factor drops out; the three logarithms are held to a sum of 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.predict.rigid_body import propagate
from bench.predict.rotations import exp, left_jacobian_inverse, log
from satgen.geometry import Floats

ORDER = 8
"""Order of the series, for 1e-8 a step: far below any noise."""

_BASIS = np.array([[1.0, -0.5, -0.5], [0.0, 0.75**0.5, -(0.75**0.5)]]).T
"""(3, 2): logarithms of the second moments, of sum 0, by the two parameters."""


def coupling_of(shape: Floats) -> Floats:
    """Coefficients (..., 3) of Euler's equations from the parameters (..., 2) of the ratios."""
    logs = shape @ _BASIS.T
    return np.asarray(-np.tanh((logs[..., [1, 2, 0]] - logs[..., [2, 0, 1]]) / 2.0))


@dataclass(frozen=True)
class State:
    """B states: rotation (B, 3, 3), omega (B, 3), shape (B, P), covariance (B, 6+P, 6+P).

    `known` is the coupling (B, 3) where the moments are known; then P is 0.
    """

    rotation: Floats
    omega: Floats
    shape: Floats
    covariance: Floats
    known: Floats | None

    def coupling(self) -> Floats:
        """Coefficients of Euler's equations, (B, 3)."""
        if self.known is not None:
            return self.known
        return coupling_of(self.shape)

    def coupling_by(self) -> Floats | None:
        """Derivatives of the coefficients by the parameters, (B, 3, P)."""
        if self.known is not None:
            return None
        slope = -(1.0 - self.coupling() ** 2) / 2.0
        return np.asarray(slope[..., None] * (_BASIS[[1, 2, 0]] - _BASIS[[2, 0, 1]]))

    def take(self, rows: ArrayLike) -> State:
        """The given states."""
        rows = np.asarray(rows)
        return State(
            self.rotation[rows],
            self.omega[rows],
            self.shape[rows],
            self.covariance[rows],
            None if self.known is None else self.known[rows],
        )

    def replaced(self, rows: NDArray[np.intp], by: State) -> State:
        """These states, with some rows taken from others."""
        rotation, omega, shape = self.rotation.copy(), self.omega.copy(), self.shape.copy()
        rotation[rows], omega[rows], shape[rows] = by.rotation, by.omega, by.shape
        return State(rotation, omega, shape, self.covariance, self.known)

    def moved(self, step: NDArray[np.floating[Any]]) -> State:
        """These states moved by errors (B, 6+P)."""
        return State(
            self.rotation @ exp(step[:, :3]),
            self.omega + step[:, 3:6],
            self.shape + step[:, 6:],
            self.covariance,
            self.known,
        )


@dataclass(frozen=True)
class Path:
    """Rotations (B, N, 3, 3) from principal axes to the camera, and the derivative (B, N, 3, 6+P)
    of their right rotation vector by the state's error."""

    rotations: Floats
    by: Floats


def path_of(state: State, ahead: Floats) -> Path:
    """Where states are `ahead` (B, N) seconds later."""
    motion = propagate(
        state.coupling(),
        state.omega,
        ahead,
        k_by=state.coupling_by(),
        derivatives=True,
        order=ORDER,
    )
    by = np.concatenate([np.swapaxes(motion.turn, -1, -2), motion.turn_by], axis=-1)
    return Path(state.rotation[:, None] @ motion.turn, by)


def normal_of(
    state: State, times: Floats, rotations: Floats, noise: Floats, weight: Floats
) -> tuple[Floats, Floats, Floats]:
    """Cost (B,), normal matrix (B, n, n) and descent direction (B, n) of the fit to rotations."""
    path = path_of(state, times)
    residual = log(np.swapaxes(path.rotations, -1, -2) @ rotations)
    design = left_jacobian_inverse(residual) @ path.by / noise[:, None, None, None]
    residual = residual / noise[:, None, None]
    prior = weight[6:] * state.shape
    cost = np.sum(residual**2, axis=(1, 2)) + np.sum(prior * state.shape, axis=1)
    normal = np.einsum("btin,btim->bnm", design, design) + np.diag(weight)
    gradient = np.einsum("btin,bti->bn", design, residual)
    gradient[:, 6:] -= prior
    return cost, normal, gradient


def fit_states(
    state: State,
    times: Floats,
    rotations: Floats,
    noise: Floats,
    log_inertia: float,
    iterations: int,
) -> State:
    """States at the last frame with the least squares, by Levenberg and Marquardt, from a guess.

    Args:
        state: B of them, at the last of the times.
        times: (B, T) seconds.
        rotations: (B, T, 3, 3) observed, principal axes to the camera.
        noise: (B,) standard deviation about each axis, radians.
        log_inertia: standard deviation of the shape's parameters before anything is observed.
        iterations: at most.

    Returns:
        The states, their covariances the inverse of the normal matrices.
    """
    back = (times - times[:, -1:])[:, ::-1]
    poses = rotations[:, ::-1]
    weight = np.concatenate([np.zeros(6), np.full(state.shape.shape[1], log_inertia**-2.0)])
    damping = np.full(len(times), 1e-3)
    cost, normal, gradient = normal_of(state, back, poses, noise, weight)
    active = np.arange(len(times))
    for _ in range(iterations):
        part = state.take(active)
        damped = normal[active] + damping[active, None, None] * (
            normal[active] * np.eye(normal.shape[-1])
        )
        step = np.linalg.solve(damped, gradient[active, :, None])[..., 0]
        trial = part.moved(step)
        n_cost, n_normal, n_gradient = normal_of(
            trial, back[active], poses[active], noise[active], weight
        )
        better = n_cost <= cost[active]
        rows = active[better]
        gain = cost[rows] - n_cost[better]
        small = gain <= 1e-9 * cost[rows] + 1e-6
        state = state.replaced(rows, trial.take(np.flatnonzero(better)))
        cost[rows], normal[rows] = n_cost[better], n_normal[better]
        gradient[rows] = n_gradient[better]
        damping[rows] = np.maximum(damping[rows] / 10.0, 1e-12)
        worse = active[~better]
        damping[worse] = damping[worse] * 10.0
        done = np.concatenate([rows[small], worse[damping[worse] > 1e8]])
        active = np.setdiff1d(active, done)
        if not len(active):
            break
    return State(
        state.rotation,
        state.omega,
        state.shape,
        np.asarray(np.linalg.inv(normal), dtype=np.float64),
        state.known,
    )
