"""TAP-Vid's pickles: clips with tracks of surface points (`satgen.exports.tracks`).

    OUT/aura_000361.pkl    {"aura_000361": {"video": uint8 (T, H, W, 3),
                            "points": float32 (N, T, 2), "occluded": bool (N, T)}}

A file is a clip, and reads as TAP-Vid-DAVIS's does. Points are x, y from 0 to 1, whose origin is
the corner of the first pixel: (u + 0.5) / W. A point out of the image is occluded.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np

from satgen.exports.body import body_of
from satgen.exports.pixels import picture
from satgen.exports.source import Export
from satgen.exports.tracks import SurfaceTracks, surface_tracks


def write(export: Export) -> None:
    """Write the export."""
    camera = export.source.camera
    for name, tracks in clips(export):
        video = []
        for index in tracks.indices.tolist():
            video.append(picture(export.source, index, export.options.size, grey=False))
            export.tick()
        points = (np.nan_to_num(tracks.uv) + 0.5) / (camera.width, camera.height)
        clip = {
            "video": np.stack(video),
            "points": np.ascontiguousarray(np.swapaxes(points, 0, 1)).astype(np.float32),
            "occluded": np.ascontiguousarray(~tracks.visible.T),
        }
        with open(export.folder / f"{name}.pkl", "wb") as file:
            pickle.dump({name: clip}, file, protocol=4)


def clips(export: Export) -> Iterator[tuple[str, SurfaceTracks]]:
    """Each clip's name and tracks; the last may be shorter, of two frames at least."""
    source, options = export.source, export.options
    model = body_of(source.data)
    indices = source.data.indices
    name = source.data.folder.resolve().name
    for first in range(0, len(indices), options.clip):
        clip = indices[first : first + options.clip]
        if len(clip) == 1:
            export.tick()
            continue
        tracks = surface_tracks(source.data, model, clip, options.tracks, options.seed)
        yield f"{name}_{clip[0]:06d}", tracks
