"""Damages a dataset by little, and sees that `satgen verify` notices and that `satgen render` mends
or refuses it.

    python -m tests.flips 2000 500 8 200

flips 2,000 bits over all files, makes 500 edits of dataset.json, adds a file 8 times, gives 200 of
all these to a rendering, and prints how many passed. See `tests.journal` for the options.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from satgen import dataset as ds
from satgen.errors import SatgenError
from satgen.options import RenderOptions
from satgen.run import render
from satgen.runfolder import description_bytes
from satgen.verify import verify
from tests.datasets import make, options, tree, write_craft
from tests.journal import Journal

Damage = Callable[[Path, random.Random], str]
"""Changes something in a dataset; says what."""


def flip(folder: Path, rng: random.Random) -> str:
    """One bit of one file; each file is as likely."""
    path = rng.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
    data = bytearray(path.read_bytes())
    place, bit = rng.randrange(len(data)), rng.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"{path.relative_to(folder)}: bit {bit} of byte {place}"


def edit(folder: Path, rng: random.Random) -> str:
    """One value, key or entry of dataset.json, which is written as satgen writes it."""
    path = folder / ds.DESCRIPTION
    data = json.loads(path.read_bytes())
    places = list(_leaves(data))
    before = deepcopy(data)
    while data == before and repr(data) == repr(before):
        holder, key = rng.choice(places)
        how = rng.choice((_change, _change, _change, _drop, _rename))
        how(holder, key, rng)
    path.write_bytes(description_bytes(data))
    return f"{ds.DESCRIPTION}: {how.__name__.strip('_')} at {key}"


def _leaves(value: Any) -> Any:
    """Every entry of every object and list: what holds it, and its key."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(entries):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _leaves(inner)


def _change(holder: Any, key: Any, rng: random.Random) -> None:
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int):
        holder[key] = rng.choice((value + 1, -value, float(value)))
    elif isinstance(value, float):
        holder[key] = rng.choice((value * (1.0 + 1e-12), value + 1e-6, -value, 0.0))
    elif isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        holder[key] = value[:at] + rng.choice("ab0 ") + value[at + rng.randrange(2) :]
    elif value is None:
        holder[key] = 0


def _drop(holder: Any, key: Any, rng: random.Random) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, rng: random.Random) -> None:
    if isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)


def add(folder: Path, rng: random.Random) -> str:
    """A file that is no part of the dataset."""
    name = rng.choice(("rgb/009999.png", "parts/notes.txt", "more.txt", "depth/00361.png"))
    (folder / name).write_bytes(b"")
    return f"{name} added"


DAMAGES: dict[str, Damage] = {"flip": flip, "edit": edit, "add": add}


def notices(folder: Path) -> bool:
    """Whether verify finds something wrong."""
    try:
        return not verify(folder, workers=1).ok
    except SatgenError:
        return True


def mends(folder: Path, request: RenderOptions, wanted: dict[str, str]) -> bool:
    """Whether a rendering ends with the right bytes, or says that it cannot."""
    try:
        render(request, folder, workers=0)
    except SatgenError:
        return True
    return tree(folder) == wanted


def small(folder: Path) -> tuple[Path, RenderOptions]:
    """A dataset of three frames, with every kind of image, and the request for it."""
    more = {"stop": 3002, "width": 40, "height": 36, "shadow": True, "normals": True, "flow": True}
    craft = write_craft(folder)
    whole = folder / "whole"
    if not whole.exists():
        make(craft, whole, **more)
    return whole, options(craft, **more)


def try_many(
    folder: Path, counts: dict[str, int], mended: int, journal: Journal, seed: int = 0
) -> None:
    """Damage copies of a dataset, and print how often in each way, and how often unnoticed.

    Args:
        folder: to work in.
        counts: how often to damage in each way.
        mended: how many damages a rendering is to mend, too.
        journal: of what has been tried.
        seed: of the draws.
    """
    whole, request = small(folder)
    wanted = tree(whole)
    ways = [(name, number) for name, count in counts.items() for number in range(count)]
    every = len(ways) // mended
    for place, (name, number) in enumerate(random.Random(seed).sample(ways, len(ways))):
        point = f"{name} {number}"
        if journal.knows(point) or not journal.time_left:
            continue
        shutil.rmtree(folder / "copy", ignore_errors=True)
        copy = Path(shutil.copytree(whole, folder / "copy"))
        what = DAMAGES[name](copy, random.Random(f"{seed} {point}"))
        journal.add(point, None if notices(copy) else what)
        if place % every == 0 and place // every < mended:
            journal.add(f"mend {point}", None if mends(copy, request, wanted) else what)
    for name in (*counts, "mend"):
        tried, passed = journal.counts(f"{name} ")
        print(f"{name}: {tried} tried, {passed} passed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for word in (*DAMAGES, "mended"):
        parser.add_argument(word, type=int)
    Journal.add_options(parser)
    asked = parser.parse_args()
    log = Journal.asked(asked)
    with Journal.place(asked) as here:
        try_many(here, {name: getattr(asked, name) for name in DAMAGES}, asked.mended, log)
    sys.exit(log.failed)
