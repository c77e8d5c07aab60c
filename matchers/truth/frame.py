"""What ground truth needs to know of one frame of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.errors import InputError
from satgen.geometry import Floats

if TYPE_CHECKING:
    from satgen.dataset import Dataset


@dataclass(frozen=True)
class FrameGeometry:
    """What ground truth needs of one frame: its depth map, camera and parts.

    Attributes:
        depth: (H, W) float64 metres, 0 where there is no surface.
        K: (3, 3) intrinsics, pixels.
        T_cam_target: (4, 4) pose.
        parts: (H, W) uint8 part labels, 0 for background; None where there are none.
    """

    depth: Floats
    K: Floats
    T_cam_target: Floats
    parts: NDArray[np.uint8] | None = None


def read_geometry(data: Dataset, index: int) -> FrameGeometry:
    """The geometry of a frame of a dataset.

    Raises:
        InputError: there is no such frame, or one of its images cannot be read.
    """
    return FrameGeometry(data.depth(index), data.camera.K, data.pose(index), data.parts(index))


def part_labels(parts: NDArray[np.uint8] | None, keypoints: ArrayLike) -> NDArray[np.uint8]:
    """Part label (N,) uint8 at the nearest pixel of keypoints (N, 2); 0 outside the image.

    Args:
        parts: (H, W) labels; None gives zeros.
        keypoints: pixels.
    """
    keypoints = positions(keypoints)
    labels = np.zeros(len(keypoints), dtype=np.uint8)
    if parts is None:
        return labels
    pixel = np.floor(keypoints + 0.5)
    size = np.array(parts.shape[::-1])
    inside = ((pixel >= 0) & (pixel < size)).all(axis=1)
    u, v = pixel[inside].astype(np.intp).T
    labels[inside] = parts[v, u]
    return labels


def positions(keypoints: ArrayLike) -> Floats:
    """Keypoints as (N, 2) float64; InputError for another shape."""
    array = np.asarray(keypoints, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(f"keypoints of shape {array.shape}: must be (N, 2)")
    return array
