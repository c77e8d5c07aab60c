"""What a trajectory is asked for, and what it answers with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError

INDEX_MIN = 1
INDEX_MAX = 8100
DEFAULT_START = 361
DEFAULT_STOP = 8100
"""Last index rendered by default, inclusive."""

KINDS = ("spiral", "grid", "orbit", "tumble", "file")


def finite(value: Any, what: str) -> float:
    """`value` as a float; InputError naming `what` if it is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{what} {value!r}: must be a finite number")
    return number


def finite_vector(value: Any, length: int, what: str) -> tuple[float, ...]:
    """`value` as a tuple of `length` floats; InputError naming `what` otherwise."""
    try:
        items = list(value)
    except TypeError:
        items = []
    if isinstance(value, str) or len(items) != length:
        raise InputError(f"{what} {value!r}: must be {length} numbers")
    return tuple(finite(item, what) for item in items)


@dataclass(frozen=True, kw_only=True)
class TrajectoryConfig:
    """Everything that decides the pose of every index.

    Attributes:
        kind: one of `KINDS`.
        distance_m: camera to aim point in metres; for orbit the smallest distance on the way; for
            file the distance of rows that give angles only.
        aim: target-frame point that lies on the optical axis, metres: the centre of the target's
            bounding sphere unless there is a reason for another. A tumbling target turns about it:
            pass the centre of mass for a camera that stands truly still.
        roll_deg: extra turn of the camera about its optical axis, right-handed about +z (forward),
            so that the target's image turns counter-clockwise.
        params: kind-specific and JSON-able; see the modules orbit, tumble and file. Empty for
            spiral and grid.
    """

    kind: str = "spiral"
    distance_m: float
    aim: tuple[float, float, float] = (0.0, 0.0, 0.0)
    roll_deg: float = 0.0
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bring the fields to plain JSON types; raise InputError where they make no sense."""
        if self.kind not in KINDS:
            raise InputError(f"trajectory {self.kind!r}: must be one of {', '.join(KINDS)}")
        distance = finite(self.distance_m, "distance")
        if distance <= 0.0:
            raise InputError(f"distance {distance:g}: must be more than 0 metres")
        object.__setattr__(self, "distance_m", distance)
        object.__setattr__(self, "roll_deg", finite(self.roll_deg, "roll"))
        object.__setattr__(self, "aim", finite_vector(self.aim, 3, "aim point"))
        try:
            params = json.loads(json.dumps(dict(self.params)))
        except (TypeError, ValueError) as error:
            raise InputError(f"parameters of trajectory {self.kind}: {error}") from error
        object.__setattr__(self, "params", params)

    def check_params(self, known: tuple[str, ...]) -> None:
        """Raise InputError if `params` holds a name that is not in `known`."""
        for name in self.params:
            if name not in known:
                names = ", ".join(known) if known else "none"
                raise InputError(
                    f"parameter {name!r} of trajectory {self.kind}: unknown (known: {names})"
                )

    def to_json(self) -> dict[str, Any]:
        """The `trajectory` object of dataset.json."""
        return {
            "kind": self.kind,
            "distance_m": self.distance_m,
            "aim": list(self.aim),
            "roll_deg": self.roll_deg,
            "params": json.loads(json.dumps(dict(self.params))),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrajectoryConfig:
        """Inverse of `to_json`."""
        return cls(
            kind=data["kind"],
            distance_m=data["distance_m"],
            aim=tuple(data["aim"]),
            roll_deg=data["roll_deg"],
            params=data["params"],
        )


@dataclass(frozen=True)
class Observations:
    """Poses of N indices. Row n of every array belongs to index[n].

    Attributes:
        index: (N,) int64 observation indices.
        azimuth_deg, elevation_deg: (N,) direction from the aim point to the camera in the target
            frame, (cos el cos az, cos el sin az, sin el). The azimuth is unwrapped for spiral
            (k degrees), else in [0, 360).
        roll_deg: (N,) turn about the optical axis from the pose whose image-up is toward the
            target's +z; see `angles.angles_from_pose`.
        distance_m: (N,) camera to aim point, metres.
        T_cam_target: (N, 4, 4) target frame to camera frame.
        quaternion: (N, 4) rotation of T_cam_target as (w, x, y, z); the sign is continuous over
            the whole sweep, whatever subset of it was asked for.
        R_target_inertial: (N, 3, 3) inertial to target axes; only orbit and tumble have one.
    """

    index: NDArray[np.int64]
    azimuth_deg: NDArray[np.float64]
    elevation_deg: NDArray[np.float64]
    roll_deg: NDArray[np.float64]
    distance_m: NDArray[np.float64]
    T_cam_target: NDArray[np.float64]
    quaternion: NDArray[np.float64]
    R_target_inertial: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Number of observations."""
        return len(self.index)

    def take(self, rows: NDArray[np.intp]) -> Observations:
        """The given rows, copied."""
        inertial = self.R_target_inertial
        return Observations(
            self.index[rows],
            self.azimuth_deg[rows],
            self.elevation_deg[rows],
            self.roll_deg[rows],
            self.distance_m[rows],
            self.T_cam_target[rows],
            self.quaternion[rows],
            None if inertial is None else inertial[rows],
        )
