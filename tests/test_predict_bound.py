"""bench.predict_bound: the filters' errors are what the observed frames allow, by SciPy's hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import chi

from bench.predict.protocols import Lab
from bench.predict.rigid_filter import filter_known, filter_ratios
from bench.predict.rotations import log
from bench.predict_bound import bound, main, median_angle_deg

STRIDE = 148


@pytest.mark.parametrize(("motion", "noise"), [("tumble-3", 0.1), ("tumble-3-box", 0.1)])
def test_no_filter_could_do_better(motion: str, noise: float) -> None:
    """The squares of the errors, weighed with the bound, have the mean that they have at best."""
    lab = Lab(motions=(motion,), noise_deg=(noise,), observed=40, stride=STRIDE)
    (part,) = lab.episodes()
    horizons = list(lab.horizons)
    prior = filter_ratios().log_inertia
    least = bound(motion, noise, 40, horizons, stride=STRIDE, prior=prior)
    for model, covariance in zip((filter_known(), filter_ratios()), least, strict=True):
        found = model.forecast(part.observed, part.future)
        off = log(np.swapaxes(found.rotations, -1, -2) @ part.rotations)
        assert covariance.shape == (*off.shape, 3)
        squares = np.einsum("bhi,bhij,bhj->bh", off, np.linalg.inv(covariance), off) / 3.0
        # 51 windows of three: one standard deviation is 0.11.
        assert np.abs(squares.mean(axis=0) - 1.0).max() < 0.33
        assert found.rotation_covariance is not None
        share = np.trace(found.rotation_covariance, axis1=-1, axis2=-2)
        share = share / np.trace(covariance, axis1=-1, axis2=-2)
        assert np.abs(np.median(share[:, :6], axis=0) - 1.0).max() < 0.15


def test_1_5_times_needs_90_frames() -> None:
    """After 40 frames no estimator of the ratios is within 1.5 times of one that knows them."""
    ratio = {}
    for observed in (40, 90, 100):
        known, ratios = bound("tumble-3", 0.1, observed, [20], stride=370, prior=1.5)
        ratio[observed] = float((median_angle_deg(ratios) / median_angle_deg(known)).item())
    assert ratio[40] > 2.5
    assert ratio[90] == pytest.approx(1.5, abs=0.15) and ratio[100] < 1.5


def test_median_of_a_gaussian_angle() -> None:
    covariance = np.radians(0.3) ** 2 * np.tile(np.eye(3), (50, 2, 1, 1))
    assert median_angle_deg(covariance) == pytest.approx(0.3 * chi.ppf(0.5, 3), rel=0.02)


def test_the_command() -> None:
    words = ["--motion", "tumble-3-box", "--stride", "740", "--observed", "20", "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["horizons"] == [1, 2, 5, 10, 20, 40, 80]
    assert set(found) == {"horizons", "bound, known", "bound, estimated", "filter", "filter-ratios"}
    plain = CliRunner().invoke(main, [*words[:-1], "--bound-only"])
    assert plain.exit_code == 0 and "filter" not in plain.output and "ratio" in plain.output
    wrong = CliRunner().invoke(main, ["--motion", "spiral"])
    assert wrong.exit_code == 2 and "one of tumble-1, tumble-3" in wrong.output
