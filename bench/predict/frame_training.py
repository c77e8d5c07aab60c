"""Training of the networks that forecast frames.

    windows = split_windows("datasets/aura", WindowConfig(10, 20, size=64), cache="cache")
    train_frames(windows.train, windows.validation, FrameTrainConfig(), Path("weights"))
    model = LearnedFrames.load("weights/best.safetensors")

Everything that is drawn follows from the seed and the number of the step: a training that was
killed goes on from its last checkpoint to the same weights as one that never was, and the number of
processes that read windows changes nothing. (On a GPU the sums of some layers may come in another
order from run to run, as PyTorch says.)
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from bench.predict.frame_learned import LearnedFrames, base_of
from bench.predict.frame_training_config import FrameTrainConfig
from bench.predict.resumable import keep, restore, set_rate
from bench.predict.schedule import warmed_cosine
from matchers.training import checkpoint
from satgen.errors import InputError, RunError
from satgen.sequences import WindowConfig, WindowDataset

CHECKPOINT = "checkpoint.pt"
BEST = "best.safetensors"
LOG = "log.csv"
COLUMNS = ("step", "seconds", "learning_rate", "loss_db", "psnr")

_LEAST_MSE = 1e-4
"""Added to a frame's mean squared error in the loss: below 40 dB little more is to be won."""


@dataclass(frozen=True)
class FrameTrainSummary:
    """What a training came to.

    Attributes:
        model: with the weights of the best validation.
        step: after which they were found.
        psnr: mean over validation windows and horizons, dB over the whole frame.
    """

    model: LearnedFrames
    step: int
    psnr: float


