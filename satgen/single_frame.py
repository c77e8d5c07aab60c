"""Single frames, rendered in this process from one pose each: `satgen.render_frame`.

A renderer takes up to a second to get ready and then renders dozens of frames a second, so the last
few are kept for frames to come. `close_renderers` lets go of them; otherwise they end with the
process.
"""

from __future__ import annotations

import hashlib
import operator
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from satgen.camera import Camera
from satgen.config import TargetRef, places_of, resolve, source_path, sun_vectors
from satgen.errors import InputError
from satgen.frame import Frame
from satgen.frame_maker import FrameMaker, Viewpoint, viewpoint, viewpoints
from satgen.geometry import Floats, matrix_to_quaternion
from satgen.keywords import check_keywords, field_names
from satgen.model import TargetModel
from satgen.options import RenderOptions
from satgen.scene import Scene
from satgen.sun import SunConfig
from satgen.targets.load import load_target
from satgen.trajectory import INDEX_MAX, INDEX_MIN, Observations, angles_from_pose

KEPT = 4
"""Renderers, and models, that are kept."""

OF_A_SWEEP = ("trajectory", "distance", "roll", "aim", "offset", "mount")
"""Options that place the camera, which a pose does already."""

POSE_TOLERANCE = 1e-4
"""How far a pose's rotation may be from orthonormal: room for poses written with five digits."""


def render_frame(
    target: str | Path | TargetModel = "aura",
    pose: int | ArrayLike = INDEX_MIN,
    *,
    sun: SunConfig | str = RenderOptions.sun,
    camera: Camera | None = None,
    **options: Any,
) -> Frame:
    """Render one frame in this process.

    Args:
        target: a bundled target's name, random:SEED, the path of a model file, or a loaded target.
        pose: T_cam_target, (4, 4): takes target-frame to camera-frame coordinates, metres, camera
            x right, y down, z forward; the Earth is as at index 1. Or an observation index, 1 to
            8100, of the trajectory: that frame then has the pixels that a dataset of the same
            options has.
        sun: such as "phase:35" or "body:40,10": see `satgen.sun`.
        camera: intrinsics and size; by default those of the options, 512 x 512 with 20° of view.
        options: other fields of `satgen.options.RenderOptions`: fov, size, sensor, exposure,
            lighting, seed, scale, up; with an index trajectory, distance and roll, too.

    Returns:
        The frame. Its depth is exact, not rounded as a depth image is.

    Raises:
        InputError: a value that makes no sense; one line.
        RunError: nothing here renders; one line says what to install.
    """
    known = field_names(RenderOptions, "target", "start", "stop", "step", "sun", "camera", "flow")
    check_keywords("render_frame", options, known)
    index = _index(pose)
    if index is None:
        for name in OF_A_SWEEP:
            if name in options:
                raise InputError(f"{name} {options[name]}: the pose says where the camera is")
    source = target.name if isinstance(target, TargetModel) else target
    request = RenderOptions(
        target=source, sun=sun, camera=camera, start=INDEX_MIN, stop=INDEX_MAX, **options
    )
    with _LOCK:
        key = (_target_key(target, request), repr(request), index is None)
        maker, model = _MAKERS.get_or(key, lambda: _maker(target, request, anywhere=index is None))
        if index is None:
            view = _view_of(maker, _checked_pose(pose))
        else:
            view = viewpoints(maker.views.at([index]))[0]
        images = maker.draw(view)
    config = maker.config
    return Frame(
        index=index,
        pose=view.pose,
        camera=config.camera,
        sun=view.sun,
        target=config.target.name,
        model_sha256=config.target.sha256,
        part_names={part.label: part.name for part in model.parts},
        images=images.__getitem__,
    )


def close_renderers() -> None:
    """Let go of the renderers, and models, that `render_frame` keeps."""
    with _LOCK:
        _MAKERS.clear()
        _MODELS.clear()


# --- the request ----------------------------------------------------------------------------------


def _index(pose: Any) -> int | None:
    """The observation index, if it is one."""
    if np.ndim(pose) > 0:
        return None
    try:
        return operator.index(pose)
    except TypeError:
        raise InputError(
            f"pose {pose!r}: must be a (4, 4) T_cam_target, or an observation index"
        ) from None


