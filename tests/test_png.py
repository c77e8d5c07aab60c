"""PNG encoding, read back by Pillow and OpenCV."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from satgen.png import encode_png

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
