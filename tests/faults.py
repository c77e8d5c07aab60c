"""Faults in a command at each of its changes of the disk, after which the same command must go on
to the result of one that was never disturbed.

    python -m tests.faults render,bench,train,predict,merge,export kill,ENOSPC fresh,replace

prints, for each command and fault, how many changes it makes, at how many of them it was disturbed,
and how many failed. The order is drawn; `--most 5` disturbs at five changes of each. See
`tests.journal` for the other options. The faults:

- kill: SIGKILL, just before the change.
- torn: the same, and half of the file that was written last is lost.
- power: the same, and of what was not synced some is empty, some cut short, some gone.
- interrupt: Ctrl-C.
- ENOSPC, EIO, EROFS: the system refuses the change, saying so.

The commands run in forks of a process that has imported everything, so a fault costs the work only.
"""

from __future__ import annotations

import argparse
import csv
import errno
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import torch

import matchers.training.run  # noqa: F401
from satgen.cli import main
from satgen.errors import SatgenError
from tests.datasets import make, tree, write_craft
from tests.journal import Journal

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link"}
"""Events of Python's audit hooks that change a folder; besides, opening a file to write."""

KILLS = ("kill", "torn", "power")
FAULTS = (*KILLS, "interrupt", "ENOSPC", "EIO", "EROFS")
COMMANDS = ("render", "bench", "train", "predict", "merge", "export")
ENDS = {0, 1, 2, 130}
"""Statuses that a disturbed command may end with. It may have got over a fault."""

CRASHED = 99


