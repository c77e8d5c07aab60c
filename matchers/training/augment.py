"""Other exposures, other optics and other sensors: what a frame might have looked like.

The pixels keep their places, so the frame's depth and pose stay true of the changed image. Light is
added and scaled in linear values; only the last step goes back to sRGB's curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.colour import srgb_decode, srgb_encode
from satgen.errors import InputError

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges that a change is drawn from; each range is symmetric or starts at 0.

    Attributes:
        exposure: stops, either way.
        white_balance: relative gain of a channel, either way.
        gamma: of the encoded image: between 1 / gamma and gamma.
        blur_px: largest standard deviation of the point spread function.
        streak_px: longest motion blur.
        full_well: electrons of the brightest pixel, smallest and largest: photon noise.
        read_noise: largest standard deviation, share of full scale.
        black_level: largest pedestal, share of full scale.
        share: probability of each of the changes.

    Raises:
        InputError: a range below 0, gamma below 1, or a share that is no probability.
    """

    exposure: float = 1.0
    white_balance: float = 0.1
    gamma: float = 1.25
    blur_px: float = 1.2
    streak_px: float = 4.0
    full_well: tuple[float, float] = (800.0, 20000.0)
    read_noise: float = 0.01
    black_level: float = 0.02
    share: float = 0.6

    def __post_init__(self) -> None:
        for name in (
            "exposure", "white_balance", "blur_px", "streak_px", "read_noise", "black_level"
        ):  # fmt: skip
            if not getattr(self, name) >= 0.0:
                raise InputError(f"augmentation {name} {getattr(self, name)}: must be at least 0")
        if not self.gamma >= 1.0:
            raise InputError(f"augmentation gamma {self.gamma}: must be at least 1")
        if not 0.0 < self.full_well[0] <= self.full_well[1]:
            raise InputError(
                f"augmentation full_well {self.full_well}: must be positive, ascending"
            )
        if not 0.0 <= self.share <= 1.0:
            raise InputError(f"augmentation share {self.share}: must be between 0 and 1")


def augment(
    image: NDArray[Any], rng: np.random.Generator, config: AugmentConfig | None = None
) -> NDArray[Any]:
    """An image as another camera might have taken it.

    Args:
        image: (H, W) or (H, W, 3), uint8 or uint16, sRGB-encoded.
        rng: draws the changes; the same state gives the same image.
        config: the defaults unless given.

    Returns:
        The same shape and type.
    """
    import cv2

    config = config or AugmentConfig()
    full = float(np.iinfo(image.dtype).max)
    # every draw is made, so that one share does not shift the others
    happens = rng.random(7) < config.share
    gain = 2.0 ** rng.uniform(-config.exposure, config.exposure)
    balance = 1.0 + rng.uniform(-config.white_balance, config.white_balance, 3)
    gamma = config.gamma ** rng.uniform(-1.0, 1.0)
    sigma = rng.uniform(0.0, config.blur_px)
    streak, angle = rng.uniform(0.0, config.streak_px), rng.uniform(0.0, np.pi)
    well = np.exp(rng.uniform(*np.log(config.full_well)))
    read, black = rng.uniform(0.0, config.read_noise), rng.uniform(0.0, config.black_level)

    light = np.take(_decoded(image.dtype), image)
    if happens[0]:
        light *= np.float32(gain)
    if happens[1] and light.ndim == 3:
        light *= balance.astype(np.float32)
    if happens[2] and sigma > 0.1:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), dtype=np.float32)
    if happens[3] and streak > 1.0:
        light = np.asarray(cv2.filter2D(light, -1, _streak(streak, angle)), dtype=np.float32)
    np.clip(light, 0.0, 1.0, out=light)
    if happens[4]:  # photon noise as a normal one: electrons are many where it can be seen
        noise = rng.standard_normal(light.shape, dtype=np.float32)
        noise *= np.sqrt(light / np.float32(well) + np.float32(read) ** 2)
        light += noise
    if happens[5]:
        light *= np.float32(1.0 - black)
        light += np.float32(black)
    np.clip(light, 0.0, 1.0, out=light)
    values = srgb_encode(light).astype(np.float32, copy=False)
    if happens[6]:
        values = values ** np.float32(gamma)
    return np.asarray(np.rint(values * full)).astype(image.dtype)


@lru_cache(maxsize=2)
def _decoded(kind: np.dtype[Any]) -> Floats32:
    """Linear light of every value that an image of whole numbers may have."""
    most = np.iinfo(kind).max
    values = np.arange(most + 1, dtype=np.float32) / np.float32(most)
    return np.asarray(srgb_decode(values), dtype=np.float32)


def _streak(length: float, angle: float) -> Floats32:
    """A kernel that smears along a line through its centre; its sum is 1."""
    half = int(np.ceil(length / 2.0))
    v, u = np.mgrid[-half : half + 1, -half : half + 1]
    along = u * np.cos(angle) + v * np.sin(angle)
    across = -u * np.sin(angle) + v * np.cos(angle)
    inside = np.clip(length / 2.0 + 0.5 - np.abs(along), 0.0, 1.0)
    kernel = inside * np.clip(1.0 - np.abs(across), 0.0, 1.0)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)
