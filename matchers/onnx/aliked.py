"""ALIKED as an ONNX graph: the network, the detector and the descriptors of whole images.

The same as `matchers.features.aliked` computes, in operations that ONNX has, without parts of
images and without loops: deformable convolution by GridSample, upsampling by matrices, keypoints by
TopK.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from matchers.features.aliked import ALIKED
from matchers.features.aliked_network import STRIDE, folded
from matchers.onnx.detector import (
    best_pixels,
    found_only,
    last_of,
    local_maxima,
    number,
    padded_with_zeros,
    sampled,
    soft_argmax,
    split_places,
    taps,
)
from matchers.onnx.graph import OnnxGraph, OnnxOptions, image_graph


class _Maps(NamedTuple):
    """Level 1 before its 1×1 layer (h·w, C1), levels 2 to 4 after theirs (D/4, h, w)."""

    fine: Tensor
    coarse: list[Tensor]
    size: tuple[int, int]


class ALIKEDGraph(nn.Module):
    """Keypoints, scores and descriptors of an image (1, 3, H, W) in [0, 1].

    Args:
        network: with its weights and the detector's settings.
        limit: most keypoints.
        fixed: there are always so many, the last ones padding of zeros.
    """

    def __init__(self, network: ALIKED, limit: int, fixed: bool) -> None:
        super().__init__()
        self.network: Any = network
        self.limit, self.fixed = limit, fixed

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keypoints (1, N, 2) in pixels, scores (1, N), descriptors (1, N, D)."""
        height, width = image.shape[2], image.shape[3]
        left, above = -width % STRIDE // 2, -height % STRIDE // 2
        rows = torch.arange((height + STRIDE - 1) // STRIDE * STRIDE) - above
        columns = torch.arange((width + STRIDE - 1) // STRIDE * STRIDE) - left
        padded = image.index_select(2, rows.clamp(min=0).minimum(last_of(height)))
        padded = padded.index_select(3, columns.clamp(min=0).minimum(last_of(width)))
        maps, hidden = self._maps(padded)
        scores = self.network.score_head[1:](hidden)[0, 0].sigmoid()
        scores = scores[above : above + height, left : left + width]

        config = self.network.config
        kept = local_maxima(scores, config.nms_radius, config.nms_rounds, config.nms_radius)
        kept = kept & (scores > config.detection_threshold)
        pixels, peaks = best_pixels(scores, kept, self.limit, config.nms_radius)
        points = soft_argmax(scores, pixels, config.nms_radius)
        values = torch.where(peaks > 0.0, sampled(scores, points), -1.0)
        values, order = values.topk(self.limit)
        points = points[order]
        if not self.fixed:
            points, values = found_only(points, values)
        reach = torch.maximum(number(width), number(height)) / 4
        descriptors = self._describe(maps, points, (left, above), (width, height), reach)
        if self.fixed:
            points, values, descriptors = padded_with_zeros(points, values, descriptors)
        return points[None], values[None], descriptors[None]

    def _maps(self, image: Tensor) -> tuple[_Maps, Tensor]:
        """Features of (1, 3, h, w), multiples of 32, and the score head's first layer."""
        net = self.network
        height, width = image.shape[2], image.shape[3]
        longest = torch.maximum(number(width), number(height))
        x1 = _block(net.block1, image, longest)
        x2 = _block(net.block2, functional.avg_pool2d(x1, 2), longest)
        x3 = _block(net.block3, functional.avg_pool2d(x2, 4), longest / 8 / 4)
        x4 = _block(net.block4, functional.avg_pool2d(x3, 4), longest / STRIDE / 4)
        levels = ((net.conv2, x2), (net.conv3, x3), (net.conv4, x4))
        coarse = [functional.selu(conv(x)) for conv, x in levels]
        weights = net.score_head.get_parameter("0.weight").chunk(4, dim=1)
        hidden = functional.conv2d(functional.selu(net.conv1(x1)), weights[0])
        for table, weight in zip(coarse, weights[1:], strict=True):
            down = _upsampling(height, table.shape[2])
            right = _upsampling(width, table.shape[3])
            hidden = hidden + down @ functional.conv2d(table, weight) @ right.T
        fine = x1[0].permute(1, 2, 0).flatten(0, 1)
        return _Maps(fine, [table[0] for table in coarse], (width, height)), hidden

    def _describe(
        self,
        maps: _Maps,
        points: Tensor,
        start: tuple[int, int],
        size: tuple[int, int],
        reach: Tensor,
    ) -> Tensor:
        """Descriptors (N, D) at (N, 2) points of the image, which begins at `start`."""
        head, (width, height) = self.network.desc_head, size
        # the official code's patches: truncated, and one pixel short of the right and lower border
        inside = (torch.stack([number(width), number(height)]) - 3).clamp(min=1.0)
        centre = points.floor().clamp(min=1.0).minimum(inside).long()
        step = torch.arange(-1, 2)
        count, channels = points.shape[0], self.network.descriptor_size
        x = (centre[:, 0, None] + step.repeat(3)).view(count * 9)
        y = (centre[:, 1, None] + step.repeat_interleave(3)).view(count * 9)
        patches = self._pixels(maps, x + start[0], y + start[1]).view(count, 9 * channels)
        offsets = head.offsets(patches).maximum(-reach).minimum(reach)
        x, y = (points[:, None] + offsets).unbind(-1)
        rows, weights = taps(x, y, width, height)  # (N, M, 4)
        positions = head.agg_weights.shape[0]
        x, y = split_places(rows.view(count * positions * 4), width)
        pixels = self._pixels(maps, x + start[0], y + start[1])
        pixels = pixels.view(count * positions, 4, channels)
        samples = (pixels * weights.view(count * positions, 4, 1)).sum(1)
        descriptors: Tensor = head.aggregated(samples)
        return descriptors

    def _pixels(self, maps: _Maps, x: Tensor, y: Tensor) -> Tensor:
        """The full-resolution map at (P,) pixels: (P, D), of unit length."""
        width, height = maps.size
        own = functional.linear(maps.fine[y * width + x], self.network.conv1.weight[:, :, 0, 0])
        levels = [functional.selu(own)]
        for table in maps.coarse:
            rows, weights = taps(
                x * (number(table.shape[2]) - 1) / (number(width) - 1),
                y * (number(table.shape[1]) - 1) / (number(height) - 1),
                table.shape[2],
                table.shape[1],
            )
            flat = table.permute(1, 2, 0).flatten(0, 1)
            levels.append((flat[rows] * weights[:, :, None]).sum(1))
        found = torch.cat(levels, 1)
        return functional.normalize(found, dim=1)


def _block(block: Any, x: Tensor, reach: Tensor) -> Tensor:
    """One of the network's blocks."""
    y = functional.selu(_layer(block.conv1, block.bn1, x, reach))
    y = _layer(block.conv2, block.bn2, y, reach)
    if block.downsample is not None:
        y = y + block.downsample(x)
    return functional.selu(y)


def _layer(layer: Any, norm: nn.BatchNorm2d, x: Tensor, reach: Tensor) -> Tensor:
    """A 3×3 layer, plain or deformable, with its BatchNorm."""
    if isinstance(layer, nn.Conv2d):
        weight, bias = folded(layer.weight, norm)
        return functional.conv2d(x, weight, bias, padding=1)
    offset = layer.offset_conv(x).maximum(-reach).minimum(reach)
    return deform_conv2d(x, offset, *folded(layer.regular_conv.weight, norm))


def deform_conv2d(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Deformable convolution as `matchers.features.deform` has it, of one image.

    All taps are sampled by one GridSample, and the kernel is one product.
    """
    height, width = x.shape[2], x.shape[3]
    size = weight.shape[2]
    steps = torch.arange(size) - size // 2
    down, right = steps.repeat_interleave(size), steps.repeat(size)
    shift = offset.view(-1, 2, height, width)
    across = shift[:, 1] + right[:, None, None] + torch.arange(width)
    along = shift[:, 0] + down[:, None, None] + torch.arange(height)[:, None]
    grid = torch.stack([(2 * across + 1) / width - 1, (2 * along + 1) / height - 1], -1)
    samples = functional.grid_sample(
        x, grid.view(1, -1, width, 2), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    table = samples.view(x.shape[1] * size * size, height * width)
    out = weight.flatten(1) @ table + bias[:, None]
    return out.view(1, -1, height, width)


def _upsampling(size: int, coarse: int) -> Tensor:
    """Bilinear upsampling with aligned corners as a matrix (size, coarse)."""
    position = torch.arange(size) * (number(coarse) - 1) / (number(size) - 1)
    away = (position[:, None] - torch.arange(coarse)).abs()
    return (1 - away).clamp(min=0.0)


def graphs(network: ALIKED, options: OnnxOptions) -> list[OnnxGraph]:
    """ALIKED's graph."""
    graph = ALIKEDGraph(network, options.limit, options.points is not None)
    return image_graph(graph, 3, STRIDE, options)
