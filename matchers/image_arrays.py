"""Images as NumPy arrays: from files, and as OpenCV's detectors take them.

No torch: processes that only read images start without it.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from satgen.errors import InputError

FILE_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "PPM", "GIF", "TGA", "JPEG2000")
"""Pillow's readers for image files. Others would start programs, as EPS does, which a stranger's
file must not."""


ROUNDING = 1e-3
"""By so much an image's floats may leave [0, 1]."""


def read_file(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """A file's image, NumPy (H, W) or (H, W, 3), RGB, with its own bit depth, without transparency.

    Raises:
        InputError: it is not there, of none of `FILE_FORMATS`, damaged, of 32-bit integers, or of
            floats beyond [0, 1].
    """
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with Pillow.open(path, formats=FILE_FORMATS) as picture:
            mode = picture.mode
            if mode.startswith("I") or mode == "F":
                values = np.array(picture)
            else:
                values = np.array(picture.convert("L" if mode in ("1", "L", "LA") else "RGB"))
    except FileNotFoundError:
        raise InputError(f"no image at {os.fspath(path)}") from None
    except UnidentifiedImageError:
        known = ", ".join(FILE_FORMATS)
        raise InputError(f"cannot read the image {os.fspath(path)}: none of {known}") from None
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise InputError(f"cannot read the image {os.fspath(path)}: {error}") from None
    if mode == "F" and not (values.min() >= -ROUNDING and values.max() <= 1.0 + ROUNDING):
        span = f"{values.min():g} to {values.max():g}"
        raise InputError(f"{os.fspath(path)} has values from {span}: floats must be in [0, 1]")
    if mode != "I":
        return values
    if values.min() < 0 or values.max() > 65535:
        raise InputError(f"{os.fspath(path)} has 32-bit values: 8 or 16 bits are expected")
    return values.astype(np.uint16)


def has_shape_of_image(shape: tuple[int, ...]) -> bool:
    """Whether it is (H, W), or (H, W, 1, 3 or 4)."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))


def luma8(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W) or (H, W, 1, 3 or 4) -> (H, W) luma, as OpenCV's conversion gives it."""
    import cv2

    if image.ndim == 2 or image.shape[2] == 1:
        return np.ascontiguousarray(image.reshape(image.shape[:2]))
    colours = np.ascontiguousarray(image[..., :3])
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)
