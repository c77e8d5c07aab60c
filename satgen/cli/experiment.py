"""What the commands that run experiments share: `satgen bench` and `satgen predict`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from satgen.cli.common import MOST_WORKERS, F, duration, echo_json, json_option, run_options
from satgen.errors import InputError

if TYPE_CHECKING:
    from bench.result import Result


def experiment_options(
    name: str, way: str, workers: tuple[int | None, str] = (1, "Processes.")
) -> Callable[[F], F]:
    """A decorator that adds --workers, those of `run_options`, --compare and --json.

    Args:
        name: of the command, and of the folder in runs.
        way: what a run compares, in capitals: RUN:WAY picks one of a run's.
        workers: default of --workers, and its help. None: the command finds one, and 0 is allowed.
    """
    count, told = workers
    decorators = (
        click.option(
            "--workers",
            type=click.IntRange(0 if count is None else 1, MOST_WORKERS),
            default=count,
            show_default=count is not None,
            help=told,
        ),
        run_options(f"Folder of the run.  [default: runs/{name}, or runs/{name}-N]"),
        click.option(
            "--compare",
            type=(str, str),
            metavar="RUN_A RUN_B",
            help=f"Put two runs side by side instead; RUN:{way} picks one of a run's "
            f"{way.lower()}s.",
        ),
        json_option,
    )

    def decorate(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def show_comparison(
    compare: Callable[[str, str], dict[str, Any]],
    as_text: Callable[[dict[str, Any]], str],
    runs: tuple[str, str],
    datasets: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Print what two runs come to side by side.

    Args:
        compare: of the two runs.
        as_text: the answer for the terminal.
        runs: as given to --compare.
        datasets: as given besides; there must be none.
        as_json: print it as JSON.

    Raises:
        InputError: a dataset, or as `compare`.
    """
    if datasets:
        raise InputError(f"--compare takes two runs and no dataset, got {datasets[0]}")
    answer = compare(*runs)
    if as_json:
        echo_json(answer)
    else:
        click.echo(as_text(answer))


def show_result(result: Result, began: float, as_json: bool) -> None:
    """Print a finished run's summary as JSON; or as a table, with its page and how long it took.

    Args:
        result: the run.
        began: `time.perf_counter()` at its start.
        as_json: print it as JSON.
    """
    if as_json:
        echo_json(result.summary)
    else:
        click.echo(str(result))
        click.echo(f"{result.report} ({duration(time.perf_counter() - began)})")
