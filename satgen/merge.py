"""Shards made into the dataset that they are of, and how far they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from satgen import dataset as ds
from satgen.atomic import link_or_copy, sync_all
from satgen.config import RenderConfig
from satgen.errors import InputError
from satgen.integrity import check_seal, files_match
from satgen.processes import default_workers
from satgen.progress import Update
from satgen.records import FrameRecord, read_journal
from satgen.run import DATASET, SHARD, deciding, finish
from satgen.runfolder import IDENTITY, RunFolder, difference, is_held
from satgen.shards import (
    KEY,
    Shard,
    array_words,
    delete_shards,
    division,
    found_shards,
    incomplete,
    shards_folder,
    whole_identity,
)
from satgen.tables import records_of
from satgen.trajectory.file import TABLE


@dataclass(frozen=True)
class PartStatus:
    """How far a dataset, or one of its shards, is.

    Attributes:
        shard: which; None is a whole dataset.
        frames: how many it is to have; None where nothing tells yet.
        done: how many of them are rendered, by its journal.
        complete: whether its tables are there, which are written last.
        running: whether a process is writing it, as far as this machine can tell.
    """

    shard: Shard | None
    frames: int | None
    done: int
    complete: bool
    running: bool

    @property
    def state(self) -> str:
        """In a word: done, running, stopped, or not begun."""
        if self.complete:
            return "done"
        if self.running:
            return "running"
        return "not begun" if self.frames is None else "stopped"

    def to_json(self) -> dict[str, Any]:
        """The object that `satgen status --json` prints."""
        return {**asdict(self), "state": self.state}


@dataclass(frozen=True)
class DatasetStatus:
    """How far a dataset and its shards are.

    Attributes:
        dataset: its folder.
        whole: the dataset itself, where there is one.
        shards: of each that there is or is to be, in order.
    """

    dataset: str
    whole: PartStatus | None
    shards: tuple[PartStatus, ...]

    @property
    def missing(self) -> list[int]:
        """Numbers of the shards that are not complete."""
        return [p.shard.number for p in self.shards if p.shard is not None and not p.complete]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be rendered."""
        return self.whole.complete if self.whole is not None else not self.missing

    def to_json(self) -> dict[str, Any]:
        """The object that `satgen status --json` prints."""
        return {
            "dataset": self.dataset,
            "complete": self.complete,
            "whole": None if self.whole is None else self.whole.to_json(),
            "shards": [part.to_json() for part in self.shards],
            "array": array_words(self.missing),
        }


def status(out: str | Path) -> DatasetStatus:
    """How far a dataset is that is being rendered, whole or in shards. Nothing is changed.

    Args:
        out: its folder, whether it is there already or not.

    Raises:
        InputError: there is neither a dataset nor a shard of one; or shards of two divisions.
    """
    out = Path(out)
    whole = None
    if (out / ds.DESCRIPTION).exists():
        count = int(ds.read_description(out)["indices"]["count"])
        whole = _part(out, None, count)
    shards = found_shards(out)
    if whole is None and not shards:
        raise InputError(f"{out}: neither a dataset, nor has it shards in {shards_folder(out)}")
    parts: list[PartStatus] = []
    if shards:
        count = division(out, shards)
        for number in range(1, count + 1):
            shard = Shard(number, count)
            place = shard.folder(out)
            frames = None
            if (place / SHARD.description).exists():
                frames = len(shard.block(_indices(_description(place), place)))
            parts.append(_part(place, shard, frames))
    return DatasetStatus(str(out), whole, tuple(parts))


