"""matchers.extraction: the same features in the same order, however many processes read."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.frame_store import Cache
from matchers.dataset_looks import look_in
from matchers.extraction import (
    FIELDS,
    READ_AHEAD,
    Look,
    _alone,
    _brought,
    _whole,
    carried_on,
    detector_of,
    extracted,
    measured,
    not_kept,
    to_arrays,
    workers_for,
)
from matchers.registry import load_features
from matchers.training import cache as cache_module
from matchers.training.cache import OPEN, CacheConfig, cache_path, fill, fill_all, read_frame
from matchers.training.photographs import Photographs
from matchers.training.photographs import found as found_photographs
from matchers.types import Features
from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from satgen.tasks import processes
from tests.datasets import make
from tests.limits import PATIENCE_S
from tests.loaded import assert_without_torch
from tests.pictures import collage

torch.set_num_threads(1)


def looks(size: int, seed: int) -> list[Look]:
    """One image with a mask and one without; a process that is not asked for ends."""
    if seed == 13:
        raise InputError("no picture 13")
    if seed == 666:
        os._exit(3)
    mask = np.zeros((size, size), bool)
    mask[: size // 2] = True
    return [Look(collage(seed, size, size), mask), Look(collage(seed + 1, size, size))]


def of_any_size(seed: int) -> list[Look]:
    return looks(64 if seed % 3 else 96, seed)


def counted(seed: int, features: list[dict[str, Any]]) -> tuple[int, list[int]]:
    if seed == 14:
        raise RunError("nowhere to write 14")
    return os.getpid(), [len(arrays["scores"]) for arrays in features]


class Counting:
    """An extractor whose features are the image's mean; remembers how many come together."""

    def __init__(self) -> None:
        self.together: list[int] = []

    def __call__(self, image: Any, *, mask: Any = None, box: Any = None) -> Features:
        return self.extract([image], [mask])[0]

    def extract(self, images: list[Any], masks: list[Any] | None = None) -> list[Features]:
        assert len({image.shape for image in images}) == 1
        self.together.append(len(images))
        return [
            Features(torch.zeros(1, 2), torch.tensor([image.mean()]), torch.ones(1, 1),
                     torch.ones(2))
            for image in images
        ]  # fmt: skip


def same(ours: Features, others: Features) -> None:
    for name in FIELDS:
        mine, other = getattr(ours, name), getattr(others, name)
        assert (mine is None) == (other is None)
        assert mine is None or torch.equal(mine, other)


def assert_none_left() -> None:
    """No process is at work; that one has ended another thread may still be about to note."""
    until = time.monotonic() + PATIENCE_S
    while multiprocessing.active_children():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["sift", "aliked-t16"])
def test_processes_change_nothing(name: str) -> None:
    options = {} if name == "sift" else {"detection_threshold": 0.0}
    extractor = load_features(name, max_keypoints=50, device="cpu", **options)
    seeds = range(5)
    here = list(extracted(seeds, of_any_size, extractor))
    there = list(extracted(seeds, of_any_size, extractor, workers=2))
    assert [seed for seed, _ in here] == [seed for seed, _ in there] == list(seeds)
    for (seed, mine), (_, others) in zip(here, there, strict=True):
        for look, features, other in zip(of_any_size(seed), mine, others, strict=True):
            assert len(features) > 0
            same(features, other)
            same(features, extractor(look.image, mask=look.mask))
    counts = [[len(features) for features in found] for _, found in here]
    for workers, threads in ((0, 1), (0, 2), (2, 1)):
        found = list(
            carried_on(seeds, of_any_size, extractor, counted, workers=workers, threads=threads)
        )
        assert [answer for _, (_, answer) in found] == counts
        assert (os.getpid() in {process for _, (process, _) in found}) == (workers == 0)
    assert_none_left()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["sift", "aliked-t16"])
