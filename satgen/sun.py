"""Where the sun stands.

Five ways to say it, angles in degrees:

- `phase:PHASE` or `phase:PHASE,CLOCK`: fixed in the camera frame, at angle PHASE from the direction
  back to the camera (0: the sun behind the camera; 180: straight into it), toward the image's CLOCK
  direction: 0 up, 90 right, clockwise (45 unless given: over the viewer's right shoulder).
- `sweep:FROM,TO` or `sweep:FROM,TO,CLOCK`: as phase, going evenly from FROM at index 1 to TO at
  index 8100, whichever of these are rendered.
- `random:LOW,HIGH` or `random:LOW,HIGH,SEED`: as phase, with a phase between LOW and HIGH and any
  clock, drawn anew for each block of `BLOCK` indices.
- `body:AZ,EL`: fixed in the target frame, in direction (cos EL cos AZ, cos EL sin AZ, sin EL).
- `inertial:AZ,EL`: the same in the inertial frame of the trajectories orbit and tumble, whose
  modules say which axes those are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.trajectory import (
    INDEX_MAX,
    INDEX_MIN,
    INERTIAL_KINDS,
    Motion,
    Observations,
    camera_direction,
)

MODES = {"phase": 2, "sweep": 3, "random": 3, "body": 2, "inertial": 2}
"""Numbers that each way of saying it has."""

DEFAULT_CLOCK_DEG = 45.0
BLOCK = 120
"""Indices over which a random sun stays where it is: 1 to 120, 121 to 240, and so on."""

_FORMS = (
    "phase:PHASE[,CLOCK], sweep:FROM,TO[,CLOCK], random:LOW,HIGH[,SEED], body:AZ,EL or "
    "inertial:AZ,EL"
)
_LEFT_OUT = {"phase": DEFAULT_CLOCK_DEG, "sweep": DEFAULT_CLOCK_DEG, "random": 0.0}
"""What the last number is where it is not given."""


@dataclass(frozen=True)
class SunConfig:
    """A sun direction.

    Attributes:
        mode: one of `MODES`.
        angles_deg: the numbers that the mode has, degrees (and a seed), the last never left out.
    """

    mode: str = "phase"
    angles_deg: tuple[float, ...] = (35.0, DEFAULT_CLOCK_DEG)

    def __post_init__(self) -> None:
        """Raise InputError for an unknown mode or an angle out of range."""
        if self.mode not in MODES:
            raise InputError(f"sun {self.mode!r}: must be {_FORMS}")
        count = MODES[self.mode]
        if len(self.angles_deg) != count or not all(math.isfinite(a) for a in self.angles_deg):
            words = {2: "two", 3: "three"}[count]
            raise InputError(
                f"sun {self.mode}: angles {self.angles_deg} must be {words} finite numbers"
            )
        object.__setattr__(self, "angles_deg", tuple(float(a) for a in self.angles_deg))
        first, second, *rest = self.angles_deg
        if self.mode in ("body", "inertial"):
            if not -90.0 <= second <= 90.0:
                raise InputError(f"sun elevation {second:g}: must be between -90 and 90 degrees")
            return
        for phase in (first,) if self.mode == "phase" else (first, second):
            if not 0.0 <= phase <= 180.0:
                raise InputError(f"sun phase {phase:g}: must be between 0 and 180 degrees")
        if self.mode == "random":
            if second < first:
                raise InputError(f"sun random:{first:g},{second:g}: the lower phase comes first")
            if rest[0] < 0.0 or rest[0] != int(rest[0]):
                raise InputError(f"sun random: seed {rest[0]:g} must be a whole number, 0 or more")

    @property
    def spec(self) -> str:
        """The text that `parse_sun` reads back to this configuration."""
        return f"{self.mode}:{','.join(map(repr, self.angles_deg))}"

    def to_json(self) -> dict[str, Any]:
        """The sun in the `lighting` object of dataset.json."""
        return {"mode": self.mode, "angles_deg": list(self.angles_deg)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SunConfig:
        """Inverse of `to_json`."""
        return cls(data["mode"], tuple(data["angles_deg"]))


def parse_sun(text: str) -> SunConfig:
    """Read a sun specification; see the module's description.

    Raises:
        InputError: the text has none of the forms, or an angle is out of range.
    """
    mode, colon, rest = text.strip().partition(":")
    fields = rest.split(",")
    try:
        angles = [float(item) for item in fields]
    except ValueError:
        angles = []
    if mode in _LEFT_OUT and len(angles) == MODES[mode] - 1:
        angles.append(_LEFT_OUT[mode])
    if not colon or mode not in MODES or len(angles) != MODES[mode]:
        raise InputError(f"sun {text!r}: must be {_FORMS}, in degrees")
    return SunConfig(mode, tuple(angles))


def check_sun(sun: SunConfig, motion: Motion) -> None:
    """Raise InputError if the sun cannot be placed under a trajectory of this kind."""
    if sun.mode == "inertial" and not motion.inertial:
        raise InputError(
            f"sun {sun.spec}: trajectory {motion.kind} has no inertial frame, only "
            f"{' and '.join(INERTIAL_KINDS)} have (use phase: or body:)"
        )


def sun_in_camera(sun: SunConfig, observations: Observations) -> Floats:
    """Unit vectors from the target to the sun, camera frame, (N, 3).

    Raises:
        InputError: mode inertial with observations that have no inertial frame.
    """
    if sun.mode in ("phase", "sweep", "random"):
        phase, clock = np.radians(_phase_and_clock(sun, observations.index))
        return np.stack(
            [np.sin(phase) * np.sin(clock), -np.sin(phase) * np.cos(clock), -np.cos(phase)], axis=-1
        )
    first, second = sun.angles_deg
    direction = camera_direction(first, second)
    if sun.mode == "inertial":
        if observations.R_target_inertial is None:
            raise InputError(
                f"sun {sun.spec}: these observations have no inertial frame, only those of "
                f"{' and '.join(INERTIAL_KINDS)} have (use phase: or body:)"
            )
        direction = observations.R_target_inertial @ direction
    rotation = observations.T_cam_target[:, :3, :3]
    vectors = (rotation @ np.broadcast_to(direction, (len(observations), 3))[..., None])[..., 0]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _phase_and_clock(sun: SunConfig, index: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Phase and clock (N,) in degrees at indices (N,), of the modes that have these."""
    first, second, *rest = sun.angles_deg
    if sun.mode == "phase":
        return np.full(len(index), first), np.full(len(index), second)
    if sun.mode == "sweep":
        share = (index - INDEX_MIN) / (INDEX_MAX - INDEX_MIN)
        return first + (second - first) * share, np.full(len(index), rest[0])
    blocks, of = np.unique(np.maximum(index - 1, 0) // BLOCK, return_inverse=True)
    drawn = [np.random.default_rng([int(rest[0]), int(block), 1]).random(2) for block in blocks]
    share, turn = np.array(drawn).reshape(-1, 2)[of].T
    return first + (second - first) * share, 360.0 * turn


def phase_deg(observations: Observations, sun: Floats) -> Floats:
    """Phase angle (N,) in degrees: at the aim point, between the sun and the camera.

    Args:
        observations: N observations.
        sun: (N, 3) unit vectors from the target to the sun, camera frame (`sun_in_camera`).
    """
    to_camera = camera_direction(observations.azimuth_deg, observations.elevation_deg)
    to_camera = (observations.T_cam_target[:, :3, :3] @ to_camera[..., None])[..., 0]
    sine = np.linalg.norm(np.cross(sun, to_camera), axis=-1)
    return np.asarray(np.rad2deg(np.arctan2(sine, np.sum(sun * to_camera, axis=-1))))
