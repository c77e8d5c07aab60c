"""Textures of which a model uses islands: what lies between them must not run into its surfaces.

Seen from afar a texture is averaged, and what no triangle shows (white paper, as a rule) would come
to tint what is shown. It is painted over with the colours of the islands around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.model import Material

MOST_TRIANGLES = 200_000
"""Different triangles of a texture beyond which it is taken to be used everywhere."""
_IMAGES = ("base_color_image", "metallic_roughness_image", "normal_image", "emissive_image")


def fill_between_islands(
    materials: Sequence[Material],
    face_material: NDArray[np.int32],
    uv: NDArray[np.floating[Any]],
) -> tuple[Material, ...]:
    """Materials whose textures are painted over where no triangle shows them.

    Textures that repeat over a triangle, or that lie by a second set of coordinates, stay as they
    are.

    Args:
        materials: the model's.
        face_material: (F,) whose each face is.
        uv: (F, 3, 2) texture coordinates, v down.
    """
    out = list(materials)
    painted: dict[int, NDArray[np.uint8]] = {}
    shown: dict[int, list[NDArray[np.floating[Any]]]] = {}
    for number, material in enumerate(materials):
        if any(getattr(material, name) is not None for name in _IMAGES):
            # Several materials may use islands of one picture.
            mine = uv[face_material == number]
            for name in _IMAGES:
                image = getattr(material, name)
                if image is not None:
                    shown.setdefault(id(image), []).append(mine)
    for number, material in enumerate(materials):
        changes: dict[str, Any] = {}
        for name in _IMAGES:
            image = getattr(material, name)
            if image is None or material.second:
                continue
            if id(image) not in painted:
                painted[id(image)] = _filled(image, np.concatenate(shown[id(image)]))
            changes[name] = painted[id(image)]
        if changes:
            out[number] = replace(material, **changes)
    return tuple(out)


def _filled(image: NDArray[np.uint8], uv: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """An image (H, W, 3) of which triangles (N, 3, 2) show a part."""
    used = _used(uv, image.shape[0], image.shape[1])
    if used is None or used.all() or not used.any():
        return image
    coarse = np.round(_means(image.astype(np.float32), used)).astype(np.uint8)
    spread = coarse.repeat(2, axis=0).repeat(2, axis=1)[: image.shape[0], : image.shape[1]]
    return np.where(used[..., None], image, spread)


def _used(uv: NDArray[np.floating[Any]], height: int, width: int) -> NDArray[np.bool_] | None:
    """Texels (H, W) that triangles touch; None for all."""
    from PIL import Image, ImageDraw

    place = uv.astype(np.float64)
    place -= np.floor(place.min(axis=1, keepdims=True))
    if place.max(initial=0.0) > 1.0 + 1e-6:
        return None
    texels = np.round(place * (width, height) * 4.0) / 4.0 - 0.5
    triangles = np.unique(texels.reshape(-1, 6), axis=0)
    if len(triangles) > MOST_TRIANGLES:
        return None
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for triangle in triangles.tolist():
        draw.polygon(triangle, fill=1, outline=1)
    return np.array(canvas)


def _means(colours: NDArray[np.float32], there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Means (ceil(H / 2), ceil(W / 2), 3) of the colours (H, W, 3) that are there of each square of
    four; where there are none, those of the larger square around."""
    sums = _in_fours(np.where(there[..., None], colours, np.float32(0.0)))
    count = _in_fours(there.astype(np.float32)[..., None])
    means = sums / np.maximum(count, np.float32(1.0))
    known = count[..., 0] > 0.0
    if known.all():
        return np.asarray(means)
    height, width = known.shape
    spread = _means(means, known).repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.asarray(np.where(known[..., None], means, spread))


def _in_fours(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums (ceil(H / 2), ceil(W / 2), C) of squares of four of values (H, W, C)."""
    height, width = values.shape[:2]
    even = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    rows = even[0::2] + even[1::2]
    return np.asarray(rows[:, 0::2] + rows[:, 1::2])
