"""TAPVid-3D's archives: clips with tracks of surface points in space (`satgen.exports.tracks`).

    OUT/aura_000361.npz    images_jpeg_bytes (T,), tracks_XYZ (T, N, 3), visibility (T, N),
                           queries_xyt (N, 3), fx_fy_cx_cy (4,), intrinsics (the same),
                           extrinsics_w2c (T, 4, 4)

Tracks are in the camera's axes, metres, OpenCV's; the world of the extrinsics is the target's
frame. Pixels of the intrinsics and the queries begin at the corner of the first one, as TAP-Vid's.
The evaluation's code reads fx_fy_cx_cy, its documentation names intrinsics: both are there. Images
are JPEG, so their pixels are nearly the dataset's; the truth is exact.
"""

from __future__ import annotations

import io

import numpy as np

from satgen.exports.pixels import picture, scaled_size
from satgen.exports.tapvid import ClipWriter
from satgen.exports.tracks import SurfaceTracks

QUALITY = 95


class Tapvid3dWriter(ClipWriter):
    """Writes the format."""

    def write_clip(self, name: str, tracks: SurfaceTracks) -> None:
        """Write a clip."""
        from PIL import Image

        source, size = self.export.source, self.export.options.size
        camera = source.camera
        width, height = scaled_size(camera.width, camera.height, size)
        scale = np.array([width / camera.width, height / camera.height])
        inner = np.array([camera.fx, camera.fy, camera.cx + 0.5, camera.cy + 0.5])
        inner *= np.tile(scale, 2)
        pictures = []
        for index in tracks.indices.tolist():
            image = Image.fromarray(picture(source, index, size, grey=False))
            data = io.BytesIO()
            image.save(data, format="JPEG", quality=QUALITY, subsampling=0)
            pictures.append(data.getvalue())
            self.export.tick()
        uv = (tracks.query_uv + 0.5) * scale
        np.savez(
            self.export.fresh(f"{name}.npz"),
            images_jpeg_bytes=np.array(pictures),
            tracks_XYZ=tracks.xyz,
            visibility=tracks.visible,
            queries_xyt=np.column_stack([uv, tracks.query]),
            fx_fy_cx_cy=inner,
            intrinsics=inner,
            extrinsics_w2c=np.stack([source.pose(index) for index in tracks.indices.tolist()]),
        )
