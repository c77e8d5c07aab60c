"""BOP's scenes (its layout of 2024 and 2025, docs/bop_datasets_format.md of bop_toolkit).

    OUT/camera.json, dataset_info.md, models/{obj_000001.ply, models_info.json}
    OUT/train/000001/{rgb or gray, depth, mask, mask_visib}/000361.png (masks: 000361_000000.png)
    OUT/train/000001/{scene_camera, scene_gt, scene_gt_info, scene_gt_coco}.json

Millimetres; the model's origin is the middle of its box, as BOP has it, so that the translation is
t + R c for satgen's (R, t) and the middle c. Image numbers are observation indices. The cameras of
a rig have their names behind those of files and folders (`rgb_left`, `scene_gt_left.json`). With
splits there are the folders train, val and test, and lists of test targets; without, train alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from satgen.exports.body import body_of, diameter, ply_bytes
from satgen.exports.jsonfile import JsonEntries
from satgen.exports.masks import annotation, mask_png
from satgen.exports.pieces import ExportPiece
from satgen.exports.source import Export, ExportSource, ExportWriter, mono
from satgen.geometry import Bools, Floats, bounding_box, pixel_grid, transform
from satgen.keypoints import in_image
from satgen.model import TargetModel

SCENE = 1
"""Number of the only scene."""

OBJECT = 1
"""Number of the only object."""

IGNORED = 0.1
"""Visible share below which an object does not count, in COCO's labels and among test targets."""


class BopLabels:
    """BOP's labels of a dataset's frames.

    Args:
        source: the dataset.
        model: its body.
    """

    def __init__(self, source: ExportSource, model: TargetModel) -> None:
        self._source = source
        self._vertices = model.vertices
        self._corners = model.vertices[model.faces]
        low, high = model.vertices.min(axis=0), model.vertices.max(axis=0)
        self.middle: Floats = (low + high) / 2.0
        self._beyond: Callable[[Floats, Floats], Bools] | None = None

    def camera(self, index: int) -> dict[str, Any]:
        """An entry of scene_camera.json; the world is the target's frame."""
        pose = self._source.pose(index)
        return {
            "cam_K": self._source.camera.K.ravel().tolist(),
            "depth_scale": 1000.0 * float(self._source.data.description["depth_scale"]),
            "cam_R_w2c": pose[:3, :3].ravel().tolist(),
            "cam_t_w2c": (1000.0 * pose[:3, 3]).tolist(),
        }

    def truth(self, index: int) -> list[dict[str, Any]]:
        """An entry of scene_gt.json."""
        pose = self._source.pose(index)
        where = pose[:3, :3] @ self.middle + pose[:3, 3]
        return [
            {
                "cam_R_m2c": pose[:3, :3].ravel().tolist(),
                "cam_t_m2c": (1000.0 * where).tolist(),
                "obj_id": OBJECT,
            }
        ]

    def info(self, index: int, mask: Bools) -> list[dict[str, Any]]:
        """An entry of scene_gt_info.json."""
        whole, corner = self._silhouette(index, mask)
        visible, count = int(mask.sum()), int(whole.sum())
        return [
            {
                "bbox_obj": _box(whole, corner) if visible else _NO_BOX,
                "bbox_visib": _box(mask) if visible else _NO_BOX,
                "px_count_all": count,
                "px_count_valid": visible,
                "px_count_visib": visible,
                "visib_fract": visible / count if count else 0.0,
            }
        ]

    def _silhouette(self, index: int, mask: Bools) -> tuple[Bools, tuple[int, int]]:
        """The target's pixels, of those beyond the image too, and where the image begins in them.

        As BOP's own tool, up to the image's size beyond each of its edges.
        """
        camera, pose = self._source.camera, self._source.pose(index)
        points = transform(pose, self._vertices)
        width, height = camera.width, camera.height
        if in_image(camera.project(points), points[:, 2], camera).all():
            return mask, (0, 0)
        around = pixel_grid(3 * height, 3 * width) - (width, height)
        whole = self._cast(pose, camera.rays_at(around))
        whole[height : 2 * height, width : 2 * width] = mask
        return whole, (width, height)

    def _cast(self, pose: Floats, rays: Floats) -> Bools:
        if self._beyond is None:
            from satgen.raycast import Caster

            faces = np.zeros(len(self._corners), dtype=np.int64)
            self._beyond = Caster(self._corners, faces).meets
        return self._beyond(pose, rays)


_NO_BOX = [-1, -1, -1, -1]


def _box(mask: Bools, corner: tuple[int, int] = (0, 0)) -> list[int]:
    """The box of a mask with a pixel at least, from a corner on, as scene_gt_info.json has it: with
    one less than the number of columns and rows, as BOP's own."""
    x, y, w, h = bounding_box(mask)
    return [x - corner[0], y - corner[1], w - 1, h - 1]


def coco_annotation(number: int, index: int, mask: Bools, info: dict[str, Any]) -> dict[str, Any]:
    """An annotation of scene_gt_coco.json."""
    return {
        **annotation(number, index, OBJECT, mask),
        "width": mask.shape[1],
        "height": mask.shape[0],
        "ignore": info["visib_fract"] < IGNORED,
    }


