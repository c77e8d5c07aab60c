"""Render what you predict: poses that are forecast, drawn by our own renderer.

The dataset's target, camera, lighting and sensor are those it was rendered with, its noise left
out. Where sun and Earth will be at the time of a frame to come is taken as known: in the target's
axes where they stand still in these, so that they turn with the forecast pose; elsewhere in the
camera's. With the true pose the frame is the dataset's, to the last bit.

Pose models that extrapolate the translation by a polynomial are given that of the point that the
camera is aimed at, about which the target turns; the origin of the target's frame moves on a circle
about that point, which a polynomial does not follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bench.predict.frame_models import RENDER
from bench.predict.frame_types import FrameForecast, FrameScene, ObservedFrames
from bench.predict.kinematic import Polynomial
from bench.predict.known import forecast_known, known_frames
from bench.predict.learned import LearnedModel
from bench.predict.pose_models import load_pose_model
from bench.predict.types import PoseModel
from satgen.config import RenderConfig, model_path, places_of, sun_vectors
from satgen.errors import InputError
from satgen.frame_maker import FrameMaker, Viewpoint, viewpoint
from satgen.geometry import Bools, Floats
from satgen.runfolder import file_sha256
from satgen.scene import Scene
from satgen.trajectory import observe

LIGHT_SINCE = 3
"""Version of the dataset format since which frames have the light that the renderer draws now."""

AUTO = "auto"
"""The pose model that suits the motion."""


def suited_pose_model(scene: FrameScene) -> str:
    """Name of the pose model for a scene: the rigid-body filter where the target tumbles and its
    inertia is known; else the fitted constant velocity."""
    return "velocity" if scene.body is None else "filter"


@dataclass
class RenderedForecast:
    """The pose that is forecast, rendered.

    Attributes:
        pose_model: name of the pose model (`pose_models.load_pose_model`), the path of a
            .safetensors file of one that was trained, one that is ready to forecast, or "auto"
            (`suited_pose_model`).
        wants_poses: True; see `FrameModel`.
        name: of the pose model, for messages.
    """

    pose_model: str | PoseModel = AUTO
    wants_poses: bool = True
    name: str = field(default="", repr=False)
    _makers: dict[str, FrameMaker] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Find the pose model, so that a wrong name is refused before anything is rendered."""
        if isinstance(self.pose_model, str) and self.pose_model != AUTO:
            self.name = self.pose_model
            self.pose_model = _ready_pose_model(self.pose_model)

    def forecast(self, observed: ObservedFrames) -> FrameForecast:
        """The frames, and where the renderer saw a part.

        Raises:
            InputError: a model file that is no longer what the dataset was rendered with, or a pose
                model that cannot forecast these.
            RunError: nothing here renders.
        """
        scene = observed.scene
        rotations, translations, known = self.poses(observed)
        maker = self.start(scene)
        shape = (*observed.future_index.shape, *observed.frames.shape[2:])
        frames = np.zeros(shape, dtype=np.float32)
        silhouettes = np.zeros((*shape[:2], *shape[3:]), dtype=bool)
        for row in np.flatnonzero(known):
            poses = np.zeros((len(observed.horizons), 4, 4))
            poses[:, :3, :3], poses[:, :3, 3] = rotations[row], translations[row]
            poses[:, 3, 3] = 1.0
            for at, view in enumerate(_views(maker.config, poses, observed.future_index[row])):
                images = maker.draw(view)
                frames[row, at] = scene.on_grid(images["rgb"])
                silhouettes[row, at] = scene.labels_on_grid(images["parts"]) > 0
        return FrameForecast(frames, silhouettes)

    def poses(self, observed: ObservedFrames) -> tuple[Floats, Floats, Bools]:
        """Forecast rotations (B, N, 3, 3), translations (B, N, 3), and (B,) where there are any.

        Observed poses that are not known (NaN) are left out. With fewer of them than a pose model
        can use, the last known pose is what is forecast; with none, no pose is.
        """
        model = self.pose_model
        if isinstance(model, str):
            model = load_pose_model(suited_pose_model(observed.scene))
        poses, future = observed.poses, observed.future_times
        known = np.asarray(known_frames(poses).any(axis=1))
        count, ahead = future.shape
        rotations = np.tile(np.eye(3), (count, ahead, 1, 1))
        translations = np.zeros((count, ahead, 3))
        straight = isinstance(model, (Polynomial, LearnedModel))
        aim = observed.scene.data.config.trajectory.aim
        pivot = np.asarray(aim if straight else (0.0, 0.0, 0.0))
        rows = np.flatnonzero(known)
        if len(rows):
            some = poses.take(rows)
            some = replace(some, translations=some.translations + some.rotations @ pivot)
            found = forecast_known(self.name or type(model).__name__, model, some, future[rows])
            rotations[rows] = found.rotations
            translations[rows] = found.translations - found.rotations @ pivot
        return rotations, translations, known

    def start(self, scene: FrameScene) -> FrameMaker:
        """The renderer of a scene, which a forecast starts unless it is there.

        Raises:
            InputError, RunError: as `forecast`.
        """
        key = str(scene.data.folder.resolve())
        if key not in self._makers:
            self.close()  # one dataset at a time: models are large
            self._makers[key] = _maker_of(scene)
        return self._makers[key]

    def close(self) -> None:
        """Let go of the renderers."""
        while self._makers:
            self._makers.popitem()[1].close()


