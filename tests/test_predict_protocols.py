"""bench.predict.motions and protocols: physics, noise, seeds, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.predict import motions as m
from bench.predict.learned import LearnedConfig
from bench.predict.protocols import PROTOCOLS, FreeRotation, Lab, join
from bench.predict.rigid_body import make_bodies
from bench.predict.rotations import exp, log
from satgen.cli.options import configured, options_of
from satgen.errors import InputError
from satgen.geometry import Floats, geodesic, make_pose
from satgen.trajectory import Spiral, TrajectoryConfig, Tumble, observe

SMALL = Lab(motions=("tumble-3-box",), frames=200, noise_deg=(0.1,), horizons=(1, 5, 20))


def drift_of_momentum(sequence: m.Sequence) -> float:
    """Largest turn, radians, of the inertial angular momentum, with rates from differences."""
    assert sequence.body is not None
    inertia = sequence.body.axes[0].T @ np.diag(sequence.body.moments[0]) @ sequence.body.axes[0]
    turn, dt = sequence.rotations, sequence.times[1] - sequence.times[0]
    step = log(np.swapaxes(turn[:-2], -1, -2) @ turn[2:])
    momentum = (turn[1:-1] @ (inertia @ step[..., None]))[..., 0] / (2.0 * dt)
    unit = momentum / np.linalg.norm(momentum, axis=-1, keepdims=True)
    return float(np.arccos(np.clip(unit @ unit[0], -1.0, 1.0)).max())


@pytest.mark.parametrize("name", [name for name in m.MOTIONS if name != "spiral"])
def test_tumbles_keep_their_angular_momentum(name: str) -> None:
    fine = m.make_sequence(name, 400)
    # Central differences of what moves by a twentieth of a radian: the error is of the order of
    # the curvature, and SG-nCDE's simulator drifts by a radian.
    assert drift_of_momentum(fine) < 0.02


def test_long_tumbles_are_those_of_ensembles() -> None:
    """The closed form of trajectories and the series, with moments in any order and axes of any
    direction."""
    axes = exp([0.3, -0.4, 1.2])
    motion = Tumble(
        moments=(1.0, 0.5, 0.8),
        axes=tuple(tuple(row) for row in axes.tolist()),
        rates_deg_s=(1.0, 2.0, -2.5),
    )
    config = TrajectoryConfig(motion=motion, distance_m=40.0, aim=(0.5, 0.0, 0.2))
    found = m.sequence_of("mine", config, np.arange(1, 92))
    assert found.body is not None and found.body.centre is not None
    series = m.tumble_rotations(
        found.body,
        found.rotations[:1],
        np.radians([motion.rates_deg_s]),
        found.times[None] - found.times[0],
    )[0]
    assert geodesic(found.rotations, series).max() < 1e-9
    assert np.array_equal(found.body.centre[0], [0.5, 0.0, 0.2])


def test_sequences_begin_where_renders_do() -> None:
    config = TrajectoryConfig(motion=Spiral(), distance_m=m.DISTANCE_M, aim=m.AIM)
    poses = observe(config, np.arange(361, 661)).T_cam_target
    found = m.make_sequence("spiral", 300)
    assert np.array_equal(make_pose(found.rotations, found.translations), poses)
    assert len(m.make_sequence("tumble-1", 7740)) == 7740


def test_period_of_frames_changes_the_clock_alone() -> None:
    one, tenth = (m.make_sequence("tumble-1", 50, dt_s=dt) for dt in (1.0, 0.1))
    assert np.abs(one.rotations - tenth.rotations).max() < 1e-12
    assert np.allclose(tenth.times, one.times / 10.0)


def test_gaussian_noise_is_of_each_axis() -> None:
    turns, shifts = m.Noise(0.5, 0.02).draw(np.random.default_rng(0), (20_000,))
    vectors = np.degrees(log(turns))
    assert np.abs(np.cov(vectors.T) - 0.25 * np.eye(3)).max() < 0.01
    assert np.abs(shifts.std(axis=0) - 0.02).max() < 5e-4
    assert m.Noise(0.5).axis_rad() == pytest.approx(np.radians(0.5))


def test_angle_noise_is_of_the_angle() -> None:
    noise = m.Noise(2.0, distribution="angle")
    turns, _ = noise.draw(np.random.default_rng(0), (20_000,))
    vectors = np.degrees(log(turns))
    assert np.sqrt(np.mean(np.sum(vectors**2, axis=1))) == pytest.approx(2.0, rel=0.02)
    assert np.median(np.linalg.norm(vectors, axis=1)) == pytest.approx(0.6745 * 2.0, rel=0.03)
    assert np.degrees(noise.axis_rad()) == pytest.approx(vectors.std(), rel=0.02)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_random_bodies_can_exist_and_are_fast_enough(seed: int) -> None:
    ensemble = m.Ensemble(
        inertia=((0.5, 0.5, 1.0),), any_inertia=True, spread=0.3, rate=0.03, least_rate=0.02
    )
    bodies, start, omega = ensemble.draw(np.random.default_rng(seed), 40)
    assert (2.0 * bodies.moments.max(axis=1) <= bodies.moments.sum(axis=1) * (1 + 1e-9)).all()
    assert (np.diff(bodies.moments, axis=1) >= 0.0).all()
    assert np.linalg.norm(omega, axis=1).min() >= 0.02
    assert np.abs(start @ np.swapaxes(start, -1, -2) - np.eye(3)).max() < 1e-12


def test_second_moments_are_those_of_mass() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)) * [3.0, 2.0, 1.0]
    inertia = np.sum(points**2) * np.eye(3) - points.T @ points
    second = m.moments_to_second(np.diag(inertia))
    assert np.allclose(second, np.sum(points**2, axis=0))
    assert np.allclose(m.second_to_moments(second), np.diag(inertia))


def test_windows_are_the_sequence_s_frames() -> None:
    """By hand, for each window."""
    protocol = Lab(motions=("tumble-1",), frames=300, noise_deg=(0.0,), stride=50, horizons=(3, 80))
    sequence = next(protocol.sequences())
    (found,) = protocol.episodes()
    starts = [0, 50, 100, 150, 200]
    assert len(found) == len(starts)
    for row, start in enumerate(starts):
        assert np.array_equal(found.observed.times[row], sequence.times[start : start + 12])
        seen = sequence.rotations[start : start + 12]
        assert np.abs(found.observed.rotations[row] - seen).max() < 1e-15
        last = start + 11
        assert np.array_equal(found.rotations[row], sequence.rotations[[last + 3, last + 80]])
        assert np.array_equal(found.translations[row], sequence.translations[[last + 3, last + 80]])
        assert np.array_equal(found.future[row], sequence.times[[last + 3, last + 80]])


@pytest.mark.parametrize(
    "make", [lambda: SMALL, lambda: FreeRotation(sequences=8, noise_deg=(1.0,))]
)
def test_the_same_seed_is_the_same_experiment(make: Callable[[], Any]) -> None:
    first, second = (list(make().episodes()) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.observed.rotations, b.observed.rotations)
        assert np.array_equal(a.rotations, b.rotations)
    trained = [make().training(20) for _ in range(2)]
    assert np.array_equal(trained[0].observed.rotations, trained[1].observed.rotations)


def test_a_part_is_the_same_whatever_else_is_asked_for() -> None:
    both = list(Lab(motions=("spiral", "tumble-1"), frames=150).episodes())
    (alone,) = Lab(motions=("tumble-1",), frames=150, noise_deg=(0.5,)).episodes()
    same = next(e for e in both if e.motion[0] == "tumble-1" and e.noise_deg[0] == 0.5)
    assert np.array_equal(alone.observed.rotations, same.observed.rotations)


def test_free_rotation_differs_between_noises_by_the_noise_alone() -> None:
    protocol = FreeRotation(sequences=40, noise_deg=(0.0, 1.7), inertia=("box",))
    clean, noisy = protocol.episodes()
    assert np.array_equal(clean.rotations, noisy.rotations)
    angle = geodesic(clean.observed.rotations, noisy.observed.rotations)
    assert np.degrees(np.sqrt(np.mean(angle**2))) == pytest.approx(1.7, rel=0.15)
    assert clean.observed.bodies is not None and clean.observed.bodies.centre is not None


def test_jittered_times_keep_their_order_and_bounds() -> None:
    protocol = FreeRotation(sequences=200, noise_deg=(0.0,), inertia=("any",))
    (found,) = protocol.episodes()
    times = np.concatenate([found.observed.times, found.future], axis=1)
    assert (np.diff(times, axis=1) > 0.0).all()
    nominal = 0.1 * np.concatenate([np.arange(-11, 1), protocol.horizons])
    shift = np.abs(times - nominal).max()
    assert 0.028 < shift <= 0.03


def test_free_rotation_keeps_the_momentum_of_each_body() -> None:
    """Exact here: the true poses' own dynamics, from one frame to any other, give one momentum."""
    protocol = FreeRotation(
        sequences=30, noise_deg=(0.0,), jitter=0.0, dt_s=1e-3, rate=0.3, inertia=("flat", "any")
    )
    for found in protocol.episodes():
        bodies = found.observed.bodies
        assert bodies is not None
        turn = found.observed.rotations
        step = log(np.swapaxes(turn[:, :-1], -1, -2) @ turn[:, 1:]) / 1e-3
        middle = turn[:, :-1]
        momentum = np.einsum("btij,btj->bti", middle, bodies.moments[:, None] * step)
        spread = np.linalg.norm(momentum - momentum[:, :1], axis=-1)
        assert (spread < 1e-3 * np.linalg.norm(momentum, axis=-1)).all()


