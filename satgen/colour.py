"""sRGB: its transfer function, both ways, and what its primaries have in luminance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LUMA = (0.2126, 0.7152, 0.0722)
"""Rec. 709 weights of linear R, G, B in luminance."""


def srgb_encode(linear: NDArray[Any]) -> NDArray[Any]:
    """sRGB transfer function (IEC 61966-2-1), 0..1 to 0..1, of the same float type."""
    return np.where(
        linear <= 0.0031308,
        12.92 * linear,
        1.055 * np.maximum(linear, 0.0031308) ** (1.0 / 2.4) - 0.055,
    )


def srgb_decode(encoded: NDArray[Any]) -> NDArray[Any]:
    """Inverse of `srgb_encode`, of the same float type."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
