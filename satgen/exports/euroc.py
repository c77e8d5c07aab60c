"""EuRoC's mav0: a camera's images and calibration, and the trajectory.

    OUT/mav0/cam0/data/1361000000000.png, data.csv, sensor.yaml (a rig's others: cam1 ...)
    OUT/mav0/state_groundtruth_estimate0/data.csv

The body is the first camera, the reference the target's frame. There are no rates and biases in
the truth, so its rows end after the rotation.
"""

from __future__ import annotations

import json
from contextlib import ExitStack

import numpy as np

from satgen.errors import InputError
from satgen.exports.pieces import ExportPiece
from satgen.exports.source import Export, ExportSource, ExportWriter
from satgen.exports.tum import in_target_frame
from satgen.geometry import Floats

TRUTH = (
    "#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], "
    "q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z []\n"
)


class EurocWriter(ExportWriter):
    """Writes the format."""

    def __init__(self, export: Export) -> None:
        super().__init__(export)
        indices = export.source.data.indices.tolist()
        self._stamps = dict(zip(indices, _nanoseconds(export.source), strict=True))

    def pieces(self) -> list[ExportPiece]:
        """The frames."""
        return self.export.frames()

    def make(self, piece: ExportPiece) -> None:
        """A frame's image."""
        source, name = self.export.sources[piece.source], f"{self._stamps[piece.index]}.png"
        self.export.place(source, "rgb", piece.index, "mav0", f"cam{piece.source}", "data", name)
        self.export.tick()

    def write(self) -> None:
        """Write the export."""
        export, first = self.export, self.export.source
        places, turns = in_target_frame(first)
        with export.open("mav0", "state_groundtruth_estimate0", "data.csv") as file:
            file.write(TRUTH)
            for stamp, place, turn in zip(self._stamps.values(), places, turns, strict=True):
                file.write(",".join([str(stamp), *map(repr, (*place, *turn))]) + "\n")
        with ExitStack() as stack:
            lists = []
            for number, source in enumerate(export.sources):
                with export.open("mav0", f"cam{number}", "sensor.yaml") as file:
                    file.write(_calibration(source, body_of_rig(first, source)))
                lists.append(stack.enter_context(export.open("mav0", f"cam{number}", "data.csv")))
                lists[-1].write("#timestamp [ns],filename\n")
            for piece in self.pieces():
                self.made(piece)
                stamp = self._stamps[piece.index]
                lists[piece.source].write(f"{stamp},{stamp}.png\n")


def _nanoseconds(source: ExportSource) -> list[int]:
    stamps = np.rint(source.times_s * 1e9).astype(np.int64).tolist()
    if len(set(stamps)) < len(stamps):
        raise InputError(f"{source.data.folder}: frames are less than a nanosecond apart")
    return [int(stamp) for stamp in stamps]


def body_of_rig(first: ExportSource, source: ExportSource) -> Floats:
    """(4, 4) pose that takes a camera's coordinates to those of the first."""
    pose: Floats = np.eye(4)
    if source is not first:
        rig, own = first.data.rig, source.data.rig
        assert rig is not None and own is not None
        mounts = {one.name: np.array(one.T_rig_cam) for one in rig.cameras}
        pose = np.linalg.inv(mounts[rig.name]) @ mounts[own.name]
    return pose


def _calibration(source: ExportSource, pose: Floats) -> str:
    camera = source.camera
    steps = np.diff(source.times_s)
    rate = 1.0 / float(np.median(steps)) if len(steps) else 1.0
    k1, k2, p1, p2, _ = camera.distortion
    intrinsics = [camera.fx, camera.fy, camera.cx, camera.cy]
    return (
        "sensor_type: camera\n"
        f"comment: {json.dumps(f'{source.data.name}, rendered by satgen')}\n"
        "T_BS:\n  cols: 4\n  rows: 4\n"
        f"  data: {pose.ravel().tolist()}\n"
        f"rate_hz: {rate!r}\n"
        f"resolution: {[camera.width, camera.height]}\n"
        "camera_model: pinhole\n"
        f"intrinsics: {intrinsics}\n"
        "distortion_model: radial-tangential\n"
        f"distortion_coefficients: {[k1, k2, p1, p2]}\n"
    )
