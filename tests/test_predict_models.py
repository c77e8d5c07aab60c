"""Pose models by name, one's own, and the rows of an experiment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.predict import pose_models
from bench.predict.columns import join_columns
from bench.predict.experiment import (
    evaluate,
    fit_models,
    load_models,
    pose_rows,
)
from bench.predict.figures import Row
from bench.predict.learned import LearnedConfig, LearnedModel
from bench.predict.pose_models import MODELS, checked_forecast, load_pose_model
from bench.predict.protocols import FreeRotation, Lab
from bench.predict.types import Forecast, Observed, PoseModel
from satgen.errors import InputError
from satgen.geometry import Floats

ROOT = Path(__file__).resolve().parents[1]
LAB = Lab(motions=("tumble-3",), frames=400, noise_deg=(0.1,))

OWN = '''
import numpy as np

def still(observed, future):
    """The last pose."""
    shape = future.shape
    turn = np.broadcast_to(observed.rotations[:, -1:], (*shape, 3, 3))
    return turn, np.broadcast_to(observed.translations[:, -1:], (*shape, 3))

class Still:
    def forecast(self, observed, future):
        from bench.predict.types import Forecast
        return Forecast(*still(observed, future))

def make():
    return Still()

ready = Still()
number = 3

def one(observed):
    return None

class Fails:
    def __init__(self):
        raise RuntimeError("no licence")
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of models in the current directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "lab_models.py"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("name", MODELS)
def test_every_name_is_a_model(name: str) -> None:
    assert isinstance(load_pose_model(name), PoseModel)


@pytest.mark.parametrize("name", ["still", "Still", "make", "ready"])
def test_own_models_are_as_good(own: Path, name: str) -> None:
    (part,) = LAB.episodes()
    expected = load_pose_model("last").forecast(part.observed, part.future)
    model = load_pose_model(f"{own}:{name}")
    found = checked_forecast(name, model, part.observed, part.future)
    assert np.array_equal(found.rotations, expected.rotations)
    assert np.array_equal(found.translations, expected.translations)


def test_own_modules_are_found_in_the_current_directory(own: Path) -> None:
    rows = pose_rows(["lab_models:still", "last"], LAB)
    mine, last = rows[:7], rows[7:]
    assert {row["model"] for row in mine} == {"lab_models:still"}
    for a, b in zip(mine, last, strict=True):
        assert {**a, "model": ""} == {**b, "model": ""}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("oracle", "pose model 'oracle': one of last, two-pose"),
        ("nowhere.at_all:model", "cannot import 'nowhere.at_all'"),
        ("lab_models.py:absent", "has no 'absent'"),
        ("lab_models.py:number", r"must be forecast\(observed, future\)"),
        ("lab_models.py:one", r"must be forecast\(observed, future\)"),
        ("lab_models.py:Fails", "cannot be made .RuntimeError: no licence"),
        ("missing.py:still", "cannot import 'missing.py'"),
    ],
)
def test_unknown_models_are_refused_in_one_line(own: Path, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_pose_model(name)
    assert "\n" not in str(caught.value)


def test_models_are_given_once_and_at_all() -> None:
    with pytest.raises(InputError, match="'last': given twice"):
        load_models(["last", "velocity", "last"])
    with pytest.raises(InputError, match="at least one"):
        load_models([])
    assert list(load_models(["velocity", "last"])) == ["velocity", "last"]


def wrong(kind: str) -> PoseModel:
    """A model that forecasts what is no pose."""

    def forecast(observed: Observed, future: Floats) -> Forecast:
        turn = np.broadcast_to(np.eye(3), (*future.shape, 3, 3)).copy()
        shift = np.zeros((*future.shape, 3))
        if kind == "shape":
            return Forecast(turn[:, :1], shift)
        if kind == "translations":
            return Forecast(turn, shift[..., :2])
        if kind == "nan":
            turn[0, 0, 0, 0] = np.nan
        if kind == "mirror":
            turn[..., 2, 2] = -1.0
        if kind == "scaled":
            turn *= 1.01
        if kind == "covariance":
            return Forecast(turn, shift, np.eye(3))
        return Forecast(turn, shift)

    return pose_models.FunctionModel(forecast)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("shape", r"rotations \(9, 1, 3, 3\), must be \(9, 7, 3, 3\)"),
        ("translations", "translations"),
        ("nan", "rotations that are not finite"),
        ("mirror", "rotations that are none"),
        ("scaled", "rotations that are none"),
        ("covariance", r"rotation_covariance \(3, 3\)"),
    ],
)
def test_what_is_no_pose_is_refused(kind: str, said: str) -> None:
    (part,) = LAB.episodes()
    with pytest.raises(InputError, match=f"'mine': {said}"):
        checked_forecast("mine", wrong(kind), part.observed, part.future)


ODD = """
import numpy as np

def nothing(observed, future):
    return None

def turns(observed, future):
    return np.tile(np.eye(3), (*future.shape, 1, 1))

