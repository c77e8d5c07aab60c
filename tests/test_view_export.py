"""A page in a folder: whole, the same wherever it is made, and never over something else."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest

from satgen.dataset import KEYPOINT_COLUMNS, Dataset
from satgen.errors import InputError
from satgen.tables import parquet_bytes
from satgen.view.dataset_site import dataset_site
from satgen.view.export import export
from satgen.view.store import ViewStore
from tests.datasets import satgen, satgen_here, tree
from tests.limits import PATIENCE_S


@pytest.fixture(scope="module")
def page(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "site"
    done = satgen(
        "view", pristine, "--export", folder, "--quiet",
        env={"SATGEN_CACHE": str(folder.parent / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{folder}: ")
    return folder


def test_any_server_serves_it(page: Path, pristine: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(page))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        with urlopen(f"{base}/", timeout=PATIENCE_S) as answer:
            assert b"main.js" in answer.read()
        with urlopen(f"{base}/main.js", timeout=PATIENCE_S) as answer:
            assert "javascript" in answer.headers["Content-Type"]
        with urlopen(f"{base}/view.json", timeout=PATIENCE_S) as answer:
            site = json.loads(answer.read())
        server.shutdown()
    assert site["format"] == "satgen-view" and site["live"] == []


def test_the_table_is_the_datasets(page: Path, pristine: Path) -> None:
    (described,) = json.loads((page / "view.json").read_text())["datasets"]
    folder = page / "data" / described["name"]
    data = Dataset(pristine)
    table = np.frombuffer((folder / "frames.bin").read_bytes(), "<f8")
    columns = table.reshape(len(described["columns"]), len(data))
    assert {"index", "qw", "tx", "sun_x", "bbox_x", "coverage"} <= set(described["columns"])
    for name, column in zip(described["columns"], columns, strict=True):
        np.testing.assert_array_equal(column, data.frames[name].to_numpy(dtype=float))
    visible = np.frombuffer((folder / "visible.bin").read_bytes(), np.uint8)
    points = data.keypoints.sort_values(["index"], kind="stable")
    shape = len(data), len(data.landmarks)
    assert [one["name"] for one in described["landmarks"]] == list(data.landmarks.names)
    for number, name in enumerate(data.landmarks.names):
        truth = points[points["name"] == name]["visible"].to_numpy()
        assert np.array_equal(visible.reshape(shape)[:, number].astype(bool), truth)


def test_nothing_in_it_is_from_elsewhere(page: Path) -> None:
    for path in page.rglob("*"):
        if path.suffix in (".html", ".js", ".css"):
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            assert "http:" not in text and "https:" not in text, path.name
            assert "import(" not in text and "eval(" not in text


def test_again_it_is_the_same(page: Path, pristine: Path, tmp_path: Path) -> None:
    before = tree(page)
    export(dataset_site(pristine, 512), page, store=ViewStore(tmp_path / "a"))
    assert tree(page) == before
    other = tmp_path / "other"
    (page / "data" / "craft").exists()
    export(dataset_site(pristine, 512), other, workers=2, store=ViewStore(tmp_path / "b"))
    assert {k: v for k, v in tree(other).items() if k != "view.json"} == {
        k: v for k, v in before.items() if k != "view.json"
    }


def test_a_page_half_written_shows_nothing_and_is_completed(pristine: Path, tmp_path: Path) -> None:
    site, calls = dataset_site(pristine, 512), []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if done == 20:
            raise KeyboardInterrupt

    folder, store = tmp_path / "site", ViewStore(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        export(site, folder, store=store, progress=stop)
    assert not (folder / "index.html").exists()
    size = export(site, folder, store=store)
    found = {path: (folder / path).stat().st_size for path in site.files}
    assert sum(found.values()) == size and (folder / "index.html").is_file()


def test_another_page_is_replaced_only_if_that_is_said(pristine: Path, tmp_path: Path) -> None:
    folder, store = tmp_path / "site", ViewStore(tmp_path / "cache")
    export(dataset_site(pristine, 512), folder, store=store)
    before = tree(folder)
    with pytest.raises(InputError, match="width"):
        export(dataset_site(pristine, 64), folder, store=store)
    assert tree(folder) == before
    export(dataset_site(pristine, 64), folder, store=store, overwrite=True)
    assert json.loads((folder / "view.json").read_text())["datasets"][0]["shown"] == [64, 56]


def test_folders_of_something_else_are_refused(pristine: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for folder in (tmp_path / "mine", pristine / "page"):
        done = satgen_here("view", pristine, "--export", folder, "--quiet")
        assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    assert not (pristine / "page").exists()


def test_a_table_of_more_keypoints_than_frames_there_can_be(dataset: Path) -> None:
    """Every frame has a row for each landmark: more than 8100 are nothing unusual."""
    more = 400
    description = json.loads((dataset / "dataset.json").read_text())
    place = {"xyz": [0.0, 0.0, 0.0], "gap_m": 0.0, "normals": []}
    description["landmarks"] |= {f"more_{number}": place for number in range(more)}
    (dataset / "dataset.json").write_text(json.dumps(description))
    table = pd.read_parquet(dataset / "keypoints.parquet")
    rows = [
        pd.concat(
            [mine, mine.iloc[[0]].sample(more, replace=True).assign(
                name=[f"more_{number}" for number in range(more)], visible=True)]
        )
        for _, mine in table.groupby("index")
    ]  # fmt: skip
    whole = pd.concat(rows, ignore_index=True)
    assert len(whole) > 8100
    (dataset / "keypoints.parquet").write_bytes(
        parquet_bytes({name: whole[name].to_numpy() for name in whole}, KEYPOINT_COLUMNS)
    )
    site = dataset_site(dataset, 512)
    (data,) = site.description["datasets"]
    visible = np.frombuffer(site.files[f"data/{data['name']}/visible.bin"].make(), np.uint8)
    found = visible.reshape(24, len(data["landmarks"]))
    assert found[:, -more:].all() and not found[:, :-more].all()
