"""The folder of a run: whose it is, how it is held, gone on with, replaced and finished.

A rendering, a benchmark, a training and whatever else writes a folder over minutes or hours share
this. A run's **identity** is a JSON object with all that decides its result: the configuration, and
the SHA-256 of the datasets, weights, lists, images and models it reads, and satgen's version. It is
the first thing that is written, in the file that describes the run, and two commands whose
identities are equal are the same run: the second goes on where the first was stopped.

    KIND = RunKind(
        command="satgen predict",
        noun="prediction",
        description="predict.json",
        marks={"format": "satgen-prediction", "version": 1},
        owns=("results.jsonl", "errors.parquet", "plots/*.png", "report.html"),
    )

    identity = {
        "satgen": satgen.__version__,
        "config": config.to_json(),
        "datasets": {name: dataset_identity(data.folder) for name, data in datasets.items()},
    }
    with RunFolder.open(out, KIND, identity, resume=resume, overwrite=overwrite) as folder:
        # It is ours alone until the end, and nothing has been written: refuse here what has to be.
        journal = folder.journal("results.jsonl")
        done = {row["index"]: row for row in journal.read()}
        predictor = load_predictor(...)
        folder.begin({"command": command})  # the first write
        folder.keep("pairs.csv", pairs_csv)  # unless it is there
        with journal.rewritten(done.values()):
            for index in missing:
                journal.append([row(index)])
        folder.write("errors.parquet", table)
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO

from satgen.atomic import TEMPORARY, remove_temporaries, sync_folder, write_atomic
from satgen.errors import InputError, RunError
from satgen.outputs import check_outside

IDENTITY = "identity"
"""Key of a description under which the identity is, unless its kind says otherwise."""

Json = dict[str, Any]


@dataclass(frozen=True)
class RunKind:
    """A kind of run folder.

    Attributes:
        command: that writes it, for messages: "satgen bench".
        noun: what it holds, for messages: "benchmark".
        description: name of the file that describes a run, with its identity.
        marks: what a description of this kind says; the first entry tells it from other programs'
            files, the others tell its version.
        owns: patterns of the other files that a run writes, relative to the folder: `*` does not
            go beyond a `/`. A run that is replaced loses its files in this order, so what others
            rest on comes last.
        more: further patterns, from the description of the run that is there.
        nested: whether the identity is under `IDENTITY`; if not, the description itself has its
            keys, among others.
        implied: values of such keys where the description leaves them out.
    """

    command: str
    noun: str
    description: str
    marks: Mapping[str, Any]
    owns: tuple[str, ...]
    more: Callable[[Json], Sequence[str]] = lambda description: ()
    nested: bool = True
    implied: Mapping[str, Any] = field(default_factory=dict)

    def difference(self, identity: Mapping[str, Any], description: Json) -> str | None:
        """The first key at which a run differs from the one described, with both values."""
        if not self.nested:
            return difference(identity, {**self.implied, **description}, partly=True)
        known = description.get(IDENTITY)
        return difference(identity, known if isinstance(known, dict) else {})


class RunFolder:
    """A run's folder, held by this process; made by `RunFolder.open`.

    Attributes:
        path: the folder.
        kind: of run.
        known: the description of this very run where it is there already and is gone on with; else
            None.
    """

    def __init__(
        self, path: Path, kind: RunKind, identity: Json, known: Json | None, replaced: Json | None
    ) -> None:
        self.path = path
        self.kind = kind
        self.known = known
        self._identity = identity
        self._replaced = replaced
        self._begun = False

    @classmethod
    @contextmanager
    def open(
        cls,
        path: str | os.PathLike[str],
        kind: RunKind,
        identity: Mapping[str, Any],
        *,
        resume: bool = True,
        overwrite: bool = False,
    ) -> Iterator[RunFolder]:
        """Hold a folder for a run, as a context manager.

        It is locked against other processes until the end of the block. Nothing is written before
        `begin`; where that is never called, a folder that was not there is not there afterwards.

        Args:
            path: the folder, made with its parents if need be.
            kind: of run.
            identity: what decides the result; plain values.
            resume: go on with this run where it is there. Without it, the run is begun anew under
                `overwrite`, and refused otherwise.
            overwrite: replace another run of this kind.

        Raises:
            InputError: the folder is inside a dataset or another run; another process holds it; it
                holds another run, named by the first
                key that differs, or something else; under `overwrite`, it holds a file that is no
                part of a run. Nothing was changed.
            RunError: the folder cannot be made or read, or, within the block, a file not written.
        """
        place, plain = Path(path), _plain(identity)
        check_outside(place)
        with _held(place, kind):
            folder: RunFolder | None = None
            try:
                known, replaced = _found(place, kind, plain, resume, overwrite)
                folder = cls(place, kind, plain, known, replaced)
                yield folder
            except OSError as error:
                raise _failed(error, place) from error
            finally:
                if folder is not None and folder._begun:
                    with suppress(OSError):
                        folder.remove_temporaries()

    @property
    def going_on(self) -> bool:
        """Whether this run is there already, in part or whole."""
        return self.known is not None

    def begin(self, description: Mapping[str, Any]) -> None:
        """Make the folder this run's, unless it is; from now on it is written.

        A run that is to be replaced is deleted. The description goes to the disk before anything
        else does.

        Args:
            description: whatever else is to be known of the run; the kind's marks and the identity
                are added.
        """
        self._begun = True
        if self._replaced is not None:
            _delete(self.path, self.kind, self._replaced)
        self.remove_temporaries()
        if self.known is None:
            self.describe(description)
            sync_folder(self.path.parent)

    def describe(self, description: Mapping[str, Any]) -> None:
        """Write the description anew, with the kind's marks and the identity."""
        self.write(self.kind.description, description_bytes(self.full(description)))

    def full(self, description: Mapping[str, Any]) -> Json:
        """A description with the kind's marks and the identity."""
        full = {**self.kind.marks, **description}
        if self.kind.nested:
            full[IDENTITY] = self._identity
        return full

    def write(self, name: str, data: bytes) -> Path:
        """Write a file whole and wait until the disk has it; its folder is made if need be."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data, sync=True)
        return path

    def keep(self, name: str, data: bytes) -> Path:
        """As `write`, unless the file is there and has these bytes."""
        path = self.path / name
        with suppress(OSError):
            if path.read_bytes() == data:
                return path
        return self.write(name, data)

    def journal(self, name: str) -> Journal:
        """The journal of that name."""
        return Journal(self.path / name)

    def delete(self) -> None:
        """Delete the run that is there, and nothing else; its description goes last."""
        if self.known is not None:
            _delete(self.path, self.kind, self.known)

    def remove_temporaries(self) -> None:
        """Delete incomplete files that a killed run left behind."""
        remove_temporaries(*_folders(self.path, _patterns(self.kind, self.known)))


class Journal:
    """A file that grows by lines, a JSON object each, and loses at most the last one in a kill.

    The last entry of a line is a checksum of the others, for nothing else tells whether what was
    measured is still as it was written: what does not have it is passed over, and done again.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def read(self) -> list[Any]:
        """The values that were written whole, and are as they were written."""
        return [value for _, value in self.lines()]

    def lines(self) -> Iterator[tuple[int, Any]]:
        """The same values one by one, each with the byte at which its line begins."""
        offset = 0
        with suppress(FileNotFoundError), open(self.path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                with suppress(ValueError, RecursionError):
                    for value in _checked(json.loads(line)):
                        yield offset, value
                offset += len(line)

    def at(self, offset: int) -> Any:
        """The value of the line that begins at a byte, which `lines` told."""
        with open(self.path, "rb") as file:
            file.seek(offset)
            (value,) = _checked(json.loads(file.readline()))
        return value

    @contextmanager
    def continued(self) -> Iterator[Journal]:
        """Keep what is there, but for a line that was cut short, and append within the block."""
        with open(self.path, "ab") as self._file:
            self._file.truncate(_whole_lines(self.path))
            yield self
        self._file = None

    @contextmanager
    def rewritten(self, values: Iterable[Mapping[str, Any]]) -> Iterator[Journal]:
        """Begin with these values, whatever was there, and append within the block."""
        write_atomic(self.path, b"".join(map(journal_line, values)), sync=True)
        with open(self.path, "ab") as self._file:
            yield self
        self._file = None

    def append(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Add values; after a kill of this process they are there."""
        if self._file is None:
            raise ValueError(f"{self.path}: append outside of rewritten()")
        self._file.write(b"".join(map(journal_line, values)))
        self._file.flush()


CHECKSUM = "crc32"


def journal_line(value: Mapping[str, Any]) -> bytes:
    """An object as a line of a journal."""
    return _line({**value, CHECKSUM: zlib.crc32(_line(value))})


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _whole_lines(path: Path) -> int:
    """How many bytes of a file are up to the end of its last line."""
    with open(path, "rb") as file:
        return sum(len(line) for line in file if line.endswith(b"\n"))


def _checked(value: Any) -> list[Json]:
    """The object of a line, if it is as it was written."""
    if not isinstance(value, dict):
        return []
    checksum = value.pop(CHECKSUM, None)
    return [value] if checksum == zlib.crc32(_line(value)) else []


def description_bytes(description: Mapping[str, Any]) -> bytes:
    """The text of a run's description."""
    return (json.dumps(description, indent=1, ensure_ascii=False) + "\n").encode()


def is_held(path: Path) -> bool:
    """Whether a process, of this machine at least, is writing a run into a folder."""
    try:
        import fcntl

        handle = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EAGAIN)
    finally:
        os.close(handle)
    return False


def first_free(candidates: Iterable[Path], kind: RunKind, identity: Mapping[str, Any]) -> Path:
    """The first of these folders that holds nothing yet, or this very run.

    Raises:
        RunError: one cannot be read, or there are no more.
    """
    plain = _plain(identity)
    for path in candidates:
        try:
            _found(path, kind, plain, resume=True, overwrite=False)
        except FileNotFoundError:
            return path
        except (InputError, NotADirectoryError):
            continue
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror or error}") from error
        return path
    raise RunError("no folder is free")


