"""satgen.dataset: its files and tables, read by other programs and by its own reader."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from satgen import dataset as ds
from satgen.dataset import Dataset
from satgen.errors import InputError
from tests.datasets import FRAMES

COLUMNS = [
    *("index", "azimuth_deg", "elevation_deg", "roll_deg", "distance_m"),
    *("qw", "qx", "qy", "qz", "tx", "ty", "tz", "sun_x", "sun_y", "sun_z", "phase_deg"),
    *("bbox_x", "bbox_y", "bbox_w", "bbox_h", "coverage"),
    *("rgb_sha256", "depth_sha256", "parts_sha256"),
]


def test_layout_is_the_documented_one(pristine: Path) -> None:
    names = {f"{index:06d}.png" for index in range(3000, 3000 + FRAMES)}
    assert {p.name for p in pristine.iterdir()} == {
        "dataset.json",
        "frames.csv",
        "frames.parquet",
        "keypoints.parquet",
        "rgb",
        "depth",
        "parts",
    }
    for kind, mode in (("rgb", "RGB"), ("depth", "I;16"), ("parts", "L")):
        assert {p.name for p in (pristine / kind).iterdir()} == names
        image = Image.open(pristine / kind / "003000.png")
        assert image.size == (72, 64)
        assert image.mode == mode
    text = json.loads((pristine / "dataset.json").read_text())
    assert set(text["camera"]) == {"width", "height", "fx", "fy", "cx", "cy"}
    assert text["target"]["name"] == "craft"
    assert text["parts"]["2"] == {"name": "wing", "class": "solar_array"}
    assert text["depth_scale"] > 0
    assert len(text["target"]["aim"]) == 3
    assert text["software"]["opengl"]["renderer"]


def test_both_tables_are_the_same_to_the_last_bit(pristine: Path) -> None:
    parquet = pd.read_parquet(pristine / "frames.parquet")
    assert list(parquet.columns) == COLUMNS
    text = pd.read_csv(pristine / "frames.csv")
    assert list(text.columns) == COLUMNS
    for name in COLUMNS:
        assert (parquet[name].to_numpy() == text[name].to_numpy()).all(), name
    assert parquet["qw"].dtype == np.float64
    assert parquet["index"].tolist() == list(range(3000, 3000 + FRAMES))
    ours = ds.read_csv(pristine / "frames.csv")
    assert all((ours[name] == parquet[name].to_numpy()).all() for name in COLUMNS)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads by Linux's /proc")
def test_reading_the_tables_leaves_no_thread_behind(pristine: Path) -> None:
    """One that still holds the file when the interpreter ends would abort it."""
    code = """
import os, sys
import pandas, pyarrow.parquet
from satgen.dataset import Dataset
before = set(os.listdir("/proc/self/task"))
data = Dataset(sys.argv[1])
assert len(data.frames) and len(data.keypoints)
print(len(set(os.listdir("/proc/self/task")) - before))
"""
    command = [sys.executable, "-c", code, str(pristine)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


def test_rows_describe_the_files(pristine: Path) -> None:
    with open(pristine / "frames.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[::5]:
        name = f"{int(row['index']):06d}.png"
        for kind in ("rgb", "depth", "parts"):
            data = (pristine / kind / name).read_bytes()
            assert hashlib.sha256(data).hexdigest() == row[f"{kind}_sha256"]
        parts = np.asarray(Image.open(pristine / "parts" / name))
        v, u = np.nonzero(parts)
        box = [int(row[f"bbox_{key}"]) for key in "xywh"]
        assert box == [u.min(), v.min(), np.ptp(u) + 1, np.ptp(v) + 1]
        assert float(row["coverage"]) == (parts > 0).mean()
        depth = np.asarray(Image.open(pristine / "depth" / name))
        assert ((depth > 0) == (parts > 0)).all()


def test_the_reader_gives_metres_labels_and_poses(pristine: Path) -> None:
    data = Dataset(pristine)
    assert data.name == "craft"
    assert len(data) == FRAMES
    assert list(data)[:2] == [3000, 3001]
    depth, parts = data.depth(3003), data.parts(3003)
    near = data.frames.set_index("index").loc[3003, "distance_m"]
    assert abs(np.median(depth[depth > 0]) - near) < 3.0
    assert parts.dtype == np.uint8
    assert data.rgb(3003).shape == (64, 72, 3)
    poses = data.poses
    assert np.allclose(poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2), np.eye(3))
    with pytest.raises(InputError, match=r"009999\.png: No such file"):
        data.rgb(9999)
    assert np.array_equal(data.pose(3002), poses[2])
    with pytest.raises(InputError, match="no frame 9999"):
        data.pose(9999)


def test_folders_that_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Dataset(tmp_path / "none")
    with pytest.raises(InputError, match="not a satgen dataset"):
        Dataset(tmp_path)
    path = tmp_path / "dataset.json"
    for text, words in (
        ("{", "not a JSON file"),
        ("[]", "not the description"),
        ('{"format": "satgen-dataset", "version": 99}', "version 99"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            Dataset(tmp_path)
    path.write_text('{"format": "satgen-dataset", "version": 1}')
    data = Dataset(tmp_path)
    with pytest.raises(InputError, match="is missing"):
        _ = data.config
    with pytest.raises(InputError, match=r"frames\.parquet"):
        _ = data.frames
