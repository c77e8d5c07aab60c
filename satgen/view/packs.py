"""Packs: files with the images of a few frames that follow one another, for a browser.

A pack is `MAGIC`, the number of images as uint32, an entry for each image (`ENTRY`: uint32 offset
and length, uint16 x, y, width, height; little-endian) and then the images, each a WebP file. An
image shows the rectangle at (x, y) of the shrunk frame; whatever lies outside of it is black or
background. Where length is 0 there is nothing to see, or, where width is `MISSING`, no readable
image.

Colours are compressed with loss. Labels are kept exactly, in red, green and blue alike, and depth
counts, too: the high byte is red, the low one green.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.dataset import image_path, read_image
from satgen.errors import InputError
from satgen.geometry import bounding_box
from satgen.preview import eight_bit
from satgen.truth_images import decode_normals

MAGIC = b"SGPK"
HEAD = struct.Struct("<4sI")
ENTRY = struct.Struct("<IIHHHH")
MISSING = 0xFFFF

PACK = 16
"""Frames in a pack: few enough that the first is there at once, enough for a second of play."""

COLOURS, LABELS, DEPTH, NORMALS = "colours", "labels", "depth", "normals"
"""How the pixels of a kind of image are kept."""

KINDS = {
    "rgb": COLOURS,
    "depth": DEPTH,
    "parts": LABELS,
    "shadow": LABELS,
    "normals": NORMALS,
}
"""Kinds of image that a page shows, and how their pixels are kept."""

_QUALITY, _EFFORT = 86, 2
"""Of WebP with loss: effort beyond this costs twice the time for a twentieth of the bytes."""


@dataclass(frozen=True)
class PackTask:
    """A pack to be made.

    Attributes:
        folder: of the dataset.
        kind: of image, one of `KINDS`.
        indices: of the frames.
        width: of the widest image that is shown as it is, pixels; wider ones are shrunk.
        linear: whether colours are linear in light, rather than sRGB's.
    """

    folder: Path
    kind: str
    indices: tuple[int, ...]
    width: int
    linear: bool = False


def make_pack(task: PackTask) -> bytes:
    """The bytes of a pack."""
    return join_pack([_image(task, index) for index in task.indices])


@dataclass(frozen=True)
class PackedImage:
    """An image of a pack: a WebP file, and the rectangle that it shows."""

    data: bytes
    box: tuple[int, int, int, int]


NOTHING = PackedImage(b"", (0, 0, 0, 0))
UNREADABLE = PackedImage(b"", (0, 0, MISSING, 0))


def join_pack(images: list[PackedImage]) -> bytes:
    """A pack of images."""
    at = HEAD.size + ENTRY.size * len(images)
    head = [HEAD.pack(MAGIC, len(images))]
    for image in images:
        head.append(ENTRY.pack(at, len(image.data), *image.box))
        at += len(image.data)
    return b"".join([*head, *(image.data for image in images)])


def split_pack(data: bytes) -> list[PackedImage]:
    """The images of a pack.

    Raises:
        ValueError: it is none.
    """
    magic, count = HEAD.unpack_from(data)
    if magic != MAGIC:
        raise ValueError("not a pack")
    entries = ENTRY.iter_unpack(data[HEAD.size : HEAD.size + ENTRY.size * count])
    return [PackedImage(data[at : at + size], tuple(box)) for at, size, *box in entries]


def shown_size(width: int, height: int, most: int) -> tuple[int, int]:
    """Width and height of an image that is shrunk to `most` pixels of its longer side, at most."""
    longest = max(width, height)
    if longest <= most:
        return width, height
    return max(1, width * most // longest), max(1, height * most // longest)


def sampled(size: int, shown: int) -> NDArray[np.int64]:
    """The pixels (shown,) of a line of `size` that stand for all, evenly; all where none is left
    out. Labels and depth are never mixed."""
    return (2 * np.arange(shown, dtype=np.int64) + 1) * size // (2 * shown)


def encoded_colours(pixels: NDArray[np.uint8]) -> PackedImage:
    """Colours (H, W, 3) as they are packed."""
    return PackedImage(_webp(pixels, lossless=False), (0, 0, pixels.shape[1], pixels.shape[0]))


def encoded_colours_exactly(pixels: NDArray[np.uint8]) -> PackedImage:
    """Colours (H, W, 3) without loss, for small images that are compared with one another."""
    return PackedImage(_webp(pixels, lossless=True), (0, 0, pixels.shape[1], pixels.shape[0]))


def encoded_values(pixels: NDArray[Any]) -> PackedImage:
    """Labels (H, W) uint8, or depth counts (H, W) uint16, as they are packed: cut to what is not
    0."""
    left, top, width, height = bounding_box(pixels)
    if not width:
        return NOTHING
    cut = pixels[top : top + height, left : left + width]
    if pixels.dtype == np.uint16:
        colours = np.stack([cut >> 8, cut & 255, np.zeros_like(cut)], axis=-1).astype(np.uint8)
    else:
        colours = np.repeat(cut[..., None], 3, axis=-1)
    return PackedImage(_webp(colours, lossless=True), (left, top, width, height))


def shown_colours(pixels: NDArray[Any], *, linear: bool, width: int) -> NDArray[np.uint8]:
    """A frame's image as a screen shows it, (H, W, 3) uint8, shrunk to `width` at most."""
    from PIL import Image

    image = Image.fromarray(eight_bit(pixels, linear=linear)).convert("RGB")
    size = shown_size(image.width, image.height, width)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX)
    return np.asarray(image)


def _image(task: PackTask, index: int) -> PackedImage:
    try:
        pixels = read_image(image_path(task.folder, task.kind, index))
    except InputError:
        return UNREADABLE
    how = KINDS[task.kind]
    if how == COLOURS:
        return encoded_colours(shown_colours(pixels, linear=task.linear, width=task.width))
    high, wide = pixels.shape[:2]
    shown = shown_size(wide, high, task.width)
    if shown != (wide, high):
        pixels = pixels[sampled(high, shown[1])][:, sampled(wide, shown[0])]
    if how == NORMALS:
        return encoded_colours(np.rint(127.5 + 127.5 * decode_normals(pixels)).astype(np.uint8))
    return encoded_values(pixels)


def _webp(pixels: NDArray[np.uint8], *, lossless: bool) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    settings = {"lossless": True, "quality": 25} if lossless else {"quality": _QUALITY}
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(buffer, "WEBP", method=_EFFORT, **settings)
    return buffer.getvalue()
