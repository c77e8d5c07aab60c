"""Exporting datasets: which frames, what the format can hold, the folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import satgen
from satgen.dataset import Dataset, check_frames
from satgen.errors import InputError
from satgen.exports.folder import MARKS, described, whole_folder
from satgen.exports.formats import COMMON, FORMATS, check_holds, writer
from satgen.exports.options import ExportOptions
from satgen.exports.source import Export, ExportSource, Indices
from satgen.outputs import check_outside
from satgen.progress import Update
from satgen.runfolder import dataset_identity, difference
from satgen.settings import option_name
from satgen.splits import SplitConfig, split_datasets


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
    options = options or ExportOptions()
    _check_request(datasets, to)
    _check_options(to, options)
    for data in datasets:
        check_holds(to, data)
    sources = _sources(datasets, to, options)
    frames = sum(len(indices) for s in sources for indices in s.parts.values())
    parts = {part: len(indices) for part, indices in sources[0].parts.items() if part}
    description = {
        **MARKS,
        "to": to,
        "satgen": satgen.__version__,
        "options": asdict(options),
        "datasets": {
            s.data.folder.resolve().name: dataset_identity(s.data.folder) for s in sources
        },
        "frames": frames,
    }
    check_outside(out)
    known = described(out)
    if known is not None:
        if difference(description, known) is None:
            return ExportSummary(str(out), to, frames, parts, written=False)
        if not overwrite:
            raise InputError(
                f"{out}: holds another export ({known.get('to')}); choose another --out, or "
                "replace it with --overwrite"
            )
    for source in sources:
        check_frames(source.data, source.data.indices.tolist(), FORMATS[to].kinds)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, frames)

    with whole_folder(out, description) as folder:
        writer(to)(Export(tuple(sources), folder, options, tick))
    return ExportSummary(str(out), to, frames, parts, written=True)


def export_folder(datasets: Sequence[Dataset], to: str) -> Path:
    """Folder of an export where none is named: DATASET-FORMAT, beside the first dataset.

    Raises:
        InputError: there is no dataset, or no such format.
    """
    _check_request(datasets, to)
    first = datasets[0].folder.resolve()
    return first.with_name(f"{first.name}-{to}")


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
