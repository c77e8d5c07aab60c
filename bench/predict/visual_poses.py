"""Poses of a sequence from its images: our matcher and the depth of one reference frame.

The first frame's pose is given. A frame is matched with the reference frame, whose depth says where
its keypoints lie on the target, and perspective n-point gives its pose. When the target has turned
so far that few matches are left, the frame before becomes the next reference, with the pose that
was estimated for it and its own depth: errors of pose add up from reference to reference, as they
do for whoever has nothing but such images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.pose import RansacOptions, absolute_pose, surface_points
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.geometry import Floats

if TYPE_CHECKING:
    from matchers.types import Extractor, Matcher


@dataclass(frozen=True)
class TrackerConfig:
    """How poses are estimated from images.

    Attributes:
        matcher, features: names, as `matchers.registry.load_matcher` takes them.
        max_keypoints: in a frame.
        least_inliers: with fewer there is no pose.
        share: of the inliers that the first frame after a reference has with it; with fewer, the
            frame before becomes the reference.
        ransac: pose estimation.
        device: None for the best there is.
        threads: of PyTorch. Sums may differ in their last bits from one number to another.

    Raises:
        InputError: a number that cannot be.
    """

    matcher: str = "lightglue"
    features: str = "sift"
    max_keypoints: int = 512
    least_inliers: int = 10
    share: float = 0.5
    ransac: RansacOptions = field(default_factory=RansacOptions)
    device: str | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.max_keypoints < 1 or self.least_inliers < 4 or self.threads < 1:
            raise InputError(
                f"{self.max_keypoints} keypoints, {self.least_inliers} inliers, {self.threads} "
                "threads: must be at least 1, 4 and 1"
            )
        if not 0.0 < self.share < 1.0:
            raise InputError(f"share {self.share:g}: must be between 0 and 1")


@dataclass(frozen=True)
class VisualPose:
    """The pose of one frame as it was found, and by which matches.

    Attributes:
        index: of the frame.
        T: (4, 4) T_cam_target, metres; None where none was found.
        anchor: index of the frame that it was matched with; itself for the first.
        inliers: matches that support it.
    """

    index: int
    T: Floats | None
    anchor: int
    inliers: int


@dataclass(frozen=True)
class TrackTask:
    """A run of frames of a dataset to find the poses of."""

    folder: Path
    indices: tuple[int, ...]
    config: TrackerConfig


def track_task(task: TrackTask) -> list[VisualPose]:
    """The poses of a task's frames, in a process that keeps its networks for the next one."""
    data = Dataset(task.folder)
    return track(data, task.indices, task.config)


def track(data: Dataset, indices: Sequence[int], config: TrackerConfig) -> list[VisualPose]:
    """The pose of each of some frames, in order; that of the first is the dataset's.

    Raises:
        InputError: no frame, one that is not there, or a matcher that cannot be had.
    """
    if not len(indices):
        raise InputError(f"{data.folder}: no frame to estimate the pose of")
    tracker = _Tracker(data, config)
    return [tracker.next(int(index)) for index in indices]


@lru_cache(maxsize=1)
def load_tracker(config: TrackerConfig) -> tuple[Extractor, Matcher]:
    """Extractor and matcher of a configuration.

    Raises:
        InputError: one cannot be had.
    """
    import torch

    from matchers.registry import load_features, load_matcher

    torch.set_num_threads(config.threads)
    return (
        load_features(config.features, max_keypoints=config.max_keypoints, device=config.device),
        load_matcher(config.matcher, features=config.features, device=config.device),
    )


@dataclass(frozen=True)
class _PosedFrame:
    """A frame with its keypoints (N, 2), what the matcher needs, and its pose."""

    index: int
    keypoints: Floats
    prepared: Any
    T: Floats | None = None
    points: Floats | None = None


class _Tracker:
    """What is known on the way through a sequence: the reference frame, and the last frame."""

    def __init__(self, data: Dataset, config: TrackerConfig) -> None:
        self.data = data
        self.config = config
        self.extractor, self.matcher = load_tracker(config)
        self.K = data.camera.K
        self._anchor: _PosedFrame | None = None
        self._last: _PosedFrame | None = None
        self._first_inliers: int | None = None

    def next(self, index: int) -> VisualPose:
        """The pose of the frame that comes next."""
        seen = self._look(index)
        if self._anchor is None:
            self._anchor = self._last = self._posed(seen, np.asarray(self.data.pose(index)))
            return VisualPose(index, self._anchor.T, index, 0)
        found, inliers = self._against(self._anchor, seen)
        few = self.config.share * (self._first_inliers or 0)
        last = self._last
        if (found is None or inliers < few) and last is not None and last is not self._anchor:
            self._anchor, self._first_inliers = last, None
            found, inliers = self._against(last, seen)
        if found is None:
            return VisualPose(index, None, self._anchor.index, inliers)
        if self._first_inliers is None:
            self._first_inliers = inliers
        self._last = self._posed(seen, found)
        return VisualPose(index, found, self._anchor.index, inliers)

    def _look(self, index: int) -> _PosedFrame:
        import torch

        with torch.no_grad():
            features = self.extractor(self.data.rgb(index))
            keypoints = features.keypoints.cpu().numpy().astype(np.float64)
            return _PosedFrame(index, keypoints, self.matcher.prepare(features))

    def _posed(self, seen: _PosedFrame, T: Floats) -> _PosedFrame:
        """A frame with its pose, and with the points of the target at its keypoints."""
        depth = self.data.depth(seen.index)
        points = surface_points(seen.keypoints, depth, self.K, T, self.data.camera.distortion)
        return _PosedFrame(seen.index, seen.keypoints, seen.prepared, T, points)

    def _against(self, anchor: _PosedFrame, seen: _PosedFrame) -> tuple[Floats | None, int]:
        """The pose of a frame by its matches with a reference frame, and how many support it."""
        import torch

        if not (len(anchor.keypoints) and len(seen.keypoints)):
            return None, 0
        with torch.no_grad():
            matches = self.matcher.match(anchor.prepared, seen.prepared)
        rows = matches.indices.cpu().numpy()
        assert anchor.points is not None
        estimate = absolute_pose(
            self.data.camera.undistorted(seen.keypoints[rows[:, 1]]),
            anchor.points[rows[:, 0]],
            self.K,
            self.config.ransac,
        )
        if estimate is None:
            return None, 0
        inliers = int(np.count_nonzero(estimate.inliers))
        return (estimate.T if inliers >= self.config.least_inliers else None), inliers
