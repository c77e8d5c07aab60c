"""Fast PNG encoding (ISO/IEC 15948) of the three kinds of image in a dataset, and their decoding.

General encoders try every filter and search for long matches, which costs more than rendering the
frame. Rendered frames are smooth shading on a black background: one fixed filter and run-length
matching come within a few percent of their size in a third of the time (measured in the README's
benchmarks). zlib-ng does that in half of zlib's time, and to the same bytes: these depend on the
pixels and on the version of zlib-ng alone.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

MOST_PIXELS = 1 << 28
"""Pixels of an image that is decoded, at most: the largest camera has a sixteenth of it."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
_FILTER_NONE, _FILTER_SUB, _FILTER_UP, _FILTER_AVERAGE, _FILTER_PAETH = range(5)


def encode_png(image: NDArray[Any], *, labels: bool = False) -> bytes:
    """Encode an image.

    Args:
        image: (H, W) or (H, W, 3), uint8 or uint16.
        labels: the values are labels, not intensities: equal neighbours are the rule, and their
            differences mean nothing, so no filter is applied.

    Raises:
        ValueError: another shape or type.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"image of {image.dtype}: PNG takes uint8 or uint16")
    if image.ndim == 2:
        colour, channels = _GREY, 1
    elif image.ndim == 3 and image.shape[2] == 3:
        colour, channels = _RGB, 3
    else:
        raise ValueError(f"image of shape {image.shape}: must be (H, W) or (H, W, 3)")
    height, width = image.shape[:2]
    depth = image.dtype.itemsize
    samples = np.ascontiguousarray(image).reshape(height, -1)
    top, bottom = _used(samples.view(np.uint8))
    used = samples[top:bottom].astype(image.dtype.newbyteorder(">"), copy=False)
    lines, pixel = used.view(np.uint8), channels * depth
    code = _FILTER_NONE if labels else _FILTER_SUB
    filtered = np.empty((bottom - top, lines.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0] = code
    if labels:
        filtered[:, 1:] = lines
    else:
        filtered[:, 1 : 1 + pixel] = lines[:, :pixel]
        np.subtract(lines[:, pixel:], lines[:, :-pixel], out=filtered[:, 1 + pixel :])
    data = _compress(filtered, code, top, height - bottom)
    header = struct.pack(">IIBBBBB", width, height, 8 * depth, colour, 0, 0, 0)
    return b"".join(
        [_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    )


def _used(lines: NDArray[np.uint8]) -> tuple[int, int]:
    """The first of lines (H, W) that holds anything but zeros, and the one after the last; all of
    them where none does."""
    words = lines if lines.shape[1] % 8 else lines.view(np.uint64)
    height, top = len(words), _blank_above(words)
    return (0, height) if top == height else (top, height - _blank_above(words[::-1]))


def _blank_above(words: NDArray[Any]) -> int:
    """How many of lines (H, W) there are before the first that holds anything but zeros."""
    for start in range(0, len(words), _LINES):
        some = words[start : start + _LINES]
        if np.bitwise_or.reduce(some, axis=None):
            used = np.bitwise_or.reduce(some, axis=1)
            return start + int(np.flatnonzero(used)[0])
    return len(words)


_LINES = 32
"""Lines that are looked through at a time."""


def _compress(lines: NDArray[np.uint8], code: int, above: int, below: int) -> bytes:
    """A zlib stream (RFC 1950) of filtered lines, and of numbers of blank ones above and below.

    Blank lines are the same bytes in every image of a size: their part of the stream is kept.
    """
    width = lines.shape[1]
    packer = zlib_ng.compressobj(1, zlib_ng.DEFLATED, -15, 9, zlib_ng.Z_RLE)
    middle = packer.compress(lines.data) + packer.flush(zlib_ng.Z_FULL_FLUSH)
    first, before = _blank(above, width, code)
    last, after = _blank(below, width, code)
    return b"".join(
        [
            b"\x78\x01",
            first,
            middle,
            last,
            b"\x03\x00",  # an empty last block
            struct.pack(">I", _joined(zlib_ng.adler32(lines.data, before), after, below * width)),
        ]
    )


@lru_cache(maxsize=4096)
def _blank(count: int, width: int, code: int) -> tuple[bytes, int]:
    """Whole deflate blocks (RFC 1951) of `count` lines of zeros after their filter's code, and
    their checksum."""
    if count == 0:
        return b"", 1
    # Adler-32 of so many lines that are zero but for their first byte.
    low, high = 1 + count * code, width * (count + code * count * (count + 1) // 2)
    return _blank_lines(width, code).packed(count), high % 65521 << 16 | low % 65521


class _BlankLines:
    """Packs lines of zeros after their filter's code, any number of them: from the state of the
    packer after the last _STEP lines, which is kept.

    Args:
        width: bytes of a line.
        code: of the filter, its first byte.
    """

    def __init__(self, width: int, code: int) -> None:
        self._line = bytes([code]) + bytes(width - 1)
        self._states = [(zlib.compressobj(9, zlib.DEFLATED, -15), b"")]
        self._lock = Lock()

    def packed(self, count: int) -> bytes:
        """The deflate blocks of `count` lines."""
        steps, rest = divmod(count, _STEP)
        with self._lock:
            while len(self._states) <= steps:
                packer, packed = self._states[-1]
                packer = packer.copy()
                packed += packer.compress(self._line * _STEP)
                self._states.append((packer, packed))
            packer, packed = self._states[steps]
            packer = packer.copy()
        packed += packer.compress(self._line * rest)
        return packed + packer.flush(zlib.Z_FULL_FLUSH)


_STEP = 16
"""Lines between two states that are kept, of a quarter of a megabyte each."""


@lru_cache(maxsize=8)
def _blank_lines(width: int, code: int) -> _BlankLines:
    """The packer of blank lines, kept."""
    return _BlankLines(width, code)


def _joined(first: int, second: int, length: int) -> int:
    """Adler-32 of what has the checksum `first`, and after it `length` bytes that have `second`."""
    prime = 65521
    low = ((first & 0xFFFF) + (second & 0xFFFF) - 1) % prime
    high = (first >> 16) + (second >> 16) + length * ((first & 0xFFFF) - 1)
    return high % prime << 16 | low


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib_ng.crc32(body))


def decode_png(data: bytes) -> NDArray[Any] | None:
    """Pixels of a PNG file in RGB order (a view, not contiguous), or None where it is damaged.

    By OpenCV where it is installed, else by Pillow, which is slower and has no 16-bit colours:
    those are decoded here.

    Returns:
        (H, W) or (H, W, 3), uint8 or uint16.
    """
    chunks = _chunks(data)
    if chunks is None or not _is_decodable(chunks):
        return None  # before OpenCV says so itself, on stderr
    try:
        import cv2
    except (ImportError, OSError):
        return _decode_without_opencv(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if image is None:
        return None
    return image[..., ::-1] if image.ndim == 3 else image


def _chunks(data: bytes) -> list[tuple[bytes, memoryview]] | None:
    """Kinds and contents of a PNG file's chunks, or None where it is not one to its end, or a chunk
    does not have its checksum."""
    at, view = len(_SIGNATURE), memoryview(data)
    if data[:at] != _SIGNATURE:
        return None
    found = []
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or zlib_ng.crc32(view[at + 4 : end - 4]) != int.from_bytes(
            data[end - 4 : end], "big"
        ):
            return None
        kind = data[at + 4 : at + 8]
        found.append((kind, view[at + 8 : end - 4]))
        if kind == b"IEND":
            return found if end == len(data) else None
        at = end
    return None


def _is_decodable(chunks: list[tuple[bytes, memoryview]]) -> bool:
    """Whether an image's first chunk is its header, with no more pixels than there is room for."""
    kind, header = chunks[0]
    if kind != b"IHDR" or len(header) != 13:
        return False
    width, height = struct.unpack(">II", header[:8])
    return bool(0 < width * height <= MOST_PIXELS)


