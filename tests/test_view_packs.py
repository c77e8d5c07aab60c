"""Packs of images for a browser: what goes in comes out, exactly where it must."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from satgen.dataset import Dataset
from satgen.view.packs import (
    KINDS,
    MISSING,
    PackedImage,
    PackTask,
    encoded_values,
    join_pack,
    make_pack,
    sampled,
    shown_size,
    split_pack,
)

SIZES = st.integers(1, 5000)


def pixels(image: PackedImage) -> np.ndarray:
    """The image of an entry as another program decodes it."""
    with Image.open(io.BytesIO(image.data)) as opened:
        assert opened.format == "WEBP"
        return np.asarray(opened.convert("RGB"))


def values(image: PackedImage, size: tuple[int, int], kind: str) -> np.ndarray:
    """Labels or depth counts (H, W) as a browser puts them together."""
    out = np.zeros(size, dtype=np.int64)
    x, y, w, h = image.box
    if image.data:
        rgb = pixels(image).astype(np.int64)
        assert rgb.shape == (h, w, 3)
        out[y : y + h, x : x + w] = (
            rgb[..., 0] * 256 + rgb[..., 1] if kind == "depth" else rgb[..., 2]
        )
    return out


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda kind: arrays(kind, array_shapes(min_dims=2, max_dims=2, max_side=12))
    )
)
def test_labels_and_depth_come_back_exactly(image: np.ndarray) -> None:
    kind = "depth" if image.dtype == np.uint16 else "parts"
    found = values(encoded_values(image), image.shape, kind)
    assert np.array_equal(found, image)


@given(st.lists(st.tuples(st.binary(max_size=40), st.tuples(*[st.integers(0, 65535)] * 4))))
def test_a_pack_is_split_as_it_was_joined(entries: list[tuple[bytes, tuple[int, ...]]]) -> None:
    images = [PackedImage(data, box) for data, box in entries]  # type: ignore[arg-type]
    assert split_pack(join_pack(images)) == images


def test_what_is_no_pack_is_refused() -> None:
    with pytest.raises(ValueError, match="not a pack"):
        split_pack(b"RIFF0000")


@given(SIZES, SIZES, st.integers(1, 4096))
def test_an_image_is_shrunk_to_fit_and_never_enlarged(wide: int, high: int, most: int) -> None:
    found = shown_size(wide, high, most)
    assert all(1 <= new <= old for new, old in zip(found, (wide, high), strict=True))
    assert max(found) == min(max(wide, high), most)


@given(SIZES, st.integers(1, 4096))
def test_pixels_are_sampled_evenly(size: int, shown: int) -> None:
    shown = min(size, shown)
    found = sampled(size, shown)
    assert found[0] >= 0 and found[-1] < size
    if shown == size:
        assert np.array_equal(found, np.arange(size))
    steps = np.diff(found)
    assert len(steps) == 0 or (steps.max() - steps.min() <= 1 and steps.min() >= 1)


def test_the_images_of_a_dataset(pristine: Path) -> None:
    data = Dataset(pristine)
    indices = tuple(int(i) for i in data.indices[:5])
    scale = data.description["depth_scale"]
    for kind in ("rgb", "depth", "parts"):
        images = split_pack(make_pack(PackTask(pristine, kind, indices, 512)))
        assert len(images) == 5
        for index, image in zip(indices, images, strict=True):
            if kind == "rgb":
                difference = np.abs(pixels(image).astype(int) - data.rgb(index))
                assert difference.mean() < 3.0
            else:
                found = values(image, (64, 72), kind)
                truth = data.depth(index) / scale if kind == "depth" else data.parts(index)
                assert np.array_equal(found, np.rint(truth))


def test_shrunk_images_show_pixels_of_the_frame(pristine: Path) -> None:
    data = Dataset(pristine)
    index = int(data.indices[3])
    (image,) = split_pack(make_pack(PackTask(pristine, "parts", (index,), 36)))
    found = values(image, (32, 36), "parts")
    rows, columns = sampled(64, 32), sampled(72, 36)
    assert np.array_equal(found, data.parts(index)[np.ix_(rows, columns)])


def test_an_image_that_cannot_be_read_is_missing(dataset: Path) -> None:
    indices = tuple(int(i) for i in Dataset(dataset).indices[:3])
    (dataset / "rgb" / f"{indices[1]:06d}.png").write_bytes(b"no image")
    images = split_pack(make_pack(PackTask(dataset, "rgb", indices, 512)))
    assert [image.box[2] == MISSING for image in images] == [False, True, False]
    assert images[1].data == b""


def test_every_kind_of_image_is_known() -> None:
    from satgen.dataset import IMAGES, OPTIONAL_IMAGES

    assert set(IMAGES) <= set(KINDS) <= {*IMAGES, *OPTIONAL_IMAGES}
