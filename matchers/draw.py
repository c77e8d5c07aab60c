"""Draws the matches of two images side by side.

Colours say how sure a match is, or whether it is true; LightGlue's pruned keypoints are coloured by
the layer after which they were dropped. Coordinates: see `matchers.types`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from matchers import images
from matchers.types import Features, Image, Matches

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

TRUTH: tuple[tuple[str, Colour], ...] = (
    ("correct", (70, 205, 105)),
    ("wrong", (240, 65, 60)),
    ("not known", (165, 170, 178)),
)
"""Word and colour of a match by the truth: 0, 1, 2, as `matchers.truth.rules.Verdict`."""

_PAPER: Colour = (24, 26, 30)
_INK: Colour = (225, 228, 232)
_FAINT: Colour = (125, 132, 142)
_HEIGHT = (720, 1440)  # pixels that an image is scaled to, up by whole numbers, down by any
_SHIFT = 4  # bits of OpenCV's sub-pixel coordinates


@dataclass(frozen=True)
class Style:
    """How a picture is drawn; lengths in pixels of the picture.

    Attributes:
        lines: draw a line from keypoint to keypoint, not only the keypoints.
        opacity: of lines, 0 … 1; less where they are many.
        width: of lines.
        radius: of matched keypoints; others are smaller.
        gap: between the images.
    """

    lines: bool = True
    opacity: float = 0.65
    width: int = 1
    radius: float = 3.0
    gap: int = 12


def draw_matches(
    image0: Image,
    image1: Image,
    features0: Features,
    features1: Features,
    matches: Matches,
    *,
    verdict: Any = None,
    caption: Sequence[str] = (),
    style: Style | None = None,
) -> Pillow.Image:
    """Two images side by side with their matches.

    Args:
        image0, image1: the images.
        features0, features1: their features, unbatched.
        matches: rows into these.
        verdict: (K,) integers, the truth about each match (see `TRUTH`): colours say this instead
            of the score.
        caption: lines of text to put below.
        style: how to draw.

    Returns:
        An RGB picture. Images under 720 pixels high are enlarged by a whole number, images over
        1440 reduced.

    Raises:
        InputError: an image cannot be read.
    """
    style = style or Style()
    pictures = [_eight_bit(image) for image in (image0, image1)]
    scale = _scale(max(picture.shape[0] for picture in pictures))
    pictures = [_resized(picture, scale) for picture in pictures]
    left = pictures[0].shape[1] + style.gap
    height = max(picture.shape[0] for picture in pictures)
    canvas: Pixels = np.empty((height, left + pictures[1].shape[1], 3), dtype=np.uint8)
    canvas[:] = _PAPER
    for picture, x in zip(pictures, (0, left), strict=True):
        canvas[: picture.shape[0], x : x + picture.shape[1]] = picture

    points = [_points(features, scale) for features in (features0, features1)]
    points[1] = points[1] + np.array([left, 0.0])
    layers = _layers(matches)
    _draw_unmatched(canvas, points, matches, layers, style)
    _draw_matched(canvas, points, matches, verdict, style)
    return _with_legend(canvas, matches, verdict, layers, caption)


def confidence_colours(scores: npt.ArrayLike) -> Pixels:
    """Colours (K, 3) of scores (K,) in [0, 1]: viridis without its darkest fifth."""
    return _ramp(cv2.COLORMAP_VIRIDIS, 0.2, 1.0, scores)


def layer_colours(places: npt.ArrayLike) -> Pixels:
    """Colours (K, 3) of the layers at which keypoints were pruned, from 0 (first) to 1 (last)."""
    return _ramp(cv2.COLORMAP_PLASMA, 0.25, 0.8, places)


def _ramp(colour_map: int, low: float, high: float, values: npt.ArrayLike) -> Pixels:
    """A section of a perceptually uniform colour map at values in [0, 1]."""
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], colour_map)[:, 0, ::-1]
    places = np.clip(np.nan_to_num(np.asarray(values, dtype=np.float64)), 0.0, 1.0)
    rows = np.rint(255 * (low + (high - low) * places)).astype(np.intp)
    return np.asarray(table[rows], dtype=np.uint8)


def _eight_bit(image: Image) -> Pixels:
    """An image as (H, W, 3) uint8."""
    values = images.rgb(images.read(image)).cpu().numpy()
    return np.ascontiguousarray(
        np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    )


def _scale(height: int) -> float:
    if height < _HEIGHT[0]:
        return float(min(8, -(-_HEIGHT[0] // height)))
    return min(1.0, _HEIGHT[1] / height)


def _resized(picture: Pixels, scale: float) -> Pixels:
    if scale == 1.0:
        return picture
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    method = cv2.INTER_CUBIC if scale > 1.0 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, size, interpolation=method), dtype=np.uint8)


def _points(features: Features, scale: float) -> npt.NDArray[np.float64]:
    """Keypoints (N, 2) in the picture, pixel centres scaled about the corner of the image."""
    keypoints = features.keypoints.detach().cpu().numpy().astype(np.float64)
    return np.asarray((keypoints + 0.5) * scale - 0.5)


def _layers(matches: Matches) -> list[npt.NDArray[np.int64]] | None:
    """The layer after which each keypoint of either image was pruned, 0 if it was not."""
    adaptation = matches.adaptation
    if adaptation is None:
        return None
    found = []
    for layers in (adaptation.layers0, adaptation.layers1):
        taken = layers.cpu().numpy().astype(np.int64)
        found.append(np.where(taken < adaptation.stop_layer, taken, 0))
    return found


def _draw_unmatched(
    canvas: Pixels,
    points: list[npt.NDArray[np.float64]],
    matches: Matches,
    layers: list[npt.NDArray[np.int64]] | None,
    style: Style,
) -> None:
    """Keypoints without a match: rings; discs in the layer's colour where they were pruned."""
    rows = matches.indices.cpu().numpy()
    small = 0.75 * style.radius
    for side in (0, 1):
        alone = np.ones(len(points[side]), dtype=bool)
        alone[rows[:, side]] = False
        pruned = np.zeros(len(alone), dtype=np.int64) if layers is None else layers[side]
        for point in points[side][alone & (pruned == 0)]:
            _disc(canvas, point, small, _FAINT, small - 1.0)
        dropped = np.flatnonzero(alone & (pruned > 0))
        last = 1 if matches.adaptation is None else matches.adaptation.num_layers - 1
        colours = layer_colours((pruned[dropped] - 1) / max(1, last - 1))
        for row, colour in zip(dropped, colours, strict=True):
            _disc(canvas, points[side][row], small, colour)


