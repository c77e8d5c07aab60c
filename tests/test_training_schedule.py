"""Steps laid out for some minutes: what fits, how stages share it, and what a schedule keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchers.training.config import TrainConfig
from matchers.training.schedule import (
    SCHEDULE,
    VALIDATIONS,
    Pace,
    laid_out,
    scheduled,
    share,
    steps_within,
)
from satgen.errors import InputError, RunError


@given(
    st.floats(0.0, 1e5), st.floats(1e-3, 1e2), st.floats(0.0, 1e2)
)  # seconds there are, a step's and a validation's
def test_no_more_steps_than_the_time_allows(seconds: float, step: float, checking: float) -> None:
    steps = steps_within(seconds, Pace(step, checking))
    assert steps >= 1
    assert steps == 1 or steps * step + VALIDATIONS * checking <= seconds * (1.0 + 1e-9)
    assert (steps + 1) * step + VALIDATIONS * checking > seconds


def test_stages_share_the_time_as_their_steps_say() -> None:
    config = TrainConfig(steps=1000)  # homography a quarter, confidence a tenth
    assert share(config, "homography", set()) == pytest.approx(250 / 1350)
    assert share(config, "pose", {"homography"}) == pytest.approx(1000 / 1100)
    assert share(config, "confidence", {"homography", "pose"}) == 1.0


@pytest.mark.parametrize("stage", ["homography", "pose", "confidence"])
def test_a_stage_is_validated_and_warmed_up_within_its_steps(stage: str) -> None:
    config = laid_out(TrainConfig(), stage, 40)
    assert config.stage_steps(stage) == 40
    assert config.validate_every == 40 // VALIDATIONS
    assert config.rate(stage, 3) == config.learning_rate  # a tenth of the steps warm it up


def test_a_schedule_is_made_once(tmp_path: Path) -> None:
    def unmeasured() -> Pace:
        raise AssertionError("measured again")

    first = scheduled(TrainConfig(), "pose", tmp_path, 100.0, lambda: Pace(0.5, 1.0))
    again = scheduled(TrainConfig(), "pose", tmp_path, 7.0, unmeasured)
    assert first == again
    assert first.steps == (100 - VALIDATIONS) * 2
    assert json.loads((tmp_path / SCHEDULE).read_text())["steps"] == first.steps
    (tmp_path / SCHEDULE).write_text("{")
    with pytest.raises(RunError, match=SCHEDULE):
        scheduled(TrainConfig(), "pose", tmp_path, 7.0, unmeasured)


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_minutes_are_more_than_none(minutes: float) -> None:
    with pytest.raises(InputError, match="minutes"):
        TrainConfig(minutes=minutes)
