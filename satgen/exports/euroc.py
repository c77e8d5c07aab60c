"""EuRoC's mav0: a camera's images and calibration, and the trajectory.

    OUT/mav0/cam0/data/1361000000000.png, data.csv, sensor.yaml (a rig's others: cam1 ...)
    OUT/mav0/state_groundtruth_estimate0/data.csv

The body is the first camera, the reference the target's frame. There are no rates and biases in
the truth, so its rows end after the rotation.
"""

from __future__ import annotations

import json

import numpy as np

from satgen.errors import InputError
from satgen.exports.source import Export, ExportSource
from satgen.exports.tum import in_target_frame
from satgen.geometry import Floats

TRUTH = (
    "#timestamp, p_RS_R_x [m], p_RS_R_y [m], p_RS_R_z [m], "
    "q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z []\n"
)


def write(export: Export) -> None:
    """Write the export."""
    first = export.source
    stamps = _nanoseconds(first)
    places, turns = in_target_frame(first)
    with export.open("mav0", "state_groundtruth_estimate0", "data.csv") as file:
        file.write(TRUTH)
        for stamp, place, turn in zip(stamps, places, turns, strict=True):
            file.write(",".join([str(stamp), *map(repr, (*place, *turn))]) + "\n")
    for number, source in enumerate(export.sources):
        name = f"cam{number}"
        folder = export.make("mav0", name, "data")
        with export.open("mav0", name, "sensor.yaml") as file:
            file.write(_calibration(source, body_of_rig(first, source)))
        with export.open("mav0", name, "data.csv") as file:
            file.write("#timestamp [ns],filename\n")
            for index, stamp in zip(source.data.indices.tolist(), stamps, strict=True):
                file.write(f"{stamp},{stamp}.png\n")
                export.place(source, "rgb", index, folder / f"{stamp}.png")
                export.tick()


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
