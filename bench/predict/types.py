"""What a pose model is given and what it answers.

A pose is T_cam_target as a rotation (3, 3) and a translation (3,) in metres. Batches hold B
sequences; arrays are float64. A user's own model is a function or an object with `forecast`:

    def forecast(observed: Observed, future: Floats) -> Forecast | tuple[Floats, Floats]

where `future` (B, H) are the seconds to answer for, and a plain pair is rotations (B, H, 3, 3) and
translations (B, H, 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.predict.rigid_body import Bodies
from satgen.errors import InputError
from satgen.geometry import Floats


@dataclass(frozen=True)
class Observed:
    """B sequences of T observed poses.

    Attributes:
        times: (B, T) seconds, increasing in each row.
        rotations: (B, T, 3, 3) of T_cam_target.
        translations: (B, T, 3) of T_cam_target, metres.
        noise_rad: (B,) standard deviation of the observed rotations about each axis, radians; None
            where it is not known.
        noise_m: (B,) standard deviation of the observed translations along each axis, metres; None
            where it is not known.
        bodies: the targets' inertia; None where it is not known. Its axes are of use to a model
            that estimates the moments.
    """

    times: Floats
    rotations: Floats
    translations: Floats
    noise_rad: Floats | None = None
    noise_m: Floats | None = None
    bodies: Bodies | None = None

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.times)

    def take(self, rows: ArrayLike) -> Observed:
        """The given sequences."""
        rows = np.asarray(rows)
        return Observed(
            self.times[rows],
            self.rotations[rows],
            self.translations[rows],
            None if self.noise_rad is None else self.noise_rad[rows],
            None if self.noise_m is None else self.noise_m[rows],
            None if self.bodies is None else self.bodies.take(rows),
        )

    def last(self, frames: int) -> Observed:
        """The last so many frames of each sequence."""
        return Observed(
            self.times[:, -frames:],
            self.rotations[:, -frames:],
            self.translations[:, -frames:],
            self.noise_rad,
            self.noise_m,
            self.bodies,
        )


@dataclass(frozen=True)
class Forecast:
    """Poses of B sequences at H times to come.

    Attributes:
        rotations: (B, H, 3, 3) of T_cam_target.
        translations: (B, H, 3) metres.
        rotation_covariance: (B, H, 3, 3) of the rotation vector d in the target's frame for which
            the true rotation is `rotations @ exp(d)`, rad^2; None where the model gives none.
        translation_covariance: (B, H, 3, 3) of the translation, camera frame, m^2; or None.
    """

    rotations: Floats
    translations: Floats
    rotation_covariance: Floats | None = None
    translation_covariance: Floats | None = None


@dataclass(frozen=True)
class Episodes:
    """Observed sequences, and the true poses that came after.

    Attributes:
        observed: what a model may see.
        future: (B, H) seconds to forecast for, after the last observed one.
        rotations: (B, H, 3, 3) true rotations at those times.
        translations: (B, H, 3) true translations, metres.
        motion: (B,) name of the motion that each sequence is of.
        noise_deg: (B,) by which the figures are told apart.
        horizons: (H,) frames ahead; NaN-free integers, or steps of the nominal frame period.
    """

    observed: Observed
    future: Floats
    rotations: Floats
    translations: Floats
    motion: NDArray[np.str_]
    noise_deg: Floats
    horizons: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.future)

    def take(self, rows: ArrayLike) -> Episodes:
        """The given sequences."""
        rows = np.asarray(rows)
        return Episodes(
            self.observed.take(rows),
            self.future[rows],
            self.rotations[rows],
            self.translations[rows],
            self.motion[rows],
            self.noise_deg[rows],
            self.horizons,
        )


@runtime_checkable
class PoseModel(Protocol):
    """Forecasts poses. A model that learns has `fit(train, valid)` as well (`Trainable`)."""

    def forecast(self, observed: Observed, future: Floats) -> Forecast:
        """Forecast the poses at `future` (B, H) seconds."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """A model that must be fitted to other sequences before it forecasts."""

    def fit(self, train: Episodes) -> None:
        """Learn from sequences of which none is evaluated on."""
        ...


def check_observed(observed: Observed, future: Floats, frames: int = 2) -> None:
    """Refuse what no model can answer.

    Args:
        frames: fewest that the model needs.

    Raises:
        InputError: shapes that do not fit, too few frames, numbers that are not finite, times that
            do not grow, or a time to forecast that is already over.
    """
    times, rotations, translations = observed.times, observed.rotations, observed.translations
    if times.ndim != 2 or rotations.shape != (*times.shape, 3, 3):
        raise InputError(
            f"rotations {rotations.shape} at times {times.shape}: must be (B, T, 3, 3)"
        )
    if translations.shape != (*times.shape, 3):
        raise InputError(f"translations {translations.shape}: must be {(*times.shape, 3)}")
    if future.ndim != 2 or len(future) != len(times):
        raise InputError(f"times to forecast {future.shape}: must be ({len(times)}, H)")
    if times.shape[1] < frames:
        count = times.shape[1]
        raise InputError(f"{count} observed frame{'s' * (count != 1)}: must be at least {frames}")
    named = (("times", times), ("rotations", rotations), ("translations", translations))
    for name, values in (*named, ("times to forecast", future)):
        if not np.isfinite(values).all():
            raise InputError(f"{name}: must be finite, some are not")
    if (np.diff(times, axis=1) <= 0.0).any():
        raise InputError("times: must grow from frame to frame")
    if (future < times[:, -1:]).any():
        raise InputError("times to forecast: must not lie before the last observed frame")
    for name, noise in (("rotations", observed.noise_rad), ("translations", observed.noise_m)):
        if noise is not None and not (np.isfinite(noise).all() and (noise >= 0.0).all()):
            raise InputError(f"noise of {name}: must be finite and not negative")
