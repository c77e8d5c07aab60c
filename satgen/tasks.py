"""Tasks in several processes, their answers in order."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from satgen.errors import RunError
from satgen.processes import serve, starting

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future, ProcessPoolExecutor
    from multiprocessing.synchronize import Event

T = TypeVar("T")
R = TypeVar("R")

IN_FLIGHT = 8
"""Tasks a worker that are out at a time: so many that one that takes long stops no other worker,
and so few that neither tasks nor answers pile up."""


def carried_out(
    function: Callable[[T], R], tasks: Sequence[T], workers: int
) -> Iterator[tuple[T, R]]:
    """Each task and what a function says of it, in order.

    Args:
        function: of a module, so that other processes find it.
        tasks: plain values.
        workers: processes; with 1, or for a single task, it is this one.

    Raises:
        RunError: a worker died.
    """
    if workers <= 1 or len(tasks) <= 1:
        return pipelined(function, tasks, 0)
    return pipelined(function, tasks, min(workers, len(tasks)))


def pipelined(
    function: Callable[[T], R], tasks: Iterable[T], workers: int
) -> Iterator[tuple[T, R]]:
    """Each task and what a function says of it, in order, while later tasks are being made.

    An answer is given as soon as it and those before it are there, between two tasks.

    Args:
        function: of a module, so that other processes find it.
        tasks: plain values, taken one by one as there is room for them.
        workers: processes beside this one; 0: the work is done in this one, task by task.

    Raises:
        RunError: a worker died.
    """
    if workers < 1:
        for task in tasks:
            yield task, function(task)
        return
    coming = iter(tasks)
    first = next(coming, None)
    if first is None:
        return
    with processes(workers, (function, first)) as pool:
        yield from answered(pool, function, chain([first], coming), IN_FLIGHT * workers)


def answered(
    pool: Executor, function: Callable[[T], R], tasks: Iterable[T], room: int
) -> Iterator[tuple[T, R]]:
    """Each task and what a function says of it in a pool, in order.

    Args:
        pool: of `processes`, which may have other work beside.
        function, tasks: as `pipelined` has them.
        room: tasks that are out at a time.
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    for task in tasks:
        waiting.append((task, pool.submit(function, task)))
        while waiting and (len(waiting) >= room or waiting[0][1].done()):
            done, answer = waiting.popleft()
            yield done, answer.result()
    while waiting:
        done, answer = waiting.popleft()
        yield done, answer.result()


@contextmanager
def processes(workers: int, payload: Any) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, all started, which are gone after the `with` block.

    Args:
        workers: how many.
        payload: something of what they will be sent, see `satgen.processes.starting`.

    Raises:
        RunError: one died.
    """
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    started = context.Event()
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_serve, initargs=(os.getpid(), started)
    )
    try:
        with starting(payload):
            for _ in range(workers):  # each finds none that is idle, and starts one
                pool.submit(_nothing)
        started.set()
        yield pool
        pool.shutdown()
    except BrokenProcessPool:
        raise RunError("a worker died; the same command goes on from here") from None
    finally:
        # At work on what nobody waits for any more, as after Ctrl-C: none is left after an end.
        # Those of a pool beside go on; this one has none after an orderly end.
        mine = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for child in mine:
            child.terminate()
        for child in mine:
            child.join()
            # the pool's own thread may have seen it end first, and is about to note so
            while child.is_alive():
                time.sleep(0.001)


def _serve(parent: int, started: Event) -> None:
    """Make this process a worker, which is idle only when all others have been started, too."""
    serve(parent)
    started.wait()


def _nothing() -> None:
    """The task that a process is started with."""
