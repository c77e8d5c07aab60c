"""`satgen export`: which frames, what is refused, and folders that are whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import satgen
from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from satgen.exports import folder, formats, run
from satgen.exports.formats import COMMON, FORMATS
from satgen.exports.options import ExportOptions
from satgen.exports.source import Export, ExportWriter
from satgen.shards import TASK, TASKS, Shard
from tests.datasets import command, make, satgen_here, tree
from tests.datasets import satgen as satgen_process
from tests.limits import PATIENCE_S


def test_every_option_belongs_to_a_format() -> None:
    own = {name for kind in FORMATS.values() for name in kind.options}
    assert own | set(COMMON) == {item.name for item in fields(ExportOptions)}
    for name, kind in FORMATS.items():
        has_pieces = formats.writer(name).pieces is not ExportWriter.pieces
        assert has_pieces == bool(kind.pieces)


def test_range_and_step(pristine: Path, tmp_path: Path) -> None:
    out = satgen.export(pristine, "coco", tmp_path / "c", start=3002, stop=3010, step=4, quiet=True)
    assert sorted(p.name for p in (out / "images").iterdir()) == [
        f"{index:06d}.png" for index in (3002, 3006, 3010)
    ]
    with pytest.raises(InputError, match="none of its 24 frames"):
        satgen.export(pristine, "coco", tmp_path / "d", start=1, stop=5, quiet=True)
    with pytest.raises(InputError, match="must not be less"):
        satgen.export(pristine, "coco", tmp_path / "d", start=5, stop=1, quiet=True)
    with pytest.raises(InputError, match="did you mean start"):
        satgen.export(pristine, "coco", tmp_path / "d", strat=5, quiet=True)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("to", "parts"),
    [
        ("bop", ("train/000001", "val/000001", "test/000001", "test_targets_bop19.json")),
        ("speed", tuple(f"synthetic/{p}.json" for p in ("train", "validation", "test"))),
        ("coco", tuple(f"annotations/instances_{p}.json" for p in ("train", "val", "test"))),
        ("webdataset", tuple(f"{p}/shard-000000.tar" for p in ("train", "val", "test"))),
        ("nerf", ("transforms.json",)),
    ],
)
def test_splits(to: str, parts: tuple[str, ...], pristine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run.export([Dataset(pristine)], to, out, ExportOptions(splits=True, guard=0.0))
    assert set(done.parts) == {"train", "val", "test"}
    assert done.frames == sum(done.parts.values()) == 24
    for part in parts:
        assert (out / part).exists()
    if to == "nerf":
        meta = json.loads((out / "transforms.json").read_text())
        names = [name for part in done.parts for name in meta[f"{part}_filenames"]]
        assert sorted(names) == sorted(frame["file_path"] for frame in meta["frames"])
    if to == "bop":
        targets = json.loads((out / "test_targets_bop19.json").read_text())
        assert len(targets) == done.parts["test"]


def test_formats_without_parts_say_so(pristine: Path, tmp_path: Path) -> None:
    for to in ("tum", "euroc", "colmap", "tapvid", "tapvid3d", "glue-factory"):
        with pytest.raises(InputError, match="has no parts"):
            satgen.export(pristine, to, tmp_path / to, splits=True, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_what_belongs_to_another_format_is_refused(pristine: Path, tmp_path: Path) -> None:
    for words, expected in (
        (["--to", "bop", "--clip", "3"], "--clip: format bop has no such option, only tapvid, "),
        (["--to", "tum", "--images", "link"], "no image files"),
        (["--to", "openstl", "--images", "link"], "no image files"),
        (["--to", "yolo"], "--to yolo: must be one of bop, speed"),
        (["--to", "bop", "--images", "move"], "must be one of copy, link"),
        (["--to", "glue-factory", "--gaps", "5,x"], "must be numbers"),
        (["--to", "glue-factory", "--gaps", "1.5"], "whole numbers"),
        (["--to", "glue-factory", "--gaps", "700"], "no two of the frames"),
    ):
        done = satgen_here("export", pristine, *words, "--out", tmp_path / "o")
        assert done.returncode == 2, words
        assert expected in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_several_datasets_must_be_cameras_of_a_rig(
    pristine: Path, craft_path: Path, tmp_path: Path
) -> None:
    for to, expected in (("coco", "bop, colmap, euroc hold"), ("colmap", "not cameras of one rig")):
        with pytest.raises(InputError, match=expected):
            satgen.export([pristine, pristine], to, tmp_path / "o", quiet=True)
    with pytest.raises(InputError, match="at least one"):
        satgen.export([], "colmap", tmp_path / "o")
    with pytest.raises(InputError, match="at least one"):
        satgen.export([], "colmap")


def test_a_format_that_there_is_not_is_refused_before_a_folder_is_named(pristine: Path) -> None:
    with pytest.raises(InputError, match="format 'no/such': must be one of bop, speed"):
        satgen.export(pristine, "no/such", quiet=True)


def test_links_are_the_datasets_files(pristine: Path, tmp_path: Path) -> None:
    before = tree(pristine)
    out = satgen.export(pristine, "colmap", tmp_path / "c", images="link", quiet=True)
    for index in (3000, 3023):
        ours = out / "images" / f"{index:06d}.png"
        assert ours.samefile(pristine / "rgb" / f"{index:06d}.png")
    shutil.rmtree(out)
    assert tree(pristine) == before


def test_links_across_file_systems_are_refused(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(InputError, match="use --images copy"):
        satgen.export(pristine, "coco", tmp_path / "c", images="link", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_inside_a_dataset(dataset: Path) -> None:
    before = tree(dataset)
    for out in (dataset / "coco", dataset / "rgb" / "a" / "b"):
        with pytest.raises(InputError, match="is inside"):
            satgen.export(dataset, "coco", out, quiet=True)
    with pytest.raises(InputError, match="not a satgen export"):
        satgen.export(dataset, "coco", dataset, quiet=True)
    assert tree(dataset) == before


def test_other_peoples_folders_are_left_alone(pristine: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="is not empty and not a satgen export"):
        satgen.export(pristine, "coco", out, overwrite=True, quiet=True)
    with pytest.raises(InputError, match="is a file"):
        satgen.export(pristine, "coco", out / "letter.txt", quiet=True)
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "letter.txt"]
    (out / "export.json").write_text("[" * 100_000)  # deeper than Python's parser goes
    with pytest.raises(InputError, match="is not empty and not a satgen export"):
        satgen.export(pristine, "coco", out, overwrite=True, quiet=True)


def test_the_same_again_does_nothing_and_another_replaces(pristine: Path, tmp_path: Path) -> None:
    out = tmp_path / "e"
    first = satgen_here("export", pristine, "--to", "coco", "--out", out, "--json")
    assert json.loads(first.stdout)["written"]
    stamp = (out / "export.json").stat().st_mtime_ns
    again = satgen_here("export", pristine, "--to", "coco", "--out", out)
    assert "there already" in again.stdout
    assert (out / "export.json").stat().st_mtime_ns == stamp
    other = satgen_here("export", pristine, "--to", "tum", "--out", out)
    assert other.returncode == 2 and "--overwrite" in other.stderr
    done = satgen_here("export", pristine, "--to", "tum", "--out", out, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in out.iterdir()) == ["export.json", "groundtruth.txt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e"]


def test_a_failed_export_leaves_nothing(dataset: Path, tmp_path: Path) -> None:
    (dataset / "rgb" / "003010.png").write_bytes((dataset / "rgb" / "003011.png").read_bytes())
    with pytest.raises(InputError, match=r"003010\.png: is not the file that was rendered"):
        satgen.export(dataset, "coco", tmp_path / "new" / "c", quiet=True)
    (dataset / "rgb" / "003010.png").unlink()
    with pytest.raises(InputError, match=r"003010\.png: missing"):
        satgen.export(dataset, "coco", tmp_path / "new" / "c", quiet=True)
    assert not any((tmp_path / "new").iterdir())


def test_a_full_disk_is_one_line(pristine: Path, tmp_path: Path, monkeypatch: Any) -> None:
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "003004.png":
            raise OSError(28, "No space left on device", str(path))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match=r"c/images/003004\.png: No space left"):
        satgen.export(pristine, "coco", tmp_path / "c", quiet=True)
    assert list(tmp_path.iterdir()) == []


SLOW = """
import sys, time
from satgen.cli import main
from satgen.exports import source
place = source.Export.place
def slow(*args):
    place(*args)
    print("placed", flush=True)
    time.sleep(0.2)
