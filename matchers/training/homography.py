"""Random homographies of frames, for pre-training (SuperGlue, appendix; LightGlue, §4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.errors import InputError
from satgen.geometry import Floats


@dataclass(frozen=True)
class HomographyConfig:
    """What homographies are drawn from.

    Attributes:
        difficulty: in [0, 2/3): how far the corners of the target's square may be drawn in, as a
            share of half its side (perspective and shear).
        rotation_deg: largest turn, either way.
        scale: largest zoom, in or out.
        shift: largest move of the target's centre, as a share of the image's sides.

    Raises:
        InputError: a value out of range.
    """

    difficulty: float = 0.5
    rotation_deg: float = 180.0
    scale: float = 1.5
    shift: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 <= self.difficulty < 2.0 / 3.0:
            raise InputError(f"difficulty {self.difficulty:g}: must be at least 0 and below 2/3")
        if not 0.0 <= self.rotation_deg <= 180.0:
            raise InputError(f"rotation {self.rotation_deg:g} degrees: must be within 0 and 180")
        if not (self.scale >= 1.0 and self.shift >= 0.0):
            raise InputError(
                f"scale {self.scale:g} and shift {self.shift:g}: must be at least 1 and at least 0"
            )


def random_homography(
    size: tuple[int, int],
    box: tuple[int, int, int, int],
    rng: np.random.Generator,
    config: HomographyConfig | None = None,
) -> Floats:
    """A homography (3, 3) that takes pixels of a frame to pixels of its warped image.

    The corners of a square around the target are drawn in at random; then it is scaled, turned and
    moved. The pull on a corner is less than a third of the square's side along either axis, so that
    the four stay a convex quadrilateral in the same order, and nothing is mirrored.

    Args:
        size: width and height of the image, which the warped image shares.
        box: the target's (x, y, width, height).
        rng: makes the draws.
        config: the defaults unless given.
    """
    import cv2

    config = config or HomographyConfig()
    x, y, w, h = box if min(box[2:]) > 0 else (0, 0, *size)
    centre = np.array([x + (w - 1) / 2.0, y + (h - 1) / 2.0])
    half = max(w, h) / 2.0
    corners = half * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    pulled = corners * (1.0 - config.difficulty * rng.uniform(0.0, 1.0, (4, 2)))
    scale = config.scale ** rng.uniform(-1.0, 1.0)
    angle = math.radians(config.rotation_deg) * rng.uniform(-1.0, 1.0)
    shift = config.shift * np.array(size) * rng.uniform(-1.0, 1.0, 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    # what was drawn in is brought back to the size it had, on average
    grown = pulled / (1.0 - config.difficulty / 2.0)
    ends = scale * grown @ turn.T + centre + shift
    return np.asarray(
        cv2.getPerspectiveTransform((corners + centre).astype(np.float32), ends.astype(np.float32)),
        dtype=np.float64,
    )


def warp_image(image: NDArray[Any], H: ArrayLike, *, nearest: bool = False) -> NDArray[Any]:
    """The warped image, of the same size and type, 0 where the frame shows nothing.

    Args:
        image: (H, W) or (H, W, C).
        H: (3, 3), from pixels of `image` to pixels of the answer.
        nearest: take the nearest pixel (labels, masks) instead of interpolating.
    """
    import cv2

    mode = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    height, width = image.shape[:2]
    return np.asarray(
        cv2.warpPerspective(image, np.asarray(H, dtype=np.float64), (width, height), flags=mode)
    )
