"""satgen.run, pool and worker: resuming, refusing, and every way of being stopped."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from satgen import dataset as ds
from satgen.atomic import TEMPORARY, temporaries
from satgen.errors import InputError, RunError
from satgen.png import decode_png
from satgen.records import read_journal
from satgen.run import render
from satgen.runfolder import description_bytes, journal_line
from satgen.tables import records_of
from tests.datasets import FRAMES, command, make, options, reseal, satgen, tree
from tests.limits import PATIENCE_S

ARGUMENTS = ("--width", 72, "--height", 64, "--start", 3000)


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """Worker processes of a run: its children but the interpreter's resource tracker."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def images(folder: Path) -> int:
    try:
        return sum(not name.startswith(".") for name in os.listdir(folder / "parts"))
    except FileNotFoundError:
        return 0


def unfinished(folder: Path, keep: int) -> None:
    """Bring a finished dataset to the state of a run that was stopped after `keep` frames."""
    keypoints = ds.read_parquet(folder / ds.KEYPOINTS, ds.KEYPOINT_COLUMNS)
    records = records_of(ds.read_csv(folder / ds.FRAMES_CSV), keypoints, 7)
    for name in ds.TABLES:
        (folder / name).unlink()
    (folder / ds.JOURNAL).write_bytes(b"".join(journal_line(r.to_json()) for r in records[:keep]))
    for record in records[keep:]:
        for kind in ("rgb", "depth", "parts"):
            ds.image_path(folder, kind, record.index).unlink()


# --- going on -------------------------------------------------------------------------------------


def test_any_number_of_workers_gives_the_same_bytes(craft_path: Path, pristine: Path, tmp_path):
    render(options(craft_path), str(tmp_path / "a"), workers=2)
    render(options(craft_path), tmp_path / "alone", workers=0)
    assert tree(tmp_path / "alone") == tree(pristine)
    assert tree(tmp_path / "a") == tree(pristine)


def test_a_part_of_the_range_has_the_same_images(craft_path: Path, pristine: Path, tmp_path):
    make(craft_path, tmp_path / "a", start=3004, stop=3012, step=4)
    few, all_of_them = tree(tmp_path / "a"), tree(pristine)
    names = [name for name in few if name.endswith(".png")]
    assert len(names) == 9
    assert all(few[name] == all_of_them[name] for name in names)


def test_a_whole_dataset_is_left_alone(craft_path: Path, dataset: Path):
    before = {p: p.stat().st_mtime_ns for p in dataset.rglob("*")}
    steps: list[tuple[int, int]] = []
    summary = render(options(craft_path), dataset, progress=lambda *step: steps.append(step))
    assert summary.rendered == 0
    assert summary.frames == FRAMES
    assert steps == [(FRAMES, FRAMES)]
    assert {p: p.stat().st_mtime_ns for p in dataset.rglob("*")} == before


