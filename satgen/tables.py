"""The tables of a dataset: made of records, written, and taken apart into records again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from satgen.atomic import write_atomic
from satgen.dataset import (
    FRAMES_CSV,
    FRAMES_PARQUET,
    IMAGES,
    KEYPOINT_COLUMNS,
    KEYPOINTS,
    OPTIONAL_IMAGES,
    TABLES,
    Table,
    frame_columns,
)
from satgen.errors import InputError
from satgen.records import FrameRecord
from satgen.scene import Scene
from satgen.sun import phase_deg

if TYPE_CHECKING:
    import pyarrow


def frame_table(scene: Scene, records: Sequence[FrameRecord]) -> Table:
    """The frame table of records that are ordered by index."""
    seen = scene.views.at([r.index for r in records])
    views, sun = seen.observations, seen.sun
    unknown = np.full((len(views), 4), np.nan)
    attitude = unknown if views.inertial_quaternion is None else views.inertial_quaternion
    velocity = unknown[:, :3] if views.inertial_velocity is None else views.inertial_velocity
    table: Table = {
        "index": views.index,
        "time_s": views.time_s,
        "azimuth_deg": views.azimuth_deg,
        "elevation_deg": views.elevation_deg,
        "roll_deg": views.roll_deg,
        "distance_m": views.distance_m,
    }
    table |= {name: views.quaternion[:, i] for i, name in enumerate(("qw", "qx", "qy", "qz"))}
    table |= {name: views.T_cam_target[:, i, 3] for i, name in enumerate(("tx", "ty", "tz"))}
    table |= {name: views.angular_velocity[:, i] for i, name in enumerate(("wx", "wy", "wz"))}
    table |= {f"qi_{name}": attitude[:, i] for i, name in enumerate("wxyz")}
    table |= {f"wi_{name}": velocity[:, i] for i, name in enumerate("xyz")}
    table |= {name: sun[:, i] for i, name in enumerate(("sun_x", "sun_y", "sun_z"))}
    table["phase_deg"] = phase_deg(views, sun)
    boxes = np.array([r.bbox for r in records], dtype=np.int64).reshape(-1, 4)
    table |= {f"bbox_{name}": boxes[:, i] for i, name in enumerate("xywh")}
    table["coverage"] = np.array([r.coverage for r in records], dtype=np.float64)
    for i, kind in enumerate(IMAGES):
        table[f"{kind}_sha256"] = np.array([r.sha256[i] for r in records], dtype=object)
    images = scene.config.images
    for name in scene.config.columns:
        if name == "sunlight":
            table[name] = seen.place.sunlight
        elif name.endswith("_sha256"):
            at = images.index(name.removesuffix("_sha256"))
            table[name] = np.array([r.sha256[at] for r in records], dtype=object)
        else:
            table[name] = np.array([r.measures[name] for r in records], dtype=np.float64)
    return table


def keypoint_table(scene: Scene, records: Sequence[FrameRecord]) -> Table:
    """The keypoint table of records that are ordered by index: landmarks in order, frame by frame.

    Behind the camera u and v are NaN.
    """
    views = scene.views.at([r.index for r in records])
    n, count = len(records), len(scene.landmarks)
    seen = np.array([r.visible for r in records], dtype=bool).reshape(n, count)
    return {
        "index": np.repeat(views.observations.index, count),
        "name": np.array(list(scene.landmarks.names) * n, dtype=object),
        "u": views.uv[..., 0].ravel(),
        "v": views.uv[..., 1].ravel(),
        "depth_m": views.depth_m.ravel(),
        "visible": seen.ravel(),
    }


def csv_bytes(table: Table) -> bytes:
    """A table as CSV. Floats are written with as many digits as it takes to read them back."""
    columns = [map(str if v.dtype == object else repr, v.tolist()) for v in table.values()]
    lines = [",".join(table), *map(",".join, zip(*columns, strict=True))]
    return ("\n".join(lines) + "\n").encode()


def parquet_bytes(table: Table, schema: dict[str, type]) -> bytes:
    """A table as parquet, compressed with zstd."""
    import io

    import pyarrow
    import pyarrow.parquet

    arrays = [_arrow_array(table[name], kind) for name, kind in schema.items()]
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_arrays(arrays, names=list(schema)), buffer, compression="zstd"
    )
    return buffer.getvalue()


def _arrow_array(values: NDArray[Any], kind: type) -> pyarrow.Array:
    """A column as Arrow has it. Made of its buffers: `pyarrow.array` would import pandas."""
    import pyarrow

    def array(type_: pyarrow.DataType, *parts: NDArray[Any]) -> pyarrow.Array:
        buffers = [pyarrow.py_buffer(np.ascontiguousarray(part)) for part in parts]
        return pyarrow.Array.from_buffers(type_, len(values), [None, *buffers])

    if kind is int:
        return array(pyarrow.int64(), values.astype(np.int64, copy=False))
    if kind is float:
        return array(pyarrow.float64(), values.astype(np.float64, copy=False))
    if kind is bool:
        return array(pyarrow.bool_(), np.packbits(values, bitorder="little"))
    texts = [text.encode() for text in values.tolist()]
    ends = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    return array(pyarrow.string(), ends, np.frombuffer(b"".join(texts), dtype=np.uint8))


def write_tables(
    folder: Path, frames: Table, keypoints: Table, columns: Sequence[str]
) -> dict[str, str]:
    """Write the three tables, each atomically.

    Args:
        folder: the dataset's.
        frames, keypoints: the tables, ordered by index.
        columns: what the frames' has besides the usual ones.

    Returns:
        The SHA-256 of each file's bytes, by name.
    """
    files = {
        KEYPOINTS: parquet_bytes(keypoints, KEYPOINT_COLUMNS),
        FRAMES_PARQUET: parquet_bytes(frames, frame_columns(more=columns)),
        FRAMES_CSV: csv_bytes(frames),
    }
    for name, data in files.items():
        write_atomic(folder / name, data, sync=True)
    return {name: hashlib.sha256(files[name]).hexdigest() for name in TABLES}


def records_of(frames: Table, keypoints: Table | None, landmarks: int) -> list[FrameRecord]:
    """The records that a complete dataset's tables were made of; without keypoints, bare ones.

    Raises:
        InputError: the two tables do not belong together.
    """
    n = len(frames["index"])
    seen = np.zeros((n, landmarks), dtype=bool)
    if keypoints is not None:
        if len(keypoints["index"]) != n * landmarks:
            raise InputError(f"{KEYPOINTS}: {len(keypoints['index'])} rows for {n} frames")
        seen = keypoints["visible"].reshape(n, landmarks)
    kinds = (*IMAGES, *(kind for kind in OPTIONAL_IMAGES if f"{kind}_sha256" in frames))
    measures = [name for name in ("exposure", "lit") if name in frames]
    boxes = np.stack([frames[f"bbox_{name}"] for name in "xywh"], axis=-1)
    return [
        FrameRecord(
            int(frames["index"][i]),
            tuple(boxes[i].tolist()),
            float(frames["coverage"][i]),
            tuple(frames[f"{kind}_sha256"][i] for kind in kinds),
            tuple(seen[i].tolist()),
            **{name: float(frames[name][i]) for name in measures},
        )
        for i in range(n)
    ]
