"""The errors that reach a user as one line.

`InputError` ends a command with exit status 2 (the request is wrong), `RunError` with 1 (the
request is fine, the run failed). Anything else is a defect and shows its traceback.
"""

from __future__ import annotations

WORD = 80
"""Characters of a value in a message beyond which it is cut."""

LONG, LINE = 300, 600
"""Characters of a message beyond which its long words are cut, and beyond which it is itself."""


class SatgenError(Exception):
    """Base of every error that satgen raises on purpose."""


class InputError(SatgenError):
    """The request cannot be met as given: the message names the value and what would be right."""


class RunError(SatgenError):
    """The run failed for a reason outside the request: disk, driver, a worker that died."""


def one_line(message: object) -> str:
    """A message as a single line that a terminal may be shown, of at most `LINE` characters.

    Control characters, and bytes of names that are no UTF-8, are written as escapes; of words, and
    then of the whole, the middle is left out where the line would be too long.
    """
    line = escaped(" ".join(str(message).split()))
    if len(line) > LONG:
        line = " ".join(cut(word, WORD * 3 // 2) for word in line.split(" "))
    return cut(line, LINE)


def escaped(text: str) -> str:
    """A text without anything that steers a terminal: such characters as Python's escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cut(text: str, most: int = WORD) -> str:
    """A text of at most `most` characters: its beginning and its end, with "…" between."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"
