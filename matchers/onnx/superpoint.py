"""SuperPoint as an ONNX graph: the network, the detector and the descriptors of whole images."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from matchers.features.superpoint import CELL, SuperPoint
from matchers.onnx.detector import (
    best_pixels,
    found_only,
    local_maxima,
    number,
    padded_with_zeros,
    taps,
)
from matchers.onnx.graph import OnnxGraph, OnnxOptions, image_graph

_LEAST = 4 * CELL


class SuperPointGraph(nn.Module):
    """Keypoints, scores and descriptors of an image (1, 1, H, W), luma in [0, 1].

    Args:
        network: with its weights and the detector's settings.
        limit: most keypoints.
        fixed: there are always so many, the last ones padding of zeros.
    """

    def __init__(self, network: SuperPoint, limit: int, fixed: bool) -> None:
        super().__init__()
        self.network: Any = network
        self.limit, self.fixed = limit, fixed

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keypoints (1, N, 2) in pixels, scores (1, N), descriptors (1, N, D)."""
        config = self.network.config
        scores, cells = self.network.maps(image)
        scores, cells = scores[0], cells[0]
        kept = local_maxima(scores, config.nms_radius, 2, config.border)
        kept = kept & (scores > config.detection_threshold)
        pixels, values = best_pixels(scores, kept, self.limit, config.border)
        if not self.fixed:
            pixels, values = found_only(pixels, values)
        points = pixels.to(values.dtype)
        axes = []
        for axis, size in enumerate((cells.shape[2], cells.shape[1])):
            stretch = (number(size) - 1) / (number(size) * CELL - 4.5)
            axes.append((points[:, axis] - 3.5) * stretch)
        rows, weights = taps(axes[0], axes[1], cells.shape[2], cells.shape[1])
        table = cells.permute(1, 2, 0).flatten(0, 1)
        sampled = (table[rows] * weights[:, :, None]).sum(1)
        descriptors = functional.normalize(sampled, dim=1)
        if self.fixed:
            points, values, descriptors = padded_with_zeros(points, values, descriptors)
        return points[None], values[None], descriptors[None]


def graphs(network: SuperPoint, options: OnnxOptions) -> list[OnnxGraph]:
    """SuperPoint's graph."""
    graph = SuperPointGraph(network, options.limit, options.points is not None)
    return image_graph(graph, 1, _LEAST, options)
