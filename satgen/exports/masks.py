"""Masks as other formats have them: images, COCO's run lengths and annotations."""

from __future__ import annotations

from typing import Any

import numpy as np

from satgen.geometry import Bools, bounding_box
from satgen.png import encode_png


def mask_png(mask: Bools) -> bytes:
    """A mask (H, W) as an image, 255 where it is True and 0 elsewhere."""
    return encode_png(255 * mask.astype(np.uint8), labels=True)


def run_lengths(mask: Bools) -> dict[str, Any]:
    """COCO's uncompressed run lengths of a mask (H, W): column by column, the first of zeros."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], changes, [len(flat)]])
    counts = np.diff(bounds).tolist()
    return {"counts": [0, *counts] if flat[0] else counts, "size": list(mask.shape)}


def annotation(number: int, image: int, category: int, mask: Bools) -> dict[str, Any]:
    """COCO's annotation of a mask (H, W) with a pixel at least; its box has all columns and rows.

    Args:
        number, image, category: the ids of the annotation, the image and the category.
        mask: the pixels.
    """
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(bounding_box(mask)),
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": run_lengths(mask),
    }
