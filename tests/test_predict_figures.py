"""bench.predict.figures by hand and against simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.predict import figures as f
from bench.predict.protocols import Lab
from bench.predict.rotations import exp
from bench.predict.types import Episodes, Forecast
from satgen.errors import InputError
from satgen.geometry import Floats

PROTOCOL = Lab(motions=("tumble-1",), frames=328, noise_deg=(0.1,), horizons=(1, 5, 20))


def episodes() -> Episodes:
    """Windows whose true poses serve as forecasts."""
    (found,) = PROTOCOL.episodes()
    return found


def off_by(part: Episodes, turn_deg: Floats, shift_m: Floats) -> Forecast:
    """The truth, turned by so many degrees about an axis of the target and shifted."""
    axis = np.array([0.6, 0.0, 0.8])
    turn = exp(np.radians(turn_deg)[..., None] * axis)
    return Forecast(
        part.rotations @ np.swapaxes(turn, -1, -2),
        part.translations - shift_m[..., None] * axis,
        np.broadcast_to(np.radians(2.0) ** 2 * np.eye(3), part.rotations.shape).copy(),
        np.broadcast_to(0.25 * np.eye(3), part.rotations.shape).copy(),
    )


def test_errors_are_what_was_put_in() -> None:
    part = episodes()
    rng = np.random.default_rng(0)
    turn, shift = rng.uniform(0.0, 20.0, part.future.shape), rng.uniform(0.0, 1.0, (9, 3))
    found = f.errors_of(off_by(part, turn, shift), part)
    assert np.abs(found.rotation_deg - turn).max() < 1e-9
    assert np.abs(found.translation_m - shift).max() < 1e-9
    assert found.nees is not None and found.translation_nees is not None
    assert np.abs(found.nees - (turn / 2.0) ** 2).max() < 1e-8
    assert np.abs(found.translation_nees - (shift / 0.5) ** 2).max() < 1e-9


def test_covariance_is_read_in_the_target_s_frame() -> None:
    part = episodes()
    turn = np.full(part.future.shape, 3.0)
    good = off_by(part, turn, np.zeros(part.future.shape))
    # Wide along the axis (0.6, 0, 0.8) of the target alone.
    axis = np.array([0.6, 0.0, 0.8])
    wide = np.radians(3.0) ** 2 * np.outer(axis, axis) + 1e-8 * np.eye(3)
    thin = replace(good, rotation_covariance=np.broadcast_to(wide, part.rotations.shape))
    nees = f.errors_of(thin, part).nees
    assert nees is not None
    assert np.abs(nees - 1.0).max() < 1e-3


def test_rows_by_hand() -> None:
    part = episodes()
    assert len(part) == 9
    turn = np.zeros((9, 3))
    turn[:, 1] = np.arange(9) * 0.75  # 0, 0.75, ... 6
    turn[:, 2] = 10.0
    rows = f.rows_of("mine", "lab", part, f.errors_of(off_by(part, turn, 0.1 * turn), part))
    assert [row["horizon"] for row in rows] == [1, 5, 20]
    row = rows[1]
    assert (row["model"], row["protocol"], row["motion"]) == ("mine", "lab", "tumble-1")
    assert (row["noise_deg"], row["observed"], row["sequences"]) == (0.1, 12, 9)
    assert row["horizon_s"] == pytest.approx(5.0)
    assert row["error_deg_median"] == pytest.approx(3.0)
    assert row["error_deg_mean"] == pytest.approx(3.0)
    assert row["error_deg_p90"] == pytest.approx(0.9 * 8 * 0.75)
    assert row["share_1deg"] == pytest.approx(2 / 9)
    assert row["share_5deg"] == pytest.approx(7 / 9)
    assert row["error_m_median"] == pytest.approx(0.3)
    assert row["nees_mean"] == pytest.approx(np.mean((turn[:, 1] / 2.0) ** 2))
    # All at 1 frame, 7 of 9 at 5, none at 20.
    area = (1.0 + (1.0 + 7 / 9) / 2.0 * 4.0 + 7 / 9 / 2.0 * 15.0) / 20.0
    assert row["survival_auc_5deg"] == pytest.approx(area)
    assert {r["survival_auc_5deg"] for r in rows} == {row["survival_auc_5deg"]}


def test_motions_and_noises_are_told_apart() -> None:
    part = episodes()
    named = replace(part, motion=np.array(["a"] * 4 + ["b"] * 5), noise_deg=np.array([0.1] * 9))
    turn = np.arange(9.0)[:, None] * np.ones(3)
    rows = f.rows_of("mine", "lab", named, f.errors_of(off_by(part, turn, turn), part))
    assert [(r["motion"], r["sequences"]) for r in rows[::3]] == [("a", 4), ("b", 5)]
    assert rows[0]["error_deg_median"] == pytest.approx(1.5)
    assert rows[3]["error_deg_median"] == pytest.approx(6.0)


def test_without_covariance_or_noise_there_is_no_nees() -> None:
    part = episodes()
    still = np.zeros(part.future.shape)
    bare = Forecast(part.rotations, part.translations)
    assert f.errors_of(bare, part).nees is None
    quiet = replace(part, noise_deg=np.zeros(9))
    errors = f.errors_of(off_by(part, still, still), quiet)
    assert errors.nees is None
    (row, *_) = f.rows_of("mine", "lab", quiet, errors)
    assert row["nees_mean"] is None and row["nees_low"] is None and row["nees_m_mean"] is None
    assert row["error_deg_median"] < 1e-6 and row["survival_auc_5deg"] == 1.0


def test_interval_holds_95_times_of_100() -> None:
    squares = np.random.default_rng(0).normal(size=(4000, 50, 3))
    means = np.sum(squares**2, axis=-1).mean(axis=1)
    low, high = f.nees_interval(50)
    assert low < 3.0 < high
    assert np.mean((means > low) & (means < high)) == pytest.approx(0.95, abs=0.012)
    with pytest.raises(InputError, match="0 sequences"):
        f.nees_interval(0)
    with pytest.raises(InputError, match="confidence 1"):
        f.nees_interval(5, confidence=1.0)


@given(st.lists(st.lists(st.floats(0.0, 20.0), min_size=4, max_size=4), min_size=1, max_size=9))
def test_survival_never_rises_and_its_area_is_a_share(errors: list[list[float]]) -> None:
    horizons = [1, 4, 10, 40]
    alive = f.survival(errors)
    assert (np.diff(alive) <= 0.0).all()
    area = f.survival_auc(errors, horizons)
    assert 0.0 <= area <= 1.0
    better = np.asarray(errors) / 2.0
    assert f.survival_auc(better, horizons) >= area


def test_survival_of_the_lost_and_of_the_safe() -> None:
    assert f.survival_auc(np.zeros((3, 2)), [10, 80]) == 1.0
    assert f.survival_auc(np.full((3, 2), 6.0), [10, 80]) == pytest.approx(5.0 / 80.0)
    # Who comes back has been lost all the same.
    assert np.array_equal(f.survival([[1.0, 9.0, 1.0]]), [1.0, 0.0, 0.0])


def test_a_row_a_window_and_horizon() -> None:
    part = episodes()
    turn = np.arange(27.0).reshape(9, 3)
    columns = f.window_columns("mine", "lab", part, f.errors_of(off_by(part, turn, turn), part))
    assert {len(values) for values in columns.values()} == {27}
    assert np.abs(columns["error_deg"] - np.arange(27.0)).max() < 1e-9
    assert columns["horizon"][:4].tolist() == [1, 5, 20, 1]
    assert columns["window"][2:5].tolist() == [0, 1, 1]
    assert columns["start_s"][3] == 361.0 + 37.0
