"""Where the images of a dataset come from: its PNG files, or a prepared array."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from satgen.dataset import image_path
from satgen.errors import InputError
from satgen.png import decode_png
from satgen.sequences.images import Image, Square, cut, shrink, with_channels


class Store(Protocol):
    """Gives images of rows of a dataset."""

    def read(self, rows: slice) -> Image:
        """Images of the rows, (n, H, W) or (n, H, W, 3); the caller may change them."""


@dataclass(frozen=True)
class Preparation:
    """What is done to every frame of a dataset alike.

    Attributes:
        kind: "rgb", "depth" or "parts".
        colour: of "rgb", see `WindowConfig`.
        square: to cut to; None: not cut.
        size: to shrink to; None: not shrunk.
    """

    kind: str
    colour: bool
    square: Square | None
    size: int | None

    def apply(self, image: Image) -> Image:
        """A frame as it is stored -> as windows have it."""
        if self.square is not None:
            image = cut(image, self.square)
        if self.kind == "rgb":
            image = with_channels(image, self.colour)
        if self.square is not None and self.size is not None:
            image = shrink(image, self.size, average=self.kind == "rgb")
        return image


def read_frame(folder: Path, kind: str, index: int, sha256: str | None = None) -> Image:
    """A frame's image as it is stored.

    Args:
        folder: of the dataset.
        kind: "rgb", "depth" or "parts".
        index: its observation index.
        sha256: that its file must have.

    Raises:
        InputError: the file is missing, no image, or another one than the frame table says.
    """
    path = image_path(folder, kind, index)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path}: not the image that the frame table describes")
    image = decode_png(data)
    if image is None:
        raise InputError(f"{path}: not a readable PNG image")
    return image


@dataclass
class PngStore:
    """Reads PNG files and prepares each image.

    Attributes:
        folder: of the dataset.
        indices: (N,) its observation indices.
        preparation: of the images.
        keep_bytes: images are remembered, the latest used ones, as long as they need no more.
    """

    folder: Path
    indices: NDArray[np.int64]
    preparation: Preparation
    keep_bytes: int = 0
    _kept: OrderedDict[int, Image] = field(default_factory=OrderedDict, repr=False)

    def read(self, rows: slice) -> Image:
        """The images of some rows, see `Store.read`."""
        numbers = range(len(self.indices))[rows]
        return np.stack([self._image(row) for row in numbers])

    def _image(self, row: int) -> Image:
        if (kept := self._kept.get(row)) is not None:
            self._kept.move_to_end(row)
            return kept
        raw = read_frame(self.folder, self.preparation.kind, int(self.indices[row]))
        image = np.ascontiguousarray(self.preparation.apply(raw))
        if image.nbytes <= self.keep_bytes:
            self._kept[row] = image
            while len(self._kept) * image.nbytes > self.keep_bytes:
                self._kept.popitem(last=False)
        return image

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict()}  # a worker begins with none


@dataclass(frozen=True)
class ArrayStore:
    """Reads a prepared .npy file.

    The file is mapped for each reading and let go after it: nothing is open in between, so nothing
    is shared by processes, and pages that were read do not add up to the process's memory.

    Attributes:
        path: the file.
        dtype, shape: of its array.
        offset: where its numbers begin.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    def read(self, rows: slice) -> Image:
        """The images of some rows, see `Store.read`; InputError if the file is gone."""
        start, stop, step = rows.indices(self.shape[0])
        each = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        try:
            images = np.memmap(
                self.path,
                dtype=self.dtype,
                mode="r",
                offset=self.offset + start * each,
                shape=(stop - start, *self.shape[1:]),
            )
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path}: the prepared images are gone: {error}") from None
        return np.array(images[::step])
