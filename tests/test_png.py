"""PNG encoding, read back by Pillow and OpenCV."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from satgen import png
from satgen.png import decode_png, encode_png

SIDES = st.integers(1, 40)


@settings(max_examples=60)
@given(
    height=SIDES, width=SIDES, rgb=st.booleans(), wide=st.booleans(), labels=st.booleans(),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_round_trip_through_opencv(height, width, rgb, wide, labels, seed):
    dtype = np.uint16 if wide else np.uint8
    shape = (height, width, 3) if rgb else (height, width)
    rng = np.random.default_rng(seed)
    image = rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    image[rng.random(shape[:2]) < 0.5] = 0
    data = encode_png(image, labels=labels)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if rgb:
        back = back[..., ::-1]
    assert back.dtype == dtype
    assert np.array_equal(back, image)


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), empty=st.floats(0.0, 1.0), labels=st.booleans())
def test_the_bytes_are_those_of_zlib(seed, empty, labels):
    rng = np.random.default_rng(seed)
    lines = rng.integers(0, 5 if labels else 256, (60, 301), dtype=np.uint8)
    lines[rng.random(lines.shape) < empty] = 0
    packer = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    expected = packer.compress(lines.data) + packer.flush(zlib.Z_FULL_FLUSH)
    data = png._compress(lines, 0, 0, 0)
    assert data == b"\x78\x01" + expected + b"\x03\x00" + zlib.adler32(lines).to_bytes(4, "big")


def test_pillow_reads_the_8_bit_kinds_and_the_depth_kind():
    for image in (
        np.arange(60, dtype=np.uint8).reshape(4, 5, 3),
        np.arange(20, dtype=np.uint8).reshape(4, 5),
        np.arange(0, 65520, 3276, dtype=np.uint16).reshape(4, 5),
    ):
        with Image.open(io.BytesIO(encode_png(image))) as opened:
            opened.load()
            assert np.array_equal(np.asarray(opened), image)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)]
)
def test_other_arrays_are_refused(bad):
    with pytest.raises(ValueError, match="image of"):
        encode_png(bad)


def own_way(data: bytes):
    """As where OpenCV is not installed."""
    return png._decode_without_opencv(data)


FILTERS = [
    cv2.IMWRITE_PNG_FILTER_NONE,
    cv2.IMWRITE_PNG_FILTER_SUB,
    cv2.IMWRITE_PNG_FILTER_UP,
    cv2.IMWRITE_PNG_FILTER_AVG,
    cv2.IMWRITE_PNG_FILTER_PAETH,
    cv2.IMWRITE_PNG_ALL_FILTERS,
]


@pytest.mark.parametrize("code", FILTERS)
@pytest.mark.parametrize("shape", [(23, 17), (23, 17, 3), (1, 1, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_decoding_without_opencv_gives_what_opencv_gives(code, shape, dtype):
    rng = np.random.default_rng(code)
    image = np.cumsum(rng.integers(0, 99, shape), axis=1).astype(dtype)
    _, data = cv2.imencode(".png", image[..., ::-1] if len(shape) == 3 else image, [
        cv2.IMWRITE_PNG_FILTER, code,
    ])  # fmt: skip
    for found in (own_way(data.tobytes()), decode_png(data.tobytes())):
        assert found.dtype == dtype
        assert np.array_equal(found, image)


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), rgb=st.booleans(), wide=st.booleans(), cut=st.integers(0, 200))
def test_a_damaged_file_is_none_either_way(seed, rgb, wide, cut):
    dtype = np.uint16 if wide else np.uint8
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (9, 8, 3) if rgb else (9, 8)).astype(dtype)
    data = encode_png(image)
    assert np.array_equal(own_way(data), image)
    assert own_way(data[: min(cut, len(data) - 30)]) is None
    broken = bytearray(data)
    broken[50] ^= 0xFF
    assert own_way(bytes(broken)) is None
    assert own_way(b"no image at all, but long enough for a header") is None


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(0, 400), min_size=1, max_size=3),
    width=st.integers(2, 1600),
    code=st.integers(0, 1),
)
def test_blank_lines_are_packed_as_in_one_go(counts, width, code):
    for count in counts:
        lines = np.zeros((count, width), dtype=np.uint8)
        lines[:, 0] = code
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        expected = packer.compress(lines.data) + packer.flush(zlib.Z_FULL_FLUSH)
        packed, checksum = png._blank(count, width, code)
        assert packed == (expected if count else b"")
        assert checksum == zlib.adler32(lines)
