"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".tmp-"
"""How the name of a file begins that is not complete; a killed run may leave some behind."""


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NEW |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def write_atomic(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a file so that, at any moment, its name shows all of it or what was there before.

    It is made under a name that nobody can foresee, as a new file and through no link, so that
    nothing of another's is written to in a folder that others may write, too.

    Args:
        path: the file.
        data: its bytes.
        sync: wait until the disk has the bytes and the name.

    Raises:
        OSError: with `filename` set; what was written so far is removed.
    """
    temporary = f"{path.parent}/{TEMPORARY}{os.urandom(8).hex()}"
    try:
        with os.fdopen(os.open(temporary, _NEW, 0o666), "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise OSError(error.errno, error.strerror, str(path)) from error
    if sync:
        sync_folder(path.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that cannot be; another file there is replaced.

    Raises:
        OSError: it cannot be written.
    """
    try:
        os.link(source, target)
        return
    except FileExistsError:
        if os.path.samefile(source, target):
            return
        target.unlink()
        link_or_copy(source, target)
        return
    except OSError:
        pass
    write_atomic(target, source.read_bytes())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder, where the file system can be asked to."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_all() -> None:
    """Wait until the disk has all that has been written, where the system can be asked to."""
    if hasattr(os, "sync"):
        os.sync()


def temporaries(*folders: Path) -> list[Path]:
    """Incomplete files that a killed run left directly in these folders, sorted."""
    found = []
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError):
            found += [folder / n for n in os.listdir(folder) if n.startswith(TEMPORARY)]
    return sorted(found)


def remove_temporaries(*folders: Path) -> None:
    """Delete the incomplete files directly in these folders, as far as that is permitted."""
    for path in temporaries(*folders):
        with suppress(OSError):
            path.unlink()
