"""satgen.frame_maker: a frame depends on its configuration and index alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion

from satgen.config import resolve
from satgen.frame_maker import depth_counts, viewpoints
from satgen.geometry import bounding_box
from satgen.png import decode_png
from satgen.scene import Scene
from satgen.targets.load import load_target
from tests.datasets import frame_maker, options


def test_a_frame_is_the_same_in_any_order_and_noise_follows_seed_and_index(
    craft_path: Path,
) -> None:
    model = load_target(craft_path)
    config = resolve(options(craft_path, sensor="navcam", bit_depth=16, sun="body:10,20"), model)
    views = viewpoints(Scene(config, model).views.at([3000, 3001, 3002]))
    with frame_maker(config, model) as maker:
        forward = [maker.make(view) for view in views]
        backward = [maker.make(view) for view in reversed(views)]
    assert forward == backward[::-1]
    with frame_maker(replace(config, seed=1), model) as maker:
        other = maker.make(views[0])
    assert other[1][0] != forward[0][1][0]
    assert other[1][1:] == forward[0][1][1:]
    image = decode_png(forward[0][1][0])
    assert image is not None
    assert (image.dtype, image.shape) == (np.uint16, (64, 72))


def test_the_earth_behind_changes_nothing_but_the_picture(craft_path: Path) -> None:
    model = load_target(craft_path)
    config = resolve(options(craft_path, start=1, stop=8100, bit_depth=16), model)
    behind = replace(config, surroundings=replace(config.surroundings, background="earth"))
    views = viewpoints(Scene(config, model).views.at([400, 1400, 6000]))
    with frame_maker(config, model) as maker:
        black = [(*maker.make(view), maker.draw(view)) for view in views]
    with frame_maker(behind, model) as maker:
        earth = [(*maker.make(view), maker.draw(view)) for view in reversed(views)][::-1]
        again = [maker.make(view) for view in views]
    assert [(record, files) for record, files, _ in earth] == again
    for (one, before, seen), (two, after, drawn) in zip(black, earth, strict=True):
        assert before[1:] == after[1:]
        assert one == replace(two, sha256=(one.sha256[0], *two.sha256[1:]))
        # Whole pixels of the target are as they were; those at its edge have no dark fringe.
        inside = binary_erosion(seen["parts"] > 0, np.ones((3, 3)), iterations=2)
        assert inside.any() and (seen["rgb"][inside] == drawn["rgb"][inside]).all()
        assert (drawn["rgb"] >= seen["rgb"]).all()
    # From above the Earth is all around, from below there is none.
    brighter = earth[1][2]["rgb"] > black[1][2]["rgb"]
    assert (earth[0][2]["rgb"] > 0).all() and brighter.mean() > 0.7
    assert earth[2][1] == black[2][1]


def test_a_target_out_of_view_is_an_empty_frame(craft_path: Path) -> None:
    model = load_target(craft_path)
    config = resolve(options(craft_path), model)
    view = viewpoints(Scene(config, model).views.at([3000]))[0]
    behind = view.pose.copy()
    behind[2, 3] = -30.0
    with frame_maker(config, model) as maker:
        record, files = maker.make(replace(view, pose=behind))
    assert record.bbox == (0, 0, 0, 0)
    assert record.coverage == 0.0
    assert not any(record.visible)
    for data in files[1:]:
        image = decode_png(data)
        assert image is not None
        assert not image.any()


def test_depth_counts_never_lose_a_surface() -> None:
    depth = np.array([0.0, 1e-9, 0.4, 1.0, 65535.0, 1e9])
    assert depth_counts(depth, 1.0).tolist() == [0, 1, 1, 1, 65535, 65535]
    assert bounding_box(np.zeros((3, 4), np.uint8)) == (0, 0, 0, 0)
