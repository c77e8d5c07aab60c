"""What several commands share: the progress bar and how sizes and times are written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import click

from satgen.cli.options import PATH
from satgen.errors import one_line
from satgen.progress import Progress, Stage, Update
from satgen.progress import duration as duration
from satgen.shards import ENVIRONMENT

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


MOST_WORKERS = 1024
"""Most processes or threads that may be asked for."""

F = TypeVar("F", bound=Callable[..., Any])


def run_options(out: str) -> Callable[[F], F]:
    """A decorator that adds the options of every command that fills a folder over a while: --out,
    --resume, --overwrite and --quiet, as `out`, `resume`, `overwrite` and `quiet`.

    Args:
        out: the help of --out, with its default.
    """
    options = (
        click.option("--out", type=PATH, help=out),
        click.option(
            "--resume/--no-resume",
            default=True,
            show_default=True,
            help="Go on with this very run where it was stopped.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace another run in the folder."),
        click.option("--quiet", is_flag=True, help="Show no progress."),
    )

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def shard_option(verb: str, of_what: str) -> Callable[[F], F]:
    """A decorator that adds --shard, as `shard`.

    Args:
        verb: what is done with a part.
        of_what: there are parts of, and what becomes of them, for the help.
    """
    return click.option(
        "--shard",
        metavar="I/N",
        is_flag=False,
        flag_value=ENVIRONMENT,
        help=f"{verb} the I-th of N parts of the {of_what}. Without I/N, or with auto/N, the one "
        "of this task of a Slurm array.",
    )


@contextmanager
def resumable() -> Iterator[None]:
    """Work that the same command goes on with after Ctrl-C, which is said then."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)("what is written is good; the same command goes on from here.") from None


def progress_bar(
    label: str, unit: str = "frame", *, quiet: bool = False
) -> AbstractContextManager[Update]:
    """Progress of work that has a single stage: a function to call with (done, total)."""
    return Progress([Stage(label, unit)], quiet=quiet).stage(label)


def echo_json(data: Any) -> None:
    """Print an answer as JSON, for scripts."""
    click.echo(json.dumps(data, indent=1, ensure_ascii=False))


def echo_warning(line: str) -> None:
    """Tell a person something that does not keep the work from being done."""
    click.echo(one_line(line), err=True)


def megabytes(count: int) -> str:
    """A number of bytes in words, such as "3.4 MB"."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def features_or_default(features: str | None) -> str:
    """The features that were named, or else the default; a person is told what else there is."""
    from matchers.registry import UNFETCHED, default_features

    if features is not None:
        return features
    chosen = default_features()
    if chosen == UNFETCHED and sys.stderr.isatty():
        click.echo(
            "SIFT features, as nothing has been downloaded; `satgen weights --fetch` gets ALIKED.",
            err=True,
        )
    return chosen
