"""SPEED's JSON, as SPEED+ and SHIRT have it: images of a domain, poses, the camera.

    OUT/camera.json
    OUT/synthetic/images/img000361.png
    OUT/synthetic/train.json (validation.json, test.json with splits)

Despite its name q_vbs2tango_true is the rotation of target to camera axes, scalar first, as the
code of its authors uses it: x_cam = R(q) x_target + r. Each entry has it under the first SPEED's
name, q_vbs2tango, too.
"""

from __future__ import annotations

import json
from contextlib import ExitStack

from satgen.exports.jsonfile import JsonEntries
from satgen.exports.pieces import ExportPiece
from satgen.exports.source import Export, ExportWriter

PIXEL_M = 5.86e-6
"""Side of a pixel where the sensor's is not known: that of SPEED's camera. What is in metres
follows from it, what is in pixels does not."""

_NAMES = {"": "train", "train": "train", "val": "validation", "test": "test"}


class SpeedWriter(ExportWriter):
    """Writes the format."""

    def pieces(self) -> list[ExportPiece]:
        """The frames."""
        return self.export.frames()

    def make(self, piece: ExportPiece) -> None:
        """A frame's image."""
        self.export.place(
            self.export.source, "rgb", piece.index, "synthetic", "images", _name(piece.index)
        )
        self.export.tick()

    def write(self) -> None:
        """Write the export."""
        export, source = self.export, self.export.source
        _write_camera(export)
        with ExitStack() as stack:
            files = {
                part: stack.enter_context(
                    JsonEntries(export.open("synthetic", f"{_NAMES[part]}.json"), "[", "]")
                )
                for part in source.parts
            }
            for piece in self.pieces():
                self.made(piece)
                q, r = source.quaternion(piece.index), source.translation(piece.index)
                files[piece.part].add(
                    {
                        "filename": _name(piece.index),
                        "q_vbs2tango_true": q,
                        "r_Vo2To_vbs_true": r,
                        "q_vbs2tango": q,
                    }
                )


def _name(index: int) -> str:
    return f"img{index:06d}.png"


def _write_camera(export: Export) -> None:
    camera, sensor = export.source.camera, export.source.data.config.sensor
    side = sensor.pixel_um * 1e-6 if sensor.pixel_um > 0.0 else PIXEL_M
    k1, k2, p1, p2, k3 = camera.distortion
    with export.open("camera.json") as file:
        json.dump(
            {
                "Nu": camera.width,
                "Nv": camera.height,
                "ppx": side,
                "ppy": side,
                "fx": camera.fx * side,
                "fy": camera.fy * side,
                "ccx": camera.cx,
                "ccy": camera.cy,
                "cameraMatrix": camera.K.tolist(),
                "distCoeffs": [k1, k2, p1, p2, k3],
            },
            file,
            indent=1,
        )
