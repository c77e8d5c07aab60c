"""Frames as a user holds them: one frame, two frames of one target, the surface that one shows.

Conventions are those of `satgen.geometry`: metres, OpenCV's camera frame (x right, y down, z
forward), pixel (u, v) is column and row with the origin at the centre of the top-left pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.camera import Camera
from satgen.errors import InputError
from satgen.geometry import (
    Floats,
    Flow,
    Warp,
    backproject,
    optical_flow,
    relative_pose,
    rotation_angle,
    warp,
)
from satgen.model import PartLabels


@dataclass(frozen=True)
class SurfacePoints:
    """The surface that a frame shows: one point for each pixel that shows the target.

    Attributes:
        uv: (N, 2) int64 pixels, column and row, row by row.
        xyz: (N, 3) float64 target frame, metres.
        parts: (N,) part labels, uint8, or uint16 of a target with more than 255 parts.
    """

    uv: NDArray[np.int64]
    xyz: Floats
    parts: PartLabels

    def __len__(self) -> int:
        """Number of points."""
        return len(self.uv)


class Frame:
    """One frame: its images, where it was seen from, and what lit it.

    Made by `Dataset[index]`, which reads each image from its file when it is first asked for, and
    by `satgen.render_frame`.

    Attributes:
        index: observation index; None for a pose that is no trajectory's.
        pose: (4, 4) float64 T_cam_target: takes target-frame to camera-frame coordinates, metres.
        camera: the intrinsics.
        sun: (3,) float64 unit vector from the target to the sun, camera frame.
        target: the target's name.
        model_sha256: SHA-256 of its model file: frames that share it show the same body.
        part_names: part label -> name.
        source: the dataset's folder; empty if there is none.
    """

    def __init__(
        self,
        *,
        index: int | None,
        pose: Floats,
        camera: Camera,
        sun: Floats,
        target: str,
        model_sha256: str,
        part_names: Mapping[int, str],
        images: Callable[[str], Any],
        source: str = "",
    ) -> None:
        self.index = index
        self.pose = pose
        self.camera = camera
        self.sun = sun
        self.target = target
        self.model_sha256 = model_sha256
        self.part_names = dict(part_names)
        self.source = source
        self._images = images

    def __repr__(self) -> str:
        """Shows the target, the index, the size in pixels and the distance."""
        number = "" if self.index is None else f" {self.index}"
        size = f"{self.camera.width}x{self.camera.height}"
        return f"<Frame {self.target}{number}, {size}, {np.linalg.norm(self.pose[:3, 3]):.4g} m>"

    def _repr_png_(self) -> bytes:
        """The image, for notebooks."""
        from satgen.png import encode_png

        return encode_png(self.rgb)

    @property
    def K(self) -> Floats:  # noqa: N802 - the field's own symbol
        """Intrinsic matrix, (3, 3) float64, pixels; a lens's distortion is the camera's."""
        return self.camera.K

    @cached_property
    def rgb(self) -> NDArray[Any]:
        """Image (H, W, 3), or (H, W) of a mono sensor, uint8 or uint16; see `satgen.sensor`."""
        return np.asarray(self._images("rgb"))

    @cached_property
    def depth(self) -> Floats:
        """Depth (H, W) float64: z in the camera frame, metres; 0 where there is no surface."""
        return np.asarray(self._images("depth"))

    @cached_property
    def parts(self) -> PartLabels:
        """Part labels (H, W), 0 for background; uint8, or uint16 of a target with more than 255."""
        return np.asarray(self._images("parts"))

    @cached_property
    def shadow(self) -> NDArray[np.uint8]:
        """Shadow labels (H, W) uint8: 0 background, 1 lit, 2 turned away from the sun, 3 in a
        shadow that something casts. Only where these were asked for."""
        return np.asarray(self._images("shadow"))

    @cached_property
    def normals(self) -> Floats:
        """Surface normals (H, W, 3) float64, camera axes, on the camera's side; 0 for background.
        Only where these were asked for."""
        return np.asarray(self._images("normals"))

    @cached_property
    def flow_forward(self) -> Flow:
        """Flow to the index a step later, to 1/64 pixel. Only where it was asked for; without, and
        between any two frames, there is `TwoViews.flow`."""
        flow: Flow = self._images("flow_forward")
        return flow

    @cached_property
    def flow_backward(self) -> Flow:
        """Flow to the index a step earlier, likewise."""
        flow: Flow = self._images("flow_backward")
        return flow

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool: the pixel shows the target."""
        return np.asarray(self.parts > 0)

    @cached_property
    def points(self) -> SurfacePoints:
        """The surface points of all pixels that show the target."""
        v, u = np.nonzero(self.depth > 0.0)
        uv = np.stack([u, v], axis=-1)
        distortion = self.camera.distortion
        xyz = backproject(self.K, self.pose, uv, self.depth[v, u], distortion)
        return SurfacePoints(uv, xyz, self.parts[v, u])


class TwoViews:
    """Two frames of one target, with the exact truth about how they relate.

    The frames may be of two datasets of the same target, say in other light, with other cameras.

    Attributes:
        a, b: the frames.

    Raises:
        InputError: they show different targets.
    """

    def __init__(self, a: Frame, b: Frame) -> None:
        if a.model_sha256 != b.model_sha256:
            raise InputError(f"{a!r} and {b!r}: must show one target, and the same model of it")
        self.a, self.b = a, b

    def __repr__(self) -> str:
        """Both frames, and the angle between them."""
        return f"<TwoViews {self.a!r} {self.b!r}, {self.angle_deg:.4g}°>"

    @cached_property
    def relative_pose(self) -> Floats:
        """(4, 4) pose that takes camera-a coordinates to camera-b ones, metres."""
        return relative_pose(self.a.pose, self.b.pose)

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation from camera a to camera b, degrees in [0, 180]."""
        return float(np.degrees(rotation_angle(self.relative_pose[:3, :3])))

    def warp(self, uv: ArrayLike | None = None) -> Warp:
        """Where surface points that frame a shows fall in frame b, and whether b shows them.

        Args:
            uv: (N, 2) pixels in frame a, of sub-pixel precision if you like; by default every
                pixel, row by row.

        Returns:
            `satgen.geometry.Warp`: pixels in frame b, depths there, and masks: in frame, visible,
            occluded, bordering.
        """
        a, b = self.a, self.b
        return warp(a.K, a.depth, a.pose, b.depth, b.pose, uv, **_lenses(a, b))

    @cached_property
    def flow(self) -> Flow:
        """Exact optical flow of every pixel of frame a into frame b.

        `flow.flow` is (H, W, 2) pixels, NaN where frame a shows nothing; `flow.valid`,
        `flow.visible` and `flow.occluded` are (H, W) masks: see `satgen.geometry.Flow`.
        """
        a, b = self.a, self.b
        return optical_flow(a.K, a.depth, a.pose, b.depth, b.pose, **_lenses(a, b))


def _lenses(a: Frame, b: Frame) -> dict[str, Any]:
    """What `warp` needs to know of two cameras besides the first one's K."""
    distortions = {"distortion": a.camera.distortion, "distortion_j": b.camera.distortion}
    return {"K_j": b.K, **distortions}
