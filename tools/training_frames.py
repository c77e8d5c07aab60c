"""Stretches of the targets' frames that may be trained on: `python tools/training_frames.py`.

For each of the three targets ten stretches of the default trajectory, spread over all of it and
far from the frames that `satgen train` holds out by default, so that figures of bench/held_out.csv
are of views that were not trained on. Each is printed twice, as TARGET START STOP STEP for `satgen
render`: sixteen frames five apart, and the eight behind them one apart.
"""

from __future__ import annotations

import numpy as np

from satgen.options import RenderOptions
from satgen.scene import scene_of
from satgen.splits import ViewAxes, split_datasets

TARGETS = ("aura", "worldview", "cartography")
STRETCHES, FAR, NEAR, STEP, SEED = 10, 16, 8, 5, 7


def stretches(target: str) -> list[int]:
    """First indices of a target's stretches."""
    scene = scene_of(RenderOptions(target=target))
    indices, poses = np.array(scene.indices), scene.views.observations.T_cam_target
    axes = ViewAxes(target, indices, np.asarray(poses[:, 2, :3]))
    train = split_datasets({target: axes})[target].train.tolist()
    known, length = set(train), STEP * FAR + NEAR
    starts = [first for first in train if known.issuperset(range(first, first + length))]
    rng = np.random.default_rng(SEED)
    return [int(rng.choice(part)) for part in np.array_split(starts, STRETCHES)]


if __name__ == "__main__":
    for target in TARGETS:
        for first in stretches(target):
            near = first + STEP * FAR
            print(target, first, near - 1, STEP)
            print(target, near, near + NEAR - 1, 1)
