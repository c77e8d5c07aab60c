"""Tasks of a run in several processes, their answers in order."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from satgen.errors import RunError
from satgen.processes import serve, starting

T = TypeVar("T")
R = TypeVar("R")


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
        for task in tasks:
            yield task, function(task)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=serve, initargs=(os.getpid(),)
    )
    try:
        with starting((function, tasks)):
            answers = [pool.submit(function, task) for task in tasks]
        for task, answer in zip(tasks, answers, strict=True):
            yield task, answer.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise RunError("a worker died; the same command goes on from here") from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # At work on what nobody waits for any more, as after Ctrl-C: none is left after an end.
        mine = [child for child in multiprocessing.active_children() if child not in others]
        for child in mine:
            child.terminate()
        for child in mine:
            child.join()
