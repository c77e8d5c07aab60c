"""Prepared images of a dataset: one memory-mapped array, made once, whole or not at all.

```
CACHE/
  aura-rgb-1f0c5a6e9b7d2c48/   one dataset, one kind of image, one preparation
    images.npy                 (N, S, S) or (N, S, S, 3), as `Preparation.apply` makes them
    identity.json              what they were made of, their shape and SHA-256
```

An entry is named by its identity, in which the dataset stands with the SHA-256 of its images. It is
written beside its place and renamed when the disk has all of it. Whoever prepares holds a lock on
the folder, so a second process waits and then finds what the first one made, and what a killed one
left behind can be told and is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from satgen.atomic import TEMPORARY, sync_folder
from satgen.dataset import is_dataset
from satgen.errors import InputError, RunError
from satgen.processes import default_workers
from satgen.sequences.images import Image
from satgen.sequences.stores import ArrayStore, Preparation, read_frame
from satgen.sequences.track import Track

FORMAT = "satgen-prepared-images"
VERSION = 1

UNFINISHED = f"{TEMPORARY}prepared-"
"""How the name of an entry begins that is not whole yet."""

IMAGES = "images.npy"
IDENTITY = "identity.json"

_CHUNK = 64
"""Images that are read before they are written: what is in memory at a time."""


def prepared(cache: Path, track: Track, preparation: Preparation) -> ArrayStore:
    """The images of a dataset from the cache, prepared first if they are not there.

    A folder that this had to make, and that ends up empty, is taken away again.

    Raises:
        InputError: the cache is no folder, or an image is missing or damaged.
        RunError: the cache cannot be written.
    """
    identity = _identity(track, preparation)
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    entry = cache / f"{track.name}-{preparation.kind}-{key}"
    if (store := _open(entry, identity)) is not None:
        return store
    made: list[Path] = []
    try:
        if cache.exists() and not cache.is_dir():
            raise InputError(f"cache {cache}: not a folder")
        if is_dataset(cache):
            raise InputError(f"cache {cache}: is a dataset: name a folder beside it")
        made = _missing(cache)
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache):
            for rest in cache.glob(f"{UNFINISHED}*"):
                shutil.rmtree(rest, ignore_errors=True)
            if (store := _open(entry, identity)) is not None:
                return store
            _make(cache, entry, track, preparation, identity)
    except OSError as error:
        raise RunError(f"cannot prepare images in {cache}: {error.strerror or error}") from None
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
    store = _open(entry, identity)
    if store is None:
        raise RunError(f"{entry}: the prepared images cannot be read back")
    return store


def _missing(folder: Path) -> list[Path]:
    """The folder and those above it that do not exist, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _identity(track: Track, preparation: Preparation) -> dict[str, Any]:
    import cv2

    listed = zip(track.indices.tolist(), track.sha256[preparation.kind], strict=True)
    content = hashlib.sha256("".join(f"{index} {sha}\n" for index, sha in listed).encode())
    return {
        "format": FORMAT,
        "version": VERSION,
        "dataset": content.hexdigest(),
        "frames": len(track.indices),
        "kind": preparation.kind,
        "colour": preparation.colour,
        "square": None if preparation.square is None else list(preparation.square),
        "size": preparation.size,
        "opencv": cv2.__version__,  # its averages may change in the last digit
    }


def _open(entry: Path, identity: dict[str, Any]) -> ArrayStore | None:
    """An entry that is whole, or None."""
    path = entry / IMAGES
    try:
        facts = json.loads((entry / IDENTITY).read_text(encoding="utf-8"))
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        if any(facts.get(key) != value for key, value in identity.items()):
            return None
    except (OSError, EOFError, ValueError, AttributeError):
        return None
    if list(images.shape) != facts.get("shape") or images.shape[0] != identity["frames"]:
        return None
    return ArrayStore(path.absolute(), images.dtype, images.shape, int(images.offset))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when a process ends, however it does."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(
    cache: Path, entry: Path, track: Track, preparation: Preparation, identity: dict[str, Any]
) -> None:
    """Write an entry beside its place, then rename it."""
    temporary = cache / f"{UNFINISHED}{os.getpid()}-{entry.name}"
    temporary.mkdir()
    try:
        digest = hashlib.sha256()
        shape: tuple[int, ...] = ()
        with open(temporary / IMAGES, "wb") as file:
            for images in _chunks(track, preparation):
                if not shape:
                    shape = (len(track.indices), *images.shape[1:])
                    header = {"descr": images.dtype.str, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                data = images.tobytes()
                digest.update(data)
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        facts = identity | {"shape": list(shape), "sha256": digest.hexdigest()}
        with open(temporary / IDENTITY, "w", encoding="utf-8") as text:
            text.write(json.dumps(facts, indent=1) + "\n")
            text.flush()
            os.fsync(text.fileno())
        sync_folder(temporary)
        if entry.exists():  # it is there and could not be opened: damaged
            shutil.rmtree(entry)
        os.rename(temporary, entry)
        sync_folder(cache)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _chunks(track: Track, preparation: Preparation) -> Iterator[Image]:
    """The prepared images in order, some at a time; each file's SHA-256 is checked."""
    from tqdm import tqdm

    kind, hashes = preparation.kind, track.sha256[preparation.kind]

    def make(row: int) -> Image:
        raw = read_frame(track.folder, kind, int(track.indices[row]), hashes[row])
        return preparation.apply(raw)

    count = len(track.indices)
    with (
        ThreadPoolExecutor(max_workers=default_workers()) as pool,
        tqdm(total=count, desc=f"prepare {track.name}", unit="frame", delay=2, disable=None) as bar,
    ):
        for start in range(0, count, _CHUNK):
            images = list(pool.map(make, range(start, min(start + _CHUNK, count))))
            for row, image in enumerate(images, start):
                if image.shape != images[0].shape or image.dtype != images[0].dtype:
                    raise InputError(
                        f"{track.folder}: frames {track.indices[start]} and {track.indices[row]} "
                        f"differ in size or bit depth"
                    )
            yield np.stack(images)
            bar.update(len(images))
