"""A dataset in Rerun's viewer: its images, where the camera was, the landmarks and the sun.

The world is the target's frame; the timeline `index` is the observation index.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from satgen.atomic import write_atomic
from satgen.dataset import Dataset, image_path
from satgen.errors import InputError, RunError
from satgen.outputs import check_outside
from satgen.progress import Update


def log_dataset(data: Dataset, file: Path | None = None, progress: Update | None = None) -> None:
    """Show a dataset in Rerun's viewer, or write what it would show.

    Args:
        data: the dataset.
        file: an .rrd file to write; None starts the viewer.
        progress: told about every frame.

    Raises:
        InputError: the dataset cannot be read, the file is not an .rrd or in a dataset.
        RunError: the viewer cannot be started, or the file not be written.
    """
    import rerun as rr

    if file is not None:
        if file.suffix != ".rrd":
            raise InputError(f"{file}: with --rerun, --export must name a file that ends in .rrd")
        check_outside(file)
    count = len(data)
    recording = rr.RecordingStream(f"satgen {data.name}")
    sink = None
    if file is None:
        try:
            recording.spawn()
        except (OSError, RuntimeError) as error:
            raise RunError(f"Rerun's viewer cannot be started: {error}") from None
    else:
        sink = recording.memory_recording()
    _log_lasting(data, recording)
    for row in range(count):
        _log_frame(data, row, recording)
        if progress is not None:
            progress(row + 1, count)
    recording.flush()
    if file is not None and sink is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, sink.drain_as_bytes())
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror or error}") from None


def _log_lasting(data: Dataset, recording: object) -> None:
    """What is the same in all frames."""
    import rerun as rr

    rr.log("/", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True, recording=recording)
    labels = [(label, name) for label, name in data.part_names.items()]
    rr.log("/", rr.AnnotationContext([(0, "background", (0, 0, 0, 0)), *labels]), static=True,
           recording=recording)  # fmt: skip
    rr.log(
        "target/axes",
        rr.Arrows3D(vectors=np.eye(3), colors=[(255, 90, 90), (90, 220, 120), (90, 150, 255)]),
        static=True,
        recording=recording,
    )
    if len(data.landmarks):
        rr.log(
            "target/landmarks",
            rr.Points3D(data.landmarks.xyz, labels=list(data.landmarks.names), show_labels=False),
            static=True,
            recording=recording,
        )


def _log_frame(data: Dataset, row: int, recording: object) -> None:
    """The images and the poses of a frame."""
    import rerun as rr

    index, pose, camera = int(data.indices[row]), data.poses[row], data.camera
    rr.set_time("index", sequence=index, recording=recording)
    rotation = pose[:3, :3].T
    place = rr.Transform3D(translation=-rotation @ pose[:3, 3], mat3x3=rotation)
    rr.log("camera", place, recording=recording)
    pinhole = rr.Pinhole(
        image_from_camera=camera.K,
        resolution=[camera.width, camera.height],
        camera_xyz=rr.ViewCoordinates.RDF,
    )
    rr.log("camera/image", pinhole, recording=recording)
    sun = rotation @ data[index].sun
    rr.log("target/sun", rr.Arrows3D(vectors=[3.0 * sun], colors=[(255, 200, 90)]),
           recording=recording)  # fmt: skip
    try:
        rgb = image_path(data.folder, "rgb", index).read_bytes()
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from None
    image = rr.EncodedImage(contents=rgb, media_type="image/png")
    rr.log("camera/image/rgb", image, recording=recording)
    counts = np.rint(data.depth(index) / float(data.description["depth_scale"]))
    meter = 1.0 / float(data.description["depth_scale"])
    rr.log("camera/image/depth", rr.DepthImage(counts.astype(np.uint16), meter=meter),
           recording=recording)  # fmt: skip
    rr.log("camera/image/parts", rr.SegmentationImage(data.parts(index)), recording=recording)
