"""Matches on edges of shadows that move over the body, and what they do to the pose.

A cast shadow's edge looks like a mark on the surface, but it is one of the light: where the sun has
turned against the body it lies elsewhere, and what is matched along with it is another point of the
body. Datasets rendered with `--shadow` say which edges have moved (`satgen.shadow_edges`).

Leaving matches out costs accuracy by itself. So the poses without those on moving edges are held
against poses without as many others, drawn at random: what is left of the difference is the bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.pose import (
    Estimate,
    FrameMatches,
    RansacOptions,
    absolute_pose_error,
    pose_error_deg,
    relative_pose_error,
)
from satgen.geometry import Bools, Floats
from satgen.shadow_edges import distance_to, moving_edges, near

if TYPE_CHECKING:
    from satgen.frame import Frame

NEAR_PX = 3.0
"""A match is on a moving edge where either of its keypoints is so near to one: about as far as the
pixels reach that decide where a keypoint is."""

SHADOW_COLUMNS = (
    "shadow_edge_matches", "shadow_edge_inliers", "pose_error_off_edges_deg",
    "pose_error_fewer_deg", "pnp_rotation_error_off_edges_deg", "pnp_rotation_error_fewer_deg",
)  # fmt: skip
"""Columns of `shadow_figures`."""


class MovingEdges:
    """The edges of shadows that have moved from one frame to the other, whatever is matched there.

    Args:
        a, b: frames with shadow labels.

    Raises:
        InputError: there are no shadow labels, or the frames are of two targets.
    """

    def __init__(self, a: Frame, b: Frame) -> None:
        self._distances = distance_to(moving_edges(a, b)), distance_to(moving_edges(b, a))

    def have(self, points0: Floats, points1: Floats) -> Bools:
        """Which matches (K,) lie on such an edge.

        Args:
            points0, points1: (K, 2) matched pixels of frame a and of frame b.
        """
        in_a, in_b = self._distances
        return near(in_a, points0, NEAR_PX) | near(in_b, points1, NEAR_PX)


def shadow_figures(
    matches: FrameMatches, on_edge: Bools, absolute: Estimate | None, ransac: RansacOptions
) -> dict[str, float]:
    """Columns about the matches on moving edges: `SHADOW_COLUMNS`.

    The share of the matches, and of the inliers of the absolute pose; 0 where there are none. Then
    the errors, in degrees, of the relative pose and of the absolute one's rotation from the matches
    that are off the edges ("off_edges"), and from all without as many at random ("fewer").

    Args:
        matches: K of them.
        on_edge: (K,) bool, of `MovingEdges`.
        absolute: the absolute pose from all of them.
        ransac: how poses are estimated.
    """

    def errors(keep: Bools) -> tuple[float, float]:
        some = matches.those(keep)
        return (
            pose_error_deg(relative_pose_error(some.relative(ransac), some.truth)),
            absolute_pose_error(some.absolute(ransac), some.frame1.T_cam_target).rotation_deg,
        )

    fewer = np.ones(len(on_edge), dtype=bool)
    rng = np.random.default_rng(ransac.seed)
    fewer[rng.permutation(len(on_edge))[: np.count_nonzero(on_edge)]] = False
    inliers = np.zeros(len(on_edge), dtype=bool) if absolute is None else absolute.inliers
    off, other = errors(~on_edge), errors(fewer)
    values = (_share(on_edge), _share(on_edge[inliers]), off[0], other[0], off[1], other[1])
    return dict(zip(SHADOW_COLUMNS, values, strict=True))


def _share(of: Bools) -> float:
    return float(of.mean()) if of.size else 0.0
