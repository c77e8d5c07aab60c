"""Pinhole camera intrinsics.

Pixels follow OpenCV: (u, v) is column u, row v, the origin is the centre of the top-left pixel,
and the image spans [-0.5, W-0.5] × [-0.5, H-0.5]. The camera frame is x right, y down, z forward.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError

MAX_SIDE = 4096
"""Largest image side in pixels: the renderer samples twice as densely in each direction."""


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a distortion-free pinhole camera.

    Attributes:
        width, height: image size in pixels.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels (centre of the top-left pixel is 0, 0).
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        """Raise InputError where the numbers describe no camera."""
        for name in ("width", "height"):
            value = getattr(self, name)
            if not 1 <= value <= MAX_SIDE:
                raise InputError(f"{name} {value}: must be between 1 and {MAX_SIDE} pixels")
        for name in ("fx", "fy", "cx", "cy"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"{name} {getattr(self, name)}: must be a finite number of pixels")
        for name in ("fx", "fy"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} {getattr(self, name)}: a focal length must be positive")

    @classmethod
    def from_fov(cls, width: int, height: int, fov_deg: float) -> Camera:
        """Square-pixel camera with a centred principal point.

        Args:
            width, height: image size in pixels.
            fov_deg: vertical field of view in degrees, from the image's top edge to its bottom
                edge (H pixels, not the H-1 between the outermost pixel centres).
        """
        if not 0.0 < fov_deg < 179.0:
            raise InputError(f"field of view {fov_deg}: must be between 0 and 179 degrees")
        focal = height / (2.0 * math.tan(math.radians(fov_deg) / 2.0))
        return cls(width, height, focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)

    @property
    def K(self) -> NDArray[np.float64]:  # noqa: N802 - the field's own symbol
        """Intrinsic matrix, (3, 3) float64, pixels."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def rays(self) -> NDArray[np.float64]:
        """Directions through the pixel centres, (H, W, 3) float64, camera frame, z = 1."""
        u = (np.arange(self.width) - self.cx) / self.fx
        v = (np.arange(self.height) - self.cy) / self.fy
        rays = np.ones((self.height, self.width, 3))
        rays[..., 0] = u[None, :]
        rays[..., 1] = v[:, None]
        return rays

    def to_json(self) -> dict[str, Any]:
        """The `camera` object of dataset.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Camera:
        """Inverse of `to_json`."""
        return cls(
            int(data["width"]),
            int(data["height"]),
            *(float(data[key]) for key in ("fx", "fy", "cx", "cy")),
        )
