"""Pictures for the tests of features, the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage


def collage(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """(H, W, 3): turned, overlapping rectangles of random colours, a little blurred, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width, 3), 90.0)
    for _ in range(max(12, height * width // 600)):
        centre = rng.uniform((0, 0), (width, height))
        angle, sides = rng.uniform(0, np.pi), rng.uniform(4, 24, 2)
        u = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
        v = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
        image[(abs(u) < sides[0]) & (abs(v) < sides[1])] = rng.uniform(0, 255, 3)
    image = ndimage.gaussian_filter(image, (0.7, 0.7, 0)) + rng.normal(0, 3, image.shape)
    return image.round().clip(0, 255).astype(np.uint8)


def blobs(centres: npt.ArrayLike, sigma: float, height: int, width: int) -> npt.NDArray[np.uint8]:
    """(H, W): bright Gaussian blobs at (N, 2) centres (x, y) in pixels."""
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width), 30.0)
    for cx, cy in np.asarray(centres):
        image += 150 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
    return image.round().clip(0, 255).astype(np.uint8)
