"""glue-factory's posed images (its datasets/posed_images.py): one scene.

    OUT/images/000361.png, depth/000361.h5, views.txt, view_groups.txt

`views.txt` has a line an image: its name, world-to-camera R row by row and t, and the camera as
COLMAP writes it, with the corner of the first pixel as origin. The world is the target's frame,
depth is z in metres. `view_groups.txt` has the pairs.
"""

from __future__ import annotations

import io

import numpy as np

from satgen.errors import InputError
from satgen.exports.colmap import colmap_camera
from satgen.exports.pieces import ExportPiece
from satgen.exports.source import Export, ExportWriter
from satgen.installed import require


class GlueFactoryWriter(ExportWriter):
    """Writes the format."""

    def __init__(self, export: Export) -> None:
        super().__init__(export)
        require("exporting to glue-factory", "h5py")
        indices = export.source.data.indices.tolist()
        there, gaps = set(indices), export.options.gaps
        self._pairs = [(i, i + gap) for i in indices for gap in gaps if i + gap in there]
        if not self._pairs:
            raise InputError(
                f"{export.source.data.folder}: no two of the frames are "
                f"{','.join(map(str, gaps))} indices apart"
            )

    def pieces(self) -> list[ExportPiece]:
        """The frames."""
        return self.export.frames()

    def make(self, piece: ExportPiece) -> None:
        """A frame's image and depth."""
        import h5py

        export, source, index = self.export, self.export.source, piece.index
        export.place(source, "rgb", index, "images", f"{index:06d}.png")
        data = io.BytesIO()
        with h5py.File(data, "w") as depth:
            depth.create_dataset(
                "depth",
                data=source.data.depth(index).astype(np.float32),
                compression="gzip",
                compression_opts=4,
                track_times=False,
            )
        export.put(data.getvalue(), "depth", f"{index:06d}.h5")
        export.tick()

    def write(self) -> None:
        """Write the export."""
        source = self.export.source
        kind, parameters = colmap_camera(source.camera)
        camera = f"{kind} {source.camera.width} {source.camera.height} {_words(parameters)}"
        with self.export.open("views.txt") as file:
            for piece in self.pieces():
                self.made(piece)
                pose = source.pose(piece.index)
                numbers = [*pose[:3, :3].ravel().tolist(), *pose[:3, 3].tolist()]
                file.write(f"{piece.index:06d}.png {_words(numbers)} {camera}\n")
        with self.export.open("view_groups.txt") as file:
            file.writelines(f"{i:06d}.png {j:06d}.png\n" for i, j in self._pairs)


def _words(numbers: list[float]) -> str:
    return " ".join(map(repr, numbers))
