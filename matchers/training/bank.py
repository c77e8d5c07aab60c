"""The cached frames, in memory on the training's device or on disk, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from matchers.training.cache import Arrays, frame_file, opened_frame, read_frame
from matchers.training.pairs import Drawn
from matchers.training.photographs import Photographs
from matchers.truth.batched import BatchGeometry, DepthMaps, warped
from matchers.types import Features
from satgen.dataset import Dataset
from satgen.errors import InputError

FeatureFile = tuple[Path, int]
"""Where a frame is cached: the folder of `fill`, and its index."""


class Source(NamedTuple):
    """Cached frames of one dataset: its name, the dataset, the frames, the folder of `fill`."""

    name: str
    data: Dataset | Photographs
    indices: Sequence[int]
    folder: Path


@dataclass(frozen=True)
class PairSide:
    """One image of each of B pairs: all first ones, or all second ones.

    Attributes:
        features: what the matcher sees, batched; without a mask where nothing is padding.
        rows: (B,) int64, frames of the bank.
        geometry: what the labels see.
    """

    features: Features
    rows: Tensor
    geometry: BatchGeometry


def likeness(first: PairSide, second: PairSide) -> Tensor:
    """Cosines (B, M, N) of the descriptors of both images' keypoints, float32."""
    a, b = (side.features.descriptors.float() for side in (first, second))
    return a @ b.transpose(1, 2)


def masks(first: PairSide, second: PairSide) -> tuple[Tensor, Tensor]:
    """(B, M) and (B, N) bool, False at padding, of both images of B pairs."""
    return first.geometry.mask, second.geometry.mask


FrameKeypoints = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]
"""Gives the arrays of B versions of frames, (B, N, …), 0 where a mask (B, N) is False: from rows
(B,), versions (B,) and that mask."""

