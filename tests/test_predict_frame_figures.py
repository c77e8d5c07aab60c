"""bench.predict.frame_figures against scikit-image, torchmetrics, and by hand."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.predict.columns import join_columns
from bench.predict.frame_figures import (
    FIGURES,
    figures_of,
    psnr,
    rows_of,
    ssim,
    ssim_map,
)
from bench.predict.frame_types import FrameForecast


def pictures(seed: int, channels: int, side: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Two that resemble each other, (2, 3, C, S, S) float32, smooth and partly black."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((2, 3, channels, side // 4, side // 4))
    first = np.kron(coarse, np.ones((4, 4)))
    first[..., : side // 3, :] = 0.0
    second = np.clip(first + rng.normal(0.0, 0.1, first.shape), 0.0, 1.0)
    return first.astype(np.float32), second.astype(np.float32)


def batch(
    truth: np.ndarray, silhouettes: np.ndarray, threshold: float = 0.06
) -> types.SimpleNamespace:
    """As much of a FrameBatch as the figures look at."""
    return types.SimpleNamespace(truth=truth, silhouettes=silhouettes, threshold=threshold)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_scikit_images(channels: int) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    found, wanted = pictures(channels, channels)
    everywhere = np.ones((2, 3, 24, 24), bool)
    figures = figures_of(FrameForecast(found), batch(wanted, everywhere))
    for b, n in np.ndindex(2, 3):
        options = {
            "data_range": 1.0,
            "channel_axis": 0,
            "gaussian_weights": True,
            "use_sample_covariance": False,
            "sigma": 1.5,
        }
        one, other = found[b, n].astype(np.float64), wanted[b, n].astype(np.float64)
        mean, every = metrics.structural_similarity(one, other, full=True, **options)
        assert figures["ssim"][b, n] == pytest.approx(mean, abs=1e-12)
        assert ssim_map(one, other) == pytest.approx(every, abs=1e-12)
        decibels = metrics.peak_signal_noise_ratio(other, one, data_range=1.0)
        assert figures["psnr"][b, n] == pytest.approx(decibels, abs=1e-9)
        # Everything is silhouette here.
        assert figures["psnr_silhouette"][b, n] == pytest.approx(decibels, abs=1e-9)
        assert figures["ssim_silhouette"][b, n] == pytest.approx(every.mean(), abs=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_those_of_torchmetrics(channels: int) -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    found, wanted = pictures(7, channels)
    one, other = (torch.from_numpy(x).double().flatten(0, 1) for x in (found, wanted))
    _, theirs = functional.structural_similarity_index_measure(
        one, other, data_range=1.0, reduction="none", sigma=1.5, return_full_image=True
    )
    # It means over the border as well, which it fills in its own way: inside, both agree.
    inside = theirs.numpy()[..., 5:-5, 5:-5].mean(axis=(-1, -2))
    assert ssim(found, wanted).reshape(6, channels) == pytest.approx(inside, abs=1e-9)
    decibels = functional.peak_signal_noise_ratio(
        one, other, data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    figures = figures_of(FrameForecast(found), batch(wanted, np.ones((2, 3, 24, 24), bool)))
    assert figures["psnr"].ravel() == pytest.approx(decibels.numpy(), abs=1e-6)


def test_figures_by_hand() -> None:
    wanted = np.zeros((1, 1, 1, 12, 12), np.float32)
    wanted[..., 2:4, 2:6] = 0.5  # 8 bright pixels of a target of 10: two are in the dark
    silhouettes = np.zeros((1, 1, 12, 12), bool)
    silhouettes[..., 2:4, 1:6] = True
    found = np.zeros_like(wanted)
    found[..., 2:4, 4:8] = 0.25  # 8 pixels, 4 of them right
    figures = figures_of(FrameForecast(found), batch(wanted, silhouettes))
    got = {name: float(value[0, 0]) for name, value in figures.items()}
    squares = 4 * 0.25 + 4 * 0.0625 + 4 * 0.0625
    assert tuple(got) == FIGURES
    assert got["mse_sum"] == pytest.approx(squares) and got["mse"] == pytest.approx(squares / 144)
    assert got["mae_sum"] == pytest.approx(4.0) and got["mae"] == pytest.approx(4.0 / 144)
    assert got["psnr"] == pytest.approx(10 * np.log10(144 / squares))
    assert got["psnr_silhouette"] == pytest.approx(10 * np.log10(14 / squares))
    assert got["psnr_target"] == pytest.approx(10 * np.log10(10 / (squares - 0.25)))
    assert got["iou"] == pytest.approx(4 / 14) and got["iou_bright"] == pytest.approx(4 / 12)
    # A model that says where the target is, is taken at its word.
    told = figures_of(FrameForecast(found, silhouettes), batch(wanted, silhouettes))
    assert told["iou"][0, 0] == 1.0 and told["iou_bright"][0, 0] == pytest.approx(4 / 12)
    # The PSNR has one rule for all models.
    assert told["psnr_silhouette"][0, 0] == got["psnr_silhouette"]


def test_what_is_right_and_what_is_empty() -> None:
    wanted, _ = pictures(1, 1)
    none = np.zeros((2, 3, 24, 24), bool)
    right = figures_of(FrameForecast(wanted), batch(wanted, wanted[:, :, 0] > 0.06))
    for name, value in right.items():
        best = 100.0 if name.startswith("psnr") else float(name[:3] not in ("mse", "mae"))
        assert value == pytest.approx(np.full((2, 3), best)), name
    black = np.zeros_like(wanted)
    empty = figures_of(FrameForecast(black), batch(black, none))
    assert np.all(empty["iou"] == 1.0) and np.all(empty["psnr_silhouette"] == 100.0)


@given(st.integers(0, 2**31), st.floats(0.0, 0.5))
def test_laws(seed: int, size: float) -> None:
    found, wanted = pictures(seed, 1)
    assert ssim(found, wanted) == pytest.approx(ssim(wanted, found))
    assert np.all(ssim(found, wanted) <= 1.0 + 1e-12)
    worse = psnr(np.array([size, size + 0.01]))
    assert worse[0] > worse[1]
    # A larger background changes the PSNR of the frame, and not that in the silhouette.
    seen = np.ones((2, 3, 24, 24), bool)
    wide = [(0, 0), (0, 0), (0, 0), (12, 12), (12, 12)]
    padded = figures_of(
        FrameForecast(np.pad(found, wide), np.pad(seen, wide[:2] + wide[3:])),
        batch(np.pad(wanted, wide), np.pad(seen, wide[:2] + wide[3:])),
    )
    plain = figures_of(FrameForecast(found, seen), batch(wanted, seen))
    assert padded["psnr_silhouette"] == pytest.approx(plain["psnr_silhouette"])
    assert np.all(padded["psnr"] > plain["psnr"])
    assert padded["mse_sum"] == pytest.approx(plain["mse_sum"])


def test_rows_are_means_of_their_windows() -> None:
    def table(model: str, noise: float, values: list[float]) -> dict[str, np.ndarray]:
        count = len(values)
        columns = {
            "model": np.full(count, model, dtype=object),
            "target": np.full(count, "craft", dtype=object),
            "motion": np.full(count, "spiral", dtype=object),
            "poses": np.full(count, "" if np.isnan(noise) else "noisy", dtype=object),
            "noise_deg": np.full(count, noise),
            "horizon": np.arange(count) % 2 + 1,
        }
        return columns | {name: np.array(values) for name in FIGURES}

    parts = [table("last", np.nan, [1.0, 2.0, 3.0, 4.0]), table("render", 0.1, [5.0, 6.0])]
    parts.append(table("render", 0.5, [7.0, 8.0]))
    rows = rows_of(join_columns(parts), protocol="p")
    keys = [(r["model"], r["poses"], r["noise_deg"], r["horizon"], r["psnr"]) for r in rows]
    assert keys == [
        ("last", None, None, 1, 2.0),
        ("last", None, None, 2, 3.0),
        ("render", "noisy", 0.1, 1, 5.0),
        ("render", "noisy", 0.1, 2, 6.0),
        ("render", "noisy", 0.5, 1, 7.0),
        ("render", "noisy", 0.5, 2, 8.0),
    ]
    assert all(row["protocol"] == "p" and row["windows"] in (1, 2) for row in rows)
