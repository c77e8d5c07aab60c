"""What a prediction experiment compares, and on what; each default once."""

from __future__ import annotations

from dataclasses import dataclass

from matchers.specs import FEATURES_CHOICE, MATCHER_CHOICE, MOST_KEYPOINTS
from satgen.errors import InputError
from satgen.settings import SEEDS, check, setting

TASKS = ("pose", "frames")

TRUE = "true"
"""In place of a matcher: the dataset's own poses."""


@dataclass(frozen=True)
class PredictConfig:
    """What a run of `satgen predict` compares, on what, and with which seed.

    Attributes:
        task: what is forecast.
        models: names, in the order of the tables; empty for the task's own choice.
        poses: `TRUE`, or the matcher that finds them in the images; a name or, in Python, whatever
            `matchers.specs` takes.
        features: of that matcher; None for the default.
        max_keypoints: likewise, in a frame.
        windows: "test": of the held-out blocks of a dataset; "all": of all its frames.
        seed: of noise, of draws and of training.
        threads: of a process where PyTorch forecasts or matches. Another number may change the last
            bits of a figure.
        device: of networks that forecast frames or match; None for the best there is.

    Raises:
        InputError: a word or number that there is not.
    """

    task: str = setting("pose", "What is forecast: pose or frames", choices=TASKS)
    models: tuple[str, ...] = setting(
        (),
        "Of poses: last, two-pose, velocity, acceleration, filter, filter-ratios, gru; of frames: "
        "black, last, flow, render, render-POSEMODEL, simvp, gsta, simvp-still, convlstm; a "
        ".safetensors file, or your own as module:function; may be given again",
        name="model",
        many=True,
        shown="all of poses; black, last, flow and render",
    )
    poses: str = setting(
        TRUE,
        f"Where the observed poses come from: true, or the matcher that finds them in the images: "
        f"{MATCHER_CHOICE}",
    )
    features: str | None = setting(
        None,
        f"Features that the matcher of --poses works on: {FEATURES_CHOICE}",
        shown="aliked if it has been downloaded, else sift",
    )
    max_keypoints: int = setting(
        512, "Keypoints in a frame, for that matcher", low=1, high=MOST_KEYPOINTS
    )
    windows: str = setting(
        "test",
        "Windows of a dataset: test, those of its held-out blocks, or all",
        choices=("test", "all"),
    )
    seed: int = setting(0, "Seed of noise, draws and training", low=0, below=SEEDS)
    threads: int = setting(
        1, "Threads of a process where networks forecast or match", low=1, high=1024
    )
    device: str | None = setting(
        None, "Where networks run: cpu, cuda or mps", shown="the best there is"
    )

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        check(self)
        if len(set(self.models)) != len(self.models):
            raise InputError(f"models {', '.join(self.models)}: must be named once each")


@dataclass(frozen=True)
class FrameRules:
    """What may be chosen of every protocol of frames.

    Attributes:
        noise_deg: standard deviation of the observed rotations about each axis, for models that
            look at poses: one run each.
        horizons: frames ahead that are evaluated; empty for the protocol's own.
        stride: frames from the start of a window to that of the next; None for the protocol's own.
        dt_s: seconds from one index to the next; None takes the tables' times.
        noise_m_per_deg: metres of noise of the observed translations for a degree of the
            rotations'.

    Raises:
        InputError: a number that cannot be.
    """

    noise_deg: tuple[float, ...] = setting(
        (0.0, 0.1), "Of the observed rotations, degrees; may be given again", name="noise",
        many=True, low=0.0, high=180.0,
    )  # fmt: skip
    horizons: tuple[int, ...] = setting(
        (), "Frames ahead that are asked for; may be given again", name="horizon", many=True,
        low=1, high=8099, shown="the protocol's",
    )  # fmt: skip
    stride: int | None = setting(
        None, "Frames from the start of a window to that of the next", low=1, high=8100,
        shown="the protocol's",
    )  # fmt: skip
    dt_s: float | None = setting(
        None, "From one frame to the next", unit="seconds", above=0.0, high=1e6, name="dt",
        shown="the table's times",
    )  # fmt: skip
    noise_m_per_deg: float = setting(
        0.1,
        "Metres of noise of the observed translations for a degree of the rotations'",
        low=0.0,
        high=1e6,
    )

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        check(self)
        if not self.noise_deg or len(set(self.noise_deg)) < len(self.noise_deg):
            raise InputError(f"noise {list(self.noise_deg)}: must be given once each")
