"""Two images matched, with the truth about the matches where it is known: `satgen.match`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from matchers import images
from matchers.image_matchers import match_images
from matchers.own import features_of, matches_of
from matchers.registry import (
    default_features,
    load_features,
    load_image_matcher,
    load_matcher,
)
from matchers.specs import MAX_KEYPOINTS, matcher_spec
from matchers.truth.exact import GroundTruth, PairTruth, judge, label, score
from matchers.truth.frame import FrameGeometry
from matchers.truth.rules import Verdict
from matchers.turned import match_turned
from matchers.types import Extractor, Features, Image, Matcher, Matches
from satgen.dataset import Dataset, image_path, is_dataset
from satgen.errors import InputError
from satgen.frame import Frame

if TYPE_CHECKING:
    from PIL import Image as Pillow

Float32s = npt.NDArray[np.float32]

KEPT = 4
"""Extractors and matchers that stay loaded for further calls."""


@dataclass(frozen=True)
class PairImage:
    """One of the two images that `match` matches.

    Attributes:
        image: its pixels.
        mask: (H, W) bool, where keypoints are wanted; None: everywhere.
        frame: the frame that it is, if it is one.
        name: for captions.
    """

    image: Image
    mask: npt.NDArray[np.bool_] | None
    frame: Frame | None
    name: str

    @classmethod
    def read(cls, source: Image | os.PathLike[str] | Frame, masked: bool = True) -> PairImage:
        """An image of any kind; of a frame also its silhouette.

        Args:
            source: an image, its path, or a frame. The path of a dataset's frame
                (DATASET/rgb/000361.png) stands for the frame.
            masked: of a frame, look at the target only.

        Raises:
            InputError: it cannot be read or is no image.
        """
        frame = source if isinstance(source, Frame) else None
        if isinstance(source, (str, os.PathLike)):
            frame = _frame_of(Path(source))
        if frame is not None:
            name = frame.target if frame.index is None else f"{frame.target} {frame.index}"
            if isinstance(source, (str, os.PathLike)):
                name = Path(source).name
            return cls(frame.rgb, frame.mask if masked else None, frame, name)
        if isinstance(source, (str, os.PathLike)):
            return cls(images.read(os.fspath(source)), None, None, Path(source).name)
        return cls(images.read(source), None, None, "image")  # type: ignore[arg-type]


def _frame_of(path: Path) -> Frame | None:
    """The frame whose image a path names; None if it is no frame of a finished dataset."""
    path = path.resolve()
    folder = path.parent.parent
    if not (path.is_file() and path.stem.isdecimal() and is_dataset(folder)):
        return None
    index = int(path.stem)
    return Dataset(folder)[index] if image_path(folder, "rgb", index) == path else None


class MatchedPair:
    """Two images' keypoints, their matches, and the truth about these where both are frames.

    Attributes:
        sides: the images.
        features0, features1: their keypoints and descriptors.
        matches: what the matcher found.
        title: for pictures: the names of images, features and matcher.
        detected: the keypoints are all that were detected; else they are only the points that a
            matcher of images gave, and there is no recall.
        turn_deg: by how much the second image was turned clockwise to be matched: 0, 90, 180 or
            270; None where no turns were tried.
    """

    def __init__(
        self,
        sides: tuple[PairImage, PairImage],
        features: tuple[Features, Features],
        matches: Matches,
        title: str = "",
        turn_deg: int | None = None,
        detected: bool = True,
    ) -> None:
        self.sides = sides
        self.features0, self.features1 = features
        self.matches = matches
        self.title = title
        self.turn_deg = turn_deg
        self.detected = detected

    def __repr__(self) -> str:
        """Counts, and the figures where the truth is known."""
        text = f"{len(self.keypoints0)} and {len(self.keypoints1)} keypoints, {len(self)} matches"
        figures = self.figures
        if figures is not None:
            text += f", {figures['correct']} correct, {figures['wrong']} wrong"
        return f"<MatchedPair {text}>"

    def __len__(self) -> int:
        """Number of matches."""
        return len(self.matches)

    @cached_property
    def keypoints0(self) -> Float32s:
        """Keypoints of the first image, (N0, 2) float32 pixels, column and row."""
        return np.asarray(self.features0.keypoints.cpu().numpy())

    @cached_property
    def keypoints1(self) -> Float32s:
        """Keypoints of the second image, (N1, 2) float32 pixels."""
        return np.asarray(self.features1.keypoints.cpu().numpy())

    @cached_property
    def indices(self) -> npt.NDArray[np.int64]:
        """The matches: rows into both images' keypoints, (K, 2) int64."""
        return np.asarray(self.matches.indices.cpu().numpy())

    @cached_property
    def scores(self) -> Float32s:
        """How sure each match is, (K,) float32 in [0, 1]."""
        return np.asarray(self.matches.scores.cpu().numpy())

    @property
    def points0(self) -> Float32s:
        """Matched keypoints of the first image, (K, 2) float32 pixels."""
        return self.keypoints0[self.indices[:, 0]]

    @property
    def points1(self) -> Float32s:
        """Their partners in the second image, (K, 2) float32 pixels."""
        return self.keypoints1[self.indices[:, 1]]

    @cached_property
    def truth(self) -> GroundTruth | None:
        """Which keypoints belong together, by depth and pose; None unless both images are frames of
        one target."""
        a, b = (side.frame for side in self.sides)
        if a is None or b is None or a.model_sha256 != b.model_sha256:
            return None
        return label(self.keypoints0, self.keypoints1, _geometry(a), _geometry(b))

    @cached_property
    def judged(self) -> PairTruth | None:
        """What the truth says of each match: verdict, reprojection error in pixels; or None."""
        return None if self.truth is None else judge(self.truth, self.indices)

    @property
    def correct(self) -> npt.NDArray[np.bool_] | None:
        """Which matches are correct, (K,) bool: within 3 pixels, on one surface that both show."""
        return None if self.judged is None else np.asarray(self.judged.verdict == Verdict.CORRECT)

    @cached_property
    def figures(self) -> dict[str, Any] | None:
        """The pair's figures, as the benchmark has them; None where the truth is not known.

        correct, wrong, not_known: matches; possible: places of the first image that have a true
        match; precision, recall, f1: in [0, 1], None where no keypoint has a match. Without
        `detected` nothing is known to be possible, and there are no recall and F1.
        """
        if self.truth is None or self.judged is None:
            return None
        of_pair = score(self.truth, self.indices, self.judged)
        shares = {name: getattr(of_pair, name) for name in ("precision", "recall", "f1")}
        if not self.detected:
            shares |= {"recall": np.nan, "f1": np.nan}
        return {
            "correct": of_pair.correct,
            "wrong": of_pair.wrong,
            "not_known": of_pair.ignored,
            "possible": of_pair.true if self.detected else None,
            **{name: None if np.isnan(value) else value for name, value in shares.items()},
        }

    def picture(self, caption: Sequence[str] = ()) -> Pillow.Image:
        """Both images side by side with the matches, coloured by the truth, or else by score.

        Args:
            caption: lines of text to put below instead of the usual one.
        """
        from matchers.draw import draw_matches

        return draw_matches(
            self.sides[0].image,
            self.sides[1].image,
            self.features0,
            self.features1,
            self.matches,
            verdict=None if self.judged is None else self.judged.verdict,
            caption=caption or (f"{self.title}: {len(self)} matches",),
        )

    def _repr_png_(self) -> bytes:
        """The picture, for notebooks."""
        import io

        buffer = io.BytesIO()
        self.picture().save(buffer, format="png")
        return buffer.getvalue()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture.

        Raises:
            InputError: the suffix names no type of picture; RunError: it cannot be written.
        """
        from satgen.preview import save_picture

        save_picture(self.picture(), Path(path))
        return Path(path)


def match(
    a: Image | os.PathLike[str] | Frame,
    b: Image | os.PathLike[str] | Frame,
    *,
    features: Any = None,
    matcher: Any = "lightglue",
    weights: str | os.PathLike[str] | None = None,
    features_weights: str | os.PathLike[str] | None = None,
    max_keypoints: int = MAX_KEYPOINTS,
    resize: int | None = None,
    mask: bool = True,
    turns: bool = False,
    device: str | None = None,
    **options: Any,
) -> MatchedPair:
    """Match two images.

    What was loaded stays so for the next calls, so that a loop over frames loads it once.

    Args:
        a, b: images: paths; NumPy (H, W) or (H, W, 3), torch (3, H, W); or frames of a dataset or
            of `render_frame`. Where both are frames of one target, the matches are judged.
        features: sift, aliked, …, "my.module:MyFeatures", a class or an extractor; by default
            aliked if its weights have been fetched, else sift.
        matcher: lightglue, superglue, nearest, "vismatch:NAME", "my.module:MyMatcher", a class or a
            matcher.
        weights: the matcher's: official, satgen or a file; by default satgen's if there are any.
        features_weights: the extractor's.
        max_keypoints: an image, the best.
        resize: bring the long side to so many pixels first (ALIKED, SuperPoint).
        mask: of a frame, look for keypoints on the target only.
        turns: try the second image in each of its quarter turns and keep the one that matches best:
            for cameras that roll, at four times the work (`matchers.turned`).
        device: cpu, cuda or mps; by default the best there is.
        options: fields of the matcher's configuration, such as depth_confidence.

    Raises:
        InputError: an image cannot be read; an unknown name or option; weights that do not fit; a
            matcher of images that is to turn, or given features.
        RunError: a matcher or features of somebody's own fail, or give what is no answer.
    """
    sides = (PairImage.read(a, mask), PairImage.read(b, mask))
    if takes_images(matcher, features, turns, weights or features_weights, resize):
        run = loaded_image_matcher(matcher, max_keypoints, device, options)
        found = match_images(run, sides[0].image, sides[1].image, sides[0].mask, sides[1].mask)
        title = f"{sides[0].name} - {sides[1].name}, {_name(matcher)}"
        pair_of = (found.features0, found.features1)
        return MatchedPair(sides, pair_of, found.matches, title, detected=found.detected)
    chosen = default_features() if features is None else features
    find, pair = loaded(
        chosen, matcher, weights, features_weights, max_keypoints, resize, device, options
    )
    title = f"{sides[0].name} - {sides[1].name}, {_name(chosen)}, {_name(matcher)}"
    first = features_of(find, sides[0].image, sides[0].mask)
    if turns:
        best = match_turned(find, pair, first, sides[1].image, sides[1].mask)
        return MatchedPair(sides, (first, best.features), best.matches, title, best.degrees)
    second = features_of(find, sides[1].image, sides[1].mask)
    return MatchedPair(sides, (first, second), matches_of(pair, first, second), title)


def takes_images(
    matcher: Any, features: Any, turns: bool, weights: Any, resize: int | None
) -> bool:
    """Whether a matcher is one of images, for which there is no use for the rest.

    Raises:
        InputError: it is, and something of the rest was asked for.
    """
    spec = matcher_spec(matcher)
    if not spec.takes_images:
        return False
    rest = {"features": features, "turns": turns, "weights": weights, "resize": resize}
    for name, value in rest.items():
        if value:
            raise InputError(f"{name} with matcher {spec.name}: it takes images, and no features")
    return True


def loaded_image_matcher(
    matcher: Any, max_keypoints: int, device: str | None, options: dict[str, Any]
) -> Any:
    """A matcher of images, as `match` takes it."""
    return _kept(_image_matcher, matcher, max_keypoints, device, *sorted(options.items()))


@lru_cache(KEPT)
def _image_matcher(name: Any, max_keypoints: int, device: str | None, *options: Any) -> Any:
    return load_image_matcher(name, max_keypoints=max_keypoints, device=device, **dict(options))


def loaded(
    features: Any,
    matcher: Any,
    weights: str | os.PathLike[str] | None,
    features_weights: str | os.PathLike[str] | None,
    max_keypoints: int,
    resize: int | None,
    device: str | None,
    options: dict[str, Any],
) -> tuple[Extractor, Matcher]:
    """An extractor and a matcher for its features, as `match` takes them."""
    more = () if resize is None else (("resize", resize),)
    find = _kept(
        _extractor,
        *(_state(features_weights), features, _path(features_weights), max_keypoints, device),
        *more,
    )
    pair = _kept(
        _matcher,
        *(_state(weights), matcher, features, _path(weights), device),
        *sorted(options.items()),
    )
    return find, pair


def _kept(load: Any, *arguments: Any) -> Any:
    """What was loaded with the same arguments before, or is now."""
    try:
        hash(arguments)
    except TypeError:
        return load.__wrapped__(*arguments)
    return load(*arguments)


@lru_cache(KEPT)
def _extractor(
    state: Any, name: Any, weights: str | None, max_keypoints: int, device: str | None, *more: Any
) -> Extractor:
    return load_features(
        name, weights=weights, max_keypoints=max_keypoints, device=device, **dict(more)
    )


@lru_cache(KEPT)
def _matcher(
    state: Any, name: Any, features: Any, weights: str | None, device: str | None, *options: Any
) -> Matcher:
    return load_matcher(name, features=features, weights=weights, device=device, **dict(options))


def _path(weights: str | os.PathLike[str] | None) -> str | None:
    return None if weights is None else os.fspath(weights)


def _state(weights: str | os.PathLike[str] | None) -> Any:
    """What changes when a file of weights is written anew: its time and size; None if there is no
    file."""
    try:
        status = os.stat(weights or "")
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _name(thing: Any) -> str:
    """A short name of a matcher or features, for captions."""
    if isinstance(thing, str):
        return thing
    return str(getattr(thing, "name", getattr(thing, "__name__", type(thing).__name__)))


def _geometry(frame: Frame) -> FrameGeometry:
    distortion = frame.camera.distortion
    return FrameGeometry(frame.depth, frame.K, frame.pose, frame.parts, distortion)
