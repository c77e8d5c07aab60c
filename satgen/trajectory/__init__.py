"""Trajectories: from an observation index k in 1..8100 to the pose of the target.

`observe(config, indices)` is the one entry. Each kind has a module of its own, with a class whose
fields are its parameters: `Spiral` (the default sweep), `Grid`, `Orbit`, `Tumble` and `PoseFile`;
`KINDS` is the table of them.
"""

from satgen.trajectory.angles import (
    angles_from_pose,
    camera_direction,
    pose_from_angles,
    quaternion_from_angles,
    rotation_from_angles,
)
from satgen.trajectory.config import TrajectoryConfig
from satgen.trajectory.file import PoseFile
from satgen.trajectory.framing import default_distance, principal_inertia
from satgen.trajectory.grid import Grid
from satgen.trajectory.kinds import INERTIAL_KINDS, KINDS, motion_of
from satgen.trajectory.motion import (
    DEFAULT_START,
    DEFAULT_STOP,
    INDEX_MAX,
    INDEX_MIN,
    Motion,
    Observations,
)
from satgen.trajectory.observe import available_indices, observe
from satgen.trajectory.orbit import Orbit
from satgen.trajectory.roll import Roll, parse_roll
from satgen.trajectory.spiral import Spiral
from satgen.trajectory.tumble import Tumble

__all__ = [
    "DEFAULT_START",
    "DEFAULT_STOP",
    "INDEX_MAX",
    "INDEX_MIN",
    "INERTIAL_KINDS",
    "KINDS",
    "Grid",
    "Motion",
    "Observations",
    "Orbit",
    "PoseFile",
    "Roll",
    "Spiral",
    "TrajectoryConfig",
    "Tumble",
    "angles_from_pose",
    "available_indices",
    "camera_direction",
    "default_distance",
    "motion_of",
    "observe",
    "parse_roll",
    "pose_from_angles",
    "principal_inertia",
    "quaternion_from_angles",
    "rotation_from_angles",
]
