"""A run of the matching benchmark: carried out pair by pair, resumable, and summed up.

A run is a folder: run.json says what is run, pairs.csv on which pairs; results.jsonl grows by the
rows of a few pairs at a time; at the end come pairs.parquet, for consecutive frames tracks.parquet
and points.parquet, results.json, the plots and report.html. A run that was killed goes on where it
stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.pair_judge import JudgeSettings, Row, has_matches, judged, match_file
from bench.pair_runner import PairRunner, PairTask, PosedTask, Task, run_task
from bench.plan import BenchPlan
from bench.result import PAGE, SUMMARY, Result
from matchers.extraction import detector_of
from matchers.truth.pairs import Pair
from satgen.atomic import write_atomic
from satgen.errors import InputError
from satgen.parquet import read_frame
from satgen.processes import default_workers
from satgen.progress import Update
from satgen.run_shards import held_shards, shard_kind
from satgen.runfolder import Journal, RunFolder, RunKind
from satgen.shards import Shard, delete_shards, incomplete, shard_identity
from satgen.tasks import IN_FLIGHT, answered, carried_out, processes

if TYPE_CHECKING:
    import pandas as pd
    import torch

RUN, PAIRS, RESULTS, TABLE, TRACKS, POINTS = (
    "run.json",
    "pairs.csv",
    "results.jsonl",
    "pairs.parquet",
    "tracks.parquet",
    "points.parquet",
)
MATCHES, PLOTS = "matches", "plots"

BENCH = RunKind(
    command="satgen bench",
    noun="benchmark",
    description=RUN,
    marks={"format": "satgen-bench", "version": 2},
    owns=(
        RESULTS, TABLE, TRACKS, POINTS, SUMMARY, PAGE, PAIRS,
        f"{PLOTS}/*.png", f"{PLOTS}/*.svg", f"{MATCHES}/*/*.npz",
    ),
)  # fmt: skip
"""The folder of a run."""

KEPT_PAIRS = 600
"""Pairs whose matches are kept for the report's gallery; of consecutive pairs, all are."""

CARRY_OUT = "carry them out"
"""What is to be done with shards that are not complete."""

CHUNK = 8
"""Pairs of a task, at least: as many as are matched together go to one."""

WORKERS = 12
"""Processes beside a GPU, at most, where nobody says how many: two thirds judge what it matches,
the others read frames for it."""

Key = tuple[str, int, int, float]


def run(
    plan: BenchPlan,
    folder: Path,
    *,
    workers: int | None = None,
    resume: bool = True,
    overwrite: bool = False,
    report: bool = False,
    progress: Update | None = None,
) -> pd.DataFrame:
    """Carry out a plan in a folder, or what is missing of it.

    Where it was carried out in shards (`run_shard`), their rows are taken, and they go.

    Args:
        plan: what to do.
        folder: of the run, made if need be.
        workers: processes beside this one; 0: none. Where a GPU matches, they judge what it found
            in earlier pairs, and of six or more some read frames for it; on a CPU, two or more of
            them each match and judge their own pairs (and one would gain nothing: it is as none).
            None: on a GPU the cores but one, at most `WORKERS`; on a CPU 0, so that nothing
            disturbs the times that are measured.
        resume: go on with this run where it is there; see `RunFolder.open`.
        overwrite: replace another run.
        report: sum it up, too: see `bench.report.write_report`.
        progress: called with pairs done and in all.

    Returns:
        The rows, ordered by dataset, combination, gap and index; written as pairs.parquet too.

    Raises:
        InputError: the folder holds something else, or another run is writing into it; the weights
            are not the matcher's. Nothing was changed.
        RunError: it cannot be written, or a worker died.
    """
    with (
        held_shards(folder, BENCH, plan.identity, CARRY_OUT) as shards,
        RunFolder.open(folder, BENCH, plan.identity, resume=resume, overwrite=overwrite) as place,
    ):
        gathered = [
            row for shard, held in shards.items() for row in _shard_rows(plan, folder, shard, held)
        ]
        journal = place.journal(RESULTS)
        rows = _good(plan, folder, journal.read()) if place.going_on else []
        _begin(plan, place)
        for held in shards.values():
            _take_matches(held.path, folder)
        done = {_key(row) for row in rows}
        rows += [row for row in gathered if _key(row) not in done]
        _carry_out(plan, folder, journal, rows, _keys(plan), workers, progress)
        table = _table(plan, journal)
        if plan.config.pairs_per_gap is None and plan.pairs:
            from bench.run_tracks import carry_points, follow

            place.write(TRACKS, _parquet(follow(folder, folder / MATCHES)))
            place.write(POINTS, _parquet(carry_points(folder, folder / MATCHES)))
        place.write(TABLE, _parquet(table))
        if report:
            from bench.report import write_report

            write_report(folder)
        delete_shards(folder, shards.values())
    return table


