"""What a run of the matching benchmark compares, on which pairs, and how; each default once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bench.pose import RansacOptions
from matchers.specs import (
    FEATURES_CHOICE,
    GPU_BATCH,
    MATCHER_CHOICE,
    MATCHERS,
    MOST_KEYPOINTS,
    FeaturesSpec,
    MatcherSpec,
    Variant,
    features_spec,
    file_name,
    matcher_spec,
    name_of,
)
from matchers.truth.rules import GAPS, Thresholds
from satgen.errors import InputError
from satgen.settings import SEEDS, check, numbers, setting

SMALL_PAIRS, SMALL_REPEATS = 4, 1
"""Pairs a gap, and matches of each for its time, without a dataset: results within two minutes."""

TRUTH = "truth"
"""In place of a matcher: all true matches of the keypoints, the most that any could find."""


PLAIN = Variant()


@dataclass(frozen=True)
class Combination:
    """One way of matching: features, a matcher on them, its weights and variant.

    Attributes:
        features: name of the extractor; "" where the matcher takes images.
        matcher: name of the matcher, or `TRUTH`.
        weights: "official", "satgen", a path, or None for the matcher's default.
        variant: of the matcher.
    """

    features: str
    matcher: str
    weights: str | None = None
    variant: Variant = PLAIN

    @property
    def is_truth(self) -> bool:
        """Whether all true matches stand in place of a matcher's."""
        return self.matcher == TRUTH

    @property
    def adaptive(self) -> bool:
        """Whether the matcher does less work where that will do."""
        return self.variant.adaptive

    @property
    def swept(self) -> bool:
        """Whether it is one of a sweep's."""
        return self.variant.swept

    @property
    def options(self) -> dict[str, Any]:
        """Fields of the matcher's configuration, with values."""
        return dict(self.variant.options)

    def without_adapting(self, other: Combination) -> bool:
        """Whether another is the same but that it always does all the work."""
        mine = (self.features, self.matcher, self.weights)
        return (other.features, other.matcher, other.weights) == mine and not other.adaptive

    @property
    def label(self) -> str:
        """Its name in tables, plots and the report."""
        if self.is_truth:
            return f"all true matches of {self.features}"
        name = f"{self.matcher} on {self.features}" if self.features else self.matcher
        return f"{name}, {self.variant.label}" if self.variant.label else name

    @property
    def id(self) -> str:
        """Its name for files; unique within a run."""
        name = file_name("-".join(filter(None, (self.features, self.matcher))))
        return f"{name}-{self.variant.id}" if self.variant.id else name


