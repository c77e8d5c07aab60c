"""What is observed, what is asked for, and of which sequences: the rules of an experiment.

Draws are seeded from (seed, what is drawn), so each part is the same whatever else is asked for.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.predict.motions import (
    INERTIA,
    LONGEST,
    MOTIONS,
    Ensemble,
    Noise,
    Sequence,
    look_at,
    make_sequence,
    tumble_rotations,
)
from bench.predict.rigid_body import ORDER, Bodies
from bench.predict.types import Episodes, Observed
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.settings import SEEDS, check, setting

OBSERVED = "Frames that a model sees"
HORIZON = "Frames ahead that are asked for; may be given again"
NOISE = "Noise of the observed rotations, degrees; may be given again"
NOISE_M = "Metres of noise of the observed translations for a degree of the rotations'"
PERIOD = "Time from one frame to the next"
SEED = "Seed of all draws"
NOISE_OPTION: dict[str, Any] = {"name": "noise", "many": True, "low": 0.0, "high": 180.0}
HORIZON_OPTION: dict[str, Any] = {"name": "horizon", "many": True, "low": 1, "high": 8099}
"""What options of both protocols say of themselves."""

FASTEST = 100.0
"""Radians from one frame to the next, at most: the motion is integrated, at its own pace."""

_TRAINING_ORDER = 10
"""Order of the series that a network's training sequences are made with: 1e-9 is enough."""


class PoseProtocol(Protocol):
    """Sequences to evaluate on, and others to learn from."""

    @property
    def name(self) -> str:
        """The protocol's name in tables."""
        ...

    def episodes(self) -> Iterator[Episodes]:
        """The sequences to evaluate on: a batch for each motion and noise."""
        ...

    def training(self, count: int) -> Episodes:
        """So many sequences to learn from, none of which is evaluated on."""
        ...


