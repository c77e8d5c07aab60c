"""The cached frames in memory, on the training's device, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from matchers.training.cache import Arrays, read_frame
from matchers.truth.batched import BatchGeometry, DepthMaps
from matchers.types import Features
from satgen.dataset import Dataset
from satgen.errors import InputError


class Source(NamedTuple):
    """Cached frames of one dataset: its name, the dataset, the frames, the folder of `fill`."""

    name: str
    data: Dataset
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


class Bank:
    """All versions of all frames of some sources.

    Attributes:
        names: of the datasets, in order; `dataset` (F,) counts into it.
        targets: names; `target` (F,) counts into it.
        index: (F,) observation indices.
        quaternions: (F, 4) float64 of the poses.
        count: (F, V) int64 keypoints.

    Args:
        sources: at least one frame in all.
        device: where the tensors go.

    Raises:
        InputError: no frame.
        RunError: a frame's file cannot be read.
    """

    def __init__(self, sources: Sequence[Source], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.names = [source.name for source in sources]
        self.targets = sorted({source.data.name for source in sources})
        frames: list[Arrays] = []
        dataset, index, poses, cameras, sizes, scales = [], [], [], [], [], []
        for number, (_, data, indices, folder) in enumerate(sources):
            camera = data.camera
            for i in map(int, indices):
                frames.append(read_frame(folder, i))
                dataset.append(number)
                index.append(i)
                poses.append(data.pose(i))
                cameras.append((camera.fx, camera.fy, camera.cx, camera.cy))
                sizes.append((camera.width, camera.height))
                scales.append(float(data.description["depth_scale"]))
        if not frames:
            raise InputError("no frame to train on")
        self.dataset = np.array(dataset)
        self.index = np.array(index)
        self.target = np.array(
            [self.targets.index(sources[number].data.name) for number in dataset]
        )
        counts = np.stack([frame.pop("count") for frame in frames]).astype(np.int64)
        if not counts.any():
            raise InputError("the frames to train on have no keypoint at all")
        self.count = counts
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).reshape(counts.shape)
        self._poses = self._tensor(np.stack(poses))
        self._K = self._tensor(np.array(cameras, dtype=np.float32))
        self._size = self._tensor(np.array(sizes, dtype=np.float32))
        self._counts, self._starts = self._tensor(counts), self._tensor(starts)
        self._homographies = self._stack(frames, "homography")
        self._maps = self._depth_maps(frames, np.array(scales, dtype=np.float32))
        self._flat = {
            name: self._tensor(np.concatenate([frame.pop(name) for frame in frames]))
            for name in _FLAT
            if name in frames[0]
        }

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.index)

    @property
    def versions(self) -> int:
        """Number of versions of each frame."""
        return int(self.count.shape[1])

    @property
    def poses(self) -> NDArray[np.float64]:
        """T_cam_target of each frame, (F, 4, 4)."""
        return np.asarray(self._poses.cpu().numpy())

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take."""
        tensors = [*self._flat.values()]
        if self._maps is not None:
            tensors.append(self._maps.counts)
        return sum(tensor.nbytes for tensor in tensors)

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
        where = (self._starts[row, version][:, None] + places).masked_fill(~mask, 0)
        values: dict[str, Any] = {}
        for name, flat in self._flat.items():
            value = flat[where]
            empty = ~mask if value.ndim == 2 else ~mask[..., None]
            values[name] = value.masked_fill(empty, 0)
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
        if self._homographies is not None:
            warped = replace(geometry, homography=self._homographies[row, version])
            return PairSide(features, row, warped)
        assert self._maps is not None
        maps = DepthMaps(
            self._maps.counts,
            self._maps.start[row],
            self._maps.box[row],
            self._maps.scale[row],
        )
        posed = replace(
            geometry,
            depth=values["depth"],
            farthest=values["farthest"],
            rim=values["rim"].bool(),
            maps=maps,
        )
        return PairSide(features, row, posed)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _stack(self, frames: list[Arrays], name: str) -> Tensor | None:
        if name not in frames[0]:
            return None
        return self._tensor(np.stack([frame.pop(name) for frame in frames]))

    def _depth_maps(self, frames: list[Arrays], scales: NDArray[np.float32]) -> DepthMaps | None:
        if "map" not in frames[0]:
            return None
        maps = [frame.pop("map").ravel().view(np.int16) for frame in frames]
        starts = np.concatenate([[0], np.cumsum([len(m) for m in maps])[:-1]]).astype(np.int64)
        boxes = np.stack([frame.pop("box") for frame in frames]).astype(np.int64)
        counts = np.concatenate([*maps, np.zeros(1, np.int16)])
        return DepthMaps(*map(self._tensor, (counts, starts, boxes, scales)))
