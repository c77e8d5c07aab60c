"""Things that take long to make and are kept in the cache folder: named arrays and a JSON object.

Each is one file, named after all that it was made from. It is written whole or not at all, and read
only if it is the user's own and its bytes have the SHA-256 that it begins with; whatever else lies
there is made anew. Nothing in it is ever run. Together they take MOST_BYTES at most: the ones that
were used last are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.atomic import TEMPORARY, write_atomic
from satgen.folders import cache_folder

MOST_BYTES = 4 << 30
"""Of all that is kept."""
_DIGEST = 64
_SUFFIX = ".stored"
_LOCK_SUFFIX = ".lock"

Arrays = Mapping[str, NDArray[Any]]


def folder() -> Path:
    """Where things are kept: `models` in the cache folder."""
    return cache_folder("models")


@lru_cache(maxsize=1)
def code() -> str:
    """What tells the code that reads and packs models from any other."""
    import PIL

    package = Path(__file__).resolve().parent
    sources = [
        *package.glob("*.py"),
        *package.glob("targets/*.py"),
        *package.glob("rendering/*.py"),
        *package.glob("surroundings/*.py"),
        *package.glob("surroundings/data/*"),
    ]
    digest = hashlib.sha256(f"{np.__version__} {PIL.__version__}".encode())
    for path in sorted(sources):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def name_of(*made_from: object) -> str:
    """The name of what is made by this code from these values, which JSON knows."""
    text = json.dumps([code(), *made_from], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(name: str) -> tuple[dict[str, NDArray[Any]], Any] | None:
    """Arrays (read-only) and the JSON value of what is kept under a name; None if there is none,
    or what is there is damaged or somebody else's."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder() / (name + _SUFFIX)
    try:
        handle = os.open(path, os.O_RDONLY | _SAFE)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            mine = not hasattr(os, "geteuid") or status.st_uid in (0, os.geteuid())
            if not (stat.S_ISREG(status.st_mode) and mine) or status.st_size > MOST_BYTES:
                return None
            digest, data = file.read(_DIGEST), file.read()
        if hashlib.sha256(data).hexdigest().encode() != digest:
            return None
        arrays = load(data)
        about = json.loads(arrays.pop("about").tobytes())
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError, RecursionError):
        return None
    with suppress(OSError):
        os.utime(path)  # it was used
    return arrays, about


def write(name: str, arrays: Arrays, about: object) -> None:
    """Keep arrays and a JSON value under a name, if there is room; what cannot be written is not
    kept."""
    from safetensors.numpy import save

    text = json.dumps(about).encode()
    data = save(
        {**{k: np.ascontiguousarray(a) for k, a in arrays.items()},
         "about": np.frombuffer(text, dtype=np.uint8)}
    )  # fmt: skip
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        if len(data) > MOST_BYTES // 2 or shutil.disk_usage(place).free < 3 * len(data):
            return
        _make_room(place, len(data))
        digest = hashlib.sha256(data).hexdigest().encode()
        write_atomic(place / (name + _SUFFIX), digest + data)
    except OSError:
        return


@contextmanager
def alone(name: str) -> Iterator[None]:
    """No two processes make the same thing at a time: the second waits until the first has it.

    Where files cannot be locked, both make it.
    """
    handle = None
    try:
        try:
            import fcntl

            place = folder()
            place.mkdir(parents=True, exist_ok=True)
            path = place / (name[:16] + _LOCK_SUFFIX)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | _SAFE, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except (ImportError, OSError):
            pass
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _make_room(place: Path, needed: int) -> None:
    """Delete what was used longest ago until so many bytes more fit, and what killed runs left."""
    kept = []
    for path in place.iterdir():
        with suppress(OSError):
            status = path.stat()
            if path.suffix in (_SUFFIX, _LOCK_SUFFIX) or path.name.startswith(TEMPORARY):
                kept.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in kept)
    newest = max((at for at, _, _ in kept), default=0.0)
    for at, size, path in sorted(kept):
        stale = path.suffix != _SUFFIX and at < newest - 86400.0
        if stale or (total + needed > MOST_BYTES and path.suffix == _SUFFIX):
            with suppress(OSError):
                path.unlink()
                total -= size


_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_SAFE |= getattr(os, "O_BINARY", 0)