def test_the_time_that_features_take_is_told_with_them(name: str, workers: int) -> None:
    extractor = load_features(name, max_keypoints=5, device="cpu")
    for (seed, found), (_, features) in zip(
        measured(range(2), of_any_size, extractor, workers=workers),
        extracted(range(2), of_any_size, extractor),
        strict=True,
    ):
        assert len(of_any_size(seed)) == len(found) == 2
        for one, other in zip(found, features, strict=True):
            same(one.features, other)
            assert 0.0 < one.ms < 1e3 * PATIENCE_S


@given(st.lists(st.integers(0, 9)), st.integers(1, 5), st.lists(st.integers(0, 9), unique=True))
def test_what_is_not_kept_is_what_a_cache_would_ask_for(
    uses: list[int], most: int, kept: list[int]
) -> None:
    cache = Cache(most)
    asked: list[int] = []
    for key in kept[:most]:
        cache[key] = None
    for key in uses:
        cache.get_or(key, lambda key=key: asked.append(key))
    assert list(not_kept(uses, most, kept[:most])) == asked


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_images_of_one_size_come_together(batch: int) -> None:
    extractor: Any = Counting()
    found = list(extracted(range(9), of_any_size, extractor, batch=batch))
    assert max(extractor.together) == batch and sum(extractor.together) == 18
    for seed, features in found:
        means = [look.image.mean() for look in of_any_size(seed)]  # type: ignore[union-attr]
        assert [float(f.scores[0]) for f in features] == pytest.approx(means)


def test_no_more_images_are_made_than_keep_all_at_work() -> None:
    made: list[int] = []

    def tasks() -> Iterator[int]:
        for seed in range(20, 100):
            made.append(seed)
            yield seed

    extractor: Any = Counting()
    for workers, most in ((0, 2), (2, 2 * READ_AHEAD + 2)):
        made.clear()
        found = extracted(tasks(), of_any_size, extractor, workers=workers, batch=4)
        next(found)
        assert len(made) <= most
        found.close()  # type: ignore[attr-defined]
    assert_none_left()


@pytest.mark.parametrize(
    ("name", "seed", "error", "message"),
    [
        ("aliked-t16", 13, InputError, "no picture 13"),
        ("aliked-t16", 14, RunError, "nowhere to write 14"),
        ("sift", 14, RunError, "nowhere to write 14"),
        ("sift", 666, RunError, "a worker died; the same command goes on from here"),
    ],
)
def test_what_a_worker_refuses_is_said_as_it_is(
    name: str, seed: int, error: type[Exception], message: str
) -> None:
    extractor = load_features(name, device="cpu")
    with pytest.raises(error) as raised:
        list(carried_on([0, seed, 1], partial(looks, 64), extractor, counted, workers=2))
    assert str(raised.value) == message
    assert_none_left()


def test_features_brought_together_are_each_ones_own() -> None:
    found = [load_features("sift", device="cpu")(collage(seed, 64, 64)) for seed in range(3)]
    found.insert(1, load_features("sift", device="cpu")(np.zeros((64, 64), np.uint8)))
    for mine, others in zip(_brought(found), to_arrays(found), strict=True):
        assert mine.keys() == others.keys() == set(FIELDS)
        for name, values in mine.items():
            np.testing.assert_array_equal(values, others[name])


def test_processes_are_started_where_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    sift, aliked = (load_features(name, device="cpu") for name in ("sift", "aliked-t16"))
    monkeypatch.setattr("matchers.extraction.default_workers", lambda: 16)
    assert workers_for(sift, 1000) == 16
    assert workers_for(sift, 10) == workers_for(aliked, 1000) == 0
    assert workers_for(aliked, 1000, 3) == 3 and workers_for(aliked, 2, 3) == 2
    monkeypatch.setattr("matchers.extraction.default_workers", lambda: 2)
    assert workers_for(sift, 1000) == 0


