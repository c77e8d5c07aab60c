"""A dataset in Rerun's viewer: its images, where the camera was, the landmarks and the sun.

The world is the target's frame; the timeline `index` is the observation index.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from satgen.atomic import TEMPORARY
from satgen.dataset import Dataset, image_path
from satgen.errors import InputError, RunError
from satgen.outputs import check_outside
from satgen.progress import Update
from satgen.reading import read_limited


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
    with _shown(recording) if file is None else _written(recording, file):
        _log_lasting(data, recording)
        for row in range(count):
            _log_frame(data, row, recording)
            if progress is not None:
                progress(row + 1, count)


@contextmanager
def _shown(recording: Any) -> Iterator[None]:
    """A viewer that shows a recording, while it is made and afterwards."""
    try:
        recording.spawn()
    except (OSError, RuntimeError) as error:
        raise RunError(f"Rerun's viewer cannot be started: {error}") from None
    yield
    recording.flush()


@contextmanager
def _written(recording: Any, file: Path) -> Iterator[None]:
    """A recording that goes into a file as it is made, which has its name once it is whole."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=file.parent) as folder:
            part = Path(folder) / file.name
            recording.save(part)
            yield
            recording.flush()
            recording.disconnect()
            os.replace(part, file)
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
    meter = 1.0 / float(data.description["depth_scale"])
    rgb, depth = (read_limited(image_path(data.folder, kind, index)) for kind in ("rgb", "depth"))
    images = {
        "rgb": rr.EncodedImage(contents=rgb, media_type="image/png"),
        "depth": rr.EncodedDepthImage(depth, media_type="image/png", meter=meter),
        "parts": rr.SegmentationImage(data.parts(index)),
    }
    for kind, image in images.items():
        rr.log(f"camera/image/{kind}", image, recording=recording)
