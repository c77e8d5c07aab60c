"""A stage's steps laid out for the minutes that there are, at the rate that this machine goes.

The rate of learning follows the share of the steps that are done, so that a training that is broken
off ends with a rate that was never lowered. Here a stage's first batches are timed, without going a
step, and the number of steps is what the time allows. It is written down before the first of them:
a run that was stopped goes on by the same schedule, and ends where it would have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matchers.training.config import MOST_STEPS, TrainConfig
from satgen.atomic import write_atomic
from satgen.errors import InputError, RunError
from satgen.reading import read_json

SCHEDULE = "schedule.json"

VALIDATIONS = 8
"""Validations of a stage, at least."""

WARMUP = 0.1
"""Share of a stage's steps in which the learning rate rises, at most."""


@dataclass(frozen=True)
class Pace:
    """Seconds that a step takes, and a validation."""

    step_s: float
    validation_s: float


def steps_within(seconds: float, pace: Pace) -> int:
    """How many steps fit in some seconds beside their validations; at least one.

    Args:
        seconds: that there are.
        pace: of this machine.
    """
    left = seconds - VALIDATIONS * pace.validation_s
    return max(1, math.floor(left / pace.step_s))


def laid_out(config: TrainConfig, stage: str, steps: int) -> TrainConfig:
    """The configuration with so many steps of a stage, and what goes with them.

    Args:
        config: of the training.
        stage: one of its stages.
        steps: of that stage.
    """
    field = "steps" if stage == "pose" else f"{stage}_steps"
    changes: dict[str, Any] = {
        field: steps,
        "warmup": min(config.warmup, math.ceil(WARMUP * steps)),
        "validate_every": min(config.validate_every, math.ceil(steps / VALIDATIONS)),
    }
    return replace(config, **changes)


def share(config: TrainConfig, stage: str, done: set[str]) -> float:
    """A stage's share of the time that is left, as its steps are among those of the stages left.

    Args:
        config: of the training, of which only the proportions of the steps matter here.
        stage: one of its stages.
        done: stages that have been run.
    """
    left = [config.stage_steps(s) for s in config.stages if s not in done]
    return config.stage_steps(stage) / sum(left)


def scheduled(
    config: TrainConfig, stage: str, folder: Path, seconds: float, pace: Callable[[], Pace]
) -> TrainConfig:
    """The configuration for a stage: by its schedule where there is one, or by a new one.

    Args:
        config: of the training.
        stage: one of its stages.
        folder: of the stage.
        seconds: that a new schedule may fill.
        pace: measures how fast steps go, if need be.

    Raises:
        RunError: the schedule cannot be read or written.
    """
    path = folder / SCHEDULE
    if path.is_file():
        try:
            steps = min(int(read_json(path)["steps"]), MOST_STEPS)
        except (InputError, ValueError, OverflowError, KeyError, TypeError) as error:
            raise RunError(f"{path}: cannot be read, delete the run to begin anew") from error
        return laid_out(config, stage, max(1, steps))
    found = pace()
    steps = steps_within(seconds, found)
    known = {"steps": steps, "step_s": found.step_s, "validation_s": found.validation_s}
    try:
        write_atomic(path, (json.dumps(known, indent=1) + "\n").encode(), sync=True)
    except OSError as error:
        raise RunError(f"cannot write {error.filename or path}: {error.strerror}") from error
    return laid_out(config, stage, steps)