class BopWriter(ExportWriter):
    """Writes the format."""

    def __init__(self, export: Export) -> None:
        super().__init__(export)
        self._model = body_of(export.source.data)
        self._labels = [BopLabels(source, self._model) for source in export.sources]

    def pieces(self) -> list[ExportPiece]:
        """The frames."""
        return self.export.frames()

    def make(self, piece: ExportPiece) -> dict[str, Any]:
        """A frame's images and masks; its info, and its annotation, whose number is 0."""
        export, index = self.export, piece.index
        source, suffix = export.sources[piece.source], self._suffix(piece.source)
        place = _scene(piece.part)
        for kind, folder in (("rgb", _pictures(source)), ("depth", "depth")):
            export.place(source, kind, index, *place, f"{folder}{suffix}", f"{index:06d}.png")
        mask = source.mask(index)
        picture = mask_png(mask)
        for name in ("mask", "mask_visib"):
            export.put(picture, *place, f"{name}{suffix}", f"{index:06d}_000000.png")
        info = self._labels[piece.source].info(index, mask)
        found = coco_annotation(0, index, mask, info[0]) if mask.any() else None
        export.tick()
        return {"info": info, "annotation": found}

    def write(self) -> None:
        """Write the export."""
        export = self.export
        _write_models(export, self._model)
        targets: list[dict[str, int]] = []
        for number, source in enumerate(export.sources):
            camera = source.camera
            intrinsics = {name: getattr(camera, name) for name in ("cx", "cy", "fx", "fy")}
            with export.open(f"camera{self._suffix(number)}.json") as file:
                scale = 1000.0 * float(source.data.description["depth_scale"])
                size = {"height": camera.height, "width": camera.width}
                json.dump({**intrinsics, **size, "depth_scale": scale}, file, indent=1)
            for part in source.parts:
                found = self._write_scene(number, part)
                if part == "test" and number == 0:
                    targets = found
        if "test" in export.source.parts:
            _write_targets(export, targets)
        middle = (1000.0 * self._labels[0].middle).tolist()
        with export.open("dataset_info.md") as file:
            file.write(
                f"# {export.source.data.name}\n\nRendered by satgen {_version(export)}: 1 object "
                f"({export.source.data.name}), 1 scene, image numbers are observation indices. "
                f"The model's origin is the middle of its box; satgen's frame has it at {middle} "
                "mm.\n"
            )

    def _suffix(self, number: int) -> str:
        """What the files and folders of a camera of a rig end in."""
        rig = self.export.sources[number].data.rig
        return f"_{rig.name}" if len(self.export.sources) > 1 and rig is not None else ""

    def _write_scene(self, number: int, part: str) -> list[dict[str, int]]:
        """Write the images and labels of a part; the test targets among them."""
        export, labels = self.export, self._labels[number]
        source, suffix, place = export.sources[number], self._suffix(number), _scene(part)
        indices = source.parts[part].tolist()
        targets = []
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(
                    JsonEntries(export.open(*place, f"{name}{suffix}.json"), *around)
                )
                for name, around in {
                    "scene_camera": (),
                    "scene_gt": (),
                    "scene_gt_info": (),
                    "scene_gt_coco": (_coco_head(source, indices, suffix), "]}"),
                }.items()
            }
            for at, index in enumerate(indices, start=1):
                row = self.made(ExportPiece(number, part, (index,)))
                files["scene_camera"].add(labels.camera(index), index)
                files["scene_gt"].add(labels.truth(index), index)
                files["scene_gt_info"].add(row["info"], index)
                if row["annotation"] is not None:
                    files["scene_gt_coco"].add({**row["annotation"], "id": at})
                if row["info"][0]["visib_fract"] >= IGNORED:
                    target = {"im_id": index, "inst_count": 1, "obj_id": OBJECT, "scene_id": SCENE}
                    targets.append(target)
        return targets


def _scene(part: str) -> tuple[str, str]:
    """The folder of a part's scene."""
    return part or "train", f"{SCENE:06d}"


def _pictures(source: ExportSource) -> str:
    """The folder of the images."""
    return "gray" if mono(source) else "rgb"


def _coco_head(source: ExportSource, indices: list[int], suffix: str) -> str:
    """COCO's labels up to the annotations."""
    images = [
        {
            "id": index,
            "file_name": f"{_pictures(source)}{suffix}/{index:06d}.png",
            "width": source.camera.width,
            "height": source.camera.height,
        }
        for index in indices
    ]
    category = {"id": OBJECT, "name": str(OBJECT), "supercategory": source.data.name}
    head = {"info": {"description": source.data.name}, "licenses": [], "categories": [category]}
    return f'{json.dumps({**head, "images": images})[:-1]}, "annotations": ['


def _version(export: Export) -> str:
    return str(export.source.data.description.get("software", {}).get("satgen", ""))


def _write_models(export: Export, model: TargetModel) -> None:
    low, high = model.vertices.min(axis=0), model.vertices.max(axis=0)
    points = 1000.0 * (model.vertices - (low + high) / 2.0)
    folder = export.make("models")
    (folder / f"obj_{OBJECT:06d}.ply").write_bytes(ply_bytes(points, model.normals, model.faces))
    size = 1000.0 * (high - low)
    info = {f"min_{axis}": float(-size[i] / 2.0) for i, axis in enumerate("xyz")}
    info |= {f"size_{axis}": float(size[i]) for i, axis in enumerate("xyz")}
    with export.open("models", "models_info.json") as file:
        json.dump({str(OBJECT): {**info, "diameter": diameter(points)}}, file, indent=1)


def _write_targets(export: Export, targets: list[dict[str, int]]) -> None:
    """The lists of what is evaluated: poses of known objects, and detections an image."""
    with JsonEntries(export.open("test_targets_bop19.json"), "[", "]") as file:
        for target in targets:
            file.add(target)
    with JsonEntries(export.open("test_targets_bop24.json"), "[", "]") as file:
        for target in targets:
            file.add({"im_id": target["im_id"], "scene_id": target["scene_id"]})
