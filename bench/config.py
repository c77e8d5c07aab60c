"""What a run of the matching benchmark compares, on which pairs, and how; each default once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.pose import RansacOptions
from matchers.truth.rules import GAPS, Thresholds
from satgen.errors import InputError
from satgen.settings import check, setting

SWEEPS = {
    "depth-confidence": (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99),
    "width-confidence": (0.7, 0.9, 0.95, 0.99, 0.999),
}
"""Values of LightGlue's α and of its width threshold that `--sweep` runs."""

DEPTH_CONFIDENCE = 0.95
"""LightGlue's α: the share of confident points at which it leaves (§3.3)."""

WIDTH_CONFIDENCE = 0.99
"""Points at least this sure to be unmatchable are pruned (§3.3)."""

GPU_BATCH = 8
"""Pairs that are matched together on a GPU."""

SMALL_PAIRS, SMALL_REPEATS = 4, 1
"""Pairs a gap, and matches of each for its time, without a dataset: results within two minutes."""

TRUTH = "truth"
"""In place of a matcher: all true matches of the keypoints, the most that any could find."""

RATIO = 0.8
"""Of the nearest neighbour's second row (Lowe, IJCV 2004, §7.1)."""


@dataclass(frozen=True)
class Combination:
    """One way of matching.

    Attributes:
        features: name of the extractor.
        matcher: name of the matcher, or `TRUTH`.
        weights: "official", "satgen", a path, or None for the matcher's default.
        depth_confidence, width_confidence: of LightGlue's early exit and pruning; None turns the
            one or the other off.
        ratio: of the nearest neighbour's ratio test; None: mutual only.
    """

    features: str
    matcher: str
    weights: str | None = None
    depth_confidence: float | None = None
    width_confidence: float | None = None
    ratio: float | None = None

    @property
    def adaptive(self) -> bool:
        """Whether early exit or pruning is on."""
        return self.depth_confidence is not None or self.width_confidence is not None

    @property
    def swept(self) -> bool:
        """Whether it is adaptive with other values than the paper's."""
        plain = (DEPTH_CONFIDENCE, WIDTH_CONFIDENCE)
        return self.adaptive and (self.depth_confidence, self.width_confidence) != plain

    @property
    def label(self) -> str:
        """For people."""
        if self.matcher == TRUTH:
            return f"all true matches of {self.features}"
        name = f"{self.matcher} on {self.features}"
        if self.matcher != "lightglue":
            return name if self.ratio is None else f"{name}, ratio {self.ratio:g}"
        if not self.adaptive:
            return f"{name}, full depth"
        depth, width = self._settings
        return f"{name}, α {depth}, width {width}" if self.swept else f"{name}, adaptive"

    @property
    def id(self) -> str:
        """For file names; unique within a run."""
        name = f"{self.features}-{self.matcher}"
        if self.matcher != "lightglue":
            return name if self.ratio is None else f"{name}-r{self.ratio:g}"
        if not self.adaptive:
            return f"{name}-full"
        depth, width = self._settings
        return f"{name}-d{depth}-w{width}"

    @property
    def _settings(self) -> tuple[str, str]:
        values = (self.depth_confidence, self.width_confidence)
        depth, width = ("off" if value is None else f"{value:g}" for value in values)
        return depth, width


