"""Varied light: a sun that is drawn anew for each block of indices, and exposure that is metered.

Close to a target in orbit the sun stands anywhere, most surfaces are black or washed out, and a
camera sets its exposure to what it sees. A `LightPreset` says from which phase angles suns are
drawn and how the exposure is found; within a block of `BLOCK` indices both stay the same, so that
brightness can be compared there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.colour import LUMA
from satgen.errors import InputError
from satgen.sun import BLOCK, SunConfig

LEAST = 0.01
"""Luminance that is metered at least: darker pixels are the sky, or in shadow."""

LEAST_EXPOSURE, MOST_EXPOSURE = 0.05, 50.0
"""What metering sets at least, and what `Metering.most` may be."""


@dataclass(frozen=True)
class Metering:
    """How a camera sets its exposure: once a block, by the block's middle frame.

    Attributes:
        percentile: of the luminances of the pixels that are not black, background included, ...
        level: ... that is brought to this share of full scale.
        bracket_ev: the exposure is then moved by up to so many stops, up or down, drawn for each
            block, as a bracket is, or a meter that errs.
        most: the greatest exposure, before the bracket.

    Raises:
        InputError: a number out of range.
    """

    percentile: float = 98.0
    level: float = 1.0
    bracket_ev: float = 0.0
    most: float = 4.0

    def __post_init__(self) -> None:
        if not 0.0 < self.percentile <= 100.0:
            raise InputError(f"percentile {self.percentile:g}: must be above 0 and at most 100")
        if not (math.isfinite(self.level) and self.level > 0.0):
            raise InputError(f"level {self.level:g}: must be a positive number")
        if not (math.isfinite(self.bracket_ev) and self.bracket_ev >= 0.0):
            raise InputError(f"bracket_ev {self.bracket_ev:g}: must be zero or a positive number")
        if not LEAST_EXPOSURE <= self.most <= MOST_EXPOSURE:
            raise InputError(
                f"most {self.most:g}: must be between {LEAST_EXPOSURE:g} and {MOST_EXPOSURE:g}"
            )

    @property
    def brightest(self) -> float:
        """The greatest exposure that can come of it."""
        return float(self.most * 2.0**self.bracket_ev)

    def exposure(self, radiance: NDArray[np.float32], seed: int, block: int) -> float:
        """The exposure of a block, to four digits.

        Args:
            radiance: (N, 3) of the pixels of its middle frame.
            seed, block: the bracket follows from these two.
        """
        luminance = radiance @ np.array(LUMA, dtype=np.float32)
        seen = luminance[luminance > LEAST]
        metered = float(np.percentile(seen, self.percentile)) if len(seen) else 1.0
        stops = np.random.default_rng([seed, block, 2]).uniform(-1.0, 1.0) * self.bracket_ev
        value = min(self.level / metered, self.most) * 2.0**stops
        return float(f"{max(value, LEAST_EXPOSURE):.4g}")

    def to_json(self) -> dict[str, Any]:
        """The `metering` object of dataset.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Metering | None:
        """Inverse of `to_json`; None where nothing is metered."""
        return None if data is None else cls(**data)


@dataclass(frozen=True)
class LightPreset:
    """Varied light.

    Attributes:
        phases_deg: least and greatest phase angle that suns are drawn from.
        metering: how the exposure is found.
        ambient: radiance of all that is neither sun nor Earth (`Lighting.ambient`).
    """

    phases_deg: tuple[float, float]
    metering: Metering
    ambient: float

    def sun(self, seed: int) -> SunConfig:
        """The suns of a seed."""
        return SunConfig("random", (*self.phases_deg, float(seed)))


PRESETS = {
    "benign": LightPreset((10.0, 60.0), Metering(99.0, 0.95, most=2.0), 0.012),
    "varied": LightPreset((0.0, 120.0), Metering(97.5, 1.0, bracket_ev=1.0, most=2.0), 0.003),
    "harsh": LightPreset((60.0, 150.0), Metering(94.0, 1.0, bracket_ev=1.5, most=2.0), 0.0005),
}
"""By the name that --light takes. docs/scene.md has what they come to."""


def block_of(index: int) -> int:
    """Number of the block that an index is in."""
    return max(index - 1, 0) // BLOCK


def middle_index(block: int, available: NDArray[np.int64]) -> int:
    """The index that a block is metered at: of those that there are, the nearest to its middle."""
    middle = block * BLOCK + 1 + BLOCK // 2
    return int(available[np.argmin(np.abs(available - middle))])