# --- identity -------------------------------------------------------------------------------------


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes; InputError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    return digest.hexdigest()


def files_sha256(paths: Iterable[Path]) -> str:
    """One SHA-256 of several files' bytes, in this order; InputError where one cannot be read."""
    return hashlib.sha256("".join(map(file_sha256, paths)).encode()).hexdigest()


def dataset_identity(folder: Path) -> dict[str, str | None]:
    """What a dataset is, for the identity of a run that reads it.

    By file name, the SHA-256 of its description and of its tables, of which the frames' have the
    images' SHA-256; None for a file that is not there.
    """
    from satgen.dataset import DESCRIPTION, TABLES

    return {
        name: file_sha256(folder / name) if (folder / name).exists() else None
        for name in (DESCRIPTION, *TABLES)
    }


def difference(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], *, partly: bool = False
) -> str | None:
    """The first key, dotted, at which two objects differ, with both values; None if they do not.

    Args:
        ours, theirs: said to be "here" and "there".
        partly: keys that only `theirs` has do not count.
    """
    return _difference(_plain(ours), theirs, partly, "")


_ABSENT = object()


def _difference(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], partly: bool, prefix: str
) -> str | None:
    keys = [*ours, *(() if partly else (key for key in theirs if key not in ours))]
    for key in keys:
        here, there = ours.get(key, _ABSENT), theirs.get(key, _ABSENT)
        found: str | None = None
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            found = _difference(here, there, partly, f"{prefix}{key}.")
        elif here != there:
            found = f"{prefix}{key} is {_shown(there)} there and {_shown(here)} here"
        if found is not None:
            return found
    return None


