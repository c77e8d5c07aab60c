"""Pose models by name.

    model = load_pose_model("filter")
    forecast = model.forecast(observed, future)

A name may also be "my.module:name" or "my/file.py:name" of one's own: a function
`forecast(observed, future)` (see `types`), a class or function without parameters that makes a
model, or a model. Modules are looked for in the current directory, too.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bench.predict.types import Forecast, Observed, PoseModel
from satgen.errors import InputError
from satgen.geometry import Floats

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
    found = named(MODELS.get(name, name))
    if inspect.isclass(found) or (inspect.isroutine(found) and not required_parameters(found)):
        try:
            found = found()
        except InputError:
            raise
        except Exception as error:  # whatever somebody's class does
            raise InputError(f"pose model {name!r}: cannot be made ({reason_of(error)})") from None
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
    forecast = model.forecast(observed, future)
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


def required_parameters(function: Any) -> int:
    """How many parameters a call must give."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def named(place: str) -> Any:
    """What "module:name" or "file.py:name" names.

    Raises:
        InputError: the module cannot be imported, or has no such name.
    """
    where, _, name = place.rpartition(":")
    try:
        found: Any = _file(Path(where)) if where.endswith(".py") else _module(where)
    except Exception as error:  # whatever somebody's module does
        raise InputError(f"{place!r}: cannot import {where!r} ({reason_of(error)})") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise InputError(f"{place!r}: {where!r} has no {part!r}")
        found = getattr(found, part)
    return found


def _module(name: str) -> ModuleType:
    """A module, which may be in the current directory."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _file(path: Path) -> ModuleType:
    """The module in a file, under a name that no other has."""
    name = f"satgen_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ImportError(f"no module: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


def reason_of(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
