"""TUM's trajectory: where the camera is in the target's frame.

    OUT/groundtruth.txt    timestamp tx ty tz qx qy qz qw

Camera to world, scalar last; the world is the target's frame, seconds are the dataset's, or the
index where it knows none.
"""

from __future__ import annotations

import numpy as np

from satgen.exports.source import ExportSource, ExportWriter
from satgen.geometry import invert_pose, quaternion_conjugate


class TumWriter(ExportWriter):
    """Writes the format."""

    def write(self) -> None:
        """Write the export."""
        source = self.export.source
        with self.export.open("groundtruth.txt") as file:
            file.write("# timestamp tx ty tz qx qy qz qw\n")
            times = source.times_s.tolist()
            for time, place, turn in zip(times, *in_target_frame(source), strict=True):
                w, x, y, z = turn
                file.write(" ".join(map(repr, (time, *place, x, y, z, w))) + "\n")
                self.export.tick()


def in_target_frame(source: ExportSource) -> tuple[list[list[float]], list[list[float]]]:
    """Position and rotation (w, x, y, z) of the camera in the target's frame, by frame."""
    places = invert_pose(source.data.poses)[:, :3, 3]
    turns = np.stack([source.table[name] for name in ("qw", "qx", "qy", "qz")], axis=-1)
    return places.tolist(), quaternion_conjugate(turns).tolist()
