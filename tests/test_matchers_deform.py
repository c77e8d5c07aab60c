"""matchers.features.deform and .sampling: against loops in float64 and grid_sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.feature.aliked import deform_conv2d as kornia_deform_conv2d
from torch.nn import functional

from matchers.features import deform, sampling

torch.set_num_threads(1)


def by_hand(x: np.ndarray, offset: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Deformable convolution of one (C, H, W) map, sample by sample, in float64."""
    channels, height, width = x.shape
    k = weight.shape[2]
    out = np.zeros((len(weight), height, width))
    for row in range(height):
        for column in range(width):
            for tap in range(k * k):
                v = row + tap // k - k // 2 + offset[2 * tap, row, column]
                u = column + tap % k - k // 2 + offset[2 * tap + 1, row, column]
                sample = np.zeros(channels)
                for j in (int(np.floor(v)), int(np.floor(v)) + 1):
                    for i in (int(np.floor(u)), int(np.floor(u)) + 1):
                        if 0 <= j < height and 0 <= i < width:
                            sample += (1 - abs(v - j)) * (1 - abs(u - i)) * x[:, j, i]
                out[:, row, column] += weight[:, :, tap // k, tap % k] @ sample
    return out + bias[:, None, None]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("reach", [0.0, 0.8, 9.0])
def test_against_a_loop(kernel: int, reach: float) -> None:
    rng = np.random.default_rng(kernel)
    x, weight, bias = (rng.normal(size=s) for s in ((3, 6, 7), (4, 3, kernel, kernel), 4))
    offset = rng.uniform(-reach, reach, (2 * kernel**2, 6, 7))
    offset[:, 2, 3] = offset[:, 2, 3].round()  # whole pixels
    ours = deform.deform_conv2d(
        *(torch.from_numpy(value)[None] for value in (x, offset)),
        torch.from_numpy(weight),
        torch.from_numpy(bias),
    )
    np.testing.assert_allclose(ours[0], by_hand(x, offset, weight, bias), atol=1e-12)


def test_without_offsets_it_is_a_convolution() -> None:
    x, weight = torch.randn(2, 5, 9, 8), torch.randn(4, 5, 3, 3)
    ours = deform.deform_conv2d(x, torch.zeros(2, 18, 9, 8), weight)
    torch.testing.assert_close(ours, functional.conv2d(x, weight, padding=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("chunk", [1, 200, 1 << 22])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_chunks_and_memory_formats(
    chunk: int, memory: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deform, "_CHUNK", chunk)
    torch.manual_seed(0)
    x, offset = torch.randn(2, 4, 7, 6), torch.randn(2, 18, 7, 6) * 3
    weight = torch.randn(3, 4, 3, 3)
    expected = kornia_deform_conv2d(x, offset, weight, padding=1)
    ours = deform.deform_conv2d(x.to(memory_format=memory), offset, weight)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6))
def test_samples_are_grid_samples(width: int, height: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(height * width, 3, generator=generator, dtype=torch.float64)
    points = torch.rand(20, 2, generator=generator, dtype=torch.float64) * 10 - 2
    points[:4] = points[:4].round()
    size = torch.tensor([width, height], dtype=torch.float64)
    grid = ((points + 0.5) / size * 2 - 1)[None, None]
    image = table.view(1, height, width, 3).permute(0, 3, 1, 2)
    expected = functional.grid_sample(image, grid, align_corners=False)[0, :, 0].T
    rows, weights = sampling.bilinear_taps(points[:, 0], points[:, 1], width, height)
    ours = sampling.weighted_rows(table, rows, weights)
    torch.testing.assert_close(ours, expected, atol=1e-9, rtol=0)


def test_other_devices_than_embedding_bags() -> None:
    table, rows, weights = torch.randn(9, 4), torch.randint(9, (7, 5)), torch.rand(7, 5)
    expected = sampling.weighted_rows(table, rows, weights)
    gathered = torch.stack(
        [
            sum(w * table[r] for w, r in zip(*pair, strict=True))
            for pair in zip(weights, rows, strict=True)
        ]
    )
    torch.testing.assert_close(expected, gathered)
    assert sampling.weighted_rows(table, rows[:0], weights[:0]).shape == (0, 4)
    half = sampling.weighted_rows(table.half(), rows, weights)
    assert half.dtype == torch.float16
