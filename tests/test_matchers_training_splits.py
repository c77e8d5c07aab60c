"""Pairs of held-out frames."""

from __future__ import annotations

import numpy as np

from matchers.training.splits import GAPS, held_out_pairs
from satgen.splits import Views, split_datasets
from satgen.trajectory import TrajectoryConfig, observe


def test_test_blocks_have_room_for_every_gap() -> None:
    observations = observe(TrajectoryConfig(distance_m=10.0), np.arange(361, 8101))
    views = Views("t", observations.index, observations.T_cam_target[:, 2, :3])
    split = split_datasets({"d": views})["d"]
    pairs = held_out_pairs(split.test, count=10)
    assert {j - i for i, j in pairs} == set(GAPS)
    assert len(pairs) == 10 * len(GAPS)
    assert set(np.ravel(pairs)) <= set(split.test.tolist())
    assert pairs == held_out_pairs(split.test, count=10)
    assert pairs != held_out_pairs(split.test, count=10, seed=1)
