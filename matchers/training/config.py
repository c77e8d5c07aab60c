"""What a training is made of; each default once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from matchers.specs import FEATURES_CHOICE, features_spec, matcher_spec
from matchers.training.augment import AugmentConfig
from matchers.training.homography import HomographyConfig
from matchers.training.pairs import Curriculum
from matchers.truth.roll import RollConfig
from matchers.truth.rules import GAPS, Thresholds
from matchers.weights import Purpose
from satgen.errors import InputError
from satgen.settings import SEEDS, check, setting
from satgen.splits import SplitConfig

if TYPE_CHECKING:
    from matchers.training.spec import TrainingSpec

STAGES = ("homography", "pose", "confidence")

_AS_INITIAL = "{}, or as --init has it"
MOST_STEPS = 10_000_000
"""Steps of a stage that may be asked for: months on one GPU."""


@dataclass(frozen=True)
class TrainConfig:
    """A training. Two with the same configuration and datasets go through the same steps.

    Attributes:
        matcher, features: which matcher, of which features.
        features_weights: of the extractor: a file, or None for the best there are by name.
        dim: numbers in a token.
        layers: LightGlue's layers; SuperGlue's pairs of a self and a cross layer.
        heads: of the attention.
        sinkhorn_iterations: of SuperGlue while it is trained, which remembers each; it matches with
            its own default.
        steps: of the stage "pose".
        homography_steps, confidence_steps: of the other two; None: a quarter and a tenth of it. 0
            homography steps leave that stage out.
        minutes: if given, the steps are as many as fit in this time with the stages before them,
            features included, and those above only say how the stages share it; figures of the
            held-out pairs, for the card, come after.
        batch: pairs that are computed together.
        accumulate: batches of an optimiser's step.
        max_keypoints: in a frame.
        silhouette: look for keypoints on the target only.
        photographs: share of each stage's pairs that are homographies of photographs instead of
            frames; 0: none. The stage "confidence" has them too.
        photographs_from: a folder of images; None: those that travel in wheels, without the ten
            that `bench.photographs` measures on.
        photograph_crops: of a photograph, each in `versions` versions.
        learning_rate: where it is highest. The papers' 1e-4 is for 10 times the parameters.
        warmup: steps in which it rises to that.
        weight_decay: AdamW's; 0 makes it Adam.
        clip: largest norm of the gradient.
        frames: of a dataset to train on, at most.
        versions: of a frame, see `matchers.training.cache`.
        cache_gb: frames that take more memory than this stay on disk, and every step reads its own.
        validate_every: steps between validations.
        patience: validations without a better F1 after which a stage ends.
        validation_pairs, test_pairs: for each gap and dataset.
        gaps: differences of index of validation and test pairs.
        thresholds: of the labels, by pose.
        curriculum, split, augment, homography, roll: see there.
        seed: of weights and draws.

    Raises:
        InputError: an unknown name or a number out of range.
    """

    matcher: str = setting("lightglue", "lightglue or superglue, or your own as my.module:SPEC")
    features: str = setting("sift", FEATURES_CHOICE)
    features_weights: str | None = setting(
        None, "The extractor's: official, satgen or a file", shown="the best there is"
    )
    dim: int = setting(128, "Numbers in a token", low=8, high=1024, shown=_AS_INITIAL)
    layers: int = setting(
        9, "Layers; SuperGlue: pairs of self and cross layers", low=1, high=64, shown=_AS_INITIAL
    )
    heads: int = setting(4, "Heads of the attention", low=1, high=64, option=False)
    sinkhorn_iterations: int = setting(
        50, "Sinkhorn iterations of SuperGlue in training", low=1, high=1000, option=False
    )
    steps: int = setting(20000, "Steps of stage pose", low=1, high=MOST_STEPS)
    homography_steps: int | None = setting(
        None,
        "Steps of stage homography; 0: none",
        low=0,
        high=MOST_STEPS,
        shown="a quarter of --steps",
    )
    confidence_steps: int | None = setting(
        None, "Steps of stage confidence", low=1, high=MOST_STEPS, shown="a tenth of --steps"
    )
    minutes: float | None = setting(
        None,
        "Have as many steps as fit in this time, features included; those asked for only say how "
        "the stages share it",
        above=0.0,
        high=1e6,
        unit="minutes",
    )
    batch: int = setting(4, "Pairs computed together", low=1, high=1024)
    accumulate: int = setting(4, "Batches whose gradients make a step", low=1, high=1024)
    max_keypoints: int = setting(512, "Keypoints in a frame", low=8, high=8192)
    silhouette: bool = setting(
        True, "Look for keypoints on the target only", name="silhouette/whole-image"
    )
    photographs: float = setting(
        0.0,
        "Share of the pairs that are homographies of photographs",
        low=0.0,
        below=1.0,
    )
    photographs_from: str | None = setting(
        None,
        "Folder of the photographs",
        metavar="FOLDER",
        shown="those in scikit-image's, scikit-learn's and matplotlib's wheels",
    )
    photograph_crops: int = setting(30, "Crops of a photograph", low=1, high=1000, option=False)
    learning_rate: float = setting(6e-4, "Highest learning rate", above=0.0, high=1.0, name="lr")
    warmup: int = setting(
        500, "Steps until the highest learning rate is reached", low=0, high=MOST_STEPS
    )
    weight_decay: float = setting(1e-4, "Weight decay of AdamW", low=0.0, below=1.0, option=False)
    clip: float = setting(1.0, "Largest norm of the gradient", above=0.0, high=1e6, option=False)
    frames: int = setting(1500, "Frames of a dataset to train on, at most", low=2, high=8100)
    versions: int = setting(4, "Versions of a frame, in other light and rolled", low=1, high=100)
    cache_gb: float = setting(
        4.0,
        "Most memory for features, beyond which they are read from disk",
        unit="gigabytes",
        low=0.0,
        high=1e6,
    )
    validate_every: int = setting(500, "Steps between validations", low=1, high=MOST_STEPS)
    patience: int = setting(
        20, "Validations without a better F1 that end a stage", low=1, high=MOST_STEPS
    )
    validation_pairs: int = setting(
        12, "Validation pairs for each gap and dataset", low=1, high=8100
    )
    test_pairs: int = setting(50, "Test pairs for each gap and dataset", low=1, high=8100)
    gaps: tuple[int, ...] = setting(
        GAPS, "Differences of index of validation and test pairs", low=1, high=8099, option=False
    )
    thresholds: Thresholds = field(default_factory=Thresholds)
    curriculum: Curriculum = field(default_factory=Curriculum)
    split: SplitConfig = field(default_factory=SplitConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    homography: HomographyConfig = field(default_factory=HomographyConfig)
    roll: RollConfig = field(default_factory=RollConfig)
    seed: int = setting(0, "Seed of the weights and of all draws", low=0, below=SEEDS)

    def __post_init__(self) -> None:
        _ = self.training  # or refuses
        features_spec(self.features)
        check(self)
        if self.dim % (2 * self.heads):
            raise InputError(f"dim {self.dim}, heads {self.heads}: dim must be a multiple of twice")
        if not self.gaps:
            raise InputError("gaps (none): must be at least one")

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of this training, in order."""
        training = self.training
        left_out = {"homography"} if self.homography_steps == 0 else set()
        if self.layers == 1:
            left_out |= training.layered
        return tuple(s for s in STAGES if s in training.decays and s not in left_out)

    @property
    def purpose(self) -> Purpose:
        """What the weights are for: the matcher and the features."""
        return Purpose(matcher_spec(self.matcher).name, features_spec(self.features).name)

    @property
    def training(self) -> TrainingSpec:
        """The spec of the matcher's training.

        Raises:
            InputError: no such matcher, or one that is not trained.
        """
        return matcher_spec(self.matcher).trained()

    def stage_steps(self, stage: str) -> int:
        """Number of steps of a stage."""
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
        return self.learning_rate * warm * self.training.decays[stage].factor(step / steps)

    def to_json(self) -> dict[str, Any]:
        """The configuration as train.json holds it."""
        return asdict(self)
