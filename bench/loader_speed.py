"""Windows a second, prepared against read from PNG files: `python -m bench.loader_speed DATASET`.

Both are the same `WindowDataset` with the same windows in the same order through the stock
`DataLoader`, in turn, several rounds in one run, so that a machine that is busy with other work
slows both. The ratio is what to read; windows a second depend on the machine. Without workers the
same ratio is given by processor time, which other work disturbs less. In this process one thread
computes, as in each of a `DataLoader`'s workers.

Then every window of three datasets of 7740 frames is read from prepared images, while the
process's resident memory is watched. Where DATASET has fewer frames, these are repeated: links to
its images under new indices.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from satgen.errors import InputError, SatgenError
from satgen.sequences import WindowConfig, WindowDataset

WAYS = ("png", "prepared")

TARGETS = 3
"""Datasets that the memory is watched over."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--observed", default=10, show_default=True, help="Observed frames of a window.")
@click.option("--future", default=20, show_default=True, help="Frames to come.")
@click.option("--size", default=128, show_default=True, help="Image side in pixels.")
@click.option("--batch-size", default=8, show_default=True, help="Windows in a batch.")
@click.option("--workers", default=0, show_default=True, help="The DataLoader's workers.")
@click.option("--rounds", default=3, show_default=True, help="Rounds, each of both.")
@click.option("--seconds", default=5.0, show_default=True, help="How long each reads in a round.")
@click.option(
    "--frames", default=7740, show_default=True, help="Frames of each of the three; 0: skip memory."
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def main(
    dataset: Path,
    observed: int,
    future: int,
    size: int,
    batch_size: int,
    workers: int,
    rounds: int,
    seconds: float,
    frames: int,
    as_json: bool,
) -> None:
    """Time windows of DATASET from its PNG files and from prepared images, in turn.

    Example: python -m bench.loader_speed datasets/aura --rounds 5
    """
    import torch

    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="satgen-loader-"))
    try:
        config = WindowConfig(observed=observed, future=future, size=size)
        start = time.perf_counter()
        windows = {
            "prepared": WindowDataset(dataset, config, cache=folder / "cache"),
            "png": WindowDataset(dataset, config),
        }
        if len(windows["png"]) < 4 * batch_size:
            raise InputError(
                f"{dataset}: {len(windows['png'])} windows: at least four batches of {batch_size} "
                f"are needed"
            )
        summary: dict[str, Any] = {"prepare_s": time.perf_counter() - start}
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        by_cpu: dict[str, list[float]] = {way: [] for way in WAYS}
        for turn in range(rounds):
            for way in WAYS:
                wall, cpu = _rate(windows[way], batch_size, workers, turn, seconds)
                rates[way].append(wall)
                by_cpu[way].append(cpu)
            if not as_json:
                png, ours = rates["png"][-1], rates["prepared"][-1]
                click.echo(
                    f"round {turn + 1}: PNG {png:7.2f} windows/s   prepared {ours:8.2f} windows/s  "
                    f" ratio {ours / png:6.1f}"
                )
        ratios = _ratios(rates)
        summary |= {f"{way}_windows_s": statistics.median(rates[way]) for way in WAYS}
        summary |= {"ratio": statistics.median(ratios), "ratios": ratios}
        if not workers:
            summary["cpu_ratio"] = statistics.median(_ratios(by_cpu))
        if frames:
            summary |= _memory(dataset, config, batch_size, frames, folder)
    except SatgenError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2 if isinstance(error, InputError) else 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    head = f"{dataset}: {observed} + {future} frames of {size} × {size}, {workers} workers"
    click.echo(json.dumps(summary) if as_json else _table(head, summary))


def _rate(
    windows: WindowDataset, batch_size: int, workers: int, seed: int, seconds: float
) -> tuple[float, float]:
    """Windows a second after the first batch, in shuffled order: by the clock, and by this
    process's processor time."""
    import torch
    from torch.utils.data import DataLoader

    loader = DataLoader(
        windows,
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        generator=torch.Generator().manual_seed(seed),
    )
    count, elapsed, cpu = 0, 0.0, 0.0
    while elapsed < seconds:
        batches = iter(loader)
        next(batches)  # the workers have begun
        start, cpu_start = time.perf_counter(), time.process_time()
        for batch in batches:
            count += len(batch["index"])
            if elapsed + time.perf_counter() - start >= seconds:
                break
        elapsed += time.perf_counter() - start
        cpu += time.process_time() - cpu_start
        del batches
    return count / elapsed, count / cpu


def _ratios(rates: dict[str, list[float]]) -> list[float]:
    return [ours / png for ours, png in zip(rates["prepared"], rates["png"], strict=True)]


def _memory(
    dataset: Path, config: WindowConfig, batch_size: int, frames: int, folder: Path
) -> dict[str, Any]:
    """The most resident memory in MB during each tenth of all windows of three datasets."""
    from torch.utils.data import DataLoader

    many = [_repeat(dataset, folder / f"{dataset.name}{i}", frames) for i in range(TARGETS)]
    windows = WindowDataset(many, config, cache=folder / "cache")
    count, largest = 0, [0.0] * 10
    for batch in DataLoader(windows, batch_size=batch_size, shuffle=True):
        tenth = 10 * count // len(windows)
        count += len(batch["index"])
        largest[tenth] = max(largest[tenth], _resident_mb())
    return {"memory_frames": TARGETS * frames, "memory_windows": count, "memory_mb": largest}


def _repeat(dataset: Path, folder: Path, frames: int) -> Path:
    """A dataset of so many frames that are the given one's, over and over."""
    import pandas as pd

    from satgen.dataset import DESCRIPTION, FRAMES_PARQUET, Dataset, image_path

    data = Dataset(dataset)
    (folder / "rgb").mkdir(parents=True)
    rows = [i % len(data) for i in range(frames)]
    table: pd.DataFrame = data.frames.iloc[rows].reset_index(drop=True)
    table["index"] = range(361, 361 + frames)
    for row, index in zip(rows, table["index"], strict=True):
        image = image_path(dataset, "rgb", int(data.indices[row])).resolve()
        image_path(folder, "rgb", int(index)).symlink_to(image)
    table.to_parquet(folder / FRAMES_PARQUET, index=False)
    shutil.copy(dataset / DESCRIPTION, folder / DESCRIPTION)
    return folder


def _resident_mb() -> float:
    """Resident memory of this process, megabytes; 0 where /proc is absent."""
    with suppress(FileNotFoundError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024.0
    return 0.0


def _table(head: str, summary: dict[str, Any]) -> str:
    rows = [
        ("PNG files", f"{summary['png_windows_s']:.1f} windows/s"),
        ("prepared images", f"{summary['prepared_windows_s']:.1f} windows/s"),
        ("ratio (median of rounds)", f"{summary['ratio']:.1f}"),
        ("preparing them, once", f"{summary['prepare_s']:.1f} s"),
    ]
    if "cpu_ratio" in summary:
        rows.insert(3, ("the same by processor time", f"{summary['cpu_ratio']:.1f}"))
    if "memory_frames" in summary:
        rows += [
            (
                "frames, windows for memory",
                f"{summary['memory_frames']}, {summary['memory_windows']}",
            ),
            ("most memory, first tenth of them", f"{summary['memory_mb'][0]:.0f} MB"),
            ("most memory, fifth tenth", f"{summary['memory_mb'][4]:.0f} MB"),
            ("most memory, last tenth", f"{summary['memory_mb'][9]:.0f} MB"),
        ]
    return "\n".join([head, *(f"  {name:<34}{value:>24}" for name, value in rows)])


if __name__ == "__main__":
    main()
