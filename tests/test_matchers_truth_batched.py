"""Batched labels: planes whose images a homography ties together, and the exact ground truth.

The exact ground truth (float64, KD-trees, held against Embree's rays in its own tests) and the
batched labels share the rules and the look-up of a keypoint's own depth, and no other code.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.spatial import cKDTree

from matchers.training.bank import Bank, Source
from matchers.training.cache import CacheConfig, extract_frame, frame_file
from matchers.training.figures import tally_matches
from matchers.truth.batched import BatchGeometry, DepthMaps, homography_labels, pose_labels
from matchers.truth.exact import judge, label, score
from matchers.truth.frame import FrameGeometry, read_geometry
from matchers.truth.rules import IGNORED, UNMATCHED, Thresholds, Verdict
from matchers.types import Features, batch
from satgen.dataset import Dataset
from satgen.errors import InputError
from tests.datasets import make
from tests.waits import waits

torch.set_num_threads(1)

K = np.array([[400.0, 0.0, 79.5], [0.0, 400.0, 59.5], [0.0, 0.0, 1.0]])
HEIGHT, WIDTH = 120, 160
SCALE = 1e-4


def features_at(points: NDArray) -> Features:
    count = len(points)
    return Features(
        torch.tensor(points, dtype=torch.float32).reshape(-1, 2),
        torch.ones(count),
        torch.zeros(count, 4),
        torch.tensor([float(WIDTH), float(HEIGHT)]),
    )


def facts(depth: NDArray, points: NDArray) -> dict[str, NDArray]:
    """What the cache keeps of keypoints, by the cache's own code."""
    data = SimpleNamespace(
        rgb=lambda index: np.zeros((*depth.shape, 3), np.uint8),
        depth=lambda index: depth,
        parts=lambda index: (depth > 0).astype(np.uint8),
        description={"depth_scale": SCALE},
    )
    config = CacheConfig(versions=1, silhouette=False)
    return extract_frame(data, 1, lambda image, mask=None: features_at(points), config)  # type: ignore[arg-type]


def side(views: list[tuple[NDArray, NDArray, NDArray]]) -> BatchGeometry:
    """One side of a batch from (depth map, pose, keypoints) of each pair."""
    found = [facts(depth, points) for depth, _, points in views]
    features = batch([features_at(points) for _, _, points in views])
    size = features.keypoints.shape[1]

    def pad(name: str) -> torch.Tensor:
        rows = [np.pad(f[name].astype(np.float32), (0, size - len(f[name]))) for f in found]
        return torch.tensor(np.stack(rows))

    maps = [f["map"].ravel().view(np.int16) for f in found]
    starts = np.cumsum([0, *map(len, maps)])[:-1]
    count = len(views)
    assert features.mask is not None
    return BatchGeometry(
        keypoints=features.keypoints,
        mask=features.mask,
        image_size=features.image_size,
        K=torch.tensor([K[0, 0], K[1, 1], K[0, 2], K[1, 2]]).float().expand(count, 4),
        pose=torch.tensor(np.stack([pose for _, pose, _ in views])),
        depth=pad("depth"),
        farthest=pad("farthest"),
        rim=pad("rim").bool(),
        maps=DepthMaps(
            torch.tensor(np.concatenate([*maps, [0]]).astype(np.int16)),
            torch.tensor(starts),
            torch.tensor(np.stack([f["box"] for f in found])).long(),
            torch.full((count,), SCALE),
        ),
    )


