"""What a training is fed with: changed light, homographies, the cache, the bank, and its pairs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from matchers.registry import load_features
from matchers.training.augment import AugmentConfig, augment
from matchers.training.bank import Bank, Source
from matchers.training.cache import CacheConfig, cache_path, fill, read_frame
from matchers.training.homography import HomographyConfig, random_homography, warp_image
from matchers.training.pairs import Curriculum, Drawn, HomographyPairs, PosePairs, rows_of
from matchers.truth.batched import pose_labels
from matchers.truth.exact import label
from matchers.truth.frame import read_geometry
from matchers.truth.roll import RollConfig
from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from tests.datasets import make
from tests.waits import waits

torch.set_num_threads(1)
SMALL = CacheConfig(max_keypoints=24, versions=2)

# --- light and sensors ----------------------------------------------------------------------------


def blob(dtype: type = np.uint8) -> NDArray:
    """A smooth symmetric spot on black."""
    v, u = np.mgrid[:61, :61] - 30.0
    spot = 0.8 * np.exp(-(u * u + v * v) / 72.0)
    full = np.iinfo(dtype).max
    return np.repeat(np.rint(spot * full)[..., None], 3, axis=2).astype(dtype)


def centroid(image: NDArray) -> NDArray:
    gray = image.astype(float).sum(axis=2)
    v, u = np.mgrid[: gray.shape[0], : gray.shape[1]]
    return np.array([(u * gray).sum(), (v * gray).sum()]) / gray.sum()


@given(st.integers(0, 2**32), st.sampled_from([np.uint8, np.uint16]), st.booleans())
@settings(max_examples=20)
def test_an_image_keeps_its_form_and_is_drawn_by_its_seed(
    seed: int, dtype: type, mono: bool
) -> None:
    image = blob(dtype)[..., 0] if mono else blob(dtype)
    one = augment(image, np.random.default_rng(seed))
    other = augment(image, np.random.default_rng(seed))
    assert one.shape == image.shape and one.dtype == image.dtype
    np.testing.assert_array_equal(one, other)


def test_nothing_changes_where_nothing_may() -> None:
    still = AugmentConfig(share=0.0)
    assert np.abs(augment(blob(), np.random.default_rng(0), still).astype(int) - blob()).max() <= 1


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_pixels_keep_their_places(seed: int) -> None:
    calm = AugmentConfig(share=1.0, read_noise=0.0, black_level=0.0, full_well=(1e9, 1e9))
    moved = augment(blob(np.uint16), np.random.default_rng(seed), calm)
    np.testing.assert_allclose(centroid(moved), [30.0, 30.0], atol=0.02)


def test_exposure_scales_light_and_not_encoded_values() -> None:
    config = AugmentConfig(
        share=1.0, exposure=1.0, white_balance=0.0, gamma=1.0, blur_px=0.0, streak_px=0.0,
        read_noise=0.0, black_level=0.0, full_well=(1e12, 1e12),
    )  # fmt: skip
    flat = np.full((4, 4), 12000, dtype=np.uint16)

    def light(value: float) -> float:  # IEC 61966-2-1
        v = value / 65535.0
        return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4

    ratios = []
    for seed in range(20):
        changed = augment(flat, np.random.default_rng(seed), config)
        ratios.append(light(float(changed.mean())) / light(12000.0))
    assert 0.5 <= min(ratios) < 0.7 and 1.4 < max(ratios) <= 2.0


@pytest.mark.parametrize("change", [{"gamma": 0.5}, {"blur_px": -1.0}, {"share": 2.0}])
def test_bad_augmentations(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="augmentation"):
        AugmentConfig(**change)  # type: ignore[arg-type]


# --- homographies ---------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.floats(0.0, 0.66))
@settings(max_examples=60)
def test_homographies_keep_the_targets_square_convex_and_unmirrored(
    seed: int, difficulty: float
) -> None:
    box = (100, 60, 200, 120)
    config = HomographyConfig(difficulty=difficulty, rotation_deg=180.0)
    H = random_homography((512, 512), box, np.random.default_rng(seed), config)
    x, y = 199.5, 119.5
    corners = np.array([[x - 100, y - 100], [x + 100, y - 100], [x + 100, y + 100],
                        [x - 100, y + 100]])  # fmt: skip
    ends = cv2.perspectiveTransform(corners[:, None], H)[:, 0].astype(np.float32)
    assert cv2.isContourConvex(ends)
    assert cv2.contourArea(ends, oriented=True) > 0.0
    scale = np.sqrt(cv2.contourArea(ends) / 200.0**2)
    assert 0.05 / config.scale < scale < 2.0 * config.scale / (1.0 - difficulty / 2.0)


def test_no_range_no_change() -> None:
    still = HomographyConfig(difficulty=0.0, rotation_deg=0.0, scale=1.0, shift=0.0)
    H = random_homography((64, 64), (10, 10, 20, 20), np.random.default_rng(0), still)
    np.testing.assert_allclose(H / H[2, 2], np.eye(3), atol=1e-6)
    np.testing.assert_array_equal(warp_image(blob(), H), blob())


def test_the_image_moves_as_its_points_do() -> None:
    image = np.zeros((256, 256), np.uint8)
    places = np.array([[80.0, 90.0], [170.0, 80.0], [120.0, 170.0]])
    for u, v in places:
        cv2.circle(image, (int(u), int(v)), 4, 255, -1)
    rng = np.random.default_rng(5)
    H = random_homography((256, 256), (60, 60, 130, 130), rng, HomographyConfig(shift=0.0))
    warped = warp_image(image, H)
    moved = cv2.perspectiveTransform(places[:, None], H)[:, 0]
    _, _, _, found = cv2.connectedComponentsWithStats((warped > 100).astype(np.uint8))
    assert len(found) == 4
    for place in moved:
        assert np.linalg.norm(found[1:] - place, axis=1).min() < 0.7


@pytest.mark.parametrize("change", [{"difficulty": 1.0}, {"rotation_deg": 200.0}, {"scale": 0.5}])
def test_bad_homographies(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be"):
        HomographyConfig(**change)  # type: ignore[arg-type]


# --- cache ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Aura, small, every third degree of a third of a turn."""
    folder = tmp_path_factory.mktemp("data") / "aura"
    return Dataset(
        make(
            Path("aura"),
            folder,
            target="aura",
            start=3000,
            stop=3117,
            step=3,
            width=160,
            height=128,
        )
    )


