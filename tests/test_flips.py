"""Little damages, drawn at random: none passes `verify`, and `render` mends or refuses each.

`make torture` draws thousands.
"""

from __future__ import annotations

from pathlib import Path

from tests.flips import add, edit, flip, try_many


def test_no_flipped_bit_and_no_edit_passes(tmp_path: Path) -> None:
    tried, passed = try_many(tmp_path, {flip: 90, edit: 50, add: 4}, mended=24)
    assert passed == []
    assert dict(tried) == {"flip": 90, "edit": 50, "add": 4, "mended": 24}
