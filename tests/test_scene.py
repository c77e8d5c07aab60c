"""satgen.scene: what a request comes to, worked out once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from satgen.config import places_of, resolve, sun_vectors
from satgen.errors import InputError
from satgen.geometry import project
from satgen.keypoints import find_landmarks
from satgen.scene import scene_of
from satgen.targets.load import load_target
from satgen.trajectory import Tumble, observe, principal_inertia
from tests.datasets import options


def test_a_scene_is_the_request_and_its_target(craft_path: Path) -> None:
    request = options(craft_path, start=10, stop=50, step=7, trajectory=Tumble())
    scene = scene_of(request)
    model = load_target(craft_path)
    assert scene.config == resolve(request, model)
    assert scene.indices == [10, 17, 24, 31, 38, 45]
    assert scene.landmarks.to_json() == find_landmarks(model).to_json()
    for ours, theirs in zip(
        model.inertia, principal_inertia(model.vertices, model.faces), strict=True
    ):
        assert np.array_equal(ours, theirs)


def test_views_are_those_of_the_indices(craft_path: Path) -> None:
    scene = scene_of(options(craft_path, start=10, stop=50, step=7, sun="body:20,5"))
    views = scene.views.at([38, 10])
    observations = observe(scene.config.trajectory, [38, 10])
    assert np.array_equal(views.observations.T_cam_target, observations.T_cam_target)
    assert np.array_equal(views.sun, sun_vectors(scene.config, observations))
    place = places_of(scene.config, observations, views.sun)
    for ours, theirs in zip(vars(views.place).values(), vars(place).values(), strict=True):
        assert np.array_equal(ours, theirs)
    uv, depth = project(scene.config.camera.K, observations.T_cam_target, scene.landmarks.xyz)
    assert np.array_equal(views.uv, uv) and np.array_equal(views.depth_m, depth)
    assert scene.views.at([]).uv.shape == (0, len(scene.landmarks), 2)


@pytest.mark.parametrize(
    ("index", "problem"), [(9, "between 10 and 45"), (46, "between"), (11, "not in the scene")]
)
def test_an_index_that_is_not_rendered_is_refused(
    craft_path: Path, index: int, problem: str
) -> None:
    scene = scene_of(options(craft_path, start=10, stop=50, step=7))
    with pytest.raises(InputError, match=f"index {index}: .*{problem}"):
        scene.views.at([10, index])
