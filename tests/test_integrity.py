"""satgen.integrity: render and verify take the same datasets for whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from satgen import dataset as ds
from satgen.config import RenderConfig
from satgen.errors import InputError, RunError
from satgen.integrity import check_strays, read_checked, sealed_files
from satgen.run import render
from satgen.runfolder import description_bytes
from satgen.tables import csv_bytes, parquet_bytes
from satgen.verify import verify
from tests.datasets import make, options, reseal, tree


def _bbox(folder: Path) -> None:
    table = ds.read_csv(folder / ds.FRAMES_CSV)
    table["bbox_w"][3] += 1
    (folder / ds.FRAMES_CSV).write_bytes(csv_bytes(table))
    (folder / ds.FRAMES_PARQUET).write_bytes(parquet_bytes(table, ds.FRAME_COLUMNS))


def _keypoints(folder: Path) -> None:
    table = ds.read_keypoints(folder, 7)
    table["visible"][5] = not table["visible"][5]
    (folder / ds.KEYPOINTS).write_bytes(parquet_bytes(table, ds.KEYPOINT_COLUMNS))


def _described(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        data = json.loads((folder / ds.DESCRIPTION).read_text())
        change(data)
        (folder / ds.DESCRIPTION).write_bytes(description_bytes(data))

    return harm


HARMS = {
    "bbox in both tables": _bbox,
    "keypoints": _keypoints,
    "part": _described(lambda d: d["parts"]["1"].update({"class": "antenna"})),
    "landmark": _described(lambda d: d["landmarks"]["bus_side"].update(gap_m=0.5)),
    "seal": _described(lambda d: d.update(seal="0" * 64)),
    "no seal": _described(lambda d: (d.pop("seal"), d.pop("manifest"))),
    "manifest": _described(lambda d: d["manifest"].update({"frames.csv": "0" * 64})),
    "layout": lambda folder: (folder / ds.DESCRIPTION).write_text(
        json.dumps(json.loads((folder / ds.DESCRIPTION).read_text()))
    ),
    "vertical tabs for line feeds": lambda folder: (folder / ds.FRAMES_CSV).write_bytes(
        (folder / ds.FRAMES_CSV).read_bytes().replace(b"\n", b"\v")
    ),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_what_verify_finds_render_mends(
    harm: Callable[[Path], None], craft_path: Path, dataset: Path, pristine: Path
) -> None:
    harm(dataset)
    assert not verify(dataset).ok
    assert render(options(craft_path), dataset, workers=0).rendered == 0
    assert tree(dataset) == tree(pristine)


@pytest.mark.parametrize("name", ["rgb/009999.png", "notes.txt", "parts/.nothing"])
def test_what_is_no_part_of_a_dataset_is_named_by_both(
    name: str, craft_path: Path, dataset: Path
) -> None:
    (dataset / name).write_bytes(b"")
    (dataset / "rgb" / "003002.png").unlink()
    assert f"{name}: is no part of" in "\n".join(map(str, verify(dataset).problems))
    with pytest.raises(RunError, match=f"all frames are there, but {name} is no part of"):
        render(options(craft_path), dataset, workers=0)
    (dataset / name).unlink()
    assert verify(dataset).ok


@pytest.mark.parametrize("key", ["command", "software"])
def test_what_cannot_be_known_again_is_refused(key: str, craft_path: Path, dataset: Path) -> None:
    data = json.loads((dataset / ds.DESCRIPTION).read_text())
    value = {**data["software"], "numpy": "0"} if key == "software" else "satgen render"
    (dataset / ds.DESCRIPTION).write_bytes(description_bytes({**data, key: value}))
    before = tree(dataset)
    with pytest.raises(InputError, match="its command or software cannot be known again"):
        render(options(craft_path), dataset, workers=0)
    assert tree(dataset) == before
    reseal(dataset)
    assert verify(dataset).ok
    assert render(options(craft_path), dataset, workers=0).rendered == 0


def test_a_dataset_that_another_pyarrow_wrote_is_left_alone(
    craft_path: Path, dataset: Path
) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(dataset / ds.FRAMES_PARQUET)
    pyarrow.parquet.write_table(table, dataset / ds.FRAMES_PARQUET, compression="snappy")
    reseal(dataset)
    before = tree(dataset)
    assert verify(dataset).ok
    assert render(options(craft_path), dataset, workers=0).rendered == 0
    assert tree(dataset) == before


def test_a_measure_that_changed_in_the_journal_is_measured_again(
    craft_path: Path, dataset: Path, pristine: Path
) -> None:
    from tests.test_run import unfinished

    unfinished(dataset, 12)
    journal = dataset / ds.JOURNAL
    text = journal.read_text()
    assert '"coverage":0.' in text
    journal.write_text(text.replace('"coverage":0.', '"coverage":0.9', 1))
    assert render(options(craft_path), dataset, workers=0).rendered == 24 - 12 + 1
    assert tree(dataset) == tree(pristine)


def test_the_seal_covers_a_table_of_poses(craft_path: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("index,azimuth_deg,elevation_deg\n7,10,20\n8,11,20\n")
    request = {"trajectory": f"file:{table}", "start": 1, "stop": 8100}
    out = make(craft_path, tmp_path / "out", **request)
    before = tree(out)
    data = ds.Dataset(out)
    assert sealed_files(data.config) == (*ds.TABLES, *ds.PUBLICATION, "trajectory.csv")
    assert "trajectory.csv" in data.description["manifest"]
    (out / "trajectory.csv").write_text("index,azimuth_deg,elevation_deg\n7,10,20\n")
    assert not verify(out).ok
    render(options(craft_path, **request), out, workers=0)
    assert tree(out) == before


def test_files_in_themselves(dataset: Path) -> None:
    config = RenderConfig.from_json(ds.read_description(dataset), dataset)
    assert check_strays(dataset, config) == []
    data, cause = read_checked(dataset, "rgb", 3001, None)
    assert data.startswith(b"\x89PNG")
    assert cause == ""
    assert read_checked(dataset, "rgb", 3001, "0" * 64)[1] == "its SHA-256 is not the table's"
    assert read_checked(dataset, "rgb", 4, None) == (b"", "is missing")
