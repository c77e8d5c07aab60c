"""What a graph to be written is: a module, an example of what it takes, names and units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from matchers.specs import MAX_KEYPOINTS

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class OnnxOptions:
    """How a network is written.

    Attributes:
        points: every image has so many keypoints, padded with zeros; None: any number.
        size: width and height of every image, in pixels; None: any.
        max_keypoints: of an extractor whose `points` is None: at most so many, the best.
        adaptive: a graph a layer, so that a loop outside may leave early.
    """

    points: int | None = None
    size: tuple[int, int] | None = None
    max_keypoints: int = MAX_KEYPOINTS
    adaptive: bool = False

    @property
    def limit(self) -> int:
        """Most keypoints of an image."""
        return self.points or self.max_keypoints


@dataclass(frozen=True)
class OnnxGraph:
    """A graph to be written.

    Attributes:
        name: of the file, where a network is several; else "".
        module: what is written, in evaluation mode.
        trials: inputs in which the file must give what the module gives, by the inputs' names in
            the module's order. The first one is the example from which the graph is made.
        outputs: names of what the module gives.
        dynamic: names of the axes that may have any length, by name of an input or output.
        notes: what a reader of the file has to know besides.
    """

    name: str
    module: nn.Module
    trials: Sequence[Inputs]
    outputs: tuple[str, ...]
    dynamic: Mapping[str, Mapping[int, str]]
    notes: Mapping[str, str] = field(default_factory=dict)


GraphMaker = Callable[[Any, OnnxOptions], list[OnnxGraph]]
"""Makes the graphs of a network."""

PIXELS = (
    "pixels (u, v) of the image as it came in, column and row; (0, 0) is the centre of the "
    "top-left pixel"
)
NORMALISED = (
    "(keypoints - size / 2) / (max(size) / 2), where keypoints are pixels with (0, 0) the centre "
    "of the top-left pixel, and size is (width, height)"
)
PADDING = "rows of zeros after the last keypoint"


def image_graph(
    module: nn.Module, channels: int, least: int, options: OnnxOptions
) -> list[OnnxGraph]:
    """The graph of an extractor: an image in, keypoints, scores and descriptors out.

    Args:
        module: of (1, C, H, W) in [0, 1].
        channels: of the image.
        least: pixels that a side must have.
        options: of the file.
    """
    sizes = [options.size] if options.size else [(96, 72), (64, 101)]
    dynamic = {"image": {2: "height", 3: "width"}} if options.size is None else {}
    if options.points is None:
        dynamic |= {
            "keypoints": {1: "points"}, "scores": {1: "points"}, "descriptors": {1: "points"}
        }  # fmt: skip
    colours = "red, green, blue" if channels == 3 else "luma: 0.299 R + 0.587 G + 0.114 B"
    notes = {
        "image": f"(1, {channels}, height, width) float32 in [0, 1], {colours}; sides of at least "
        f"{least} pixels",
        "keypoints": f"(1, points, 2) float32, {PIXELS}",
        "scores": "(1, points) float32, the best first",
        "descriptors": "(1, points, numbers) float32 of unit length",
        "max_keypoints": str(options.limit),
    }
    if options.points is not None:
        notes["padding"] = f"there are always {options.points} points: {PADDING}"
    return [
        OnnxGraph(
            "",
            module,
            [{"image": picture(channels, *size)} for size in sizes],
            ("keypoints", "scores", "descriptors"),
            dynamic,
            notes,
        )
    ]


def picture(channels: int, width: int, height: int) -> Tensor:
    """A picture with corners and blobs of some pixels' size: (1, C, H, W) in [0, 1]."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, channels, height // 4 + 2, width // 4 + 2, generator=random)
    return nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")


def some_features(count: int, width: int, length: int | None, seed: int) -> dict[str, Tensor]:
    """Random features of an image for trials: kpts (1, N, 2), scores (1, N), desc (1, N, D), scales
    and oris (1, N); padded with zeros to a length."""
    random = torch.Generator().manual_seed(seed)
    rand = torch.rand(1, count, 5, generator=random)
    found = {
        "kpts": rand[..., :2] * 2 - 1,
        "scores": rand[..., 2],
        "desc": nn.functional.normalize(torch.randn(1, count, width, generator=random), dim=-1),
        "scales": 1 + 20 * rand[..., 3],
        "oris": 6.28 * rand[..., 4] - 3.14,
    }
    if length is None:
        return found
    rest = length - count
    return {
        name: torch.cat([value, value.new_zeros(1, rest, *value.shape[2:])], 1)
        for name, value in found.items()
    }
