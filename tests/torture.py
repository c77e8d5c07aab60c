"""Everything that is sampled elsewhere, at length; what came of it becomes docs/reliability.md.

    python -m tests.torture [PART...]

runs the parts flips, kill, torn, power, interrupt, ENOSPC, EIO and EROFS, or those named, each in
the page's own line, and changes no line of a part that was not run. TORTURE_EVERY=N disturbs at one
of N changes only, and TORTURE_FLIPS=N flips that many bits.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults import FAULTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"
COMMANDS = ("render", "bench", "train", "predict", "merge")


def flips(folder: Path) -> str:
    """What became of flipped bits, edits, and the renderings that were to mend them."""
    count = int(os.environ.get("TORTURE_FLIPS", "2000"))
    words = [str(folder), str(count), str(count // 4), str(count // 10)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.flips", *words], stdout=subprocess.PIPE, text=True
    )
    found = json.loads(done.stdout)
    return (
        f"{found['flip']:,} bits over all files, {found['edit']:,} edits, {found['add']} files too "
        f"many: {len(found['passed'])} passed; {found['mended']} of them were given to a rendering"
    )


def faults(folder: Path, fault: str) -> str:
    """How many changes each command makes, and at how many of them it was disturbed."""
    every = os.environ.get("TORTURE_EVERY", "1")
    words = [str(folder), ",".join(COMMANDS), fault, every, "fresh,replace"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.faults", *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = re.findall(r"^(\w+) (\w+) \w+: (\d+) changes, disturbed at (\d+)$", done.stdout, re.M)
    parts = [f"{name} {tried} of {made}" for name, way, made, tried in lines if way == "fresh"]
    total = sum(int(tried) for *_, tried in lines)
    failed = "" if done.returncode == 0 else "; STOPPED BY A FAILURE"
    return f"{total:,} ({', '.join(parts)}, and over another run){failed}"


def put(part: str, text: str) -> None:
    """Write a part's line of the page."""
    page = PAGE.read_text(encoding="utf-8")
    line = rf"^(\| {part} \|[^|]*\|).*$"
    assert re.search(line, page, re.M), part
    PAGE.write_text(re.sub(line, lambda m: f"{m[1]} {text} |", page, flags=re.M), encoding="utf-8")


if __name__ == "__main__":
    failures = 0
    for name in sys.argv[1:] or ("flips", *FAULTS):
        with tempfile.TemporaryDirectory() as place:
            answer = flips(Path(place)) if name == "flips" else faults(Path(place), name)
        print(f"{name}: {answer}", flush=True)
        failures += "FAILURE" in answer or (name == "flips" and ": 0 passed;" not in answer)
        put(name, answer)
    sys.exit(failures > 0)
