"""The network of `learned`, its training and its use, in torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.predict.resumable import keep, restore, set_rate
from bench.predict.schedule import warmed_cosine
from satgen.geometry import Floats

if TYPE_CHECKING:
    from bench.predict.learned import LearnedConfig

_WAVES = 6
"""Frequencies in which the time asked for is given to the perceptron."""

_SOFT_RAD = 0.01
"""Error at which the loss turns from proportional to logarithmic, so that the far horizons, which
are off by a hundred times as much, do not drown the near ones."""

FLIPS = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
"""Diagonals of the half turns about the principal axes, and of none."""

_CHUNK = 4096
"""Sequences forecast at a time."""

SAVE_EVERY = 200
"""Steps from one state on disk to the next: some seconds."""


class PoseNetwork(nn.Module):
    """Frames, context and angles to rotations: see `learned`."""

    def __init__(self, features: int, context: int, hidden: int, width: int) -> None:
        """Of given sizes; it begins as no correction at all."""
        super().__init__()
        self.encoder = nn.GRU(features, hidden, batch_first=True)
        self.mix = nn.Sequential(nn.Linear(hidden + context, width), nn.SiLU())
        self.query = nn.Linear(2 + 2 * _WAVES, width)
        self.body = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.head = nn.Linear(width, 6)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, frames: Tensor, context: Tensor, angle: Tensor) -> Tensor:
        """Turns (B, H, 3, 3) of frames (B, T, F), context (B, C) and angles (B, H)."""
        _, state = self.encoder(frames)
        known = self.mix(torch.cat([state[-1], context], dim=-1))
        wave = torch.arange(1, _WAVES + 1, device=angle.device) * 0.5 * angle[..., None]
        asked = torch.stack([angle / 5.0, torch.log1p(angle)], dim=-1)
        query = self.query(torch.cat([asked, torch.sin(wave), torch.cos(wave)], dim=-1))
        hidden = self.body(nn.functional.silu(known[:, None] + query))
        six = self.head(hidden * (1.0 + angle[..., None]))
        return orthonormal(six + six.new_tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))


def orthonormal(six: Tensor) -> Tensor:
    """Rotations (..., 3, 3) of any six numbers (..., 6), by Gram-Schmidt (Zhou et al., eq. 15)."""
    x = nn.functional.normalize(six[..., :3], dim=-1)
    y = six[..., 3:] - (x * six[..., 3:]).sum(dim=-1, keepdim=True) * x
    y = nn.functional.normalize(y, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def loss_of(found: Tensor, target: Tensor) -> Tensor:
    """Mean of log(1 + error / `_SOFT_RAD`), error the chord between rotations in radians."""
    chord = (found - target).square().sum(dim=(-1, -2)).add(1e-12).sqrt() / math.sqrt(2.0)
    return torch.log1p(chord / _SOFT_RAD).mean()


def train_network(
    arrays: tuple[Floats, Floats, Floats, Floats],
    config: LearnedConfig,
    progress: Callable[[int, int], None] | None = None,
    saved: Path | None = None,
) -> PoseNetwork:
    """A network trained on frames, context, angles and target turns, the last (B, H, 3, 3).

    It is small enough that a second thread costs more than it gives, and one thread adds up in the
    same order whatever the machine's cores. Every batch is turned by half turns about the principal
    axes, which leave the inertia as it is.

    Every `SAVE_EVERY` steps the state is written to the file `saved`, from which a training of the
    same configuration and arrays goes on to the same weights as one that never stopped.

    Raises:
        InputError: the file is another training's.
        RunError: it cannot be read or written.
    """
    frames, context, angle, target = (torch.from_numpy(a.astype(np.float32)) for a in arrays)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PoseNetwork(frames.shape[-1], context.shape[-1], config.hidden, config.width)
    draws = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=1e-4)
    identity = _identity(arrays, config)
    first = 0
    if saved is not None and (state := restore(saved, identity, network, optimiser)) is not None:
        first = state["step"]
        draws.set_state(state["draws"])
    network.train()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for step in range(first, config.steps):
            set_rate(optimiser, config.learning_rate * warmed_cosine(step, config.steps))
            rows = torch.randint(0, len(frames), (config.batch,), generator=draws)
            signs = FLIPS[torch.randint(0, 4, (config.batch,), generator=draws)]
            found = network(*flipped(frames[rows], context[rows], signs), angle[rows])
            wanted = target[rows] * signs[:, None, :, None] * signs[:, None, None, :]
            loss = loss_of(found, wanted)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            if saved is not None and (step + 1) % SAVE_EVERY == 0:
                more = {"step": step + 1, "draws": draws.get_state()}
                keep(saved, identity, network, optimiser, more)
            if progress is not None:
                progress(step + 1, config.steps)
    finally:
        torch.set_num_threads(threads)
    return network.eval()


def _identity(arrays: Iterable[Floats], config: LearnedConfig) -> dict[str, Any]:
    """What tells one training from another: its configuration and its data."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return {"config": asdict(config), "data": digest.hexdigest()}


def flipped(frames: Tensor, context: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Frames and context as they are after half turns of the target about its principal axes."""
    one = torch.ones_like(signs[:, :1])
    # The first two columns of F Q F, with F = diag(signs).
    matrix = torch.cat([signs * signs[:, :1], signs * signs[:, 1:2]], dim=-1)
    frame = torch.cat([one, matrix, signs, signs], dim=-1)
    whole = torch.cat([signs, signs, one, one, one], dim=-1)
    return frames * frame[:, None], context * whole


def apply_network(network: PoseNetwork, frames: Floats, context: Floats, angle: Floats) -> Floats:
    """Turns (B, H, 3, 3), float64 and orthonormal to its rounding: means over all half turns."""
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(frames), _CHUNK):
            rows = slice(start, start + _CHUNK)
            seen, known, asked = (
                torch.from_numpy(a[rows].astype(np.float32)).to(device)
                for a in (frames, context, angle)
            )
            total = torch.zeros((*asked.shape, 3, 3), dtype=torch.float64, device=device)
            for flip in FLIPS.to(device):
                found = network(*flipped(seen, known, flip.expand(len(seen), 3)), asked)
                total += found.double() * flip[:, None] * flip
            parts.append(total.cpu().numpy())
    turns = np.concatenate(parts) if parts else np.zeros((0, angle.shape[1], 3, 3))
    left, _, right = np.linalg.svd(turns)
    left[..., 2] *= np.linalg.det(left @ right)[..., None]
    return np.asarray(left @ right)