def test_damage_to_a_whole_dataset_is_repaired(craft_path: Path, dataset: Path, pristine: Path):
    (dataset / "rgb" / "003001.png").unlink()
    path = dataset / "depth" / "003005.png"
    path.write_bytes(path.read_bytes()[:-30])
    summary = render(options(craft_path), dataset, workers=1)
    assert summary.rendered == 2
    assert tree(dataset) == tree(pristine)
    for name in ds.TABLES:
        text = (dataset / name).read_bytes()
        (dataset / name).write_bytes(text[: len(text) // 2])
        assert render(options(craft_path), dataset, workers=1).rendered == 0
        assert tree(dataset) == tree(pristine), name


def test_a_damaged_journal_and_a_truncated_image_cost_only_their_frames(
    craft_path: Path, dataset: Path, pristine: Path
):
    unfinished(dataset, 12)
    journal = dataset / ds.JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = b"\x00\xff garbage\n"
    journal.write_bytes(b"".join(lines)[:-25])
    path = dataset / "rgb" / "003004.png"
    path.write_bytes(path.read_bytes()[:100])
    (dataset / "parts" / f"{TEMPORARY}77-003013.png").write_bytes(b"half of it")
    summary = render(options(craft_path), dataset, workers=1)
    assert summary.rendered == FRAMES - 12 + 3
    assert tree(dataset) == tree(pristine)


# --- refusing -------------------------------------------------------------------------------------


def test_another_configuration_is_refused_and_nothing_changed(craft_path: Path, dataset: Path):
    before = tree(dataset)
    with pytest.raises(InputError, match=r"camera\.width is 72 there and 80 here.*--overwrite"):
        render(options(craft_path, width=80), dataset)
    with pytest.raises(InputError, match="--no-resume"):
        render(options(craft_path), dataset, resume=False)
    with pytest.raises(InputError, match="workers -1"):
        render(options(craft_path), dataset, workers=-1)
    assert tree(dataset) == before


def test_overwrite_replaces_a_dataset_and_nothing_else(craft_path: Path, dataset: Path, tmp_path):
    few = {"start": 40, "stop": 42}
    (dataset / "notes.txt").write_text("mine")
    before = tree(dataset)
    with pytest.raises(InputError, match=r"notes\.txt: is no part of a dataset"):
        render(options(craft_path, **few), dataset, overwrite=True)
    assert tree(dataset) == before
    (dataset / "notes.txt").unlink()
    render(options(craft_path, **few), dataset, workers=1, overwrite=True)
    make(craft_path, tmp_path / "fresh", **few)
    assert tree(dataset) == tree(tmp_path / "fresh")
    before_times = (dataset / "rgb" / "000040.png").stat().st_mtime_ns
    render(options(craft_path, **few), dataset, workers=1, overwrite=True)
    assert (dataset / "rgb" / "000040.png").stat().st_mtime_ns == before_times
    render(options(craft_path, **few), dataset, workers=1, overwrite=True, resume=False)
    assert (dataset / "rgb" / "000040.png").stat().st_mtime_ns > before_times


def test_a_folder_of_something_else_is_refused_even_with_overwrite(craft_path: Path, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"thesis\.tex|file"):
            render(options(craft_path), tmp_path, overwrite=overwrite)
    with pytest.raises(InputError, match="is a file, must be a folder"):
        render(options(craft_path), tmp_path / "file")
    with pytest.raises(InputError, match="not a folder"):
        render(options(craft_path), tmp_path / "file" / "below")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "thesis.tex"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dataset.json").write_text('{"format": "coco"}')
    with pytest.raises(InputError, match="not the description of a satgen dataset"):
        render(options(craft_path), tmp_path / "other", overwrite=True)


def test_other_software_is_not_mixed_in(craft_path: Path, dataset: Path):
    software = json.loads((dataset / "dataset.json").read_text())["software"]
    software["opengl"]["renderer"] = "another driver"
    reseal(dataset, software=software)
    assert render(options(craft_path), dataset, workers=1).rendered == 0
    (dataset / "rgb" / "003003.png").unlink()
    before = tree(dataset)
    with pytest.raises(InputError, match=r"software\.opengl\.renderer is .another driver"):
        render(options(craft_path), dataset, workers=1)
    assert tree(dataset) == before


def test_a_dataset_of_an_earlier_format_is_not_gone_on_with(craft_path: Path, dataset: Path):
    text = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_bytes(description_bytes({**text, "version": 2}))
    before = tree(dataset)
    with pytest.raises(InputError, match="version 2, this satgen writes 3; choose another --out"):
        render(options(craft_path), dataset, workers=1)
    assert tree(dataset) == before
    assert render(options(craft_path), dataset, workers=1, overwrite=True).rendered == FRAMES


def test_two_runs_into_one_folder(craft_path: Path, dataset: Path):
    handle = os.open(dataset, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(InputError, match="another satgen render is writing into it"):
            render(options(craft_path), dataset)
    finally:
        os.close(handle)


def test_no_opengl_is_said_before_anything_is_written(craft_path: Path, tmp_path, monkeypatch):
    monkeypatch.setattr("satgen.run.choose_backend", lambda: (_ for _ in ()).throw(RunError("no")))
    with pytest.raises(RunError, match="no"):
        render(options(craft_path), tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_a_worker_that_cannot_start_leaves_no_folder(craft_path: Path, tmp_path, monkeypatch):
    monkeypatch.setattr("satgen.run.choose_backend", lambda: "osmesa")
    monkeypatch.setenv("MESA_GL_VERSION_OVERRIDE", "1.4")
    with pytest.raises((RunError, RuntimeError)):
        render(options(craft_path), tmp_path / "a" / "b", workers=1)
    assert not (tmp_path / "a").exists()


def test_a_pose_table_travels_with_the_dataset(craft_path: Path, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("index,azimuth_deg,elevation_deg\n7,10,20\n8,11,20\n20,30,-10\n")
    request = {"trajectory": f"file:{table}", "start": 1, "stop": 8100}
    out = make(craft_path, tmp_path / "out", **request)
    assert (out / "trajectory.csv").read_bytes() == table.read_bytes()
    assert sorted(os.listdir(out / "rgb")) == ["000007.png", "000008.png", "000020.png"]
    table.unlink()
    data = ds.Dataset(out)
    assert data.config.indices().tolist() == [7, 8, 20]


# --- being stopped --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_run(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Bytes of a dataset that was never disturbed, long enough to be disturbed."""
    out = tmp_path_factory.mktemp("long") / "craft"
    render(options(craft_path, stop=3299), out, workers=2)
    return tree(out)


@contextlib.contextmanager
def started(craft_path: Path, out: Path, *more: object) -> Iterator[subprocess.Popen[str]]:
    words = command("render", "--target", craft_path, "--out", out, "--quiet", *ARGUMENTS, *more)
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        for pid in [*children(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def test_kill_9_at_any_moment_then_the_same_bytes(craft_path: Path, long_run, tmp_path):
    out = tmp_path / "craft"
    rng = random.Random(7)
    for low, high in ((0, 0), (1, 90), (100, 280)):
        target = rng.randint(low, high)
        with started(craft_path, out, "--stop", 3299, "--workers", 2) as process:
            wait_for(lambda n=target: images(out) >= n and (out / "dataset.json").exists())
            time.sleep(rng.random() * 0.03)
            workers = children(process.pid)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            wait_for(lambda pids=workers: not any(map(alive, pids)))
        assert not (out / ds.FRAMES_CSV).exists()
        done = read_journal(out)
        for index in done:
            for kind in ("rgb", "depth", "parts"):
                assert decode_png(ds.image_path(out, kind, index).read_bytes()) is not None
    result = satgen(
        "render", "--target", craft_path, "--out", out, *ARGUMENTS, "--stop", 3299, "--workers", 1
    )
    assert result.returncode == 0, result.stderr
    assert tree(out) == long_run


def test_a_worker_that_is_killed_is_named_and_the_run_goes_on_later(
    craft_path: Path, long_run, tmp_path
):
    out = tmp_path / "craft"
    with started(craft_path, out, "--stop", 3299, "--workers", 2) as process:
        wait_for(lambda: images(out) >= 10)
        workers = children(process.pid)
        os.kill(workers[0], signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert stdout == ""
    assert stderr.count("\n") == 1
    assert f"process {workers[0]}, was killed by SIGKILL" in stderr
    assert "run the same command again" in stderr
    assert not any(map(alive, workers))
    assert not temporaries(*ds.places(out))
    render(options(craft_path, stop=3299), out, workers=2)
    assert tree(out) == long_run


def test_ctrl_c_stops_cleanly(craft_path: Path, tmp_path):
    out = tmp_path / "craft"
    with started(craft_path, out, "--stop", 3299, "--workers", 2) as process:
        wait_for(lambda: len(read_journal(out)) >= 8)
        workers = children(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert stderr.count("\n") == 1
    assert "same command goes on" in stderr
    assert not any(map(alive, workers))
    assert len(read_journal(out)) >= 8
    assert not temporaries(*ds.places(out))


# --- the disk -------------------------------------------------------------------------------------

_MS_RDONLY, _MS_REMOUNT, _MNT_DETACH = 1, 32, 2


class Disk:
    """A small file system in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._libc = ctypes.CDLL(None, use_errno=True)

    def mount(self, size: str, flags: int = 0) -> None:
        """Mount or remount it."""
        answer = self._libc.mount(
            b"tmpfs", os.fsencode(self.folder), b"tmpfs", flags, f"size={size}".encode()
        )
        if answer != 0:
            raise OSError(ctypes.get_errno(), "mount")

    def unmount(self) -> None:
        """Take it away."""
        self._libc.umount2(os.fsencode(self.folder), _MNT_DETACH)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    small = Disk(folder)
    try:
        small.mount("256k")
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            pytest.skip("mounting a file system is not permitted here")
        raise
    yield small
    small.unmount()


def test_a_full_disk_is_one_line_and_can_be_resumed(craft_path: Path, long_run, disk: Disk):
    out = disk.folder / "craft"
    arguments = (
        "render", "--target", craft_path, "--out", out, *ARGUMENTS, "--stop", 3299, "--quiet",
    )  # fmt: skip
    result = satgen(*arguments, "--workers", 2)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: cannot write {out}")
    assert "No space left on device" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not temporaries(*ds.places(out))
    again = satgen(*arguments, "--workers", 2)
    assert again.returncode == 1
    assert "No space left on device" in again.stderr
    disk.mount("16m", _MS_REMOUNT)
    before = len(read_journal(out))
    assert before > 0
    summary = render(options(craft_path, stop=3299), out, workers=2)
    assert summary.rendered < 300
    assert tree(out) == long_run


def test_a_read_only_folder_is_one_line(craft_path: Path, dataset: Path, disk: Disk):
    disk.mount("16m", _MS_REMOUNT)
    out = disk.folder / "craft"
    shutil.copytree(dataset, out)
    unfinished(out, 10)
    before = tree(out)
    disk.mount("16m", _MS_REMOUNT | _MS_RDONLY)
    for folder in (out, disk.folder / "new"):
        with pytest.raises(RunError, match="Read-only file system") as caught:
            render(options(craft_path), folder, workers=1)
        assert str(folder) in str(caught.value)
    assert tree(out) == before
    disk.mount("16m", _MS_REMOUNT)
    render(options(craft_path), out, workers=1)
    assert tree(out) == tree(dataset)


def test_a_disk_with_no_room_for_the_first_files(craft_path: Path, pristine: Path, disk: Disk):
    """However little there is, of bytes or of inodes: the same request goes on when there is."""
    room = [f"{4 * pages}k" for pages in (1, 2, 3, 5, 8, 12)]
    inodes = [f"16m,nr_inodes={count}" for count in (1, 2, 3, 5, 7, 9)]
    for number, size in enumerate((*room, *inodes)):
        disk.unmount()
        disk.mount(size)
        out = disk.folder / str(number) / "craft"
        with pytest.raises(RunError, match="No space left on device"):
            render(options(craft_path), out, workers=0)
        disk.mount("16m,nr_inodes=1000", _MS_REMOUNT)
        render(options(craft_path), out, workers=0)
        assert tree(out) == tree(pristine), size


def test_an_empty_shell_is_rendered_into(craft_path: Path, pristine: Path, tmp_path: Path):
    """What a kill in the first moments may leave, of this satgen or of an older one."""
    out = tmp_path / "craft"
    for kind in ("rgb", "depth", "parts"):
        (out / kind).mkdir(parents=True)
    (out / f"{TEMPORARY}7-dataset.json").write_text("{")
    (out / "rgb" / f"{TEMPORARY}7-003000.png").write_text("")
    render(options(craft_path), out, workers=0)
    assert tree(out) == tree(pristine)


def test_a_damaged_description_can_be_replaced(craft_path: Path, dataset: Path, pristine: Path):
    (dataset / "dataset.json").write_text('{"format": "satg')
    with pytest.raises(InputError, match=r"dataset\.json: not a JSON file .*--overwrite"):
        render(options(craft_path), dataset)
    render(options(craft_path), dataset, workers=0, overwrite=True)
    assert tree(dataset) == tree(pristine)


def test_a_pose_table_that_a_kill_left_out_is_copied_later(craft_path: Path, tmp_path: Path):
    table = tmp_path / "mine.csv"
    table.write_text("index,azimuth_deg,elevation_deg\n7,10,20\n8,11,20\n")
    request = options(craft_path, trajectory=f"file:{table}", start=1, stop=8100)
    render(request, tmp_path / "whole", workers=0)
    shutil.copytree(tmp_path / "whole", tmp_path / "craft")
    for name in ("trajectory.csv", *ds.TABLES, "rgb/000007.png"):
        (tmp_path / "craft" / name).unlink()
    render(request, tmp_path / "craft", workers=0)
    assert tree(tmp_path / "craft") == tree(tmp_path / "whole")
