"""Holds what matchers found in a pair against the truth: the part of a run that needs no network.

Keypoints and matches come to it as plain arrays, so that it can be at work in processes beside the
one that matches.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.columns import (
    MatchOutcome,
    absolute_figures,
    pair_columns,
    relative_figures,
    truth_figures,
    view_angle_deg,
)
from bench.config import BenchConfig, Combination
from bench.frame_store import FrameStore
from bench.metrics import agreement
from bench.pose import FrameMatches, RansacOptions
from bench.posed import PosedPair
from bench.shadow_matches import MovingEdges, shadow_figures
from matchers.truth.exact import label
from matchers.truth.frame import FrameGeometry
from matchers.truth.pairs import Pair
from matchers.truth.roll import carry, roll_matrix
from matchers.truth.rules import Thresholds
from satgen.atomic import write_atomic
from satgen.dataset import Dataset, described_images
from satgen.geometry import Floats

if TYPE_CHECKING:
    from bench.lineup import Lineup
    from satgen.frame import Frame

Row = dict[str, Any]

OF_DETECTED = ("num_true_matches", "recall", "f1", "matching_score")
"""Columns that say something of keypoints that were not matched."""


@dataclass(frozen=True)
class FeatureMatches:
    """What every matcher of one kind of features found in a pair, or one matcher of images.

    Attributes:
        features: their name; "" of a matcher of images.
        keypoints0, keypoints1: (N, 2) float64 pixels of the images as they were matched.
        extract_ms: time that both images' features took; NaN where it is part of the matching.
        outcomes: of the matchers.
        detected: the keypoints are all that were detected; else they are only the points that were
            matched, and what was not found is not known.
    """

    features: str
    keypoints0: Floats
    keypoints1: Floats
    extract_ms: float
    outcomes: dict[Combination, MatchOutcome]
    detected: bool = True


@dataclass(frozen=True)
class MatchedFrames:
    """A pair of one dataset's frames, matched.

    Attributes:
        dataset: folder of the frames.
        pair: which.
        found: for each kind of features.
        keep: folder to write the matches into; None: they are not kept.
    """

    dataset: Path
    pair: Pair
    found: tuple[FeatureMatches, ...]
    keep: Path | None


@dataclass(frozen=True)
class MatchedImages:
    """A pair of images of another benchmark, matched.

    Attributes:
        name: of its list.
        number: place in the list.
        pair: cameras and poses are those of the images brought upright.
        found: for each kind of features.
    """

    name: str
    number: int
    pair: PosedPair
    found: tuple[FeatureMatches, ...]


Matched = MatchedFrames | MatchedImages


@dataclass(frozen=True)
class JudgeSettings:
    """How pairs are judged.

    Attributes:
        combinations: in their order.
        unadapted: of each adaptive one the one that always does all the work.
        thresholds: of ground truth.
        ransac: how poses are estimated.
    """

    combinations: tuple[Combination, ...]
    unadapted: tuple[tuple[Combination, Combination], ...]
    thresholds: Thresholds
    ransac: RansacOptions

    @classmethod
    def of(cls, config: BenchConfig, lineup: Lineup) -> JudgeSettings:
        """Those of a run."""
        unadapted = tuple(lineup.unadapted.items())
        return cls(lineup.combinations, unadapted, config.thresholds, config.ransac)


def judged(settings: JudgeSettings, matched: Matched) -> list[Row]:
    """The rows of a pair, in a process that keeps its frames for the next one."""
    return _judge(settings).rows(matched)


@lru_cache(maxsize=1)
def _judge(settings: JudgeSettings) -> PairJudge:
    return PairJudge(settings, FrameStore())


class PairJudge:
    """Judges pairs.

    Args:
        settings: how.
        frames: of the datasets.
    """

    def __init__(self, settings: JudgeSettings, frames: FrameStore) -> None:
        self._settings, self._store = settings, frames
        self._unadapted = dict(settings.unadapted)

    def rows(self, matched: Matched) -> list[Row]:
        """A row for each combination."""
        if isinstance(matched, MatchedImages):
            return [row for found in matched.found for row in self._images(matched, found)]
        return [row for found in matched.found for row in self._frames(matched, found)]

    def _frames(self, matched: MatchedFrames, found: FeatureMatches) -> Iterator[Row]:
        """The rows of one kind of features."""
        pair, settings = matched.pair, self._settings
        data = self._store.dataset(matched.dataset)
        a, b = (self._store.frame(matched.dataset, i) for i in (pair.index0, pair.index1))
        frame0, frame1 = _geometry_of(a), _geometry_of(b)
        classes = part_classes(data)
        edges = MovingEdges(a, b) if "shadow" in described_images(data.description) else None
        frame = data.frames.loc[data.frames["index"] == pair.index0].iloc[0]
        T0, T1 = frame0.T_cam_target, frame1.T_cam_target
        common = {
            "dataset": pair.dataset,
            "target": data.name,
            "index0": pair.index0,
            "index1": pair.index1,
            "gap": pair.gap,
            "roll_gap_deg": pair.roll_deg,
            "view_angle_deg": view_angle_deg(T0, T1),
            "phase_deg": float(frame["phase_deg"]),
            "elevation_deg": float(frame["elevation_deg"]),
        }
        keypoints0, keypoints1 = found.keypoints0, found.keypoints1
        if pair.roll_deg:  # back into the frame, whose truth is known
            H = roll_matrix(frame1.K[:2, 2], pair.roll_deg)
            keypoints1 = carry(np.linalg.inv(H), keypoints1)
        truth = label(keypoints0, keypoints1, frame0, frame1, settings.thresholds)
        outcomes = dict(found.outcomes)
        for combination in settings.combinations:
            if combination.is_truth and combination.features == found.features:
                count = len(keypoints0) + len(keypoints1)
                outcomes[combination] = MatchOutcome.of_truth(truth, count)
        for combination, outcome in outcomes.items():
            points0, points1 = keypoints0[outcome.pairs[:, 0]], keypoints1[outcome.pairs[:, 1]]
            row, verdicts = truth_figures(truth, outcome, classes)
            if not found.detected:
                row |= dict.fromkeys(OF_DETECTED, math.nan)
            if matched.keep is not None:
                file = match_file(matched.keep, combination.id, pair)
                save_matches(file, found, outcome, verdicts.verdict)
            ransac = settings.ransac
            matches = FrameMatches.of(points0, points1, frame0, frame1)
            absolute = matches.absolute(ransac)
            if edges is not None:
                on_edge = edges.have(points0, points1)
                row |= shadow_figures(matches, on_edge, absolute, ransac)
            yield (
                common
                | pair_columns(combination, outcome)
                | row
                | relative_figures(
                    matches.x0, matches.x1, frame0.K, frame1.K, matches.truth, ransac
                )
                | absolute_figures(absolute, T1)
                | self._last_columns(combination, outcomes, found)
            )

    def _images(self, matched: MatchedImages, found: FeatureMatches) -> Iterator[Row]:
        """The rows of one kind of features: pose and epipolar figures only."""
        pair = matched.pair
        angle = view_angle_deg(np.eye(4), pair.T_0to1)
        for combination, outcome in found.outcomes.items():
            points0 = found.keypoints0[outcome.pairs[:, 0]]
            points1 = found.keypoints1[outcome.pairs[:, 1]]
            yield (
                {
                    "dataset": matched.name,
                    "target": "",
                    "index0": matched.number,
                    "index1": matched.number,
                    "gap": 0,
                    "roll_gap_deg": 0.0,
                    "view_angle_deg": angle,
                }
                | pair_columns(combination, outcome)
                | {
                    "num_keypoints0": len(found.keypoints0),
                    "num_keypoints1": len(found.keypoints1),
                    "num_matches": len(outcome.pairs),
                }
                | relative_figures(
                    points0, points1, pair.K0, pair.K1, pair.T_0to1, self._settings.ransac
                )
                | self._last_columns(combination, found.outcomes, found)
            )

    def _last_columns(
        self,
        combination: Combination,
        outcomes: Mapping[Combination, MatchOutcome],
        found: FeatureMatches,
    ) -> Row:
        """Work, time of extraction, and agreement with the matcher that does not adapt."""
        outcome, full = outcomes[combination], self._unadapted.get(combination)
        alike = float("nan")
        if full is not None:
            alike = agreement(outcome.pairs, outcomes[full].pairs)
        return {**outcome.work, "extract_ms": found.extract_ms, "agreement": alike}


def _geometry_of(frame: Frame) -> FrameGeometry:
    distortion = frame.camera.distortion
    return FrameGeometry(frame.depth, frame.K, frame.pose, frame.parts, distortion)


def part_classes(data: Dataset) -> dict[int, str]:
    """Class by part label."""
    return {int(k): str(part["class"]) for k, part in data.description["parts"].items()}


def match_file(folder: Path, combination: str, pair: Pair) -> Path:
    """Where the matches of a pair are kept."""
    roll = f"_roll{pair.roll_deg:g}" if pair.roll_deg else ""
    return folder / combination / f"{pair.dataset}_{pair.index0:06d}_{pair.index1:06d}{roll}.npz"


def has_matches(path: Path) -> bool:
    """Whether matches are there as they were written, which a power cut may undo."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError):
        return False


def save_matches(
    path: Path, found: FeatureMatches, outcome: MatchOutcome, verdict: Floats | Any
) -> None:
    """Keypoints, matches, scores and verdicts of a pair, as .npz, atomically."""
    data = io.BytesIO()
    np.savez_compressed(
        data,
        keypoints0=found.keypoints0.astype(np.float32),
        keypoints1=found.keypoints1.astype(np.float32),
        matches=outcome.pairs.astype(np.int32),
        scores=outcome.scores,
        verdict=np.asarray(verdict, dtype=np.int8),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data.getvalue())
