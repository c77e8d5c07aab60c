"""TAP-Vid's figures of tracks, worked by hand. Its own evaluation gives the same on random ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from bench.tapvid import ABSENCES, NEAR_PX, PointTracks, first_seen, returns, scaled, tapvid_figures


def tracks(visible: list[str], off: list[list[float]] | None = None) -> PointTracks:
    """Tracks of points: for each a text with # where it is seen, and how far to the right it is."""
    shown = np.array([[letter == "#" for letter in text] for text in visible]).T
    xy = np.full((*shown.shape, 2), 100.0)
    if off is not None:
        xy[..., 0] += np.array(off).T
    return PointTracks(xy, shown)


def test_figures_of_a_clip_that_is_worked_by_hand() -> None:
    # Asked for in frame 1, judged in 2 to 5: seen in 2, 3 and 5, hidden in 4. It is said to be seen
    # in 2 (0.5 px off), 4 (a false positive) and 5 (3 px off), and not in 3 (10 px off).
    truth = tracks([".###.#"])
    answer = tracks(["###.##"], [[99.0, 99.0, 0.5, 10.0, 0.0, 3.0]])
    found = tapvid_figures(truth, answer)
    assert found["points"] == 1.0
    assert found["occlusion_accuracy"] == 2 / 4
    assert [found[f"delta_{px}"] for px in NEAR_PX] == [1 / 3, 1 / 3, 2 / 3, 2 / 3, 1.0]
    assert found["delta_avg"] == pytest.approx(0.6)
    # Within 1 and 2 px: one hit by three seen and two false; beyond: two hits, and one false.
    assert [found[f"jaccard_{px}"] for px in NEAR_PX] == [1 / 5, 1 / 5, 2 / 4, 2 / 4, 2 / 4]
    assert found["average_jaccard"] == pytest.approx(0.38)
    # It comes back in frame 5 after one frame, and is found there within 4 px and more.
    assert found["redetections_1"] == 1.0 and found["aj_rd_1"] == pytest.approx(0.6)
    assert found["redetections_4"] == 0.0 and np.isnan(found["aj_rd_4"])
    assert found["aj_rd"] == pytest.approx(0.6)


def test_a_distance_on_the_bound_is_near_only_for_points_that_came_back() -> None:
    found = tapvid_figures(tracks(["#.#"]), tracks(["#.#"], [[0.0, 0.0, 4.0]]))
    assert found["delta_4"] == 0.0 and found["delta_8"] == 1.0
    assert found["aj_rd"] == pytest.approx(3 / 5)


def test_returns_count_after_the_longest_absence_yet() -> None:
    def found(text: str) -> list[tuple[int, int]]:
        return returns(np.array([letter == "#" for letter in text]))

    assert found("##.#.#..#.#") == [(3, 1), (8, 2)]
    assert found("..#") == [(2, 2)]  # it was seen in the frame before
    assert found("##..") == found("####") == found("") == []


def test_absences_are_of_at_least_so_many_frames() -> None:
    # Gone for 1 frame and found again; gone for 20, and not found: AJ of what follows.
    text = "#.#" + 20 * "." + "#"
    found = tapvid_figures(tracks([text]), tracks(["#.#" + 21 * "."]))
    assert [found[f"redetections_{least}"] for least in ABSENCES] == [2.0, 1.0, 1.0, 0.0, 0.0]
    # From frame 2 on it is seen twice and found once; from frame 23 on it is not found.
    assert found["aj_rd_1"] == pytest.approx((0.5 + 0.0) / 2)
    assert found["aj_rd_4"] == found["aj_rd_16"] == 0.0
    assert found["aj_rd"] == pytest.approx(0.25 / 3)


def test_points_that_are_never_seen_and_clips_of_one_frame_say_nothing() -> None:
    found = tapvid_figures(tracks(["..."]), tracks(["###"]))
    assert found["points"] == 0.0
    assert all(np.isnan(found[n]) for n in ("occlusion_accuracy", "average_jaccard", "aj_rd"))
    assert np.isnan(tapvid_figures(tracks(["#"]), tracks(["#"]))["delta_avg"])


def test_pixels_are_counted_from_the_corner_of_an_image_of_256() -> None:
    found = scaled([[-0.5, -0.5], [511.5, 383.5], [255.5, 191.5]], 512, 384)
    np.testing.assert_allclose(found, [[0.0, 0.0], [256.0, 256.0], [128.0, 128.0]])


shown = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(shown, st.integers(0, 2**32 - 1))
def test_the_truth_is_perfect_and_nothing_exceeds_it(visible: NDArray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = PointTracks(rng.uniform(0.0, 256.0, (*visible.shape, 2)), visible)
    perfect = tapvid_figures(truth, truth)
    noise = rng.normal(scale=6.0, size=truth.xy.shape)
    other = tapvid_figures(truth, PointTracks(truth.xy + noise, rng.random(visible.shape) < 0.5))
    for name, value in perfect.items():
        if not (name == "points" or name.startswith("redetections")):
            assert np.isnan(value) or value == 1.0
            assert not other[name] > 1.0
    queries = first_seen(visible)
    assert perfect["points"] == (queries < len(visible)).sum()
