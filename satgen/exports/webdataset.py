"""BOP's flavour of WebDataset (bop_toolkit's bop_webdataset.py).

    OUT/shard-000000.tar, key_to_shard.json      (with splits in train/, val/, test/)
      000001_000361.{rgb.png or gray.tiff, depth.png, camera.json, gt.json, gt_info.json,
                     mask.json, mask_visib.json}

Labels are those of format bop. The toolkit's reader expects rgb.jpg unless it is told
`rgb_suffix=".png"`.
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from satgen.exports.body import body_of
from satgen.exports.bop import SCENE, BopLabels
from satgen.exports.masks import run_lengths
from satgen.exports.pieces import ExportPiece
from satgen.exports.source import Export, ExportWriter, mono

SHARD = 1000
"""Most images of a shard."""


class WebdatasetWriter(ExportWriter):
    """Writes the format."""

    def __init__(self, export: Export) -> None:
        super().__init__(export)
        self._labels = BopLabels(export.source, body_of(export.source.data))

    def pieces(self) -> list[ExportPiece]:
        """The archives."""
        return [
            ExportPiece(0, part, tuple(indices[first : first + SHARD].tolist()))
            for part, indices in self.export.source.parts.items()
            for first in range(0, len(indices), SHARD)
        ]

    def make(self, piece: ExportPiece) -> None:
        """An archive."""
        place = self.export.source.parts[piece.part].tolist().index(piece.index) // SHARD
        below = [piece.part] if piece.part else []
        path = self.export.fresh(*below, f"shard-{place:06d}.tar")
        with tarfile.open(path, "w") as tar:
            for index in piece.indices:
                for name, data in self._sample(index).items():
                    member = tarfile.TarInfo(f"{_key(index)}.{name}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                self.export.tick()

    def write(self) -> None:
        """Write the export."""
        for piece in self.pieces():
            self.made(piece)
        for part, indices in self.export.source.parts.items():
            keys = {_key(index): at // SHARD for at, index in enumerate(indices.tolist())}
            with self.export.open(*([part] if part else []), "key_to_shard.json") as file:
                json.dump(keys, file)

    def _sample(self, index: int) -> dict[str, bytes]:
        export, source, labels = self.export, self.export.source, self._labels
        mask = source.mask(index)
        lengths = {"0": run_lengths(mask)}
        values: dict[str, Any] = {
            "camera.json": labels.camera(index),
            "gt.json": labels.truth(index),
            "gt_info.json": labels.info(index, mask),
            "mask.json": lengths,
            "mask_visib.json": lengths,
        }
        sample = {"depth.png": export.image_bytes(source, "depth", index)}
        picture = export.image_bytes(source, "rgb", index)
        if mono(source):
            sample["gray.tiff"] = _tiff(picture)
        else:
            sample["rgb.png"] = picture
        return sample | {name: json.dumps(value).encode() for name, value in values.items()}


def _key(index: int) -> str:
    return f"{SCENE:06d}_{index:06d}"


def _tiff(png: bytes) -> bytes:
    """The same pixels in a TIFF file."""
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(png)).save(out, format="TIFF", compression="tiff_lzw")
    return out.getvalue()