def merge(
    out: str | Path, *, keep: bool = False, progress: Update | None = None
) -> tuple[int, int]:
    """Make a dataset of its shards: the same, byte for byte, that one machine renders.

    All of them must be complete, of one configuration and one version of the software that decides
    the bytes, and every image must have the SHA-256 that was recorded when it was written. Only
    then is the dataset's folder begun: images are linked into it (copied, where the file system
    has no links), tables written last, and the shards taken away. A merge that was stopped is gone
    on with by the same call.

    Args:
        out: the dataset's folder.
        keep: leave the shards where they are.
        progress: told how many images are in place.

    Returns:
        How many frames, of how many shards.

    Raises:
        InputError: a shard is missing, not complete, damaged, being written, or another's; nothing
            was changed.
        RunError: a file cannot be written.
    """
    out = Path(out)
    found = found_shards(out)
    if not found:
        raise InputError(f"{out}: has no shards in {shards_folder(out)}")
    count = division(out, found)
    state = status(out)
    if state.missing:
        if state.whole is not None and state.whole.complete and _delete_rest(out, found):
            return state.whole.done, count
        raise incomplete(out, state.missing, count, "render them")
    with ExitStack() as stack:
        pieces = [_opened(out, shard, stack) for shard in found]
        description = _one_description(pieces)
        bad = [index for piece in pieces for index in piece.damaged]
        if bad:
            broken = [piece for piece in pieces if piece.damaged]
            words = array_words([piece.shard.number for piece in broken])
            raise InputError(
                f"{out}: {len(bad)} frames of shards {words} are damaged, the first of them "
                f"{bad[0]}; render these shards again, they go on from what is good"
            )
        identity = whole_identity(pieces[0].identity)
        place = stack.enter_context(RunFolder.open(out, DATASET, identity))
        _fill(place, description, pieces, progress)
        if not keep:
            sync_all()  # the images' names, which are many, and what was copied
            delete_shards(out, [piece.folder for piece in pieces])
    return sum(len(piece.records) for piece in pieces), count


def _delete_rest(out: Path, found: Sequence[Shard]) -> bool:
    """Take away what a merge that was killed while it did so has left of the shards of a complete
    dataset; whether all of it is of that one, and it was done."""
    whole = ds.read_description(out)
    paths = [shard.folder(out) for shard in found]
    left = {p: _description(p)[IDENTITY] for p in paths if (p / SHARD.description).exists()}
    if any(DATASET.difference(whole_identity(mine), whole) is not None for mine in left.values()):
        return False
    with ExitStack() as stack:
        folders = [stack.enter_context(RunFolder.open(p, SHARD, mine)) for p, mine in left.items()]
        delete_shards(out, folders)
    return True


@dataclass(frozen=True)
class _Piece:
    """A complete shard, held by this process."""

    shard: Shard
    folder: RunFolder
    description: dict[str, Any]
    frames: ds.Table
    keypoints: ds.Table

    @property
    def dataset(self) -> dict[str, Any]:
        """What dataset.json is to have, but for the format's marks."""
        return {**self.description[DATASET.noun], "software": self.description["software"]}

    @property
    def identity(self) -> dict[str, Any]:
        """Of the run that rendered it."""
        found: dict[str, Any] = self.description[IDENTITY]
        return found

    @property
    def deciding(self) -> dict[str, Any]:
        """What it must have in common with the others."""
        renderer = self.identity["renderer"]
        software = deciding(self.description["software"], renderer)
        return {**whole_identity(self.identity), "software": software}

    @cached_property
    def records(self) -> list[FrameRecord]:
        """Of its frames, in order."""
        landmarks = self.description[DATASET.noun]["landmarks"]
        return records_of(self.frames, self.keypoints, len(landmarks))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Of image that it has."""
        return ds.described_images(self.description[DATASET.noun])

    @cached_property
    def damaged(self) -> list[int]:
        """Indices that it is to have, and has no good images of."""
        wanted = self.shard.block(_indices(self.description, self.folder.path))
        have = [r.index for r in self.records]
        if have != list(wanted):
            return sorted(set(wanted) ^ set(have)) or list(wanted[:1])
        with ThreadPoolExecutor(default_workers()) as threads:
            good = threads.map(
                lambda record: files_match(self.folder.path, self.kinds, record), self.records
            )
            return [r.index for r, ok in zip(self.records, good, strict=True) if not ok]


_OF_OTHERS = {"satgen-bench-shard": "a benchmark", "satgen-export-shard": "an export"}
"""Marks of shards that `satgen merge` has nothing to do with, and what they are of."""


def _description(place: Path) -> dict[str, Any]:
    path = place / SHARD.description
    try:
        data = json.loads(path.read_bytes())
        if data["format"] in _OF_OTHERS:
            raise InputError(
                f"{place}: is no part of a dataset, but of {_OF_OTHERS[data['format']]}; the "
                "command that made it takes all parts together, without --shard"
            )
        known = data["format"] == SHARD.marks["format"] and data["version"] == 1
        RenderConfig.from_json(data[DATASET.noun], place)
        dict(data[IDENTITY][KEY])
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path}: damaged; delete this shard and render it again") from None
    if not known:
        raise InputError(f"{path}: not the description of a satgen shard")
    found: dict[str, Any] = data
    return found


def _indices(description: dict[str, Any], place: Path) -> list[int]:
    """Of the whole dataset's frames, by the description of a shard that lies in `place`."""
    config = RenderConfig.from_json(description[DATASET.noun], place)
    return [int(index) for index in config.indices()]