def test_training_is_of_other_sequences() -> None:
    protocol = FreeRotation(sequences=30, noise_deg=(0.0,))
    trained = protocol.training(30)
    assert trained.future.shape == (30, 8)
    for found in protocol.episodes():
        gap = geodesic(found.observed.rotations[:, None, 0], trained.observed.rotations[None, :, 0])
        assert gap.min() > 1e-3


def test_lab_training_covers_noises_and_horizons() -> None:
    trained = Lab().training(300)
    assert set(trained.noise_deg) == {0.0, 0.1, 0.5}
    ahead = trained.future - trained.observed.times[:, -1:]
    assert ahead.min() >= 1.0 and ahead.max() <= 80.0
    assert (np.diff(trained.future, axis=1) >= 0.0).all()


def test_joined_batches_keep_what_is_known() -> None:
    (one,), (other,) = SMALL.episodes(), SMALL.episodes()
    both = join([one, other])
    assert len(both) == 2 * len(one)
    assert np.array_equal(both.take(np.arange(len(one))).rotations, one.rotations)
    assert both.observed.bodies is not None and len(both.observed.bodies) == len(both)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: m.Noise(float("nan")), "noise nan: must be a finite number"),
    (lambda: m.Noise(-0.1), "noise -0.1"),
    (lambda: m.Noise(0.1, distribution="flat"), "one of gaussian, angle"),
    (lambda: Lab(noise_deg=(0.1, float("nan"))), "noise_deg 0.1,nan: must be between 0 and 180"),
    (lambda: Lab(noise_deg=()), "at least one value"),
    (lambda: Lab(noise_deg=(0.1, 0.1)), r"noise \[0.1, 0.1\]: must be given once each"),
    (lambda: Lab(motions=("spiral", "spiral")), "motion .*: must be given once each"),
    (lambda: Lab(motions=()), "motion: at least one value"),
    (lambda: FreeRotation(inertia=("any", "any")), "inertia .*: must be given once each"),
    (lambda: FreeRotation(inertia=()), "inertia: at least one value"),
    (lambda: Lab(motions=("tumble-9",)), "motions tumble-9: must be one of spiral"),
    (lambda: Lab(observed=0), "observed 0: must be between 1 and"),
    (lambda: Lab(horizons=(5, 2)), "must be at least 1 and grow"),
    (lambda: Lab(horizons=()), "must be at least 1 and grow"),
    (lambda: Lab(frames=50), "longer than the 50 frames"),
    (lambda: Lab(stride=0), "stride 0: must be between 1 and"),
    (lambda: Lab(dt_s=float("inf")), "dt_s inf: must be more than 0"),
    (lambda: FreeRotation(inertia=("moon",)), "inertia moon: must be one of aura"),
    (lambda: FreeRotation(jitter=0.7), "jitter 0.7: must be at least 0 and below 0.5"),
    (lambda: FreeRotation(sequences=0), "sequences 0: must be between 1 and"),
    (lambda: Lab(horizons=(0, 2)), "horizons 0,2: must be between 1 and"),
    (lambda: FreeRotation(rate=0.05), "rate 0.05: must be at least 0.1"),
    (lambda: FreeRotation(rate=float("nan")), "rate nan: must be more than 0"),
    (lambda: m.make_sequence("walk", 10), "motion 'walk'"),
    (lambda: m.make_sequence("spiral", 8000), "index 8101: must be between"),
]


