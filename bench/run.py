"""A run of the matching benchmark: planned, carried out pair by pair, resumable, and summed up.

A run is a folder: run.json says what is run, pairs.csv on which pairs; results.jsonl grows by the
rows of a pair at a time; at the end come pairs.parquet, tracks.parquet, results.json, the plots and
report.html. A run that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.config import TRUTH, BenchConfig, Combination, combination_json
from bench.evaluator import PosedTask, Row, Task, check_frames, run_task
from bench.posed import load_posed_pairs
from matchers.truth.pairs import (
    Pair,
    check_pairs_exist,
    consecutive_pairs,
    load_pairs,
    sample_pairs,
    save_pairs,
)
from satgen.atomic import write_atomic
from satgen.dataset import Dataset, open_datasets
from satgen.errors import InputError, RunError
from satgen.parquet import read_frame

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
RUN, PAIRS, RESULTS, TABLE, TRACKS, SUMMARY = (
    "run.json",
    "pairs.csv",
    "results.jsonl",
    "pairs.parquet",
    "tracks.parquet",
    "results.json",
)
MATCHES = "matches"
KEPT_PAIRS = 600
"""Pairs whose matches are kept for the report's gallery; of consecutive pairs, all are."""

CHUNK = 8
"""Pairs of a task."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PosedList:
    """A list of image pairs with relative poses, and the folder of its images."""

    file: Path
    images: Path


@dataclass(frozen=True)
class Plan:
    """A run that was found to make sense.

    Attributes:
        config: what is run.
        datasets: by name.
        posed: lists of other benchmarks.
        pairs: of the datasets, in the order in which they are run.
        command: that asked for it.
    """

    config: BenchConfig
    datasets: dict[str, Path]
    posed: tuple[PosedList, ...]
    pairs: tuple[Pair, ...]
    command: str

    @property
    def identity(self) -> dict[str, Any]:
        """What two runs must share for the one to go on with the other."""
        described = {
            name: hashlib.sha256((path / "dataset.json").read_bytes()).hexdigest()
            for name, path in self.datasets.items()
        }
        text = json.dumps([[p.dataset, p.index0, p.index1] for p in self.pairs])
        return {
            "config": json.loads(json.dumps(self.config.to_json())),
            "datasets": described,
            "posed": [str(p.file) for p in self.posed],
            "pairs": hashlib.sha256(text.encode()).hexdigest(),
        }


def plan(
    config: BenchConfig,
    datasets: Sequence[Path],
    *,
    pairs_file: Path | None = None,
    posed: Sequence[PosedList] = (),
    command: str = "",
) -> Plan:
    """Find out which pairs a run has, and that everything it needs is there.

    Args:
        config: what to run.
        datasets: folders; their last names must differ.
        pairs_file: a list to run instead of a draw.
        posed: lists of other benchmarks.
        command: for the record.

    Raises:
        InputError: a dataset is none, lacks frames or images, has too few for the gaps; the list
            does not fit; an extractor, a matcher or its weights are not to be had.
    """
    check_matchers(config)
    if not datasets and not posed:
        raise InputError("no dataset given: must be at least one")
    if posed and TRUTH in config.matchers:
        raise InputError(f"{posed[0].file}: matcher {TRUTH}: lists have no depth that tells it")
    opened = open_datasets(datasets)
    folders = {name: data.folder for name, data in opened.items()}
    indices = {name: data.indices for name, data in opened.items()}
    if pairs_file is not None:
        pairs = load_pairs(pairs_file)
        check_pairs_exist(pairs, dict(indices))
    elif config.pairs_per_gap is None:
        pairs = [p for name, known in indices.items() for p in consecutive_pairs(name, known)]
    else:
        pairs = []
        for name, known in indices.items():
            pairs += sample_pairs(name, known, config.gaps, config.pairs_per_gap, config.seed)
    order = {name: place for place, name in enumerate(folders)}
    pairs.sort(key=lambda p: (order[p.dataset], p.index0, p.index1))
    for name, data in opened.items():
        used = {i for p in pairs if p.dataset == name for i in (p.index0, p.index1)}
        check_frames(data, sorted(used), ("rgb", "depth", "parts"))
    for entry in posed:
        for number, pair in enumerate(load_posed_pairs(entry.file), start=1):
            for image in (pair.name0, pair.name1):
                if not (entry.images / image).is_file():
                    raise InputError(
                        f"{entry.file}: line {number}: no image {entry.images / image}"
                    )
    return Plan(config, folders, tuple(posed), tuple(pairs), command)


def run(
    plan: Plan,
    folder: Path,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Carry out a plan in a folder, or what is missing of it.

    Returns:
        The rows, ordered by dataset, combination, gap and index; written as pairs.parquet too.

    Raises:
        InputError: the folder holds something else.
        RunError: it cannot be written.
    """
    try:
        _begin(plan, folder, overwrite)
        tasks = _tasks(plan, folder, workers, _done(folder, plan))
        total = len(plan.pairs) + sum(len(load_posed_pairs(p.file)) for p in plan.posed)
        left = sum(len(task.pairs) for task in tasks)
        if progress:
            progress(total - left, total)
        with (folder / RESULTS).open("ab") as results:
            for task, rows in _carried_out(tasks, workers):
                lines = "".join(json.dumps(row) + "\n" for row in rows)
                results.write(lines.encode())
                results.flush()
                left -= len(task.pairs)
                if progress:
                    progress(total - left, total)
        table = _table(plan, folder)
        _write_parquet(folder / TABLE, table)
        if plan.config.pairs_per_gap is None and plan.pairs:
            from bench.follow import follow

            _write_parquet(folder / TRACKS, follow(plan, folder / MATCHES))
    except OSError as error:
        raise RunError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    return table


