"""Files that a model names: only regular ones in the model's folder, of known size and kind."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_FILE_BYTES = 2 << 30
"""Largest model file, and largest buffer beside it."""
MAX_LIBRARY_BYTES = 16 << 20
"""Largest material library."""
MAX_TEXTURE_BYTES = 256 << 20
"""Largest texture file."""
MAX_TEXTURE_SIDE = 8192
"""Widest and highest texture, pixels."""
KEPT_TEXTURE_SIDE = 4096
"""Larger textures are scaled down to this."""
TEXTURE_FORMATS = ("PNG", "JPEG", "WEBP", "TGA", "BMP", "PPM")
"""Pillow's readers for textures; others, as EPS, would start programs that a stranger's file must
not start."""


class ModelFileError(ValueError):
    """A model, or a file that it names, cannot be read; the message says why."""


def read_regular(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of a regular file.

    Raises:
        ModelFileError: a folder, a device, a pipe, or more than `limit` bytes.
        OSError: it cannot be opened.
    """
    # without waiting: opening a pipe would hang until somebody writes to it
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError("not a regular file")
        if status.st_size > limit:
            raise ModelFileError(f"{status.st_size} bytes; {limit} is the most")
        return file.read(limit)


@dataclass(frozen=True)
class FileBeside:
    """A file that a model names, as `read_beside` was asked for it.

    Attributes:
        name, limit: as they were given.
        sha256: of its bytes; empty where it cannot be read.
        size: bytes.
    """

    name: str
    limit: int
    sha256: str
    size: int


_NOTED: ContextVar[list[FileBeside] | None] = ContextVar("noted", default=None)


@contextmanager
def noted_files() -> Iterator[list[FileBeside]]:
    """The files that `read_beside` is asked for within the block, as it ends."""
    noted: list[FileBeside] = []
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def read_beside(folder: Path, name: str, limit: int) -> bytes:
    """The bytes of a file that a model in `folder` names.

    Backslashes separate folders, too. A name that leads out of the folder (an absolute path,
    `..`, a link) or that is not there stands for the file of that name beside the model.
    Where there is none, a name that differs in the case of its letters alone will do, or in how
    accents are written (as macOS writes them, apart from their letters).

    Raises:
        ModelFileError: no such file in the folder, not a regular file, or too large.
    """
    noted = _NOTED.get()
    try:
        raw = _read_beside(folder, name, limit)
    except ModelFileError:
        if noted is not None:
            noted.append(FileBeside(name, limit, "", 0))
        raise
    if noted is not None:
        noted.append(FileBeside(name, limit, hashlib.sha256(raw).hexdigest(), len(raw)))
    return raw


def _read_beside(folder: Path, name: str, limit: int) -> bytes:
    """See `read_beside`."""
    if not name or any(ord(c) < 32 for c in name):
        raise ModelFileError("not a file's name")
    plain = re.sub(r"^[A-Za-z]:", "", name.replace("\\", "/"))
    try:
        root = folder.resolve()
        for candidate in (plain, plain.rsplit("/", 1)[-1]):
            found = _inside(root, candidate)
            if found is not None:
                return read_regular(found, limit)
        found = _inside(root, plain, any_case=True)
        if found is not None:
            return read_regular(found, limit)
    except (OSError, RuntimeError) as error:
        raise ModelFileError(getattr(error, "strerror", None) or "cannot be read") from None
    outside = plain.startswith("/") or ".." in plain.split("/")
    raise ModelFileError("not in the model's folder" if outside else "missing")


def _plain(name: str) -> str:
    """A file's name without the case of its letters, and with accents as parts of them."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).lower())


def _inside(root: Path, name: str, any_case: bool = False) -> Path | None:
    """The file of a relative name under `root` that exists and does not lead out of it."""
    if name.startswith("/"):
        return None
    path = root
    for step in name.split("/"):
        if any_case and step not in ("", ".", "..") and not (path / step).exists():
            if not path.is_dir():
                return None
            same = sorted(f for f in os.listdir(path) if _plain(f) == _plain(step))
            step = same[0] if same else step
        path = path / step
    path = path.resolve()
    return path if path.is_relative_to(root) and path != root and path.exists() else None


def text_of(raw: bytes) -> str:
    """Text in UTF-8 or UTF-16 with a mark, else in UTF-8, else in Latin-1."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def decode_image(raw: bytes, name: str) -> NDArray[np.uint8]:
    """A texture's pixels as (H, W, 3) uint8, 4096 a side at most.

    Raises:
        ModelFileError: not PNG, JPEG, WebP, TGA, BMP or PNM, damaged, or over 8192 a side.
    """
    return decode_pixels(raw, name)[0]


def decode_pixels(
    raw: bytes, name: str, side: int = KEPT_TEXTURE_SIDE, most: int = MAX_TEXTURE_SIDE**2
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, int]:
    """A texture's colours (H, W, 3) and opacity (H, W), None where that is full, uint8, both to be
    read only; and how many pixels were decoded.

    Args:
        raw: the file's bytes.
        name: what to call it in messages.
        side: a larger texture is scaled down to this.
        most: pixels that may be decoded.

    Raises:
        ModelFileError: not PNG, JPEG, WebP, TGA, BMP or PNM, damaged, over 8192 a side, or of more
            than `most` pixels.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(raw), formats=TEXTURE_FORMATS) as picture:
            width, height = picture.size
            if max(picture.size) > MAX_TEXTURE_SIDE:
                raise ValueError(f"{width} x {height} pixels; {MAX_TEXTURE_SIDE} a side is most")
            if width * height > most:
                raise ValueError(f"{width} x {height} pixels; too many with those before")
            if picture.mode == "F":
                raise ValueError("its pixels are floating-point numbers; make it a PNG")
            picture.load()
            if picture.mode.startswith("I"):
                wide = np.asarray(picture).astype(np.float32) / 257.0
                grey = np.clip(np.round(wide), 0, 255).astype(np.uint8)
                plain = Image.fromarray(grey)
            elif picture.has_transparency_data:
                plain = picture if picture.mode == "RGBA" else picture.convert("RGBA")
            else:
                plain = picture
            # Colour and opacity apart: what is clear keeps its colour, and nothing is there twice.
            alpha = plain.getchannel("A") if plain.mode == "RGBA" else None
            plain = plain if plain.mode == "RGB" else plain.convert("RGB")
            if max(plain.size) > side:
                plain.thumbnail((side, side))
                alpha = None if alpha is None else alpha.resize(plain.size)
            opacity = None if alpha is None else np.asarray(alpha)
            if opacity is not None and opacity.min() == 255:
                opacity = None
            return np.asarray(plain), opacity, width * height
    except (
        OSError,
        SyntaxError,
        ValueError,
        struct.error,
        MemoryError,
        Image.DecompressionBombError,
    ) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "cannot identify" in detail:
            detail = "not PNG, JPEG, WebP, TGA, BMP or PNM"
        raise ModelFileError(f"texture {name!r} cannot be decoded ({detail})") from None
