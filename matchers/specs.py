"""What there is to know of a matcher or of features: told by its own module, found by its name.

The module of a matcher defines a `MatcherSpec`, that of an extractor a `FeaturesSpec`; nothing else
knows them by name. Wherever a name is taken ("lightglue", "sift"), there may be

- "my.module:MyMatcher", or "my/file.py:MyMatcher": a class, a function or an object of somebody's
  own; modules are looked for in the current directory, too;
- in Python that class, function or object itself;
- a spec, which can say more than a class can.

A class or a function is called to make the matcher (the extractor), with what it takes of
`device`, `features` (the name of the features that are matched) and, an extractor, `max_keypoints`.

A matcher with `takes_images = True` is one of images, which needs no features
(`matchers.image_matchers`); so is "vismatch:NAME", one of the package vismatch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satgen.errors import InputError
from satgen.installed import OURS
from satgen.lookup import named, reason_of

if TYPE_CHECKING:
    from matchers.training.spec import TrainingSpec
    from matchers.types import Adaptation, Features

MATCHERS = {
    "lightglue": "matchers.lightglue:SPEC",
    "superglue": "matchers.superglue:SPEC",
    "nearest": "matchers.nearest:SPEC",
}
"""Where the specs are of the matchers that have a name."""

FEATURES = {
    "sift": "matchers.features.sift:SPEC",
    "aliked": "matchers.features.aliked:N16",
    "aliked-n16": "matchers.features.aliked:N16",
    "aliked-n16rot": "matchers.features.aliked:N16ROT",
    "aliked-t16": "matchers.features.aliked:T16",
    "superpoint": "matchers.features.superpoint:SPEC",
}
"""Where the specs are of the features that have a name; two names of one spec are the same."""

VISMATCH = "vismatch:"
"""What begins the names of the matchers of the package vismatch."""

MATCHER_CHOICE = (
    f"{', '.join(MATCHERS)}, {VISMATCH}NAME (pip install vismatch), or your own as "
    "my.module:MyMatcher"
)
FEATURES_CHOICE = (
    "sift, aliked (aliked-n16), aliked-n16rot, aliked-t16, superpoint, or your own as "
    "my.module:MyFeatures"
)
MAX_KEYPOINTS = 1024
"""How many keypoints of an image are kept, the best, where nothing else is said."""

MOST_KEYPOINTS = 32_768
"""How many may be asked for: a matcher compares each with each, which takes 4 GB a table then."""

GPU_BATCH = 8
"""Pairs that are matched together on a GPU."""


@dataclass(frozen=True)
class Variant:
    """One of several ways to run a matcher, which the benchmark tells apart.

    Attributes:
        label: what tells it from the matcher's others, for people; "" where there is but one.
        id: the same for names of files.
        options: fields of the matcher's configuration, with values.
        adaptive: it does less work where that will do; what it saves is measured against the
            matcher's variant that is not.
        swept: it is one of a sweep's many.
        setting: `label` in a few letters, for plots.
    """

    label: str = ""
    id: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    adaptive: bool = False
    swept: bool = False
    setting: str = ""


@dataclass(frozen=True)
class Needs:
    """What a matcher needs of features.

    Attributes:
        descriptor_size: numbers in a descriptor; None: any.
        oriented: they must have scales and orientations.
    """

    descriptor_size: int | None = None
    oriented: bool = False


@dataclass(frozen=True, eq=False)
class MatcherSpec:
    """A matcher: `matchers.types.Matcher`, and what others have to know of it.

    Either `build` or `from_checkpoint` makes it.

    Attributes:
        name: without spaces.
        build: makes one that needs no file of weights, from the fields of `config`.
        from_checkpoint: makes a network (`torch.nn.Module`) from the tensors of a file of weights
            and from those fields of `config` that these leave open.
        config: dataclass of its options; None: `build` is given options as they are.
        needs: what a matcher that was made needs of features.
        operations: floating-point operations that a matcher spent on a pair, and those that it
            would have spent without adapting, from the matcher, the two images' features and what
            it says of its adaptation; None: not known.
        variants: ways to run it in the benchmark.
        sweeps: more of them, by the name of a sweep.
        training: how it is trained, or where that is written ("my.module:TRAINING"), or None.
        onnx: where the function is that makes its ONNX graphs (`matchers.onnx.graph.GraphMaker`),
            or None.
        takes_images: it matches images, not features.
    """

    name: str
    build: Callable[..., Any] | None = None
    from_checkpoint: Callable[..., Any] | None = None
    config: type | None = None
    needs: Callable[[Any], Needs] = lambda matcher: Needs()
    operations: (
        Callable[[Any, Features, Features, Adaptation | None], tuple[float, float]] | None
    ) = None
    variants: tuple[Variant, ...] = (Variant(),)
    sweeps: Mapping[str, tuple[Variant, ...]] = field(default_factory=dict)
    training: TrainingSpec | str | None = None
    onnx: str | None = None
    takes_images: bool = False

    def __post_init__(self) -> None:
        if (self.build is None) == (self.from_checkpoint is None):
            raise InputError(f"matcher {self.name}: must have build or from_checkpoint")

    @property
    def weighted(self) -> bool:
        """Whether it is made from a file of weights."""
        return self.from_checkpoint is not None

    def trained(self) -> TrainingSpec:
        """The spec of its training.

        Raises:
            InputError: it is not.
        """
        found: Any = named(self.training) if isinstance(self.training, str) else self.training
        if found is None:
            raise InputError(f"matcher {self.name!r}: cannot be trained: one of {_trainable()}")
        spec: TrainingSpec = found
        return spec


@dataclass(frozen=True, eq=False)
class FeaturesSpec:
    """Local features: `matchers.types.Extractor`, and what others have to know of it.

    Attributes:
        name: without spaces.
        build: makes the extractor from the fields of `config`, and, unless it is a network, on a
            `device`.
        config: dataclass of its options; None: `build` is given those that it takes.
        descriptor_size: numbers in a descriptor; None: not known.
        oriented: whether the features have scales and orientations.
        weighted: whether `build` makes a network (`torch.nn.Module`) that is to be filled from a
            file of weights.
        dustbin: cosine of two descriptors at which they may as well be of different points:
            SuperGlue's trainings begin so.
        onnx: where the function is that makes its ONNX graphs (`matchers.onnx.graph.GraphMaker`),
            or None.
    """

    name: str
    build: Callable[..., Any]
    config: type | None = None
    descriptor_size: int | None = None
    oriented: bool = False
    weighted: bool = False
    dustbin: float = 0.6
    onnx: str | None = None


def matcher_spec(given: Any) -> MatcherSpec:
    """The spec of a matcher.

    Args:
        given: see the top of this module.

    Raises:
        InputError: no such name, or nothing that makes a matcher.
    """
    if isinstance(given, str) and given.startswith(VISMATCH):
        return _of_vismatch(given)
    found = _found(given, MATCHERS, "matcher")
    if isinstance(found, MatcherSpec):
        return found
    name = given if isinstance(given, str) else name_of(found)
    if isinstance(found, FeaturesSpec) or not callable(found):
        raise InputError(f"matcher {name!r}: is no matcher, nor what makes one")
    return MatcherSpec(
        name,
        found if _makes(found) else lambda: found,
        takes_images=bool(getattr(found, "takes_images", False)),
    )


def _of_vismatch(given: str) -> MatcherSpec:
    """The spec of one of vismatch's matchers, whose package is not looked for yet."""
    name = given.removeprefix(VISMATCH)
    if not name:
        raise InputError(f"matcher {given!r}: must name one of vismatch's matchers after the colon")

    def build(max_keypoints: int | None = None, device: Any = "cpu") -> Any:
        from matchers.vismatch import VismatchMatcher

        return VismatchMatcher(name, max_keypoints=max_keypoints, device=device)

    return MatcherSpec(given, build, takes_images=True)


