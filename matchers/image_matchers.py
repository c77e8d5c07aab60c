"""Matchers of images: those that take two pictures and give points in both, dense or sparse.

Such a matcher is a class (a function, an object) with `takes_images = True`, called with two
images, NumPy (H, W, 3) uint8 RGB, which answers with `PointMatches`, or with the points in either
image and, if it has them, scores. It is made with what it takes of `device` and `max_keypoints`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from matchers import images
from matchers.types import Features, Image, Matches
from satgen.errors import RunError
from satgen.lookup import reason_of

PixelMask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PointMatches:
    """Points of two images that belong together, as a matcher of images answers.

    Attributes:
        points0, points1: (K, 2), pixels (u, v), origin at the centre of the top-left pixel.
        scores: (K,) in [0, 1]; None: there are none.
        keypoints0, keypoints1: (N, 2) and (M, 2), all that were detected, among them the points;
            None: nothing is detected, points are wherever they match.
    """

    points0: Any
    points1: Any
    scores: Any = None
    keypoints0: Any = None
    keypoints1: Any = None


@dataclass(frozen=True)
class MatchedImagePair:
    """What a matcher of images found, as keypoints and rows of them.

    Attributes:
        features0, features1: keypoints, without descriptors; of a matcher that detects none, the
            points that it matched.
        matches: rows of these.
        detected: whether the keypoints are all that were detected: else there is no telling what
            was not found, and no recall.
    """

    features0: Features
    features1: Features
    matches: Matches
    detected: bool


def match_images(
    matcher: Any,
    image0: Image,
    image1: Image,
    mask0: PixelMask | None = None,
    mask1: PixelMask | None = None,
) -> MatchedImagePair:
    """What a matcher of images finds in two of them.

    Args:
        matcher: called with two images, NumPy (H, W, 3) uint8.
        image0, image1: see `matchers.types.Image`.
        mask0, mask1: (H, W) bool: what has its nearest pixel where they are False is left out;
            None: everything counts. The matcher looks at the whole images all the same.

    Raises:
        RunError: it fails, or answers with something else.
    """
    pictures = [_picture(image) for image in (image0, image1)]
    try:
        answer = matcher(*pictures)
    except Exception as error:  # whatever somebody's class does
        raise RunError(f"matcher {_name(matcher)}: failed ({reason_of(error)})") from error
    found = _arrays(matcher, answer)
    sizes = [picture.shape[1::-1] for picture in pictures]
    masks = (mask0, mask1)
    points = (found.points0, found.points1)
    keep = np.ones(len(found.points0), dtype=bool)
    for side, size, mask in zip(points, sizes, masks, strict=True):
        keep &= _counts(side, size, mask)
    scores = found.scores[keep]
    sides = [side[keep] for side in points]
    pairs = np.arange(len(scores))[:, None].repeat(2, 1)
    given = (found.keypoints0, found.keypoints1)
    traced = [None if k is None else _rows_of(p, k) for p, k in zip(sides, given, strict=True)]
    rows = [found_rows for found_rows in traced if found_rows is not None]
    detected = len(rows) == len(sides)
    if detected:
        placed = []
        for i, (row, keypoints) in enumerate(rows):
            wanted = _counts(keypoints, sizes[i], masks[i])
            placed.append((np.cumsum(wanted) - 1)[row])
            sides[i] = keypoints[wanted]
        pairs = np.stack(placed, 1)
        order = np.argsort(pairs[:, 0], kind="stable")
        pairs, scores = pairs[order], scores[order]
    features = [_features(side, size) for side, size in zip(sides, sizes, strict=True)]
    matches = Matches(torch.from_numpy(pairs.astype(np.int64)), torch.from_numpy(scores))
    return MatchedImagePair(features[0], features[1], matches, detected)


def _picture(image: Image) -> npt.NDArray[np.uint8]:
    """An image as matchers take it."""
    values = images.rgb(images.read(image)).mul(255.0).round().clamp(0.0, 255.0)
    return np.ascontiguousarray(values.to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def _arrays(matcher: Any, answer: Any) -> PointMatches:
    """An answer as arrays of the shapes that they should have.

    Raises:
        RunError: it is no answer.
    """
    if isinstance(answer, tuple) and len(answer) in (2, 3):
        answer = PointMatches(*answer)
    what = f"matcher {_name(matcher)}: answers with"
    if not isinstance(answer, PointMatches):
        raise RunError(
            f"{what} {type(answer).__name__}: must be matchers.image_matchers.PointMatches, or "
            "points in either image and scores"
        )
    points0, points1 = (_points(what, side) for side in (answer.points0, answer.points1))
    count = len(points0)
    scores = np.ones(count, np.float32) if answer.scores is None else _array(answer.scores)
    if len(points1) != count or scores.shape != (count,):
        raise RunError(f"{what} {count} and {len(points1)} points, and {scores.shape} scores")
    keypoints = [answer.keypoints0, answer.keypoints1]
    if any(side is None for side in keypoints):
        keypoints = [None, None]
    else:
        keypoints = [_points(what, side) for side in keypoints]
    return PointMatches(points0, points1, scores.clip(0.0, 1.0), *keypoints)


def _points(what: str, given: Any) -> npt.NDArray[np.float32]:
    points = _array(given)
    if points.size == 0:
        return np.zeros((0, 2), np.float32)
    if points.ndim != 2 or points.shape[1] != 2:
        raise RunError(f"{what} points of shape {points.shape}: (K, 2) is expected")
    return points


def _array(given: Any) -> npt.NDArray[np.float32]:
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu().numpy()
    try:
        return np.ascontiguousarray(given, dtype=np.float32)
    except (TypeError, ValueError):
        raise RunError(f"a matcher answers with {type(given).__name__}: no numbers") from None


def _counts(
    points: npt.NDArray[np.float32], size: tuple[int, ...], mask: PixelMask | None
) -> npt.NDArray[np.bool_]:
    """Which points (K, 2) lie in an image of a size, and where its mask is True."""
    finite: PixelMask = np.asarray(np.isfinite(points).all(axis=1))
    known = np.where(finite[:, None], points, -1.0).clip(-1.0, max(size))  # no number too large
    pixel = np.floor(known + 0.5).astype(np.int64)
    within = (pixel >= 0) & (pixel < np.array(size))
    inside: PixelMask = finite & np.asarray(within.all(axis=1))
    if mask is not None:
        inside[inside] = mask[pixel[inside, 1], pixel[inside, 0]]
    return inside


def _rows_of(
    points: npt.NDArray[np.float32], keypoints: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] | None:
    """Rows (K,) of the keypoints that points (K, 2) are, and the keypoints; None where a point is
    none of them. A keypoint that is matched again is repeated, for a row has one match."""
    places: dict[tuple[float, ...], list[int]] = {}  # several may be in one place
    for row, key in reversed(list(enumerate(map(tuple, keypoints.tolist())))):
        places.setdefault(key, []).append(row)
    rows: list[int] = []
    again: list[tuple[float, ...]] = []
    for key in map(tuple, points.tolist()):
        if key not in places:
            return None
        if places[key]:
            rows.append(places[key].pop())
        else:
            rows.append(len(keypoints) + len(again))
            again.append(key)
    more = np.array(again, np.float32).reshape(-1, 2)
    return np.array(rows, dtype=np.int64), np.concatenate([keypoints, more])


def _features(points: npt.NDArray[np.float32], size: tuple[int, ...]) -> Features:
    return Features(
        keypoints=torch.from_numpy(points),
        scores=torch.ones(len(points)),
        descriptors=torch.zeros(len(points), 0),
        image_size=torch.tensor(size, dtype=torch.float32),
    )


def _name(matcher: Any) -> str:
    return str(getattr(matcher, "name", None) or type(matcher).__name__)
