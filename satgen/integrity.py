"""Whether a dataset's files are those that were written: what `render`, before it says that all is
there, and `verify`, before it looks into them, ask of them alike."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from satgen import dataset as ds
from satgen.atomic import TEMPORARY
from satgen.config import RenderConfig
from satgen.errors import InputError
from satgen.records import FrameRecord, read_journal
from satgen.runfolder import description_bytes, file_sha256
from satgen.seal import MANIFEST, SEAL, SINCE, is_authentic, manifest_of


@dataclass(frozen=True)
class Problem:
    """Something wrong with a dataset: what, and of which frame or file.

    Attributes:
        index: the bad frame, or None where it concerns the dataset.
        file: relative to the dataset's folder.
        cause: what is wrong with it.
    """

    index: int | None
    file: str
    cause: str

    def __str__(self) -> str:
        """The problem as one line."""
        where = "dataset" if self.index is None else f"frame {self.index:06d}"
        return f"{where}: {self.file}: {self.cause}"


def sealed_files(config: RenderConfig) -> tuple[str, ...]:
    """Names of the files that a dataset's seal covers, besides its description."""
    copy = config.trajectory.motion.in_folder(Path()).table
    return (*ds.TABLES, *ds.PUBLICATION, *([] if copy is None else [copy.name]))


def check_files(
    folder: Path,
    description: Mapping[str, Any],
    config: RenderConfig,
    *,
    name: str = ds.DESCRIPTION,
    indices: Sequence[int] | None = None,
) -> list[Problem]:
    """What is wrong with a dataset's files, but for the images' contents.

    The description and the tables are held against the seal, as far as the dataset's version has
    one; whatever lies in its folders and is no part of it is named.

    Args:
        folder: the dataset's.
        description: its dataset.json.
        config: what that says.
        name: of the description's file; a shard's is another.
        indices: of the frames that there are to be; by default the configuration's.
    """
    return [
        *check_seal(folder, description, config, name=name),
        *check_strays(folder, config, name=name, indices=indices),
    ]


def check_seal(
    folder: Path,
    description: Mapping[str, Any],
    config: RenderConfig,
    *,
    name: str = ds.DESCRIPTION,
) -> list[Problem]:
    """What of a dataset's, or a shard's, description and tables is not as it was sealed."""
    if name == ds.DESCRIPTION and description["version"] < SINCE:
        return []
    own, files = name, sealed_files(config)

    def fault(cause: str, name: str = own) -> Problem:
        return Problem(None, name, cause)

    if MANIFEST not in description and SEAL not in description:
        if (folder / ds.JOURNAL).exists():
            return []  # not finished, which is said elsewhere
        return [fault("has no seal: run satgen render again")]
    problems = []
    if not is_as_written(folder, description, own):
        problems.append(fault("is not written as satgen writes it, it has been changed"))
    manifest = manifest_of(description)
    if manifest is None:
        return [*problems, fault("its manifest is not what was sealed, it has been changed")]
    if not is_authentic(description, own):
        problems.append(fault("is not what was sealed, it has been changed"))
    for name in sorted({own, *files} ^ set(manifest)):
        problems.append(fault(f"its manifest {'also has' if name in manifest else 'lacks'} {name}"))
    for name in files:
        try:
            if name in manifest and file_sha256(folder / name) != manifest[name]:
                problems.append(fault("is not what was sealed, its SHA-256 is another", name))
        except InputError as error:
            problems.append(fault(str(error).removeprefix(f"{folder / name}: "), name))
    return problems


def is_as_written(folder: Path, description: Mapping[str, Any], name: str) -> bool:
    """Whether a description has, byte for byte, the text that satgen writes for what it says."""
    try:
        return (folder / name).read_bytes() == description_bytes(description)
    except (OSError, ValueError):
        return False


def check_strays(
    folder: Path,
    config: RenderConfig,
    *,
    name: str = ds.DESCRIPTION,
    indices: Sequence[int] | None = None,
) -> list[Problem]:
    """What lies in a dataset's folders and is no part of a finished dataset; see `check_files`."""
    problems = []
    own = {name, *sealed_files(config), *config.images}
    wanted = config.indices() if indices is None else indices
    for name in sorted(os.listdir(folder)):
        if name == ds.JOURNAL:
            done = len(read_journal(folder))
            cause = f"not finished, {done} of {len(wanted)} frames: run satgen render again"
            problems.append(Problem(None, name, cause))
        elif name.startswith(TEMPORARY):
            problems.append(Problem(None, name, "left by a run that was stopped"))
        elif name not in own:
            problems.append(Problem(None, name, "is no part of a dataset"))
    names = {ds.image_name(int(index)) for index in wanted}
    for kind in config.images:
        try:
            present = set(os.listdir(folder / kind))
        except OSError as error:
            problems.append(Problem(None, kind, error.strerror or str(error)))
            continue
        for name in sorted(present - names):
            left = name.startswith(TEMPORARY)
            cause = "left by a run that was stopped" if left else "is no part of the dataset"
            problems.append(Problem(None, f"{kind}/{name}", cause))
    return problems


def read_checked(folder: Path, kind: str, index: int, sha256: str | None) -> tuple[bytes, str]:
    """The bytes of one image, and what is wrong with them: "" for nothing.

    Args:
        folder: the dataset's.
        kind: of image.
        index: the frame's.
        sha256: that it should have; None where that is not known.
    """
    try:
        data = ds.image_path(folder, kind, index).read_bytes()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return b"", "is missing" if missing else str(error.strerror or error)
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        return data, "its SHA-256 is not the table's"
    return data, ""


def files_match(folder: Path, kinds: Sequence[str], record: FrameRecord) -> bool:
    """Whether a frame's images are there and are the ones that were written."""
    return len(record.sha256) == len(kinds) and not any(
        read_checked(folder, kind, record.index, sha256)[1]
        for kind, sha256 in zip(kinds, record.sha256, strict=True)
    )
