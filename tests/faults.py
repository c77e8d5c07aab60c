"""Faults in a command at each of its changes of the disk, after which the same command must go on
to the result of one that was never disturbed.

    python -m tests.faults FOLDER render,bench,train,predict,merge kill,ENOSPC 1 fresh,replace

prints, for each command and fault, how many changes it makes and at how many of them it was
disturbed. The faults:

- kill: SIGKILL, just before the change.
- torn: the same, and half of the file that was written last is lost.
- power: the same, and of what was not synced some is empty, some cut short, some gone.
- interrupt: Ctrl-C.
- ENOSPC, EIO, EROFS: the system refuses the change, saying so.

The commands run in forks of a process that has imported everything, so a fault costs the work only.
"""

from __future__ import annotations

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
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import torch

import matchers.training.run  # noqa: F401
from satgen.cli import main
from satgen.errors import SatgenError
from tests.datasets import make, tree, write_craft

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link"}
"""Events of Python's audit hooks that change a folder; besides, opening a file to write."""

KILLS = ("kill", "torn", "power")
FAULTS = (*KILLS, "interrupt", "ENOSPC", "EIO", "EROFS")
ENDS = {0, 1, 2, 130}
"""Statuses that a disturbed command may end with. It may have got over a fault."""

CRASHED = 99


class Disturber:
    """Disturbs this process at its change `number` of what is in `out`, counted from 1.

    Attributes:
        count: changes until now.
        last: the file that was opened last to be written.
        synced: files that are on the disk, should the power go.
    """

    def __init__(self, fault: str, number: int, out: Path, report: int) -> None:
        self.fault, self.number, self.out, self.report = fault, number, str(out), report
        self.count = 0
        self.last = ""
        self.synced: set[str] = set()
        self._fsync = os.fsync

    def start(self) -> None:
        """Watch from now on."""
        os.fsync = self._synced
        sys.addaudithook(self._hook)

    def _synced(self, handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if path.startswith(self.out):
            self._change(path)
        self._fsync(handle)
        self.synced.add(path)

    def _hook(self, event: str, values: tuple[Any, ...]) -> None:
        if event != "open" and event not in CHANGES:
            return
        path = os.fsdecode(values[0]) if isinstance(values[0], str | bytes | os.PathLike) else ""
        if event == "open":
            flags = values[2]
            if not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
        if not path.startswith(self.out):
            return
        self._change(path)
        if event == "open":
            self.last = path
            self.synced.discard(path)
        elif event == "os.rename":
            new = os.fsdecode(values[1])
            self.last = new if self.last == path else self.last
            (self.synced.add if path in self.synced else self.synced.discard)(new)

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


def commands(folder: Path) -> dict[str, tuple[list[object], list[object], Callable[[Path], Any]]]:
    """Each command, what makes it another run, and how its result is compared."""
    craft = write_craft(folder)
    aura = folder / "aura"
    small = ["--width", 72, "--height", 64, "--workers", 0, "--start", 3000, "--stop", 3003]
    if not aura.exists():
        size = {"width": 160, "height": 128}
        run_alone = {"target": "aura", "start": 3000, "stop": 3059, **size}
        if os.fork() == 0:  # no OpenGL in the process that the others are forked from
            make(Path("aura"), aura, **run_alone)
            os._exit(0)
        os.wait()
    return {
        "render": (["render", "--target", craft, *small, "--quiet"], ["--seed", 1], rendered),
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
    }  # fmt: skip


def _shards(folder: Path, out: Path) -> None:
    """Put two shards of a dataset beside `out`."""
    ready = folder / "ready.shards"
    if not ready.exists():
        craft = folder / "craft.glb"
        small = ["--width", 72, "--height", 64, "--workers", 0, "--start", 3000, "--stop", 3003]
        for shard in ("1/2", "2/2"):
            words = ["render", "--target", craft, *small, "--quiet", "--shard", shard]
            status, _, _ = run([*map(str, words), "--out", str(folder / "ready")], out)
            assert status == 0
    shutil.copytree(ready, out.with_name(f"{out.name}.shards"))


def try_all(folder: Path, name: str, fault: str, every: int, replace: bool) -> tuple[int, int]:
    """Disturb one command at every so many changes; how many it makes, and at how many it was.

    Args:
        folder: to work in.
        name: of the command.
        fault: which.
        every: 1 for each of them.
        replace: it has another run to replace.
    """
    words, other, result = commands(folder)[name]
    out, old = folder / f"{name}-run", folder / f"{name}-other"
    rng = random.Random(0)

    def line(place: Path, *more: object) -> list[str]:
        where = [place] if name == "merge" else ["--out", place]
        return [str(word) for word in (*words, *where, *more)]

    def fresh(place: Path) -> None:
        for left in (place, place.with_name(f"{place.name}.shards")):
            shutil.rmtree(left, ignore_errors=True)
        if name == "merge":
            _shards(folder, place)

    if replace and not old.exists():
        assert run(line(old, *other), old)[0] == 0
    whole = folder / f"{name}-whole"
    if not whole.exists():
        fresh(whole)
        assert run(line(whole), whole)[0] == 0
    wanted = result(whole)
    again = ("--overwrite",) if replace else ()
    tried, number = 0, 1
    while True:
        fresh(out)
        if replace:
            shutil.copytree(old, out)
        where = f"{name}: {fault} at change {number}"
        status, changes, note = run(line(out, *again), out, fault, number)
        if changes < number:
            assert status == 0, f"{where}: status {status}"
            fresh(out)
            return changes, tried
        tried += 1
        assert status in (ENDS if fault not in KILLS else {None}), f"{where}: status {status}"
        lose(fault, out, note, rng)
        status = run(line(out, *again), out)[0]
        if name == "merge" and status == 2:
            with suppress(SatgenError, OSError, AssertionError):
                assert result(out) == wanted  # it was complete, and its shards half deleted
                status = 0
        assert status == 0, f"{where}, then status {status}"
        assert result(out) == wanted, where
        number += every


if __name__ == "__main__":
    matplotlib.use("agg")
    torch.set_num_threads(1)
    place, names, kinds, step, ways = sys.argv[1:]
    for way in ways.split(","):
        for command in names.split(","):
            for kind in FAULTS if kinds == "all" else kinds.split(","):
                if way == "replace" and command == "merge":
                    continue  # it replaces nothing
                made, disturbed = try_all(
                    Path(place).resolve(), command, kind, int(step), way == "replace"
                )
                print(
                    f"{command} {way} {kind}: {made} changes, disturbed at {disturbed}", flush=True
                )
