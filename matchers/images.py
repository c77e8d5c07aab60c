"""Reads images in any of their forms, and cuts out the part that an extractor looks at.

Pixels count from the centre of the top-left pixel. A box is (x, y, width, height) in whole pixels,
(x, y) its top-left pixel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from matchers import boxes
from matchers.boxes import Box, Mask
from matchers.image_arrays import ROUNDING, has_shape_of_image, luma8, read_file
from matchers.types import Features, Image
from satgen.errors import InputError

T = TypeVar("T")


_INTEGERS = {torch.bool: 1.0, torch.uint8: 255.0, torch.uint16: 65535.0}
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV and kornia


@dataclass(frozen=True)
class View:
    """The part of an image that is looked at.

    Attributes:
        pixels: (1 or 3, h, w), values as they came.
        box: where it lies in the image.
        mask: (h, w) bool, where keypoints are wanted; None: everywhere.
        image_size: width and height of the whole image.
    """

    pixels: Tensor
    box: Box
    mask: Mask | None
    image_size: tuple[int, int]

    @property
    def wanted(self) -> Box | None:
        """The smallest box, in the view's own pixels, with all wanted pixels; None if none is."""
        return boxes.wanted(self.mask, (self.box[2], self.box[3]))

    def admits(self, points: Tensor) -> Tensor:
        """Whether keypoints are wanted at (N, 2) points of the view: (N,) bool, nearest pixel."""
        masks = Masks([self], points.device)
        return masks.admit(points, torch.zeros(len(points), dtype=torch.long, device=points.device))


class Masks:
    """Where keypoints are wanted on views of one size, on a device.

    Args:
        views: of which some may want them everywhere.
        device: of the points.
    """

    def __init__(self, views: Sequence[View], device: torch.device) -> None:
        self._masks: Tensor | None = None
        if any(view.mask is not None for view in views):
            size = views[0].box[3], views[0].box[2]
            masks = [np.ones(size, bool) if view.mask is None else view.mask for view in views]
            self._masks = _moved(
                torch.stack([torch.from_numpy(np.ascontiguousarray(mask)) for mask in masks]),
                device,
            )

    @property
    def everywhere(self) -> bool:
        """Whether every point is wanted."""
        return self._masks is None

    def admit(self, points: Tensor, of: Tensor) -> Tensor:
        """Whether keypoints are wanted at (N, 2) points, each in pixels of one `of` the views, (N,)
        int64: (N,) bool, by the nearest pixel."""
        if self._masks is None:
            return torch.ones(len(points), dtype=torch.bool, device=points.device)
        height, width = self._masks.shape[1:]
        x, y = (points + 0.5).floor().long().unbind(1)
        return self._masks[of, y.clamp(0, height - 1), x.clamp(0, width - 1)]


def look(image: Image, mask: Any = None, box: Any = None) -> View:
    """The part of an image inside `box`, with the mask's part beside it.

    Args:
        image: see `matchers.types.Image`; also (H, W, 4) and (4, H, W), whose alpha is left out,
            and paths of any file that Pillow reads (8-bit colour, 8- and 16-bit grey; orientation
            tags are not applied).
        mask: (H, W) bool.
        box: (x, y, width, height), inside the image; a side of 0 means that there is nothing.

    Raises:
        InputError: the image cannot be read or is no image; mask or box do not fit it.
    """
    pixels = read(image)
    height, width = pixels.shape[-2:]
    x, y, w, h = (0, 0, width, height) if box is None else boxes.checked_box(box, width, height)
    inside = None if mask is None else boxes.checked_mask(mask, width, height)[y : y + h, x : x + w]
    return View(pixels[:, y : y + h, x : x + w], (x, y, w, h), inside, (width, height))


def look_at_all(batch: Sequence[Image], masks: Sequence[Any] | None = None) -> list[View]:
    """Images of one size, each as `look` gives it.

    Raises:
        InputError: as for one image; their sizes differ; there are not as many masks.
    """
    if masks is not None and len(masks) != len(batch):
        raise InputError(f"{len(masks)} masks for {len(batch)} images: as many are expected")
    views = [look(image, None if masks is None else masks[i]) for i, image in enumerate(batch)]
    if len(sizes := {view.image_size for view in views}) > 1:
        raise InputError(f"images of sizes {sorted(sizes)} in a batch: one size is expected")
    return views


def read(image: Image) -> Tensor:
    """An image as a (1 or 3, H, W) tensor, values as they came, without a copy where possible.

    Raises:
        InputError: see `look`. Values are checked when they are used: `rgb`, `gray`, `gray8`.
    """
    if isinstance(image, (str, os.PathLike)):
        image = read_file(image)
    if isinstance(image, np.ndarray):
        pixels = _from_numpy(image)
    elif isinstance(image, Tensor):
        pixels = image[None] if image.ndim == 2 else image
        if pixels.ndim != 3 or pixels.shape[0] not in (1, 3, 4):
            raise InputError(
                f"a torch image has shape {tuple(image.shape)}: "
                "(H, W), (1, H, W) or (3, H, W) is expected"
            )
    else:
        raise InputError(f"an image is a path, NumPy array or torch tensor, not {type(image)}")
    if 0 in pixels.shape:
        raise InputError(f"the image is empty: shape {tuple(image.shape)}")
    if pixels.dtype not in _INTEGERS and pixels.dtype not in _FLOATS:
        raise InputError(
            f"image values are {pixels.dtype}: uint8, uint16 or floats in [0, 1] are expected"
        )
    return pixels[:3]