@pytest.fixture(scope="module")
def banks(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bank]:
    cache = tmp_path_factory.mktemp("cache")
    found = {}
    for kind in ("pose", "homography"):
        config = CacheConfig(max_keypoints=24, versions=3, kind=kind)
        folder = fill(data, data.indices, config, cache)
        found[kind] = Bank([Source("aura", data, data.indices, folder)])
    return found


def test_features_are_the_extractors(data: Dataset, tmp_path: Path) -> None:
    folder = fill(data, [3000], SMALL, tmp_path)
    arrays = read_frame(folder, 3000)
    extract = load_features("sift", max_keypoints=24, device="cpu")
    features = extract(data.rgb(3000), mask=data.parts(3000) > 0)
    first = slice(0, int(arrays["count"][0]))
    np.testing.assert_array_equal(arrays["keypoints"][first], features.keypoints.numpy())
    np.testing.assert_array_equal(arrays["scales"][first], features.scales)
    np.testing.assert_allclose(arrays["descriptors"][first], features.descriptors, atol=5e-4)
    depth = data.depth(3000)
    x, y, w, h = arrays["box"]
    again = np.zeros_like(depth)
    again[y : y + h, x : x + w] = arrays["map"] * data.description["depth_scale"]
    np.testing.assert_allclose(again, depth, atol=1e-9)


