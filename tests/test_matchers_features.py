"""What every extractor keeps to: masks, boxes, forms of images, nothing to find."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from matchers import weights
from matchers.features.aliked import ALIKED, ALIKEDConfig
from matchers.features.sift import SIFT, SIFTConfig
from matchers.features.superpoint import SuperPoint, SuperPointConfig
from matchers.types import Extractor, Features, batch
from satgen.errors import InputError
from tests.pictures import collage

torch.set_num_threads(1)
IMAGE = collage(8, 110, 150)


def aliked() -> Extractor:
    network = ALIKED(ALIKEDConfig("aliked-t16", 200, 0.05))
    network.load_state_dict(weights.load(weights.official("aliked-t16")))
    return network


def superpoint() -> Extractor:
    torch.manual_seed(0)
    return SuperPoint(SuperPointConfig(200, 0.0))


@cache
def make(which: Callable[[], Extractor]) -> Extractor:
    return which()


def sift() -> Extractor:
    return SIFT(SIFTConfig(200))


every = pytest.mark.parametrize("which", [sift, aliked, superpoint])
SIZES = {sift: 128, aliked: 64, superpoint: 256}


def assert_equal(a: Features, b: Features) -> None:
    for name in ("keypoints", "scores", "descriptors", "image_size", "scales", "orientations"):
        one, other = getattr(a, name), getattr(b, name)
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


@every
def test_the_form_of_features(which: Callable[[], Extractor]) -> None:
    features = make(which)(IMAGE)
    assert 0 < len(features) <= 200 and features.mask is None
    assert features.keypoints.shape == (len(features), 2)
    assert features.descriptors.shape == (len(features), SIZES[which])
    assert features.image_size.tolist() == [150, 110]
    for name in ("keypoints", "scores", "descriptors", "image_size", "scales", "orientations"):
        value = getattr(features, name)
        assert value is None or (value.dtype == torch.float32 and value.isfinite().all())
    assert (features.keypoints >= -0.5).all()
    assert (features.keypoints <= features.image_size - 0.5).all()
    lengths = features.descriptors.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=1e-5, rtol=0)
    assert (features.scores.diff() <= 0).all()


@every
def test_every_form_of_an_image_gives_the_same(
    which: Callable[[], Extractor], tmp_path: Path
) -> None:
    extract = make(which)
    path = tmp_path / "image.png"
    Image.fromarray(IMAGE).save(path)
    expected = extract(IMAGE)
    chw = torch.from_numpy(IMAGE.transpose(2, 0, 1).copy())
    for image in (str(path), chw, chw.float() / 255):
        assert_equal(extract(image), expected)


@every
def test_twice_is_the_same(which: Callable[[], Extractor]) -> None:
    assert_equal(make(which)(IMAGE), make(which)(IMAGE))


@every
def test_nothing_wanted_gives_no_keypoints(which: Callable[[], Extractor]) -> None:
    extract = make(which)
    mask = np.zeros(IMAGE.shape[:2], bool)
    half = mask.copy()
    half[:, 75:] = True
    for features in (
        extract(IMAGE, mask=mask),
        extract(IMAGE, box=(3, 4, 0, 0)),
        extract(IMAGE, mask=half, box=(0, 0, 75, 110)),
    ):
        assert features.keypoints.shape == (0, 2) and features.scores.shape == (0,)
        assert features.descriptors.shape == (0, SIZES[which])
        assert features.image_size.tolist() == [150, 110]
        assert (features.scales is None) == (which is not sift)
    found = extract(IMAGE)
    together = batch([extract(IMAGE, mask=mask), found])
    assert together.mask is not None and together.mask.sum(1).tolist() == [0, len(found)]
    for name in ("keypoints", "scores", "descriptors"):
        assert torch.equal(getattr(together, name)[1][together.mask[1]], getattr(found, name))


@every
@settings(max_examples=15)
@given(st.data())
def test_keypoints_lie_in_mask_and_box(which: Callable[[], Extractor], data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, 140)), data.draw(st.integers(0, 100))
    w, h = data.draw(st.integers(1, 150 - x)), data.draw(st.integers(1, 110 - y))
    seed = data.draw(st.integers(0, 10**6))
    mask = np.random.default_rng(seed).random((11, 15)).repeat(10, 0).repeat(10, 1) < 0.4
    features = make(which)(IMAGE, mask=mask, box=(x, y, w, h))
    pixel = (features.keypoints + 0.5).floor().long()
    assert ((pixel >= torch.tensor([x, y])) & (pixel < torch.tensor([x + w, y + h]))).all()
    assert mask[pixel[:, 1], pixel[:, 0]].all()


@every
def test_what_lies_outside_a_box_is_not_looked_at(which: Callable[[], Extractor]) -> None:
    other = collage(9, 110, 150)
    other[20:90, 30:130] = IMAGE[20:90, 30:130]
    box = (30, 20, 100, 70)
    assert_equal(make(which)(IMAGE, box=box), make(which)(other, box=box))
    broken = IMAGE / 255
    broken[0, 0] = np.nan
    assert len(make(which)(broken, box=box)) > 0


@every
def test_bad_input_is_one_line(which: Callable[[], Extractor]) -> None:
    for image, mask, box in (
        ("nowhere.png", None, None),
        (np.full((40, 40), np.nan), None, None),
        (IMAGE, np.ones((3, 3), bool), None),
        (IMAGE, None, (0, 0, 1000, 5)),
    ):
        with pytest.raises(InputError) as error:
            make(which)(image, mask=mask, box=box)
        assert "\n" not in str(error.value)
