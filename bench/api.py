"""The benchmark in Python, as `import satgen` offers it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.config import BenchConfig
from bench.plan import PosedList, plan
from bench.pose import RansacOptions
from bench.run import BENCH, BenchResult, run
from matchers.registry import default_features
from satgen.dataset import Dataset, folder_of
from satgen.errors import InputError
from satgen.keywords import check_keywords, field_names
from satgen.progress import Progress, Stage
from satgen.runfolder import first_free

if TYPE_CHECKING:
    pass

RUNS = Path("runs")


def bench(
    *datasets: str | os.PathLike[str] | Dataset,
    matcher: Any = BenchConfig.matchers,
    features: Any = None,
    pairs: int | str | os.PathLike[str] = 20,
    estimator: str | None = None,
    out: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    resume: bool = True,
    overwrite: bool = False,
    quiet: bool = False,
    posed: Sequence[tuple[str | os.PathLike[str], str | os.PathLike[str]]] = (),
    **options: Any,
) -> BenchResult:
    """Match frames of datasets with one another and hold the matches against the truth.

    Args:
        datasets: folders, or datasets.
        matcher: a matcher, or several: lightglue, superglue, nearest, truth, or one of your own
            (see `matchers.specs`).
        features: likewise: sift, aliked, …; by default aliked if it has been fetched, else sift.
        pairs: how many a gap and dataset; "all": every frame with the next one; or a CSV list.
        estimator: who computes poses: "poselib", which is the default, or "opencv", whose RANSAC
            most papers use; its thresholds are in the option `ransac`, a
            `bench.pose.RansacOptions`.
        out: folder of the run; by default runs/bench, or runs/bench-N.
        workers: processes beside this one, see `bench.run.run`.
        resume: go on with this very run where it was stopped.
        overwrite: replace another run in the folder.
        quiet: show no progress.
        posed: lists of image pairs with relative poses, each with the folder of its images.
        options: other fields of `bench.config.BenchConfig`: gaps, max_keypoints, sweeps, seed, …

    Raises:
        InputError: something cannot be as asked; nothing was changed.
        RunError: the run failed; the same call goes on from there.
    """
    fixed = ("matchers", "features", "pairs_per_gap")
    check_keywords("bench", options, field_names(BenchConfig, *fixed))
    pairs_file = None
    if pairs == "all":
        options = {"repeats": 1, **options, "pairs_per_gap": None}
    elif isinstance(pairs, int):
        options = {**options, "pairs_per_gap": pairs}
    else:
        pairs_file = Path(pairs)
        if not pairs_file.is_file():
            raise InputError(f"pairs {os.fspath(pairs)!r}: must be a number, all, or a CSV file")
    if estimator is not None:
        ransac = options.get("ransac", RansacOptions())
        options["ransac"] = replace(ransac, estimator=estimator)
    if "gaps" in options:
        options["gaps"] = tuple(np.atleast_1d(options["gaps"]).tolist())
    config = BenchConfig(
        matchers=_several(matcher),
        features=_several(default_features() if features is None else features),
        **options,
    )
    planned = plan(
        config,
        [folder_of(data) for data in datasets],
        pairs_file=pairs_file,
        posed=[PosedList(Path(file), Path(images)) for file, images in posed],
        command="satgen.bench",
    )
    folder = first_free(bench_folders(), BENCH, planned.identity) if out is None else Path(out)
    with Progress([Stage("pairs", "pair")], quiet=quiet).stage("pairs") as progress:
        run(
            planned,
            folder,
            workers=workers,
            resume=resume,
            overwrite=overwrite,
            report=True,
            progress=progress,
        )
    return BenchResult(folder)


def bench_folders() -> Iterator[Path]:
    """runs/bench, then runs/bench-2 and so on."""
    return (RUNS / ("bench" if number == 1 else f"bench-{number}") for number in itertools.count(1))


def _several(given: Any) -> tuple[Any, ...]:
    """One thing or several, as a tuple."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        return tuple(given)
    return (given,)
