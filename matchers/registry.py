"""Extractors and matchers by name, with their weights, on a device.

From two images to matches:

    features = load_features("aliked")
    matcher = load_matcher("lightglue", features="aliked")
    matches = matcher(features("a.png"), features("b.png"))
"""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from matchers import weights as store
from matchers.own import Called
from matchers.specs import (
    MAX_KEYPOINTS,
    FeaturesSpec,
    MatcherSpec,
    features_spec,
    make,
    matcher_spec,
)
from satgen.errors import InputError

if TYPE_CHECKING:
    import torch

    from matchers.types import Extractor, Matcher

DTYPES = ("float32", "float16", "bfloat16")
FEATURES_DTYPES = ("float32", "float16")  # with 8 bits, keypoints are off by tenths of a pixel

UNFETCHED = "sift"
"""Features that work without anything fetched."""

T = TypeVar("T")


def default_features() -> str:
    """The features that a command takes where none are named.

    ALIKED if its weights have been fetched; otherwise SIFT, for which nothing is.
    """
    aliked = next(weights for weights in store.OFFICIAL if weights.name == "aliked-n16")
    return "aliked" if aliked.path.is_file() else UNFETCHED


def load_features(
    name: Any = "aliked",
    *,
    weights: str | os.PathLike[str] | None = None,
    max_keypoints: int | None = MAX_KEYPOINTS,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    **options: Any,
) -> Extractor:
    """An extractor, ready to be called with an image.

    Args:
        name: a name in `matchers.specs.FEATURES` ("aliked" is "aliked-n16"),
            "my.module:MyFeatures", or in Python whatever `matchers.specs.features_spec` takes.
        weights: "official", "satgen" (ours) or a file; None: ours if there are any, else the
            official ones. They are fetched if need be (`matchers.weights.official`).
        max_keypoints: at most so many an image, the best; None: no limit.
        device: of the network; None: see `choose_device`. SIFT runs on the CPU, its features are
            moved there.
        dtype: float32 or float16; None: float32. In float16 a network computes what it can (of
            ALIKED that leaves 99 of 100 keypoints within 0.01 px); its features are float32 all
            the same.
        **options: fields of the extractor's config: `SIFTConfig`, `ALIKEDConfig`,
            `SuperPointConfig`.

    Raises:
        InputError: an unknown name, option or device; a value out of range; weights that cannot be
            had, or are not this network's.
        RunError: see `matchers.weights.official`.
    """
    spec = features_spec(name)
    target = choose_device(device)
    if weights is not None and not spec.weighted:
        raise InputError(f"weights {str(weights)!r} for {spec.name}: it has none")
    if dtype is not None and not spec.weighted:
        raise InputError(f"dtype {str(dtype)!r} for {spec.name}: it is no network")
    kind = _dtype(dtype, FEATURES_DTYPES)
    count = {"max_keypoints": max_keypoints}
    if spec.config is not None:
        options = count | options
        _config(spec.config, spec.name, options)
    if not spec.weighted:
        offered = {"device": target} | count
        extractor = make(spec.build, f"features {spec.name!r}", options, offered)
    else:
        network: Any = make(spec.build, f"features {spec.name!r}", options, count)
        fill_network(network, find_weights(None, spec, weights), spec)
        extractor = network.to(target).eval()
        compute_in = getattr(network, "compute_in", network.to)  # all of it, where it has no say
        compute_in(kind)
    if not callable(extractor):
        raise InputError(f"features {spec.name!r}: give {type(extractor).__name__}, no extractor")
    found: Extractor = extractor
    return found


def load_matcher(
    name: Any = "lightglue",
    features: Any = "aliked",
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    compile: bool = False,
    **options: Any,
) -> Matcher:
    """A matcher, ready to be called with two images' features.

    Args:
        name: a name in `matchers.specs.MATCHERS`, "my.module:MyMatcher", or in Python whatever
            `matchers.specs.matcher_spec` takes.
        features: those that it is to match, named likewise.
        weights: "official", "satgen" (ours) or a file; None: ours for these features if there are
            any, else the official ones. Fetched if need be (`matchers.weights.official`).
        device: None: see `choose_device`.
        dtype: one of `DTYPES`, in which the network computes; None: float32.
        compile: hand the network to `torch.compile`, which takes about a minute and pays where
            many pairs follow. LightGlue's layers are CUDA graphs in any case.
        **options: fields of the matcher's config: `LightGlueConfig`, `SuperGlueConfig`,
            `NearestConfig`.

    Raises:
        InputError: an unknown name, option or device; a value out of range; no weights of this
            matcher for these features; weights that cannot be had, or are another network's.
        RunError: see `matchers.weights.official`.
    """
    to = features_spec(features)
    spec = matcher_spec(name)
    if spec.takes_images:
        raise InputError(f"matcher {spec.name!r}: takes images, and no features")
    if spec.config is not None:
        _config(spec.config, spec.name, options)
    matcher: Any
    if not spec.weighted:
        if weights is not None or dtype is not None or compile:
            raise InputError(f"{spec.name} has no weights of its own, nor dtype or compile")
        assert spec.build is not None
        offered = {"device": choose_device(device), "features": to.name}
        matcher = make(spec.build, f"matcher {spec.name!r}", options, offered)
        if not callable(matcher):
            raise InputError(f"matcher {spec.name!r}: gives {type(matcher).__name__}, no matcher")
    else:
        matcher = _network(spec, to, weights, options)
        matcher.to(choose_device(device), _dtype(dtype))
        if compile:
            matcher.compile()
    found: Matcher = matcher if hasattr(matcher, "prepare") else Called(matcher)
    return found


