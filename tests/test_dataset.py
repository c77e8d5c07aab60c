"""satgen.dataset: its files and tables, read by other programs and by its own reader."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from matchers.truth.pairs import Pair, load_pairs, pairs_csv
from satgen import dataset as ds
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.preview import contact_sheet, film, save_picture
from satgen.trajectory import INDEX_MAX
from satgen.verify import verify
from tests.datasets import FRAMES

COLUMNS = [
    *("index", "time_s", "azimuth_deg", "elevation_deg", "roll_deg", "distance_m"),
    *("qw", "qx", "qy", "qz", "tx", "ty", "tz", "wx", "wy", "wz"),
    *("qi_w", "qi_x", "qi_y", "qi_z", "wi_x", "wi_y", "wi_z"),
    *("sun_x", "sun_y", "sun_z", "phase_deg"),
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
        "metadata.parquet",
        "croissant.json",
        "README.md",
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
    assert set(text["camera"]) == {"width", "height", "fx", "fy", "cx", "cy", "distortion"}
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
        pd.testing.assert_series_equal(parquet[name], text[name], check_exact=True)
    assert parquet["qw"].dtype == np.float64
    assert parquet["index"].tolist() == list(range(3000, 3000 + FRAMES))
    ours = ds.read_csv(pristine / "frames.csv")
    pd.testing.assert_frame_equal(pd.DataFrame(ours), parquet, check_exact=True)


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
    assert data.indices.tolist()[:2] == [3000, 3001]
    depth, parts = data.depth(3003), data.parts(3003)
    near = data.frames.set_index("index").loc[3003, "distance_m"]
    assert abs(np.median(depth[depth > 0]) - near) < 3.0
    assert parts.dtype == np.uint8
    assert data.rgb(3003).shape == (64, 72, 3)
    poses = data.poses
    assert np.allclose(poses[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2), np.eye(3))
    assert np.array_equal(data.pose(3002), poses[2])


NOT_THERE = r"no frame 9999, the nearest is 3023 \(it has 24, 3000 to 3023\)$"


def test_an_index_that_is_not_there_is_answered_with_the_nearest(pristine: Path) -> None:
    data = Dataset(pristine)
    for ask in (data.rgb, data.depth, data.parts, data.pose, data.__getitem__, data.points):
        with pytest.raises(InputError, match=NOT_THERE):
            ask(9999)
    with pytest.raises(InputError, match="the nearest is 3000 "):
        data.flow(3001, 1)
    assert 3001 in data and 9999 not in data and "3001" not in data
    for wrong in ("3001", 3001.0, None, [3001.5], ["3001"], [[3001]]):
        with pytest.raises(InputError, match="must be an observation index"):
            data[wrong]  # type: ignore[call-overload]


def test_a_missing_image_and_a_dataset_that_is_not_finished(dataset: Path) -> None:
    (dataset / "rgb/003003.png").unlink()
    with pytest.raises(InputError, match=r"003003\.png: No such file"):
        Dataset(dataset).rgb(3003)
    (dataset / "frames.parquet").unlink()
    data = Dataset(dataset)
    assert data.rgb(3004).shape == (64, 72, 3)
    assert repr(data) == f"<Dataset {dataset}: craft, not finished, 72x64>"
    with pytest.raises(InputError, match=r"not finished, it has no frames\.parquet"):
        len(data)


def test_strings_are_paths_everywhere(pristine: Path, tmp_path: Path) -> None:
    data = Dataset(str(pristine))
    assert np.array_equal(data.rgb(3000), ds.read_image(str(pristine / "rgb/003000.png")))
    assert ds.is_dataset(str(pristine))
    assert ds.read_description(str(pristine)) == data.description
    assert list(ds.open_datasets([str(pristine)])) == ["craft"]
    assert verify(str(pristine)).ok
    save_picture(contact_sheet(data, 4, 32), str(tmp_path / "sheet.png"))
    film(data, str(tmp_path / "film.gif"), 3, 32)
    (tmp_path / "pairs.csv").write_bytes(pairs_csv([Pair("craft", 3000, 3001)]))
    assert load_pairs(str(tmp_path / "pairs.csv")) == [Pair("craft", 3000, 3001)]


def test_frames_by_index(pristine: Path) -> None:
    data = Dataset(pristine)
    assert repr(data) == f"<Dataset {pristine}: craft, 24 frames, 3000 to 3023, 72x64>"
    for index in (3007, np.int64(3007)):
        frame = data[index]
        assert (frame.index, frame.target, frame.source) == (3007, "craft", str(pristine))
        assert np.array_equal(frame.rgb, data.rgb(3007))
        assert np.array_equal(frame.depth, data.depth(3007))
        assert np.array_equal(frame.parts, data.parts(3007))
        assert np.array_equal(frame.pose, data.pose(3007))
        assert np.array_equal(frame.K, data.camera.K)
        row = data.frames.set_index("index").loc[3007]
        assert frame.sun.tolist() == row[["sun_x", "sun_y", "sun_z"]].tolist()
        assert frame.part_names[2] == "wing"
        assert np.array_equal(np.asarray(Image.open(BytesIO(frame._repr_png_()))), frame.rgb)
    assert [frame.index for frame in data] == data.indices.tolist()


def test_an_image_is_read_when_it_is_asked_for_and_once(dataset: Path) -> None:
    data = Dataset(dataset)
    frames = list(data)
    first = frames[3].rgb
    (dataset / "rgb/003003.png").unlink()
    assert frames[3].rgb is first
    (dataset / "rgb/003004.png").unlink()
    with pytest.raises(InputError, match=r"003004\.png: No such file"):
        _ = frames[4].rgb
    assert frames[4].depth.shape == (64, 72)


@given(
    start=st.none() | st.integers(0, 3100),
    stop=st.none() | st.integers(0, 3100),
    step=st.none() | st.integers(1, 60),
)
def test_a_slice_has_the_indices_of_its_range(
    pristine: Path, start: int | None, stop: int | None, step: int | None
) -> None:
    data = _opened(pristine)
    first = 3000 if start is None else start
    wanted = range(first, 3024 if stop is None else stop, step or 1)
    view = data[start:stop:step]
    assert view.indices.tolist() == [i for i in range(3000, 3024) if i in wanted]
    assert len(view) == len(view.poses) == len(view.frames)


@cache
def _opened(folder: Path) -> Dataset:
    return Dataset(folder)


def test_a_view_is_a_dataset_of_its_frames(pristine: Path) -> None:
    data = Dataset(pristine)
    view = data[3002:3020:5]
    assert view.indices.tolist() == [3002, 3007, 3012, 3017]
    assert repr(view).endswith("craft, 4 frames, 3002 to 3017, 72x64>")
    assert np.array_equal(view.poses, data.poses[[2, 7, 12, 17]])
    assert view.frames["index"].tolist() == view.indices.tolist()
    assert len(view.keypoints) == 4 * len(data.landmarks)
    assert set(view.keypoints["index"]) == set(view.indices)
    assert np.array_equal(view[3007].rgb, data.rgb(3007))
    assert view[3007:].indices.tolist() == [3007, 3012, 3017]
    with pytest.raises(InputError, match="no frame 3003, the nearest is 3002 "):
        view[3003]
    assert data[[3009, 3001, 3009]].indices.tolist() == [3001, 3009]
    assert data[np.array([3009, 3001])].indices.tolist() == [3001, 3009]
    assert len(data[:3000]) == 0 and repr(data[:3000]).endswith("craft, 0 frames, 72x64>")
    with pytest.raises(InputError, match="nor any other"):
        data[:3000][3001]
    for wrong in (slice(None, None, -1), slice(None, None, 0)):
        with pytest.raises(InputError, match="must be 1 or more"):
            data[wrong]
    with pytest.raises(InputError, match="do not count from the end"):
        data[-5:]
    again = pickle.loads(pickle.dumps(view))
    assert np.array_equal(again[3007].rgb, view[3007].rgb)
    assert pickle.loads(pickle.dumps(view[3007])).rgb.shape == (64, 72, 3)


def test_opening_one_loads_no_renderer_and_no_table_library(pristine: Path) -> None:
    code = """
