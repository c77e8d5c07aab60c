"""Windows to look at: the truth, and below it each forecast and what differs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.predict.frame_figures import figures_of
from bench.predict.frame_forecasts import source_key
from bench.predict.table import source_words
from satgen.geometry import Floats

if TYPE_CHECKING:
    import pandas as pd

    from bench.predict.frame_forecasts import FrameRunner
    from bench.predict.frame_protocols import FrameBatch

SIDE = 128
"""Pixels of a frame in a picture."""

GAP = 3
"""White pixels between frames."""

LABELS = 130
"""Pixels of the column that says what a row is."""

LINE = 18
"""Pixels of a line of text."""

SHOWN = "psnr_silhouette"
"""The figure by which windows are chosen, at the longest horizon."""

MARGIN = 0.15
"""Of the target's largest side, shown around it."""

BRIGHTEST = 0.95
"""The share of the target's pixels that are to be darker than white in a picture."""

_MOST_GAIN = 8.0


@dataclass(frozen=True)
class Shown:
    """A forecast to be shown: a name, frames (N, C, S, S) and its figure (N,) at each horizon."""

    name: str
    frames: NDArray[np.float32]
    figure: Floats


def strips(table: pd.DataFrame, runner: FrameRunner) -> str:
    """HTML: of every dataset the median window with all models, then the worst of each model.

    Args:
        table: of windows.
        runner: makes the forecasts again.
    """
    last = table[table["horizon"] == table["horizon"].max()]
    median, worst = [], []
    for name, mine in last.groupby("dataset", sort=False):
        dataset = str(name)
        middle = mine.groupby("start")[SHOWN].mean().sort_values(kind="stable")
        start = int(middle.index[(len(middle) - 1) // 2])
        batch, found = _forecasts(runner, dataset, start)
        median.append(_figure("median", f"{dataset}, from frame {start}", batch, found))
        for model, its in mine.groupby("model", sort=False):
            row = its.sort_values([SHOWN, "start"], kind="stable").iloc[0]
            start, words = int(row["start"]), source_words(row["poses"], row["noise_deg"])
            batch, found = _forecasts(runner, dataset, start, str(model))
            (one,) = (shown for shown in found if shown.name == _name(str(model), words))
            title = f"{one.name}: {dataset}, from frame {start}"
            worst.append(_figure("worst", title, batch, [one]))
    return "\n".join(
        [
            "<h2>Windows</h2>",
            '<p class="faint">The last frame that was seen and the truth, then each forecast with '
            "its PSNR in the silhouette, dB, and below it what differs. Pictures are cut to the "
            "target and brightened, each as a whole.</p>",
            "<h3>In the middle by PSNR in the silhouette at the longest horizon</h3>",
            *median,
            '<h3>The worst of each model</h3><p class="faint">A picture grows when it is '
            "clicked.</p>",
            f'<div class="gallery">{"".join(worst)}</div>',
        ]
    )


def _name(model: str, source: str) -> str:
    return f"{model}, {source}" if source else model


def _forecasts(
    runner: FrameRunner, dataset: str, start: int, model: str | None = None
) -> tuple[FrameBatch, list[Shown]]:
    """The window that starts there, and the forecasts of all models or of one."""
    windows = runner.windows
    (number,) = (n for n in windows.numbers(dataset) if windows.windows.spans[n, 1] == start)
    chosen = None if model is None else [model]
    evaluated = runner.forecasts(dataset, [number], chosen)
    found = []
    for one in evaluated:
        figure = figures_of(one.forecast, one.batch)[SHOWN][0]
        label = _name(one.model, source_words(*source_key(one.source)))
        found.append(Shown(label, one.forecast.frames[0], figure))
    return evaluated[0].batch, found


def _figure(kind: str, caption: str, batch: FrameBatch, forecasts: Sequence[Shown]) -> str:
    text = escape(caption)
    return (
        f'<figure data-kind="{kind}"><img loading="lazy" alt="{text}" '
        f'src="{_picture(batch, forecasts)}"><figcaption>{text}</figcaption></figure>'
    )


def _picture(batch: FrameBatch, forecasts: Sequence[Shown]) -> str:
    """A PNG, as a data URL, of the first window of a batch: a row of the truth, and for each
    forecast one of its frames and one of what differs."""
    from PIL import Image, ImageDraw, ImageFont

    truth, seen = batch.truth[0], batch.observed.frames[0, -1]
    bright = seen.mean(axis=0) > batch.threshold
    view = _View(batch.silhouettes[0].any(axis=0) | bright, truth, batch.silhouettes[0])
    wide, high = LABELS + (len(truth) + 1) * (SIDE + GAP), 1 + 2 * len(forecasts)
    picture = Image.new("RGB", (wide, LINE + high * (SIDE + GAP)), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)

    def put(row: int, column: int, frame: NDArray[Any], figure: str = "") -> None:
        at = (LABELS + column * (SIDE + GAP), LINE + row * (SIDE + GAP))
        picture.paste(view.tile(frame), at)
        draw.text(
            (at[0] + 5, at[1] + 3), figure, "white", font, stroke_width=2, stroke_fill="black"
        )

    def label(row: int, words: str) -> None:
        for number, line in enumerate(_lines(words)):
            at = (0, LINE + row * (SIDE + GAP) + number * LINE)
            draw.text(at, line, "black", font)

    heads = ["last seen", *(f"{ahead} ahead" for ahead in batch.observed.horizons)]
    for column, head in enumerate(heads):
        draw.text((LABELS + column * (SIDE + GAP), 0), head, "black", font)
    label(0, "truth")
    for column, frame in enumerate([seen, *truth]):
        put(0, column, frame)
    for number, shown in enumerate(forecasts):
        row = 1 + 2 * number
        label(row, shown.name)
        label(row + 1, "difference")
        for column in range(len(truth)):
            frame = shown.frames[column]
            put(row, column + 1, frame, f"{shown.figure[column]:.1f}")
            put(row + 1, column + 1, np.abs(frame - truth[column]))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _lines(words: str, most: int = 18) -> list[str]:
    """Words in lines that fit beside a picture: broken at blanks, and anywhere if need be."""
    found = [""]
    for word in words.split():
        if found[-1] and len(found[-1]) + 1 + len(word) > most:
            found.append("")
        found[-1] = f"{found[-1]} {word}".strip()
        while len(found[-1]) > most:
            found[-1:] = [found[-1][:most], found[-1][most:]]
    return found


class _View:
    """What pictures of a window show: a square about the target, brightened alike.

    Args:
        where: (S, S) where the target is in any frame.
        truth: (N, C, S, S) the frames.
        silhouettes: (N, S, S) where it is in each.
    """

    def __init__(
        self, where: NDArray[np.bool_], truth: NDArray[np.float32], silhouettes: NDArray[np.bool_]
    ) -> None:
        size = where.shape[-1]
        self._box, self._gain = (0, 0, size, size), 1.0
        rows, columns = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            ends = [(int(places[0]), int(places[-1]) + 1) for places in (rows, columns)]
            side = max(high - low for low, high in ends)
            side = min(size, round(side * (1.0 + 2.0 * MARGIN)))
            top, left = (min(max((low + high - side) // 2, 0), size - side) for low, high in ends)
            self._box = (left, top, left + side, top + side)
        levels = truth.mean(axis=1)[silhouettes]
        if len(levels):
            level = float(np.quantile(levels, BRIGHTEST))
            self._gain = min(max(1.0 / max(level, 1e-6), 1.0), _MOST_GAIN)

    def tile(self, frame: NDArray[Any]) -> Any:
        """A frame (C, S, S) of 0…1 as a picture."""
        from PIL import Image

        pixels = np.rint(255.0 * np.clip(self._gain * frame, 0.0, 1.0)).astype(np.uint8)
        flat = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
        image = Image.fromarray(flat).convert("RGB")
        return image.resize((SIDE, SIDE), Image.Resampling.BOX, box=self._box)
