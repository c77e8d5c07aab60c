"""matchers.images: files, arrays and tensors to pixels; masks, boxes and what does not fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from matchers import boxes, images
from satgen.errors import InputError
from tests.pictures import collage

COLOUR = collage(0, 12, 17)
SIXTEEN = (COLOUR[..., 0].astype(np.uint16) * 257) ^ 5


def expected(array: np.ndarray, top: float) -> torch.Tensor:
    planes = array if array.ndim == 3 else np.stack([array] * 3, 2)
    return torch.from_numpy((planes.transpose(2, 0, 1) / np.float64(top)).astype(np.float32))


@pytest.mark.parametrize(
    ("array", "mode", "top"),
    [(COLOUR, None, 255), (COLOUR[..., 1], None, 255), (SIXTEEN, None, 65535)],
)
def test_files_of_8_and_16_bits(tmp_path: Path, array: np.ndarray, mode: str, top: float) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(array, mode).save(path)
    for name in (path, str(path)):
        torch.testing.assert_close(images.rgb(images.read(name)), expected(array, top))


@pytest.mark.parametrize("most", [255.0, np.inf, np.nan])
def test_a_file_of_floats_beyond_1_is_refused_by_its_name(tmp_path: Path, most: float) -> None:
    path = tmp_path / "floats.tif"
    Image.fromarray(np.array([[0.0, 1.0, 1.0005]], dtype=np.float32)).save(path)
    assert images.read(path).dtype == torch.float32
    Image.fromarray(np.array([[0.0, most]], dtype=np.float32)).save(path)
    with pytest.raises(InputError, match=rf"floats\.tif has values from .* to {most:g}"):
        images.read(path)


@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA", "CMYK", "I", "F"])
def test_other_files_are_what_pillow_makes_of_them(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(COLOUR).convert("L" if mode in ("LA", "1", "I", "F") else "RGB")
    picture = picture.convert(mode)
    path = tmp_path / "image.tiff"
    if mode in ("I", "F"):
        values = np.array(picture) * (257 if mode == "I" else 1 / 255)
        Image.fromarray(values.astype(np.int32 if mode == "I" else np.float32)).save(path)
        reference = expected(np.array(picture), 255)
    else:
        picture.save(path)
        reference = expected(np.array(picture.convert("L" if mode in ("1", "LA") else "RGB")), 255)
    torch.testing.assert_close(images.rgb(images.read(path)), reference)


def test_numpy_torch_and_files_are_one(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(COLOUR).save(path)
    reference = images.rgb(images.read(path))
    chw = torch.from_numpy(COLOUR.transpose(2, 0, 1).copy())
    alpha = np.dstack((COLOUR, COLOUR[..., 0]))
    unwritable = COLOUR.copy()
    unwritable.flags.writeable = False
    for image in (
        COLOUR,
        alpha,
        chw,
        chw / 255,
        (chw / 255).double(),
        COLOUR / 255,
        COLOUR[::-1, ::-1][::-1, ::-1],
        np.asfortranarray(COLOUR),
        unwritable,
        (COLOUR.astype(np.uint16) * 257).astype(">u2"),
    ):
        torch.testing.assert_close(images.rgb(images.read(image)), reference, atol=1e-6, rtol=0)
    grey = COLOUR[..., 0]
    for image in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None]):
        torch.testing.assert_close(images.rgb(images.read(image)), expected(grey, 255))


def test_luma_is_opencvs() -> None:
    reference = cv2.cvtColor(COLOUR, cv2.COLOR_RGB2GRAY)
    pixels = images.read(COLOUR)
    assert np.array_equal(images.gray8(pixels), reference)
    assert np.abs(images.gray(pixels)[0].numpy() * 255 - reference).max() < 0.6
    assert np.abs(images.gray8(pixels / 255).astype(int) - reference).max() <= 1
    assert np.array_equal(images.gray8(images.read(reference)), reference)
    assert np.array_equal(images.gray8(images.read(SIXTEEN)), (SIXTEEN / 257.0).round())


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nowhere.png", "no image at nowhere.png"),
        (np.zeros((2, 3, 5), np.uint8), r"shape \(2, 3, 5\)"),
        (np.zeros(7), r"shape \(7,\)"),
        (torch.zeros(5, 4, 4), r"shape \(5, 4, 4\)"),
        (torch.zeros(1, 3, 4, 4), r"shape \(1, 3, 4, 4\)"),
        (np.zeros((0, 4), np.uint8), "empty"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4), complex), "complex128"),
        (np.array([["a"]]), "<U1"),
        (torch.zeros(4, 4, dtype=torch.int32), "int32"),
        (3, "not <class 'int'>"),
    ],
)
def test_what_is_no_image(image: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        images.read(image)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((3, 3), np.nan), "NaN"),
        (np.full((3, 3), np.inf), "NaN or infinite"),
        (np.full((3, 3), 128.0), "span 128 to 128"),
        (np.array([[-0.5, 1.0]]), "span -0.5 to 1"),
    ],
)
def test_values_out_of_range(values: np.ndarray, message: str) -> None:
    for convert in (images.rgb, images.gray, images.gray8):
        with pytest.raises(InputError, match=message):
            convert(images.read(values))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    whole = tmp_path / "whole.png"
    Image.fromarray(collage(1, 64, 64)).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:400])
    for path in (text, cut, tmp_path):
        with pytest.raises(InputError, match="cannot read the image") as error:
            images.read(path)
        assert "\n" not in str(error.value) and path.name in str(error.value)


def test_no_file_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evil.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")

    def started(*words: object, **options: object) -> None:
        raise AssertionError(words)

    for name in ("Popen", "run", "call", "check_call"):
        monkeypatch.setattr(f"subprocess.{name}", started)
    for name in ("evil.png", "evil.eps"):
        path = path.rename(tmp_path / name)
        with pytest.raises(InputError, match="cannot read the image"):
            images.read(path)


def test_a_view_is_the_box_with_its_part_of_the_mask() -> None:
    mask = np.zeros((12, 17), bool)
    mask[4:6, 3:9] = True
    view = images.look(COLOUR, mask, (2, 3, 5, 6))
    assert np.array_equal(view.pixels.permute(1, 2, 0), COLOUR[3:9, 2:7])
    assert view.image_size == (17, 12) and view.box == (2, 3, 5, 6)
    assert view.wanted == (1, 1, 4, 2)
    points = torch.tensor([[1.0, 1.0], [0.49, 1.0], [0.51, 1.49], [4.4, 2.4], [3.0, 2.6]])
    assert view.admits(points).tolist() == [True, False, True, True, False]


def test_nothing_wanted() -> None:
    assert images.look(COLOUR, np.zeros((12, 17), bool)).wanted is None
    assert images.look(COLOUR, box=(4, 4, 0, 3)).wanted is None
    assert images.look(COLOUR, np.ones((12, 17), bool), (17, 12, 0, 0)).wanted is None


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 18, 12), r"\(0, 0, 18, 12\) leaves the image of 17 × 12"),
        ((-1, 0, 3, 3), "leaves the image"),
        ((0, 0, -1, 3), "width and height from 0"),
        ((0.5, 0, 1, 3), "whole pixels"),
        ((0, 0, 3), r"\(x, y, width, height\) is expected"),
        ("none", "is expected"),
        ((0, 0, float("nan"), 2), "is expected"),
    ],
)
def test_boxes_that_do_not_fit(box: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        images.look(COLOUR, box=box)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((17, 12), bool), r"shape \(17, 12\): the image's, \(12, 17\)"),
        (np.ones((12, 17), np.uint8), "uint8: bool"),
    ],
)
def test_masks_that_do_not_fit(mask: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        images.look(COLOUR, mask)


@given(st.data())
def test_a_grown_box_holds_the_box_and_its_margin(data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(1, 200), st.integers(1, 200)))
    x, y = (data.draw(st.integers(0, side - 1)) for side in size)
    w, h = data.draw(st.integers(1, size[0] - x)), data.draw(st.integers(1, size[1] - y))
    margin, step = data.draw(st.integers(0, 70)), data.draw(st.sampled_from([1, 8, 32]))
    box = boxes.grown((x, y, w, h), size, margin, step)
    for axis, (start, length) in enumerate(((x, w), (y, h))):
        first, last = box[axis], box[axis] + box[axis + 2]
        assert first % step == 0 and (last % step == 0 or last == size[axis])
        assert 0 <= first <= max(start - margin, 0) and first > start - margin - step
        assert min(start + length + margin, size[axis]) <= last <= size[axis]


@given(st.data())
def test_a_scaled_box_holds_every_scaled_pixel(data: st.DataObject) -> None:
    side, ratio = data.draw(st.integers(4, 60)), data.draw(st.floats(0.3, 3))
    long = max(1, round(side * ratio))
    scale = long / side
    start = data.draw(st.integers(0, side - 1))
    length = data.draw(st.integers(1, side - start))
    x, _, w, _ = boxes.scaled([(start, 0, length, side)], (scale, 1.0), (long, side))
    assert x >= 0 and x + w <= long
    for place in range(long):
        pixel = np.floor((place + 0.5) / scale)
        assert not start <= pixel < start + length or x <= place < x + w


@given(st.integers(0, 900), st.integers(0, 900), st.integers(1, 900), st.integers(1, 900))
def test_tiles_hold_every_pixel_once(x: int, y: int, w: int, h: int) -> None:
    seen = np.zeros((1800, 1800), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "WHOLE", 1 << 16)
        patch.setattr(boxes, "TILE", 192)
        found = boxes.tiles((x, y, w, h))
    for left, top, width, height in found:
        seen[top : top + height, left : left + width] += 1
        assert width * height <= 1 << 16
    assert (seen[y : y + h, x : x + w] == 1).all() and seen.sum() == w * h
    assert len(found) == 1 or w * h > 1 << 16


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("grey", [False, True])
def test_images_that_go_to_a_gpu_together_are_the_same(
    monkeypatch: pytest.MonkeyPatch, dtype: type, grey: bool
) -> None:
    """They are sent in one piece and converted there; here the way to it is left out."""
    rng = np.random.default_rng(0)
    shape = (7, 9) if grey else (7, 9, 3)
    full = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    views = [images.look((rng.random(shape) * full).astype(dtype)) for _ in range(3)]
    views = [images.look(views[0].pixels, box=(2, 1, 5, 4)), *views[1:]]
    views = [images.look(view.pixels, box=(0, 0, 5, 4)) for view in views]
    monkeypatch.setattr(images, "_moved", lambda values, device: values)
    gpu: Any = SimpleNamespace(type="cuda")
    for convert in (images.rgb, images.gray):
        apart = images.frames(views, convert, torch.device("cpu"))
        assert apart.shape == (3, 3 if convert is images.rgb else 1, 4, 5)
        assert torch.equal(images.frames(views, convert, gpu), apart)
