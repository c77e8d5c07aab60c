"""satgen.atomic: files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from satgen.atomic import TEMPORARY, remove_temporaries, temporaries, write_atomic


def test_atomic_write_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(OSError, match="folder") as caught:
        write_atomic(target, b"data")
    assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == [target]
    write_atomic(tmp_path / "file", b"one")
    write_atomic(tmp_path / "file", b"two", sync=True)
    assert (tmp_path / "file").read_bytes() == b"two"


def test_what_a_killed_run_left_is_found_and_removed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    left = [tmp_path / f"{TEMPORARY}7-a", tmp_path / "inner" / f"{TEMPORARY}8-b"]
    for path in (*left, tmp_path / "a", tmp_path / "inner" / "b"):
        path.write_bytes(b"")
    folders = (tmp_path, tmp_path / "inner", tmp_path / "none", tmp_path / "a")
    assert temporaries(*folders) == left
    remove_temporaries(*folders)
    assert temporaries(*folders) == []
    assert (tmp_path / "a").exists() and (tmp_path / "inner" / "b").exists()


def test_a_planted_link_is_not_written_through(tmp_path: Path, monkeypatch) -> None:
    """Not even where somebody foresees the name."""
    strangers = tmp_path / "strangers"
    strangers.write_text("theirs")
    monkeypatch.setattr("os.urandom", bytes)  # always zeros
    for planted in (strangers, tmp_path / "nothing"):
        link = tmp_path / f"{TEMPORARY}{'00' * 8}"
        link.symlink_to(planted)
        with pytest.raises(FileExistsError):
            write_atomic(tmp_path / "file", b"mine")
        link.unlink(missing_ok=True)
    assert strangers.read_text() == "theirs"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["strangers"]


def test_the_name_itself_may_be_a_link_which_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "file").symlink_to(tmp_path / "theirs")
    write_atomic(tmp_path / "file", b"mine")
    assert (tmp_path / "file").read_text() == "mine" and not (tmp_path / "file").is_symlink()
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_name_as_long_as_may_be_is_written(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("n" * 255), b"x")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"
