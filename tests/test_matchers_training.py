"""Training as a whole: it learns, it goes on exactly after it was killed, and it ships weights."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from matchers.extraction import carried_on
from matchers.lightglue import LightGlue
from matchers.registry import load_matcher
from matchers.specs import matcher_spec
from matchers.training import checkpoint
from matchers.training.bank import Bank, Source
from matchers.training.cache import CacheConfig, fill
from matchers.training.config import TrainConfig
from matchers.training.export import export, half, origin
from matchers.training.folder import TRAIN
from matchers.training.lightglue import TRAINING
from matchers.training.objectives import (
    build,
    keep_full_precision,
    measure,
    trainable,
)
from matchers.training.run import TrainSummary, _some, train
from matchers.training.trainer import Hardware, _Step
from matchers.truth.batched import pose_labels
from matchers.weights import purpose
from satgen.cli import main
from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from satgen.runfolder import RunFolder
from satgen.splits import SplitConfig
from tests.datasets import command, make
from tests.limits import PATIENCE_S
from tests.waits import Watch

torch.set_num_threads(1)

OPTIONS = (
    "--batch", 2, "--accumulate", 2, "--max-keypoints", 32,
    "--warmup", 4, "--frames", 12, "--versions", 2, "--validate-every", 10, "--threads", 1,
    "--guard", 3, "--device", "cpu",
)  # fmt: skip
SIZES = ("--dim", 16, "--layers", 2)
STEPS = ("--steps", 24, "--homography-steps", 10, "--confidence-steps", 6)


@pytest.fixture(scope="module")
def aura(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Aura, small: 60 frames, a degree each."""
    folder = tmp_path_factory.mktemp("aura") / "aura"
    return make(Path("aura"), folder, target="aura", start=3000, stop=3059, width=160, height=128)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features that the runs share."""
    return tmp_path_factory.mktemp("features")


def words(aura: Path, cache: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("train", aura, "--cache", cache, "--out", out, *SIZES, *OPTIONS, *STEPS, *more)


@pytest.fixture(scope="module")
def whole(aura: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("satgen.progress.LEAST_S", 0.0)
        done = CliRunner().invoke(main, [str(w) for w in words(aura, cache, out, "--json")])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    # Progress to the very end: of the pairs, too, that the card's figures are of.
    assert re.search(r"test pairs: ([1-9]\d*) of \1 pairs", done.stderr), done.stderr
    assert answer["weights"] == str(out / "lightglue-sift.safetensors")
    assert [answer["stages"][s]["steps"] for s in ("homography", "pose", "confidence")] == [
        10, 24, 6,
    ]  # fmt: skip
    return out


def invoked(*arguments: object) -> str:
    """What the command prints, run in this process."""
    done = CliRunner().invoke(main, [str(word) for word in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def rows(path: Path) -> list[dict[str, str]]:
    """A log's lines but for the time they took."""
    with open(path, encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def wait_for(condition: object, process: subprocess.Popen[str]) -> None:
    for _ in range(round(PATIENCE_S / 0.01)):
        if condition():  # type: ignore[operator]
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    raise AssertionError("it did not come so far")


def test_a_killed_run_goes_on_to_the_same_losses_and_weights(
    aura: Path, cache: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    often = words(aura, cache, out, "--save-minutes", 0, "--quiet")

    def stopped(signal_: int, stage: str, step: int) -> tuple[int, str]:
        """End the run once it has saved a step of a stage."""

        def reached() -> bool:
            path = out / stage / "checkpoint.pt"
            state = checkpoint.load(path) if path.is_file() else None
            return state is not None and state["counters"]["step"] >= step

        process = subprocess.Popen(
            command(*often), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(reached, process)
        process.send_signal(signal_)
        _, errors = process.communicate(timeout=PATIENCE_S)
        return process.returncode, errors

    assert stopped(signal.SIGKILL, "homography", 5)[0] == -signal.SIGKILL
    code, errors = stopped(signal.SIGINT, "pose", 13)
    assert code == 130 and errors.startswith("Interrupted:") and len(errors.splitlines()) == 1
    invoked(*often)

    for stage in ("homography", "pose", "confidence"):
        for log in ("log.csv", "validation.csv"):
            assert rows(out / stage / log) == rows(whole / stage / log), (stage, log)
        mine, theirs = (load_file(f / stage / "best.safetensors") for f in (out, whole))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    last = [checkpoint.load(f / "pose" / "checkpoint.pt") for f in (out, whole)]
    assert last[0] is not None and last[1] is not None
    for name, value in last[0]["model"].items():
        assert torch.equal(value, last[1]["model"][name]), name
    name = "lightglue-sift.safetensors"
    assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_minutes_lay_out_a_schedule_that_the_run_keeps_to(
    aura: Path, cache: Path, tmp_path: Path
) -> None:
    def run() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            invoked(*words(aura, cache, tmp_path / "run", "--minutes", 0.05, "--json", "--quiet"))
        )
        return found

    answer = run()
    steps = {name: stage["steps"] for name, stage in answer["stages"].items()}
    for name, count in steps.items():
        planned = json.loads((tmp_path / "run" / name / "schedule.json").read_text())
        assert planned["steps"] == count >= 1
    assert {n: s["run"] for n, s in answer["card"]["steps"].items()} == steps
    weights = Path(answer["weights"]).read_bytes()
    assert run()["stages"] == answer["stages"]
    assert Path(answer["weights"]).read_bytes() == weights


def test_the_logs_tell_every_tenth_step(whole: Path) -> None:
    log, checks = rows(whole / "pose" / "log.csv"), rows(whole / "pose" / "validation.csv")
    assert [row["step"] for row in log] == ["10", "20", "24"]
    assert [row["step"] for row in checks] == ["10", "20", "24"]
    assert all(float(row["loss"]) > 0.0 and float(row["gradient"]) > 0.0 for row in log)
    assert (whole / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_finished_run_is_left_as_it_is(aura: Path, cache: Path, whole: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*.safetensors")}
    invoked(*words(aura, cache, whole))
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*.safetensors")} == before


def test_the_weights_have_a_card_and_can_be_used(aura: Path, whole: Path) -> None:
    from matchers.lightglue import LightGlue
    from matchers.registry import load_features

    path = whole / "lightglue-sift.safetensors"
    weights = load_file(path)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["licence"] == "Apache-2.0" and card["size"] == path.stat().st_size
    assert (card["matcher"], card["features"]) == ("lightglue", "sift")
    assert card["steps"]["pose"]["run"] == 24 and card["data"]["aura"]["trained_on"] == 12
    names = {"lightglue", "nearest, ratio 0.8"}
    assert names | {f"{name}, rolled" for name in names} == set(card["held_out"]["aura"])

    model = LightGlue.from_checkpoint(weights)
    assert (model.config.dim, model.config.num_layers) == (16, 2)
    data, extract = Dataset(aura), load_features("sift", max_keypoints=32, device="cpu")
    model(*(extract(data.rgb(i)) for i in (3000, 3001)))  # it runs


def test_frames_of_all_datasets_are_extracted_in_one_go(
    aura: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(aura, tmp_path / "other")
    extracted: list[set[Path]] = []

    def seen(tasks: Any, *arguments: Any, **settings: Any) -> Any:
        extracted.append({origin.source.folder for origin, _ in tasks})
        return carried_on(tasks, *arguments, **settings)

    monkeypatch.setattr("matchers.training.cache.carried_on", seen)
    config = TrainConfig(
        dim=16, layers=1, batch=1, accumulate=1, max_keypoints=16, frames=6, versions=1, steps=1,
        homography_steps=0, warmup=0, validation_pairs=2, test_pairs=2,
        split=SplitConfig(guard_deg=3.0),
    )  # fmt: skip
    done = train(
        [aura, other], config, tmp_path / "run", cache=tmp_path / "cache",
        hardware=Hardware(torch.device("cpu")),
    )  # fmt: skip
    # of a stage, of the validation and, though figures are told by dataset, of the test
    assert len(extracted) == 3 and all(folders == {aura, other} for folders in extracted)
    assert done.card["held_out"].keys() == {"aura", "other"}


def test_confidence_alone_begins_with_weights_that_the_card_tells_of(
    aura: Path, cache: Path, whole: Path, tmp_path: Path
) -> None:
    first, out = whole / "lightglue-sift.safetensors", tmp_path / "run"
    more = ("--init", first, "--stage", "confidence", "--curriculum", 0, "--angles", "0,9,90.5")
    invoked(*words(aura, cache, out, *more))
    card = json.loads((out / "lightglue-sift.json").read_text())
    begun = json.loads(first.with_suffix(".json").read_text())
    identity = json.loads((out / "train.json").read_text())["identity"]
    assert identity["config"]["curriculum"]["full"] == 0.0
    assert identity["config"]["curriculum"]["edges_deg"] == [0.0, 9.0, 90.5]
    assert list(card["steps"]) == ["confidence"]
    assert (
        card["initial"]["sha256"]
        == begun["sha256"]
        == hashlib.sha256(first.read_bytes()).hexdigest()
    )
    assert card["initial"]["steps"] == begun["steps"] and begun["initial"] is None
    old, new = load_file(first), load_file(out / "lightglue-sift.safetensors")
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {name for name in old if name.startswith("token_confidence.")}

    alone = tmp_path / "alone.safetensors"  # without its card, and then with another's
    alone.write_bytes(first.read_bytes())
    assert set(origin(alone)) == {"file", "sha256"}
    alone.with_suffix(".json").write_bytes((out / "lightglue-sift.json").read_bytes())
    assert set(origin(alone)) == {"file", "sha256"}


def test_the_first_layers_of_a_deeper_network_are_gone_on_with(
    aura: Path, cache: Path, whole: Path, tmp_path: Path
) -> None:
    first, out = whole / "lightglue-sift.safetensors", tmp_path / "run"
    more = ("--init", first, "--layers", 1, "--precision", "bfloat16", "--lr", 1e-9)
    steps = ("--steps", 2, "--homography-steps", 0, "--confidence-steps", 1)
    invoked("train", aura, "--cache", cache, "--out", out, *OPTIONS, *steps, *more)
    card = json.loads((out / "lightglue-sift.json").read_text())
    assert card["network"] == {"dim": 16, "layers": 1, "heads": 4}  # dim and heads as they were
    assert card["precision"] == "bfloat16"
    old, new = load_file(first), load_file(out / "lightglue-sift.safetensors")
    shared = {
        name
        for name in old
        if not name.startswith(("transformers.1.", "log_assignment.1.", "token_confidence."))
    }
    assert new.keys() == shared and any(name.startswith("transformers.0.") for name in shared)
    for name in shared:
        torch.testing.assert_close(new[name].float(), old[name].float(), atol=1e-6, rtol=2e-3)


def test_a_card_says_whose_official_weights_a_training_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matchers import weights

    path = tmp_path / "aliked_lightglue.pth"
    path.write_bytes(b"theirs")
    sha256 = hashlib.sha256(b"theirs").hexdigest()
    known = replace(weights.OFFICIAL[-1], sha256=sha256)
    monkeypatch.setattr(weights, "OFFICIAL", (*weights.OFFICIAL[:-1], known))
    assert origin(path) == {
        "file": "aliked_lightglue.pth",
        "sha256": sha256,
        "source": "github.com/cvg/LightGlue",
        "licence": "Apache-2.0",
    }


def test_weights_decide_what_a_network_is_that_begins_with_them() -> None:
    from matchers.training.initial import network_of
    from matchers.weights import BUNDLE

    for matcher, heads in (("lightglue", {"heads": 4}), ("superglue", {})):
        path = BUNDLE / f"{matcher}-sift.safetensors"
        network = json.loads(path.with_suffix(".json").read_text())["network"]
        sizes = {key: network[key] for key in ("dim", "layers")}
        assert network_of(matcher, path) == sizes | heads
    with pytest.raises(InputError, match=r"lightglue-sift.*not those of superglue"):
        network_of("superglue", BUNDLE / "lightglue-sift.safetensors")


def test_features_whose_weights_are_a_file_are_trained_on(aura: Path, tmp_path: Path) -> None:
    from matchers.features.superpoint import SuperPoint

    torch.manual_seed(0)
    file, out = tmp_path / "superpoint.pth", tmp_path / "run"
    torch.save(SuperPoint().state_dict(), file)
    given = words(aura, tmp_path / "cache", out, "--features", "superpoint")
    given += ("--homography-steps", 0, "--steps", 2, "--confidence-steps", 1)
    refused = CliRunner().invoke(main, [str(word) for word in given])
    assert refused.exit_code == 2 and "--features-weights FILE" in refused.stderr
    assert refused.stderr.count("\n") == 1 and not out.exists()
    invoked(*given, "--features-weights", file)
    trained = load_file(out / "lightglue-superpoint.safetensors")
    assert trained["input_proj.weight"].shape[1] == 256
    for weights in (out / "lightglue-superpoint.safetensors", out / "pose" / "best.safetensors"):
        assert purpose(weights) == ("lightglue", "superpoint")
    config = CacheConfig(features="superpoint", weights=str(file))
    before = config.digest(Dataset(aura))
    torch.save({name: 2.0 * value for name, value in SuperPoint().state_dict().items()}, file)
    assert config.digest(Dataset(aura)) != before  # other weights, other features


OWN = """
from matchers.lightglue import LightGlue
from matchers.lightglue_config import LightGlueConfig
from matchers.specs import MatcherSpec
from matchers.training.lightglue import TRAINING

SPEC = MatcherSpec("mine", from_checkpoint=LightGlue.from_checkpoint, config=LightGlueConfig,
                   training=TRAINING)
"""


def test_a_superglue_narrower_than_its_keypoint_encoder_is_refused() -> None:
    narrowest = build(TrainConfig(matcher="superglue", dim=32, layers=1))
    assert narrowest.config.keypoint_encoder == (32,)
    with pytest.raises(InputError, match="dim 16: must be 32 or more of SuperGlue"):
        build(TrainConfig(matcher="superglue", dim=16))


def test_a_matcher_of_ones_own_is_trained_and_used(aura: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    place, out = f"{tmp_path / 'own.py'}:SPEC", tmp_path / "run"
    given = words(aura, cache, out, "--matcher", place, "--homography-steps", 0)
    answer = json.loads(invoked(*given, "--steps", 2, "--confidence-steps", 1, "--json"))
    assert purpose(answer["weights"]) == ("mine", "sift") and answer["card"]["matcher"] == "mine"
    matcher = load_matcher(place, "sift", weights=answer["weights"], device="cpu")
    assert isinstance(matcher, LightGlue)
    with pytest.raises(InputError, match="are for mine on sift, not for lightglue on sift"):
        load_matcher("lightglue", "sift", weights=answer["weights"], device="cpu")
    with pytest.raises(InputError, match=r"'nearest': cannot be trained: one of lightglue, super"):
        TrainConfig(matcher="nearest")


def test_many_targets_are_counted_in_a_line() -> None:
    assert _some({"worldview", "aura"}) == "aura, worldview"
    assert _some({f"random:{i}" for i in range(60)}) == "60 targets (random)"


def test_the_held_out_pairs_are_the_benchmarks_to_read(aura: Path, whole: Path) -> None:
    from matchers.truth.pairs import check_pairs_exist, load_pairs

    pairs = load_pairs(whole / "test_pairs.csv")
    check_pairs_exist(pairs, {"aura": Dataset(aura).indices})
    parts = json.loads((whole / "split.json").read_text())["aura"]
    held = {i for first, last in parts["test"] for i in range(first, last + 1)}
    assert pairs and {i for p in pairs for i in (p.index0, p.index1)} <= held
    assert all(first not in held for first, _ in parts["train"])


def test_the_card_and_the_benchmark_say_the_same_of_the_held_out_pairs(
    aura: Path, whole: Path, tmp_path: Path
) -> None:
    from bench.config import BenchConfig
    from bench.plan import plan
    from bench.run import run

    weights = whole / "lightglue-sift.safetensors"
    config = BenchConfig(
        matchers=("lightglue", "nearest"), features=("sift",), weights=str(weights),
        max_keypoints=32, repeats=1, threads=1, device="cpu",
    )  # fmt: skip
    planned = plan(config, [aura], pairs_file=whole / "test_pairs.csv")
    rows = run(planned, tmp_path / "run").set_index("combination")
    card = json.loads(weights.with_suffix(".json").read_text())["held_out"]["aura"]
    for name, mine in (
        ("lightglue", "sift-lightglue-full"),
        ("nearest, ratio 0.8", "sift-nearest-r0.8"),
    ):
        table = rows.loc[mine]
        every = [("all", table), *((str(gap), part) for gap, part in table.groupby("gap"))]
        assert {gap for gap, _ in every} == set(card[name])
        for gap, part in every:
            found = {k: v for k, v in card[name][gap].items() if k in ("precision", "recall", "f1")}
            expected = {k: part[k].mean() for k in ("precision", "recall", "f1")}
            assert found == pytest.approx(expected, abs=1e-4), (name, gap)
    # pairs differ in their true matches, so that a share of all pairs' matches is another figure
    assert rows["num_true_matches"].nunique() > 1


# --- learning -------------------------------------------------------------------------------------


def by_heart(aura: Path, cache: Path, config: TrainConfig) -> tuple[Any, Any, list[float]]:
    """A network trained on one batch, that batch, and the losses."""
    data, indices = Dataset(aura), [3000, 3001, 3010, 3011]
    folder = fill(data, indices, CacheConfig(max_keypoints=48, versions=1), cache)
    bank, zero = Bank([Source("aura", data, indices, folder)]), np.zeros(2, dtype=np.int64)
    sides = bank.side(np.array([0, 2]), zero), bank.side(np.array([1, 3]), zero)
    batch = (*sides, pose_labels(*(side.geometry for side in sides)))
    model = build(config)
    return model, batch, fit(model, batch, config, "pose", 3e-3)


def fit(
    model: Any, batch: Any, config: TrainConfig, stage: str, rate: float, steps: int = 150
) -> list[float]:
    """Losses of steps on one batch; how fast they fall at first depends on the processor."""
    model.train()
    optimiser = torch.optim.Adam(trainable(model, config.training, stage), lr=rate)
    losses = []
    for _ in range(steps):
        loss = config.training.objective(model, *batch, stage).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def test_superglue_learns_a_batch_by_heart(aura: Path, cache: Path) -> None:
    config = TrainConfig(
        matcher="superglue", dim=32, layers=2, heads=2, sinkhorn_iterations=10, max_keypoints=48
    )
    model, batch, losses = by_heart(aura, cache, config)
    assert losses[-1] < 0.3 * losses[0]
    figures = measure(
        model, config.training, config.training.objective(model, *batch, "pose"), *batch
    )
    assert figures.true.sum() >= 10 and figures.f1 > 0.8


def test_lightglue_learns_a_batch_by_heart_and_then_when_to_leave(aura: Path, cache: Path) -> None:
    config = TrainConfig(dim=32, layers=4, heads=2, max_keypoints=48)
    model, batch, losses = by_heart(aura, cache, config)
    assert losses[-1] < 0.3 * losses[0]
    before = config.training.objective(model, *batch, "pose")
    figures = measure(model, config.training, before, *batch)
    assert figures.true.sum() >= 10 and figures.f1 > 0.8
    assert figures.stop_layer == 4.0  # its classifiers have learnt nothing yet

    losses = fit(model, batch, config, "confidence", 3e-2, 600)
    assert losses[-1] < 0.5 * losses[0]
    after = config.training.objective(model, *batch, "confidence")
    assert torch.equal(after.log_assignment, before.log_assignment)
    assert measure(model, config.training, after, *batch).stop_layer < 4.0


def test_mixed_precision_keeps_the_assignment_in_full(aura: Path, cache: Path) -> None:
    data, indices = Dataset(aura), [3000, 3001]
    folder = fill(data, indices, CacheConfig(max_keypoints=48, versions=1), cache)
    bank, zero = Bank([Source("aura", data, indices, folder)]), np.zeros(1, dtype=np.int64)
    sides = bank.side(np.array([0]), zero), bank.side(np.array([1]), zero)
    config = TrainConfig(dim=32, layers=2, heads=2)
    model, outcome = build(config), config.training.objective
    labels = pose_labels(*(side.geometry for side in sides))
    exact = outcome(model, *sides, labels, "pose")
    keep_full_precision(model, config.training.widened, "cpu")
    same = outcome(model, *sides, labels, "pose")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = outcome(model, *sides, labels, "pose")
    assert torch.equal(exact.log_assignment, same.log_assignment)
    assert mixed.loss.dtype == mixed.log_assignment.dtype == torch.float32
    assert float(mixed.loss.detach()) == pytest.approx(float(exact.loss.detach()), rel=0.02)


def test_each_stage_trains_its_own_parameters() -> None:
    model = build(TrainConfig(dim=16, layers=3, heads=2))
    names = {id(p): n for n, p in model.named_parameters()}
    first = {names[id(p)] for p in trainable(model, TRAINING, "pose")}
    last = {names[id(p)] for p in trainable(model, TRAINING, "confidence")}
    assert first | last == set(names.values()) and not first & last
    assert last == {f"token_confidence.{i}.token.0.{p}" for i in (0, 1) for p in ("weight", "bias")}


def test_random_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    one = build(TrainConfig(dim=16, layers=1, heads=2)).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(6)
    two = build(TrainConfig(dim=16, layers=1, heads=2)).state_dict()
    other = build(TrainConfig(dim=16, layers=1, heads=2, seed=1)).state_dict()
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert not all(torch.equal(one[n], other[n]) for n in one)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)  # others' draws are left alone


@pytest.mark.parametrize(
    ("matcher", "dim", "layers"),
    [("lightglue", 128, 9), ("lightglue", 192, 9), ("superglue", 128, 9)],
)
def test_sizes_that_may_be_shipped(matcher: str, dim: int, layers: int, tmp_path: Path) -> None:
    model = build(TrainConfig(matcher=matcher, dim=dim, layers=layers))
    facts = {"matcher": matcher, "features": "sift"}
    card = export(tmp_path / "w.safetensors", model.state_dict(), facts)
    assert card["size"] < 15_000_000


# --- files ----------------------------------------------------------------------------------------


def test_half_precision_spares_statistics_and_counts() -> None:
    weights = {
        "a.weight": torch.ones(2),
        "a.running_var": torch.tensor([1e6, 1e-9]),
        "a.num_batches_tracked": torch.tensor(7),
    }
    small = half(weights)
    assert [value.dtype for value in small.values()] == [
        torch.float16, torch.float32, torch.int64,
    ]  # fmt: skip


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"weights b: beyond"):
        export(tmp_path / "w.safetensors", {"b": torch.tensor([1e6])}, {})


def test_a_log_cut_off_in_a_line_loses_that_line(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n10,1.5\n20,1.25\n30,1.")
    log = checkpoint.Log(path, ("step", "loss"), 20)
    log.add({"step": 30, "loss": 0.1 + 0.2})
    log.close()
    assert path.read_text() == "step,loss\n10,1.5\n20,1.25\n30,0.30000000000000004\n"
    checkpoint.Log(path, ("step", "loss"), 10).close()
    assert path.read_text() == "step,loss\n10,1.5\n"


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert checkpoint.load(path) is None
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"checkpoint\.pt: cannot be read, delete it"):
        checkpoint.load(path)
    checkpoint.save(path, {"x": 1})
    assert checkpoint.load(path) == {"format": checkpoint.FORMAT, "x": 1}
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--matcher", "nearest"), "matcher 'nearest'"),
        (("--features", "orb"), "features 'orb'"),
        (("--stage", "confidence", "--matcher", "superglue"), "stage 'confidence' of superglue"),
        (("--leave-out", "moon"), "target 'moon'"),
        (("--dim", "20"), "dim 20"),
        (("--lr", "0"), "--lr 0"),
        (("--curriculum", "2"), "--curriculum 2"),
        (("--angles", "0,x"), "--angles 0,x"),
        (("--angles", "10,5,20"), "ranges of angles 10, 5, 20"),
        (("--angles", "0,nan"), "--angles 0,nan"),
        (("--init", "absent.safetensors"), "absent.safetensors"),
        (("--init", "official"), "no official weights for lightglue on sift"),
        (("--init", "satgen", "--matcher", "superglue", "--layers", "9"), "missing gnn.layers.12."),
        (("--precision", "bfloat16", "--matcher", "superglue"), "superglue trains in float32"),
        (("--device", "abacus"), "abacus"),
        (("--features", "superpoint"), "no weights for superpoint"),
        (("--cache-gb", "-1"), "--cache-gb -1"),
        (("--roll", "200"), "--roll 200"),
        (("--roll-share", "1.5"), "--roll-share 1.5"),
    ],
)
def test_bad_requests_end_in_one_line(
    aura: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "run"
    done = CliRunner().invoke(
        main, ["train", str(aura), "--out", str(out), "--threads", "1", *more]
    )
    assert done.exit_code == 2, done.output
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not out.exists()


def test_no_dataset_is_a_bad_request(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["train", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2 and "no dataset" in done.stderr
    assert os.listdir(tmp_path) == []


def test_another_runs_folder_is_refused(
    aura: Path, cache: Path, whole: Path, tmp_path: Path
) -> None:
    hardware = Hardware(torch.device("cpu"))
    identity = json.loads((whole / "train.json").read_text())["identity"]["config"]
    mine = TrainConfig(
        dim=16, layers=2, batch=2, accumulate=2, max_keypoints=32, warmup=4, frames=12, versions=2,
        validate_every=10, steps=24, homography_steps=10, confidence_steps=6,
        split=SplitConfig(guard_deg=3.0),
    )  # fmt: skip
    known = json.loads(json.dumps(mine.to_json()))
    for name in ("features_weights", "photographs_from"):  # told by their content
        del known[name]
    del known["cache_gb"]  # decides nothing but memory
    assert known == identity
    with pytest.raises(
        InputError, match=r"another training \(config\.steps is 24 there and 25 here\)"
    ):
        train(
            [aura],
            TrainConfig(**{**vars(mine), "steps": 25}),
            whole,
            cache=cache,
            hardware=hardware,
        )
    with pytest.raises(InputError, match="holds this training already"):
        train([aura], mine, whole, cache=cache, hardware=hardware, resume=False)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        train([aura], mine, tmp_path, cache=cache, hardware=hardware)


# --- one folder, one run --------------------------------------------------------------------------

SMALL = TrainConfig(
    matcher="superglue", dim=32, layers=1, heads=2, sinkhorn_iterations=5, batch=2, accumulate=2,
    max_keypoints=32, warmup=4, frames=12, versions=2, validate_every=3, steps=7,
    homography_steps=0, validation_pairs=1, test_pairs=1, split=SplitConfig(guard_deg=3.0),
)  # fmt: skip


def small(aura: Path, cache: Path, out: Path, **settings: Any) -> TrainSummary:
    """A training of seven steps, of a network with running means."""
    config = settings.pop("config", SMALL)
    hardware = Hardware(torch.device("cpu"), save_seconds=1e9)
    return train([aura], config, out, cache=cache, hardware=hardware, **settings)


@pytest.fixture(scope="module")
def short(aura: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That training, undisturbed."""
    out = tmp_path_factory.mktemp("short") / "run"
    small(aura, cache, out)
    return out


def results(out: Path) -> dict[str, Any]:
    """What a training came to, but for the times that it took."""
    found: dict[str, Any] = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("log.csv", "checkpoint.pt")
    }
    found["log.csv"] = rows(out / "pose" / "log.csv")
    card = json.loads(found.pop("superglue-sift.json"))
    for name in ("steps", "hardware"):
        del card[name]
    return found | {"card": card}


@pytest.mark.parametrize("place", ["forward", "validation", "saving"])
def test_ctrl_c_anywhere_in_a_step_goes_on_to_the_same(
    aura: Path, cache: Path, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:  # fmt: skip
    from matchers.training.validation import PairSet

    calls, limit = [0], [2]

    def counted(function: Any) -> Any:
        def run(*args: Any, **settings: Any) -> Any:
            answer = function(*args, **settings)
            calls[0] += 1
            if calls[0] == limit[0]:
                os.kill(os.getpid(), signal.SIGINT)
            return answer

        return run

    if place == "forward":
        training = matcher_spec("superglue").trained()
        watched = replace(training, objective=counted(training.objective))
        monkeypatch.setattr(TrainConfig, "training", property(lambda config: watched))
    elif place == "validation":
        monkeypatch.setattr(PairSet, "evaluate", counted(PairSet.evaluate))
        limit[0] = 1
    else:
        monkeypatch.setattr(checkpoint, "save_weights", counted(checkpoint.save_weights))
        limit[0] = 1
    stops = 0
    while True:
        calls[0] = 0
        try:
            small(aura, cache, tmp_path / "run")
            break
        except KeyboardInterrupt:
            stops += 1
            limit[0] = (5 if place == "forward" else 2) if stops < 3 else 0
            assert checkpoint.load(tmp_path / "run" / "pose" / "checkpoint.pt") is not None
    assert stops
    assert results(tmp_path / "run") == results(short)


def test_losses_that_are_read_late_are_the_same(
    aura: Path, cache: Path, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hardware, "behind", 1)  # as on a GPU
    small(aura, cache, tmp_path / "run")
    assert results(tmp_path / "run") == results(short)


@pytest.mark.parametrize("behind", [0, 1])
def test_a_loss_that_is_no_number_ends_the_run_and_is_not_saved(
    aura: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    training, calls = matcher_spec("superglue").trained(), [0]

    def objective(*args: Any) -> Any:
        outcome = training.objective(*args)
        calls[0] += torch.is_grad_enabled()
        broken = calls[0] == 10  # the second batch of step 4
        return replace(outcome, loss=outcome.loss * (torch.nan if broken else 1.0))

    monkeypatch.setattr(
        TrainConfig, "training", property(lambda config: replace(training, objective=objective))
    )
    monkeypatch.setattr(Hardware, "behind", behind)
    hardware = Hardware(torch.device("cpu"), save_seconds=0.0)
    with pytest.raises(RunError, match=r"stage pose, step 4: the loss is nan") as caught:
        train([aura], SMALL, tmp_path / "run", cache=cache, hardware=hardware)
    assert "\n" not in str(caught.value)
    state = checkpoint.load(tmp_path / "run" / "pose" / "checkpoint.pt")
    assert state is not None and state["counters"]["step"] == 4
    assert all(value.isfinite().all() for value in state["model"].values())
    best = load_file(tmp_path / "run" / "pose" / "best.safetensors")
    assert all(value.isfinite().all() for value in best.values())


@pytest.mark.parametrize("matcher", ["lightglue", "superglue"])
def test_a_step_does_not_wait_for_the_device(
    aura: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matcher: str
) -> None:
    """But SuperGlue's in each batch: for where padding is, and for its scores' range."""
    halves = {name: getattr(_Step, name) for name in ("gradients", "take")}
    seen: dict[int, list[str]] = {}

    def watched(part: Any) -> Any:
        def run(self: Any) -> Any:
            number = self._counters.step
            with Watch() as watch:
                answer = part(self)
            seen[number] = seen.get(number, []) + watch.seen
            return answer

        return run

    for name, part in halves.items():
        monkeypatch.setattr(_Step, name, watched(part))
    monkeypatch.setattr(Hardware, "behind", 1)
    config = replace(SMALL, matcher=matcher, layers=2, confidence_steps=1)
    small(aura, cache, tmp_path / "run", config=config)
    allowed = {"lightglue": [], "superglue": ["nonzero"] * 2 + ["_local_scalar_dense"] * 2}
    in_steps = [seen[number] for number in range(1, SMALL.steps - 1)]  # the last makes a log line
    for found in in_steps:
        assert len(found) <= SMALL.accumulate * len(allowed[matcher]), found
        assert set(found) <= set(allowed[matcher])


def test_what_a_kill_left_out_is_written_when_the_run_goes_on(
    aura: Path, cache: Path, short: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for lost in ("split.json", "test_pairs.csv", "curves.png", "superglue-sift.json"):
        shutil.copytree(short, out, dirs_exist_ok=True)
        (out / lost).unlink()
        small(aura, cache, out)
        assert results(out) == results(short), lost


def test_other_frames_behind_the_same_name_are_another_training(
    aura: Path, cache: Path, short: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(aura, tmp_path / "aura"))
    with (other / "frames.csv").open("a") as file:
        file.write("\n")
    before = results(short)
    with pytest.raises(InputError, match=r"datasets\.aura\.frames\.csv is \w+… there and \w+… her"):
        small(other, cache, short)
    (other / "rgb" / "003059.png").unlink()
    with pytest.raises(InputError, match=r"003059\.png: missing"):
        small(other, cache, tmp_path / "new", config=replace(SMALL, frames=60))
    assert results(short) == before and not (tmp_path / "new").exists()


def test_overwrite_replaces_a_training_and_nothing_else(
    aura: Path, cache: Path, short: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(short, tmp_path / "run"))
    other = replace(SMALL, seed=1, steps=3)
    (out / "mine.safetensors").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"mine\.safetensors: is no part of a training"):
        small(aura, cache, out, config=other, overwrite=True)
    assert results(out).keys() == results(short).keys() | {"mine.safetensors"}
    (out / "mine.safetensors").unlink()
    small(aura, cache, out, config=other, overwrite=True)
    assert json.loads((out / "train.json").read_text())["identity"]["config"]["seed"] == 1
    assert [row["step"] for row in rows(out / "pose" / "log.csv")] == ["3"]
    small(aura, cache, out, overwrite=True, resume=False)
    assert results(out) == results(short)


def test_a_second_training_into_one_folder_is_refused(
    aura: Path, cache: Path, short: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with RunFolder.open(out, TRAIN, {}):
        second = subprocess.run(
            command(*words(aura, cache, out, "--quiet")),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    assert second.returncode == 2
    assert second.stderr == f"Error: {out}: another satgen train is writing into it\n"
    assert not out.exists()