def motion(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> NDArray:
    T = np.eye(4)
    T[:3, :3] = cv2.Rodrigues(np.radians(degrees))[0]
    T[:3, 3] = shift
    return T


def plane_depth(normal: NDArray, offset: float) -> NDArray:
    """Depth of the plane normal · x = offset (camera frame) at every pixel's centre."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], axis=-1)
    depth = offset / (rays @ normal)
    return np.round(depth / SCALE) * SCALE


NORMAL, OFFSET = np.array([0.2, -0.1, 1.0]) / np.linalg.norm([0.2, -0.1, 1.0]), 4.0


def seen_after(T: NDArray) -> tuple[NDArray, float]:
    """The plane in the second camera's frame."""
    normal = T[:3, :3] @ NORMAL
    return normal, OFFSET + float(normal @ T[:3, 3])


def homography_of(T: NDArray) -> NDArray:
    """The plane's homography, Hartley & Zisserman (13.2): K (R + t n' / d) K^-1."""
    H = K @ (T[:3, :3] + np.outer(T[:3, 3], NORMAL) / OFFSET) @ np.linalg.inv(K)
    return H / H[2, 2]


def by_all_pairs(
    uv0: NDArray, points0: NDArray, uv1: NDArray, points1: NDArray
) -> tuple[NDArray, NDArray]:
    """The rules on a plane that hides nothing, by trees and loops; outside counts as anywhere."""

    def inside(uv: NDArray) -> NDArray:
        return ((uv >= -0.5) & (uv < (WIDTH - 0.5, HEIGHT - 0.5))).all(axis=1)

    error = np.maximum(
        np.linalg.norm(uv0[:, None] - points1[None], axis=2),
        np.linalg.norm(uv1[None] - points0[:, None], axis=2),
    )
    error[~inside(uv0)] = np.inf
    error[:, ~inside(uv1)] = np.inf
    partner0 = np.where(cKDTree(points1).query(uv0)[0] > 5.0, UNMATCHED, IGNORED)
    partner1 = np.where(cKDTree(points0).query(uv1)[0] > 5.0, UNMATCHED, IGNORED)
    for i in range(len(points0)):
        j = int(error[i].argmin())
        if error[i, j] < 3.0 and int(error[:, j].argmin()) == i:
            partner0[i], partner1[j] = j, i
    return partner0, partner1


@pytest.mark.parametrize(
    ("degrees", "shift"),
    [((0, 0, 0), (0.1, 0, 0)), ((3, -8, 20), (0.3, -0.1, 0.4)), ((0, 0, 170), (0, 0, -0.5))],
)
def test_a_plane_is_carried_as_its_homography_says(
    degrees: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    T = motion(degrees, shift)
    rng = np.random.default_rng(1)
    points0 = rng.uniform((0, 0), (WIDTH - 1, HEIGHT - 1), (150, 2))
    H = homography_of(T)
    moved = cv2.perspectiveTransform(points0[:, None], H)[:, 0]
    points1 = moved[:120] + rng.normal(0.0, 2.0, (120, 2))
    points1 = points1[((points1 > 0) & (points1 < (WIDTH - 1, HEIGHT - 1))).all(axis=1)]
    back = cv2.perspectiveTransform(points1[:, None], np.linalg.inv(H))[:, 0]
    first = side([(plane_depth(NORMAL, OFFSET), np.eye(4), points0)])
    second = side([(plane_depth(*seen_after(T)), T, points1)])

    labels = pose_labels(first, second)
    expected0, expected1 = by_all_pairs(moved, points0, back, points1)
    np.testing.assert_array_equal(labels.partner0[0].numpy(), expected0)
    np.testing.assert_array_equal(labels.partner1[0].numpy(), expected1)
    assert (expected0 >= 0).sum() > 20
    assert {UNMATCHED, IGNORED} <= set(expected0.tolist())


def walls() -> tuple[NDArray, NDArray, NDArray]:
    """A wall at 5 m behind one at 4 m that fills the columns from 80 on; then 0.25 m to the left.

    The near wall moves by 400 × 0.25 / 4 = 25 px, the far one by 20: columns 55 … of the second
    frame are near, and the far wall's columns 75 … 79 go behind it.
    """
    columns = np.arange(WIDTH)
    first = np.where(columns >= 80, 4.0, 5.0) * np.ones((HEIGHT, 1))
    second = np.where(columns >= 55, 4.0, 5.0) * np.ones((HEIGHT, 1))
    return first, second, motion((0, 0, 0), (-0.25, 0, 0))


def test_what_comes_to_lie_behind_something_has_no_match() -> None:
    first, second, T = walls()
    hidden, seen = [76.0, 60.0], [60.0, 60.0]
    labels = pose_labels(
        side([(first, np.eye(4), np.array([hidden, seen]))]),
        side([(second, T, np.array([[57.0, 60.0], [40.0, 60.0]]))]),
    )
    # (57, 60) is the near wall where (82, 60) was
    assert labels.partner0[0].tolist() == [UNMATCHED, 1]
    assert labels.partner1[0].tolist() == [UNMATCHED, 1]
    assert labels.seen0[0].tolist() == [False, True]


def test_beside_a_surface_a_keypoint_matches_with_it_or_nothing_is_claimed() -> None:
    first, second, T = walls()
    first[:, :20] = 0.0
    points = np.array([[79.5, 60.2], [17.0, 50.0], [5.0, 50.0]])  # outline, rim, empty
    sides = side([(first, np.eye(4), points)]), side([(second, T, np.array([[54.5, 60.2]]))])
    labels = pose_labels(*sides)  # the near wall moves by 25 pixels, the far one by 20
    assert labels.partner0[0].tolist() == [0, IGNORED, UNMATCHED]
    assert labels.doubtful0[0].tolist() == [True, False, False]
    elsewhere = side([(second, T, np.array([[62.0, 60.2]]))])
    assert pose_labels(sides[0], elsewhere).partner0[0].tolist() == [IGNORED, IGNORED, UNMATCHED]


def test_thresholds_are_three_and_five_pixels() -> None:
    wall, T = np.full((HEIGHT, WIDTH), 4.0), motion((0, 0, 0), (0.1, 0, 0))  # 10 px to the right
    ends = [(0.0, 0), (2.9, 0), (3.1, IGNORED), (4.9, IGNORED), (5.1, UNMATCHED)]
    for off, expected in ends:
        labels = pose_labels(
            side([(wall, np.eye(4), np.array([[50.0, 50.0]]))]),
            side([(wall, T, np.array([[60.0 + off, 50.0]]))]),
        )
        assert labels.partner0[0].tolist() == [expected]
    loose = pose_labels(
        side([(wall, np.eye(4), np.array([[50.0, 50.0]]))]),
        side([(wall, T, np.array([[66.0, 50.0]]))]),
        Thresholds(7.0, 8.0),
    )
    assert loose.partner0[0].tolist() == [0]


def test_a_batch_is_a_loop_and_padding_takes_no_part() -> None:
    rng = np.random.default_rng(2)
    views0, views1 = [], []
    for count in (30, 0, 7):
        T = motion(tuple(rng.uniform(-5, 5, 3)), tuple(rng.uniform(-0.2, 0.2, 3)))  # type: ignore[arg-type]
        views0.append((plane_depth(NORMAL, OFFSET), np.eye(4), rng.uniform(10, 110, (count, 2))))
        views1.append((plane_depth(*seen_after(T)), T, rng.uniform(10, 110, (2 * count, 2))))
    together = pose_labels(side(views0), side(views1))
    for k, (view0, view1) in enumerate(zip(views0, views1, strict=True)):
        if not len(view0[2]):
            assert (together.partner0[k] == IGNORED).all()
            continue
        alone = pose_labels(side([view0]), side([view1]))
        m, n = len(view0[2]), len(view1[2])
        assert torch.equal(together.partner0[k, :m], alone.partner0[0])
        assert torch.equal(together.partner1[k, :n], alone.partner1[0])
        assert (together.partner0[k, m:] == IGNORED).all()
        assert (together.partner1[k, n:] == IGNORED).all()
        assert not together.seen0[k, m:].any() and not together.seen1[k, n:].any()


def test_swapping_the_images_swaps_the_labels() -> None:
    first, second, T = walls()
    rng = np.random.default_rng(3)
    points = [rng.uniform((5, 5), (150, 110), (80, 2)) for _ in range(2)]
    sides = side([(first, np.eye(4), points[0])]), side([(second, T, points[1])])
    one, other = pose_labels(*sides), pose_labels(*sides[::-1])
    assert torch.equal(one.partner0, other.partner1)
    assert torch.equal(one.partner1, other.partner0)
    assert torch.equal(one.seen0, other.seen1)


@pytest.mark.parametrize(
    ("gap", "thresholds"),
    [
        (1, Thresholds()),
        (8, Thresholds()),
        (40, Thresholds()),
        (8, Thresholds(2.0, 7.0, edge_px=0.0)),
        (8, Thresholds(4.0, 4.0, edge_px=50.0)),
    ],
)
def test_batched_labels_are_the_exact_ones(
    craft_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    gap: int,
    thresholds: Thresholds,
) -> None:
    folder = tmp_path_factory.mktemp("labels") / "craft"
    make(craft_path, folder, start=3000, stop=3000 + gap, step=gap, width=256, height=256)
    data, rng = Dataset(folder), np.random.default_rng(gap)
    indices = [3000, 3000 + gap]
    views = [read_geometry(data, index) for index in indices]
    points = _keypoints(views, rng)
    for index, mine in zip(indices, points, strict=True):
        arrays = extract_frame(
            data,
            index,
            lambda image, mask=None, mine=mine: features_at(mine),  # type: ignore[arg-type]
            CacheConfig(versions=1, rim_px=thresholds.no_match_px),
        )
        save_file(arrays, tmp_path / frame_file(index))
    bank = Bank([Source("craft", data, indices, tmp_path)])
    rows, zero = np.array([0]), np.array([0])
    labels = pose_labels(
        bank.side(rows, zero).geometry, bank.side(rows + 1, zero).geometry, thresholds
    )
    truth = label(*points, *views, thresholds)
    np.testing.assert_array_equal(labels.partner0[0].numpy(), truth.side0.partner)
    np.testing.assert_array_equal(labels.partner1[0].numpy(), truth.side1.partner)
    assert {UNMATCHED, IGNORED, 0} <= set(np.minimum(truth.side0.partner, 0).tolist())
    assert (truth.side0.partner >= 0).sum() > 50

    # any prediction is judged as the benchmark judges it
    predicted = truth.side0.partner.copy()
    predicted[predicted < 0] = rng.integers(-1, len(points[1]), (predicted < 0).sum())
    predicted[::5] = -1
    chosen = np.flatnonzero(predicted >= 0)
    pairs = np.stack([chosen, predicted[chosen]], axis=1)
    verdict = judge(truth, pairs).verdict
    found = tally_matches(torch.tensor(predicted)[None], labels)
    assert found.correct.tolist() == [(verdict == Verdict.CORRECT).sum()]
    assert found.wrong.tolist() == [(verdict == Verdict.WRONG).sum()]
    assert min(found.correct.item(), found.wrong.item()) > 20
    hit = (verdict == Verdict.CORRECT) & (truth.side0.partner[chosen] >= 0)
    assert found.found.tolist() == [hit.sum()]
    assert found.true.tolist() == [(truth.side0.partner >= 0).sum()]


def test_recall_of_batches_is_of_places_as_the_benchmark_s() -> None:
    first, second, T = walls()
    rng = np.random.default_rng(6)
    points0 = rng.integers((5, 5), (130, 110), (60, 2)).astype(float)
    points1 = points0 + np.where(points0[:, :1] >= 80, 25.0, 20.0) * [-1.0, 0.0]
    points1 += rng.normal(0.0, 2.0, points1.shape)
    twins = [np.concatenate([p, p[:40]]).astype(np.float32) for p in (points0, points1)]
    views = [FrameGeometry(d, K, pose) for d, pose in ((first, np.eye(4)), (second, T))]
    truth = label(*twins, *views)
    sides = side([(first, np.eye(4), twins[0])]), side([(second, T, twins[1])])
    likeness = torch.zeros(1, 100, 100)
    likeness[0, 60:, 60:] = torch.eye(40)  # the second of each, and the second
    once = 0
    for labels in (pose_labels(*sides), pose_labels(*sides, likeness=likeness)):
        for shift in (0, 60, 1):
            predicted = (np.arange(100) + shift) % 100
            predicted[rng.random(100) < 0.5] = -1
            rows = np.flatnonzero(predicted >= 0)
            pairs = np.stack([rows, predicted[rows]], axis=1)
            expected = score(truth, pairs, judge(truth, pairs))
            found = tally_matches(torch.tensor(predicted)[None], labels)
            assert [found.correct.item(), found.wrong.item()] == [expected.correct, expected.wrong]
            assert (found.true.item(), found.recall) == (expected.true, expected.recall)
            once += int(expected.correct > found.found.item() > 0)
    assert once > 0


def _keypoints(views: list[FrameGeometry], rng: np.random.Generator) -> list[NDArray]:
    """On the target, at whole pixels too, beside it, and in the second frame near the first's."""
    v, u = np.nonzero(views[0].depth)
    some = np.stack([u, v], axis=1)[rng.choice(len(u), 300)].astype(float)
    some[100:] += rng.uniform(-0.5, 0.5, (200, 2))
    around = rng.uniform(some.min(axis=0) - 10, some.max(axis=0) + 10, (60, 2))
    first = np.concatenate([some, around]).astype(np.float32).astype(float)
    from satgen.geometry import warp

    K, T = views[0].K, [view.T_cam_target for view in views]
    moved = warp(K, views[0].depth, T[0], views[1].depth, T[1], first)
    near = moved.uv[moved.visible]
    second = np.concatenate([near + rng.normal(0.0, 2.0, near.shape), around])
    second = second[((second >= 0) & (second <= 255)).all(axis=1)]
    return [first, second.astype(np.float32).astype(float)]


def test_no_label_waits_for_the_device() -> None:
    first, second, T = walls()
    points = np.random.default_rng(5).uniform((5, 5), (150, 110), (80, 2))
    sides = side([(first, np.eye(4), points)]), side([(second, T, points[:60])])
    assert waits(lambda: pose_labels(*sides)) == []
    flat = warped(points, np.eye(3)), warped(points, np.diag([1.1, 0.9, 1.0]))
    assert waits(lambda: homography_labels(*flat)) == []
    assert waits(lambda: torch.linalg.inv(torch.eye(2))) and waits(lambda: points_read(points))


def points_read(points: NDArray) -> float:
    values = torch.tensor(points)
    return float(values[values > 10.0].sum())


# --- homographies -------------------------------------------------------------------------------


def warped(points: NDArray, H: NDArray) -> BatchGeometry:
    features = batch([features_at(points)])
    assert features.mask is not None
    return BatchGeometry(
        features.keypoints,
        features.mask,
        features.image_size,
        torch.zeros(1, 4),
        torch.eye(4)[None],
        homography=torch.tensor(H)[None],
    )


def test_homographies_carry_points_as_opencv_does() -> None:
    rng = np.random.default_rng(4)
    H = [np.eye(3) + rng.normal(0.0, 1.0, (3, 3)) * [[0.1, 0.1, 5], [0.1, 0.1, 5], [2e-4, 2e-4, 0]]
         for _ in range(2)]  # fmt: skip
    points = rng.uniform((0, 0), (WIDTH - 1, HEIGHT - 1), (100, 2))
    first = cv2.perspectiveTransform(points[:, None], H[0])[:, 0]
    second = cv2.perspectiveTransform(points[:, None], H[1])[:, 0] + rng.normal(0, 1.5, (100, 2))
    inside = ((first > 0) & (first < (WIDTH - 1, HEIGHT - 1))).all(axis=1)
    inside &= ((second > 0) & (second < (WIDTH - 1, HEIGHT - 1))).all(axis=1)
    first, second = first[inside], second[inside]
    labels = homography_labels(warped(first, H[0]), warped(second, H[1]))
    moved = cv2.perspectiveTransform(first[:, None], H[1] @ np.linalg.inv(H[0]))[:, 0]
    back = cv2.perspectiveTransform(second[:, None], H[0] @ np.linalg.inv(H[1]))[:, 0]
    expected0, _ = by_all_pairs(moved, first, back, second)
    matched = expected0 >= 0
    assert matched.sum() > 20
    np.testing.assert_array_equal(labels.partner0[0].numpy()[matched], expected0[matched])
    # 3 px is the border either way: whatever is nearer and not mutual is ignored
    far = cKDTree(second).query(moved)[0] > 3.0
    np.testing.assert_array_equal(labels.partner0[0].numpy() == UNMATCHED, far & ~matched)


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(InputError, match="thresholds 5 and 3"):
        Thresholds(5.0, 3.0)
