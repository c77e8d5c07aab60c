"""Networks that forecast frames: a recurrent-free one and a ConvLSTM, written from the papers.

Both take frames (B, T, C, S, S) in 0…1 and give (B, N, C, S, S) in 0…1 at the horizons asked for,
for sides that are a multiple of `reduction_of`. Neither draws all of a frame anew: a gate says for
every pixel how much of what is known stays, for SimVP a base that may be the last frame carried on
by its optical flow, for the ConvLSTM the last frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bench.predict.frame_learned import TRANSLATORS
from satgen.errors import InputError

LEAST_REDUCTION = 4
"""Pixels along a side, at least, that become one place of the hidden grid."""

_OPEN = 3.0
"""Logit of a gate that lets 95 % through."""


class FrameNetwork(Protocol):
    """A network that forecasts frames."""

    def __call__(self, frames: Tensor, base: Tensor, horizons: Sequence[int]) -> Tensor:
        """Observed frames (B, T, C, S, S) to those (B, N, C, S, S) at N horizons, from 1 to H.

        `base` (B, N, C, S, S), from `frame_learned.base_of`, is what it may correct.
        """


def reduction_of(size: int) -> int:
    """How many pixels, along a side, become one place of the hidden grid: 16 places to 31.

    Raises:
        InputError: the side is not a multiple of it.
    """
    reduction = LEAST_REDUCTION
    while size // reduction > 31:
        reduction *= 2
    if size < 2 * reduction or size % reduction:
        raise InputError(f"size {size}: must be a multiple of {reduction}, and {2 * reduction} up")
    return reduction


class _Block(nn.Sequential):
    """Convolution, group norm and SiLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1),
            nn.GroupNorm(2, outputs),
            nn.SiLU(),
        )