def load_image_matcher(
    name: Any,
    *,
    max_keypoints: int | None = MAX_KEYPOINTS,
    device: str | torch.device | None = None,
    **options: Any,
) -> Any:
    """A matcher of images, for `matchers.image_matchers.match_images`.

    Args:
        name: "vismatch:NAME", or whatever `matchers.specs.matcher_spec` takes, of a matcher with
            `takes_images`.
        max_keypoints: an image, as far as it has such a limit.
        device: None: see `choose_device`.
        **options: it is made with besides.

    Raises:
        InputError: an unknown name or device, no matcher of images, or it cannot be made.
    """
    spec = matcher_spec(name)
    if not spec.takes_images or spec.build is None:
        raise InputError(f"matcher {spec.name!r}: matches features, not images")
    offered = {"device": choose_device(device), "max_keypoints": max_keypoints}
    matcher = make(spec.build, f"matcher {spec.name!r}", options, offered)
    if not callable(matcher):
        raise InputError(f"matcher {spec.name!r}: gives {type(matcher).__name__}, no matcher")
    return matcher


def _network(
    spec: MatcherSpec,
    features: FeaturesSpec,
    weights: str | os.PathLike[str] | None,
    options: dict[str, Any],
) -> Any:
    """A matcher that is a network, with weights that fit the features."""
    path = find_weights(spec, features, weights)
    state = store.load(path)
    store.check_purpose(path, spec.name, features.name)
    assert spec.from_checkpoint is not None
    try:
        built = spec.from_checkpoint(state, **options)
    except InputError as error:
        raise InputError(f"weights {path}: {error}") from None
    needs, given = spec.needs(built), features.descriptor_size
    if None not in (given, needs.descriptor_size) and needs.descriptor_size != given:
        raise InputError(
            f"weights {path}: for descriptors of {needs.descriptor_size} numbers, those of "
            f"{features.name} have {given}"
        )
    if needs.oriented and not features.oriented:
        raise InputError(f"weights {path}: need scales and orientations: {features.name} has none")
    return built


def _dtype(dtype: str | torch.dtype | None, choice: tuple[str, ...] = DTYPES) -> torch.dtype:
    """The torch type of a name.

    Raises:
        InputError: not one of these.
    """
    import torch

    known = {name: getattr(torch, name) for name in choice}
    if dtype is None:
        return torch.float32
    found = known.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise InputError(f"dtype {str(dtype)!r}: one of {', '.join(choice)}")
    kind: torch.dtype = found
    return kind


def features_name(name: Any) -> str:
    """The name that an alias stands for.

    Raises:
        InputError: no such features.
    """
    return features_spec(name).name


def find_weights(
    matcher: Any | None, features: Any, weights: str | os.PathLike[str] | None
) -> Path:
    """The file of weights for a matcher of these features, or (None) for the extractor.

    Args:
        matcher: its name or spec, or None.
        features: their name or spec.
        weights: see `load_matcher`.

    Raises:
        InputError, RunError: see `load_matcher`.
    """
    to = features_spec(features).name
    name = None if matcher is None else matcher_spec(matcher).name
    if weights is not None and str(weights) not in ("official", "satgen"):
        return Path(weights)
    known = store.catalogue()
    fitting = {w.kind: w for w in known if (w.matcher, w.features) == (name, to)}
    kinds = ("satgen", "official") if weights is None else (str(weights),)
    for kind in kinds:
        if kind in fitting:
            found = fitting[kind]
            return found.path if kind == "satgen" else store.official(found.name, progress=True)
    raise InputError(_none_fit(name, to, weights, known))


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device of that name; None or "auto": CUDA if there is one, else MPS, else the CPU.

    Raises:
        InputError: no such device here.
    """
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device is None or device == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    here = ["cpu", *(["cuda"] if cuda else []), *(["mps"] if mps else [])]
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError(f"device {device!r}: one of auto, {', '.join(here)}") from None
    if chosen.type not in here or (
        chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count()
    ):
        raise InputError(f"device {str(device)!r} is not here: one of auto, {', '.join(here)}")
    return chosen


def _none_fit(
    matcher: str | None,
    features: str,
    weights: str | os.PathLike[str] | None,
    known: tuple[store.Weights, ...],
) -> str:
    """What to say where no weights fit."""
    what = features if matcher is None else f"{matcher} on {features} features"
    kind = "" if weights is None else f"{weights!s} "
    there = [f"{w.kind} {w.name}" for w in known if w.matcher == matcher]
    others = f"there are {', '.join(there)}" if there else "there are none by name"
    option = "--features-weights" if matcher is None else "--weights"
    return f"no {kind}weights for {what}: {others}; or give a file of weights ({option} FILE)"


def _config(kind: type[T], name: str, options: dict[str, Any]) -> T:
    """A config from options, for which an unknown one is an InputError."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise InputError(f"{name} has no option {option!r}: one of {', '.join(known)}")
    return kind(**options)


def fill_network(network: torch.nn.Module, path: Path, spec: FeaturesSpec) -> None:
    """Load a file of an extractor's weights strictly.

    Raises:
        InputError: they are not this network's.
    """
    state = store.load(path)
    store.check_purpose(path, None, spec.name)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"weights {path}: not those of {type(network).__name__}: {reason}"
        ) from None
