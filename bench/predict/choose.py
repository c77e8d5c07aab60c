"""From words to an experiment: the protocols and trainings by task, and their options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.predict.config import PredictConfig
from bench.predict.learned import LearnedConfig
from bench.predict.protocols import PROTOCOLS
from satgen.errors import InputError
from satgen.settings import check

if TYPE_CHECKING:
    from bench.predict.run import Experiment

POSE_PROTOCOL = "lab"

PROTOCOL_KINDS: dict[str, type] = dict(PROTOCOLS)
"""What holds the options of a protocol, by its name."""

TRAINING_KINDS: dict[str, type] = {"pose": LearnedConfig}
"""What holds the options of training, by task."""


def alternatives(task: str, protocol: str | None) -> tuple[str, type]:
    """Name of a task's protocol, and what holds its options.

    Raises:
        InputError: the task has no such protocol.
    """
    name = protocol or POSE_PROTOCOL
    if name not in PROTOCOLS:
        raise InputError(f"pose protocol {name!r}: one of {', '.join(PROTOCOLS)}")
    return name, PROTOCOLS[name]


def experiment_of(
    config: PredictConfig,
    datasets: Sequence[Path],
    protocol: str,
    rules: Mapping[str, Any],
    training: Mapping[str, Any],
    command: str = "",
) -> Experiment:
    """The experiment that was asked for.

    Args:
        config: of the run.
        datasets: folders.
        protocol: its name.
        rules: of its options those that were given, by field.
        training: likewise.
        command: for the record.

    Raises:
        InputError: it cannot be as asked.
    """
    from bench.predict.pose_run import pose_experiment

    if datasets and (given := [name for name in ("motions", "frames") if name in rules]):
        raise InputError(f"--{given[0].rstrip('s')}: is for motions without a dataset")
    learned = LearnedConfig(**training)
    check(learned)
    return pose_experiment(
        config,
        datasets,
        PROTOCOLS[protocol](**rules),
        learned=learned,
        dt_s=rules.get("dt_s") if datasets else None,
        command=command,
    )
