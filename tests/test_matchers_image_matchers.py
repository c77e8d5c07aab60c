"""matchers.image_matchers: points in two images as keypoints and rows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from matchers.image_matchers import PointMatches, match_images
from matchers.match import match
from matchers.registry import load_image_matcher, load_matcher
from satgen.errors import InputError, RunError
from tests.pictures import collage

FIRST, SECOND = collage(0, 40, 60), collage(1, 50, 30)


class Points:
    """A matcher of somebody's own, who has made up its mind."""

    takes_images = True
    name = "points"

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def __call__(self, image0: np.ndarray, image1: np.ndarray) -> Any:
        assert image0.dtype == image1.dtype == np.uint8
        assert image0.shape == (40, 60, 3) and image1.shape == (50, 30, 3)
        return self.answer


def test_points_are_their_own_keypoints() -> None:
    points0 = torch.tensor([[1.0, 2.0], [59.4, 39.4], [60.0, 3.0], [5.0, np.nan], [-0.4, 0.0]])
    points1 = np.array([[3, 4], [0, 0], [1, 1], [2, 2], [29.6, 7]])
    matcher = Points((points0, points1, [0.5, 1.5, 0.9, 0.9, 0.9]))
    found = match_images(matcher, FIRST, SECOND)
    assert not found.detected
    assert found.matches.indices.tolist() == [[0, 0], [1, 1]]
    assert found.matches.scores.tolist() == [0.5, 1.0]
    np.testing.assert_array_equal(found.features0.keypoints.numpy(), points0[:2].numpy())
    assert found.features0.image_size.tolist() == [60.0, 40.0]
    grey = torch.from_numpy(FIRST[..., 0]) / 255  # of any form
    assert len(match_images(matcher, grey, SECOND).matches) == 2


def test_keypoints_that_were_detected() -> None:
    """Rows lead to them, the mask takes those out that are not wanted, and no others."""
    keypoints0 = np.array([[5, 5], [7, 7], [7, 7], [20, 9], [30, 30]], np.float64)
    keypoints1 = np.array([[1, 1], [2, 2], [3, 3], [4, 4]], np.float64)
    answer = PointMatches(
        keypoints0[[3, 1, 2]], keypoints1[[0, 3, 1]], [0.1, 0.2, 0.3], keypoints0, keypoints1
    )
    found = match_images(Points(answer), FIRST, SECOND)
    assert found.detected
    assert found.matches.indices.tolist() == [[1, 3], [2, 1], [3, 0]]
    assert found.matches.scores.tolist() == pytest.approx([0.2, 0.3, 0.1])
    mask0, mask1 = np.ones((40, 60), bool), np.ones((50, 30), bool)
    mask0[5, 5], mask1[4, 4] = False, False
    found = match_images(Points(answer), FIRST, SECOND, mask0, mask1)
    assert found.matches.indices.tolist() == [[0, 1], [2, 0]]
    assert found.features0.keypoints.tolist() == keypoints0[1:].tolist()
    assert found.features1.keypoints.tolist() == keypoints1[:3].tolist()
    twice = PointMatches(keypoints0[[0, 0]], keypoints1[[0, 1]], None, keypoints0, keypoints1)
    found = match_images(Points(twice), FIRST, SECOND)
    assert found.detected and found.matches.indices.tolist() == [[0, 0], [5, 1]]
    assert found.features0.keypoints[[0, 5]].tolist() == [[5.0, 5.0]] * 2
    assert found.matches.scores.tolist() == [1.0, 1.0]
    refined = PointMatches(keypoints0[:1] + 0.25, keypoints1[:1], None, keypoints0, keypoints1)
    found = match_images(Points(refined), FIRST, SECOND)
    assert not found.detected and found.features0.keypoints.tolist() == [[5.25, 5.25]]


@pytest.mark.parametrize(
    "answer", [((), ()), (np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0)), ([], [], None)]
)
def test_nothing(answer: Any) -> None:
    found = match_images(Points(answer), FIRST, SECOND)
    assert found.matches.indices.shape == (0, 2) and len(found.features0) == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "answers with NoneType"),
        (([[1, 2]], [[1, 2], [3, 4]]), "1 and 2 points"),
        (([[1, 2]], [[1, 2]], [0.5, 0.5]), r"\(2,\) scores"),
        (([[1, 2, 3]], [[1, 2, 3]]), r"\(K, 2\) is expected"),
        (("abc", "def"), "answers with str: no numbers"),
    ],
)
def test_an_answer_that_is_none(answer: Any, said: str) -> None:
    with pytest.raises(RunError, match=said):
        match_images(Points(answer), FIRST, SECOND)


def test_one_of_somebodys_own(tmp_path: Path) -> None:
    """In satgen.match, as a class, an object or by name."""
    (tmp_path / "own.py").write_text(
        "class Own:\n"
        "    takes_images = True\n"
        "    def __init__(self, max_keypoints, device):\n"
        "        self.count = max_keypoints\n"
        "    def __call__(self, image0, image1):\n"
        "        points = [[i, i] for i in range(self.count)]\n"
        "        return points, points\n"
    )
    name = f"{tmp_path / 'own.py'}:Own"
    for given, options in ((name, {"max_keypoints": 4}), (Points(([[0, 0]] * 4,) * 2), {})):
        found = match(FIRST, SECOND, matcher=given, device="cpu", **options)
        assert len(found) == 4 and found.points0.shape == (4, 2)
        assert found.picture().width > 60
    for options in ({"features": "sift"}, {"turns": True}, {"resize": 64}, {"weights": "satgen"}):
        with pytest.raises(InputError, match=f"{next(iter(options))} with matcher .*takes images"):
            match(FIRST, SECOND, matcher=name, **options)
    with pytest.raises(InputError, match="takes images, and no features"):
        load_matcher(name, features="sift")
    with pytest.raises(InputError, match="matches features, not images"):
        load_image_matcher("nearest")
