"""The folder of an export: there whole, or not at all."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from satgen.atomic import TEMPORARY, sync_all, sync_folder, write_atomic
from satgen.errors import InputError, RunError
from satgen.exports.pieces import JOURNAL
from satgen.outputs import check_outside
from satgen.reading import read_json
from satgen.runfolder import description_bytes, is_same, lock_folder

DESCRIPTION = "export.json"
MARKS = {"format": "satgen-export", "version": 1}
"""What the description of an export begins with, before what was asked for."""

ASKED = "asked.json"
"""The same description, in a folder that is not finished."""


def described(out: Path) -> dict[str, Any] | None:
    """The description of the export in a folder; None where there is nothing yet.

    Raises:
        InputError: it holds something else.
    """
    try:
        names = os.listdir(out)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise InputError(f"{out}: is a file, must be a folder") from None
    except OSError as error:
        raise InputError(f"{out}: {error.strerror or error}") from None
    if not names:
        return None
    data = None
    with suppress(InputError):
        data = read_json(out / DESCRIPTION)
    if not isinstance(data, dict) or data.get("format") != MARKS["format"]:
        raise InputError(f"{out}: is not empty and not a satgen export; choose another --out")
    return data


@contextmanager
def whole_folder(out: Path, description: Mapping[str, Any]) -> Iterator[Path]:
    """A folder to write an export to, which takes its place when the block has ended well.

    What a killed run of the same export left behind is in it; that of another is deleted first, and
    an export that was there last. Where the block ends in an error, nothing is left; where it is
    interrupted, what is there is.

    Args:
        out: the folder of the export.
        description: `MARKS`, and what was asked for.

    Raises:
        InputError: `out` lies in a dataset or run, or another process is writing it.
        RunError: it cannot be written.
    """
    check_outside(out)
    part = out.parent / f"{TEMPORARY}export-{out.name}"
    old = out.parent / f"{TEMPORARY}replaced-{out.name}"
    handle = _opened(part, out)
    try:
        # One that was finished meanwhile has another name by now.
        if not (lock_folder(handle) and is_same(handle, part)):
            raise InputError(f"{out}: another satgen export is writing it")
        try:
            if _asked(part) != description_bytes(description):
                _empty(part)
                write_atomic(part / ASKED, description_bytes(description), sync=True)
            shutil.rmtree(old, ignore_errors=True)
            yield part
            for name in (JOURNAL, ASKED):
                (part / name).unlink(missing_ok=True)
            sync_all()  # what the description says is there, is
            write_atomic(part / DESCRIPTION, description_bytes(description), sync=True)
            if out.exists():
                os.rename(out, old)
            os.rename(part, out)
            sync_folder(out.parent)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            _drop(part)
            name = str(error.filename or out).replace(str(part), str(out))
            raise RunError(f"cannot write {name}: {error.strerror or error}") from error
        except Exception:
            _drop(part)
            raise
    finally:
        os.close(handle)


def _opened(part: Path, out: Path) -> int:
    """A handle of the folder to write to: a new one, or what a killed run of this user's left.

    Its name can be foreseen, so that exports of one name meet there. In a folder that others may
    write, too, they may have made it, or a link: that is neither emptied nor written through.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.mkdir()
        except FileExistsError:
            found = part.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                raise RunError(f"cannot make {out}: {part} is in the way; remove it") from None
        return os.open(part, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise RunError(f"cannot make {out}: {error.strerror or error}") from error


def _asked(part: Path) -> bytes | None:
    """What the export was asked for that a killed run left; None where that cannot be told."""
    try:
        return (part / ASKED).read_bytes()
    except OSError:
        return None


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _drop(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
