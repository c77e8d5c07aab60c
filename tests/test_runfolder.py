"""satgen.runfolder: identity, lock, going on, replacing, and what a kill or a full disk leaves."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satgen import atomic, runfolder
from satgen.atomic import TEMPORARY
from satgen.errors import InputError, RunError
from satgen.runfolder import (
    Journal,
    RunFolder,
    RunKind,
    dataset_identity,
    difference,
    file_sha256,
    files_sha256,
    first_free,
    journal_line,
)

KIND = RunKind(
    command="satgen count",
    noun="count",
    description="count.json",
    marks={"format": "satgen-count", "version": 3},
    owns=("rows.jsonl", "table.csv", "matches/*/*.npz", "plots/*.png"),
    more=lambda description: [f"{description.get('name', 'none')}.safetensors"],
)
ONE: dict[str, Any] = {"satgen": "1", "config": {"steps": 3, "gaps": (1, 2)}, "weights": None}


def made(path: Path, identity: dict[str, Any] = ONE, **settings: bool) -> Path:
    """A run with a file of every sort."""
    with RunFolder.open(path, KIND, identity, **settings) as folder:
        folder.begin({"name": "mine", "steps": identity["config"]["steps"]})
        with folder.journal("rows.jsonl").rewritten([]) as journal:
            journal.append([{"row": 1}])
        folder.write("matches/a/1.npz", b"matches")
        folder.write("table.csv", str(identity["config"]["steps"]).encode())
        folder.write("mine.safetensors", b"weights")
    return path


def tree(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def changed(**changes: Any) -> dict[str, Any]:
    return {**ONE, "config": {**ONE["config"], **changes}}


# --- identity -------------------------------------------------------------------------------------


def test_a_run_is_described_and_gone_on_with(tmp_path: Path) -> None:
    made(tmp_path / "a" / "run")
    text = json.loads((tmp_path / "a" / "run" / "count.json").read_text())
    assert text["format"] == "satgen-count" and text["version"] == 3 and text["steps"] == 3
    assert text["identity"] == json.loads(json.dumps(ONE))
    before = tree(tmp_path / "a" / "run")
    with RunFolder.open(tmp_path / "a" / "run", KIND, ONE) as folder:
        assert folder.going_on and folder.known == text
        folder.begin({"other": "words"})
        assert folder.journal("rows.jsonl").read() == [{"row": 1}]
    assert tree(tmp_path / "a" / "run") == before


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (changed(steps=4), "config.steps is 3 there and 4 here"),
        (changed(gaps=[1]), r"config.gaps is \[1, 2\] there and \[1\] here"),
        (changed(more=1), "config.more is absent there and 1 here"),
        ({**ONE, "satgen": "2"}, 'satgen is "1" there and "2" here'),
        ({k: v for k, v in ONE.items() if k != "weights"}, "weights is null there and absent here"),
        ({**ONE, "weights": {"a": "f" * 64}}, "weights is null there and present here"),
    ],
)
def test_another_run_is_refused_with_the_first_difference(
    tmp_path: Path, other: dict[str, Any], words: str
) -> None:
    made(tmp_path / "run")
    before = tree(tmp_path / "run")
    with (
        pytest.raises(InputError, match=rf"another count \({words}\).*--overwrite"),
        RunFolder.open(tmp_path / "run", KIND, other),
    ):
        raise AssertionError
    assert tree(tmp_path / "run") == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("xy", max_size=2), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text("xyz", max_size=2), JSON), st.dictionaries(st.text("xyz"), JSON))
def test_differences_are_found_just_where_there_are_some(a: Any, b: Any) -> None:
    assert difference(a, a) is None
    assert (difference(a, b) is None) == (a == b)
    assert (difference(a, b) is None) == (difference(b, a) is None)
    assert difference(a, {**b, **a}, partly=True) is None


def test_hashes_are_told_short(tmp_path: Path) -> None:
    found = difference({"w": {"x": "a" * 64}}, {"w": {"x": "b" * 64}})
    assert found == "w.x is bbbbbbbbbbbb… there and aaaaaaaaaaaa… here"


def test_content_decides_a_hash(tmp_path: Path, pristine: Path, dataset: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"abd")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert file_sha256(tmp_path / "a") == known
    both = [tmp_path / "a", tmp_path / "b"]
    assert files_sha256(both) != files_sha256(both[::-1])
    with pytest.raises(InputError, match="none: No such file"):
        file_sha256(tmp_path / "none")
    assert dataset_identity(dataset) == dataset_identity(pristine)
    assert None not in dataset_identity(pristine).values()
    with (dataset / "frames.csv").open("a") as file:
        file.write("\n")
    (dataset / "keypoints.parquet").unlink()
    a, b = dataset_identity(dataset), dataset_identity(pristine)
    assert {key for key in a if a[key] != b[key]} == {"frames.csv", "keypoints.parquet"}


# --- the options ----------------------------------------------------------------------------------


def test_not_to_resume_forbids_to_go_on(tmp_path: Path) -> None:
    made(tmp_path / "run")
    before = tree(tmp_path / "run")
    with pytest.raises(InputError, match="--no-resume"):
        made(tmp_path / "run", resume=False)
    assert tree(tmp_path / "run") == before
    with RunFolder.open(tmp_path / "run", KIND, ONE, resume=False, overwrite=True) as folder:
        assert not folder.going_on
        assert tree(tmp_path / "run") == before  # until it begins
        folder.begin({})
        assert os.listdir(folder.path) == ["count.json"]


def test_overwrite_replaces_what_the_run_owns_and_nothing_else(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    for stranger in ("notes.txt", "matches/notes.txt", "matches/a/b/1.npz", "other.safetensors"):
        (run / stranger).parent.mkdir(exist_ok=True)
        (run / stranger).write_text("mine")
        before = tree(run)
        with pytest.raises(InputError, match=rf"{Path(stranger).parts[-1]}|b: is no part"):
            made(run, changed(steps=4), overwrite=True)
        assert tree(run) == before
        (run / stranger).unlink()
    (run / "matches/a/b").rmdir()
    made(run, changed(steps=4), overwrite=True)
    assert (run / "table.csv").read_bytes() == b"4"
    with RunFolder.open(run, KIND, ONE, overwrite=True) as folder:
        folder.begin({})
    assert os.listdir(run) == ["count.json"]


def test_links_are_taken_away_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").write_text("mine")
    (run / "plots").symlink_to(tmp_path / "elsewhere")
    with RunFolder.open(run, KIND, ONE, resume=False, overwrite=True) as folder:
        folder.begin({})
    assert os.listdir(run) == ["count.json"]
    assert os.listdir(tmp_path / "elsewhere") == ["1.png"]


@pytest.mark.parametrize(
    ("text", "words", "replaceable"),
    [
        ('{"format": "coco"}', "not the description of a satgen count", False),
        ("[]", "not the description", False),
        ('{"format": "satgen-count", "version": 2}', "version 2, this satgen writes 3", True),
        ('{"form', "not a JSON file", True),
    ],
)
def test_descriptions_of_others(tmp_path: Path, text: str, words: str, replaceable: bool) -> None:
    (tmp_path / "count.json").write_text(text)
    with pytest.raises(InputError, match=words):
        made(tmp_path)
    assert (tmp_path / "count.json").read_text() == text
    if replaceable:
        made(tmp_path, overwrite=True)
        assert json.loads((tmp_path / "count.json").read_text())["version"] == 3
    else:
        with pytest.raises(InputError, match=words):
            made(tmp_path, overwrite=True)


def test_places_that_are_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"is not empty and not a satgen count .*thesis\.tex"):
            made(tmp_path, overwrite=overwrite)
    with pytest.raises(InputError, match="is a file, must be a folder"):
        made(tmp_path / "thesis.tex")
    with pytest.raises(InputError, match="not a folder"):
        made(tmp_path / "thesis.tex" / "below")
    assert tree(tmp_path) == {"thesis.tex": b"years of work"}


# --- the first moments ----------------------------------------------------------------------------


def test_nothing_is_left_of_a_run_that_does_not_begin(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="no such weights"),
        RunFolder.open(tmp_path / "a" / "b", KIND, ONE),
    ):
        raise InputError("no such weights")
    assert os.listdir(tmp_path) == []
    (tmp_path / "a").mkdir()
    with RunFolder.open(tmp_path / "a", KIND, ONE) as folder:
        assert not folder.going_on
    assert os.listdir(tmp_path) == ["a"]  # which was there


def test_an_empty_shell_is_a_free_place(tmp_path: Path) -> None:
    (tmp_path / "matches" / "a").mkdir(parents=True)
    (tmp_path / "plots").mkdir()
    left = [tmp_path / f"{TEMPORARY}1-count.json", tmp_path / "matches" / "a" / f"{TEMPORARY}2-b"]
    for path in left:
        path.write_bytes(b"{")
    made(tmp_path)
    assert not any(path.exists() for path in left)
    (tmp_path / "count.json").unlink()
    with pytest.raises(InputError, match=r"it has matches/a/1\.npz, and no count\.json"):
        made(tmp_path)


def test_a_full_disk_leaves_a_free_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever call it is that fails: it is one line, and the same run can be made later."""
    calls = ("mkdir", "open", "replace", "fsync", "scandir", "listdir")
    whole = tree(made(tmp_path / "whole"))
    messages = []
    for name in calls:
        for countdown in range(12):
            path = tmp_path / f"{name}-{countdown}" / "run"
            left = [countdown]
            real = getattr(os, name)

            def failing(*args: Any, left: list[int] = left, real: Any = real, **more: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return real(*args, **more)

            with monkeypatch.context() as patch:
                patch.setattr(os, name, failing)
                try:
                    made(path)
                except (RunError, InputError) as error:
                    messages.append(str(error))
            if left[0] >= 0:
                break
            made(path)
            assert tree(path) == whole, (name, countdown)
    assert len(messages) > 5 and all("No space left on device" in message for message in messages)


def test_a_new_run_is_whole_on_the_disk_before_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def noted(handle: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        real(handle)

    monkeypatch.setattr(atomic.os, "fsync", noted)
    with RunFolder.open(tmp_path / "run", KIND, ONE) as folder:
        assert os.listdir(folder.path) == [] and not synced
        folder.begin({})
        assert os.listdir(folder.path) == ["count.json"]
    assert synced[0].startswith(TEMPORARY) and {"run", tmp_path.name} <= set(synced)


# --- two at once ----------------------------------------------------------------------------------

HOLD = """
import sys
from tests.test_runfolder import KIND, ONE
from satgen.errors import InputError
from satgen.runfolder import RunFolder
try:
    with RunFolder.open(sys.argv[1], KIND, ONE) as folder:
        print("held", flush=True)
        sys.stdin.readline()
        if len(sys.argv) > 2:
            folder.begin({})
except InputError as error:
    print(error, flush=True)
"""


def test_a_second_process_is_refused_in_a_line_until_the_first_ends(tmp_path: Path) -> None:
    for more in ((), ("begin",)):
        first = subprocess.Popen(
            [sys.executable, "-c", HOLD, tmp_path / "run", *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert first.stdin is not None and first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=r"run: another satgen count is writing into it"):
            made(tmp_path / "run")
        with pytest.raises(InputError, match="another satgen count is writing"):
            made(tmp_path / "run", changed(steps=9), overwrite=True)
        first.communicate("\n")
        assert (tmp_path / "run" / "count.json").exists() == bool(more)
    made(tmp_path / "run")


def test_a_folder_that_is_taken_away_while_it_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the opening and the lock, the run that made the folder fails and removes it."""
    real, taken = runfolder.lock_folder, []

    def late(handle: int) -> bool:
        if not taken:
            (tmp_path / "run").rmdir()
            taken.append(handle)
        return real(handle)

    monkeypatch.setattr(runfolder, "lock_folder", late)
    assert tree(made(tmp_path / "run"))["table.csv"] == b"3" and taken


def test_the_first_free_place(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("a", "b", "c", "d")]
    assert first_free(places, KIND, ONE) == places[0]
    made(places[0], changed(steps=9))
    places[1].write_text("a file")
    (places[2] / "plots").mkdir(parents=True)
    assert first_free(places, KIND, ONE) == places[2]
    made(places[3])
    assert first_free(places[3:], KIND, ONE) == places[3]
    with pytest.raises(RunError, match="no folder is free"):
        first_free(places[:2], KIND, ONE)


# --- the journal ----------------------------------------------------------------------------------


def test_a_journal_loses_no_more_than_a_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "rows.jsonl")
    assert journal.read() == []
    values = [{"a": 0.1 + 0.2}, {"b": [1, None]}, {"c": "d"}]
    with journal.rewritten(values[:1]):
        journal.append(values[1:])
        assert journal.read() == values
    data = journal.path.read_bytes()
    for cut in range(len(data)):
        journal.path.write_bytes(data[:cut])
        whole = values[: data[:cut].count(b"\n")]
        assert journal.read() == whole
        with journal.rewritten(journal.read()):
            journal.append([{"e": 1}])
        assert journal.read() == [*whole, {"e": 1}]
    with pytest.raises(ValueError, match="outside"):
        journal.append([{"a": 1}])


@given(st.data())
def test_a_line_that_was_changed_is_passed_over(data: st.DataObject) -> None:
    values = [
        {"a": 0.1 + 0.2, "n": float("inf")},
        {"b": [1, None], "name": "aura"},
        {"c": {"d": True}},
    ]
    lines = [journal_line(value) for value in values]
    place = data.draw(st.integers(0, len(lines) - 1))
    line = lines[place]
    at = data.draw(st.integers(0, len(line) - 2))
    changed = line[:at] + bytes([line[at] ^ 1 << data.draw(st.integers(0, 7))]) + line[at + 1 :]
    garbage = st.sampled_from(
        [b"5", b"[]", b"{}", b'"x"', b"null", b"[" * 100_000, b"\xff", changed]
    )
    lines[place] = data.draw(garbage) + b"\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_bytes(b"".join(lines))
        assert Journal(path).read() == values[:place] + values[place + 1 :]
