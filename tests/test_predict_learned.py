"""bench.predict.learned: what it learns, that it is repeatable, and its file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.predict import learned_network
from bench.predict.kinematic import velocity
from bench.predict.learned import LearnedConfig, LearnedModel
from bench.predict.learned_network import flipped, orthonormal
from bench.predict.protocols import FreeRotation, Lab
from bench.predict.rotations import matrix_to_6d, random_rotations
from bench.predict.types import Episodes
from satgen.errors import InputError, RunError
from satgen.geometry import Floats, geodesic
from tests.limits import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]

# A run with a small network whose state is written often; says which steps it takes.
RUN = """
import sys
from pathlib import Path
from bench.predict import learned_network
from bench.predict.config import PredictConfig
from bench.predict.learned import LearnedConfig
from bench.predict.pose_run import pose_experiment
from bench.predict.protocols import Lab
from bench.predict.run import run

def rate(step, steps, plain=learned_network.warmed_cosine):
    print(step, flush=True)
    return plain(step, steps)

learned_network.SAVE_EVERY, learned_network.warmed_cosine = 7, rate
experiment = pose_experiment(
    PredictConfig(models=("velocity", "gru")),
    protocol=Lab(motions=("tumble-3",), noise_deg=(0.1,), frames=200),
    learned=LearnedConfig(hidden=8, width=16, sequences=64, steps=150, batch=16),
)
run(experiment, Path(sys.argv[1]), workers=1)
"""

TINY = LearnedConfig(hidden=8, width=16, sequences=64, steps=4, batch=16)


@lru_cache
def trained() -> LearnedModel:
    """A network of a tenth of the default's training."""
    model = LearnedModel(LearnedConfig(hidden=32, width=64, sequences=3000, steps=400))
    model.fit(Lab().training(3000))
    return model


@lru_cache
def few() -> Episodes:
    """Sequences to learn a little from."""
    return FreeRotation(noise_deg=(0.0, 0.5)).training(64)


def windows(motion: str = "tumble-3", noise: float = 0.1) -> Episodes:
    """Windows of the lab protocol."""
    (found,) = Lab(motions=(motion,), noise_deg=(noise,)).episodes()
    return found


def errors(model: LearnedModel, part: Episodes) -> tuple[Floats, Floats]:
    """Median errors (H,) of the model and of the fitted constant velocity, degrees."""
    both = []
    for each in (model, velocity()):
        found = each.forecast(part.observed, part.future)
        both.append(np.degrees(np.median(geodesic(found.rotations, part.rotations), axis=0)))
    return both[0], both[1]


@pytest.mark.parametrize("motion", ["tumble-3", "tumble-3-box", "tumble-6-disc"])
def test_it_beats_fitted_constant_velocity_from_10_frames_on(motion: str) -> None:
    found, plain = errors(trained(), windows(motion))
    assert (found[3:] < plain[3:]).all()
    assert found[3] < 0.75 * plain[3]


def test_untrained_it_is_the_fitted_constant_velocity() -> None:
    model = LearnedModel(replace(TINY, steps=1, learning_rate=1e-12))
    model.fit(few())
    part = windows()
    found = model.forecast(part.observed, part.future)
    plain = velocity().forecast(part.observed, part.future)
    assert geodesic(found.rotations, plain.rotations).max() < 1e-5
    assert np.array_equal(found.translations, plain.translations)