@pytest.mark.parametrize(("ask", "said"), REFUSED)
def test_refused_in_one_line(ask: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        ask()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [Lab, FreeRotation, LearnedConfig])
def test_the_command_line_can_be_made_from_it(config: type) -> None:
    """Every field that is declared becomes an option, whose values make the configuration."""

    @click.command()
    @options_of(config)
    def command(**values: Any) -> None:
        click.echo(repr(configured(config(), values)))

    told = CliRunner().invoke(command, ["--help"]).output
    assert "--observed" in told or config is LearnedConfig
    assert "--seed" not in told  # the run's, for noise, draws and training alike
    assert CliRunner().invoke(command, []).output.strip() == repr(config())
    if config is not LearnedConfig:
        words = ["--noise", "0.2", "--noise", "1", "--horizon", "2", "--horizon", "6"]
        expected = config(noise_deg=(0.2, 1.0), horizons=(2, 6))
        assert CliRunner().invoke(command, words).output.strip() == repr(expected)
    caught = CliRunner().invoke(command, ["--observed", "0"]).exception
    assert config is LearnedConfig or "must be between 1 and" in str(caught)


def test_a_sequence_shorter_than_a_window_is_refused() -> None:
    short = m.make_sequence("tumble-1", 60)
    with pytest.raises(InputError, match=r"tumble-1: 60 frames, a window takes 92"):
        list(Lab().episodes([short]))


