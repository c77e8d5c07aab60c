"""satgen.records: the journal that a killed run leaves is read as far as it is whole."""

from __future__ import annotations

from pathlib import Path

from satgen import dataset as ds
from satgen.records import FrameRecord, read_journal
from satgen.runfolder import journal_line


def test_journal_passes_over_what_is_not_whole(tmp_path: Path) -> None:
    records = [
        FrameRecord(i, (1, 2, 3, 4), 1 / 3 + i, ("a" * 64, "b" * 64, "c" * 64), (True, False))
        for i in range(5)
    ]
    lines = [journal_line(r.to_json()) for r in records]
    (tmp_path / ds.JOURNAL).write_bytes(
        b"".join([lines[0], lines[1], b"not json\n", b'{"index": 3}\n', lines[3], lines[4][:-20]])
    )
    assert read_journal(tmp_path) == {r.index: r for r in (records[0], records[1], records[3])}
    assert read_journal(tmp_path / "none") == {}
