"""A multiplicative Kalman filter with the dynamics of a free rigid body.

State: the rotation from principal to camera axes, the angular velocity about the principal axes
and, where the moments of inertia are to be estimated, two parameters of their ratios. The error of
the rotation is a rotation vector on its right, in the principal axes (Lefferts, Markley and
Shuster 1982; Markley 2003), so the state has six or eight numbers and no constraint.

The filter starts from a least-squares fit of the whole motion to the first frames (Levenberg and
Marquardt), whose inverse normal matrix is its first covariance, and takes every later frame by
predict and update. At the end the motion is fitted once more, to all frames and from where the
filter is: the iterated smoother, which makes up for updates that were linearised about poor ratios
of the moments. Only the dynamics say how the target moves: where the camera turns, as on the
spiral, they are wrong, and so are the forecasts.

The forecast's covariance is taken from sigma points, as of the unscented filter (Julier and Uhlmann
1997), about the forecast of the state itself. The ratios of the moments are uncertain by so much
after a short window that derivatives would promise too much.

Of the inertia, second moments of mass s_i = (I_j + I_l - I_i) / 2 are estimated through their
logarithms: any three numbers are a body that can exist, and the dynamics are

    k_i = (I_j - I_l) / I_i = -tanh((log s_j - log s_l) / 2),

in which a common factor drops out; the three logarithms are held to a sum of 0.

The translation is that of a point of the target, the centre of mass, that moves uniformly:
t = p + v s - R c, with p, v and, where the inertia is not known, c by linear least squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.predict.kinematic import fit_rotations
from bench.predict.rigid_body import coupling, propagate
from bench.predict.rotations import exp, hat, left_jacobian_inverse, log
from bench.predict.types import Forecast, Observed, check_observed
from satgen.errors import InputError
from satgen.geometry import Floats

_ORDER = 8
"""Order of the series, for 1e-8 a step: far below any noise."""

_LEAST_RAD, _LEAST_M = 1e-6, 1e-6
"""Least standard deviation of what is observed, so that noiseless poses can be weighed."""

_BASIS = np.array([[1.0, -0.5, -0.5], [0.0, 0.75**0.5, -(0.75**0.5)]]).T
"""(3, 2): logarithms of the second moments, of sum 0, by the two parameters."""

_CENTRE_M = 2.0
"""Standard deviation of the centre of mass from the target's origin, along each axis, metres."""