def features_spec(given: Any) -> FeaturesSpec:
    """The spec of features.

    Args:
        given: see the top of this module.

    Raises:
        InputError: no such name, or nothing that makes an extractor.
    """
    found = _found(given, FEATURES, "features")
    if isinstance(found, FeaturesSpec):
        return found
    name = given if isinstance(given, str) else name_of(found)
    if isinstance(found, MatcherSpec) or not callable(found):
        raise InputError(f"features {name!r}: are no extractor, nor what makes one")
    size = getattr(found, "descriptor_size", None)
    oriented = bool(getattr(found, "oriented", False))
    return FeaturesSpec(
        name,
        found if _makes(found) else lambda: found,
        descriptor_size=size if isinstance(size, int) else None,
        oriented=oriented,
    )


def name_of(given: Any) -> str:
    """The name of a matcher, of features, or of what makes them; one that leads back to a class."""
    if isinstance(given, str):
        return given
    if isinstance(given, (MatcherSpec, FeaturesSpec)):
        return given.name
    kind = given if hasattr(given, "__qualname__") else type(given)
    return f"{kind.__module__}:{kind.__qualname__}"


def file_name(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "-", name)


def source_file(given: Any) -> Path | None:
    """The file that a matcher or features of somebody's own come from; None of our own."""
    if isinstance(given, str) and (":" not in given or given.startswith(VISMATCH)):
        return None
    found: Any = named(given) if isinstance(given, str) else given
    if isinstance(found, (MatcherSpec, FeaturesSpec)):
        found = found.build or getattr(found, "from_checkpoint", None)
    found = inspect.unwrap(getattr(found, "func", found))
    kind = found if hasattr(found, "__qualname__") else type(found)
    try:
        file = inspect.getsourcefile(kind)
    except TypeError:
        return None
    ours = str(kind.__module__).split(".", 1)[0] in OURS
    return None if file is None or ours else Path(file)


def trainable() -> tuple[str, ...]:
    """Names of the matchers that can be trained."""
    return tuple(name for name in MATCHERS if matcher_spec(name).training is not None)


def _trainable() -> str:
    return ", ".join(trainable())


def _found(given: Any, table: Mapping[str, str], what: str) -> Any:
    """What a name stands for; anything else stands for itself."""
    if not isinstance(given, str):
        return given
    if given in table:
        return named(table[given])
    if ":" not in given:
        raise InputError(f"{what} {given!r}: one of {', '.join(table)}, or your own as module:Name")
    return named(given)


def _makes(found: Any) -> bool:
    """Whether to call something makes a matcher or an extractor; else it is one."""
    return inspect.isclass(found) or inspect.isroutine(found) or hasattr(found, "func")


def make(
    factory: Callable[..., Any], what: str, options: Mapping[str, Any], offered: Mapping[str, Any]
) -> Any:
    """Call what somebody wrote to make a matcher or an extractor.

    Args:
        factory: a class or a function.
        what: it makes, for messages.
        options: it is called with.
        offered: it is called with besides, as far as its signature names them.

    Raises:
        InputError: it fails.
    """
    try:
        taken = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        taken = inspect.signature(lambda: None).parameters
    try:
        return factory(**{name: offered[name] for name in offered if name in taken}, **options)
    except InputError:
        raise
    except Exception as error:  # whatever somebody's class does
        raise InputError(f"{what}: cannot be made ({reason_of(error)})") from None
