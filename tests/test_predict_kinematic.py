"""bench.predict.kinematic: exact where its assumption holds, and laws of frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from bench.predict.kinematic import acceleration, fit_rotations, last_pose, two_pose, velocity
from bench.predict.motions import make_sequence
from bench.predict.protocols import Lab
from bench.predict.rotations import exp, random_rotations
from bench.predict.types import Observed, PoseModel
from satgen.errors import InputError
from satgen.geometry import Floats, geodesic

MODELS = {
    "last": last_pose(),
    "two-pose": two_pose(),
    "velocity": velocity(),
    "acceleration": acceleration(),
}


def moving(
    omega: Floats, bend: Floats, times: Floats, seed: int = 0
) -> tuple[Observed, Floats, Floats]:
    """A window of 12 frames and all poses: exp(w s + a s^2 / 2) R about the last frame seen."""
    rng = np.random.default_rng(seed)
    since = (times - times[:, 11:12])[..., None]
    turn = exp(since * omega + since**2 / 2.0 * bend) @ random_rotations(rng, 1)
    shift = rng.normal(size=3) + since * rng.normal(size=3) + since**2 * bend
    return Observed(times[:, :12], turn[:, :12], shift[:, :12]), turn, shift


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.0, 0.3), st.floats(0.0, 0.002))
def test_each_is_exact_where_its_assumption_holds(seed: int, rate: float, bend: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 1.5, (1, 20)), axis=1)
    omega, turn_by = rate * rng.normal(size=3), bend * rng.normal(size=3)
    steady, turn, shift = moving(omega, np.zeros(3), times, seed)
    for model in (two_pose(), velocity(), acceleration()):
        found = model.forecast(steady, times[:, 12:])
        assert geodesic(found.rotations, turn[:, 12:]).max() < 1e-7
        assert np.abs(found.translations - shift[:, 12:]).max() < 1e-7
    bent, turn, shift = moving(0.3 * omega, turn_by, times, seed)
    found = acceleration().forecast(bent, times[:, 12:])
    assert geodesic(found.rotations, turn[:, 12:]).max() < 1e-6
    assert np.abs(found.translations - shift[:, 12:]).max() < 1e-6


def test_last_pose_stays() -> None:
    seen, turn, shift = moving(np.full(3, 0.1), np.zeros(3), np.arange(15.0)[None])
    found = last_pose().forecast(seen, np.array([[12.0, 14.0]]))
    assert np.array_equal(found.rotations, np.repeat(turn[:, 11:12], 2, axis=1))
    assert np.array_equal(found.translations, np.repeat(shift[:, 11:12], 2, axis=1))


def test_windows_of_more_than_half_a_turn_are_followed() -> None:
    times = np.arange(42.0)[None]
    omega = np.array([0.1, -0.05, 0.08])
    turn = exp(times[..., None] * omega)
    fit = fit_rotations(times[:, :40], turn[:, :40], 1)
    assert np.abs(fit.coefficients[0, 0] - omega).max() < 1e-10
    assert geodesic(fit.at(times[:, 40:] - 39.0), turn[:, 40:]).max() < 1e-9


def test_fit_is_scipy_s_least_squares() -> None:
    (episodes,) = Lab(motions=("tumble-3",), frames=100, noise_deg=(0.5,)).episodes()
    times, turns = episodes.observed.times, episodes.observed.rotations
    since = times[0] - times[0, -1]
    base = Rotation.from_matrix(turns[0, -1])
    seen = Rotation.from_matrix(turns[0])
    for degree in (1, 2):

        def residual(x: Floats, degree: int = degree) -> Floats:
            vectors = sum(np.outer(since ** (d + 1), x[3 * d : 3 * d + 3]) for d in range(degree))
            model = Rotation.from_rotvec(vectors) * Rotation.from_rotvec(x[-3:]) * base
            return np.asarray((model.inv() * seen).as_rotvec().ravel())

        start = np.zeros(3 * degree + 3)
        start[:3] = (seen[-1] * seen[-2].inv()).as_rotvec()
        best = least_squares(residual, start, xtol=1e-14, ftol=1e-14, gtol=1e-14).x
        fit = fit_rotations(times[:1], turns[:1], degree)
        assert np.abs(fit.coefficients.ravel() - best[:-3]).max() < 1e-6
        assert geodesic(fit.base[0], (Rotation.from_rotvec(best[-3:]) * base).as_matrix()) < 1e-6


def test_constant_velocity_is_all_but_exact_on_the_noiseless_spiral() -> None:
    """1.2 degrees after 80 frames from two poses: so the spiral proves nothing of a model."""
    (episodes,) = Lab(motions=("spiral",), noise_deg=(0.0,)).episodes()
    found = two_pose().forecast(episodes.observed, episodes.future)
    error = np.degrees(np.median(geodesic(found.rotations, episodes.rotations), axis=0))
    assert error[-1] == pytest.approx(1.2, abs=0.05)
    assert error[-2] == pytest.approx(0.31, abs=0.02)


@pytest.mark.parametrize(
    ("motion", "noise", "model", "expected"),
    [
        ("spiral", 0.1, "velocity", (0.09, 0.13, 0.19, 0.32, 0.65, 1.6)),
        ("spiral", 0.1, "two-pose", (0.33, 1.2, 2.3, 4.4, 8.6, 16.0)),
        ("tumble-1", 0.1, "velocity", (0.13, 0.31, 0.67, 1.8, 5.8, 19.0)),
        ("tumble-3", 0.1, "velocity", (0.78, 2.5, 5.7, 16.0, 46.0, 107.0)),
        ("tumble-3", 0.0, "two-pose", (0.05, 0.76, 2.8, 10.0, 37.0, 102.0)),
    ],
)
def test_errors_are_those_of_another_implementation(
    motion: str, noise: float, model: str, expected: tuple[float, ...]
) -> None:
    """Figures that a script of SciPy rotations gave, of other noise and its own fit: to a tenth."""
    protocol = Lab(motions=(motion,), noise_deg=(noise,), horizons=(1, 5, 10, 20, 40, 80))
    (episodes,) = protocol.episodes()
    found = MODELS[model].forecast(episodes.observed, episodes.future)
    error = np.degrees(np.median(geodesic(found.rotations, episodes.rotations), axis=0))
    assert error == pytest.approx(expected, rel=0.13, abs=0.02)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
@pytest.mark.parametrize("name", MODELS)
def test_turned_frames_turn_the_forecast(name: str, seed: int) -> None:
    """Of the camera, on the left; of the target, on the right."""
    rng = np.random.default_rng(seed)
    model: PoseModel = MODELS[name]
    (episodes,) = Lab(motions=("tumble-3",), frames=100, noise_deg=(0.5,)).episodes()
    seen, future = episodes.observed, episodes.future
    left, right = random_rotations(rng, 2)
    plain = model.forecast(seen, future)
    turned = model.forecast(
        replace(
            seen, rotations=left @ seen.rotations @ right, translations=seen.translations @ left.T
        ),
        future,
    )
    assert geodesic(turned.rotations, left @ plain.rotations @ right).max() < 1e-6
    assert np.abs(turned.translations - plain.translations @ left.T).max() < 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_times_may_be_shifted(name: str) -> None:
    (episodes,) = Lab(motions=("tumble-1",), frames=100, noise_deg=(0.1,)).episodes()
    seen, future = episodes.observed, episodes.future
    plain = MODELS[name].forecast(seen, future)
    later = MODELS[name].forecast(replace(seen, times=seen.times + 1000.0), future + 1000.0)
    assert geodesic(plain.rotations, later.rotations).max() < 1e-7


def broken(seen: Observed, future: Floats, what: str) -> tuple[Observed, Floats]:
    """A window with a fault."""
    if what == "one frame":
        return seen.last(1), future
    if what == "nan":
        turns = seen.rotations.copy()
        turns[0, 3] = np.nan
        return replace(seen, rotations=turns), future
    if what == "order":
        return replace(seen, times=seen.times[:, ::-1]), future
    if what == "past":
        return seen, future - 50.0
    if what == "noise":
        return replace(seen, noise_rad=np.full(len(seen), np.nan)), future
    return replace(seen, translations=seen.translations[:, :5]), future


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("one frame", "1 observed frame: must be at least 2"),
        ("nan", "rotations: must be finite"),
        ("order", "times: must grow"),
        ("past", "must not lie before the last observed frame"),
        ("noise", "noise of rotations: must be finite"),
        ("shape", "translations"),
    ],
)
def test_windows_that_cannot_be_are_refused(what: str, said: str) -> None:
    (episodes,) = Lab(motions=("tumble-1",), frames=100, noise_deg=(0.1,)).episodes()
    seen, future = broken(episodes.observed, episodes.future, what)
    with pytest.raises(InputError, match=said) as caught:
        velocity().forecast(seen, future)
    assert "\n" not in str(caught.value)


def test_a_single_pose_is_enough_to_stand_still() -> None:
    sequence = make_sequence("tumble-1", 3)
    seen = Observed(
        sequence.times[None, :1], sequence.rotations[None, :1], sequence.translations[None, :1]
    )
    assert last_pose().forecast(seen, np.array([[400.0]])).rotations.shape == (1, 1, 3, 3)
