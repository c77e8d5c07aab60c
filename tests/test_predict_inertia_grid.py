"""bench.predict.inertia_grid: a posterior that is one, and a covariance that is the error's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from bench.predict.figures import errors_of, nees_interval
from bench.predict.inertia_grid import Mixture
from bench.predict.motions import Noise, look_at, second_to_moments, tumble_rotations
from bench.predict.protocols import FreeRotation, observed_episodes
from bench.predict.rigid_body import make_bodies
from bench.predict.rigid_filter import filter_ratios
from bench.predict.rigid_state import State
from bench.predict.rotations import exp, random_rotations
from bench.predict.types import Episodes
from satgen.geometry import Floats, geodesic

AHEAD = (1, 5, 20, 80)


def drawn(count: int, noise_deg: float, observed: int) -> Episodes:
    """Bodies drawn from the filter's own prior, 3 degrees a frame in any direction."""
    rng = np.random.default_rng(7)
    parameters = filter_ratios().log_inertia * rng.normal(size=(count, 2))
    axes = np.array([[2.0, -1.0, -1.0], [0.0, 3.0**0.5, -(3.0**0.5)]]) / 2.0
    moments = second_to_moments(np.exp(parameters @ axes))
    bodies = make_bodies(moments / moments.max(axis=1, keepdims=True))
    omega = rng.normal(size=(count, 3))
    omega *= np.radians(3.0) / np.linalg.norm(omega, axis=1, keepdims=True)
    frames = np.concatenate([np.arange(1.0 - observed, 1.0), AHEAD])
    times = np.tile(frames, (count, 1))
    rotations = tumble_rotations(bodies, random_rotations(rng, count), omega, times)
    return observed_episodes(
        times=times,
        rotations=rotations,
        translations=look_at(rotations),
        bodies=bodies,
        noise=Noise(noise_deg, 0.01),
        observed=observed,
        horizons=AHEAD,
        motion="drawn",
        rng=rng,
    )


@pytest.mark.parametrize("noise_deg", [0.1, 0.5])
def test_covariances_are_honest_where_the_ratios_are_hardly_seen(noise_deg: float) -> None:
    """A law of Bayes: over bodies drawn from the prior the mean NEES is 3 however the posterior is
    shaped, as long as its second moment is the covariance that is given. At 80 frames the errors
    are far from Gaussian, and the mean of few is no measure."""
    part = drawn(120, noise_deg, 12)
    found = filter_ratios().forecast(part.observed, part.future)
    nees = errors_of(found, part).nees
    assert nees is not None
    low, high = nees_interval(len(nees), confidence=0.999)
    near = nees[:, :3].mean(axis=0)
    assert (near > low).all() and (near < high).all()
    assert np.mean(nees[:, 3] < chi2.ppf(0.95, 3)) > 0.85


def test_a_grid_too_wide_for_the_posterior_is_narrowed() -> None:
    """Without noise the first grid may be so wide that a single point has all the weight."""
    (part,) = FreeRotation(inertia=("flat",), noise_deg=(0.0,), sequences=30).episodes()
    part = part.take([2])
    found = filter_ratios().forecast(part.observed, part.future)
    assert geodesic(found.rotations, part.rotations).max() < 2e-3
    assert found.rotation_covariance is not None
    assert np.linalg.eigvalsh(found.rotation_covariance).min() > 0.0


def mixture(rows: list[int], weights: list[float], rotations: Floats) -> Mixture:
    blank = np.zeros((len(rows), 3))
    state = State(rotations, blank, blank[:, :0], np.zeros((len(rows), 6, 6)), blank)
    return Mixture(np.array(rows), np.array(weights), state)


def test_a_mixture_s_mean_and_covariance() -> None:
    """Two turns about z, as far apart as their weights say, and a part alone."""
    turns = exp(np.array([[0.0, 0.0, 0.3], [0.0, 0.0, -0.3], [0.1, 0.0, 0.0]]))
    both = mixture([0, 0, 1], [0.5, 0.5, 1.0], turns)
    inner = 0.01 * np.tile(np.diag([1.0, 2.0, 3.0]), (3, 1, 1, 1))
    mean, covariance = both.rotations(turns[:, None], inner)
    assert geodesic(mean[0, 0], np.eye(3)) < 1e-9 and geodesic(mean[1, 0], turns[2]) < 1e-9
    assert covariance[0, 0, 2, 2] == pytest.approx(0.03 + 0.09)
    assert covariance[1, 0] == pytest.approx(inner[2, 0])
    shifts = np.array([[[1.0, 0.0, 0.0]], [[3.0, 0.0, 0.0]], [[0.0, 5.0, 0.0]]])
    centre, spread = both.vectors(shifts, inner)
    assert centre[:, 0] == pytest.approx(np.array([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0]]))
    assert np.diag(spread[0, 0]) == pytest.approx([0.01 + 1.0, 0.02, 0.03])
