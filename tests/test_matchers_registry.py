"""matchers.registry: from names to extractors and matchers with the right weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from matchers import registry, weights
from matchers.registry import default_features, load_features, load_matcher
from matchers.specs import FEATURES, MATCHERS, features_spec
from satgen.errors import InputError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A textured image."""
    import cv2

    noise = np.random.default_rng(1).integers(0, 255, (160, 192, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)


def refused(action: Any, *named: str) -> None:
    """It raises an InputError of one line that names these."""
    with pytest.raises(InputError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    for word in named:
        assert word in text


@pytest.mark.parametrize("name", ["sift", "aliked", "aliked-n16", "aliked-n16rot", "aliked-t16"])
def test_every_extractor_gives_features_of_the_promised_size(name: str, image: np.ndarray) -> None:
    features = load_features(name, max_keypoints=40, device="cpu")(image)
    assert 0 < len(features) <= 40
    size = features_spec(name).descriptor_size
    assert features.descriptors.shape == (len(features), size)
    lengths = features.descriptors.norm(dim=1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-4)


def test_aliked_is_aliked_n16(image: np.ndarray) -> None:
    a, b = (load_features(name, device="cpu")(image) for name in ("aliked", "aliked-n16"))
    assert torch.equal(a.descriptors, b.descriptors)


def test_the_official_matcher_matches_an_image_with_itself(image: np.ndarray) -> None:
    features = load_features("aliked", device="cpu", max_keypoints=100)(image)
    matcher = load_matcher("lightglue", features="aliked", weights="official", device="cpu")
    matches = matcher(features, features)
    assert len(matches) > 0.9 * len(features)
    assert (matches.indices[:, 0] == matches.indices[:, 1]).all()
    assert matches.adaptation is not None


@pytest.mark.parametrize("features", ["sift", "aliked-t16"])
def test_nearest_needs_no_weights(features: str, image: np.ndarray) -> None:
    found = load_features(features, device="cpu", max_keypoints=50)(image)
    matches = load_matcher("nearest", features, device="cpu")(found, found)
    assert len(matches) > 0


def test_options_reach_the_config() -> None:
    matcher: Any = load_matcher(
        "lightglue", device="cpu", depth_confidence=-1.0, width_confidence=0.5
    )
    assert matcher.config.depth_confidence == -1.0
    assert matcher.config.width_confidence == 0.5
    extractor: Any = load_features("sift", max_keypoints=7, root=False)
    assert (extractor.config.max_keypoints, extractor.config.root) == (7, False)


def test_the_default_features_are_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SATGEN_CACHE", str(tmp_path))
    assert default_features() == "sift"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "aliked-t16.pth").touch()
    assert default_features() == "sift"
    (tmp_path / "weights" / "aliked-n16.pth").touch()
    assert default_features() == "aliked"


def test_unknown_names_list_the_choices() -> None:
    refused(lambda: load_features("orb"), "orb", *FEATURES)
    refused(lambda: load_matcher("loftr"), "loftr", *MATCHERS)
    refused(lambda: load_matcher("nearest", "orb"), "orb", *FEATURES)
    refused(lambda: load_features("sift", colour=3), "colour", "octave_layers")
    refused(lambda: load_matcher("nearest", "sift", device="cpu", tempo=3), "tempo")
    refused(lambda: load_features("sift", max_keypoints=0), "max_keypoints")
    refused(lambda: load_features("sift", device="abacus"), "abacus", "cpu")
    refused(lambda: load_features("sift", dtype="float16"), "float16", "sift")
    refused(lambda: load_features("aliked", dtype="bfloat16"), "bfloat16", "float32, float16")
    if not torch.cuda.is_available():
        refused(lambda: load_matcher("nearest", device="cuda"), "cuda", "cpu")
    refused(lambda: load_matcher("lightglue", device="cpu", dtype="int8"), "int8", "bfloat16")


def test_weights_that_do_not_exist_say_what_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "ours", lambda: ())
    refused(lambda: load_features("superpoint"), "superpoint", "file")
    refused(lambda: load_features("sift", weights="official"), "sift")
    refused(lambda: load_features("aliked", weights="satgen"), "satgen", "official aliked-n16")
    refused(lambda: load_matcher("lightglue", "sift"), "sift", "official lightglue-aliked")
    refused(lambda: load_matcher("lightglue", "aliked-t16"), "aliked-t16")
    refused(lambda: load_matcher("superglue", "aliked"), "superglue", "file")
    refused(lambda: load_matcher("nearest", weights="official"), "nearest")
    refused(lambda: load_matcher("lightglue", weights="nowhere.pth"), "nowhere.pth")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"weight": torch.ones(2, 2)}, file)
    for name in ("aliked", "superpoint"):
        refused(lambda name=name: load_features(name, weights=file), "other.safetensors")
    for name in ("lightglue", "superglue"):
        refused(lambda name=name: load_matcher(name, weights=file), "other.safetensors")


def test_a_file_of_the_official_weights_is_as_good_as_their_name(image: np.ndarray) -> None:
    path = weights.official("aliked-t16")
    a = load_features("aliked-t16", weights=path, device="cpu")(image)
    b = load_features("aliked-t16", weights="official", device="cpu")(image)
    assert torch.equal(a.descriptors, b.descriptors)


def test_ours_come_before_the_official_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundled file is taken by default, `weights` chooses otherwise."""
    import hashlib
    import json

    tensors = weights.load(weights.official("aliked-t16"))
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    file = tmp_path / "aliked-t16.safetensors"
    save_file(halves, file)
    card = {
        "matcher": None,
        "features": "aliked-t16",
        "source": "test",
        "licence": "CC0-1.0",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    file.with_suffix(".json").write_text(json.dumps(card))
    monkeypatch.setattr(weights, "BUNDLE", tmp_path)
    assert registry.find_weights(None, "aliked-t16", None) == file
    assert registry.find_weights(None, "aliked-t16", "satgen") == file
    official = registry.find_weights(None, "aliked-t16", "official")
    assert official == weights.official("aliked-t16")
    network: Any = load_features("aliked-t16", device="cpu")
    assert all(t.dtype != torch.float16 for t in network.state_dict().values())


def test_importing_it_loads_no_torch() -> None:
    script = "import sys; from matchers import registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