def words(observed, future):
    return turns(observed, future).astype(str), np.zeros((*future.shape, 3))

def promised(observed, future, size=0.0):
    turn = turns(observed, future)
    return turn, np.zeros((*future.shape, 3)), size * turn

def lopsided(observed, future):
    return *promised(observed, future)[:2], np.triu(np.ones((*future.shape, 3, 3)))

def tensors(observed, future):
    import torch
    turn = torch.from_numpy(turns(observed, future)).float()
    return turn, torch.zeros(turn.shape[:-1]), 0.1 * turn

def takes_over(observed, future):
    observed.rotations[:] = np.eye(3)
    observed.translations[:] -= observed.translations.mean(axis=1, keepdims=True)
    observed.times[:], future[:] = 0.0, 0.0
    return turns(observed, future), np.zeros((*future.shape, 3))
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "gives NoneType, must be a Forecast, or rotations and translations"),
        ("turns", "gives ndarray, must be a Forecast, or rotations and translations"),
        ("words", "rotations that are no array of real numbers"),
        ("promised", "rotation_covariance: must be symmetric and positive definite"),
        ("lopsided", "rotation_covariance: must be symmetric and positive definite"),
    ],
)
def test_functions_that_give_no_forecast_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd.py").write_text(ODD)
    with pytest.raises(InputError, match=f"{name}': {said}"):
        pose_rows([f"odd.py:{name}"], LAB)


def test_arrays_of_any_kind_are_forecasts(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    (part,) = LAB.episodes()
    model = load_pose_model(f"{path}:tensors")
    found = checked_forecast("tensors", model, part.observed, part.future)
    for values in (found.rotations, found.translations, found.rotation_covariance):
        assert isinstance(values, np.ndarray) and values.dtype == np.float64


def test_what_a_model_does_to_its_arguments_reaches_no_other(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    before = pose_rows(["last", "velocity"], LAB)
    after = pose_rows([f"{path}:takes_over", "last", "velocity"], LAB)
    assert after[len(after) - len(before) :] == before


def find(rows: list[Row], **wanted: object) -> Row:
    """The one row with these values."""
    (row,) = [r for r in rows if all(r[name] == value for name, value in wanted.items())]
    return row


def test_rows_of_the_lab_protocol() -> None:
    rows = pose_rows(["last", "velocity", "filter", "filter-ratios"], LAB)
    assert len(rows) == 4 * 7
    json.dumps(rows, allow_nan=False)
    at = {name: find(rows, model=name, horizon=20) for name in ("last", "velocity", "filter")}
    assert at["last"]["error_deg_median"] > at["velocity"]["error_deg_median"]
    assert at["filter"]["error_deg_median"] < at["velocity"]["error_deg_median"] / 4.0
    assert at["filter"]["nees_mean"] is not None and at["last"]["nees_mean"] is None
    assert at["filter"]["survival_auc_5deg"] > 0.95 > at["velocity"]["survival_auc_5deg"]


def test_rows_of_free_rotation() -> None:
    protocol = FreeRotation(sequences=50, noise_deg=(0.0, 1.15), inertia=("box", "any"))
    rows = pose_rows(["velocity", "filter"], protocol)
    assert len(rows) == 2 * 2 * 2 * 6
    for motion in ("free-box", "free-any"):
        for horizon in (1, 4, 6, 8, 10, 12):
            noisy = 1.15
            wanted = {"motion": motion, "horizon": horizon}
            exact = find(rows, model="filter", noise_deg=0.0, **wanted)
            assert exact["error_deg_p90"] < 1e-3
            found = find(rows, model="filter", noise_deg=noisy, **wanted)
            plain = find(rows, model="velocity", noise_deg=noisy, **wanted)
            assert found["error_deg_median"] < 1.2 * plain["error_deg_median"]


def test_the_same_command_gives_the_same_rows() -> None:
    names = ["velocity", "filter"]
    assert pose_rows(names, LAB) == pose_rows(names, LAB)


def test_models_that_learn_are_trained_on_the_protocol_s_sequences() -> None:
    small = LearnedConfig(hidden=8, width=8, sequences=40, steps=2, batch=8)
    models: dict[str, PoseModel] = {"a": LearnedModel(small), "last": load_pose_model("last")}
    fit_models(models, LAB)
    said: list[str] = []
    found = list(evaluate(models, LAB, progress=said.append))
    assert [e.model for e in found] == ["a", "last"]
    assert said == ["a: tumble-3 at 0.1 deg", "last: tumble-3 at 0.1 deg"]
    table = join_columns(e.columns() for e in found)
    assert len(table["error_deg"]) == 2 * 9 * 7
    assert set(table["model"]) == {"a", "last"}


def test_one_observed_frame_is_refused_by_who_needs_more() -> None:
    protocol = Lab(motions=("tumble-3",), frames=200, noise_deg=(0.1,), observed=1)
    assert pose_rows(["last"], protocol)
    with pytest.raises(InputError, match="1 observed frame: must be at least 2"):
        pose_rows(["velocity"], protocol)
