"""satgen.shadow_edges: edges that move over the body when the sun does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from satgen.errors import InputError
from satgen.frame import Frame
from satgen.shadow_edges import CAST, LIT, moving_edges, shadow_edges
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


def test_frames_without_labels_are_told_of(pristine: Path) -> None:
    from satgen.dataset import Dataset

    with pytest.raises(InputError, match="--shadow"):
        shadow_edges(Dataset(pristine)[3000])
