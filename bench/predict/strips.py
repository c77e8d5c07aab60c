"""Windows to look at: truth and forecasts side by side, with what differs."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from bench.predict.frame_forecasts import FrameRunner

SIDE = 112
"""Pixels of a frame on the page."""

GAP = 3
"""White pixels between frames."""

SHOWN = "psnr_silhouette"
"""The figure by which windows are chosen, at the longest horizon."""


def strips(table: pd.DataFrame, runner: FrameRunner) -> str:
    """HTML: of every dataset the median window with all models, then the worst of each model.

    Args:
        table: of windows.
        runner: makes the forecasts again.
    """
    last = table[table["horizon"] == table["horizon"].max()]
    parts = [
        "<h2>Windows</h2>",
        '<p class="faint">Each strip: the truth at the horizons in order, the forecast, and how '
        "much they differ (white: by half of the range and more). The window is the one in the "
        "middle by PSNR in the silhouette at the longest horizon; below, each model's worst. A "
        "picture grows when it is clicked.</p>",
    ]
    median, worst = [], []
    for dataset, mine in last.groupby("dataset", sort=False):
        middle = mine.groupby("start")[SHOWN].mean().sort_values(kind="stable")
        start = int(middle.index[(len(middle) - 1) // 2])
        median += _figures(runner, str(dataset), start, None, "median")
        for model, its in mine.groupby("model", sort=False):
            row = its.sort_values([SHOWN, "start"]).iloc[0]
            worst += _figures(runner, str(dataset), int(row["start"]), str(model), "worst")
    for title, figures in (("A window in the middle", median), ("The worst windows", worst)):
        body = "\n".join(figures)
        parts.append(f'<h3>{title}</h3><div class="gallery">{body}</div>')
    return "\n".join(parts)


def _figures(
    runner: FrameRunner, dataset: str, start: int, model: str | None, kind: str
) -> list[str]:
    """A figure for each model, or for one, and source of poses; of the worst the first source."""
    windows = runner.windows
    (number,) = (n for n in windows.numbers(dataset) if windows.windows.spans[n, 1] == start)
    names = None if model is None else [model]
    found = []
    for one in runner.forecasts(dataset, [number], names):
        poses = "" if one.source is None else f", poses {_source(one.source)}"
        horizons = ", ".join(map(str, one.batch.observed.horizons))
        caption = f"{one.model}{poses}: {dataset}, from frame {start}; {horizons} ahead"
        image = _strip(one.batch.truth[0], one.forecast.frames[0])
        found.append(
            f'<figure data-kind="{kind}"><img loading="lazy" alt="{escape(caption)}" '
            f'src="{image}"><figcaption>{escape(caption)}</figcaption></figure>'
        )
        if kind == "worst":
            break
    return found


def _source(source: Any) -> str:
    return source.name if not source.noise_deg else f"{source.name} by {source.noise_deg:g}°"


def _strip(truth: NDArray[Any], forecast: NDArray[Any]) -> str:
    """A PNG of frames (N, C, S, S) in three rows, as a data URL."""
    from PIL import Image

    off = np.clip(2.0 * np.abs(truth - forecast), 0.0, 1.0)
    rows = [
        np.concatenate([_tile(frame) for frame in frames], axis=1)
        for frames in (truth, forecast, off)
    ]
    picture = Image.fromarray(np.concatenate(rows))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _tile(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """A frame (C, S, S) of 0…1 as a tile with a white border."""
    from PIL import Image

    pixels = np.rint(255.0 * np.clip(frame, 0.0, 1.0)).astype(np.uint8)
    flat = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
    image = Image.fromarray(flat).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    tile = np.full((SIDE + GAP, SIDE + GAP, 3), 255, dtype=np.uint8)
    tile[:SIDE, :SIDE] = np.asarray(image)
    return tile
