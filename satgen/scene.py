"""What is rendered, whole: a configuration, its target, and all that follows from the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from satgen.config import RenderConfig, places_of, resolve, sun_vectors
from satgen.errors import InputError
from satgen.geometry import project
from satgen.keypoints import Landmarks, find_landmarks
from satgen.model import TargetModel
from satgen.options import RenderOptions
from satgen.rendering import RENDERERS
from satgen.surroundings.place import Place
from satgen.trajectory import Observations, observe


@dataclass(frozen=True)
class Views:
    """What is seen at N indices.

    Attributes:
        observations: poses and how they move.
        sun: (N, 3) unit vectors from the target, camera frame.
        place: where the Earth is.
        uv: (N, L, 2) pixels that the L landmarks project to; NaN behind the camera.
        depth_m: (N, L) their distances along the optical axis.
    """

    observations: Observations
    sun: NDArray[np.float64]
    place: Place
    uv: NDArray[np.float64]
    depth_m: NDArray[np.float64]

    def at(self, indices: Sequence[int]) -> Views:
        """The views at some of the indices, in the order given.

        Raises:
            InputError: an index that there is none of.
        """
        known, wanted = self.observations.index, np.asarray(indices, dtype=np.int64)
        rows = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        missing = wanted[known[rows] != wanted]
        if len(missing):
            outside = not known[0] <= missing[0] <= known[-1]
            problem = f"must be between {known[0]} and {known[-1]}"
            raise InputError(f"index {missing[0]}: {problem if outside else 'is not in the scene'}")
        return Views(
            self.observations.take(rows),
            self.sun[rows],
            self.place.take(rows),
            self.uv[rows],
            self.depth_m[rows],
        )


@dataclass(frozen=True, eq=False)
class Scene:
    """What is rendered: a configuration and the target that it is of."""

    config: RenderConfig
    model: TargetModel

    @cached_property
    def landmarks(self) -> Landmarks:
        """The target's landmarks, with the surfaces around them."""
        return find_landmarks(self.model)

    @cached_property
    def indices(self) -> list[int]:
        """The indices to render, ascending."""
        return [int(index) for index in self.config.indices()]

    @cached_property
    def views(self) -> Views:
        """What is seen at the indices to render."""
        observations = observe(self.config.trajectory, self.indices)
        sun = sun_vectors(self.config, observations)
        place = places_of(self.config, observations, sun)
        camera, poses = self.config.camera, observations.T_cam_target
        uv, depth = np.zeros((len(poses), 0, 2)), np.zeros((len(poses), 0))
        if len(self.landmarks):
            uv, depth = project(camera.K, poses, self.landmarks.xyz, camera.distortion)
        return Views(observations, sun, place, uv, depth)


def scene_of(options: RenderOptions) -> Scene:
    """The scene that a request describes: loads the target and settles the configuration.

    Raises:
        InputError: the target cannot be loaded, or the request makes no sense.
    """
    from satgen.targets.load import load_target

    model = load_target(options.target, options.scale, options.up, parts=options.parts)
    if options.renderer != RENDERERS[0]:
        from satgen.rendering.reference import check_model

        check_model(model)
    return Scene(resolve(options, model), model)
