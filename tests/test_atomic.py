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
