"""matchers.onnx: what onnxruntime computes with the files is what satgen computes.

Networks are small, with random weights that make many matches of any strength; one run goes from
rendered frames to matches with the weights that are in the package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from kornia.feature import OnnxLightGlue
from safetensors.torch import save_file
from torch import Tensor, nn

from examples.onnx_adaptive import Adaptive
from examples.onnx_adaptive import inputs as adaptive_inputs
from matchers import weights as store
from matchers.features.aliked import ALIKED, ALIKEDConfig
from matchers.features.superpoint import SuperPoint
from matchers.lightglue import LightGlue
from matchers.lightglue_config import LightGlueConfig
from matchers.match import match
from matchers.onnx.api import export_onnx
from matchers.onnx.graph import OnnxOptions
from matchers.onnx.write import write_graphs
from matchers.registry import load_features
from matchers.specs import features_spec, matcher_spec
from matchers.superglue import SuperGlue
from matchers.types import Features, Matches
from satgen.cli import main
from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from satgen.lookup import named
from tests.pictures import collage
from tests.superglue_inputs import CONFIG, random_features, random_weights

torch.set_num_threads(1)

Arrays = Mapping[str, np.ndarray]


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(path: Path, given: Arrays) -> list[np.ndarray]:
    return list(session(path).run(None, dict(given)))


def written(network: Any, where: str, out: Path, **options: Any) -> Path:
    """A network's one file."""
    network.requires_grad_(False)
    (path,) = write_graphs(named(where)(network, OnnxOptions(**options)), out / "a.onnx", {})
    return path


def lightglue(**options: Any) -> LightGlue:
    """Three layers whose answers differ from token to token; every mutual maximum is a match."""
    torch.manual_seed(3)
    config = LightGlueConfig(
        input_dim=16, dim=32, num_layers=3, num_heads=2, filter_threshold=0.0, **options
    )
    network = LightGlue(config).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(1.7)
    return network


def some(count: int, seed: int, width: int = 16, oriented: bool = False) -> Features:
    found = random_features(count, seed, width)
    extra: dict[str, Tensor] = {}
    if oriented:
        random = np.random.default_rng(seed)
        extra = {
            "scales": torch.from_numpy(random.uniform(1, 30, count).astype(np.float32)),
            "orientations": torch.from_numpy(random.uniform(-3, 3, count).astype(np.float32)),
        }
    return Features(found.keypoints, found.scores, found.descriptors, found.image_size, **extra)


def as_inputs(first: Features, second: Features, *more: str, points: int | None = None) -> Arrays:
    """What the files take, normalised here by the formula that their metadata has."""
    given: dict[str, np.ndarray] = {}
    names = {"scales": "scales", "oris": "orientations", "scores": "scores"}
    for i, side in enumerate((first, second)):
        size = side.image_size
        values = {
            "kpts": (side.keypoints - size / 2) / (size.max() / 2), "desc": side.descriptors,
            **{name: getattr(side, names[name]) for name in more},
        }  # fmt: skip
        for name, value in values.items():
            rows = value.numpy()
            if points is not None:
                rest = np.zeros((points - len(rows), *rows.shape[1:]), np.float32)
                rows = np.concatenate([rows, rest])
            given[f"{name}{i}"] = rows[None]
    return given


def same_matches(found: list[np.ndarray], wanted: Matches) -> None:
    indices, scores = found
    assert indices.dtype == np.int64 and scores.dtype == np.float32
    np.testing.assert_array_equal(indices, wanted.indices.numpy())
    np.testing.assert_allclose(scores, wanted.scores.numpy(), atol=1e-4)


@pytest.mark.parametrize("oriented", [False, True])
def test_lightglue_of_any_number_of_points(oriented: bool, tmp_path: Path) -> None:
    network = lightglue(scale_orientation=oriented)
    path = written(network, "matchers.onnx.lightglue:graphs", tmp_path)
    more = ("scales", "oris") if oriented else ()
    loaded, total = session(path), 0
    for pair in ((0, 0), (0, 5), (5, 0), (1, 1), (1, 9), (2, 1), (31, 17), (64, 80)):
        sides = [some(n, seed, oriented=oriented) for seed, n in enumerate(pair)]
        wanted = network(*sides, depth_confidence=None, width_confidence=None)
        same_matches(loaded.run(None, dict(as_inputs(*sides, *more))), wanted)
        total += len(wanted)
    assert total > 20


