"""Ground truth against Embree's rays at the geometry itself, and scenes that can be worked out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from matchers.truth.exact import GroundTruth, found_matches, judge, label, score
from matchers.truth.frame import FrameGeometry, part_labels, places, read_geometry
from matchers.truth.rules import IGNORED, UNMATCHED, Fate, Thresholds, Verdict
from satgen.camera import Camera
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.raycast import load_triangles
from tests.datasets import make
from tests.scenes import Witness

K = np.array([[100.0, 0.0, 31.5], [0.0, 100.0, 23.5], [0.0, 0.0, 1.0]])
HEIGHT, WIDTH = 48, 64


def pose(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> NDArray:
    """Identity rotation; the target moves by this in the camera frame."""
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


def flat(depth: float = 10.0, T: NDArray | None = None) -> FrameGeometry:
    """A wall parallel to the image that fills it."""
    return FrameGeometry(np.full((HEIGHT, WIDTH), depth), K, pose() if T is None else T)


def grid(step: int = 12) -> NDArray:
    """Keypoints well apart from each other."""
    v, u = np.mgrid[6:HEIGHT:step, 6:WIDTH:step]
    return np.stack([u.ravel(), v.ravel()], axis=1).astype(float)


# --- a wall: the target moves 1 m to the right, 100 px / 10 m × 1 m = 10 px -----------------------


@pytest.mark.parametrize(
    ("off", "expected"), [(0.0, 0), (2.9, 0), (3.1, IGNORED), (4.9, IGNORED), (5.1, UNMATCHED)]
)
def test_a_match_is_nearer_than_3_px_and_none_farther_than_5(off: float, expected: int) -> None:
    truth = label([[20.3, 20.0]], [[30.3, 20.0 + off]], flat(), flat(T=pose(1.0)))
    assert truth.side0.partner.tolist() == [expected]
    assert truth.side1.partner.tolist() == [expected]
    judged = judge(truth, [[0, 0]])
    assert judged.error == pytest.approx(off, abs=1e-9)
    verdicts = {0: Verdict.CORRECT, IGNORED: Verdict.IGNORED, UNMATCHED: Verdict.WRONG}
    assert judged.verdict[0] == verdicts[expected]


def test_thresholds_can_be_others() -> None:
    truth = label([[20, 20]], [[30, 29]], flat(), flat(T=pose(1.0)), Thresholds(10.0, 15.0))
    assert truth.side0.partner.tolist() == [0]


def test_the_nearest_wins_and_the_one_beside_it_is_ignored() -> None:
    truth = label([[20, 20]], [[32, 20], [30, 21], [30, 40]], flat(), flat(T=pose(1.0)))
    assert truth.side0.partner.tolist() == [1]
    assert truth.side1.partner.tolist() == [IGNORED, 0, UNMATCHED]
    judged = [judge(truth, [[0, j]]).verdict[0] for j in range(3)]
    assert judged == [Verdict.CORRECT, Verdict.CORRECT, Verdict.WRONG]


def test_the_larger_of_both_errors_counts() -> None:
    # The target comes to half the distance: 2 px there are 1 px here.
    near = flat(5.0, pose(z=-5.0))
    truth = label([[31.5, 23.5]], [[33.5, 23.5]], flat(), near)
    assert judge(truth, [[0, 0]]).error == pytest.approx(2.0)
    truth = label([[33.5, 23.5]], [[31.5, 23.5]], near, flat())
    assert judge(truth, [[0, 0]]).error == pytest.approx(2.0)


def test_beyond_the_border_there_is_no_match_unless_a_keypoint_is_by_it() -> None:
    view0, view1 = flat(), flat(T=pose(1.0))
    keypoints0 = [[60.0, 20.0], [54.0, 40.0]]  # fall to u = 70 and u = 64, half a pixel outside
    truth = label(keypoints0, [[62.0, 40.0]], view0, view1)
    assert truth.side0.fate.tolist() == [Fate.OUTSIDE, Fate.OUTSIDE]
    assert truth.side0.partner.tolist() == [UNMATCHED, IGNORED]
    assert judge(truth, [[1, 0]]).verdict[0] == Verdict.IGNORED


def test_behind_the_other_camera_there_is_no_match() -> None:
    behind = flat(T=pose(z=-20.0))
    truth = label([[20, 20]], [[20, 20]], flat(), behind)
    assert truth.side0.fate[0] == Fate.OUTSIDE
    assert truth.side0.partner[0] == UNMATCHED
    assert judge(truth, [[0, 0]]).verdict[0] == Verdict.WRONG


# --- two walls: one at 5 m covers columns below 20, the other is at 10 m --------------------------


def two_walls(shift: float) -> FrameGeometry:
    """Both move by `shift` metres: the near one by 20 px a metre, the far one by 10."""
    edge = 20 + round(20 * shift)
    depth = np.full((HEIGHT, WIDTH), 10.0)
    depth[:, : max(edge, 0)] = 5.0
    return FrameGeometry(depth, K, pose(shift))


def test_what_comes_to_lie_behind_the_near_wall_has_no_match() -> None:
    view0, view1 = two_walls(0.0), two_walls(1.0)
    # (25, 20) is on the far wall and moves to (35, 20); the near wall now reaches u = 39.
    truth = label([[25, 20], [10, 20], [35, 20]], [[36, 20], [30, 20], [45, 20]], view0, view1)
    assert truth.side0.fate.tolist() == [Fate.OCCLUDED, Fate.VISIBLE, Fate.VISIBLE]
    assert truth.side0.partner.tolist() == [UNMATCHED, 1, 2]
    assert truth.side1.partner.tolist() == [UNMATCHED, 1, 2]
    judged = judge(truth, [[0, 0], [1, 1], [2, 2]])
    assert judged.verdict.tolist() == [Verdict.WRONG, Verdict.CORRECT, Verdict.CORRECT]
    assert judged.visible.tolist() == [False, True, True]


def test_between_the_walls_a_keypoint_is_on_the_near_one_if_anywhere() -> None:
    # Half way between the last near column (19) and the first far one (20): 20 px or 10 px.
    ends = [[39.5, 20], [29.5, 20], [50, 20]]
    truth = label([[19.5, 20]], ends, two_walls(0.0), two_walls(1.0))
    assert truth.side0.fate[0] == Fate.VISIBLE
    assert truth.side0.doubtful[0]
    assert truth.side0.partner[0] == 0
    judged = judge(truth, [[0, 0], [0, 1], [0, 2]])
    assert judged.verdict[0] == Verdict.CORRECT
    assert judged.error[0] == 0.0 and np.isnan(judged.error[1:]).all()
    # Without a keypoint where the near wall goes, it may belong to the far one: nothing is said.
    truth = label([[19.5, 20]], ends[1:], two_walls(0.0), two_walls(1.0))
    assert truth.side0.partner[0] == IGNORED
    # Where the two lead to nearly the same place there is no doubt.
    truth = label([[19.4, 20]], [[20.4, 20]], two_walls(0.0), two_walls(0.05))
    assert truth.side0.fate[0] == Fate.VISIBLE and not truth.side0.doubtful[0]
    tight = Thresholds(edge_px=0.4)
    truth = label([[19.4, 20]], [[20.4, 20]], two_walls(0.0), two_walls(0.05), tight)
    assert truth.side0.doubtful[0]
    # And on a pixel's centre that pixel is the answer.
    truth = label([[20, 20]], [[30, 20]], two_walls(0.0), two_walls(-1.0))
    assert truth.side0.fate[0] == Fate.VISIBLE and not truth.side0.doubtful[0]


def test_empty_space_has_no_match_and_its_rim_is_ignored() -> None:
    depth = np.zeros((HEIGHT, WIDTH))
    depth[:, :20] = 10.0
    view = FrameGeometry(depth, K, pose())
    points = [[19.8, 20], [23, 20], [24, 20], [24.2, 20], [40, 20]]
    truth = label(points, [[40, 20], [19.8, 20]], view, view)
    rim, empty = Fate.RIM, Fate.EMPTY
    assert truth.side0.fate.tolist() == [Fate.VISIBLE, rim, rim, empty, empty]
    assert truth.side0.partner.tolist() == [1, IGNORED, IGNORED, UNMATCHED, UNMATCHED]
    judged = judge(truth, [[4, 0]])
    assert judged.verdict[0] == Verdict.WRONG
    assert np.isnan(judged.error[0])


# --- laws -----------------------------------------------------------------------------------------

POINTS = st.lists(
    st.tuples(st.floats(-0.5, WIDTH - 0.51), st.floats(-0.5, HEIGHT - 0.51)), max_size=25
)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[NDArray, NDArray, FrameGeometry, FrameGeometry]:
    """Two views of two walls with a hole, and keypoints, some of them where others fall."""
    shift = draw(st.floats(-1.0, 1.0))
    view0, view1 = two_walls(0.0), two_walls(shift)
    view0.depth[5:15, 40:50] = 0.0
    keypoints0 = np.array(draw(POINTS)).reshape(-1, 2)
    keypoints1 = np.array(draw(POINTS)).reshape(-1, 2)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    chosen = keypoints0[rng.random(len(keypoints0)) < 0.7]
    moved = chosen + np.array([10.0 * shift, 0.0]) + rng.normal(0.0, 2.0, chosen.shape)
    return keypoints0, np.concatenate([keypoints1, moved]), view0, view1


@settings(max_examples=80)
@given(scenes(), st.randoms(use_true_random=False))
def test_laws(scene: tuple[NDArray, NDArray, FrameGeometry, FrameGeometry], random: object) -> None:
    keypoints0, keypoints1, view0, view1 = scene
    truth = label(keypoints0, keypoints1, view0, view1)
    a, b = truth.side0.partner, truth.side1.partner
    matched = np.flatnonzero(a >= 0)
    assert (b[a[matched]] == matched).all()
    assert np.count_nonzero(b >= 0) == len(matched)

    pairs = np.stack(np.meshgrid(np.arange(len(a)), np.arange(len(b))), axis=-1).reshape(-1, 2)
    judged = judge(truth, pairs)
    true = a[pairs[:, 0]] == pairs[:, 1]
    correct = judged.verdict == Verdict.CORRECT
    assert correct[true].all()
    assert not correct[(a[pairs[:, 0]] == UNMATCHED) | (b[pairs[:, 1]] == UNMATCHED)].any()
    assert (judged.error[correct] < 3.0).all()

    swapped = label(keypoints1, keypoints0, view1, view0)
    np.testing.assert_array_equal(swapped.side0.partner, b)
    np.testing.assert_array_equal(judge(swapped, pairs[:, ::-1]).verdict, judged.verdict)

    order = np.random.default_rng(random.getrandbits(16)).permutation(len(a))  # type: ignore[attr-defined]
    shuffled = label(keypoints0[order], keypoints1, view0, view1).side0
    np.testing.assert_array_equal(shuffled.fate, truth.side0.fate[order])
    np.testing.assert_array_equal(shuffled.partner == UNMATCHED, a[order] == UNMATCHED)


@st.composite
def doubled(draw: st.DrawFn) -> tuple[NDArray, NDArray, FrameGeometry, FrameGeometry, NDArray]:
    """Two views of two walls, keypoints of which some lie in one place, and one-to-one matches.

    Whole pixels, so that different places are equally near, too; matches of which many are nearly
    right, so that all verdicts occur.
    """
    shift = draw(st.sampled_from([-0.5, 0.0, 0.2, 1.0]))
    view0, view1 = two_walls(0.0), two_walls(shift)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    keypoints0 = rng.integers((0, 0), (WIDTH, 20), (draw(st.integers(1, 12)), 2)).astype(float)
    moved = keypoints0 + np.where(keypoints0[:, :1] < 20, 20.0, 10.0) * [shift, 0.0]
    keypoints1 = moved + rng.integers(-3, 4, moved.shape)
    keypoints0, keypoints1 = (
        np.concatenate([k, k[rng.integers(len(k), size=len(k))]]) for k in (keypoints0, keypoints1)
    )
    uv = label(keypoints0, keypoints1, view0, view1).side0.uv
    apart = np.linalg.norm(uv[:, None] - keypoints1[None], axis=2)
    pairs, taken = [], set()
    for i in rng.permutation(len(keypoints0)):
        for j in rng.permutation(len(keypoints1)):
            if j not in taken and (apart[i, j] < 7.0 or rng.random() < 0.02):
                pairs.append((i, j))
                taken.add(j)
                break
    return keypoints0, keypoints1, view0, view1, np.array(pairs, dtype=int).reshape(-1, 2)


@settings(max_examples=150)
@given(doubled(), st.integers(0, 2**16))
def test_the_order_of_keypoints_says_nothing(
    scene: tuple[NDArray, NDArray, FrameGeometry, FrameGeometry, NDArray], seed: int
) -> None:
    keypoints0, keypoints1, view0, view1, pairs = scene
    truth = label(keypoints0, keypoints1, view0, view1)
    judged = judge(truth, pairs)
    rng = np.random.default_rng(seed)
    order0, order1 = (rng.permutation(len(k)) for k in (keypoints0, keypoints1))
    moved = label(keypoints0[order0], keypoints1[order1], view0, view1)
    renamed = np.stack([np.argsort(order0)[pairs[:, 0]], np.argsort(order1)[pairs[:, 1]]], axis=1)
    again = judge(moved, renamed)
    np.testing.assert_array_equal(again.verdict, judged.verdict)
    np.testing.assert_array_equal(score(moved, renamed, again), score(truth, pairs, judged))


@settings(max_examples=50)
@given(doubled())
def test_recall_is_of_places(
    scene: tuple[NDArray, NDArray, FrameGeometry, FrameGeometry, NDArray],
) -> None:
    keypoints0, keypoints1, view0, view1, pairs = scene
    truth = label(keypoints0, keypoints1, view0, view1)
    judged = judge(truth, pairs)
    with_match = {tuple(k) for k in keypoints0[truth.side0.partner >= 0]}
    right = {tuple(k) for k in keypoints0[pairs[judged.verdict == Verdict.CORRECT, 0]]}
    found = score(truth, pairs, judged)
    assert found.true == len(with_match)
    if with_match:
        assert found.recall == len(with_match & right) / len(with_match)


def test_of_keypoints_in_one_place_any_finds_it() -> None:
    view0, view1 = flat(), flat(T=pose(1.0))
    doubles0 = [[20, 20], [20, 20], [40, 30], [40, 30]]
    truth = label(doubles0, [[30, 20], [30, 20], [50, 30]], view0, view1)
    assert truth.side0.partner.tolist() == [0, IGNORED, 2, IGNORED]
    for pairs in ([[0, 0], [2, 2]], [[1, 1], [3, 2]], [[0, 1], [1, 0], [3, 2]]):
        judged = judge(truth, pairs)
        assert (judged.verdict == Verdict.CORRECT).all()
        assert found_matches(truth, pairs, judged).tolist() == [True, False, True, False]
        assert score(truth, pairs, judged)[3:] == (2, 1.0, 1.0, 1.0)
    # 4 px off is wrong for either, as the place's partner is another
    truth = label(doubles0, [[30, 20], [50, 30], [30, 24]], view0, view1)
    assert judge(truth, [[0, 2], [1, 2]]).verdict.tolist() == [Verdict.WRONG] * 2


def test_places_are_numbered_from_left_to_right() -> None:
    points = [[5, 1], [0.0, 2], [5, 0], [-0.0, 2], [np.nan, 1], [5, 1], [np.nan, 1]]
    number = places(points)
    assert number[[0, 1, 2, 3, 5]].tolist() == [2, 0, 1, 0, 2]
    assert sorted(number[[4, 6]]) == [3, 4]
    assert places([]).shape == (0,)


# --- rays at the real thing -----------------------------------------------------------------------


def hits(witness: Witness, camera: Camera, T: NDArray, points: NDArray) -> NDArray:
    """The target-frame points (N, 3) that rays through pixels (N, 2) meet first; NaN for none."""
    bearing = cv2.undistortPoints(points[:, None], camera.K, None)[:, 0]
    return first_hits(witness, T, np.column_stack([bearing, np.ones(len(bearing))]) @ T[:3, :3])


def first_hits(witness: Witness, T: NDArray, directions: NDArray) -> NDArray:
    eye = -T[:3, :3].T @ T[:3, 3]
    face = witness.first(eye, directions)
    corners = witness._vertices[witness._faces[face]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    along = (normal * directions).sum(1)
    times = (normal * (corners[:, 0] - eye)).sum(1) / np.where(along == 0.0, 1.0, along)
    return np.where((face >= 0)[:, None], eye + times[:, None] * directions, np.nan)


def depths_around(witness: Witness, camera: Camera, T: NDArray, points: NDArray) -> NDArray:
    """(5, N) depths that rays meet: at the positions themselves, and at the four pixels around."""
    low = np.floor(points)
    positions = [points, *(low + offset for offset in ((0, 0), (1, 0), (0, 1), (1, 1)))]
    met = np.stack([hits(witness, camera, T, p) @ T[2, :3] + T[2, 3] for p in positions])
    return np.where(np.isfinite(met), met, np.inf)


def by_a_jump(depths: NDArray, points: NDArray) -> NDArray:
    """Where the five are not on one surface: (N,) bool. A plane's inverse depth is affine."""
    u, v = (points - np.floor(points)).T
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v])
    between = (weights / depths[1:]).sum(axis=0)
    return ~(np.abs(between - 1.0 / depths[0]) * np.minimum(depths[0], 1e6) < 1e-4)


