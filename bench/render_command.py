"""Runs `satgen render` as a whole process, of this code or of another checkout, and watches it."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import satgen
from satgen.errors import InputError, RunError

_HERE = Path(satgen.__file__).parents[1]


@dataclass(frozen=True)
class RenderCommand:
    """A `satgen render` to time.

    Attributes:
        options: of `satgen render`, without `--out`; paths in them are absolute.
        checkout: folder that holds the `satgen` package to run; by default the one of this code.
    """

    options: tuple[str, ...]
    checkout: Path = _HERE

    def check(self) -> None:
        """Make sure that the checkout holds a satgen which this interpreter imports.

        Raises:
            InputError: it does not.
        """
        done = subprocess.run(
            [sys.executable, "-c", "import satgen; print(satgen.__file__)"],
            cwd=tempfile.gettempdir(),
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        found = Path(done.stdout.strip()).resolve()
        if done.returncode != 0 or self.checkout.resolve() not in found.parents:
            raise InputError(f"{self.checkout} holds no satgen to run: give a checkout's folder")

    def run(self) -> dict[str, float]:
        """Run the command into a folder that is deleted, its files counted as they come.

        Returns:
            "fps": frames a second between the first sighting of files and the last, free of
            start-up and of the final tables (of the whole command where all came at once);
            "command_fps": frames a second of the whole command; "command_s": its seconds;
            "processor_s": those that it and its workers kept a processor busy;
            "processor_fps": frames a second of those, which other work hardly changes;
            "first_frame_s": seconds to the first frame on disk; "frames": how many there were;
            "peak_worker_mb": peak memory of its largest process, megabytes.

        Raises:
            RunError: the command failed.
        """
        folder = Path(tempfile.mkdtemp(prefix="satgen-speed-"))
        out = folder / "dataset"
        busy = _processor_s()
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "satgen", "render", "--out", str(out), *self.options],
            cwd=folder,  # `python -m` looks for packages in the current folder first
            env=self._environment,
            stdout=subprocess.DEVNULL,
        )
        try:
            seen: list[tuple[float, int]] = []
            peak = 0.0
            while process.poll() is None:
                time.sleep(0.05)
                count = _finished(out)
                if count and (not seen or count != seen[-1][1]):
                    seen.append((time.perf_counter() - start, count))
                peak = max(peak, _largest_child_mb(process.pid))
            elapsed = time.perf_counter() - start
            if process.returncode != 0:
                raise RunError(
                    f"satgen render of {self.checkout} ended with status {process.returncode}"
                )
            total = _finished(out)
            busy = _processor_s() - busy
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)
        first, last = (seen[0], seen[-1]) if seen else ((elapsed, total), (elapsed, total))
        steady = (last[1] - first[1]) / (last[0] - first[0]) if last[0] > first[0] else 0.0
        return {
            "fps": steady or total / elapsed,
            "command_fps": total / elapsed,
            "command_s": elapsed,
            "processor_s": busy,
            "processor_fps": total / busy,
            "first_frame_s": first[0],
            "frames": total,
            "peak_worker_mb": peak,
        }

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.checkout.resolve())}


def _processor_s() -> float:
    """Of all processes that this one has started and that have ended, seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _finished(out: Path) -> int:
    try:
        names = os.listdir(out / "parts")
    except FileNotFoundError:
        return 0
    return sum(name.endswith(".png") and name[:1].isdigit() for name in names)


def _largest_child_mb(pid: int) -> float:
    """Peak resident memory of the largest descendant, megabytes; 0 where /proc is absent."""
    largest = 0.0
    pending = [pid]
    while pending:
        parent = pending.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                children = Path(f"/proc/{parent}/task/{task}/children").read_text().split()
                pending += [int(child) for child in children]
            status = Path(f"/proc/{parent}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent != pid and "VmHWM:" in status:
            largest = max(largest, int(status.split("VmHWM:")[1].split()[0]) / 1024.0)
    return largest
