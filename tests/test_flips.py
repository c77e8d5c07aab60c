"""Little damages, drawn at random: none passes `verify`, and `render` mends or refuses each.

`make torture` draws thousands.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flips import try_many
from tests.journal import Journal


def test_no_flipped_bit_and_no_edit_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try_many(tmp_path, {"flip": 90, "edit": 50, "add": 4}, 24, Journal())
    said = capsys.readouterr()
    assert said.err == ""
    for name, count in (("flip", 90), ("edit", 50), ("add", 4), ("mend", 24)):
        assert f"{name}: {count} tried, 0 passed" in said.out
