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
from satgen.exports.source import Export, ExportSource, mono

SHARD = 1000
"""Most images of a shard."""


def write(export: Export) -> None:
    """Write the export."""
    source = export.source
    labels = BopLabels(source, body_of(source.data))
    for part, indices in source.parts.items():
        numbers = indices.tolist()
        below = [part] if part else []
        folder = export.make(*below)
        keys: dict[str, int] = {}
        for shard, first in enumerate(range(0, len(numbers), SHARD)):
            with tarfile.open(folder / f"shard-{shard:06d}.tar", "w") as tar:
                for index in numbers[first : first + SHARD]:
                    key = f"{SCENE:06d}_{index:06d}"
                    keys[key] = shard
                    for name, data in _sample(export, source, labels, index).items():
                        member = tarfile.TarInfo(f"{key}.{name}")
                        member.size = len(data)
                        tar.addfile(member, io.BytesIO(data))
                    export.tick()
        with export.open(*below, "key_to_shard.json") as file:
            json.dump(keys, file)


def _sample(
    export: Export, source: ExportSource, labels: BopLabels, index: int
) -> dict[str, bytes]:
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


def _tiff(png: bytes) -> bytes:
    """The same pixels in a TIFF file."""
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(png)).save(out, format="TIFF", compression="tiff_lzw")
    return out.getvalue()
