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
from satgen.exports.source import Export
from satgen.installed import require


def write(export: Export) -> None:
    """Write the export."""
    require("exporting to glue-factory", "h5py")
    import h5py

    source = export.source
    images, depths = export.make("images"), export.make("depth")
    kind, parameters = colmap_camera(source.camera)
    camera = f"{kind} {source.camera.width} {source.camera.height} {_words(parameters)}"
    indices = source.data.indices.tolist()
    there = set(indices)
    pairs = [(i, i + gap) for i in indices for gap in export.options.gaps if i + gap in there]
    if not pairs:
        gaps = ",".join(map(str, export.options.gaps))
        raise InputError(f"{source.data.folder}: no two of the frames are {gaps} indices apart")
    with export.open("views.txt") as file:
        for index in indices:
            name = f"{index:06d}.png"
            export.place(source, "rgb", index, images / name)
            pose = source.pose(index)
            numbers = [*pose[:3, :3].ravel().tolist(), *pose[:3, 3].tolist()]
            file.write(f"{name} {_words(numbers)} {camera}\n")
            data = io.BytesIO()
            with h5py.File(data, "w") as depth:
                depth.create_dataset(
                    "depth",
                    data=source.data.depth(index).astype(np.float32),
                    compression="gzip",
                    compression_opts=4,
                    track_times=False,
                )
            (depths / f"{index:06d}.h5").write_bytes(data.getvalue())
            export.tick()
    with export.open("view_groups.txt") as file:
        file.writelines(f"{i:06d}.png {j:06d}.png\n" for i, j in pairs)


def _words(numbers: list[float]) -> str:
    return " ".join(map(repr, numbers))
