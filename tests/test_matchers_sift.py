"""matchers.features.sift: against OpenCV asked directly, and blobs at known places."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from matchers.features.sift import SIFT, SIFTConfig
from satgen.errors import InputError
from tests.pictures import blobs, collage

IMAGE = collage(4, 180, 240)
GREY = cv2.cvtColor(IMAGE, cv2.COLOR_RGB2GRAY)


def opencv(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """OpenCV's (x, y, response, size, angle) and descriptors, strongest first, ties as it likes."""
    found, descriptors = cv2.SIFT_create(enable_precise_upscale=True).detectAndCompute(image, None)
    table = np.array([(*k.pt, k.response, k.size, k.angle) for k in found], np.float32)
    order = np.lexsort((*table[:, [4, 3, 0, 1]].T, -table[:, 2]))
    return table[order], descriptors[order]


def test_it_is_opencvs_with_root_descriptors() -> None:
    table, descriptors = opencv(GREY)
    ours = SIFT(SIFTConfig(max_keypoints=None))(IMAGE)
    assert len(ours) == len(table) > 100
    np.testing.assert_array_equal(ours.keypoints, table[:, :2])
    np.testing.assert_array_equal(ours.scores, table[:, 2])
    assert ours.scales is not None and ours.orientations is not None
    np.testing.assert_array_equal(ours.scales, table[:, 3])
    np.testing.assert_allclose(ours.orientations, np.radians(table[:, 4]), rtol=1e-6)
    # the inner product of RootSIFT is the Hellinger kernel of SIFT, L1-normalised
    histograms = descriptors / descriptors.sum(1, keepdims=True)
    kernel = np.sqrt(histograms[:20, None] * histograms[None, :20]).sum(2)
    np.testing.assert_allclose(ours.descriptors[:20] @ ours.descriptors[:20].T, kernel, atol=1e-5)


def test_plain_descriptors_are_opencvs_of_unit_length() -> None:
    _, descriptors = opencv(GREY)
    ours = SIFT(SIFTConfig(max_keypoints=None, root=False))(GREY)
    expected = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    np.testing.assert_allclose(ours.descriptors, expected, atol=1e-6)


@pytest.mark.parametrize("limit", [1, 37, 10**6])
def test_the_strongest_are_kept(limit: int) -> None:
    everything = SIFT(SIFTConfig(max_keypoints=None))(IMAGE)
    best = SIFT(SIFTConfig(max_keypoints=limit))(IMAGE)
    assert len(best) == min(limit, len(everything))
    assert torch.equal(best.keypoints, everything.keypoints[:limit])
    assert torch.equal(best.descriptors, everything.descriptors[:limit])
    assert (best.scores.diff() <= 0).all()


@pytest.mark.parametrize("sigma", [1.5, 2.5, 4.0])
def test_pixels_count_from_the_first_ones_centre(sigma: float) -> None:
    """OpenCV's default would be off by a quarter of a pixel."""
    rng = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(np.arange(40, 300, 60), np.arange(40, 300, 60)), 2)
    centres = centres.reshape(-1, 2) + rng.uniform(-0.5, 0.5, (25, 2))
    found = SIFT()(blobs(centres, sigma, 320, 320))
    distance, nearest = torch.cdist(torch.from_numpy(centres), found.keypoints.double()).min(1)
    assert distance.max() < 0.1
    offset = found.keypoints[nearest].numpy() - centres
    assert np.abs(offset.mean(0)).max() < 0.015
    # a blob's scale is its sigma √2 (Lindeberg); the diameter is twice that at OpenCV's sampling
    assert found.scales is not None
    assert 0.6 < float(found.scales[nearest].median()) / (2 * np.sqrt(2) * sigma) < 1.4


def test_orientations_turn_from_right_to_down() -> None:
    """Brightness rising to the lower right, 30° below the horizontal, around a blob."""
    y, x = np.mgrid[:129, :129] - 64.0
    ramp = 0.45 * (x * np.cos(np.pi / 6) + y * np.sin(np.pi / 6))
    image = 120 + ramp + 60 * np.exp(-(x**2 + y**2) / 18)
    found = SIFT(SIFTConfig(sigma=1.6))(image.round().clip(0, 255).astype(np.uint8))
    assert found.orientations is not None
    near = (found.keypoints - 64).norm(dim=1) < 2
    assert near.any()
    turn = torch.remainder(found.orientations[near] - np.pi / 6 + np.pi, 2 * np.pi) - np.pi
    assert turn.abs().min() < np.radians(12)