FrameMaps = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Gives `counts` and `start` of the `DepthMaps` of B frames from their rows (B,)."""


_FLAT = (
    "keypoints", "scores", "scales", "orientations", "descriptors",
    "depth", "farthest", "rim",
)  # fmt: skip
"""Arrays of a frame with a row a keypoint, version after version."""

_OF_KEYPOINTS = {*_FLAT, "mask"}
"""Fields of features and of geometry that have a row a keypoint."""

_ALWAYS = ("count", "homography", "box")
"""Arrays that are few numbers, and kept in memory in any case."""


class Bank:
    """All versions of all frames of some sources.

    Frames that take more memory than they may stay on disk, and each batch reads its own: the
    system's page cache keeps what it can.

    Attributes:
        names: of the datasets, in order; `dataset` (F,) counts into it.
        targets: names; `target` (F,) counts into it.
        index: (F,) observation indices.
        poses: (F, 4, 4) float64, T_cam_target.
        count: (F, V) int64 keypoints.
        in_memory: whether all frames are.

    Args:
        sources: at least one frame in all, all of one kind.
        device: where the tensors go.
        memory: bytes that the frames may take; None: as many as they do.

    Raises:
        InputError: no frame.
        RunError: a frame's file cannot be read.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        device: torch.device | str = "cpu",
        memory: float | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.names = [source.name for source in sources]
        self.targets = sorted({source.data.name for source in sources})
        places: list[FeatureFile] = []
        heads: list[Arrays] = []
        dataset, index, poses, cameras, sizes, scales = [], [], [], [], [], []
        for number, (_, data, indices, folder) in enumerate(sources):
            camera = data.camera
            for i in map(int, indices):
                places.append((folder, i))
                heads.append(read_frame(folder, i, _ALWAYS))
                dataset.append(number)
                index.append(i)
                poses.append(data.pose(i))
                cameras.append((camera.fx, camera.fy, camera.cx, camera.cy))
                sizes.append((camera.width, camera.height))
                scales.append(float(data.description["depth_scale"]))
        if not places:
            raise InputError("no frame to train on")
        self.dataset = np.array(dataset)
        self.index = np.array(index)
        self.target = np.array(
            [self.targets.index(sources[number].data.name) for number in dataset]
        )
        counts = np.stack([head["count"] for head in heads]).astype(np.int64)
        if not counts.any():
            raise InputError("the frames to train on have no keypoint at all")
        self.count = counts
        self.poses: NDArray[np.float64] = np.stack(poses)
        self._poses = self._tensor(self.poses)
        self._K = self._tensor(np.array(cameras, dtype=np.float32))
        self._size = self._tensor(np.array(sizes, dtype=np.float32))
        homographies = np.stack([head["homography"] for head in heads])
        self._homographies = self._tensor(homographies)
        self._inverse = self._tensor(np.linalg.inv(homographies))
        boxes = [head["box"] for head in heads if "box" in head]
        self._box = self._tensor(np.stack(boxes).astype(np.int64)) if boxes else None
        self._scale = self._tensor(np.array(scales, dtype=np.float32))
        size = sum((folder / frame_file(i)).stat().st_size for folder, i in places)
        self.in_memory = memory is None or size <= memory
        store = _Memory if self.in_memory else _Disk
        self._store: _Memory | _Disk = store(places, counts, self.device)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.index)

    @property
    def versions(self) -> int:
        """Number of versions of each frame."""
        return int(self.count.shape[1])

    def side(
        self,
        rows: NDArray[np.int64],
        versions: NDArray[np.int64],
        length: int | None = None,
    ) -> PairSide:
        """Versions of frames as one side of a batch.

        Args:
            rows, versions: (B,) each.
            length: keypoints to pad to; None: the most that one of them has (at least 1).

        Raises:
            ValueError: one has more than `length`.
        """
        counts = self.count[rows, versions]
        most = max(int(counts.max()), 1)
        size = most if length is None else length
        if most > size:
            raise ValueError(f"{most} keypoints do not fit a length of {size}")
        return _part(self._drafted(rows, versions, size)(), slice(None), size, counts)

    def pair(self, drawn: Drawn, multiple: int = 1) -> Callable[[], tuple[PairSide, PairSide]]:
        """Both sides of B pairs: what the host has to do for them is done here, and what is left
        for the device by calling the answer.

        Args:
            drawn: the pairs.
            multiple: keypoints are padded to the most that one of a side has; over 1: both sides
                alike, to a multiple of this.

        Raises:
            RunError: a frame's file cannot be read.
        """
        both = [(drawn.rows0, drawn.versions0), (drawn.rows1, drawn.versions1)]
        counts = [self.count[rows, versions] for rows, versions in both]
        lengths = [max(int(count.max()), 1) for count in counts]
        longest = multiple * -(-max(lengths) // multiple)
        if multiple > 1:
            lengths = [longest, longest]
        rows, versions = (np.concatenate(values) for values in zip(*both, strict=True))
        draft = self._drafted(rows, versions, longest)

        def put() -> tuple[PairSide, PairSide]:
            whole, pairs = draft(), len(drawn.rows0)
            halves = (slice(None, pairs), slice(pairs, None))
            first, second = (
                _part(whole, half, length, count)
                for half, length, count in zip(halves, lengths, counts, strict=True)
            )
            return first, second

        return put

    def _drafted(
        self, rows: NDArray[np.int64], versions: NDArray[np.int64], size: int
    ) -> Callable[[], PairSide]:
        """What puts versions of frames, padded to a size, on the device; without waiting for it."""
        numbers = self._uploaded(np.stack([rows, versions, self.count[rows, versions]]))
        keypoints, maps = self._store.drafted(rows, versions, size)

        def put() -> PairSide:
            row, version, count = numbers().unbind(0)
            mask = torch.arange(size, device=self.device) < count[:, None]
            values = keypoints(row, version, mask)
            features = Features(
                keypoints=values["keypoints"],
                scores=values["scores"],
                descriptors=values["descriptors"].float(),
                image_size=self._size[row],
                scales=values.get("scales"),
                orientations=values.get("orientations"),
                mask=mask,
            )
            geometry = BatchGeometry(
                features.keypoints, mask, features.image_size, self._K[row], self._poses[row]
            )
            homography = self._homographies[row, version]
            if self._box is None:
                return PairSide(features, row, replace(geometry, homography=homography))
            inside_frame = warped(self._inverse[row, version], features.keypoints)
            posed = replace(
                geometry,
                keypoints=inside_frame.masked_fill(~mask[..., None], 0.0),
                depth=values["depth"],
                farthest=values["farthest"],
                rim=values["rim"].bool(),
                maps=DepthMaps(*maps(row), self._box[row], self._scale[row]),
                turn=homography,
            )
            return PairSide(features, row, posed)

        return put

    def _uploaded(self, values: NDArray[Any]) -> Callable[[], Tensor]:
        return uploaded(torch.from_numpy(values), self.device)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)


