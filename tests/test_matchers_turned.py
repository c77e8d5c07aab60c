"""matchers.turned: the quarter turn in which two images match best."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from matchers.features.sift import SIFT
from matchers.match import match
from matchers.nearest import NearestConfig, NearestNeighbour
from matchers.turned import TurnedLightGlueSIFT, match_turned, turn_back
from matchers.types import Features, Image, Matches

torch.set_num_threads(1)


def texture(height: int = 120, width: int = 160) -> np.ndarray:
    noise = np.random.default_rng(5).integers(0, 255, (height, width, 3)).astype(np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3.0)
    return np.asarray(cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX))


class Corners:
    """An extractor that knows nothing of turns: bright pixels, described by the patch around."""

    def __call__(self, image: Image, mask: np.ndarray | None = None) -> Features:
        pixels = image.permute(1, 2, 0) if isinstance(image, torch.Tensor) else image
        grey = np.asarray(pixels)[..., 0].astype(np.float32)
        peaks = (grey == cv2.dilate(grey, np.ones((9, 9)))) & (grey > 150.0)
        peaks[:8], peaks[-8:], peaks[:, :8], peaks[:, -8:] = False, False, False, False
        if mask is not None:
            peaks &= mask
        v, u = np.nonzero(peaks)
        patches = [grey[y - 7 : y + 8, x - 7 : x + 8].ravel() for y, x in zip(v, u, strict=True)]
        descriptors = np.stack(patches) - np.mean(patches, axis=1, keepdims=True)
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        return Features(
            torch.from_numpy(np.stack([u, v], axis=-1).astype(np.float32)),
            torch.ones(len(u)),
            torch.from_numpy(descriptors.astype(np.float32)),
            torch.tensor(grey.shape[::-1], dtype=torch.float32),
        )


corners = Corners()


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_pixel_is_turned_back_to_where_it_was(quarters: int) -> None:
    image = np.zeros((5, 8), dtype=np.uint8)
    image[1, 6] = 1
    v, u = np.argwhere(np.rot90(image, -quarters))[0]
    turned = Features(
        torch.tensor([[float(u), float(v)]]),
        torch.ones(1),
        torch.ones(1, 1),
        torch.tensor(np.rot90(image, -quarters).shape[::-1], dtype=torch.float32),
        torch.ones(1),
        torch.tensor([0.3 + quarters * np.pi / 2.0]),
    )
    back = turn_back(turned, quarters, image.shape)
    assert back.keypoints.tolist() == [[6.0, 1.0]]
    assert back.image_size.tolist() == [8.0, 5.0]
    assert float(back.orientations[0]) == pytest.approx(0.3, abs=1e-6)  # type: ignore[index]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_the_turn_that_undoes_the_roll_is_found(quarters: int) -> None:
    image = texture()
    rolled = np.ascontiguousarray(np.rot90(image, quarters))  # counter-clockwise
    first, nearest = corners(image), NearestNeighbour(NearestConfig(ratio=0.8))
    found = match_turned(corners, nearest, first, rolled)
    assert found.degrees == 90 * quarters
    rows0, rows1 = found.matches.indices.T
    assert len(rows0) > 20
    # np.rot90(image, k)[v, u] shows the pixel that turning it back k quarters clockwise gives
    places = np.argwhere(np.ones(image.shape[:2], dtype=bool)).reshape(*image.shape[:2], 2)
    shown = np.rot90(places, quarters)
    u, v = found.features.keypoints[rows1].long().T.numpy()
    assert np.array_equal(shown[v, u][:, ::-1], first.keypoints[rows0].numpy())
    if quarters % 2:
        plain = nearest(first, corners(rolled))
        assert float(plain.scores.sum()) < 0.2 * float(found.matches.scores.sum())


def test_of_equal_turns_the_upright_one_is_kept() -> None:
    def none(first: Features, second: Features) -> Matches:
        return Matches(torch.zeros((0, 2), dtype=torch.int64), torch.zeros(0))

    image = texture()
    assert match_turned(corners, none, corners(image), image).degrees == 0  # type: ignore[arg-type]


def test_match_takes_turns() -> None:
    image = texture()
    rolled = np.ascontiguousarray(np.rot90(image))
    found = match(image, rolled, features=corners, matcher="nearest", turns=True)
    assert found.turn_deg == 90
    good = (
        np.linalg.norm(found.points1 - found.points0 @ [[0, -1], [1, 0]] - [0, 159], axis=1) < 0.5
    )
    assert good.mean() > 0.9
    assert match(image, rolled, features=corners, matcher="nearest").turn_deg is None
    # SIFT turns its descriptors itself, and needs none
    sift = match(image, rolled, features=SIFT(), matcher="nearest", turns=True)
    assert len(sift) > 20


def test_a_benchmark_is_given_the_best_turn_with_all_keypoints() -> None:
    image, turned = texture(), TurnedLightGlueSIFT(max_keypoints=128)
    found = turned(image, np.ascontiguousarray(np.rot90(image, 2)))
    height, width = image.shape[:2]
    other_side = np.array([width - 1.0, height - 1.0]) - np.asarray(found.points0)
    assert len(found.points0) > 60 and len(found.keypoints1) >= len(found.points1)
    off = np.linalg.norm(np.asarray(found.points1) - other_side, axis=1)
    assert np.mean(off < 0.5) > 0.95