def _draw_matched(
    canvas: Pixels,
    points: list[npt.NDArray[np.float64]],
    matches: Matches,
    verdict: Any,
    style: Style,
) -> None:
    """Lines between matched keypoints and discs on them; what matters most is drawn last."""
    rows = matches.indices.cpu().numpy()
    scores = matches.scores.detach().cpu().numpy()
    if verdict is None:
        colours, order = confidence_colours(scores), np.argsort(scores, kind="stable")
    else:
        verdict = np.asarray(verdict)
        colours = np.array([colour for _, colour in TRUTH], dtype=np.uint8)[verdict]
        order = np.argsort(np.array([1, 2, 0])[verdict], kind="stable")  # wrong ones on top
    if style.lines and len(order):
        lines = canvas.copy()
        for k in order:
            first, second = (_fixed(points[side][rows[k, side]]) for side in (0, 1))
            cv2.line(lines, first, second, _rgb(colours[k]), style.width, cv2.LINE_AA, _SHIFT)
        opacity = style.opacity * float(np.clip((150 / len(order)) ** 0.5, 0.4, 1.0))
        cv2.addWeighted(lines, opacity, canvas, 1.0 - opacity, 0.0, dst=canvas)
    for k in order:
        for side in (0, 1):
            point = points[side][rows[k, side]]
            _disc(canvas, point, style.radius + 1.0, _PAPER)
            _disc(canvas, point, style.radius, colours[k])


