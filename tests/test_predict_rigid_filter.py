"""bench.predict.rigid_filter against SciPy's least squares and filterpy's unscented filter."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from filterpy.kalman import MerweScaledSigmaPoints, UnscentedKalmanFilter
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from bench.predict.figures import Errors, errors_of, nees_interval
from bench.predict.kinematic import velocity
from bench.predict.protocols import FreeRotation, Lab
from bench.predict.rigid_filter import RigidBodyFilter, filter_known, filter_ratios
from bench.predict.rotations import log, random_rotations
from bench.predict.types import Episodes, Forecast, Observed
from satgen.errors import InputError
from satgen.geometry import Floats, geodesic


@lru_cache
def episodes(motion: str, noise: float, observed: int = 12) -> Episodes:
    """Windows of the lab protocol."""
    (found,) = Lab(motions=(motion,), noise_deg=(noise,), observed=observed).episodes()
    return found


@lru_cache
def errors(motion: str, noise: float, observed: int, ratios: bool) -> tuple[Errors, Floats]:
    """Errors of a filter and of the fitted constant velocity, degrees (B, H)."""
    part = episodes(motion, noise, observed)
    if ratios:  # slower: every other window
        part = part.take(np.arange(0, len(part), 2))
    model = filter_ratios() if ratios else filter_known()
    plain = errors_of(velocity().forecast(part.observed, part.future), part)
    return errors_of(model.forecast(part.observed, part.future), part), plain.rotation_deg


def books(moments: Floats, start: Rotation, omega: Floats, times: Floats) -> list[Rotation]:
    """Rotations at times (N,) after 0 by Euler's equations and quaternions, integrated by SciPy."""

    def slope(_: float, y: Floats) -> Floats:
        w, q = y[:3], y[3:]
        turn = q / np.linalg.norm(q)
        rate = 0.5 * np.array(
            [
                turn[3] * w[0] + turn[1] * w[2] - turn[2] * w[1],
                turn[3] * w[1] + turn[2] * w[0] - turn[0] * w[2],
                turn[3] * w[2] + turn[0] * w[1] - turn[1] * w[0],
                -turn[:3] @ w,
            ]
        )
        return np.concatenate([np.cross(moments * w, w) / moments, rate])

    first = np.concatenate([omega, start.as_quat()])
    span = (0.0, float(times[-1]))
    solved = solve_ivp(slope, span, first, "DOP853", t_eval=times, rtol=1e-10, atol=1e-12)
    return [Rotation.from_quat(q) for q in solved.y[3:].T]


@pytest.mark.parametrize("row", [0, 40, 150])
def test_known_inertia_is_scipy_s_batch_solution(row: int) -> None:
    """Maximum likelihood from the first frame on, by other code for dynamics and derivatives."""
    part = episodes("tumble-3-box", 0.5).take([row])
    seen = part.observed
    assert seen.bodies is not None and seen.noise_rad is not None
    times, moments = seen.times[0] - seen.times[0, 0], seen.bodies.moments[0]
    frames = Rotation.from_matrix(seen.rotations[0])

    def model(x: Floats, at: Floats) -> list[Rotation]:
        return books(moments, frames[0] * Rotation.from_rotvec(x[:3]), x[3:], at)

    def residual(x: Floats) -> Floats:
        found = model(x, times)
        off = [(a.inv() * b).as_rotvec() for a, b in zip(found, frames, strict=True)]
        return np.concatenate(off) / seen.noise_rad[0]

    start = np.concatenate([np.zeros(3), (frames[0].inv() * frames[1]).as_rotvec()])
    best = least_squares(residual, start, jac="3-point", xtol=1e-12, ftol=1e-12, gtol=1e-12)
    ahead = part.future[0] - seen.times[0, 0]
    expected = np.array([r.as_matrix() for r in model(best.x, ahead)])
    found = filter_known().forecast(seen, part.future)
    assert np.degrees(geodesic(found.rotations[0], expected)).max() < 2e-3
    # The covariance of the forecast, from SciPy's Jacobian and differences of the forecast.
    spread = np.linalg.inv(best.jac.T @ best.jac)
    moved = []
    for number in range(6):
        step = 1e-5 * np.eye(6)[number]
        pair = [model(best.x + sign * step, ahead) for sign in (1.0, -1.0)]
        moved.append([(b.inv() * a).as_rotvec() / 2e-5 for a, b in zip(*pair, strict=True)])
    by = np.moveaxis(np.array(moved), 0, -1)
    wanted = by @ spread @ np.swapaxes(by, -1, -2)
    assert found.rotation_covariance is not None
    scale = np.abs(wanted).max(axis=(-1, -2), keepdims=True)
    assert np.abs((found.rotation_covariance[0] - wanted) / scale)[:5].max() < 0.03


