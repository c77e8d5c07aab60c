"""Camera intrinsics: a pinhole, and what its lens makes of it.

Pixels follow OpenCV: (u, v) is column u, row v, the origin is the centre of the top-left pixel,
and the image spans [-0.5, W-0.5] × [-0.5, H-0.5]. The camera frame is x right, y down, z forward.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen import lens
from satgen.errors import InputError

MAX_SIDE = 4096
"""Largest image side in pixels: the renderer samples twice as densely in each direction."""


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a camera.

    Attributes:
        width, height: image size in pixels.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels (centre of the top-left pixel is 0, 0).
        distortion: OpenCV's k1, k2, p1, p2, k3 of the lens (`satgen.lens`); k3 may be left out.

    Raises:
        InputError: numbers that describe no camera, or a lens that shows the image's edge nothing,
            or the same direction twice.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: lens.Coefficients = lens.NONE

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
        coefficients = tuple(float(value) for value in self.distortion)
        shown = ",".join(f"{value:g}" for value in coefficients)
        if len(coefficients) not in (4, 5) or not all(map(math.isfinite, coefficients)):
            raise InputError(f"distortion {shown}: must be finite numbers K1,K2,P1,P2,K3")
        object.__setattr__(self, "distortion", (*coefficients, 0.0)[:5])
        if self.distorted:
            around = _edge(self.width, self.height)
            lost = np.isnan(self.undistorted(around)).any(axis=1)
            if lost.any():
                u, v = around[np.argmax(lost)]
                raise InputError(
                    f"distortion {shown}: the lens shows the image's edge (pixel {u:g}, {v:g}) no "
                    "direction that is its alone; less distortion, or a narrower field of view"
                )

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

    @property
    def distorted(self) -> bool:
        """Whether the lens is anything but a pinhole."""
        return self.distortion != lens.NONE

    @property
    def pinhole(self) -> Camera:
        """The same camera without its lens's distortion."""
        return replace(self, distortion=lens.NONE)

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """Pixels (..., 2) of camera-frame points (..., 3), as `cv2.projectPoints` has them.

        NaN for points at or behind the camera, and for those so far aside that the lens's
        polynomial says nothing of them (`satgen.lens.domain`).
        """
        points = np.asarray(points, dtype=np.float64)
        z = points[..., 2:]
        xy = points[..., :2] / np.where(z > 0.0, z, np.nan)
        return self._pixels(lens.distort(self.distortion, xy) if self.distorted else xy)

    def undistorted(self, uv: ArrayLike) -> NDArray[np.float64]:
        """Where the pinhole camera of the same K sees what this one sees at pixels uv (..., 2).

        As `cv2.undistortPoints(uv, K, distortion, P=K)`, to the last digits. NaN for pixels that
        the lens shows nothing.
        """
        uv = np.asarray(uv, dtype=np.float64)
        if not self.distorted:
            return uv
        return self._pixels(lens.undistort(self.distortion, self._normalised(uv)))

    def rays_at(self, uv: ArrayLike) -> NDArray[np.float64]:
        """Directions (..., 3) that pixels uv (..., 2) look in, camera frame, z = 1."""
        xy = self._normalised(self.undistorted(uv))
        return np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], axis=-1)

    def rays(self) -> NDArray[np.float64]:
        """Directions through the pixel centres, (H, W, 3) float64, camera frame, z = 1."""
        rays = np.ones((self.height, self.width, 3))
        rays[..., :2] = self._normalised(self.undistorted_centres())
        return rays

    def undistorted_centres(self) -> NDArray[np.float64]:
        """`undistorted` of the pixel centres, (H, W, 2); kept, and not to be written to."""
        return _undistorted_centres(self)

    def _normalised(self, uv: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((uv - (self.cx, self.cy)) / (self.fx, self.fy))

    def _pixels(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(xy * (self.fx, self.fy) + (self.cx, self.cy))

    def to_json(self) -> dict[str, Any]:
        """The `camera` object of dataset.json."""
        return {**asdict(self), "distortion": list(self.distortion)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Camera:
        """Inverse of `to_json`; before version 3 of the format there was no distortion."""
        fx, fy, cx, cy = (float(data[key]) for key in ("fx", "fy", "cx", "cy"))
        k1, k2, p1, p2, k3 = map(float, data.get("distortion", lens.NONE))
        return cls(int(data["width"]), int(data["height"]), fx, fy, cx, cy, (k1, k2, p1, p2, k3))


def _edge(width: int, height: int) -> NDArray[np.float64]:
    """Points (N, 2) around the image's edge, its corners first."""
    u, v = np.linspace(-0.5, width - 0.5, 65), np.linspace(-0.5, height - 0.5, 65)
    corners = [(a, b) for a in u[[0, -1]] for b in v[[0, -1]]]
    level = [(a, b) for a in u for b in v[[0, -1]]]
    upright = [(a, b) for a in u[[0, -1]] for b in v]
    return np.array([*corners, *level, *upright])


@lru_cache(maxsize=2)
def _undistorted_centres(camera: Camera) -> NDArray[np.float64]:
    grid = np.empty((camera.height, camera.width, 2))
    grid[..., 0] = np.arange(camera.width)
    grid[..., 1] = np.arange(camera.height)[:, None]
    grid = camera.undistorted(grid)
    grid.flags.writeable = False
    return grid