def check_matchers(config: BenchConfig) -> None:
    """See that extractors, matchers and their weights are to be had; the latter are fetched.

    Raises:
        InputError: one is not.
    """
    for combination in config.combinations():
        _check(combination)


def _check(combination: Combination) -> None:
    from matchers.registry import MATCHERS, features_name, find_weights

    features_name(combination.features)
    known = (*MATCHERS, TRUTH)
    if combination.matcher not in known:
        raise InputError(f"matcher {combination.matcher!r}: one of {', '.join(known)}")
    if combination.matcher not in ("nearest", TRUTH):
        weights = find_weights(combination.matcher, combination.features, combination.weights)
        if not weights.is_file():
            raise InputError(f"weights {weights}: no such file")


def read_run(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """run.json and the table of a finished run.

    Raises:
        InputError: it is none.
    """
    try:
        description = json.loads((folder / RUN).read_text(encoding="utf-8"))
        table = read_frame((folder / TABLE).read_bytes())
    except (OSError, ValueError):
        raise InputError(f"{folder}: no finished run of satgen bench") from None
    return description, table


# -- tasks -------------------------------------------------------------------------------------


def _tasks(
    plan: Plan, folder: Path, workers: int, done: set[tuple[str, int, int]]
) -> list[Task | PosedTask]:
    config = plan.config
    threads = config.threads or (1 if workers > 1 else os.cpu_count() or 1)
    kept = frozenset(_kept(plan))
    tasks: list[Task | PosedTask] = []
    for name, dataset in plan.datasets.items():
        mine = [
            p
            for p in plan.pairs
            if p.dataset == name and (p.dataset, p.index0, p.index1) not in done
        ]
        for start in range(0, len(mine), CHUNK):
            part = tuple(mine[start : start + CHUNK])
            keep = folder / MATCHES
            tasks.append(Task(config, threads, dataset, part, keep, kept & frozenset(part)))
    for entry in plan.posed:
        name = entry.file.stem
        listed = [
            (number, pair)
            for number, pair in enumerate(load_posed_pairs(entry.file), start=1)
            if (name, number, number) not in done
        ]
        for start in range(0, len(listed), CHUNK):
            some = tuple(listed[start : start + CHUNK])
            tasks.append(PosedTask(config, threads, name, entry.images, some))
    return tasks


def _kept(plan: Plan) -> list[Pair]:
    """Pairs whose matches are written down."""
    if plan.config.pairs_per_gap is None or len(plan.pairs) <= KEPT_PAIRS:
        return list(plan.pairs)
    rng = np.random.default_rng([plan.config.seed, 1])
    return [plan.pairs[i] for i in sorted(rng.choice(len(plan.pairs), KEPT_PAIRS, replace=False))]


def _carried_out(
    tasks: Sequence[Task | PosedTask], workers: int
) -> Iterator[tuple[Task | PosedTask, list[Row]]]:
    """Tasks and their rows, in order."""
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield task, run_task(task)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield from zip(tasks, pool.map(run_task, tasks), strict=True)
        except BrokenProcessPool:
            raise RunError("a worker died; the same command goes on from here") from None


# -- the folder --------------------------------------------------------------------------------


def _begin(plan: Plan, folder: Path, overwrite: bool) -> None:
    """Make the folder, or check that it holds this run."""
    path = folder / RUN
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8")).get("identity")
        except (OSError, ValueError, AttributeError):
            known = None
        if known == plan.identity:
            return
        if not overwrite:
            raise InputError(f"{folder}: holds another run; name another --out, or --overwrite")
        _clear(folder)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is no run of the benchmark; name another --out")
    folder.mkdir(parents=True, exist_ok=True)
    save_pairs(folder / PAIRS, plan.pairs)
    write_atomic(path, (json.dumps(_description(plan), indent=1) + "\n").encode())


def _clear(folder: Path) -> None:
    import shutil

    for name in (RUN, PAIRS, RESULTS, TABLE, TRACKS, SUMMARY, "report.html"):
        (folder / name).unlink(missing_ok=True)
    for name in (MATCHES, "plots"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _description(plan: Plan) -> dict[str, Any]:
    import torch

    import satgen

    versions = {"satgen": satgen.__version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "opencv-python-headless", "poselib", "scipy"):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    from matchers.registry import choose_device

    device = choose_device(plan.config.device)
    return {
        "format": FORMAT,
        "command": plan.command,
        "satgen": satgen.__version__,
        "versions": versions,
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": plan.config.threads,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "platform": platform.platform(),
        },
        "config": plan.config.to_json(),
        "datasets": [_dataset_json(name, path) for name, path in plan.datasets.items()],
        "posed": [{"file": str(p.file), "images": str(p.images)} for p in plan.posed],
        "combinations": [combination_json(c) for c in plan.config.combinations()],
        "identity": plan.identity,
    }


def _dataset_json(name: str, path: Path) -> dict[str, Any]:
    data = Dataset(path)
    description = data.description
    return {
        "name": name,
        "path": str(path.resolve()),
        "target": data.name,
        "camera": description["camera"],
        "frames": len(data),
        "parts": description["parts"],
    }


def cpu_name() -> str:
    """What the processor calls itself."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _rows(folder: Path) -> list[Row]:
    """Rows that were written whole; a torn last line is cut off."""
    path = folder / RESULTS
    if not path.is_file():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        write_atomic(path, whole)
    rows: list[Row] = [json.loads(line) for line in whole.decode().splitlines()]
    return rows


def _done(folder: Path, plan: Plan) -> set[tuple[str, int, int]]:
    """Pairs that have a row for every combination; rows of others are dropped."""
    rows = _rows(folder)
    wanted = {c.id for c in plan.config.combinations()}
    found: dict[tuple[str, int, int], set[str]] = {}
    for row in rows:
        key = (row["dataset"], row["index0"], row["index1"])
        found.setdefault(key, set()).add(row["combination"])
    done = {key for key, combinations in found.items() if combinations == wanted}
    good = [r for r in rows if (r["dataset"], r["index0"], r["index1"]) in done]
    if len(good) < len(rows):
        write_atomic(folder / RESULTS, "".join(json.dumps(r) + "\n" for r in good).encode())
    return done


def _table(plan: Plan, folder: Path) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(_rows(folder))
    places = {
        name: i for i, name in enumerate([*plan.datasets, *(p.file.stem for p in plan.posed)])
    }
    ids = {c.id: i for i, c in enumerate(plan.config.combinations())}
    keys = pd.DataFrame(
        {
            "dataset": table["dataset"].map(places),
            "combination": table["combination"].map(ids),
            "gap": table["gap"],
            "index0": table["index0"],
        }
    )
    order = keys.sort_values(list(keys.columns), kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    write_atomic(path, table.to_parquet(None, index=False, compression="zstd"))