def test_unknown_inertia_is_scipy_s_batch_solution() -> None:
    """Eight unknowns, the moments themselves among them, and no prior: what the filter errs by
    after 40 frames is what the window holds, not what the filter loses."""
    part = episodes("tumble-3-box", 0.1, 40).take([40])
    seen = part.observed
    assert seen.noise_rad is not None
    times, sigma = seen.times[0] - seen.times[0, 0], float(seen.noise_rad[0])
    frames = Rotation.from_matrix(seen.rotations[0])

    def model(x: Floats, at: Floats) -> list[Rotation]:
        moments = np.array([x[6], x[7], 1.0])
        return books(moments, frames[0] * Rotation.from_rotvec(x[:3]), x[3:6], at)

    def residual(x: Floats) -> Floats:
        off = [
            (a.inv() * b).as_rotvec() / sigma for a, b in zip(model(x, times), frames, strict=True)
        ]
        return np.concatenate(off)

    rate = (frames[0].inv() * frames[4]).as_rotvec() / 4.0
    start = np.concatenate([np.zeros(3), rate, [0.7, 0.9]])
    best = least_squares(residual, start, jac="3-point", x_scale="jac", xtol=1e-10, ftol=1e-10)
    expected = np.array([r.as_matrix() for r in model(best.x, part.future[0] - seen.times[0, 0])])
    found = filter_ratios().forecast(seen, part.future)
    assert found.rotation_covariance is not None
    deviation = np.sqrt(np.trace(found.rotation_covariance[0], axis1=-1, axis2=-2))
    assert (geodesic(found.rotations[0], expected) < 0.1 * deviation).all()


def test_known_inertia_is_filterpy_s_unscented_filter() -> None:
    """A filter of another kind: sigma points, rotation vectors about one frame, a wide start."""
    part = episodes("tumble-3", 0.1, 40).take([5, 90])
    seen = part.observed
    assert seen.bodies is not None and seen.noise_rad is not None
    mine = filter_known().forecast(seen, seen.times[:, -1:])
    for row in range(2):
        moments, sigma = seen.bodies.moments[row], float(seen.noise_rad[row])
        frames = Rotation.from_matrix(seen.rotations[row])
        reference = frames[20]

        def forward(
            x: Floats, dt: float, base: Rotation = reference, moments: Floats = moments
        ) -> Floats:
            # One Runge-Kutta step of the rates in ten parts, and the exact turn of each.
            turn, w, h = base * Rotation.from_rotvec(x[:3]), x[3:], dt / 10.0
            for _ in range(10):
                a = np.cross(moments * w, w) / moments
                half = w + h / 2.0 * a
                b = np.cross(moments * half, half) / moments
                turn = turn * Rotation.from_rotvec(h * (w + h / 2.0 * b))
                w = w + h * b
            return np.concatenate([(base.inv() * turn).as_rotvec(), w])

        points = MerweScaledSigmaPoints(6, alpha=0.5, beta=2.0, kappa=-3.0)
        ukf = UnscentedKalmanFilter(6, 3, 1.0, lambda x: x[:3], forward, points)
        ukf.x = np.zeros(6)
        ukf.x[:3] = (reference.inv() * frames[0]).as_rotvec()
        ukf.x[3:] = (frames[0].inv() * frames[1]).as_rotvec()
        ukf.P = np.diag([sigma**2] * 3 + [0.02**2] * 3)
        ukf.R, ukf.Q = sigma**2 * np.eye(3), 1e-16 * np.eye(6)
        for frame in range(1, 40):
            ukf.predict()
            ukf.update((reference.inv() * frames[frame]).as_rotvec())
        found = (reference * Rotation.from_rotvec(ukf.x[:3])).as_matrix()
        assert mine.rotation_covariance is not None
        deviation = np.sqrt(np.trace(mine.rotation_covariance[row, 0]))
        assert geodesic(mine.rotations[row, 0], found) < 0.25 * deviation