class _Memory:
    """Frames on the device: each kind of array is one long tensor.

    Args:
        places: folder and index of each frame.
        counts: (F, V) keypoints.
        device: where the tensors go.
    """

    def __init__(
        self, places: Sequence[FeatureFile], counts: NDArray[np.int64], device: torch.device
    ) -> None:
        frames = [read_frame(*place) for place in places]
        self._device = device
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._starts = self._tensor(starts.reshape(counts.shape))
        none = np.zeros(1, np.uint16)  # what is outside of a window reads anything
        maps = [frame.pop("map").ravel() if "map" in frame else none[:0] for frame in frames]
        starts = np.concatenate([[0], np.cumsum([len(m) for m in maps])[:-1]]).astype(np.int64)
        self._map_starts = self._tensor(starts)
        self._map_counts = self._tensor(np.concatenate([*maps, none]).view(np.int16))
        # behind the last keypoint is one of zeros, which padding is read from
        self._end = int(counts.sum())
        self._flat = {}
        for name in _FLAT:
            if name in frames[0]:
                zero = np.zeros_like(frames[0][name], shape=(1, *frames[0][name].shape[1:]))
                values = [*(frame.pop(name) for frame in frames), zero]
                self._flat[name] = self._tensor(np.concatenate(values))

    def drafted(
        self, rows: NDArray[np.int64], versions: NDArray[np.int64], size: int
    ) -> tuple[FrameKeypoints, FrameMaps]:
        """What looks up versions of frames, padded to a size."""

        def keypoints(row: Tensor, version: Tensor, mask: Tensor) -> dict[str, Tensor]:
            places = self._starts[row, version][:, None] + torch.arange(size, device=self._device)
            places = torch.where(mask, places, self._end)
            return {name: flat[places] for name, flat in self._flat.items()}

        def maps(row: Tensor) -> tuple[Tensor, Tensor]:
            return self._map_counts, self._map_starts[row]

        return keypoints, maps

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self._device)


class _Disk:
    """Frames on disk, of which each batch reads what it needs; arguments as `_Memory`."""

    def __init__(
        self, places: Sequence[FeatureFile], counts: NDArray[np.int64], device: torch.device
    ) -> None:
        self._places, self._counts, self._device = places, counts, device
        self._starts = np.cumsum(counts, axis=1) - counts
        first = read_frame(*places[0])
        self._like = {name: first[name][:0] for name in _FLAT if name in first}

    def drafted(
        self, rows: NDArray[np.int64], versions: NDArray[np.int64], size: int
    ) -> tuple[FrameKeypoints, FrameMaps]:
        """What hands over versions of frames, padded to a size, that are read here."""
        values = {
            name: np.zeros((len(rows), size, *like.shape[1:]), dtype=like.dtype)
            for name, like in self._like.items()
        }
        for place, (row, version) in enumerate(zip(rows, versions, strict=True)):
            start, count = int(self._starts[row, version]), int(self._counts[row, version])
            if not count:
                continue
            with opened_frame(*self._places[row]) as file:
                for name, value in values.items():
                    value[place, :count] = file.get_slice(name)[start : start + count]
        there = {name: self._uploaded(value) for name, value in values.items()}
        # homographies have no maps
        windows = [self._uploaded(v) for v in self._maps(rows)] if "depth" in values else []

        def keypoints(row: Tensor, version: Tensor, mask: Tensor) -> dict[str, Tensor]:
            return {name: value() for name, value in there.items()}

        def maps(row: Tensor) -> tuple[Tensor, Tensor]:
            counts, starts = (value() for value in windows)
            return counts, starts

        return keypoints, maps

    def _maps(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        """`counts` and `start` of the `DepthMaps` of B frames."""
        maps = []
        for folder, index in (self._places[row] for row in rows):
            maps.append(read_frame(folder, index, ("map",))["map"].ravel())
        starts = np.concatenate([[0], np.cumsum([len(m) for m in maps])[:-1]]).astype(np.int64)
        return np.concatenate([*maps, np.zeros(1, np.uint16)]).view(np.int16), starts

    def _uploaded(self, values: NDArray[Any]) -> Callable[[], Tensor]:
        return uploaded(torch.from_numpy(values), self._device)


def uploaded(values: Tensor, device: torch.device) -> Callable[[], Tensor]:
    """Values of the CPU, as they are on the device once they are asked for: nothing waits."""
    if device.type != "cuda":
        return lambda: values.to(device)
    pinned = values.pin_memory()
    return lambda: pinned.to(device, non_blocking=True)


def _part(side: PairSide, images: slice, length: int, counts: NDArray[np.int64]) -> PairSide:
    """Some images of a side, with so many of their keypoints each; without a mask for the matcher
    where nothing is padding, for attention is faster so."""

    def cut(values: Any, keypoints: set[str]) -> dict[str, Any]:
        return {
            field.name: value[images, :length] if field.name in keypoints else value[images]
            for field in fields(values)
            if isinstance(value := getattr(values, field.name), Tensor)
        }

    features = replace(side.features, **cut(side.features, _OF_KEYPOINTS))
    geometry = replace(side.geometry, **cut(side.geometry, _OF_KEYPOINTS))
    if (counts == length).all():
        features = replace(features, mask=None)
    if (maps := geometry.maps) is not None:
        windows = DepthMaps(maps.counts, maps.start[images], maps.box[images], maps.scale[images])
        geometry = replace(geometry, maps=windows)
    return PairSide(features, side.rows[images], geometry)