def test_workers_read_frames_and_find_sift_without_torch(data: Dataset, tmp_path: Path) -> None:
    """A process that imports it takes seconds to start, and hundreds of megabytes."""
    photographs = Photographs(found_photographs(("coffee.png",)), 1, seed=0)
    config = CacheConfig(max_keypoints=8, versions=2)
    detector = detector_of(load_features("sift", max_keypoints=8, device="cpu"))
    assert detector is not None
    with processes(1, None) as pool:
        (seen,) = pool.submit(look_in, data.folder, True, 3000).result()
        assert seen.image.shape == (128, 160, 3)  # type: ignore[union-attr]
        for number, source in enumerate((data.folder, photographs)):
            origin = cache_module._Origin(number, source, config, tmp_path)
            task = (origin, 3000 if number == 0 else 1)
            versions = cache_module._kept_versions
            whole = partial(
                _whole,
                partial(cache_module._looks, versions),
                detector,
                partial(cache_module._write, versions),
            )
            pool.submit(_alone, whole, task).result()
        assert_without_torch(pool, "cv2")
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


# --- a training's cache -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "aura"
    return Dataset(
        make(Path(), folder, target="aura", start=3000, stop=3007, width=160, height=128)
    )


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("name", "kind"), [("sift", "pose"), ("aliked-t16", "homography")])
def test_a_cache_has_the_same_bytes_whoever_fills_it(
    data: Dataset, tmp_path: Path, name: str, kind: str, files: Any
) -> None:
    config = CacheConfig(features=name, max_keypoints=24, versions=2, kind=kind)
    here, there = (
        files(fill(data, data.indices, config, tmp_path / str(workers), workers=workers))
        for workers in (0, 2)
    )
    assert len(here) == 8 and here == there


def test_a_cache_that_was_stopped_goes_on(data: Dataset, tmp_path: Path, files: Any) -> None:
    config = CacheConfig(max_keypoints=24, versions=2)
    whole = files(fill(data, data.indices, config, tmp_path / "whole"))

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(data, data.indices, config, tmp_path / "cache", workers=2, progress=stop)
    assert_none_left()
    (folder,) = (tmp_path / "cache").iterdir()
    there = {n: b for n, b in files(folder).items() if n.endswith(".safetensors")}
    assert len(there) >= 3 and all(whole[n] == b for n, b in there.items())
    left: list[tuple[int, int]] = []
    fill(
        data, data.indices, config, tmp_path / "cache", workers=2,
        progress=lambda done, total: left.append((done, total)),
    )  # fmt: skip
    assert len(left) == 8 - len(there)
    assert {n: b for n, b in files(folder).items() if n in whole} == whole


@pytest.fixture(scope="module")
def several(
    data: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Dataset | Photographs, list[int]]]:
    """More datasets than a worker has open, one of them of another size, of a few frames each."""
    folder = tmp_path_factory.mktemp("several")
    wide = make(Path(), folder / "wide", target="aura", start=3000, stop=3001, width=176, height=96)
    sources: list[tuple[Dataset | Photographs, list[int]]] = [(Dataset(wide), [3000, 3001])]
    for number in range(OPEN + 1):
        copied = shutil.copytree(data.folder, folder / f"aura{number}")
        sources.append((Dataset(copied), [3000 + number % 7, 3001 + number % 7]))
    crops = Photographs(found_photographs(("coffee.png",)), 2, seed=0)
    return [*sources, (crops, list(crops.indices))]


