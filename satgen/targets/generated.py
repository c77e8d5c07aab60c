"""Random craft as targets: `random:SEED`, built when first asked for and kept in a cache folder.

The file of a seed lies in a folder named after the code that built it, so that another version of
the generator never finds it; what is there is whole, and anything else is built anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from satgen.atomic import write_atomic
from satgen.errors import InputError, RunError
from satgen.folders import cache_folder
from satgen.progress import Update
from satgen.tasks import carried_out

PREFIX = "random:"
MAX_SEED = 2**32 - 1
MOST = 10_000
"""Craft that one range may ask for."""

_NEEDED = f"must be random:SEED, a whole number from 0 to {MAX_SEED}, such as random:7"


def is_random(name: str) -> bool:
    """Whether a target's name asks for a random craft, rightly or not."""
    return name.startswith(PREFIX) or name == PREFIX.rstrip(":")


def seed_of(name: str) -> int:
    """The seed in `random:SEED`.

    Raises:
        InputError: it is none.
    """
    seed = _whole(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    if seed is None:
        if is_range(name):
            raise InputError(f"target {name!r}: a range of craft; name one, such as random:7")
        raise InputError(f"target {name!r}: {_NEEDED}")
    return seed


def is_range(name: str) -> bool:
    """Whether a target's name is random:FIRST-LAST."""
    return name.startswith(PREFIX) and len(_ends(name)) == 2


def seeds_of(name: str) -> list[int]:
    """The seeds in `random:SEED` or `random:FIRST-LAST`, the last included.

    Raises:
        InputError: it is neither, or a range of none or of too many.
    """
    if not is_range(name):
        return [seed_of(name)]
    first, last = _ends(name)
    if last < first or last - first >= MOST:
        raise InputError(f"target {name!r}: a range must be of 1 to {MOST} craft, as random:1-60")
    return list(range(first, last + 1))


def _ends(name: str) -> list[int]:
    """Both ends of a range; empty where it is none."""
    words = name.removeprefix(PREFIX).split("-")
    ends = [_whole(word) for word in words]
    return [end for end in ends if end is not None] if len(words) == 2 and None not in ends else []


def _whole(text: str) -> int | None:
    """A seed as it is written, without sign or leading zeros; None for another text."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,9}", text) or int(text) > MAX_SEED:
        return None
    return int(text)


def folder() -> Path:
    """Where the craft of this version of the generator are kept."""
    return cache_folder("targets") / f"random-{_code()}"


@lru_cache(maxsize=1)
def _code() -> str:
    """What tells this generator from any other: a hash of its code and of what it draws with."""
    import numpy as np
    import PIL

    package = Path(__file__).resolve().parents[1]
    sources = sorted((package / "modelling").rglob("*.py"))
    digest = hashlib.sha256(f"{np.__version__} {PIL.__version__}".encode())
    for path in sources:
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


_LOCK = threading.Lock()


def _after_fork() -> None:
    global _LOCK
    _LOCK = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def files_of(seed: int) -> tuple[Path, Path]:
    """The GLB and the card of a seed, built if they are not there.

    Processes that build the same craft at a time write the same bytes, each at once.

    Raises:
        RunError: they cannot be written.
    """
    glb, card = _places(seed)
    place = glb.parent
    with _LOCK:
        if not _is_whole(glb, card):
            data, text = _build(seed)
            try:
                place.mkdir(parents=True, exist_ok=True)
                write_atomic(glb, data)
                write_atomic(card, text)
            except OSError as error:
                raise RunError(
                    f"cannot write to {place}: {error.strerror or error}; SATGEN_CACHE names "
                    "another folder"
                ) from None
    return glb, card


def build_missing(seeds: Sequence[int], workers: int, progress: Update | None = None) -> None:
    """Build the craft of these seeds that are not there.

    Args:
        seeds: of the craft.
        workers: processes; with 0 or 1 it is this one.
        progress: told about every craft.

    Raises:
        RunError: they cannot be written, or a worker died.
    """
    missing = [seed for seed in seeds if not _is_whole(*_places(seed))]
    for done, _ in enumerate(carried_out(files_of, missing, workers), start=1):
        if progress is not None:
            progress(done, len(missing))


def _places(seed: int) -> tuple[Path, Path]:
    place = folder()
    return place / f"random-{seed}.glb", place / f"random-{seed}.json"


def _is_whole(glb: Path, card: Path) -> bool:
    """Whether both files are there and belong together."""
    try:
        stated = json.loads(card.read_text(encoding="utf-8"))["glb"]
        data = glb.read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(len(data) == stated["bytes"]) and bool(
        hashlib.sha256(data).hexdigest() == stated["sha256"]
    )


def _build(seed: int) -> tuple[bytes, bytes]:
    """The bytes of both files."""
    from satgen.modelling.build import build_bytes

    return build_bytes(f"{PREFIX}{seed}")
