"""satgen.entry: closed and full streams, and signals, end in a line and the right status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from satgen.exits import Terminated, guarded, interrupts
from satgen.progress import Progress, Stage
from tests.datasets import command
from tests.limits import PATIENCE_S

GONE = "Error: the current folder is gone; change to one that is there\n"
FULL = "Error: cannot write the answer: No space left on device\n"


def shell(line: str, cwd: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in which "$@" is satgen with these words."""
    return subprocess.run(
        ["sh", "-c", line, "sh", *command(*words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=PATIENCE_S,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )


@pytest.mark.parametrize(
    ("line", "words", "status", "said"),
    [
        ('"$@" 2>&-', ["match", "none.png", "none.png"], 2, ""),
        ('"$@" >&- 2>&- <&-', ["match", "none.png", "none.png"], 2, ""),
        ('"$@" 2>/dev/full', ["match", "none.png", "none.png"], 2, ""),
        ('"$@" >/dev/full', ["targets"], 1, FULL),
        ('"$@" >/dev/full', ["--help"], 1, FULL),
        ('mkdir x && cd x && rmdir ../x && "$@"', ["targets"], 1, GONE),
        ('"$@"', ["nothing"], 2, "Error: no such command 'nothing'"),
    ],
)
def test_streams_that_cannot_be_written(line, words, status, said, tmp_path: Path) -> None:
    done = shell(line, tmp_path, *words)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(said) and done.stderr.count("\n") == bool(said)
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_files_get_no_number_of_a_stream(tmp_path: Path) -> None:
    """Else what a library says on stderr ends up in the file that was opened next."""
    code = (
        "import os, runpy, sys\n"
        "from satgen import entry\n"
        "entry._open_streams()\n"
        "number = os.open('file', os.O_WRONLY | os.O_CREAT)\n"
        "print('lost')\n"
        "os.write(2, b'lost, too')\n"
        "sys.exit(number < 3)\n"
    )
    done = subprocess.run(
        ["sh", "-c", '"$@" >&- 2>&- <&-', "sh", sys.executable, "-c", code],
        cwd=tmp_path,
        timeout=PATIENCE_S,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert done.returncode == 0
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("module", ["click", "satgen.cli", "satgen.cli.targets", "satgen.targets"])
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGINT, 130, "Interrupted.\n"), (signal.SIGTERM, 143, "Terminated.\n")],
)
def test_a_signal_in_the_first_second(module, number, status, said, tmp_path: Path) -> None:
    """It comes while that module is imported."""
    code = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        f"            os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from satgen.entry import run\n"
        "sys.argv[1:] = ['targets', '--json']\n"
        "run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert (done.returncode, done.stderr) == (status, said)


def test_too_few_files_may_be_open(craft_path: Path, tmp_path: Path) -> None:
    done = shell(
        'ulimit -n 6; "$@"', tmp_path, "render", "--target", craft_path, "--stop", 361, "--size", 8
    )
    assert done.returncode == 1
    assert done.stderr == "Error: Too many open files; allow more, say by `ulimit -n 1024`\n"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_that_something_took_is_not_lost(monkeypatch) -> None:
    monkeypatch.setattr(interrupts, "pending", True)
    progress = Progress([Stage("work")], quiet=True)
    with pytest.raises(KeyboardInterrupt), progress.stage("work") as update:
        update(1, 2)
    with pytest.raises(SystemExit) as ended:
        guarded(interrupts.check)
    assert ended.value.code == 130
    assert not interrupts.pending


def test_what_the_system_refuses_is_a_line(capsys) -> None:
    def fail(error: BaseException):
        def action() -> None:
            raise error

        return action

    cases = {
        OSError(13, "Permission denied", "file"): (1, "Error: file: Permission denied"),
        MemoryError("Unable to allocate 9 TiB"): (1, "not enough memory (Unable to"),
        Terminated("go on"): (143, "Terminated: go on"),
    }
    for error, (status, said) in cases.items():
        with pytest.raises(SystemExit) as ended:
            guarded(fail(error))
        assert ended.value.code == status
        assert said in capsys.readouterr().err
    with pytest.raises(BrokenPipeError):
        guarded(fail(BrokenPipeError(32, "Broken pipe")))


def test_progress_that_cannot_be_shown_stops_no_work() -> None:
    with open("/dev/full", "w") as stream:
        clock = iter(range(0, 10_000, 100))
        progress = Progress([Stage("work")], stream=stream, clock=lambda: float(next(clock)))
        with progress.stage("work") as update:
            for done in range(20):
                update(done, 20)
        stream_failed = False
        try:
            stream.flush()
        except OSError:
            stream_failed = True
        assert stream_failed
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
