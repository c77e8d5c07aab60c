"""A benchmark in parts, which as many machines carry out on a folder that they share.

A shard has a block of the run's pairs, in a folder of its own beside the run's (`satgen.shards`).
The same command without a shard finds them, takes their rows for its own, and sums up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from satgen.atomic import write_atomic
from satgen.runfolder import RunFolder, RunKind
from satgen.shards import Shard, division, found_shards, incomplete, shard_identity

MAKE = "carry them out"
"""What is to be done with shards that are not complete."""


def shard_kind(kind: RunKind) -> RunKind:
    """The folder of a shard of a run."""
    return replace(
        kind,
        command=f"{kind.command} --shard",
        noun=f"shard of a {kind.noun}",
        description="shard.json",
        marks={"format": f"{kind.marks['format']}-shard", "version": 1},
    )


@contextmanager
def held_shards(
    out: Path, kind: RunKind, identity: dict[str, Any]
) -> Iterator[dict[Shard, RunFolder]]:
    """The shards of a run, held by this process; none where there are none.

    Raises:
        InputError: one is missing, being written, or of another run.
    """
    found = found_shards(out)
    with ExitStack() as stack:
        folders = {}
        if found:
            count = division(out, found)
            missing = set(range(1, count + 1)) - {shard.number for shard in found}
            if missing:
                raise incomplete(out, missing, count, MAKE)
        for shard in found:
            mine = shard_identity(identity, shard)
            folder = stack.enter_context(RunFolder.open(shard.folder(out), shard_kind(kind), mine))
            if not folder.going_on:
                raise incomplete(out, [shard.number], shard.count, MAKE)
            folders[shard] = folder
        yield folders


def take_files(folder: RunFolder, out: Path, pattern: str) -> None:
    """Copy the files of a shard that match, to the same names in the run's folder."""
    for source in folder.path.glob(pattern):
        target = out / source.relative_to(folder.path)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(target, source.read_bytes())
