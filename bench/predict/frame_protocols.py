"""Protocols of frames: how many are seen and forecast, of what size; and windows to evaluate on.

protocol = load_protocol("10-20-128")
windows = held_out(["datasets/aura"], protocol, cache="cache")
for batch in windows.batches(PoseSource(noise_deg=0.1), size=16):
    batch.observed, batch.truth
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.predict.frame_types import Frames, FrameScene, ObservedFrames
from bench.predict.motions import Noise
from bench.predict.types import Observed
from satgen.dataset import Dataset, Datasets, open_datasets
from satgen.errors import InputError
from satgen.geometry import Bools, Floats
from satgen.sequences import WindowConfig
from satgen.sequences.track import TIME
from satgen.splits import Split, SplitConfig, split_datasets

if TYPE_CHECKING:
    from satgen.sequences import SplitWindows, WindowDataset


FIELDS = ("frames", "parts", "poses", "time")
"""Fields that are read of every window to evaluate on."""

BACKGROUND = 0.06
"""A pixel that is brighter than the background by more than this, of 1, is taken for the target."""


@dataclass(frozen=True)
class FrameProtocol:
    """How frames are forecast.

    Attributes:
        name: of the protocol.
        observed, future: frames that a model sees, T, and that it must be able to forecast, H.
        size: side of the images, pixels.
        horizons: frames ahead that are evaluated; the longest is H.
        colour: three channels instead of one.
        crop: "none", the whole frame; or "dataset", the smallest square that holds the target in
            every frame of the dataset.
        step: every step-th frame of a dataset.
        stride: frames from the start of a test window to that of the next.

    Raises:
        InputError: numbers that cannot be, or a crop that gives the future away.
    """

    name: str
    observed: int = 10
    future: int = 20
    size: int = 128
    horizons: tuple[int, ...] = (1, 2, 5, 10, 15, 20)
    colour: bool = False
    crop: str = "none"
    step: int = 1
    stride: int = 10

    def __post_init__(self) -> None:
        """Check."""
        ahead = self.horizons
        if not ahead or ahead[0] < 1 or list(ahead) != sorted(set(ahead)):
            raise InputError(f"horizons {list(ahead)}: must be at least 1 and grow")
        if ahead[-1] > self.future:
            raise InputError(f"horizon {ahead[-1]}: {self.future} frames are forecast")
        if self.crop not in ("none", "dataset"):
            raise InputError(f"crop {self.crop!r}: must be none or dataset")
        self.windows()

    def windows(self, *, fields: tuple[str, ...] = FIELDS, stride: int = 1) -> WindowConfig:
        """How windows are cut from datasets.

        Args:
            fields: of `WindowConfig`.
            stride: likewise.
        """
        return WindowConfig(
            observed=self.observed,
            future=self.future,
            step=self.step,
            stride=stride,
            size=self.size,
            crop=self.crop,
            colour=self.colour,
            fields=fields,
        )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        FrameProtocol("10-20-128"),
        FrameProtocol("10-10-128", future=10, horizons=(1, 2, 5, 10)),
        FrameProtocol("4-4-256", 4, 4, 256, horizons=(1, 2, 3, 4)),
        FrameProtocol("10-20-64", size=64),
    )
}
"""By name, which says T, H and the side: 10-20-128 is the form of KTH (one channel of 128 × 128),
4-4-256 that of Human3.6M, in one channel. 10-20-64 is for networks trained on a CPU."""


def load_protocol(name: str) -> FrameProtocol:
    """The protocol of that name.

    Raises:
        InputError: there is none.
    """
    if name not in PROTOCOLS:
        raise InputError(f"frame protocol {name!r}: one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


@dataclass(frozen=True)
class PoseSource:
    """Where the poses of observed frames come from.

    Attributes:
        noise_deg: standard deviation of the rotation about each axis that is added to the true
            poses; 0: the true poses.
        noise_m_per_deg: metres of noise of the translation along each axis for a degree of that of
            the rotation.
        seed: of the noise. A frame has the same noise in every window.
        name: by which rows are told apart; "true" or "noisy" unless given.
        estimated: poses (frames, 4, 4) of whole datasets, by the names of their folders, in the
            order of the indices: those that a matcher found; NaN where it found none. True poses
            are not looked at then.

    Raises:
        InputError: a noise that is none, or noise and poses at once.
    """

    noise_deg: float = 0.0
    noise_m_per_deg: float = 0.1
    seed: int = 0
    name: str = ""
    estimated: Mapping[str, Floats] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check."""
        for what, value in (("noise", self.noise_deg), ("noise in metres", self.noise_m_per_deg)):
            if not (np.isfinite(value) and value >= 0.0):
                raise InputError(f"{what} {value}: must be a finite number that is not negative")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: must be at least 0")
        if self.estimated is not None and self.noise_deg > 0.0:
            raise InputError("poses that were estimated: no noise is added to them")
        if not self.name:
            noisy = "noisy" if self.noise_deg > 0.0 else "true"
            name = noisy if self.estimated is None else "estimated"
            object.__setattr__(self, "name", name)

    def poses_of(self, name: str, data: Dataset) -> Floats:
        """T_cam_target (frames, 4, 4) of a dataset as a model sees them.

        Raises:
            InputError: estimated poses that are not given for this dataset, or not for all frames.
        """
        if self.estimated is not None:
            if name not in self.estimated:
                raise InputError(f"{name}: no estimated poses are given for it")
            found = np.asarray(self.estimated[name], dtype=np.float64)
            if found.shape != (len(data), 4, 4):
                raise InputError(
                    f"{name}: estimated poses of shape {found.shape}, must be {(len(data), 4, 4)}"
                )
            return found
        poses = np.array(data.poses, dtype=np.float64)
        if self.noise_deg > 0.0:
            key = zlib.crc32(repr((name, self.noise_deg)).encode())
            noise = Noise(self.noise_deg, self.noise_deg * self.noise_m_per_deg)
            turns, shifts = noise.draw(np.random.default_rng([self.seed, key]), (len(poses),))
            poses[:, :3, :3] = poses[:, :3, :3] @ turns
            poses[:, :3, 3] += shifts
        return poses


