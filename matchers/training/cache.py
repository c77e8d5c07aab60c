"""Features of a dataset's frames, extracted once and kept on disk, a file a frame.

A frame has several versions: as it is, and with other exposures and sensors (`augment`) and a
camera that is rolled (`matchers.truth.roll`), or as homographies show it (`homography`). With a
version's keypoints goes what the labels need to know of them: the depth under each.
A frame's file is written whole or not at all, and what is there is not made again, so that a run
that was stopped goes on. Another setting is another folder.

CACHE/DATASET-HASH/000361.safetensors has, for V versions with T keypoints in all:

    count        (V,) int32, keypoints of each version
    keypoints    (T, 2) float32, pixels of the version's image
    scores       (T,) float32; scales and orientations likewise, if the features have them
    descriptors  (T, D) float16
    depth        (T,) float32 metres, of the surface in front; 0 where there is none
    farthest     (T,) float32 metres, of what is farthest beside it
    rim          (T,) uint8, it shows no surface, but one is near
    homography   (V, 3, 3) float64, from the frame's pixels to the version's
    map, box     (h, w) uint16 counts of depth inside (x, y, w, h), which holds all there is
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from matchers.extraction import FeatureArrays, Look, carried_on, to_arrays, workers_for
from matchers.specs import source_file
from matchers.training.augment import AugmentConfig, augment
from matchers.training.homography import HomographyConfig, random_homography, warp_image
from matchers.truth.roll import RollConfig, carry, roll_image, roll_matrix, seen_mask
from matchers.truth.rules import Thresholds
from satgen.atomic import write_atomic
from satgen.dataset import Dataset, image_name
from satgen.errors import InputError, RunError
from satgen.geometry import bounding_box, front_depth, surface_near
from satgen.runfolder import file_sha256

if TYPE_CHECKING:
    from matchers.training.photographs import Photographs
    from matchers.types import Extractor

    Frames = Dataset | Photographs

FORMAT = 3
KINDS = ("pose", "homography")

OPEN = 8
"""Datasets that a worker has open at a time: while frames of one are being read, those of the ones
before it are still being written."""

Arrays = dict[str, NDArray[Any]]

_ROW = {"pose": 1, "homography": 2}


@dataclass(frozen=True)
class CacheConfig:
    """What is extracted of a frame, and so which files of the cache fit.

    Attributes:
        features: name of the extractor.
        weights: file of the extractor's; None: the best there are by name.
        max_keypoints: in a version.
        silhouette: look for keypoints on the target only, by the part labels.
        kind: "pose": the other versions differ in light, sensor and roll; "homography": in shape.
        versions: of a frame; the first one is the frame as it is.
        seed: of the draws.
        rim_px: a keypoint beside the target, at most so far from it, is uncertain.
        augment, homography, roll: what the draws are from; of kind "homography", `homography` says
            how far versions are turned, and `roll` nothing.

    Raises:
        InputError: an unknown kind, or a number below 1.
    """

    features: str = "sift"
    weights: str | None = None
    max_keypoints: int = 512
    silhouette: bool = True
    kind: str = "pose"
    versions: int = 3
    seed: int = 0
    rim_px: float = Thresholds.no_match_px
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    homography: HomographyConfig = field(default_factory=HomographyConfig)
    roll: RollConfig = field(default_factory=RollConfig)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind {self.kind!r} of versions: one of {', '.join(KINDS)}")
        least = _ROW[self.kind]
        if self.versions < least:
            raise InputError(f"{self.versions} versions of a frame: must be at least {least}")
        if self.max_keypoints < 1:
            raise InputError(f"max_keypoints {self.max_keypoints}: must be at least 1")

    def digest(self, data: Frames) -> str:
        """Ten hexadecimal digits of these settings and the dataset's description."""
        known = asdict(self)
        del known["weights"]
        for name, file in (("weights", self.weights), ("source", source_file(self.features))):
            if file is not None:
                known[name] = file_sha256(Path(file))
        text = json.dumps([FORMAT, known], sort_keys=True).encode()
        description = json.dumps(data.description, sort_keys=True).encode()
        return hashlib.sha256(text + hashlib.sha256(description).digest()).hexdigest()[:10]


def cache_path(cache: Path, data: Frames, config: CacheConfig) -> Path:
    """The folder of a dataset's frames under a cache folder."""
    return cache / f"{data.folder.resolve().name}-{config.digest(data)}"


