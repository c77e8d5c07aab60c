"""satgen.modelling.fittings: labels and connectors that several satellites have."""

from __future__ import annotations

import numpy as np

from satgen.modelling.assembly import Assembly
from satgen.modelling.fittings import connectors, tag
from satgen.modelling.textures import LABELS
from tests.test_shapes import assert_sound


def test_a_tag_shows_one_whole_label_of_its_own() -> None:
    across, down = LABELS
    corners = set()
    for number in range(across * down):
        plate = tag(number, 0.1)
        assert_sound(plate)
        assert plate.bounds[1, 2] == 0.003
        front = plate.uv[plate.normals[:, 2] > 0.9] * (across, down)
        low, high = front.min(axis=0), front.max(axis=0)
        assert np.allclose(high - low, 1.0)
        assert np.allclose(low, np.round(low))
        corners.add((round(low[0]), round(low[1])))
    assert corners == {(i, j) for i in range(across) for j in range(down)}


def test_connectors_are_sound_and_wear_cable_and_label() -> None:
    part = Assembly("box").part("front", "bus")
    connectors(part, lambda shape: shape, [(0.0, 0.0), (0.1, 0.0)], (0.0, -0.075))
    for _, shape in part.pieces:
        assert_sound(shape)
    assert [m for m, _ in part.pieces] == 2 * ["aluminium", "steel_dark", "harness", "labels"]
    low, high = part.bounds
    assert low[2] < 0.0 < high[2] < 0.09  # rooted in the surface