def rgb(pixels: Tensor) -> Tensor:
    """(…, 1 or 3, H, W) values as they came -> (…, 3, H, W) float32 in [0, 1]; grey is repeated."""
    values = _unit(pixels)
    if values.shape[-3] == 3:
        return values
    return values.expand(*values.shape[:-3], 3, *values.shape[-2:])


def gray(pixels: Tensor) -> Tensor:
    """(…, 1 or 3, H, W) values as they came -> (…, 1, H, W) float32 luma in [0, 1]."""
    values = _unit(pixels)
    if values.shape[-3] == 1:
        return values
    # Plane by plane: a product of matrices rounds as the image's layout in memory has it.
    planes = values.unbind(-3)
    red, green, blue = _LUMA
    return (planes[0] * red + planes[1] * green + planes[2] * blue).unsqueeze(-3)


def frames(
    views: Sequence[View], convert: Callable[[Tensor], Tensor], device: torch.device
) -> Tensor:
    """Views of one size as one tensor on a device: (B, …, h, w).

    To a GPU they go in one piece, as they came, while it is at work.

    Args:
        views: the views.
        convert: `rgb` or `gray`.
        device: where it is done.
    """
    pixels = [view.pixels for view in views]
    kinds = {(part.dtype, len(part), part.device.type) for part in pixels}
    if device.type != "cuda" or len(kinds) > 1 or pixels[0].device.type != "cpu":
        return torch.stack([convert(part.to(device)) for part in pixels])
    # rows of whole pixels, as images are stored: copied as they lie
    rows = torch.stack([part.permute(1, 2, 0) for part in pixels])
    return convert(_moved(rows, device).permute(0, 3, 1, 2))


def _moved(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; a GPU fetches it while this process goes on."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


@lru_cache(256)
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A few numbers as a tensor, sent to a device once. It is shared: not to be written to."""
    return torch.tensor(values, device=device, dtype=dtype)


def gray8(pixels: Tensor) -> npt.NDArray[np.uint8]:
    """(1 or 3, H, W) values as they came -> (H, W) uint8 luma, as OpenCV's conversion gives it."""
    if pixels.dtype != torch.uint8:
        pixels = (_unit(pixels) * 255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)
    return luma8(pixels.permute(1, 2, 0).cpu().numpy())


def resized(frames: Tensor, long_side: int | None) -> tuple[Tensor, tuple[float, float]]:
    """Frames whose long side is so many pixels, and the scale along x and y; None: as they are.

    Args:
        frames: (B, C, h, w) floating point.
        long_side: pixels, up or down; bilinear, with a low-pass filter on the way down.
    """
    height, width = frames.shape[-2:]
    if long_side is None or long_side == max(height, width):
        return frames, (1.0, 1.0)
    ratio = long_side / max(height, width)
    size = (max(1, round(height * ratio)), max(1, round(width * ratio)))
    frames = functional.interpolate(frames, size=size, mode="bilinear", antialias=True)
    return frames, (size[1] / width, size[0] / height)


def features(view: View, points: Tensor, scores: Tensor, descriptors: Tensor | int) -> Features:
    """Features of the whole image from (N, 2) points of a view; an int is descriptors' width."""
    if isinstance(descriptors, int):
        descriptors = points.new_zeros(len(points), descriptors)
    return Features(
        keypoints=points + constant(view.box[:2], points.device, points.dtype),
        scores=scores,
        descriptors=descriptors,
        image_size=constant(view.image_size, points.device, points.dtype),
    )


def _unit(pixels: Tensor) -> Tensor:
    """Values as float32 in [0, 1]."""
    if pixels.dtype in _INTEGERS:
        return pixels.to(torch.float32) / _INTEGERS[pixels.dtype]
    values = pixels.to(torch.float32)
    if values.numel():
        low, high = (float(value) for value in values.aminmax())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError("the image has values that are NaN or infinite")
        if low < -ROUNDING or high > 1.0 + ROUNDING:
            raise InputError(
                f"image values span {low:g} to {high:g}: floats in [0, 1], or uint8, are expected"
            )
    return values


def _from_numpy(image: npt.NDArray[Any]) -> Tensor:
    if not has_shape_of_image(image.shape):
        raise InputError(f"a NumPy image has shape {image.shape}: (H, W) or (H, W, 3) is expected")
    if image.dtype.kind not in "buf" or image.dtype.itemsize > 8:
        raise InputError(
            f"image values are {image.dtype}: uint8, uint16 or floats in [0, 1] are expected"
        )
    native = image.astype(image.dtype.newbyteorder("="), copy=False)
    if not native.flags.writeable or any(stride < 0 for stride in native.strides):
        native = native.copy()
    values = torch.from_numpy(native)
    return values[None] if image.ndim == 2 else values.permute(2, 0, 1)