import sys
from satgen.dataset import Dataset
heavy = {"satgen.rendering", "satgen.modelling", "satgen.targets", "pandas", "scipy", "pyarrow",
         "torch", "cv2", "OpenGL", "pyrender", "trimesh", "PIL", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
data = Dataset(sys.argv[1])
frame = data[3001]
assert frame.rgb.shape == (64, 72, 3)
print(sorted((heavy - {"pyarrow", "cv2"}) & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(pristine)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"


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


def test_a_frame_table_has_room_for_every_index() -> None:
    assert ds.MOST_FRAMES == INDEX_MAX


def test_an_image_of_another_kind_or_size_is_named(dataset: Path) -> None:
    for target, source in (("depth", "rgb"), ("parts", "rgb")):
        shutil.copy(dataset / source / "003001.png", dataset / target)
    Image.new("I;16", (8, 8)).save(dataset / "depth" / "003002.png")
    data = Dataset(dataset)
    for read, kind in (
        (lambda: data[3001].depth, "depth"),
        (lambda: data.parts(3001), "parts"),
        (lambda: data[3002].points, "depth"),
    ):
        with pytest.raises(InputError, match=f"no {kind} image of this dataset"):
            read()


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("indices", "stop"), 10**9),
        (("indices", "stop"), 10**30),
        (("indices", "step"), 0),
        (("camera", "width"), 10**9),
        (("camera", "fx"), float("inf")),
        (("trajectory",), None),
        (("landmarks",), {"a": {"xyz": [[1]]}}),
        (("target",), []),
        (("columns",), [{}]),
    ],
    ids=str,
)
def test_a_value_that_makes_no_sense_is_one_error(dataset: Path, keys, value) -> None:
    path = dataset / "dataset.json"
    data = json.loads(path.read_text())
    place = data
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(data))
    report = verify(dataset)
    assert not report.ok
    assert not any("\n" in str(problem) for problem in report.problems)


def test_a_description_nested_too_deep_or_too_large_is_refused(dataset: Path, monkeypatch) -> None:
    path = dataset / "dataset.json"
    path.write_text('{"format": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(InputError, match=r"dataset\.json: .*nested too deep"):
        Dataset(dataset)
    path.write_bytes(b" " * ((1 << 26) + 1))
    with pytest.raises(InputError, match="is larger than 64 MiB"):
        Dataset(dataset)
