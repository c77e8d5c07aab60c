"""A small network that corrects the fitted constant velocity, trained on simulated tumbles.

A window is brought to a form in which most of what does not matter is gone: rotations are relative
to the fitted one at the last frame and in the target's principal axes in ascending order of moment
(its own axes where those are not known), and time is counted in radians of the fitted turn, since
free motion that starts twice as fast is the same motion in half the time. A GRU reads the frames;
for each time asked for, a perceptron gives six numbers, which are a rotation (Zhou et al., CVPR
2019) on the right of the one that constant velocity forecasts. The forecast is the mean over the
four half turns of the principal axes, which leave a body as it is. So a turn of the camera's frame,
of the target's, or of its principal axes turns the forecast with it, to rounding.

Weights are float32 safetensors whose metadata hold the configuration, so a file is a model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.predict.kinematic import Polynomial, fit_rotations
from bench.predict.rigid_body import Bodies
from bench.predict.rotations import log, matrix_to_6d
from bench.predict.types import Episodes, Forecast, Observed, check_observed
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.settings import SEEDS, check, setting

if TYPE_CHECKING:
    from bench.predict.learned_network import PoseNetwork

_LEAST_TURN = 1e-4
"""Radians over a window below which a target counts as standing still."""

_FEATURES, _CONTEXT = 13, 9


@dataclass(frozen=True)
class LearnedConfig:
    """Size of the network, and how it is trained.

    Attributes:
        hidden: numbers in the GRU's state.
        width: of the perceptron.
        sequences: simulated ones to learn from.
        steps: of the optimiser.
        batch: sequences a step.
        learning_rate: the highest, AdamW's.
        seed: of weights and batches.

    Raises:
        InputError: a number that cannot be.
    """

    hidden: int = setting(64, "Numbers in the GRU's state", low=1, high=4096)
    width: int = setting(128, "Numbers in the perceptron's layers", low=1, high=4096)
    sequences: int = setting(
        20_000, "Simulated sequences to learn from", low=1, high=1_000_000, name="train-sequences"
    )
    steps: int = setting(4_000, "Steps of the optimiser", low=1, high=10_000_000)
    batch: int = setting(256, "Sequences of a step", low=1, high=65_536)
    learning_rate: float = setting(2e-3, "Highest learning rate, of AdamW", above=0.0, high=1.0)
    seed: int = setting(0, "Seed of weights and batches", low=0, below=SEEDS, option=False)

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        check(self)


class LearnedModel:
    """A network that corrects the fitted constant velocity; `fit` or `load` before `forecast`."""

    def __init__(self, config: LearnedConfig | None = None) -> None:
        """A model without weights."""
        self.config = LearnedConfig() if config is None else config
        self._network: PoseNetwork | None = None

    @property
    def trained(self) -> bool:
        """Whether it has weights."""
        return self._network is not None

    @property
    def train_sequences(self) -> int:
        """How many sequences `fit` should be given."""
        return self.config.sequences

    def fit(
        self,
        train: Episodes,
        progress: Callable[[int, int], None] | None = None,
        saved: Path | None = None,
    ) -> None:
        """Train: the same weights for the same sequences and configuration.

        Args:
            train: sequences of at least three observed frames.
            progress: called with the steps done and all of them.
            saved: file for the state of the training, from which one that was killed goes on.

        Raises:
            InputError: the file is another training's.
            RunError: it cannot be read or written.
        """
        from bench.predict.learned_network import train_network

        check_observed(train.observed, train.future, frames=3)
        window = _prepare(train.observed, train.future)
        target = np.swapaxes(window.baseline, -1, -2) @ train.rotations @ window.axes
        arrays = (window.frames, window.context, window.angle, target)
        self._network = train_network(arrays, self.config, progress, saved)

    def forecast(self, observed: Observed, future: Floats) -> Forecast:
        """Rotations by the network; translations by the fitted constant velocity.

        Raises:
            InputError: it has no weights yet.
        """
        from bench.predict.learned_network import apply_network

        check_observed(observed, future, frames=3)
        if self._network is None:
            raise InputError("the learned model has no weights: fit it, or load a file of weights")
        window = _prepare(observed, future)
        turns = apply_network(self._network, window.frames, window.context, window.angle)
        rotations = window.baseline @ turns @ np.swapaxes(window.axes, -1, -2)
        return Forecast(rotations, Polynomial(degree=1).forecast(observed, future).translations)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and configuration to a .safetensors file, whole or not at all.

        Raises:
            InputError: there are no weights yet.
        """
        from safetensors.torch import save

        from satgen.atomic import write_atomic

        if self._network is None:
            raise InputError("the learned model has no weights to save: fit it first")
        # One entry: several are written in an order that differs from run to run.
        metadata = {"pose_model": json.dumps(asdict(self.config))}
        weights = {name: t.contiguous() for name, t in self._network.state_dict().items()}
        write_atomic(Path(path), save(weights, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LearnedModel:
        """A model from a file that `save` wrote.

        Raises:
            InputError: there is no such file, or it is not such a model's.
        """
        from safetensors import SafetensorError, safe_open

        from bench.predict.learned_network import PoseNetwork

        try:
            with safe_open(os.fspath(path), framework="pt") as file:
                metadata = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            known = {field.name for field in fields(LearnedConfig)}
            given: dict[str, Any] = json.loads(metadata["pose_model"])
            config = LearnedConfig(**{name: given[name] for name in known})
            network = PoseNetwork(_FEATURES, _CONTEXT, config.hidden, config.width)
            network.load_state_dict(weights)
        except (OSError, SafetensorError) as error:
            raise InputError(f"weights {os.fspath(path)}: cannot be read: {error}") from None
        except (KeyError, ValueError, TypeError, RuntimeError):
            raise InputError(f"weights {os.fspath(path)}: not those of a pose model") from None
        model = cls(config)
        model._network = network.eval()
        return model


@dataclass(frozen=True)
class _Window:
    """Windows as the network sees them.

    Attributes:
        frames: (B, T, F) what is known of each frame.
        context: (B, C) of the window as a whole.
        angle: (B, H) radians that the fitted velocity turns from the last frame to each time.
        baseline: (B, H, 3, 3) its forecast, from principal axes to the camera.
        axes: (B or 1, 1, 3, 3) takes principal to target axes.
    """

    frames: Floats
    context: Floats
    angle: Floats
    baseline: Floats
    axes: Floats


def _prepare(observed: Observed, future: Floats) -> _Window:
    """Windows in the network's form."""
    axes = _axes(observed.bodies)[:, None]
    rotations = observed.rotations @ axes
    since = observed.times - observed.times[:, -1:]
    ahead = future - observed.times[:, -1:]
    fit = fit_rotations(observed.times, rotations, 1)
    curve = fit_rotations(observed.times, rotations, 2)
    to_body = np.swapaxes(fit.base, -1, -2)
    omega = fit.omega()
    speed = np.linalg.norm(omega, axis=-1, keepdims=True)
    speed = np.maximum(speed, _LEAST_TURN / -since[:, :1])
    off = log(np.swapaxes(fit.at(since), -1, -2) @ rotations)
    bent = log(np.swapaxes(curve.at(since), -1, -2) @ rotations)
    span = speed[..., None] * -since[:, :1, None]
    relative = to_body[:, None] @ rotations
    frames = np.concatenate(
        [
            (speed * since)[..., None],
            matrix_to_6d(relative) - matrix_to_6d(np.eye(3)),
            off / (0.03 + span) * 30.0,
            bent / (0.03 + span) * 100.0,
        ],
        axis=-1,
    )
    acceleration = np.einsum("bij,bj->bi", to_body, 2.0 * curve.coefficients[:, 1])
    leftover = np.sqrt(np.mean(bent**2, axis=(1, 2)))[:, None]
    context = np.concatenate(
        [
            omega / speed,
            # Radians of turn a radian of turn, squashed: noise makes it large for slow targets.
            np.tanh(acceleration / speed**2 / 2.0) * 2.0,
            np.log(speed * -since[:, :1]),
            np.log(leftover + 1e-6) / 2.0 + 3.0,
            np.log(leftover / (speed * -since[:, :1]) + 1e-6) / 2.0 + 3.0,
        ],
        axis=-1,
    )
    return _Window(frames, context, speed * ahead, fit.at(ahead), axes)


def _axes(bodies: Bodies | None) -> Floats:
    """What takes principal axes, in ascending order of moment, to target axes: (B or 1, 3, 3)."""
    if bodies is None:
        return np.eye(3)[None]
    order = np.argsort(bodies.moments, axis=1, kind="stable")
    axes = np.take_along_axis(bodies.axes, order[..., None], axis=1)
    axes[:, 2] *= np.linalg.det(axes)[:, None]
    return np.swapaxes(axes, -1, -2)


def gru() -> LearnedModel:
    """Network that corrects the fitted constant velocity."""
    return LearnedModel()
