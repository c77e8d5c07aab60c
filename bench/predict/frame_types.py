"""What a frame model is given and what it answers.

A batch is B windows of one rendered dataset. A user's own model is a function or an object with
`forecast`:

    def forecast(observed: ObservedFrames) -> FrameForecast | NDArray

where a plain array is the frames (B, N, C, S, S) at `observed.horizons`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.predict.rigid_body import Bodies, make_bodies
from bench.predict.types import Observed
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.geometry import Bools, Floats
from satgen.model import PartLabels
from satgen.sequences import WindowConfig
from satgen.sequences.images import Square
from satgen.sequences.stores import Preparation
from satgen.sequences.track import read_track
from satgen.trajectory import Tumble

Frames = NDArray[np.float32]


@dataclass(frozen=True)
class FrameScene:
    """The dataset of some windows: what a model may use of it beside the observed frames.

    Attributes:
        name: of its folder.
        data: the dataset: target, camera and light. Of the frames to come a model may look at the
            sun only.
        windows: how windows were cut.
    """

    name: str
    data: Dataset
    windows: WindowConfig

    @cached_property
    def motion(self) -> str:
        """Name of the movement: the trajectory's kind; a tumble's with its degrees a frame."""
        trajectory = self.data.config.trajectory.motion
        if not isinstance(trajectory, Tumble):
            return str(trajectory.kind)
        rate = np.linalg.norm(trajectory.rates_deg_s) * trajectory.dt_s * self.windows.step
        return f"tumble-{round(float(rate), 1):g}"

    @cached_property
    def body(self) -> Bodies | None:
        """The target's inertia where the target moves by it; None where the camera moves."""
        trajectory = self.data.config.trajectory
        motion = trajectory.motion
        if not isinstance(motion, Tumble) or motion.moments is None:
            return None
        return make_bodies(motion.moments, motion.axes, trajectory.aim)

    @cached_property
    def _square(self) -> Square | None:
        return read_track(self.name, self.data, self.windows).square(self.windows)

    def on_grid(self, image: NDArray[Any]) -> Frames:
        """A frame as the camera has it, (H, W) or (H, W, 3) of whole numbers, as windows have it.

        Returns:
            (C, S, S) in 0…1: the same numbers as in a window of a dataset with that frame.
        """
        windows, square = self.windows, self._square
        size = None if square is None else windows.size
        found = Preparation("rgb", windows.colour, square, size).apply(image)
        levels = np.float32(np.iinfo(found.dtype).max)
        found = np.divide(found, levels, dtype=np.float32)
        return np.ascontiguousarray(found[None] if found.ndim == 2 else np.moveaxis(found, -1, 0))

    def labels_on_grid(self, parts: PartLabels) -> PartLabels:
        """Part labels (H, W) of the camera's frame as windows have them, (S, S)."""
        square = self._square
        size = None if square is None else self.windows.size
        return np.asarray(Preparation("parts", False, square, size).apply(parts))


@dataclass(frozen=True)
class ObservedFrames:
    """B windows of one dataset, up to now.

    Attributes:
        frames: (B, T, C, S, S) float32 in 0…1, sRGB-encoded.
        horizons: N frames ahead, ascending, each at least 1, that are asked for.
        poses: of the observed frames, for models that want them: true ones, noisy ones, or those
            that a matcher found, NaN where it found none. Times in seconds.
        future_times: (B, N) seconds.
        future_index: (B, N) observation indices of the frames asked for, by which the light there
            is known.
        scene: the dataset.
    """

    frames: Frames
    horizons: tuple[int, ...]
    poses: Observed
    future_times: Floats
    future_index: NDArray[np.int64]
    scene: FrameScene

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.frames)

    def copy(self) -> ObservedFrames:
        """The same windows, in arrays of their own."""
        return replace(
            self,
            frames=self.frames.copy(),
            poses=self.poses.take(np.arange(len(self))),
            future_times=self.future_times.copy(),
            future_index=self.future_index.copy(),
        )


@dataclass(frozen=True)
class FrameForecast:
    """Frames to come of B windows.

    Attributes:
        frames: (B, N, C, S, S) in 0…1.
        silhouettes: (B, N, S, S), where the model says that the target is; None where it does not,
            and what is brighter than the background is taken for it.
    """

    frames: Frames
    silhouettes: Bools | None = None


@runtime_checkable
class FrameModel(Protocol):
    """Forecasts frames. `wants_poses = True` says that it looks at the poses: it is then evaluated
    with those of every source. `parameters` is how many numbers it learnt."""

    def forecast(self, observed: ObservedFrames) -> FrameForecast | NDArray[Any]:
        """Frames at `observed.horizons`."""
        ...


def checked_frames(name: str, model: FrameModel, observed: ObservedFrames) -> FrameForecast:
    """A model's forecast, cut off at 0 and 1.

    The model works on copies, so that nothing it does to them reaches another model.

    Raises:
        InputError: shapes that do not fit, or numbers that are not finite.
    """
    found = model.forecast(observed.copy())
    if not isinstance(found, FrameForecast):
        found = FrameForecast(np.asarray(found))
    wanted = (len(observed), len(observed.horizons), *observed.frames.shape[2:])
    if np.shape(found.frames) != wanted:
        raise InputError(
            f"frame model {name!r}: frames of shape {np.shape(found.frames)}, must be {wanted}"
        )
    if not np.isfinite(found.frames).all():
        raise InputError(f"frame model {name!r}: frames with numbers that are not finite")
    silhouettes = found.silhouettes
    if silhouettes is not None:
        silhouettes = np.asarray(silhouettes, dtype=bool)
        if silhouettes.shape != (*wanted[:2], *wanted[3:]):
            raise InputError(f"frame model {name!r}: silhouettes of shape {silhouettes.shape}")
    return FrameForecast(np.clip(found.frames, 0.0, 1.0).astype(np.float32), silhouettes)
