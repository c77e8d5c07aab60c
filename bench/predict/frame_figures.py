"""How well forecast frames are, by horizon.

Of every forecast frame, values in 0…1:

- `psnr`: 10 log10(1 / mean squared error), over all pixels and channels; at most 100 dB.
- `psnr_silhouette`: over the union of the true silhouette, where the renderer saw a part, lit or
  not, and of the forecast pixels that are brighter than the background by
  `frame_protocols.BACKGROUND`. The background is easy: of an empty frame most pixels are right.
- `psnr_target`: over the true silhouette alone, which no forecast can make larger.
- `ssim`: Wang et al. 2004 as in scikit-image with data_range 1: Gaussian weights of 1.5 pixels cut
  off at 5, covariance of the population, K1 0.01, K2 0.03; the mean without a border of 5 pixels,
  over channels. `ssim_silhouette`: the mean of the map over that union.
- `iou`: of the true silhouette and that which the model says, as a renderer can; for others, the
  bright pixels. `iou_bright`: bright pixels of both, the same rule for every model: a dark side
  counts for nothing.
- `mae`, `mse`: means. `mae_sum`, `mse_sum`: OpenSTL's convention, sums over channels and pixels,
  which grow with the size of the frame.

Figures of many windows are the means of theirs, as usual; those of PSNR are means of decibels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.predict.frame_protocols import FrameBatch
from bench.predict.frame_types import FrameForecast
from satgen.geometry import Bools, Floats

Columns = dict[str, Any]
Row = dict[str, Any]

FIGURES = (
    *("psnr", "psnr_silhouette", "psnr_target", "ssim", "ssim_silhouette"),
    *("iou", "iou_bright", "mae", "mse", "mae_sum", "mse_sum"),
)
"""Names of the figures, in the order of a table."""

BEST_DB = 100.0
"""PSNR of a frame that is right to the last bit."""

_SIGMA, _TRUNCATE, _BORDER = 1.5, 3.5, 5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(mse: Any) -> Floats:
    """Decibels of mean squared errors of values in 0…1, at most `BEST_DB`."""
    least = 10.0 ** (-BEST_DB / 10.0)
    return np.asarray(-10.0 * np.log10(np.maximum(np.asarray(mse, dtype=np.float64), least)))


def ssim_map(found: NDArray[Any], wanted: NDArray[Any]) -> Floats:
    """SSIM (..., H, W) at every pixel of images (..., H, W) of values in 0…1."""
    from scipy.ndimage import gaussian_filter

    x, y = np.asarray(found, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    sigma = (*([0.0] * (x.ndim - 2)), _SIGMA, _SIGMA)

    def blurred(values: Floats) -> Floats:
        return np.asarray(gaussian_filter(values, sigma, truncate=_TRUNCATE, mode="reflect"))

    mean_x, mean_y = blurred(x), blurred(y)
    var_x = blurred(x * x) - mean_x * mean_x
    var_y = blurred(y * y) - mean_y * mean_y
    both = blurred(x * y) - mean_x * mean_y
    above = (2.0 * mean_x * mean_y + _C1) * (2.0 * both + _C2)
    below = (mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2)
    return np.asarray(above / below)


def ssim(found: NDArray[Any], wanted: NDArray[Any]) -> Floats:
    """SSIM (...) of images (..., H, W), of a side of 11 at least."""
    inside = slice(_BORDER, -_BORDER)
    return np.asarray(ssim_map(found, wanted)[..., inside, inside].mean(axis=(-1, -2)))


def figures_of(forecast: FrameForecast, batch: FrameBatch) -> dict[str, Floats]:
    """Every figure (B, N) of a forecast."""
    found = forecast.frames.astype(np.float64)
    wanted = batch.truth.astype(np.float64)
    bright = found.mean(axis=2) > batch.threshold
    truly_bright = wanted.mean(axis=2) > batch.threshold
    truth = batch.silhouettes
    mine = bright if forecast.silhouettes is None else forecast.silhouettes
    union = truth | bright
    errors = found - wanted
    squares, sizes = errors**2, np.abs(errors)
    similar = ssim_map(found, wanted)
    inside = slice(_BORDER, -_BORDER)
    mse = squares.mean(axis=(2, 3, 4))
    return {
        "psnr": psnr(mse),
        "psnr_silhouette": psnr(_mean_in(squares.mean(axis=2), union)),
        "psnr_target": psnr(_mean_in(squares.mean(axis=2), truth)),
        "ssim": similar[..., inside, inside].mean(axis=(2, 3, 4)),
        "ssim_silhouette": _mean_in(similar.mean(axis=2), union, empty=1.0),
        "iou": _iou(truth, mine),
        "iou_bright": _iou(truly_bright, bright),
        "mae": sizes.mean(axis=(2, 3, 4)),
        "mse": mse,
        "mae_sum": sizes.sum(axis=(2, 3, 4)),
        "mse_sum": squares.sum(axis=(2, 3, 4)),
    }


def _mean_in(values: Floats, where: Bools, empty: float = 0.0) -> Floats:
    """Mean (B, N) of values (B, N, H, W) where a mask is set; `empty` where it is set nowhere."""
    count = where.sum(axis=(2, 3))
    total = (values * where).sum(axis=(2, 3))
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), empty))


def _iou(a: Bools, b: Bools) -> Floats:
    """Intersection over union (B, N); 1 where both are empty."""
    union = (a | b).sum(axis=(2, 3))
    both = (a & b).sum(axis=(2, 3))
    return np.asarray(np.where(union > 0, both / np.maximum(union, 1), 1.0))


def window_columns(
    model: str, source: str, noise_deg: float | None, batch: FrameBatch, figures: dict[str, Floats]
) -> Columns:
    """Columns of a table with a row a window and horizon.

    Args:
        model: its name.
        source: name of that of the poses; "" for a model that does not look at them.
        noise_deg: of the poses; None likewise, and where it is not known.
        batch: the windows.
        figures: from `figures_of`.
    """
    scene, horizons = batch.observed.scene, batch.observed.horizons
    count, ahead = len(batch.starts), len(horizons)
    total = count * ahead
    return {
        "model": np.full(total, model, dtype=object),
        "target": np.full(total, scene.data.name, dtype=object),
        "motion": np.full(total, scene.motion, dtype=object),
        "dataset": np.full(total, scene.name, dtype=object),
        "poses": np.full(total, source, dtype=object),
        "noise_deg": np.full(total, np.nan if noise_deg is None else noise_deg),
        "start": np.repeat(batch.starts, ahead),
        "horizon": np.tile(np.asarray(horizons, dtype=np.int64), count),
        "index": batch.observed.future_index.ravel(),
        **{name: figures[name].ravel() for name in FIGURES},
    }


def rows_of(columns: Columns, **more: Any) -> list[Row]:
    """A row for each model, source of poses, target, motion and horizon: means over its windows.

    Args:
        columns: from `window_columns`, of any models.
        more: what every row says beside.
    """
    noise = columns["noise_deg"]
    keys = list(
        zip(
            *(columns[name] for name in ("model", "target", "motion", "poses")),
            (None if np.isnan(value) else float(value) for value in noise),
            columns["horizon"].tolist(),
            strict=True,
        )
    )
    groups: dict[Any, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    rows = []
    for (model, target, motion, poses, noise_deg, horizon), places in groups.items():
        row: Row = {
            "model": str(model),
            "target": str(target),
            "motion": str(motion),
            "poses": str(poses) or None,
            "noise_deg": noise_deg,
            "horizon": int(horizon),
            "windows": len(places),
        }
        row |= {name: float(np.mean(columns[name][places])) for name in FIGURES}
        rows.append(row | more)
    return rows
