"""What several commands share: the progress bar and how sizes and times are written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@contextmanager
def progress_bar(label: str, unit: str = "frame") -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, total), shown as a bar with rate and time left.

    Nothing is shown where stderr is not a terminal. What was done before the first call does not
    count toward the rate.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from tqdm import tqdm

    bar: Any = None

    def update(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=total, initial=done, desc=label, unit=unit, delay=1.0, smoothing=0.1)
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        if bar is not None:
            bar.close()


def echo_json(data: Any) -> None:
    """Print an answer for scripts."""
    click.echo(json.dumps(data, indent=1, ensure_ascii=False))


def megabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def features_or_default(features: str | None) -> str:
    """The features that were named, or else the default; a person is told what else there is."""
    from matchers.registry import default_features

    if features is not None:
        return features
    chosen = default_features()
    if chosen == "sift" and sys.stderr.isatty():
        click.echo(
            "SIFT features, as nothing has been downloaded; `satgen weights --fetch` gets ALIKED.",
            err=True,
        )
    return chosen