def _shown(value: Any) -> str:
    """A value in a message: SHA-256 cut short, objects not spelt out."""
    if value is _ABSENT:
        return "absent"
    if isinstance(value, Mapping):
        return "present"
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return f"{value[:12]}…"
    return json.dumps(value, ensure_ascii=False)


def _plain(data: Any) -> Any:
    """A value as it comes back from a JSON file: tuples as lists, keys as text."""
    return json.loads(json.dumps(data))


# --- what is there --------------------------------------------------------------------------------


def _found(
    path: Path, kind: RunKind, identity: Json, resume: bool, overwrite: bool
) -> tuple[Json | None, Json | None]:
    """The description of this very run, and that of the one to be replaced, as far as there is one.

    Raises:
        InputError: the folder holds something that may not be touched.
        OSError: it cannot be read.
    """
    names = os.listdir(path)
    if kind.description not in names:
        other = _first_content(path, kind)
        if other is not None:
            raise InputError(
                f"{path}: is not empty and not a satgen {kind.noun} (it has {other}, and no "
                f"{kind.description}); choose another --out"
            )
        return None, None
    known, reason = _described(path / kind.description, kind)
    if reason is not None and (not overwrite or known is None):
        raise InputError(reason)
    found = reason or kind.difference(identity, known or {})
    if found is None and resume:
        return known, None
    if not overwrite and found is None:
        raise InputError(
            f"{path}: holds this {kind.noun} already, and --no-resume forbids to go on with it "
            "(--overwrite --no-resume begins it anew)"
        )
    if not overwrite:
        raise InputError(
            f"{path}: holds another {kind.noun} ({found}); choose another --out, or replace it "
            "with --overwrite"
        )
    for stranger in _strangers(path, kind, known):
        raise InputError(
            f"{stranger}: is no part of a {kind.noun}; move it out of {path} before --overwrite"
        )
    return None, known