def _disc(canvas: Pixels, point: Any, radius: float, colour: Any, hole: float = 0.0) -> None:
    """Paint a disc, or a ring around a hole of a radius, with smooth edges, at sub-pixels."""
    reach = math.ceil(radius) + 1
    u, v = (round(float(value)) for value in point)
    u0, v0 = max(0, u - reach), max(0, v - reach)
    patch = canvas[v0 : max(0, v + reach + 1), u0 : max(0, u + reach + 1)]
    rows, columns = np.ogrid[v0 : v0 + patch.shape[0], u0 : u0 + patch.shape[1]]
    distance = np.hypot(columns - float(point[0]), rows - float(point[1]))
    cover = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    if hole:
        cover *= np.clip(distance - hole + 0.5, 0.0, 1.0)
    patch[:] = np.rint(patch + cover[..., None] * (np.asarray(colour, dtype=np.float64) - patch))


def _fixed(point: Any) -> tuple[int, int]:
    """A point in OpenCV's fixed-point coordinates."""
    return round(float(point[0]) * (1 << _SHIFT)), round(float(point[1]) * (1 << _SHIFT))


def _rgb(colour: Any) -> Colour:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


def _with_legend(
    canvas: Pixels,
    matches: Matches,
    verdict: Any,
    layers: list[npt.NDArray[np.int64]] | None,
    caption: Sequence[str],
) -> Pillow.Image:
    """The picture with a strip below: what the colours mean, and the caption."""
    size = max(11, min(22, canvas.shape[1] // 70))
    font = ImageFont.load_default(size)
    line, margin = round(1.7 * size), size
    text = _wrapped(caption, font, canvas.shape[1] - 2 * margin)
    height = canvas.shape[0] + margin + line * (1 + len(text)) + margin // 2
    picture = Pillow.new("RGB", (canvas.shape[1], height), _PAPER)
    picture.paste(Pillow.fromarray(canvas), (0, 0))
    pen = _Pen(picture, font, size, margin, canvas.shape[0] + margin)
    if verdict is None:
        pen.ramp("confidence 0", confidence_colours(np.linspace(0, 1, 9 * size)), "1")
    else:
        counts = np.bincount(np.asarray(verdict, dtype=np.int64), minlength=len(TRUTH))
        for (word, colour), count in zip(TRUTH, counts, strict=True):
            pen.swatch(colour, f"{word} {count}")
    if layers is not None and any((side > 0).any() for side in layers):
        last = 0 if matches.adaptation is None else matches.adaptation.num_layers - 1
        colours = layer_colours(np.linspace(0, 1, 5 * size))
        pen.ramp("pruned after layer 1", colours, str(last))
    pen.ring("no match")
    for row, words in enumerate(text, start=1):
        pen.draw.text((margin, canvas.shape[0] + margin + row * line), words, _INK, font)
    return picture


def _wrapped(lines: Sequence[str], font: Any, width: float) -> list[str]:
    """Lines broken between words so that each fits a width."""
    out: list[str] = []
    for line in lines:
        current = ""
        for word in line.split(" "):
            longer = f"{current} {word}" if current else word
            if current and font.getlength(longer) > width:
                out.append(current)
                longer = word
            current = longer
        out.append(current)
    return out


class _Pen:
    """Writes a legend from left to right."""

    def __init__(self, picture: Pillow.Image, font: Any, size: int, x: int, y: int) -> None:
        self.picture, self.font, self.size, self.x, self.y = picture, font, size, x, y
        self.draw = ImageDraw.Draw(picture)

    def text(self, words: str) -> None:
        self.draw.text((self.x, self.y), words, _INK, self.font)
        self.x += round(self.font.getlength(words)) + self.size // 2

    def ramp(self, low: str, colours: Pixels, high: str) -> None:
        self.text(low)
        bar = np.repeat(colours[None], round(0.8 * self.size), axis=0)
        self.picture.paste(Pillow.fromarray(bar), (self.x, self.y + round(0.25 * self.size)))
        self.x += len(colours) + self.size // 2
        self.text(high)
        self.x += self.size

    def swatch(self, colour: Colour, words: str) -> None:
        top, side = self.y + round(0.25 * self.size), round(0.8 * self.size)
        self.draw.rectangle((self.x, top, self.x + side, top + side), fill=colour)
        self.x += side + self.size // 2
        self.text(words)
        self.x += self.size

    def ring(self, words: str) -> None:
        radius = 0.3 * self.size
        centre = (self.x + radius, self.y + 0.65 * self.size)
        box = [centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius]
        self.draw.ellipse(box, outline=_FAINT, width=max(1, self.size // 10))
        self.x += round(2 * radius) + self.size // 2
        self.text(words)
