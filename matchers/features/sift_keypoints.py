"""SIFT (Lowe, IJCV 2004) by OpenCV, with RootSIFT (Arandjelović & Zisserman, CVPR 2012), as arrays.

OpenCV's own default moves every keypoint by a quarter of a pixel to the lower right, because it
doubles the image without aligning the samples; its precise upscaling is always used here.

No torch: processes that extract start without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from matchers import boxes
from matchers.image_arrays import has_shape_of_image, luma8, read_file
from matchers.specs import MAX_KEYPOINTS
from satgen.errors import InputError

if TYPE_CHECKING:
    from matchers.extraction import FeatureArrays
    from matchers.types import Image

SIZE = 128
"""Numbers of a descriptor."""

_MARGIN = 64  # pixels looked at around a mask
_TILE_MARGIN = 256  # and around a tile of a large image: as much as keypoints of 48 px look at
_STEP = 64  # of the crop's corner: keeps the pixels of seven octaves where they are

_Luma = Callable[[boxes.Box], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class SIFTConfig:
    """Settings of SIFT; the defaults are OpenCV's, but for `max_keypoints`.

    Attributes:
        max_keypoints: at most so many, the strongest; None: all.
        octave_layers: layers of an octave in which extrema are sought.
        contrast_threshold: least contrast of an extremum, times `octave_layers`, of full range.
        edge_threshold: largest ratio of the principal curvatures.
        sigma: pixels, blur of the first layer.
        root: whether descriptors are RootSIFT; else SIFT's own, made unit length.
    """

    max_keypoints: int | None = MAX_KEYPOINTS
    octave_layers: int = 3
    contrast_threshold: float = 0.04
    edge_threshold: float = 10.0
    sigma: float = 1.6
    root: bool = True

    def __post_init__(self) -> None:
        if self.max_keypoints is not None and self.max_keypoints < 1:
            raise InputError(f"max_keypoints is {self.max_keypoints}: at least 1, or None")
        if self.octave_layers < 1:
            raise InputError(f"octave_layers is {self.octave_layers}: at least 1")
        if not (self.contrast_threshold >= 0.0 and self.edge_threshold > 0.0 and self.sigma > 0.5):
            raise InputError(
                f"contrast_threshold is {self.contrast_threshold}, edge_threshold "
                f"{self.edge_threshold}, sigma {self.sigma}: at least 0, above 0, above 0.5"
            )


def detect(config: SIFTConfig, image: Image, mask: Any = None, box: Any = None) -> FeatureArrays:
    """SIFT's features of one image, best first; equal scores from top to bottom, left to right.

    Args:
        config: how to find them.
        image, mask, box: see `matchers.images.look`. 8-bit arrays and files are read without torch.

    Returns:
        float32 arrays by the names of `matchers.types.Features`.

    Raises:
        InputError: an argument is not what `matchers.images.look` takes.
    """
    (width, height), luma = _luma_of(image)
    x, y, w, h = (0, 0, width, height) if box is None else boxes.checked_box(box, width, height)
    if mask is not None:
        mask = boxes.checked_mask(mask, width, height)[y : y + h, x : x + w]

    def of_view(part: boxes.Box) -> npt.NDArray[np.uint8]:
        return luma((part[0] + x, part[1] + y, *part[2:]))

    wanted = boxes.wanted(mask, (w, h))
    tiles = [] if wanted is None else boxes.tiles(wanted)
    margin = _MARGIN if len(tiles) < 2 else _TILE_MARGIN
    parts = [boxes.grown(tile, (w, h), margin, _STEP) for tile in tiles]
    none = np.zeros((0, 5), np.float32), np.zeros((0, SIZE), np.float32)
    found = [
        _found(config, of_view(part), part, mask, tile if len(tiles) > 1 else None)
        for part, tile in zip(parts, tiles, strict=True)
    ]
    table, descriptors = (np.concatenate(each) for each in zip(none, *found, strict=True))
    order = np.lexsort((table[:, 4], table[:, 3], table[:, 0], table[:, 1], -table[:, 2]))
    order = order[: config.max_keypoints]
    points, scores, scales, orientations = np.split(table[order], (2, 3, 4), axis=1)
    return {
        "keypoints": points + np.array((x, y), np.float32),
        "scores": scores[:, 0].copy(),
        "descriptors": _normalised(config, descriptors[order]).astype(np.float32),
        "image_size": np.array((width, height), np.float32),
        "scales": scales[:, 0].copy(),
        "orientations": orientations[:, 0].copy(),
    }


def _luma_of(image: Image) -> tuple[tuple[int, int], _Luma]:
    """An image's width and height, and what gives the 8-bit luma of a box of it."""
    if isinstance(image, (str, os.PathLike)):
        image = read_file(image)
    if (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.size
        and has_shape_of_image(image.shape)
    ):
        return (image.shape[1], image.shape[0]), partial(_luma_of_array, image)
    from matchers import images

    pixels = images.read(image)
    height, width = pixels.shape[-2:]

    def luma(box: boxes.Box) -> npt.NDArray[np.uint8]:
        x, y, w, h = box
        return images.gray8(pixels[:, y : y + h, x : x + w])

    return (width, height), luma


def _luma_of_array(image: npt.NDArray[np.uint8], box: boxes.Box) -> npt.NDArray[np.uint8]:
    x, y, w, h = box
    return luma8(image[y : y + h, x : x + w])


def _found(
    config: SIFTConfig,
    gray: npt.NDArray[np.uint8],
    part: boxes.Box,
    mask: boxes.Mask | None,
    core: boxes.Box | None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Rows (x, y, score, scale, orientation) of keypoints, and their descriptors.

    Args:
        config: how to find them.
        gray: luma of a part of what is looked at.
        part: where that is.
        mask: where keypoints are wanted, of all that is looked at; None: everywhere.
        core: the box that they have to be in, likewise.
    """
    import cv2

    x, y, w, h = part
    inside = None if mask is None else mask[y : y + h, x : x + w].astype(np.uint8)
    if core is not None:
        left, top = core[0] - x, core[1] - y
        within = np.zeros((h, w), np.uint8)
        within[top : top + core[3], left : left + core[2]] = 1
        inside = within if inside is None else within & inside
    sift = cv2.SIFT_create(  # type: ignore[attr-defined]
        # OpenCV counts before it masks
        nfeatures=0 if inside is not None else config.max_keypoints or 0,
        nOctaveLayers=config.octave_layers,
        contrastThreshold=config.contrast_threshold,
        edgeThreshold=config.edge_threshold,
        sigma=config.sigma,
        enable_precise_upscale=True,
    )
    found, descriptors = sift.detectAndCompute(gray, inside)
    if not found:
        return np.zeros((0, 5), np.float32), np.zeros((0, SIZE), np.float32)
    table = np.array([(*k.pt, k.response, k.size, np.deg2rad(k.angle)) for k in found], np.float32)
    table[:, :2] += (x, y)
    return table, descriptors


def _normalised(config: SIFTConfig, descriptors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(N, 128) descriptors of unit length; an empty one stays zero."""
    values = descriptors.astype(np.float64)
    if config.root:
        values = np.sqrt(values / np.maximum(values.sum(1, keepdims=True), 1e-12))
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, 1e-12), np.float64)
