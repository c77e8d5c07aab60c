"""The values that extractors and matchers exchange, and what each of them offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Image = npt.NDArray[Any] | Tensor | str
"""An image: a path; NumPy (H, W) or (H, W, 3); torch (H, W), (1, H, W) or (3, H, W).

Integers span their type's range, floats [0, 1].
"""


@dataclass(frozen=True)
class Features:
    """Local features of one image, or of B images padded to one length.

    Unbatched tensors have no leading B and no mask. Padding is zeros, and `mask` False.

    Attributes:
        keypoints: (…, N, 2) float32, pixels (u, v), origin at the centre of the top-left pixel.
        scores: (…, N) float32, detection scores, best first.
        descriptors: (…, N, D) float32 of unit length.
        image_size: (…, 2) float32, width and height in pixels.
        scales: (…, N) float32, diameter of the neighbourhood in pixels; None if there is none.
        orientations: (…, N) float32, radians from +u towards +v; None if there is none.
        mask: (B, N) bool, True at keypoints, False at padding; None if unbatched.
    """

    keypoints: Tensor
    scores: Tensor
    descriptors: Tensor
    image_size: Tensor
    scales: Tensor | None = None
    orientations: Tensor | None = None
    mask: Tensor | None = None

    def __len__(self) -> int:
        """Keypoints (unbatched) or images (batched)."""
        return len(self.keypoints)

    @property
    def batched(self) -> bool:
        """Whether this holds a batch of images."""
        return self.keypoints.ndim == 3

    @property
    def device(self) -> torch.device:
        """The device that the tensors are on."""
        return self.keypoints.device

    def to(self, device: torch.device | str) -> Features:
        """The same features on another device."""
        return self._map(lambda tensor: tensor.to(device))

    def select(self, indices: Tensor) -> Features:
        """The features of one image at (K,) indices or a (N,) bool mask. Unbatched only."""
        if self.batched:
            raise ValueError("select takes the features of one image, not of a batch")
        chosen = {
            field.name: value[indices]
            for field in fields(self)
            if field.name != "image_size" and (value := getattr(self, field.name)) is not None
        }
        return replace(self, **chosen)

    def _map(self, function: Any) -> Features:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        mapped: dict[str, Any] = {
            name: None if value is None else function(value) for name, value in values.items()
        }
        return Features(**mapped)


def batch(images: Sequence[Features], length: int | None = None) -> Features:
    """Features of B images in one value, padded with zeros to `length` (default: the longest).

    Raises:
        ValueError: no image, one already batched, or longer than `length`.
    """
    if not images or any(image.batched for image in images):
        raise ValueError("batch takes the unbatched features of at least one image")
    counts = [len(image) for image in images]
    size = max(counts) if length is None else length
    if max(counts) > size:
        raise ValueError(f"{max(counts)} keypoints do not fit a length of {size}")

    def stack(name: str) -> Tensor | None:
        values = [getattr(image, name) for image in images]
        if any(value is None for value in values):
            return None
        if name == "image_size":
            sizes: Tensor = torch.stack(values)
            return sizes
        padded: Tensor = values[0].new_zeros((len(values), size, *values[0].shape[1:]))
        for row, value in zip(padded, values, strict=True):
            row[: len(value)] = value
        return padded

    names = [field.name for field in fields(Features) if field.name != "mask"]
    stacked: dict[str, Any] = {name: stack(name) for name in names}
    places = torch.arange(size, device=images[0].device)
    mask = places[None] < torch.tensor(counts, device=places.device)[:, None]
    return Features(**stacked, mask=mask)


@dataclass(frozen=True)
class Adaptation:
    """What LightGlue's early exit and point pruning did with one pair (§3.3 of its paper).

    Attributes:
        stop_layer: layers that were run, 1 … num_layers; 0 where there was nothing to match.
        num_layers: layers that the network has.
        layers0, layers1: (N0,) and (N1,) int64: in how many layers each keypoint took part.
        confidence0, confidence1: (stop_layer, N0) and (stop_layer, N1) float32: the classifier's
            confidence after each layer; NaN where it was not asked (a pruned keypoint, the last
            layer, a network run without adaptation).
    """

    stop_layer: int
    num_layers: int
    layers0: Tensor
    layers1: Tensor
    confidence0: Tensor
    confidence1: Tensor

    def to(self, device: torch.device | str) -> Adaptation:
        """The same on another device."""
        moved = {
            name: getattr(self, name).to(device)
            for name in ("layers0", "layers1", "confidence0", "confidence1")
        }
        return replace(self, **moved)

    @property
    def alive(self) -> list[tuple[int, int]]:
        """Keypoints of either image that took part in layer 1, 2, … stop_layer."""
        return [
            (int((self.layers0 >= layer).sum()), int((self.layers1 >= layer).sum()))
            for layer in range(1, self.stop_layer + 1)
        ]


@dataclass(frozen=True)
class Matches:
    """Matches of one pair of images.

    Attributes:
        indices: (K, 2) int64, rows into the first and the second image's keypoints, ordered by the
            first; no keypoint appears twice.
        scores: (K,) float32 in [0, 1], the assignment's probability (nearest neighbour: the cosine
            similarity, clipped at 0).
        adaptation: LightGlue only.
    """

    indices: Tensor
    scores: Tensor
    adaptation: Adaptation | None = None

    def __len__(self) -> int:
        """Matches."""
        return len(self.indices)


class Extractor(Protocol):
    """Finds and describes keypoints."""

    def __call__(
        self, image: Image, *, mask: npt.NDArray[np.bool_] | None = None, box: Any = None
    ) -> Features:
        """Features of one image, best first.

        Args:
            image: see `Image`.
            mask: (H, W) bool; keypoints are kept where it is True (at the nearest pixel).
            box: (x, y, width, height) in whole pixels; only that part of the image is looked at.
        """


class Matcher(Protocol):
    """Matches the features of two images.

    `matcher(a, b)` is `match(prepare(a), prepare(b))`: what depends on one image alone can be
    computed once and kept. Batched features give a list, unbatched ones a single value.
    """

    def prepare(self, features: Features) -> Any:
        """Whatever depends on one image alone."""

    def match(self, prepared0: Any, prepared1: Any) -> Any:
        """`Matches`, or a list of them for batches."""

    def __call__(self, features0: Features, features1: Features) -> Any:
        """`Matches`, or a list of them for batches."""
