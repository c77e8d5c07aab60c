"""matchers.specs: matchers and features by name, as module:Name, as a file, and as objects."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from matchers import specs
from matchers.nearest import NearestConfig, NearestNeighbour
from matchers.registry import find_weights, load_features, load_matcher
from matchers.specs import FeaturesSpec, MatcherSpec, features_spec, matcher_spec
from matchers.types import Features, Matches
from satgen.errors import InputError

torch.set_num_threads(1)

OWN = """
import torch
from matchers.specs import FeaturesSpec, MatcherSpec
from matchers.types import Features, Matches

class Mine:
    def __init__(self, keep=3, features=None, device=None):
        self.keep, self.features, self.device = keep, features, device
    def __call__(self, a, b):
        n = min(len(a), len(b), self.keep)
        return Matches(torch.arange(n)[:, None].expand(n, 2), torch.ones(n))

class Corners:
    descriptor_size = 4
    def __init__(self, max_keypoints=None):
        self.count = max_keypoints
    def __call__(self, image, *, mask=None, box=None):
        n = min(self.count, 5)
        return Features(torch.ones(n, 2), torch.ones(n), torch.ones(n, 4) / 2,
                        torch.tensor([9.0, 9.0]))

class Broken:
    def __init__(self):
        raise ValueError("no\\nluck")

ready = Mine(keep=2)
SPEC = MatcherSpec("two", build=lambda **options: Mine(**options))
FEATURES = FeaturesSpec("corners", Corners, descriptor_size=4)
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Somebody's module in the current directory, under a name of its own."""
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def some(count: int, size: int = 4) -> Features:
    vectors = torch.nn.functional.normalize(torch.rand(count, size), dim=1)
    return Features(torch.rand(count, 2), torch.rand(count), vectors, torch.tensor([9.0, 9.0]))


def refused(action: Any, *named: str) -> None:
    with pytest.raises(InputError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    for word in named:
        assert word in text


@pytest.mark.parametrize("name", specs.MATCHERS)
def test_every_matcher_that_has_a_name_says_it(name: str) -> None:
    spec = matcher_spec(name)
    assert spec.name == name and spec.operations is not None and spec.config is not None
    known = {item.name for item in fields(spec.config)}
    every = [*spec.variants, *(v for sweep in spec.sweeps.values() for v in sweep)]
    assert {option for variant in every for option, _ in variant.options} <= known
    assert sum(not variant.adaptive for variant in spec.variants) >= 1
    tellable = {v.id for v in every}
    assert len(tellable) == len({v.options for v in every})


@pytest.mark.parametrize("name", specs.FEATURES)
def test_all_features_that_have_a_name_say_it(name: str) -> None:
    spec = features_spec(name)
    assert spec.name in specs.FEATURES and features_spec(spec.name) is spec
    assert spec.descriptor_size and spec.config is not None


@pytest.mark.parametrize("form", ["{0}:Mine", "{0}.py:Mine", "./{0}.py:Mine"])
def test_a_class_by_its_place(own: str, form: str) -> None:
    name = form.format(own)
    matcher: Any = load_matcher(name, features="sift", device="cpu")
    assert matcher.function.features == "sift" and matcher.function.device == torch.device("cpu")
    assert len(matcher(some(9), some(7))) == 3
    assert len(matcher.match(matcher.prepare(some(9)), matcher.prepare(some(7)))) == 3
    assert len(load_matcher(name, "sift", keep=1)(some(9), some(7))) == 1
    assert matcher_spec(name).name == name and matcher_spec(name).operations is None


def test_an_object_and_a_spec_by_their_place(own: str) -> None:
    assert len(load_matcher(f"{own}:ready", "sift")(some(9), some(7))) == 2
    assert matcher_spec(f"{own}:SPEC").name == "two"
    assert len(load_matcher(f"{own}:SPEC", "sift", keep=5)(some(9), some(7))) == 5


def test_features_by_their_place(own: str) -> None:
    for name in (f"{own}:Corners", f"{own}:FEATURES"):
        assert features_spec(name).descriptor_size == 4
        assert len(load_features(name, max_keypoints=3)(np.zeros((9, 9)))) == 3
    found = load_features(f"{own}:Corners")(np.zeros((9, 9)))
    assert len(load_matcher("nearest", f"{own}:Corners")(found, found)) == 1
    refused(lambda: load_matcher("lightglue", f"{own}:Corners"), own, "file of weights")


def test_python_takes_the_things_themselves() -> None:
    matcher = NearestNeighbour(NearestConfig(ratio=0.5))
    assert load_matcher(matcher, "sift") is matcher
    assert matcher_spec(matcher).name == "matchers.nearest:NearestNeighbour"
    assert isinstance(load_matcher(NearestNeighbour, "sift"), NearestNeighbour)

    def nothing(features0: Features, features1: Features) -> Matches:
        return Matches(torch.zeros((0, 2), dtype=torch.int64), torch.zeros(0))

    spec = MatcherSpec("nothing", build=lambda: nothing)
    assert len(load_matcher(spec, "sift")(some(3), some(3))) == 0
    extractor = load_features("sift")
    assert load_features(extractor) is extractor
    assert features_spec(FeaturesSpec("x", build=lambda: extractor)).name == "x"


def test_what_is_nowhere_is_refused_in_a_line(own: str, tmp_path: Path) -> None:
    (tmp_path / "torn.py").write_text("def f(:\n")
    refused(lambda: load_matcher("third"), "'third'", "lightglue", "module:Name")
    refused(lambda: load_matcher("no.such:Thing"), "no.such", "ModuleNotFoundError")
    refused(lambda: load_matcher("no.py:Thing"), "no.py", "FileNotFoundError")
    refused(lambda: load_matcher("torn:f"), "torn", "SyntaxError")
    refused(lambda: load_matcher(f"{own}:Nothing"), own, "Nothing")
    refused(lambda: load_matcher(f"{own}:number"), "number", "no matcher")
    refused(lambda: load_matcher(f"{own}:FEATURES"), "no matcher")
    refused(lambda: load_features(f"{own}:SPEC"), "no extractor")
    refused(lambda: load_features(f"{own}:number"), "no extractor")
    refused(lambda: load_matcher(f"{own}:Broken"), "Broken", "ValueError: no luck")
    refused(lambda: load_matcher(f"{own}:Mine", colour=3), "colour")
    refused(lambda: load_matcher(f"{own}:Mine", weights="official"), "no weights")
    refused(lambda: load_features(f"{own}:Corners", weights="official"), "none")


def test_the_current_directory_replaces_nothing_of_ours(own: str, tmp_path: Path) -> None:
    for name in ("bench", "matchers", "satgen", "torch"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('mine')\n")
    script = (
        "from matchers.specs import matcher_spec; "
        f"matcher_spec('{own}:Mine'); import bench.config, torch"
    )
    root = Path(specs.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_sources_are_files_of_somebodys_own(own: str, tmp_path: Path) -> None:
    for given in (f"{own}:Mine", f"{own}:ready", f"{own}:SPEC", f"{own}.py:Corners"):
        assert specs.source_file(given) == (tmp_path / f"{own}.py").resolve(), given
    assert specs.source_file("nearest") is None and specs.source_file(NearestNeighbour) is None


def test_our_own_weights_are_found_for_specs_as_for_names() -> None:
    spec = matcher_spec("lightglue")
    assert find_weights(spec, features_spec("sift"), None) == find_weights(
        "lightglue", "sift", None
    )
