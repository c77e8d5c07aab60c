"""Forecasts from poses of which some are not known, as where a matcher found none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.predict.pose_models import checked_forecast
from bench.predict.types import Forecast, Observed, PoseModel
from satgen.errors import InputError
from satgen.geometry import Bools, Floats


def known_frames(observed: Observed) -> Bools:
    """Which poses (B, T) are known: those without NaN."""
    found = np.isfinite(observed.rotations).all(axis=(2, 3))
    return np.asarray(found & np.isfinite(observed.translations).all(axis=2))


def forecast_known(name: str, model: PoseModel, observed: Observed, future: Floats) -> Forecast:
    """A model's forecast from the poses that are known.

    With fewer of them than the model can use, the last known pose is what is forecast.

    Args:
        name: of the model, for messages.
        model: which.
        observed: each sequence with at least one pose that is known.
        future: (B, H) seconds.

    Raises:
        InputError: a model that cannot forecast where all is known, or forecasts what is no pose.
    """
    known = known_frames(observed)
    if known.all():
        return checked_forecast(name, model, observed, future)
    count, ahead = future.shape
    rotations = np.empty((count, ahead, 3, 3))
    translations = np.empty((count, ahead, 3))
    spreads = [np.full((count, ahead, 3, 3), np.nan) for _ in range(2)]
    given = [False, False]
    for pattern, rows in _patterns(known):
        some = observed.take(rows)
        some = replace(
            some,
            times=some.times[:, pattern],
            rotations=some.rotations[:, pattern],
            translations=some.translations[:, pattern],
        )
        try:
            found = checked_forecast(name, model, some, future[rows])
        except InputError:
            if pattern.all():
                raise
            found = Forecast(
                np.repeat(some.rotations[:, -1:], ahead, axis=1),
                np.repeat(some.translations[:, -1:], ahead, axis=1),
            )
        rotations[rows], translations[rows] = found.rotations, found.translations
        for place, spread in enumerate((found.rotation_covariance, found.translation_covariance)):
            if spread is not None:
                spreads[place][rows] = spread
                given[place] = True
    covariances = [spread if there else None for spread, there in zip(spreads, given, strict=True)]
    return Forecast(rotations, translations, *covariances)


def _patterns(known: Bools) -> Iterator[tuple[Bools, NDArray[np.intp]]]:
    """Each pattern of known frames (T,), and the rows that have it."""
    patterns, which = np.unique(known, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        yield pattern, np.flatnonzero(which.ravel() == number)
