"""Trajectories: from an observation index k in 1..8100 to the pose of the target.

`observe(config, indices)` is the one entry. Each kind has a module of its own:
`spiral` (the default sweep), `grid`, `orbit`, `tumble` and `file`.
"""

from satgen.trajectory.angles import (
    angles_from_pose,
    camera_direction,
    pose_from_angles,
    quaternion_from_angles,
    rotation_from_angles,
)
from satgen.trajectory.config import (
    DEFAULT_START,
    DEFAULT_STOP,
    INDEX_MAX,
    INDEX_MIN,
    KINDS,
    Observations,
    TrajectoryConfig,
)
from satgen.trajectory.file import file_params
from satgen.trajectory.framing import default_distance, principal_inertia
from satgen.trajectory.observe import available_indices, observe
from satgen.trajectory.orbit import orbit_params
from satgen.trajectory.tumble import tumble_params

__all__ = [
    "DEFAULT_START",
    "DEFAULT_STOP",
    "INDEX_MAX",
    "INDEX_MIN",
    "KINDS",
    "Observations",
    "TrajectoryConfig",
    "angles_from_pose",
    "available_indices",
    "camera_direction",
    "default_distance",
    "file_params",
    "observe",
    "orbit_params",
    "pose_from_angles",
    "principal_inertia",
    "quaternion_from_angles",
    "rotation_from_angles",
    "tumble_params",
]
