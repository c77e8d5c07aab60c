"""A worker process: takes indices, writes their images, answers with their records."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from satgen.atomic import write_atomic
from satgen.config import RenderConfig
from satgen.dataset import image_path
from satgen.errors import RunError, SatgenError
from satgen.frame_maker import FrameMaker, viewpoints
from satgen.options import RenderOptions
from satgen.processes import serve
from satgen.records import FrameRecord
from satgen.scene import scene_of


@dataclass(frozen=True)
class Start:
    """What a worker needs to get ready: known at once, before the parent has loaded the target.

    Attributes:
        options: the request.
        platform: the OpenGL platform.
        parent: process id of the process whose end ends the worker.
    """

    options: RenderOptions
    platform: str
    parent: int


@dataclass(frozen=True)
class RenderJob:
    """What to render and where to: a worker is told when the parent knows it.

    Attributes:
        folder: the dataset's.
        config: what the request came to.
    """

    folder: Path
    config: RenderConfig


@dataclass(frozen=True)
class Ready:
    """A worker's first message: it can render.

    Attributes:
        gl: the OpenGL platform, renderer and version.
        config: what the request came to here; the same as in the parent, unless a file has changed
            in between.
    """

    gl: dict[str, str]
    config: RenderConfig


@dataclass(frozen=True)
class Failure:
    """A worker's last message: why it gave up.

    Attributes:
        message: one line.
        trace: the traceback of a defect; empty for an error that was raised on purpose.
    """

    message: str
    trace: str = ""


def work(start: Start, tasks: Connection) -> None:
    """Body of the process. Through `tasks` come a job, then lists of indices, and None at the end;
    back go `Ready`, then a list of records for each list, or a `Failure`."""
    serve(start.parent)
    gc.disable()  # until all that lasts is there
    try:
        _serve(start, tasks)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)  # the parent is gone
    except Exception as error:
        known = isinstance(error, SatgenError)
        message = str(error) or type(error).__name__
        with suppress(OSError):
            tasks.send(Failure(message, "" if known else traceback.format_exc()))
        sys.exit(1)


def _serve(start: Start, tasks: Connection) -> None:
    scene = scene_of(start.options)
    with FrameMaker(scene, start.platform) as maker:
        del scene
        gc.freeze()  # what is there by now is not looked through again
        gc.enable()
        tasks.send(Ready(maker.gl_strings(), maker.config))
        job = tasks.recv()
        if job is None:
            return
        while indices := tasks.recv():
            tasks.send(write_frames(job.folder, maker, indices, start.parent))


def write_frames(
    folder: Path, maker: FrameMaker, indices: Sequence[int], parent: int | None = None
) -> list[FrameRecord]:
    """Records of frames whose images are all on disk; one is written while the next renders.

    Args:
        folder: the dataset's.
        maker: renders them.
        indices: of its scene, in any order.
        parent: process without which this one is to end.

    Raises:
        RunError: an image cannot be written.
        EOFError: the parent is gone.
    """
    records = []
    with ThreadPoolExecutor(max_workers=1) as writer:
        writes = []
        for view in viewpoints(maker.views.at(indices)):
            if parent is not None and os.getppid() != parent:
                raise EOFError
            record, files = maker.make(view)
            kinds = maker.config.images
            writes.append(writer.submit(_write, folder, view.index, kinds, files))
            records.append(record)
        for write in writes:
            write.result()
    return records


def _write(folder: Path, index: int, kinds: Sequence[str], files: Sequence[bytes]) -> None:
    for kind, data in zip(kinds, files, strict=True):
        try:
            write_atomic(image_path(folder, kind, index), data)
        except OSError as error:
            raise RunError(f"cannot write {error.filename}: {error.strerror}") from error
