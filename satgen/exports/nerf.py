"""Nerfstudio's transforms.json.

    OUT/transforms.json, images/000361.png, depth/000361.png (masks/000361.png)

Camera to world in OpenGL's axes (y up, z backward); the world is the target's frame, metres, z up.
Nerfstudio's pixels begin at the corner of the first one, so half a pixel is added to the principal
point. Its depth takes metres a count as --depth-unit-scale-factor: this is in transforms.json.
Masks are black where the image is to be ignored.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from satgen.exports.jsonfile import JsonEntries
from satgen.exports.masks import mask_png
from satgen.exports.pieces import ExportPiece
from satgen.exports.source import ExportSource, ExportWriter
from satgen.geometry import invert_pose

_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


class NerfWriter(ExportWriter):
    """Writes the format."""

    def pieces(self) -> list[ExportPiece]:
        """The frames."""
        return self.export.frames()

    def make(self, piece: ExportPiece) -> None:
        """A frame's image, depth and mask."""
        export, source, index = self.export, self.export.source, piece.index
        export.place(source, "rgb", index, "images", f"{index:06d}.png")
        export.place(source, "depth", index, "depth", f"{index:06d}.png")
        if export.options.masks:
            export.put(mask_png(source.mask(index)), "masks", f"{index:06d}.png")
        export.tick()

    def write(self) -> None:
        """Write the export."""
        export, source = self.export, self.export.source
        opening = f'{json.dumps(_head(source), indent=1)[:-2]},\n "frames": ['
        with JsonEntries(export.open("transforms.json"), opening, "]}") as file:
            for piece in self.pieces():
                self.made(piece)
                index = piece.index
                entry = {
                    "file_path": _name("images", index),
                    "depth_file_path": _name("depth", index),
                    "transform_matrix": (invert_pose(source.pose(index)) @ _TO_OPENGL).tolist(),
                }
                if export.options.masks:
                    entry["mask_path"] = _name("masks", index)
                file.add(entry)


def _head(source: ExportSource) -> dict[str, Any]:
    """What the file begins with."""
    camera = source.camera
    k1, k2, p1, p2, k3 = camera.distortion
    head: dict[str, Any] = {
        "camera_model": "OPENCV",
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx + 0.5,
        "cy": camera.cy + 0.5,
        "k1": k1,
        "k2": k2,
        "k3": k3,
        "p1": p1,
        "p2": p2,
        "depth_unit_scale_factor": float(source.data.description["depth_scale"]),
    }
    for part, indices in source.parts.items():
        if part:
            head[f"{part}_filenames"] = [_name("images", index) for index in indices.tolist()]
    return head


def _name(folder: str, index: int) -> str:
    return f"{folder}/{index:06d}.png"
