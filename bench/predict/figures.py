"""How far forecasts are off, by horizon, noise and motion.

- Error of a rotation: the geodesic angle to the true one, degrees. Error of a translation: the
  distance, metres.
- NEES: normalised estimation error squared, d^T P^-1 d, with d the rotation vector from forecast to
  truth and P the covariance that the model gives. Where that is honest, it is chi-square with three
  degrees of freedom; the mean over n independent sequences is 3, and within `nees_interval(n)` 95
  times of 100. Above it the model promises too much.
- Survival: a sequence survives to a horizon if its error has been within a bound at every horizon
  up to there. The area under the share of survivors against the horizon in frames (straight from
  horizon to horizon, and from 1 at 0), divided by the longest horizon, is 1 for a model that is
  always within the bound and about h / longest for one that is lost after h frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.predict.rotations import log
from bench.predict.types import Episodes, Forecast
from satgen.errors import InputError
from satgen.geometry import Bools, Floats

BOUNDS_DEG = (1.0, 5.0)
"""Errors within which the share of sequences is reported."""

SURVIVAL_DEG = 5.0
"""Error up to which a sequence survives."""

Row = dict[str, Any]
"""Figures of one model, motion, noise and horizon by name; None where there is none."""


@dataclass(frozen=True)
class Errors:
    """Errors of forecasts of B sequences at H horizons.

    Attributes:
        rotation_deg: (B, H).
        translation_m: (B, H).
        nees: (B, H) of the rotation; None where the model gives no covariance.
        translation_nees: (B, H) of the translation; or None.
    """

    rotation_deg: Floats
    translation_m: Floats
    nees: Floats | None
    translation_nees: Floats | None


def errors_of(forecast: Forecast, episodes: Episodes) -> Errors:
    """Errors of a forecast. NEES is given only for sequences that were observed with noise."""
    turn = log(np.swapaxes(forecast.rotations, -1, -2) @ episodes.rotations)
    shift = episodes.translations - forecast.translations
    noisy = episodes.noise_deg > 0.0
    return Errors(
        np.degrees(np.linalg.norm(turn, axis=-1)),
        np.linalg.norm(shift, axis=-1),
        _nees(turn, forecast.rotation_covariance, noisy),
        _nees(shift, forecast.translation_covariance, noisy),
    )


def _nees(error: Floats, covariance: Floats | None, noisy: Bools) -> Floats | None:
    """Normalised squares (B, H) of errors (B, H, 3); NaN where there was no noise."""
    if covariance is None or not noisy.any():
        return None
    squares = np.full(error.shape[:-1], np.nan)
    solved = np.linalg.solve(covariance[noisy], error[noisy][..., None])[..., 0]
    squares[noisy] = np.sum(error[noisy] * solved, axis=-1)
    return squares


def nees_interval(count: int, degrees: int = 3, confidence: float = 0.95) -> tuple[float, float]:
    """Where the mean of `count` chi-squares of `degrees` degrees of freedom lies that often.

    Raises:
        InputError: no sequence, or a confidence that is none.
    """
    from scipy.stats import chi2

    if count < 1:
        raise InputError(f"{count} sequences: a mean needs at least 1")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence {confidence}: must be between 0 and 1")
    tail = (1.0 - confidence) / 2.0
    low, high = chi2.ppf([tail, 1.0 - tail], degrees * count) / count
    return float(low), float(high)


def survival(errors: ArrayLike, bound: float = SURVIVAL_DEG) -> Floats:
    """Share (H,) of sequences whose errors (B, H) were within a bound at every horizon so far."""
    within = np.asarray(errors, dtype=np.float64) <= bound
    return np.asarray(np.logical_and.accumulate(within, axis=1).mean(axis=0))


def survival_auc(errors: ArrayLike, horizons: ArrayLike, bound: float = SURVIVAL_DEG) -> float:
    """Area under the survival of errors (B, H) over horizons (H,), in [0, 1]: see the module."""
    ahead = np.concatenate([[0.0], np.asarray(horizons, dtype=np.float64)])
    alive = np.concatenate([[1.0], survival(errors, bound)])
    return float(np.diff(ahead) @ (alive[1:] + alive[:-1]) / 2.0 / ahead[-1])


def rows_of(model: str, protocol: str, episodes: Episodes, errors: Errors) -> list[Row]:
    """A row for each motion, noise and horizon."""
    rows = []
    observed = episodes.observed.times.shape[1]
    for motion, noise, part in _groups(episodes):
        angles, shifts = errors.rotation_deg[part], errors.translation_m[part]
        seconds = np.median(episodes.future[part] - episodes.observed.times[part, -1:], axis=0)
        area = survival_auc(angles, episodes.horizons)
        for at, horizon in enumerate(episodes.horizons):
            row: Row = {
                "protocol": protocol,
                "model": model,
                "motion": motion,
                "noise_deg": noise,
                "observed": observed,
                "horizon": int(horizon),
                "horizon_s": float(seconds[at]),
                "sequences": len(part),
                "error_deg_median": float(np.median(angles[:, at])),
                "error_deg_p90": float(np.quantile(angles[:, at], 0.9)),
                "error_deg_mean": float(np.mean(angles[:, at])),
            }
            for bound in BOUNDS_DEG:
                row[f"share_{bound:g}deg"] = float(np.mean(angles[:, at] <= bound))
            row["error_m_median"] = float(np.median(shifts[:, at]))
            row["error_m_p90"] = float(np.quantile(shifts[:, at], 0.9))
            row[f"survival_auc_{SURVIVAL_DEG:g}deg"] = area
            row |= _nees_figures(errors, part, at)
            rows.append(row)
    return rows


def _nees_figures(errors: Errors, part: NDArray[np.intp], at: int) -> Row:
    """Mean NEES of some sequences at a horizon and the interval that it should be in."""
    from scipy.stats import chi2

    names = ("nees_mean", "nees_low", "nees_high", "nees_share_95", "nees_m_mean")
    figures: Row = dict.fromkeys(names)
    if errors.nees is not None and np.isfinite(errors.nees[part]).all():
        squares = errors.nees[part, at]
        low, high = nees_interval(len(squares))
        share = float(np.mean(squares <= chi2.ppf(0.95, 3)))
        figures |= dict(zip(names[:4], (float(squares.mean()), low, high, share), strict=True))
    if errors.translation_nees is not None and np.isfinite(errors.translation_nees[part]).all():
        figures["nees_m_mean"] = float(errors.translation_nees[part, at].mean())
    return figures


def _groups(episodes: Episodes) -> Iterator[tuple[str, float, NDArray[np.intp]]]:
    """Motion, noise and rows of each, in order of appearance."""
    keys = list(zip(episodes.motion.tolist(), episodes.noise_deg.tolist(), strict=True))
    for key in dict.fromkeys(keys):
        yield *key, np.flatnonzero([other == key for other in keys])


def window_columns(model: str, protocol: str, episodes: Episodes, errors: Errors) -> dict[str, Any]:
    """Columns of a table with a row a sequence and horizon, for files."""
    count, ahead = errors.rotation_deg.shape
    return {
        "protocol": np.full(count * ahead, protocol),
        "model": np.full(count * ahead, model),
        "motion": np.repeat(episodes.motion, ahead),
        "noise_deg": np.repeat(episodes.noise_deg, ahead),
        "window": np.repeat(np.arange(count), ahead),
        "start_s": np.repeat(episodes.observed.times[:, 0], ahead),
        "horizon": np.tile(episodes.horizons, count),
        "error_deg": errors.rotation_deg.ravel(),
        "error_m": errors.translation_m.ravel(),
        "nees": np.full(count * ahead, np.nan) if errors.nees is None else errors.nees.ravel(),
    }