def test_the_same_seed_is_the_same_model() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed + 100)  # what else is drawn does not matter
        model = LearnedModel(replace(TINY, seed=seed))
        model.fit(few())
        assert model._network is not None
        states.append(model._network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(RUN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def words(name: str) -> list[str]:
        return [sys.executable, str(script), str(tmp_path / name)]

    def steps(name: str) -> list[int]:
        done = subprocess.run(
            words(name), env=environment, check=True, timeout=PATIENCE_S, capture_output=True
        )
        return [int(line) for line in done.stdout.split() if line.isdigit()]

    assert steps("whole") == list(range(150))
    weights = Path("models") / "gru.safetensors"
    state = tmp_path / "killed" / weights.with_suffix(".checkpoint.pt")
    process = subprocess.Popen(words("killed"), env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        if state.is_file():
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    assert process.wait() == -signal.SIGKILL
    assert state.is_file() and not (tmp_path / "killed" / weights).exists()
    taken = steps("killed")
    assert taken[0] > 0 and taken[0] % 7 == 0 and taken == list(range(taken[0], 150))
    assert not state.exists()
    for name in (weights, Path("windows.parquet")):
        assert len({(tmp_path / run / name).read_bytes() for run in ("whole", "killed")}) == 1


def test_a_state_of_another_training_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned_network, "SAVE_EVERY", 2)
    saved = tmp_path / "state.pt"
    LearnedModel(TINY).fit(few(), saved=saved)
    before = saved.read_bytes()
    with pytest.raises(InputError, match="another configuration or other data"):
        LearnedModel(replace(TINY, seed=1)).fit(few(), saved=saved)
    with pytest.raises(InputError, match="another configuration or other data"):
        LearnedModel(TINY).fit(few().take(np.arange(40)), saved=saved)
    assert saved.read_bytes() == before
    saved.write_bytes(b"nothing")
    with pytest.raises(RunError, match="delete it to begin anew"):
        LearnedModel(TINY).fit(few(), saved=saved)


def test_a_file_is_the_model(tmp_path: Path) -> None:
    model = LearnedModel(TINY)
    model.fit(few())
    model.save(tmp_path / "pose.safetensors")
    other = LearnedModel.load(tmp_path / "pose.safetensors")
    assert other.config == TINY
    part = windows()
    both = [m.forecast(part.observed, part.future).rotations for m in (model, other)]
    assert np.array_equal(*both)
    model.save(tmp_path / "again.safetensors")
    files = [(tmp_path / name).read_bytes() for name in ("pose.safetensors", "again.safetensors")]
    assert files[0] == files[1]


def test_turned_frames_turn_the_forecast() -> None:
    """The camera's on the left; the target's on the right, where its axes are known."""
    part = windows(noise=0.5)
    seen = part.observed
    assert seen.bodies is not None
    left, right = random_rotations(np.random.default_rng(0), 2)
    bodies = replace(seen.bodies, axes=seen.bodies.axes @ right)
    moved = replace(seen, rotations=left @ seen.rotations @ right, bodies=bodies)
    plain = trained().forecast(seen, part.future)
    turned = trained().forecast(moved, part.future)
    assert geodesic(turned.rotations, left @ plain.rotations @ right).max() < 1e-4


def test_order_of_the_axes_does_not_matter() -> None:
    part = windows()
    seen = part.observed
    assert seen.bodies is not None
    other = replace(
        seen.bodies,
        moments=seen.bodies.moments[:, [2, 1, 0]],
        axes=seen.bodies.axes[:, [2, 1, 0]] * np.array([[1.0], [1.0], [-1.0]]),
    )
    plain = trained().forecast(seen, part.future)
    found = trained().forecast(replace(seen, bodies=other), part.future)
    assert geodesic(plain.rotations, found.rotations).max() < 1e-4


def test_time_has_no_unit() -> None:
    """Ten times as fast, looked at ten times as often: the same forecasts."""
    part = windows()
    quick = replace(part.observed, times=part.observed.times / 10.0)
    plain = trained().forecast(part.observed, part.future)
    found = trained().forecast(quick, part.future / 10.0)
    assert geodesic(plain.rotations, found.rotations).max() < 1e-5


def test_half_turns_about_principal_axes_are_those_of_the_features() -> None:
    """What the augmentation does to the network's input is what it does to the poses."""
    from bench.predict.learned import _prepare

    part = windows()
    signs = np.array([-1.0, 1.0, -1.0])
    # A camera that turns along keeps the relative rotations F Q F.
    turned = replace(part.observed, rotations=part.observed.rotations * signs)
    plain, moved = (_prepare(seen, part.future) for seen in (part.observed, turned))
    as_torch = torch.from_numpy(plain.frames), torch.from_numpy(plain.context)
    every = torch.from_numpy(signs).expand(len(part), 3)
    frames, context = flipped(*as_torch, every)
    assert np.abs(frames.numpy() - moved.frames).max() < 1e-6
    assert np.abs(context.numpy() - moved.context).max() < 1e-6


def test_six_numbers_are_a_rotation() -> None:
    turn = random_rotations(np.random.default_rng(0), 50)
    found = orthonormal(torch.from_numpy(matrix_to_6d(turn))).numpy()
    assert np.abs(found - turn).max() < 1e-12
    # Scaled, and the second column moved along the first: still the same rotations.
    x, y = turn[..., 0], turn[..., 1]
    for a, b, mix in ((0.1, 10.0, 0.0), (10.0, 0.1, 0.5), (2.0, 3.0, -8.0)):
        six = np.concatenate([a * x, b * y + mix * x], axis=-1)
        assert np.abs(orthonormal(torch.from_numpy(six)).numpy() - turn).max() < 1e-10


def test_standing_still_is_a_motion() -> None:
    part = windows().take([0, 1])
    still = replace(part.observed, rotations=np.repeat(part.observed.rotations[:, :1], 12, axis=1))
    found = trained().forecast(still, part.future)
    assert np.isfinite(found.rotations).all()
    assert np.degrees(geodesic(found.rotations, still.rotations[:, :1])).max() < 5.0


def test_progress_is_told() -> None:
    said: list[tuple[int, int]] = []
    LearnedModel(TINY).fit(few(), lambda done, whole: said.append((done, whole)))
    assert said == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    LearnedModel(TINY).fit(few())
    assert torch.get_num_threads() == before


def test_refused_in_one_line(tmp_path: Path) -> None:
    part = windows()
    with pytest.raises(InputError, match="has no weights: fit it"):
        LearnedModel().forecast(part.observed, part.future)
    with pytest.raises(InputError, match="no weights to save"):
        LearnedModel().save(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="cannot be read"):
        LearnedModel.load(tmp_path / "none.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\x00\x00")
    with pytest.raises(InputError, match="cannot be read"):
        LearnedModel.load(tmp_path / "torn.safetensors")
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="not those of a pose model"):
        LearnedModel.load(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="steps 0: must be between 1 and"):
        LearnedConfig(steps=0)
    with pytest.raises(InputError, match="learning_rate nan"):
        LearnedConfig(learning_rate=float("nan"))
    with pytest.raises(InputError, match="2 observed frames: must be at least 3"):
        trained().forecast(part.observed.last(2), part.future)


def test_forecasts_are_rotations() -> None:
    part = windows("tumble-6-disc", 0.5)
    turn = trained().forecast(part.observed, part.future).rotations
    assert np.abs(turn @ np.swapaxes(turn, -1, -2) - np.eye(3)).max() < 1e-12
    assert (np.linalg.det(turn) > 0.0).all()
