"""What a training is made of; each default once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from matchers.registry import DESCRIPTOR_SIZES
from matchers.training.augment import AugmentConfig
from matchers.training.homography import HomographyConfig
from matchers.training.labels import Thresholds
from matchers.training.pairs import Curriculum
from matchers.training.splits import GAPS
from satgen.errors import InputError
from satgen.splits import SplitConfig

MATCHERS = ("lightglue", "superglue")
FEATURES = tuple(DESCRIPTOR_SIZES)
STAGES = ("homography", "pose", "confidence")


class Decay(NamedTuple):
    """A learning rate that is held for a share of the steps and then falls exponentially."""

    hold: float
    end: float

    def factor(self, progress: float) -> float:
        """Of the learning rate after a share of the steps."""
        fallen = max(progress - self.hold, 0.0) / (1.0 - self.hold)
        return float(self.end ** min(fallen, 1.0))


DECAYS: dict[tuple[str, str], Decay] = {
    # 20 of 40 epochs, then a factor of 10 in 10; 30 of 50, then likewise (LightGlue, §4, and code)
    ("lightglue", "homography"): Decay(0.5, 1e-2),
    ("lightglue", "pose"): Decay(0.6, 1e-2),
    ("lightglue", "confidence"): Decay(0.5, 1e-1),
    # 200 of 900 thousand steps, then 0.999998 a step (SuperGlue, appendix)
    ("superglue", "homography"): Decay(0.22, 0.25),
    # there 50 of 900 thousand, then 0.999992: of short trainings too little would be left
    ("superglue", "pose"): Decay(0.5, 1e-2),
}
"""The papers' schedules, by matcher and stage, as shares of the steps."""


@dataclass(frozen=True)
class TrainConfig:
    """A training. Two with the same configuration and datasets go through the same steps.

    Attributes:
        matcher, features: which matcher, of which features.
        dim: numbers in a token.
        layers: LightGlue's layers; SuperGlue's pairs of a self and a cross layer.
        heads: of the attention.
        sinkhorn_iterations: of SuperGlue while it is trained, which remembers each; it matches with
            its own default.
        steps: of the stage "pose".
        homography_steps, confidence_steps: of the other two; None: a quarter and a tenth of it. 0
            homography steps leave that stage out.
        batch: pairs that are computed together.
        accumulate: batches of an optimiser's step.
        max_keypoints: in a frame.
        silhouette: look for keypoints on the target only.
        learning_rate: where it is highest. The papers' 1e-4 is for 10 times the parameters.
        warmup: steps in which it rises to that.
        weight_decay: AdamW's; 0 makes it Adam.
        clip: largest norm of the gradient.
        frames: of a dataset to train on, at most.
        versions: of a frame, see `matchers.training.cache`.
        cache_gb: the frames are fewer where they could take more memory than this.
        validate_every: steps between validations.
        patience: validations without a better F1 after which a stage ends.
        validation_pairs, test_pairs: for each gap and dataset.
        gaps: differences of index of validation and test pairs.
        thresholds: of the labels, by pose.
        curriculum, split, augment, homography: see there.
        seed: of weights and draws.

    Raises:
        InputError: an unknown name or a number out of range.
    """

    matcher: str = "lightglue"
    features: str = "sift"
    dim: int = 128
    layers: int = 9
    heads: int = 4
    sinkhorn_iterations: int = 50
    steps: int = 20000
    homography_steps: int | None = None
    confidence_steps: int | None = None
    batch: int = 4
    accumulate: int = 4
    max_keypoints: int = 512
    silhouette: bool = True
    learning_rate: float = 6e-4
    warmup: int = 500
    weight_decay: float = 1e-4
    clip: float = 1.0
    frames: int = 1500
    versions: int = 3
    cache_gb: float = 4.0
    validate_every: int = 500
    patience: int = 20
    validation_pairs: int = 12
    test_pairs: int = 50
    gaps: tuple[int, ...] = GAPS
    thresholds: Thresholds = field(default_factory=Thresholds)
    curriculum: Curriculum = field(default_factory=Curriculum)
    split: SplitConfig = field(default_factory=SplitConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    homography: HomographyConfig = field(default_factory=HomographyConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("matcher", MATCHERS), ("features", FEATURES)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r}: one of {', '.join(known)}")
        least = {
            "dim": 8, "layers": 1, "heads": 1, "sinkhorn_iterations": 1, "steps": 1, "batch": 1,
            "accumulate": 1, "max_keypoints": 8, "warmup": 0, "frames": 2, "versions": 1,
            "validate_every": 1, "patience": 1, "validation_pairs": 1, "test_pairs": 1, "seed": 0,
        }  # fmt: skip
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} {getattr(self, name)}: must be at least {low}")
        for name, low in (("homography_steps", 0), ("confidence_steps", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"{name} {value}: must be at least {low}")
        for name in ("learning_rate", "clip", "cache_gb"):
            value = getattr(self, name)
            if not (value > 0.0 and math.isfinite(value)):
                raise InputError(f"{name} {value:g}: must be positive")
        if not 0.0 <= self.weight_decay < 1.0:
            raise InputError(f"weight_decay {self.weight_decay:g}: must be at least 0, below 1")
        if self.dim % (2 * self.heads):
            raise InputError(f"dim {self.dim}, heads {self.heads}: dim must be a multiple of twice")
        if not self.gaps or min(self.gaps) < 1:
            raise InputError(f"gaps {self.gaps}: must be at least 1 each")

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of this training, in order; a single layer has nothing to be sure of."""
        first = 1 if self.homography_steps == 0 else 0
        classified = self.matcher == "lightglue" and self.layers > 1
        return STAGES[first:] if classified else STAGES[first:2]

    def stage_steps(self, stage: str) -> int:
        """Steps of a stage."""
        if stage == "homography":
            given = self.homography_steps
            return max(1, self.steps // 4) if given is None else given
        if stage == "confidence":
            return self.confidence_steps or max(1, self.steps // 10)
        return self.steps

    def rate(self, stage: str, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        steps = self.stage_steps(stage)
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.learning_rate * warm * DECAYS[self.matcher, stage].factor(step / steps)

    def to_json(self) -> dict[str, Any]:
        """As train.json has it."""
        return asdict(self)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Keys, dotted, at which two configurations differ."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += [f"{key}.{name}" for name in differences(a, b)]
        elif a != b:
            found.append(key)
    return found