def run_shard(
    plan: BenchPlan,
    folder: Path,
    shard: Shard,
    *,
    workers: int | None = None,
    resume: bool = True,
    overwrite: bool = False,
    progress: Update | None = None,
) -> int:
    """Carry out one of the parts of a plan, in a folder beside the run's, which `run` looks for.

    Args:
        plan, folder, workers, resume, overwrite, progress: as `run` has them.
        shard: which.

    Returns:
        How many pairs it has.

    Raises:
        InputError, RunError: as `run`.
    """
    keys = shard.block(_keys(plan))
    if not keys:
        raise InputError(f"shard {shard}: there are only {len(_keys(plan))} pairs")
    identity = shard_identity(plan.identity, shard)
    with RunFolder.open(
        shard.folder(folder), shard_kind(BENCH), identity, resume=resume, overwrite=overwrite
    ) as place:
        journal = place.journal(RESULTS)
        rows = _good(plan, place.path, journal.read()) if place.going_on else []
        place.begin(plan.description)
        _carry_out(plan, place.path, journal, rows, keys, workers, progress)
    return len(keys)


class BenchResult(Result):
    """A finished run of the benchmark."""

    KIND = BENCH
    TABLE = TABLE

    def __str__(self) -> str:
        """The summary as a table."""
        from bench.table import table

        return table(self.summary)

    @property
    def tracks(self) -> pd.DataFrame | None:
        """Of consecutive frames: see `bench.run_tracks.follow`."""
        return self._optional(TRACKS)

    @property
    def points(self) -> pd.DataFrame | None:
        """Of consecutive frames: see `bench.run_tracks.carry_points`."""
        return self._optional(POINTS)

    def _optional(self, name: str) -> pd.DataFrame | None:
        """A table that not every run has."""
        path = self.folder / name
        return read_frame(path.read_bytes()) if path.is_file() else None

    @property
    def pairs(self) -> pd.DataFrame:
        """One row for each pair of frames and way of matching: its pairs.parquet."""
        return self.table


# -- tasks -------------------------------------------------------------------------------------


def _keys(plan: BenchPlan) -> list[Key]:
    """Of every pair, in the order in which they are run."""
    numbered = (
        (entry.name, number, number, 0.0)
        for entry in plan.posed
        for number in range(1, len(entry.pairs) + 1)
    )
    return [*map(_pair_key, plan.pairs), *numbered]


def _carry_out(
    plan: BenchPlan,
    folder: Path,
    journal: Journal,
    rows: list[Row],
    keys: Sequence[Key],
    workers: int | None,
    progress: Update | None,
) -> None:
    """Write the rows that there are, and those that are missing of some pairs."""
    done = {_key(row) for row in rows}
    tasks = _tasks(plan, folder, done | (set(_keys(plan)) - set(keys)))
    left = sum(len(task.pairs) for task in tasks)
    if progress:
        progress(len(keys) - left, len(keys))
    with journal.rewritten(rows):
        for count, found in _carried_out(plan, tasks, workers):
            journal.append(found)
            left -= count
            if progress:
                progress(len(keys) - left, len(keys))


def _shard_rows(plan: BenchPlan, out: Path, shard: Shard, folder: RunFolder) -> list[Row]:
    """A shard's rows.

    Raises:
        InputError: it is not complete.
    """
    rows = _good(plan, folder.path, folder.journal(RESULTS).read())
    if {_key(row) for row in rows} != set(shard.block(_keys(plan))):
        raise incomplete(out, [shard.number], shard.count, CARRY_OUT)
    return rows


