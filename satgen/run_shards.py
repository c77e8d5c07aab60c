"""The shards of a run whose pieces are carried out by many machines: of a benchmark, of an export.

Each has a folder of its own beside the run's (`satgen.shards`), with a block of the run's pieces.
The same command without a shard holds them all, and takes what they have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from satgen.runfolder import RunFolder, RunKind
from satgen.shards import Shard, division, found_shards, incomplete, shard_identity


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
    out: Path, kind: RunKind, identity: Mapping[str, Any], make: str
) -> Iterator[dict[Shard, RunFolder]]:
    """The shards of a run, held by this process; none where there are none.

    Args:
        out: folder of the run.
        kind: of the run, or of what its shards hold.
        identity: of the run.
        make: what is to be done with shards that are not complete: "carry them out".

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
                raise incomplete(out, missing, count, make)
        for shard in found:
            mine = shard_identity(identity, shard)
            folder = stack.enter_context(RunFolder.open(shard.folder(out), shard_kind(kind), mine))
            if not folder.going_on:
                raise incomplete(out, [shard.number], shard.count, make)
            folders[shard] = folder
        yield folders
