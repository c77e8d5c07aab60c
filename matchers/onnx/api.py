"""Weights of a network written as ONNX files: `satgen weights --export onnx`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matchers import weights as store
from matchers.registry import fill_network, find_weights
from matchers.specs import (
    FEATURES,
    MATCHERS,
    FeaturesSpec,
    MatcherSpec,
    features_spec,
    make,
    matcher_spec,
)
from satgen.errors import InputError
from satgen.lookup import named


@dataclass(frozen=True)
class NetworkWeights:
    """What is to be written: a network, and its file of weights.

    Attributes:
        name: for the file's name.
        path: of the weights; they are fetched when they are needed.
        spec: of the matcher or the features that the weights are of.
        features: of a matcher, those that it matches, as far as that is known.
        facts: whose they are, for the file's metadata.
    """

    name: str
    path: Path
    spec: MatcherSpec | FeaturesSpec
    features: str
    facts: dict[str, str]

    @property
    def maker(self) -> str:
        """Where the function is that makes the network's graphs.

        Raises:
            InputError: there is none.
        """
        if self.spec.onnx is None:
            raise InputError(f"--export onnx: {self.spec.name} cannot be written as ONNX")
        return self.spec.onnx


def source_of(name: str) -> NetworkWeights:
    """What a name or a file stands for.

    Args:
        name: of weights (`satgen weights`), of features, or a file of weights.

    Raises:
        InputError: there is no such, it is no network, or the weights are of none that is known.
        RunError: see `matchers.weights.official`.
    """
    known = next((w for w in store.catalogue() if w.name == name), None)
    if known is None and name in FEATURES:
        spec = features_spec(name)
        if not spec.weighted:
            raise InputError(f"--export onnx {name}: is no network, there is nothing to export")
        known = next(
            (w for w in store.catalogue() if (w.matcher, w.features) == (None, spec.name)), None
        )
        if known is None:
            raise InputError(f"--export onnx {name}: no weights come with it; give their file")
    if known is None:
        return _of_file(name)
    facts = {
        "weights": known.name,
        "weights_sha256": known.sha256,
        "weights_of": "its authors" if known.kind == "official" else "satgen",
        "licence": known.licence,
        "source": known.source,
    }
    spec_of: MatcherSpec | FeaturesSpec = (
        features_spec(known.features) if known.matcher is None else matcher_spec(known.matcher)
    )
    path = find_weights(known.matcher, known.features, known.kind)
    return NetworkWeights(known.name, path, spec_of, known.features, facts)


def _of_file(name: str) -> NetworkWeights:
    """A file of weights."""
    path = Path(name)
    if path.suffix.lower() not in store.TYPES:
        names = ", ".join(w.name for w in store.catalogue())
        raise InputError(f"--export onnx {name}: one of {names}, or a file of weights")
    state = store.load(path)
    said = store.purpose(path)
    facts = {
        "weights": path.name,
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": "that of the weights' file, which satgen does not know",
    }
    if said is not None:
        spec: MatcherSpec | FeaturesSpec = (
            features_spec(said.features) if said.matcher is None else matcher_spec(said.matcher)
        )
        return NetworkWeights(path.stem, path, spec, said.features, facts)
    for candidate in _networks():
        try:
            _network(candidate, path, state, 1)
        except InputError:
            continue
        features = candidate.name if isinstance(candidate, FeaturesSpec) else ""
        return NetworkWeights(path.stem, path, candidate, features, facts)
    every = ", ".join(dict.fromkeys(spec.name for spec in _networks()))
    raise InputError(f"weights {name}: of no network that is known: {every}")


def _networks() -> list[MatcherSpec | FeaturesSpec]:
    """The specs of all networks that have a name."""
    specs: list[MatcherSpec | FeaturesSpec] = [matcher_spec(name) for name in MATCHERS]
    specs += [features_spec(name) for name in FEATURES]
    return [spec for spec in specs if spec.weighted]


def _network(spec: MatcherSpec | FeaturesSpec, path: Path, state: Any, limit: int) -> Any:
    """A network with its weights, whose gradients nobody wants."""
    if isinstance(spec, MatcherSpec):
        assert spec.from_checkpoint is not None
        network: Any = spec.from_checkpoint(state)
    else:
        count = {"max_keypoints": limit}
        network = make(spec.build, f"features {spec.name!r}", count, {})
        fill_network(network, path, spec)
    return network.eval().requires_grad_(False)


def export_onnx(
    name: str,
    out: Path | None = None,
    *,
    points: int | None = None,
    size: tuple[int, int] | None = None,
    max_keypoints: int | None = None,
    adaptive: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write a network as an ONNX file, or (`adaptive`) a folder of them.

    Each file is run by onnxruntime before it is written, and gives what the network gives.

    Args:
        name: of weights, of features, or a file of weights.
        out: NAME.onnx in the current directory where None is given; of `adaptive` NAME-adaptive.
        points: every image has so many keypoints, padded with zeros; None: any number.
        size: width and height of every image in pixels, of an extractor; None: any.
        max_keypoints: of an extractor without `points`: at most so many; None: 1024.
        adaptive: LightGlue layer by layer, so that a loop outside may leave early.
        overwrite: replace what is there.

    Returns:
        The files.

    Raises:
        InputError: no such weights; what an option asks for is nothing of theirs; the place is
            taken, or in a dataset or run; the extra `onnx` is not installed.
        RunError: it cannot be written.
    """
    import satgen
    from matchers.onnx.write import check_place, require_onnx, write_graphs

    require_onnx()
    found = source_of(name)
    matches = isinstance(found.spec, MatcherSpec)
    refused = {"--size": size, "--max-keypoints": max_keypoints} if matches else {}
    for option, value in refused.items():
        if value is not None:
            raise InputError(f"{option}: {found.name} is a matcher, which takes no images")
    if adaptive and not (
        isinstance(found.spec, MatcherSpec) and any(v.adaptive for v in found.spec.variants)
    ):
        raise InputError(f"--adaptive: {found.name} does not adapt")
    if adaptive and points is not None:
        raise InputError("--adaptive with --points: what is pruned leaves any number of points")
    if points is not None and max_keypoints is not None:
        raise InputError("--points and --max-keypoints: give one or the other")
    place = Path(f"{found.name}-adaptive" if adaptive else f"{found.name}.onnx")
    place = place if out is None else out
    check_place(place, adaptive, overwrite)

    from matchers.onnx.graph import OnnxOptions

    options = OnnxOptions(points, size, max_keypoints or OnnxOptions.max_keypoints, adaptive)
    network = _network(found.spec, found.path, store.load(found.path), options.limit)
    facts = {"satgen": satgen.__version__, **found.facts}
    if isinstance(found.spec, MatcherSpec):
        facts |= {"matcher": found.spec.name}
    if found.features:
        facts |= {"features": found.features}
    return write_graphs(named(found.maker)(network, options), place, facts, overwrite=overwrite)
