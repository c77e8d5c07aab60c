"""The cached frames, in memory on the training's device or on disk, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from matchers.training.cache import Arrays, frame_file, opened_frame, read_frame
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
        features: what the matcher sees, batched.
        rows: (B,) int64, frames of the bank.
        geometry: what the labels see.
    """

    features: Features
    rows: Tensor
    geometry: BatchGeometry


def masks(first: PairSide, second: PairSide) -> tuple[Tensor, Tensor]:
    """(B, M) and (B, N) bool, False at padding, of both images of B pairs."""
    mask0, mask1 = first.features.mask, second.features.mask
    assert mask0 is not None and mask1 is not None
    return mask0, mask1


_FLAT = (
    "keypoints", "scores", "scales", "orientations", "descriptors",
    "depth", "farthest", "rim",
)  # fmt: skip
"""Arrays of a frame with a row a keypoint, version after version."""

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
        self._counts = self._tensor(counts)
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
        most = max(int(self.count[rows, versions].max()), 1)
        size = most if length is None else length
        if most > size:
            raise ValueError(f"{most} keypoints do not fit a length of {size}")
        row = torch.from_numpy(rows).to(self.device)
        version = torch.from_numpy(versions).to(self.device)
        places = torch.arange(size, device=self.device)
        mask = places < self._counts[row, version][:, None]
        values = self._store.keypoints(rows, versions, mask)
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
        counts, starts = self._store.maps(rows)
        inside_frame = warped(self._inverse[row, version], features.keypoints)
        posed = replace(
            geometry,
            keypoints=inside_frame.masked_fill(~mask[..., None], 0.0),
            depth=values["depth"],
            farthest=values["farthest"],
            rim=values["rim"].bool(),
            maps=DepthMaps(counts, starts, self._box[row], self._scale[row]),
            turn=homography,
        )
        return PairSide(features, row, posed)

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
        self._flat = {
            name: self._tensor(np.concatenate([frame.pop(name) for frame in frames]))
            for name in _FLAT
            if name in frames[0]
        }

    def keypoints(
        self, rows: NDArray[np.int64], versions: NDArray[np.int64], mask: Tensor
    ) -> dict[str, Tensor]:
        """The arrays of B versions of frames, (B, N, …), 0 where the mask (B, N) is False."""
        row = torch.from_numpy(rows).to(self._device)
        version = torch.from_numpy(versions).to(self._device)
        places = torch.arange(mask.shape[1], device=self._device)
        where = (self._starts[row, version][:, None] + places).masked_fill(~mask, 0)
        values = {}
        for name, flat in self._flat.items():
            value = flat[where]
            values[name] = value.masked_fill(~mask if value.ndim == 2 else ~mask[..., None], 0)
        return values

    def maps(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """`counts` and `start` of the `DepthMaps` of B frames."""
        return self._map_counts, self._map_starts[torch.from_numpy(rows).to(self._device)]

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

    def keypoints(
        self, rows: NDArray[np.int64], versions: NDArray[np.int64], mask: Tensor
    ) -> dict[str, Tensor]:
        """See `_Memory.keypoints`."""
        values = {
            name: np.zeros((*mask.shape, *like.shape[1:]), dtype=like.dtype)
            for name, like in self._like.items()
        }
        for place, (row, version) in enumerate(zip(rows, versions, strict=True)):
            start, count = int(self._starts[row, version]), int(self._counts[row, version])
            if not count:
                continue
            with opened_frame(*self._places[row]) as file:
                for name, value in values.items():
                    value[place, :count] = file.get_slice(name)[start : start + count]
        return {name: torch.from_numpy(value).to(self._device) for name, value in values.items()}

    def maps(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """See `_Memory.maps`."""
        maps = []
        for folder, index in (self._places[row] for row in rows):
            maps.append(read_frame(folder, index, ("map",))["map"].ravel())
        starts = np.concatenate([[0], np.cumsum([len(m) for m in maps])[:-1]]).astype(np.int64)
        counts = np.concatenate([*maps, np.zeros(1, np.uint16)]).view(np.int16)
        return torch.from_numpy(counts).to(self._device), torch.from_numpy(starts).to(self._device)
