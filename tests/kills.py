"""Kills a command at each of its changes of the disk, and sees that the same command goes on to the
result of one that was never disturbed.

    python -m tests.kills FOLDER render,bench,train 1 fresh,replace

prints, for each command, how many changes it makes and at how many of them it was killed. The
commands run in forks of a process that has imported everything, so a kill costs the work only.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import torch

import matchers.training.run  # noqa: F401
from satgen.cli import main
from tests.datasets import make, tree, write_craft

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link"}
"""Events of Python's audit hooks that change a folder; besides, opening a file to write."""


def kill_at(number: int, out: Path) -> Callable[[], int]:
    """Have this process kill itself just before its change `number` of what is in `out`, counted
    from 1; a function that tells how many there have been."""
    count = 0

    def changed() -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event == "open":
            flags = values[2]
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            writes = event in CHANGES
        if writes and str(values[0]).startswith(str(out)):
            changed()

    real = os.fsync

    def fsync(handle: int) -> None:
        changed()
        real(handle)

    os.fsync = fsync
    sys.addaudithook(hook)
    return lambda: count


def run(words: list[str], out: Path, kill: int = 0) -> int | None:
    """Run a command in a fork; how many changes it made, or None where it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            count = kill_at(kill, out)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            main(words, standalone_mode=False)
            os.write(writer, str(count()).encode())
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return None
    assert os.WEXITSTATUS(status) == 0, f"{' '.join(words)}: status {os.WEXITSTATUS(status)}"
    return int(text)


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


def commands(folder: Path) -> dict[str, tuple[list[object], list[object], Callable[[Path], Any]]]:
    """Each command, what makes it another run, and how its result is compared."""
    craft = write_craft(folder)
    aura = folder / "aura"
    if not aura.exists():
        size = {"width": 160, "height": 128}
        run_alone = {"target": "aura", "start": 3000, "stop": 3059, **size}
        if os.fork() == 0:  # no OpenGL in the process that the others are forked from
            make(Path("aura"), aura, **run_alone)
            os._exit(0)
        os.wait()
    return {
        "render": (
            ["render", "--target", craft, "--start", 3000, "--stop", 3003, "--width", 72,
             "--height", 64, "--workers", 0],
            ["--seed", 1],
            rendered,
        ),
        "bench": (
            ["bench", aura, "--matcher", "nearest", "--features", "sift", "--gap", 1, "--pairs", 2,
             "--max-keypoints", 50, "--repeats", 1, "--threads", 1],
            ["--seed", 1],
            benched,
        ),
        "train": (
            ["train", aura, "--matcher", "superglue", "--features", "sift", "--dim", 32,
             "--layers", 1, "--steps", 3, "--homography-steps", 0, "--batch", 1, "--accumulate", 1,
             "--max-keypoints", 16, "--frames", 8, "--versions", 1, "--validate-every", 2,
             "--threads", 1, "--guard", 3, "--device", "cpu", "--cache", folder / "cache"],
            ["--seed", 1],
            trained,
        ),
    }  # fmt: skip


def try_all(folder: Path, name: str, every: int, replace: bool) -> tuple[int, int]:
    """Kill one command at every so many changes; how many it makes, and at how many it was killed.

    Args:
        folder: to work in.
        name: of the command.
        every: 1 for each of them.
        replace: it has another run to replace.
    """
    words, other, result = commands(folder)[name]
    out, old = folder / f"{name}-run", folder / f"{name}-other"

    def line(place: Path, *more: object) -> list[str]:
        return [str(word) for word in (*words, "--quiet", "--out", place, *more)]

    if replace and not old.exists():
        run(line(old, *other), old)
    whole = folder / f"{name}-whole"
    run(line(whole), whole)
    wanted = result(whole)
    again = ("--overwrite",) if replace else ()
    tried, number = 0, 1
    while True:
        shutil.rmtree(out, ignore_errors=True)
        if replace:
            shutil.copytree(old, out)
        changes = run(line(out, *again), out, kill=number)
        if changes is not None:
            shutil.rmtree(out)
            return changes, tried
        tried += 1
        run(line(out, *again), out)
        assert result(out) == wanted, f"{name}: killed at change {number}"
        number += every


if __name__ == "__main__":
    matplotlib.use("agg")
    torch.set_num_threads(1)
    place, names, step, ways = sys.argv[1:]
    for way in ways.split(","):
        for command in names.split(","):
            made, killed = try_all(Path(place).resolve(), command, int(step), way == "replace")
            print(f"{command} {way}: {made} changes, killed at {killed}", flush=True)