def rays_say(
    witness: Witness, camera: Camera, T0: NDArray, T1: NDArray, points: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Where surface points fall, and whether there is one, it is inside, it is seen.

    By a jump in depth the surface in front is meant, and it is seen if any of the rays around
    meets it and none meets anything in front of it.
    """
    K = camera.K
    met = depths_around(witness, camera, T0, points)
    away = np.linalg.norm(np.stack([points - np.floor(points) - o for o in CORNERS]), axis=2)
    away = np.concatenate([np.zeros((1, len(points))), away])
    front = np.where(met <= 1.002 * met.min(axis=0), away, np.inf).argmin(axis=0)
    chosen = np.where(by_a_jump(met, points), front, 0)
    z = np.take_along_axis(met, chosen[None], axis=0)[0]
    on = np.isfinite(z)
    bearing = cv2.undistortPoints(points[:, None], K, None)[:, 0]
    in_camera = np.column_stack([bearing, np.ones(len(points))]) * np.where(on, z, 1.0)[:, None]
    X = (in_camera - T0[:3, 3]) @ T0[:3, :3]
    uv = cv2.projectPoints(X, cv2.Rodrigues(T1[:3, :3])[0], T1[:3, 3], K, None)[0][:, 0]
    expected = X @ T1[2, :3] + T1[2, 3]
    there = depths_around(witness, camera, T1, uv)
    there = np.where(by_a_jump(there, uv), there, there[:1])
    same = (np.abs(there - expected) < 0.002 * expected).any(axis=0)
    same &= (there > 0.998 * expected).all(axis=0)
    size = np.array([camera.width, camera.height])
    inside = ((uv >= -0.5) & (uv < size - 0.5)).all(axis=1)
    return uv, on, inside, on & inside & same


CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def scatter(
    witness: Witness, data: Dataset, T: list[NDArray], view: FrameGeometry, rng: np.random.Generator
) -> list[NDArray]:
    """Keypoints on the target in the first frame, and about where they fall in the second."""
    v, u = np.nonzero(view.depth)
    chosen = rng.choice(len(u), 200)
    first = np.stack([u, v], axis=1)[chosen] + rng.uniform(-0.5, 0.5, (200, 2))
    uv, on, inside, _ = rays_say(witness, data.camera, *T, first)
    second = uv[on & inside & (rng.random(200) < 0.6)]
    return [first, second + rng.normal(0.0, 2.0, second.shape)]


def classes_by_rays(
    witness: Witness, camera: Camera, T: list[NDArray], points: list[NDArray]
) -> tuple[NDArray, NDArray]:
    """Partner of each first keypoint by comparing all with all, and whether it is on the target."""
    seen = [rays_say(witness, camera, T[i], T[1 - i], points[i]) for i in (0, 1)]
    there = np.linalg.norm(seen[0][0][:, None] - points[1][None], axis=2)
    back = np.linalg.norm(seen[1][0][None] - points[0][:, None], axis=2)
    both = seen[0][3][:, None] & seen[1][3][None]
    error = np.where(both, np.maximum(there, back), np.inf)
    best0, best1 = error.argmin(axis=1), error.argmin(axis=0)
    _, on, inside, visible = seen[0]
    truth = np.full(len(points[0]), IGNORED)
    truth[on & ((there.min(axis=1) > 5.0) | (inside & ~visible))] = UNMATCHED
    rows = np.arange(len(truth))
    matched = (error[rows, best0] < 3.0) & (best1[best0] == rows)
    truth[matched] = best0[matched]
    return truth, on


@pytest.mark.parametrize("gap", [1, 10, 30, 60])
def test_agrees_with_ray_casts_of_both_views(
    craft_path: Path, tmp_path_factory: pytest.TempPathFactory, gap: int
) -> None:
    folder = tmp_path_factory.mktemp("gap") / "craft"
    make(craft_path, folder, start=3000, stop=3000 + gap, step=gap, width=512, height=512)
    data = Dataset(folder)
    triangles, _ = load_triangles(data.config.target)
    witness = Witness(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3))
    T = [data.pose(3000), data.pose(3000 + gap)]
    views = [read_geometry(data, 3000), read_geometry(data, 3000 + gap)]

    agreed, kept_silent, fates = [], [], []
    for seed in range(8):
        points = scatter(witness, data, T, views[0], np.random.default_rng([gap, seed]))
        truth, on = classes_by_rays(witness, data.camera, T, points)
        partner = label(*points, *views).side0.partner
        counted = on & (partner != IGNORED)
        agreed += (partner == truth)[counted].tolist()
        plain = on & (truth != IGNORED)
        uv = rays_say(witness, data.camera, *T, points[0])[0]
        for pose_, where in ((T[0], points[0]), (T[1], uv)):
            plain &= ~by_a_jump(depths_around(witness, data.camera, pose_, where), where)
        kept_silent += (partner[plain] == IGNORED).tolist()
        fates += np.minimum(partner, 0).tolist()
    assert min(fates.count(0), fates.count(UNMATCHED)) > 100
    assert np.mean(agreed) >= 0.995
    # It is not right by keeping silent: away from outlines it leaves out little that rays do not.
    assert np.mean(kept_silent) < 0.05


def test_a_frame_seen_twice_matches_itself(pristine: Path) -> None:
    data = Dataset(pristine)
    view = read_geometry(data, 3003)
    v, u = np.nonzero(view.depth)
    keypoints = np.stack([u, v], axis=1)[::17].astype(float)
    keypoints = keypoints[np.lexsort(keypoints.T)]
    truth = label(keypoints, keypoints, view, view)
    assert truth.side0.partner.tolist() == list(range(len(keypoints)))
    judged = judge(truth, np.stack([np.arange(len(keypoints))] * 2, axis=1))
    assert (judged.verdict == Verdict.CORRECT).all()
    assert judged.error.max() < 1e-9
    assert (truth.side0.part > 0).all()


# --- input ----------------------------------------------------------------------------------------


def test_part_labels_take_the_nearest_pixel() -> None:
    parts = np.arange(12, dtype=np.uint8).reshape(3, 4)
    points = [[0.4, 0.4], [0.6, 0.4], [3.4, 2.4], [3.6, 0.0], [-0.4, 1.0], [np.nan, 1.0]]
    assert part_labels(parts, points).tolist() == [0, 1, 11, 0, 4, 0]
    assert part_labels(None, points).tolist() == [0] * 6


def test_part_labels_beyond_255_are_those_of_the_image() -> None:
    parts = np.array([[0, 255, 256], [257, 65535, 300]], dtype=np.uint16)
    points = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    assert part_labels(parts, points).tolist() == [255, 256, 257, 65535, 300]


def empty() -> GroundTruth:
    """No keypoint on the first side."""
    return label(np.zeros((0, 2)), [[3, 4]], flat(), flat())


def test_no_keypoints() -> None:
    truth = empty()
    assert truth.side0.partner.shape == (0,)
    assert truth.side1.partner.tolist() == [UNMATCHED]
    assert judge(truth, np.zeros((0, 2), int)).verdict.shape == (0,)


@pytest.mark.parametrize("pairs", [[[0, 0]], [[0.5, 1.0]], [[1, 2, 3]]])
def test_pairs_that_cannot_be_are_refused(pairs: list[list[int]]) -> None:
    with pytest.raises(InputError, match="pairs"):
        judge(empty(), pairs)


def test_keypoints_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"keypoints of shape \(2, 3\)"):
        label(np.zeros((2, 3)), np.zeros((1, 2)), flat(), flat())


@pytest.mark.parametrize("values", [(0.0, 5.0), (5.0, 3.0), (3.0, np.inf), (3.0, 5.0, -1.0)])
def test_thresholds_out_of_order_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"px"):
        Thresholds(*values)