def _part(place: Path, shard: Shard | None, frames: int | None) -> PartStatus:
    journal = (place / ds.JOURNAL).exists()
    complete = not journal and all((place / name).exists() for name in ds.TABLES)
    done = len(read_journal(place)) if journal else (frames or 0) if complete else 0
    return PartStatus(shard, frames, done, complete, is_held(place))


def _opened(out: Path, shard: Shard, stack: ExitStack) -> _Piece:
    path = shard.folder(out)
    description = _description(path)
    identity = description[IDENTITY]
    if identity[KEY] != shard.to_json():
        raise InputError(f"{path}: holds another shard; it was moved here")
    folder = stack.enter_context(RunFolder.open(path, SHARD, identity))
    config = RenderConfig.from_json(description[DATASET.noun], path)
    for fault in check_seal(path, description, config, name=SHARD.description):
        raise InputError(f"{path / fault.file}: {fault.cause}; render shard {shard} again")
    columns = ds.described_columns({"version": ds.VERSION, **description[DATASET.noun]})
    return _Piece(
        shard,
        folder,
        description,
        ds.read_parquet(path / ds.FRAMES_PARQUET, columns),
        ds.read_keypoints(path, len(description[DATASET.noun]["landmarks"])),
    )


def _one_description(pieces: Sequence[_Piece]) -> dict[str, Any]:
    """dataset.json of the whole.

    Raises:
        InputError: two shards are not of one dataset.
    """
    first = pieces[0]
    for piece in pieces[1:]:
        found = difference(piece.deciding, first.deciding)
        if found is not None:
            raise InputError(
                f"{piece.folder.path}: is not of the dataset that {first.folder.path} is of "
                f"({found}); delete one and render it again"
            )
    return first.dataset


def _fill(
    place: RunFolder,
    description: dict[str, Any],
    pieces: Sequence[_Piece],
    progress: Update | None,
) -> None:
    """Write the dataset, in an order that keeps it one that a run goes on with."""
    place.begin(description)
    first = pieces[0]
    for kind in first.kinds:
        (place.path / kind).mkdir(exist_ok=True)
    for table in first.folder.path.glob(f"{TABLE}.*"):
        place.keep(table.name, table.read_bytes())
    records = [record for piece in pieces for record in piece.records]
    with place.journal(ds.JOURNAL).rewritten(record.to_json() for record in records):
        pass
    total = len(records)
    for number, (source, target) in enumerate(_images(pieces, place.path), start=1):
        link_or_copy(source, target)
        if progress is not None and not number % len(first.kinds):
            progress(number // len(first.kinds), total)
    frames = _joined([piece.frames for piece in pieces])
    keypoints = _joined([piece.keypoints for piece in pieces])
    config = RenderConfig.from_json(description, place.path)
    finish(place, description, frames, keypoints, config)


def _images(pieces: Sequence[_Piece], out: Path) -> Iterator[tuple[Path, Path]]:
    for piece in pieces:
        for record in piece.records:
            for kind in piece.kinds:
                yield (
                    ds.image_path(piece.folder.path, kind, record.index),
                    ds.image_path(out, kind, record.index),
                )


def _joined(tables: Sequence[ds.Table]) -> ds.Table:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
