"""The movements that forecasts are made of, each seeded and exact, with its inertia.

Poses are T_cam_target. A tumble turns freely before a camera that stands still in inertial space;
the spiral is satgen's default sweep, in which the camera moves and the target does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from bench.predict.rigid_body import ORDER, Bodies, coupling, make_bodies, propagate
from bench.predict.rotations import exp, random_rotations
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.trajectory import (
    DEFAULT_START,
    INDEX_MAX,
    Motion,
    Spiral,
    TrajectoryConfig,
    Tumble,
    observe,
)

DISTANCE_M = 58.25
"""From the camera to Aura's centre, at which it fills the default frame."""

AIM = (0.0, 0.6, 1.2)
"""Centre of mass in the target frame, metres, for motions without a rendered target: off the
origin, so that the translation changes as the target turns."""

FIRST = DEFAULT_START
"""Observation index of the first frame."""

LONGEST = INDEX_MAX + 1 - FIRST
"""Frames of a motion, at most."""


@dataclass(frozen=True)
class Sequence:
    """One long run of poses, frame by frame.

    Attributes:
        name: of the motion.
        times: (N,) seconds.
        rotations: (N, 3, 3) of T_cam_target.
        translations: (N, 3) metres.
        body: the target's inertia, of one body; None where it is not known.
    """

    name: str
    times: Floats
    rotations: Floats
    translations: Floats
    body: Bodies | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.times)


INERTIA: dict[str, tuple[float, float, float]] = {
    "aura": (0.094, 0.982, 1.0),
    "box": (0.5, 0.8, 1.0),
    "flat": (0.5, 0.55, 1.0),
    "disc": (0.55, 0.6, 1.0),
}
"""Ratios of principal moments. Aura's are nearly those of a symmetric top (a long body); a box with
three different sides; a flat panel; and a disc that is not quite round."""


def _tumble(inertia: str, *rates_deg: float) -> Tumble:
    """A tumble of so many degrees a frame about each principal axis, at index 1."""
    x, y, z = rates_deg
    return Tumble(moments=INERTIA[inertia], rates_deg_s=(x, y, z))


MOTIONS: dict[str, Motion] = {
    "spiral": Spiral(),
    "tumble-1": _tumble("aura", 0.3, 0.9, 0.3),
    "tumble-3": _tumble("aura", 0.9, 2.7, 0.9),
    "tumble-3-box": _tumble("box", 0.9, 2.7, 0.9),
    "tumble-3-flat": _tumble("flat", 1.6, 2.0, 1.6),
    "tumble-6-disc": _tumble("disc", 3.0, 4.0, 3.5),
}
"""Motions of the lab protocol by name. The number is the rate in degrees a frame; the tumbles of 1
and 3 degrees of Aura begin mostly about the unstable middle axis, as satgen's default does."""


def make_sequence(name: str, frames: int, dt_s: float = 1.0) -> Sequence:
    """A motion in `MOTIONS` from `FIRST` on.

    Args:
        frames: how many.
        dt_s: seconds a frame.

    Raises:
        InputError: unknown name, or more frames than a trajectory has.
    """
    if name not in MOTIONS:
        raise InputError(f"motion {name!r}: one of {', '.join(MOTIONS)}")
    config = TrajectoryConfig(motion=MOTIONS[name], distance_m=DISTANCE_M, aim=AIM)
    body = None
    if not isinstance(config.motion, Tumble):
        body = make_bodies(INERTIA["aura"], centre=AIM)
    found = sequence_of(name, config, np.arange(FIRST, FIRST + frames), body)
    return replace(found, times=found.times * dt_s)


def sequence_of(
    name: str, config: TrajectoryConfig, indices: ArrayLike, body: Bodies | None = None
) -> Sequence:
    """The poses of a trajectory, which may be a rendered dataset's.

    Args:
        name: of the sequence.
        config: the trajectory.
        indices: (N,) observation indices, ascending.
        body: the target's inertia, of one body. A tumble's own is taken where it is None.

    Raises:
        InputError: an index that the trajectory does not have.
    """
    views = observe(config, np.asarray(indices))
    motion = config.motion
    if body is None and isinstance(motion, Tumble) and motion.moments is not None:
        body = make_bodies(motion.moments, motion.axes, config.aim)
    T = views.T_cam_target
    return Sequence(name, views.time_s, T[:, :3, :3], T[:, :3, 3], body)


def tumble_rotations(
    bodies: Bodies, start: Floats, omega: Floats, times: Floats, order: int = ORDER
) -> Floats:
    """Rotations of T_cam_target of B free bodies.

    Args:
        bodies: B of them.
        start: (B, 3, 3) rotations at time 0.
        omega: (B, 3) angular velocity at time 0 about the principal axes, rad/s.
        times: (B, N) seconds.
        order: of `rigid_body.propagate`.

    Returns:
        (B, N, 3, 3).
    """
    motion = propagate(coupling(bodies.moments), omega, times, order=order)
    axes = bodies.axes[:, None]
    return np.asarray(start[:, None] @ np.swapaxes(axes, -1, -2) @ motion.turn @ axes)


