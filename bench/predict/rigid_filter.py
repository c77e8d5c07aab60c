"""A multiplicative Kalman filter with the dynamics of a free rigid body.

Its state, with six or eight numbers and no constraint, is that of `rigid_state`. The filter starts
from a least-squares fit of the whole motion to the first frames (Levenberg and Marquardt), whose
inverse normal matrix is its first covariance, and takes every later frame by predict and update. At
the end the motion is fitted once more, to all frames and from where the filter is: the iterated
smoother, which makes up for updates that were linearised about poor ratios of the moments. Only the
dynamics say how the target moves: where the camera turns, as on the spiral, they are wrong, and so
are the forecasts.

Where the inertia is known the forecast's covariance is taken from sigma points, as of the unscented
filter (Julier and Uhlmann 1997), about the forecast of the state itself. Where the ratios of the
moments are estimated, they are uncertain by so much after a short window that sigma points would
promise too much: the forecast is the mean over a grid of ratios, see `inertia_grid`.

The translation is that of a point of the target, the centre of mass, that moves uniformly:
t = p + v s - R c, with p, v and, where the inertia is not known, c by linear least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.predict.inertia_grid import mixture_of
from bench.predict.kinematic import fit_rotations
from bench.predict.rigid_body import coupling, propagate
from bench.predict.rigid_state import ORDER, State, fit_states, path_of
from bench.predict.rotations import hat, log
from bench.predict.types import Forecast, Observed, check_observed
from satgen.errors import InputError
from satgen.geometry import Floats

_LEAST_RAD, _LEAST_M = 1e-6, 1e-6
"""Least standard deviation of what is observed, so that noiseless poses can be weighed."""

_TOGETHER = 64
"""Sequences whose grids are held in memory together."""

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
        state, noise = self._estimate(observed, rotations)
        ahead = future - observed.times[:, -1:]
        if self.estimate_inertia and self.smooth and self.torque_rad_s2 == 0.0:
            parts = [
                self._over_ratios(observed.take(rows), rotations[rows], part, noise[rows], to)
                for rows in np.array_split(np.arange(len(ahead)), -(-len(ahead) // _TOGETHER))
                for part, to in [(state.take(rows), ahead[rows])]
            ]
            later, covariance, translations, spread = (
                np.concatenate(each) for each in zip(*parts, strict=True)
            )
        else:
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

    def _over_ratios(
        self, observed: Observed, rotations: Floats, state: State, noise: Floats, ahead: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Rotations and translations (B, H) to come with their covariances, as means over the
        ratios of the moments."""
        mixture = mixture_of(state, observed.times, rotations, noise, self.log_inertia)
        row = mixture.row
        path = path_of(mixture.state, ahead[row])
        within = path.by @ mixture.state.covariance[:, None] @ np.swapaxes(path.by, -1, -2)
        shifts, spread = _translations(
            observed.take(row), mixture.state, ahead[row], path.rotations, within, None
        )
        return (
            *mixture.rotations(path.rotations, within),
            *mixture.vectors(shifts, spread),
        )

    def _estimate(self, observed: Observed, rotations: Floats) -> tuple[State, Floats]:
        """The state at the last observed frame, and the noise (B,) of the rotations, radians."""
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
        return state, known

    def _guess(self, times: Floats, rotations: Floats, observed: Observed) -> State:
        """A first state from a smooth curve through the frames."""
        degree = 2 if times.shape[1] >= 4 else 1
        fit = fit_rotations(times, rotations, degree)
        count = len(times)
        assert observed.bodies is not None
        moments = observed.bodies.moments
        parameters = 2 if self.estimate_inertia else 0
        return State(
            fit.base,
            fit.omega(),
            np.zeros((count, parameters)),
            np.zeros((count, 6 + parameters, 6 + parameters)),
            None if self.estimate_inertia else coupling(moments),
        )

    def _fit(self, state: State, times: Floats, rotations: Floats, noise: Floats) -> State:
        return fit_states(state, times, rotations, noise, self.log_inertia, self.iterations)

    def _predict(self, state: State, dt: Floats) -> State:
        """The state dt (B,) seconds on."""
        motion = propagate(
            state.coupling(),
            state.omega,
            dt[:, None],
            k_by=state.coupling_by(),
            derivatives=True,
            order=ORDER,
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
        return State(
            state.rotation @ motion.turn[:, 0],
            motion.omega[:, 0],
            state.shape,
            covariance,
            state.known,
        )


def _residual_noise(state: State, times: Floats, rotations: Floats) -> Floats:
    """Standard deviation (B,) of rotations about a fitted motion, radians about each axis."""
    frames = times.shape[1]
    path = path_of(state, (times - times[:, -1:])[:, ::-1])
    residual = log(np.swapaxes(path.rotations, -1, -2) @ rotations[:, :frames][:, ::-1])
    freedom = max(1, 3 * frames - state.covariance.shape[-1])
    return np.asarray(np.sqrt(np.sum(residual**2, axis=(1, 2)) / freedom))


def _update(state: State, rotation: Floats, noise: Floats) -> State:
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
    return State(moved.rotation, moved.omega, moved.shape, covariance, state.known)


def _spread(state: State, ahead: Floats) -> tuple[Floats, Floats]:
    """Rotations (B, H, 3, 3) later and the covariance (B, H, 3, 3) of their right rotation vector,
    by sigma points."""
    bodies, size = state.covariance.shape[:2]
    root = np.linalg.cholesky(state.covariance)
    steps = np.sqrt(size) * np.concatenate([root, -root], axis=-1)
    steps = np.concatenate([np.zeros((bodies, size, 1)), steps], axis=-1)
    points = steps.shape[-1]
    each = state.take(np.repeat(np.arange(bodies), points))
    each = each.moved(np.swapaxes(steps, -1, -2).reshape(-1, size))
    motion = propagate(each.coupling(), each.omega, np.repeat(ahead, points, axis=0), order=ORDER)
    rotations = each.rotation[:, None] @ motion.turn
    rotations = rotations.reshape(bodies, points, *ahead.shape[1:], 3, 3)
    later = rotations[:, 0]
    off = log(np.swapaxes(later, -1, -2)[:, None] @ rotations[:, 1:])
    return later, np.einsum("bphi,bphj->bhij", off, off) / (points - 1)


def _translations(
    observed: Observed,
    state: State,
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
    past = path_of(state, since[:, ::-1]).rotations[:, ::-1]
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
