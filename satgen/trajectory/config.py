"""Everything that decides the pose of every index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from satgen.errors import InputError
from satgen.trajectory.kinds import KINDS
from satgen.trajectory.motion import Motion, finite, finite_vector
from satgen.trajectory.mount import Mount, mount_of
from satgen.trajectory.roll import Roll
from satgen.trajectory.spiral import Spiral


@dataclass(frozen=True, kw_only=True)
class TrajectoryConfig:
    """Everything that decides the pose of every index.

    Attributes:
        motion: how target and camera move about one another.
        distance_m: camera to aim point in metres; for orbit the smallest distance on the way; for
            file the distance of rows that give angles only.
        aim: target-frame point that lies on the optical axis, metres: the centre of the target's
            bounding sphere unless there is a reason for another. A tumbling target turns about it:
            pass the centre of mass for a camera that stands truly still.
        roll: extra turn of the camera about its optical axis, right-handed about +z (forward), so
            that the target's image turns counter-clockwise.
        mount: how the camera sits on the frame that all this moves: see `satgen.trajectory.mount`;
            None: it is that frame.
    """

    motion: Motion = field(default_factory=Spiral)
    distance_m: float
    aim: tuple[float, float, float] = (0.0, 0.0, 0.0)
    roll: Roll = field(default_factory=Roll)
    mount: Mount | None = None

    def __post_init__(self) -> None:
        """Bring the fields to plain types; raise InputError where they make no sense."""
        distance = finite(self.distance_m, "distance")
        if distance <= 0.0:
            raise InputError(f"distance {distance:g}: must be more than 0 metres")
        object.__setattr__(self, "distance_m", distance)
        object.__setattr__(self, "aim", finite_vector(self.aim, 3, "aim point"))
        if self.mount is not None:
            object.__setattr__(self, "mount", mount_of(self.mount))

    def in_folder(self, folder: Path) -> TrajectoryConfig:
        """The configuration with its pose table, if any, looked for in a dataset's folder."""
        return replace(self, motion=self.motion.in_folder(folder))

    def to_json(self) -> dict[str, Any]:
        """The `trajectory` object of dataset.json."""
        return {
            "kind": self.motion.kind,
            "distance_m": self.distance_m,
            "aim": list(self.aim),
            **self.roll.to_json(),
            **({} if self.mount is None else {"mount": [list(row) for row in self.mount]}),
            "params": self.motion.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrajectoryConfig:
        """Inverse of `to_json`."""
        kind = data["kind"]
        if kind not in KINDS:
            raise InputError(f"trajectory {kind!r}: must be one of {', '.join(KINDS)}")
        return cls(
            motion=KINDS[kind].from_json(data["params"]),
            distance_m=data["distance_m"],
            aim=tuple(data["aim"]),
            roll=Roll.from_json(dict(data)),
            mount=data.get("mount"),
        )
