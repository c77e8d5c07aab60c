"""Splits: what is held out is far from what is trained on, by brute force over all poses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.splits import (
    Split,
    SplitConfig,
    Views,
    split_datasets,
    views_of,
)
from satgen.trajectory import TrajectoryConfig, observe

RANGE = np.arange(361, 8101)
PARTS = ("train", "validation", "test")


def views(kind: str = "spiral", indices: np.ndarray = RANGE, target: str = "t") -> Views:
    observations = observe(TrajectoryConfig(kind=kind, distance_m=10.0), indices)
    return Views(target, observations.index, observations.T_cam_target[:, 2, :3])


def rotations(kind: str, indices: np.ndarray) -> Rotation:
    observations = observe(TrajectoryConfig(kind=kind, distance_m=10.0), indices)
    return Rotation.from_matrix(observations.T_cam_target[:, :3, :3])


def least_angle_deg(a: Rotation, b: Rotation) -> float:
    """The smallest rotation from any pose of one list to any of another, by SciPy's quaternions."""
    dots = np.abs(a.as_quat() @ b.as_quat().T).max()
    return float(np.rad2deg(2.0 * np.arccos(min(dots, 1.0))))


@pytest.mark.parametrize("kind", ["spiral", "grid"])
def test_no_test_frame_is_within_five_degrees_of_a_training_frame(kind: str) -> None:
    split = split_datasets({"d": views(kind)})["d"]
    poses = {name: rotations(kind, getattr(split, name)) for name in PARTS}
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert least_angle_deg(poses[one], poses[other]) > 5.0


def test_neighbouring_turns_are_kept_apart_by_a_wider_guard() -> None:
    # 360 indices on, the spiral is 8 degrees away: a guard of 10 must reach across turns
    split = split_datasets({"d": views()}, SplitConfig(guard_deg=10.0))["d"]
    assert (
        least_angle_deg(*(rotations("spiral", getattr(split, n)) for n in ("train", "test"))) > 10
    )
    assert len(split.train) < len(split_datasets({"d": views()})["d"].train)


def test_every_index_is_in_exactly_one_part() -> None:
    split = split_datasets({"d": views()})["d"]
    parts = np.concatenate([*(getattr(split, name) for name in PARTS), split.dropped])
    assert np.array_equal(np.sort(parts), RANGE)
    assert 0.10 < len(split.test) / len(RANGE) < 0.14
    assert len(split.train) > len(RANGE) / 2


@given(st.integers(300, 3000), st.integers(1, 3), st.floats(0.0, 8.0))
@settings(max_examples=15)
def test_the_guard_holds_for_any_range(count: int, step: int, guard: float) -> None:
    indices = np.arange(1, 8101)[:: 1 + step][:count]
    config = SplitConfig(guard_deg=guard)
    try:
        split = split_datasets({"d": views(indices=indices)}, config)["d"]
    except InputError:  # a wide guard eats the validation blocks of a short range up
        assert guard > 6.3 and count < 420
        return
    angle = least_angle_deg(
        rotations("spiral", split.train),
        rotations("spiral", np.union1d(split.test, split.validation)),
    )
    assert angle > guard - 1e-6


def test_datasets_of_one_target_are_kept_apart_from_each_other() -> None:
    # the same target along two trajectories: the spiral's test views are none of the grid's
    # training views
    splits = split_datasets({"a": views(), "b": views("grid")})
    assert (
        least_angle_deg(rotations("spiral", splits["a"].test), rotations("grid", splits["b"].train))
        > 5
    )
    assert (
        least_angle_deg(rotations("grid", splits["b"].test), rotations("spiral", splits["a"].train))
        > 5
    )


def test_other_targets_do_not_matter() -> None:
    alone = split_datasets({"a": views()})["a"]
    both = split_datasets({"a": views(), "b": views("grid", target="u")})
    assert np.array_equal(alone.train, both["a"].train)


def test_a_target_left_out_is_only_tested_on() -> None:
    splits = split_datasets(
        {"a": views(target="x"), "b": views(target="y")}, SplitConfig(leave_out="x")
    )
    assert np.array_equal(splits["a"].test, RANGE)
    assert not len(splits["a"].train) and not len(splits["a"].validation)
    assert len(splits["b"].train) and len(splits["b"].test)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SplitConfig(leave_out="moon"), "'moon'"),
        (SplitConfig(leave_out="t"), "no other"),
        (SplitConfig(guard_deg=89.0), "none is left"),
    ],
)
def test_what_cannot_be_split(config: SplitConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_datasets({"d": views()}, config)


@pytest.mark.parametrize(
    "change", [{"test": 0.0}, {"validation": 0.9}, {"blocks": 0}, {"guard_deg": -1.0}]
)
def test_bad_numbers(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must"):
        SplitConfig(**change)  # type: ignore[arg-type]


def test_views_of_a_rendered_dataset_and_runs(pristine: Path) -> None:
    data = Dataset(pristine)
    found = views_of(data)
    expected = observe(data.config.trajectory, data.indices).T_cam_target[:, 2, :3]
    np.testing.assert_allclose(found.axes, expected, atol=1e-9)
    split = Split(*(np.array(part) for part in ([1, 2, 3, 7], [5], [9, 10], [])))
    assert json.loads(json.dumps(split.to_json())) == {
        "train": [[1, 3], [7, 7]],
        "validation": [[5, 5]],
        "test": [[9, 10]],
        "dropped": [],
    }
