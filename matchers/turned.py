"""Matching at quarter turns, for cameras that roll.

ALIKED's descriptors are of upright images: of a frame rolled by 90 degrees nearest neighbours find
next to nothing, and no matcher makes up for what the descriptors do not say. So the second image is
looked at in each of its four quarter turns, which leaves at most 45 degrees, and the turn counts in
which the matches' scores add up to the most. Turning by 90 degrees moves whole pixels and blurs
nothing. It is four times the work.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from matchers.image_matchers import PointMatches
from matchers.own import features_of, matches_of
from matchers.registry import load_features, load_matcher
from matchers.types import Extractor, Features, Image, Matcher, Matches

TURNS = 4


class TurnedLightGlue:
    """LightGlue on ALIKED in the quarter turn that fits best, as a matcher of images.

    For benchmarks of cameras that roll: `satgen bench --matcher matchers.turned:TurnedLightGlue`.

    Args:
        max_keypoints: in an image.
        device: see `matchers.registry.choose_device`; None: the best there is.

    Raises:
        InputError: ALIKED's weights have not been downloaded.
    """

    takes_images = True
    features = "aliked"

    def __init__(self, max_keypoints: int = 512, device: Any = None) -> None:
        self._find = load_features(self.features, max_keypoints=max_keypoints, device=device)
        self._pair = load_matcher("lightglue", features=self.features, device=device)

    def __call__(
        self, image0: npt.NDArray[np.uint8], image1: npt.NDArray[np.uint8]
    ) -> PointMatches:
        """What is found in two images (H, W, 3), with all keypoints."""
        first = self._find(image0)
        second, matches, _ = match_turned(self._find, self._pair, first, image1)
        rows0, rows1 = matches.indices.cpu().T
        keypoints0, keypoints1 = first.keypoints.cpu(), second.keypoints.cpu()
        return PointMatches(
            keypoints0[rows0], keypoints1[rows1], matches.scores, keypoints0, keypoints1
        )


class TurnedLightGlueSIFT(TurnedLightGlue):
    """The same on SIFT."""

    features = "sift"


class Turned(NamedTuple):
    """What was found in the best turn.

    Attributes:
        features: of the image as it is.
        matches: rows of the first image's features and of these.
        degrees: by which the image was turned clockwise.
    """

    features: Features
    matches: Matches
    degrees: int


def match_turned(
    find: Extractor,
    pair: Matcher,
    first: Features,
    image: Image,
    mask: npt.NDArray[np.bool_] | None = None,
) -> Turned:
    """Match the features of one image with another image in the turn that fits best.

    Args:
        find: the extractor.
        pair: the matcher.
        first: features of the first image.
        image: the second image, NumPy (H, W) or (H, W, 3), or torch (…, H, W).
        mask: (H, W) bool, where keypoints are wanted; None: everywhere.

    Returns:
        The best turn's; where all are as good, those of the image as it is.
    """
    shape = image.shape[-2:] if isinstance(image, Tensor) else np.shape(image)[:2]
    best: Turned | None = None
    most = -math.inf
    for quarter in range(TURNS):
        wanted = None if mask is None else np.ascontiguousarray(np.rot90(mask, -quarter))
        features = features_of(find, _turn(image, quarter), wanted)
        matches = matches_of(pair, first, features)
        score = float(matches.scores.sum())
        if best is None or score > most:
            most = score
            upright = turn_back(features, quarter, tuple(shape))
            best = Turned(upright, matches, 90 * quarter)
    assert best is not None
    return best


def _turn(image: Image, quarters: int) -> Image:
    """An image, turned clockwise."""
    if isinstance(image, Tensor):
        return torch.rot90(image, -quarters, dims=(-2, -1))
    return np.ascontiguousarray(np.rot90(np.asarray(image), -quarters))


def turn_back(features: Features, quarters: int, shape: tuple[int, ...]) -> Features:
    """Features of an image that was turned clockwise, as of the image that it was.

    Args:
        features: of one turned image.
        quarters: of a turn, clockwise.
        shape: height and width of the image before.
    """
    keypoints, orientations = features.keypoints, features.orientations
    height, width = shape
    sizes = [(height, width), (width, height)]
    for quarter in range(quarters, 0, -1):
        before = sizes[(quarter - 1) % 2]  # height of the image that this quarter turned
        u, v = keypoints.unbind(-1)
        keypoints = torch.stack([v, before[0] - 1 - u], dim=-1)
    if orientations is not None:
        turned = orientations - quarters * math.pi / 2.0
        orientations = torch.remainder(turned + math.pi, 2.0 * math.pi) - math.pi
    size = torch.tensor([width, height], device=keypoints.device).to(features.image_size)
    return replace(features, keypoints=keypoints, orientations=orientations, image_size=size)
