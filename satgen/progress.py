"""How far work of several stages has come: a bar on a terminal, elsewhere a line now and then.

    progress = Progress([Stage("aura", "frame", 20.0), Stage("pairs", "pair", 120.0)])
    with progress.stage("aura") as update:
        update(3, 91)  # done, of all

On a terminal a bar names the stage of how many, its rate and the time left, of the stage and of all
the work. Where stderr is none, a line says the same every half minute or tenth of a stage.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TextIO

from satgen.exits import interrupts

EVERY_S = 30.0
"""Seconds between two lines at most, as far as there is news."""

PART = 0.1
"""Share of a stage that is worth a line sooner."""

LEAST_S = 2.0
"""Seconds between two lines at least: short work says nothing."""

Update = Callable[[int, int], None]
"""Called with what is done and all there is to do. What was done before the first call does not
count toward the rate."""


@dataclass(frozen=True)
class Stage:
    """A part of the work.

    Attributes:
        name: what it is called.
        unit: what is counted.
        seconds: how long all of it may take. Only the ratios between stages matter, and only until
            they have been measured.
    """

    name: str
    unit: str = "frame"
    seconds: float = 1.0


class Progress:
    """Shows how the stages of some work go by.

    Args:
        stages: in the order in which they come; one that has nothing to do may be left out.
        quiet: show nothing.
        stream: where to; None: stderr.
        clock: seconds, from any moment.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = list(stages)
        self._quiet = quiet
        self._stream = stream
        self._clock = clock
        self._spent = 0.0
        """Seconds in which stages were at work, and what these stages were reckoned at."""
        self._reckoned = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[Update]:
        """A function to call as that stage goes on."""
        place = next(i for i, stage in enumerate(self._stages) if stage.name == name)
        stream = self._stream or sys.stderr or io.StringIO()
        show: Callable[[_Counts, float | None], None] | None = None
        several = len(self._stages) > 1
        label = f"{place + 1}/{len(self._stages)} {name}" if several else name
        counts = _Counts(self._stages[place], label, self._clock())
        bar = None
        if not self._quiet and stream.isatty():
            bar = _Bar(stream)
            show = bar
        elif not self._quiet:
            show = _Lines(stream, counts.began)

        def update(done: int, total: int) -> None:
            interrupts.check()
            counts.take(done, total, self._clock())
            if show is None:
                return
            with suppress(OSError, ValueError):  # the work goes on where it cannot be shown
                show(counts, self._left(place, counts) if several else None)

        try:
            yield update
        finally:
            self._spent += counts.spent
            self._reckoned += counts.reckoned
            if bar is not None:
                with suppress(OSError, ValueError):
                    bar.close()

    def _left(self, place: int, counts: _Counts) -> float | None:
        """Seconds until all the work is done, if that can be told yet."""
        spent, reckoned = self._spent + counts.spent, self._reckoned + counts.reckoned
        if counts.left is None or not reckoned:
            return None
        later = sum(stage.seconds for stage in self._stages[place + 1 :])
        return counts.left + later * spent / reckoned


class _Counts:
    """How far the stage at work has come, and how long the rest may take."""

    def __init__(self, stage: Stage, label: str, now: float) -> None:
        self.stage, self.label = stage, label
        self.began = self.now = now
        self.first: int | None = None
        self.done = self.total = 0

    def take(self, done: int, total: int, now: float) -> None:
        if self.first is None:
            self.first, self.began = done, now
        self.done, self.total, self.now = done, total, now

    @property
    def worked(self) -> int:
        return self.done - (self.first or 0)

    @property
    def spent(self) -> float:
        return self.now - self.began

    @property
    def reckoned(self) -> float:
        """Seconds that what was worked had been expected to take."""
        return self.stage.seconds * self.worked / self.total if self.total else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the stage is done."""
        if self.done >= self.total:
            return 0.0
        return self.spent / self.worked * (self.total - self.done) if self.worked else None


class _Bar:
    """Shows progress as a bar on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Any = None

    def __call__(self, counts: _Counts, left: float | None) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=counts.total, initial=counts.done, desc=counts.label, unit=counts.stage.unit,
                delay=1.0, smoothing=0.1, file=self._stream, dynamic_ncols=True,
            )  # fmt: skip
        if left is not None:
            self._bar.set_postfix_str(f"{duration(left)} left in all", refresh=False)
        self._bar.update(counts.done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Lines:
    """Shows progress as lines in a log."""

    def __init__(self, stream: TextIO, now: float) -> None:
        self._stream = stream
        self._last = now
        self._part: int | None = None

    def __call__(self, counts: _Counts, left: float | None) -> None:
        part = int(counts.done / counts.total / PART + 1e-9) if counts.total else 0
        if self._part is None:
            self._part, self._last = part, counts.now
        waited = counts.now - self._last
        if waited < (LEAST_S if part > self._part else EVERY_S):
            return
        self._part, self._last = part, counts.now
        words = [f"{counts.label}: {counts.done} of {counts.total} {counts.stage.unit}s"]
        if counts.worked and counts.spent > 0.0:
            words.append(f"{counts.worked / counts.spent:.3g} a second")
        if counts.left is not None:
            words.append(f"{duration(counts.left)} left")
        if left is not None:
            words.append(f"{duration(left)} in all")
        self._stream.write(", ".join(words) + "\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """A number of seconds in words, such as "2 min 05 s"."""
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
