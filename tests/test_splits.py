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
    ViewAxes,
    split_datasets,
    split_sequences,
    view_axes,
)
from satgen.trajectory import KINDS, TrajectoryConfig, observe

RANGE = np.arange(361, 8101)
PARTS = ("train", "validation", "test")


def views(kind: str = "spiral", indices: np.ndarray = RANGE, target: str = "t") -> ViewAxes:
    observations = observe(TrajectoryConfig(motion=KINDS[kind](), distance_m=10.0), indices)
    return ViewAxes(target, observations.index, observations.T_cam_target[:, 2, :3])


def rotations(kind: str, indices: np.ndarray) -> Rotation:
    observations = observe(TrajectoryConfig(motion=KINDS[kind](), distance_m=10.0), indices)
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


def test_whole_targets_are_held_out() -> None:
    # two datasets of each of 20 targets: both are in one part, and none of their frames is dropped
    many = {
        f"{target}-{half}": views("spiral", RANGE[half::40], target=f"t{target}")
        for target in range(20)
        for half in range(2)
    }
    config = SplitConfig(test=0.15, validation=0.1, by="targets")
    splits = split_datasets(many, config)
    parts = {name: [p for p in PARTS if len(getattr(splits[name], p))] for name in many}
    assert all(len(found) == 1 and not len(splits[n].dropped) for n, found in parts.items())
    assert all(parts[f"{t}-0"] == parts[f"{t}-1"] for t in range(20))
    assert [sum(found == [p] for found in parts.values()) for p in PARTS] == [30, 4, 6]
    assert all(
        np.array_equal(getattr(splits[name], parts[name][0]), many[name].indices) for name in many
    )
    again = split_datasets(dict(reversed(many.items())), config)
    assert all(again[name].to_json() == splits[name].to_json() for name in many)


def test_too_few_targets_to_hold_some_out() -> None:
    with pytest.raises(InputError, match="2 targets are too few"):
        split_datasets({"a": views(target="x"), "b": views(target="y")}, SplitConfig(by="targets"))
    with pytest.raises(InputError, match="whole targets are drawn"):
        SplitConfig(by="targets", leave_out="x")
    with pytest.raises(InputError, match="by frames: must be one of blocks, targets"):
        SplitConfig(by="frames")


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
    found = view_axes(data)
    expected = observe(data.config.trajectory, data.indices).T_cam_target[:, 2, :3]
    np.testing.assert_allclose(found.axes, expected, atol=1e-9)
    split = Split(*(np.array(part) for part in ([1, 2, 3, 7], [5], [9, 10], [])))
    assert json.loads(json.dumps(split.to_json())) == {
        "train": [[1, 3], [7, 7]],
        "validation": [[5, 5]],
        "test": [[9, 10]],
        "dropped": [],
    }


# --- whole sequences ------------------------------------------------------------------------------


def tumbles(count: int, target: str = "t", length: int = 60) -> dict[str, ViewAxes]:
    """Pieces of the spiral, as sequences of a target; some lie near each other."""
    return {
        f"{target}{i}": views(indices=np.arange(200 * i, 200 * i + length), target=target)
        for i in range(1, count + 1)
    }


@given(st.integers(3, 20), st.integers(0, 100), st.sampled_from([0.0, 2.0, 9.0]))
def test_whole_sequences_are_kept_apart(count: int, seed: int, guard: float) -> None:
    sequences = tumbles(count)
    config = SplitConfig(test=0.2, validation=0.1, guard_deg=guard)
    splits = split_sequences(sequences, config, seed)
    parts: dict[str, set[str]] = {p: set() for p in PARTS}
    for name, split in splits.items():
        (has,) = {p for p in PARTS if len(getattr(split, p))} or {"dropped"}
        if has != "dropped":
            parts[has].add(name)
        everything = [*(getattr(split, p) for p in PARTS), split.dropped]
        assert np.array_equal(np.sort(np.concatenate(everything)), sequences[name].indices)
    assert len(parts["test"]) == max(1, round(0.2 * count))
    if guard == 0.0:
        assert sum(map(len, parts.values())) == count
        assert all(not len(split.dropped) for split in splits.values())
        return
    axes = {
        part: np.concatenate(
            [
                sequences[n].axes[np.isin(sequences[n].indices, getattr(splits[n], part))]
                for n in sequences
            ]
        )
        for part in PARTS
    }
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        cosine = (axes[one] @ axes[other].T).max()
        assert np.rad2deg(np.arccos(min(cosine, 1.0))) > guard - 1e-6


def test_the_draw_of_sequences_is_the_seeds_whatever_their_order() -> None:
    sequences = tumbles(12) | tumbles(5, "u")
    config = SplitConfig(guard_deg=0.0)
    one = split_sequences(sequences, config, 4)
    other = split_sequences(dict(reversed(sequences.items())), config, 4)
    assert list(other) == list(reversed(one))
    tested = [sorted(n for n, s in splits.items() if len(s.test)) for splits in (one, other)]
    assert tested[0] == tested[1]
    assert {name[0] for name in tested[0]} == {"t", "u"}  # some of each target
    again = split_sequences(sequences, config, 5)
    assert tested[0] != sorted(n for n, s in again.items() if len(s.test))
    left = split_sequences(sequences, SplitConfig(guard_deg=0.0, leave_out="u"))
    assert all(len(left[n].test) == 60 for n in sequences if n[0] == "u")


def test_what_sequences_cannot_be_split() -> None:
    with pytest.raises(InputError, match="t: 2 datasets are too few"):
        split_sequences(tumbles(2))
    with pytest.raises(InputError, match=r"no frame of its 3 datasets is left .* 0 keeps whole"):
        split_sequences({n: views(indices=RANGE) for n in "abc"})
    with pytest.raises(InputError, match="seed -1"):
        split_sequences(tumbles(3), seed=-1)
    with pytest.raises(InputError, match="'moon'"):
        split_sequences(tumbles(3), SplitConfig(leave_out="moon"))
