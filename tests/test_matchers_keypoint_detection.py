"""matchers.features.keypoint_detection: against scipy, kornia and peaks at known places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.geometry.subpix import nms2d
from scipy import ndimage
from transformers.models.superpoint.modeling_superpoint import simple_nms

from matchers.features import keypoint_detection as detection

torch.set_num_threads(1)
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=60)
@given(SIZES, st.integers(0, 6), st.integers(0, 10**6))
def test_window_max_is_scipys_filter(size: tuple[int, int], radius: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=size)
    reference = ndimage.maximum_filter(values, 2 * radius + 1, mode="constant", cval=-np.inf)
    assert np.array_equal(detection.window_max(torch.from_numpy(values), radius), reference)
    flags = (values > 0.7).astype(np.uint8)
    reference = ndimage.maximum_filter(flags, 2 * radius + 1, mode="constant")
    assert np.array_equal(detection.window_max(torch.from_numpy(flags), radius), reference)


@pytest.mark.parametrize("radius", [1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_suppression_is_the_references(radius: int, seed: int) -> None:
    scores = torch.rand(60, 71, generator=torch.Generator().manual_seed(seed)) + 0.01
    smooth = torch.from_numpy(ndimage.gaussian_filter(scores.numpy(), 1.5))
    for values in (scores, smooth):
        theirs = simple_nms(values[None], radius)[0] > 0
        assert torch.equal(detection.local_maxima(values, radius), theirs)
        strict = nms2d(values[None, None], (2 * radius + 1,) * 2, mask_only=True)[0, 0]
        inner = (slice(radius, -radius),) * 2  # kornia pads with zeros
        assert torch.equal(detection.local_maxima(values, radius, 0)[inner], strict[inner])


def test_many_rounds_are_greedy_suppression() -> None:
    scores = torch.rand(20, 20, generator=torch.Generator().manual_seed(1)) + 0.01
    left, greedy = scores.clone(), torch.zeros(20, 20, dtype=torch.bool)
    while left.max() > 0:
        row, column = divmod(int(left.argmax()), 20)
        greedy[row, column] = True
        left[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = 0
    assert torch.equal(detection.local_maxima(scores, 2, 20), greedy)


def test_flat_regions_have_no_maxima() -> None:
    scores = torch.full((12, 12), 0.3)
    assert not detection.local_maxima(scores, 2).any()
    scores[6, 6] = 0.4
    assert detection.local_maxima(scores, 2).nonzero().tolist() == [[6, 6]]


@pytest.mark.parametrize("size", [(9, 11), (4, 4), (3, 9), (1, 1)])
def test_border(size: tuple[int, int]) -> None:
    kept = detection.without_border(torch.ones(size, dtype=torch.bool), 2)
    rows, columns = np.mgrid[: size[0], : size[1]]
    inner = (rows >= 2) & (rows < size[0] - 2) & (columns >= 2) & (columns < size[1] - 2)
    assert np.array_equal(kept, inner)
    assert detection.without_border(torch.ones(3, 3, dtype=torch.bool), 0).all()


@settings(max_examples=30)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_soft_argmax_finds_peaks_between_pixels(dx: float, dy: float) -> None:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(20.0), indexing="ij")
    scores = torch.exp(-((x - 11 - dx) ** 2 + (y - 6 - dy) ** 2) / 2)
    place = detection.soft_argmax(scores, torch.tensor([[11, 6]]), 2)
    assert (place - torch.tensor([11 + dx, 6 + dy])).abs().max() < 0.2  # drawn to the pixel
    mirrored = detection.soft_argmax(scores.flip(1), torch.tensor([[8, 6]]), 2)
    torch.testing.assert_close(19 - mirrored[:, 0], place[:, 0], atol=1e-4, rtol=0)
    across = detection.soft_argmax(scores.T, torch.tensor([[6, 11]]), 2)
    torch.testing.assert_close(across.flip(1), place, atol=1e-4, rtol=0)


def test_scores_between_pixels_are_bilinear() -> None:
    rng = np.random.default_rng(0)
    scores, points = rng.random((7, 9)), rng.uniform(0, 6, (30, 2))
    reference = ndimage.map_coordinates(scores, points.T[::-1], order=1)
    ours = detection.sample(torch.from_numpy(scores), torch.from_numpy(points))
    np.testing.assert_allclose(ours, reference, atol=1e-12)


def test_best_first_keeps_the_order_of_equals() -> None:
    scores = torch.tensor([0.5, 0.9, 0.5, 0.1, 0.9])
    assert detection.best_first(scores).tolist() == [1, 4, 0, 2, 3]
    assert detection.best_first(scores, 3).tolist() == [1, 4, 0]
    assert detection.best_first(scores[:0], 3).tolist() == []


def test_maps_of_a_batch_are_each_as_alone() -> None:
    scores = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0)) + 0.01
    kept = detection.without_border(detection.local_maxima(scores, 2), 2)
    of, down, across = kept.nonzero().unbind(1)
    pixels = torch.stack((across, down), 1)
    points = detection.soft_argmax(scores, pixels, 2, of=of)
    values = detection.sample(scores, points, of)
    for i, alone in enumerate(scores):
        assert torch.equal(kept[i], detection.without_border(detection.local_maxima(alone, 2), 2))
        mine = of == i
        assert mine.sum() == detection.counts_of(of, 3)[i]
        expected = detection.soft_argmax(alone, pixels[mine], 2)
        torch.testing.assert_close(points[mine], expected)
        torch.testing.assert_close(values[mine], detection.sample(alone, expected))


def test_the_best_of_each_come_first_among_their_own() -> None:
    scores, of = torch.tensor([1.0, 3.0, 1.0, 2.0, 3.0]), torch.tensor([1, 0, 1, 1, 0])
    assert detection.best_first_of_each(scores, of).tolist() == [1, 4, 3, 0, 2]
