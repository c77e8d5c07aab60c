"""TAP-Vid's pickles: clips with tracks of surface points (`satgen.exports.tracks`).

    OUT/aura_000361.pkl    {"aura_000361": {"video": uint8 (T, H, W, 3),
                            "points": float32 (N, T, 2), "occluded": bool (N, T)}}

A file is a clip, and reads as TAP-Vid-DAVIS's does. Points are x, y from 0 to 1, whose origin is
the corner of the first pixel: (u + 0.5) / W. A point out of the image is occluded.
"""

from __future__ import annotations

import pickle

import numpy as np

from satgen.exports.body import body_of
from satgen.exports.pieces import ExportPiece
from satgen.exports.pixels import picture
from satgen.exports.source import Export, ExportWriter
from satgen.exports.tracks import SurfaceTracks, surface_tracks


class ClipWriter(ExportWriter):
    """Writes a format of clips with tracks of surface points.

    Frames that are left over at the end are a shorter clip; a single one is none.
    """

    def __init__(self, export: Export) -> None:
        super().__init__(export)
        self._model = body_of(export.source.data)

    def pieces(self) -> list[ExportPiece]:
        """The clips."""
        indices, length = self.export.source.data.indices.tolist(), self.export.options.clip
        clips = [tuple(indices[at : at + length]) for at in range(0, len(indices), length)]
        return [ExportPiece(0, "", clip) for clip in clips if len(clip) > 1]

    def make(self, piece: ExportPiece) -> None:
        """A clip's file."""
        source, options = self.export.source, self.export.options
        indices = np.array(piece.indices, dtype=np.int64)
        tracks = surface_tracks(source.data, self._model, indices, options.tracks, options.seed)
        self.write_clip(f"{source.data.folder.resolve().name}_{piece.index:06d}", tracks)

    def write_clip(self, name: str, tracks: SurfaceTracks) -> None:
        """Write a clip, whose file has this name."""
        raise NotImplementedError

    def write(self) -> None:
        """Write the export."""
        clips = self.pieces()
        for piece in clips:
            self.made(piece)
        for _ in range(len(self.export.source.data) - sum(len(clip.indices) for clip in clips)):
            self.export.tick()


class TapvidWriter(ClipWriter):
    """Writes the format."""

    def write_clip(self, name: str, tracks: SurfaceTracks) -> None:
        """Write a clip."""
        export, camera = self.export, self.export.source.camera
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
        with open(export.fresh(f"{name}.pkl"), "wb") as file:
            pickle.dump({name: clip}, file, protocol=4)