def test_targets_of_the_filter_that_knows_the_inertia() -> None:
    """At 0.1 degrees of noise and 3 degrees a frame: a quarter of constant velocity at 20 frames
    (it is a fiftieth), and of use at 80."""
    found, plain = errors("tumble-3", 0.1, 12, False)
    median = np.median(found.rotation_deg, axis=0)
    assert np.median(plain[:, 4]) == pytest.approx(16.0, rel=0.1)
    assert median[4] < np.median(plain[:, 4]) / 25.0
    assert median[6] < 1.5
    assert np.mean(found.rotation_deg[:, 6] < 5.0) > 0.99


@pytest.mark.parametrize("motion", ["tumble-3", "tumble-6-disc"])
@pytest.mark.parametrize(("observed", "ratios"), [(12, False), (12, True), (40, False), (40, True)])
def test_covariances_are_honest(motion: str, observed: int, ratios: bool) -> None:
    """The mean NEES of 100 or 200 windows, within the interval of 99.9 times of 100."""
    found, _ = errors(motion, 0.1, observed, ratios)
    assert found.nees is not None and found.translation_nees is not None
    low, high = nees_interval(len(found.nees), confidence=0.999)
    assert (found.nees.mean(axis=0)[:6] > low).all()
    assert (found.nees.mean(axis=0)[:6] < high).all()
    assert (found.translation_nees.mean(axis=0)[:6] < high).all()


def test_unknown_inertia_is_of_use_and_admits_that_it_is_unknown() -> None:
    """After 12 frames the ratios are hardly seen: the forecast is worse, its covariance wider. At
    80 frames the error is no Gaussian, and few windows with large squares make the mean."""
    found, plain = errors("tumble-3", 0.1, 12, True)
    assert (np.median(found.rotation_deg, axis=0)[3:] < np.median(plain, axis=0)[3:] / 4.0).all()
    assert found.nees is not None
    assert found.nees[:, 6].mean() < 4.5 and np.mean(found.nees[:, 6] < 7.815) > 0.85


def test_unknown_inertia_after_40_frames() -> None:
    """Within 1.5 times of known inertia 2 frames ahead, and as near as the frames allow beyond:
    see tests/test_predict_bound.py."""
    ratios, _ = errors("tumble-3", 0.1, 40, True)
    known, _ = errors("tumble-3", 0.1, 40, False)
    share = np.median(ratios.rotation_deg, axis=0) / np.median(known.rotation_deg, axis=0)
    assert (share[:2] < 1.5).all()
    assert (share < 6.0).all()


def test_filtering_and_smoothing_agree_where_the_inertia_is_known() -> None:
    part = episodes("tumble-3", 0.1, 40).take(np.arange(20))
    plain = RigidBodyFilter(smooth=False).forecast(part.observed, part.future)
    smooth = filter_known().forecast(part.observed, part.future)
    assert smooth.rotation_covariance is not None and plain.rotation_covariance is not None
    off = log(np.swapaxes(smooth.rotations, -1, -2) @ plain.rotations)
    scale = np.sqrt(np.trace(smooth.rotation_covariance, axis1=-1, axis2=-2))
    assert (np.linalg.norm(off, axis=-1) < 0.3 * scale).all()
    widths = [np.trace(f.rotation_covariance, axis1=-1, axis2=-2) for f in (plain, smooth)]
    assert np.abs(widths[0] / widths[1] - 1.0).max() < 0.1


def test_noiseless_tumbles_are_exact() -> None:
    for ratios in (False, True):
        found, _ = errors("tumble-3-box", 0.0, 12, ratios)
        assert np.median(found.rotation_deg, axis=0).max() < 1e-3
        assert np.quantile(found.translation_m, 0.9) < 0.05
        assert found.nees is None


