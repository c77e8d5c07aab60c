"""Forecasts of a body whose ratios of inertia are hardly known, with an honest covariance.

After a dozen frames the ratios are so uncertain that neither derivatives nor sigma points tell how
far the forecast may be off. So the posterior of the two parameters of the ratios is put on a grid,
and the forecast is the mean over it: the nested Laplace approximation (Tierney and Kadane 1986;
Rue, Martino and Chopin 2009). For each point of the grid the rest of the state is fitted again, a
least-squares problem that is all but linear, and the point's weight is

    exp(-cost / 2) / sqrt(det N) * prior,

with N the normal matrix of that fit. The grid lies along the axes of the posterior's covariance,
which at first is the least-squares fit's, and is laid again by what the weights say until it fits
(adaptive quadrature after Naylor and Smith 1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.predict.rigid_state import State, coupling_of, normal_of
from bench.predict.rotations import log
from satgen.geometry import Floats

_COARSE, _FINE = (1.25, 2.6), (1.25, 4.6)
"""Distance between points and radius of the grid, in standard deviations: to place it, and to
forecast with."""

_ROUNDS = 6
"""Grids laid at most. Two or three are enough."""

_NARROWEST = 0.04
"""Variance of the weights, as a share of the grid's, below which they do not tell how narrow the
posterior is, as the points are too far apart: the next grid is so narrow then. With next to no
noise a single point may have all the weight."""

_GAIN = 0.02
"""Cost that another step of a fit wins (predicted), below which it is the last."""

_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class Mixture:
    """States with weights, several of each sequence.

    Attributes:
        row: (M,) number of the sequence.
        weight: (M,) that sums to 1 for each sequence.
        state: M of them, their coupling known.
    """

    row: NDArray[np.intp]
    weight: Floats
    state: State

    def mean(self, values: Floats) -> Floats:
        """Weighted sums (B, ...) of values (M, ...) over each sequence."""
        scaled = values * self.weight.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(np.add.reduceat(scaled, self._starts(), axis=0))

    def rotations(self, rotations: Floats, covariance: Floats) -> tuple[Floats, Floats]:
        """Mean rotations (B, H, 3, 3) of rotations (M, H, 3, 3) and their covariance (M, H, 3, 3).

        The mean is nearest in the chordal sense; the covariance (B, H, 3, 3) is the second moment
        about it, within the parts and between them.
        """
        left, _, right = np.linalg.svd(self.mean(rotations))
        left[..., 2] *= np.linalg.det(left @ right)[..., None]
        centre = left @ right
        off = np.swapaxes(centre, -1, -2)[self.row] @ rotations
        vector = log(off)
        within = off @ covariance @ np.swapaxes(off, -1, -2)
        return centre, self.mean(within + vector[..., :, None] * vector[..., None, :])

    def vectors(self, vectors: Floats, covariance: Floats) -> tuple[Floats, Floats]:
        """Mean (B, H, 3) of vectors (M, H, 3) and covariance of the whole (B, H, 3, 3)."""
        centre = self.mean(vectors)
        off = vectors - centre[self.row]
        return centre, self.mean(covariance + off[..., :, None] * off[..., None, :])

    def _starts(self) -> NDArray[np.intp]:
        return np.flatnonzero(np.diff(self.row, prepend=-1))


def mixture_of(
    state: State, times: Floats, rotations: Floats, noise: Floats, log_inertia: float
) -> Mixture:
    """The posterior of sequences as a mixture of states whose inertia is known.

    Args:
        state: the fit to all frames, at the last one, with its covariance.
        times: (B, T) seconds.
        rotations: (B, T, 3, 3) observed, principal axes to the camera.
        noise: (B,) standard deviation about each axis, radians.
        log_inertia: standard deviation of the parameters of the ratios before anything is observed.
    """
    posterior = _Posterior(times, rotations, noise, log_inertia)
    coarse, fine = _disc(*_COARSE), _disc(*_FINE)
    covariance = state.covariance
    mean, spread = state.shape.copy(), covariance[:, 6:, 6:].copy()
    # Conditional mean of the rest of the state for a change of the ratios.
    gain = np.swapaxes(np.linalg.solve(spread, covariance[:, 6:, :6]), -1, -2)
    todo = np.arange(len(times))
    for _ in range(_ROUNDS - 1):
        root = np.linalg.cholesky(spread[todo])
        shapes = mean[todo, None] + np.einsum("bij,nj->bni", root, coarse)
        weights, _, _ = posterior.at(todo, shapes, state, gain)
        centre = np.einsum("bn,bni->bi", weights, shapes)
        off = shapes - centre[:, None]
        found = np.einsum("bn,bni,bnj->bij", weights, off, off)
        inverse = np.linalg.inv(root)
        moved = np.linalg.norm(np.einsum("bij,bj->bi", inverse, centre - mean[todo]), axis=1)
        scale, axes = np.linalg.eigh(inverse @ found @ np.swapaxes(inverse, -1, -2))
        narrow = scale[:, 0] < _NARROWEST
        wider = np.maximum(scale[narrow, None], _NARROWEST) * axes[narrow]
        wider = root[narrow] @ wider @ np.swapaxes(root[narrow] @ axes[narrow], -1, -2)
        found[narrow] = wider
        mean[todo], spread[todo] = centre, found
        todo = todo[(moved > 0.3) | (scale[:, 0] < 0.6) | (scale[:, 1] > 1.4)]
        if not len(todo):
            break
    every = np.arange(len(times))
    shapes = mean[:, None] + np.einsum("bij,nj->bni", np.linalg.cholesky(spread), fine)
    weights, states, normal = posterior.at(every, shapes, state, gain)
    keep = np.flatnonzero(weights.ravel() > _LEAST_WEIGHT)
    row = keep // len(fine)
    kept = states.take(keep)
    weight = weights.ravel()[keep]
    weight = weight / np.bincount(row, weight)[row]
    within = np.asarray(np.linalg.inv(normal[keep]), dtype=np.float64)
    return Mixture(row, weight, State(kept.rotation, kept.omega, kept.shape, within, kept.known))


@dataclass(frozen=True)
class _Posterior:
    """Of the ratios of B sequences, the rest of the state integrated out."""

    times: Floats
    rotations: Floats
    noise: Floats
    log_inertia: float

    def at(
        self,
        rows: NDArray[np.intp],
        shapes: Floats,
        near: State,
        gain: Floats,
    ) -> tuple[Floats, State, Floats]:
        """Weights (R, N) of parameters (R, N, 2) of some sequences, the R * N fitted states, and
        their normal matrices (R * N, 6, 6).

        The fits start from states `near`, moved by `gain` (B, 6, 2) times the change of the ratios.
        """
        count = shapes.shape[1]
        which = np.repeat(rows, count)
        flat = shapes.reshape(-1, 2)
        start = near.take(which)
        step = np.einsum("bij,bj->bi", gain[which], flat - start.shape)
        bare, blank = np.zeros((len(which), 0)), np.zeros((len(which), 6, 6))
        first = State(start.rotation, start.omega, bare, blank, coupling_of(flat)).moved(step)
        back = (self.times - self.times[:, -1:])[which, ::-1]
        states, cost, normal = _refit(first, back, self.rotations[which, ::-1], self.noise[which])
        prior = np.sum((flat / self.log_inertia) ** 2, axis=1)
        logs = -0.5 * (cost + np.linalg.slogdet(normal)[1] + prior).reshape(-1, count)
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True), states, normal


def _refit(
    state: State, back: Floats, rotations: Floats, noise: Floats
) -> tuple[State, Floats, Floats]:
    """States whose inertia is known, their cost (M,) and normal matrices after some steps of
    Gauss and Newton. The last step's cost is what the quadratic model says."""
    weight = np.zeros(6)
    cost, normal, gradient = normal_of(state, back, rotations, noise, weight)
    damping = np.zeros(len(back))
    active = np.arange(len(back))
    for _ in range(10):
        scaled = normal[active] * (1.0 + damping[active, None, None] * np.eye(6))
        step = np.linalg.solve(scaled, gradient[active, :, None])[..., 0]
        gain = np.sum(step * gradient[active], axis=1)
        trial = state.take(active).moved(step)
        last = (gain <= _GAIN) & (damping[active] < 1e-3)
        rows = active[last]
        state = state.replaced(rows, trial.take(np.flatnonzero(last)))
        cost[rows] -= gain[last]
        more = np.flatnonzero(~last)
        active, trial = active[more], trial.take(more)
        if not len(active):
            break
        found = normal_of(trial, back[active], rotations[active], noise[active], weight)
        better = found[0] <= cost[active]
        rows = active[better]
        state = state.replaced(rows, trial.take(np.flatnonzero(better)))
        for whole, part in zip((cost, normal, gradient), found, strict=True):
            whole[rows] = part[better]
        damping[rows] /= 100.0
        worse = active[~better]
        damping[worse] = np.maximum(1e-3, 10.0 * damping[worse])
    return state, cost, normal


def _disc(step: float, radius: float) -> Floats:
    """Points (N, 2) of a square lattice within a radius."""
    line = step * np.arange(-np.floor(radius / step), np.floor(radius / step) + 1.0)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return np.asarray(points[np.linalg.norm(points, axis=1) <= radius])
