"""From words to an experiment: the protocols and trainings by task, and their options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.predict.config import FrameRules, PredictConfig
from bench.predict.frame_protocols import PROTOCOLS as FRAME_PROTOCOLS
from bench.predict.frame_training_config import FrameTrainConfig
from bench.predict.learned import LearnedConfig
from bench.predict.protocols import PROTOCOLS as POSE_PROTOCOLS
from satgen.errors import InputError

if TYPE_CHECKING:
    from bench.predict.run import Experiment

POSE, FRAMES = "pose", "frames"

DEFAULT_PROTOCOL = {POSE: "lab", FRAMES: "10-20-128"}
"""By task."""

PROTOCOL_KINDS: dict[str, type] = {**POSE_PROTOCOLS, FRAMES: FrameRules}
"""What holds the options of a protocol: of poses by its name, of frames one for all."""

TRAINING_KINDS: dict[str, type] = {POSE: LearnedConfig, FRAMES: FrameTrainConfig}
"""What holds the options of training, by task."""


def protocol_of(task: str, protocol: str | None) -> tuple[str, str]:
    """The name of a task's protocol, and the key in `PROTOCOL_KINDS` of its options.

    Args:
        task: one of `config.TASKS`.
        protocol: its name; None for the task's default.

    Raises:
        InputError: the task has no such protocol.
    """
    name = protocol or DEFAULT_PROTOCOL[task]
    known = list(POSE_PROTOCOLS if task == POSE else FRAME_PROTOCOLS)
    if name not in known:
        raise InputError(f"{task} protocol {name!r}: one of {', '.join(known)}")
    return name, name if task == POSE else FRAMES


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
    if config.task == FRAMES:
        from bench.predict.frame_run import frame_experiment

        return frame_experiment(
            config,
            datasets,
            protocol,
            rules=FrameRules(**rules),
            training=FrameTrainConfig(**training),
            command=command,
        )
    from bench.predict.pose_run import pose_experiment

    for name, option in (("motions", "motion"), ("frames", "frames")):
        if datasets and name in rules:
            raise InputError(f"--{option}: is for motions without a dataset")
    return pose_experiment(
        config,
        datasets,
        POSE_PROTOCOLS[protocol](**rules),
        learned=LearnedConfig(**training),
        dt_s=rules.get("dt_s") if datasets else None,
        command=command,
    )
