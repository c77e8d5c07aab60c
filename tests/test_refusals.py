"""Bad values of every option of every command: one line, status 2, and nothing changed.

What options there are, which take numbers, and between which, comes from the commands themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner

from satgen.cli import COMMANDS, main
from satgen.cli.options import PathName, Value
from satgen.errors import LONG

NUMBERS = ("nan", "inf", "-inf", "1e400", "1e30", "-1e30", "9" * 23, "9" * 5000, "1e-", "0x10", "²")
TEXTS = ("\x1b[31m\x07", "x" * 5000, "\udcff", "a\0b", "")
PATHS = ("x" * 256, "y/" + "é" * 128, "x" * 5000, "\udcff", "a\0b")
BASE = {
    "render": ["--workers", "0", "--target", "no-such-target"],
    "verify": ["none"],
    "preview": ["none"],
    "view": ["none", "--no-open"],
    "export": ["none", "--to", "bop"],
    "match": ["none.png", "none.png"],
    "bench": ["none"],
    "train": ["none"],
    "predict": ["none"],
    "targets light": ["none.glb"],
    "targets random": ["7"],
}
"""Words that would be refused themselves, after the options were read."""


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for inner, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, f"{name} {inner}")


def loaded(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


ALL = [found for name in COMMANDS for found in commands(loaded(name), name)]
OPTIONS = [
    (name, option)
    for name, command in ALL
    for option in command.params
    if isinstance(option, click.Option) and not option.is_flag and option.name != "help"
]


def is_number(option: click.Option) -> bool:
    kind = option.type
    if isinstance(kind, Value):
        numeric = kind.kind in (int, float) and not kind.declared.choices
        return numeric and kind.declared.parse is not str
    return kind.name.removesuffix(" range") in ("integer", "float")


NUMERIC = [(name, option) for name, option in OPTIONS if is_number(option)]


def named(found: Any) -> str:
    return found if isinstance(found, str) else str(found.opts[0])


def refused(words: list[str]) -> str:
    """Run a command that must be refused; the line that says so."""
    before = sorted(os.listdir())
    result = CliRunner().invoke(main, words)
    assert isinstance(result.exception, SystemExit), (words, result.exception)
    assert result.exit_code == 2, (words, result.output)
    line: str = result.stderr.removesuffix("\n")
    assert line.startswith("Error: ") and line.isprintable(), (words, line)
    assert len(line) < LONG
    assert sorted(os.listdir()) == before
    return line


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_there_are_options_of_every_kind() -> None:
    assert len(NUMERIC) > 80 and len(OPTIONS) > 150
    assert {"render", "match", "bench", "train", "predict"} <= {name for name, _ in NUMERIC}


@pytest.mark.parametrize(("name", "option"), NUMERIC, ids=named)
def test_every_number_has_a_range_that_help_says(name: str, option: click.Option) -> None:
    kind = option.type
    if isinstance(kind, Value):
        declared = kind.declared
        assert declared.low is not None or declared.above is not None
        assert declared.high is not None or declared.below is not None
        assert declared.range in (option.help or "")
    else:
        assert isinstance(kind, click.IntRange)
        assert kind.min is not None and kind.max is not None


@pytest.mark.parametrize(("name", "option"), NUMERIC, ids=named)
def test_numbers_that_cannot_be_are_refused_by_name(name, option) -> None:
    for value in NUMBERS:
        words = [*name.split(), *BASE.get(name, []), f"{option.opts[0]}={value}"]
        assert option.opts[0] in refused(words)


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=named)
def test_texts_that_cannot_be_are_refused(name, option) -> None:
    if option.nargs != 1 or name in ("targets build", "targets random"):
        pytest.skip("takes several words, or has nothing else to refuse")
    paths = isinstance(option.type, PathName)
    for value in PATHS if paths else TEXTS:
        refused([*name.split(), *BASE.get(name, []), f"{option.opts[0]}={value}"])
    if paths:
        words = [*name.split(), *BASE.get(name, []), f"{option.opts[0]}={PATHS[0]}"]
        assert "too long a name" in refused(words)


@pytest.mark.parametrize(
    "words",
    [
        ["render", "--stop", "99999999999999999999999"],
        ["render", "--distance", "1e20"],
        ["render", "--fov", "1e-30"],
        ["render", "--seed", "9" * 23],
        ["render", "--target", "x" * 300],
        ["render", "--target", "x" * 300 + ".glb"],
        ["render", "--target", "random:" + "9" * 5000],
        ["render", "--trajectory", "file:" + "x" * 300],
        ["render", "--sensor", "x" * 300 + ".json"],
        ["render", "--rig", "x" * 300],
        ["render", "--sun", "random:0,1e400"],
        ["render", "--sun", "sweep:nan,3"],
        ["render", "--roll", "random:" + "9" * 5000],
        ["render", "--offset", "1e400%,nan"],
        ["render", "--distortion", "1e300,1,1,1"],
        ["render", "--intrinsics", "1e300,1,1,1"],
        ["render", "--aim", "1e300,0,0"],
        ["train", "none", "--threads", "2147483648"],
        ["bench", "none", "--ransac-px", "inf"],
        ["bench", "none", "--pairs", "²"],
        ["bench", "none", "--pairs", "9" * 30],
        ["verify", "x" * 300],
        ["preview", "x" * 300],
        ["match", "x" * 300, "x" * 300],
    ],
    ids=lambda words: "-".join(word[:14] for word in words),
)
def test_what_once_ended_in_a_traceback(words) -> None:
    refused(words)


def test_a_preview_is_refused_before_its_sheet_is_drawn() -> None:
    for words in (["--fps", "101"], ["--film", "a.txt"], ["--sheet", "a.txt"], ["--film", "."]):
        assert words[1] in refused(["preview", "none", *words])
    assert "two files" in refused(["preview", "none", "--sheet", "a.gif", "--film", "a.gif"])
    assert "nothing to draw" in refused(["preview", "none", "--no-sheet", "--no-film"])
