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
from satgen.errors import InputError

if TYPE_CHECKING:
    import torch

    from matchers.types import Extractor, Matcher

FEATURES = ("sift", "aliked", "aliked-n16", "aliked-n16rot", "aliked-t16", "superpoint")
MATCHERS = ("lightglue", "superglue", "nearest")
DTYPES = ("float32", "float16", "bfloat16")

ALIASES = {"aliked": "aliked-n16"}
"""Other names of features."""

DESCRIPTOR_SIZES = {
    "sift": 128,
    "aliked-n16": 128,
    "aliked-n16rot": 128,
    "aliked-t16": 64,
    "superpoint": 256,
}
"""Numbers in a descriptor."""

T = TypeVar("T")


def default_features() -> str:
    """The features that a command takes where none are named.

    ALIKED if its weights have been fetched; otherwise SIFT, for which nothing is.
    """
    aliked = next(w for w in store.OFFICIAL if w.name == ALIASES["aliked"])
    return "aliked" if aliked.path.is_file() else "sift"


def load_features(
    name: str = "aliked",
    *,
    weights: str | os.PathLike[str] | None = None,
    max_keypoints: int | None = 1024,
    device: str | torch.device | None = None,
    **options: Any,
) -> Extractor:
    """An extractor, ready to be called with an image.

    Args:
        name: one of `FEATURES`; "aliked" is "aliked-n16".
        weights: "official", "satgen" (ours) or a file; None: ours if there are any, else the
            official ones. They are fetched if need be (`matchers.weights.official`).
        max_keypoints: at most so many an image, the best; None: no limit.
        device: of the network; None: see `choose_device`. SIFT runs on the CPU, its features are
            moved there.
        **options: fields of the extractor's config: `SIFTConfig`, `ALIKEDConfig`,
            `SuperPointConfig`.

    Raises:
        InputError: an unknown name, option or device; a value out of range; weights that cannot be
            had, or are not this network's.
        RunError: see `matchers.weights.official`.
    """
    name = features_name(name)
    target = choose_device(device)
    options = {"max_keypoints": max_keypoints, **options}
    if name == "sift":
        from matchers.features.sift import SIFT, SIFTConfig

        if weights is not None:
            raise InputError(f"weights {str(weights)!r} for sift: it has none")
        return SIFT(_config(SIFTConfig, name, options), device=target)
    network: Any
    if name == "superpoint":
        from matchers.features.superpoint import SuperPoint, SuperPointConfig

        network = SuperPoint(_config(SuperPointConfig, name, options))
    else:
        from matchers.features.aliked import ALIKED, ALIKEDConfig

        network = ALIKED(_config(ALIKEDConfig, name, {"variant": name, **options}))
    path = find_weights(None, name, weights)
    fill_network(network, path)
    extractor: Extractor = network.to(target).eval()
    return extractor


def load_matcher(
    name: str = "lightglue",
    features: str = "aliked",
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    compile: bool = False,
    **options: Any,
) -> Matcher:
    """A matcher, ready to be called with two images' features.

    Args:
        name: one of `MATCHERS`.
        features: one of `FEATURES`, those that it is to match.
        weights: "official", "satgen" (ours) or a file; None: ours for these features if there are
            any, else the official ones. Fetched if need be (`matchers.weights.official`).
        device: None: see `choose_device`.
        dtype: one of `DTYPES`, in which the network computes; None: float32.
        compile: hand the network to `torch.compile`.
        **options: fields of the matcher's config: `LightGlueConfig`, `SuperGlueConfig`,
            `NearestConfig`.

    Raises:
        InputError: an unknown name, option or device; a value out of range; no weights of this
            matcher for these features; weights that cannot be had, or are another network's.
        RunError: see `matchers.weights.official`.
    """
    features = features_name(features)
    if name not in MATCHERS:
        raise InputError(f"matcher {name!r}: one of {', '.join(MATCHERS)}")
    if name == "nearest":
        from matchers.nearest import NearestConfig, NearestNeighbour

        if weights is not None or dtype is not None or compile:
            raise InputError("nearest is no network: it has no weights, dtype or compile")
        choose_device(device)
        return NearestNeighbour(_config(NearestConfig, name, options))
    network = _network(name, features, weights, options)
    network.to(choose_device(device), _dtype(dtype))
    if compile:
        network.compile()
    matcher: Matcher = network
    return matcher


