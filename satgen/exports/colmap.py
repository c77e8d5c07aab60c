"""COLMAP's text model.

    OUT/images/000361.png                (of a rig images/left/000361.png)
    OUT/sparse/0/{cameras, rigs, frames, images, points3D}.txt
    OUT/masks/000361.png.png             with masks: black is left out

World to camera in COLMAP's axes, which are OpenCV's; the world is the target's frame, metres. The
origin of COLMAP's pixels is the corner of the first one, so half a pixel is added. Points are the
landmarks that two images or more show. The first camera of a rig is its reference.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from satgen.camera import Camera
from satgen.exports.euroc import body_of_rig
from satgen.exports.masks import mask_png
from satgen.exports.pieces import ExportPiece
from satgen.exports.source import Export, ExportSource, ExportWriter
from satgen.geometry import invert_pose, matrix_to_quaternion

HALF = 0.5
"""From satgen's pixels, whose origin is a pixel's centre, to COLMAP's."""

_EACH = 10_000
"""Image numbers between the cameras of a rig: more than there are indices."""


class ColmapWriter(ExportWriter):
    """Writes the format."""

    def pieces(self) -> list[ExportPiece]:
        """The frames."""
        return self.export.frames()

    def make(self, piece: ExportPiece) -> None:
        """A frame's image, and its mask."""
        export, index = self.export, piece.index
        source, below = export.sources[piece.source], self._below(piece.source)
        export.place(source, "rgb", index, "images", *below, f"{index:06d}.png")
        if export.options.masks:
            export.put(mask_png(source.mask(index)), "masks", *below, f"{index:06d}.png.png")
        export.tick()

    def write(self) -> None:
        """Write the export."""
        export, model = self.export, ("sparse", "0")
        with export.open(*model, "cameras.txt") as file:
            file.write("# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]\n")
            for number, source in enumerate(export.sources, start=1):
                camera = source.camera
                kind, parameters = colmap_camera(camera)
                values = " ".join(map(repr, parameters))
                file.write(f"{number} {kind} {camera.width} {camera.height} {values}\n")
        _write_rig(export, model)
        shown = _shown(export)
        points = [name for name, count in enumerate(shown) if count > 1]
        tracks: dict[int, list[str]] = {point: [] for point in points}
        with export.open(*model, "images.txt") as file:
            file.write("# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME\n# X Y POINT3D_ID ...\n")
            for piece in self.pieces():
                self.made(piece)
                index, source = piece.index, export.sources[piece.source]
                name = "/".join((*self._below(piece.source), f"{index:06d}.png"))
                image = piece.source * _EACH + index
                numbers = [*source.quaternion(index), *source.translation(index)]
                file.write(f"{image} {' '.join(map(repr, numbers))} {piece.source + 1} {name}\n")
                file.write(f"{' '.join(_seen(source, index, tracks, image))}\n")
        with export.open(*model, "points3D.txt") as file:
            file.write("# POINT3D_ID X Y Z R G B ERROR TRACK[] as (IMAGE_ID, POINT2D_IDX)\n")
            xyz = export.source.data.landmarks.xyz.tolist()
            for point in points:
                where = " ".join(map(repr, xyz[point]))
                file.write(f"{point + 1} {where} 128 128 128 0 {' '.join(tracks[point])}\n")

    def _below(self, number: int) -> tuple[str, ...]:
        """The folder of a camera of a rig, below that of the images."""
        rig = self.export.sources[number].data.rig
        return (rig.name,) if len(self.export.sources) > 1 and rig is not None else ()


def colmap_camera(camera: Camera) -> tuple[str, list[float]]:
    """COLMAP's name of the camera's model, and its parameters."""
    k1, k2, p1, p2, k3 = camera.distortion
    plain = [camera.fx, camera.fy, camera.cx + HALF, camera.cy + HALF]
    if not camera.distorted:
        return "PINHOLE", plain
    if k3 == 0.0:
        return "OPENCV", [*plain, k1, k2, p1, p2]
    return "FULL_OPENCV", [*plain, k1, k2, p1, p2, k3, 0.0, 0.0, 0.0]


def _write_rig(export: Export, model: tuple[str, ...]) -> None:
    first, *others = export.sources
    words: list[Any] = [1, len(export.sources), "CAMERA", 1]
    for number, source in enumerate(others, start=2):
        pose = invert_pose(body_of_rig(first, source))
        turn = matrix_to_quaternion(pose[:3, :3])
        words += ["CAMERA", number, 1, *map(repr, [*turn.tolist(), *pose[:3, 3].tolist()])]
    with export.open(*model, "rigs.txt") as file:
        file.write(
            "# RIG_ID NUM_SENSORS REF_SENSOR_TYPE REF_SENSOR_ID "
            "[SENSOR_TYPE SENSOR_ID HAS_POSE QW QX QY QZ TX TY TZ]...\n"
        )
        file.write(" ".join(map(str, words)) + "\n")
    with export.open(*model, "frames.txt") as file:
        file.write(
            "# FRAME_ID RIG_ID QW QX QY QZ TX TY TZ NUM_DATA_IDS "
            "[SENSOR_TYPE SENSOR_ID DATA_ID]...\n"
        )
        for index in first.data.indices.tolist():
            numbers = map(repr, [*first.quaternion(index), *first.translation(index)])
            data = " ".join(
                f"CAMERA {number + 1} {number * _EACH + index}"
                for number in range(len(export.sources))
            )
            file.write(f"{index} 1 {' '.join(numbers)} {len(export.sources)} {data}\n")


def _shown(export: Export) -> list[int]:
    """In how many images each landmark is seen."""
    count: Counter[int] = Counter()
    for source in export.sources:
        for table in source.keypoints.values():
            count.update(np.flatnonzero(table["visible"]).tolist())
    return [count[point] for point in range(len(export.source.data.landmarks))]


def _seen(source: ExportSource, index: int, tracks: dict[int, list[str]], image: int) -> list[str]:
    """The line of an image's points, which are added to the points' tracks."""
    table = source.keypoints[index]
    words: list[str] = []
    for number, point in enumerate(np.flatnonzero(table["visible"]).tolist()):
        u, v = float(table["u"][point]) + HALF, float(table["v"][point]) + HALF
        known = point + 1 if point in tracks else -1
        words.append(f"{u!r} {v!r} {known}")
        if known > 0:
            tracks[point].append(f"{image} {number}")
    return words
