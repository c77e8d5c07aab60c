"""How the camera turns about its optical axis as the indices go by.

Three ways to say it: a number of degrees, the same at every index; `rate:DEG`, that many degrees
more from one index to the next, 0 at index 0; `random` or `random:SEED`, a smooth turn to and fro
with closed form: a sum of sines with whole numbers of periods in 8100 indices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.trajectory.motion import INDEX_MAX, finite

TERMS = 6
"""Sines in a random roll."""

PERIODS = (3, 90)
"""Fewest and most periods of a sine in 8100 indices: a full turn to and fro takes 90 to 2700."""

TERM_RATE_DEG = 0.5
"""Fastest turn of each sine, degrees an index: 3 of all, about 0.9 on average (RMS), which is the
rate of the default sweep."""

_FORMS = "degrees, rate:DEGREES_PER_INDEX, random or random:SEED"


@dataclass(frozen=True)
class Roll:
    """A turn about the optical axis, the sum of its parts.

    Attributes:
        offset_deg: the same at every index.
        rate_deg: more from one index to the next; 0 at index 0.
        seed: of a random smooth roll; None has none.

    Raises:
        InputError: a number that is not finite, or a negative seed.
    """

    offset_deg: float = 0.0
    rate_deg: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("offset_deg", "rate_deg"):
            object.__setattr__(self, name, finite(getattr(self, name), f"roll {name}"))
        if self.seed is not None and not (isinstance(self.seed, int) and 0 <= self.seed < 2**63):
            raise InputError(f"roll's seed {self.seed}: must be a whole number, 0 or more")
        if abs(self.rate_deg) > 90.0:
            raise InputError(f"roll rate {self.rate_deg:g}: must be at most 90 degrees an index")

    @property
    def still(self) -> bool:
        """Whether it is the same at every index."""
        return self.rate_deg == 0.0 and self.seed is None

    def angle_deg(self, index: ArrayLike) -> Floats:
        """The roll (N,) in degrees at indices (N,)."""
        k = np.asarray(index, dtype=np.float64)
        roll = np.full(k.shape, self.offset_deg)
        if self.rate_deg:
            roll = roll + self.rate_deg * k
        if self.seed is not None:
            amplitude, turn, phase = _sines(self.seed)
            roll = roll + np.sum(np.sin(k[..., None] * turn + phase) * amplitude, axis=-1)
        return roll

    def speed_deg(self, index: ArrayLike) -> Floats:
        """Its derivative (N,) at indices (N,), degrees an index."""
        k = np.asarray(index, dtype=np.float64)
        speed = np.full(k.shape, self.rate_deg)
        if self.seed is not None:
            _, turn, phase = _sines(self.seed)
            speed = speed + np.sum(np.cos(k[..., None] * turn + phase) * TERM_RATE_DEG, axis=-1)
        return speed

    @property
    def spec(self) -> str | None:
        """The text that `parse_roll` reads back; None for a sum of several parts."""
        if self.still:
            return repr(self.offset_deg)
        if self.offset_deg or (self.rate_deg and self.seed is not None):
            return None
        return f"rate:{self.rate_deg!r}" if self.seed is None else f"random:{self.seed}"

    def to_json(self) -> dict[str, Any]:
        """The roll's keys in dataset.json's `trajectory` object: `roll_deg`, and `roll` if it
        moves."""
        moving = {"rate_deg": self.rate_deg, "seed": self.seed}
        return {"roll_deg": self.offset_deg, **({} if self.still else {"roll": moving})}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Roll:
        """Inverse of `to_json`, of the whole `trajectory` object."""
        moving = data.get("roll", {})
        return cls(data["roll_deg"], moving.get("rate_deg", 0.0), moving.get("seed"))


def parse_roll(text: str) -> Roll:
    """Read a roll; see the module's description.

    Raises:
        InputError: the text has none of the forms.
    """
    mode, colon, argument = text.partition(":")
    try:
        if mode == "random":
            return Roll(seed=int(argument) if colon else 0)
        if mode == "rate":
            return Roll(rate_deg=float(argument))
        return Roll(float(text))
    except ValueError:
        raise InputError(f"roll {text!r}: must be {_FORMS}") from None


@lru_cache(maxsize=8)
def _sines(seed: int) -> tuple[Floats, Floats, Floats]:
    """Amplitude in degrees, radians an index, and phase of the sines of a random roll, (6,)."""
    rng = np.random.default_rng([seed, 8100])
    # One in each of as many equal ratios, so that slow and fast turns are always among them.
    edges = np.geomspace(*PERIODS, TERMS + 1)
    periods = np.floor(rng.uniform(edges[:-1], edges[1:]))
    turn = 2.0 * math.pi * periods / INDEX_MAX
    return TERM_RATE_DEG / turn, turn, rng.uniform(0.0, 2.0 * math.pi, TERMS)
