"""TUM's trajectory: where the camera is in the target's frame.

    OUT/groundtruth.txt    timestamp tx ty tz qx qy qz qw

Camera to world, scalar last; the world is the target's frame, seconds are the dataset's, or the
index where it knows none.
"""

from __future__ import annotations

import numpy as np

from satgen.exports.source import Export, ExportSource
from satgen.geometry import Floats


def write(export: Export) -> None:
    """Write the export."""
    source = export.source
    with export.open("groundtruth.txt") as file:
        file.write("# timestamp tx ty tz qx qy qz qw\n")
        for index, time, place, turn in zip(*in_target_frame(source), strict=True):
            w, x, y, z = turn
            file.write(" ".join(map(repr, (time, *place, x, y, z, w))) + "\n")
            del index
            export.tick()


def in_target_frame(
    source: ExportSource,
) -> tuple[list[int], list[float], list[list[float]], list[list[float]]]:
    """Index, seconds, position and rotation (w, x, y, z) of the camera in the target's frame."""
    poses = source.data.poses
    inverse = np.swapaxes(poses[:, :3, :3], 1, 2)
    places: Floats = -(inverse @ poses[:, :3, 3:])[..., 0]
    turns = np.stack([source.table[name] for name in ("qw", "qx", "qy", "qz")], axis=-1)
    turns = turns * (1.0, -1.0, -1.0, -1.0)
    indices = source.data.indices.tolist()
    return indices, source.times_s.tolist(), places.tolist(), turns.tolist()
