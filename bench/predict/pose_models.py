"""Pose models by name.

    model = load_pose_model("filter")
    forecast = model.forecast(observed, future)

A name may also be "my.module:name" or "my/file.py:name" of one's own: a function
`forecast(observed, future)` (see `types`), a class or function without parameters that makes a
model, or a model. Modules are looked for in the current directory, too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.predict.types import Forecast, Observed, PoseModel
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.lookup import made, named, required_parameters

MODELS = {
    "last": "bench.predict.kinematic:last_pose",
    "two-pose": "bench.predict.kinematic:two_pose",
    "velocity": "bench.predict.kinematic:velocity",
    "acceleration": "bench.predict.kinematic:acceleration",
    "filter": "bench.predict.rigid_filter:filter_known",
    "filter-ratios": "bench.predict.rigid_filter:filter_ratios",
    "gru": "bench.predict.learned:gru",
}
"""Where the models are made that have a name."""

_ORTHONORMAL = 1e-4
"""How far a forecast matrix may be from a rotation, in any element of R R^T."""

_SYMMETRIC = 1e-6
"""How far a covariance may be from symmetric, as a share of its largest element."""


@dataclass(frozen=True)
class FunctionModel:
    """A model that is one function.

    Attributes:
        function: of what was observed and of the times (B, H) to forecast for.
    """

    function: Callable[[Observed, Floats], Any]

    def forecast(self, observed: Observed, future: Floats) -> Forecast:
        """What the function says.

        Raises:
            InputError: something else than a forecast.
        """
        name = getattr(self.function, "__name__", "forecast")
        return _forecast_of(self.function(observed, future), name)


def load_pose_model(name: str) -> PoseModel:
    """The model of that name, see the top of this module.

    Raises:
        InputError: no such name, or nothing that forecasts.
    """
    if name not in MODELS and ":" not in name:
        raise InputError(
            f"pose model {name!r}: one of {', '.join(MODELS)}, or your own as module:function"
        )
    found = made(named(MODELS.get(name, name)), f"pose model {name!r}")
    if isinstance(found, PoseModel):
        return found
    if inspect.isroutine(found) and required_parameters(found) == 2:
        return FunctionModel(found)
    raise InputError(
        f"pose model {name!r}: must be forecast(observed, future), or have such a method"
    )


def checked_forecast(name: str, model: PoseModel, observed: Observed, future: Floats) -> Forecast:
    """A model's forecast in float64, if it is one.

    The model works on copies, so that nothing it does to them reaches another model.

    Raises:
        InputError: shapes, numbers, rotations or covariances that cannot be.
    """
    copied = observed.take(np.arange(len(future)))
    forecast = _forecast_of(model.forecast(copied, future.copy()), name)
    rotations = _numbers(name, "rotations", forecast.rotations, (*future.shape, 3, 3))
    translations = _numbers(name, "translations", forecast.translations, (*future.shape, 3))
    off = np.abs(rotations @ np.swapaxes(rotations, -1, -2) - np.eye(3)).max(initial=0.0)
    if off > _ORTHONORMAL:
        raise InputError(f"pose model {name!r}: rotations that are none (off by {off:.2g})")
    if (np.linalg.det(rotations) < 0.0).any():
        raise InputError(f"pose model {name!r}: rotations that are none, but reflections")
    return Forecast(
        rotations,
        translations,
        _covariance(name, "rotation_covariance", forecast.rotation_covariance, future),
        _covariance(name, "translation_covariance", forecast.translation_covariance, future),
    )


def _forecast_of(found: Any, name: str) -> Forecast:
    """What a model gave, which may be its rotations and translations alone."""
    if isinstance(found, Forecast):
        return found
    if not isinstance(found, (tuple, list)) or not 2 <= len(found) <= 4:
        given = type(found).__name__
        if isinstance(found, (tuple, list)):
            given += f" of {len(found)}"
        raise InputError(
            f"pose model {name!r}: gives {given}, must be a Forecast, or rotations and translations"
        )
    return Forecast(*found)


def _numbers(name: str, what: str, given: Any, wanted: tuple[int, ...]) -> Floats:
    """What a model gave, as finite numbers of the shape that is wanted."""
    try:
        values = np.asarray(given)
        if values.dtype.kind not in "fiu":
            raise TypeError
        values = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):  # the last of a tensor that has a gradient
        raise InputError(f"pose model {name!r}: {what} that are no array of real numbers") from None
    if values.shape != wanted:
        raise InputError(f"pose model {name!r}: {what} {values.shape}, must be {wanted}")
    if not np.isfinite(values).all():
        raise InputError(f"pose model {name!r}: {what} that are not finite")
    return values


def _covariance(name: str, what: str, given: Any, future: Floats) -> Floats | None:
    """Covariances (B, H, 3, 3) that a model gave, if it did."""
    if given is None:
        return None
    values = _numbers(name, what, given, (*future.shape, 3, 3))
    turned = np.swapaxes(values, -1, -2)
    size = np.abs(values).max(axis=(-1, -2), initial=0.0)
    if (np.abs(values - turned).max(axis=(-1, -2), initial=0.0) > _SYMMETRIC * size).any() or (
        np.linalg.eigvalsh(values)[..., 0] <= 0.0
    ).any():
        raise InputError(f"pose model {name!r}: {what}: must be symmetric and positive definite")
    return values
