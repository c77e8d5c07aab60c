"""Pose models without dynamics: the last pose, and velocities fitted to what was observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.predict.rotations import exp, left_jacobian, left_jacobian_inverse, log
from bench.predict.types import Forecast, Observed, check_observed
from satgen.geometry import Floats

_ITERATIONS = 6
"""Gauss-Newton steps. Two reach the noise for windows under a quarter turn."""


@dataclass(frozen=True)
class LastPose:
    """A model in which the target stands still."""

    def forecast(self, observed: Observed, future: Floats) -> Forecast:
        """The last observed pose, at every time."""
        check_observed(observed, future, frames=1)
        shape = future.shape
        return Forecast(
            np.broadcast_to(observed.rotations[:, -1:], (*shape, 3, 3)).copy(),
            np.broadcast_to(observed.translations[:, -1:], (*shape, 3)).copy(),
        )


@dataclass(frozen=True)
class Polynomial:
    """Constant velocity or acceleration, of the rotation and of the translation.

    The rotation is exp(w s + a s^2 / 2 ...) exp(b) R, with s the time since the last frame and R
    the last rotation observed; w, a and b are fitted to the observed rotations by least squares.
    The translation is a polynomial of the same degree, fitted too. Turns of less than half a
    revolution between frames are told apart.

    Attributes:
        degree: 1 for velocity, 2 for acceleration.
        frames: fit to so many of the last frames; None: to all.
    """

    degree: int = 1
    frames: int | None = None

    def forecast(self, observed: Observed, future: Floats) -> Forecast:
        """The polynomials carried on."""
        check_observed(observed, future, frames=self.degree + 1)
        if self.frames is not None:
            observed = observed.last(self.frames)
        fit = fit_rotations(observed.times, observed.rotations, self.degree)
        ahead = future - observed.times[:, -1:]
        design = _powers(observed.times - observed.times[:, -1:], self.degree, first=0)
        solved = np.linalg.pinv(design) @ observed.translations
        translations = _powers(ahead, self.degree, first=0) @ solved
        return Forecast(fit.at(ahead), translations)


@dataclass(frozen=True)
class RotationFit:
    """R(s) = exp(sum of coefficient d times s^d) @ base, s in seconds since the last frame.

    Attributes:
        coefficients: (B, D, 3) of s, s^2, ...: rotation vectors in the camera's frame.
        base: (B, 3, 3) fitted rotation at the last frame.
    """

    coefficients: Floats
    base: Floats

    def at(self, ahead: Floats) -> Floats:
        """Rotations (B, N, 3, 3) at `ahead` (B, N) seconds after the last frame."""
        vectors = _powers(ahead, self.coefficients.shape[1], first=1) @ self.coefficients
        return np.asarray(exp(vectors) @ self.base[:, None])

    def omega(self) -> Floats:
        """Angular velocity (B, 3) at the last frame, target frame, rad/s."""
        return np.asarray(np.einsum("bji,bj->bi", self.base, self.coefficients[:, 0]))


def fit_rotations(times: Floats, rotations: Floats, degree: int) -> RotationFit:
    """The polynomial nearest to rotations (B, T, 3, 3) at times (B, T), by Gauss-Newton."""
    since = times - times[:, -1:]
    frames = since.shape[1]
    steps = log(rotations[:, 1:] @ np.swapaxes(rotations[:, :-1], -1, -2))
    velocity = steps.sum(axis=1) / (since[:, -1] - since[:, 0])[:, None]
    coefficients = np.zeros((len(times), degree, 3))
    coefficients[:, 0] = velocity
    base = rotations[:, -1].copy()
    powers = _powers(since, degree, first=1)
    for _ in range(_ITERATIONS):
        vectors = powers @ coefficients
        turn = exp(vectors)
        residual = log(rotations @ np.swapaxes(turn @ base[:, None], -1, -2))
        inverse = left_jacobian_inverse(residual)
        slopes = [powers[..., d, None, None] * left_jacobian(vectors) for d in range(degree)]
        design = np.concatenate([inverse @ s for s in (*slopes, turn)], axis=-1)
        design = design.reshape(len(times), frames * 3, 3 * (degree + 1))
        flat = residual.reshape(len(times), frames * 3, 1)
        change = (np.linalg.pinv(design) @ flat)[..., 0].reshape(len(times), degree + 1, 3)
        coefficients = coefficients + change[:, :degree]
        base = exp(change[:, degree]) @ base
    return RotationFit(coefficients, base)


def _powers(time: Floats, degree: int, first: int) -> Floats:
    """time (B, N) to the powers first..degree: (B, N, degree - first + 1)."""
    return np.stack([time**power for power in range(first, degree + 1)], axis=-1)


def last_pose() -> LastPose:
    """A model in which the target stands still."""
    return LastPose()


def two_pose() -> Polynomial:
    """Constant angular velocity and velocity, from the last two poses."""
    return Polynomial(degree=1, frames=2)


def velocity() -> Polynomial:
    """Constant angular velocity and velocity, fitted to all observed poses."""
    return Polynomial(degree=1)


def acceleration() -> Polynomial:
    """Velocity and acceleration, fitted to all observed poses."""
    return Polynomial(degree=2)