@dataclass(frozen=True)
class RigidBodyFilter:
    """A Kalman filter of attitude and rates under Euler's equations: see the module's description.

    Attributes:
        estimate_inertia: estimate the ratios of the moments, of which only the principal axes are
            known; otherwise the moments are known too.
        start_frames: frames of the least-squares start.
        smooth: fit the motion to all frames in the end; not done where there are torques.
        torque_rad_s2: density of white angular acceleration, rad/s^2 per root of a hertz, for
            bodies that are not free.
        log_inertia: standard deviation of the logarithm of the second moments, around equal ones,
            before anything is observed.
        iterations: of the start, at most.
    """

    estimate_inertia: bool = False
    start_frames: int = 12
    smooth: bool = True
    torque_rad_s2: float = 0.0
    log_inertia: float = 1.5
    iterations: int = 25

    def forecast(self, observed: Observed, future: Floats) -> Forecast:
        """The estimated motion carried on, with its covariance.

        Raises:
            InputError: the inertia is not known.
        """
        # One more than determines the state where the noise has to be told from what is left over.
        check_observed(observed, future, 2 + self.estimate_inertia + (observed.noise_rad is None))
        bodies = observed.bodies
        if bodies is None:
            what = "principal axes" if self.estimate_inertia else "moments of inertia"
            raise InputError(f"the rigid-body filter needs the target's {what}: they are not given")
        to_principal = np.swapaxes(bodies.axes, -1, -2)
        # The camera from principal axes, which is what the dynamics speak of.
        rotations = observed.rotations @ to_principal[:, None]
        state = self._estimate(observed, rotations)
        ahead = future - observed.times[:, -1:]
        later, covariance = _spread(state, ahead)
        centre = None
        if bodies.centre is not None and not self.estimate_inertia:
            centre = np.einsum("bij,bj->bi", bodies.axes, bodies.centre)
        translations, spread = _translations(observed, state, ahead, later, covariance, centre)
        axes = bodies.axes[:, None]
        return Forecast(
            later @ axes,
            translations,
            np.swapaxes(axes, -1, -2) @ covariance @ axes,
            spread,
        )

    def _estimate(self, observed: Observed, rotations: Floats) -> _State:
        """The state at the last observed frame."""
        times = observed.times
        frames = times.shape[1]
        start = min(max(self.start_frames, 3), frames)
        noise = observed.noise_rad
        state = self._guess(times[:, :start], rotations[:, :start], observed)
        known = np.ones(len(times)) if noise is None else np.maximum(noise, _LEAST_RAD)
        state = self._fit(state, times[:, :start], rotations[:, :start], known)
        if noise is None:
            # The noise is what the fit leaves, and the prior is weighed again with it.
            known = np.maximum(_residual_noise(state, times[:, :start], rotations), _LEAST_RAD)
            state = self._fit(state, times[:, :start], rotations[:, :start], known)
        for frame in range(start, frames):
            state = self._predict(state, times[:, frame] - times[:, frame - 1])
            state = _update(state, rotations[:, frame], known)
        if self.smooth and frames > start and self.torque_rad_s2 == 0.0:
            state = self._fit(state, times, rotations, known)
        return state

    def _guess(self, times: Floats, rotations: Floats, observed: Observed) -> _State:
        """A first state from a smooth curve through the frames."""
        degree = 2 if times.shape[1] >= 4 else 1
        fit = fit_rotations(times, rotations, degree)
        count = len(times)
        assert observed.bodies is not None
        moments = observed.bodies.moments
        parameters = 2 if self.estimate_inertia else 0
        return _State(
            fit.base,
            fit.omega(),
            np.zeros((count, parameters)),
            np.zeros((count, 6 + parameters, 6 + parameters)),
            None if self.estimate_inertia else coupling(moments),
        )

    def _fit(self, state: _State, times: Floats, rotations: Floats, noise: Floats) -> _State:
        """Least squares of the state at the last of the frames, from a guess."""
        back = (times - times[:, -1:])[:, ::-1]
        poses = rotations[:, ::-1]
        weight = np.concatenate(
            [np.zeros(6), np.full(state.shape.shape[1], self.log_inertia**-2.0)]
        )
        damping = np.full(len(times), 1e-3)
        cost, normal, gradient = _normal(state, back, poses, noise, weight)
        active = np.arange(len(times))
        for _ in range(self.iterations):
            part = state.take(active)
            damped = normal[active] + damping[active, None, None] * (
                normal[active] * np.eye(normal.shape[-1])
            )
            step = np.linalg.solve(damped, gradient[active, :, None])[..., 0]
            trial = part.moved(step)
            n_cost, n_normal, n_gradient = _normal(
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
        return _State(
            state.rotation,
            state.omega,
            state.shape,
            np.asarray(np.linalg.inv(normal), dtype=np.float64),
            state.known,
        )

    def _predict(self, state: _State, dt: Floats) -> _State:
        """The state dt (B,) seconds on."""
        motion = propagate(
            state.coupling(),
            state.omega,
            dt[:, None],
            k_by=state.coupling_by(),
            derivatives=True,
            order=_ORDER,
        )
        size = state.covariance.shape[-1]
        transition = np.broadcast_to(np.eye(size), state.covariance.shape).copy()
        transition[:, :3, :3] = np.swapaxes(motion.turn[:, 0], -1, -2)
        transition[:, :3, 3:] = motion.turn_by[:, 0]
        transition[:, 3:6, 3:] = motion.omega_by[:, 0]
        covariance = transition @ state.covariance @ np.swapaxes(transition, -1, -2)
        q = self.torque_rad_s2**2
        for a, b, power, over in ((0, 0, 3, 3.0), (0, 3, 2, 2.0), (3, 0, 2, 2.0), (3, 3, 1, 1.0)):
            block = q * np.abs(dt) ** power / over
            covariance[:, a : a + 3, b : b + 3] += block[:, None, None] * np.eye(3)
        return _State(
            state.rotation @ motion.turn[:, 0],
            motion.omega[:, 0],
            state.shape,
            covariance,
            state.known,
        )


@dataclass(frozen=True)
class _State:
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
        logs = self.shape @ _BASIS.T
        return np.asarray(-np.tanh((logs[:, [1, 2, 0]] - logs[:, [2, 0, 1]]) / 2.0))

    def coupling_by(self) -> Floats | None:
        """Derivatives of the coefficients by the parameters, (B, 3, P)."""
        if self.known is not None:
            return None
        slope = -(1.0 - self.coupling() ** 2) / 2.0
        return np.asarray(slope[..., None] * (_BASIS[[1, 2, 0]] - _BASIS[[2, 0, 1]]))

    def take(self, rows: ArrayLike) -> _State:
        """The given states."""
        rows = np.asarray(rows)
        return _State(
            self.rotation[rows],
            self.omega[rows],
            self.shape[rows],
            self.covariance[rows],
            None if self.known is None else self.known[rows],
        )

    def replaced(self, rows: NDArray[np.intp], by: _State) -> _State:
        """These states, with some rows taken from others."""
        rotation, omega, shape = self.rotation.copy(), self.omega.copy(), self.shape.copy()
        rotation[rows], omega[rows], shape[rows] = by.rotation, by.omega, by.shape
        return _State(rotation, omega, shape, self.covariance, self.known)

    def moved(self, step: NDArray[np.floating[Any]]) -> _State:
        """These states moved by errors (B, 6+P)."""
        return _State(
            self.rotation @ exp(step[:, :3]),
            self.omega + step[:, 3:6],
            self.shape + step[:, 6:],
            self.covariance,
            self.known,
        )


@dataclass(frozen=True)
class _Path:
    """Rotations (B, N, 3, 3) from principal axes to the camera, and the derivative (B, N, 3, 6+P)
    of their right rotation vector by the state's error."""

    rotations: Floats
    by: Floats


def _path(state: _State, ahead: Floats) -> _Path:
    """Where states are `ahead` (B, N) seconds later."""
    motion = propagate(
        state.coupling(),
        state.omega,
        ahead,
        k_by=state.coupling_by(),
        derivatives=True,
        order=_ORDER,
    )
    by = np.concatenate([np.swapaxes(motion.turn, -1, -2), motion.turn_by], axis=-1)
    return _Path(state.rotation[:, None] @ motion.turn, by)


def _normal(
    state: _State, times: Floats, rotations: Floats, noise: Floats, weight: Floats
) -> tuple[Floats, Floats, Floats]:
    """Cost (B,), normal matrix (B, n, n) and descent direction (B, n) of the fit to rotations."""
    path = _path(state, times)
    residual = log(np.swapaxes(path.rotations, -1, -2) @ rotations)
    design = left_jacobian_inverse(residual) @ path.by / noise[:, None, None, None]
    residual = residual / noise[:, None, None]
    prior = weight[6:] * state.shape
    cost = np.sum(residual**2, axis=(1, 2)) + np.sum(prior * state.shape, axis=1)
    normal = np.einsum("btin,btim->bnm", design, design) + np.diag(weight)
    gradient = np.einsum("btin,bti->bn", design, residual)
    gradient[:, 6:] -= prior
    return cost, normal, gradient


def _residual_noise(state: _State, times: Floats, rotations: Floats) -> Floats:
    """Standard deviation (B,) of rotations about a fitted motion, radians about each axis."""
    frames = times.shape[1]
    path = _path(state, (times - times[:, -1:])[:, ::-1])
    residual = log(np.swapaxes(path.rotations, -1, -2) @ rotations[:, :frames][:, ::-1])
    freedom = max(1, 3 * frames - state.covariance.shape[-1])
    return np.asarray(np.sqrt(np.sum(residual**2, axis=(1, 2)) / freedom))


def _update(state: _State, rotation: Floats, noise: Floats) -> _State:
    """The state after a rotation (B, 3, 3) is observed."""
    residual = log(np.swapaxes(state.rotation, -1, -2) @ rotation)
    prior = state.covariance
    spread = (noise**2)[:, None, None] * np.eye(3)
    gain = np.swapaxes(np.linalg.solve(prior[:, :3, :3] + spread, prior[:, :3, :]), -1, -2)
    step = (gain @ residual[..., None])[..., 0]
    keep = np.broadcast_to(np.eye(prior.shape[-1]), prior.shape).copy()
    keep[:, :, :3] -= gain
    covariance = keep @ prior @ np.swapaxes(keep, -1, -2)
    covariance += gain @ spread @ np.swapaxes(gain, -1, -2)
    moved = state.moved(step)
    return _State(moved.rotation, moved.omega, moved.shape, covariance, state.known)


def _spread(state: _State, ahead: Floats) -> tuple[Floats, Floats]:
    """Rotations (B, H, 3, 3) later and the covariance (B, H, 3, 3) of their right rotation vector,
    by sigma points."""
    bodies, size = state.covariance.shape[:2]
    root = np.linalg.cholesky(state.covariance)
    steps = np.sqrt(size) * np.concatenate([root, -root], axis=-1)
    steps = np.concatenate([np.zeros((bodies, size, 1)), steps], axis=-1)
    points = steps.shape[-1]
    each = state.take(np.repeat(np.arange(bodies), points))
    each = each.moved(np.swapaxes(steps, -1, -2).reshape(-1, size))
    motion = propagate(each.coupling(), each.omega, np.repeat(ahead, points, axis=0), order=_ORDER)
    rotations = each.rotation[:, None] @ motion.turn
    rotations = rotations.reshape(bodies, points, *ahead.shape[1:], 3, 3)
    later = rotations[:, 0]
    off = log(np.swapaxes(later, -1, -2)[:, None] @ rotations[:, 1:])
    return later, np.einsum("bphi,bphj->bhij", off, off) / (points - 1)


def _translations(
    observed: Observed,
    state: _State,
    ahead: Floats,
    later: Floats,
    covariance: Floats,
    centre: Floats | None,
) -> tuple[Floats, Floats]:
    """Translations (B, H, 3) to come and their covariance (B, H, 3, 3).

    The centre of mass (B, 3) is in principal axes; estimated where it is None. `later` are the
    rotations to come and `covariance` is theirs.
    """
    since = observed.times - observed.times[:, -1:]
    past = _path(state, since[:, ::-1]).rotations[:, ::-1]
    eye = np.eye(3)

    def design(time: Floats, turned: Floats) -> Floats:
        still = np.broadcast_to(eye, (*time.shape, 3, 3))
        return np.concatenate([still, time[..., None, None] * eye, -turned], axis=-1)

    columns = design(since, past)
    normal = np.einsum("btin,btim->bnm", columns, columns)
    deviation = np.full(len(since), _CENTRE_M if centre is None else _LEAST_M)
    expected = np.zeros((len(since), 9))
    if centre is not None:
        expected[:, 6:] = centre
    prior = np.zeros((len(since), 9, 9))
    prior[:, 6:, 6:] = deviation[:, None, None] ** -2.0 * eye
    offset = observed.translations - (columns @ expected[:, None, :, None])[..., 0]
    right = np.einsum("btin,bti->bn", columns, offset)
    noise = observed.noise_m
    if noise is None:
        # About 1 mm where nothing is known yet: enough to hold what the frames do not determine.
        first = np.linalg.solve(normal + 1e-6 * prior, right[..., None])
        left = offset - (columns @ first[:, None])[..., 0]
        noise = np.sqrt(np.sum(left**2, axis=(1, 2)) / max(1, left[0].size - 9))
    variance = (np.maximum(noise, _LEAST_M) ** 2)[:, None, None]
    spread = np.linalg.inv(normal / variance + prior)
    solved = expected[..., None] + spread @ (right[..., None] / variance)
    columns = design(ahead, later)
    translations = (columns @ solved[:, None])[..., 0]
    lever = later @ hat(solved[:, 6:, 0])[:, None]
    out = columns @ spread[:, None] @ np.swapaxes(columns, -1, -2)
    return translations, out + lever @ covariance @ np.swapaxes(lever, -1, -2)


def filter_known() -> RigidBodyFilter:
    """Rigid-body filter that knows the moments of inertia and the centre of mass."""
    return RigidBodyFilter()


def filter_ratios() -> RigidBodyFilter:
    """Rigid-body filter that estimates the ratios of the moments; it knows the principal axes."""
    return RigidBodyFilter(estimate_inertia=True)