def _described(path: Path, kind: RunKind) -> tuple[Json | None, str | None]:
    """A description, and what is wrong with it; None for one that is not this program's."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        return None, f"{path}: {error.strerror or error}"
    except (ValueError, RecursionError) as error:
        # A damaged file; whatever else is in the folder decides whether it may be replaced.
        return {}, f"{path}: not a JSON file ({error}); choose another --out, or --overwrite"
    (mark, value), *version = kind.marks.items()
    if not isinstance(data, dict) or data.get(mark) != value:
        return None, f"{path}: not the description of a satgen {kind.noun}; choose another --out"
    for key, value in version:
        if data.get(key) != value:
            return data, (
                f"{path}: {key} {data.get(key)}, this satgen writes {value}; choose another --out, "
                "or replace it with --overwrite"
            )
    return data, None


def _patterns(kind: RunKind, description: Json | None) -> list[tuple[str, ...]]:
    more = () if description is None else kind.more(description)
    return [tuple(pattern.split("/")) for pattern in (*kind.owns, *more)]


def _walk(
    folder: Path, patterns: Sequence[tuple[str, ...]], depth: int = 0
) -> Iterator[tuple[Path, bool, bool]]:
    """What lies in a folder and those of its folders that patterns speak of: each entry, whether
    it is a run's, and whether it is a folder, which comes after its contents."""
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        here = [p for p in patterns if len(p) > depth and fnmatchcase(entry.name, p[depth])]
        deeper = [p for p in here if len(p) > depth + 1]
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            if deeper:
                yield from _walk(path, deeper, depth + 1)
            yield path, bool(deeper), True
        else:
            # A link in place of a folder of a run is the run's; what it leads to is not.
            named = here if entry.is_symlink() else [p for p in here if p not in deeper]
            yield path, bool(named) or entry.name.startswith(TEMPORARY), False


def _folders(path: Path, patterns: Sequence[tuple[str, ...]]) -> set[Path]:
    """The folders that a run's own files lie in."""
    found = {path}
    for pattern in patterns:
        for depth in range(1, len(pattern)):
            found.update(p for p in path.glob("/".join(pattern[:depth])) if p.is_dir())
    return found


def _files(path: Path, patterns: Sequence[tuple[str, ...]]) -> list[Path]:
    """A run's own files, without the description."""
    return [p for p, mine, is_folder in _walk(path, patterns) if mine and not is_folder]


