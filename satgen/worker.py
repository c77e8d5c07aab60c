"""A worker process: takes views, writes their images, answers with their records."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from satgen.config import RenderConfig, file_sha256, model_path
from satgen.dataset import image_path, write_atomic
from satgen.errors import RunError, SatgenError
from satgen.frame import IMAGES, FrameMaker, Record, View
from satgen.keypoints import Landmarks


@dataclass(frozen=True)
class Job:
    """What a worker is told at its start.

    Attributes:
        config: the dataset's configuration.
        landmarks: the target's.
        folder: the dataset's.
        platform: the OpenGL platform.
        parent: process id of the process whose end ends the worker.
    """

    config: RenderConfig
    landmarks: Landmarks
    folder: Path
    platform: str
    parent: int


@dataclass(frozen=True)
class Ready:
    """A worker's first message.

    Attributes:
        gl: the OpenGL renderer's and version's names.
    """

    gl: dict[str, str]


@dataclass(frozen=True)
class Failure:
    """A worker's last message.

    Attributes:
        message: one line.
        trace: the traceback of a defect; empty for an error that was raised on purpose.
    """

    message: str
    trace: str = ""


def work(job: Job, tasks: Connection) -> None:
    """Body of the process: views come in lists through `tasks`, lists of records go back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    die_with_parent(job.parent)
    try:
        _serve(job, tasks)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)  # the parent is gone
    except Exception as error:
        known = isinstance(error, SatgenError)
        message = str(error) or type(error).__name__
        tasks.send(Failure(message, "" if known else traceback.format_exc()))
        sys.exit(1)


def _serve(job: Job, tasks: Connection) -> None:
    from satgen.targets.load import load_target

    target = job.config.target
    model = load_target(target.source, target.scale, target.up)
    if file_sha256(model_path(target)) != target.sha256:
        raise RunError(f"{model_path(target)}: changed while it was being rendered")
    with FrameMaker(job.config, model, job.landmarks, job.platform) as maker:
        del model
        tasks.send(Ready(_gl_strings(job.platform)))
        while views := tasks.recv():
            tasks.send(_render(job, maker, views))


def _render(job: Job, maker: FrameMaker, views: Sequence[View]) -> list[Record]:
    records = []
    for view in views:
        if os.getppid() != job.parent:
            raise EOFError
        record, files = maker.make(view)
        for kind, data in zip(IMAGES, files, strict=True):
            try:
                write_atomic(image_path(job.folder, kind, view.index), data)
            except OSError as error:
                raise RunError(f"cannot write {error.filename}: {error.strerror}") from error
        records.append(record)
    return records


def _gl_strings(platform: str) -> dict[str, str]:
    from OpenGL import GL

    def text(name: Any) -> str:
        return str(GL.glGetString(name).decode())

    return {
        "platform": platform,
        "renderer": text(GL.GL_RENDERER),
        "version": text(GL.GL_VERSION),
    }


def die_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent dies, however it dies (Linux).

    Elsewhere the worker notices between two frames.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before the request
        os._exit(1)
