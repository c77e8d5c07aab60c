"""What a dataset is published with, opened by the programs that it is for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import satgen
from satgen.dataset import CARD, CROISSANT, METADATA, PUBLICATION, Dataset
from satgen.publication import publication_files
from satgen.run import render
from satgen.verify import verify
from tests.datasets import make, options, tree


@pytest.fixture(scope="module")
def loaded(pristine: Path, tmp_path_factory: pytest.TempPathFactory):
    """The dataset as Hugging Face's library gives it."""
    import datasets

    cache = str(tmp_path_factory.mktemp("huggingface"))
    return datasets.load_dataset(
        "imagefolder", data_dir=str(pristine), split="train", cache_dir=cache
    )


def test_hugging_face_gives_images_and_numbers_a_frame(pristine: Path, loaded) -> None:
    data = Dataset(pristine)
    assert loaded.column_names == ["rgb", "depth", "parts", *data.frames.columns]
    assert len(loaded) == len(data)
    for row, index in zip(loaded, data.indices.tolist(), strict=True):
        assert row["index"] == index
        assert np.array_equal(np.asarray(row["rgb"]), data.rgb(index))
        scale = float(data.description["depth_scale"])
        assert np.array_equal(np.asarray(row["depth"]) * scale, data.depth(index))
        assert np.array_equal(np.asarray(row["parts"]), data.parts(index))
    for name, column in data.frames.items():
        assert np.array_equal(loaded[name], column, equal_nan=column.dtype.kind == "f"), name


def test_croissant_is_accepted_and_loads(pristine: Path) -> None:
    import mlcroissant

    found = mlcroissant.Dataset(jsonld=str(pristine / CROISSANT))
    assert not found.metadata.ctx.issues.errors
    data = Dataset(pristine)
    rows = list(found.records("frames"))
    assert [row["frames/index"] for row in rows] == data.indices.tolist()
    for name in ("qw", "tz", "phase_deg", "coverage"):
        assert np.allclose([row[f"frames/{name}"] for row in rows], data.frames[name])
    pictures = {row["rgb/file"].decode(): row["rgb/image"] for row in found.records("rgb")}
    assert np.array_equal(np.asarray(pictures["003007.png"]), data.rgb(3007))
    paths = {row["depth/path"].decode() for row in found.records("depth")}
    assert paths == {f"depth/{index:06d}.png" for index in data.indices}


def test_croissant_has_what_conferences_ask_for(pristine: Path) -> None:
    found = json.loads((pristine / CROISSANT).read_text())
    fields = ("dataLimitations", "dataBiases", "personalSensitiveInformation", "dataUseCases")
    for name in (*fields, "dataSocialImpact", "hasSyntheticData"):
        assert found[f"rai:{name}"]
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert found["rai:hasSyntheticData"] is True


def test_card_croissant_and_exports_name_one_licence(pristine: Path, tmp_path: Path) -> None:
    data = Dataset(pristine)
    frames = {str(name): column.to_numpy() for name, column in data.frames.items()}
    ours = {**data.description, "target": {**data.description["target"], "file": None}}
    for description, name, where in (
        (ours, "apache-2.0", "https://spdx.org/licenses/Apache-2.0.html"),
        (data.description, "other", "the owner's of the target's model"),
    ):
        found = publication_files(description, frames, "0" * 64)
        assert found[CARD].decode().splitlines()[1] == f"license: {name}"
        assert json.loads(found[CROISSANT])["license"] == where
    assert "Apache License" in (Path(__file__).parents[1] / "LICENSE").read_text()
    out = satgen.export(pristine, "coco", tmp_path / "coco", quiet=True)
    stated = {"name": "other", "where": "the owner's of the target's model"}
    assert json.loads((out / "export.json").read_text())["license"] == stated
    coco = json.loads((out / "annotations" / "instances.json").read_text())
    assert [entry["name"] for entry in coco["licenses"]] == ["other"]
    assert {image["license"] for image in coco["images"]} == {coco["licenses"][0]["id"]}


def test_the_card_shows_a_frame_and_loads_it(pristine: Path, craft_path: Path) -> None:
    card = (pristine / CARD).read_text()
    head, _, body = card.removeprefix("---\n").partition("---\n")
    assert "license: other" in head  # a user's own model
    picture = body.partition("](")[2].partition(")")[0]
    assert Image.open(pristine / picture).size == (72, 64)
    assert "| frames | 24, observation indices 3000 to 3023, every 1 |" in body
    code = body.partition("```python\n")[2].partition("```")[0]
    assert len(code.splitlines()) <= 5
    compile(code, "card", "exec")


def test_verify_finds_and_render_mends_what_is_changed(
    craft_path: Path, dataset: Path, pristine: Path
) -> None:
    for name in PUBLICATION:
        whole = (dataset / name).read_bytes()
        (dataset / name).write_bytes(whole.replace(b"a", b"b", 1))
        assert any(name in str(problem) for problem in verify(dataset).problems), name
        (dataset / name).write_bytes(whole)
    (dataset / METADATA).unlink()
    assert not verify(dataset).ok
    assert render(options(craft_path), dataset, workers=0).rendered == 0
    assert tree(dataset) == tree(pristine)


def test_other_images_are_named_where_other_programs_read_them(
    craft_path: Path, tmp_path: Path
) -> None:
    folder = make(craft_path, tmp_path / "d", stop=3001, shadow=True, normals=True, bit_depth=12)
    found = json.loads((folder / CROISSANT).read_text())
    sets = {s["@id"]: [f["@id"] for f in s["field"]] for s in found["recordSet"]}
    assert list(sets) == ["frames", "rgb", "depth", "parts", "shadow"]
    assert sets["rgb"] == ["rgb/file", "rgb/path"]  # Croissant's reader would make them 8 bits
    assert "shadow/image" in sets["shadow"]
    assert verify(folder).ok