@dataclass(frozen=True)
class BenchConfig:
    """What a run of the benchmark compares, on which pairs, and how.

    Attributes:
        matchers, features: every matcher runs on every kind of features, but for those that take
            images, which run on these. Names; in Python also whatever `matchers.specs` takes in
            their place.
        weights: of the matchers; None takes each one's default.
        features_weights: files of extractors' weights, each alone or as FEATURES=FILE; see
            `weights_of`.
        gaps: differences of index between the frames of a pair.
        roll_gaps: degrees that the second image of a pair is rolled by about the optical axis (its
            content turns clockwise); every pair is matched at each of them. The image is turned,
            the truth is exact: see `matchers.truth.roll`.
        pairs_per_gap: drawn for each gap and dataset; None takes all consecutive frames instead.
        seed: of the draw, and of RANSAC.
        max_keypoints: in a frame.
        clip: with all consecutive frames, how many of them a clip has in which points are carried
            along the matches, as TAP-Vid judges tracks.
        silhouette: look for keypoints on the target only, by the dataset's part labels.
        sweeps: of a matcher (`MatcherSpec.sweeps`): it runs at each of their values besides.
        thresholds: of ground truth.
        ransac: pose estimation.
        repeats: how often a pair is matched for its time, of which the median counts.
        batch: pairs that are matched together, each with its share of the time; None: 1 on a CPU,
            `GPU_BATCH` elsewhere.
        threads: of a process; None takes the cores, or one with several workers.
        device: None for the best there is.
    """

    matchers: tuple[Any, ...] = setting(
        ("lightglue",),
        f"{MATCHER_CHOICE}, or truth: all true matches, the most that the keypoints allow; may be "
        "given again",
        name="matcher",
        many=True,
        parse=str,
        metavar="TEXT",
    )
    features: tuple[Any, ...] = setting(
        ("aliked",),
        f"{FEATURES_CHOICE}; may be given again",
        many=True,
        parse=str,
        metavar="TEXT",
        shown="{} if it has been downloaded, else sift",
    )
    weights: str | None = setting(
        None, "The matcher's: official, satgen, or a file", shown="the best there is"
    )
    features_weights: tuple[str, ...] = setting(
        (),
        "The extractor's weights, of several kinds of features for one; may be given again",
        many=True,
        metavar="[FEATURES=]FILE",
    )
    gaps: tuple[int, ...] = setting(
        GAPS,
        "Index difference within a pair; may be given again",
        name="gap",
        many=True,
        low=1,
        high=8099,
    )
    roll_gaps: tuple[float, ...] = setting(
        (0.0,),
        "Rolls of the second image about the optical axis; each pair is matched at each",
        name="roll-gap",
        unit="degrees",
        metavar="A,B,...",
        parse=numbers,
        low=-360.0,
        high=360.0,
    )
    pairs_per_gap: int | None = setting(
        20,
        "Pairs a gap and dataset, or all (every frame with the next one), or a CSV list",
        name="pairs",
        parse=str,
        low=1,
        high=1e6,
        metavar="NUMBER|all|FILE",
        shown=f"{{}}; {SMALL_PAIRS} without DATASET",
    )
    seed: int = setting(0, "Seed of the draws of pairs", low=0, below=SEEDS)
    max_keypoints: int = setting(512, "Keypoints in a frame", low=1, high=MOST_KEYPOINTS)
    clip: int = setting(
        240,
        "Of --pairs all: frames of a clip in which points are carried along the matches",
        low=2,
        high=8100,
    )
    silhouette: bool = setting(
        True, "Look for keypoints on the target only", name="silhouette/whole-image"
    )
    sweeps: tuple[str, ...] = setting(
        (),
        "depth-confidence or width-confidence: run LightGlue at several values",
        name="sweep",
        many=True,
    )
    thresholds: Thresholds = field(default_factory=Thresholds)
    ransac: RansacOptions = field(default_factory=RansacOptions)
    repeats: int = setting(
        3,
        "Matches of a pair for its time",
        low=1,
        high=1000,
        shown=f"{{}}; --pairs all, or no DATASET: {SMALL_REPEATS}",
    )
    batch: int | None = setting(
        None, "Pairs matched together", low=1, high=1024, shown=f"1; on a GPU {GPU_BATCH}"
    )
    threads: int | None = setting(None, "Threads of a process", low=1, high=1024, shown="the cores")
    device: str | None = setting(None, "cpu, cuda or mps", shown="the best there is")

    def __post_init__(self) -> None:
        """Refuse numbers and names that make no sense."""
        for name in ("matchers", "features"):
            values = [name_of(value) for value in getattr(self, name)]
            if not values or len(set(values)) != len(values):
                raise InputError(f"{name} {', '.join(values) or '(none)'}: must be named once each")
        check(self)
        if not self.roll_gaps or len(set(self.roll_gaps)) != len(self.roll_gaps):
            shown = ",".join(f"{roll:g}" for roll in self.roll_gaps)
            raise InputError(f"roll_gaps {shown or '(none)'}: must be named once each")
        if self.pairs_per_gap is None and any(self.roll_gaps):
            raise InputError("roll_gaps of all pairs: tracks are followed in upright frames only")
        if self.pairs_per_gap is None and self.image_matchers():
            raise InputError(
                f"all pairs with matcher {self.image_matchers()[0]}: tracks are of keypoints that "
                "a frame has, whichever it is matched with"
            )
        if self.sweeps:
            self._check_sweeps()

    def _check_sweeps(self) -> None:
        able = {sweep for spec in self.matcher_specs().values() for sweep in spec.sweeps}
        known = {sweep: name for name in MATCHERS for sweep in matcher_spec(name).sweeps}
        for sweep in self.sweeps:
            if sweep not in able | known.keys():
                raise InputError(f"unknown sweep {sweep!r}: must be one of {', '.join(known)}")
            if sweep not in able:
                raise InputError(f"--sweep {sweep}: only {known[sweep]} can be swept")

    def matcher_specs(self) -> dict[str, MatcherSpec]:
        """The matchers by name, without `TRUTH`.

        Raises:
            InputError: one that there is not.
        """
        return {name_of(given): matcher_spec(given) for given in self.matchers if given != TRUTH}

    def image_matchers(self) -> list[str]:
        """Names of the matchers that take images."""
        return [name for name, spec in self.matcher_specs().items() if spec.takes_images]

    def used_features(self) -> dict[str, FeaturesSpec]:
        """The features by name; none where no matcher has a use for them.

        Raises:
            InputError: some that there are not.
        """
        used = len(self.image_matchers()) < len(self.matchers)
        return self.features_specs() if used else {}

    def features_specs(self) -> dict[str, FeaturesSpec]:
        """The features by name.

        Raises:
            InputError: some that there are not.
        """
        return {name_of(given): features_spec(given) for given in self.features}

    def weights_of(self, features: str) -> str | None:
        """The file of an extractor's weights that was named, if one was.

        A file without a name is for all features that have weights.
        """
        specs = self.features_specs()
        found = None
        for given in self.features_weights:
            name, sign, path = given.partition("=")
            if not sign or name not in specs:
                found = given
            elif name == features:
                return path
        return found if specs[features].weighted else None

    def combinations(self) -> tuple[Combination, ...]:
        """What is run on every pair: each matcher in all its variants, and those of the sweeps."""
        specs = self.matcher_specs()
        found: list[Combination] = []
        for features in map(name_of, self.features):
            for matcher in map(name_of, self.matchers):
                if matcher == TRUTH:
                    found.append(Combination(features, matcher))
                    continue
                spec = specs[matcher]
                if spec.takes_images:
                    continue
                weights = self.weights if spec.weighted else None
                variants = [*spec.variants]
                for sweep in self.sweeps:
                    variants += spec.sweeps.get(sweep, ())
                found += [Combination(features, matcher, weights, v) for v in variants]
        for matcher in self.image_matchers():
            found += [Combination("", matcher, None, v) for v in specs[matcher].variants]
        return tuple(dict.fromkeys(found))

    def to_json(self) -> dict[str, Any]:
        """What run.json holds: names of what was given otherwise."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("matchers", "features"):
            values[name] = tuple(map(name_of, values[name]))
        return values | {name: asdict(values[name]) for name in ("thresholds", "ransac")}


def combination_json(combination: Combination) -> dict[str, Any]:
    """A combination as run.json holds it."""
    return {
        **combination.options,
        "id": combination.id,
        "label": combination.label,
        "setting": combination.variant.setting or combination.variant.label,
        "features": combination.features,
        "matcher": combination.matcher,
        "weights": combination.weights,
        "adaptive": combination.adaptive,
        "swept": combination.swept,
    }


def none_to_nan(value: float | None) -> float:
    """The value, NaN for None, as columns of numbers need it."""
    return math.nan if value is None else value