class Disturber:
    """Disturbs this process at its change `number` of what is in `out`, or in a folder beside it
    that has its name as a part of its own, counted from 1.

    Attributes:
        count: changes until now.
        last: the file that was opened last to be written.
        synced: files that are on the disk, should the power go.
    """

    def __init__(self, fault: str, number: int, out: Path, report: int) -> None:
        self.fault, self.number, self.report = fault, number, report
        self.folder, self.name = f"{out.parent}/", out.name
        self.count = 0
        self.last = ""
        self.synced = self._files()  # what was there before is on the disk
        self._fsync, self._sync = os.fsync, os.sync

    def start(self) -> None:
        """Watch from now on."""
        os.fsync, os.sync = self._synced, self._all_synced
        sys.addaudithook(self._hook)

    def _synced(self, handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if self._is_out(path):
            self._change(path)
        self._fsync(handle)
        self.synced.add(path)

    def _all_synced(self) -> None:
        self._sync()
        self._change("")
        self.synced |= self._files()

    def _files(self) -> set[str]:
        """What there is of the folder, and of what is to become it."""
        tops = [path for path in Path(self.folder).glob("*") if self._is_out(str(path))]
        return {str(path) for top in tops for path in (top, *top.rglob("*"))}

    def _is_out(self, path: str) -> bool:
        """Whether a path lies in the folder, or in what is to become it."""
        first = path.removeprefix(self.folder).partition("/")[0]
        return path.startswith(self.folder) and self.name in first

    def _hook(self, event: str, values: tuple[Any, ...]) -> None:
        if event != "open" and event not in CHANGES:
            return
        path = os.fsdecode(values[0]) if isinstance(values[0], str | bytes | os.PathLike) else ""
        if event == "open":
            flags = values[2]
            if not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
        if not self._is_out(path):
            return
        self._change(path)
        if event == "open":
            self.last = path
            self.synced.discard(path)
        elif event == "os.rename":
            new = os.fsdecode(values[1])
            self.last = new if self.last == path else self.last
            self.synced = {
                name.replace(path, new) if f"{name}/".startswith(f"{path}/") else name
                for name in self.synced
                if name != new
            }

    def _change(self, path: str) -> None:
        self.count += 1
        if self.count != self.number:
            return
        if self.fault in KILLS:
            note = {"last": self.last, "synced": sorted(self.synced)}
            os.write(self.report, json.dumps(note).encode())
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
            return
        number = getattr(errno, self.fault)
        raise OSError(number, os.strerror(number), path)


def run(
    words: list[str], out: Path, fault: str = "kill", number: int = 0
) -> tuple[int | None, int, dict[str, Any]]:
    """Run a command in a fork.

    Args:
        words: the command line.
        out: the folder whose changes count.
        fault: which.
        number: at which change; 0 for none.

    Returns:
        Its status, None where it was killed; the changes that it made; what a kill left.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = CRASHED
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            if number:
                os.dup2(null, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            disturber = Disturber(fault, number, out, writer)
            disturber.start()
            try:
                main(words, standalone_mode=False)
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            os.write(writer, json.dumps({"count": disturber.count}).encode())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as answer:
        note = json.loads(answer.read() or "{}")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return None, number, note
    return os.WEXITSTATUS(status), note.get("count", 0), note


def lose(fault: str, out: Path, note: dict[str, Any], rng: random.Random) -> None:
    """Take from the disk what a torn write, or a power cut, does."""
    files = [p for p in out.rglob("*") if p.is_file()]
    if fault == "torn":
        files = [p for p in files if str(p) == note["last"]]
    elif fault == "power":
        files = [p for p in files if str(p) not in note["synced"] and rng.random() < 0.7]
    else:
        return
    for path in files:
        size = path.stat().st_size
        how = 1 if fault == "torn" else rng.randrange(3)
        if path.stat().st_nlink > 1:
            how = 2  # what merge links was on the disk already; its new name need not be
        if how == 2:
            path.unlink()
        else:
            os.truncate(path, size // 2 * how)


def rendered(out: Path) -> Any:
    """A dataset, every byte."""
    return tree(out)


def benched(out: Path) -> Any:
    """A benchmark but for the times and what follows from them."""
    table = pd.read_parquet(out / "pairs.parquet").drop(columns=["match_ms", "extract_ms"])
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    matches = {name: digest for name, digest in tree(out).items() if name.startswith("matches")}
    return table.to_json(), len(lines), matches, sorted(tree(out))


def trained(out: Path) -> Any:
    """A training but for the times."""
    files = tree(out)
    for name in [n for n in files if n.endswith(("log.csv", "checkpoint.pt", "t.json"))]:
        del files[name]
    with (out / "pose" / "log.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return files, rows, sorted(tree(out))


def predicted(out: Path) -> Any:
    """A prediction but for the times."""
    files = tree(out)
    table = pd.read_parquet(out / "windows.parquet")
    return table.drop(columns=[c for c in table if c.endswith("_ms")]).to_json(), sorted(files)


def prepare(folder: Path, names: list[str]) -> None:
    """Make what commands read."""
    craft, aura = write_craft(folder), folder / "aura"
    if {"bench", "train"} & set(names) and not aura.exists():
        size = {"width": 160, "height": 128}
        if os.fork() == 0:  # no OpenGL in the process that the others are forked from
            make(Path("aura"), aura, target="aura", start=3000, stop=3059, **size)
            os._exit(0)
        os.wait()
    ready: dict[str, list[list[object]]] = {
        "export": [["--out", folder / "small", "--normals"]],
        "merge": [["--out", folder / "ready", "--shard", f"{part}/2"] for part in (1, 2)],
    }
    for words in [more for name in names for more in ready.get(name, ())]:
        assert run([*map(str, (*_render(craft), *words))], folder / "ready")[0] == 0


def _render(craft: Path) -> list[object]:
    small = ["--width", 72, "--height", 64, "--workers", 0, "--start", 3000, "--stop", 3003]
    return ["render", "--target", craft, *small, "--quiet"]


def commands(folder: Path) -> dict[str, tuple[list[object], list[object], Callable[[Path], Any]]]:
    """Each command, what makes it another run, and how its result is compared."""
    aura = folder / "aura"
    return {
        "render": (_render(folder / "craft.glb"), ["--seed", 1], rendered),
        "bench": (
            ["bench", aura, "--matcher", "nearest", "--features", "sift", "--gap", 1, "--pairs", 2,
             "--max-keypoints", 50, "--repeats", 1, "--threads", 1, "--quiet"],
            ["--seed", 1],
            benched,
        ),
        "train": (
            ["train", aura, "--matcher", "superglue", "--features", "sift", "--dim", 32,
             "--layers", 1, "--steps", 3, "--homography-steps", 0, "--batch", 1, "--accumulate", 1,
             "--max-keypoints", 16, "--frames", 8, "--versions", 1, "--validate-every", 2,
             "--threads", 1, "--guard", 3, "--device", "cpu", "--cache", folder / "cache",
             "--quiet"],
            ["--seed", 1],
            trained,
        ),
        "predict": (
            ["predict", "--motion", "spiral", "--frames", 200, "--model", "last",
             "--model", "velocity", "--quiet"],
            ["--seed", 1],
            predicted,
        ),
        "merge": (["merge"], [], rendered),
        "export": (
            ["export", folder / "small", "--to", "colmap", "--masks"],
            ["--step", 2],
            rendered,
        ),
    }  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A command to be disturbed, over another run of it or in a new folder.

    Attributes:
        folder: to work in.
        name: of the command.
        old: folder of the other run; None for a new folder.
        changes: that it makes, undisturbed.
        wanted: its result, undisturbed.
    """

    folder: Path
    name: str
    old: Path | None
    changes: int
    wanted: Any

    @classmethod
    def make(cls, folder: Path, name: str, replace: bool) -> Case:
        """Run the command undisturbed, once, and the other run that it is to replace."""
        old = folder / f"{name}-other" if replace else None
        if old is not None and not old.exists():
            assert run(_line(folder, name, old, *commands(folder)[name][1]), old)[0] == 0
        case = cls(folder, name, old, 0, None)
        status, changes, _ = case._again()
        assert status == 0, f"{name}: status {status}"
        return cls(folder, name, old, changes, case._result())

    def disturb(self, fault: str, number: int) -> str | None:
        """Disturb the command at a change, and run it again.

        Args:
            fault: which.
            number: of the change, counted from 1.

        Returns:
            What is wrong then; None where nothing is.
        """
        status, changes, note = self._again(fault, number)
        if changes < number:
            return None if status == 0 else f"status {status}, undisturbed"
        if status not in (ENDS if fault not in KILLS else {None}):
            return f"status {status}"
        lose(fault, self._out, note, random.Random(f"{self.name} {fault} {number}"))
        status = run(self._words, self._out)[0]
        if status == 2 and fault == "torn" and note["last"] in note["synced"]:
            return None  # the disk had it: no write, but damage, and it is refused
        if self.name == "merge" and status == 2:
            with suppress(SatgenError, OSError):
                if self._result() == self.wanted:
                    return None  # it was complete, and its shards half deleted
        if status != 0:
            return f"then status {status}"
        return None if self._result() == self.wanted else "then another result"

    @property
    def _out(self) -> Path:
        return self.folder / f"{self.name}-run"

    @property
    def _words(self) -> list[str]:
        more = () if self.old is None else ("--overwrite",)
        return _line(self.folder, self.name, self._out, *more)

    def _result(self) -> Any:
        return commands(self.folder)[self.name][2](self._out)

    def _again(self, fault: str = "kill", number: int = 0) -> tuple[int | None, int, Any]:
        """Run the command from the start; see `run`."""
        _clear(self._out)
        if self.name == "merge":
            shards = self._out.with_name(f"{self._out.name}.shards")
            shutil.copytree(self.folder / "ready.shards", shards)
        if self.old is not None:
            shutil.copytree(self.old, self._out)
        return run(self._words, self._out, fault, number)


def _line(folder: Path, name: str, out: Path, *more: object) -> list[str]:
    """A command's words."""
    where = [out] if name == "merge" else ["--out", out]
    return [str(word) for word in (*commands(folder)[name][0], *where, *more)]


def _clear(out: Path) -> None:
    """Delete a run, and what a disturbed one left beside it."""
    shutil.rmtree(out, ignore_errors=True)
    for left in out.parent.glob(f"*{out.name}*"):
        shutil.rmtree(left, ignore_errors=True)


def try_many(
    folder: Path,
    names: list[str],
    faults: list[str],
    ways: list[str],
    journal: Journal,
    most: int | None = None,
) -> None:
    """Disturb commands at drawn changes, and print what came of it.

    Args:
        folder: to work in.
        names: of the commands.
        faults: which.
        ways: fresh and replace.
        journal: of what has been tried.
        most: changes of each command, way and fault; None for all.
    """
    prepare(folder, names)
    kinds = [(n, w) for w in ways for n in names if (n, w) != ("merge", "replace")]
    cases = {kind: Case.make(folder, kind[0], kind[1] == "replace") for kind in kinds}
    rng = random.Random(0)
    points = []
    for kind, case in cases.items():
        for fault in faults:
            numbers = rng.sample(range(1, case.changes + 1), case.changes)
            points += [(*kind, fault, number) for number in numbers[:most]]
    for name, way, fault, number in rng.sample(points, len(points)):
        point = f"{name} {way} {fault} {number}"
        if not journal.knows(point) and journal.time_left:
            journal.add(point, cases[name, way].disturb(fault, number))
    for (name, way), case in cases.items():
        for fault in faults:
            tried, failed = journal.counts(f"{name} {way} {fault} ")
            print(f"{name} {way} {fault}: {case.changes} changes, {tried} tried, {failed} failed")


if __name__ == "__main__":
    matplotlib.use("agg")
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    for word in ("names", "faults", "ways"):
        parser.add_argument(word, type=lambda text: text.split(","))
    parser.add_argument("--most", type=int)
    Journal.add_options(parser)
    asked = parser.parse_args()
    log = Journal.asked(asked)
    with Journal.place(asked) as place:
        try_many(place, asked.names, asked.faults, asked.ways, log, asked.most)
    sys.exit(log.failed)
