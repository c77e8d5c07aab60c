"""`python -m bench.render_speed`: two versions of satgen, timed in turn."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.limits import PATIENCE_S

ROOT = Path(__file__).parents[1]
SMALL = ("--size", "32", "--frames", "6", "--rounds", "2", "--workers", "1")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this code that leaves a note whenever it renders."""
    folder = tmp_path_factory.mktemp("versions") / "before"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "satgen", folder / "satgen", ignore=ignore)
    (folder / "assets").symlink_to(ROOT / "assets")
    start = folder / "satgen" / "__main__.py"
    main = 'if __name__ == "__main__":\n'
    note = f"    open({str(folder / 'rendered')!r}, 'a').write(f'{{sys.argv[1:]}}\\n')\n"
    assert main in start.read_text()
    start.write_text(start.read_text().replace(main, main + note))
    return folder


def _speed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.render_speed", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)


def test_two_versions_render_in_turn_and_only_this_one_has_more_options(checkout: Path) -> None:
    more = ("--ours", "--stop 1000", "--json")
    done = _speed("--against", str(checkout), *SMALL, *more)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rounds"], found["ours"]) == (2, "--stop 1000")
    assert found["other"]["frames"] == 6  # from index 361, every 1290th
    assert found["this"]["frames"] == 1
    for ratio in (found["fps_ratio"], found["command_ratio"], found["processor_ratio"]):
        assert len(ratio["ratios"]) == 2
        assert 0.0 < ratio["least"] <= ratio["median"] <= ratio["most"]
    assert min(found["this"].values()) > 0.0
    # The other version ran from its own folder, once a round, without our options.
    rendered = (checkout / "rendered").read_text().splitlines()
    assert len(rendered) == 2
    assert not any("--stop" in line for line in rendered)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--against", "{empty}"), "holds no satgen"),
        (("--against", "{empty}/none"), "holds no satgen"),
        (("--ours", "--background earth"), "--against"),
        (("--against", str(ROOT), "--ours", "'open"), "--ours"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(
    arguments: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    done = _speed(*(text.format(empty=tmp_path) for text in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
