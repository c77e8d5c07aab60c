"""The files of a dataset in a site: what it is of, its tables, and its images in packs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.dataset import (
    FRAMES_PARQUET,
    KEYPOINTS,
    Dataset,
    described_columns,
    described_images,
    is_dataset,
    read_keypoints,
    read_parquet,
)
from satgen.errors import InputError
from satgen.lens import domain
from satgen.preview import spread
from satgen.runfolder import dataset_identity
from satgen.view.packs import (
    KINDS,
    PACK,
    UNREADABLE,
    PackTask,
    encoded_colours,
    join_pack,
    make_pack,
    shown_colours,
    shown_size,
)
from satgen.view.site import SiteFile, cache_key

MOST_THUMBNAILS, THUMBNAIL = 240, 112
"""Frames in the overview, which is shown while a frame's own pack is on its way, and their width,
pixels."""

_CODE = 1
"""Number of the way in which packs are made, for what is kept of an earlier one."""


def datasets_at(path: Path) -> list[Dataset]:
    """The dataset in a folder, or those in the folders below it.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    if is_dataset(path):
        folders = [path]
    else:
        folders = sorted(child for child in path.iterdir() if is_dataset(child))
    if not folders:
        raise InputError(f"{path}: is no dataset and no run, and has no datasets in it")
    return [Dataset(folder) for folder in folders]


def identity_of(data: Dataset, width: int) -> dict[str, Any]:
    """What decides the files of a dataset."""
    return {"code": _CODE, "width": width, "tables": dataset_identity(data.folder)}


def description_of(data: Dataset, name: str, width: int) -> dict[str, Any]:
    """What the page is to know of a dataset, plain values.

    Args:
        data: the dataset.
        name: of its folder in the site.
        width: of packs.

    Raises:
        InputError: it is not finished, or its description lacks something.
    """
    camera, landmarks = data.camera, data.landmarks
    wide, high = shown_size(camera.width, camera.height, width)
    centre, radius = _bounds(data)
    classes = {int(k): str(v.get("class", "")) for k, v in data.description["parts"].items()}
    return {
        "name": name,
        "target": data.name,
        "title": str(data.description["target"].get("card", {}).get("title", data.name)),
        "frames": len(data),
        "camera": {**camera.to_json(), "domain": _lens_reach(camera)},
        "shown": [wide, high],
        "depth_scale": float(data.description["depth_scale"]),
        "centre": centre,
        "radius_m": radius,
        "parts": [
            {"label": label, "name": part, "class": classes[label]}
            for label, part in sorted(data.part_names.items())
        ],
        "landmarks": [
            {"name": one, "xyz": xyz}
            for one, xyz in zip(landmarks.names, landmarks.xyz.tolist(), strict=True)
        ],
        "columns": _columns(data),
        "images": _kinds(data),
        "pack": PACK,
        "thumbnails": [THUMBNAIL, *_thumbnail_rows(data)],
        "facts": _facts(data),
    }


def _lens_reach(camera: Camera) -> float | None:
    """How far out the lens's polynomial means something; None: everywhere."""
    reach = domain(camera.distortion)
    return reach if np.isfinite(reach) else None


def files_of(
    data: Dataset, name: str, width: int, identity: Mapping[str, Any]
) -> dict[str, SiteFile]:
    """The files of a dataset, in the order in which they are wanted.

    Args:
        data, name, width: as for `description_of`.
        identity: what `identity_of` says of it.
    """
    key = cache_key(identity)
    folder = f"data/{name}"
    source = data.folder.resolve()
    files = {
        f"{folder}/frames.bin": SiteFile(partial(_table_bytes, source)),
        f"{folder}/visible.bin": SiteFile(partial(_visible_bytes, source)),
        f"{folder}/overview.pack": SiteFile(
            partial(_overview_bytes, source), f"{key}/overview.pack"
        ),
    }
    linear = _linear(data)
    for kind in _kinds(data):
        for number, indices in enumerate(_packs(data.indices)):
            task = PackTask(source, kind, indices, width, linear and kind == "rgb")
            path = f"{kind}/{number:05d}.pack"
            files[f"{folder}/{path}"] = SiteFile(partial(make_pack, task), f"{key}/{path}")
    return files


