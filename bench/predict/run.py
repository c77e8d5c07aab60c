"""A run of a prediction experiment: carried out part by part, resumable, and summed up.

A run is a folder: run.json says what is run; results.jsonl grows by the figures of some windows and
one model at a time; models/ has the weights of what was trained for it, poses.jsonl the poses that
a matcher found. At the end come windows.parquet, results.json, the plots and report.html. A run
that was killed goes on where it stopped, and ends with the same figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.result import PAGE, SUMMARY, Result, clean
from satgen.runfolder import RunFolder, RunKind
from satgen.tasks import carried_out

if TYPE_CHECKING:
    import pandas as pd

RUN, RESULTS, POSES, TABLE = "run.json", "results.jsonl", "poses.jsonl", "windows.parquet"
MODELS, PLOTS, CACHE = "models", "plots", "cache"

PREDICT = RunKind(
    command="satgen predict",
    noun="prediction",
    description=RUN,
    marks={"format": "satgen-predict", "version": 1},
    owns=(
        RESULTS, POSES, TABLE, SUMMARY, PAGE, f"{PLOTS}/*.png", f"{PLOTS}/*.svg",
        f"{MODELS}/*.safetensors", f"{MODELS}/*/*", f"{CACHE}/*", f"{CACHE}/*/*",
    ),
)  # fmt: skip
"""The folder of a run."""

Line = dict[str, Any]
"""What a part of a run came to: its `key`, and figures."""

Row = dict[str, Any]

Update = Callable[[int, int], None]
Stages = Callable[[str], AbstractContextManager[Update]]
"""Gives, for the name of a stage, a function of what is done and all of it, to be called in it."""

WINDOWS = "windows"
"""The stage in which models forecast."""


class Experiment(Protocol):
    """What a task of `satgen predict` brings to a run."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What two runs must share for the one to go on with the other."""
        ...

    @property
    def description(self) -> Mapping[str, Any]:
        """Further keys of the run's description, run.json."""
        ...

    @property
    def work(self) -> Callable[[Any], Line]:
        """Carries out a part; a function of a module."""
        ...

    @property
    def alone(self) -> bool:
        """Whether all parts must be carried out in this process."""
        ...

    def stages(self) -> Sequence[tuple[str, str, float]]:
        """Name, unit and guessed seconds of each stage, in order."""
        ...

    def check(self) -> None:
        """Refuse what has to be, before anything is written."""
        ...

    def prepare(self, place: RunFolder, workers: int, stages: Stages) -> None:
        """Train models and find poses, or what is missing of that."""
        ...

    def parts(self) -> Sequence[tuple[str, Any]]:
        """Key and task of each part, in order."""
        ...

    def tables(self, lines: Sequence[Line]) -> tuple[list[Row], dict[str, Any]]:
        """Rows of figures, and columns of the table of windows, from all parts in order."""
        ...

    def more(self) -> Mapping[str, Any]:
        """Further keys of the summary, results.json."""
        ...

    def pictures(self, table: pd.DataFrame) -> str:
        """What the page shows of single windows, as HTML."""
        ...


@contextmanager
def silent(name: str) -> Iterator[Update]:
    """A stage that shows nothing."""
    yield lambda done, total: None


def run(
    experiment: Experiment,
    folder: Path,
    *,
    workers: int = 1,
    resume: bool = True,
    overwrite: bool = False,
    stages: Stages = silent,
) -> dict[str, Any]:
    """Carry out an experiment in a folder, or what is missing of it.

    Args:
        experiment: which.
        folder: of the run, made if need be.
        workers: processes.
        resume: go on with this run where it is there; see `RunFolder.open`.
        overwrite: replace another run.
        stages: shows progress.

    Returns:
        The summary, which is results.json.

    Raises:
        InputError: it cannot be as asked, the folder holds something else, or another run is
            writing into it. Nothing was changed.
        RunError: it cannot be written, or a worker died.
    """
    with RunFolder.open(
        folder, PREDICT, experiment.identity, resume=resume, overwrite=overwrite
    ) as place:
        experiment.check()
        journal = place.journal(RESULTS)
        found = {line["key"]: line for line in journal.read()} if place.going_on else {}
        place.begin(experiment.description)
        experiment.prepare(place, workers, stages)
        parts = experiment.parts()
        found = {key: found[key] for key, _ in parts if key in found}
        missing = {key: task for key, task in parts if key not in found}
        with journal.rewritten(found.values()), stages(WINDOWS) as update:
            update(len(found), len(parts))
            processes = 1 if experiment.alone else workers
            answers = carried_out(experiment.work, list(missing.values()), processes)
            for key, (_, line) in zip(missing, answers, strict=True):
                found[key] = {"key": key, **line}
                journal.append([found[key]])
                update(len(found), len(parts))
        rows, columns = experiment.tables([found[key] for key, _ in parts])
        return _summed_up(experiment, place, rows, columns)


def _summed_up(
    experiment: Experiment, place: RunFolder, rows: list[Row], columns: dict[str, Any]
) -> dict[str, Any]:
    """Write the table, the summary and the report."""
    import pandas as pd

    from bench.predict.report import write_report

    table = pd.DataFrame(columns)
    data: bytes = table.to_parquet(None, index=False, compression="zstd")
    place.write(TABLE, data)
    summary: dict[str, Any] = clean({**experiment.description, **experiment.more(), "rows": rows})
    text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
    place.write(SUMMARY, text.encode())
    write_report(place.path, summary, experiment.pictures(table))
    return summary


class PredictResult(Result):
    """A finished run of a prediction experiment."""

    KIND = PREDICT
    TABLE = TABLE

    def __str__(self) -> str:
        """The summary as a table."""
        from bench.predict.table import table

        return table(self.summary)

    @property
    def rows(self) -> pd.DataFrame:
        """One row for each model, motion, noise and horizon."""
        import pandas as pd

        return pd.DataFrame(self.summary["rows"])

    @property
    def windows(self) -> pd.DataFrame:
        """One row for each window, horizon and model: its windows.parquet."""
        return self.table
