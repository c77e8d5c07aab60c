"""Where the sun stands.

Three ways to say it, angles in degrees:

- `phase:PHASE` or `phase:PHASE,CLOCK`: fixed in the camera frame, at angle PHASE from the direction
  back to the camera (0: the sun behind the camera; 180: straight into it), toward the image's CLOCK
  direction: 0 up, 90 right, clockwise (45 unless given: over the viewer's right shoulder).
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

from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.trajectory import INERTIAL_KINDS, Motion, Observations, camera_direction

MODES = ("phase", "body", "inertial")
DEFAULT_CLOCK_DEG = 45.0
_FORMS = "phase:PHASE, phase:PHASE,CLOCK, body:AZ,EL or inertial:AZ,EL"


@dataclass(frozen=True)
class SunConfig:
    """A sun direction.

    Attributes:
        mode: one of `MODES`.
        angles_deg: (PHASE, CLOCK) for mode phase, else (AZ, EL); degrees.
    """

    mode: str = "phase"
    angles_deg: tuple[float, float] = (35.0, DEFAULT_CLOCK_DEG)

    def __post_init__(self) -> None:
        """Raise InputError for an unknown mode or an angle out of range."""
        if self.mode not in MODES:
            raise InputError(f"sun {self.mode!r}: must be {_FORMS}")
        if len(self.angles_deg) != 2 or not all(math.isfinite(a) for a in self.angles_deg):
            raise InputError(
                f"sun {self.mode}: angles {self.angles_deg} must be two finite numbers"
            )
        object.__setattr__(self, "angles_deg", tuple(float(a) for a in self.angles_deg))
        first, second = self.angles_deg
        if self.mode == "phase" and not 0.0 <= first <= 180.0:
            raise InputError(f"sun phase {first:g}: must be between 0 and 180 degrees")
        if self.mode != "phase" and not -90.0 <= second <= 90.0:
            raise InputError(f"sun elevation {second:g}: must be between -90 and 90 degrees")

    @property
    def spec(self) -> str:
        """The text that `parse_sun` reads back to this configuration."""
        return f"{self.mode}:{self.angles_deg[0]!r},{self.angles_deg[1]!r}"

    def to_json(self) -> dict[str, Any]:
        """The sun in the `lighting` object of dataset.json."""
        return {"mode": self.mode, "angles_deg": list(self.angles_deg)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SunConfig:
        """Inverse of `to_json`."""
        first, second = data["angles_deg"]
        return cls(data["mode"], (first, second))


def parse_sun(text: str) -> SunConfig:
    """Read a sun specification; see the module's description.

    Raises:
        InputError: the text has none of the three forms, or an angle is out of range.
    """
    mode, colon, rest = text.strip().partition(":")
    fields = rest.split(",")
    try:
        angles = [float(item) for item in fields]
    except ValueError:
        angles = []
    if mode == "phase" and len(angles) == 1:
        angles.append(DEFAULT_CLOCK_DEG)
    if not colon or mode not in MODES or len(angles) != 2:
        raise InputError(f"sun {text!r}: must be {_FORMS}, in degrees")
    return SunConfig(mode, (angles[0], angles[1]))


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
    first, second = sun.angles_deg
    if sun.mode == "phase":
        phase, clock = math.radians(first), math.radians(second)
        fixed = [
            math.sin(phase) * math.sin(clock),
            -math.sin(phase) * math.cos(clock),
            -math.cos(phase),
        ]
        return np.tile(np.array(fixed), (len(observations), 1))
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
