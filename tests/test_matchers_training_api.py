"""matchers.training.api: what a training refuses; examples/train_your_craft.py runs one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import satgen
from satgen.errors import InputError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"stepz": 5}, r"train\(\): unknown keyword 'stepz'; did you mean steps"),
        ({"learning_rat": 5}, "did you mean learning_rate"),
        ({"matcher": "nearest"}, "nearest"),
        ({"features": "orb"}, "features 'orb'"),
        ({"steps": 0}, "steps 0"),
        ({"precision": "int8"}, "precision 'int8': must be one of float32, bfloat16"),
        ({"save_minutes": float("nan")}, "save_minutes nan: must be 0 or more minutes"),
        ({"save_minutes": -1.0}, "save_minutes -1.0: must be 0 or more minutes"),
        ({"device": "abacus"}, "device 'abacus'"),
        ({"stage": "sleep"}, "stage 'sleep'"),
        ({"init": "nowhere.safetensors"}, r"nowhere\.safetensors"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(
    pristine: Path, tmp_path: Path, words: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        satgen.train(pristine, out=tmp_path / "run", cache=tmp_path / "cache", **words)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_whole_datasets_are_trained_on(pristine: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this takes whole datasets"):
        satgen.train(satgen.open(pristine)[3000:3005], out=tmp_path / "run")
    with pytest.raises(InputError, match="no dataset"):
        satgen.train(out=tmp_path / "run")