def test_protocols_by_name() -> None:
    assert {name: kind().name for name, kind in PROTOCOLS.items()} == {
        "lab": "lab",
        "free-rotation": "free-rotation",
    }


def test_a_sequence_may_come_from_elsewhere() -> None:
    """As one of a rendered dataset: own times, poses and inertia, or none."""
    turn = m.make_sequence("tumble-1", 120).rotations
    given = m.Sequence("mine", np.arange(120) * 0.5, turn, np.zeros((120, 3)))
    (found,) = Lab(noise_deg=(0.1,)).episodes([given])
    assert found.observed.bodies is None and found.motion[0] == "mine"
    given = m.Sequence("mine", given.times, turn, given.translations, make_bodies([0.5, 0.8, 1.0]))
    (found,) = Lab(noise_deg=(0.1,)).episodes([given])
    assert found.observed.bodies is not None and len(found.observed.bodies) == len(found)


def test_translations_keep_the_aim_on_the_axis() -> None:
    turn: Floats = m.make_sequence("tumble-3", 30).rotations
    shift = m.look_at(turn, 40.0, (0.5, -1.0, 2.0))
    seen = turn @ np.array([0.5, -1.0, 2.0]) + shift
    assert np.abs(seen - [0.0, 0.0, 40.0]).max() < 1e-12