def _ready_pose_model(name: str) -> PoseModel:
    """The pose model of that name, or of a file of weights.

    Raises:
        InputError: there is none, or it must be trained first.
    """
    if name.endswith(".safetensors"):
        return LearnedModel.load(name)
    model = load_pose_model(name)
    if isinstance(model, LearnedModel) and not model.trained:
        raise InputError(
            f"frame model '{RENDER}-{name}': {name} must be trained first, by --task pose; give "
            f"the weights that it left in its run: {RENDER}-RUN/models/{name}.safetensors"
        )
    return model


def model_of(scene: FrameScene) -> Path:
    """The file of the model that a scene was rendered with.

    Raises:
        InputError: it is not there any more, or it or the renderer's light has changed since.
    """
    anew = f"render it anew, or leave out --model {RENDER}"
    target = scene.data.config.target
    path = model_path(target)
    if not path.is_file():
        raise InputError(f"{scene.name}: its model {path} is not there any more; {anew}")
    if file_sha256(path) != target.sha256:
        raise InputError(f"{scene.name}: {path} is not the model that it was rendered with; {anew}")
    version = scene.data.description["version"]
    if version < LIGHT_SINCE:
        raise InputError(f"{scene.name}: of format {version}, whose light was another; {anew}")
    return path


def _maker_of(scene: FrameScene) -> FrameMaker:
    """A renderer of a dataset's scene, without the sensor's noise."""
    from satgen.targets.load import load_target

    model_of(scene)
    config = scene.data.config
    target = config.target
    model = load_target(target.source, target.scale, target.up, parts=target.parts)
    quiet = replace(config, sensor=config.sensor.quiet)
    return FrameMaker(Scene(quiet, model), anywhere=True)


def _views(config: RenderConfig, poses: Floats, indices: Floats) -> list[Viewpoint]:
    """Poses (N, 4, 4) at the times of indices (N,), with the light there."""
    truth = observe(config.trajectory, np.asarray(indices))
    sun = sun_vectors(config, truth)
    place = places_of(config, truth, sun)
    turn = poses[:, :3, :3] @ np.swapaxes(truth.T_cam_target[:, :3, :3], -1, -2)
    if config.sun.mode == "body":
        sun = np.einsum("nij,nj->ni", turn, sun)
    if truth.R_target_inertial is None:
        place = place.turned(turn)
    # The index decides the exposure, where that is metered.
    return [
        viewpoint(int(truth.index[row]), pose, sun, place, row) for row, pose in enumerate(poses)
    ]
