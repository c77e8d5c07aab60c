"""Windows of frames: against the files by hand, whatever the workers, prepared or not."""

from __future__ import annotations

import hashlib
import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation
from torch.utils.data import DataLoader

from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from satgen.sequences import WindowConfig, WindowDataset, WindowStream, split_windows
from satgen.sequences.layout import window_rows
from satgen.splits import SplitConfig, ViewAxes, split_datasets
from satgen.trajectory import KINDS, TrajectoryConfig, observe
from tests.datasets import tree
from tests.limits import PATIENCE_S

ALL = ("frames", "depth", "parts", "poses", "sun")
SMALL = WindowConfig(observed=3, future=2, size=24, fields=ALL)


def fake(
    pristine: Path,
    folder: Path,
    indices: range = range(361, 411),
    target: str = "craft",
    depth16: bool = False,
) -> Path:
    """A dataset of noise about a moving block, 40 × 32 pixels: written by Pillow and pandas."""
    description = json.loads((pristine / "dataset.json").read_text())
    description["target"]["name"] = target
    description["camera"] = {**description["camera"], "width": 40, "height": 32}
    template = pd.read_parquet(pristine / "frames.parquet")
    table = template.iloc[np.zeros(len(indices), dtype=int)].reset_index(drop=True)
    table["index"] = np.array(indices)
    views = observe(TrajectoryConfig(distance_m=10.0), np.array(indices))
    for i, name in enumerate(("qw", "qx", "qy", "qz")):
        table[name] = views.quaternion[:, i]
    rng = np.random.default_rng(len(indices))
    for kind in ("rgb", "depth", "parts"):
        (folder / kind).mkdir(parents=True)
    boxes = [(4 + k % 9, 6 + k % 5, 12, 8 + k % 3) for k in range(len(indices))]
    for i, name in enumerate("xywh"):
        table[f"bbox_{name}"] = np.array(boxes)[:, i]
    for row, (k, (x, y, w, h)) in enumerate(zip(indices, boxes, strict=True)):
        rgb = rng.integers(0, 30, (32, 40, 3)).astype(np.uint8)
        rgb[y : y + h, x : x + w] += 180
        depth, parts = np.zeros((32, 40), np.uint16), np.zeros((32, 40), np.uint8)
        depth[y : y + h, x : x + w] = rng.integers(1000, 60000, (h, w))
        parts[y : y + h, x : x + w] = rng.integers(1, 5, (h, w))
        frame: Any = depth if depth16 else rgb
        for kind, image in {"rgb": frame, "depth": depth, "parts": parts}.items():
            path = folder / kind / f"{k:06d}.png"
            Image.fromarray(image).save(path)
            table.loc[row, f"{kind}_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    table.to_parquet(folder / "frames.parquet", index=False)
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="module")
def block(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 50 frames that no test may change."""
    return fake(pristine, tmp_path_factory.mktemp("fake") / "block")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and torch.equal(one[k], other[k]) for k in one
    )


def picture(folder: Path, kind: str, index: int) -> np.ndarray:
    return np.asarray(Image.open(folder / kind / f"{index:06d}.png"))


# --- what a window holds --------------------------------------------------------------------------


def test_a_window_is_what_the_files_say(pristine: Path) -> None:
    config = replace(SMALL, step=2, stride=3)
    windows = WindowDataset(pristine, config)
    table = pd.read_parquet(pristine / "frames.parquet").set_index("index")
    scale = json.loads((pristine / "dataset.json").read_text())["depth_scale"]
    assert len(windows) == len(range(0, 24 - 9 + 1, 3))
    window = windows[2]
    indices = [3006, 3008, 3010, 3012, 3014]
    assert window["index"].tolist() == indices
    assert windows.spans[2].tolist() == [0, 3006, 3014]
    assert window["dataset"].item() == 0
    for i, k in enumerate(indices):
        row = table.loc[k]
        R = Rotation.from_quat(row[["qx", "qy", "qz", "qw"]].to_numpy(float)).as_matrix()
        np.testing.assert_allclose(window["R"][i].numpy(), R, atol=1e-12)
        assert window["t"][i].tolist() == row[["tx", "ty", "tz"]].tolist()
        assert window["sun"][i].tolist() == row[["sun_x", "sun_y", "sun_z"]].tolist()
        # 72 × 64 pixels: four rows of zeros above and below, then nine pixels become one
        grey = np.asarray(Image.open(pristine / "rgb" / f"{k:06d}.png").convert("L"), float)
        means = np.pad(grey, ((4, 4), (0, 0))).reshape(24, 3, 24, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(window["frames"][i, 0].numpy() * 255, means, atol=1.0)
        depth = np.pad(picture(pristine, "depth", k), ((4, 4), (0, 0)))[1::3, 1::3]
        np.testing.assert_allclose(window["depth"][i, 0].numpy(), depth * scale, rtol=1e-6)
        parts = np.pad(picture(pristine, "parts", k), ((4, 4), (0, 0)))[1::3, 1::3]
        assert np.array_equal(window["parts"][i, 0].numpy(), parts)
    assert window["frames"].dtype == torch.float32 and window["depth"].dtype == torch.float32
    assert window["parts"].dtype == torch.uint8 and window["R"].dtype == torch.float64
    assert window["frames"].shape == (5, 1, 24, 24)


def test_intrinsics_are_those_of_the_images(pristine: Path) -> None:
    # a surface point seen through K and depth of the small image is that of the large one
    data = Dataset(pristine)
    window = WindowDataset(pristine, replace(SMALL, crop="dataset", size=16))[0]
    k = int(window["index"][0])
    u, v = np.meshgrid(np.arange(16), np.arange(16))
    pixels = np.stack([u, v, np.ones_like(u)]).reshape(3, -1)
    small = np.linalg.inv(window["K"].numpy()) @ pixels
    large = np.rint(data.camera.K @ small - 1e-9).astype(int)  # the pixel at each centre
    depth = picture(pristine, "depth", k) * data.description["depth_scale"]
    seen = window["depth"][0, 0].numpy().ravel()
    inside = (large[0] >= 1) & (large[0] < 71) & (large[1] >= 1) & (large[1] < 63)
    near = np.stack(
        [depth[(large[1] + j).clip(0, 63), (large[0] + i).clip(0, 71)]
         for i in (-1, 0, 1) for j in (-1, 0, 1)]
    )  # fmt: skip
    assert inside.sum() > 160 and (seen > 0).sum() > 10
    assert (np.abs(near - seen).min(axis=0)[inside] < 1e-5).all()


@pytest.mark.parametrize("crop", ["dataset", "window"])
def test_one_square_holds_the_target_in_all_frames(block: Path, crop: str) -> None:
    size = None if crop == "dataset" else 16
    windows = WindowDataset(block, replace(SMALL, crop=crop, size=size, margin=0.0))
    table = pd.read_parquet(block / "frames.parquet").set_index("index")
    K = Dataset(block).camera.K
    sides = set()
    for window in (windows[0], windows[7], windows[44]):
        scale = window["K"][0, 0].item() / K[0, 0]
        x = K[0, 2] + 0.5 - (window["K"][0, 2].item() + 0.5) / scale
        y = K[1, 2] + 0.5 - (window["K"][1, 2].item() + 0.5) / scale
        side = window["frames"].shape[-1] / scale
        assert np.allclose([x, y, side], np.rint([x, y, side]))
        x, y, side = (round(value) for value in (x, y, side))
        rows = table if crop == "dataset" else table.loc[window["index"].tolist()]
        left, top = rows.bbox_x.min(), rows.bbox_y.min()
        right = (rows.bbox_x + rows.bbox_w).max()
        bottom = (rows.bbox_y + rows.bbox_h).max()
        assert x <= left and y <= top and x + side >= right and y + side >= bottom
        assert side == max(right - left, bottom - top, size or 0)
        sides.add((x, y, side))
        if crop == "dataset":  # cut, not scaled: the target moves as it does in the frames
            for i, k in enumerate(window["index"].tolist()):
                whole = np.pad(picture(block, "parts", k), 40)
                cut = whole[40 + y : 40 + y + side, 40 + x : 40 + x + side]
                assert np.array_equal(window["parts"][i, 0].numpy(), cut)
    assert (len(sides) == 1) == (crop == "dataset")


def test_colour_and_what_the_files_store(pristine: Path, block: Path, tmp_path: Path) -> None:
    config = replace(SMALL, size=None, colour=True, dtype="stored", fields="frames")
    window = WindowDataset(block, config)[3]
    assert "R" not in window
    for i, k in enumerate(window["index"].tolist()):
        assert np.array_equal(
            window["frames"][i].numpy().transpose(1, 2, 0), picture(block, "rgb", k)
        )
    assert window["frames"].is_contiguous()
    scaled = WindowDataset(block, replace(config, dtype="float32"))[3]["frames"]
    assert torch.equal(scaled, window["frames"].float() / 255)
    mono = fake(pristine, tmp_path / "mono", depth16=True)
    window = WindowDataset(mono, config)[3]
    assert window["frames"].dtype == torch.uint16
    for channel in range(3):
        assert np.array_equal(window["frames"][0, channel].numpy(), picture(mono, "rgb", 364))


def test_datasets_of_unlike_images_make_batches(
    pristine: Path, block: Path, tmp_path: Path
) -> None:
    """Frames of 16 and 8 bits, part labels of 16 and 8."""
    mono = fake(pristine, tmp_path / "mono", depth16=True)
    table = pd.read_parquet(mono / "frames.parquet")
    for row, index in enumerate(table["index"]):
        path = mono / "parts" / f"{index:06d}.png"
        Image.fromarray(picture(mono, "parts", index).astype(np.uint16) * 100).save(path)
        table.loc[row, "parts_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    table.to_parquet(mono / "frames.parquet", index=False)
    with pytest.raises(InputError, match="frames of 16 bits of mono and 8 bits of block: dtype"):
        WindowDataset([mono, block], replace(SMALL, dtype="stored"), cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    for cache in (None, tmp_path / "cache"):
        windows = WindowDataset([mono, block], SMALL, cache=cache)
        for workers in (0, 1):
            mixed = DataLoader(windows, batch_size=2, sampler=[0, 46], num_workers=workers)
            (batch,) = mixed
            assert batch["parts"].dtype == torch.int32
            alone = (WindowDataset(folder, SMALL)[0]["parts"].int() for folder in (mono, block))
            assert torch.equal(batch["parts"], torch.stack(list(alone)))
            assert batch["parts"].max() > 255 and batch["frames"].max() <= 1.0


def with_table(folder: Path, **columns: Any) -> Dataset:
    """A dataset whose table has these columns, or lacks them where they are None."""
    data = Dataset(folder)
    table = data.frames.copy()
    for name, values in columns.items():
        table = table.drop(columns=name, errors="ignore")
        if values is not None:
            table[name] = values
    data.__dict__["frames"] = table
    return data


def test_rates_and_time(block: Path) -> None:
    rates = np.random.default_rng(0).normal(size=(50, 3))
    times = np.arange(50) * 0.25
    data = with_table(block, time_s=times, **dict(zip(("wx", "wy", "wz"), rates.T, strict=True)))
    config = replace(SMALL, fields=("rates", "time"))
    window = WindowDataset(data, config)[4]
    assert np.array_equal(window["rates"].numpy(), rates[4:9])
    assert window["time"].tolist() == times[4:9].tolist()
    bare = with_table(block, time_s=None, wx=None)
    window = WindowDataset(bare, replace(config, fields="time", dt=0.1))[0]
    assert window["time"].tolist() == pytest.approx([36.1, 36.2, 36.3, 36.4, 36.5])
    with pytest.raises(InputError, match="no column time_s: give dt"):
        WindowDataset(bare, replace(config, fields="time"))
    with pytest.raises(InputError, match="wx, wy, wz are not known for every frame"):
        WindowDataset(with_table(block, wx=0.0, wy=np.nan, wz=0.0), replace(config, fields="rates"))
    with pytest.raises(InputError, match="no columns wx, wy, wz"):
        WindowDataset(bare, replace(config, fields="rates"))


def test_windows_of_several_datasets_come_one_after_another(
    pristine: Path, block: Path, tmp_path: Path
) -> None:
    other = fake(pristine, tmp_path / "other", range(10, 40, 3))  # every third index
    windows = WindowDataset([other, Dataset(block)], SMALL)
    assert windows.names == ("other", "block")
    assert len(windows) == 6 + 46
    assert windows[5]["index"].tolist() == [25, 28, 31, 34, 37]
    assert windows[6]["index"].tolist() == [361, 362, 363, 364, 365]
    assert (windows[5]["dataset"].item(), windows[6]["dataset"].item()) == (0, 1)
    assert np.array_equal(windows.spans[5:7], [[0, 25, 37], [1, 361, 365]])
    assert same(windows[-1], windows[51])
    with pytest.raises(IndexError):
        windows[52]


def test_windows_of_some_frames_of_a_dataset(block: Path, tmp_path: Path) -> None:
    some = Dataset(block)[370:400:2]
    windows = WindowDataset(some, SMALL, cache=tmp_path / "cache")
    assert len(windows) == 15 - 4
    assert windows[3]["index"].tolist() == [376, 378, 380, 382, 384]
    wide = WindowDataset(block, replace(SMALL, step=2))
    assert all(torch.equal(windows[3][k], wide[15][k]) for k in ("frames", "R", "sun", "K"))
    with pytest.raises(InputError, match="a gap between frames 372 and 376"):
        WindowDataset(Dataset(block)[[370, 371, 372, 376, 377, 378]], SMALL)


# --- loaders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
def test_any_number_of_workers_gives_the_same_windows_in_the_same_order(
    block: Path, tmp_path: Path, cached: bool
) -> None:
    windows = WindowDataset(block, SMALL, cache=tmp_path / "cache" if cached else None)
    stream = WindowStream(windows, 4, seed=3)

    def batches(
        workers: int, context: str | None = None
    ) -> Iterator[list[dict[str, torch.Tensor]]]:
        how: dict[str, Any] = {
            "batch_size": 4,
            "num_workers": workers,
            "multiprocessing_context": context,
        }
        generator = torch.Generator().manual_seed(3)
        yield list(DataLoader(windows, shuffle=True, generator=generator, **how))
        yield list(DataLoader(stream, **how))

    random, streamed = batches(0)
    for found in (random, streamed):  # each window once, out of order
        firsts = [i for batch in found for i in batch["index"][:, 0].tolist()]
        assert sorted(firsts) == list(range(361, 407)) != firsts
    for workers, context in ((2, "fork"), (1, "spawn" if cached else "fork")):
        for expected, found in zip((random, streamed), batches(workers, context), strict=True):
            assert len(expected) == len(found) == 12
            assert all(same(a, b) for a, b in zip(expected, found, strict=True))


def test_a_streams_order_is_its_seeds_and_epochs(block: Path) -> None:
    windows = WindowDataset(block, SMALL)
    plain = [int(w["index"][0]) for w in WindowStream(windows, 4, shuffle=False)]
    assert plain == list(range(361, 407))
    one, other = WindowStream(windows, 4, seed=1), WindowStream(windows, 4, seed=2)
    assert not np.array_equal(one.order(), other.order())
    assert np.array_equal(np.sort(one.order()), np.arange(46))
    first = one.order()
    loader = DataLoader(one, batch_size=4, num_workers=2, persistent_workers=True)
    seen = []
    for epoch in (0, 1, 0):
        one.set_epoch(epoch)
        seen.append([i for b in loader for i in (b["index"][:, 0] - 361).tolist()])
    assert seen[0] == seen[2] == first.tolist() != seen[1]
    assert len(loader) == 12


def test_a_stream_reads_a_file_about_once(block: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from satgen.sequences import stores

    read = []
    original = stores.read_frame
    monkeypatch.setattr(stores, "read_frame", lambda *args: read.append(1) or original(*args))
    windows = WindowDataset(block, replace(SMALL, fields="frames"))
    assert sum(1 for _ in WindowStream(windows, 4)) == 46
    assert len(read) == 50
    read.clear()
    assert sum(1 for _ in WindowStream(windows, 4, keep_mb=0)) == 46
    assert len(read) == 46 * 5


def test_nothing_stays_open_between_windows(block: Path, tmp_path: Path) -> None:
    windows = WindowDataset(block, SMALL, cache=tmp_path / "cache")
    _ = windows[0], windows[40]
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    open_files = [str(p.resolve()) for p in Path("/proc/self/fd").iterdir()]
    assert not any(str(tmp_path) in path or str(block) in path for path in open_files)
    assert len(pickle.dumps(windows)) < 100_000  # no images go to a worker
    assert same(pickle.loads(pickle.dumps(windows))[9], windows[9])


# --- prepared images ------------------------------------------------------------------------------


@pytest.mark.parametrize("crop", ["none", "dataset", "window"])
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("depth16", [False, True])
def test_prepared_images_are_the_files_bit_for_bit(
    pristine: Path, block: Path, tmp_path: Path, crop: str, colour: bool, depth16: bool
) -> None:
    folder = fake(pristine, tmp_path / "sixteen", depth16=True) if depth16 else block
    config = replace(SMALL, crop=crop, colour=colour, size=11, dtype="stored")
    before = tree(folder)
    read = WindowDataset(folder, config)
    cached = WindowDataset(folder, config, cache=tmp_path / "deep" / "cache")
    again = WindowDataset(folder, config, cache=tmp_path / "deep" / "cache")
    assert len(read) == len(cached) == 46
    for number in range(0, 46, 5):
        assert same(read[number], cached[number]) and same(read[number], again[number])
    assert tree(folder) == before


def entries(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_prepared_images_are_found_again_and_only_for_what_they_are(
    pristine: Path, block: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    config = replace(SMALL, fields="frames")
    WindowDataset(block, config, cache=cache)
    before = tree(cache)
    # other windows of the same images need nothing new
    WindowDataset(block, replace(config, observed=7, stride=2, dtype="stored"), cache=cache)
    assert tree(cache) == before and len(entries(cache)) == 1
    for change in ({"size": 16}, {"colour": True}, {"crop": "dataset"}, {"fields": "parts"}):
        known = len(entries(cache))
        WindowDataset(block, replace(config, **change), cache=cache)
        assert len(entries(cache)) == known + 1
    # a dataset of the same name with other images
    other = fake(pristine, tmp_path / "elsewhere" / "block", range(361, 409))
    windows = WindowDataset(other, config, cache=cache)
    assert same(windows[9], WindowDataset(other, config)[9])
    assert len(entries(cache)) == 6
    facts = json.loads(next(cache.glob("block-parts-*/identity.json")).read_text())
    images = np.load(next(cache.glob("block-parts-*/images.npy")))
    assert hashlib.sha256(images.tobytes()).hexdigest() == facts["sha256"]


@pytest.mark.parametrize("harm", ["short", "no identity", "other identity", "empty"])
def test_damaged_entries_are_made_again(block: Path, tmp_path: Path, harm: str) -> None:
    config = replace(SMALL, fields="frames")
    WindowDataset(block, config, cache=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    whole = tree(entry)
    if harm == "short":
        data = (entry / "images.npy").read_bytes()
        (entry / "images.npy").write_bytes(data[:-7])
    elif harm == "no identity":
        (entry / "identity.json").unlink()
    elif harm == "other identity":
        (entry / "identity.json").write_text('{"size": 3}')
    else:
        (entry / "images.npy").write_bytes(b"")
    assert same(
        WindowDataset(block, config, cache=tmp_path / "cache")[0], WindowDataset(block, config)[0]
    )
    assert tree(entry) == whole


_PREPARE = """
import sys, time
from pathlib import Path
from satgen.sequences import WindowConfig, cache
from satgen.sequences.reader import read_windows
from satgen.dataset import open_datasets
slow, original = float(sys.argv[3]), cache.read_frame
def read_frame(*args):
    time.sleep(slow)
    return original(*args)
cache.read_frame, cache._CHUNK = read_frame, 4
config = WindowConfig(observed=3, future=2, size=24)
read_windows(open_datasets(sys.argv[1]), config, None, None, Path(sys.argv[2]))
"""


def prepare(folder: Path, cache: Path, slow: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _PREPARE, folder, cache, str(slow)])


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_kill_while_preparing_leaves_nothing_half(block: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    process = prepare(block, cache, 1.0)
    # some images are on disk, most are not
    wait_for(lambda: any(p.stat().st_size > 500 for p in cache.glob(".tmp-*/images.npy")))
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)
    assert not list(cache.glob("block*"))
    (rest,) = cache.iterdir()
    assert rest.name.startswith(".tmp-")
    config = replace(SMALL, fields="frames")
    windows = WindowDataset(block, config, cache=cache)
    assert same(windows[7], WindowDataset(block, config)[7])
    assert [name[:10] for name in entries(cache)] == ["block-rgb-"]


def test_an_interrupt_while_preparing_leaves_nothing(block: Path, tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    process = prepare(block, cache, 0.3)
    wait_for(lambda: list(cache.glob(".tmp-*/images.npy")))
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) != 0
    assert not (tmp_path / "new").exists()


def test_two_processes_may_prepare_at_once(block: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    processes = [prepare(block, cache, 0.05) for _ in range(2)]
    assert [process.wait(PATIENCE_S) for process in processes] == [0, 0]
    assert [name[:10] for name in entries(cache)] == ["block-rgb-"]
    config = replace(SMALL, fields="frames")
    before = tree(cache)
    assert same(WindowDataset(block, config, cache=cache)[9], WindowDataset(block, config)[9])
    assert tree(cache) == before


# --- where windows lie ----------------------------------------------------------------------------


@given(
    st.sets(st.integers(0, 59), min_size=1),
    st.integers(1, 5),
    st.integers(0, 4),
    st.integers(1, 3),
    st.integers(1, 4),
)
@settings(max_examples=60)
def test_windows_lie_in_blocks_of_a_part(
    chosen: set[int], observed: int, future: int, step: int, stride: int
) -> None:
    config = WindowConfig(observed=observed, future=future, step=step, stride=stride)
    indices = np.arange(60) * 2 + 7
    part = indices[sorted(chosen)]
    expected, start = [], None
    for row in range(61):  # block by block, from its first frame on
        if row in chosen:
            start = row if start is None else start
        elif start is not None:
            expected += [r for r in range(start, row, stride) if r + config.span <= row]
            start = None
    if expected:
        assert window_rows("d", indices, config, part).tolist() == expected
    else:
        with pytest.raises(InputError, match=r"d: windows of .* its longest block in this part"):
            window_rows("d", indices, config, part)


def axes(kind: str, indices: np.ndarray) -> np.ndarray:
    views = observe(TrajectoryConfig(motion=KINDS[kind](), distance_m=10.0), indices)
    return np.asarray(views.T_cam_target[:, 2, :3])


def least_angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(np.clip(one @ other.T, -1.0, 1.0).max())))


@given(
    st.sampled_from(["spiral", "grid"]),
    st.integers(1, 5000),
    st.integers(800, 3000),
    st.floats(0.5, 9.0),
    st.integers(2, 12),
    st.integers(1, 3),
)
@settings(max_examples=25)
def test_no_test_window_is_within_the_guard_angle_of_a_training_one(
    kind: str, first: int, count: int, guard: float, length: int, step: int
) -> None:
    indices = np.arange(first, first + count)
    config = WindowConfig(observed=length, future=length, step=step)
    views = {"d": ViewAxes("t", indices, axes(kind, indices))}
    try:
        split = split_datasets(views, SplitConfig(guard_deg=guard))["d"]
        rows = {p: window_rows("d", indices, config, getattr(split, p)) for p in ("train", "test")}
    except InputError:  # little is left of a short range
        assume(False)
    # all frames between a window's first and last, whether the window has them or not
    frames = {p: np.unique(r[:, None] + np.arange(config.span)) for p, r in rows.items()}
    found = least_angle_deg(*(axes(kind, indices[frames[p]]) for p in ("train", "test")))
    assert found > guard - 1e-6


@pytest.fixture(scope="module")
def three(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two datasets of a target that see the same sides, and one of another target."""
    folder = tmp_path_factory.mktemp("three")
    return [
        fake(pristine, folder / "a", range(3000, 3400)),
        fake(pristine, folder / "b", range(3100, 3500)),
        fake(pristine, folder / "c", range(3000, 3300), target="moon"),
    ]


def test_windows_of_parts_are_kept_apart(three: list[Path], tmp_path: Path) -> None:
    config = WindowConfig(observed=4, future=2, size=None, fields=("poses",))
    parts = split_windows(three, config, SplitConfig(guard_deg=4.0), cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()  # no images are asked for
    seen: dict[str, dict[int, np.ndarray]] = {}
    for name in ("train", "validation", "test"):
        windows = list(getattr(parts, name))
        for target in (0, 1):  # datasets 0 and 1 are of one target, 2 of the other
            looks = [w["R"][:, 2].numpy() for w in windows if (w["dataset"].item() == 2) == target]
            seen.setdefault(name, {})[target] = np.concatenate(looks)
    for target in (0, 1):
        for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
            assert least_angle_deg(seen[one][target], seen[other][target]) > 4.0
    alone = WindowDataset(three, config, part="test", splits=parts.splits)
    assert np.array_equal(alone.spans, parts.test.spans)


def test_a_target_left_out_and_default_splits(three: list[Path]) -> None:
    config = WindowConfig(observed=4, future=2, fields=("poses",))
    split = SplitConfig(guard_deg=4.0, leave_out="moon")
    parts = split_windows(three, config, split)
    assert set(parts.train.spans[:, 0]) == {0, 1} == set(parts.validation.spans[:, 0])
    assert (parts.test.spans[:, 0] == 2).sum() == 295
    default = WindowDataset(three[2], config, part="train")
    expected = split_datasets({"c": Dataset(three[2])})["c"].train
    assert set(default.spans[:, 1]) <= set(expected.tolist())


def test_whole_sequences(pristine: Path, tmp_path: Path) -> None:
    folders = [
        fake(pristine, tmp_path / f"s{i}", range(100 * i, 100 * i + 20)) for i in range(1, 6)
    ]
    config = WindowConfig(observed=4, future=2, fields=("poses",))
    parts = split_windows(folders, config, SplitConfig(guard_deg=0.0), by="sequences", seed=1)
    found = [set(windows.spans[:, 0].tolist()) for windows in parts[:3]]
    assert [len(f) for f in found] == [3, 1, 1]
    assert set().union(*found) == set(range(5))
    assert all(len(windows) % 15 == 0 for windows in parts[:3])


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observed": 0}, "observed 0: must be at least 1"),
        ({"future": -1}, "future -1: must be at least 0"),
        ({"step": 0}, "step 0: must be at least 1"),
        ({"stride": 1.5}, "stride 1.5: must be a whole number"),
        ({"size": 7}, "size 7: must be at least 8"),
        ({"crop": "face"}, "crop 'face': must be one of none, dataset, window"),
        ({"crop": "window", "size": None}, "without a size"),
        ({"margin": float("nan")}, "margin nan: must be"),
        ({"margin": "wide"}, "margin 'wide': must be from 0 to 2"),
        ({"fields": None}, "fields None: must be some of frames, depth"),
        ({"dt": "1 s"}, "dt '1 s': must be a positive number of seconds"),
        ({"fields": ("frames", "flow")}, "field 'flow': must be one of frames, depth"),
        ({"dt": 0.0}, "dt 0: must be a positive"),
        ({"dt": float("nan")}, "dt nan: must be a positive"),
        ({"dtype": "int8"}, "dtype 'int8': must be one of"),
    ],
)
def test_what_is_no_window(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        WindowConfig(**change)
    assert "\n" not in str(error.value)


def without(folder: Path, index: int) -> None:
    table = pd.read_parquet(folder / "frames.parquet")
    table[table["index"] != index].to_parquet(folder / "frames.parquet", index=False)


def empty(folder: Path) -> None:
    pd.read_parquet(folder / "frames.parquet").iloc[:0].to_parquet(folder / "frames.parquet")


def damage(folder: Path) -> None:
    Image.new("L", (40, 32)).save(folder / "rgb" / "000390.png")


@pytest.mark.parametrize(
    ("harm", "settings", "message"),
    [
        (None, {"config": replace(SMALL, observed=49)}, "49 . 2 frames span 51 frames.* has 50"),
        (None, {"config": replace(SMALL, step=13)}, "every 13 frames span 53 frames.* has 50"),
        (None, {"config": replace(SMALL, size=41)}, "40 × 32 pixels.*size 41.*at most 40"),
        (None, {"part": "exam"}, "part 'exam': must be one of train, validation, test"),
        (None, {"splits": {}}, "splits without a part"),
        (None, {"splits": {}, "part": "test"}, "not among the splits"),
        (lambda f: without(f, 380), {}, "a gap between frames 379 and 381"),
        (empty, {}, "has no frames"),
        (lambda f: (f / "frames.parquet").unlink(), {}, "frames.parquet"),
        (lambda f: (f / "dataset.json").unlink(), {}, "not a satgen dataset"),
        (lambda f: (f / "rgb" / "000390.png").unlink(), {}, "000390.png: No such file"),
        (damage, {}, "000390.png: not the image that the frame table describes"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    pristine: Path, tmp_path: Path, harm: Any, settings: dict[str, Any], message: str
) -> None:
    folder = fake(pristine, tmp_path / "data")
    if harm is not None:
        harm(folder)
    before = tree(tmp_path)
    given: dict[str, Any] = {"config": SMALL, "cache": tmp_path / "new" / "cache"} | settings
    with pytest.raises(InputError, match=message) as error:
        WindowDataset(folder, **given)
    assert "\n" not in str(error.value)
    assert tree(tmp_path) == before and not (tmp_path / "new").exists()


def test_more_bad_input(pristine: Path, block: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no datasets"):
        WindowDataset([], SMALL)
    with pytest.raises(InputError, match="another dataset is called block"):
        WindowDataset([block, block], SMALL)
    with pytest.raises(InputError, match="different sizes, 72 × 64 of craft, 40 × 32 of block"):
        WindowDataset([pristine, block], replace(SMALL, size=None))
    with pytest.raises(InputError, match="is a dataset"):
        WindowDataset(block, SMALL, cache=block)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        WindowDataset(block, SMALL, cache=tmp_path / "file")
    with pytest.raises(RunError, match="cannot prepare images"):
        WindowDataset(block, SMALL, cache=tmp_path / "file" / "below")
    with pytest.raises(RunError, match=r"cannot prepare images in a*: File name too long"):
        WindowDataset(block, SMALL, cache="a" * 300)
    with pytest.raises(InputError, match="split by 'colour': must be one of blocks, sequences"):
        split_windows(block, SMALL, by="colour")
    windows = WindowDataset(block, SMALL)
    for wrong in ({"batch_size": 0}, {"batch_size": 2, "seed": -1}):
        with pytest.raises(InputError, match="must be at least"):
            WindowStream(windows, **wrong)
    for epoch in (-1, 0.5):
        with pytest.raises(InputError, match=f"epoch {epoch}: must be"):
            WindowStream(windows, 2).set_epoch(epoch)  # type: ignore[arg-type]


def test_torch_is_only_imported_for_windows() -> None:
    code = (
        "import sys, satgen.sequences, satgen.splits, satgen.cli;"
        "assert 'torch' not in sys.modules;"
        "satgen.sequences.WindowConfig(size=64);"
        "assert 'torch' not in sys.modules;"
        "satgen.sequences.WindowDataset;"
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)


def test_the_benchmark_of_loaders(block: Path) -> None:
    command = [sys.executable, "-m", "bench.loader_speed", str(block), "--observed", "3"]
    command += ["--future", "2", "--size", "16", "--rounds", "1", "--seconds", "0.1"]
    command += ["--frames", "60", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    found = json.loads(done.stdout)
    assert found["png_windows_s"] > 0 and found["ratio"] > 0
    assert found["memory_frames"] == 180 and found["memory_windows"] == 3 * 56
    assert len(found["memory_mb"]) == 10 and min(found["memory_mb"]) > 0
    done = subprocess.run(
        [*command, "--batch-size", "12"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == f"Error: {block}: 46 windows: at least four batches of 12 are needed\n"
