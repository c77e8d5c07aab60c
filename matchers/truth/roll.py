"""A camera that rolls about its optical axis, as a turn of the image that it took.

A roll about the axis moves every pixel on a circle around the principal point and shows nothing
that was not seen before, so that the truth about a turned image follows from the truth about the
image: a point of it belongs to the pixel that `carry` takes it back to, with that pixel's depth,
under the pose and the intrinsics that it had. Nothing is measured in a resampled depth map.

Two things a turned image shares with one that is rendered with the camera rolled only nearly: what
the corners of the rolled camera would see and this one did not is black, and between pixels colour
is interpolated (bicubic), except at multiples of 90 degrees around the middle of a square image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.settings import check, setting

UNSEEN_PX = 6
"""Keypoints so near to what the frame did not show are left out where all of the image is looked
at: the border of what was seen is no edge of anything."""


@dataclass(frozen=True)
class RollConfig:
    """How far the versions of a training's frames are rolled about the optical axis.

    Attributes:
        max_deg: largest roll, either way; the angle is drawn evenly.
        share: of the versions other than the first that are rolled.

    Raises:
        InputError: a value out of range.
    """

    max_deg: float = setting(
        180.0, "Largest roll of a frame about the optical axis", unit="degrees", name="roll",
        low=0.0, high=180.0,
    )  # fmt: skip
    share: float = setting(
        0.6,
        "Share of a frame's versions, the first aside, that are rolled",
        name="roll-share",
        low=0.0,
        high=1.0,
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def rolls(self) -> bool:
        """Whether any version is rolled."""
        return self.max_deg > 0.0 and self.share > 0.0

    def draw(self, rng: np.random.Generator) -> float:
        """Degrees of a version, mostly other than 0 in `share` of the draws."""
        rolled, degrees = rng.random() < self.share, rng.uniform(-self.max_deg, self.max_deg)
        return float(degrees) if rolled else 0.0


def roll_matrix(centre: ArrayLike, degrees: float) -> Floats:
    """The turn (3, 3) of pixels of an image to pixels of the image turned clockwise.

    That is what the camera sees that was rolled by as much counter-clockwise.

    Args:
        centre: (2,) pixels, the principal point.
        degrees: multiples of 90 give whole numbers.

    Raises:
        InputError: an angle that is not finite.
    """
    if not math.isfinite(degrees):
        raise InputError(f"roll {degrees}: must be finite")
    quarters, rest = divmod(degrees, 90.0)
    cos, sin = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarters) % 4]
    if rest:
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = np.asarray(centre, dtype=np.float64)
    return np.array(
        [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0.0, 0.0, 1.0]]
    )


def carry(H: ArrayLike, points: ArrayLike) -> Floats:
    """Where a homography (3, 3) takes pixels (N, 2)."""
    H, points = np.asarray(H, dtype=np.float64), np.asarray(points, dtype=np.float64)
    moved = points.reshape(-1, 2) @ H[:, :2].T + H[:, 2]
    return np.asarray(moved[:, :2] / moved[:, 2:])


def roll_image(image: NDArray[Any], H: ArrayLike, *, order: int = 3) -> NDArray[Any]:
    """The turned image, of the same size and type, 0 where the frame shows nothing.

    Args:
        image: (H, W) or (H, W, C).
        H: of `roll_matrix`.
        order: of the interpolation: 3, cubic splines, which keep detail; 1, linear, which is a
            hundred times as fast and blurs a little; 0, the nearest pixel, for labels and masks.
            None moves what is shown: OpenCV's own cubic does, by 0.05 px.
    """
    H = np.asarray(H, dtype=np.float64)
    if order < 3:
        import cv2

        mode = cv2.INTER_LINEAR if order else cv2.INTER_NEAREST
        return np.asarray(cv2.warpAffine(image, H[:2], image.shape[1::-1], flags=mode))
    from scipy.ndimage import affine_transform

    back = np.linalg.inv(H)
    matrix, offset = back[1::-1, 1::-1], back[1::-1, 2]  # rows before columns
    planes = image.reshape(*image.shape[:2], -1).astype(np.float32)
    turned = [
        affine_transform(plane, matrix, offset, order=order, output=np.float32)
        for plane in np.moveaxis(planes, -1, 0)
    ]
    values = np.rint(np.stack(turned, axis=-1)).reshape(image.shape)
    return np.asarray(np.clip(values, 0, np.iinfo(image.dtype).max).astype(image.dtype))


def seen_mask(size: tuple[int, int], H: ArrayLike, margin: float = UNSEEN_PX) -> NDArray[np.bool_]:
    """Which pixels (H, W) of a warped image are farther than `margin` from what no frame shows.

    Args:
        size: width and height, of both.
        H: (3, 3), from the frame's pixels to those of the warped image.
        margin: pixels of the warped image.
    """
    import cv2

    width, height = size
    shown = cv2.warpPerspective(
        np.ones((height, width), dtype=np.uint8),
        np.asarray(H, dtype=np.float64),
        (width, height),
        flags=cv2.INTER_NEAREST,
    )
    framed = np.pad(shown, 1, constant_values=1)  # the image's own border hides nothing
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance[1:-1, 1:-1] > margin)