def _decode_without_opencv(data: bytes) -> NDArray[Any] | None:
    from PIL import Image

    try:
        if data[12:16] == b"IHDR" and (data[24], data[25]) == (16, _RGB):
            return _decode_16_bit_rgb(data)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, IndexError, struct.error, zlib.error):
        return None
    except Image.DecompressionBombError:  # Pillow's own limit
        return None
    return pixels.astype(np.uint16) if pixels.dtype.kind in "iu" and pixels.itemsize > 1 else pixels


def _decode_16_bit_rgb(data: bytes) -> NDArray[np.uint16]:
    """ValueError, struct.error or zlib.error where the file is damaged."""
    pixel, chunks = 6, _chunks(data)
    width, height, _, _, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if interlaced or chunks is None:
        raise ValueError("not a PNG file that is decoded here")
    body = b"".join(content for kind, content in chunks if kind == b"IDAT")
    reader = zlib.decompressobj()
    raw = np.frombuffer(reader.decompress(body, height * (pixel * width + 1) + 1), dtype=np.uint8)
    if not reader.eof:
        raise ValueError("more or less than an image")
    lines = raw.reshape(height, pixel * width + 1)
    out = np.zeros((height, width, pixel), dtype=np.uint8)
    above = np.zeros((width, pixel), dtype=np.uint8)
    for y, line in enumerate(lines[:, 1:].reshape(height, width, pixel)):
        _undo_filter(int(lines[y, 0]), line, above, out[y])
        above = out[y]
    samples: NDArray[np.uint16] = out.view(">u2").astype(np.uint16)
    return samples


def _undo_filter(
    code: int, line: NDArray[np.uint8], above: NDArray[np.uint8], to: NDArray[np.uint8]
) -> None:
    """Bytes (W, pixel) of a line from the filtered ones and the line above (PNG, §9.2)."""
    if code == _FILTER_NONE:
        to[:] = line
    elif code == _FILTER_SUB:
        np.cumsum(line, axis=0, dtype=np.uint8, out=to)
    elif code == _FILTER_UP:
        np.add(line, above, out=to)
    elif code in (_FILTER_AVERAGE, _FILTER_PAETH):
        left = np.zeros(line.shape[1], dtype=np.int64)
        corner = left
        for x, up in enumerate(above.astype(np.int64)):
            guess = (left + up) // 2 if code == _FILTER_AVERAGE else _paeth(left, up, corner)
            left, corner = (line[x] + guess) & 255, up
            to[x] = left
    else:
        raise ValueError(f"filter {code}: there is none of that number")


def _paeth(
    left: NDArray[np.int64], up: NDArray[np.int64], corner: NDArray[np.int64]
) -> NDArray[np.int64]:
    estimate = left + up - corner
    a, b, c = abs(estimate - left), abs(estimate - up), abs(estimate - corner)
    return np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
