"""What ground truth needs to know of one frame of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen import lens
from satgen.errors import InputError
from satgen.geometry import Floats, backproject, project

if TYPE_CHECKING:
    from satgen.dataset import Dataset


@dataclass(frozen=True)
class FrameGeometry:
    """What ground truth needs of one frame: its depth map, camera and parts.

    Attributes:
        depth: (H, W) float64 metres, 0 where there is no surface.
        K: (3, 3) intrinsics, pixels.
        T_cam_target: (4, 4) pose.
        parts: (H, W) part labels, 0 for background, uint8, or uint16 of a target with more than
            255; None where there are none.
        distortion: k1, k2, p1, p2, k3 of the lens: see `satgen.lens`.
    """

    depth: Floats
    K: Floats
    T_cam_target: Floats
    parts: NDArray[np.unsignedinteger[Any]] | None = None
    distortion: lens.Coefficients = lens.NONE

    def project(self, points: ArrayLike) -> tuple[Floats, Floats]:
        """Pixels and depths of target-frame points (N, 3): see `satgen.geometry.project`."""
        return project(self.K, self.T_cam_target, points, self.distortion)

    def backproject(self, uv: ArrayLike, depth: ArrayLike) -> Floats:
        """Target-frame points of pixels (N, 2) at depths: see `satgen.geometry.backproject`."""
        return backproject(self.K, self.T_cam_target, uv, depth, self.distortion)

    def undistorted(self, uv: ArrayLike) -> Floats:
        """Where a pinhole camera of the same K sees what this one sees at pixels (N, 2)."""
        uv = np.asarray(uv, dtype=np.float64)
        middle, focal = self.K[:2, 2], self.K[[0, 1], [0, 1]]
        if self.distortion == lens.NONE:
            return uv
        return np.asarray(lens.undistort(self.distortion, (uv - middle) / focal) * focal + middle)


def read_geometry(data: Dataset, index: int) -> FrameGeometry:
    """The geometry of a frame of a dataset.

    Raises:
        InputError: there is no such frame, or one of its images cannot be read.
    """
    camera = data.camera
    return FrameGeometry(
        data.depth(index), camera.K, data.pose(index), data.parts(index), camera.distortion
    )


def part_labels(
    parts: NDArray[np.unsignedinteger[Any]] | None, keypoints: ArrayLike
) -> NDArray[np.uint16]:
    """Part label (N,) uint16 at the nearest pixel of keypoints (N, 2); 0 outside the image.

    Args:
        parts: (H, W) labels; None gives zeros.
        keypoints: pixels.
    """
    keypoints = positions(keypoints)
    labels = np.zeros(len(keypoints), dtype=np.uint16)
    if parts is None:
        return labels
    pixel = np.floor(keypoints + 0.5)
    size = np.array(parts.shape[::-1])
    inside = ((pixel >= 0) & (pixel < size)).all(axis=1)
    u, v = pixel[inside].astype(np.intp).T
    labels[inside] = parts[v, u]
    return labels


def places(keypoints: ArrayLike) -> NDArray[np.int64]:
    """The number (N,) of each keypoint's place: one where positions (N, 2) are equal to the bit.

    Places are numbered from left to right, those above one another from top to bottom, whatever the
    order of the keypoints. What is nowhere (NaN) shares its place with nothing.
    """
    points = positions(keypoints)
    order = np.lexsort((points[:, 1], points[:, 0]))
    new = np.ones(len(points), dtype=bool)
    new[1:] = (points[order[1:]] != points[order[:-1]]).any(axis=1)
    number = np.empty(len(points), dtype=np.int64)
    number[order] = np.cumsum(new) - 1
    return number


def positions(keypoints: ArrayLike) -> Floats:
    """Keypoints as (N, 2) float64; InputError for another shape."""
    array = np.asarray(keypoints, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(f"keypoints of shape {array.shape}: must be (N, 2)")
    return array
