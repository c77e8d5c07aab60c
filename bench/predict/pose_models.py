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


@dataclass(frozen=True)
class FunctionModel:
    """A model that is one function.

    Attributes:
        function: of what was observed and of the times (B, H) to forecast for.
    """

    function: Callable[[Observed, Floats], Forecast | tuple[Floats, Floats]]

    def forecast(self, observed: Observed, future: Floats) -> Forecast:
        """What the function says."""
        found = self.function(observed, future)
        return found if isinstance(found, Forecast) else Forecast(*found)


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
    """A model's forecast, if it is one.

    Raises:
        InputError: shapes, rotations or covariances that cannot be.
    """
    found: Any = model.forecast(observed, future)
    try:
        forecast = found if isinstance(found, Forecast) else Forecast(*found)
    except TypeError:
        raise InputError(
            f"pose model {name!r}: gives {type(found).__name__}, must be a Forecast, or rotations "
            "and translations"
        ) from None
    for what, shape in (("rotations", (3, 3)), ("translations", (3,))):
        values = np.asarray(getattr(forecast, what))
        wanted = (*future.shape, *shape)
        if values.shape != wanted:
            raise InputError(f"pose model {name!r}: {what} {values.shape}, must be {wanted}")
        if not np.isfinite(values).all():
            raise InputError(f"pose model {name!r}: {what} that are not finite")
    rotations = np.asarray(forecast.rotations, dtype=np.float64)
    off = np.abs(rotations @ np.swapaxes(rotations, -1, -2) - np.eye(3)).max(initial=0.0)
    if off > _ORTHONORMAL or (np.linalg.det(rotations) < 0.0).any():
        raise InputError(f"pose model {name!r}: rotations that are none (off by {off:.2g})")
    for what in ("rotation_covariance", "translation_covariance"):
        values = getattr(forecast, what)
        if values is not None and np.shape(values) != (*future.shape, 3, 3):
            raise InputError(f"pose model {name!r}: {what} {np.shape(values)}")
    return forecast