def _first_content(path: Path, kind: RunKind) -> str | None:
    """What lies in a folder without a description and is more than an empty shell, if anything.

    A run that was killed in its first moment, or whose disk was full, may leave temporary files and
    empty folders.
    """
    for found, mine, is_folder in _walk(path, _patterns(kind, None)):
        if not (mine and (is_folder or found.name.startswith(TEMPORARY))):
            return str(found.relative_to(path))
    return None


def _strangers(path: Path, kind: RunKind, description: Json | None) -> Iterator[Path]:
    for found, mine, _ in _walk(path, _patterns(kind, description)):
        if not mine and found != path / kind.description:
            yield found


def _delete(path: Path, kind: RunKind, description: Json) -> None:
    """Delete a run's files, its description last, so that the rest stays known as a run's."""
    patterns = _patterns(kind, description)

    def place(file: Path) -> int:
        parts = file.relative_to(path).parts
        for number, pattern in enumerate(patterns):
            if len(pattern) == len(parts) and all(map(fnmatchcase, parts, pattern)):
                return number
        return len(patterns)

    for file in sorted(_files(path, patterns), key=place):
        file.unlink(missing_ok=True)
    for found, mine, is_folder in list(_walk(path, patterns)):
        if mine and is_folder:
            with suppress(OSError):
                found.rmdir()
    (path / kind.description).unlink(missing_ok=True)
    sync_folder(path)


# --- holding it -----------------------------------------------------------------------------------


@contextmanager
def _held(path: Path, kind: RunKind) -> Iterator[None]:
    """Make a folder and hold it against other processes; where it is empty at the end, take it away
    again. The system lets go of it when the process ends, however it ends."""
    created: list[Path] = []
    handle: int | None = None
    try:
        while handle is None:
            created = [*_make(path), *created]
            handle = _open(path)
            if handle is not None:
                if not lock_folder(handle):
                    raise InputError(f"{path}: another {kind.command} is writing into it")
                if not is_same(handle, path):  # another run made it, failed, and took it away again
                    os.close(handle)
                    handle = None
        yield
    finally:
        _unmake(created)  # nothing but empty ones can go
        if handle is not None:
            os.close(handle)


def _open(path: Path) -> int | None:
    """A handle of a folder; None where it is gone."""
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"cannot open {path}: {error.strerror}") from error


def lock_folder(handle: int) -> bool:
    """Lock an open folder against other processes; False where one of them has.

    It is let go of when the handle is closed. Where the file system has no locks, go on without.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN)
    return True


def is_same(handle: int, path: Path) -> bool:
    """Whether an open folder is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def _make(path: Path) -> list[Path]:
    """Make a folder and its parents; those that were made, innermost first."""
    created: list[Path] = []
    try:
        missing = [p for p in (path, *path.parents) if not p.exists()]
    except OSError as error:
        raise RunError(f"cannot reach {path}: {error.strerror or error}") from error
    for place in reversed(missing):
        try:
            place.mkdir()
        except (FileExistsError, FileNotFoundError):
            continue  # another run made it, or took its parent away again
        except NotADirectoryError:
            _unmake(created)
            raise InputError(f"{place}: its parent is not a folder") from None
        except OSError as error:
            _unmake(created)
            raise RunError(f"cannot make {place}: {error.strerror or error}") from error
        created.insert(0, place)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file, must be a folder")
    return created


def _unmake(created: Sequence[Path]) -> None:
    """Take folders away again, if they are empty."""
    for place in created:
        with suppress(OSError):
            place.rmdir()


def _failed(error: OSError, folder: Path) -> RunError:
    """What to say of a file, which is one of the run's unless its name tells otherwise."""
    name, reason = error.filename, error.strerror or error
    if name is not None and folder.absolute() not in (
        Path(name).absolute(),
        *Path(name).absolute().parents,
    ):
        return RunError(f"{name}: {reason}")
    return RunError(f"cannot write {name or folder}: {reason}")
