"""COCO's labels: boxes, masks as run lengths, keypoints.

    OUT/images/000361.png
    OUT/annotations/instances.json    the target, with its landmarks as keypoints
    OUT/annotations/parts.json        every part that is seen, its own category
    (with splits instances_train.json and so on)

Boxes are in COCO's coordinates, whose origin is the corner of the first pixel: x and y of the
first column and row, and how many there are. Keypoints count pixels from the first one's centre, as
COCO's do, and are 0, 0, 0 outside of the image; v is 1 for a landmark that is hidden, 2 for one
that is seen.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from satgen.exports.jsonfile import JsonEntries
from satgen.exports.masks import annotation
from satgen.exports.pieces import ExportPiece
from satgen.exports.source import ExportSource, ExportWriter
from satgen.geometry import within_image
from satgen.publication import licence_of


class CocoWriter(ExportWriter):
    """Writes the format."""

    def pieces(self) -> list[ExportPiece]:
        """The frames."""
        return self.export.frames()

    def make(self, piece: ExportPiece) -> dict[str, Any]:
        """A frame's image; the annotations of the target and its parts, whose numbers are 0."""
        source, index = self.export.source, piece.index
        self.export.place(source, "rgb", index, "images", f"{index:06d}.png")
        labels = source.data.parts(index)
        mask = labels > 0
        row = {
            "target": annotation(0, index, 1, mask) if mask.any() else None,
            "parts": [
                annotation(0, index, label, labels == label)
                for label in np.unique(labels[mask]).tolist()
            ],
        }
        self.export.tick()
        return row

    def write(self) -> None:
        """Write the export."""
        export, source = self.export, self.export.source
        target = {
            "id": 1,
            "name": source.data.name,
            "supercategory": "spacecraft",
            "keypoints": list(source.data.landmarks.names),
            "skeleton": [],
        }
        categories = [
            {"id": int(label), "name": part["name"], "supercategory": part["class"]}
            for label, part in source.data.description["parts"].items()
        ]
        for part, indices in source.parts.items():
            tail = f"_{part}" if part else ""
            numbers = indices.tolist()
            of_target = export.open("annotations", f"instances{tail}.json")
            of_parts = export.open("annotations", f"parts{tail}.json")
            count = 0
            with (
                JsonEntries(of_target, _head(source, numbers, [target]), "]}") as targets,
                JsonEntries(of_parts, _head(source, numbers, categories), "]}") as parts,
            ):
                for number, index in enumerate(numbers, start=1):
                    row = self.made(ExportPiece(0, part, (index,)))
                    if row["target"] is not None:
                        found = {**row["target"], "id": number}
                        targets.add({**found, **_keypoints(source, index)})
                    for found in row["parts"]:
                        count += 1
                        parts.add({**found, "id": count})


def _head(source: ExportSource, indices: list[int], categories: list[dict[str, Any]]) -> str:
    """The file up to its annotations."""
    images = [
        {
            "id": index,
            "file_name": f"{index:06d}.png",
            "width": source.camera.width,
            "height": source.camera.height,
            "license": 1,
        }
        for index in indices
    ]
    info = {"description": f"{source.data.name}, rendered by satgen"}
    name, where = licence_of(source.data.description)
    licences = [{"id": 1, "name": name, "url": where}]
    head = {"info": info, "licenses": licences, "categories": categories, "images": images}
    return f'{json.dumps(head, ensure_ascii=False)[:-1]},\n"annotations": ['


def _keypoints(source: ExportSource, index: int) -> dict[str, Any]:
    table = source.keypoints[index]
    uv = np.stack([table["u"], table["v"]], axis=-1)
    with np.errstate(invalid="ignore"):
        inside = within_image(uv, source.camera.height, source.camera.width)
    flat: list[float] = []
    for (u, v), there, seen in zip(uv.tolist(), inside, table["visible"], strict=True):
        flat += [u, v, 2 if seen else 1] if there else [0, 0, 0]
    return {"keypoints": flat, "num_keypoints": int(inside.sum())}
