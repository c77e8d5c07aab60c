"""How commands end that cannot be done: a line that a terminal may be shown, and a status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from satgen.cli import COMMANDS, main
from satgen.errors import LINE, cut, one_line
from tests.limits import PATIENCE_S


@given(st.text(st.characters(), max_size=2000))
def test_a_message_is_a_line_that_steers_no_terminal(text: str) -> None:
    line = one_line(text)
    assert len(line) <= LINE
    assert line.isprintable()


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=250))
def test_a_word_of_usual_length_is_not_changed(text: str) -> None:
    assert one_line(f"{text}: must be 3") == f"{text}: must be 3"


@given(st.text(), st.integers(3, 90))
def test_what_is_cut_keeps_its_ends(text: str, most: int) -> None:
    short = cut(text, most)
    assert len(short) == min(len(text), most)
    if short != text:
        begin = (most - 1) // 2
        assert text.startswith(short[:begin]) and text.endswith(short[-begin:])


def test_escape_sequences_are_shown_as_text() -> None:
    assert one_line("\x1b[31mred\x1b[0m\u202e \udcff") == r"\x1b[31mred\x1b[0m\u202e \udcff"


@pytest.mark.parametrize(
    "words",
    [
        ["--nonsense"],
        ["x" * 5000],
        ["\udcff"],
        *(
            words
            for name in COMMANDS
            for words in (
                [name, "--nonsense" + "x" * 5000],
                [name, "\udcff"],
                [name, "--out", "a\0b"],
                [name, "\x1b[31m" + "y" * 300 + "\x07"],
                [name, "--device", "\x1b[31m" + "y y " * 1300],
            )
            if name != "doctor" or "--nonsense" in words[-1]
        ),
    ],
    ids=lambda words: "-".join(word[:12].encode("unicode_escape").decode() for word in words),
)
def test_words_that_are_no_request_end_in_a_line(words, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, words)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ") and result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr[:-1].isprintable()
    assert len(result.stderr) < LINE + 50
    assert os.listdir() == []


def test_a_cache_of_nobodys_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("SATGEN_CACHE", "~no-such-user/x")
    for words in (["weights"], ["render", "--target", "random:1"]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 2
        assert "SATGEN_CACHE=~no-such-user/x" in result.stderr and result.stderr.count("\n") == 1


def test_a_name_that_is_not_utf8_is_refused_by_the_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "satgen", "preview", b"a\xff\x1b[31m"],
        capture_output=True,
        cwd=tmp_path,
        timeout=PATIENCE_S,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert done.returncode == 2
    assert done.stderr == b"Error: a\\udcff\\x1b[31m: is not UTF-8, which names must be\n"
    assert list(tmp_path.iterdir()) == []
