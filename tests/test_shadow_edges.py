"""satgen.shadow_edges: edges that move over the body when the sun does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from satgen.errors import InputError
from satgen.frame import Frame
from satgen.shadow_edges import CAST, LIT, distance_to, moving_edges, near, shadow_edges
from satgen.single_frame import close_renderers, render_frame


@pytest.fixture(autouse=True)
def _closed() -> object:
    yield
    close_renderers()


def seen(path: Path, sun: str, index: int = 3000) -> Frame:
    return render_frame(path, index, sun=sun, size=128, shadow=True)


def test_edges_lie_between_light_and_shadow_and_move_with_the_sun(craft_path: Path) -> None:
    one = seen(craft_path, "body:60,50")
    edges = shadow_edges(one)
    assert 10 < edges.sum() < 0.1 * edges.size
    assert np.isin(one.shadow[edges], (LIT, CAST)).all()
    # The same sun on the body, seen two degrees on: edges stay on the surface.
    still = moving_edges(one, seen(craft_path, "body:60,50", 3002))
    # Another sun, far away: most of them are elsewhere.
    moved = moving_edges(one, seen(craft_path, "body:95,35", 3002))
    assert not (still & ~edges).any() and not (moved & ~edges).any()
    assert still.sum() < 0.15 * edges.sum()
    assert moved.sum() > 0.4 * edges.sum()


def test_nothing_is_near_to_edges_that_there_are_not() -> None:
    points = np.array([[0.0, 0.0], [3.4, 4.6]])
    edges = np.zeros((8, 10), dtype=bool)
    assert not near(distance_to(edges), points, 1.5).any()
    edges[4, 3] = True
    assert near(distance_to(edges), points, 1.5).tolist() == [False, True]
    assert near(distance_to(edges), points, 5.0).all()
    assert near(distance_to(edges), np.zeros((0, 2)), 5.0).shape == (0,)


def test_frames_without_labels_are_told_of(pristine: Path) -> None:
    from satgen.dataset import Dataset

    with pytest.raises(InputError, match="--shadow"):
        shadow_edges(Dataset(pristine)[3000])