def test_orientations_follow_a_quarter_turn() -> None:
    before, after = SIFT()(GREY), SIFT()(np.rot90(GREY, -1).copy())
    place = torch.stack((179 - before.keypoints[:, 1], before.keypoints[:, 0]), 1)
    distance, match = torch.cdist(place.double(), after.keypoints.double()).min(1)
    assert before.orientations is not None and after.orientations is not None
    turn = after.orientations[match] - before.orientations - np.pi / 2
    turn = torch.remainder(turn + np.pi, 2 * np.pi) - np.pi
    agree = (distance < 0.2) & (turn.abs() < 0.05)
    assert agree.float().mean() > 0.7


def test_masked_features_are_those_of_the_whole_image() -> None:
    image = collage(6, 300, 400)
    mask = np.zeros((300, 400), bool)
    mask[130:170, 200:260] = True
    whole, masked = (SIFT(SIFTConfig(max_keypoints=None))(image, mask=m) for m in (None, mask))
    pixel = (whole.keypoints + 0.5).floor().long()
    inside = whole.select(torch.from_numpy(mask)[pixel[:, 1], pixel[:, 0]])
    assert inside.scales is not None and masked.scales is not None
    small = inside.select(inside.scales < 12)
    distance = torch.cdist(small.keypoints.double(), masked.keypoints.double()).amin(1)
    assert len(small) > 10 and (distance < 0.05).float().mean() > 0.9
    pixel = (masked.keypoints + 0.5).floor().long()
    assert mask[pixel[:, 1], pixel[:, 0]].all()


def test_a_large_image_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    image = collage(6, 700, 900)
    mask = np.ones((700, 900), bool)
    mask[:, 850:] = False
    whole = SIFT()(image, mask=mask)
    monkeypatch.setattr("matchers.boxes.WHOLE", 1 << 16)
    monkeypatch.setattr("matchers.boxes.TILE", 320)
    tiled = SIFT()(image, mask=mask)
    assert len(tiled) == len(whole) == 1024
    assert (tiled.scores.diff() <= 0).all()
    distance, nearest = torch.cdist(tiled.keypoints, whole.keypoints).min(1)
    same = distance < 0.3  # OpenCV's octaves begin elsewhere where a side is odd
    assert same.float().mean() > 0.95
    assert (tiled.descriptors * whole.descriptors[nearest]).sum(1)[same].median() > 0.999
    table = torch.cat([tiled.keypoints, tiled.scales[:, None], tiled.orientations[:, None]], 1)  # type: ignore[index]
    assert len(table.unique(dim=0)) == len(table)


def test_the_strongest_inside_a_mask_are_kept() -> None:
    """OpenCV alone would count the strongest of the whole image, then mask."""
    mask = np.zeros(GREY.shape, bool)
    mask[:60, :80] = True
    all_inside = SIFT(SIFTConfig(max_keypoints=None))(IMAGE, mask=mask)
    best = SIFT(SIFTConfig(max_keypoints=5))(IMAGE, mask=mask)
    assert len(best) == 5 and torch.equal(best.keypoints, all_inside.keypoints[:5])


def test_a_box_is_the_image_cut_out() -> None:
    part, boxed = SIFT()(IMAGE[30:150, 41:200]), SIFT()(IMAGE, box=(41, 30, 159, 120))
    assert torch.equal(boxed.keypoints, part.keypoints + torch.tensor([41.0, 30.0]))
    assert torch.equal(boxed.descriptors, part.descriptors)
    assert boxed.image_size.tolist() == [240, 180]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_small_and_empty_images(size: int) -> None:
    for image in (np.zeros((size, 2 * size), np.uint8), collage(size, 2 * size, size)):
        features = SIFT()(image)
        assert features.descriptors.shape == (len(features), 128)
        assert features.keypoints.shape == (len(features), 2)
        assert features.scales is not None and len(features.scales) == len(features)


@pytest.mark.parametrize(
    "options",
    [
        {"max_keypoints": 0},
        {"octave_layers": 0},
        {"contrast_threshold": -1.0},
        {"edge_threshold": 0.0},
        {"sigma": float("nan")},
    ],
)
def test_settings_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        SIFTConfig(**options)  # type: ignore[arg-type]