source.Export.place = slow
main(sys.argv[1:])
"""


@contextmanager
def slowly(count: int, *words: object) -> Iterator[subprocess.Popen[str]]:
    """An export that has placed so many images, and is killed at the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, words)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(count):
            assert process.stdout.readline() == "placed\n"
        yield process
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE_S)


def test_a_killed_export_looks_not_finished_and_is_gone_on_with(
    pristine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "c"
    words = ["export", str(pristine), "--to", "coco", "--out", str(out)]
    with slowly(6, *words):  # Meanwhile nobody else may write it.
        busy = satgen_here(*words)
        assert busy.returncode == 2 and "another satgen export is writing it" in busy.stderr
    assert [p.name for p in tmp_path.iterdir()] == [".tmp-export-c"]
    images = tmp_path / ".tmp-export-c" / "images"
    made = {path.name: path.stat().st_mtime_ns for path in images.iterdir()}
    assert 5 <= len(made) <= 7
    half = images / "003001.png"
    half.write_bytes(half.read_bytes()[:100])
    done = satgen_process(*words)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    kept = [name for name, at in made.items() if (out / "images" / name).stat().st_mtime_ns == at]
    assert len(made) - 2 <= len(kept) < len(made) and "003001.png" not in kept
    whole = satgen.export(pristine, "coco", tmp_path / "d", quiet=True)
    assert tree(out) == tree(whole)


def test_another_export_does_not_go_on_with_a_killed_one(pristine: Path, tmp_path: Path) -> None:
    with slowly(3, "export", pristine, "--to", "coco", "--out", tmp_path / "c"):
        pass
    out = satgen.export(pristine, "colmap", tmp_path / "c", images="link", quiet=True)
    whole = satgen.export(pristine, "colmap", tmp_path / "d", images="link", quiet=True)
    assert tree(out) == tree(whole)


def test_an_interrupted_export_is_kept(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Export.place

    def stopped(self: Export, source: Any, kind: str, index: int, *parts: str) -> None:
        if index == 3004:
            raise KeyboardInterrupt
        real(self, source, kind, index, *parts)

    monkeypatch.setattr(Export, "place", stopped)
    with pytest.raises(KeyboardInterrupt):
        satgen.export(pristine, "coco", tmp_path / "c", quiet=True)
    monkeypatch.setattr(Export, "place", real)
    assert len(list((tmp_path / ".tmp-export-c" / "images").iterdir())) == 4
    satgen.export(pristine, "coco", tmp_path / "c", quiet=True)
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize(
    ("to", "options"),
    [
        ("bop", {"splits": True, "guard": 0.0}),
        ("colmap", {"masks": True, "images": "link"}),
        ("tapvid", {"clip": 7, "tracks": 20}),
        ("glue-factory", {}),
    ],
)
def test_shards_come_to_the_same_export(
    to: str, options: dict[str, Any], pristine: Path, tmp_path: Path
) -> None:
    data, request = [Dataset(pristine)], ExportOptions(**options)
    out = tmp_path / "out"
    counts = [run.export_shard(data, to, out, Shard(n, 3), request) for n in (2, 1, 3)]
    assert sum(counts) == 24 and not out.exists()
    for name in ("status", "merge"):
        told = satgen_here(name, out)
        assert told.returncode == 2 and "no part of a dataset, but of an export" in told.stderr
    done = run.export(data, to, out, request)
    assert done.written and [p.name for p in tmp_path.iterdir()] == ["out"]
    run.export(data, to, tmp_path / "whole", request)
    assert tree(out) == tree(tmp_path / "whole")


def test_shards_that_are_killed_are_gone_on_with(pristine: Path, tmp_path: Path) -> None:
    words = ["export", pristine, "--to", "coco", "--splits", "--guard", "0", "--out"]
    for number in (1, 2, 3):
        shard = [*words, tmp_path / "c", "--shard", f"{number}/3"]
        with slowly(2 * number, *shard):
            pass
        if number == 2:
            early = satgen_here(*words, tmp_path / "c")
            assert early.returncode == 2 and early.stderr.count("\n") == 1
            assert "shards 3 of 3 are not complete" in early.stderr
    early = satgen_here(*words, tmp_path / "c")
    assert early.returncode == 2
    assert "shards 1-3 of 3 are not complete; make them with --shard I/3" in early.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["c.shards"]
    for number in (3, 1, 2):
        done = satgen_here(*words, tmp_path / "c", "--shard", f"{number}/3")
        assert done.returncode == 0 and done.stdout.endswith(f"{number}-of-3: 8 frames\n")
    # One image is damaged meanwhile: it is made again.
    damaged = tmp_path / "c.shards" / "2-of-3" / "files" / "images" / "003010.png"
    damaged.write_bytes(b"no image")
    with slowly(0, *words, tmp_path / "c"):
        pass
    assert satgen_here(*words, tmp_path / "c").returncode == 0
    assert satgen_here(*words, tmp_path / "d").returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "d"]
    assert tree(tmp_path / "c") == tree(tmp_path / "d")


def test_shards_that_make_no_sense_are_refused(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in (TASK, TASKS):
        monkeypatch.delenv(variable, raising=False)
    for words, expected in (
        (["--to", "tum", "--shard", "1/2"], "--shard: format tum is written in one go"),
        (["--to", "openstl", "--shard", "1/2"], "--shard: format openstl is written in one go"),
        (["--to", "webdataset", "--shard", "1/2"], "there are only 1 archives"),
        (["--to", "coco", "--shard", "3/2"], "shard 3/2: the first is 1/2"),
        (["--to", "coco", "--shard"], f"{TASK} is not set"),
    ):
        done = satgen_here("export", pristine, "--out", tmp_path / "o", *words)
        assert done.returncode == 2, words
        assert expected in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_shard_of_another_export_is_not_taken(pristine: Path, tmp_path: Path) -> None:
    data, out = [Dataset(pristine)], tmp_path / "o"
    run.export_shard(data, "coco", out, Shard(1, 1), ExportOptions(step=2))
    with pytest.raises(InputError, match=r"holds another shard .* \(options\.step is 2 there"):
        run.export(data, "coco", out)
    with pytest.raises(InputError, match=r"options\.step is 2 there and 1 here"):
        run.export_shard(data, "coco", out, Shard(1, 1))
    assert run.export_shard(data, "coco", out, Shard(1, 1), overwrite=True) == 24
    assert run.export(data, "coco", out).frames == 24
    # What a kill left of a shard after the export was finished goes, too.
    run.export_shard(data, "coco", out, Shard(1, 2))
    assert not run.export(data, "coco", out).written
    assert [p.name for p in tmp_path.iterdir()] == ["o"]


def test_an_export_that_is_just_being_finished_is_left_alone(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finished(handle: int) -> bool:
        (tmp_path / ".tmp-export-c").rename(tmp_path / "c")
        (tmp_path / ".tmp-export-c").mkdir()  # and a third begins
        (tmp_path / ".tmp-export-c" / "images").mkdir()
        return True

    monkeypatch.setattr(folder, "lock_folder", finished)
    with pytest.raises(InputError, match="another satgen export is writing it"):
        satgen.export(pristine, "coco", tmp_path / "c", quiet=True)
    assert (tmp_path / ".tmp-export-c" / "images").is_dir()


def test_a_folder_planted_where_an_export_is_written_is_left_alone(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of that folder can be foreseen: a link there leads to what is not ours to empty."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "letter.txt").write_text("dear")
    planted = tmp_path / ".tmp-export-c"
    planted.symlink_to(theirs)
    with pytest.raises(RunError, match=r"\.tmp-export-c is in the way"):
        satgen.export(pristine, "coco", tmp_path / "c", quiet=True)
    assert planted.is_symlink() and not (tmp_path / "c").exists()
    planted.unlink()
    theirs.rename(planted)
    monkeypatch.setattr(os, "geteuid", lambda: planted.stat().st_uid + 1)
    with pytest.raises(RunError, match=r"\.tmp-export-c is in the way"):
        satgen.export(pristine, "coco", tmp_path / "c", quiet=True)
    assert (planted / "letter.txt").read_text() == "dear"
    assert list(tmp_path.iterdir()) == [planted]


def test_exports_are_the_same_bytes_each_time(pristine: Path, tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        for to in ("bop", "webdataset", "tapvid", "glue-factory", "openstl"):
            options = {"frames_in": 1, "frames_out": 1, "guard": 0.0} if to == "openstl" else {}
            satgen.export(pristine, to, tmp_path / name / to, quiet=True, **options)
        made.append(tree(tmp_path / name))
        time.sleep(1.1)
    assert made[0] == made[1]


def test_a_dataset_that_is_not_finished_is_refused(dataset: Path, tmp_path: Path) -> None:
    (dataset / "frames.parquet").unlink()
    done = satgen_here("export", dataset, "--to", "coco", "--out", tmp_path / "o")
    assert done.returncode == 2 and "not finished" in done.stderr


def test_the_command_says_where_it_wrote(craft_path: Path, tmp_path: Path) -> None:
    make(craft_path, tmp_path / "data", stop=3001)
    done = subprocess.run(
        command("export", "data", "--to", "tum"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'data-tum'}: 2 frames\n"
    assert (tmp_path / "data-tum" / "groundtruth.txt").exists()