def fill(
    data: Frames,
    indices: Sequence[int],
    config: CacheConfig,
    cache: Path,
    *,
    device: Any = "cpu",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """As `fill_all`, of one dataset; the folder its frames are in."""
    (folder,) = fill_all(
        [(data, indices)], config, cache, device=device, workers=workers, progress=progress
    )
    return folder


def fill_all(
    sources: Sequence[tuple[Frames, Sequence[int]]],
    config: CacheConfig,
    cache: Path,
    *,
    device: Any = "cpu",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Extract the frames that are not in the cache yet, of all datasets in one go; the folders
    they are in, one a dataset.

    Args:
        sources: datasets, each with the indices of the frames wanted of it.
        config: what to extract.
        cache: folder of all caches, made if need be.
        device: of the extractor's network.
        workers: processes that read frames, make their versions and write the files; SIFT extracts
            in them, too. Below 2: all is done in this one, SIFT in as many threads as PyTorch has.
            None: see `matchers.extraction.workers_for`, by the missing frames of all datasets.
        progress: called with frames done and in all, of those that were missing.

    Raises:
        InputError: a frame that is not there, or whose images cannot be read; no such features.
        RunError: the cache cannot be written, or a worker died.
    """
    folders = [cache_path(cache, data, config) for data, _ in sources]
    missing: dict[tuple[Path, int], int] = {}  # a file that is named twice is made once
    for number, (folder, (_, indices)) in enumerate(zip(folders, sources, strict=True)):
        for index in map(int, indices):
            if not (folder / frame_file(index)).is_file():
                missing.setdefault((folder, index), number)
    if not missing:
        return folders
    import torch

    from matchers.registry import load_features

    extractor = load_features(
        config.features,
        weights=config.weights,
        max_keypoints=config.max_keypoints,
        device=device,
    )
    count = workers_for(extractor, len(missing) * config.versions, workers)
    count = min(count, len(missing))
    origins = {}
    for number in dict.fromkeys(missing.values()):
        data, folder = sources[number][0], folders[number]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritten(folder, error) from error
        _ = data.config  # read once, before there are threads
        by_path = count > 1 and isinstance(data, Dataset)  # tasks carry no tables
        origins[number] = _Origin(number, data.folder if by_path else data, config, folder)
    versions = _kept_versions if count > 1 else lru_cache(maxsize=1)(_versions)
    done = carried_on(
        [(origins[number], index) for (_, index), number in missing.items()],
        partial(_looks, versions),
        extractor,
        partial(_write, versions),
        workers=count,
        threads=min(torch.get_num_threads(), len(missing)),
    )
    with closing(done):
        for number, _ in enumerate(done, start=1):
            if progress:
                progress(number, len(missing))
    return folders


def extract_frame(data: Frames, index: int, extractor: Extractor, config: CacheConfig) -> Arrays:
    """A frame's arrays, as they are in its file."""
    versions = FrameVersions(data, config)
    looks = versions.looks(index)
    features = [extractor(look.image, mask=look.mask) for look in looks]
    return versions.arrays(index, to_arrays(features))


class FrameVersions:
    """Versions of frames, and what is kept of their features.

    Args:
        data: the dataset.
        config: what the versions are.
    """

    def __init__(self, data: Frames, config: CacheConfig) -> None:
        self.data, self.config = data, config
        self._last: tuple[int, NDArray[np.float64], tuple[int, int, int, int]] | None = None

    @property
    def _warped(self) -> bool:
        return self.config.kind == "homography"

    def looks(self, index: int) -> list[Look]:
        """The versions of a frame, as an extractor is shown them."""
        config = self.config
        image, parts = self.data.rgb(index), self.data.parts(index)
        height, width = parts.shape
        found = []
        for version in range(config.versions):
            H, rng = self._drawn(index, version)
            shown, labels = image, parts
            moved = not np.array_equal(H, np.eye(3))
            if moved:
                if self._warped:
                    shown, labels = warp_image(image, H), warp_image(parts, H, nearest=True)
                else:
                    shown, labels = roll_image(image, H, order=1), roll_image(parts, H, order=0)
            if version and config.augment.share:
                shown = augment(shown, rng, config.augment)
            mask = labels > 0 if config.silhouette else None
            if mask is None and moved:
                mask = seen_mask((width, height), H)
            found.append(Look(shown, mask))
        return found

    def write(self, folder: Path, index: int, features: list[FeatureArrays]) -> None:
        """Write a frame's file.

        Args:
            folder: of the cache.
            index: of the frame.
            features: of its versions.

        Raises:
            RunError: it cannot be written.
        """
        from safetensors.numpy import save

        arrays = self.arrays(index, features)
        contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        try:
            write_atomic(folder / frame_file(index), save(contiguous))
        except OSError as error:
            raise _unwritten(folder, error) from error

    def arrays(self, index: int, features: list[FeatureArrays]) -> Arrays:
        """A frame's arrays, as they are in its file, from the features of its versions."""
        depth, box = self._depth(index)
        found: list[Arrays] = []
        homographies = []
        for version, some in enumerate(features):
            H, _ = self._drawn(index, version)
            homographies.append(H)
            found.append(_feature_arrays(some))
            if not self._warped:
                found[-1] |= _depth_arrays(some, H, depth, self.config)
        arrays = {name: np.concatenate([f[name] for f in found]) for name in found[0]}
        arrays["count"] = np.array([len(f["scores"]) for f in found], dtype=np.int32)
        arrays["homography"] = np.stack(homographies)
        if self._warped:
            return arrays
        x, y, w, h = box
        scale = float(self.data.description["depth_scale"])
        arrays["map"] = np.rint(depth[y : y + h, x : x + w] / scale).astype(np.uint16)
        arrays["box"] = np.array(box, dtype=np.int32)
        return arrays

    def _drawn(self, index: int, version: int) -> tuple[NDArray[np.float64], np.random.Generator]:
        """The homography from a frame's pixels to a version's, and what the rest is drawn by."""
        config = self.config
        rng = np.random.default_rng([config.seed, KINDS.index(config.kind), index, version])
        if not version:
            return np.eye(3), rng
        camera = self.data.camera
        if not self._warped:
            return roll_matrix((camera.cx, camera.cy), config.roll.draw(rng)), rng
        depth, box = self._depth(index)
        height, width = depth.shape
        return random_homography((width, height), box, rng, config.homography), rng

    def _depth(self, index: int) -> tuple[NDArray[np.float64], tuple[int, int, int, int]]:
        """A frame's depth, and the box around what it shows; the last are kept, for soon the
        frame's file is written."""
        last = self._last  # which another thread may replace
        if last is None or last[0] != index:
            depth = self.data.depth(index)
            self._last = last = index, depth, bounding_box(depth > 0.0)
        return last[1:]


@dataclass(frozen=True)
class _Origin:
    """What frames' files are made from, as tasks carry it.

    Attributes:
        number: tells it from others of the same call.
        source: the frames, or the folder of their dataset.
        config: what their versions are.
        folder: of the cache, where their files go.
    """

    number: int
    source: Frames | Path = field(compare=False)
    config: CacheConfig = field(compare=False)
    folder: Path = field(compare=False)


def _looks(versions: Callable[[_Origin], FrameVersions], task: tuple[_Origin, int]) -> list[Look]:
    """`FrameVersions.looks` of a task."""
    origin, index = task
    return versions(origin).looks(index)


def _write(
    versions: Callable[[_Origin], FrameVersions],
    task: tuple[_Origin, int],
    features: list[FeatureArrays],
) -> None:
    """`FrameVersions.write` of a task."""
    origin, index = task
    versions(origin).write(origin.folder, index, features)


def _versions(origin: _Origin) -> FrameVersions:
    source = origin.source
    return FrameVersions(_opened(origin) if isinstance(source, Path) else source, origin.config)


@lru_cache(maxsize=1)
def _kept_versions(origin: _Origin) -> FrameVersions:
    """`_versions` in a worker."""
    return _versions(origin)


@lru_cache(maxsize=OPEN)
def _opened(origin: _Origin) -> Dataset:
    """The dataset of an origin, in a worker."""
    assert isinstance(origin.source, Path)
    return Dataset(origin.source)


def _unwritten(folder: Path, error: OSError) -> RunError:
    return RunError(f"cannot write {error.filename or folder}: {error.strerror}")


def frame_file(index: int) -> str:
    """Name of a frame's file."""
    return f"{Path(image_name(index)).stem}.safetensors"


def read_frame(folder: Path, index: int, names: Sequence[str] | None = None) -> Arrays:
    """A frame's arrays from the cache.

    Args:
        folder: of `fill`.
        index: of the frame.
        names: of the arrays, as far as they are there; None: all.

    Raises:
        RunError: its file is not there or damaged.
    """
    with opened_frame(folder, index) as file:
        return {n: file.get_tensor(n) for n in file.keys() if names is None or n in names}  # noqa: SIM118


@contextmanager
def opened_frame(folder: Path, index: int) -> Iterator[Any]:
    """A frame's file, of which parts can be read: safetensors' `safe_open`.

    Raises:
        RunError: it is not there or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / frame_file(index)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: cannot be read, delete it ({error})") from None


def _feature_arrays(features: FeatureArrays) -> Arrays:
    """The arrays of a frame's file that the matcher sees."""
    names = ["keypoints", "scores"]
    if "scales" in features and "orientations" in features:
        names += ["scales", "orientations"]
    arrays: Arrays = {name: features[name] for name in names}
    return arrays | {"descriptors": features["descriptors"].astype(np.float16)}


def _depth_arrays(
    features: FeatureArrays,
    H: NDArray[np.float64],
    depth: NDArray[np.float64],
    config: CacheConfig,
) -> Arrays:
    """The arrays of a frame's file that the labels need: depths around the keypoints."""
    points = carry(np.linalg.inv(H), features["keypoints"].astype(np.float64))
    front, farthest = front_depth(depth, points)
    rim = np.zeros(len(front), dtype=np.uint8)
    bare = np.flatnonzero(front == 0.0)
    rim[bare] = surface_near(depth, points[bare], config.rim_px)
    numbers = {"depth": front, "farthest": farthest}
    return {name: value.astype(np.float32) for name, value in numbers.items()} | {"rim": rim}