@dataclass(frozen=True)
class BenchConfig:
    """A run.

    Attributes:
        matchers, features: every matcher runs on every kind of features.
        weights: of the matchers; None takes each one's default.
        gaps: differences of index between the frames of a pair.
        pairs_per_gap: drawn for each gap and dataset; None takes all consecutive frames instead.
        seed: of the draw, and of RANSAC.
        max_keypoints: in a frame.
        silhouette: look for keypoints on the target only, by the dataset's part labels.
        sweeps: names in `SWEEPS`: LightGlue runs at each of their values besides.
        thresholds: of ground truth.
        ransac: pose estimation.
        repeats: how often a pair is matched for its time, of which the median counts.
        batch: pairs that are matched together, each with its share of the time; None: 1 on a CPU,
            `GPU_BATCH` elsewhere.
        threads: of a process; None takes the cores, or one with several workers.
        device: None for the best there is.
    """

    matchers: tuple[str, ...] = setting(
        ("lightglue",),
        "lightglue, superglue, nearest, or truth: all true matches, the most that the keypoints "
        "allow; may be given again",
        name="matcher",
        many=True,
    )
    features: tuple[str, ...] = setting(
        ("aliked",),
        "sift, aliked (aliked-n16), aliked-n16rot, aliked-t16 or superpoint; may be given again",
        many=True,
        shown="{} if it has been downloaded, else sift",
    )
    weights: str | None = setting(None, "official, satgen, or a file", shown="the best there is")
    gaps: tuple[int, ...] = setting(
        GAPS, "Index difference within a pair; may be given again", name="gap", many=True, low=1
    )
    pairs_per_gap: int | None = setting(
        20,
        "Pairs a gap and dataset, or all (every frame with the next one), or a CSV list",
        name="pairs",
        parse=str,
        metavar="NUMBER|all|FILE",
        shown=f"{{}}; {SMALL_PAIRS} without DATASET",
    )
    seed: int = setting(0, "Of draws", low=0)
    max_keypoints: int = setting(512, "Keypoints in a frame", low=1)
    silhouette: bool = setting(
        True, "Look for keypoints on the target only", name="silhouette/whole-image"
    )
    sweeps: tuple[str, ...] = setting(
        (),
        f"{' or '.join(SWEEPS)}: run LightGlue at several values",
        name="sweep",
        many=True,
    )
    thresholds: Thresholds = field(default_factory=Thresholds)
    ransac: RansacOptions = field(default_factory=RansacOptions)
    repeats: int = setting(
        3,
        "Matches of a pair for its time",
        low=1,
        shown=f"{{}}; --pairs all, or no DATASET: {SMALL_REPEATS}",
    )
    batch: int | None = setting(
        None, "Pairs matched together", low=1, shown=f"1; on a GPU {GPU_BATCH}"
    )
    threads: int | None = setting(None, "Of a process", low=1, shown="the cores")
    device: str | None = setting(None, "cpu, cuda or mps", shown="the best there is")

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("matchers", "features"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise InputError(f"{name} {', '.join(values) or '(none)'}: must be named once each")
        check(self)
        for sweep in self.sweeps:
            if sweep not in SWEEPS:
                raise InputError(f"unknown sweep {sweep!r}: must be one of {', '.join(SWEEPS)}")
        if self.sweeps and "lightglue" not in self.matchers:
            raise InputError(f"--sweep {self.sweeps[0]}: only lightglue can be swept")

    def combinations(self) -> tuple[Combination, ...]:
        """What is run on every pair: LightGlue both at full depth and adaptive, nearest neighbours
        both mutual only and with the ratio test besides."""
        found: list[Combination] = []
        for features in self.features:
            for matcher in self.matchers:
                if matcher == "nearest":
                    found += [Combination(features, matcher, ratio=r) for r in (None, RATIO)]
                    continue
                if matcher == TRUTH:
                    found.append(Combination(features, matcher))
                    continue
                if matcher != "lightglue":
                    found.append(Combination(features, matcher, self.weights))
                    continue
                settings: list[tuple[float | None, float | None]] = [
                    (None, None),
                    (DEPTH_CONFIDENCE, WIDTH_CONFIDENCE),
                ]
                if "depth-confidence" in self.sweeps:
                    settings += [(v, WIDTH_CONFIDENCE) for v in SWEEPS["depth-confidence"]]
                if "width-confidence" in self.sweeps:
                    settings += [(DEPTH_CONFIDENCE, v) for v in SWEEPS["width-confidence"]]
                found += [
                    Combination(features, matcher, self.weights, *setting) for setting in settings
                ]
        return tuple(dict.fromkeys(found))

    def to_json(self) -> dict[str, Any]:
        """What run.json holds."""
        return asdict(self)


def combination_json(combination: Combination) -> dict[str, Any]:
    """A combination as run.json holds it."""
    return {
        "id": combination.id,
        "label": combination.label,
        **asdict(combination),
        "adaptive": combination.adaptive,
        "swept": combination.swept,
    }


def none_to_nan(value: float | None) -> float:
    """For columns of numbers."""
    return math.nan if value is None else value