@pytest.mark.parametrize("name", ["sift", "aliked-t16"])
def test_datasets_are_extracted_together_as_each_alone(
    several: list[Any], tmp_path: Path, name: str, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def counted_processes(workers: int, payload: Any) -> Any:
        started.append(workers)
        return processes(workers, payload)

    monkeypatch.setattr("matchers.extraction.processes", counted_processes)
    config = CacheConfig(features=name, max_keypoints=8, versions=2, kind="homography")
    alone = [files(fill(*source, config, tmp_path / "alone", workers=0)) for source in several]
    assert [len(found) for found in alone] == [2] * len(several)
    total = 2 * len(several)
    for workers in (0, 2):
        cache, seen = tmp_path / str(workers), []
        folders = fill_all(
            several, config, cache, workers=workers, progress=lambda *n, to=seen: to.append(n)
        )
        assert folders == [cache_path(cache, data, config) for data, _ in several]
        assert [files(folder) for folder in folders] == alone
        assert seen == [(done, total) for done in range(1, total + 1)]
    assert started == [2]
    assert_none_left()


def test_datasets_go_on_together(several: list[Any], tmp_path: Path, files: Any) -> None:
    config = CacheConfig(max_keypoints=8, versions=2)
    few = several[:4]
    folders = fill_all(few, config, tmp_path)
    whole = [files(folder) for folder in folders]
    for folder, index in ((folders[1], 3000), (folders[3], 3002), (folders[3], 3003)):
        (folder / f"{index:06d}.safetensors").unlink()
    seen: list[tuple[int, int]] = []
    assert fill_all(few, config, tmp_path, progress=lambda *n: seen.append(n)) == folders
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [files(folder) for folder in folders] == whole


def test_two_parts_of_a_dataset_share_their_files(data: Dataset, tmp_path: Path) -> None:
    config = CacheConfig(max_keypoints=8, versions=1)
    parts = [data[3000:3003], data[3002:3005]]
    seen: list[tuple[int, int]] = []
    one, other = fill_all(
        [(part, part.indices) for part in parts], config, tmp_path,
        progress=lambda *n: seen.append(n),
    )  # fmt: skip
    assert one == other and seen[-1] == (5, 5)
    assert sorted(int(path.stem) for path in one.iterdir()) == list(range(3000, 3005))


READER = """
import sys
from pathlib import Path
from matchers.training import cache
from satgen.dataset import Dataset
data = Dataset({data!r})
config = cache.CacheConfig(versions=2, kind="homography")
origin = cache._Origin(0, data.folder, config, Path())
assert len(cache._looks(cache._kept_versions, (origin, 3000))) == 2
sys.exit("torch" in sys.modules)
"""


def test_what_only_reads_needs_no_torch(data: Dataset) -> None:
    script = READER.format(data=str(data.folder))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE_S)


def test_a_dataset_is_opened_once_as_long_as_it_is_near(
    several: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    class Opened(Dataset):
        def __init__(self, folder: str | Path) -> None:
            opened.append(Path(folder))
            super().__init__(folder)

    monkeypatch.setattr(cache_module, "Dataset", Opened)
    near = [data for data, _ in several[:OPEN]]
    config = CacheConfig(versions=1)
    try:
        for index in (3000, 3001):
            for number, data in enumerate(near):
                origin = cache_module._Origin(number, data.folder, config, Path())
                assert len(cache_module._looks(cache_module._kept_versions, (origin, index))) == 1
    finally:
        cache_module._kept_versions.cache_clear()
        cache_module._opened.cache_clear()
    assert opened == [data.folder for data in near]


SCRIPT = """
from pathlib import Path
from matchers.training import cache as cache_module
from matchers.training.cache import OPEN, CacheConfig, fill
from satgen.dataset import Dataset
data = Dataset({data!r})
fill(data, data.indices, CacheConfig(versions=100), Path({cache!r}), workers=2)
"""


def test_ctrl_c_leaves_whole_files(data: Dataset, tmp_path: Path) -> None:
    script = SCRIPT.format(data=str(data.folder), cache=str(tmp_path / "cache"))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True
    )
    while not list(tmp_path.glob("cache/*/*.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers get it, too
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGINT
    assert errors.count(b"Traceback") == 1  # the parent's: a script, not a command
    folder = next(tmp_path.glob("cache/*"))
    found = sorted(folder.glob("*.safetensors"))
    assert 0 < len(found) < 8
    for path in found:
        assert len(read_frame(folder, int(path.stem))["count"]) == 100
