"""What every kind of trajectory has in common.

A `Motion` says how target and camera move about one another. Each kind is a frozen dataclass in a
module of its own, whose fields are its parameters; `kinds.py` is the table of them. Distance, aim
point and roll are the same for all and stand in `TrajectoryConfig`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.settings import check, setting, words_of

if TYPE_CHECKING:
    from satgen.model import TargetModel
    from satgen.trajectory.config import TrajectoryConfig

Vector = tuple[float, float, float]
M = TypeVar("M", bound="Motion")

INDEX_MIN = 1
INDEX_MAX = 8100
DEFAULT_START = 361
DEFAULT_STOP = 8100
"""Last index rendered by default, inclusive."""


def frame_period() -> Any:
    """The field of the time from one index to the next, seconds, of motions that have one."""
    return setting(
        1.0, "Time from one index to the next", unit="seconds", low=1e-6, high=1e6, name="dt"
    )


def finite(value: Any, what: str) -> float:
    """`value` as a float; InputError naming `what` if it is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
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
        time_s: (N,) seconds: the index times the frame period, or what a pose table says.
        angular_velocity: (N, 3) rad/s, target axes, of the target relative to the camera frame:
            with R the rotation of T_cam_target, dR/dt = R [w]x. In closed form from the trajectory;
            NaN where a pose table does not say.
        R_target_inertial: (N, 3, 3) inertial to target axes, of motions that have an inertial
            frame; else None.
        inertial_quaternion: (N, 4) rotation of target to inertial axes, (w, x, y, z), with a
            continuous sign; None likewise.
        inertial_velocity: (N, 3) rad/s, target axes, of the target relative to the inertial frame;
            None likewise.
    """

    index: NDArray[np.int64]
    azimuth_deg: Floats
    elevation_deg: Floats
    roll_deg: Floats
    distance_m: Floats
    T_cam_target: Floats
    quaternion: Floats
    time_s: Floats
    angular_velocity: Floats
    R_target_inertial: Floats | None = None
    inertial_quaternion: Floats | None = None
    inertial_velocity: Floats | None = None

    def __len__(self) -> int:
        """Number of observations."""
        return len(self.index)

    def take(self, rows: NDArray[np.intp]) -> Observations:
        """The given rows, copied."""
        taken: dict[str, Any] = {
            name: None if column is None else column[rows] for name, column in vars(self).items()
        }
        return Observations(**taken)


@dataclass(frozen=True)
class Motion(ABC):
    """How target and camera move about one another.

    Attributes:
        kind: its name, in dataset.json and on the command line.
        inertial: whether there is an inertial frame, in which a sun can be placed.
        aimed: whether the camera looks at the aim point, from no nearer than the distance asked
            for.
        pivoted: whether the target turns about the aim point.
        smooth: whether the angular velocity is the derivative of the pose at every index.

    Raises:
        InputError: a parameter that makes no sense.
    """

    kind: ClassVar[str]
    inertial: ClassVar[bool] = False
    aimed: ClassVar[bool] = True
    pivoted: ClassVar[bool] = False
    smooth: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def named(cls: type[M], argument: str) -> M:
        """The motion that the text "KIND" or "KIND:ARGUMENT" asks for, with default parameters."""
        if argument:
            raise InputError(f"trajectory {cls.kind}:{argument}: {cls.kind} takes nothing after it")
        return cls()

    @property
    def spec(self) -> str:
        """The text that asks for this kind of motion."""
        return self.kind

    def words(self) -> list[str] | None:
        """The command line's options that ask for this very motion; None if none do."""
        parameters = words_of(self)
        return None if parameters is None else ["--trajectory", self.spec, *parameters]

    def of_target(self: M, model: TargetModel) -> tuple[M, Vector, float]:
        """This motion of a target, the aim point, and the radius about it that holds the target.

        Returns:
            The motion, with what it takes from the target filled in; metres, target frame.
        """
        centre, radius = model.bounding_sphere
        return self, (float(centre[0]), float(centre[1]), float(centre[2])), radius

    @abstractmethod
    def sweep(self, config: TrajectoryConfig) -> Observations:
        """Every index that there is, ascending.

        Args:
            config: distance, aim point and roll.
        """

    @property
    @abstractmethod
    def frame_s(self) -> float:
        """The frame period: seconds from one index to the next."""

    def local_vertical(self, observations: Observations, angle: Floats) -> Floats:
        """Rotations (N, 3, 3) of the orbit's local-vertical axes to target axes.

        The axes are x along the velocity, y against the orbit's normal, z to nadir. By default they
        are the target's own, as of a satellite that points at the Earth.

        Args:
            observations: N of this motion.
            angle: (N,) radians flown along the orbit since index 1.
        """
        return np.broadcast_to(np.eye(3), (len(observations), 3, 3))

    @property
    def table(self) -> Path | None:
        """The file that the poses come from, if they do."""
        return None

    def in_folder(self: M, folder: Path) -> M:
        """This motion with its file, if it has one, looked for in a dataset's folder."""
        return self

    def to_json(self) -> dict[str, Any]:
        """The `params` of dataset.json's `trajectory` object."""
        return {item.name: _listed(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_json(cls: type[M], params: Mapping[str, Any]) -> M:
        """Inverse of `to_json`; what is missing has its default."""
        known = [item.name for item in fields(cls)]
        for name in params:
            if name not in known:
                raise InputError(
                    f"parameter {name!r} of trajectory {cls.kind}: unknown (known: "
                    f"{', '.join(known) or 'none'})"
                )
        return cls(**params)


def _listed(value: Any) -> Any:
    """Tuples as JSON's lists."""
    return [_listed(item) for item in value] if isinstance(value, tuple) else value