def _checked_pose(pose: ArrayLike) -> Floats:
    """T_cam_target as (4, 4) float64; InputError where it is no rigid motion."""
    try:
        matrix = np.array(pose, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("pose: must be a (4, 4) matrix of numbers") from None
    if matrix.shape != (4, 4):
        raise InputError(f"pose of shape {matrix.shape}: must be (4, 4), T_cam_target")
    if not np.isfinite(matrix).all():
        raise InputError("pose: has a number that is not finite")
    if not np.allclose(matrix[3], [0.0, 0.0, 0.0, 1.0]):
        raise InputError(f"pose: its last row is {matrix[3].tolist()}, must be 0, 0, 0, 1")
    rotation = matrix[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=POSE_TOLERANCE):
        raise InputError("pose: its upper left 3 x 3 is no rotation, its rows are not orthonormal")
    if np.linalg.det(rotation) < 0.0:
        raise InputError("pose: its upper left 3 x 3 is a mirroring (determinant -1), no rotation")
    return matrix


def _view_of(maker: FrameMaker, pose: Floats) -> Viewpoint:
    """A pose as something to render, with the light that the configuration has there at index 1."""
    poses = pose[None]
    observation = Observations(
        np.zeros(1, dtype=np.int64),
        *angles_from_pose(poses, maker.config.trajectory.aim),
        poses,
        matrix_to_quaternion(poses[:, :3, :3]),
        np.full(1, INDEX_MIN * maker.config.trajectory.motion.frame_s),
        np.full((1, 3), np.nan),
    )
    sun = sun_vectors(maker.config, observation)
    return viewpoint(0, pose, sun, places_of(maker.config, observation, sun), 0)


# --- what is kept ---------------------------------------------------------------------------------


T = TypeVar("T")


class _Kept(Generic[T]):
    """The last few things that were made, by a key."""

    def __init__(self, close: Callable[[T], None]) -> None:
        self._close = close
        self._things: OrderedDict[Hashable, T] = OrderedDict()

    def get_or(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of a key, made if it is not there."""
        if key not in self._things:
            self._things[key] = make()
            while len(self._things) > KEPT:
                self._close(self._things.popitem(last=False)[1])
        self._things.move_to_end(key)
        return self._things[key]

    def clear(self) -> None:
        """Close and forget everything that is kept."""
        while self._things:
            self._close(self._things.popitem()[1])

    def forget(self) -> None:
        """In a forked process, where they are another's: keep them unused and start afresh."""
        _ANOTHERS.append(self._things)
        self._things = OrderedDict()


_LOCK = threading.RLock()
_MAKERS: _Kept[tuple[FrameMaker, TargetModel]] = _Kept(lambda kept: kept[0].close())
_MODELS: _Kept[TargetModel] = _Kept(lambda model: None)
_ANOTHERS: list[Any] = []


def _after_fork() -> None:
    global _LOCK
    _LOCK = threading.RLock()
    _MAKERS.forget()


os.register_at_fork(after_in_child=_after_fork)


def _maker(
    target: str | Path | TargetModel, request: RenderOptions, *, anywhere: bool
) -> tuple[FrameMaker, TargetModel]:
    if isinstance(target, TargetModel):
        model, ref = target, TargetRef(target.name, None, _model_sha256(target), 1.0, "z")
    else:
        key = _target_key(target, request)
        model = _MODELS.get_or(
            key,
            lambda: load_target(request.target, request.scale, request.up, parts=request.parts),
        )
        ref = None
    config = resolve(request, model, target=ref)
    return FrameMaker(Scene(config, model), anywhere=anywhere), model


def _target_key(target: str | Path | TargetModel, request: RenderOptions) -> Hashable:
    """What tells a target from another, and a model file from what it was before."""
    if isinstance(target, TargetModel):
        return id(target)  # it is no other's while the model is kept beside its maker
    path = source_path(request.target)
    try:
        status = path.stat()
    except OSError:
        return str(path)
    return str(path), status.st_mtime_ns, status.st_size, request.scale, request.up, request.parts


def _model_sha256(model: TargetModel) -> str:
    """A hash of a model's surfaces and parts, which no file has."""
    digest = hashlib.sha256()
    for values in (model.vertices, model.faces, model.face_part):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