def test_lightglue_of_a_fixed_number_of_points(tmp_path: Path) -> None:
    network = lightglue()
    path = written(network, "matchers.onnx.lightglue:graphs", tmp_path, points=24)
    loaded = session(path)
    assert [i.shape for i in loaded.get_inputs()] == [[1, 24, 2]] * 2 + [[1, 24, 16]] * 2
    for pair in ((0, 0), (0, 24), (1, 1), (24, 24), (23, 7)):
        sides = [some(n, 10 + seed) for seed, n in enumerate(pair)]
        wanted = network(*sides, depth_confidence=None, width_confidence=None)
        same_matches(loaded.run(None, dict(as_inputs(*sides, points=24))), wanted)


def test_kornia_takes_lightglues_file(tmp_path: Path) -> None:
    network = lightglue()
    path = written(network, "matchers.onnx.lightglue:graphs", tmp_path)
    sides = [some(n, n) for n in (40, 33)]
    data = {
        f"image{i}": {
            "keypoints": side.keypoints[None], "descriptors": side.descriptors[None],
            "image_size": side.image_size[None],
        }
        for i, side in enumerate(sides)
    }  # fmt: skip
    found = OnnxLightGlue(str(path))(data)
    wanted = network(*sides, depth_confidence=None, width_confidence=None)
    same_matches([found["matches"].numpy(), found["scores"].numpy()], wanted)


@pytest.mark.parametrize("oriented", [False, True])
def test_the_loop_outside_leaves_and_prunes_as_satgen_does(oriented: bool, tmp_path: Path) -> None:
    network = lightglue(scale_orientation=oriented).requires_grad_(False)
    graphs = named("matchers.onnx.lightglue:graphs")(network, OnnxOptions(adaptive=True))
    folder = tmp_path / "layers"
    assert len(write_graphs(graphs, folder, {})) == 1 + 2 * 3
    stops, pruned = set(), 0
    for depth, width in ((0.3, 0.6), (0.5, 0.5), (0.95, 0.5), (0.95, 0.99)):
        loop = Adaptive(folder, depth, width)
        for pair in ((0, 4), (1, 1), (40, 33)):
            sides = [some(n, 5 + i, oriented=oriented) for i, n in enumerate(pair)]
            wanted = network(*sides, depth_confidence=depth, width_confidence=width)
            indices, scores, layer = loop(*map(adaptive_inputs, sides))
            same_matches([indices, scores], wanted)
            done = wanted.adaptation
            assert layer == done.stop_layer
            stops.add(layer)
            pruned += int((done.layers0 < done.stop_layer).sum())
    assert len(stops) > 1 and pruned > 0


def test_superglue(tmp_path: Path) -> None:
    network = SuperGlue(CONFIG).eval()
    network.load_state_dict(
        random_weights({k: tuple(v.shape) for k, v in network.state_dict().items()})
    )
    where = "matchers.onnx.superglue:graphs"
    loaded = session(written(network, where, tmp_path))
    total = 0
    for pair in ((0, 0), (0, 5), (5, 0), (1, 1), (1, 9), (31, 17), (64, 80)):
        sides = [random_features(n, seed) for seed, n in enumerate(pair)]
        wanted = network(*sides)
        same_matches(loaded.run(None, dict(as_inputs(*sides, "scores"))), wanted)
        total += len(wanted)
    assert total > 10
    (tmp_path / "fixed").mkdir()
    loaded = session(written(network, where, tmp_path / "fixed", points=20))
    for pair in ((0, 0), (20, 20), (3, 11)):
        sides = [random_features(n, seed) for seed, n in enumerate(pair)]
        same_matches(
            loaded.run(None, dict(as_inputs(*sides, "scores", points=20))), network(*sides)
        )