def test_the_cache_goes_on_where_it_was_and_repeats_its_bytes(
    data: Dataset, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    folder = fill(data, [3000, 3003, 3006], SMALL, tmp_path, workers=2)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert sorted(before) == [f"00300{i}.safetensors" for i in (0, 3, 6)]
    (folder / "003003.safetensors").unlink()
    fill(data, [3000, 3003, 3006], SMALL, tmp_path, progress=lambda *n: seen.append(n))
    after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert seen == [(1, 1)]
    assert {n: b for n, (b, _) in before.items()} == {n: b for n, (b, _) in after.items()}
    assert [n for n in before if before[n] != after[n]] == ["003003.safetensors"]


def test_other_settings_are_another_folder(data: Dataset, tmp_path: Path) -> None:
    settings_ = [
        SMALL,
        CacheConfig(max_keypoints=25, versions=2),
        CacheConfig(max_keypoints=24, versions=2, seed=1),
        CacheConfig(max_keypoints=24, versions=2, kind="homography"),
        CacheConfig(max_keypoints=24, versions=2, augment=AugmentConfig(blur_px=0.5)),
        CacheConfig(max_keypoints=24, versions=2, roll=RollConfig(share=0.0)),
    ]
    assert len({cache_path(tmp_path, data, config) for config in settings_}) == len(settings_)


def test_a_damaged_frame_is_named(data: Dataset, tmp_path: Path) -> None:
    folder = fill(data, [3000], SMALL, tmp_path)
    (folder / "003000.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"003000\.safetensors: cannot be read, delete it"):
        Bank([Source("aura", data, [3000], folder)])


# --- bank -----------------------------------------------------------------------------------------


def test_a_side_is_the_frames_padded(data: Dataset, banks: dict[str, Bank], tmp_path: Path) -> None:
    bank = banks["pose"]
    rows, versions = np.array([4, 0, 7]), np.array([0, 2, 1])
    side = bank.side(rows, versions)
    mask = side.features.mask
    assert mask is not None
    assert mask.sum(1).tolist() == bank.count[rows, versions].tolist()
    assert side.features.keypoints.shape[1] == bank.count[rows, versions].max()
    for name in ("keypoints", "descriptors", "scores", "scales", "orientations"):
        assert not getattr(side.features, name)[~mask].any()
    extract = load_features("sift", max_keypoints=24, device="cpu")
    index = int(data.indices[4])
    alone = extract(data.rgb(index), mask=data.parts(index) > 0)
    assert torch.equal(side.features.keypoints[0, : len(alone)], alone.keypoints)
    np.testing.assert_array_equal(side.geometry.pose[0], data.pose(index))
    assert side.features.image_size[0].tolist() == [160.0, 128.0]

    wide = bank.side(rows, versions, length=64)
    assert wide.features.keypoints.shape[1] == 64
    with pytest.raises(ValueError, match="do not fit"):
        bank.side(rows, versions, length=2)


@pytest.mark.parametrize("kind", ["pose", "homography"])
@pytest.mark.parametrize("multiple", [1, 32])
def test_a_pair_is_both_its_sides_and_the_device_is_not_waited_for(
    banks: dict[str, Bank], kind: str, multiple: int
) -> None:
    bank = banks[kind]
    drawn = Drawn(
        np.array([4, 0, 7]), np.array([0, 2, 1]), np.array([5, 5, 1]), np.array([1, 1, 2]),
        np.zeros(3),
    )  # fmt: skip
    put = bank.pair(drawn, multiple)
    assert waits(put) == []
    pair = put()
    length = None if multiple == 1 else 32
    for mine, rows, versions in zip(pair, drawn[0:4:2], drawn[1:4:2], strict=True):
        alone = bank.side(rows, versions, length)
        assert torch.equal(mine.rows, alone.rows)
        for values, others in ((mine.features, alone.features), (mine.geometry, alone.geometry)):
            for name, value in vars(others).items():
                if name != "maps":
                    assert value is None or torch.equal(getattr(values, name), value), name
    if kind == "pose":
        v, u = torch.meshgrid(torch.arange(-2, 130), torch.arange(-2, 162), indexing="ij")
        maps = [side.geometry.maps for side in (pair[1], alone)]
        found = [m.read(v.expand(3, -1, -1), u.expand(3, -1, -1)) for m in maps if m is not None]
        assert len(found) == 2 and torch.equal(*found) and found[0].any()


def test_keypoints_without_padding_have_no_mask(banks: dict[str, Bank]) -> None:
    bank = banks["pose"]
    row, version = (int(place) for place in np.argwhere(bank.count == bank.count.max())[0])
    side = bank.side(np.array([row, row]), np.array([version, version]))
    assert side.features.mask is None and side.geometry.mask.all()


def test_depth_is_read_in_each_frames_own_map(data: Dataset, banks: dict[str, Bank]) -> None:
    rows = np.array([3, 9])
    side = banks["pose"].side(rows, np.zeros(2, dtype=np.int64))
    v, u = torch.meshgrid(torch.arange(-2, 130), torch.arange(-2, 162), indexing="ij")
    assert side.geometry.maps is not None
    found = side.geometry.maps.read(v.expand(2, -1, -1), u.expand(2, -1, -1)).numpy()
    for k, row in enumerate(rows):
        expected = np.pad(data.depth(int(data.indices[row])), 2)
        np.testing.assert_allclose(found[k], expected, rtol=1e-6)


def test_no_frames_no_bank(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frame"):
        Bank([Source("aura", data, [], tmp_path)])


@pytest.mark.parametrize("kind", ["pose", "homography"])
def test_frames_on_disk_are_the_same_as_in_memory(
    data: Dataset, banks: dict[str, Bank], tmp_path: Path, kind: str
) -> None:
    config = CacheConfig(max_keypoints=24, versions=3, kind=kind)
    folder = fill(data, data.indices[:8], config, tmp_path)
    bank = Bank([Source("aura", data, data.indices[:8], folder)], memory=1.0)
    assert not bank.in_memory and banks[kind].in_memory
    rows, versions = np.array([4, 0, 7, 4]), np.array([0, 2, 1, 1])
    for length in (None, 32):
        one, other = (b.side(rows, versions, length) for b in (bank, banks[kind]))
        for mine, theirs in ((one.features, other.features), (one.geometry, other.geometry)):
            for name, value in vars(theirs).items():
                if name != "maps":
                    assert value is None or torch.equal(getattr(mine, name), value), name
    if kind == "pose":
        v, u = torch.meshgrid(torch.arange(-2, 130), torch.arange(-2, 162), indexing="ij")
        maps = [side.geometry.maps for side in (one, other)]
        found = [m.read(v.expand(4, -1, -1), u.expand(4, -1, -1)) for m in maps if m is not None]
        assert len(found) == 2 and torch.equal(*found) and found[0].any()


# --- roll -----------------------------------------------------------------------------------------


def test_versions_are_rolled_and_the_truth_with_them(
    data: Dataset, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels of frames that were turned are those of frames rendered with the camera rolled."""
    settings_ = {"start": 3000, "stop": 3004, "step": 4, "width": 384, "height": 384}
    folder = tmp_path_factory.mktemp("rolled")
    upright = Dataset(make(Path("aura"), folder / "upright", target="aura", **settings_))
    rendered = Dataset(make(Path("aura"), folder / "aura", target="aura", roll=37.0, **settings_))
    K = upright.camera.K
    turn = cv2.Rodrigues(np.array([0.0, 0.0, np.deg2rad(37.0)]))[0]
    sign = (
        1.0 if np.allclose(turn @ upright.pose(3000)[:3, :3], rendered.pose(3000)[:3, :3]) else -1
    )
    monkeypatch.setattr(RollConfig, "draw", lambda self, rng: 37.0 * sign)
    config = CacheConfig(max_keypoints=200, versions=2, augment=AugmentConfig(share=0.0))
    cache = fill(upright, [3000, 3004], config, folder)
    bank = Bank([Source("aura", upright, [3000, 3004], cache)])
    side0 = bank.side(np.array([0]), np.array([0]))
    side1 = bank.side(np.array([1]), np.array([1]))
    labels = pose_labels(side0.geometry, side1.geometry)

    # what the matcher sees lies where the rolled camera sees the same points of the target
    seen = side1.features.keypoints[0].double().numpy()
    depth = upright.depth(3004)
    frame = side1.geometry.keypoints[0].double().numpy()
    u, v = np.rint(frame).astype(int).T
    z = depth[v, u]
    local = np.column_stack([(frame - K[:2, 2]) / np.diag(K)[:2], np.ones(len(z))]) * z[:, None]
    points = (np.linalg.inv(upright.pose(3004)) @ np.column_stack([local, np.ones(len(z))]).T).T
    pose = rendered.pose(3004)
    projected = cv2.projectPoints(
        points[z > 0.0, :3], cv2.Rodrigues(pose[:3, :3])[0], pose[:3, 3], K, None
    )[0][:, 0]
    np.testing.assert_allclose(projected, seen[z > 0.0], atol=1e-3)

    truth = label(
        side0.features.keypoints[0].numpy(),
        seen,
        read_geometry(upright, 3000),
        read_geometry(rendered, 3004),
    )
    mine, theirs = labels.partner0[0].numpy(), truth.side0.partner
    assert (theirs >= 0).sum() > 20
    assert (mine == theirs).mean() > 0.85  # depth maps of two renders differ at outlines
    both = (mine >= 0) & (theirs >= 0)
    np.testing.assert_array_equal(mine[both], theirs[both])


# --- pairs ----------------------------------------------------------------------------------------


def angles_of(bank: Bank, rows0: NDArray, rows1: NDArray) -> NDArray:
    """Rotations between poses, degrees, by SciPy."""
    a, b = (Rotation.from_matrix(bank.poses[rows, :3, :3]) for rows in (rows0, rows1))
    return np.rad2deg((a * b.inv()).magnitude())


def test_pairs_become_farther_apart(banks: dict[str, Bank]) -> None:
    bank = banks["pose"]
    curriculum = Curriculum(edges_deg=(0.0, 5.0, 20.0, 60.0), start_deg=5.0, full=0.5)
    pairs = PosePairs(bank, seed=0, curriculum=curriculum, min_keypoints=4)
    reach = []
    for progress in (0.0, 0.1, 0.5, 0.9):
        drawn = [pairs.draw(1, step, 16, progress) for step in range(12)]
        rows0, rows1 = (np.concatenate([d[i] for d in drawn]) for i in (0, 2))
        angle = np.concatenate([d.angle_deg for d in drawn])
        np.testing.assert_allclose(angle, angles_of(bank, rows0, rows1), atol=1e-4)
        assert (rows0 != rows1).all()
        reach.append(angle.max())
    assert reach[0] < 5.0 and 5.0 < reach[1] < 20.0 and 40.0 < reach[2] < 60.0
    # at the end each range is drawn about as often: 192 pairs, 64 expected of each
    counts = np.histogram(angle, [0.0, 5.0, 20.0, 60.0])[0]
    assert counts.sum() == 192 and counts.min() > 35


def test_a_draw_depends_on_seed_stage_and_step_alone(banks: dict[str, Bank]) -> None:
    for kind in (PosePairs, HomographyPairs):
        bank = banks["pose" if kind is PosePairs else "homography"]
        one, again = kind(bank, 0, min_keypoints=4), kind(bank, 0, min_keypoints=4)
        one.draw(0, 1, 8, 0.5)
        first, second = one.draw(1, 5, 8, 0.5), again.draw(1, 5, 8, 0.5)
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        others = [again.draw(1, 6, 8, 0.5), again.draw(2, 5, 8, 0.5),
                  kind(bank, 1, min_keypoints=4).draw(1, 5, 8, 0.5)]  # fmt: skip
        assert all(not np.array_equal(first.rows0, other.rows0) for other in others)


def test_homography_pairs_are_two_versions_of_a_frame(banks: dict[str, Bank]) -> None:
    drawn = HomographyPairs(banks["homography"], 0, min_keypoints=1).draw(0, 0, 64, 0.0)
    assert np.array_equal(drawn.rows0, drawn.rows1)
    assert (drawn.versions0 != drawn.versions1).all()
    assert set(np.unique(drawn.versions0)) == {0, 1, 2}


def test_poor_frames_are_not_drawn(banks: dict[str, Bank]) -> None:
    bank = banks["pose"]
    bar = int(np.median(bank.count.min(axis=1))) + 1
    drawn = PosePairs(bank, 0, min_keypoints=bar).draw(0, 0, 64, 1.0)
    assert bank.count[np.concatenate([drawn.rows0, drawn.rows1])].min() >= bar
    with pytest.raises(InputError, match="have 1000 keypoints each"):
        PosePairs(bank, 0, min_keypoints=1000)


def test_named_pairs_are_found(data: Dataset, banks: dict[str, Bank]) -> None:
    drawn = rows_of(banks["pose"], [("aura", 3000, 3009), ("aura", 3030, 3000)])
    assert drawn.rows0.tolist() == [0, 10] and drawn.rows1.tolist() == [3, 0]
    np.testing.assert_allclose(drawn.angle_deg, [9.0, 30.0], atol=0.2)
    with pytest.raises(KeyError):
        rows_of(banks["pose"], [("aura", 3001, 3000)])


@pytest.mark.parametrize("change", [{"edges_deg": (5.0,)}, {"edges_deg": (5.0, 5.0)}, {"full": 2}])
def test_bad_curricula(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="must be"):
        Curriculum(**change)  # type: ignore[arg-type]