@dataclass(frozen=True)
class FrameBatch:
    """Windows with what came after.

    Attributes:
        observed: what a model may see.
        truth: (B, N, C, S, S) the frames at the horizons.
        silhouettes: (B, N, S, S) where the target truly is: any part is seen, lit or not.
        threshold: pixels brighter than it are taken for the target where a model does not say.
        starts: (B,) observation index of each window's first frame.
    """

    observed: ObservedFrames
    truth: Frames
    silhouettes: Bools
    threshold: float
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class HeldOut:
    """Windows to evaluate on.

    Attributes:
        protocol: theirs.
        data: the datasets by the names of their folders.
        windows: all of them.
        splits: of the datasets; None where all frames are evaluated on.
    """

    protocol: FrameProtocol
    data: Mapping[str, Dataset]
    windows: WindowDataset
    splits: Mapping[str, Split] | None

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.windows)

    def scenes(self) -> dict[str, FrameScene]:
        """A `FrameScene` of each dataset, by name, in order."""
        return {name: FrameScene(name, d, self.windows.config) for name, d in self.data.items()}

    def numbers(self, dataset: str) -> list[int]:
        """Numbers of the windows of a dataset, among all."""
        place = list(self.data).index(dataset)
        return [int(n) for n in np.flatnonzero(self.windows.spans[:, 0] == place)]

    def batches(self, source: PoseSource | None = None, size: int = 16) -> Iterator[FrameBatch]:
        """Batches of at most `size` windows, each of one dataset, in order.

        Args:
            source: of the poses; the true ones unless given.
            size: windows in a batch.
        """
        source = source or PoseSource()
        scenes = self.scenes()
        for name, data in self.data.items():
            numbers, poses = self.numbers(name), source.poses_of(name, data)
            for start in range(0, len(numbers), size):
                window = self.read(numbers[start : start + size])
                yield self.batch(window, poses, scenes[name], source)

    def read(self, numbers: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Fields of some windows, of one dataset, by name."""
        chosen = [self.windows[n] for n in numbers]
        return {key: np.stack([w[key].numpy() for w in chosen]) for key in chosen[0]}

    def batch(
        self, window: dict[str, NDArray[Any]], poses: Floats, scene: FrameScene, source: PoseSource
    ) -> FrameBatch:
        """Windows as a model sees them, with the truth.

        Args:
            window: from `read`.
            poses: of the dataset's frames, from the source's `poses_of`.
            scene: of the dataset.
            source: of the poses.
        """
        T = self.protocol.observed
        ahead = [T - 1 + h for h in self.protocol.horizons]
        index, count = window["index"], len(window["index"])
        seen = poses[np.searchsorted(scene.data.indices, index[:, :T])]
        known = source.estimated is None
        noise = Noise(source.noise_deg, source.noise_deg * source.noise_m_per_deg)
        frames, visible = window["frames"], window["parts"][:, :, 0] > 0
        background = frames[:, :T].mean(axis=2)[~visible[:, :T]]
        level = float(np.median(background)) if len(background) else 0.0
        body = scene.body
        observed = ObservedFrames(
            frames=frames[:, :T],
            horizons=self.protocol.horizons,
            poses=Observed(
                window["time"][:, :T],
                seen[..., :3, :3],
                seen[..., :3, 3],
                np.full(count, noise.axis_rad()) if known else None,
                np.full(count, noise.translation_m) if known else None,
                None if body is None else body.take(np.zeros(count, dtype=int)),
            ),
            future_times=window["time"][:, ahead],
            future_index=index[:, ahead],
            scene=scene,
        )
        truth = np.ascontiguousarray(frames[:, ahead])
        return FrameBatch(observed, truth, visible[:, ahead], level + BACKGROUND, index[:, 0])


def held_out(
    datasets: Datasets,
    protocol: FrameProtocol,
    *,
    split: SplitConfig | None = None,
    part: str | None = "test",
    cache: str | Path | None = None,
    dt_s: float | None = None,
) -> HeldOut:
    """The windows of datasets that a protocol evaluates on.

    Args:
        datasets: folders, or datasets.
        protocol: which.
        split: shares, blocks and guard angle; that of training.
        part: "test": held-out blocks; None: all frames, for models that were not trained on them.
        cache: folder of prepared images, or None.
        dt_s: seconds from an index to the next, for tables without times.

    Raises:
        InputError: datasets that cannot be read, blocks shorter than a window, no times.
        RunError: the cache cannot be written.
    """
    from satgen.sequences import WindowDataset

    opened = open_datasets(datasets)
    config = replace(protocol.windows(stride=protocol.stride), dt=_period(opened, dt_s))
    splits = None if part is None else split_datasets(opened, split)
    windows = WindowDataset(list(opened.values()), config, part=part, splits=splits, cache=cache)
    return HeldOut(protocol, opened, windows, splits)


def training_windows(
    datasets: Datasets,
    protocol: FrameProtocol,
    *,
    split: SplitConfig | None = None,
    cache: str | Path | None = None,
) -> SplitWindows:
    """Windows to train and to validate a network on, none near those of `held_out`.

    Args:
        datasets, protocol, split, cache: as there.

    Raises:
        InputError, RunError: as there.
    """
    from satgen.sequences import split_windows

    return split_windows(datasets, protocol.windows(fields=("frames",)), split, cache=cache)


def _period(opened: Mapping[str, Dataset], dt_s: float | None) -> float | None:
    """Seconds from an index to the next; checked here, so that the message says the option."""
    if dt_s is not None and not (np.isfinite(dt_s) and dt_s > 0.0):
        raise InputError(f"frame period {dt_s}: must be a finite number of seconds above 0")
    if dt_s is None:
        for name, data in opened.items():
            if TIME not in data.frames:
                raise InputError(f"{name}: its table has no times; give the frame period (--dt)")
    return dt_s