def _take_matches(shard: Path, folder: Path) -> None:
    """Copy the matches of a shard to the run's folder."""
    for source in shard.glob(f"{MATCHES}/*/*.npz"):
        target = folder / source.relative_to(shard)
        if not has_matches(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(target, source.read_bytes())


def _tasks(plan: BenchPlan, folder: Path, done: set[Key]) -> list[Task]:
    kept = frozenset(_kept(plan))
    size = max(CHUNK, plan.config.batch or 0)
    tasks: list[Task] = []
    for name, dataset in plan.datasets.items():
        mine = [p for p in plan.pairs if p.dataset == name and _pair_key(p) not in done]
        for start in range(0, len(mine), size):
            part = tuple(mine[start : start + size])
            tasks.append(PairTask(dataset, part, folder / MATCHES, kept & frozenset(part)))
    for entry in plan.posed:
        listed = [
            (number, pair)
            for number, pair in enumerate(entry.pairs, start=1)
            if (entry.name, number, number, 0.0) not in done
        ]
        for start in range(0, len(listed), size):
            some = tuple(listed[start : start + size])
            tasks.append(PosedTask(entry.name, entry.images, some))
    return tasks


def _kept(plan: BenchPlan) -> list[Pair]:
    """Pairs whose matches are written down."""
    if plan.config.pairs_per_gap is None or len(plan.pairs) <= KEPT_PAIRS:
        return list(plan.pairs)
    rng = np.random.default_rng([plan.config.seed, 1])
    return [plan.pairs[i] for i in sorted(rng.choice(len(plan.pairs), KEPT_PAIRS, replace=False))]


def _carried_out(
    plan: BenchPlan, tasks: Sequence[Task], workers: int | None
) -> Iterator[tuple[int, list[Row]]]:
    """The rows of the tasks' pairs in order, some pairs at a time, and of how many."""
    if not tasks:
        return
    device = plan.lineup.device
    count = default_workers_of(device) if workers is None else workers
    if shares_tasks(device) and count > 1 and len(tasks) > 1:
        threads = plan.config.threads or 1
        answers = carried_out(partial(run_task, plan.config, threads), tasks, count)
        yield from ((len(task.pairs), rows) for task, rows in answers)
        return
    runner = PairRunner(plan.config, plan.lineup, plan.config.threads or os.cpu_count() or 1)
    if shares_tasks(device) or count < 1:
        yield from ((1, runner.judged(pair)) for pair in runner.matched(tasks))
        return
    settings = JudgeSettings.of(plan.config, plan.lineup)
    detect = any(detector_of(e) is not None for e in plan.lineup.extractors.values())
    readers = readers_of(count, detect)
    judges = count - readers
    matched = runner.matched(tasks, readers)
    with processes(judges, settings) as pool:  # they start while the first pairs are matched
        judge = partial(judged, settings)
        for _, rows in answered(pool, judge, matched, IN_FLIGHT * judges):
            yield 1, rows


def shares_tasks(device: torch.device) -> bool:
    """Whether workers match as well: on a CPU, where matching takes most of the time."""
    return device.type == "cpu"


def default_workers_of(device: torch.device) -> int:
    """Worker processes where nobody says how many."""
    return 0 if device.type == "cpu" else max(1, min(WORKERS, default_workers() - 1))


def readers_of(workers: int, detect: bool) -> int:
    """How many of the workers beside a GPU read frames for it; the others judge pairs.

    Args:
        workers: of both kinds.
        detect: they find features as well, as SIFT's, which takes longer.
    """
    if workers < 6:
        return 0
    return workers // 2 if detect else workers // 3


# -- the folder --------------------------------------------------------------------------------


def _begin(plan: BenchPlan, place: RunFolder) -> None:
    """Make the folder this run's; where it is, say where its datasets lie now."""
    place.begin(plan.description)
    datasets = plan.description["datasets"]
    if place.known is not None and place.known.get("datasets") != datasets:
        place.describe({**place.known, "datasets": datasets})
    place.keep(PAIRS, plan.listing)


def _key(row: Row) -> Key:
    return row["dataset"], row["index0"], row["index1"], float(row["roll_gap_deg"])


def _pair_key(pair: Pair) -> Key:
    return pair.dataset, pair.index0, pair.index1, pair.roll_deg


def _good(plan: BenchPlan, folder: Path, rows: Sequence[Row]) -> list[Row]:
    """Rows of the pairs that have one for every combination, and the matches to be kept."""
    wanted = {c.id for c in plan.lineup.combinations}
    found: dict[Key, set[str]] = {}
    for row in rows:
        found.setdefault(_key(row), set()).add(row["combination"])
    done = {key for key, combinations in found.items() if combinations == wanted}
    for pair in _kept(plan):
        files = (match_file(folder / MATCHES, name, pair) for name in wanted)
        if _pair_key(pair) in done and not all(map(has_matches, files)):
            done.discard(_pair_key(pair))
    return [row for row in rows if _key(row) in done]


def _table(plan: BenchPlan, journal: Journal) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(journal.read())
    places = {
        name: i for i, name in enumerate([*plan.datasets, *(entry.name for entry in plan.posed)])
    }
    ids = {c.id: i for i, c in enumerate(plan.lineup.combinations)}
    keys = pd.DataFrame(
        {
            "dataset": table["dataset"].map(places),
            "combination": table["combination"].map(ids),
            "gap": table["gap"],
            "index0": table["index0"],
            "roll_gap_deg": table["roll_gap_deg"],
        }
    )
    order = keys.sort_values(list(keys.columns), kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _parquet(table: pd.DataFrame) -> bytes:
    data: bytes = table.to_parquet(None, index=False, compression="zstd")
    return data
