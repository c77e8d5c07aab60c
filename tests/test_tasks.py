"""satgen.tasks: answers in order, given as they come, from processes that are gone afterwards."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator

import pytest

from satgen.errors import RunError
from satgen.tasks import IN_FLIGHT, carried_out, pipelined


def squared(number: int) -> int:
    if number < 0:
        os._exit(3)
    time.sleep(0.02 if number % 3 == 0 else 0.0)
    return number * number


def slowly(number: int) -> int:
    time.sleep(0.2)
    return number


def process(_: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_answers_come_in_order(workers: int) -> None:
    wanted = [(n, n * n) for n in range(20)]
    assert list(pipelined(squared, iter(range(20)), workers)) == wanted
    assert list(carried_out(squared, range(20), workers)) == wanted
    assert list(pipelined(squared, [], workers)) == []
    assert not multiprocessing.active_children()


def test_tasks_are_made_while_others_are_at_work_and_never_far_ahead() -> None:
    made: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    answers = pipelined(process, tasks(), 1)
    _, first = next(answers)
    assert first != os.getpid()
    assert len(made) <= IN_FLIGHT
    answers.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_without_workers_a_task_is_made_when_it_is_its_turn() -> None:
    made: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    answers = pipelined(process, tasks(), 0)
    assert next(answers) == (0, os.getpid()) and made == [0]


def test_pools_beside_one_another_end_by_themselves() -> None:
    """As where some read what others judge: those that are done first leave the others alone."""

    def read() -> Iterator[int]:
        for _, number in pipelined(squared, range(6), 1):
            yield number

    assert [n for n, _ in pipelined(slowly, read(), 2)] == [n * n for n in range(6)]
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_is_told_of() -> None:
    with pytest.raises(RunError, match="a worker died"):
        list(pipelined(squared, [1, -1, 2], 1))
    assert not multiprocessing.active_children()
