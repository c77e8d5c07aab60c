"""The figures of one pair of images and one way of matching them: a row of the result table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.config import Combination, none_to_nan
from bench.metrics import (
    confusions,
    epipolar_errors,
    epipolar_precision,
    inlier_ratio,
    pair_figures,
    part_counts,
)
from bench.pose import (
    Estimate,
    RansacOptions,
    absolute_pose_error,
    pose_error_deg,
    relative_pose,
    relative_pose_error,
)
from matchers.truth.exact import GroundTruth, PairTruth, judge
from satgen.geometry import Floats, geodesic

if TYPE_CHECKING:
    from matchers.types import Adaptation, Features, Matches


@dataclass(frozen=True)
class MatchOutcome:
    """What a matcher found in a pair.

    Attributes:
        pairs: (K, 2) int64 rows of the keypoints.
        scores: (K,) float32.
        match_ms: median time.
        work: of `work_figures`.
    """

    pairs: NDArray[np.int64]
    scores: NDArray[np.float32]
    match_ms: float
    work: dict[str, Any]

    @classmethod
    def of(
        cls,
        matches: Matches,
        match_ms: float,
        keypoints: int,
        count: Callable[[Adaptation | None], tuple[float, float]] | None,
    ) -> MatchOutcome:
        """The outcome of a matcher's answer.

        Args:
            matches: the answer.
            match_ms: median time.
            keypoints: of both images.
            count: counts operations, see `work_figures`; None: they are not known.
        """
        adaptation = None if matches.adaptation is None else matches.adaptation.to("cpu")
        operations = None if count is None else count(adaptation)
        return cls(
            matches.indices.cpu().numpy().astype(np.int64),
            matches.scores.float().cpu().numpy(),
            match_ms,
            work_figures(keypoints, adaptation, operations),
        )

    @classmethod
    def of_truth(cls, truth: GroundTruth, keypoints: int) -> MatchOutcome:
        """The outcome of all true matches of both images' keypoints, which nothing had to find."""
        partner = truth.side0.partner
        rows = np.flatnonzero(partner >= 0)
        pairs = np.stack([rows, partner[rows]], axis=1)
        scores = np.ones(len(pairs), dtype=np.float32)
        return cls(pairs, scores, math.nan, work_figures(keypoints, None, None))


def pixels_of(features: Features) -> Floats:
    """The keypoints (N, 2) as float64 pixels."""
    return np.asarray(features.keypoints.cpu().numpy(), dtype=np.float64)


def truth_figures(
    truth: GroundTruth, outcome: MatchOutcome, classes: Mapping[int, str]
) -> tuple[dict[str, Any], PairTruth]:
    """Columns that need depth, and the verdicts."""
    judged = judge(truth, outcome.pairs)
    row: dict[str, Any] = dict(pair_figures(truth, outcome.pairs, judged))
    row["parts"] = json.dumps(part_counts(truth, outcome.pairs, judged, classes))
    wrong = confusions(truth, outcome.pairs, judged, classes)
    row["confusions"] = json.dumps([[a, b, count] for (a, b), count in sorted(wrong.items())])
    return row, judged


def relative_figures(
    points0: Floats, points1: Floats, K0: Floats, K1: Floats, T_0to1: Floats, ransac: RansacOptions
) -> dict[str, float]:
    """Columns of the relative pose, from matched pixels (K, 2) of either image, undistorted."""
    estimate = relative_pose(points0, points1, K0, K1, ransac)
    error = relative_pose_error(estimate, T_0to1)
    return {
        "epipolar_precision": epipolar_precision(epipolar_errors(points0, points1, K0, K1, T_0to1)),
        "inlier_ratio": inlier_ratio(None if estimate is None else estimate.inliers),
        "rotation_error_deg": error.rotation_deg,
        "translation_error_deg": error.translation,
        "pose_error_deg": pose_error_deg(error),
    }


def absolute_figures(estimate: Estimate | None, T_cam_target: Floats) -> dict[str, float]:
    """Columns of the second frame's pose, whose true one is `T_cam_target`."""
    error = absolute_pose_error(estimate, T_cam_target)
    return {
        "pnp_rotation_error_deg": error.rotation_deg,
        "pnp_translation_error_mm": error.translation,
    }


def work_figures(
    keypoints: int, adaptation: Adaptation | None, operations: tuple[float, float] | None
) -> dict[str, Any]:
    """Columns of early exit and pruning, and of operations.

    Args:
        keypoints: of both images.
        adaptation: what the matcher says of it, if it adapts.
        operations: spent on the pair, and without adapting; None: not known.
    """
    spent, full = operations or (math.nan, math.nan)
    row: dict[str, Any] = {
        "stop_layer": math.nan,
        "num_layers": math.nan,
        "pruned_fraction": math.nan,
        "points_per_layer": [],
    }
    if adaptation is not None:
        alive = adaptation.alive
        left = sum(alive[-1]) if alive else 0
        row = {
            "stop_layer": adaptation.stop_layer,
            "num_layers": adaptation.num_layers,
            "pruned_fraction": 1.0 - left / keypoints if alive else 0.0,
            "points_per_layer": [a + b for a, b in alive],
        }
    return row | {"flops": spent, "flops_full": full}


def pair_columns(combination: Combination, outcome: MatchOutcome) -> dict[str, Any]:
    """Columns that say what was run, and how long it took."""
    return {
        "combination": combination.id,
        "features": combination.features,
        "matcher": combination.matcher,
        "weights": combination.weights or "",
        "adaptive": combination.adaptive,
        "depth_confidence": none_to_nan(combination.options.get("depth_confidence")),
        "width_confidence": none_to_nan(combination.options.get("width_confidence")),
        "match_ms": outcome.match_ms,
    }


def view_angle_deg(T_a: Floats, T_b: Floats) -> float:
    """Rotation between two poses (4, 4), degrees."""
    return float(np.degrees(geodesic(T_a[:3, :3], T_b[:3, :3])))
