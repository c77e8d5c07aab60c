"""satgen.progress: bars on a terminal, lines elsewhere, and the time left for all of it."""

from __future__ import annotations

import io

from satgen.progress import Progress, Stage


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines(seconds: float, count: int, *, first: int = 0, quiet: bool = False) -> list[str]:
    """What a stage of `count` pairs says, each of which takes so many seconds."""
    clock, stream = Clock(), io.StringIO()
    progress = Progress([Stage("pairs", "pair")], quiet=quiet, stream=stream, clock=clock)
    with progress.stage("pairs") as update:
        for done in range(first, count + 1):
            update(done, count)
            clock.now += seconds
    return stream.getvalue().splitlines()


def test_a_line_every_tenth_or_half_minute() -> None:
    tenths = lines(0.5, 100)
    assert len(tenths) == 10
    assert tenths[0] == "pairs: 10 of 100 pairs, 2 a second, 45.0 s left"
    assert tenths[-1].startswith("pairs: 100 of 100 pairs")
    slow = lines(1.0, 3600)
    assert 0.9 * 120 <= len(slow) <= 1.2 * 120
    assert "pairs: 30 of 3600 pairs, 1 a second, 59 min 30 s left" in slow


def test_short_work_and_quiet_work_say_nothing() -> None:
    assert lines(0.01, 100) == []
    assert lines(10.0, 100, quiet=True) == []


def test_what_was_there_counts_toward_no_rate() -> None:
    assert lines(0.5, 100, first=80)[0] == "pairs: 90 of 100 pairs, 2 a second, 5.0 s left"


def test_the_time_for_all_of_it_comes_from_what_was_measured() -> None:
    clock, stream = Clock(), io.StringIO()
    stages = [Stage("skipped", "frame", 50.0), Stage("a", "frame", 10.0), Stage("b", "step", 30.0)]
    progress = Progress(stages, stream=stream, clock=clock)
    with progress.stage("skipped"):
        clock.now += 7.0  # nothing to do
    for name in ("a", "b"):
        with progress.stage(name) as update:
            for done in range(11):
                update(done, 10)
                clock.now += 3.0  # half of "a", then, takes 15 s, and "b" was said to take 3 "a"s
    said = stream.getvalue().splitlines()
    assert said[4] == "2/3 a: 5 of 10 frames, 0.333 a second, 15.0 s left, 1 min 45 s in all"
    assert said[-6] == "3/3 b: 5 of 10 steps, 0.333 a second, 15.0 s left, 15.0 s in all"


def test_a_terminal_has_a_bar_that_names_the_stage() -> None:
    stream = Terminal()
    clock = Clock()
    progress = Progress([Stage("a"), Stage("b", "pair")], stream=stream, clock=clock)
    for name in ("a", "b"):
        with progress.stage(name) as update:
            for done in range(3):
                update(done, 2)
                clock.now += 60.0
    assert not any(line.startswith("1/2 a: 1 of 2") for line in stream.getvalue().splitlines())
    quiet = Terminal()
    with Progress([Stage("a")], quiet=True, stream=quiet).stage("a") as update:
        update(1, 2)
    assert quiet.getvalue() == ""
