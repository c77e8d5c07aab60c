"""`python -m satgen`: the command line."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path


def _leave_current_folder() -> None:
    """Take the current folder, which -m puts first, off the import path: a file of the user's must
    not hide a package. It stays where satgen itself lies in it."""
    here = os.getcwd()
    ours = Path(__file__).resolve().parents[1]
    if sys.path and sys.path[0] in ("", here) and Path(here).resolve() != ours:
        del sys.path[0]


if __name__ == "__main__":
    try:
        with suppress(FileNotFoundError):  # a folder that is gone hides nothing
            _leave_current_folder()
        from satgen.entry import run
    except KeyboardInterrupt:  # before there is anything that answers it
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    run()
