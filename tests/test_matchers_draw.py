"""matchers.draw: what a picture of matches shows, and where."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from matchers import draw
from matchers.types import Adaptation, Features, Matches
from satgen.errors import InputError


def points_at(*points: tuple[float, float]) -> Features:
    keypoints = torch.tensor(points, dtype=torch.float32).reshape(-1, 2)
    n = len(keypoints)
    return Features(keypoints, torch.ones(n), torch.ones(n, 4) / 2, torch.tensor([100.0, 80.0]))


def matched(*rows: tuple[int, int], scores: tuple[float, ...] | None = None) -> Matches:
    values = torch.ones(len(rows)) if scores is None else torch.tensor(scores)
    return Matches(torch.tensor(rows, dtype=torch.int64).reshape(-1, 2), values)


BLACK = np.zeros((80, 100, 3), dtype=np.uint8)
SCALE = 8  # an 80-pixel image is enlarged so often
LEFT = 100 * SCALE + draw.Style().gap


def pixel(picture, u: float, v: float, second: bool = False) -> tuple[int, ...]:
    """The picture's colour at a pixel of an image: the middle of the pixel's square."""
    x = int((u + 0.5) * SCALE) + (LEFT if second else 0)
    return picture.getpixel((x, int((v + 0.5) * SCALE)))


def test_keypoints_and_lines_are_where_they_belong() -> None:
    a, b = points_at((10, 20), (50.5, 60)), points_at((30, 20), (70, 10))
    picture = draw.draw_matches(BLACK, BLACK, a, b, matched((0, 0), scores=(0.9,)))
    colour = tuple(draw.confidence_colours([0.9])[0].tolist())
    assert pixel(picture, 10, 20) == colour
    assert pixel(picture, 30, 20, second=True) == colour
    assert sum(pixel(picture, 90, 20)) > 100  # the line is level
    assert pixel(picture, 90, 30) == (0, 0, 0)
    # keypoints without a match are rings: nothing in the middle, something around
    assert pixel(picture, 70, 10, second=True) == (0, 0, 0)
    ring = np.asarray(picture)[10 * SCALE : 11 * SCALE, LEFT + 70 * SCALE : LEFT + 71 * SCALE]
    assert ring.max() > 60


def test_without_lines_there_are_only_points() -> None:
    style = draw.Style(lines=False)
    picture = draw.draw_matches(
        BLACK, BLACK, points_at((10, 20)), points_at((30, 20)), matched((0, 0)), style=style
    )
    assert pixel(picture, 90, 20) == (0, 0, 0)
    assert pixel(picture, 10, 20) != (0, 0, 0)


def test_truth_decides_the_colours() -> None:
    places = ((10.0, 20.0), (10.0, 40.0), (10.0, 60.0))
    a, b = points_at(*places), points_at(*places)
    verdict = np.array([0, 1, 2])
    matches = matched((0, 0), (1, 1), (2, 2), scores=(0.1, 0.9, 0.5))
    picture = draw.draw_matches(BLACK, BLACK, a, b, matches, verdict=verdict)
    for (u, v), (_, colour) in zip(places, draw.TRUTH, strict=True):
        assert pixel(picture, u, v) == colour
        assert pixel(picture, u, v, second=True) == colour


def test_pruned_keypoints_have_the_colour_of_their_layer() -> None:
    a = points_at((10, 20), (10, 40), (10, 60), (40, 60))
    b = points_at((30, 20))
    layers0 = torch.tensor([5, 1, 4, 5])
    adaptation = Adaptation(5, 9, layers0, torch.tensor([5]), torch.zeros(5, 4), torch.zeros(5, 1))
    found = matched((0, 0))
    matches = Matches(found.indices, found.scores, adaptation)
    picture = draw.draw_matches(BLACK, BLACK, a, b, matches)
    first, fourth = draw.layer_colours([0.0, 3 / 7])
    assert pixel(picture, 10, 40) == tuple(first.tolist())
    assert pixel(picture, 10, 60) == tuple(fourth.tolist())
    assert pixel(picture, 40, 60) == (0, 0, 0)  # kept to the end, but without a match: a ring


@pytest.mark.parametrize("height", [8, 80, 512, 720, 1440, 3000])
def test_size_is_fit_to_look_at(height: int) -> None:
    image = np.zeros((height, height // 2, 3), dtype=np.uint8)
    nothing = points_at()
    bare = draw.draw_matches(image, image, nothing, nothing, matched())
    with_text = draw.draw_matches(image, image, nothing, nothing, matched(), caption=["words"])
    assert with_text.height > bare.height
    if height >= 100:
        assert 720 <= bare.height <= 1600
    if height == 3000:
        assert bare.width == 2 * 720 + draw.Style().gap


def test_images_of_any_kind_and_two_sizes() -> None:
    gray16 = np.full((60, 50), 40000, dtype=np.uint16)
    tensor = torch.full((3, 80, 100), 0.5)
    picture = draw.draw_matches(gray16, tensor, points_at(), points_at(), matched())
    array = np.asarray(picture)
    assert array[10, 10].tolist() == [156] * 3  # 40000 / 65535 of 255
    assert array[10, 50 * 9 + 12 + 10].tolist() in ([127] * 3, [128] * 3)
    with pytest.raises(InputError):
        draw.draw_matches("nowhere.png", tensor, points_at(), points_at(), matched())


def test_keypoints_on_and_beyond_the_border_do_no_harm() -> None:
    a = points_at((-0.5, -0.5), (99.5, 79.5), (-500, 900), (99, 0))
    picture = draw.draw_matches(BLACK, BLACK, a, a, matched((0, 1), (1, 0), (2, 3)))
    assert picture.width == 2 * 100 * SCALE + draw.Style().gap


@pytest.mark.parametrize("colours", [draw.confidence_colours, draw.layer_colours])
def test_ramps_brighten_steadily_and_stand_out_from_black(colours) -> None:
    """CIE lightness by an independent conversion: monotonic, as of a perceptual colour map."""
    import cv2

    ramp = colours(np.linspace(0, 1, 64))
    lightness = cv2.cvtColor(ramp[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, :, 0]
    assert (np.diff(lightness) > -0.4).all()
    assert lightness[0] > 25
    assert colours([np.nan]).tolist() == colours([0.0]).tolist()


def test_long_captions_are_broken_to_fit() -> None:
    nothing = points_at()
    words = " ".join(["keypoints"] * 200)
    one = draw.draw_matches(BLACK, BLACK, nothing, nothing, matched(), caption=["x"])
    many = draw.draw_matches(BLACK, BLACK, nothing, nothing, matched(), caption=[words])
    assert many.width == one.width
    assert many.height > 5 * (one.height - 80 * SCALE) / 2 + 80 * SCALE