def train_frames(
    train: WindowDataset,
    validation: WindowDataset,
    config: FrameTrainConfig,
    folder: Path,
    *,
    workers: int = 0,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> FrameTrainSummary:
    """Train a network, or go on training it, and keep the weights that validate best.

    Args:
        train, validation: windows of one configuration with the field "frames".
        config: the same as before where the folder holds a training.
        folder: for checkpoint, log and weights; made if it is not there.
        workers: processes that read windows; 0: this one.
        device: where torch computes.
        progress: called with the steps done and all of them.

    The loss is the mean over windows and horizons of the logarithm of a frame's mean squared error:
    the mean PSNR itself. Frames of every horizon count alike, and so do bright and dark ones.

    Raises:
        InputError: windows that are not alike or lack frames, or a folder with another training.
        RunError: the folder cannot be written or read, or the loss is no number any more.
    """
    windows = train.config
    _check_windows(windows, validation.config)
    model = LearnedFrames.untrained(config.network, windows, config.seed)
    network = model.network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    identity = json.loads(json.dumps({"config": asdict(config), "windows": _identity(train)}))
    step, best, seconds = 0, (-math.inf, 0), 0.0
    state = restore(folder / CHECKPOINT, identity, network, optimiser)
    if state is not None:
        step, best, seconds = state["step"], tuple(state["best"]), state["seconds"]
    folder.mkdir(parents=True, exist_ok=True)
    losses: list[float] = list(state["losses"]) if state is not None else []
    validated = _spread(len(validation), config.validation_windows)
    with (
        closing(checkpoint.Log(folder / LOG, COLUMNS, step)) as log,
        closing(_Batches(train, config, step, workers)) as batches,
    ):
        began = time.perf_counter() - seconds
        for frames in batches:
            rate = config.learning_rate * warmed_cosine(step, config.steps)
            set_rate(optimiser, rate)
            horizons = horizons_of(config, windows.future, step)
            with _autocast(device, config.bfloat16):
                found = _forward(model, frames[:, : windows.observed], horizons, device)
            frames = frames.to(device)
            wanted = frames[:, [windows.observed - 1 + h for h in horizons]]
            loss = loss_of(found, wanted)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise RunError(
                    f"step {step + 1}: the loss is not finite; try a lower learning rate than "
                    f"{config.learning_rate:g}"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
            if step % config.validate_every == 0 or step == config.steps:
                psnr = _validate(model, validation, validated, config)
                log.add(
                    {
                        "step": step,
                        "seconds": round(time.perf_counter() - began, 3),
                        "learning_rate": rate,
                        "loss_db": -10.0 / math.log(10.0) * float(np.mean(losses)),
                        "psnr": psnr,
                    }
                )
                losses.clear()
                if psnr > best[0]:
                    best = (psnr, step)
                    model.save(folder / BEST)
            if step % config.save_every == 0 or step == config.steps:
                more = {
                    "step": step,
                    "best": list(best),
                    "losses": losses,
                    "seconds": time.perf_counter() - began,
                }
                keep(folder / CHECKPOINT, identity, network, optimiser, more)
            if progress is not None:
                progress(step, config.steps)
    return FrameTrainSummary(LearnedFrames.load(folder / BEST, device), best[1], best[0])


def loss_of(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean logarithm of the mean squared errors of frames (B, H, C, S, S)."""
    errors = (found - wanted).square().mean(dim=(-1, -2, -3))
    return torch.log(errors + _LEAST_MSE).mean()


def horizons_of(config: FrameTrainConfig, future: int, step: int) -> list[int]:
    """The horizons that a step compares, 1 to H ascending: one of every equal share of them."""
    count = min(config.horizons or future, future)
    edges = np.arange(count + 1) * future // count
    rng = np.random.default_rng([config.seed, step, 1])
    return [int(rng.integers(a, b)) + 1 for a, b in pairwise(edges.tolist())]


class _Batches:
    """Frames (B, T + H, C, S, S) of every step from `first` on; which ones follows from the step.

    Windows are drawn without looking at what was drawn before, so there is no order to keep.
    """

    def __init__(
        self, windows: WindowDataset, config: FrameTrainConfig, first: int, workers: int
    ) -> None:
        self.steps = range(first, config.steps)
        count = min(config.batch, len(windows))
        draws = [
            np.random.default_rng([config.seed, step]).choice(len(windows), count, replace=False)
            for step in self.steps
        ]
        loader = DataLoader(
            windows,
            batch_sampler=[draw.tolist() for draw in draws],
            num_workers=workers,
            generator=torch.Generator().manual_seed(config.seed),
        )
        self._iterator: Iterator[dict[str, Tensor]] | None = iter(loader) if draws else iter(())

    def __iter__(self) -> Iterator[Tensor]:
        """In order."""
        while self._iterator is not None and (batch := next(self._iterator, None)) is not None:
            yield batch["frames"]

    def close(self) -> None:
        """End the processes that read."""
        self._iterator = None


def _forward(
    model: LearnedFrames, observed: Tensor, horizons: Sequence[int], device: str
) -> Tensor:
    """Frames (B, N, C, S, S) on the device, of observed ones that are on the CPU."""
    base = torch.from_numpy(base_of(model.config, observed.numpy(), horizons))
    found: Tensor = model.network(observed.to(device), base.to(device), horizons)
    return found


def _validate(
    model: LearnedFrames, windows: WindowDataset, numbers: Sequence[int], config: FrameTrainConfig
) -> float:
    """Mean PSNR over windows and all horizons."""
    T = windows.config.observed
    device = str(next(model.network.parameters()).device)
    horizons = list(range(1, windows.config.future + 1))
    found: list[float] = []
    model.network.eval()
    for start in range(0, len(numbers), config.batch):
        chosen = [windows[n]["frames"] for n in numbers[start : start + config.batch]]
        frames = torch.stack(chosen)
        with torch.inference_mode(), _autocast(device, config.bfloat16):
            found_frames = _forward(model, frames[:, :T], horizons, device)
        errors = (found_frames - frames[:, T:].to(device)).square()
        psnr = -10.0 * torch.log10(errors.mean(dim=(-1, -2, -3)) + 1e-10)
        found += psnr.flatten().tolist()
    model.network.train()
    return float(np.mean(found))


def _spread(count: int, most: int) -> list[int]:
    """At most so many of `count` numbers, evenly spread."""
    return [int(n) for n in np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))]


def _autocast(device: str, wanted: bool) -> torch.autocast:
    return torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=wanted)


def _identity(windows: WindowDataset) -> dict[str, Any]:
    """What windows are of, for telling one training from another."""
    config: WindowConfig = windows.config
    return {"config": asdict(config), "datasets": windows.names, "spans": windows.spans.tolist()}


def _check_windows(train: WindowConfig, validation: WindowConfig) -> None:
    for name in ("observed", "future", "step", "size", "crop", "colour"):
        ours, theirs = getattr(train, name), getattr(validation, name)
        if ours != theirs:
            raise InputError(f"validation windows: {name} {theirs}, to train on {ours}")
    if "frames" not in train.fields or train.dtype != "float32":
        raise InputError("windows to train on: must have the field 'frames', in float32")
    if train.future < 1:
        raise InputError("windows to train on: must have at least 1 frame to forecast")
    if train.size is None:
        raise InputError("windows to train on: must say the size of their frames")