def look_at(rotations: Floats, distance_m: ArrayLike = DISTANCE_M, aim: ArrayLike = AIM) -> Floats:
    """Translations (..., 3) that keep `aim`, target frame, on the optical axis at a distance."""
    t = -(rotations @ np.asarray(aim, dtype=np.float64)[:, None])[..., 0]
    t[..., 2] += np.asarray(distance_m)
    return np.asarray(t)


# --- what the observer adds -------------------------------------------------------------------

DISTRIBUTIONS = ("gaussian", "angle")


@dataclass(frozen=True)
class Noise:
    """Random errors of observed poses.

    Attributes:
        rotation_deg: standard deviation. With distribution "gaussian" it is that of each component
            of an isotropic Gaussian rotation vector; with "angle" it is that of a Gaussian angle
            about an axis that is uniform over the sphere (SG-nCDE's noise), whose rotation vector
            has a standard deviation of 1/sqrt(3) of it along each axis, and heavier tails.
        translation_m: standard deviation of each component of the translation, metres.
        distribution: one of `DISTRIBUTIONS`.

    Raises:
        InputError: not finite, negative, or an unknown distribution.
    """

    rotation_deg: float = 0.0
    translation_m: float = 0.0
    distribution: str = "gaussian"

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        for name in ("rotation_deg", "translation_m"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0.0):
                raise InputError(f"noise {value}: must be a finite number that is not negative")
        if self.distribution not in DISTRIBUTIONS:
            raise InputError(f"noise {self.distribution!r}: one of {', '.join(DISTRIBUTIONS)}")

    def axis_rad(self) -> float:
        """Standard deviation of the rotation about each axis, radians."""
        share = 1.0 if self.distribution == "gaussian" else 3.0**-0.5
        return float(np.radians(self.rotation_deg)) * share

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Rotations (*shape, 3, 3) and shifts (*shape, 3) of that size."""
        vectors = rng.normal(size=(*shape, 3))
        if self.distribution == "angle":
            vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
            vectors = vectors * rng.normal(size=(*shape, 1))
        shifts = self.translation_m * rng.normal(size=(*shape, 3))
        return exp(np.radians(self.rotation_deg) * vectors), shifts


@dataclass(frozen=True)
class Ensemble:
    """Free bodies drawn at random.

    Attributes:
        inertia: (I, 3) ratios, taken in turn.
        any_inertia: take in turn, too, ratios drawn over all that a body can have (second moments
            of mass uniform over the simplex).
        spread: standard deviation of the logarithm of the second moments around each.
        rate: angular velocity, radians a frame: the standard deviation of each component of a
            Gaussian where `uniform_rate` is None.
        least_rate: slower ones are drawn again, radians a frame.
        uniform_rate: lowest and highest, radians a frame, of a speed uniform between them, in a
            direction uniform over the sphere.
    """

    inertia: tuple[tuple[float, float, float], ...] = ()
    any_inertia: bool = False
    spread: float = 0.0
    rate: float = 0.03
    least_rate: float = 0.0
    uniform_rate: tuple[float, float] | None = field(default=None)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Bodies, Floats, Floats]:
        """Bodies, rotations (count, 3, 3) and rates (count, 3), principal axes, radians a frame.

        The moments are in ascending order, as those of satgen's targets.
        """
        free = second_to_moments(rng.dirichlet(np.ones(3), count))
        kinds = len(self.inertia) + self.any_inertia
        kind = np.arange(count) % kinds
        base = np.concatenate([np.reshape(self.inertia, (-1, 3)), free[:1]])[
            np.minimum(kind, len(self.inertia))
        ]
        base = np.where((kind == len(self.inertia))[:, None], free, base)
        second = moments_to_second(base) * np.exp(self.spread * rng.normal(size=(count, 3)))
        moments = np.sort(second_to_moments(second), axis=1)
        moments = moments / moments[:, 2:]
        if self.uniform_rate is not None:
            direction = rng.normal(size=(count, 3))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            omega = direction * rng.uniform(*self.uniform_rate, (count, 1))
        else:
            omega = self.rate * rng.normal(size=(count, 3))
            slow = np.linalg.norm(omega, axis=1) < self.least_rate
            while slow.any():
                omega[slow] = self.rate * rng.normal(size=(int(slow.sum()), 3))
                slow = np.linalg.norm(omega, axis=1) < self.least_rate
        return make_bodies(moments, centre=AIM), random_rotations(rng, count), omega


def moments_to_second(moments: ArrayLike) -> Floats:
    """Second moments of mass (..., 3) along the axes: (I_j + I_l - I_i) / 2; 0 for a flat body."""
    m = np.asarray(moments, dtype=np.float64)
    return np.asarray(m.sum(axis=-1, keepdims=True) / 2.0 - m)


def second_to_moments(second: ArrayLike) -> Floats:
    """Moments of inertia (..., 3) from second moments of mass, any three that are positive."""
    s = np.asarray(second, dtype=np.float64)
    return np.asarray(s.sum(axis=-1, keepdims=True) - s)