class _Grow(nn.Sequential):
    """Twice the side, by PixelShuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs * 4, 3, 1, 1),
            nn.PixelShuffle(2),
            nn.GroupNorm(2, outputs),
            nn.SiLU(),
        )


class _ConvMixer(nn.Module):
    """A ConvMixer layer (Trockman and Kolter, "Patches are all you need?", 2022): places are mixed
    by a depthwise convolution beside a shortcut, channels by one of 1 × 1."""

    def __init__(self, width: int, kernel: int = 7) -> None:
        super().__init__()
        self.space = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.space_norm = nn.GroupNorm(8, width)
        self.channels = nn.Conv2d(width, width, 1)
        self.channels_norm = nn.GroupNorm(8, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.space_norm(nn.functional.gelu(self.space(x)))
        mixed: Tensor = self.channels_norm(nn.functional.gelu(self.channels(x)))
        return x + mixed


class _GatedAttention(nn.Module):
    """A gSTA layer (Tan et al., "SimVP: Towards simple yet powerful spatiotemporal predictive
    learning", 2022): a large kernel taken apart into a depthwise 5 × 5, a dilated depthwise 7 × 7
    and a 1 × 1 convolution, whose one half gates the other; then a perceptron."""

    def __init__(self, width: int, expansion: int = 2) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.enter = nn.Conv2d(width, width, 1)
        self.near = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.far = nn.Conv2d(width, width, 7, padding=9, groups=width, dilation=3)
        self.gate = nn.Conv2d(width, 2 * width, 1)
        self.leave = nn.Conv2d(width, width, 1)
        self.mlp = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.Conv2d(width, expansion * width, 1),
            nn.Conv2d(expansion * width, expansion * width, 3, 1, 1, groups=expansion * width),
            nn.GELU(),
            nn.Conv2d(expansion * width, width, 1),
        )
        self.scale = nn.Parameter(torch.full((2, width, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        inner = nn.functional.gelu(self.enter(self.norm(x)))
        gate, value = self.gate(self.far(self.near(inner))).chunk(2, dim=1)
        x = x + self.scale[0] * self.leave(torch.sigmoid(gate) * value)
        mixed: Tensor = self.mlp(x)
        return x + self.scale[1] * mixed


class SimVP(nn.Module):
    """Encoder of single frames, translator over all of them at once, decoder of single frames (Gao
    et al., "SimVP: Simpler yet better video prediction", CVPR 2022).

    Different from the paper: the first layer already halves the side; the translator makes H frames
    of T by its last layer, so that H may differ from T; the decoder has the features of the last
    observed frame and the base beside, and gives, for each pixel, a gate, a shift of the base and
    what is drawn anew.

    Args:
        observed, future: T and H.
        channels: of a frame.
        size: side of a frame.
        translator: one of `TRANSLATORS`.
        width: channels of a frame's features on the hidden grid.
        hidden: channels of the translator.
        depth: its layers.
    """

    def __init__(
        self,
        observed: int,
        future: int,
        channels: int = 1,
        size: int = 64,
        translator: str = "convmixer",
        width: int = 48,
        hidden: int = 256,
        depth: int = 8,
    ) -> None:
        super().__init__()
        if translator not in TRANSLATORS:
            raise InputError(f"translator {translator!r}: must be one of {', '.join(TRANSLATORS)}")
        halvings = reduction_of(size).bit_length() - 1
        self.future = future
        first = max(16, width // 2)
        self.stem = _Block(channels, first, 2)
        downs = [_Block(first, width, 2)]
        downs += [_Block(width, width, 2) for _ in range(halvings - 2)]
        self.encoder = nn.Sequential(*downs)
        layer: Any = _ConvMixer if translator == "convmixer" else _GatedAttention
        self.enter = nn.Conv2d(observed * width, hidden, 1)
        self.translator = nn.Sequential(*(layer(hidden) for _ in range(depth)))
        self.leave = nn.Conv2d(hidden, future * width, 1)
        ups = [_Grow(width, width) for _ in range(halvings - 2)]
        self.decoder = nn.Sequential(*ups, _Grow(width, first))
        self.merge = _Block(2 * first + 4 * channels, first)
        self.show = nn.Conv2d(first, 2 * channels * 4, 3, 1, 1)
        self.move = nn.Conv2d(first, 2, 3, 1, 1)
        # It begins with the base as it is: the gate open, nothing moved, black beside it.
        assert self.show.bias is not None
        with torch.no_grad():
            self.show.weight.mul_(0.1)
            self.show.bias[: 4 * channels] = _OPEN
            self.show.bias[4 * channels :] = -_OPEN
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)  # type: ignore[arg-type]

    def forward(self, frames: Tensor, base: Tensor, horizons: Sequence[int]) -> Tensor:
        """See `FrameNetwork`."""
        batch, observed = frames.shape[:2]
        stem = self.stem(_images(frames))
        features = self.encoder(stem)
        side = features.shape[-1]
        mixed = self.translator(self.enter(features.reshape(batch, -1, side, side)))
        ahead = self.leave(mixed).reshape(batch, self.future, -1, side, side)
        chosen = _images(ahead[:, [h - 1 for h in horizons]])
        count = len(horizons)
        last = stem.reshape(batch, observed, *stem.shape[1:])[:, -1]
        beside = _images(last[:, None].expand(-1, count, -1, -1, -1))
        flat = _images(base)
        begin = nn.functional.pixel_unshuffle(flat, 2)
        merged = self.merge(torch.cat([self.decoder(chosen), beside, begin], dim=1))
        drawn = torch.sigmoid(nn.functional.pixel_shuffle(self.show(merged), 2).float())
        gate, content = drawn.chunk(2, dim=1)
        moved = _moved(flat, self.move(merged).float())
        return (gate * moved + (1.0 - gate) * content).reshape(base.shape)


class ConvLSTM(nn.Module):
    """Layers of convolutional LSTM cells that read the observed frames and then what they forecast
    themselves (Shi et al., "Convolutional LSTM network", NIPS 2015; without peepholes).

    Args:
        observed, future: T and H.
        channels: of a frame.
        size: side of a frame; squares of `reduction_of(size)` pixels are one place of the grid.
        hidden: channels of each layer's state.
        depth: layers.
    """

    def __init__(
        self,
        observed: int,
        future: int,
        channels: int = 1,
        size: int = 64,
        hidden: int = 64,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.reduction = reduction_of(size)
        self.hidden = hidden
        patch = channels * self.reduction**2
        widths = [patch] + [hidden] * depth
        self.cells = nn.ModuleList(
            nn.Conv2d(inputs + hidden, 4 * hidden, 5, padding=2) for inputs in widths[:-1]
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, 4 * hidden) for _ in range(depth))
        self.show = nn.Conv2d(hidden, 2 * patch, 1)

    def forward(self, frames: Tensor, base: Tensor, horizons: Sequence[int]) -> Tensor:
        """See `FrameNetwork`; the base is not looked at."""
        batch, observed = frames.shape[:2]
        patches = nn.functional.pixel_unshuffle(_images(frames), self.reduction)
        patches = patches.reshape(batch, observed, *patches.shape[1:])
        zero = patches.new_zeros(batch, self.hidden, *patches.shape[-2:])
        states = [(zero, zero) for _ in self.cells]
        outputs: dict[int, Tensor] = {}
        last = patches[:, -1]
        for step in range(observed - 1 + max(horizons)):
            seen = patches[:, step] if step < observed else last
            for place, (cell, norm) in enumerate(zip(self.cells, self.norms, strict=True)):
                hidden, memory = states[place]
                gates = norm(cell(torch.cat([seen, hidden], dim=1)))
                enter, forget, leave, new = gates.chunk(4, dim=1)
                memory = torch.sigmoid(forget + 1.0) * memory + torch.sigmoid(enter) * torch.tanh(
                    new
                )
                hidden = torch.sigmoid(leave) * torch.tanh(memory)
                states[place] = (hidden, memory)
                seen = hidden
            if step >= observed - 1:
                gate, content = self.show(seen).chunk(2, dim=1)
                gate, content = torch.sigmoid(gate.float()), torch.sigmoid(content.float())
                last = gate * patches[:, -1] + (1.0 - gate) * content
                outputs[step - observed + 2] = last
        found = torch.stack([outputs[h] for h in horizons], dim=1)
        images = nn.functional.pixel_shuffle(_images(found), self.reduction)
        return images.reshape(batch, len(horizons), *images.shape[1:])


def _images(frames: Tensor) -> Tensor:
    """(B, N, C, H, W) to (B N, C, H, W), in the memory order that convolutions like."""
    return frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _moved(images: Tensor, shift: Tensor) -> Tensor:
    """Images (N, C, S, S), each pixel taken from `shift` (N, 2, S / 2, S / 2) pixels beside it."""
    side = images.shape[-1]
    shift = shift.clamp(-side, side)  # grid_sample takes no number, however large, for granted
    shift = nn.functional.interpolate(shift, scale_factor=2.0, mode="bilinear")
    steps = (2.0 * torch.arange(side, device=images.device) + 1.0) / side - 1.0
    here = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    places = here + shift.permute(0, 2, 3, 1) * (2.0 / side)
    return nn.functional.grid_sample(
        images.float(), places, padding_mode="border", align_corners=False
    )


def parameters_of(network: nn.Module) -> int:
    """Numbers that are trained."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
