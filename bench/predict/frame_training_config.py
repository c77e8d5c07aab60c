"""Options of the training of networks that forecast frames, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.predict.frame_learned import NetworkConfig
from satgen.settings import SEEDS, check, setting


@dataclass(frozen=True)
class FrameTrainConfig:
    """How a network is trained.

    Attributes:
        network: which, and of what size.
        steps: of the optimiser.
        batch: windows a step.
        horizons: of the H frames to come, so many, drawn anew at every step, are forecast and
            compared; 0 for all. Fewer make steps cheaper, as most of the work is drawing frames.
        learning_rate: AdamW's highest; it rises at first and falls to 0 along half a cosine.
        weight_decay: AdamW's.
        validate_every, save_every: steps.
        validation_windows: evenly spread, at most.
        bfloat16: multiply in bfloat16 (autocast), on a CPU as on a GPU.
        seed: of weights, windows and horizons.

    Raises:
        InputError: a number that cannot be.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    steps: int = setting(2000, "Of the optimiser", low=1, high=10_000_000)
    batch: int = setting(4, "Windows a step", low=1, high=1024)
    horizons: int = setting(
        4,
        "Frames ahead that a step compares, drawn anew; 0 for all",
        low=0,
        high=8100,
        name="train-horizons",
    )
    learning_rate: float = setting(1.2e-3, "The highest, AdamW's", above=0.0, high=1.0)
    weight_decay: float = setting(1e-2, "AdamW's", low=0.0, high=1.0, option=False)
    validate_every: int = setting(200, "Steps", low=1, high=10_000_000, option=False)
    save_every: int = setting(100, "Steps", low=1, high=10_000_000, option=False)
    validation_windows: int = setting(48, "At most", low=1, high=8100, option=False)
    bfloat16: bool = setting(
        False, "Multiply in bfloat16: faster on GPUs, and on CPUs with AMX for gsta and convlstm"
    )
    seed: int = setting(0, "Of weights, windows and horizons", low=0, below=SEEDS, option=False)

    def __post_init__(self) -> None:
        """Check."""
        check(self)
