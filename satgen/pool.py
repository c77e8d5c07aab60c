"""A pool of worker processes that render views.

Processes are started afresh (spawn), so that none inherits an OpenGL context, a lock or a file.
Each has a pipe of its own: when either side dies, the other one learns of it at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from satgen.errors import RunError
from satgen.frame_maker import FrameMaker
from satgen.processes import starting
from satgen.records import FrameRecord
from satgen.rendering.context import environment
from satgen.scene import Scene
from satgen.worker import Failure, Ready, RenderJob, Start, work, write_frames

CHUNK = 8
"""Views a task: neighbours, so that what they share (a shadow map under a fixed sun) is reused."""

IN_FLIGHT = 2
"""Tasks a worker holds: one that it renders and one that waits, so that it never idles."""

REAPING_S = 60.0
"""How long a process that has closed its pipe may take to end, and say how, on a busy machine."""

GO_ON = "what is written is good; run the same command again to go on"


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    tasks: int = 0
    ready: bool = False


class Pool(AbstractContextManager["Pool"]):
    """Worker processes for one dataset, as a context manager: they get ready on their own, and are
    given their job by `begin`.

    Args:
        start: what they need to get ready.
        workers: how many.
    """

    def __init__(self, start: Start, workers: int) -> None:
        self._job: RenderJob | None = None
        self._workers: list[_Worker] = []
        context = multiprocessing.get_context("spawn")
        try:
            with starting(start), environment(**_one_thread()):
                for number in range(1, workers + 1):
                    ours, theirs = context.Pipe()
                    process = context.Process(
                        target=work, args=(start, theirs), name=f"worker {number}", daemon=True
                    )
                    process.start()
                    theirs.close()
                    self._workers.append(_Worker(process, ours))
        except BaseException:
            self.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes: those that have nothing to do by themselves, the others by force."""
        for worker in self._workers:
            if worker.ready and worker.tasks == 0:
                with suppress(OSError):
                    worker.pipe.send(None)
            else:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(timeout=5.0)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def begin(self, job: RenderJob) -> dict[str, str]:
        """Give the workers their job and wait until one can render; its OpenGL strings.

        Raises:
            RunError: a worker could not start.
        """
        self._job = job
        while True:
            for worker in self._readable():
                message = self._receive(worker)
                if isinstance(message, Ready):
                    return message.gl

    def render(self, indices: Sequence[int]) -> Iterator[list[FrameRecord]]:
        """Render frames and write their images; yields records in the order they get done.

        Raises:
            RunError: a worker failed or died.
        """
        size = max(1, min(CHUNK, len(indices) // (len(self._workers) * IN_FLIGHT)))
        chunks = deque(indices[i : i + size] for i in range(0, len(indices), size))
        pending = len(chunks)
        for worker in self._workers:
            self._feed(worker, chunks)
        while pending:
            for worker in self._readable():
                message = self._receive(worker)
                if not isinstance(message, Ready):
                    worker.tasks -= 1
                    pending -= 1
                self._feed(worker, chunks)
                if not isinstance(message, Ready):
                    yield message

    def _feed(self, worker: _Worker, chunks: deque[Sequence[int]]) -> None:
        while worker.ready and chunks and worker.tasks < IN_FLIGHT:
            try:
                worker.pipe.send(chunks[0])
            except OSError:
                raise _death(worker) from None
            chunks.popleft()
            worker.tasks += 1

    def _readable(self) -> list[_Worker]:
        ready = wait([worker.pipe for worker in self._workers])
        return [worker for worker in self._workers if worker.pipe in ready]

    def _receive(self, worker: _Worker) -> Any:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            raise _death(worker) from None
        if isinstance(message, Failure):
            if message.trace:
                raise RuntimeError(f"{worker.process.name} failed\n{message.trace}")
            raise RunError(message.message)
        if isinstance(message, Ready) and self._job is not None:
            if message.config != self._job.config:
                source = self._job.config.target.source
                raise RunError(f"{source}, or the pose table, changed while it was rendered")
            worker.pipe.send(self._job)
            worker.ready = True
        return message


class Alone(AbstractContextManager["Alone"]):
    """Renders in this process, with the methods of a `Pool`.

    Args:
        scene: what is rendered.
        platform: the OpenGL platform.
    """

    def __init__(self, scene: Scene, platform: str) -> None:
        self._scene = scene
        self._platform = platform
        self._maker: FrameMaker | None = None
        self._job: RenderJob | None = None

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the OpenGL context."""
        if self._maker is not None:
            self._maker.close()

    def begin(self, job: RenderJob) -> dict[str, str]:
        """Take the job; the OpenGL strings."""
        self._job = job
        self._maker = FrameMaker(self._scene, self._platform)
        return self._maker.gl_strings()

    def render(self, indices: Sequence[int]) -> Iterator[list[FrameRecord]]:
        """Render frames and write their images; yields records in the order they get done.

        Raises:
            RunError: an image cannot be written.
        """
        assert self._job is not None and self._maker is not None, "begin comes first"
        for i in range(0, len(indices), CHUNK):
            yield write_frames(self._job.folder, self._maker, indices[i : i + CHUNK])


def _one_thread() -> dict[str, str]:
    """Environment variables by which NumPy's linear algebra uses no threads of its own, but for
    what is set: workers are the parallelism, and threads that wait for work keep others from it."""
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    return {name: "1" for name in names if name not in os.environ}


def _death(worker: _Worker) -> RunError:
    worker.process.join(timeout=REAPING_S)
    code = worker.process.exitcode
    cause = f"ended with status {code}"
    if code is None:
        cause = "closed its pipe"
    elif code < 0:
        cause = f"was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            cause += " (out of memory?)"
    return RunError(f"{worker.process.name}, process {worker.process.pid}, {cause}: {GO_ON}")