def peaked(network: nn.Module) -> nn.Module:
    """Random weights whose score map has peaks."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.ndim > 1:
                value.normal_(0, 1.6 / np.sqrt(value[0].numel()))
                value.mul_(6.0 if name.startswith("convPb") else 1.0)
            else:
                value.normal_(0, 0.05)
    return network.eval()


def planes(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 255


def same_features(found: list[np.ndarray], wanted: Features) -> None:
    """The same keypoints, whose order may differ where scores are equal to rounding."""
    keypoints, scores, descriptors = (torch.from_numpy(value[0]) for value in found)
    assert keypoints.shape == wanted.keypoints.shape
    if not len(wanted):
        return
    distance, row = torch.cdist(keypoints.double(), wanted.keypoints.double()).min(1)
    assert distance.max() < 0.01 and len(row.unique()) == len(row)
    torch.testing.assert_close(scores, wanted.scores[row], atol=1e-4, rtol=0)
    torch.testing.assert_close(descriptors, wanted.descriptors[row], atol=1e-4, rtol=0)
    assert (scores.diff() <= 0).all()


SIZES = ((150, 190), (64, 96), (33, 101), (32, 32))


def test_aliked_of_any_size_and_a_fixed_one(tmp_path: Path) -> None:
    network = ALIKED(ALIKEDConfig("aliked-t16", 200)).eval()
    network.load_state_dict(store.load(store.official("aliked-t16")))
    where = "matchers.onnx.aliked:graphs"
    loaded = session(written(network, where, tmp_path, max_keypoints=200))
    counts = []
    for seed, size in enumerate(SIZES):
        image = collage(seed, *size)
        wanted = network(image)
        same_features(loaded.run(None, {"image": planes(image)}), wanted)
        counts.append(len(wanted))
    assert max(counts) > 30
    black = np.zeros((1, 3, 64, 64), np.float32)
    assert loaded.run(None, {"image": black})[0].shape == (1, 0, 2)

    (tmp_path / "fixed").mkdir()
    fixed = written(network, where, tmp_path / "fixed", points=60, size=(96, 64))
    assert [axis for o in session(fixed).get_outputs() for axis in o.shape[:2]] == [1, 60] * 3
    image = collage(1, 64, 96)
    for picture in (planes(image), black.repeat(2, 3)[:, :, :, :96]):
        found = run(fixed, {"image": picture})
        wanted = network(picture[0].transpose(1, 2, 0))
        real = found[1][0] > 0
        n = min(60, len(wanted))
        assert real.sum() == n and real[:n].all()
        assert all((value[0, n:] == 0).all() for value in found)
        same_features([v[:, :n] for v in found], wanted.select(torch.arange(n)))


def test_superpoint_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = peaked(SuperPoint())
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    (path,) = export_onnx("mine.pth", max_keypoints=80)
    assert path == Path("mine.onnx")
    found = load_features("superpoint", weights="mine.pth", max_keypoints=80, device="cpu")
    for size in ((96, 128), (101, 90), (32, 32)):
        grey = np.ascontiguousarray(collage(0, *size)[..., :1])
        same_features(run(path, {"image": planes(grey)}), found(grey[..., 0]))
    facts = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert facts["features"] == "superpoint" and "luma" in facts["image"]
    with pytest.raises(InputError, match="superpoint: no weights come with it"):
        export_onnx("superpoint")


def test_from_frames_to_matches_without_satgen(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands, and then onnxruntime and NumPy alone; by satgen's own on the same frames."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(
        main, ["weights", "--export", "onnx", "aliked-n16", "lightglue-aliked-n16", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"files": ["aliked-n16.onnx", "lightglue-aliked-n16.onnx"]}
    data = Dataset(pristine)
    frames = [data[int(index)] for index in data.indices[:2]]
    extractor = session(Path("aliked-n16.onnx"))
    matcher = session(Path("lightglue-aliked-n16.onnx"))
    picture = collage(1, 150, 190)
    pairs = [[frame.rgb for frame in frames], [picture, picture[9:, 14:]]]
    for images, sides, least in zip(pairs, (frames, pairs[1]), (3, 20), strict=True):
        given: dict[str, np.ndarray] = {}
        for i, image in enumerate(images):
            keypoints, _, given[f"desc{i}"] = extractor.run(None, {"image": planes(image)})
            size = np.array(image.shape[1::-1], np.float32)
            given[f"kpts{i}"] = (keypoints - size / 2) / (size.max() / 2)
        wanted = match(
            *sides, features="aliked", mask=False, device="cpu",
            depth_confidence=None, width_confidence=None,
        )  # fmt: skip
        assert len(wanted) >= least
        same_matches(matcher.run(None, given), wanted.matches)

    model = onnx.load("lightglue-aliked-n16.onnx")
    onnx.checker.check_model(model, full_check=True)
    facts = {p.key: p.value for p in model.metadata_props}
    card = next(w for w in store.ours() if w.name == "lightglue-aliked-n16")
    assert (facts["weights_sha256"], facts["licence"]) == (card.sha256, card.licence)
    assert (facts["matcher"], facts["features"]) == ("lightglue", "aliked-n16")
    assert "max(size) / 2" in facts["kpts0, kpts1"]
    assert b"site-packages" not in Path("lightglue-aliked-n16.onnx").read_bytes()


def test_whatever_file_is_known_by_its_tensors(tmp_path: Path) -> None:
    """Weights of which nothing says what they are for."""
    save_file(dict(lightglue().state_dict()), tmp_path / "mine.safetensors")
    (path,) = export_onnx(str(tmp_path / "mine.safetensors"), tmp_path / "out.onnx")
    facts = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert facts["matcher"] == "lightglue" and "features" not in facts
    before = path.read_bytes()
    with pytest.raises(InputError, match="is there already; --overwrite"):
        export_onnx(str(tmp_path / "mine.safetensors"), path)
    export_onnx(str(tmp_path / "mine.safetensors"), path, overwrite=True)
    assert path.read_bytes() == before


def test_what_is_refused_leaves_nothing(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for words, said in (
        (["sift"], "is no network"),
        (["no-such"], "or a file of weights"),
        ([], "name the weights"),
        (["superglue-sift", "--adaptive"], "does not adapt"),
        (["aliked-n16", "--adaptive"], "does not adapt"),
        (["lightglue-sift", "--size", "64x64"], "takes no images"),
        (["lightglue-sift", "--max-keypoints", "9"], "takes no images"),
        (["lightglue-sift", "--adaptive", "--points", "9"], "--adaptive with --points"),
        (["lightglue-sift", "--adaptive", "--out", "full"], "notes.txt"),
        (["lightglue-sift", "--out", "full"], "is a folder"),
        (["lightglue-sift", "--out", "a.pt"], "must end in .onnx"),
        (["lightglue-sift", "--out", str(pristine / "a.onnx")], "a dataset or run"),
        (["aliked-n16", "--size", "640"], "HEIGHTxWIDTH"),
        (["aliked-n16", "--points", "9", "--max-keypoints", "9"], "one or the other"),
        (["a", "b", "--out", "c.onnx"], "2 are named"),
        (["a", "--fetch"], "fetched anyway"),
    ):
        done = CliRunner().invoke(main, ["weights", "--export", "onnx", *words])
        assert done.exit_code == 2 and said in done.stderr, (words, done.output)
    done = CliRunner().invoke(main, ["weights", "--points", "9"])
    assert done.exit_code == 2 and "--points: only goes with --export" in done.stderr
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["full", "notes.txt"]


def test_a_file_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_of = onnxruntime.InferenceSession

    class Wrong:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.right = session_of(*arguments, **options)

        def run(self, *arguments: Any) -> list[np.ndarray]:
            matches, scores = self.right.run(*arguments)
            return [matches, scores + 0.01]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Wrong)
    with pytest.raises(RunError, match="computes something else than PyTorch"):
        written(lightglue(), "matchers.onnx.lightglue:graphs", tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_network_that_has_a_name_can_be_exported() -> None:
    from matchers.specs import FEATURES, MATCHERS

    specs = [matcher_spec(n) for n in MATCHERS] + [features_spec(n) for n in FEATURES]
    assert all((spec.onnx is not None) == spec.weighted for spec in specs)
    assert all(callable(named(spec.onnx)) for spec in specs if spec.onnx)
