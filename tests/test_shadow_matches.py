"""bench.shadow_matches: which matches lie on edges that moved, and the pose without them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.pose import FrameMatches, RansacOptions
from bench.shadow_matches import SHADOW_COLUMNS, MovingEdges, shadow_figures
from matchers.truth.frame import FrameGeometry
from satgen.frame import Frame, TwoViews
from satgen.shadow_edges import moving_edges
from satgen.single_frame import close_renderers, render_frame


@pytest.fixture(scope="module")
def frames(craft_path: Path) -> tuple[Frame, Frame]:
    """Two frames of a craft, two degrees apart, in the light of two suns."""
    found = tuple(
        render_frame(craft_path, index, sun=sun, size=128, shadow=True)
        for index, sun in ((3000, "body:60,50"), (3004, "body:95,35"))
    )
    close_renderers()
    return found  # type: ignore[return-value]


def geometry_of(frame: Frame) -> FrameGeometry:
    return FrameGeometry(frame.depth, frame.K, frame.pose, frame.parts)


def true_matches(a: Frame, b: Frame, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a that b shows, every so many, and where they are in b."""
    flow = TwoViews(a, b).flow
    v, u = np.nonzero(flow.visible)
    points = np.stack([u, v], axis=-1)[::step].astype(float)
    return points, points + flow.flow[v, u][::step]


def test_matches_on_an_edge_of_either_frame_are_found(frames: tuple[Frame, Frame]) -> None:
    a, b = frames
    points0, points1 = true_matches(a, b, 3)
    found = MovingEdges(a, b).have(points0, points1)
    # by brute force: the least distance to any pixel of a moving edge
    expected = np.zeros(len(found), dtype=bool)
    for points, edges in ((points0, moving_edges(a, b)), (points1, moving_edges(b, a))):
        v, u = np.nonzero(edges)
        pixels = np.stack([u, v], axis=-1)
        expected |= (
            np.linalg.norm(np.rint(points)[:, None] - pixels[None], axis=2).min(axis=1) <= 3.0
        )
    assert np.array_equal(found, expected)
    assert 0 < found.sum() < 0.6 * len(found)
    assert not MovingEdges(a, a).have(points0, points1).any()


def test_matches_that_moved_with_the_shadow_bias_the_pose(frames: tuple[Frame, Frame]) -> None:
    a, b = frames
    points0, points1 = true_matches(a, b, 5)
    on_edge = MovingEdges(a, b).have(points0, points1)
    biased = points1 + np.where(on_edge[:, None], [2.0, 1.0], 0.0)  # within the inliers' bound
    geometry = geometry_of(a), geometry_of(b)
    matches = FrameMatches.of(points0, biased, *geometry)
    absolute = matches.absolute(RansacOptions())
    found = shadow_figures(matches, on_edge, absolute, RansacOptions())
    assert tuple(found) == SHADOW_COLUMNS
    assert found["shadow_edge_matches"] == pytest.approx(on_edge.mean())
    assert 0.0 < found["shadow_edge_inliers"] <= 1.0
    # without them the pose is right; without as many others it is not
    assert found["pnp_rotation_error_off_edges_deg"] < 0.02
    assert found["pnp_rotation_error_fewer_deg"] > 3.0 * found["pnp_rotation_error_off_edges_deg"]


def test_no_match_at_all(frames: tuple[Frame, Frame]) -> None:
    a, b = frames
    none = np.zeros((0, 2))
    on_edge = MovingEdges(a, b).have(none, none)
    geometry = geometry_of(a), geometry_of(b)
    matches = FrameMatches.of(none, none, *geometry)
    absolute = matches.absolute(RansacOptions())
    found = shadow_figures(matches, on_edge, absolute, RansacOptions())
    assert found["shadow_edge_matches"] == found["shadow_edge_inliers"] == 0.0
    assert np.isinf(found["pnp_rotation_error_off_edges_deg"])


def test_the_benchmark_tells_of_them(tmp_path: Path, craft_path: Path) -> None:
    from click.testing import CliRunner

    from satgen.cli import main

    def run(*words: object) -> str:
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.stdout

    data, out = tmp_path / "craft", tmp_path / "run"
    run(
        "render", "--target", craft_path, "--start", 3000, "--stop", 3004, "--size", 128,
        "--sun", "random:20,80,1", "--shadow", "--workers", 0, "--out", data, "--quiet",
    )  # fmt: skip
    text = run(
        "bench", data, "--matcher", "nearest", "--features", "sift", "--gap", 2, "--pairs", 2,
        "--repeats", 1, "--threads", 1, "--device", "cpu", "--out", out, "--quiet",
    )  # fmt: skip
    assert "on moving edges of shadows" in text and "off edges" in text
    overall = json.loads((out / "results.json").read_text())["combinations"][0]["overall"]
    assert 0.0 <= overall["shadow_edge_matches"] <= 1.0
    assert "auc_5deg_off_edges" in overall and "auc_5deg_fewer" in overall
    assert "Edges of shadows that move" in (out / "report.html").read_text()
