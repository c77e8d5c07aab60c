"""Everything that is sampled elsewhere, at length; what came of it becomes docs/reliability.md.

    python -m tests.torture [--minutes M] [--journal FOLDER] [PART...]

tries the parts flips, kill, torn, power, interrupt, ENOSPC, EIO and EROFS, or those named, writes
each in the page's own line, and changes no line of a part that was not tried. With --minutes each
part is a draw of what could be tried in its share of that time. The folder (build/torture) keeps
what has been tried: the next run goes on from there. Delete it when the code has changed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.faults import COMMANDS, FAULTS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
FLIPS = {"flip": 2000, "edit": 500, "add": 8, "mend": 200}


def flips(words: list[str]) -> tuple[str, bool]:
    """What became of flipped bits, edits, and the renderings that were to mend them."""
    found = _counts("tests.flips", *map(str, FLIPS.values()), *words)
    tried = {name: numbers[0] for (name,), numbers in found.items()}
    failed = sum(numbers[1] for numbers in found.values())
    return (
        f"{tried['flip']:,} bits over all files, {tried['edit']:,} edits, {tried['add']} files too "
        f"many: {failed} passed; {tried['mend']} of them were given to a rendering"
    ), failed > 0


def faults(fault: str, words: list[str]) -> tuple[str, bool]:
    """How many changes each command makes, and at how many of them it was disturbed."""
    found = _counts("tests.faults", ",".join(COMMANDS), fault, "fresh,replace", *words)
    total, failed = (sum(numbers[place] for numbers in found.values()) for place in (1, 2))
    texts = []
    for way in ("fresh", "replace"):
        texts.append(", ".join(f"{k[0]} {n[1]} of {n[0]}" for k, n in found.items() if k[1] == way))
    return f"{total:,}: {texts[0]}; over another run {texts[1]}: {failed} failed", failed > 0


def _counts(module: str, *words: str) -> dict[tuple[str, ...], list[int]]:
    """The lines that a trial prints, `NAMES: NUMBERS`."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *words], stdout=subprocess.PIPE, text=True
    )
    found = re.findall(r"^([\w ]+): (\d.*)$", done.stdout, re.M)
    if not found:
        sys.exit(f"{module} ended with status {done.returncode}")
    return {tuple(names.split()): [*map(int, re.findall(r"\d+", text))] for names, text in found}


def put(part: str, text: str) -> None:
    """Write a part's line of the page."""
    page = PAGE.read_text(encoding="utf-8")
    line = rf"^(\| {part} \|[^|]*\|).*$"
    assert re.search(line, page, re.M), part
    PAGE.write_text(re.sub(line, lambda m: f"{m[1]} {text} |", page, flags=re.M), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=("flips", *FAULTS))
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--journal", type=Path, default=ROOT / "build" / "torture")
    asked = parser.parse_args()
    asked.journal.mkdir(parents=True, exist_ok=True)
    end, bad = time.time() + 60.0 * asked.minutes, False
    for number, name in enumerate(asked.parts):
        now = time.time()
        share = max(0.0, end - now) / (len(asked.parts) - number)
        words = ["--journal", f"{asked.journal}/{name}.jsonl", "--until", str(now + share)]
        words += ["--folder", f"{asked.journal}/work"]
        answer, wrong = flips(words) if name == "flips" else faults(name, words)
        print(f"{name}: {answer}", flush=True)
        put(name, answer)
        bad |= wrong
    sys.exit(bad)