@dataclass(frozen=True)
class Lab:
    """12 observed frames, forecasts to 80 frames ahead: windows cut from long sequences.

    Attributes:
        motions: names in `motions.MOTIONS`; not used where sequences are given.
        noise_deg: standard deviation of the observed rotations about each axis, one run each.
        observed: frames.
        horizons: frames ahead.
        frames: of each sequence; satgen's default sweep has 7740.
        stride: frames from the start of a window to that of the next.
        dt_s: seconds a frame.
        noise_m_per_deg: metres of noise of the translation along each axis for a degree of noise of
            the rotation.
        seed: of all draws.

    Raises:
        InputError: a motion, number or noise that cannot be.
    """

    motions: tuple[str, ...] = setting(
        tuple(MOTIONS),
        "Motion without a dataset; may be given again",
        name="motion",
        many=True,
        choices=tuple(MOTIONS),
        shown="all",
    )
    noise_deg: tuple[float, ...] = setting((0.0, 0.1, 0.5), NOISE, **NOISE_OPTION)
    observed: int = setting(12, OBSERVED, low=1, high=1000)
    horizons: tuple[int, ...] = setting((1, 2, 5, 10, 20, 40, 80), HORIZON, **HORIZON_OPTION)
    frames: int = setting(7740, "Frames of each motion", low=1, high=LONGEST)
    stride: int = setting(
        37, "Frames from the start of a window to that of the next", low=1, high=8100
    )
    dt_s: float = setting(1.0, PERIOD, unit="seconds", above=0.0, high=1e6, name="dt")
    noise_m_per_deg: float = setting(0.1, NOISE_M, low=0.0, high=1e6)
    seed: int = setting(0, SEED, low=0, below=SEEDS, option=False)

    name = "lab"

    @property
    def episode_poses(self) -> int:
        """Poses of a motion's windows at a noise, where no dataset is given."""
        return (self.frames // self.stride + 1) * (self.observed + len(self.horizons))

    @property
    def training_poses(self) -> int:
        """Poses of a sequence to learn from."""
        return self.observed + len(self.horizons)

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        _check(self)
        window = self.observed + self.horizons[-1]
        if self.frames < window:
            raise InputError(
                f"{self.observed} observed and {self.horizons[-1]} ahead: longer than the "
                f"{self.frames} frames of a sequence"
            )

    def sequences(self) -> Iterator[Sequence]:
        """The motions by name, in full."""
        for name in self.motions:
            yield make_sequence(name, self.frames, self.dt_s)

    def episodes(self, sequences: Items[Sequence] | None = None) -> Iterator[Episodes]:
        """Windows of each sequence (those of `motions` unless given) at each noise."""
        for sequence in self.sequences() if sequences is None else sequences:
            for noise_deg in self.noise_deg:
                yield self.cut(sequence, noise_deg)

    def cut(self, sequence: Sequence, noise_deg: float) -> Episodes:
        """All windows of a sequence, with noise.

        Raises:
            InputError: the sequence is shorter than a window.
        """
        window = self.observed + self.horizons[-1]
        if len(sequence) < window:
            raise InputError(
                f"{sequence.name}: {len(sequence)} frames, a window takes {window} "
                f"({self.observed} observed and {self.horizons[-1]} ahead)"
            )
        starts = np.arange(0, len(sequence) - window + 1, self.stride)
        past = starts[:, None] + np.arange(self.observed)
        ahead = starts[:, None] + self.observed - 1 + np.asarray(self.horizons)
        count = len(starts)
        body = sequence.body
        noise = Noise(noise_deg, noise_deg * self.noise_m_per_deg)
        return observed_episodes(
            times=sequence.times[np.concatenate([past, ahead], axis=1)],
            rotations=sequence.rotations[np.concatenate([past, ahead], axis=1)],
            translations=sequence.translations[np.concatenate([past, ahead], axis=1)],
            bodies=None if body is None else body.take(np.zeros(count, dtype=int)),
            noise=noise,
            observed=self.observed,
            horizons=self.horizons,
            motion=sequence.name,
            rng=_rng(self.seed, sequence.name, noise_deg),
        )

    def training(self, count: int) -> Episodes:
        """Tumbles of the lab's bodies, and steady spins, at 0.3 to 7 degrees a frame, drawn anew.

        No window of the evaluated sequences is among them. The noise of each is one of
        `noise_deg`; the times to forecast are spread over all horizons.
        """
        rng = _rng(self.seed, "training", count)
        ensemble = Ensemble(
            inertia=(*INERTIA.values(), (1.0, 1.0, 1.0)),
            uniform_rate=(np.radians(0.3), np.radians(7.0)),
        )
        longest = self.horizons[-1]
        ahead = np.exp(rng.uniform(0.0, np.log(longest), (count, len(self.horizons))))
        past = np.broadcast_to(np.arange(1.0 - self.observed, 1.0), (count, self.observed))
        times = self.dt_s * np.concatenate([past, np.sort(ahead, axis=1)], axis=1)
        return _training(self, rng, ensemble, times, self.noise_deg, "gaussian")


@dataclass(frozen=True)
class FreeRotation:
    """12 observed poses at 10 a second and 12 to come of free bodies; no image is needed.

    The form of SG-nCDE (ICCV 2025, arXiv 2508.07775): sequences at 0.1 s, 12 observed, 8 ahead to
    learn from, tested at 1, 4, 6, 8, 10 and 12 ahead, noise of 0 to 0.05 rad as a Gaussian angle
    about a random axis, times off by up to 0.3 of a period. The dynamics are another: its published
    simulator multiplies body rates on the world's side of the quaternion, so that the angular
    momentum turns, and among its inertias are some that no body has (4 : 2 : 1). Here the momentum
    stands still and each body obeys the triangle inequality.

    Attributes:
        inertia: names in `motions.INERTIA`, or "any" for ratios drawn over all that exist: a motion
            "free-NAME" each.
        noise_deg: standard deviation of the angle, one run each; 0 to 0.05 rad.
        jitter: largest shift of a time, in periods.
        observed: frames.
        learned_ahead: horizons that a model learns from.
        horizons: frames ahead that are evaluated.
        sequences: evaluated for each inertia and noise: the published tenth of 8000.
        dt_s: seconds a frame.
        rate: standard deviation of each component of the angular velocity, rad/s.
        least_rate: angular velocity below which another is drawn, rad/s.
        spread: of the second moments of mass around each inertia, in their logarithm.
        noise_m_per_deg: metres of noise of the translation for a degree of noise of the rotation.
        seed: of all draws.

    Raises:
        InputError: a name, number or noise that cannot be.
    """

    inertia: tuple[str, ...] = setting(
        ("box", "flat", "aura", "any"),
        "Moments of inertia of the bodies; may be given again",
        many=True,
        choices=(*INERTIA, "any"),
    )
    noise_deg: tuple[float, ...] = setting(
        tuple(math.degrees(0.01 * level) for level in range(6)), NOISE, **NOISE_OPTION
    )
    jitter: float = setting(0.3, "Largest shift of a time, in periods", low=0.0, below=0.5)
    observed: int = setting(12, OBSERVED, low=1, high=1000)
    learned_ahead: int = setting(8, "Horizons that a model learns from", low=1, high=1000)
    horizons: tuple[int, ...] = setting((1, 4, 6, 8, 10, 12), HORIZON, **HORIZON_OPTION)
    sequences: int = setting(
        800, "Sequences evaluated for each inertia and noise", low=1, high=100_000
    )
    dt_s: float = setting(0.1, PERIOD, unit="seconds", above=0.0, high=1e6, name="dt")
    rate: float = setting(
        0.3,
        "Standard deviation of each component of the angular velocity, rad/s",
        above=0.0,
        high=100.0,
    )
    least_rate: float = setting(0.1, "Slower bodies are drawn anew, rad/s", low=0.0, high=10.0)
    spread: float = setting(
        0.1,
        "Standard deviation, of the logarithm, of moments around each inertia",
        low=0.0,
        high=10.0,
    )
    noise_m_per_deg: float = setting(0.1, NOISE_M, low=0.0, high=1e6)
    seed: int = setting(0, SEED, low=0, below=SEEDS, option=False)

    name = "free-rotation"

    @property
    def episode_poses(self) -> int:
        """Poses of the sequences of an inertia at a noise."""
        return self.sequences * (self.observed + len(self.horizons))

    @property
    def training_poses(self) -> int:
        """Poses of a sequence to learn from."""
        return self.observed + self.learned_ahead

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        _check(self)
        if self.rate * self.dt_s > FASTEST:
            raise InputError(
                f"rate {self.rate:g} rad/s, a frame each {self.dt_s:g} s: must be at most "
                f"{FASTEST:g} rad a frame"
            )
        if self.least_rate > self.rate:
            raise InputError(f"rate {self.rate:g}: must be at least {self.least_rate:g}, the least")

    def episodes(self) -> Iterator[Episodes]:
        """Sequences of each inertia at each noise; the noise alone differs between the latter."""
        for inertia in self.inertia:
            rng = _rng(self.seed, "free", inertia, self.sequences)
            times = self._times(rng, self.sequences, np.asarray(self.horizons))
            bodies, rotations = _tumbles(rng, self._ensemble((inertia,)), times, self.dt_s)
            for degrees in self.noise_deg:
                yield observed_episodes(
                    times=times,
                    rotations=rotations,
                    translations=look_at(rotations),
                    bodies=bodies,
                    noise=Noise(degrees, degrees * self.noise_m_per_deg, "angle"),
                    observed=self.observed,
                    horizons=self.horizons,
                    motion=f"free-{inertia}",
                    rng=_rng(self.seed, "noise", inertia, degrees),
                )

    def training(self, count: int) -> Episodes:
        """Sequences of all inertias, each at one of the noises, `learned_ahead` to come."""
        rng = _rng(self.seed, "training", count)
        times = self._times(rng, count, np.arange(1, self.learned_ahead + 1))
        ensemble = self._ensemble(self.inertia)
        return _training(self, rng, ensemble, times, self.noise_deg, "angle")

    def _times(self, rng: np.random.Generator, count: int, ahead: NDArray[np.int64]) -> Floats:
        frames = np.concatenate([np.arange(1 - self.observed, 1), ahead])
        shifts = rng.uniform(-self.jitter, self.jitter, (count, len(frames)))
        return np.asarray(self.dt_s * (frames + shifts))

    def _ensemble(self, names: tuple[str, ...]) -> Ensemble:
        known = tuple(INERTIA[name] for name in names if name != "any")
        return Ensemble(
            inertia=known,
            any_inertia="any" in names,
            spread=self.spread,
            rate=self.rate * self.dt_s,
            least_rate=self.least_rate * self.dt_s,
        )


PROTOCOLS: dict[str, type[Lab] | type[FreeRotation]] = {"lab": Lab, "free-rotation": FreeRotation}
"""The protocols by name."""


def _check(protocol: Lab | FreeRotation) -> None:
    """InputError where a protocol's numbers cannot be."""
    check(protocol)
    horizons = protocol.horizons
    if not horizons or list(horizons) != sorted(set(horizons)):
        raise InputError(f"horizons {list(horizons)}: must be at least 1 and grow")
    several: dict[str, tuple[float | str, ...]] = {"noise": protocol.noise_deg}
    if isinstance(protocol, Lab):
        several["motion"] = protocol.motions
    else:
        several["inertia"] = protocol.inertia
    for name, given in several.items():
        if not given:
            raise InputError(f"{name}: at least one value must be given")
        if len(set(given)) < len(given):
            raise InputError(f"{name} {list(given)}: must be given once each")


def _rng(seed: int, *keys: object) -> np.random.Generator:
    """A stream for (seed, what is drawn)."""
    return np.random.default_rng([seed, zlib.crc32(repr(keys).encode())])


def _tumbles(
    rng: np.random.Generator, ensemble: Ensemble, times: Floats, dt_s: float, order: int = ORDER
) -> tuple[Bodies, Floats]:
    """Bodies (B) and rotations (B, N, 3, 3) at times (B, N) from where each is drawn, time 0."""
    bodies, start, omega = ensemble.draw(rng, len(times))
    return bodies, tumble_rotations(bodies, start, omega / dt_s, times, order)


def _training(
    protocol: Lab | FreeRotation,
    rng: np.random.Generator,
    ensemble: Ensemble,
    times: Floats,
    noise_deg: tuple[float, ...],
    distribution: str,
) -> Episodes:
    """Free bodies at times (B, N), each with one of the noises."""
    bodies, rotations = _tumbles(rng, ensemble, times, protocol.dt_s, _TRAINING_ORDER)
    level = rng.integers(0, len(noise_deg), len(times))
    observed = protocol.observed
    parts = []
    for number, degrees in enumerate(noise_deg):
        rows = np.flatnonzero(level == number)
        if len(rows):
            parts.append(
                observed_episodes(
                    times=times[rows],
                    rotations=rotations[rows],
                    translations=look_at(rotations[rows]),
                    bodies=bodies.take(rows),
                    noise=Noise(degrees, degrees * protocol.noise_m_per_deg, distribution),
                    observed=observed,
                    horizons=tuple(range(1, times.shape[1] - observed + 1)),
                    motion="training",
                    rng=rng,
                )
            )
    return join(parts).take(rng.permutation(len(times)))


def observed_episodes(
    *,
    times: Floats,
    rotations: Floats,
    translations: Floats,
    bodies: Bodies | None,
    noise: Noise,
    observed: int,
    horizons: tuple[int, ...],
    motion: str,
    rng: np.random.Generator,
) -> Episodes:
    """True poses at times (B, observed + H), of which the first are observed with noise."""
    count = len(times)
    turns, shifts = noise.draw(rng, (count, observed))
    return Episodes(
        Observed(
            times[:, :observed],
            rotations[:, :observed] @ turns,
            translations[:, :observed] + shifts,
            np.full(count, noise.axis_rad()),
            np.full(count, noise.translation_m),
            bodies,
        ),
        times[:, observed:],
        rotations[:, observed:],
        translations[:, observed:],
        np.full(count, motion),
        np.full(count, noise.rotation_deg),
        np.asarray(horizons, dtype=np.int64),
    )


def join(parts: Items[Episodes]) -> Episodes:
    """Episodes one after the other; they share horizons and what is known."""
    first = parts[0].observed
    known = first.noise_rad is not None and first.noise_m is not None

    def all_of(name: str) -> Floats:
        return np.concatenate([getattr(part, name) for part in parts])

    def observed_of(name: str) -> Floats:
        return np.concatenate([getattr(part.observed, name) for part in parts])

    bodies = None
    if first.bodies is not None:
        each = [part.observed.bodies for part in parts]
        bodies = Bodies(
            np.concatenate([b.moments for b in each if b is not None]),
            np.concatenate([b.axes for b in each if b is not None]),
            None
            if first.bodies.centre is None
            else np.concatenate([b.centre for b in each if b is not None and b.centre is not None]),
        )
    return Episodes(
        Observed(
            observed_of("times"),
            observed_of("rotations"),
            observed_of("translations"),
            observed_of("noise_rad") if known else None,
            observed_of("noise_m") if known else None,
            bodies,
        ),
        all_of("future"),
        all_of("rotations"),
        all_of("translations"),
        np.concatenate([part.motion for part in parts]),
        all_of("noise_deg"),
        parts[0].horizons,
    )
