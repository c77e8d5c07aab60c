"""The network of ALIKED (Zhao et al., "ALIKED: A Lighter Keypoint and Descriptor Extraction Network
via Deformable Transformation", IEEE TIM 2023).

Written from the paper, with the parameter names of the official checkpoints (BSD-3-Clause), which
load strictly. The full-resolution map of all channels that the paper draws is never made: the score
head's first layer is applied at each level's own resolution (it is linear, as is the upsampling
that follows), and the descriptor head makes the map's pixels only where it samples them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from matchers.features.deform import deform_conv2d
from matchers.features.sampling import axis_taps, bilinear_taps, weighted_rows

# channels of the four blocks (the last is also the descriptor's length), sampling positions M
VARIANTS = {
    "aliked-t16": ((8, 16, 32, 64), 16),
    "aliked-n16": ((16, 32, 64, 128), 16),
    "aliked-n16rot": ((16, 32, 64, 128), 16),
    "aliked-n32": ((16, 32, 64, 128), 32),
}
STRIDE = 32  # of the last level: the sides of what the network sees are multiples of it
_STRIDES = (2, 8, STRIDE)  # of levels 2 to 4
_STRIP = 1 << 16  # pixels that the score head's first layer takes at once
_KEYPOINTS = 1024  # keypoints described at once
_GPU_STRIP, _GPU_KEYPOINTS = 1 << 22, 1 << 13  # both on a GPU, of all images: half a gibibyte


class FrameWindow(NamedTuple):
    """A part of a frame, computed as if the whole frame were seen.

    Upsampling with aligned corners depends on the frame's size, and so do the limits of offsets.

    Attributes:
        x, y: the frame's pixel that is the window's first; multiples of 32.
        frame: width and height; multiples of 32.
    """

    x: int
    y: int
    frame: tuple[int, int]


class WindowPart(NamedTuple):
    """A box of a window: its first pixel and its sides."""

    x: int
    y: int
    width: int
    height: int


Taps = tuple[Tensor, Tensor]
"""Indices and weights."""


class Maps(NamedTuple):
    """Features of B windows of h × w pixels, of which any pixel's can be made.

    Attributes:
        fine: (B, h, w, C1), level 1 before its 1×1 layer.
        coarse: levels 2 to 4 after theirs, tables of pixels: (B, width · height, D/4).
        columns: for each window the two columns next to each pixel at levels 2 to 4, and their
            weights: (B, 3, 2, w).
        rows: likewise, (B, 3, 2, h).
        sizes: width and height of levels 2 to 4.
    """

    fine: Tensor
    coarse: list[Tensor]
    columns: Taps
    rows: Taps
    sizes: list[tuple[int, int]]


class ALIKEDNetwork(nn.Module):
    """Features, detection scores and descriptors. BatchNorm always uses its running statistics."""

    fine_dtype = torch.float32
    """Type of what is computed of every pixel: block 1 and the first layers of the score head. The
    other blocks, at a quarter of the pixels and fewer, are not: rounded to 11 bits, block 2 alone
    moves three keypoints of a hundred by more than 0.01 px."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self._seen: Counter[tuple[int, ...]] = Counter()
        (c1, c2, c3, c4), positions = VARIANTS[variant]
        self.descriptor_size = c4
        self.block1 = _ConvolutionBlock(3, c1, residual=False, deformable=False)
        self.block2 = _ConvolutionBlock(c1, c2, residual=True, deformable=False)
        self.block3 = _ConvolutionBlock(c2, c3, residual=True, deformable=True)
        self.block4 = _ConvolutionBlock(c3, c4, residual=True, deformable=True)
        self.conv1 = nn.Conv2d(c1, c4 // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(c2, c4 // 4, 1, bias=False)
        self.conv3 = nn.Conv2d(c3, c4 // 4, 1, bias=False)
        self.conv4 = nn.Conv2d(c4, c4 // 4, 1, bias=False)
        self.score_head = nn.Sequential(
            nn.Conv2d(c4, 8, 1, bias=False),
            nn.SELU(inplace=True),
            nn.Conv2d(8, 4, 3, padding=1, bias=False),
            nn.SELU(inplace=True),
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            nn.SELU(inplace=True),
            nn.Conv2d(4, 1, 3, padding=1, bias=False),
        )
        self.desc_head = _DescriptorHead(c4, positions)

    def compute_in(self, dtype: torch.dtype) -> None:
        """Compute what can be in a type of less precision without moving keypoints: see
        `fine_dtype`."""
        self.fine_dtype = dtype

    @contextmanager
    def tuned(self, images: Tensor) -> Iterator[None]:
        """On a GPU the fastest convolutions are looked for, from the third time that images of a
        shape come: it takes longer than to compute a few."""
        backend, shape = torch.backends.cudnn, tuple(images.shape)
        if images.device.type != "cuda":
            yield
            return
        self._seen[shape] += 1
        before = backend.benchmark
        backend.benchmark = before or self._seen[shape] > 2
        try:
            yield
        finally:
            backend.benchmark = before

    def maps(self, images: Tensor, windows: Sequence[FrameWindow]) -> Maps:
        """Features of (B, 3, h, w) RGB values in [0, 1]; h and w are multiples of 32.

        Args:
            images: parts of frames of one size.
            windows: where each of them lies in its frame.
        """
        height, width = images.shape[-2:]
        longest = max(windows[0].frame)
        images = images.to(self.fine_dtype)
        x1 = self.block1(images.contiguous(memory_format=torch.channels_last), 0.0)
        x2 = self.block2(functional.avg_pool2d(x1, 2).to(self.conv2.weight.dtype), 0.0)
        x3 = self.block3(functional.avg_pool2d(x2, 4), longest / 8 / 4)
        x4 = self.block4(functional.avg_pool2d(x3, 4), longest / STRIDE / 4)
        levels = ((self.conv2, x2), (self.conv3, x3), (self.conv4, x4))
        coarse = [_selu(conv(x)).permute(0, 2, 3, 1).flatten(1, 2) for conv, x in levels]

        place = (x1.device, x2.dtype)
        return Maps(
            fine=x1.permute(0, 2, 3, 1),
            coarse=coarse,
            columns=_together([_upsampling(at.x, width, at.frame[0], *place) for at in windows]),
            rows=_together([_upsampling(at.y, height, at.frame[1], *place) for at in windows]),
            sizes=[(width // stride, height // stride) for stride in _STRIDES],
        )

    def scores(self, maps: Maps, part: WindowPart) -> Tensor:
        """Detection scores of a part of each window: (B, height, width) float32 in (0, 1).

        The three pixels next to its borders are right only where the window ends as well.
        """
        across, down = slice(part.x, part.x + part.width), slice(part.y, part.y + part.height)
        x1 = maps.fine[:, down, across].permute(0, 3, 1, 2)
        fine, *coarse = self.score_head.get_parameter("0.weight").chunk(4, dim=1)
        tables = [
            functional.linear(table, weight[:, :, 0, 0])
            for table, weight in zip(maps.coarse, coarse, strict=True)
        ]
        hidden = _upsampled(tables, maps, across, down)
        strip = _STRIP if hidden.device.type == "cpu" else _GPU_STRIP // len(hidden)
        step = max(1, strip // part.width)
        for start in range(0, part.height, step):
            lines = slice(start, start + step)
            level = _selu(functional.conv2d(x1[:, :, lines], self.conv1.weight.to(x1.dtype)))
            hidden[:, :, lines] += functional.conv2d(level, fine.to(x1.dtype))
        scores: Tensor = self.score_head[1:](hidden)
        return scores[:, 0].float().sigmoid()

    def describe(
        self, maps: Maps, of: Tensor, points: Tensor, seen: WindowPart, reach: float
    ) -> Tensor:
        """Descriptors at (N, 2) points (x, y) of windows: (N, D) of unit length.

        Args:
            maps: of B windows.
            of: (N,) int64, the window of each point.
            points: in pixels of it.
            seen: features outside count as zeros.
            reach: the largest offset, pixels.
        """
        if not len(points):
            return points.new_zeros(0, self.descriptor_size)
        points = points - points.new_tensor((seen.x, seen.y))
        count = _KEYPOINTS if points.device.type == "cpu" else _GPU_KEYPOINTS
        parts = [
            self._describe(maps, of[start : start + count], points[start : start + count], seen,
                           reach)
            for start in range(0, len(points), count)
        ]  # fmt: skip
        return torch.cat(parts).float()

    def _describe(
        self, maps: Maps, of: Tensor, points: Tensor, seen: WindowPart, reach: float
    ) -> Tensor:
        area = seen.width * seen.height
        first = of * area

        def features(rows: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
            """The levels at pixels of the windows' `seen`; 1 / their length; which is where."""
            pixels, places = distinct(rows, len(maps.fine) * area)
            image, pixels = pixels // area, pixels % area
            x, y = pixels % seen.width + seen.x, pixels // seen.width + seen.y
            levels = self._pixels(maps, image, x, y)
            lengths = torch.stack([level.norm(dim=1) for level in levels]).norm(dim=0)
            return levels, 1 / lengths.clamp(min=1e-12), places

        head = self.desc_head
        # the official code's patches: truncated, and one pixel short of the right and lower border
        inside = points.new_tensor((max(seen.width - 3, 1), max(seen.height - 3, 1)))
        centre = points.trunc().clamp(min=1.0).minimum(inside).long()
        step = torch.arange(-1, 2, device=points.device)
        patch = (centre[:, 1, None, None] + step[:, None]) * seen.width
        patch = patch + centre[:, 0, None, None] + step + first[:, None, None]
        levels, factor, rows = features(patch.flatten())
        patches = torch.cat([level[rows] for level in levels], dim=1) * factor[rows, None]
        offsets = head.offsets(patches.view(len(points), -1)).clamp(-reach, reach)

        x, y = (points[:, None] + offsets.to(points.dtype)).unbind(-1)
        taps, weights = bilinear_taps(x, y, seen.width, seen.height)
        taps += first[:, None, None]
        levels, factor, rows = features(taps.flatten(0, 1))
        weights = weights.flatten(0, 1) * factor[rows]
        samples = torch.cat([weighted_rows(level, rows, weights) for level in levels], dim=1)
        return head.aggregated(samples)

    def _pixels(self, maps: Maps, of: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
        """The full-resolution maps at (P,) pixels, each of a window: D/4 channels of each level,
        (P, D/4)."""
        height, width = maps.fine.shape[1:3]
        own = maps.fine.flatten(0, 2)[(of * height + y) * width + x]
        weight = self.conv1.weight[:, :, 0, 0]
        levels = [_selu(functional.linear(own.to(weight.dtype), weight))]
        x, y = of * width + x, of * height + y
        for level, (table, size) in enumerate(zip(maps.coarse, maps.sizes, strict=True)):
            # the four taps' columns, and their rows
            columns, right = (
                tap[:, level].transpose(1, 2).flatten(0, 1).repeat(1, 2).index_select(0, x)
                for tap in maps.columns
            )
            rows, down = (
                tap[:, level].transpose(1, 2).flatten(0, 1).repeat_interleave(2, 1)
                .index_select(0, y)
                for tap in maps.rows
            )  # fmt: skip
            taps = columns + rows * size[0] + (of * (size[0] * size[1]))[:, None]
            levels.append(weighted_rows(table.flatten(0, 1), taps, right * down))
        return levels


class _ConvolutionBlock(nn.Module):
    """Two 3×3 layers, plain or deformable, with a 1×1 layer beside them if residual (§III-A)."""

    def __init__(self, channels: int, out: int, *, residual: bool, deformable: bool) -> None:
        super().__init__()
        layer = _DeformableLayer if deformable else _PlainLayer
        self.conv1 = layer(channels, out)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = layer(out, out)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = nn.Conv2d(channels, out, 1) if residual else None

    def forward(self, x: Tensor, reach: float) -> Tensor:
        y = _selu(self.conv1(x, self.bn1, reach))
        y = self.conv2(y, self.bn2, reach)
        if self.downsample is not None:
            y += self.downsample(x)
        return _selu(y)


class _PlainLayer(nn.Conv2d):
    """A 3×3 convolution that takes the BatchNorm after it along."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 3, padding=1, bias=False)

    def forward(self, x: Tensor, norm: nn.BatchNorm2d, reach: float) -> Tensor:  # type: ignore[override]
        weight, bias = (value.to(x.dtype) for value in folded(self.weight, norm))
        return functional.conv2d(x, weight, bias, padding=1)


class _DeformableLayer(nn.Module):
    """A deformable 3×3 convolution, offsets within ±`reach`, and the BatchNorm after it."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.offset_conv = nn.Conv2d(channels, 18, 3, padding=1)
        self.regular_conv = nn.Conv2d(channels, out, 3, padding=1, bias=False)

    def forward(self, x: Tensor, norm: nn.BatchNorm2d, reach: float) -> Tensor:
        offset = self.offset_conv(x).clamp(-reach, reach)
        return deform_conv2d(x, offset, *folded(self.regular_conv.weight, norm))


class _DescriptorHead(nn.Module):
    """Sparse deformable descriptor head (SDDH, §III-C)."""

    def __init__(self, channels: int, positions: int) -> None:
        super().__init__()
        self.offset_conv = nn.Sequential(
            nn.Conv2d(channels, 2 * positions, 3),
            nn.SELU(inplace=True),
            nn.Conv2d(2 * positions, 2 * positions, 1),
        )
        self.sf_conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.agg_weights = nn.Parameter(torch.rand(positions, channels, channels))

    def offsets(self, patches: Tensor) -> Tensor:
        """(N, 9·D) patches, pixel by pixel -> (N, M, 2) offsets (x, y) in pixels."""
        first, last = (self.offset_conv.get_parameter(f"{layer}.weight") for layer in (0, 2))
        hidden = functional.linear(
            patches, first.permute(0, 2, 3, 1).flatten(1), self.offset_conv.get_parameter("0.bias")
        )
        offsets = functional.linear(
            _selu(hidden), last[:, :, 0, 0], self.offset_conv.get_parameter("2.bias")
        )
        return offsets.view(patches.shape[0], 2, self.agg_weights.shape[0]).transpose(1, 2)

    def aggregated(self, samples: Tensor) -> Tensor:
        """(N·M, D) sampled features -> (N, D) descriptors of unit length."""
        positions, channels, _ = self.agg_weights.shape
        gated = _selu(functional.linear(samples, self.sf_conv.weight[:, :, 0, 0]))
        return functional.normalize(
            gated.view(samples.shape[0] // positions, positions * channels)
            @ self.agg_weights.flatten(0, 1),
            dim=1,
        )


def distinct(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Values among rows (…) below `count`, and where in these each row's is, (…).

    On a CPU each value is there once. A GPU makes one more of what they stand for sooner than it
    can say how many there are: there they are the rows themselves.
    """
    if rows.device.type != "cpu":
        return rows.flatten(), torch.arange(rows.numel(), device=rows.device).view_as(rows)
    used = torch.zeros(count, dtype=torch.bool)
    used[rows.flatten()] = True
    values = used.nonzero()[:, 0]
    place = torch.empty_like(used, dtype=torch.long)
    place[values] = torch.arange(len(values))
    return values, place[rows]


def _selu(x: Tensor) -> Tensor:
    return functional.selu(x, inplace=True)


def _upsampled(tables: list[Tensor], maps: Maps, columns: slice, rows: slice) -> Tensor:
    """Sum of levels 2 to 4, (B, width · height, C) each, upsampled to columns and rows of windows:
    (B, C, rows, columns)."""
    if len(tables[0]) == 1:
        one = _upsampled_one([table[0] for table in tables], maps, columns, rows)
        return one.contiguous()[None]
    total: Tensor | None = None
    for level, (table, (width, height)) in enumerate(zip(tables, maps.sizes, strict=True)):
        table = table.view(len(table), height, width, -1)
        for axis, (indices, weights), some in ((2, maps.columns, columns), (1, maps.rows, rows)):
            table = _between(table, indices[:, level, :, some], weights[:, level, :, some], axis)
        total = table if total is None else total + table
    assert total is not None
    return total.permute(0, 3, 1, 2)


def _between(table: Tensor, indices: Tensor, weights: Tensor, axis: int) -> Tensor:
    """(B, h, w, C) taken between two of its rows (axis 1) or columns (axis 2), another two for each
    of (B, 2, count)."""
    shape = list(table.shape)
    shape[axis] = indices.shape[2]
    lying = [len(table), 1, 1, 1]
    lying[axis] = indices.shape[2]
    first, second = (
        table.gather(axis, indices[:, tap].reshape(lying).expand(shape))
        * weights[:, tap].reshape(lying)
        for tap in (0, 1)
    )
    return first + second


def _upsampled_one(tables: list[Tensor], maps: Maps, columns: slice, rows: slice) -> Tensor:
    """The same of a single window: (C, rows, columns).

    One axis after the other: a row of the table is first a whole column of pixels, then a row.
    """
    wide = []
    for level, (table, (width, height)) in enumerate(zip(tables, maps.sizes, strict=True)):
        table = table.view(height, width, -1).transpose(0, 1).flatten(1)
        taps, weights = (tap[0, level, :, columns].T for tap in maps.columns)
        table = weighted_rows(table, taps, weights).view(len(taps), height, -1)
        wide.append(table.transpose(0, 1).flatten(1))
    heights = torch.tensor([0, *(height for _, height in maps.sizes[:2])]).cumsum(0)
    taps, weights = (tap[0, :, :, rows] for tap in maps.rows)
    taps = taps + heights.to(taps.device)[:, None, None]
    weights = weights.flatten(0, 1).T
    sums = weighted_rows(torch.cat(wide), taps.flatten(0, 1).T, weights)
    return sums.view(len(sums), -1, tables[0].shape[1]).permute(2, 0, 1)


def _together(taps: list[Taps]) -> Taps:
    """Taps of several windows as tensors with the window as first axis."""
    indices, weights = zip(*taps, strict=True)
    return torch.stack(indices), torch.stack(weights)


def folded(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution without bias and the BatchNorm after it."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


@lru_cache(64)
def _upsampling(
    start: int, size: int, frame: int, device: torch.device, dtype: torch.dtype
) -> Taps:
    """Where pixels start … start+size−1 of a frame lie at levels 2 to 4, along one axis.

    Returns:
        Indices (3, 2, size), counted from the window's first pixel of that level, and weights.
    """
    pixel = torch.arange(start, start + size, dtype=torch.float64)
    taps = []
    for stride in _STRIDES:
        position = pixel * ((frame // stride - 1) / (frame - 1)) - start // stride
        taps.append(axis_taps(position.clamp(min=0.0), size // stride))
    indices, weights = zip(*taps, strict=True)
    return torch.stack(indices).to(device), torch.stack(weights).to(device, dtype)
