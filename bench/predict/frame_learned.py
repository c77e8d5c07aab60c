"""Networks that forecast frames, with their weights; saved to files and loaded from them.

A file is a whole model: float32 safetensors whose metadata hold the network's configuration and the
shape of the windows that it was trained on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.predict.frame_flow import CarriedFlow
from bench.predict.frame_types import Frames, ObservedFrames
from satgen.errors import InputError
from satgen.sequences import WindowConfig

if TYPE_CHECKING:
    from torch import nn

KINDS = ("simvp", "convlstm")

TRANSLATORS = ("convmixer", "gsta")

MOST_PARAMETERS = 4_000_000
"""Numbers to learn that a network may have."""

_CHUNK = 16
"""Windows forecast at a time."""


@dataclass(frozen=True)
class NetworkConfig:
    """A network.

    Attributes:
        kind: "simvp" or "convlstm".
        translator: SimVP's, "convmixer" or "gsta".
        width: channels of a frame's features (SimVP).
        hidden: channels of the translator, or of the ConvLSTM's states.
        depth: layers of either.
        carry: begin with the last frame carried on by its optical flow (`CarriedFlow`), instead of
            the last frame (SimVP).

    Raises:
        InputError: an unknown name, or a number that cannot be.
    """

    kind: str = "simvp"
    translator: str = "convmixer"
    width: int = 48
    hidden: int = 256
    depth: int = 6
    carry: bool = True

    def __post_init__(self) -> None:
        """Check."""
        if self.kind not in KINDS:
            raise InputError(f"network {self.kind!r}: must be one of {', '.join(KINDS)}")
        if self.translator not in TRANSLATORS:
            raise InputError(
                f"translator {self.translator!r}: must be one of {', '.join(TRANSLATORS)}"
            )
        for name, multiple in (("width", 2), ("hidden", 8), ("depth", 1)):
            value = getattr(self, name)
            if value < 1 or value % multiple:
                raise InputError(f"{name} {value}: must be a positive multiple of {multiple}")


NETWORKS = {
    "simvp": NetworkConfig(),
    "gsta": NetworkConfig(translator="gsta"),
    "simvp-still": NetworkConfig(carry=False),
    "convlstm": NetworkConfig(kind="convlstm", hidden=64, depth=2, carry=False),
}
"""Networks by name: SimVP with a ConvMixer or a gSTA translator, which correct the last frame as
its optical flow carries it on; the former with the last frame as it is; and a ConvLSTM."""


@dataclass(frozen=True)
class WindowShape:
    """The windows that a network is made for: T, H, channels and side of a frame."""

    observed: int
    future: int
    channels: int
    size: int


class LearnedFrames:
    """A network and its weights; a `FrameModel`.

    Attributes:
        config: of the network.
        shape: of the windows.
        network: a `FrameNetwork`.
    """

    def __init__(self, config: NetworkConfig, shape: WindowShape, network: nn.Module) -> None:
        self.config = config
        self.shape = shape
        self.network = network

    @classmethod
    def untrained(cls, config: NetworkConfig, windows: WindowConfig, seed: int) -> LearnedFrames:
        """With the weights that training begins with.

        Raises:
            InputError: a size of frames that no network takes, or more than `MOST_PARAMETERS`.
        """
        import torch

        from bench.predict.frame_networks import parameters_of

        if windows.size is None:
            raise InputError("windows for a network: must say the size of their frames")
        channels = 3 if windows.colour else 1
        shape = WindowShape(windows.observed, windows.future, channels, windows.size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _make(config, shape)
        if (count := parameters_of(network)) > MOST_PARAMETERS:
            raise InputError(f"a network of {count} parameters: at most {MOST_PARAMETERS}")
        return cls(config, shape, network)

    @property
    def parameters(self) -> int:
        """Numbers that were trained."""
        from bench.predict.frame_networks import parameters_of

        return parameters_of(self.network)

    def forecast(self, observed: ObservedFrames) -> NDArray[np.float32]:
        """As `FrameModel.forecast`.

        Raises:
            InputError: windows of another kind than those it was trained on.
        """
        import torch

        frames, ahead = observed.frames, max(observed.horizons)
        shape = self.shape
        wanted = (shape.observed, shape.channels, shape.size, shape.size)
        if frames.shape[1:] != wanted:
            raise InputError(
                f"observed frames of shape {frames.shape[1:]}: the network was trained on {wanted}"
            )
        if ahead > shape.future:
            raise InputError(f"horizon {ahead}: the network forecasts {shape.future} frames")
        device = next(self.network.parameters()).device
        self.network.eval()
        parts = []
        with torch.inference_mode():
            for start in range(0, len(frames), _CHUNK):
                chunk = np.ascontiguousarray(frames[start : start + _CHUNK])
                base = base_of(self.config, chunk, observed.horizons)
                inputs = (torch.from_numpy(values).to(device) for values in (chunk, base))
                parts.append(self.network(*inputs, observed.horizons).float().cpu())
        return np.asarray(torch.cat(parts).numpy())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and configuration to a .safetensors file, whole or not at all."""
        from safetensors.torch import save

        from satgen.atomic import write_atomic

        facts = {"network": asdict(self.config), "windows": asdict(self.shape)}
        # One entry: the library writes several in any order, other bytes each time.
        metadata = {"config": json.dumps(facts)}
        weights = {
            name: value.detach().cpu().contiguous()
            for name, value in self.network.state_dict().items()
        }
        write_atomic(Path(path), save(weights, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "cpu") -> LearnedFrames:
        """A model from a file that `save` wrote, on a device of torch's.

        Raises:
            InputError: there is no such file, or it is not such a model's.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(os.fspath(path), framework="pt") as file:
                facts: dict[str, Any] = json.loads((file.metadata() or {})["config"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            config = NetworkConfig(**_known(NetworkConfig, facts["network"]))
            shape = WindowShape(**_known(WindowShape, facts["windows"]))
            network = _make(config, shape)
            network.load_state_dict(weights)
        except (OSError, SafetensorError) as error:
            raise InputError(f"weights {os.fspath(path)}: cannot be read: {error}") from None
        except (KeyError, ValueError, TypeError, RuntimeError):
            raise InputError(f"weights {os.fspath(path)}: not those of a frame model") from None
        return cls(config, shape, network.to(device).eval())


def base_of(config: NetworkConfig, observed: Frames, horizons: Sequence[int]) -> Frames:
    """Frames (B, N, C, S, S) that a network corrects, of observed ones (B, T, C, S, S): the last
    one carried on by its optical flow, or as it is."""
    if config.carry:
        return CarriedFlow().carry(observed, horizons)
    return np.repeat(observed[:, -1:], len(horizons), axis=1)


def _known(kind: type, given: dict[str, Any]) -> dict[str, Any]:
    """The values that a dataclass has fields for."""
    return {field.name: given[field.name] for field in fields(kind)}


def _make(config: NetworkConfig, shape: WindowShape) -> nn.Module:
    from bench.predict.frame_networks import ConvLSTM, SimVP

    of_windows = asdict(shape)
    if config.kind == "convlstm":
        return ConvLSTM(**of_windows, hidden=config.hidden, depth=config.depth)
    return SimVP(
        **of_windows,
        translator=config.translator,
        width=config.width,
        hidden=config.hidden,
        depth=config.depth,
    )