def test_noise_is_estimated_where_it_is_not_known() -> None:
    part = episodes("tumble-3", 0.5)
    unknown = replace(part.observed, noise_rad=None, noise_m=None)
    found = filter_known().forecast(unknown, part.future)
    told = filter_known().forecast(part.observed, part.future)
    assert geodesic(found.rotations, told.rotations).max() < 1e-5
    nees = errors_of(found, part).nees
    assert nees is not None
    # Of 30 degrees of freedom the scale is known to 13 %: Hotelling's 3 * 30 / 28 instead of 3.
    assert np.abs(nees.mean(axis=0)[:5] - 3.2).max() < 0.6
    few = unknown.last(2)
    with pytest.raises(InputError, match="2 observed frames: must be at least 3"):
        filter_known().forecast(few, part.future)


def test_torques_widen_the_forecast() -> None:
    part = episodes("tumble-3", 0.1, 40).take(np.arange(5))
    widths = []
    for torque in (0.0, 1e-5, 1e-4):
        model = RigidBodyFilter(torque_rad_s2=torque)
        found = model.forecast(part.observed, part.future)
        assert found.rotation_covariance is not None
        widths.append(np.trace(found.rotation_covariance[:, 4], axis1=-1, axis2=-2))
    assert (widths[0] < widths[1]).all() and (widths[1] < widths[2]).all()


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.booleans())
def test_turned_frames_turn_the_forecast(seed: int, ratios: bool) -> None:
    """The camera's on the left; the target's on the right, with its axes and its centre."""
    rng = np.random.default_rng(seed)
    part = episodes("tumble-3-box", 0.1).take(np.arange(4))
    seen = part.observed
    assert seen.bodies is not None and seen.bodies.centre is not None
    left, right = random_rotations(rng, 2)
    bodies = replace(seen.bodies, axes=seen.bodies.axes @ right, centre=seen.bodies.centre @ right)
    moved = replace(
        seen,
        rotations=left @ seen.rotations @ right,
        translations=seen.translations @ left.T,
        bodies=bodies,
    )
    model = RigidBodyFilter(estimate_inertia=ratios)
    plain, turned = model.forecast(seen, part.future), model.forecast(moved, part.future)
    assert geodesic(turned.rotations, left @ plain.rotations @ right).max() < 1e-5
    assert np.abs(turned.translations - plain.translations @ left.T).max() < 1e-4
    assert plain.rotation_covariance is not None and turned.rotation_covariance is not None
    expected = right.T @ plain.rotation_covariance @ right
    assert turned.rotation_covariance == pytest.approx(expected, rel=1e-2, abs=1e-9)


def test_a_mass_that_is_scaled_is_the_same_body() -> None:
    part = episodes("tumble-3", 0.1).take(np.arange(4))
    assert part.observed.bodies is not None
    heavy = replace(part.observed.bodies, moments=1e4 * part.observed.bodies.moments)
    plain = filter_known().forecast(part.observed, part.future)
    scaled = filter_known().forecast(replace(part.observed, bodies=heavy), part.future)
    assert geodesic(plain.rotations, scaled.rotations).max() < 1e-9


def test_jittered_noisy_free_rotation_is_followed() -> None:
    protocol = FreeRotation(sequences=60, noise_deg=(1.15,), inertia=("box",))
    (part,) = protocol.episodes()
    found = errors_of(filter_known().forecast(part.observed, part.future), part)
    plain = errors_of(velocity().forecast(part.observed, part.future), part)
    assert np.median(found.rotation_deg[:, -1]) < np.median(plain.rotation_deg[:, -1])
    assert found.nees is not None and 2.0 < found.nees.mean() < 4.5


def test_standing_still_is_a_motion() -> None:
    part = episodes("tumble-3", 0.1).take([0])
    still = replace(part.observed, rotations=np.repeat(part.observed.rotations[:, :1], 12, axis=1))
    for model in (filter_known(), filter_ratios()):
        found: Forecast = model.forecast(still, part.future)
        assert geodesic(found.rotations, still.rotations[:, :1]).max() < 1e-3


def test_without_inertia_it_is_refused() -> None:
    part = episodes("tumble-3", 0.1).take([0])
    bare: Observed = replace(part.observed, bodies=None)
    with pytest.raises(InputError, match="needs the target's moments of inertia"):
        filter_known().forecast(bare, part.future)
    with pytest.raises(InputError, match="needs the target's principal axes"):
        filter_ratios().forecast(bare, part.future)
    with pytest.raises(InputError, match="1 observed frame: must be at least 2"):
        filter_known().forecast(part.observed.last(1), part.future)
