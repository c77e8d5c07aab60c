"""Images as formats take them that pack pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.exports.source import ExportSource

Bytes = NDArray[np.uint8]


def scaled_size(width: int, height: int, longest: int | None) -> tuple[int, int]:
    """Width and height where the longest side is at most so many pixels."""
    if longest is None or longest >= max(width, height):
        return width, height
    scale = longest / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def picture(
    source: ExportSource, index: int, longest: int | None = None, *, grey: bool | None = None
) -> Bytes:
    """A frame's 8-bit image.

    Args:
        source: the dataset.
        index: of the frame.
        longest: side that it is scaled down to, by averaging.
        grey: one channel (H, W), or three (H, W, 3); None is what the sensor has.
    """
    from PIL import Image

    pixels: Any = source.data.rgb(index)
    image = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    if grey is not None:
        image = image.convert("L" if grey else "RGB")
    size = scaled_size(image.width, image.height, longest)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX)
    return np.asarray(image)
