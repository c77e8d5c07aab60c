"""Frame models by name, and those that learn nothing.

    model = load_frame_model("flow")
    forecast = model.forecast(observed)

- "black", "last", "flow": here.
- "render": the pose that is forecast, drawn by our renderer; by the rigid-body filter where the
  target tumbles and its inertia is known, else by the fitted constant velocity. "render-NAME" for
  any other pose model: "render-last", "render-my.module:MyPoseModel"; one that learns is given by
  its weights, "render-runs/lab/models/gru.safetensors".
- "simvp", "gsta", "simvp-still", "convlstm" (`frame_learned.NETWORKS`) must be trained first, by
  `frame_training.train_frames`; the path of a .safetensors file is one that was.
- "my.module:name" or "my/file.py:name" of one's own: a function `forecast(observed)` (see
  `frame_types`), a class or function without parameters that makes a model, or a model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.predict.frame_flow import CarriedFlow
from bench.predict.frame_learned import NETWORKS, LearnedFrames
from bench.predict.frame_types import FrameForecast, FrameModel, Frames, ObservedFrames
from satgen.errors import InputError
from satgen.lookup import made, named, required_parameters

RENDER = "render"
"""Name of the model that draws forecast poses, and beginning of the others of the kind."""


@dataclass(frozen=True)
class BlackFrame:
    """A black frame: it shows what an empty background alone scores."""

    def forecast(self, observed: ObservedFrames) -> Frames:
        """Zeros."""
        frames = observed.frames
        shape = (len(frames), len(observed.horizons), *frames.shape[2:])
        return np.zeros(shape, dtype=np.float32)


@dataclass(frozen=True)
class LastFrame:
    """The last observed frame again, as if the target stood still."""

    def forecast(self, observed: ObservedFrames) -> Frames:
        """That frame, at every horizon."""
        return np.repeat(observed.frames[:, -1:], len(observed.horizons), axis=1)


@dataclass(frozen=True)
class FunctionFrames:
    """A model made of a function `forecast(observed)`.

    Attributes:
        function: of what was observed.
    """

    function: Callable[[ObservedFrames], FrameForecast | NDArray[Any]]

    def forecast(self, observed: ObservedFrames) -> FrameForecast | NDArray[Any]:
        """The function's answer."""
        return self.function(observed)


MODELS: dict[str, Callable[[], FrameModel]] = {
    "black": BlackFrame,
    "last": LastFrame,
    "flow": CarriedFlow,
}
"""Models that need neither weights nor a renderer."""


def pose_model_of(name: str) -> str | None:
    """Name of the pose model of "render-NAME"; None of every other frame model."""
    return name.removeprefix(f"{RENDER}-") if name.startswith(f"{RENDER}-") else None


def load_frame_model(name: str) -> FrameModel:
    """The model of that name, see the top of this module.

    Raises:
        InputError: no such name, one that must be trained first, or nothing that forecasts.
    """
    from bench.predict.frame_render import RenderedForecast

    if name in MODELS:
        return MODELS[name]()
    if name == RENDER:
        return RenderedForecast()
    if (pose_model := pose_model_of(name)) is not None:
        return RenderedForecast(pose_model)
    if name.endswith(".safetensors"):
        return LearnedFrames.load(name)
    if name in NETWORKS:
        raise InputError(f"frame model {name!r}: must be trained first, or given as its weights")
    if ":" not in name:
        known = ", ".join((*MODELS, RENDER, *NETWORKS))
        raise InputError(
            f"frame model {name!r}: one of {known}, {RENDER}-POSEMODEL, a .safetensors file, or "
            "your own as module:function"
        )
    found = made(named(name), f"frame model {name!r}")
    if isinstance(found, FrameModel):
        return found
    if inspect.isroutine(found) and required_parameters(found) == 1:
        return FunctionFrames(found)
    raise InputError(f"frame model {name!r}: must be forecast(observed), or have such a method")
