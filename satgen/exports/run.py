"""Exporting datasets: which frames, what the format can hold, the folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import satgen
from satgen.dataset import Dataset, check_frames
from satgen.errors import InputError
from satgen.exports.folder import DESCRIPTION, MARKS, described, whole_folder
from satgen.exports.formats import COMMON, FORMATS, check_holds, writer
from satgen.exports.options import ExportOptions
from satgen.exports.pieces import JOURNAL, ExportPiece, PieceFolder
from satgen.exports.source import Export, ExportSource, ExportWriter, Indices
from satgen.outputs import check_outside
from satgen.progress import Update
from satgen.publication import licence_of
from satgen.run_shards import held_shards, shard_kind
from satgen.runfolder import Journal, RunFolder, RunKind, dataset_identity, difference
from satgen.settings import option_name
from satgen.shards import Shard, delete_shards, found_shards, incomplete, shard_identity
from satgen.splits import SplitConfig, split_datasets

FILES = "files"
"""Folder of a shard in which its files have the names that they have in the export."""

SHARDED = RunKind(
    command="satgen export",
    noun="dataset's export",
    description=DESCRIPTION,
    marks=MARKS,
    owns=(JOURNAL, *(FILES + depth * "/*" for depth in range(1, 6))),
)
"""What the shards of an export are parts of."""

MAKE = "make them"
"""What is to be done with shards that are not complete."""


@dataclass(frozen=True)
class ExportSummary:
    """What an export came to.

    Attributes:
        folder: where it is.
        to: its format.
        frames: frames in it, of all cameras.
        parts: frames of each part, where it was split.
        written: whether it was written now; it was there already otherwise.
    """

    folder: str
    to: str
    frames: int
    parts: dict[str, int]
    written: bool

    def to_json(self) -> dict[str, Any]:
        """The object that `satgen export --json` prints."""
        return asdict(self)


def export(
    datasets: Sequence[Dataset],
    to: str,
    out: Path,
    options: ExportOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Update | None = None,
) -> ExportSummary:
    """Write datasets in another program's format.

    Args:
        datasets: one, or the cameras of a rig.
        to: one of `FORMATS`.
        out: folder to write.
        options: the defaults unless given.
        overwrite: replace another export in the folder.
        progress: told about every frame.

    Raises:
        InputError: the request makes no sense, the format cannot hold the datasets exactly, or the
            folder holds something else; nothing was changed.
        RunError: it cannot be written.
    """
    request = _request(datasets, to, options or ExportOptions())
    if request.is_in(out, overwrite):
        _forget_shards(request, out)
        return request.summary(out, written=False)
    writer, export = request.writer(progress)
    with held_shards(out, SHARDED, request.identity, MAKE) as shards:
        others = [_pieces(shard) for shard in shards.values()]
        _check_shards(out, shards, writer.pieces())
        with whole_folder(out, request.description) as folder:
            own = PieceFolder(folder, Journal(folder / JOURNAL))
            with own.journal.continued():
                export.begin(own, others)
                writer.write()
        delete_shards(out, shards.values())
    return request.summary(out, written=True)


def export_shard(
    datasets: Sequence[Dataset],
    to: str,
    out: Path,
    shard: Shard,
    options: ExportOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Update | None = None,
) -> int:
    """Make one of the parts of an export, in a folder beside the export's, for `export` to take.

    Args:
        datasets, to, out, options, progress: as `export` has them.
        shard: which part.
        overwrite: replace a part of another export; an export in the folder is left as it is.

    Returns:
        Frames in it, of all cameras.

    Raises:
        InputError, RunError: as `export`; or the format is written in one go.
    """
    request = _request(datasets, to, options or ExportOptions())
    if not FORMATS[to].pieces:
        raise InputError(f"--shard: format {to} is written in one go; export it without")
    request.is_in(out, overwrite)
    writer, export = request.writer(progress)
    pieces = writer.pieces()
    mine = shard.block(pieces)
    if not mine:
        raise InputError(f"shard {shard}: there are only {len(pieces)} {FORMATS[to].pieces}")
    export.frames_in_all = sum(len(piece.indices) for piece in mine)
    with RunFolder.open(
        shard.folder(out),
        shard_kind(SHARDED),
        shard_identity(request.identity, shard),
        overwrite=overwrite,
    ) as place:
        place.begin({})
        own = _pieces(place)
        own.files.mkdir(exist_ok=True)
        with own.journal.continued():
            export.begin(own)
            for piece in mine:
                writer.made(piece)
    return export.frames_in_all


def export_folder(datasets: Sequence[Dataset], to: str) -> Path:
    """Folder of an export where none is named: DATASET-FORMAT, beside the first dataset.

    Raises:
        InputError: there is no dataset, or no such format.
    """
    _check_request(datasets, to)
    first = datasets[0].folder.resolve()
    return first.with_name(f"{first.name}-{to}")


@dataclass(frozen=True)
class _Request:
    """An export that was found to make sense.

    Attributes:
        sources: the chosen frames of the datasets.
        to: the format.
        options: what was asked for.
        identity: what decides the result.
    """

    sources: tuple[ExportSource, ...]
    to: str
    options: ExportOptions
    identity: dict[str, Any]

    @property
    def description(self) -> dict[str, Any]:
        """What export.json holds."""
        return {**MARKS, **self.identity}

    @property
    def frames(self) -> int:
        """Frames, of all cameras."""
        return sum(len(indices) for s in self.sources for indices in s.parts.values())

    def is_in(self, out: Path, overwrite: bool) -> bool:
        """Whether a folder holds this very export.

        Raises:
            InputError: it holds something else, and nothing that may be replaced.
        """
        check_outside(out)
        known = described(out)
        if known is None or difference(self.description, known) is None:
            return known is not None
        if not overwrite:
            raise InputError(
                f"{out}: holds another export ({known.get('to')}); choose another --out, or "
                "replace it with --overwrite"
            )
        return False

    def writer(self, progress: Update | None) -> tuple[ExportWriter, Export]:
        """Who writes it, and what is written.

        Raises:
            InputError: images are missing, or the format cannot hold it.
        """
        for source in self.sources:
            check_frames(source.data, source.data.indices.tolist(), FORMATS[self.to].kinds)
        export = Export(self.sources, self.options, self.frames, progress)
        return writer(self.to)(export), export

    def summary(self, out: Path, *, written: bool) -> ExportSummary:
        """What it comes to in a folder."""
        parts = {part: len(indices) for part, indices in self.sources[0].parts.items() if part}
        return ExportSummary(str(out), self.to, self.frames, parts, written)


def _request(datasets: Sequence[Dataset], to: str, options: ExportOptions) -> _Request:
    """An export that is asked for.

    Raises:
        InputError: it makes no sense, or the format cannot hold the datasets exactly.
    """
    _check_request(datasets, to)
    _check_options(to, options)
    for data in datasets:
        check_holds(to, data)
    sources = tuple(_sources(datasets, to, options))
    request = _Request(sources, to, options, {})
    request.identity.update(
        {
            "to": to,
            "satgen": satgen.__version__,
            "options": asdict(options),
            "datasets": {
                s.data.folder.resolve().name: dataset_identity(s.data.folder) for s in sources
            },
            "frames": request.frames,
            "license": dict(
                zip(("name", "where"), licence_of(sources[0].data.description), strict=True)
            ),
        }
    )
    return request


def _pieces(shard: RunFolder) -> PieceFolder:
    """What a shard has."""
    return PieceFolder(shard.path / FILES, shard.journal(JOURNAL))


def _check_shards(
    out: Path, shards: Mapping[Shard, RunFolder], pieces: Sequence[ExportPiece]
) -> None:
    """Refuse shards of which one is not complete.

    Raises:
        InputError: it is not.
    """
    missing = []
    for shard, folder in shards.items():
        there = {line["piece"] for _, line in folder.journal(JOURNAL).lines()}
        if not all(piece.key in there for piece in shard.block(pieces)):
            missing.append(shard)
    if missing:
        numbers = [shard.number for shard in missing]
        raise incomplete(out, numbers, missing[0].count, MAKE)


def _forget_shards(request: _Request, out: Path) -> None:
    """Take the shards away of an export that is there: one was killed doing so."""
    for shard in found_shards(out):
        identity = shard_identity(request.identity, shard)
        with (
            suppress(InputError),  # another export's
            RunFolder.open(shard.folder(out), shard_kind(SHARDED), identity) as held,
        ):
            held.delete()
    delete_shards(out, ())


def _check_request(datasets: Sequence[Dataset], to: str) -> None:
    if to not in FORMATS:
        raise InputError(f"format {to!r}: must be one of {', '.join(FORMATS)}")
    if not datasets:
        raise InputError("no dataset: at least one is needed")


def _check_options(to: str, options: ExportOptions) -> None:
    """Refuse options that a format knows nothing of."""
    kind = FORMATS[to]
    for item in fields(options):
        if getattr(options, item.name) != item.default and item.name not in COMMON + kind.options:
            able = [n for n, f in FORMATS.items() if item.name in f.options]
            raise InputError(
                f"--{option_name(item)}: format {to} has no such option, only {', '.join(able)}"
            )
    if options.splits and not kind.splits:
        raise InputError(
            f"--splits: format {to} has no parts; export ranges of their own, by --start and --stop"
        )
    if options.images == "link" and not (kind.files and kind.kinds):
        raise InputError(f"--images link: format {to} has no image files of its own to link")


def _sources(datasets: Sequence[Dataset], to: str, options: ExportOptions) -> list[ExportSource]:
    """The chosen frames of the datasets, and the parts that they fall to."""
    chosen = [_chosen(data, options) for data in datasets]
    if len(chosen) > 1:
        _check_rig(chosen, to)
    first = chosen[0]
    parts: dict[str, Indices] = {"": first.indices}
    if options.splits or FORMATS[to].splits == "always":
        name = first.folder.resolve().name
        split = split_datasets({name: first}, SplitConfig(guard_deg=options.guard))[name]
        parts = {"train": split.train, "val": split.validation, "test": split.test}
    held = sorted(index for indices in parts.values() for index in indices.tolist())
    return [ExportSource(data[held], parts) for data in chosen]


def _chosen(data: Dataset, options: ExportOptions) -> Dataset:
    """The frames of a dataset that were asked for."""
    stop = None if options.stop is None else options.stop + 1
    view = data[options.start : stop : options.step]
    if not len(view):
        raise InputError(f"{data.folder}: none of its {len(data)} frames is in the range asked for")
    return view


def _check_rig(chosen: Iterable[Dataset], to: str) -> None:
    """Refuse several datasets that are not the cameras of a rig, or that a format has no place for.

    Raises:
        InputError: they are not.
    """
    first, *others = chosen
    if not FORMATS[to].rigs:
        able = ", ".join(name for name, kind in FORMATS.items() if kind.rigs)
        raise InputError(f"format {to} holds one dataset; {able} hold the cameras of a rig")
    names = []
    for data in (first, *others):
        rig, known = data.rig, first.rig
        if rig is None or known is None or rig.cameras != known.cameras:
            raise InputError(f"{first.folder} and {data.folder}: are not cameras of one rig")
        if rig.name in names:
            raise InputError(f"{data.folder}: camera {rig.name} is given twice")
        names.append(rig.name)
        if data.indices.tolist() != first.indices.tolist():
            raise InputError(f"{first.folder} and {data.folder}: must have frames of one range")