def _packs(indices: NDArray[np.int64]) -> Iterator[tuple[int, ...]]:
    numbers = indices.tolist()
    for start in range(0, len(numbers), PACK):
        yield tuple(numbers[start : start + PACK])


def _kinds(data: Dataset) -> list[str]:
    """Kinds of image that are shown."""
    return [kind for kind in described_images(data.description) if kind in KINDS]


def _columns(data: Dataset) -> list[str]:
    """Columns of numbers of the frame table."""
    return [name for name, kind in described_columns(data.description).items() if kind is not str]


def _linear(data: Dataset) -> bool:
    return data.config.sensor.curve == "linear"


def _bounds(data: Dataset) -> tuple[list[float], float]:
    """Centre and radius of the target, metres; of its landmarks where nothing else is known."""
    sphere = data.description["target"].get("bounding_sphere")
    if isinstance(sphere, dict):
        return [float(x) for x in sphere["centre"]], float(sphere["radius_m"])
    points = data.landmarks.xyz
    if len(points) == 0:
        return [0.0, 0.0, 0.0], float(data.poses[:, 2, 3].min()) / 4.0
    centre = (points.min(axis=0) + points.max(axis=0)) / 2.0
    return centre.tolist(), float(np.linalg.norm(points - centre, axis=1).max())


def _facts(data: Dataset) -> list[list[str]]:
    """What else is worth knowing, in words."""
    given = data.description
    sensor, sun = given.get("sensor", {}), given.get("lighting", {}).get("sun", {})
    indices = data.indices
    found = {
        "Indices": f"{indices[0]} to {indices[-1]}",
        "Trajectory": given.get("trajectory", {}).get("kind"),
        "Sun": sun.get("mode"),
        "Background": given.get("background"),
        "Sensor": sensor.get("preset") or None,
        "Image": f"{data.camera.width} × {data.camera.height} px",
        "Command": given.get("command"),
    }
    return [[name, str(value)] for name, value in found.items() if value]


def _thumbnail_rows(data: Dataset) -> list[int]:
    """Rows of the frames in the overview, evenly from the first to the last."""
    return spread(np.arange(len(data)), MOST_THUMBNAILS)


@lru_cache(maxsize=4)
def _opened(folder: Path) -> Dataset:
    return Dataset(folder)


def _table_bytes(folder: Path) -> bytes:
    """The columns of numbers one after another, float64, little-endian."""
    data = _opened(folder)
    table = read_parquet(folder / FRAMES_PARQUET, described_columns(data.description))
    return b"".join(table[name].astype("<f8").tobytes() for name in _columns(data))


def _visible_bytes(folder: Path) -> bytes:
    """Whether each frame shows each landmark: a byte each, frame by frame."""
    data = _opened(folder)
    places = {name: place for place, name in enumerate(data.landmarks.names)}
    out = np.zeros((len(data), len(places)), dtype=np.uint8)
    if places and (folder / KEYPOINTS).is_file():
        table = read_keypoints(folder, len(places))
        names, inverse = np.unique(table["name"].astype(str), return_inverse=True)
        columns = np.array([places.get(name, -1) for name in names.tolist()])[inverse]
        rows = np.searchsorted(data.indices, table["index"])
        rows[rows == len(data)] = 0
        known = (columns >= 0) & (data.indices[rows] == table["index"])
        out[rows[known], columns[known]] = table["visible"][known]
    return out.tobytes()


def _overview_bytes(folder: Path) -> bytes:
    """A pack of small images all over the dataset."""
    data = _opened(folder)
    linear, images = _linear(data), []
    for row in _thumbnail_rows(data):
        try:
            pixels = data.rgb(int(data.indices[row]))
        except InputError:
            images.append(UNREADABLE)
        else:
            images.append(encoded_colours(shown_colours(pixels, linear=linear, width=THUMBNAIL)))
    return join_pack(images)


def named(datasets: Sequence[Dataset]) -> dict[str, Dataset]:
    """Datasets by a name that is fit for a path, each one's own."""
    found: dict[str, Dataset] = {}
    for data in datasets:
        plain = data.folder.resolve().name or "dataset"
        base = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in plain)
        base = base.strip(".") or "dataset"
        name, number = base, 2
        while name in found:
            name, number = f"{base}-{number}", number + 1
        found[name] = data
    return found
