"""bench.predict.frame_training, frame_learned, frame_networks: small networks, trained for real."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.predict.frame_learned import (
    MOST_PARAMETERS,
    NETWORKS,
    LearnedFrames,
    NetworkConfig,
    base_of,
)
from bench.predict.frame_models import load_frame_model
from bench.predict.frame_networks import ConvLSTM, SimVP, reduction_of
from bench.predict.frame_protocols import FrameProtocol, held_out
from bench.predict.frame_training import (
    BEST,
    CHECKPOINT,
    LOG,
    FrameTrainConfig,
    FrameTrainSummary,
    horizons_of,
    loss_of,
    train_frames,
)
from bench.predict.frame_types import checked_frames
from satgen.errors import InputError, RunError
from satgen.sequences import WindowConfig, WindowDataset
from satgen.splits import Split

WINDOWS = WindowConfig(observed=3, future=4, size=16, fields=("frames",))
TINY = {
    "simvp": NetworkConfig(width=8, hidden=16, depth=1, carry=False),
    "gsta": NetworkConfig(translator="gsta", width=8, hidden=16, depth=1),
    "carried": NetworkConfig(width=8, hidden=16, depth=1),
    "convlstm": NetworkConfig(kind="convlstm", hidden=8, depth=2),
}
QUICK = FrameTrainConfig(
    network=TINY["simvp"], steps=6, batch=3, horizons=2, validate_every=3, save_every=2
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A second thread costs networks as small as these more than it gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def parts(pristine: Path) -> tuple[WindowDataset, WindowDataset]:
    """Windows to train on, and to validate with."""
    indices = np.arange(3000, 3024)
    none = indices[:0]
    splits = {"craft": Split(indices[:14], indices[14:], none, none)}
    train, validation = (
        WindowDataset(pristine, WINDOWS, part=part, splits=splits)
        for part in ("train", "validation")
    )
    return train, validation


def facts(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, str]]]:
    """Weights and log of a training, without what the clock says."""
    with open(folder / LOG, encoding="utf-8") as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return load_file(folder / BEST), rows


def alike(one: Path, other: Path) -> bool:
    (weights, log), (weights2, log2) = facts(one), facts(other)
    return log == log2 and all(torch.equal(weights[name], weights2[name]) for name in weights)


# --- networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(("size", "colour"), [(16, False), (24, True)])
def test_any_horizons_are_those_of_all(name: str, size: int, colour: bool) -> None:
    windows = replace(WINDOWS, size=size, colour=colour)
    model = LearnedFrames.untrained(TINY[name], windows, seed=1)
    channels = 3 if colour else 1
    rng = np.random.default_rng(2)
    frames = rng.random((2, 3, channels, size, size)).astype(np.float32)
    with torch.inference_mode():
        base = torch.from_numpy(base_of(model.config, frames, [1, 2, 3, 4]))
        whole = model.network(torch.from_numpy(frames), base, [1, 2, 3, 4])
        some = model.network(torch.from_numpy(frames), base[:, [1, 3]], [2, 4])
    assert whole.shape == (2, 4, channels, size, size)
    assert torch.allclose(some, whole[:, [1, 3]], atol=1e-6)
    assert whole.min() >= 0.0 and whole.max() <= 1.0


def test_a_new_simvp_begins_near_what_it_is_given() -> None:
    model = LearnedFrames.untrained(TINY["simvp"], WINDOWS, seed=0)
    frames = np.random.default_rng(0).random((2, 3, 1, 16, 16)).astype(np.float32)
    with torch.inference_mode():
        base = torch.from_numpy(base_of(model.config, frames, [1, 4]))
        found = model.network(torch.from_numpy(frames), base, [1, 4])
    assert torch.equal(base[:, 0], torch.from_numpy(frames[:, -1]))
    assert (found - base).abs().mean() < 0.06 < base.abs().mean()


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("name", NETWORKS)
def test_named_networks_are_small(name: str, size: int) -> None:
    model = LearnedFrames.untrained(NETWORKS[name], WindowConfig(10, 20, size=size), seed=0)
    assert 100_000 < model.parameters <= MOST_PARAMETERS == 4_000_000


def test_the_hidden_grid() -> None:
    assert [reduction_of(side) for side in (8, 16, 64, 100, 128, 256, 512)] == [
        *(4, 4, 4, 4, 8, 16, 32)
    ]
    for wrong in (4, 30, 66):
        with pytest.raises(InputError, match=f"size {wrong}"):
            reduction_of(wrong)
    with pytest.raises(InputError, match="translator 'x'"):
        SimVP(2, 2, translator="x")


def test_convlstm_sees_no_frame_to_come() -> None:
    """Its later forecasts follow from its earlier ones, not from what it is given as base."""
    network = ConvLSTM(3, 4, size=16, hidden=8, depth=1)
    frames = torch.rand(1, 3, 1, 16, 16)
    with torch.inference_mode():
        one = network(frames, torch.zeros(1, 2, 1, 16, 16), [1, 3])
        other = network(frames, torch.ones(1, 2, 1, 16, 16), [1, 3])
    assert torch.equal(one, other)


def test_the_loss_is_the_mean_psnr() -> None:
    wanted = torch.rand(2, 3, 1, 8, 8, dtype=torch.float64)
    found = wanted + torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)[None, :, None, None, None]
    decibels = -10.0 / np.log(10.0) * float(loss_of(found, wanted))
    expected = np.mean([-10 * np.log10(e**2 + 1e-4) for e in (0.1, 0.2, 0.4)])
    assert decibels == pytest.approx(expected)


# --- training -------------------------------------------------------------------------------------


def test_horizons_cover_the_future() -> None:
    config = replace(QUICK, horizons=5)
    drawn = [horizons_of(config, 20, step) for step in range(200)]
    assert {h for some in drawn for h in some} == set(range(1, 21))
    for some in drawn:
        assert [(h - 1) // 4 for h in some] == [0, 1, 2, 3, 4]
    assert horizons_of(replace(QUICK, horizons=0), 4, 0) == [1, 2, 3, 4]
    assert horizons_of(replace(QUICK, horizons=9), 4, 0) == [1, 2, 3, 4]


class KilledError(Exception):
    """Stands for the end of the process: what is not on disk is lost."""


@pytest.mark.parametrize(("name", "at"), [("carried", 1), ("carried", 3), ("convlstm", 5)])
def test_a_killed_training_goes_on_to_the_same_weights(
    parts: tuple[WindowDataset, WindowDataset], tmp_path: Path, name: str, at: int
) -> None:
    config = replace(QUICK, network=TINY[name])
    train_frames(*parts, config, tmp_path / "whole")

    def stop(step: int, steps: int) -> None:
        assert steps == 6
        if step == at:
            raise KilledError

    with pytest.raises(KilledError):
        train_frames(*parts, config, tmp_path / "killed", progress=stop)
    with open(tmp_path / "killed" / LOG, "a", encoding="utf-8") as file:
        file.write("3,0.1")  # a torn line
    done: list[int] = []
    found = train_frames(
        *parts, config, tmp_path / "killed", progress=lambda step, _: done.append(step)
    )
    assert done[0] == at // 2 * 2 + 1 and done[-1] == 6
    assert alike(tmp_path / "whole", tmp_path / "killed")

    def never(step: int, steps: int) -> None:
        pytest.fail(f"step {step}: it was done")

    again = train_frames(*parts, config, tmp_path / "killed", progress=never)
    assert (again.step, again.psnr) == (found.step, found.psnr)
    assert alike(tmp_path / "whole", tmp_path / "killed")


def test_workers_and_caches_change_nothing(
    parts: tuple[WindowDataset, WindowDataset], tmp_path: Path
) -> None:
    train_frames(*parts, QUICK, tmp_path / "none")
    train_frames(*parts, QUICK, tmp_path / "two", workers=2)
    assert alike(tmp_path / "none", tmp_path / "two")
    train_frames(*parts, replace(QUICK, seed=1), tmp_path / "other")
    assert not alike(tmp_path / "none", tmp_path / "other")


def test_it_learns_and_its_file_is_a_model(
    parts: tuple[WindowDataset, WindowDataset], pristine: Path, tmp_path: Path
) -> None:
    config = replace(QUICK, steps=60, batch=4, horizons=0, validate_every=30, learning_rate=5e-3)
    found: FrameTrainSummary = train_frames(*parts, config, tmp_path)
    before = LearnedFrames.untrained(config.network, WINDOWS, config.seed)
    model = load_frame_model(str(tmp_path / BEST))
    assert isinstance(model, LearnedFrames) and model.parameters == before.parameters
    protocol = FrameProtocol("small", 3, 4, 16, horizons=(2, 4), stride=4)
    (batch,) = held_out(pristine, protocol, part=None).batches()
    errors = [
        float(np.mean((checked_frames("m", m, batch.observed).frames - batch.truth) ** 2))
        for m in (before, model, found.model)
    ]
    assert errors[1] == errors[2] < 0.8 * errors[0]
    with open(tmp_path / LOG, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["30", "60"]
    assert float(rows[found.step // 30 - 1]["psnr"]) == found.psnr


@pytest.mark.parametrize("name", ["gsta", "convlstm"])
def test_bfloat16(parts: tuple[WindowDataset, WindowDataset], tmp_path: Path, name: str) -> None:
    config = replace(QUICK, steps=2, bfloat16=True, network=TINY[name])
    found = train_frames(*parts, config, tmp_path)
    assert np.isfinite(found.psnr)
    assert all(p.dtype == torch.float32 for p in found.model.network.parameters())


def test_what_was_trained_is_not_trained_again(
    parts: tuple[WindowDataset, WindowDataset], tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    config = replace(QUICK, network=TINY["simvp"])
    for _ in range(2):
        train_frames(*parts, config, tmp_path, progress=lambda *state: seen.append(state))
        assert seen == [(n, 6) for n in range(1, 7)]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(QUICK, steps=0), "steps 0"),
        (lambda: replace(QUICK, horizons=-1), "horizons -1"),
        (lambda: replace(QUICK, learning_rate=float("nan")), "learning_rate nan: must be"),
        (lambda: NetworkConfig(kind="x"), "network 'x'"),
        (lambda: NetworkConfig(translator="x"), "translator 'x'"),
        (lambda: NetworkConfig(hidden=12), "hidden 12"),
        (lambda: NetworkConfig(width=0), "width 0"),
        (
            lambda: LearnedFrames.untrained(NetworkConfig(hidden=1024), WINDOWS, 0),
            "at most 4000000",
        ),
        (
            lambda: LearnedFrames.untrained(NetworkConfig(), replace(WINDOWS, size=None), 0),
            "must say the size",
        ),
        (lambda: LearnedFrames.untrained(NetworkConfig(), replace(WINDOWS, size=18), 0), "size 18"),
    ],
)
def test_what_cannot_be_is_one_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_what_cannot_be_trained(
    parts: tuple[WindowDataset, WindowDataset], pristine: Path, tmp_path: Path
) -> None:
    train, validation = parts
    folder = tmp_path / "new"
    other = WindowDataset(pristine, replace(WINDOWS, observed=2))
    nothing = WindowDataset(pristine, replace(WINDOWS, fields=("poses",)))
    with pytest.raises(InputError, match="validation windows: observed 2, to train on 3"):
        train_frames(train, other, QUICK, folder)
    with pytest.raises(InputError, match="must have the field 'frames'"):
        train_frames(nothing, nothing, QUICK, folder)
    assert not folder.exists()
    train_frames(train, validation, replace(QUICK, steps=1), folder)
    with pytest.raises(InputError, match="another configuration or other data"):
        train_frames(train, validation, QUICK, folder)
    (folder / CHECKPOINT).write_bytes(b"nothing")
    with pytest.raises(RunError, match="delete it to begin anew"):
        train_frames(train, validation, QUICK, folder)
    wild = replace(QUICK)
    object.__setattr__(wild, "learning_rate", 1e9)  # so that it goes wrong; nobody may ask for it
    with pytest.raises(RunError, match="step 2: the loss is not finite"):
        train_frames(train, validation, wild, tmp_path / "wild")


def test_windows_that_it_was_not_trained_on(
    parts: tuple[WindowDataset, WindowDataset], pristine: Path, tmp_path: Path
) -> None:
    train_frames(*parts, replace(QUICK, steps=1), tmp_path)
    model = LearnedFrames.load(tmp_path / BEST)
    for changes, message in (
        ({"size": 32}, "trained on"),
        ({"observed": 2}, "trained on"),
        ({"future": 6, "horizons": (6,)}, "horizon 6: the network forecasts 4"),
    ):
        protocol = replace(FrameProtocol("p", 3, 4, 16, horizons=(2,)), **changes)
        (batch,) = held_out(pristine, protocol, part=None).batches()
        with pytest.raises(InputError, match=message):
            model.forecast(batch.observed)
    (tmp_path / "text.safetensors").write_text("nothing")
    with pytest.raises(InputError, match="cannot be read"):
        LearnedFrames.load(tmp_path / "text.safetensors")
