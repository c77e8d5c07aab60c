"""What fails in a matcher or an extractor of somebody's own, or is no answer, said in a line.

What they answer is held against `matchers.types` before anything relies on it, so that a mistake
becomes neither a traceback from elsewhere nor a wrong figure. Ours are trusted, and cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from satgen.errors import RunError, SatgenError
from satgen.installed import OURS
from satgen.lookup import reason_of

if TYPE_CHECKING:
    from matchers.types import Extractor, Features, Image, Matcher, Matches

T = TypeVar("T")

MATCHER, FEATURES = "matcher", "features"
"""What may be somebody's own, in messages."""

_NEEDED: dict[str, tuple[Any, ...]] = {
    "keypoints": ("N", 2),
    "scores": ("N",),
    "descriptors": ("N", "D"),
    "image_size": (2,),
}
_OPTIONAL: dict[str, tuple[Any, ...]] = {"scales": ("N",), "orientations": ("N",)}


class Called:
    """A matcher that is but a function of two images' features, as `matchers.types.Matcher`."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def prepare(self, features: Features) -> Features:
        """The features, as they are: there is nothing to prepare."""
        return features

    def match(self, prepared0: Features, prepared1: Features) -> Any:
        """The function's matches of two images' features."""
        return self.function(prepared0, prepared1)

    def __call__(self, features0: Features, features1: Features) -> Any:
        """The function's matches of two images' features."""
        return self.function(features0, features1)


def own_name(thing: Any) -> str:
    """The name of a matcher, an extractor or a function, for messages."""
    thing = _itself(thing)
    names = (getattr(thing, "name", None), getattr(thing, "__name__", None))
    return next((name for name in names if name and isinstance(name, str)), type(thing).__name__)


def is_own(thing: Any) -> bool:
    """Whether a matcher, an extractor or a function is none of ours."""
    thing = _itself(thing)
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return str(kind.__module__).partition(".")[0] not in OURS


@contextmanager
def blaming(what: str, thing: Any) -> Iterator[None]:
    """Name what is somebody's own where it fails.

    Args:
        what: `MATCHER` or `FEATURES`.
        thing: the matcher, extractor or function that is called.

    Raises:
        RunError: it failed, and is none of ours; memory that there is not says so itself.
    """
    try:
        yield
    except (SatgenError, MemoryError):
        raise
    except Exception as error:  # whatever somebody's class does
        if not is_own(thing):
            raise
        raise RunError(f"{what} {own_name(thing)}: failed ({reason_of(error)})") from error


def as_many(answers: Iterable[T], count: int) -> list[T]:
    """Answers about so many images or pairs.

    Raises:
        ValueError: there are more or fewer of them.
    """
    given = list(answers)
    if len(given) != count:
        raise ValueError(f"{len(given)} answers, must be {count}")
    return given


def features_of(extractor: Extractor, image: Image, mask: Any = None) -> Features:
    """What an extractor finds in an image, where a mask, (H, W) bool, is True.

    Raises:
        InputError: see the extractor.
        RunError: it is somebody's own, and fails or gives no `Features`.
    """
    with blaming(FEATURES, extractor):
        found = extractor(image, mask=mask)
    return checked_features(extractor, found)


def matches_of(matcher: Matcher, features0: Features, features1: Features) -> Matches:
    """What a matcher finds in two images' features.

    Raises:
        InputError: see the matcher.
        RunError: it is somebody's own, and fails or gives no `Matches` of these.
    """
    with blaming(MATCHER, matcher):
        found = matcher(features0, features1)
    return checked_matches(matcher, found, len(features0), len(features1))


def checked_features(extractor: Any, found: Any) -> Features:
    """What an extractor gave for an image.

    Raises:
        RunError: it is somebody's own, and that is no `Features` of one image.
    """
    import torch

    from matchers.types import Features

    if not is_own(extractor):
        ours: Features = found
        return ours
    what = f"{FEATURES} {own_name(extractor)}: give"
    _check_kind(what, found, Features, "matchers.types.Features")
    values = {}
    for name in (*_NEEDED, *_OPTIONAL):
        value = getattr(found, name)
        if value is None and name in _OPTIONAL:
            continue
        _check_kind(f"{what} {name} as", value, torch.Tensor, "a tensor")
        values[name] = value.detach()
    _check_fields(what, values)
    return Features(**values)


def checked_arrays(detector: Any, found: Any) -> dict[str, Any]:
    """What a detector (`matchers.extraction`) gave for an image.

    Raises:
        RunError: it is somebody's own, and those are no features as NumPy arrays.
    """
    if is_own(detector):
        what = f"{FEATURES} {own_name(detector)}: give"
        known = {*_NEEDED, *_OPTIONAL}
        if not isinstance(found, Mapping) or not set(_NEEDED) <= set(found) <= known:
            names = f" of {', '.join(map(str, found))}" if isinstance(found, Mapping) else ""
            raise RunError(
                f"{what} {type(found).__name__}{names}: must be arrays by name: "
                f"{', '.join(_NEEDED)}, and may be {', '.join(_OPTIONAL)}"
            )
        for name, value in found.items():
            _check_kind(f"{what} {name} as", value, np.ndarray, "a NumPy array")
        _check_fields(what, found)
    arrays: dict[str, Any] = found
    return arrays


def _check_kind(what: str, value: Any, kind: type, must: str) -> None:
    """Refuse a value of another kind."""
    if not isinstance(value, kind):
        raise RunError(f"{what} {type(value).__name__}: must be {must}")


def _check_fields(what: str, values: Mapping[str, Any]) -> None:
    """Refuse features, tensors or arrays, that do not fit together."""
    count = None
    for name, shape in (_NEEDED | _OPTIONAL).items():
        value = values.get(name)
        if value is None:
            continue
        size = tuple(value.shape)
        count = size[0] if count is None and size else count
        sides = {"N": count}
        wanted = [sides.get(side, side) for side in shape]
        alike = zip(size, wanted, strict=False)
        if len(size) != len(shape) or any(a != b for a, b in alike if b != "D"):
            shown = str(tuple(wanted)).replace("'", "")
            raise RunError(f"{what} {name} of shape {size}: must be {shown}")
        if not bool((abs(value) < math.inf).all()):
            raise RunError(f"{what} {name} that are NaN or infinite")


def checked_matches(matcher: Any, found: Any, count0: int, count1: int) -> Matches:
    """What a matcher gave for two images of so many keypoints.

    Raises:
        RunError: it is somebody's own, and those are no `Matches` of them.
    """
    import torch

    from matchers.types import Matches

    if not is_own(matcher):
        ours: Matches = found
        return ours
    what = f"{MATCHER} {own_name(matcher)}: answers with"
    _check_kind(what, found, Matches, "matchers.types.Matches")
    for name, value in (("indices", found.indices), ("scores", found.scores)):
        _check_kind(f"{what} {name} as", value, torch.Tensor, "a tensor")
    indices, scores = found.indices.detach(), found.scores.detach()
    if not indices.numel():
        indices = indices.new_zeros((0, 2), dtype=torch.int64)
    if indices.ndim != 2 or indices.shape[1] != 2 or indices.is_floating_point():
        kind = f"{indices.dtype} of shape {tuple(indices.shape)}"
        raise RunError(f"{what} indices in {kind}: must be int64 of shape (K, 2)")
    if scores.shape != indices.shape[:1]:
        raise RunError(f"{what} {len(indices)} matches and scores of shape {tuple(scores.shape)}")
    if bool(scores.isnan().any()):
        raise RunError(f"{what} scores that are NaN")
    for column, count in zip(indices.T, (count0, count1), strict=True):
        if len(column) and not 0 <= int(column.min()) <= int(column.max()) < count:
            raise RunError(f"{what} rows beyond the {count0} and {count1} keypoints")
        if len(column.unique()) != len(column):
            raise RunError(f"{what} a keypoint twice: matches must be one to one")
    return Matches(indices.to(torch.int64), scores, found.adaptation)


def _itself(thing: Any) -> Any:
    """What is behind a `partial`, or a function that stands for a matcher."""
    while isinstance(thing, (partial, Called)):
        thing = thing.func if isinstance(thing, partial) else thing.function
    return thing