def _network(
    name: str, features: str, weights: str | os.PathLike[str] | None, options: dict[str, Any]
) -> Any:
    """A matcher that is a network, with weights that fit the features."""
    network: Any
    config: type
    if name == "lightglue":
        from matchers.lightglue import LightGlue, LightGlueConfig

        network, config = LightGlue, LightGlueConfig
    else:
        from matchers.superglue import SuperGlue, SuperGlueConfig

        network, config = SuperGlue, SuperGlueConfig
    _config(config, name, options)
    path = find_weights(name, features, weights)
    state = store.load(path)
    try:
        built = network.from_checkpoint(state, **options)
    except InputError as error:
        raise InputError(f"weights {path}: {error}") from None
    if name == "lightglue":
        _check_fit(path, features, built.config.input_dim, built.config.scale_orientation)
    else:
        _check_fit(path, features, built.config.descriptor_size, False)
    return built


def _check_fit(path: Path, features: str, size: int, oriented: bool) -> None:
    """Refuse a matcher's weights that cannot take these features."""
    given = DESCRIPTOR_SIZES[features]
    if size != given:
        raise InputError(
            f"weights {path}: for descriptors of {size} numbers, those of {features} have {given}"
        )
    if oriented and features != "sift":
        raise InputError(f"weights {path}: need scales and orientations: {features} has none")


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    """A type by its name.

    Raises:
        InputError: not one of `DTYPES`.
    """
    import torch

    known = {name: getattr(torch, name) for name in DTYPES}
    if dtype is None:
        return torch.float32
    found = known.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise InputError(f"dtype {str(dtype)!r}: one of {', '.join(DTYPES)}")
    kind: torch.dtype = found
    return kind


def features_name(name: str) -> str:
    """The name that an alias stands for.

    Raises:
        InputError: no such features.
    """
    if name not in FEATURES:
        raise InputError(f"features {name!r}: one of {', '.join(FEATURES)}")
    return ALIASES.get(name, name)


def find_weights(
    matcher: str | None, features: str, weights: str | os.PathLike[str] | None
) -> Path:
    """The file of weights for a matcher of these features, or (None) for the extractor.

    Args:
        matcher: its name, or None.
        features: their name.
        weights: see `load_matcher`.

    Raises:
        InputError, RunError: see `load_matcher`.
    """
    features = features_name(features)
    if weights is not None and str(weights) not in ("official", "satgen"):
        return Path(weights)
    known = store.catalogue()
    fitting = {w.kind: w for w in known if (w.matcher, w.features) == (matcher, features)}
    kinds = ("satgen", "official") if weights is None else (str(weights),)
    for kind in kinds:
        if kind in fitting:
            found = fitting[kind]
            return found.path if kind == "satgen" else store.official(found.name, progress=True)
    raise InputError(_none_fit(matcher, features, weights, known))


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
    return f"no {kind}weights for {what}: {others}; or give a file of weights"


def _config(kind: type[T], name: str, options: dict[str, Any]) -> T:
    """A config from options, for which an unknown one is an InputError."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise InputError(f"{name} has no option {option!r}: one of {', '.join(known)}")
    return kind(**options)


def fill_network(network: torch.nn.Module, path: Path) -> None:
    """Load a file of weights strictly.

    Raises:
        InputError: they are not this network's.
    """
    try:
        network.load_state_dict(store.load(path))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"weights {path}: not those of {type(network).__name__}: {reason}"
        ) from None
